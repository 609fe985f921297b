//! What is asked and what is answered.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::outgoing::Outgoing;
use crate::http::Method;

/// The head of a request.
#[derive(Debug)]
pub struct Asked {
    head: hyper::http::request::Parts,
    peer: Arc<str>,
}

impl Asked {
    pub(super) fn new(head: hyper::http::request::Parts, peer: Arc<str>) -> Self {
        Self { head, peer }
    }

    /// None: one that we never serve.
    pub fn method(&self) -> Option<Method> {
        match self.head.method.as_str() {
            "GET" => Some(Method::Get),
            "HEAD" => Some(Method::Head),
            "POST" => Some(Method::Post),
            "PUT" => Some(Method::Put),
            "PATCH" => Some(Method::Patch),
            "DELETE" => Some(Method::Delete),
            _ => None,
        }
    }

    /// As the client wrote it.
    pub fn method_name(&self) -> &str {
        self.head.method.as_str()
    }

    /// As the client wrote it, still encoded.
    pub fn path(&self) -> &str {
        self.head.uri.path()
    }

    /// What follows the question mark, still encoded.
    pub fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }

    /// A header's first value; None also where it is no text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    /// What the client says that its body has; None where it does not say so.
    pub fn length(&self) -> Option<u64> {
        self.header("content-length")?.trim().parse().ok()
    }

    /// Who asks, for people.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// Whether the client waits to be told that its body is wanted.
    pub(super) fn expects_continue(&self) -> bool {
        self.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
    }
}

/// The body of a request.
pub struct RequestBody {
    incoming: Incoming,
    runtime: Handle,
    limit: Duration,
    piece: Bytes,
    /// The client sends it only if we begin to read.
    waits: bool,
    is_over: bool,
}

impl RequestBody {
    pub(super) fn new(incoming: Incoming, runtime: Handle, limit: Duration, waits: bool) -> Self {
        let is_over = incoming.is_end_stream();
        Self { incoming, runtime, limit, piece: Bytes::new(), waits, is_over }
    }

    /// Reads what is left, if that is not much.
    pub(super) fn drain(&mut self, most: u64) {
        let left = self.incoming.size_hint();
        if !self.waits && !self.is_over && left.lower() <= most {
            // A connection that cannot be used again is closed.
            drop(io::copy(&mut self.by_ref().take(most), &mut io::sink()));
        }
    }

    fn next(&mut self) -> io::Result<Option<Bytes>> {
        let (incoming, limit) = (&mut self.incoming, self.limit);
        let frame = self.runtime.block_on(async {
            timeout(
                limit,
                std::future::poll_fn(|context| Pin::new(&mut *incoming).poll_frame(context)),
            )
            .await
        });
        match frame {
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
            Ok(None) => Ok(None),
            // What is no data is trailers, which say nothing to us.
            Ok(Some(Ok(frame))) => Ok(Some(frame.into_data().unwrap_or_default())),
            Ok(Some(Err(error))) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, error)),
        }
    }
}

impl Read for RequestBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.waits = false;
        while self.piece.is_empty() && !self.is_over && !buffer.is_empty() {
            match self.next()? {
                Some(piece) => self.piece = piece,
                None => self.is_over = true,
            }
        }
        let count = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}

/// What is sent back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub payload: Payload,
}

/// What follows an answer's headers.
pub enum Payload {
    Empty,
    /// Nothing, though a `GET` would get so many bytes.
    Length(u64),
    Bytes(Vec<u8>),
    /// So many bytes of a reader.
    Stream(u64, Box<dyn Read + Send>),
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Length(length) => write!(f, "Length({length})"),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Stream(length, _) => write!(f, "Stream({length})"),
        }
    }
}

impl Payload {
    /// A part of a file.
    pub fn file(mut file: File, from: u64, length: u64) -> io::Result<Self> {
        if from > 0 {
            file.seek(SeekFrom::Start(from))?;
        }
        Ok(Self::Stream(length, Box::new(file)))
    }

    /// In bytes.
    pub fn length(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Length(length) | Self::Stream(length, _) => *length,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }
}

impl Answer {
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), payload: Payload::Empty }
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    #[must_use]
    pub fn payload(self, payload: Payload) -> Self {
        Self { payload, ..self }
    }

    pub(super) fn into_response(self) -> hyper::Response<Outgoing> {
        let length = self.payload.length();
        let mut response = hyper::Response::new(Outgoing::new(self.payload));
        *response.status_mut() = hyper::StatusCode::from_u16(self.status)
            .unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        for (name, value) in self.headers {
            // What a client sent stands in some of them.
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.append(HeaderName::from_static(name), value);
            }
        }
        // A status of this kind has no body, and says nothing of its length (RFC 9110 §8.6).
        if self.status >= 200 && self.status != 204 && self.status != 304 {
            headers.insert(hyper::header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        response
    }
}
