//! [`Copier`]: files and trees from one root into another.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::dirs::Dirs;
use super::meta::{FileType, Meta, Time, Xattrs};
use super::owner::{CAPABILITY, Device, DeviceKind, Record};
use super::place::Place;
use super::root::Root;
use super::side_table::SideTable;
use super::walk::{Found, Walk};
use super::{Error, Result};
use crate::sys::clone;

/// What happens to a file that a copy comes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    Take,
    /// With all that is in it.
    Skip,
    /// Of a directory: it comes along only when something in it does.
    Search,
}

/// Decides about a file by its path in the source.
pub type Chooser<'o> = dyn Fn(&Path, &Meta) -> Choice + 'o;

/// A file that is copied, but for its mode and time.
#[derive(Debug)]
pub enum Taken<'a> {
    /// A symbolic link, and where it leads.
    Link(&'a Path),
    File {
        /// Those that come along.
        xattrs: &'a Xattrs,
        /// The file and its copy; `None` of an empty one.
        opened: Option<(&'a File, &'a File)>,
    },
}

/// Is told of files that are copied.
pub type Watch<'o> = dyn Fn(&Found, &Taken<'_>) -> Result<()> + 'o;

/// What a copy changes on the way. By default nothing: owners, modes, times, attributes and hard
/// links among the copied files stay.
#[derive(Clone, Copy, Default)]
pub struct CopyOptions<'o> {
    /// User and group of all that is copied.
    pub owner: Option<(u32, u32)>,
    /// The mode of a file that had this one.
    pub mode: Option<&'o dyn Fn(&Meta) -> u32>,
    /// The time of all that is copied.
    pub time: Option<Time>,
    /// Of the extended attributes, only `security.capability` comes along: the others of a host's
    /// file are not meant for an image.
    pub no_xattrs: bool,
    /// Each name of a file with several becomes a file of its own.
    pub separate: bool,
    /// What is in the way is removed: files for a directory, a whole tree for a file.
    pub replace: bool,
    /// Of a directory that is there already, only the mode becomes that of its original.
    pub modes_alone: bool,
    /// A socket becomes an empty file; it is left out otherwise.
    pub sockets: bool,
    /// Which files come along, by path in the source.
    pub choose: Option<&'o Chooser<'o>>,
    /// Of a target that is an overlay: its upper directory, which shows the same files. Contents go
    /// there at once, for blocks are shared, and copied in the kernel, within one file system alone.
    pub upper: Option<&'o Root>,
    /// Is told of all symbolic links and files with a content of their own, in the order of the walk.
    pub watch: Option<&'o Watch<'o>>,
}

impl fmt::Debug for CopyOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyOptions")
            .field("owner", &self.owner)
            .field("mode", &self.mode.is_some())
            .field("time", &self.time)
            .field("no_xattrs", &self.no_xattrs)
            .field("separate", &self.separate)
            .field("replace", &self.replace)
            .field("modes_alone", &self.modes_alone)
            .field("sockets", &self.sockets)
            .field("choose", &self.choose.is_some())
            .field("upper", &self.upper)
            .field("watch", &self.watch.is_some())
            .finish()
    }
}

/// How much was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    pub paths: u64,
    /// Of file content, holes included.
    pub bytes: u64,
}

/// Copies from one root into another. Files with several names keep these as far as they are copied
/// by the same copier.
#[derive(Debug)]
pub struct Copier<'c> {
    from: &'c Root,
    from_records: &'c SideTable,
    from_dirs: Dirs,
    to_records: &'c mut SideTable,
    to_dirs: Dirs,
    upper_dirs: Option<Dirs>,
    options: CopyOptions<'c>,
    /// Where the first name of a file with several is now.
    links: HashMap<(u64, u64), PathBuf>,
    /// The directories on the way, outermost first, that were only searched until now.
    searched: Vec<(PathBuf, Meta)>,
    /// Directories that get mode and time when all is in them.
    unfinished: Vec<(Place, u32, Time)>,
    copied: Copied,
}

