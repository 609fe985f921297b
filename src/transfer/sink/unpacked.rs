//! To a new directory: the files of an image, alone or as a runtime bundle.
//!
//! It is made beside its place, under a name that begins with `.bryo-`, and gets its own by one
//! rename when it is whole.

mod making;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::tree::{Copying, copy_files};
use super::{Store, bundle};
use crate::image::{Config, Content};
use crate::report::{Outcome, Reporter};
use crate::rootfs::{self, Meta};
use crate::store;
use crate::transfer::{Blob, Error, Root, Sink};
use making::Making;

/// The files of one image, as an ordinary user can have them. The image itself passes through the
/// storage directory.
pub struct Unpacked<'a> {
    store: &'a store::Store,
    inner: Store<'a>,
    dir: PathBuf,
    form: Form,
    reporter: &'a dyn Reporter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The files and nothing else.
    Tree,
    /// The files in `rootfs`, and what a runtime wants to know.
    Bundle,
}

impl<'a> Unpacked<'a> {
    /// They belong to the caller, and no program runs as its owner.
    ///
    /// # Errors
    ///
    /// [`Error::NotEmpty`] when `dir` is there and is no empty directory.
    pub fn tree(
        store: &'a store::Store,
        dir: &Path,
        reporter: &'a dyn Reporter,
    ) -> Result<Self, Error> {
        Self::new(store, dir, Form::Tree, reporter)
    }

    /// The same as a runtime bundle (runtime-spec bundle.md). Owners that the caller cannot give are
    /// recorded with the files, as far as these can carry it.
    ///
    /// # Errors
    ///
    /// As [`Self::tree`].
    pub fn bundle(
        store: &'a store::Store,
        dir: &Path,
        reporter: &'a dyn Reporter,
    ) -> Result<Self, Error> {
        Self::new(store, dir, Form::Bundle, reporter)
    }

    fn new(
        store: &'a store::Store,
        dir: &Path,
        form: Form,
        reporter: &'a dyn Reporter,
    ) -> Result<Self, Error> {
        let is_free = match fs::read_dir(dir) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if !is_free {
            return Err(Error::NotEmpty(dir.to_owned()));
        }
        // Where the caller's own link leads; a link itself cannot be replaced by a directory.
        let dir = match dir.is_symlink() {
            true => fs::canonicalize(dir).map_err(Error::writing(dir.display().to_string()))?,
            false => dir.to_owned(),
        };
        let inner = Store::nameless(store).telling(reporter);
        Ok(Self { store, inner, dir, form, reporter })
    }

    fn write(&self, config: &Config) -> Result<(), Error> {
        let missing = || Error::Missing { path: self.inner.name(), what: "unpacked layer".into() };
        let trees = self.store.trees(config).ok_or_else(missing)?;
        let snapshot = self.store.snapshot(&trees)?;
        let (root, records) = (snapshot.root(), snapshot.records()?);
        let name = self.dir.display().to_string();
        let making = Making::beside(&self.dir).map_err(Error::writing(&name))?;
        let made = making.path().join("made");
        let is_bundle = self.form == Form::Bundle;
        let files = if is_bundle { made.join(bundle::FILES) } else { made.clone() };
        fs::create_dir_all(&files).map_err(Error::writing(&name))?;
        if is_bundle {
            bundle::describe(&made, root, config, &name, self.reporter)?;
        }
        let copying = Copying { time: None, records_owners: is_bundle };
        copy_files((root, &records), &files, &name, copying, self.reporter)?;
        if let Some(meta) = root.lstat(Path::new(""))? {
            describe(&files, &meta)?;
        }
        fs::rename(&made, &self.dir).map_err(|source| match source.kind() {
            io::ErrorKind::DirectoryNotEmpty => Error::NotEmpty(self.dir.clone()),
            _ => Error::writing(name)(source),
        })
    }
}

/// Mode and time of `/`; its owner can always enter it.
fn describe(files: &Path, meta: &Meta) -> Result<(), Error> {
    let root = rootfs::Root::open(files)?;
    root.set_mode(Path::new(""), meta.mode & 0o1777 | 0o700)?;
    Ok(root.set_time(Path::new(""), meta.mtime)?)
}

impl fmt::Debug for Unpacked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Unpacked").field(&self.form).field(&self.dir).finish()
    }
}

impl Sink for Unpacked<'_> {
    fn name(&self) -> String {
        self.dir.display().to_string()
    }

    fn takes_one_image(&self) -> bool {
        true
    }

    fn needs_foreign(&self) -> bool {
        true
    }

    fn put_blob(&self, blob: &Blob<'_>) -> Result<Outcome, Error> {
        self.inner.put_blob(blob)
    }

    fn put_manifest(&self, _: &Content) -> Result<(), Error> {
        Err(Error::Unsuitable { sink: self.name(), what: "an index" })
    }

    fn put_root(&self, root: &Root<'_>) -> Result<(), Error> {
        let Some(config) = root.config else {
            return Err(Error::Unsuitable { sink: self.name(), what: "an index or an artifact" });
        };
        self.inner.put_root(root)?;
        self.write(config)
    }
}
