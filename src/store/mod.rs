//! The per-user storage directory: opening, format version, layout. Nobody else knows a path in it.
//!
//! ```text
//! format                      the version of this layout
//! lock                        shared while a process works, exclusive while things are deleted
//! blobs/sha256/HEX            bytes by digest: manifests, configurations, compressed layers
//! trees/diff-sha256-HEX/fs/   a layer's files, for overlayfs (whiteouts are its own)
//!                  /records.json   owners and devices that the files cannot carry
//! trees/chain-…               the same for a layer that is complete only above those below it
//! refs/NAME                   what a name stands for
//! cache/HEX                   what a step with this key made
//! tmp/…                       work in progress, each entry locked by its owner
//! ```
//!
//! Everything is written to `tmp/` and then renamed, so that a killed process leaves nothing half
//! done in its place; what it leaves in `tmp/` is removed by the next one. Several processes may
//! work side by side: names are derived from content, so that they write the same or different
//! things.

mod blob;
mod cache;
mod gc;
mod lock;
mod refs;
mod tree;

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

pub use blob::BlobWriter;
pub use cache::{CacheEntry, CachedLayer};
pub use gc::Removed;
pub use lock::Workspace;
pub use refs::{Name, RefEntry};
pub use tree::{NewTree, Tree, TreeKey};

use crate::image::{self, Digest};
use crate::{layer, rootfs, sys};

/// The layout that this program reads and writes.
const FORMAT: u32 = 1;

/// What can go wrong with the storage directory.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("storage directory {0:?}")]
    Open(PathBuf, #[source] io::Error),
    #[error("storage directory {path:?} has format {found}, this bryo knows {known}")]
    Format { path: PathBuf, found: String, known: u32 },
    #[error("{action} {path:?}")]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{0} is not in the storage directory")]
    Missing(Digest),
    #[error("{path:?} is damaged")]
    Damaged {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("no image is named {0}")]
    NotFound(String),
    #[error("{0} names several images")]
    Ambiguous(String),
    #[error(transparent)]
    Image(#[from] image::Error),
    #[error(transparent)]
    Rootfs(#[from] rootfs::Error),
    #[error(transparent)]
    Layer(#[from] layer::Error),
    #[error("mounting the layers")]
    Mount(#[source] sys::Error),
    #[error("no way to show layers as one directory fits here: {0}")]
    NoBackend(String),
}

impl Error {
    fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// Whether the disk or the quota is full.
    pub fn is_full(&self) -> bool {
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = source {
            if let Some(io) = error.downcast_ref::<io::Error>() {
                return matches!(
                    io.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                );
            }
            source = error.source();
        }
        false
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Format { .. } => Some("use the bryo that made it, or another --storage".into()),
            Self::Damaged { path, .. } => Some(format!("remove {} and pull again", path.display())),
            _ if self.is_full() => {
                Some("free some space (bryo rm), or choose another place with --storage".into())
            }
            Self::Image(error) => error.hint(),
            _ => None,
        }
    }
}

/// The opened storage directory of one user.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    lock: lock::StoreLock,
}

impl Store {
    /// Opens a storage directory; makes it, for its owner alone, if it is not there.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Open(root.to_owned(), source);
        let root_dir = std::path::absolute(root).map_err(failed)?;
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        for folder in ["", "blobs/sha256", "blobs/sha512", "trees", "refs", "cache", "tmp"] {
            builder.create(root_dir.join(folder)).map_err(failed)?;
        }
        let lock = lock::StoreLock::shared(&root_dir.join("lock")).map_err(failed)?;
        let store = Self { root: root_dir, lock };
        store.check_format()?;
        store.remove_leftovers();
        Ok(store)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.root
    }

    fn check_format(&self) -> Result<(), Error> {
        let path = self.root.join("format");
        match fs::read_to_string(&path) {
            Ok(text) if text.trim() == format!("bryo storage {FORMAT}") => Ok(()),
            Ok(text) => {
                let found = text.trim().trim_start_matches("bryo storage ").to_owned();
                Err(Error::Format { path: self.root.clone(), found, known: FORMAT })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.replace(&path, format!("bryo storage {FORMAT}\n").as_bytes())
            }
            Err(source) => Err(Error::Open(path, source)),
        }
    }

    /// Writes a small file so that others see the old or the new content, never a part.
    fn replace(&self, path: &Path, content: &[u8]) -> Result<(), Error> {
        use std::io::Write as _;
        let mut file = tempfile::NamedTempFile::new_in(self.root.join("tmp"))
            .map_err(Error::io("writing", path))?;
        file.write_all(content).map_err(Error::io("writing", path))?;
        file.persist(path).map_err(|error| error.error).map_err(Error::io("writing", path))?;
        Ok(())
    }
}
