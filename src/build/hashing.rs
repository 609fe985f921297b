//! [`Hashing`]: digests of many files' contents, by several threads, in the order asked for.
//!
//! ```text
//! files ─┬─ a group ─┐
//!        ├─ a group ─┤  each hashed by a worker
//!        └─ …        └─> in order: digest, digest, …
//! ```

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _};
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::SystemTime;

use crate::image::{Digest, Hasher};
use crate::rootfs::Stamp;

/// What makes a group full: enough that handing it over costs nothing beside.
const FILES: usize = 32;
const BYTES: u64 = 1 << 20;

/// More threads only wait for the disk, and each group under way holds its files open.
const MOST_THREADS: usize = 8;

const BUFFER: usize = 128 << 10;

/// A file that is to be hashed.
#[derive(Debug)]
pub(super) struct Asked {
    /// For messages.
    pub(super) path: PathBuf,
    pub(super) file: File,
    /// What was said of it before it was opened.
    pub(super) stamp: Stamp,
    /// When that was.
    pub(super) time: SystemTime,
    /// The digest says all that there is to say: the file has no capability.
    pub(super) is_all: bool,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Hashed {
    pub(super) digest: Digest,
    /// What the digest may be known by from now on: nobody wrote while it was read, which began at the
    /// time.
    pub(super) stamp: Option<(Stamp, SystemTime)>,
}

/// Or which file could not be read, and why.
pub(super) type Outcome = Result<Hashed, (PathBuf, io::Error)>;

/// Contents that are being hashed.
#[derive(Debug, Default)]
pub(super) struct Hashing {
    /// The group that fills.
    filling: Group,
    /// Groups under way, the oldest first.
    running: VecDeque<(Vec<Slot>, Receiver<Vec<Outcome>>)>,
    /// What is done.
    done: VecDeque<Outcome>,
    workers: Option<Workers>,
}

#[derive(Debug, Default)]
struct Group {
    slots: Vec<Slot>,
    files: Vec<Asked>,
    bytes: u64,
}

#[derive(Debug)]
enum Slot {
    Known(Digest),
    /// The next of the group's files.
    Asked,
}

impl Hashing {
    /// Asks for one more digest.
    pub(super) fn ask(&mut self, asked: Asked) {
        self.filling.slots.push(Slot::Asked);
        self.filling.bytes += asked.stamp.size;
        self.filling.files.push(asked);
        if self.filling.files.len() >= FILES || self.filling.bytes >= BYTES {
            self.send();
        }
    }

    /// One that is known has its place in the order, too.
    pub(super) fn know(&mut self, digest: Digest) {
        if self.running.is_empty() && self.filling.slots.is_empty() {
            self.done.push_back(Ok(Hashed { digest, stamp: None }));
        } else {
            self.filling.slots.push(Slot::Known(digest));
        }
    }

    /// The next one, if it is done, or if so many are under way that it is better to wait.
    pub(super) fn ready(&mut self) -> Option<Outcome> {
        if self.done.is_empty()
            && let Some((_, done)) = self.running.front()
        {
            let threads = self.workers.as_ref().map_or(1, |workers| workers.threads.len());
            let outcome = match self.running.len() > 2 * threads {
                true => done.recv().ok(),
                false => done.try_recv().ok(),
            };
            self.take(outcome?);
        }
        self.done.pop_front()
    }

    /// The next one; `None` when all were given.
    pub(super) fn next(&mut self) -> Option<Outcome> {
        if self.done.is_empty()
            && let Some((_, done)) = self.running.front()
        {
            let outcome = done.recv().expect("a worker answers");
            self.take(outcome);
        } else if self.done.is_empty() {
            // Too little for a thread.
            let Group { slots, files, .. } = std::mem::take(&mut self.filling);
            self.done = in_order(slots, hash_all(files));
        }
        self.done.pop_front()
    }

    fn take(&mut self, outcome: Vec<Outcome>) {
        if let Some((slots, _)) = self.running.pop_front() {
            self.done = in_order(slots, outcome);
        }
        if self.running.is_empty() && self.filling.files.is_empty() {
            self.done.extend(in_order(std::mem::take(&mut self.filling.slots), Vec::new()));
        }
    }

