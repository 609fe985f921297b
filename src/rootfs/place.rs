//! [`Place`]: a name in an open directory, whether something has it or not.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::dirs::Dir;
use super::meta::{FileType, Meta, Time, Xattrs, is_portable};
use super::owner::{Carrier, Record, is_hidden};
use super::side_table::SideTable;
use super::{Error, Result, remove};
use crate::sys::path::{self as kernel, Stat, Want};
use crate::sys::{self, xattr};

/// A name in an open directory. No call follows a symbolic link.
#[derive(Debug, Clone)]
pub struct Place {
    dir: Rc<Dir>,
    name: OsString,
}

impl Place {
    /// A name in a directory.
    pub fn new(dir: Rc<Dir>, name: impl Into<OsString>) -> Self {
        Self { dir, name: name.into() }
    }

    /// The directory itself, as a place.
    pub fn of(dir: Rc<Dir>) -> Self {
        Self::new(dir, ".")
    }

    /// Where it is, without symbolic links on the way.
    pub fn path(&self) -> PathBuf {
        if self.name == "." { self.dir.path().to_owned() } else { self.dir.path().join(&self.name) }
    }

    /// Whether it is the root directory, which nothing can replace.
    pub fn is_root(&self) -> bool {
        self.name == "." && self.dir.path().as_os_str().is_empty()
    }

    pub fn name(&self) -> &OsStr {
        &self.name
    }

    pub fn dir(&self) -> &Rc<Dir> {
        &self.dir
    }

    /// The host's path, for messages.
    pub fn shown(&self) -> PathBuf {
        self.dir.base().join(self.path())
    }

    pub(super) fn stat(&self) -> Result<Option<Stat>> {
        kernel::stat_at(self.dir.fd(), &self.name)
            .map_err(|source| Error::Inspect { path: self.shown(), source })
    }

    /// What is there, by its record; `None` when nothing is.
    pub fn meta(&self, records: &SideTable) -> Result<Option<Meta>> {
        let Some(stat) = self.stat()? else { return Ok(None) };
        let record = self.record_of(stat.kind, records)?;
        Ok(Some(Meta::new(&stat, record.as_ref())))
    }

    /// What is recorded about the file that is there.
    pub fn record(&self, records: &SideTable) -> Result<Option<Record>> {
        match self.stat()? {
            Some(stat) => self.record_of(stat.kind, records),
            None => Ok(None),
        }
    }

    fn record_of(&self, kind: FileType, records: &SideTable) -> Result<Option<Record>> {
        let on_file = match Carrier::of(kind) {
            Some(carrier) if !self.dir.is_plain() => self.recorded(carrier)?,
            _ => None,
        };
        let in_table = if records.is_empty() { None } else { records.get(&self.path()) };
        Ok(Record::merge(on_file, in_table))
    }

    /// The record that the file itself carries. One that may not be read has none for us; that
    /// happens only outside of a user namespace, and there to files that are not an image's.
    fn recorded(&self, carrier: Carrier) -> Result<Option<Record>> {
        match xattr::get_at(self.dir.fd(), &self.name, carrier.attribute().as_ref()) {
            Ok(None) => Ok(None),
            Ok(Some(bytes)) => {
                carrier.decode(&bytes).map_err(|_| Error::Record { path: self.shown() })
            }
            Err(e) if io_kind(&e) == io::ErrorKind::PermissionDenied => Ok(None),
            Err(source) => Err(Error::Inspect { path: self.shown(), source }),
        }
    }

    /// Writes down what the file cannot say itself: on the file, else in the table. `kind` is what
    /// the kernel takes it for.
    pub fn set_record(
        &self,
        kind: FileType,
        record: Record,
        records: &mut SideTable,
    ) -> Result<()> {
        if !self.write_record(kind, record, records)?
            && let Some(carrier) = Carrier::of(kind)
        {
            self.remove_xattr(carrier.attribute())?;
        }
        Ok(())
    }

