//! Shared and exclusive locks, and directories of work in progress.
//!
//! Locks are flock(2)'s: the kernel drops them when a process dies, however it dies. Some network
//! file systems (Lustre without `-o flock`) have none; there nothing is ever deleted that another
//! process might use, and leftovers are known by the host and process in their names.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Error, Store};
use crate::rootfs;

/// Held by every process that works in the storage directory.
#[derive(Debug)]
pub(super) struct StoreLock {
    /// None where the file system has no locks.
    file: Option<File>,
}

impl StoreLock {
    pub(super) fn shared(path: &Path) -> io::Result<Self> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = match file {
            Ok(file) => file,
            // A storage directory that may only be read serves those who only read.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                return Ok(Self { file: None });
            }
            Err(error) => return Err(error),
        };
        match file.lock_shared() {
            Ok(()) => Ok(Self { file: Some(file) }),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(Self { file: None }),
            Err(error) => Err(error),
        }
    }

    /// Runs `work` while no other process holds the lock; None when another one does, or when that
    /// cannot be known. Never waits.
    pub(super) fn alone<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let file = self.file.as_ref()?;
        // flock converts a lock by dropping it first: whoever slips in between makes this fail,
        // and then the shared lock is taken again.
        let result = match file.try_lock() {
            Ok(()) => Some(work()),
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => None,
        };
        let _ = file.lock_shared();
        result
    }
}

/// A directory of work in progress, removed when dropped and recognised as a leftover when its
/// process died.
#[derive(Debug)]
pub struct Workspace {
    path: PathBuf,
    _lock: Option<File>,
}

impl Workspace {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // Nobody can be told, and the next process tries again.
        let _ = rootfs::remove_tree(&self.path);
    }
}

impl Store {
    /// A fresh directory on the storage directory's file system.
    pub fn workspace(&self) -> Result<Workspace, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let tmp = self.root.join("tmp");
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{}-{number}", host(), std::process::id());
        let path = tmp.join(&name);
        // In a pid namespace of its own, another process can have our number: its leftover, or its
        // work, has this name then.
        let path = if path.exists() { tmp.join(format!("{name}-{}", nanoseconds())) } else { path };
        fs::create_dir(&path).map_err(Error::io("making", &path))?;
        let lock = File::open(&path).and_then(|file| {
            file.lock()?;
            Ok(file)
        });
        Ok(Workspace { path, _lock: lock.ok() })
    }

    /// Removes what killed processes left behind. Never fails: what cannot be removed now is tried
    /// again by the next process.
    pub(super) fn remove_leftovers(&self) {
        let Ok(entries) = fs::read_dir(self.root.join("tmp")) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            if !path.is_dir() {
                continue; // a file lives for a moment only, and may be another process's
            }
            let Ok(file) = File::open(&path) else { continue };
            let dead = match file.try_lock() {
                Ok(()) => true,
                Err(TryLockError::WouldBlock) => false,
                Err(TryLockError::Error(_)) => is_dead(&entry.file_name().to_string_lossy()),
            };
            if dead {
                let _ = rootfs::remove_tree(&path);
            }
        }
    }
}

/// Whether the process in a workspace's name ran on this host and is gone.
fn is_dead(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(&format!("{}-", host())) else { return false };
    let pid = rest.split('-').next().unwrap_or_default();
    !pid.is_empty() && !Path::new("/proc").join(pid).exists()
}

/// This host and boot, as a word for file names.
fn host() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    boot.chars().filter(char::is_ascii_hexdigit).take(12).collect()
}

fn nanoseconds() -> u128 {
    std::time::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_nanos())
}