impl<'c> Copier<'c> {
    pub fn new(
        from: &'c Root,
        from_records: &'c SideTable,
        to: &Root,
        to_records: &'c mut SideTable,
        options: CopyOptions<'c>,
    ) -> Result<Self> {
        Ok(Self {
            from,
            from_records,
            from_dirs: from.dirs()?,
            to_records,
            to_dirs: to.dirs()?,
            upper_dirs: options.upper.map(Root::dirs).transpose()?,
            options,
            links: HashMap::new(),
            searched: Vec::new(),
            unfinished: Vec::new(),
            copied: Copied::default(),
        })
    }

    /// Copies what is at `source` to be what is at `target`, whose directory must exist. Symbolic
    /// links are copied, not followed, except on the way to either.
    ///
    /// A directory joins one that is there, whose own attributes stay; deeper ones take those of
    /// the source, or its mode alone when they were only searched. Anything else replaces what is there. The directory of `target` keeps its time.
    ///
    /// # Errors
    ///
    /// [`Error::NotADirectory`] when a directory would replace something else, and
    /// [`Error::IsADirectory`] for the opposite, unless [`CopyOptions::replace`] allows it.
    pub fn copy(&mut self, source: &Path, target: &Path) -> Result<Copied> {
        let missing = || Error::Missing { path: self.from.path().join(source) };
        let source = self.from_dirs.place(source)?.ok_or_else(missing)?.path();
        let missing = || Error::Missing { path: target.to_owned() };
        let target = self.to_dirs.place(target)?.ok_or_else(missing)?;
        let parent = Place::of(Rc::clone(target.dir()));
        let mut before = vec![(parent.clone(), parent.stat()?)];
        let joins = target.stat()?.is_some_and(|stat| stat.kind == FileType::Dir);
        if joins {
            before.push((target.clone(), target.stat()?));
        }
        self.copied = Copied::default();
        let mut walk = Walk::new(self.from, &source, self.from_records);
        while let Some(found) = walk.next() {
            let found = found?;
            let choice =
                self.options.choose.map_or(Choice::Take, |choose| choose(&found.path, &found.meta));
            match choice {
                Choice::Skip => walk.leave_out(),
                Choice::Search if found.meta.is_dir() => {
                    self.searched.retain(|(path, _)| found.path.starts_with(path));
                    self.searched.push((found.path.clone(), found.meta));
                }
                Choice::Take | Choice::Search
                    if found.path == source && joins && found.meta.is_dir() =>
                {
                    self.copied.paths += 1;
                }
                Choice::Take | Choice::Search => self.take(&found, &source, &target.path())?,
            }
        }
        for (place, mode, time) in std::mem::take(&mut self.unfinished).into_iter().rev() {
            place.set_mode(mode)?;
            place.set_time(time)?;
        }
        for (place, stat) in before.into_iter().rev() {
            if let Some(stat) = stat {
                place.set_time(stat.mtime)?;
            }
        }
        Ok(self.copied)
    }

    fn take(&mut self, found: &Found, source: &Path, target: &Path) -> Result<()> {
        let inside = found.path.strip_prefix(source).expect("a walk stays below its start");
        // `join` of nothing would end in a slash.
        let path = if inside.as_os_str().is_empty() { target.into() } else { target.join(inside) };
        self.adjust_searched(&found.path, source, target)?;
        let place = self.place(&path, source, target)?;
        if found.meta.is_dir() {
            return self.take_dir(&found.path, &found.meta, &place);
        }
        let is_socket = found.meta.real_kind == FileType::Socket;
        if found.meta.is_whiteout() || (is_socket && !self.options.sockets) {
            return Ok(()); // neither is anything once its tree is left
        }
        match place.stat()? {
            Some(stat) if stat.kind == FileType::Dir && !self.options.replace => {
                return Err(Error::IsADirectory { path: place.shown() });
            }
            Some(_) => {
                place.remove()?;
                self.to_records.forget(&place.path());
                self.forget();
            }
            None => {}
        }
        self.copied.paths += 1;
        if found.meta.nlink > 1 && !self.options.separate {
            if let Some(first) = self.links.get(&found.meta.identity()).cloned()
                && self.link(&place, &first)?
            {
                return Ok(());
            }
            self.links.insert(found.meta.identity(), place.path());
        }
        self.take_file(found, &place)
    }

