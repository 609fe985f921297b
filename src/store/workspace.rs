//! [`Workspace`]: where a process makes what it later renames to its place.
//!
//! `tmp/<name>.lock` is locked as long as its process has the store open, and made before
//! `tmp/<name>/`. So a directory whose lock can be had belongs to nobody: its process was killed.
//! [`sweep`] removes it.

use std::collections::hash_map::RandomState;
use std::ffi::OsStr;
use std::fs;
use std::hash::{BuildHasher as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use super::lock::Lock;
use super::{Error, Result, Store};
use crate::rootfs;

const LOCK: &str = "lock";

/// A directory on the storage directory's file system; removed when dropped, or by the next
/// process when this one is killed.
#[derive(Debug)]
pub struct Workspace {
    path: PathBuf,
    /// Lives as long as the last workspace in it.
    _scratch: Arc<Scratch>,
}

impl Workspace {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // What stays goes with the whole directory of the process.
        drop(rootfs::remove_tree(&self.path));
    }
}

/// The process's own directory in `tmp/`.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    lock: Option<Lock>,
    next: AtomicU64,
}

impl Scratch {
    fn new(tmp: &Path) -> Result<Self> {
        loop {
            let name = format!("{:016x}", RandomState::new().build_hasher().finish());
            let lock_file = tmp.join(&name).with_extension(LOCK);
            let lock = Lock::exclusive_now(&lock_file).map_err(Error::io("locking", &lock_file))?;
            // A sweeper was quicker.
            let Some(lock) = lock else { continue };
            let path = tmp.join(name);
            fs::create_dir(&path).map_err(Error::io("making", &path))?;
            return Ok(Self { path, lock: Some(lock), next: AtomicU64::new(0) });
        }
    }

    /// A path that nothing has yet.
    pub(super) fn path(&self) -> PathBuf {
        self.path.join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is removed by the next process, which finds the lock free.
        if rootfs::remove_tree(&self.path).is_ok()
            && let Some(lock) = self.lock.take()
        {
            drop(lock.remove());
        }
    }
}

impl Store {
    /// A fresh, empty directory.
    pub fn workspace(&self) -> Result<Workspace> {
        let scratch = self.scratch()?;
        let path = scratch.path();
        fs::create_dir(&path).map_err(Error::io("making", &path))?;
        Ok(Workspace { path, _scratch: scratch })
    }

    /// Made when the first thing is written: who only reads leaves no trace.
    pub(super) fn scratch(&self) -> Result<Arc<Scratch>> {
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        match &*scratch {
            Some(scratch) => Ok(Arc::clone(scratch)),
            None => {
                let new = Arc::new(Scratch::new(&self.root.join("tmp"))?);
                Ok(Arc::clone(scratch.insert(new)))
            }
        }
    }
}

/// Removes what killed processes left behind. What cannot be removed stays, and harms nobody.
pub(super) fn sweep(tmp: &Path) {
    let Ok(entries) = fs::read_dir(tmp) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension() == Some(OsStr::new(LOCK)) {
            if let Ok(Some(lock)) = Lock::exclusive_now(&path)
                && rootfs::remove_tree(&path.with_extension("")).is_ok()
            {
                drop(lock.remove());
            }
        } else if path.extension().is_none() && !path.with_extension(LOCK).exists() {
            drop(rootfs::remove_tree(&path));
        }
    }
}