    /// As [`Self::set_record`], for something that was made just now and has no record yet.
    pub fn add_record(
        &self,
        kind: FileType,
        record: Record,
        records: &mut SideTable,
    ) -> Result<()> {
        if record.is_plain() {
            return Ok(());
        }
        self.write_record(kind, record, records).map(drop)
    }

    /// Whether the file carries a part of the record now.
    fn write_record(
        &self,
        kind: FileType,
        mut record: Record,
        records: &mut SideTable,
    ) -> Result<bool> {
        let mut carried = false;
        if let Some(carrier) = Carrier::of(kind) {
            let value = carrier.encode(&record);
            carried = !value.is_empty() && self.set_xattr(carrier.attribute().as_ref(), &value)?;
            if carried {
                record = carrier.rest(record);
            }
        }
        if !(record.is_plain() && records.is_empty()) {
            records.set(self.path(), record);
        }
        Ok(carried)
    }

    /// Sets an extended attribute; false when this caller, kind of file or file system cannot have
    /// it.
    pub fn set_xattr(&self, attribute: &OsStr, value: &[u8]) -> Result<bool> {
        match xattr::set_at(self.dir.fd(), &self.name, attribute, value) {
            Ok(()) => Ok(true),
            Err(e) if refuses_xattr(&e) => Ok(false),
            Err(source) => Err(Error::Attributes { path: self.shown(), source }),
        }
    }

    /// Sets the attributes of `xattrs` that belong to an image, and returns those that this caller,
    /// `kind` of file or file system cannot have.
    pub fn set_xattrs(&self, kind: FileType, xattrs: Xattrs) -> Result<Xattrs> {
        let mut left = Xattrs::new();
        for (name, value) in xattrs {
            if is_portable(&name) && (is_hidden(&name, kind) || !self.set_xattr(&name, &value)?) {
                left.insert(name, value);
            }
        }
        Ok(left)
    }

    /// The attributes of a file of this `kind` that belong to the image, without those that were
    /// only recorded.
    pub fn xattrs(&self, kind: FileType) -> Result<Xattrs> {
        let fail = |source| Error::Inspect { path: self.shown(), source };
        let mut xattrs = Xattrs::new();
        for name in xattr::list_at(self.dir.fd(), &self.name).map_err(fail)? {
            if is_portable(&name)
                && !is_hidden(&name, kind)
                && let Some(value) =
                    xattr::get_at(self.dir.fd(), &self.name, &name).map_err(fail)?
            {
                xattrs.insert(name, value);
            }
        }
        Ok(xattrs)
    }

    /// What is there and its attributes, the recorded ones included: [`Self::meta`],
    /// [`Self::xattrs`] and [`Self::record`] with the fewest calls. `None` when nothing is there.
    pub fn describe(&self, records: &SideTable) -> Result<Option<(Meta, Xattrs)>> {
        let Some(stat) = self.stat()? else { return Ok(None) };
        let fail = |source| Error::Inspect { path: self.shown(), source };
        let carrier = Carrier::of(stat.kind).filter(|_| !self.dir.is_plain());
        let mut xattrs = Xattrs::new();
        let mut on_file = None;
        for name in xattr::list_at(self.dir.fd(), &self.name).map_err(fail)? {
            match carrier {
                Some(carrier) if name == carrier.attribute() => on_file = self.recorded(carrier)?,
                _ if is_portable(&name) => {
                    let value = xattr::get_at(self.dir.fd(), &self.name, &name).map_err(fail)?;
                    xattrs.extend(value.map(|value| (name, value)));
                }
                _ => {}
            }
        }
        let in_table = if records.is_empty() { None } else { records.get(&self.path()) };
        let record = Record::merge(on_file, in_table);
        let meta = Meta::new(&stat, record.as_ref());
        for (name, value) in record.into_iter().flat_map(|record| record.xattrs) {
            xattrs.entry(name).or_insert(value);
        }
        Ok(Some((meta, xattrs)))
    }

