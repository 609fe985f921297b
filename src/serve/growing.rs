//! [`Growing`]: a file that is read while it is written.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Shared by who writes and all who read.
pub(super) struct Growing {
    file: File,
    size: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// So many bytes may be read.
    written: u64,
    end: Option<Result<(), String>>,
}

impl fmt::Debug for Growing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Growing({:?} of {})", self.state(), self.size)
    }
}

impl Growing {
    /// `file` will have `size` bytes.
    pub(super) fn new(file: File, size: u64) -> Self {
        Self { file, size, state: Mutex::default(), changed: Condvar::new() }
    }

    /// So many bytes are there now.
    pub(super) fn advance(&self, written: u64) {
        self.state().written = written;
        self.changed.notify_all();
    }

    /// Nothing more comes: all is there, or why it is not.
    pub(super) fn finish(&self, outcome: Result<(), String>) {
        let mut state = self.state();
        if outcome.is_ok() {
            state.written = self.size;
        }
        state.end = Some(outcome);
        drop(state);
        self.changed.notify_all();
    }

    pub(super) fn has_failed(&self) -> bool {
        matches!(self.state().end, Some(Err(_)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is something at `at`; gives how much, 0 at the end.
    fn wait(&self, at: u64) -> io::Result<u64> {
        let mut state = self.state();
        loop {
            if at < state.written {
                return Ok(state.written - at);
            }
            match &state.end {
                Some(Ok(())) => return Ok(0),
                Some(Err(why)) => return Err(io::Error::other(why.clone())),
                None => {}
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Reads from some place on, and waits for what is not there yet.
#[derive(Debug)]
pub(super) struct Reader {
    growing: Arc<Growing>,
    at: u64,
}

impl Reader {
    pub(super) fn new(growing: Arc<Growing>, at: u64) -> Self {
        Self { growing, at }
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let there = usize::try_from(self.growing.wait(self.at)?).unwrap_or(usize::MAX);
        let most = buffer.len().min(there);
        let count = self.growing.file.read_at(&mut buffer[..most], self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::thread;

    use super::*;

    #[test]
    fn readers_wait_for_what_comes_and_hear_of_what_does_not() {
        for fails in [false, true] {
            let mut file = tempfile::NamedTempFile::new().expect("a file");
            let growing = Arc::new(Growing::new(file.reopen().expect("a file"), 6));
            thread::scope(|scope| {
                let read = |at| {
                    let growing = Arc::clone(&growing);
                    move || {
                        let mut text = String::new();
                        Reader::new(growing, at).read_to_string(&mut text).map(|_| text)
                    }
                };
                let readers = [scope.spawn(read(0)), scope.spawn(read(4))];
                for (at, piece) in [(2, "mo"), (4, "ss")] {
                    file.write_all(piece.as_bytes()).expect("written");
                    growing.advance(at);
                }
                file.write_all(b"es").expect("written");
                growing.finish(if fails { Err("no".to_owned()) } else { Ok(()) });
                let [all, rest] = readers.map(|thread| thread.join().expect("no panic").ok());
                let text = |text: &str| (!fails).then(|| text.to_owned());
                assert_eq!((all, rest), (text("mosses"), text("es")));
            });
            assert_eq!(growing.has_failed(), fails);
        }
    }
}
