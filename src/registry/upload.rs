//! Sending a blob: not at all, by mounting it from a neighbour, in one piece, or in several.

use std::io::{self, Read as _};

use super::Error;
use super::answer::Headers;
use super::auth::Scope;
use super::client::{Call, Connection};
use crate::http::{Body, Method, Open, Response, Url};
use crate::image::{Descriptor, Digest, Mismatch};

/// The size of a piece, in bytes: what a proxy in front of a registry takes by default (nginx,
/// `client_max_body_size`).
const PIECE: usize = 1024 * 1024;
/// A registry may want larger pieces, but not such that do not fit into memory.
const LARGEST_PIECE: usize = 64 * 1024 * 1024;

/// So many more bytes show that the line works: then patience begins anew.
const PROGRESS: u64 = 1024 * 1024;

/// How a blob came to be where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uploaded {
    /// It was there already.
    Existed,
    /// The registry had it in another repository.
    Mounted,
    Sent,
}

/// What is to be sent where.
struct Upload<'a, 'b> {
    connection: &'a Connection,
    repository: &'a str,
    descriptor: &'a Descriptor,
    scope: Scope,
    open: Open<'b>,
}

/// An upload that the registry knows of.
#[derive(Debug, Clone)]
struct Session {
    location: Url,
    /// How many bytes it has.
    offset: u64,
    /// The least that it wants at once.
    least: usize,
}

/// How one attempt ended.
enum Attempt {
    Finished(Uploaded),
    /// A new token is there, but this attempt may know only the old one.
    Renewed,
    /// The blob is too much for one request.
    TooLarge(Error),
}

/// An attempt that failed, and what it leaves behind.
struct Broken {
    error: Box<Error>,
    session: Option<Box<Session>>,
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self { error: Box::new(error), session: None }
    }
}

impl Broken {
    fn at(session: Session) -> impl FnOnce(Error) -> Self {
        move |error| Self { error: Box::new(error), session: Some(Box::new(session)) }
    }
}

pub(super) fn exists(
    connection: &Connection,
    repository: &str,
    descriptor: &Descriptor,
) -> Result<bool, Error> {
    let (scope, path) = (Scope::pull(repository), blob(repository, &descriptor.digest));
    has(connection, &Call::new(Method::Head, &path, &scope), descriptor)
}

pub(super) fn size(
    connection: &Connection,
    repository: &str,
    descriptor: &Descriptor,
) -> Result<Option<u64>, Error> {
    let (scope, path) = (Scope::pull(repository), blob(repository, &descriptor.digest));
    let call = Call::new(Method::Head, &path, &scope);
    let response = connection.call(&call)?;
    match response.status() {
        404 => Ok(None),
        // Some registries do not know HEAD and say so in different ways.
        _ if !response.is_success() => Ok(Some(descriptor.size)),
        _ => Ok(Some(response.length().unwrap_or(descriptor.size))),
    }
}

fn has(
    connection: &Connection,
    call: &Call<'_, '_>,
    descriptor: &Descriptor,
) -> Result<bool, Error> {
    let response = connection.call(call)?;
    // Who may write but not ask gets 403 from some: then it is sent.
    Ok(response.is_success() && response.length().is_none_or(|size| size == descriptor.size))
}

/// A blob that several images share is sent by the first that wants it; the others wait.
pub(super) fn upload(
    connection: &Connection,
    repository: &str,
    descriptor: &Descriptor,
    open: Open<'_>,
    from: Option<&str>,
) -> Result<Uploaded, Error> {
    let key = (repository.to_owned(), descriptor.digest.clone());
    let work = || send(connection, repository, descriptor, open, from);
    let (how, is_ours) = connection.uploads.run(&key, work)?;
    Ok(if is_ours { how } else { Uploaded::Existed })
}

fn send(
    connection: &Connection,
    repository: &str,
    descriptor: &Descriptor,
    open: Open<'_>,
    from: Option<&str>,
) -> Result<Uploaded, Error> {
    // Asked with the right to push: the token serves for what follows.
    let (scope, path) = (Scope::push(repository), blob(repository, &descriptor.digest));
    let ask = || has(connection, &Call::new(Method::Head, &path, &scope), descriptor);
    if ask()? {
        return Ok(Uploaded::Existed);
    }
    let upload = Upload { connection, repository, descriptor, scope: scope.clone(), open };
    let mut from = from.filter(|from| *from != repository);
    let mut attempts = connection.access().patience.begin();
    let mut renewals = 0;
    let mut in_pieces = false;
    let mut session: Option<Session> = None;
    loop {
        let begun = session.as_ref().map_or(0, |session| session.offset);
        let outcome = match session.take() {
            Some(session) => upload.send_pieces(session),
            None => upload.attempt(from, in_pieces),
        };
        match outcome {
            Ok(Attempt::Finished(how)) => return Ok(how),
            // Tokens may run out while blobs are sent, but not each time at once.
            Ok(Attempt::Renewed) if renewals < 3 => renewals += 1,
            Ok(Attempt::Renewed) => {
                let what = connection.what(repository, &descriptor.digest.to_string());
                return Err(connection.denied(what, Default::default(), &scope));
            }
            Ok(Attempt::TooLarge(_)) if !in_pieces => in_pieces = true,
            Ok(Attempt::TooLarge(error)) => return Err(error),
            // We may not read there, or mounting is not known: sending always works.
            Err(Broken { error, .. })
                if from.is_some()
                    && matches!(
                        *error,
                        Error::Denied { .. } | Error::Refused { .. } | Error::NotFound { .. }
                    ) =>
            {
                from = None;
            }
            Err(Broken { error, session: left }) => {
                connection.pause(&mut attempts, restartable(*error))?;
                // The answer alone may have been lost.
                if ask()? {
                    return Ok(Uploaded::Sent);
                }
                session = left.and_then(|left| upload.resume(&left));
                // Who got so far will get further.
                if session.as_ref().is_some_and(|session| session.offset >= begun + PROGRESS) {
                    attempts = connection.access().patience.begin();
                }
            }
        }
    }
}

