//! What refers to a manifest: asked of the registry or, where it keeps no such lists, read from and
//! kept in an index under a tag (distribution-spec, "Listing Referrers", "Referrers Tag Schema").

use std::time::Instant;

use serde_json::{Value, json};

use super::auth::Scope;
use super::catalog::pages;
use super::client::Connection;
use super::{Error, manifest};
use crate::http::{Attempts, Patience, Url};
use crate::image::{Content, Descriptor, Digest, Index, media_type};

/// So often a list is written or looked at before whoever is in the way is blamed.
const ROUNDS: u32 = 32;
/// So often a condition may fail before it is left out.
const CONDITIONS: u32 = 8;

pub(super) fn list(
    connection: &Connection,
    repository: &str,
    digest: &Digest,
    artifact_type: Option<&str>,
) -> Result<Vec<Descriptor>, Error> {
    let of_kind = |found: &Descriptor| {
        artifact_type.is_none_or(|wanted| found.artifact_type.as_deref() == Some(wanted))
    };
    let mut found = match asked(connection, repository, digest, artifact_type)? {
        Some(found) => found,
        None => {
            let (index, _) = kept(connection, repository, digest)?;
            index.map_or_else(Vec::new, |index| index.manifests)
        }
    };
    found.retain(of_kind);
    Ok(found)
}

