//! A bounded way for bytes from one thread to another.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use super::blob::CHUNK;

/// How many chunks wait at most: the reader's pauses are bridged, memory stays small.
const WAITING: usize = 8;

/// Makes a way.
pub(super) fn chunks() -> (ChunkSender, ChunkReader) {
    let (full, arriving) = sync_channel(WAITING);
    let (used, empty) = channel();
    let reader = ChunkReader { arriving, used, chunk: Vec::new(), at: 0, ended: false };
    (ChunkSender { full, empty }, reader)
}

/// The end that bytes are put into. Dropped without [`ChunkSender::end`], it makes the other end
/// fail: nobody shall take a part for the whole.
#[derive(Debug)]
pub(super) struct ChunkSender {
    full: SyncSender<Option<Vec<u8>>>,
    /// Buffers that were read out come back.
    empty: Receiver<Vec<u8>>,
}

impl ChunkSender {
    /// A buffer to be filled, of [`CHUNK`] bytes.
    pub(super) fn buffer(&self) -> Vec<u8> {
        let mut buffer = self.empty.try_recv().unwrap_or_default();
        buffer.resize(CHUNK, 0);
        buffer
    }

    /// Passes bytes on, at least one; false when nobody wants them any more.
    pub(super) fn send(&self, chunk: Vec<u8>) -> bool {
        self.full.send(Some(chunk)).is_ok()
    }

    pub(super) fn end(self) {
        // Whoever does not listen any more does not care for the end either.
        drop(self.full.send(None));
    }
}

/// The end that they come out of.
#[derive(Debug)]
pub(super) struct ChunkReader {
    arriving: Receiver<Option<Vec<u8>>>,
    used: Sender<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Read for ChunkReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while self.at == self.chunk.len() && !self.ended {
            match self.arriving.recv() {
                Ok(Some(chunk)) => {
                    let used = std::mem::replace(&mut self.chunk, chunk);
                    drop(self.used.send(used));
                    self.at = 0;
                }
                Ok(None) => self.ended = true,
                Err(_) => return Err(io::Error::other("the sender gave up")),
            }
        }
        let count = buffer.len().min(self.chunk.len() - self.at);
        buffer[..count].copy_from_slice(&self.chunk[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_arrive_and_a_cut_is_an_error() {
        for whole in [true, false] {
            let (sender, mut reader) = chunks();
            let (count, result) = std::thread::scope(|scope| {
                scope.spawn(|| {
                    for number in 0..100 {
                        let mut buffer = sender.buffer();
                        buffer.truncate(1000);
                        buffer.fill(number);
                        assert!(sender.send(buffer));
                    }
                    if whole {
                        sender.end();
                    }
                });
                let mut bytes = Vec::new();
                let result = reader.read_to_end(&mut bytes);
                assert!(
                    bytes.chunks(1000).zip(0..).all(|(chunk, n)| chunk.iter().all(|b| *b == n))
                );
                (bytes.len(), result)
            });
            assert_eq!((count, result.is_ok()), (100_000, whole));
        }
        let (sender, reader) = chunks();
        drop(reader);
        assert!(!sender.send(vec![1]));
    }
}
