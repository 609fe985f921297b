//! [`Outgoing`]: an answer's body on its way out, read ahead in pieces by a thread that may block.

use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

use super::message::Payload;

/// So much is read and handed over at once.
const PIECE: u64 = 128 * 1024;

type Source = Box<dyn Read + Send>;

pub(super) struct Outgoing {
    left: u64,
    state: State,
}

enum State {
    /// Nothing comes any more.
    Over,
    Whole(Bytes),
    Source(Source),
    Reading(JoinHandle<io::Result<(Source, Bytes)>>),
}

impl Outgoing {
    pub(super) fn new(payload: Payload) -> Self {
        match payload {
            Payload::Empty | Payload::Length(_) => Self { left: 0, state: State::Over },
            Payload::Bytes(bytes) => {
                Self { left: bytes.len() as u64, state: State::Whole(bytes.into()) }
            }
            Payload::Stream(left, source) => Self { left, state: State::Source(source) },
        }
    }
}

/// Begins to read the next piece.
fn read(mut source: Source, left: u64) -> State {
    State::Reading(spawn_blocking(move || {
        let most = left.min(PIECE);
        let mut piece = Vec::with_capacity(usize::try_from(most).unwrap_or_default());
        (&mut source).take(most).read_to_end(&mut piece)?;
        Ok((source, piece.into()))
    }))
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(None);
        }
        loop {
            match std::mem::replace(&mut this.state, State::Over) {
                State::Over => return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
                State::Whole(bytes) => {
                    this.left = 0;
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                State::Source(source) => this.state = read(source, this.left),
                State::Reading(mut thread) => {
                    let Poll::Ready(read_so_far) = Pin::new(&mut thread).poll(context) else {
                        this.state = State::Reading(thread);
                        return Poll::Pending;
                    };
                    let (source, piece) = match read_so_far {
                        Ok(Ok(both)) => both,
                        Ok(Err(error)) => return Poll::Ready(Some(Err(error))),
                        Err(panicked) => return Poll::Ready(Some(Err(panicked.into()))),
                    };
                    if piece.is_empty() {
                        continue; // which says that it ends early
                    }
                    this.left -= piece.len() as u64;
                    if this.left > 0 {
                        this.state = read(source, this.left);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(piece))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