    /// Gives the directories around `path`, where they are there already, the modes of those that were
    /// searched for it.
    fn adjust_searched(&mut self, path: &Path, source: &Path, target: &Path) -> Result<()> {
        for (searched, meta) in std::mem::take(&mut self.searched) {
            let inside = searched.strip_prefix(source).expect("a walk stays below its start");
            if !path.starts_with(&searched) || inside.as_os_str().is_empty() {
                continue;
            }
            let Some(place) = self.to_dirs.place(&target.join(inside))? else { continue };
            match place.stat()? {
                Some(stat) if stat.kind == FileType::Dir => {
                    place.unlock(stat.mode)?;
                    self.unfinished.push((place, meta.mode, stat.mtime));
                }
                Some(_) if self.options.replace => {
                    place.remove()?;
                    self.to_records.forget(&place.path());
                    self.forget();
                }
                Some(_) => return Err(Error::NotADirectory { path: place.shown() }),
                None => {}
            }
        }
        Ok(())
    }

    /// The place at `path` in the target; the directories on the way that were only searched until
    /// now are made as they are in the source.
    fn place(&mut self, path: &Path, source: &Path, target: &Path) -> Result<Place> {
        if let Some(place) = self.to_dirs.place(path)? {
            return Ok(place);
        }
        let mut made = Vec::new();
        let place = self.to_dirs.place_made(path, &mut |place, kind| {
            match kind {
                Some(_) if self.options.replace => _ = place.remove()?,
                Some(_) => return Err(Error::NotADirectory { path: place.shown() }),
                None => {}
            }
            place.make_dir()?;
            made.push(place.clone());
            Ok(())
        })?;
        for dir in made {
            let path = dir.path();
            let inside = path.strip_prefix(target).unwrap_or(Path::new(""));
            let original = self.from_dirs.place(&source.join(inside))?;
            if let Some(original) = original
                && let Some(meta) = original.meta(self.from_records)?
            {
                self.copied.paths += 1;
                self.describe(&original, &meta, &dir)?;
            }
        }
        Ok(place)
    }

    fn take_dir(&mut self, source: &Path, meta: &Meta, place: &Place) -> Result<()> {
        if !place.make_dir()? {
            match place.stat()? {
                Some(stat) if stat.kind == FileType::Dir => {
                    place.unlock(stat.mode)?;
                    if self.options.modes_alone {
                        self.copied.paths += 1;
                        self.unfinished.push((place.clone(), meta.mode, stat.mtime));
                        return Ok(());
                    }
                }
                _ if self.options.replace => {
                    place.remove()?;
                    self.to_records.forget(&place.path());
                    self.forget();
                    place.make_dir()?;
                }
                _ => return Err(Error::NotADirectory { path: place.shown() }),
            }
        }
        self.copied.paths += 1;
        let original = self.source(source)?;
        self.describe(&original, meta, place)
    }

    /// Gives a directory all that the original has, mode and time when it is full.
    fn describe(&mut self, original: &Place, meta: &Meta, place: &Place) -> Result<()> {
        let record = given(self.record(original, meta)?, meta, place)?;
        place.set_record(FileType::Dir, record, self.to_records)?;
        self.unfinished.push((place.clone(), self.mode(meta), self.time(meta)));
        Ok(())
    }

