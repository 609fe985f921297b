//! [`Making`]: a directory in the making, beside its place.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::rootfs;

/// What its name begins with.
const PREFIX: &str = ".bryo-";
/// So much of the target's name stands in it: there must be room for the rest.
const ROOM: usize = 200;

/// A directory that goes when this does. It is locked, so that others can tell it from what a killed
/// process left behind.
#[derive(Debug)]
pub(super) struct Making {
    path: PathBuf,
    _lock: File,
}

impl Making {
    /// Makes one beside `dir`, on the same file system; what was left there by processes that are no
    /// more, for the same place, is removed.
    pub(super) fn beside(dir: &Path) -> io::Result<Self> {
        let folder = match dir.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        fs::create_dir_all(folder)?;
        let prefix = prefix(dir);
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_name().as_bytes().starts_with(prefix.as_bytes())
                && entry.file_type()?.is_dir()
            {
                remove_if_left(&entry.path());
            }
        }
        loop {
            let made = tempfile::Builder::new()
                .prefix(&prefix)
                .permissions(Permissions::from_mode(0o700))
                .tempdir_in(folder)?;
            let path = made.keep();
            let lock = File::open(&path)?;
            // A file system without locks has nobody who takes ours for left behind.
            drop(lock.lock());
            // Somebody may have done so before it was locked.
            if is_named(&lock, &path) {
                return Ok(Self { path, _lock: lock });
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        drop(rootfs::remove_tree(&self.path));
    }
}

/// `.bryo-NAME.`, of the target's name.
fn prefix(dir: &Path) -> OsString {
    let name = dir.file_name().unwrap_or_default().as_bytes();
    let mut prefix = OsString::from(PREFIX);
    prefix.push(std::ffi::OsStr::from_bytes(&name[..name.len().min(ROOM)]));
    prefix.push(".");
    prefix
}

/// Removes a directory that nobody has locked.
fn remove_if_left(path: &Path) {
    if let Ok(lock) = File::open(path)
        && lock.try_lock().is_ok()
        && is_named(&lock, path)
    {
        drop(rootfs::remove_tree(path));
    }
}

/// Whether a path still stands for the open directory.
fn is_named(open: &File, path: &Path) -> bool {
    match (open.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_behind_goes() {
        let folder = tempfile::tempdir().expect("a directory");
        let target = folder.path().join("tree");
        let names = || {
            let listed = fs::read_dir(folder.path()).expect("listed").flatten();
            let mut names: Vec<_> = listed.map(|entry| entry.file_name()).collect();
            names.sort();
            names
        };
        // As kill -9 leaves it, with a directory that cannot be entered.
        let left = folder.path().join(".bryo-tree.left");
        fs::create_dir_all(left.join("made/locked/x")).expect("made");
        fs::set_permissions(left.join("made/locked"), Permissions::from_mode(0o000)).expect("set");
        for other in [".bryo-tree2.left", ".bryo-tree"] {
            fs::create_dir(folder.path().join(other)).expect("made");
        }
        let first = Making::beside(&target).expect("made");
        let second = Making::beside(&target).expect("made");
        assert!(first.path().is_dir() && second.path().is_dir() && !left.exists());
        assert_eq!(names().len(), 4);
        drop((first, second));
        assert_eq!(names(), [".bryo-tree", ".bryo-tree2.left"]);
    }
}