/// The registry's own list; None if it keeps none.
fn asked(
    connection: &Connection,
    repository: &str,
    digest: &Digest,
    artifact_type: Option<&str>,
) -> Result<Option<Vec<Descriptor>>, Error> {
    let mut path = format!("/v2/{repository}/referrers/{digest}");
    if let Some(kind) = artifact_type {
        path.push_str(&format!("?{}", query(kind)));
    }
    let mut found = Vec::new();
    let mut is_list = true;
    let accept = Some(media_type::OCI_INDEX);
    let outcome = pages(connection, &path, &Scope::pull(repository), accept, |headers, bytes| {
        // Some answer any path with a page for people.
        match Content::parse(bytes.to_vec(), headers.media_type.as_deref()) {
            Ok(Content::Index(index)) => {
                let kind = artifact_type.filter(|_| !headers.is_filtered);
                let fits = |entry: &Descriptor| {
                    kind.is_none_or(|kind| entry.artifact_type.as_deref() == Some(kind))
                };
                found.extend(index.manifests.into_iter().filter(fits));
            }
            _ => is_list = false,
        }
        Ok(true)
    });
    match outcome {
        Ok(()) if is_list => Ok(Some(found)),
        Ok(()) => Ok(None),
        // "Not found" is what the specification says of a registry without such lists; those that
        // never heard of the path say so in their own ways.
        Err(Error::NotFound { .. } | Error::Refused { status: 400 | 405 | 406 | 501, .. }) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn query(artifact_type: &str) -> String {
    let mut url: Url = "http://localhost/".parse().expect("a URL");
    url.query_pairs_mut().append_pair("artifactType", artifact_type);
    url.query().unwrap_or_default().to_owned()
}

/// The index that clients keep under a tag, and the `ETag` of what is there.
fn kept(
    connection: &Connection,
    repository: &str,
    digest: &Digest,
) -> Result<(Option<Index>, Option<String>), Error> {
    match manifest::fetch(connection, repository, &tag(digest)) {
        Ok((headers, Content::Index(index))) => Ok((Some(index), headers.etag)),
        // Somebody's own tag that only looks like one of ours.
        Ok((headers, _)) => Ok((None, headers.etag)),
        Err(Error::NotFound { .. }) => Ok((None, None)),
        Err(error) => Err(error),
    }
}

/// The tag of the list: 32 characters of the algorithm, 64 of the digits.
fn tag(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("{}-{}", digest.algorithm().name(), &hex[..hex.len().min(64)])
}

/// Adds `content` to the list of what refers to `subject`, for a registry that does not.
pub(super) fn add(
    connection: &Connection,
    repository: &str,
    subject: &Digest,
    content: &Content,
) -> Result<(), Error> {
    let entry = content.as_referrer();
    change(connection, repository, subject, |entries| {
        if entries.iter().any(|known| known["digest"] == json!(entry.digest)) {
            return false;
        }
        entries.push(serde_json::to_value(&entry).expect("a descriptor is valid JSON"));
        true
    })
}

/// Takes a manifest that is no more off that list.
pub(super) fn remove(
    connection: &Connection,
    repository: &str,
    subject: &Digest,
    gone: &Digest,
) -> Result<(), Error> {
    if asked(connection, repository, subject, None)?.is_some() {
        return Ok(()); // it keeps the list itself
    }
    change(connection, repository, subject, |entries| {
        let before = entries.len();
        entries.retain(|known| known["digest"] != json!(gone));
        entries.len() != before
    })
}

/// Changes the kept list until it is as `edit` wants it, which says whether it had to do something.
///
/// Others may change the list at the same time, and most registries know no conditions: whoever
/// writes last wins, with what he read before. So the list is read again some time after it was
/// written, longer than reading and writing took, and changed once more if our change is gone; after
/// somebody was seen in the way, until it stays twice.
fn change(
    connection: &Connection,
    repository: &str,
    subject: &Digest,
    edit: impl Fn(&mut Vec<Value>) -> bool,
) -> Result<(), Error> {
    let _alone = connection.referrers.lock().expect("no thread panics while it changes a list");
    let tag = tag(subject);
    let patience = &connection.access().patience;
    let mut failures = patience.begin();
    let mut rounds: Option<Attempts> = None;
    // What was written last, how often others were in the way, and how often nobody was since then.
    let (mut written, mut disturbed, mut quiet) = (None, 0, 0);
    loop {
        let begun = Instant::now();
        let (index, etag) = kept(connection, repository, subject)?;
        let found = index.as_ref().map(|index| index.bytes.clone());
        // What others wrote into it stays: it is changed as JSON.
        let mut whole = match index {
            Some(index) => serde_json::from_slice(&index.bytes).expect("it was read before"),
            None => json!({
                "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [],
            }),
        };
        let Some(entries) = whole["manifests"].as_array_mut() else { return Ok(()) };
        disturbed += u32::from(written.is_some() && found != written);
        if edit(entries) {
            quiet = 0;
            // A condition that never holds is none.
            let etag = etag.filter(|_| disturbed < CONDITIONS);
            let index = Content::parse(whole.to_string().into_bytes(), None).expect("an index");
            match manifest::replace(connection, repository, &tag, &index, etag.as_deref()) {
                Ok(true) => {}
                Ok(false) => disturbed += 1,
                // What was read is old until then.
                Err(error) => {
                    connection.pause(&mut failures, error)?;
                    continue;
                }
            }
            written = Some(index.bytes().to_vec());
        } else if written.is_none() || quiet >= u32::from(disturbed > 0) {
            return Ok(());
        } else {
            quiet += 1;
            written = found;
        }
        let attempts = rounds.get_or_insert_with(|| {
            let first = (patience.first / 2).max(begun.elapsed() * 4);
            Patience { tries: ROUNDS, first, longest: first * 4, total: None }.begin()
        });
        let Some(pause) = attempts.next(None) else {
            let why = format!("others changed it {disturbed} times while it was to be changed");
            return Err(Error::Protocol { what: connection.what(repository, &tag), why });
        };
        std::thread::sleep(pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Algorithm, Hasher};

    #[test]
    fn lists_have_tags_of_their_own() {
        let short = Digest::of(b"moss");
        assert_eq!(tag(&short), format!("sha256-{}", short.hex()));
        let mut hasher = Hasher::new(Algorithm::Sha512);
        hasher.update(b"moss");
        let long = hasher.finish();
        assert_eq!(tag(&long), format!("sha512-{}", &long.hex()[..64]));
        assert_eq!(query("a/b+c"), "artifactType=a%2Fb%2Bc");
    }
}
