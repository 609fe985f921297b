//! gzip with several threads and one outcome.
//!
//! ```text
//! input ─┬─ block 0 ─────────────┐
//!        ├─ 32 KiB ─┬─ block 1 ──┤   each by a worker, with a compressor of its own
//!        └─ …                    └─> in order: header, deflate, deflate, …, checksum, size
//! ```
//!
//! A compressor is never used twice: with a dictionary, zlib-rs (0.6.8) makes a block's bytes depend
//! on the block before it even after a reset, and which one that was depends on the threads.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use flate2::{Compress, FlushCompress, Status};

/// How much is compressed at a time. Part of what a layer's bytes depend on.
const BLOCK: usize = 128 << 10;
/// How far deflate looks back.
const WINDOW: usize = 32 << 10;
/// Time 0, no name; the operating system is unknown, as Go has it.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Compresses what is written to it. Without [`finish`](Self::finish) the output is cut off.
pub(super) struct Encoder<W> {
    output: W,
    level: u32,
    /// Below two: no workers.
    threads: usize,
    workers: Option<Workers>,
    block: Vec<u8>,
    /// What came before the block.
    window: Vec<u8>,
    sum: crc32fast::Hasher,
    size: u32,
}

impl<W> fmt::Debug for Encoder<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("level", &self.level).finish_non_exhaustive()
    }
}

impl<W: Write> Encoder<W> {
    pub(super) fn new(mut output: W, level: u32, threads: usize) -> io::Result<Self> {
        output.write_all(&HEADER)?;
        Ok(Self {
            output,
            level,
            threads,
            workers: None,
            block: Vec::with_capacity(BLOCK),
            window: Vec::new(),
            sum: crc32fast::Hasher::new(),
            size: 0,
        })
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        self.send(true)?;
        if let Some(workers) = &mut self.workers {
            while let Some(done) = workers.oldest() {
                self.output.write_all(&done)?;
            }
        }
        self.output.write_all(&self.sum.finalize().to_le_bytes())?;
        self.output.write_all(&self.size.to_le_bytes())?;
        Ok(self.output)
    }

    /// Has the block compressed, and writes what is ready.
    fn send(&mut self, last: bool) -> io::Result<()> {
        self.sum.update(&self.block);
        self.size = self.size.wrapping_add(self.block.len() as u32);
        // What is shorter than two blocks is done before a thread would have started.
        if self.workers.is_none() && self.threads > 1 && !last {
            self.workers = Workers::start(self.threads);
            self.threads = if self.workers.is_some() { self.threads } else { 1 };
        }
        let after = if last { Vec::new() } else { Vec::with_capacity(BLOCK) };
        let block = std::mem::replace(&mut self.block, after);
        let window = block[block.len().saturating_sub(WINDOW)..].to_vec();
        let window = std::mem::replace(&mut self.window, window);
        let job = Job { level: self.level, window, block, last };
        match &mut self.workers {
            None => self.output.write_all(&job.run()),
            Some(workers) => {
                workers.send(job);
                while let Some(done) = workers.ready() {
                    self.output.write_all(&done)?;
                }
                Ok(())
            }
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full block waits for its successor, so that the last one is never empty but for an empty
        // input.
        if self.block.len() == BLOCK && !bytes.is_empty() {
            self.send(false)?;
        }
        let taken = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    /// Does not cut a block short: its bytes would depend on when that was.
    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

struct Job {
    level: u32,
    window: Vec<u8>,
    block: Vec<u8>,
    last: bool,
}

impl Job {
    fn run(&self) -> Vec<u8> {
        let mut deflate = Compress::new(flate2::Compression::new(self.level), false);
        if !self.window.is_empty() {
            deflate.set_dictionary(&self.window).expect("a raw stream takes a dictionary");
        }
        // A sync flush ends at a byte, so that the next block's stream can be appended.
        let flush = if self.last { FlushCompress::Finish } else { FlushCompress::Sync };
        // Larger than zlib's own bound for input that does not compress.
        let mut output = Vec::with_capacity(self.block.len() + self.block.len() / 8 + 256);
        loop {
            let rest = &self.block[deflate.total_in() as usize..];
            let status = deflate.compress_vec(rest, &mut output, flush);
            let status = status.expect("deflate has no errors of its own");
            let is_done = match status {
                Status::StreamEnd => true,
                _ => !self.last && output.len() < output.capacity(),
            };
            if is_done {
                return output;
            }
            output.reserve(BLOCK);
        }
    }
}

/// Threads that compress; dropping ends them.
struct Workers {
    jobs: Option<Sender<(Job, SyncSender<Vec<u8>>)>>,
    /// The jobs under way, the oldest first.
    done: VecDeque<Receiver<Vec<u8>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// As many as the system allows; None without any.
    fn start(count: usize) -> Option<Self> {
        let (jobs, queue) = channel::<(Job, SyncSender<Vec<u8>>)>();
        let queue = Arc::new(Mutex::new(queue));
        let mut threads = Vec::with_capacity(count);
        for _ in 0..count {
            let queue = Arc::clone(&queue);
            let work = move || {
                // The lock is held while waiting, not while working.
                let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                while let Ok((job, done)) = next() {
                    // Nobody waits any more when the encoder was given up.
                    let _given_up = done.send(job.run());
                }
            };
            match thread::Builder::new().name("gzip".to_owned()).spawn(work) {
                Ok(thread) => threads.push(thread),
                Err(_) => break,
            }
        }
        (!threads.is_empty()).then_some(Self { jobs: Some(jobs), done: VecDeque::new(), threads })
    }

    fn send(&mut self, job: Job) {
        let (sender, receiver) = sync_channel(1);
        let jobs = self.jobs.as_ref().expect("it is taken in drop only");
        jobs.send((job, sender)).expect("the workers hold the queue until they are dropped");
        self.done.push_back(receiver);
    }

    /// The oldest job's outcome if it is there or if too many are under way: two for each worker
    /// keep all of them busy, and bound the memory.
    fn ready(&mut self) -> Option<Vec<u8>> {
        if self.done.len() > 2 * self.threads.len() {
            return self.oldest();
        }
        let done = self.done.front()?.try_recv().ok()?;
        self.done.pop_front();
        Some(done)
    }

    /// The oldest job's outcome; None when no job is under way.
    fn oldest(&mut self) -> Option<Vec<u8>> {
        let done = self.done.pop_front()?.recv();
        Some(done.expect("a worker answers every job that it takes"))
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A worker's panic has already surfaced where its outcome was missed.
            let _panicked = thread.join();
        }
    }
}
