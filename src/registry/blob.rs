//! [`Blob`]: a verified download that comes back after a cut.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use super::Error;
use super::answer::{busy, detail};
use super::auth::Scope;
use super::client::{Call, Connection};
use crate::http::{Attempts, Method, Request, Response, Url, shown};
use crate::image::{Descriptor, Mismatch, Verified, media_type};

/// So much in one go shows that the line works: then patience begins anew.
const PROGRESS: u64 = 64 * 1024;

/// The bytes of a blob. Its end is reported only if they are what the descriptor says; errors
/// carry an [`Error`], see [`Error::of`].
#[derive(Debug)]
pub struct Blob {
    inner: Verified<Stream>,
    what: String,
}

impl Blob {
    pub(super) fn open(
        connection: &Arc<Connection>,
        repository: &str,
        descriptor: &Descriptor,
    ) -> Result<Self, Error> {
        let stream = Stream::open(connection, repository, descriptor, 0)?;
        let what = stream.what.clone();
        let inner = Verified::new(stream, descriptor.digest.clone(), Some(descriptor.size));
        Ok(Self { inner, what })
    }
}

/// The end of a blob whose beginning somebody has. Nothing is verified here: that is for who puts
/// both together.
#[derive(Debug)]
pub struct Rest(Stream);

impl Rest {
    pub(super) fn open(
        connection: &Arc<Connection>,
        repository: &str,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<Self, Error> {
        Stream::open(connection, repository, descriptor, offset).map(Self)
    }
}

impl Read for Rest {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|error| {
            let kind = error.kind();
            match error.downcast::<Mismatch>() {
                Ok(source) => {
                    io::Error::new(kind, Error::Mismatch { what: self.what.clone(), source })
                }
                Err(error) => error,
            }
        })
    }
}

/// Where a blob is.
enum Place {
    /// A path of the registry.
    Registry(String),
    /// Somewhere that its descriptor names.
    Elsewhere(Url),
}

/// Bytes in order, over as many connections as it takes.
struct Stream {
    connection: Arc<Connection>,
    scope: Scope,
    place: Place,
    what: String,
    size: u64,
    /// How many bytes were passed on.
    offset: u64,
    /// How many of them since the last cut.
    since_cut: u64,
    attempts: Attempts,
    response: Option<Response>,
}

