//! Digests of the contents of a user's own files, by what stat(2) says of them, so that a large build
//! context is not read again for each build.
//!
//! Whether a file has changed is told by its [`Stamp`] alone, above all by the time of its last change,
//! which the kernel sets and nobody else can. That time moves in ticks: a file that was changed a
//! moment before it was read may be changed once more without a new time. So what is that young is not
//! remembered (git's "racy" files), and neither is anything on a file system that does not tell all
//! changes ([`tells_changes`](crate::sys::storage::tells_changes)).
//!
//! ```text
//! hashes/HEX   of the directory whose path has this digest: a line that names the format, then for
//!              each file device, inode, size, the two times (seconds, nanoseconds), how long nobody
//!              has asked for it, and the digest; at the end the digest of all this
//! ```

use std::collections::HashMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Durability, Error, Result, Store};
use crate::image::{Digest, Hasher};
use crate::rootfs::{Stamp, Time};

const FORMAT: &[u8] = b"bryo hashes 1\n";

/// Device, inode, size, two times, age, sha256.
const LENGTH: usize = 8 + 8 + 8 + 12 + 12 + 1 + 32;

const SHA256: usize = 32;

/// How old a file's last change must be for later builds to trust in it: as git has it, more than the
/// second that some file systems count in.
const SETTLED: Duration = Duration::from_secs(2);

/// The same within one build, on a file system that takes the time from this machine's clock: more
/// than any kernel's tick.
const TICK: Duration = Duration::from_millis(20);

/// An entry that so many writers of the file had no use for goes.
const OLDEST: u8 = 20;

/// Files of directories that nobody has built from for so long go.
const UNUSED: Duration = Duration::from_secs(60 * 24 * 3600);

/// What is known of the files of one directory.
#[derive(Debug, Default)]
pub struct Hashes {
    path: PathBuf,
    /// By device and inode.
    entries: HashMap<(u64, u64), Entry>,
    is_changed: bool,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    stamp: Stamp,
    digest: [u8; SHA256],
    /// Not for later builds.
    is_fleeting: bool,
    age: u8,
}

impl Hashes {
    /// The digest of the content of the file with this stamp.
    pub fn get(&mut self, stamp: &Stamp) -> Option<Digest> {
        let entry = self.entries.get_mut(&(stamp.dev, stamp.ino))?;
        if entry.stamp != *stamp {
            return None;
        }
        entry.age = 0;
        Some(Digest::from_sha256(entry.digest))
    }

    /// Remembers a digest. The file had this stamp before and after it was read, which began at
    /// `read`; `tells_changes` as in [`sys::storage`](crate::sys::storage::tells_changes).
    pub fn learn(&mut self, stamp: &Stamp, digest: &Digest, read: SystemTime, tells_changes: bool) {
        let key = (stamp.dev, stamp.ino);
        let age = age(stamp.ctime, read);
        let is_settled = age.is_some_and(|age| age >= SETTLED);
        let is_over = age.is_some_and(|age| age >= TICK) && tells_changes;
        let Some(digest) = digest.sha256().filter(|_| is_settled || is_over) else {
            self.entries.remove(&key);
            return;
        };
        let is_fleeting = !(is_settled && tells_changes);
        self.is_changed |= !is_fleeting;
        self.entries.insert(key, Entry { stamp: *stamp, digest, is_fleeting, age: 0 });
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FORMAT.len() + self.entries.len() * LENGTH + SHA256);
        bytes.extend_from_slice(FORMAT);
        for Entry { stamp, digest, is_fleeting, age } in self.entries.values() {
            if *is_fleeting || *age > OLDEST {
                continue;
            }
            for number in [stamp.dev, stamp.ino, stamp.size] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            for (seconds, nanoseconds) in [stamp.mtime, stamp.ctime] {
                bytes.extend_from_slice(&seconds.to_le_bytes());
                bytes.extend_from_slice(&nanoseconds.to_le_bytes());
            }
            bytes.push(age.saturating_add(1));
            bytes.extend_from_slice(digest);
        }
        let sum = sum(&bytes);
        bytes.extend_from_slice(&sum);
        bytes
    }

    /// None of what is damaged.
    fn of_bytes(bytes: &[u8]) -> Option<HashMap<(u64, u64), Entry>> {
        let (bytes, end) = bytes.split_at_checked(bytes.len().checked_sub(SHA256)?)?;
        let rows = bytes.strip_prefix(FORMAT).filter(|rows| rows.len() % LENGTH == 0)?;
        if sum(bytes) != end {
            return None;
        }
        let entry = |row: &[u8]| {
            let number = |at: usize| u64::from_le_bytes(row[at..at + 8].try_into().expect("8"));
            let small = |at: usize| u32::from_le_bytes(row[at..at + 4].try_into().expect("4"));
            let time = |at: usize| (number(at).cast_signed(), small(at + 8));
            let stamp = Stamp {
                dev: number(0),
                ino: number(8),
                size: number(16),
                mtime: time(24),
                ctime: time(36),
            };
            let digest = row[49..].try_into().expect("the rest is a digest");
            let entry = Entry { stamp, digest, is_fleeting: false, age: row[48] };
            ((stamp.dev, stamp.ino), entry)
        };
        Some(rows.chunks_exact(LENGTH).map(entry).collect())
    }
}

