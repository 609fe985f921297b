//! Places in the image where something is mounted, though the image lacks them: made for a process,
//! and taken out again without a trace.
//!
//! No trace means more than removing them: to make one in an overlay copies the directories above
//! it up, and a layer would contain these. They go too, unless the process changed them.

use std::path::{Path, PathBuf};

use super::{Error, Mount};
use crate::rootfs::{FileType, Meta, Root, Xattrs};

/// Modes of what is made.
const DIRECTORY: u32 = 0o755;
const FILE: u32 = 0o644;

/// What was made for mounts in an image.
#[derive(Debug, Default, PartialEq, Eq)]
#[must_use = "what was made would become part of a layer"]
pub struct Points {
    /// Files and directories that were not there, outermost first.
    made: Vec<PathBuf>,
    /// Directories that were there, but only in a lower layer, outermost first.
    copied: Vec<Copied>,
}

#[derive(Debug, PartialEq, Eq)]
struct Copied {
    path: PathBuf,
    attributes: Attributes,
}

/// What a layer says about a directory.
#[derive(Debug, PartialEq, Eq)]
struct Attributes {
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, u32),
    xattrs: Xattrs,
}

impl Points {
    /// Makes what `mounts` need and `root` lacks. `upper` is the directory that takes the changes of
    /// `root`, or `root` itself if no layer lies beneath.
    ///
    /// # Errors
    ///
    /// When a file is where a directory has to be.
    pub fn make(root: &Root, upper: &Root, mounts: &[Mount]) -> Result<Self, Error> {
        let mut points = Self::default();
        let mut covered: Vec<PathBuf> = Vec::new();
        for mount in mounts {
            let path = root.resolve(&mount.target)?;
            // What is mounted there is no part of the image, and has or gets what it needs.
            if !covered.iter().any(|above| path.starts_with(above)) {
                if root.lstat(&path)?.is_none() {
                    points.make_one(root, upper, &path, mount.is_directory())?;
                }
                covered.push(path);
            }
        }
        Ok(points)
    }

    fn make_one(
        &mut self,
        root: &Root,
        upper: &Root,
        path: &Path,
        directory: bool,
    ) -> Result<(), Error> {
        let mut copied = Vec::new();
        for above in path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
            if let Some(found) = root.lstat(above)?
                && upper.lstat(above)?.is_none()
            {
                let attributes = Attributes::new(&found, root.xattrs(above)?);
                copied.push(Copied { path: above.to_owned(), attributes });
            }
        }
        self.copied.extend(copied.into_iter().rev());
        let parent = path.parent().unwrap_or(Path::new(""));
        self.made.extend(root.create_dir_all(if directory { path } else { parent }, DIRECTORY)?);
        if !directory {
            root.write_file(path, FILE, b"")?;
            self.made.push(path.to_owned());
        }
        Ok(())
    }

    /// Takes out of `upper` what was made and what is as it was. `upper` may be mounted, but the
    /// overlay is not to be used afterwards.
    pub fn remove(self, upper: &Root) -> Result<(), Error> {
        for path in self.made.iter().rev() {
            if let Some(found) = empty(upper, path)?
                && (found.uid, found.gid) == (0, 0)
                && found.mode == if found.is_dir() { DIRECTORY } else { FILE }
            {
                upper.remove(path)?;
            }
        }
        for Copied { path, attributes: before } in self.copied.iter().rev() {
            if let Some(found) = empty(upper, path)?
                && Attributes::new(&found, upper.xattrs(path)?) == *before
            {
                upper.remove(path)?;
            }
        }
        Ok(())
    }
}

impl Attributes {
    fn new(meta: &Meta, xattrs: Xattrs) -> Self {
        Self { mode: meta.mode, owner: (meta.uid, meta.gid), mtime: meta.mtime, xattrs }
    }
}

/// What is at `path`, if it is there and nothing is in it.
fn empty(root: &Root, path: &Path) -> Result<Option<Meta>, Error> {
    let Some(found) = root.lstat(path)? else { return Ok(None) };
    let empty = match found.kind {
        FileType::Dir => root.read_dir(path)?.is_empty(),
        FileType::File => found.size == 0,
        _ => false,
    };
    Ok(Some(found).filter(|_| empty))
}
