//! An archive's entries onto the files of a root, in one pass.
//!
//! Nothing in an archive is trusted. Paths lose `..` by their words; symbolic links on the way are
//! followed inside the root; what an entry names itself is never followed, only replaced. Later
//! entries win, but nothing turns a file of the same layer into a directory only by lying below it:
//! docker refuses that, too. Modes and times of directories are set at the very end, so that a directory without
//! write permission can be filled.

mod state;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use super::Error;
use super::archive::{Entry, EntryKind, Reader};
use super::whiteout::{self, Name};
use crate::rootfs::{
    self, Copier, CopyOptions, Dirs, FileType, Place, Root, SideTable, Time, clean,
};
use state::{Purpose, State};

/// Bytes that are read at once.
const BUFFER: usize = 256 << 10;

/// A run of zeros of this many bytes becomes a hole.
const HOLE: usize = 64 << 10;

/// The mode of a directory that no entry describes.
pub(super) const IMPLIED_MODE: u32 = 0o755;

/// The time of a directory that no entry describes: no clock may reach a layer.
pub(super) const NO_TIME: Time = (0, 0);

/// What came of a layer's archive.
#[derive(Debug, Default)]
pub struct Unpacked {
    /// What the files cannot carry themselves.
    pub records: SideTable,
    /// Directories that the archive has files in and no entry for; the root is none of them (see
    /// [`SideTable::root_implied`]).
    pub(super) implied: BTreeMap<PathBuf, ()>,
    /// Directories whose content below is hidden, and not they themselves.
    pub(super) emptied: BTreeMap<PathBuf, ()>,
    /// Hard links to files that the archive does not have, and their targets.
    pub(super) dangling: BTreeMap<PathBuf, PathBuf>,
    /// Entries that lie outside of the root by their names, or by links on their way; they were kept
    /// inside.
    pub strays: Noted,
    /// Files of lower layers that gave way to directories which the archive has no entry for.
    pub replaced: Noted,
    /// Of file content, holes included.
    pub bytes: u64,
    /// Entries of the archive.
    pub paths: u64,
}

/// Paths that somebody should hear of, of which there may be many.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Noted {
    pub count: u64,
    /// One of them; the empty one if there are none.
    pub first: PathBuf,
}

impl Noted {
    pub(super) fn add(&mut self, path: &Path) {
        if self.count == 0 {
            path.clone_into(&mut self.first);
        }
        self.count += 1;
    }
}

impl Unpacked {
    /// Whether the tree is the same whatever is below it. If not, [`complete`](Self::complete)
    /// makes it whole for one chain of layers.
    pub fn is_self_contained(&self) -> bool {
        self.implied.is_empty() && self.dangling.is_empty()
    }
}

/// Unpacks a layer's archive into an empty directory. Deletions become overlayfs's (see
/// `layer::whiteout`), owners and devices records. `tar` is read to its end, beyond the archive's.
///
/// # Errors
///
/// What the archive and the file system have to say, and [`Error::Name`] and [`Error::Root`] for
/// entries that no layer may have. Hard links to nowhere are found later, by
/// [`Unpacked::complete`].
pub fn unpack(tar: impl Read, root: &Root) -> Result<Unpacked, Error> {
    let unpacker = Unpacker::new(root, Purpose::Layer, SideTable::default())?;
    unpacker.run(tar)
}

/// Unpacks an archive that is not a layer into the directory at `at`, which exists and whose files
/// are added to: what `ADD` does. Directories stay with what is in them, everything else is
/// replaced. `owner` replaces the archive's owners; directories that the archive has no entry for
/// are 0755 and, unless it says otherwise, 0:0.
///
/// # Errors
///
/// As [`unpack`]; also [`Error::Name`] for a name that would delete something as part of a layer,
/// and [`Error::HardLink`].
pub fn extract(
    tar: impl Read,
    root: &Root,
    at: &Path,
    owner: Option<(u32, u32)>,
    records: &mut SideTable,
) -> Result<Unpacked, Error> {
    let purpose = Purpose::Archive { at: clean(at), owner };
    let mut done = Unpacker::new(root, purpose, std::mem::take(records))?.run(tar)?;
    *records = std::mem::take(&mut done.records);
    match done.dangling.pop_first() {
        Some((path, target)) => Err(Error::HardLink { path, target }),
        None => Ok(done),
    }
}

