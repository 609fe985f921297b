//! Sending a blob: not at all, by mounting it from a neighbour, in one piece, or in several.

use std::io::{self, Read as _};

use super::Error;
use super::auth::Scope;
use super::client::{Call, Connection, Headers};
use crate::http::{Body, Method, Open, Response, Url};
use crate::image::{Descriptor, Digest, Mismatch};

/// The size of a piece, in bytes: what a proxy in front of a registry takes by default (nginx,
/// `client_max_body_size`).
const PIECE: usize = 1024 * 1024;
/// A registry may want larger pieces, but not such that do not fit into memory.
const LARGEST_PIECE: usize = 64 * 1024 * 1024;

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
    open: Open<'b>,
}

/// How one attempt ended.
enum Attempt {
    Finished(Uploaded),
    /// A new token is there, but this attempt may know only the old one.
    Renewed,
    /// The blob is too much for one request.
    TooLarge(Error),
}

pub(super) fn exists(
    connection: &Connection,
    repository: &str,
    descriptor: &Descriptor,
) -> Result<bool, Error> {
    let (scope, path) = (Scope::pull(repository), blob(repository, &descriptor.digest));
    has(connection, &Call::new(Method::Head, &path, &scope), descriptor)
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

pub(super) fn upload(
    connection: &Connection,
    repository: &str,
    descriptor: &Descriptor,
    open: Open<'_>,
    from: Option<&str>,
) -> Result<Uploaded, Error> {
    let upload = Upload { connection, repository, descriptor, open };
    // Asked with the right to push: the token serves for what follows.
    let (scope, path) = (Scope::push(repository), blob(repository, &descriptor.digest));
    let ask = || has(connection, &Call::new(Method::Head, &path, &scope), descriptor);
    if ask()? {
        return Ok(Uploaded::Existed);
    }
    let mut from = from.filter(|from| *from != repository);
    let mut attempts = connection.access().patience.begin();
    let mut renewals = 0;
    let mut in_pieces = false;
    loop {
        match upload.attempt(&scope, from, in_pieces) {
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
            Err(Error::Denied { .. } | Error::Refused { .. } | Error::NotFound { .. })
                if from.is_some() =>
            {
                from = None;
            }
            Err(error) => {
                connection.pause(&mut attempts, restartable(error))?;
                // The answer alone may have been lost.
                if ask()? {
                    return Ok(Uploaded::Sent);
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

impl Upload<'_, '_> {
    /// One attempt from its beginning to its end.
    fn attempt(
        &self,
        scope: &Scope,
        from: Option<&str>,
        in_pieces: bool,
    ) -> Result<Attempt, Error> {
        let mut path = format!("/v2/{}/blobs/uploads/", self.repository);
        let mut scope = scope.clone();
        if let Some(from) = from {
            path.push_str(&format!("?mount={}&from={}", self.descriptor.digest, from));
            scope = scope.and_from(Some(from));
        }
        let begin = Call::new(Method::Post, &path, &scope);
        let response = self.connection.once(&begin)?;
        match response.status() {
            201 if from.is_some() => return Ok(Attempt::Finished(Uploaded::Mounted)),
            200..=299 => {}
            _ => return Err(self.connection.refusal(&begin, response)),
        }
        let location = self.location(&begin, &response)?;
        match in_pieces {
            true => {
                let least = response.header("oci-chunk-min-length");
                let least = least.and_then(|text| text.parse().ok()).unwrap_or(0);
                self.send_pieces(&scope, &location, PIECE.max(least).min(LARGEST_PIECE))
            }
            false => {
                let body = Body::Stream { size: self.descriptor.size, open: self.open };
                self.finish(&scope, &location, body)
            }
        }
    }

    /// Closes the upload with a digest, and what was not sent before.
    fn finish(&self, scope: &Scope, location: &Url, body: Body<'_>) -> Result<Attempt, Error> {
        let url = with_digest(location, &self.descriptor.digest);
        let call = Call::to(Method::Put, &url, scope)
            .header("content-type", "application/octet-stream")
            .body(body);
        let Some(response) = self.connection.once_or_renew(&call)? else {
            return Ok(Attempt::Renewed);
        };
        match response.status() {
            200..=299 => self.compare(&response).map(|()| Attempt::Finished(Uploaded::Sent)),
            413 | 416 => Ok(Attempt::TooLarge(self.connection.refusal(&call, response))),
            _ => Err(self.connection.refusal(&call, response)),
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

    fn send_pieces(&self, scope: &Scope, begin: &Url, size: usize) -> Result<Attempt, Error> {
        let what = self.connection.what(self.repository, &self.descriptor.digest.to_string());
        let local = |source| Error::Exchange {
            what: what.clone(),
            tries: 1,
            source: crate::http::Error::Body { url: crate::http::shown(begin), source },
        };
        let mut body = (self.open)().map_err(local)?.take(self.descriptor.size);
        let mut location = begin.clone();
        let mut offset = 0;
        let mut piece = Vec::new();
        while offset < self.descriptor.size {
            piece.clear();
            body.by_ref().take(size as u64).read_to_end(&mut piece).map_err(local)?;
            if piece.is_empty() {
                return Err(local(io::ErrorKind::UnexpectedEof.into()));
            }
            let end = offset + piece.len() as u64;
            // Inclusive, and without the unit (distribution-spec, "Pushing a blob in chunks").
            let call = Call::to(Method::Patch, &location, scope)
                .header("content-type", "application/octet-stream")
                .header("content-range", format!("{offset}-{}", end - 1))
                .body(Body::Bytes(&piece));
            let Some(response) = self.connection.once_or_renew(&call)? else {
                return Ok(Attempt::Renewed);
            };
            if !response.is_success() {
                return Err(self.connection.refusal(&call, response));
            }
            location = self.location(&call, &response)?;
            offset = end;
        }
        self.finish(scope, &location, Body::Empty)
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