/// A registry that forgot the upload gets a new one.
fn restartable(error: Error) -> Error {
    match error {
        Error::NotFound { what, detail } if detail.has("BLOB_UPLOAD_UNKNOWN") => {
            Error::Busy { what, status: 404, tries: 1, pause: None, detail }
        }
        other => other,
    }
}

/// Whether a registry may take in pieces what it refused as a whole.
fn is_too_much(error: &Error) -> bool {
    match error {
        Error::Refused { status: 405 | 411 | 413 | 416 | 501, .. } => true,
        // Some know uploads in pieces alone; what is really wrong they say.
        Error::Refused { status: 400, detail, .. } => {
            !["DIGEST_INVALID", "SIZE_INVALID", "NAME_INVALID"].iter().any(|code| detail.has(code))
        }
        _ => false,
    }
}

impl Upload<'_, '_> {
    /// One attempt from its beginning to its end.
    fn attempt(&self, from: Option<&str>, in_pieces: bool) -> Result<Attempt, Broken> {
        let mut path = format!("/v2/{}/blobs/uploads/", self.repository);
        let mut scope = self.scope.clone();
        if let Some(from) = from {
            path.push_str(&format!("?mount={}&from={}", self.descriptor.digest, from));
            scope = scope.and_from(Some(from));
        }
        let begin = Call::new(Method::Post, &path, &scope);
        let response = self.connection.once(&begin)?;
        match response.status() {
            201 if from.is_some() => return Ok(Attempt::Finished(Uploaded::Mounted)),
            200..=299 => {}
            _ => return Err(self.connection.refusal(&begin, response).into()),
        }
        let location = self.location(&begin, &response)?;
        let least = response.header("oci-chunk-min-length");
        let least = least.and_then(|text| text.parse().ok()).unwrap_or(0);
        let session = Session { location, offset: 0, least };
        match in_pieces {
            true => self.send_pieces(session),
            false => {
                let body = Body::Stream { size: self.descriptor.size, open: self.open };
                self.finish(&session.location, body).map_err(Broken::at(session))
            }
        }
    }

    /// Closes the upload with a digest, and what was not sent before.
    fn finish(&self, location: &Url, body: Body<'_>) -> Result<Attempt, Error> {
        let url = with_digest(location, &self.descriptor.digest);
        let call = Call::to(Method::Put, &url, &self.scope)
            .header("content-type", "application/octet-stream")
            .body(body);
        let Some(response) = self.connection.once_or_renew(&call)? else {
            return Ok(Attempt::Renewed);
        };
        if response.is_success() {
            return self.compare(&response).map(|()| Attempt::Finished(Uploaded::Sent));
        }
        match self.connection.refusal(&call, response) {
            error if matches!(body, Body::Stream { .. }) && is_too_much(&error) => {
                Ok(Attempt::TooLarge(error))
            }
            error => Err(error),
        }
    }

    /// What the registry says it stored.
    fn compare(&self, response: &Response) -> Result<(), Error> {
        let stored = Headers::of(response).digest.and_then(|text| text.parse::<Digest>().ok());
        let expected = &self.descriptor.digest;
        match stored {
            Some(actual) if actual != *expected && actual.algorithm() == expected.algorithm() => {
                let what = self.connection.what(self.repository, &expected.to_string());
                let source = Mismatch::Digest { expected: expected.clone(), actual };
                Err(Error::Mismatch { what, source })
            }
            _ => Ok(()),
        }
    }

    /// Where an upload stands that was cut; None if the registry has nothing of it, or does not tell.
    fn resume(&self, session: &Session) -> Option<Session> {
        let call = Call::to(Method::Get, &session.location, &self.scope);
        let response = self.connection.once(&call).ok()?;
        let offset = response.header("range").and_then(received)?;
        if !response.is_success() || offset == 0 || offset > self.descriptor.size {
            return None;
        }
        let location = self.location(&call, &response);
        let location = location.unwrap_or_else(|_| session.location.clone());
        Some(Session { location, offset, least: session.least })
    }