fn sum(bytes: &[u8]) -> [u8; SHA256] {
    let mut hasher = Hasher::sha256();
    hasher.update(bytes);
    hasher.finish().sha256().expect("it is one")
}

/// How long ago a time was; `None` of one to come.
fn age((seconds, nanoseconds): Time, now: SystemTime) -> Option<Duration> {
    let since = Duration::new(u64::try_from(seconds).ok()?, nanoseconds);
    now.duration_since(SystemTime::UNIX_EPOCH).ok()?.checked_sub(since)
}

impl Store {
    /// What earlier builds learned of the files in `directory`; nothing, when that is lost.
    pub fn hashes(&self, directory: &Path) -> Hashes {
        let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
        if directory.starts_with(&self.root) {
            return Hashes::default(); // nobody comes back to it
        }
        let name = Digest::of(directory.as_os_str().as_bytes());
        let path = self.root.join("hashes").join(name.hex());
        let known = fs::read(&path).ok().and_then(|bytes| Hashes::of_bytes(&bytes));
        Hashes { path, entries: known.unwrap_or_default(), is_changed: false }
    }

    /// Keeps what was learned, for later builds. Of several that learn at the same time, the last one
    /// is remembered.
    pub fn keep_hashes(&self, hashes: &Hashes) -> Result<()> {
        if !hashes.is_changed || hashes.path.as_os_str().is_empty() {
            return Ok(());
        }
        let folder = self.root.join("hashes");
        fs::create_dir_all(&folder).map_err(Error::io("making", &folder))?;
        for path in self.entries("hashes")? {
            let modified = fs::metadata(&path).and_then(|metadata| metadata.modified());
            let age = modified.ok().and_then(|time| time.elapsed().ok());
            if age.is_some_and(|age| age > UNUSED) {
                self.delete_file(&path)?;
            }
        }
        self.replace(&hashes.path, &hashes.to_bytes(), Durability::InMemory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn stamp(ino: u64, ctime: Time) -> Stamp {
        Stamp { dev: 1, ino, size: 5, mtime: (7, 8), ctime }
    }

    fn read() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.cast_unsigned())
    }

    fn again(hashes: &Hashes) -> Hashes {
        let entries = Hashes::of_bytes(&hashes.to_bytes()).expect("ours");
        Hashes { entries, ..Hashes::default() }
    }

    #[test]
    fn what_was_read_just_after_a_change_is_not_trusted() {
        for (ctime, tells_changes, in_build, later) in [
            ((NOW - 2, 0), true, true, true),
            ((NOW - 2, 1), true, true, false),
            ((NOW - 1, 980_000_000), true, true, false),
            ((NOW - 1, 980_000_001), true, false, false),
            ((NOW, 0), true, false, false),
            ((NOW + 1, 0), true, false, false),
            ((NOW - 2, 0), false, true, false),
            ((NOW - 1, 0), false, false, false),
            ((-1, 0), true, false, false),
        ] {
            let (mut hashes, digest) = (Hashes::default(), Digest::of(b"content"));
            let stamp = stamp(1, ctime);
            hashes.learn(&stamp, &digest, read(), tells_changes);
            assert_eq!(hashes.get(&stamp), in_build.then(|| digest.clone()), "{ctime:?}");
            assert_eq!(again(&hashes).get(&stamp), later.then_some(digest), "{ctime:?}");
        }
    }

    #[test]
    fn another_stamp_is_another_file() {
        let (mut hashes, digest) = (Hashes::default(), Digest::of(b"content"));
        let known = stamp(1, (9, 9));
        hashes.learn(&known, &digest, read(), true);
        let mut hashes = again(&hashes);
        for other in [
            Stamp { dev: 2, ..known },
            Stamp { ino: 2, ..known },
            Stamp { size: 6, ..known },
            Stamp { mtime: (7, 9), ..known },
            Stamp { ctime: (9, 8), ..known },
            Stamp { ctime: (8, 9), ..known },
        ] {
            assert_eq!(hashes.get(&other), None, "{other:?}");
        }
        assert_eq!(hashes.get(&known), Some(digest.clone()));
        // What was read again too early is forgotten.
        hashes.learn(&stamp(1, (NOW, 0)), &digest, read(), true);
        assert_eq!(hashes.get(&known), None);
    }

    #[test]
    fn what_nobody_asks_for_goes() {
        let (mut hashes, digest) = (Hashes::default(), Digest::of(b"content"));
        for ino in [1, 2] {
            hashes.learn(&stamp(ino, (9, 9)), &digest, read(), true);
        }
        for _ in 0..=OLDEST {
            hashes = again(&hashes);
            hashes.get(&stamp(1, (9, 9))).expect("it is asked for");
        }
        assert_eq!(again(&hashes).entries.len(), 1);
    }

    #[test]
    fn a_damaged_file_is_none() {
        let mut hashes = Hashes::default();
        hashes.learn(&stamp(1, (9, 9)), &Digest::of(b"content"), read(), true);
        let bytes = hashes.to_bytes();
        assert_eq!(bytes.len(), FORMAT.len() + LENGTH + SHA256);
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert!(Hashes::of_bytes(&other).is_none(), "{at}");
            assert!(Hashes::of_bytes(&bytes[..at]).is_none(), "{at}");
        }
    }
}
