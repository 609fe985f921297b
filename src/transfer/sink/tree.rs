//! To plain files: what a container of the image would see, as a directory or as one flat tar.

use std::cell::RefCell;
use std::fs;
use std::io::{self, Read as _};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::Store;
use super::output::{Opened, Output};
use crate::image::{Config, Content, Digest, Hasher};
use crate::layer::compress::Compression;
use crate::layer::{self, PackOptions};
use crate::report::{Outcome, Reporter};
use crate::rootfs::{self, Choice, Copier, CopyOptions, FileType, Meta, SideTable, Walk};
use crate::store::{self, Snapshot};
use crate::transfer::{Blob, Error, Root, Sink};

/// The files of one image. The image itself passes through the storage directory.
pub struct Tree<'a> {
    store: &'a store::Store,
    inner: Store<'a>,
    form: Form,
    /// Each image gets a directory of its own.
    split: bool,
    /// The time of all files instead of their own, in seconds since 1970.
    time: Option<i64>,
    /// The times that whoever reads the tar knows.
    times: Option<RangeInclusive<i64>>,
    beside: Option<&'a dyn Beside>,
    reporter: &'a dyn Reporter,
}

/// Has files that are no image's, and come beside those of one.
pub trait Beside: Sync {
    /// The image is known by the digest of its manifest. Reading all its files takes its time, so
    /// that `digests` does it only where somebody asks.
    fn files(
        &self,
        image: &Digest,
        config: &Config,
        digests: &Digests<'_>,
    ) -> Result<Vec<NewFile>, Error>;
}

/// The regular files of an image, by their paths, with the digests of what is in them.
pub type Digests<'a> = dyn Fn() -> Result<Vec<(String, Digest)>, Error> + 'a;

/// A file of root's.
#[derive(Debug)]
pub struct NewFile {
    pub name: String,
    pub mode: u32,
    pub content: Vec<u8>,
}

enum Form {
    Directory(PathBuf),
    /// Images that come into one tar together wait for its end.
    Tar {
        name: String,
        output: Mutex<Option<Opened>>,
        waiting: Mutex<Vec<(Config, Digest)>>,
    },
}

impl<'a> Tree<'a> {
    /// A directory, made if it is not there; what else is in it stays. Files belong to the caller;
    /// devices, which only root may make, are left out with a warning.
    pub fn directory(store: &'a store::Store, dir: &Path, reporter: &'a dyn Reporter) -> Self {
        let form = Form::Directory(dir.to_owned());
        let (inner, time, beside) = (Store::nameless(store).telling(reporter), None, None);
        Self { store, inner, form, split: false, time, times: None, beside, reporter }
    }

    /// A tar, in which every file has its own owner and devices are devices.
    pub fn tar(
        store: &'a store::Store,
        output: Output,
        reporter: &'a dyn Reporter,
    ) -> Result<Self, Error> {
        let name = output.name();
        let output = Mutex::new(Some(output.open()?));
        let form = Form::Tar { name, output, waiting: Mutex::default() };
        let (inner, time, beside) = (Store::nameless(store).telling(reporter), None, None);
        Ok(Self { store, inner, form, split: false, time, times: None, beside, reporter })
    }

    /// The same; with `split` for several images, each in a directory that is called after its
    /// platform (`linux_arm64`), as the reference builder has it.
    #[must_use]
    pub fn split(self, split: bool) -> Self {
        Self { split, ..self }
    }

    /// The same with one time for all files, in seconds since 1970, as the reference builder has it
    /// where `SOURCE_DATE_EPOCH` is set.
    #[must_use]
    pub fn at(self, time: Option<i64>) -> Self {
        Self { time, ..self }
    }

    /// The same for somebody who knows no other times than these, in seconds since 1970.
    #[must_use]
    pub(super) fn within(self, times: RangeInclusive<i64>) -> Self {
        Self { times: Some(times), ..self }
    }

    /// The same with other files beside those of each image.
    #[must_use]
    pub fn beside(self, beside: &'a dyn Beside) -> Self {
        Self { beside: Some(beside), ..self }
    }

