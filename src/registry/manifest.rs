//! Manifests by tag or digest.

use super::answer::Headers;
use super::auth::Scope;
use super::client::{Call, Connection};
use super::{Error, referrers, upload};
use crate::http::{Body, Method};
use crate::image::{Content, Descriptor, Digest, Hasher, Mismatch, media_type};

/// distribution-spec, "Pushing manifests", asks registries to take 4 MiB; some take more.
const LONGEST: u64 = 8 * 1024 * 1024;

pub(super) fn get(
    connection: &Connection,
    repository: &str,
    target: &str,
) -> Result<Content, Error> {
    fetch(connection, repository, target).map(|(_, content)| content)
}

/// A manifest, and what was said about it.
pub(super) fn fetch(
    connection: &Connection,
    repository: &str,
    target: &str,
) -> Result<(Headers, Content), Error> {
    let (scope, path) = (Scope::pull(repository), path(repository, target));
    let call = Call::new(Method::Get, &path, &scope).header("accept", accept());
    let (headers, bytes) = connection.fetch(&call, LONGEST).map_err(|error| match error {
        Error::NotFound { detail, .. } => {
            Error::NotFound { what: connection.what(repository, target), detail }
        }
        other => other,
    })?;
    let what = || connection.what(repository, target);
    verify(&bytes, target, headers.digest.as_deref())
        .map_err(|source| Error::Mismatch { what: what(), source })?;
    let content = Content::parse(bytes, headers.media_type.as_deref())
        .map_err(|source| Error::Content { what: what(), source })?;
    Ok(match target.parse() {
        Ok(digest) => (headers, content.known_as(&digest)),
        Err(_) => (headers, content),
    })
}

/// Compares with what was asked for, and with what the registry says it sent; a header that is no
/// digest says nothing.
fn verify(bytes: &[u8], target: &str, header: Option<&str>) -> Result<(), Mismatch> {
    for expected in [Some(target), header].into_iter().flatten() {
        let Ok(expected) = expected.parse::<Digest>() else { continue };
        let mut hasher = Hasher::new(expected.algorithm());
        hasher.update(bytes);
        let actual = hasher.finish();
        if actual != expected {
            return Err(Mismatch::Digest { expected, actual });
        }
    }
    Ok(())
}

