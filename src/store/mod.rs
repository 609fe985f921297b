//! The per-user storage directory: opening, format version, layout. Nobody else knows a path in it.
//!
//! ```text
//! format                      the version of this layout
//! lock                        shared while a process works, exclusive while things are deleted
//! blobs/sha256/HEX            bytes by digest: manifests, configurations, compressed layers
//! partial/sha256-HEX          the beginning of a blob whose download was cut
//! trees/diff-sha256-HEX/fs/   a layer's files, for overlayfs (whiteouts are its own)
//!                  /records.json   owners and devices that the files cannot carry
//! trees/chain-…               the same for a layer that is complete only above those below it
//! trees/merged-…              several layers in one, where there are more than the kernel takes
//! refs/NAME                   what a name stands for
//! removed/NAME                what a name stood for that was removed, until it is swept
//! cache/HEX                   what a step with this key made
//! caches/HEX/N/fs             a directory of RUN --mount=type=cache; N: those that met
//!            N.lock           locked by who uses it
//! hashes/HEX                  digests of a build context's files, by what stat(2) says of them
//! pairs/ALGORITHM-HEX         what the layer of this digest unpacks to: its diff ID
//! leases/HEX                  locked by who makes the thing of this name
//! logs/TIME-HEX/              what the steps of a build wrote; of the last builds
//! tmp/HEX/ tmp/HEX.lock       a process's work in progress, locked as long as it lives
//! ```
//!
//! Any number of processes work in one store side by side. Names say what the content is, content
//! is complete before it gets its name, and the name is given by `rename(2)`: so nobody sees
//! anything half done, it does not matter who was first, and a process may be killed at any moment.
//! What it left in `tmp/` is removed by the next one that opens the store.
//!
//! Only names ever change; nothing is deleted while another process has the store open.
//!
//! Files are not forced to the disk before they get their names (except [`RefEntry`]'s): a crash of
//! the whole machine can damage what was written in the seconds before. What is parsed is verified
//! first, and a damaged blob is dropped so that it can be fetched again.

mod blob;
mod cache;
mod cache_mount;
mod draft;
mod gc;
mod hashes;
mod lease;
mod lock;
mod log;
mod marker;
mod pair;
mod partial;
mod refs;
mod reset;
mod snapshot;
mod space;
mod tree;
mod usage;
mod workspace;

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use blob::BlobWriter;
pub use cache::{CacheEntry, CachedLayer};
pub use cache_mount::CacheMount;
pub use draft::{Appending, Draft};
pub use gc::Removed;
pub use hashes::Hashes;
pub use lease::Lease;
pub use log::Logs;
pub use partial::PartialBlob;
pub use refs::{Forgotten, Name, RefChange, RefEntry, SeenRefs};
pub use snapshot::{BACKENDS, Backend, Layers, Shown, Snapshot};
pub use tree::{NewTree, Tree, TreeKey};
pub use usage::{Kind, Piece, Usage};
pub use workspace::Workspace;

use crate::image::{self, Digest};
use crate::{layer, rootfs, sys};

/// The layout that this program reads and writes.
const FORMAT: u32 = 1;

/// What [`Store::open`] makes.
const FOLDERS: [&str; 12] = [
    "",
    "blobs",
    "blobs/sha256",
    "blobs/sha512",
    "trees",
    "refs",
    "removed",
    "cache",
    "caches",
    "leases",
    "logs",
    "tmp",
];

pub type Result<T, E = Error> = std::result::Result<T, E>;

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
    #[error("image {0} exists; it will not be overwritten")]
    Exists(String),
    #[error("no image that was named {0} can be brought back")]
    NotForgotten(String),
    #[error("another bryo is at work in {0:?}")]
    Busy(PathBuf),
    #[error(transparent)]
    Image(#[from] image::Error),
    #[error(transparent)]
    Rootfs(#[from] rootfs::Error),
    #[error(transparent)]
    Layer(#[from] layer::Error),
    #[error("mounting the layers")]
    Mount(#[source] sys::Error),
}

impl Error {
    fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// Whether the disk or the quota is full.
    pub fn is_full(&self) -> bool {
        is_full(self)
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Open(_, source) if lock::is_forbidden(source) => {
                Some("name a directory of your own with --storage or $BRYO_STORAGE".into())
            }
            Self::Format { .. } => Some("use the bryo that made it, or another --storage".into()),
            Self::Damaged { .. } | Self::Missing(_) => Some("pull or build the image again".into()),
            Self::NotFound(_) => Some("`bryo images` lists what there is".into()),
            Self::Ambiguous(_) => Some("give more of its digits".into()),
            Self::Exists(_) => {
                Some("give it another name with `bryo tag`, then remove this one".into())
            }
            Self::NotForgotten(_) => {
                Some("`bryo images --undeletable` lists what can be, until `bryo prune`".into())
            }
            Self::Busy(_) => Some("try again when it is done".into()),
            Self::Mount(source) => mount_hint(source).map(str::to_owned),
            Self::Open(path, _) | Self::Io { path, .. } if self.is_full() => Some(format!(
                "{}; free some space (bryo prune), or choose another place with --storage",
                space::describe(path)
            )),
            _ if self.is_full() => {
                Some("free some space (bryo prune), or choose another place with --storage".into())
            }
            Self::Image(error) => error.hint(),
            _ => None,
        }
    }
}

/// Whether anything in the chain of `error` says that a disk or a quota is full.
pub fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<io::Error>().is_some_and(sys::storage::is_full) {
            return true;
        }
        next = error.source();
    }
    false
}

