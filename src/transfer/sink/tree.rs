//! To plain files: what a container of the image would see, as a directory or as one flat tar.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::Store;
use super::output::{Opened, Output};
use crate::image::{Config, Content};
use crate::layer::compress::Compression;
use crate::layer::{self, PackOptions};
use crate::report::{Outcome, Reporter};
use crate::rootfs::{self, Choice, Copier, CopyOptions, FileType, Meta, SideTable};
use crate::store;
use crate::transfer::{Blob, Error, Root, Sink};

/// The files of one image. The image itself passes through the storage directory.
pub struct Tree<'a> {
    store: &'a store::Store,
    inner: Store<'a>,
    form: Form,
    reporter: &'a dyn Reporter,
}

enum Form {
    Directory(PathBuf),
    Tar { name: String, output: Mutex<Option<Opened>> },
}

impl<'a> Tree<'a> {
    /// A directory, made if it is not there. Its files belong to the caller; devices, which only
    /// root may make, are left out with a warning.
    pub fn directory(store: &'a store::Store, dir: &Path, reporter: &'a dyn Reporter) -> Self {
        let form = Form::Directory(dir.to_owned());
        Self { store, inner: Store::nameless(store), form, reporter }
    }

    /// A tar, in which every file has its own owner and devices are devices.
    pub fn tar(
        store: &'a store::Store,
        output: Output,
        reporter: &'a dyn Reporter,
    ) -> Result<Self, Error> {
        let name = output.name();
        let form = Form::Tar { name, output: Mutex::new(Some(output.open()?)) };
        Ok(Self { store, inner: Store::nameless(store), form, reporter })
    }

    fn write(&self, config: &Config) -> Result<(), Error> {
        let missing = || Error::Missing { path: self.inner.name(), what: "unpacked layer".into() };
        let trees = self.store.trees(config).ok_or_else(missing)?;
        let snapshot = self.store.snapshot(&trees)?;
        let records = snapshot.records()?;
        match &self.form {
            Form::Directory(dir) => self.copy(snapshot.root(), &records, dir),
            Form::Tar { name, output } => {
                let output = output.lock().expect("taking it cannot panic").take();
                let Some(mut output) = output else {
                    return Err(Error::Unsuitable { sink: name.clone(), what: "several" });
                };
                let options = PackOptions { compression: Compression::None, ..Default::default() };
                layer::pack_tree(snapshot.root(), &records, &options, &mut output).map_err(
                    |error| match error {
                        layer::Error::Write(source) => Error::writing(name)(source),
                        other => other.into(),
                    },
                )?;
                output.finish()
            }
        }
    }

    fn copy(&self, from: &rootfs::Root, records: &SideTable, dir: &Path) -> Result<(), Error> {
        let name = dir.display().to_string();
        fs::create_dir_all(dir).map_err(Error::writing(&name))?;
        let to = rootfs::Root::open(dir)?;
        let devices = Cell::new(0_u64);
        let choose = |_: &Path, meta: &Meta| match meta.kind {
            FileType::Char | FileType::Block => {
                devices.set(devices.get() + 1);
                Choice::Skip
            }
            _ => Choice::Take,
        };
        // A program that runs as its owner would run as the caller here, for everybody else.
        let mode = |meta: &Meta| match meta.kind {
            FileType::File => meta.mode & 0o1777,
            _ => meta.mode,
        };
        let options = CopyOptions {
            owner: Some((0, 0)),
            mode: Some(&mode),
            choose: Some(&choose),
            no_xattrs: true,
            ..CopyOptions::default()
        };
        let mut ignored = SideTable::default();
        let mut copier = Copier::new(from, records, &to, &mut ignored, options)?;
        copier.copy(Path::new(""), Path::new(""))?;
        match devices.get() {
            0 => {}
            1 => self.reporter.warn(format!("{name}: one device was left out")),
            count => self.reporter.warn(format!("{name}: {count} devices were left out")),
        }
        Ok(())
    }
}

impl std::fmt::Debug for Tree<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tree").field(&self.name()).finish()
    }
}

impl Sink for Tree<'_> {
    fn name(&self) -> String {
        match &self.form {
            Form::Directory(dir) => dir.display().to_string(),
            Form::Tar { name, .. } => name.clone(),
        }
    }

    fn takes_one_image(&self) -> bool {
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
