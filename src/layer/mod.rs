//! The codec between a tar stream and files.

pub mod archive;
mod below;
mod by_path;
mod complete;
pub mod compress;
mod diff;
mod flatten;
mod merge;
mod pack;
#[cfg(test)]
mod text;
mod unpack;
mod whiteout;
mod writer;

pub use below::Below;
pub use diff::changes_of_upper;
pub use flatten::{Verdict, clamp, disown, flatten, sieve};
pub use merge::merge;
pub use pack::{PackOptions, pack, pack_tree, pack_trees};
pub use unpack::{Noted, Unpacked, extract, unpack};
pub use writer::{LayerWriter, recompress};

use std::io;
use std::path::{Path, PathBuf};

use crate::image::{Descriptor, Digest};
use crate::rootfs;

/// A layer as an image's manifest and configuration name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Of the bytes as they are stored and sent.
    pub descriptor: Descriptor,
    /// Of the tar inside.
    pub diff_id: Digest,
}

/// What a layer does to one path of the layers below it. Paths have no slash at either end; the
/// root directory is the empty one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// What is there is new, or other than below. Says nothing about what is in a directory.
    Put(PathBuf),
    /// What was there is no more.
    Delete(PathBuf),
    /// Nothing of what was in this directory is there any more. Comes after the directory itself.
    Hide(PathBuf),
}

impl Change {
    /// The path that changed.
    pub fn path(&self) -> &Path {
        match self {
            Self::Put(path) | Self::Delete(path) | Self::Hide(path) => path,
        }
    }
}

/// What an entry of an archive does, by its name alone; None for names that AUFS kept for itself.
/// `path` is clean.
///
/// # Errors
///
/// [`Error::Name`] for what no layer may be called.
pub fn change(path: &Path) -> Result<Option<Change>, Error> {
    Ok(match whiteout::read(path)? {
        whiteout::Name::Plain => Some(Change::Put(path.to_owned())),
        whiteout::Name::Delete(name) => Some(Change::Delete(path.with_file_name(name))),
        whiteout::Name::Hide => {
            Some(Change::Hide(path.parent().map(Path::to_owned).unwrap_or_default()))
        }
        whiteout::Name::Nothing => None,
    })
}

/// What can go wrong with a layer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("reading the archive")]
    Read(#[source] io::Error),
    #[error("writing the archive")]
    Write(#[source] io::Error),
    #[error("the archive is malformed at byte {offset}: {problem}")]
    Malformed { offset: u64, problem: &'static str },
    #[error("the archive ends in the middle of an entry, after {offset} bytes")]
    Truncated { offset: u64 },
    #[error("{path:?} has {actual} bytes instead of {expected}")]
    Size { path: PathBuf, expected: u64, actual: u64 },
    #[error("{path:?} does not fit into an archive: {problem}")]
    Unfit { path: PathBuf, problem: &'static str },
    #[error(transparent)]
    Files(#[from] rootfs::Error),
    #[error("{path:?} of the archive is no name that a layer may have: {problem}")]
    Name { path: PathBuf, problem: &'static str },
    #[error("{path:?} of the archive cannot be unpacked: {problem}")]
    Entry { path: PathBuf, problem: &'static str },
    #[error("{path:?} of the archive lies below {file:?}, which is no directory in the same layer")]
    Below { path: PathBuf, file: PathBuf },
    #[error("{path:?} of the archive is a hard link to {target:?}, which is nowhere in the image")]
    HardLink { path: PathBuf, target: PathBuf },
    #[error("{path:?} of the archive would replace the root directory")]
    Root { path: PathBuf },
    #[error("compression {0:?}: {1}")]
    Compression(String, &'static str),
}

impl Error {
    /// The same, of the entry with that name, where the entry and not the file system is at fault.
    fn of_entry(self, path: &Path) -> Self {
        match self {
            Self::Files(error) => match error.misnamed() {
                Some(problem) => Self::Entry { path: path.to_owned(), problem },
                None => Self::Files(error),
            },
            Self::Below { file, .. } => Self::Below { path: path.to_owned(), file },
            other => other,
        }
    }
}
