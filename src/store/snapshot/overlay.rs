//! The kernel's overlayfs.
//!
//! ```text
//! tree/fs   what is written (the upper directory)
//! work      the kernel's own
//! root      where it is mounted
//! links     short names of the layers, while old kernels mount it
//! empty     the only layer, when there is no other: an overlay needs one
//! ```

use std::fs;
use std::path::PathBuf;

use super::{Backend, Layers, Shown};
use crate::rootfs::Root;
use crate::store::{Error, Result};
use crate::sys::overlay;

#[derive(Debug)]
pub(super) struct Overlay;

impl Backend for Overlay {
    fn name(&self) -> &'static str {
        "overlay"
    }

    fn most_layers(&self) -> usize {
        overlay::MOST_LAYERS
    }

    fn prepare(&self, layers: &Layers<'_>) -> Result<Box<dyn Shown>> {
        let Layers { base, workspace, trees, below } = *layers;
        let directory = base.join(workspace);
        let mut folders = vec!["tree", "tree/fs", "work", "root"];
        let mut lower = trees.to_vec();
        if lower.is_empty() {
            folders.push("empty");
            lower.push(workspace.join("empty"));
        }
        for folder in folders {
            let path = directory.join(folder);
            fs::create_dir(&path).map_err(Error::io("making", &path))?;
        }
        let mut mounted = Mounted { directory, is_mounted: false };
        // Before it is mounted: the kernel shows the upper directory's attributes as those of `/`,
        // and remembers them.
        below.apply_root(&Root::open(&mounted.upper())?)?;
        let (upper, work) = (workspace.join("tree/fs"), workspace.join("work"));
        overlay::Overlay { base, lower: &lower, upper: Some((&upper, &work)) }
            .mount(&mounted.root(), &mounted.directory.join("links"))
            .map_err(Error::Mount)?;
        mounted.is_mounted = true;
        Ok(Box::new(mounted))
    }
}

#[derive(Debug)]
struct Mounted {
    directory: PathBuf,
    is_mounted: bool,
}

impl Shown for Mounted {
    fn root(&self) -> PathBuf {
        self.directory.join("root")
    }

    fn upper(&self) -> PathBuf {
        self.directory.join("tree/fs")
    }

    fn finish(mut self: Box<Self>) -> Result<PathBuf> {
        self.is_mounted = false;
        overlay::unmount(&self.root()).map_err(Error::Mount)?;
        Ok(self.directory.join("tree"))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.is_mounted {
            // If this fails, it ends with the process's mount namespace.
            drop(overlay::unmount(&self.root()));
        }
    }
}