    /// One attribute, whomever it belongs to.
    pub fn xattr(&self, attribute: &str) -> Result<Option<Vec<u8>>> {
        xattr::get_at(self.dir.fd(), &self.name, OsStr::new(attribute))
            .map_err(|source| Error::Inspect { path: self.shown(), source })
    }

    /// Removes an attribute, whomever it belongs to.
    pub fn remove_xattr(&self, attribute: &str) -> Result<()> {
        xattr::remove_at(self.dir.fd(), &self.name, OsStr::new(attribute))
            .map_err(|source| Error::Attributes { path: self.shown(), source })
    }

    /// Opens the file for reading.
    pub fn open(&self) -> Result<File> {
        kernel::open_at(self.dir.fd(), &self.name, Want::Read)
            .map(File::from)
            .map_err(|source| Error::Open { path: self.shown(), source })
    }

    /// Opens the file for writing, and reading, its content.
    pub(super) fn open_to_write(&self) -> Result<File> {
        kernel::open_at(self.dir.fd(), &self.name, Want::Write)
            .map(File::from)
            .map_err(|source| Error::Open { path: self.shown(), source })
    }

    pub fn read_link(&self) -> Result<PathBuf> {
        kernel::read_link_at(self.dir.fd(), &self.name)
            .map_err(|source| Error::Inspect { path: self.shown(), source })
    }

    /// Makes a file, for its owner alone so far. `None` when something is there.
    pub fn create(&self) -> Result<Option<File>> {
        match kernel::create_at(self.dir.fd(), &self.name, 0o600) {
            Ok(fd) => Ok(Some(fd.into())),
            Err(e) => self.unless_there(e).map(|()| None),
        }
    }

    /// Makes a directory, for its owner alone so far. False when something is there.
    pub fn make_dir(&self) -> Result<bool> {
        kernel::make_dir_at(self.dir.fd(), &self.name, 0o700)
            .map_err(|source| Error::Make { path: self.shown(), source })
    }

    /// Makes a symbolic link. False when something is there.
    pub fn make_symlink(&self, target: &Path) -> Result<bool> {
        self.made(kernel::symlink_at(target, self.dir.fd(), &self.name))
    }

    /// Makes a fifo. False when something is there.
    pub fn make_fifo(&self) -> Result<bool> {
        self.made(kernel::make_fifo_at(self.dir.fd(), &self.name, 0o600))
    }

    /// Makes overlayfs's whiteout. False when something is there; `None` when the kernel (before
    /// Linux 5.8) or the file system has none for us.
    pub fn make_whiteout(&self) -> Result<Option<bool>> {
        match kernel::make_whiteout_at(self.dir.fd(), &self.name) {
            Err(e) if refuses_node(&e) => Ok(None),
            done => self.made(done).map(Some),
        }
    }

    /// Gives the file at `target` this name too. False when something is there.
    ///
    /// # Errors
    ///
    /// [`Error::Link`], also when there is nothing to link to or when the file system allows no
    /// more links (see [`Error::no_more_links`]).
    pub fn link(&self, target: &Self) -> Result<bool> {
        match kernel::link_at(target.dir.fd(), &target.name, self.dir.fd(), &self.name) {
            Ok(()) => Ok(true),
            Err(e) if io_kind(&e) == io::ErrorKind::AlreadyExists => Ok(false),
            Err(source) => Err(Error::Link { path: self.shown(), target: target.shown(), source }),
        }
    }

    /// Moves what is here to another place of the same root, where nothing or a file is.
    pub fn rename(&self, to: &Self) -> Result<()> {
        kernel::rename_at(self.dir.fd(), &self.name, to.dir.fd(), &to.name)
            .map_err(|source| Error::Make { path: to.shown(), source })
    }

