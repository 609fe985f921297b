//! [`Destination`]: where COPY, ADD and WORKDIR put things, by the reference's rules.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::error::Fault;
use crate::dockerfile::Mode;
use crate::rootfs::{Root, SideTable, clean};
use crate::store::Snapshot;

/// A directory's mode where nothing says another one.
const DIRECTORY: u32 = 0o755;

/// The last word of a COPY.
#[derive(Debug)]
pub(super) struct Destination {
    /// As written, absolute.
    path: PathBuf,
    is_directory: bool,
    /// COPY --link: nothing of what is there counts. Links and files on the way are replaced by
    /// directories, and a directory by a file.
    link: bool,
    owner: (u32, u32),
    mode: Option<Mode>,
    seconds: i64,
    /// Directories that had to be made, outermost first, and whether `mode` is for them.
    made: Vec<(PathBuf, bool)>,
}

impl Destination {
    /// With `into_directory`, `text` must mean a directory.
    pub(super) fn new(
        text: &str,
        into_directory: bool,
        link: bool,
        root: &Root,
    ) -> Result<Self, Fault> {
        let wanted = text.ends_with('/') || text.ends_with("/.");
        let path = clean(Path::new(text));
        let there = if link { None } else { root.stat(&path)? };
        let is_directory = there.is_some_and(|meta| meta.is_dir());
        if wanted && there.is_some() && !is_directory {
            return Err(Fault::NotADirectory(Path::new("/").join(path)));
        }
        if into_directory && !wanted && !is_directory {
            return Err(Fault::SeveralSources { destination: text.to_owned() });
        }
        let is_directory = wanted || is_directory;
        let (owner, mode, seconds, made) = ((0, 0), None, 0, Vec::new());
        Ok(Self { path, is_directory, link, owner, mode, seconds, made })
    }

    /// What the directories that have to be made get, and files that have no source.
    pub(super) fn set_attributes(&mut self, owner: (u32, u32), mode: Option<&Mode>, seconds: i64) {
        (self.owner, self.mode, self.seconds) = (owner, mode.cloned(), seconds);
    }

    /// Where a directory's contents go: the destination itself, made if it is not there.
    pub(super) fn folder(&mut self, snapshot: &mut Snapshot<'_>) -> Result<PathBuf, Fault> {
        let path = self.real_path(snapshot.root())?;
        self.make(&path, true, snapshot)?;
        self.is_directory = true;
        Ok(path)
    }

    /// As [`Self::folder`], for what is in an archive: that keeps its modes, and what has to be made
    /// for it has the usual one.
    pub(super) fn archive_folder(&mut self, snapshot: &mut Snapshot<'_>) -> Result<PathBuf, Fault> {
        let path = self.real_path(snapshot.root())?;
        self.make(&path, false, snapshot)?;
        self.is_directory = true;
        Ok(path)
    }

    fn real_path(&self, root: &Root) -> Result<PathBuf, Fault> {
        if self.link { Ok(self.path.clone()) } else { Ok(root.resolve(&self.path)?) }
    }

    /// Where a file goes: into the destination by its own name, or in its place. Links in the
    /// destination as it is written are followed, even dangling ones; a link that has the file's
    /// name in a directory is replaced. Both as in the reference.
    pub(super) fn file(
        &mut self,
        name: &OsStr,
        snapshot: &mut Snapshot<'_>,
    ) -> Result<PathBuf, Fault> {
        let mut path = self.real_path(snapshot.root())?;
        if self.is_directory {
            path = clean(&path.join(name));
        }
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        self.make(&folder, true, snapshot)?;
        if snapshot.root().lstat(&path)?.is_some_and(|meta| meta.is_dir()) {
            if self.link && !path.as_os_str().is_empty() {
                remove(&path, snapshot)?;
                return Ok(path);
            }
            return Err(Fault::IsADirectory(Path::new("/").join(path)));
        }
        Ok(path)
    }

    fn make(
        &mut self,
        path: &Path,
        has_mode: bool,
        snapshot: &mut Snapshot<'_>,
    ) -> Result<(), Fault> {
        if self.link {
            clear_way(path, snapshot)?;
        }
        let root = snapshot.root();
        let made = root.create_dir_all(path, DIRECTORY);
        let made = made.map_err(|error| Fault::in_image(error, root))?;
        self.made.extend(made.into_iter().map(|path| (path, has_mode)));
        Ok(())
    }

    /// Writes a file that has no source.
    pub(super) fn write(
        &self,
        path: &Path,
        content: &[u8],
        snapshot: &mut Snapshot<'_>,
    ) -> Result<(), Fault> {
        let mode = self.mode.as_ref().map_or(0o644, |mode| mode.apply(0o644, false));
        snapshot.root().write_file(path, mode, content)?;
        self.describe(path, snapshot)?;
        Ok(snapshot.root().set_time(path, (self.seconds, 0))?)
    }

    fn describe(&self, path: &Path, snapshot: &mut Snapshot<'_>) -> Result<(), Fault> {
        let (uid, gid) = self.owner;
        let mut records: SideTable = std::mem::take(snapshot.new_records());
        let done = snapshot.root().set_owner(path, uid, gid, &mut records);
        *snapshot.new_records() = records;
        Ok(done?)
    }

    /// Gives the directories that were made what they are to have; their times last, from the
    /// inside out.
    pub(super) fn finish(self, snapshot: &mut Snapshot<'_>) -> Result<(), Fault> {
        for (path, has_mode) in self.made.iter().rev() {
            self.describe(path, snapshot)?;
            if let Some(mode) = self.mode.as_ref().filter(|_| *has_mode) {
                snapshot.root().set_mode(path, mode.apply(DIRECTORY, true))?;
            }
            snapshot.root().set_time(path, (self.seconds, 0))?;
        }
        Ok(())
    }
}

/// Removes what is in the way of the directories of `path`.
fn clear_way(path: &Path, snapshot: &mut Snapshot<'_>) -> Result<(), Fault> {
    let mut here = PathBuf::new();
    for name in path {
        here.push(name);
        match snapshot.root().lstat(&here)? {
            Some(meta) if meta.is_dir() => {}
            Some(_) => return remove(&here, snapshot),
            None => break,
        }
    }
    Ok(())
}

fn remove(path: &Path, snapshot: &mut Snapshot<'_>) -> Result<(), Fault> {
    snapshot.root().remove(path)?;
    snapshot.new_records().forget(path);
    Ok(())
}
