//! [`State`]: what is known of a tree while an archive is unpacked into it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::{IMPLIED_MODE, NO_TIME, Unpacked};
use crate::layer::Error;
use crate::layer::archive::{Entry, EntryKind};
use crate::layer::by_path::forget_below;
use crate::layer::whiteout;
use crate::rootfs::{self, Device, DeviceKind, FileType, Place, Record, SideTable, Time, clean};

/// Longer paths could not be named to the kernel again (`PATH_MAX`).
const LONGEST_PATH: usize = 4095;

/// What an archive is unpacked for.
pub(super) enum Purpose {
    Layer,
    Archive { at: PathBuf, owner: Option<(u32, u32)> },
}

/// What is known of the tree so far.
pub(super) struct State {
    pub(super) purpose: Purpose,
    pub(super) done: Unpacked,
    /// Mode and time of each directory, to be set when all is in it.
    pub(super) unfinished: BTreeMap<PathBuf, (u32, Time)>,
}

impl State {
    /// An entry's path in the root.
    pub(super) fn path_of(&self, path: &Path) -> Result<PathBuf, Error> {
        let inside = match &self.purpose {
            Purpose::Layer => clean(path),
            Purpose::Archive { at, .. } => at.join(clean(path)),
        };
        if inside.as_os_str().len() > LONGEST_PATH {
            let problem = "it is longer than 4095 bytes";
            return Err(Error::Name { path: path.to_owned(), problem });
        }
        Ok(inside)
    }

    /// Makes a directory that no entry describes so far.
    pub(super) fn imply(&mut self, place: &Place, kind: Option<FileType>) -> Result<(), Error> {
        match (kind, &self.purpose) {
            (None, _) => {}
            (Some(_), Purpose::Layer) => {
                if let Some(meta) = place.meta(&SideTable::default())?
                    && !whiteout::is_whiteout(place, &meta)?
                {
                    return Err(below(place.path()));
                }
                self.clear(place)?;
            }
            (Some(_), Purpose::Archive { .. }) => {
                return Err(rootfs::Error::NotADirectory { path: place.shown() }.into());
            }
        }
        if self.done.dangling.contains_key(&place.path()) {
            return Err(below(place.path()));
        }
        self.keep_time(place)?;
        place.make_dir()?;
        if kind.is_some() {
            self.hide(place)?;
        }
        let path = place.path();
        match &self.purpose {
            Purpose::Layer => _ = self.done.implied.insert(path.clone(), ()),
            Purpose::Archive { owner, .. } => {
                let (uid, gid) = owner.unwrap_or_default();
                place.add_record(FileType::Dir, Record::owner(uid, gid), &mut self.done.records)?;
            }
        }
        self.unfinished.insert(path, (IMPLIED_MODE, NO_TIME));
        Ok(())
    }

    /// Remembers mode and time of a directory that was there before and is about to change.
    pub(super) fn keep_time(&mut self, place: &Place) -> Result<(), Error> {
        if matches!(self.purpose, Purpose::Layer)
            || self.unfinished.contains_key(place.dir().path())
        {
            return Ok(());
        }
        let dir = Place::of(Rc::clone(place.dir()));
        if let Some(meta) = dir.meta(&SideTable::default())? {
            dir.unlock(meta.mode)?;
            self.unfinished.insert(place.dir().path().to_owned(), (meta.mode, meta.mtime));
        }
        Ok(())
    }

    /// Removes what is at a place, and says what that was.
    pub(super) fn clear(&mut self, place: &Place) -> Result<Option<FileType>, Error> {
        if place.is_root() {
            return Err(Error::Root { path: place.path() });
        }
        let Some(meta) = place.meta(&SideTable::default())? else { return Ok(None) };
        place.remove()?;
        let path = place.path();
        self.done.records.forget(&path);
        if meta.real_kind == FileType::Dir {
            forget_below(&mut self.unfinished, &path);
            forget_below(&mut self.done.implied, &path);
            forget_below(&mut self.done.emptied, &path);
            forget_below(&mut self.done.dangling, &path);
        }
        Ok(Some(meta.real_kind))
    }

    /// A directory in place of something else of this layer, a whiteout included, does not show
    /// what a lower directory of its name has: that was replaced before.
    pub(super) fn hide(&self, dir: &Place) -> Result<(), Error> {
        match self.purpose {
            Purpose::Layer => Ok(whiteout::set_opaque(dir)?),
            Purpose::Archive { .. } => Ok(()),
        }
    }

    /// What is to be recorded of an entry, whose other attributes are set on the way.
    pub(super) fn record(&self, entry: Entry, place: &Place) -> Result<Record, Error> {
        let (uid, gid) = match self.purpose {
            Purpose::Archive { owner: Some(owner), .. } => owner,
            _ => (entry.uid, entry.gid),
        };
        let kind = match entry.kind {
            EntryKind::Char => Some(DeviceKind::Char),
            EntryKind::Block => Some(DeviceKind::Block),
            _ => None,
        };
        let real = match entry.kind {
            EntryKind::Dir => FileType::Dir,
            EntryKind::Symlink => FileType::Symlink,
            EntryKind::Fifo => FileType::Fifo,
            _ => FileType::File,
        };
        let (major, minor) = entry.device;
        let device = kind.map(|kind| Device { kind, major, minor });
        let xattrs = place.set_xattrs(real, entry.xattrs)?;
        Ok(Record { uid, gid, device, xattrs })
    }
}

/// What it means that an entry lies below a file; which one it is, is told later.
fn below(file: PathBuf) -> Error {
    Error::Below { path: PathBuf::new(), file }
}
