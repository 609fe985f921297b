//! To a SquashFS file: what a container of the image would see, packed by `mksquashfs`, which is
//! given a tar. So every file has the owner that it has in the image, without privilege.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{Output, Tree};
use crate::image::Content;
use crate::report::{Outcome, Reporter};
use crate::store;
use crate::transfer::tool::Tool;
use crate::transfer::{Blob, Error, Root, Sink};

const PROGRAM: &str = "mksquashfs";
const MKSQUASHFS: Tool = Tool { program: PROGRAM, package: "squashfs-tools" };

/// One image as a file.
pub struct Squashfs<'a> {
    tree: Tree<'a>,
    packer: Child,
    /// What is written, until it is whole.
    made: (TempDir, PathBuf),
    path: PathBuf,
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
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let failed = || Error::writing(path.display().to_string());
        let folder = tempfile::Builder::new().prefix(".bryo-").tempdir_in(folder);
        let folder = folder.map_err(failed())?;
        let file = folder.path().join("squashfs");
        let mut packer = Command::new(program)
            .args(["-".as_ref(), file.as_os_str()])
            // The bytes depend on the files alone.
            .args(["-tar", "-noappend", "-mkfs-time", "0", "-no-progress", "-quiet"])
            .env_remove("SOURCE_DATE_EPOCH")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed())?;
        let input = packer.stdin.take().expect("it was asked for");
        let output = Output::Stream(PROGRAM, Box::new(input));
        let tree = Tree::tar(store, output, reporter)?;
        Ok(Self { tree, packer, made: (folder, file), path: path.to_owned() })
    }
}

impl std::fmt::Debug for Squashfs<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
        self.tree.put_blob(blob)
    }

    fn put_manifest(&self, _: &Content) -> Result<(), Error> {
        Err(Error::Unsuitable { sink: self.name(), what: "an index" })
    }

    fn put_root(&self, root: &Root<'_>) -> Result<(), Error> {
        match self.tree.put_root(root) {
            // It went away in the middle, and finish() tells why.
            Err(Error::Write { to, .. }) if to == PROGRAM => Ok(()),
            done => done,
        }
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        let Self { tree, mut packer, made: (folder, file), path } = *self;
        drop(tree); // and its end of the pipe
        let name = path.display().to_string();
        let failed = || Error::writing(&name);
        let mut said = String::new();
        if let Some(errors) = &mut packer.stderr {
            drop(errors.read_to_string(&mut said));
        }
        let status = packer.wait().map_err(failed())?;
        if !status.success() {
            let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            let problem = format!("{PROGRAM} ended with {status}: {last}");
            return Err(Error::NotTaken { sink: name, problem });
        }
        fs::rename(&file, &path).map_err(failed())?;
        drop(folder);
        Ok(())
    }
}