fn mount_hint(source: &sys::Error) -> Option<&'static str> {
    match source.source.kind() {
        io::ErrorKind::PermissionDenied => Some(
            "overlayfs without root needs Linux 5.11 or newer, and no filter that forbids mounting",
        ),
        io::ErrorKind::InvalidInput => Some(
            "overlayfs cannot write to every file system (not to NFS, Lustre or another overlay): \
             choose a local directory with --storage",
        ),
        io::ErrorKind::NotFound | io::ErrorKind::Unsupported => {
            Some("this kernel has no overlayfs")
        }
        _ => None,
    }
}

/// The opened storage directory of one user.
#[derive(Debug)]
pub struct Store {
    /// Absolute and without links.
    root: PathBuf,
    scratch: Mutex<Option<Arc<workspace::Scratch>>>,
    /// `None` where nothing may be written: then nobody deletes anything either.
    lock: Mutex<Option<lock::Lock>>,
}

impl Store {
    /// Opens a storage directory; makes it, for its owner alone, if it is not there.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] when a newer bryo made it; [`Error::Open`] when it can be neither made nor
    /// read, or when something else is in the directory.
    pub fn open(root: &Path) -> Result<Self> {
        let failed = |source| Error::Open(root.to_owned(), source);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(failed)?;
        let root = root.canonicalize().map_err(failed)?;
        if !has_format(&root)? {
            make(&root).map_err(|source| Error::Open(root.clone(), source))?;
        }
        let path = root.join("lock");
        let lock = match lock::Lock::wait(&path, lock::Mode::Shared) {
            Ok(lock) => Some(lock),
            Err(error) if lock::is_forbidden(&error) => None,
            Err(source) => return Err(Error::Io { action: "locking", path, source }),
        };
        if lock.is_some() {
            workspace::sweep(&root.join("tmp"));
        }
        Ok(Self { root, scratch: Mutex::new(None), lock: Mutex::new(lock) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Runs `work` while no other process has the store open; `None` when another one does. Never
    /// waits.
    fn alone<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |source| Error::Io { action: "locking", path: self.root.join("lock"), source };
        let Some(lock) = &mut *lock else { return Ok(None) };
        if !lock.upgrade().map_err(failed)? {
            return Ok(None);
        }
        let result = work();
        lock.downgrade().map_err(failed)?;
        result.map(Some)
    }

    /// Writes a small file so that others see the old or the new content, never a part.
    fn replace(&self, path: &Path, content: &[u8], durability: Durability) -> Result<()> {
        let scratch = self.scratch()?;
        let temporary = scratch.path();
        let write = || {
            let mut file = fs::File::create_new(&temporary)?;
            file.write_all(content)?;
            match durability {
                Durability::OnDisk => file.sync_data(),
                Durability::InMemory => Ok(()),
            }
        };
        write().and_then(|()| fs::rename(&temporary, path)).map_err(Error::io("writing", path))
    }

    /// Removes a file; it is no error when it is not there.
    fn delete_file(&self, path: &Path) -> Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done.map_err(Error::io("removing", path)),
        }
    }

    /// The paths of a folder's entries, sorted.
    fn entries(&self, folder: &str) -> Result<Vec<PathBuf>> {
        let folder = self.root.join(folder);
        let entries = match fs::read_dir(&folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(Error::io("reading", &folder))?,
        };
        let paths = entries.map(|entry| entry.map(|entry| entry.path()));
        let mut paths =
            paths.collect::<io::Result<Vec<_>>>().map_err(Error::io("reading", &folder))?;
        paths.sort();
        Ok(paths)
    }
}

/// When a file that was written survives a crash of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Durability {
    OnDisk,
    InMemory,
}

/// Whether the directory is a store, and one that we understand.
fn has_format(root: &Path) -> Result<bool> {
    let path = root.join("format");
    match fs::read_to_string(&path) {
        Ok(text) if text.trim() == format!("bryo storage {FORMAT}") => Ok(true),
        Ok(text) => {
            let found = text.trim().trim_start_matches("bryo storage ").to_owned();
            Err(Error::Format { path: root.to_owned(), found, known: FORMAT })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::Open(path, source)),
    }
}

/// Lays out a new store; `format` comes last. Others may be doing the same, and one of them may
/// have been killed half-way.
fn make(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        let ours = FOLDERS.contains(&&*name) || name == "lock" || name.starts_with("format");
        if !ours {
            return Err(io::Error::other("it is neither empty nor a storage directory of bryo"));
        }
    }
    for folder in FOLDERS {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(root.join(folder))?;
    }
    let mut file = tempfile::Builder::new().prefix("format.").tempfile_in(root)?;
    file.write_all(format!("bryo storage {FORMAT}\n").as_bytes())?;
    file.persist(root.join("format"))?;
    Ok(())
}