    fn take_file(&mut self, found: &Found, place: &Place) -> Result<()> {
        let original = self.source(&found.path)?;
        let taken = || Error::IsADirectory { path: place.shown() };
        let time = self.time(&found.meta);
        match found.meta.real_kind {
            FileType::Symlink => {
                let target = original.read_link()?;
                place.make_symlink(&target)?.then_some(()).ok_or_else(taken)?;
                self.tell(found, &Taken::Link(&target))?;
                let record = given(self.record(&original, &found.meta)?, &found.meta, place)?;
                place.add_record(FileType::Symlink, record, self.to_records)?;
                place.set_time(time)
            }
            FileType::Fifo => {
                place.make_fifo()?.then_some(()).ok_or_else(taken)?;
                let record = given(self.record(&original, &found.meta)?, &found.meta, place)?;
                place.add_record(FileType::Fifo, record, self.to_records)?;
                place.set_mode(self.mode(&found.meta))?;
                place.set_time(time)
            }
            _ => {
                let file = place.create()?.ok_or_else(taken)?;
                let mut content = None;
                if found.meta.real_kind == FileType::File && found.meta.size > 0 {
                    let from = original.open()?;
                    let upper = self.upper(place)?;
                    let to = upper.as_ref().unwrap_or(&file);
                    clone::copy(&from, to, found.meta.size).map_err(|source| Error::Copy {
                        from: original.shown(),
                        to: place.shown(),
                        source,
                    })?;
                    self.copied.bytes += found.meta.size;
                    content = Some(from);
                }
                let record = self.record(&original, &found.meta)?;
                if found.meta.real_kind == FileType::File {
                    let opened = content.as_ref().map(|from| (from, &file));
                    self.tell(found, &Taken::File { xattrs: &record.xattrs, opened })?;
                }
                let record = given(record, &found.meta, place)?;
                place.add_record(FileType::File, record, self.to_records)?;
                place.finish(&file, self.mode(&found.meta), time)
            }
        }
    }

    /// What the overlay has made of a file that was made there just now.
    fn upper(&mut self, place: &Place) -> Result<Option<File>> {
        let Some(dirs) = &mut self.upper_dirs else { return Ok(None) };
        match dirs.place(&place.path())? {
            Some(place) => place.open_to_write().map(Some),
            None => Ok(None),
        }
    }

    /// All that the copy is to have beside mode and time.
    fn record(&self, original: &Place, meta: &Meta) -> Result<Record> {
        let mut record = original.record(self.from_records)?.unwrap_or_default();
        record.xattrs.extend(original.xattrs(meta.real_kind)?);
        record.xattrs.retain(|name, _| !self.options.no_xattrs || name == CAPABILITY);
        if let Some((uid, gid)) = self.options.owner {
            (record.uid, record.gid) = (uid, gid);
        }
        let kind = match meta.real_kind {
            FileType::Char => DeviceKind::Char,
            FileType::Block => DeviceKind::Block,
            _ => return Ok(record),
        };
        let (major, minor) = meta.rdev;
        record.device = Some(Device { kind, major, minor });
        Ok(record)
    }

    fn tell(&self, found: &Found, taken: &Taken<'_>) -> Result<()> {
        self.options.watch.map_or(Ok(()), |watch| watch(found, taken))
    }

    /// Links `place` to the first copy of the same file; false when the file system cannot.
    fn link(&mut self, place: &Place, first: &Path) -> Result<bool> {
        let Some(first) = self.to_dirs.place(first)? else { return Ok(false) };
        match place.link(&first) {
            Ok(done) => {
                if let Some(record) = self.to_records.get(&first.path()).cloned() {
                    self.to_records.set(place.path(), record);
                }
                Ok(done)
            }
            Err(e) if e.no_more_links() => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn forget(&mut self) {
        self.to_dirs.forget();
        if let Some(dirs) = &mut self.upper_dirs {
            dirs.forget();
        }
    }

    fn source(&mut self, path: &Path) -> Result<Place> {
        let missing = || Error::Missing { path: self.from.path().join(path) };
        self.from_dirs.place(path)?.ok_or_else(missing)
    }

    fn mode(&self, meta: &Meta) -> u32 {
        self.options.mode.map_or(meta.mode, |mode| mode(meta)) & 0o7777
    }

    fn time(&self, meta: &Meta) -> Time {
        self.options.time.unwrap_or(meta.mtime)
    }
}

/// Gives the copy the attributes that it can have; what is left is to be recorded.
fn given(mut record: Record, meta: &Meta, place: &Place) -> Result<Record> {
    let kind = match meta.real_kind {
        FileType::Char | FileType::Block | FileType::Socket => FileType::File,
        kind => kind,
    };
    record.xattrs = place.set_xattrs(kind, record.xattrs)?;
    Ok(record)
}

#[cfg(test)]
mod tests;