struct Unpacker<'r> {
    root: &'r Root,
    dirs: Dirs,
    state: State,
    buffer: Vec<u8>,
    /// Whether the present entry lies outside, taken at its word.
    strays: bool,
}

impl<'r> Unpacker<'r> {
    fn new(root: &'r Root, purpose: Purpose, records: SideTable) -> Result<Self, Error> {
        let done = Unpacked { records, ..Unpacked::default() };
        let mut state = State { purpose, done, unfinished: BTreeMap::new() };
        if matches!(state.purpose, Purpose::Layer) {
            state.done.records.root_implied = true;
            state.unfinished.insert(PathBuf::new(), (IMPLIED_MODE, NO_TIME));
        }
        Ok(Self { root, dirs: root.dirs()?, state, buffer: vec![0; BUFFER], strays: false })
    }

    fn run(mut self, tar: impl Read) -> Result<Unpacked, Error> {
        let mut reader = Reader::new(tar);
        while let Some(entry) = reader.next_entry()? {
            let path = entry.path.clone();
            let target = entry.link.as_deref().filter(|_| entry.kind == EntryKind::Hardlink);
            self.strays = climbs(&path) || target.is_some_and(climbs);
            self.entry(entry, &mut reader).map_err(|error| error.of_entry(&path))?;
            if self.strays {
                self.state.done.strays.add(&path);
            }
        }
        reader.finish().map_err(Error::Read)?;
        self.link_forward()?;
        for (path, (mode, time)) in std::mem::take(&mut self.state.unfinished).into_iter().rev() {
            if let Some(dir) = self.dirs.find(&path)? {
                let place = Place::of(dir);
                place.set_mode(mode)?;
                place.set_time(time)?;
            }
        }
        Ok(self.state.done)
    }

    fn entry(&mut self, entry: Entry, content: &mut impl Read) -> Result<(), Error> {
        self.state.done.paths += 1;
        let path = self.state.path_of(&entry.path)?;
        match (whiteout::read(&path)?, &self.state.purpose) {
            (Name::Plain, _) => {}
            (_, Purpose::Archive { .. }) => {
                let problem = "it would delete a file of the image";
                return Err(Error::Name { path: entry.path, problem });
            }
            (Name::Delete(name), Purpose::Layer) => {
                let place = self.place(&path.with_file_name(name))?;
                return self.delete(&place);
            }
            (Name::Hide, Purpose::Layer) => {
                let dir = Place::of(Rc::clone(self.place(&path)?.dir()));
                // Unless the directory itself was deleted before.
                if !whiteout::is_opaque(&dir)? {
                    self.state.done.emptied.insert(dir.path(), ());
                }
                return Ok(whiteout::set_opaque(&dir)?);
            }
            (Name::Nothing, Purpose::Layer) => return Ok(()),
        }
        if path.as_os_str().is_empty() && entry.kind != EntryKind::Dir {
            return Err(Error::Root { path: entry.path });
        }
        let place = self.place(&path)?;
        let waited = !self.state.done.dangling.is_empty()
            && self.state.done.dangling.remove(&place.path()).is_some();
        match entry.kind {
            EntryKind::Dir => {
                self.dir(entry, &place)?;
                if waited { self.state.hide(&place) } else { Ok(()) }
            }
            EntryKind::File | EntryKind::Char | EntryKind::Block => {
                self.file(entry, &place, content)
            }
            EntryKind::Symlink => self.symlink(entry, &place),
            EntryKind::Fifo => self.fifo(entry, &place),
            EntryKind::Hardlink => self.hard_link(&entry, &place),
        }
    }

    /// The place of an entry; what is missing above it is made.
    fn place(&mut self, path: &Path) -> Result<Place, Error> {
        let state = &mut self.state;
        let mut failed = None;
        let place = self.dirs.place_made(path, &mut |place, kind| match state.imply(place, kind) {
            Ok(()) => Ok(()),
            Err(Error::Files(e)) => Err(e),
            Err(e) => {
                failed = Some(e);
                Err(rootfs::Error::NotADirectory { path: place.shown() })
            }
        });
        match failed {
            Some(e) => Err(e),
            None => {
                let place = place?;
                self.strays |= path.parent().is_some_and(|above| self.dirs.strays(above));
                self.state.keep_time(&place)?;
                Ok(place)
            }
        }
    }