    fn made(&self, result: sys::Result<()>) -> Result<bool> {
        match result {
            Ok(()) => Ok(true),
            Err(e) => self.unless_there(e).map(|()| false),
        }
    }

    fn unless_there(&self, error: sys::Error) -> Result<()> {
        if io_kind(&error) == io::ErrorKind::AlreadyExists {
            return Ok(());
        }
        Err(Error::Make { path: self.shown(), source: error })
    }

    /// Removes what is there, a whole tree if need be. False when nothing is.
    pub fn remove(&self) -> Result<bool> {
        if self.name == "." {
            return Err(Error::IsRoot { path: self.shown() });
        }
        remove::remove_at(self.dir.fd(), &self.name, &self.shown())
    }

    pub fn set_mode(&self, mode: u32) -> Result<()> {
        kernel::set_mode_at(self.dir.fd(), &self.name, mode)
            .map_err(|source| Error::Attributes { path: self.shown(), source })
    }

    /// Lets its owner change a directory of that mode, which is to get its final one later.
    pub fn unlock(&self, mode: u32) -> Result<()> {
        if mode & 0o700 == 0o700 { Ok(()) } else { self.set_mode(mode | 0o700) }
    }

    /// Sets the times of access and of modification; of a symbolic link, its own.
    pub fn set_time(&self, time: Time) -> Result<()> {
        kernel::set_times_at(self.dir.fd(), &self.name, time)
            .map_err(|source| Error::Attributes { path: self.shown(), source })
    }

    /// Mode and time of a file that is open still, which is the cheapest way.
    pub fn finish(&self, file: &File, mode: u32, time: Time) -> Result<()> {
        kernel::set_mode(file, mode)
            .and_then(|()| kernel::set_times(file, time))
            .map_err(|source| Error::Attributes { path: self.shown(), source })
    }
}

impl Error {
    /// What is wrong with a name, if it, and not the file system, is why something could not be
    /// made.
    pub fn misnamed(&self) -> Option<&'static str> {
        const EINVAL: i32 = 22;
        const EFBIG: i32 = 27;
        const ENAMETOOLONG: i32 = 36;
        const ELOOP: i32 = 40;
        let errno = match self {
            Self::Open { source, .. } | Self::Inspect { source, .. } => source.errno(),
            Self::Make { source, .. } | Self::Link { source, .. } => source.errno(),
            Self::Write { source, .. } => source.raw_os_error(),
            _ => None,
        };
        match errno? {
            ELOOP => Some("symbolic links lead round in a circle on its way"),
            ENAMETOOLONG => Some("a name in it, or in its target, is too long"),
            EINVAL => Some("it has a name that no file can have"),
            EFBIG => Some("it is larger than a file can be here"),
            _ => None,
        }
    }

    /// Whether a hard link could not be made because the file has as many as it can have, or lies
    /// where no link can reach: copying helps.
    pub fn no_more_links(&self) -> bool {
        const EPERM: i32 = 1;
        const EXDEV: i32 = 18;
        const EMLINK: i32 = 31;
        const EOPNOTSUPP: i32 = 95;
        matches!(self, Self::Link { source, .. }
            if matches!(source.errno(), Some(EPERM | EXDEV | EMLINK | EOPNOTSUPP)))
    }
}

fn io_kind(error: &sys::Error) -> io::ErrorKind {
    error.source.kind()
}

fn refuses_node(error: &sys::Error) -> bool {
    matches!(
        io_kind(error),
        io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput
    )
}

pub(super) fn refuses_xattr(error: &sys::Error) -> bool {
    const ERANGE: i32 = 34;
    // No room: ext4 keeps all attributes of a file in one block and says ENOSPC when they do not
    // fit. A disk that is really full shows with the next byte that is written.
    matches!(
        io_kind(error),
        io::ErrorKind::PermissionDenied
            | io::ErrorKind::Unsupported
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::StorageFull
            | io::ErrorKind::ArgumentListTooLong
    ) || error.errno() == Some(ERANGE)
}
