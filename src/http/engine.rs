//! The only asynchronous spot: the client's tasks run here, and threads of ours wait for them.
//!
//! `reqwest::blocking` would hide as much, but hands a body over in pieces of 8 KiB, each of which
//! wakes two threads: 400 MB to a registry on loopback took 3 times as long as with curl. Here they
//! take the same time.

use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http_body::{Frame, SizeHint};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How much of a body is read and handed over at once.
const PIECE: usize = 256 * 1024;
/// How many pieces may wait: one is sent while the next is read.
const WAITING: usize = 2;
/// Enough for the TLS of several layers beside their hashing and unpacking.
const WORKERS: usize = 2;

#[derive(Debug)]
pub(super) struct Engine {
    runtime: Runtime,
}

/// Nothing happened for so long.
#[derive(Debug, thiserror::Error)]
#[error("nothing happened for {} seconds", .0.as_secs())]
pub(super) struct Stuck(Duration);

/// Why a request with a body had no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The body could not be read.
    Body(io::Error),
    Stuck(Stuck),
    Client(reqwest::Error),
}

impl Engine {
    /// Starts threads.
    pub(super) fn start() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(WORKERS).thread_name("http").enable_all().build()?;
        Ok(Self { runtime })
    }

    /// Waits for a task of the client's.
    pub(super) fn wait<F: Future>(&self, limit: Duration, task: F) -> Result<F::Output, Stuck> {
        let _context = self.runtime.enter();
        self.runtime.block_on(timeout(limit, task)).map_err(|_| Stuck(limit))
    }

    pub(super) fn send(
        &self,
        request: reqwest::RequestBuilder,
        limit: Duration,
    ) -> Result<reqwest::Response, Failure> {
        self.wait(limit, request.send()).map_err(Failure::Stuck)?.map_err(Failure::Client)
    }

    /// Sends `size` bytes of `body`, of which no piece may take longer than `limit`, and waits
    /// `patience` for the answer.
    pub(super) fn send_stream(
        &self,
        request: reqwest::RequestBuilder,
        (mut body, size): (impl Read, u64),
        limit: Duration,
        patience: Duration,
    ) -> Result<reqwest::Response, Failure> {
        let (sender, receiver) = mpsc::channel(WAITING);
        let outgoing = Outgoing { receiver, left: size };
        let task = self.runtime.spawn(request.body(reqwest::Body::wrap(outgoing)).send());
        let fed = self.feed(&task, &mut body, size, &sender, limit);
        drop(sender);
        if let Err(failure) = fed {
            task.abort();
            return Err(failure);
        }
        let answer = self.wait(patience, task).map_err(Failure::Stuck)?;
        answer.expect("nobody aborts it, and the client does not panic").map_err(Failure::Client)
    }

    fn feed(
        &self,
        task: &JoinHandle<reqwest::Result<reqwest::Response>>,
        body: &mut impl Read,
        size: u64,
        sender: &mpsc::Sender<Bytes>,
        limit: Duration,
    ) -> Result<(), Failure> {
        let mut left = size;
        // Who has an answer already does not want the rest.
        while left > 0 && !task.is_finished() {
            let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let mut piece = Vec::with_capacity(most);
            body.by_ref().take(most as u64).read_to_end(&mut piece).map_err(Failure::Body)?;
            if piece.is_empty() {
                let text = format!("it ends {left} bytes early");
                let error = io::Error::new(io::ErrorKind::UnexpectedEof, text);
                return Err(Failure::Body(error));
            }
            left -= piece.len() as u64;
            let sent = self.wait(limit, sender.send(piece.into())).map_err(Failure::Stuck)?;
            if sent.is_err() {
                break; // the task knows why
            }
        }
        Ok(())
    }
}

/// A body on its way out.
struct Outgoing {
    receiver: mpsc::Receiver<Bytes>,
    left: u64,
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(match ready!(self.receiver.poll_recv(context)) {
            Some(piece) => {
                self.left -= piece.len() as u64;
                Some(Ok(Frame::data(piece)))
            }
            None if self.left == 0 => None,
            None => Some(Err(io::ErrorKind::UnexpectedEof.into())),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// A body on its way in.
pub(super) struct Incoming {
    pub(super) response: reqwest::Response,
    piece: Bytes,
}

impl Incoming {
    pub(super) fn new(response: reqwest::Response) -> Self {
        Self { response, piece: Bytes::new() }
    }

    /// Reads as [`Read::read`] does; nothing may take longer than `limit`.
    pub(super) fn read(
        &mut self,
        engine: &Engine,
        limit: Duration,
        buffer: &mut [u8],
    ) -> Result<usize, Failure> {
        while self.piece.is_empty() && !buffer.is_empty() {
            let next = engine.wait(limit, self.response.chunk()).map_err(Failure::Stuck)?;
            match next.map_err(Failure::Client)? {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}