    /// Makes `make` succeed, which is false while something has the name.
    fn replacing(
        &mut self,
        place: &Place,
        make: impl Fn() -> Result<bool, rootfs::Error>,
    ) -> Result<(), Error> {
        if make()? {
            return Ok(());
        }
        self.clear(place)?;
        match make()? {
            true => Ok(()),
            false => Err(rootfs::Error::IsADirectory { path: place.shown() }.into()),
        }
    }

    /// Removes what has the name of an entry.
    fn clear(&mut self, place: &Place) -> Result<(), Error> {
        if matches!(self.state.clear(place)?, Some(FileType::Dir | FileType::Symlink)) {
            self.dirs.forget();
        }
        Ok(())
    }

    fn dir(&mut self, entry: Entry, place: &Place) -> Result<(), Error> {
        let path = place.path();
        let mut new = false;
        if place.is_root() {
            self.state.done.records.root_implied = false;
        } else if place.make_dir()? {
            new = true;
        } else {
            let there = place.meta(&self.state.done.records)?;
            match there {
                Some(meta) if meta.is_dir() => place.unlock(meta.mode)?,
                _ => {
                    self.replacing(place, || place.make_dir())?;
                    self.state.hide(place)?;
                }
            }
        }
        self.state.done.implied.remove(&path);
        self.state.unfinished.insert(path, (entry.mode, entry.mtime));
        let record = self.state.record(entry, place)?;
        let records = &mut self.state.done.records;
        match new {
            true => Ok(place.add_record(FileType::Dir, record, records)?),
            false => Ok(place.set_record(FileType::Dir, record, records)?),
        }
    }

    fn file(&mut self, entry: Entry, place: &Place, content: &mut impl Read) -> Result<(), Error> {
        let file = match place.create()? {
            Some(file) => file,
            None => {
                self.clear(place)?;
                let there = || rootfs::Error::IsADirectory { path: place.shown() };
                place.create()?.ok_or_else(there)?
            }
        };
        if entry.kind == EntryKind::File && entry.size > 0 {
            self.write(&entry, place, &file, content)?;
            self.state.done.bytes += entry.size;
        }
        let (mode, mtime) = (entry.mode, entry.mtime);
        let record = self.state.record(entry, place)?;
        place.add_record(FileType::File, record, &mut self.state.done.records)?;
        Ok(place.finish(&file, mode, mtime)?)
    }

    fn write(
        &mut self,
        entry: &Entry,
        place: &Place,
        file: &File,
        content: &mut impl Read,
    ) -> Result<(), Error> {
        let fail = |source| Error::Files(rootfs::Error::Write { path: place.shown(), source });
        let whole = [(0, entry.size)];
        let mut end = 0;
        for (start, length) in entry.sparse.as_deref().unwrap_or(&whole) {
            let (mut at, mut left) = (*start, *length);
            while left > 0 {
                let wanted = BUFFER.min(usize::try_from(left).unwrap_or(BUFFER));
                let buffer = &mut self.buffer[..wanted];
                content.read_exact(buffer).map_err(Error::Read)?;
                end = write_without_holes(file, buffer, at).map_err(fail)?.unwrap_or(end);
                at += wanted as u64;
                left -= wanted as u64;
            }
        }
        if end < entry.size {
            file.set_len(entry.size).map_err(fail)?;
        }
        Ok(())
    }

    fn symlink(&mut self, entry: Entry, place: &Place) -> Result<(), Error> {
        let target = entry.link.clone().unwrap_or_default();
        self.replacing(place, || place.make_symlink(&target))?;
        let mtime = entry.mtime;
        let record = self.state.record(entry, place)?;
        place.add_record(FileType::Symlink, record, &mut self.state.done.records)?;
        Ok(place.set_time(mtime)?)
    }

    fn fifo(&mut self, entry: Entry, place: &Place) -> Result<(), Error> {
        self.replacing(place, || place.make_fifo())?;
        let (mode, mtime) = (entry.mode, entry.mtime);
        let record = self.state.record(entry, place)?;
        place.add_record(FileType::Fifo, record, &mut self.state.done.records)?;
        place.set_mode(mode)?;
        Ok(place.set_time(mtime)?)
    }