    /// An image's files, and what comes beside them: nobody keeps what is written there.
    fn snapshot(&self, config: &Config, image: &Digest) -> Result<Snapshot<'a>, Error> {
        let missing = || Error::Missing { path: self.inner.name(), what: "unpacked layer".into() };
        let trees = self.store.trees(config).ok_or_else(missing)?;
        let snapshot = self.store.snapshot(&trees)?;
        if let Some(beside) = self.beside {
            let root = snapshot.root();
            let digests = || digests(root, &snapshot.records()?);
            for NewFile { name, mode, content } in beside.files(image, config, &digests)? {
                let name = Path::new(&name);
                let folder = name.parent().unwrap_or_else(|| Path::new(""));
                root.create_dir_all(folder, 0o755)?;
                root.write_file(name, mode, &content)?;
            }
        }
        Ok(snapshot)
    }

    /// The files of an image that is in the storage directory.
    pub(super) fn write(&self, config: &Config, image: &Digest) -> Result<(), Error> {
        match &self.form {
            Form::Directory(dir) => {
                let snapshot = self.snapshot(config, image)?;
                let dir = if self.split { dir.join(directory_of(config)) } else { dir.clone() };
                fs::create_dir_all(&dir).map_err(Error::writing(dir.display().to_string()))?;
                let copying = Copying { time: self.time, records_owners: false };
                let files = (snapshot.root(), &snapshot.records()?);
                copy_files(files, &dir, &dir.display().to_string(), copying, self.reporter)
            }
            Form::Tar { waiting, .. } if self.split => {
                waiting
                    .lock()
                    .expect("keeping one cannot panic")
                    .push((config.clone(), image.clone()));
                Ok(())
            }
            Form::Tar { .. } => {
                let snapshot = self.snapshot(config, image)?;
                let records = snapshot.records()?;
                self.pack(|options, output| {
                    layer::pack_tree(snapshot.root(), &records, options, output)
                })
            }
        }
    }

    /// Writes the tar.
    fn pack(
        &self,
        pack: impl FnOnce(&PackOptions, &mut Opened) -> Result<layer::Layer, layer::Error>,
    ) -> Result<(), Error> {
        let Form::Tar { name, output, .. } = &self.form else { return Ok(()) };
        let output = output.lock().expect("taking it cannot panic").take();
        let Some(mut output) = output else {
            return Err(Error::Unsuitable { sink: name.clone(), what: "several" });
        };
        let (compression, time) = (Compression::None, self.time);
        let (earliest, latest) = match &self.times {
            Some(times) => (Some(*times.start()), Some(*times.end())),
            None => (None, None),
        };
        let options = PackOptions { compression, time, earliest, latest, ..Default::default() };
        pack(&options, &mut output).map_err(|error| match error {
            layer::Error::Write(source) => Error::writing(name)(source),
            other => other.into(),
        })?;
        output.finish()
    }
}

/// What an ordinary user's copy of an image's files is like.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Copying {
    /// The time of all files instead of their own, in seconds since 1970.
    pub(super) time: Option<i64>,
    /// Owners are recorded with the files, where these can carry it.
    pub(super) records_owners: bool,
}

/// Copies an image's files into a directory that is there. Devices, which only root may make, are left
/// out with a warning.
pub(super) fn copy_files(
    (from, records): (&rootfs::Root, &SideTable),
    dir: &Path,
    name: &str,
    copying: Copying,
    reporter: &dyn Reporter,
) -> Result<(), Error> {
    let to = rootfs::Root::open(dir)?;
    let devices = RefCell::new(Vec::new());
    let choose = |path: &Path, meta: &Meta| match meta.kind {
        FileType::Char | FileType::Block => {
            devices.borrow_mut().push(path.to_owned());
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
        owner: (!copying.records_owners).then_some((0, 0)),
        mode: Some(&mode),
        choose: Some(&choose),
        time: copying.time.map(|seconds| (seconds, 0)),
        no_xattrs: true,
        // What is in the way goes, what is beside it stays.
        replace: true,
        ..CopyOptions::default()
    };
    let mut ignored = SideTable::default();
    let mut copier = Copier::new(from, records, &to, &mut ignored, options)?;
    copier.copy(Path::new(""), Path::new(""))?;
    match &devices.into_inner()[..] {
        [] => {}
        [one] => reporter.warn(format!("{name}: one device was left out: {}", one.display())),
        all @ [first, ..] => reporter.warn(format!(
            "{name}: {} devices were left out, {} the first of them",
            all.len(),
            first.display()
        )),
    }
    Ok(())
}

/// The regular files of an image, with the digests of what is in them.
fn digests(root: &rootfs::Root, records: &SideTable) -> Result<Vec<(String, Digest)>, Error> {
    let mut digests = Vec::new();
    let mut buffer = vec![0; 128 << 10];
    for found in Walk::new(root, Path::new(""), records) {
        let found = found?;
        if found.meta.kind != FileType::File {
            continue;
        }
        let name = found.path.to_string_lossy().into_owned();
        let mut file = root.open_file(&found.path)?;
        let mut hasher = Hasher::sha256();
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => hasher.update(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::opening(&name)(error)),
            }
        }
        digests.push((name, hasher.finish()));
    }
    Ok(digests)
}

/// What an image's directory is called among others.
fn directory_of(config: &Config) -> PathBuf {
    config.platform().to_string().replace('/', "_").into()
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
        self.write(config, &root.content.descriptor().digest)
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        let Form::Tar { waiting, .. } = &self.form else { return Ok(()) };
        let waiting = std::mem::take(&mut *waiting.lock().expect("keeping one cannot panic"));
        if !self.split {
            return Ok(());
        }
        let mut parts = Vec::new();
        for (config, image) in &waiting {
            let snapshot = self.snapshot(config, image)?;
            let records = snapshot.records()?;
            parts.push((directory_of(config), snapshot, records));
        }
        let parts = parts
            .iter()
            .map(|(directory, snapshot, records)| (directory.as_path(), snapshot.root(), records));
        self.pack(|options, output| layer::pack_trees(parts, options, output))
    }
}
