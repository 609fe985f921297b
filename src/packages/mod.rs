//! Which packages of a distribution an image has, by what their managers' databases say.
//!
//! - dpkg: `var/lib/dpkg/status`, and `status.d/` of images that have no dpkg
//! - apk: `lib/apk/db/installed`
//! - rpm: `rpmdb.sqlite`, `Packages.db` (ndb) and `Packages` (Berkeley DB), see `rpm`
//!
//! Databases are read by small readers of our own and never written. They come from an image, so
//! nothing in them is believed: no database makes a reader loop, or read more than it is long. What
//! cannot be read is told ([`Installed::unread`]); the rest is found all the same.

mod apk;
mod distribution;
mod dpkg;
pub mod license;
mod rpm;

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

pub use distribution::Distribution;

use crate::rootfs::{self, FileType, Root};

/// The longest text database that is read, in bytes; a full desktop's has 10 MiB.
const TEXT: u64 = 128 << 20;
/// No distribution has as many packages.
const MOST: usize = 1 << 18;

/// Whose database a package stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manager {
    Apk,
    Dpkg,
    Rpm,
}

impl Manager {
    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Apk => "apk",
            Self::Dpkg => "dpkg",
            Self::Rpm => "rpm",
        }
    }
}

/// A package that is installed. Empty fields of a database are None here.
///
/// The order of the fields is that in which packages are sorted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    pub manager: Manager,
    pub name: String,
    /// With its revision, without rpm's epoch.
    pub version: String,
    /// rpm's; the other managers have theirs in the version.
    pub epoch: Option<u32>,
    pub architecture: Option<String>,
    /// As the database has it, in whatever terms.
    pub license: Option<String>,
    /// Who made the package, most often `Name <address>`.
    pub packager: Option<String>,
    /// Who distributes it; rpm's alone.
    pub vendor: Option<String>,
    pub homepage: Option<String>,
    /// In one line.
    pub summary: Option<String>,
    /// What it was built from, where that has another name or version.
    pub source: Option<Source>,
    /// The database, from the root of the image.
    pub database: PathBuf,
}

/// What a package was built from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    pub name: String,
    pub version: Option<String>,
}

/// What was found in an image.
#[derive(Debug)]
pub struct Installed {
    /// None: the image does not say.
    pub distribution: Option<Distribution>,
    /// In the order of managers, names and versions, each once.
    pub packages: Vec<Package>,
    /// Databases that are there and could not be read, or not to their ends.
    pub unread: Vec<Unread>,
}

/// A database that could not be read.
#[derive(Debug)]
pub struct Unread {
    /// From the root of the image.
    pub path: PathBuf,
    pub error: Error,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{} cannot be read: {}", self.path.display(), self.error)?;
        match std::error::Error::source(&self.error) {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

/// Why a database cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Rootfs(#[from] rootfs::Error),
    #[error("reading it")]
    Read(#[from] io::Error),
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    #[error("it is of a kind that cannot be read: {0}")]
    Unknown(&'static str),
}

type Result<T, E = Error> = std::result::Result<T, E>;

/// Looks into all databases of an image.
pub fn installed(root: &Root) -> Installed {
    let mut found = Found::default();
    dpkg::read(root, &mut found);
    apk::read(root, &mut found);
    rpm::read(root, &mut found);
    let Found { mut packages, unread } = found;
    packages.sort_unstable();
    // The same database may have two names, and a package stands in it once for each architecture.
    packages.dedup_by(|next, kept| next.identity() == kept.identity());
    Installed { distribution: Distribution::of(root), packages, unread }
}

/// What the readers find.
#[derive(Debug, Default)]
struct Found {
    packages: Vec<Package>,
    unread: Vec<Unread>,
}

impl Found {
    /// Takes what is whole.
    fn push(&mut self, package: Package) -> Result<()> {
        if self.packages.len() == MOST {
            return Err(Error::Damaged("it has more packages than there are"));
        }
        if !package.name.is_empty() && !package.version.is_empty() {
            self.packages.push(package);
        }
        Ok(())
    }

    /// Remembers why a database could not be read, if it could not.
    fn note(&mut self, path: &Path, result: Result<()>) {
        if let Err(error) = result {
            self.unread.push(Unread { path: path.to_owned(), error });
        }
    }
}

impl Package {
    fn new(manager: Manager, database: &Path) -> Self {
        Self {
            manager,
            name: String::new(),
            version: String::new(),
            epoch: None,
            architecture: None,
            license: None,
            packager: None,
            vendor: None,
            homepage: None,
            summary: None,
            source: None,
            database: database.to_owned(),
        }
    }

    fn identity(&self) -> impl PartialEq + '_ {
        (self.manager, &self.name, &self.version, self.epoch, &self.architecture)
    }
}

/// Whether `path` is a regular file, symbolic links followed: nothing else holds a database, and
/// opening a fifo would wait for ever.
fn is_file(root: &Root, path: &Path) -> Result<bool> {
    Ok(root.stat(path)?.is_some_and(|meta| meta.kind == FileType::File))
}

/// The text of a file, if there is one.
fn text(root: &Root, path: &Path) -> Result<Option<String>> {
    if !is_file(root, path)? {
        return Ok(None);
    }
    let bytes = root.read_file(path, TEXT)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// A file to be read in any order, if there is one.
fn file(root: &Root, path: &Path) -> Result<Option<File>> {
    match is_file(root, path)? {
        true => Ok(Some(root.open_file(path)?)),
        false => Ok(None),
    }
}

/// A field's text, if it says anything.
fn said(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
