//! The mount behind a snapshot, and the directories that it is made of.
//!
//! ```text
//! 0 1 2 …        links to the trees, the topmost first; short names, see `sys::overlay`
//! tree/fs        what is written (the upper directory)
//! work           overlayfs's own
//! merged         where it is mounted
//! ```

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::layer::Below;
use crate::rootfs::Root;
use crate::store::Error;
use crate::sys::overlay;

/// A mounted overlay; unmounted when dropped.
#[derive(Debug)]
pub(super) struct Mounted {
    directory: PathBuf,
    /// How many lower directories there are.
    count: usize,
    live: bool,
}

impl Mounted {
    /// Mounts `lower` (directories, the lowest first) and an empty upper directory.
    pub(super) fn new(directory: &Path, lower: &[PathBuf], below: &Below) -> Result<Self, Error> {
        let mut mounted =
            Self { directory: directory.to_owned(), count: lower.len().max(1), live: false };
        for folder in ["tree", "tree/fs", "work", "merged"] {
            make_directory(&directory.join(folder))?;
        }
        if lower.is_empty() {
            // An overlay needs one lower directory: for `FROM scratch` an empty one.
            make_directory(&directory.join("0"))?;
        }
        for (number, target) in lower.iter().rev().enumerate() {
            let link = directory.join(number.to_string());
            symlink(target, &link).map_err(Error::io("making", &link))?;
        }
        // The upper directory shows its own attributes as those of `/`.
        below.apply_root(&Root::open(&mounted.upper())?)?;
        mounted.mount()?;
        Ok(mounted)
    }

    pub(super) fn merged(&self) -> PathBuf {
        self.directory.join("merged")
    }

    pub(super) fn upper(&self) -> PathBuf {
        self.directory.join("tree/fs")
    }

    fn mount(&mut self) -> Result<(), Error> {
        let lower: Vec<String> = (0..self.count).map(|number| number.to_string()).collect();
        overlay::mount(&self.directory, &lower, Some(("tree/fs", "work")), "merged")
            .map_err(Error::Mount)?;
        self.live = true;
        Ok(())
    }

    fn unmount(&mut self) -> Result<(), Error> {
        if self.live {
            self.live = false;
            overlay::unmount(&self.merged()).map_err(Error::Mount)?;
        }
        Ok(())
    }

    /// Unmounts; the directory that becomes the layer's tree is returned.
    pub(super) fn into_tree(mut self) -> Result<PathBuf, Error> {
        self.unmount()?;
        Ok(self.directory.join("tree"))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // The mount namespace ends with the process, if this fails.
        drop(self.unmount());
    }
}

fn make_directory(path: &Path) -> Result<(), Error> {
    fs::create_dir(path).map_err(Error::io("making", path))
}
