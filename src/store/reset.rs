//! [`Store::reset`]: back to the beginning.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use super::lock::{self, Lock};
use super::{Error, Result, Store, make};
use crate::rootfs;

/// Names go before what they stand for: who is killed in between leaves a smaller store, no damaged
/// one.
const FIRST: [&str; 3] = ["refs", "removed", "cache"];

impl Store {
    /// Removes all that is in a storage directory, of whatever format; what is left is an empty one.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] when another process has it open; [`Error::Open`] when it is no storage
    /// directory at all.
    pub fn reset(root: &Path) -> Result<()> {
        let failed = |source| Error::Open(root.to_owned(), source);
        let root = root.canonicalize().map_err(failed)?;
        let format = fs::read_to_string(root.join("format")).unwrap_or_default();
        if !format.starts_with("bryo storage ") {
            // Somebody may have been killed before there was a format; all else is somebody else's.
            make(&root).map_err(failed)?;
        }
        let path = root.join("lock");
        let lock = match Lock::exclusive_now(&path) {
            Ok(lock) => lock.ok_or_else(|| Error::Busy(root.clone()))?,
            Err(error) if lock::is_forbidden(&error) => return Err(failed(error)),
            Err(source) => return Err(Error::Io { action: "locking", path, source }),
        };
        for folder in FIRST {
            rootfs::remove_tree(&root.join(folder))?;
        }
        for entry in fs::read_dir(&root).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if name != OsStr::new("lock") && name != OsStr::new("format") {
                rootfs::remove_tree(&root.join(name))?;
            }
        }
        make(&root).map_err(failed)?;
        drop(lock);
        Ok(())
    }
}
