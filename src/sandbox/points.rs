//! Places in the image where something is mounted, though the image lacks them, so that none
//! reaches a layer.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::Error;

/// A place where something is mounted that the image lacks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MountPoint {
    /// The path with all links of the image followed.
    pub path: PathBuf,
    pub kind: PointKind,
}

/// What a mount point has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PointKind {
    Directory,
    File,
}

/// Makes the points in `directory`, which nobody else writes to: beneath all layers, it shows them
/// without being one.
pub fn make_skeleton(directory: &Path, points: &[MountPoint]) -> Result<(), Error> {
    for MountPoint { path, kind } in points {
        let inside = path.strip_prefix("/").unwrap_or(path);
        make(&directory.join(inside), *kind)
            .map_err(|source| Error::Point { path: path.clone(), source })?;
    }
    Ok(())
}

fn make(path: &Path, kind: PointKind) -> io::Result<()> {
    let mut directories = fs::DirBuilder::new();
    directories.recursive(true).mode(0o755);
    match kind {
        PointKind::Directory => directories.create(path),
        PointKind::File => {
            directories.create(path.parent().unwrap_or(path))?;
            File::create(path).map(drop)
        }
    }
}