    /// Sends what is missing piece by piece, and closes the upload.
    fn send_pieces(&self, mut session: Session) -> Result<Attempt, Broken> {
        let size = PIECE.max(session.least).min(LARGEST_PIECE) as u64;
        let what = self.connection.what(self.repository, &self.descriptor.digest.to_string());
        let local = |source| Error::Exchange {
            what: what.clone(),
            tries: 1,
            source: crate::http::Error::Body { url: self.repository.to_owned(), source },
        };
        let mut body = (self.open)().map_err(local)?.take(self.descriptor.size);
        let skipped = io::copy(&mut body.by_ref().take(session.offset), &mut io::sink());
        if skipped.map_err(local)? != session.offset {
            return Err(local(io::ErrorKind::UnexpectedEof.into()).into());
        }
        let mut piece = Vec::new();
        while session.offset < self.descriptor.size {
            piece.clear();
            body.by_ref().take(size).read_to_end(&mut piece).map_err(local)?;
            if piece.is_empty() {
                return Err(local(io::ErrorKind::UnexpectedEof.into()).into());
            }
            match self.send_piece(&session, &piece) {
                Ok(location) => session.location = location,
                Err(error) => return Err(Broken::at(session)(error)),
            }
            session.offset += piece.len() as u64;
        }
        self.finish(&session.location, Body::Empty).map_err(Broken::at(session))
    }

    /// Sends one piece; a token that ran out is renewed for it. Says where the next one goes.
    fn send_piece(&self, session: &Session, piece: &[u8]) -> Result<Url, Error> {
        let end = session.offset + piece.len() as u64;
        // Inclusive, and without the unit (distribution-spec, "Pushing a blob in chunks").
        let call = Call::to(Method::Patch, &session.location, &self.scope)
            .header("content-type", "application/octet-stream")
            .header("content-range", format!("{}-{}", session.offset, end - 1))
            .body(Body::Bytes(piece));
        let response = self.connection.once(&call)?;
        match response.is_success() {
            true => self.location(&call, &response),
            false => Err(match self.connection.refusal(&call, response) {
                // It has another opinion of what it has: it is asked.
                Error::Refused { what, status: 416, detail } => {
                    Error::Busy { what, status: 416, tries: 1, pause: None, detail }
                }
                other => other,
            }),
        }
    }

    /// Where the upload goes on: `Location` may be relative, and carries state in its query.
    fn location(&self, call: &Call<'_, '_>, response: &Response) -> Result<Url, Error> {
        let wrong = |why: &str| Error::Protocol {
            what: self.connection.shown(call),
            why: format!("{why} where the upload goes on"),
        };
        let location = response.header("location").ok_or_else(|| wrong("it does not say"))?;
        response.url().join(location).map_err(|_| wrong("it gives no URL"))
    }
}

/// How many bytes an upload has, by its `Range` (distribution-spec, "Pushing a blob in chunks"):
/// `0-N`, where the first byte alone stands for none at all, too.
fn received(range: &str) -> Option<u64> {
    let range = range.trim();
    let range =
        range.strip_prefix("bytes").map_or(range, |rest| rest.trim_start_matches([' ', '=']));
    let last = range.strip_prefix("0-")?.parse::<u64>().ok()?;
    Some(if last == 0 { 0 } else { last.checked_add(1)? })
}

fn blob(repository: &str, digest: &Digest) -> String {
    format!("/v2/{repository}/blobs/{digest}")
}

/// The upload's URL with `digest` added; what is there stays as it is.
fn with_digest(location: &Url, digest: &Digest) -> Url {
    let mut url = location.clone();
    let query = match url.query().filter(|query| !query.is_empty()) {
        Some(query) => format!("{query}&digest={digest}"),
        None => format!("digest={digest}"),
    };
    url.set_query(Some(&query));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_received_is_read() {
        for (range, expected) in [
            ("0-999", Some(1000)),
            ("bytes=0-999", Some(1000)),
            ("0-0", Some(0)),
            ("5-9", None),
            ("0-", None),
            ("", None),
            ("0-18446744073709551615", None),
        ] {
            assert_eq!(received(range), expected, "{range}");
        }
    }

    #[test]
    fn locations_are_joined_and_completed() {
        let digest = Digest::of(b"");
        let base: Url = "https://h:5000/v2/a/blobs/uploads/?mount=x".parse().expect("a URL");
        for (location, expected) in [
            (
                "https://h:5000/v2/a/u/1?_state=a%2Fb%3D",
                "https://h:5000/v2/a/u/1?_state=a%2Fb%3D&digest=",
            ),
            ("/v2/a/u/1", "https://h:5000/v2/a/u/1?digest="),
            ("/v2/a/u/1?", "https://h:5000/v2/a/u/1?digest="),
            ("1?s=2", "https://h:5000/v2/a/blobs/uploads/1?s=2&digest="),
            ("https://cdn/u?sig=a+b%20c", "https://cdn/u?sig=a+b%20c&digest="),
        ] {
            let url = with_digest(&base.join(location).expect(location), &digest);
            assert_eq!(url.as_str(), format!("{expected}{digest}"));
        }
    }
}
