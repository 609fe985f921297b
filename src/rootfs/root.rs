//! [`Root`]: single questions about, and single changes to, a directory seen as `/`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::dirs::{Dirs, MAX_LINKS, names_reversed, too_many_links};
use super::meta::{FileType, Meta, Time, Xattrs};
use super::owner::{Carrier, Record};
use super::place::Place;
use super::side_table::SideTable;
use super::{Error, Result, clean};
use crate::sys::path::{self as kernel, Resolver, Want};
use crate::sys::xattr;

/// A directory seen as `/`: absolute symbolic links begin there, and `..` ends there.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    fd: OwnedFd,
    resolver: Resolver,
    is_plain: bool,
}

/// The time of what is made with no other time to have: no clock may reach a layer.
const NO_TIME: Time = (0, 0);

impl Root {
    /// # Errors
    ///
    /// [`Error::Open`] when it is not a directory or may not be entered.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, Resolver::best())
    }

    /// As [`Self::open`], with a given way to resolve paths.
    pub fn open_with(path: &Path, resolver: Resolver) -> Result<Self> {
        let fd = kernel::open_root(path)
            .map_err(|source| Error::Open { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), fd, resolver, is_plain: false })
    }

    /// A directory of the host that is no image's: what looks like a record there is none.
    pub fn open_plain(path: &Path) -> Result<Self> {
        Ok(Self { is_plain: true, ..Self::open(path)? })
    }

    pub(super) fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// The device that the directory lies on, if there everything that happens to a file's content
    /// shows in the file's [`Stamp`](super::Stamp).
    pub fn telling_device(&self) -> Option<u64> {
        let dir = self.open_as(Path::new(""), Want::List, true).ok()?;
        let tells = crate::sys::storage::tells_changes(&dir);
        kernel::stat(&dir).ok().filter(|_| tells).map(|stat| stat.dev)
    }

    /// The directory's path on the host.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory once more.
    pub(super) fn reopen(&self) -> Result<OwnedFd> {
        self.open_as(Path::new(""), Want::Directory, true)
    }

    /// A cache of the directories in this root.
    pub fn dirs(&self) -> Result<Dirs> {
        Dirs::new(self)
    }

    /// What is at `path`, symbolic links followed; `None` when nothing is. What only a
    /// [`SideTable`] records is not known here: see [`Place::meta`].
    pub fn stat(&self, path: &Path) -> Result<Option<Meta>> {
        self.look(path, true)
    }

    /// What is at `path`, itself perhaps a symbolic link; `None` when nothing is.
    pub fn lstat(&self, path: &Path) -> Result<Option<Meta>> {
        self.look(path, false)
    }

    fn look(&self, path: &Path, follow: bool) -> Result<Option<Meta>> {
        let Some(handle) = missing(self.open_as(path, Want::Handle, follow))? else {
            return Ok(None);
        };
        let inspect = |source| Error::Inspect { path: self.shown(path), source };
        let stat = kernel::stat(&handle).map_err(inspect)?;
        let Some(carrier) = Carrier::of(stat.kind).filter(|_| !self.is_plain) else {
            return Ok(Some(Meta::new(&stat, None)));
        };
        let record = match xattr::get(&handle, carrier.attribute().as_ref()) {
            Ok(None) => None,
            Ok(Some(bytes)) => {
                carrier.decode(&bytes).map_err(|_| Error::Record { path: self.shown(path) })?
            }
            Err(e) if e.source.kind() == io::ErrorKind::PermissionDenied => None,
            Err(e) => return Err(inspect(e)),
        };
        Ok(Some(Meta::new(&stat, record.as_ref())))
    }

    /// Opens a file for reading, symbolic links followed.
    pub fn open_file(&self, path: &Path) -> Result<File> {
        self.open_as(path, Want::Read, true).map(File::from)
    }

    /// The content of a file of at most `limit` bytes; `None` when it does not exist. Symbolic
    /// links are followed.
    pub fn read_file(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(fd) = missing(self.open_as(path, Want::Read, true))? else { return Ok(None) };
        let mut content = Vec::new();
        File::from(fd)
            .take(limit + 1)
            .read_to_end(&mut content)
            .map_err(|source| Error::Read { path: self.shown(path), source })?;
        if content.len() as u64 > limit {
            return Err(Error::TooLong { path: self.shown(path), limit });
        }
        Ok(Some(content))
    }

    /// Where the symbolic link at `path` points, as it says.
    pub fn read_link(&self, path: &Path) -> Result<PathBuf> {
        self.existing(path)?.read_link()
    }

    /// The attributes of the file at `path` that belong to the image; symbolic links are not
    /// followed.
    pub fn xattrs(&self, path: &Path) -> Result<Xattrs> {
        let place = self.existing(path)?;
        let stat = place.stat()?.ok_or_else(|| Error::Missing { path: place.shown() })?;
        place.xattrs(stat.kind)
    }

    /// `path` without symbolic links and `..`, also where it does not exist: the part that is
    /// missing is kept as it is.
    pub fn resolve(&self, path: &Path) -> Result<PathBuf> {
        let mut dirs = self.dirs()?;
        let mut here = PathBuf::new();
        let mut ahead = names_reversed(path);
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            if name == ".." {
                here.pop();
                continue;
            }
            let inside = here.join(name);
            let Some(place) = dirs.place(&inside)? else {
                here = inside;
                continue;
            };
            if place.stat()?.is_none_or(|stat| stat.kind != FileType::Symlink) {
                here = inside;
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                let source = too_many_links(&inside);
                return Err(Error::Open { path: self.shown(path), source });
            }
            let target = place.read_link()?;
            if target.is_absolute() {
                here.clear();
            }
            ahead.extend(names_reversed(&target));
        }
        Ok(here)
    }

    /// The entries of a directory in the order of their names, symbolic links followed to it.
    pub fn read_dir(&self, path: &Path) -> Result<Vec<(OsString, Meta)>> {
        self.entries(path, true, &SideTable::default())
    }

    pub(super) fn entries(
        &self,
        path: &Path,
        follow: bool,
        records: &SideTable,
    ) -> Result<Vec<(OsString, Meta)>> {
        let fd = self.open_as(path, Want::List, follow)?;
        let mut names =
            kernel::list(&fd).map_err(|source| Error::List { path: self.shown(path), source })?;
        names.sort_unstable();
        let place = Place::of(self.dir_of(fd, clean(path)));
        let mut entries = Vec::with_capacity(names.len());
        for name in names {
            let place = Place::new(Rc::clone(place.dir()), name);
            // What vanished since has no place in the list.
            if let Some(meta) = place.meta(records)? {
                entries.push((place.name().to_owned(), meta));
            }
        }
        Ok(entries)
    }

    fn dir_of(&self, fd: OwnedFd, path: PathBuf) -> Rc<super::dirs::Dir> {
        Rc::new(super::dirs::Dir::new(fd, self.path().into(), path, self.is_plain))
    }

    /// The place that `path` names, symbolic links followed up to, and without, its last name;
    /// `None` when its directory does not exist.
    pub fn place(&self, path: &Path) -> Result<Option<Place>> {
        self.dirs()?.place(path)
    }

    fn existing(&self, path: &Path) -> Result<Place> {
        self.place(path)?.ok_or_else(|| Error::Missing { path: self.shown(path) })
    }

    /// Makes the directories of `path` that are missing, of the given mode and of owner 0:0, and
    /// returns these, outermost first. Their times are 1970, and the directory that the outermost
    /// one was made in keeps its own: no clock may reach a layer.
    ///
    /// # Errors
    ///
    /// [`Error::NotADirectory`] when something else is in the way.
    pub fn create_dir_all(&self, path: &Path, mode: u32) -> Result<Vec<PathBuf>> {
        let mut made = Vec::new();
        let mut dirs = self.dirs()?;
        dirs.make(path, &mut |place, stat| {
            if stat.is_some() {
                return Err(Error::NotADirectory { path: place.shown() });
            }
            keeping_time(place, || {
                place.make_dir()?;
                place.set_mode(mode)
            })?;
            made.push(place.clone());
            Ok(())
        })?;
        for place in &made {
            place.set_time(NO_TIME)?;
        }
        Ok(made.iter().map(Place::path).collect())
    }

    /// Writes a file of owner 0:0 and of 1970, in place of what is there unless that is a
    /// directory. A symbolic link is replaced, not followed; the directory keeps its time.
    pub fn write_file(&self, path: &Path, mode: u32, content: &[u8]) -> Result<()> {
        let place = self.existing(path)?;
        keeping_time(&place, || {
            if place.stat()?.is_some_and(|stat| stat.kind != FileType::Dir) {
                place.remove()?;
            }
            let exists = || Error::Write {
                path: place.shown(),
                source: io::ErrorKind::AlreadyExists.into(),
            };
            let mut file = place.create()?.ok_or_else(exists)?;
            file.write_all(content)
                .map_err(|source| Error::Write { path: place.shown(), source })?;
            place.finish(&file, mode, NO_TIME)
        })
    }

    /// Removes what is at `path`, a whole tree if need be; a symbolic link is not followed. False
    /// when nothing is there. The directory keeps its time.
    pub fn remove(&self, path: &Path) -> Result<bool> {
        match self.place(path)? {
            Some(place) => keeping_time(&place, || place.remove()),
            None => Ok(false),
        }
    }

    /// Records an owner, device and other attributes aside.
    pub fn set_owner(
        &self,
        path: &Path,
        uid: u32,
        gid: u32,
        records: &mut SideTable,
    ) -> Result<()> {
        let place = self.existing(path)?;
        let stat = place.stat()?.ok_or_else(|| Error::Missing { path: place.shown() })?;
        let record = place.record(records)?.unwrap_or_default();
        place.set_record(stat.kind, Record { uid, gid, ..record }, records)
    }

    pub fn set_mode(&self, path: &Path, mode: u32) -> Result<()> {
        self.existing(path)?.set_mode(mode)
    }

    /// Sets the times of access and of modification; of a symbolic link, its own.
    pub fn set_time(&self, path: &Path, time: Time) -> Result<()> {
        self.existing(path)?.set_time(time)
    }

    fn open_as(&self, path: &Path, want: Want, follow: bool) -> Result<OwnedFd> {
        kernel::open_in_root(self.fd.as_fd(), path, want, follow, self.resolver)
            .map_err(|source| Error::Open { path: self.shown(path), source })
    }

    fn shown(&self, path: &Path) -> PathBuf {
        self.path.join(clean(path))
    }
}

/// Runs `change` in the directory of `place` and gives that its time of modification back.
pub(super) fn keeping_time<T>(place: &Place, change: impl FnOnce() -> Result<T>) -> Result<T> {
    let dir = Place::of(Rc::clone(place.dir()));
    let before = dir.stat()?;
    let done = change()?;
    if let Some(stat) = before {
        dir.set_time(stat.mtime)?;
    }
    Ok(done)
}

fn missing<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Error::Open { source, .. })
            if matches!(
                source.source.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests;
