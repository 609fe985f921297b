//! Shared and exclusive locks on a file's name, on network file systems too.
//!
//! `flock(2)` does the work, and the kernel releases what a killed process held. Where the file
//! system has no locks (Lustre without `-o flock`, NFS without its daemon), [`Marker`] files stand
//! in for them: they name their holder, and one whose holder is dead counts for nothing.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::marker::Marker;
use crate::sys::storage::cannot_lock;

/// How often a marker in the way is looked at again.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Shared,
    Exclusive,
}

/// Held until dropped.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    held: Held,
}

#[derive(Debug)]
enum Held {
    Kernel(File),
    Marker(Marker),
}

impl Lock {
    /// Waits for the lock on `path`, a file that is made if need be.
    pub(super) fn wait(path: &Path, mode: Mode) -> io::Result<Self> {
        loop {
            let file = open(path)?;
            let locked = match mode {
                Mode::Shared => file.lock_shared(),
                Mode::Exclusive => file.lock(),
            };
            match locked {
                // A holder that was done may have removed the file while we waited.
                Ok(()) if is_named(&file, path) => return Ok(Self::kernel(path, file)),
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if cannot_lock(&e) => loop {
                    if let Some(marker) = Marker::take(path, mode)? {
                        return Ok(Self::marker(path, marker));
                    }
                    thread::sleep(PAUSE);
                },
                Err(e) => return Err(e),
            }
        }
    }

    /// The exclusive lock on `path`, or `None` while somebody else has any lock on it.
    pub(super) fn exclusive_now(path: &Path) -> io::Result<Option<Self>> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) if is_named(&file, path) => Ok(Some(Self::kernel(path, file))),
            Ok(()) | Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) if cannot_lock(&e) => {
                Ok(Marker::take(path, Mode::Exclusive)?.map(|marker| Self::marker(path, marker)))
            }
            Err(TryLockError::Error(e)) => Err(e),
        }
    }

    /// Makes a shared lock exclusive, if nobody else holds it; whether that is the case. `flock(2)`
    /// lets go of the old lock before it asks for the new one, so whoever calls this must not rely
    /// on anything that the shared lock protected.
    pub(super) fn upgrade(&mut self) -> io::Result<bool> {
        match &mut self.held {
            Held::Kernel(file) => match file.try_lock() {
                Ok(()) => Ok(true),
                Err(TryLockError::WouldBlock) => file.lock_shared().map(|()| false),
                Err(TryLockError::Error(e)) => Err(e),
            },
            Held::Marker(marker) => marker.upgrade(&self.path),
        }
    }

    /// Makes an exclusive lock shared again.
    pub(super) fn downgrade(&mut self) -> io::Result<()> {
        match &mut self.held {
            Held::Kernel(file) => file.lock_shared(),
            Held::Marker(marker) => {
                while !marker.downgrade(&self.path)? {
                    thread::sleep(PAUSE);
                }
                Ok(())
            }
        }
    }

    /// Releases an exclusive lock for good: the file goes too. Who waits for it notices and makes
    /// a new one.
    pub(super) fn remove(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }

    fn kernel(path: &Path, file: File) -> Self {
        Self { path: path.to_owned(), held: Held::Kernel(file) }
    }

    fn marker(path: &Path, marker: Marker) -> Self {
        Self { path: path.to_owned(), held: Held::Marker(marker) }
    }
}

/// Opens for writing, which NFS asks of who wants an exclusive lock; only for reading where the
/// file system allows no more, which does for a shared one.
fn open(path: &Path) -> io::Result<File> {
    match File::options().read(true).write(true).create(true).truncate(false).open(path) {
        Err(e) if is_forbidden(&e) => File::open(path).map_err(|_| e),
        opened => opened,
    }
}

/// Whether we may not write there.
pub(super) fn is_forbidden(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

/// Whether `path` still names the file that is open.
fn is_named(file: &File, path: &Path) -> bool {
    let identity = |meta: fs::Metadata| (meta.dev(), meta.ino());
    let named = fs::metadata(path).map(identity);
    matches!((named, file.metadata().map(identity)), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exclusive_means_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("lock");
        let mut first = Lock::wait(&path, Mode::Shared).expect("free");
        let second = Lock::wait(&path, Mode::Shared).expect("shared");
        assert!(Lock::exclusive_now(&path).expect("asked").is_none());
        assert!(!first.upgrade().expect("asked"));
        drop(second);
        assert!(first.upgrade().expect("asked"));
        assert!(Lock::exclusive_now(&path).expect("asked").is_none());
        first.downgrade().expect("possible");
        let third = Lock::wait(&path, Mode::Shared).expect("shared again");
        drop((first, third));
        assert!(Lock::exclusive_now(&path).expect("asked").is_some());
    }

    #[test]
    fn a_lock_on_a_removed_file_is_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("lock");
        let first = Lock::wait(&path, Mode::Exclusive).expect("free");
        thread::scope(|scope| {
            let waiting = scope.spawn(|| Lock::wait(&path, Mode::Exclusive).expect("later"));
            first.remove().expect("ours");
            let second = waiting.join().expect("no panic");
            assert!(path.exists(), "the lock that was got is on a file without a name");
            assert!(Lock::exclusive_now(&path).expect("asked").is_none());
            drop(second);
        });
    }
}
