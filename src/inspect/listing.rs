//! [`Listing`]: what a layer says of its paths.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::Error;
use super::databases::{self, Databases};
use super::scan::{Budget, Limits, scan, side_by_side};
use crate::image::{Descriptor, Digest, Hasher};
use crate::layer::archive::{Entry, EntryKind};
use crate::layer::{self, Change, change};
use crate::rootfs::clean;
use crate::transfer::Source;

/// A file without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub kind: EntryKind,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: (i64, u32),
    /// In bytes; of a hard link its file's.
    pub size: u64,
    /// Where a link points to.
    pub link: Option<Box<Path>>,
    pub device: (u32, u32),
    pub xattrs: Option<Box<BTreeMap<OsString, Vec<u8>>>>,
    /// Of the content of a file, where somebody asked for it.
    pub content: Option<Box<Digest>>,
}

impl Item {
    pub(super) fn of(entry: Entry) -> Self {
        let Entry { path: _, kind, mode, uid, gid, mtime, size, link, device, xattrs, sparse: _ } =
            entry;
        Self {
            kind,
            mode,
            uid,
            gid,
            mtime,
            size,
            link: link.map(PathBuf::into_boxed_path),
            device,
            xattrs: (!xattrs.is_empty()).then(|| Box::new(xattrs)),
            content: None,
        }
    }
}

/// What has to be known of a file to tell what layers make of each other.
pub trait Node: Clone {
    fn kind(&self) -> EntryKind;

    /// Where a link points to.
    fn link(&self) -> Option<&Path>;

    /// In bytes.
    fn size(&self) -> u64;

    fn is_dir(&self) -> bool {
        self.kind() == EntryKind::Dir
    }
}

impl Node for Item {
    fn kind(&self) -> EntryKind {
        self.kind
    }

    fn link(&self) -> Option<&Path> {
        self.link.as_deref()
    }

    fn size(&self) -> u64 {
        self.size
    }
}

/// No more than that, for images of a million files: 16 bytes.
#[derive(Debug, Clone)]
pub(super) struct Slim {
    kind: EntryKind,
    /// Few files are links: the pointer is a thin one.
    link: Option<Box<PathBuf>>,
}

impl Slim {
    pub(super) fn of(entry: Entry) -> Self {
        Self { kind: entry.kind, link: entry.link.map(Box::new) }
    }
}

impl Node for Slim {
    fn kind(&self) -> EntryKind {
        self.kind
    }

    fn link(&self) -> Option<&Path> {
        self.link.as_ref().map(|link| link.as_path())
    }

    /// Nobody asks.
    fn size(&self) -> u64 {
        0
    }
}

/// What a layer says of one path, in the order of its archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record<T = Item> {
    Put(Box<Path>, T),
    /// The path below is gone.
    Delete(Box<Path>),
    /// All below in this directory is gone.
    Hide(Box<Path>),
}

impl<T> Record<T> {
    pub fn put(path: impl AsRef<Path>, item: T) -> Self {
        Self::Put(path.as_ref().into(), item)
    }

    pub fn delete(path: impl AsRef<Path>) -> Self {
        Self::Delete(path.as_ref().into())
    }

    pub fn hide(path: impl AsRef<Path>) -> Self {
        Self::Hide(path.as_ref().into())
    }
}

/// A layer's entries, without their content.
pub type Listing<T = Item> = Vec<Record<T>>;

/// Is shown each file of a layer with its path and its content, and may give the content's digest.
pub(super) type Show<'s> =
    dyn FnMut(&Entry, &Path, &mut dyn Read) -> Result<Option<Digest>, Error> + 's;

/// Lists a layer.
///
/// # Errors
///
/// What [`scan`] says, and [`Error::TooMuch`] when `budget` is used up.
pub fn list(
    source: &dyn Source,
    descriptor: &Descriptor,
    limits: &Limits,
    budget: &Budget,
) -> Result<Listing, Error> {
    list_showing(source, descriptor, limits, budget, &mut |_, _, _| Ok(None))
}

/// The same with the digest of every file's content; the databases of package managers are kept.
pub(super) fn list_keeping(
    source: &dyn Source,
    descriptor: &Descriptor,
    limits: &Limits,
    budget: &Budget,
    databases: &Databases,
) -> Result<Listing, Error> {
    let mut buffer = vec![0; 64 << 10];
    list_showing(source, descriptor, limits, budget, &mut |entry, path, data| {
        let mut file = databases.keep(&descriptor.digest, path, entry.size)?;
        let unreadable = |error| broken(source, descriptor, error);
        hash(entry, data, &mut buffer, &mut file, &unreadable).map(Some)
    })
}

/// The same, with whatever `show` does.
pub(super) fn list_showing(
    source: &dyn Source,
    descriptor: &Descriptor,
    limits: &Limits,
    budget: &Budget,
    show: &mut Show<'_>,
) -> Result<Listing, Error> {
    let mut listing = Vec::new();
    scan(source, descriptor, limits, &mut |entry, data| {
        if !budget.takes(&entry, limits) {
            let Limits { entries, names, .. } = limits;
            let what = format!("it has more than {entries} entries, or names of {names} bytes");
            return Err(Error::TooMuch { image: source.name(), what });
        }
        let change =
            change(&clean(&entry.path)).map_err(|error| broken(source, descriptor, error))?;
        match change {
            None => {}
            Some(Change::Delete(path)) => listing.push(Record::delete(path)),
            Some(Change::Hide(path)) => listing.push(Record::hide(path)),
            Some(Change::Put(path)) => {
                let content = match entry.kind {
                    EntryKind::File => show(&entry, &path, data)?,
                    _ => None,
                };
                let item = Item { content: content.map(Box::new), ..Item::of(entry) };
                listing.push(Record::put(path, item));
            }
        }
        Ok(())
    })?;
    Ok(listing)
}

/// What it means that a layer makes no sense.
pub(super) fn broken(source: &dyn Source, descriptor: &Descriptor, error: layer::Error) -> Error {
    let (image, layer) = (source.name(), descriptor.digest.clone());
    Error::Layer { image, layer, source: Box::new(error) }
}

/// The digest of a file's stored bytes, which are written to `copy` too; where its holes are is part
/// of it.
fn hash(
    entry: &Entry,
    data: &mut dyn Read,
    buffer: &mut [u8],
    copy: &mut Option<File>,
    unreadable: &dyn Fn(layer::Error) -> Error,
) -> Result<Digest, Error> {
    let mut hasher = Hasher::sha256();
    for (offset, length) in entry.sparse.iter().flatten() {
        hasher.update(&offset.to_le_bytes());
        hasher.update(&length.to_le_bytes());
    }
    loop {
        match data.read(buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                databases::write(copy, &buffer[..count])?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(layer::Error::Read(error))),
        }
    }
}

/// Lists all layers, several at once.
///
/// # Errors
///
/// As [`list`].
pub fn list_all(
    source: &dyn Source,
    layers: &[Descriptor],
    jobs: usize,
) -> Result<Vec<Listing>, Error> {
    let (limits, budget) = (Limits::default(), Budget::default());
    side_by_side(layers, jobs, |_, layer| list(source, layer, &limits, &budget))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_files_fit_into_memory() {
        assert!(size_of::<Slim>() <= 16 && size_of::<Record<Slim>>() <= 32);
    }
}
