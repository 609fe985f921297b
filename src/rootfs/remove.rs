//! Removing trees whose own modes forbid it, as the owner that we are and without capabilities.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::{Error, Result};
use crate::sys;
use crate::sys::path::{self as kernel, FileType, Want};

/// A directory deeper than this is moved up before it is emptied, so that no tree needs more
/// descriptors than we may have.
const DEEPEST: usize = 64;

/// Removes what is at `path` on the host, whatever it is and whatever its modes are; a symbolic
/// link is not followed. False when nothing is there.
///
/// # Errors
///
/// [`Error::Remove`], for instance when something in it belongs to somebody else.
pub fn remove_tree(path: &Path) -> Result<bool> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::IsRoot { path: path.to_owned() });
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    match kernel::open_root(parent) {
        Ok(dir) => remove_at(dir.as_fd(), name, path),
        Err(e) if e.source.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::Remove { path: path.to_owned(), source }),
    }
}

/// As [`remove_tree`], of an entry; `shown` is its path for messages.
pub(super) fn remove_at(dir: BorrowedFd<'_>, name: &OsStr, shown: &Path) -> Result<bool> {
    match kernel::remove_at(dir, name) {
        Ok(()) => return Ok(true),
        Err(e) if e.source.kind() == io::ErrorKind::NotFound => return Ok(false),
        // Of a directory, Linux says EISDIR and POSIX EPERM; the rest is found out below.
        Err(_) => {}
    }
    let mut removal = Removal { top: dir, shown, moved: Vec::new(), count: 0 };
    removal.entry(dir, name, 0)?;
    while let Some(name) = removal.moved.pop() {
        removal.entry(dir, &name, 0)?;
    }
    Ok(true)
}

struct Removal<'a> {
    top: BorrowedFd<'a>,
    shown: &'a Path,
    /// Names in `top` of directories that were too deep.
    moved: Vec<OsString>,
    count: usize,
}

impl Removal<'_> {
    fn fail(&self, source: sys::Error) -> Error {
        Error::Remove { path: PathBuf::from(self.shown), source }
    }

    fn entry(&mut self, dir: BorrowedFd<'_>, name: &OsStr, depth: usize) -> Result<()> {
        let stat = kernel::stat_at(dir, name).map_err(|e| self.fail(e))?;
        let Some(stat) = stat else { return Ok(()) };
        if stat.kind != FileType::Dir {
            return kernel::remove_at(dir, name).map_err(|e| self.fail(e));
        }
        // An empty one needs no opening, and so none of its own permissions.
        match kernel::remove_dir_at(dir, name) {
            Ok(()) => return Ok(()),
            Err(e) if e.source.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            Err(e) => return Err(self.fail(e)),
        }
        let open = self.open(dir, name, stat.mode)?;
        for child in kernel::list(&open).map_err(|e| self.fail(e))? {
            self.child(&open, &child, depth)?;
        }
        kernel::remove_dir_at(dir, name).map_err(|e| self.fail(e))
    }

    fn child(&mut self, dir: &OwnedFd, name: &OsStr, depth: usize) -> Result<()> {
        match kernel::remove_at(dir, name) {
            Ok(()) => return Ok(()),
            Err(e) if e.source.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(_) => {}
        }
        if depth < DEEPEST {
            return self.entry(dir.as_fd(), name, depth + 1);
        }
        let Some(stat) = kernel::stat_at(dir, name).map_err(|e| self.fail(e))? else {
            return Ok(());
        };
        // To move a directory one must be able to write to it: its `..` changes.
        self.permit(dir.as_fd(), name, stat.mode)?;
        loop {
            let new = OsString::from(format!(".removed-{}-{}", std::process::id(), self.count));
            self.count += 1;
            match kernel::rename_at(dir, name, self.top, &new) {
                Ok(()) => {
                    self.moved.push(new);
                    return Ok(());
                }
                Err(e) if taken(&e) => {}
                Err(e) => return Err(self.fail(e)),
            }
        }
    }

    fn open(&self, dir: BorrowedFd<'_>, name: &OsStr, mode: u32) -> Result<OwnedFd> {
        self.permit(dir, name, mode)?;
        kernel::open_at(dir, name, Want::List).map_err(|e| self.fail(e))
    }

    fn permit(&self, dir: BorrowedFd<'_>, name: &OsStr, mode: u32) -> Result<()> {
        if mode & 0o700 == 0o700 {
            return Ok(());
        }
        kernel::set_mode_at(dir, name, 0o700).map_err(|e| self.fail(e))
    }
}

fn taken(error: &sys::Error) -> bool {
    matches!(
        error.source.kind(),
        io::ErrorKind::AlreadyExists
            | io::ErrorKind::DirectoryNotEmpty
            | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn lock(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("permissions");
    }

    #[test]
    fn trees_go_whatever_their_modes_are() {
        let dir = tempfile::tempdir().expect("a directory");
        let tree = dir.path().join("tree");
        let kept = dir.path().join("kept");
        fs::create_dir_all(tree.join("a/b/c")).expect("directories");
        fs::create_dir_all(tree.join("work/work")).expect("directories");
        fs::write(tree.join("a/b/c/f"), "f").expect("a file");
        fs::write(tree.join("a/f"), "f").expect("a file");
        fs::create_dir(&kept).expect("a directory");
        fs::write(kept.join("f"), "f").expect("a file");
        symlink(&kept, tree.join("a/link")).expect("a link");
        lock(&tree.join("a/b/c/f"), 0);
        lock(&tree.join("work/work"), 0);
        for (path, mode) in [("a/b/c", 0o500), ("a/b", 0), ("a", 0o400), ("", 0o100)] {
            lock(&tree.join(path), mode);
        }
        assert!(remove_tree(&tree).expect("it goes"));
        assert!(!tree.exists());
        assert!(kept.join("f").exists());
        assert!(!remove_tree(&tree).expect("nothing is there"));
        assert!(!remove_tree(&tree.join("x/y")).expect("nothing is there"));
        assert!(remove_tree(&kept.join("f")).expect("a file goes too"));
        assert!(remove_tree(Path::new("/")).is_err());
    }

    #[test]
    fn no_tree_is_too_deep() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut here: OwnedFd = kernel::open_root(dir.path()).expect("a directory");
        for depth in 0..3000 {
            kernel::make_dir_at(&here, OsStr::new("deep"), 0o700).expect("a directory");
            if depth % 100 == 0 {
                kernel::create_at(&here, OsStr::new("f"), 0o600).expect("a file");
            }
            here =
                kernel::open_at(&here, OsStr::new("deep"), Want::Directory).expect("a directory");
        }
        assert!(remove_tree(&dir.path().join("deep")).expect("it goes"));
        assert_eq!(
            fs::read_dir(dir.path()).expect("a directory").count(),
            1,
            "only the topmost file is left"
        );
    }
}