    fn hard_link(&mut self, entry: &Entry, place: &Place) -> Result<(), Error> {
        let target = self.state.path_of(entry.link.as_deref().unwrap_or(Path::new("")))?;
        if self.link(place, &target)? {
            return Ok(());
        }
        self.clear(place)?;
        self.state.done.dangling.insert(place.path(), target);
        Ok(())
    }

    /// Links `place` to what the tree has at `target`; false when it has nothing there.
    fn link(&mut self, place: &Place, target: &Path) -> Result<bool, Error> {
        let found = self.dirs.place(target)?;
        self.strays |= target.parent().is_some_and(|above| self.dirs.strays(above));
        let Some(target) = found else { return Ok(false) };
        let Some(meta) = target.meta(&self.state.done.records)? else { return Ok(false) };
        if whiteout::is_whiteout(&target, &meta)? {
            return Ok(false);
        }
        if meta.real_kind == FileType::Dir {
            let problem = "it is a hard link to a directory";
            return Err(Error::Name { path: place.path(), problem });
        }
        if place.path() == target.path() {
            return Ok(true);
        }
        match self.replacing(place, || place.link(&target)) {
            Ok(()) => {
                if let Some(record) = self.state.done.records.get(&target.path()).cloned() {
                    self.state.done.records.set(place.path(), record);
                }
            }
            Err(Error::Files(e)) if e.no_more_links() => {
                let from = self.state.done.records.clone();
                let records = &mut self.state.done.records;
                Copier::new(self.root, &from, self.root, records, CopyOptions::default())?
                    .copy(&target.path(), &place.path())?;
            }
            Err(e) => return Err(e),
        }
        Ok(true)
    }

    /// Links that stand before their targets in the archive.
    fn link_forward(&mut self) -> Result<(), Error> {
        loop {
            let waiting = std::mem::take(&mut self.state.done.dangling);
            let before = waiting.len();
            for (path, target) in waiting {
                let linked = self.place(&path).and_then(|place| self.link(&place, &target));
                if !linked.map_err(|error| error.of_entry(&path))? {
                    self.state.done.dangling.insert(path, target);
                }
            }
            let after = self.state.done.dangling.len();
            if after == 0 || after == before {
                return Ok(());
            }
        }
    }

    /// The layer deletes what is below at a place. What it brings there itself stays.
    fn delete(&mut self, place: &Place) -> Result<(), Error> {
        if self.state.done.dangling.contains_key(&place.path()) {
            return Ok(());
        }
        match place.meta(&self.state.done.records)? {
            None => Ok(whiteout::put(place)?),
            Some(meta) if meta.is_dir() => {
                self.state.done.emptied.remove(&place.path());
                Ok(whiteout::set_opaque(place)?)
            }
            Some(_) => Ok(()),
        }
    }
}

/// Whether a path begins at the host's root, or leads above where it begins.
fn climbs(path: &Path) -> bool {
    let mut depth = 0_usize;
    for component in path.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::ParentDir => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return true,
            },
            Component::RootDir | Component::Prefix(_) => return true,
            Component::CurDir => {}
        }
    }
    false
}

/// Writes `bytes` at an offset, without the long runs of zeros in them. Returns where the last
/// written byte ends, if any was.
fn write_without_holes(file: &File, bytes: &[u8], offset: u64) -> io::Result<Option<u64>> {
    let mut written = None;
    let mut pending: Option<usize> = None;
    let mut at = 0;
    for piece in bytes.chunks(HOLE) {
        let is_hole = piece.len() == HOLE && piece.iter().all(|byte| *byte == 0);
        match (is_hole, pending) {
            (true, Some(start)) => {
                file.write_all_at(&bytes[start..at], offset + start as u64)?;
                written = Some(offset + at as u64);
                pending = None;
            }
            (false, None) => pending = Some(at),
            _ => {}
        }
        at += piece.len();
    }
    if let Some(start) = pending {
        file.write_all_at(&bytes[start..], offset + start as u64)?;
        written = Some(offset + bytes.len() as u64);
    }
    Ok(written)
}

#[cfg(test)]
mod tests;