pub(super) fn head(
    connection: &Connection,
    repository: &str,
    target: &str,
) -> Result<Option<Descriptor>, Error> {
    let (scope, path) = (Scope::pull(repository), path(repository, target));
    let call = Call::new(Method::Head, &path, &scope).header("accept", accept());
    match connection.call(&call) {
        Ok(response) if response.is_success() => {
            if let Some(descriptor) = describe(&Headers::of(&response), target) {
                return Ok(Some(descriptor));
            }
        }
        // Some registries do not know HEAD and say so in different ways.
        Ok(_) | Err(Error::Denied { .. }) => {}
        Err(error) => return Err(error),
    }
    match get(connection, repository, target) {
        Ok(content) => Ok(Some(content.descriptor().clone())),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a head says, if it says enough.
fn describe(headers: &Headers, target: &str) -> Option<Descriptor> {
    let digest: Digest = headers.digest.as_ref()?.parse().ok()?;
    if target.parse::<Digest>().is_ok_and(|asked| asked != digest) {
        return None;
    }
    let kind = headers.media_type.as_deref()?;
    let known = media_type::is_index(kind) || media_type::is_manifest(kind);
    let size = headers.length.filter(|size| *size > 0)?;
    known.then(|| Descriptor::new(kind, digest, size))
}

pub(super) fn put(
    connection: &Connection,
    repository: &str,
    target: &str,
    content: &Content,
) -> Result<(), Error> {
    let headers = send(connection, repository, target, content)?;
    match content.subject() {
        Some(subject) if !headers.knows_subjects => {
            referrers::add(connection, repository, &subject.digest, content)
        }
        _ => Ok(()),
    }
}

/// Sends a manifest in one try, if what is there has still the `ETag` that it had; returns whether it
/// had. Registries that know no conditions take it in any case.
pub(super) fn replace(
    connection: &Connection,
    repository: &str,
    target: &str,
    content: &Content,
    etag: Option<&str>,
) -> Result<bool, Error> {
    let (scope, path) = (Scope::push(repository), path(repository, target));
    let mut call = Call::new(Method::Put, &path, &scope)
        .header("content-type", &content.descriptor().media_type)
        .body(Body::Bytes(content.bytes()));
    if let Some(etag) = etag {
        call = call.header("if-match", etag);
    }
    let response = connection.once(&call)?;
    match response.status() {
        412 if etag.is_some() => Ok(false),
        _ if response.is_success() => Ok(true),
        _ => Err(connection.refusal(&call, response)),
    }
}

/// Sends a manifest, and nothing else.
pub(super) fn send(
    connection: &Connection,
    repository: &str,
    target: &str,
    content: &Content,
) -> Result<Headers, Error> {
    let mut attempts = connection.access().patience.begin();
    loop {
        let error = match try_send(connection, repository, target, content) {
            Err(error) if says_unknown_blob(&error) => error,
            outcome => return outcome,
        };
        // Some registries need a moment until they know what they were just sent. Whoever really
        // lacks a part is right, and so is who has been asked often enough.
        if !has_parts(connection, repository, content)? {
            return Err(error);
        }
        let Some(pause) = attempts.next(None) else { return Err(error) };
        let seconds = pause.as_secs_f32();
        connection.access().reporter.note(format!("{error}; next try in {seconds:.1} s"));
        std::thread::sleep(pause);
    }
}

fn says_unknown_blob(error: &Error) -> bool {
    match error {
        Error::Refused { detail, .. } | Error::NotFound { detail, .. } => {
            detail.has("BLOB_UNKNOWN") || detail.has("unknown blob")
        }
        _ => false,
    }
}

/// Whether everything is there that a manifest names.
fn has_parts(connection: &Connection, repository: &str, content: &Content) -> Result<bool, Error> {
    let parts: Vec<&Descriptor> = match content {
        Content::Image(manifest) | Content::Artifact(manifest) => {
            let layers = manifest.layers.iter();
            let own = layers.filter(|layer| !media_type::is_foreign(&layer.media_type));
            own.chain([&manifest.config]).collect()
        }
        Content::Index(_) => return Ok(false),
    };
    for part in parts {
        if !upload::exists(connection, repository, part)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn try_send(
    connection: &Connection,
    repository: &str,
    target: &str,
    content: &Content,
) -> Result<Headers, Error> {
    let (scope, path) = (Scope::push(repository), path(repository, target));
    let call = Call::new(Method::Put, &path, &scope)
        .header("content-type", &content.descriptor().media_type)
        .body(Body::Bytes(content.bytes()));
    let response = connection.call(&call)?;
    if !response.is_success() {
        return Err(connection.refusal(&call, response));
    }
    let headers = Headers::of(&response);
    verify(content.bytes(), target, headers.digest.as_deref())
        .map_err(|source| Error::Mismatch { what: connection.what(repository, target), source })?;
    Ok(headers)
}

pub(super) fn path(repository: &str, target: &str) -> String {
    format!("/v2/{repository}/manifests/{target}")
}

/// All in one header: some registries read only the first.
fn accept() -> String {
    media_type::MANIFESTS.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_held_against_all_that_was_promised() {
        let right = Digest::of(b"moss").to_string();
        let wrong = Digest::of(b"mess").to_string();
        let mut hasher = Hasher::new(crate::image::Algorithm::Sha512);
        hasher.update(b"moss");
        let long = hasher.finish().to_string();
        for (target, header, fine) in [
            ("latest", None, true),
            ("latest", Some(&*right), true),
            ("latest", Some(&*long), true),
            ("latest", Some("md5:0"), true),
            ("latest", Some(&*wrong), false),
            (&*right, None, true),
            (&*wrong, None, false),
            (&*long, Some(&*right), true),
            (&*right, Some(&*wrong), false),
        ] {
            assert_eq!(verify(b"moss", target, header).is_ok(), fine, "{target} {header:?}");
        }
    }
}
