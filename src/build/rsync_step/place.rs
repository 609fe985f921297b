//! [`Target`]: where in the image RSYNC puts things.

use std::path::{Path, PathBuf};

use super::list::List;
use crate::build::error::Fault;
use crate::rootfs::clean;
use crate::store::Snapshot;

/// The destination, as rsync(1) understands it.
#[derive(Debug)]
pub(super) struct Target {
    /// A directory, without links on the way.
    folder: PathBuf,
    /// What the only file is called there, if not by its own name.
    name: Option<PathBuf>,
}

impl Target {
    /// A directory, if it is one or ends in a slash, or if anything but one file goes there; else the
    /// file's new name.
    pub(super) fn find(
        list: &List<'_>,
        destination: &str,
        snapshot: &Snapshot<'_>,
    ) -> Result<Self, Fault> {
        let root = snapshot.root();
        let (path, has_slash) = (clean(Path::new(destination)), destination.ends_with('/'));
        let is_one_file = matches!(&list.entries[..], [only] if !only.meta.is_dir());
        let there = root.stat(&path)?;
        let is_dir = there.is_some_and(|meta| meta.is_dir());
        if there.is_some() && !is_dir && (has_slash || !is_one_file) {
            return Err(Fault::NotADirectory(Path::new("/").join(path)));
        }
        if is_dir || has_slash || !is_one_file {
            return Ok(Self { folder: root.resolve(&path)?, name: None });
        }
        let folder = root.resolve(path.parent().unwrap_or(Path::new("")))?;
        Ok(Self { folder, name: path.file_name().map(PathBuf::from) })
    }

    /// Where the file of this name goes.
    pub(super) fn path(&self, name: &Path) -> PathBuf {
        match &self.name {
            Some(new) => self.folder.join(new),
            None if name.as_os_str().is_empty() => self.folder.clone(),
            None => self.folder.join(name),
        }
    }

    /// Makes the directory and those above it that are not there; says whether there were any.
    pub(super) fn make(
        &self,
        owner: (u32, u32),
        seconds: i64,
        snapshot: &mut Snapshot<'_>,
    ) -> Result<bool, Fault> {
        let root = snapshot.root();
        let made = root.create_dir_all(&self.folder, 0o755);
        let made = made.map_err(|error| Fault::in_image(error, root))?;
        for path in made.iter().rev() {
            own(path, owner, snapshot)?;
            snapshot.root().set_time(path, (seconds, 0))?;
        }
        Ok(!made.is_empty())
    }
}

/// Gives a file its owner.
pub(super) fn own(
    path: &Path,
    (uid, gid): (u32, u32),
    snapshot: &mut Snapshot<'_>,
) -> Result<(), Fault> {
    let mut records = std::mem::take(snapshot.new_records());
    let done = snapshot.root().set_owner(path, uid, gid, &mut records);
    *snapshot.new_records() = records;
    Ok(done?)
}

pub(super) fn remove(path: &Path, snapshot: &mut Snapshot<'_>) -> Result<(), Fault> {
    snapshot.root().remove(path)?;
    snapshot.new_records().forget(path);
    Ok(())
}
