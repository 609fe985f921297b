//! [`Root`]: a directory seen as `/`. No call here can be led outside of it.
//!
//! This is the one room that touches files of an image. A path inside a root may begin with a
//! slash or not; the paths that come back never do, and the root itself is the empty path. What an
//! ordinary user may not really set, owners and devices above all, is kept beside the files as
//! [`Record`]s, and every [`Meta`] speaks of the owner that was recorded, never of the one that the
//! host's file system names.
//!
//! - [`Root`] answers single questions and makes single changes.
//! - [`Dirs`] and [`Place`] are for thousands of them: a cache of open directories, and an entry in
//!   one of these.
//! - [`live`] is for files of a container that runs.
//! - [`Walk`] goes through a tree in order, [`Copier`] copies one, [`remove_tree`] removes one.
//!
//! Nobody may change a tree while this room works in it; what is guarded against are the names and
//! links that are found there.

mod accounts;
mod copy;
mod dirs;
pub mod live;
mod meta;
mod owner;
mod place;
mod remove;
mod root;
mod side_table;
mod walk;

pub use accounts::{Accounts, Group, Owner, User};
pub use copy::{Choice, Chooser, Copied, Copier, CopyOptions, Taken, Watch};
pub use dirs::{Dir, Dirs, Obstacle};
pub use meta::{FileType, Meta, Stamp, Time, Xattrs, is_portable};
pub use owner::{CAPABILITY, Device, DeviceKind, Record, is_hidden, is_record};
pub use place::Place;
pub use remove::remove_tree;
pub use root::Root;
pub use side_table::SideTable;
pub use walk::{Found, Walk};

use std::io;
use std::path::{Component, Path, PathBuf};

use crate::sys;

/// What can go wrong with the files of an image. Paths are the host's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("opening {}", path.display())]
    Open { path: PathBuf, source: sys::Error },
    #[error("looking at {}", path.display())]
    Inspect { path: PathBuf, source: sys::Error },
    #[error("listing {}", path.display())]
    List { path: PathBuf, source: sys::Error },
    #[error("reading {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is longer than {limit} bytes", path.display())]
    TooLong { path: PathBuf, limit: u64 },
    #[error("making {}", path.display())]
    Make { path: PathBuf, source: sys::Error },
    #[error("linking {} to {}", path.display(), target.display())]
    Link { path: PathBuf, target: PathBuf, source: sys::Error },
    #[error("writing {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("setting attributes of {}", path.display())]
    Attributes { path: PathBuf, source: sys::Error },
    #[error("removing {}", path.display())]
    Remove { path: PathBuf, source: sys::Error },
    #[error("copying {} to {}", from.display(), to.display())]
    Copy { from: PathBuf, to: PathBuf, source: sys::Error },
    #[error("{} is not a directory", path.display())]
    NotADirectory { path: PathBuf },
    #[error("{} is a directory", path.display())]
    IsADirectory { path: PathBuf },
    #[error("{} does not exist", path.display())]
    Missing { path: PathBuf },
    #[error("{} cannot carry the marks of a deletion: its file system has neither user attributes nor device 0:0 for us", path.display())]
    NoMarks { path: PathBuf },
    #[error("{} cannot be replaced: it is the root directory", path.display())]
    IsRoot { path: PathBuf },
    #[error("the record of {} is damaged", path.display())]
    Record { path: PathBuf },
    #[error("the table of recorded owners is damaged")]
    SideTable(#[source] serde_json::Error),
    #[error("no user {0:?} in the image's /etc/passwd")]
    NoUser(String),
    #[error("no group {0:?} in the image's /etc/group")]
    NoGroup(String),
    #[error("invalid owner {0:?}: it is USER, USER:GROUP or :GROUP")]
    Owner(String),
}

pub type Result<T> = std::result::Result<T, Error>;

/// `path` without a leading slash, `.` and `..`, by its words alone: what is above the root is the
/// root. Symbolic links are not looked at; see [`Root::resolve`].
pub fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean
}