impl Stream {
    /// From where the registry has it or, if it is foreign and not there, from where its descriptor
    /// says.
    fn open(
        connection: &Arc<Connection>,
        repository: &str,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<Self, Error> {
        let place = Place::Registry(format!("/v2/{repository}/blobs/{}", descriptor.digest));
        let missing = match Self::at(place, connection, repository, descriptor, offset) {
            Err(error @ Error::NotFound { .. })
                if media_type::is_foreign(&descriptor.media_type) =>
            {
                error
            }
            outcome => return outcome,
        };
        let urls = descriptor.urls.iter().flatten().filter_map(|url| url.parse::<Url>().ok());
        let urls: Vec<Url> = urls.filter(|url| matches!(url.scheme(), "http" | "https")).collect();
        if !connection.access().allow_foreign && !urls.is_empty() {
            let what = connection.what(repository, &descriptor.digest.to_string());
            return Err(Error::Foreign { what, places: urls.iter().map(shown).collect() });
        }
        let mut last = missing;
        for url in urls {
            match Self::at(Place::Elsewhere(url), connection, repository, descriptor, offset) {
                Err(error) => last = error,
                found => return found,
            }
        }
        Err(last)
    }

    fn at(
        place: Place,
        connection: &Arc<Connection>,
        repository: &str,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<Self, Error> {
        let mut stream = Self {
            attempts: connection.access().patience.begin(),
            scope: Scope::pull(repository),
            what: match &place {
                Place::Registry(_) => connection.what(repository, &descriptor.digest.to_string()),
                Place::Elsewhere(url) => shown(url),
            },
            place,
            connection: connection.clone(),
            size: descriptor.size,
            offset,
            since_cut: 0,
            response: None,
        };
        stream.resume()?;
        Ok(stream)
    }

    /// Asks for the rest until there is an answer.
    fn resume(&mut self) -> Result<(), Error> {
        loop {
            match self.request() {
                Ok(response) => {
                    self.response = Some(response);
                    return Ok(());
                }
                Err(error) => self.wait(error)?,
            }
        }
    }

    fn wait(&mut self, error: Error) -> Result<(), Error> {
        if self.since_cut >= PROGRESS {
            self.attempts = self.connection.access().patience.begin();
        }
        self.since_cut = 0;
        let connection = self.connection.clone();
        connection.pause(&mut self.attempts, error)
    }

    /// One request for what is missing, its answer positioned there.
    fn request(&self) -> Result<Response, Error> {
        let response = self.ask(self.offset)?;
        match response.status() {
            200 => self.skip(response),
            206 if starts_at(response.header("content-range"), self.offset) => Ok(response),
            // It does not know ranges, or not this one: all from the beginning.
            _ => {
                let whole = self.ask(0)?;
                match whole.status() {
                    200 => self.skip(whole),
                    status => {
                        let (what, detail) = (self.what.clone(), detail(whole));
                        Err(Error::Refused { what, status, detail })
                    }
                }
            }
        }
    }

    /// Asks for all after the first `offset` bytes; 200, 206 and 416 are answers.
    fn ask(&self, offset: u64) -> Result<Response, Error> {
        let range = (offset > 0).then(|| format!("bytes={offset}-"));
        let error = match &self.place {
            Place::Registry(path) => {
                let mut call = Call::new(Method::Get, path, &self.scope);
                call.headers.extend(range.map(|range| ("range", range)));
                let response = self.connection.once(&call)?;
                match response.status() {
                    200 | 206 | 416 => return Ok(response),
                    _ => self.connection.refusal(&call, response),
                }
            }
            // Nobody there gets to see any credentials.
            Place::Elsewhere(url) => {
                let mut request = Request::new(Method::Get, url.clone());
                request.headers.extend(range.map(|range| ("range", range)));
                let sent = self.connection.http().send(&request);
                let exchange =
                    |source| Error::Exchange { what: self.what.clone(), tries: 1, source };
                let response = busy(sent.map_err(exchange)?, || self.what.clone())?;
                let what = self.what.clone();
                match response.status() {
                    200 | 206 | 416 => return Ok(response),
                    404 => Error::NotFound { what, detail: detail(response) },
                    status => Error::Refused { what, status, detail: detail(response) },
                }
            }
        };
        Err(match error {
            Error::NotFound { detail, .. } => Error::NotFound { what: self.what.clone(), detail },
            other => other,
        })
    }

    /// Reads over what was passed on already. The digest covers the bytes of both connections, so
    /// another blob's rest would not go unnoticed.
    fn skip(&self, mut response: Response) -> Result<Response, Error> {
        let skipped = io::copy(&mut response.by_ref().take(self.offset), &mut io::sink());
        match skipped {
            Ok(count) if count == self.offset => Ok(response),
            Ok(_) => Err(self.cut(io::ErrorKind::UnexpectedEof.into())),
            Err(source) => Err(self.cut(source)),
        }
    }

    fn cut(&self, source: io::Error) -> Error {
        Error::Cut { what: self.what.clone(), tries: 1, source }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(response) = &mut self.response else {
                self.resume().map_err(wrap)?;
                continue;
            };
            let source = match response.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // After the last byte nothing can be missing.
                Err(_) | Ok(0) if self.offset >= self.size => return Ok(0),
                Ok(0) => io::ErrorKind::UnexpectedEof.into(),
                Ok(count) => {
                    self.offset += count as u64;
                    self.since_cut += count as u64;
                    return Ok(count);
                }
                Err(error) => error,
            };
            self.response = None;
            let error = self.cut(source);
            self.wait(error).map_err(wrap)?;
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({} at {} of {})", self.what, self.offset, self.size)
    }
}

fn wrap(error: Error) -> io::Error {
    io::Error::other(error)
}

/// Whether a `Content-Range` (RFC 9110 §14.4) begins there.
fn starts_at(header: Option<&str>, offset: u64) -> bool {
    let Some(range) = header.and_then(|value| value.trim().strip_prefix("bytes")) else {
        return false;
    };
    let first = range.trim_start().split('-').next().unwrap_or_default();
    first.parse() == Ok(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        for (header, expected) in [
            (Some("bytes 5-9/10"), true),
            (Some("bytes 5-9/*"), true),
            (Some("bytes 50-99/100"), false),
            (Some("bytes 0-9/10"), false),
            (Some("bytes */10"), false),
            (Some("5-9"), false),
            (None, false),
        ] {
            assert_eq!(starts_at(header, 5), expected, "{header:?}");
        }
    }
}
