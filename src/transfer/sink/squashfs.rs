//! To a SquashFS file: what a container of the image would see, packed by `mksquashfs`, which is
//! given a tar. So every file has the owner that it has in the image, without privilege.

use std::fmt;
use std::fs;
use std::io::Read as _;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use tempfile::TempDir;

use super::tree::Beside;
use super::{Output, Store, Tree};
use crate::image::{Config, Content, Digest};
use crate::report::{Outcome, Reporter};
use crate::rootfs::Walk;
use crate::store;
use crate::transfer::tool::Tool;
use crate::transfer::{Blob, Error, Root, Sink};

const PROGRAM: &str = "mksquashfs";
const PACKAGE: &str = "squashfs-tools";
const MKSQUASHFS: Tool = Tool { program: PROGRAM, package: PACKAGE };

/// The times that SquashFS can say: unsigned numbers of 32 bits.
const TIMES: RangeInclusive<i64> = 0..=u32::MAX as i64;

/// One image as a file. The image itself passes through the storage directory.
pub struct Squashfs<'a> {
    store: &'a store::Store,
    inner: Store<'a>,
    program: PathBuf,
    path: PathBuf,
    /// So many bytes come before it.
    offset: u64,
    beside: Option<&'a dyn Beside>,
    reporter: &'a dyn Reporter,
    packed: Mutex<Option<Packed>>,
}

impl<'a> Squashfs<'a> {
    /// Looks for the program in `search`, as `PATH` has it.
    pub fn new(
        store: &'a store::Store,
        path: &Path,
        search: &str,
        reporter: &'a dyn Reporter,
    ) -> Result<Self, Error> {
        let program = MKSQUASHFS.find(search)?;
        // What cannot be written is told before anything is fetched.
        Packed::new(path)?;
        let (inner, path, packed) =
            (Store::nameless(store).telling(reporter), path.to_owned(), Mutex::default());
        Ok(Self { store, inner, program, path, offset: 0, beside: None, reporter, packed })
    }

    /// The same with room for so many bytes before it.
    #[must_use]
    pub(super) fn after(self, offset: u64) -> Self {
        Self { offset, ..self }
    }

    /// The same with other files beside the image's.
    #[must_use]
    pub(super) fn beside(self, beside: &'a dyn Beside) -> Self {
        Self { beside: Some(beside), ..self }
    }

    /// What is packed, if an image came.
    pub(super) fn packed(self) -> Result<Packed, Error> {
        let name = self.name();
        let packed = self.packed.into_inner().expect("keeping it cannot panic");
        packed.ok_or(Error::Unsuitable { sink: name, what: "nothing" })
    }

    fn pack(&self, config: &Config, image: &Digest) -> Result<Packed, Error> {
        let packed = Packed::new(&self.path)?;
        let failed = || Error::writing(self.name());
        let latest = latest(self.store, config)?;
        let mut packer = Command::new(&self.program)
            .args(["-".as_ref(), packed.file.as_os_str()])
            // The bytes depend on the files alone.
            .args(["-tar", "-noappend", "-no-progress", "-quiet"])
            .args(["-offset", &self.offset.to_string()])
            // It takes a tar's files, but makes their root itself, open to everybody and as of now.
            .args(["-root-mode", "755", "-root-uid", "0", "-root-gid", "0"])
            .env("SOURCE_DATE_EPOCH", latest.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed())?;
        let input = packer.stdin.take().expect("it was asked for");
        let output = Output::Stream(PROGRAM, Box::new(input));
        let tree = Tree::tar(self.store, output, self.reporter)?.within(TIMES);
        let tree = self.beside.into_iter().fold(tree, Tree::beside);
        let written = tree.write(config, image);
        drop(tree); // and its end of the pipe
        match written {
            // It went away in the middle, and says why.
            Err(Error::Write { to, .. }) if to == PROGRAM => {}
            done => done?,
        }
        let mut said = String::new();
        if let Some(errors) = &mut packer.stderr {
            drop(errors.read_to_string(&mut said));
        }
        let status = packer.wait().map_err(failed())?;
        if !status.success() {
            let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            let problem = match said.contains("invalid option") {
                true => format!("{PROGRAM} is too old: {PACKAGE} 4.5 or later reads a tar"),
                false => format!("{PROGRAM} ended with {status}: {last}"),
            };
            return Err(Error::NotTaken { sink: self.name(), problem });
        }
        Ok(packed)
    }
}

/// The latest time of an image's files that SquashFS can say, in seconds since 1970. Later ones, which
/// is what the program makes alone, become that.
fn latest(store: &store::Store, config: &Config) -> Result<i64, Error> {
    let missing = || Error::Missing { path: "the storage directory".into(), what: "layer".into() };
    let snapshot = store.snapshot(&store.trees(config).ok_or_else(missing)?)?;
    let mut latest = 0;
    for found in Walk::new(snapshot.root(), Path::new(""), &snapshot.records()?) {
        latest = latest.max(found?.meta.mtime.0);
    }
    Ok(latest.min(i64::from(u32::MAX)))
}

impl fmt::Debug for Squashfs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Squashfs").field(&self.path).finish()
    }
}

impl Sink for Squashfs<'_> {
    fn name(&self) -> String {
        self.path.display().to_string()
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
        let packed = self.pack(config, &root.content.descriptor().digest)?;
        *self.packed.lock().expect("keeping it cannot panic") = Some(packed);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        self.packed()?.finish()
    }
}

/// What is packed, and has not got its name yet.
#[derive(Debug)]
pub(super) struct Packed {
    file: PathBuf,
    path: PathBuf,
    /// Goes with what is left in it.
    folder: TempDir,
}

impl Packed {
    fn new(path: &Path) -> Result<Self, Error> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let folder = tempfile::Builder::new().prefix(".bryo-").tempdir_in(folder);
        let folder = folder.map_err(Error::writing(path.display().to_string()))?;
        Ok(Self { file: folder.path().join("squashfs"), path: path.to_owned(), folder })
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) fn finish(self) -> Result<(), Error> {
        let Self { file, path, folder } = self;
        fs::rename(file, &path).map_err(Error::writing(path.display().to_string()))?;
        drop(folder);
        Ok(())
    }
}
