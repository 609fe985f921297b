//! To a new directory: the files of an image.
//!
//! It is made beside its place, under a name that begins with `.bryo-`, and gets its own when it is
//! whole.

use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::Store;
use super::tree::{Copying, copy_files};
use crate::image::{Config, Content};
use crate::report::{Outcome, Reporter};
use crate::rootfs::{self, Meta};
use crate::store;
use crate::transfer::{Blob, Error, Root, Sink};

/// The files of one image, as an ordinary user can have them. The image itself passes through the
/// storage directory.
pub struct Unpacked<'a> {
    store: &'a store::Store,
    inner: Store<'a>,
    dir: PathBuf,
    reporter: &'a dyn Reporter,
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
        let is_free = match fs::read_dir(dir) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        match is_free {
            true => {
                let (inner, dir) = (Store::nameless(store).telling(reporter), dir.to_owned());
                Ok(Self { store, inner, dir, reporter })
            }
            false => Err(Error::NotEmpty(dir.to_owned())),
        }
    }

    fn write(&self, config: &Config) -> Result<(), Error> {
        let missing = || Error::Missing { path: self.inner.name(), what: "unpacked layer".into() };
        let trees = self.store.trees(config).ok_or_else(missing)?;
        let snapshot = self.store.snapshot(&trees)?;
        let (root, records) = (snapshot.root(), snapshot.records()?);
        let made = Made::beside(&self.dir)?;
        let failed = |path: &Path| Error::writing(path.display().to_string());
        let files = made.0.join("files");
        fs::create_dir(&files).map_err(failed(&files))?;
        let copying = Copying { time: None, is_faithful: false };
        let name = self.dir.display().to_string();
        copy_files((root, &records), &files, &name, copying, self.reporter)?;
        if let Some(meta) = root.lstat(Path::new(""))? {
            describe(&files, &meta)?;
        }
        fs::rename(&files, &self.dir).map_err(|source| match source.kind() {
            io::ErrorKind::DirectoryNotEmpty => Error::NotEmpty(self.dir.clone()),
            _ => failed(&self.dir)(source),
        })
    }
}

/// Mode and time of `/`; its owner can always enter it.
fn describe(files: &Path, meta: &Meta) -> Result<(), Error> {
    let root = rootfs::Root::open(files)?;
    root.set_mode(Path::new(""), meta.mode & 0o1777 | 0o700)?;
    Ok(root.set_time(Path::new(""), meta.mtime)?)
}

/// A directory in the making; what is left of it goes.
struct Made(PathBuf);

impl Made {
    fn beside(dir: &Path) -> Result<Self, Error> {
        let folder = match dir.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let failed = || Error::writing(dir.display().to_string());
        fs::create_dir_all(folder).map_err(failed())?;
        let made = tempfile::Builder::new()
            .prefix(".bryo-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(folder)
            .map_err(failed())?;
        Ok(Self(made.keep()))
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        drop(rootfs::remove_tree(&self.0));
    }
}

impl fmt::Debug for Unpacked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Unpacked").field(&self.dir).finish()
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