    fn send(&mut self) {
        let Group { slots, files, .. } = std::mem::take(&mut self.filling);
        let (sender, receiver) = sync_channel(1);
        match self.workers.get_or_insert_with(Workers::start).jobs.as_ref() {
            Some(jobs) => jobs.send((files, sender)).expect("the workers hold the queue"),
            None => sender.send(hash_all(files)).expect("there is room for one"),
        }
        self.running.push_back((slots, receiver));
    }
}

fn in_order(slots: Vec<Slot>, hashed: Vec<Outcome>) -> VecDeque<Outcome> {
    let mut hashed = hashed.into_iter();
    let outcome = |slot| match slot {
        Slot::Known(digest) => Some(Ok(Hashed { digest, stamp: None })),
        Slot::Asked => hashed.next(),
    };
    slots.into_iter().filter_map(outcome).collect()
}

type Job = (Vec<Asked>, SyncSender<Vec<Outcome>>);

/// Threads that hash; dropping ends them.
#[derive(Debug)]
struct Workers {
    /// `None` without a thread.
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// As many as are useful, or as the system allows.
    fn start() -> Self {
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        let mut threads = Vec::new();
        let count = thread::available_parallelism().map_or(1, NonZero::get);
        for _ in 0..count.min(MOST_THREADS) {
            let queue = Arc::clone(&queue);
            let work = move || {
                // The lock is held while waiting, not while working.
                let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                while let Ok((files, done)) = next() {
                    // Nobody waits any more when it was given up.
                    let _given_up = done.send(hash_all(files));
                }
            };
            match thread::Builder::new().name("hash".to_owned()).spawn(work) {
                Ok(thread) => threads.push(thread),
                Err(_) => break,
            }
        }
        let jobs = (!threads.is_empty()).then_some(jobs);
        Self { jobs, threads }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A panic there has been told, and shows here as a missing answer.
            drop(thread.join());
        }
    }
}

fn hash_all(files: Vec<Asked>) -> Vec<Outcome> {
    let mut buffer = vec![0; BUFFER];
    files.into_iter().map(|asked| hash(asked, &mut buffer)).collect()
}

fn hash(asked: Asked, buffer: &mut [u8]) -> Outcome {
    let Asked { path, mut file, stamp, time, is_all } = asked;
    let mut hasher = Hasher::sha256();
    let mut read = 0;
    // All of it, and not one call more: the stamp tells whether the end is still there.
    while read < stamp.size {
        match file.read(buffer) {
            Ok(0) => break,
            Ok(count) => {
                read += count as u64;
                hasher.update(&buffer[..count]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((path, error)),
        }
    }
    let is_same = is_all && read == stamp.size && Stamp::of(&file) == Some(stamp);
    Ok(Hashed { digest: hasher.finish(), stamp: is_same.then_some((stamp, time)) })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::rootfs::Root;

    #[test]
    fn digests_come_in_order_however_many_there_are() {
        let folder = tempfile::tempdir().expect("a directory");
        let root = Root::open_plain(folder.path()).expect("a root");
        let content = |number: usize| match number % 7 {
            0 => vec![b'x'; 700_000 + number],
            size => number.to_string().repeat(size - 1).into_bytes(),
        };
        for number in 0..150 {
            fs::write(folder.path().join(number.to_string()), content(number)).expect("a file");
        }
        for count in [0, 1, 5, 32, 33, 150] {
            let (mut hashing, mut digests) = (Hashing::default(), Vec::new());
            for number in 0..count {
                if number % 5 == 1 {
                    hashing.know(Digest::of(&content(number)));
                } else {
                    let name = number.to_string();
                    let meta = root.lstat(name.as_ref()).expect("it").expect("it");
                    let file = root.open_file(name.as_ref()).expect("it");
                    let time = SystemTime::now();
                    hashing.ask(Asked {
                        path: name.into(),
                        file,
                        stamp: meta.stamp(),
                        time,
                        is_all: true,
                    });
                }
                digests.extend(hashing.ready());
            }
            digests.extend(std::iter::from_fn(|| hashing.next()));
            let digests: Vec<Digest> =
                digests.into_iter().map(|hashed| hashed.expect("it").digest).collect();
            let expected: Vec<Digest> = (0..count).map(|n| Digest::of(&content(n))).collect();
            assert!(digests == expected, "{count} files");
        }
    }

    #[test]
    fn a_file_that_changes_has_no_stamp() {
        let folder = tempfile::tempdir().expect("a directory");
        let root = Root::open_plain(folder.path()).expect("a root");
        let path = folder.path().join("f");
        for change in ["longer", "s", "other"] {
            fs::write(&path, "first").expect("a file");
            let stamp = root.lstat("f".as_ref()).expect("it").expect("it").stamp();
            fs::write(&path, change).expect("a file");
            fs::File::open(&path)
                .and_then(|file| file.set_modified(SystemTime::UNIX_EPOCH))
                .expect("a time");
            let file = root.open_file("f".as_ref()).expect("it");
            let mut hashing = Hashing::default();
            hashing.ask(Asked {
                path: "f".into(),
                file,
                stamp,
                time: SystemTime::now(),
                is_all: true,
            });
            let hashed = hashing.next().expect("one").expect("it can be read");
            assert!(hashed.stamp.is_none(), "{change}");
        }
    }
}
