//! [`Place`]: where a process is about to make a file, and whose that one will be.
//!
//! The kernel gives each new file to root, which is right for nearly all of them: so only two kinds
//! are made here instead. Those of a process that believes to be somebody else, and those in a
//! directory that passes its recorded group on (`S_ISGID`), whoever makes them.

use std::cell::OnceCell;
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::credentials::{Capability, Credentials};
use super::request::{CURRENT_DIRECTORY, Request};
use super::target::Target;
use crate::rootfs::{Device, Record};
use crate::sys::errno::Errno;
use crate::sys::native::{self, Attributes};
use crate::sys::process;

const S_ISVTX: u32 = 0o1000;
const S_ISGID: u32 = 0o2000;
const S_IXGRP: u32 = 0o0010;

/// What a directory must allow whom that makes something in it: to write and to search.
const MAKE: u32 = 0o3;

/// A name in a directory, for a file that is not there yet.
#[derive(Debug)]
pub(super) struct Place<'r> {
    request: &'r Request<'r>,
    directory: Directory,
    name: CString,
    credentials: Arc<Credentials>,
    mode: u32,
    owner: OnceCell<Record>,
}

/// A directory, as a worker has found it.
#[derive(Debug)]
enum Directory {
    /// Until it looks for something else.
    Path(Target, Attributes),
    Handle(OwnedFd),
}

/// What became of a new file.
#[derive(Debug)]
pub(super) enum Made<T> {
    Here(T),
    /// There is something of that name already.
    Exists,
    /// It could not be made, for a reason that the kernel is to tell the process.
    Not,
}

impl<'r> Place<'r> {
    /// Where `path` leads from a descriptor of the thread, without following its last component.
    /// `resolve` are flags of openat2(2).
    ///
    /// # Errors
    ///
    /// When there is no such directory, or the path has no name at its end. The kernel finds the
    /// same and says it better.
    pub(super) fn find(
        request: &'r Request<'r>,
        directory: i32,
        path: &CStr,
        resolve: u64,
    ) -> Result<Self, Errno> {
        let (parent, name) = split(path).ok_or(Errno::ISDIR)?;
        Self::new(request, directory, &parent, name, resolve)
    }

    /// A file without a name, in the directory that `path` itself is.
    pub(super) fn inside(
        request: &'r Request<'r>,
        directory: i32,
        path: &CStr,
        resolve: u64,
    ) -> Result<Self, Errno> {
        Self::new(request, directory, path, c".".to_owned(), resolve)
    }

    fn new(
        request: &'r Request<'r>,
        directory: i32,
        path: &CStr,
        name: CString,
        resolve: u64,
    ) -> Result<Self, Errno> {
        let credentials = request.credentials()?;
        let (directory, attributes) = if resolve == 0 {
            let target = request.target_of(directory, path, true)?;
            let attributes = target.native()?;
            (Directory::Path(target, attributes), attributes)
        } else {
            // Paths of the worker's own process; nobody asks for them like this.
            if path.to_bytes().starts_with(b"/proc") {
                return Err(Errno::OPNOTSUPP);
            }
            // First, because it takes the thread's root, too.
            request.topmost_of(CURRENT_DIRECTORY, c".", true)?;
            request.stand_in(&request.target_descriptor(directory)?.handle()?)?;
            let handle = native::directory_within(path, resolve)?;
            request.stand_in(&handle)?;
            (Directory::Handle(handle), native::stat(c".", true)?)
        };
        if !attributes.is_dir() {
            return Err(Errno::NOTDIR);
        }
        let mode = attributes.mode;
        Ok(Self { request, directory, name, credentials, mode, owner: OnceCell::new() })
    }

    /// Whether a file here is root's, as the kernel itself would make it. For root in an ordinary
    /// directory that takes no look at records.
    pub(super) fn is_roots(&self) -> bool {
        self.credentials.uid.fs == 0 && self.group() == 0
    }

    /// The owner of a file that is made here (the kernel's `inode_init_owner`).
    pub(super) fn record(&self) -> Record {
        Record::owner(self.credentials.uid.fs, self.group())
    }

    fn group(&self) -> u32 {
        if self.mode & S_ISGID == 0 { self.credentials.gid.fs } else { self.owner().gid }
    }

    /// What is recorded of the directory.
    fn owner(&self) -> &Record {
        self.owner.get_or_init(|| {
            let shared = self.request.shared();
            let found = match &self.directory {
                Directory::Path(target, attributes) => target.record(shared, attributes),
                Directory::Handle(_) => {
                    let here = Target::new(c".".to_owned(), true);
                    here.native().ok().and_then(|attributes| here.record(shared, &attributes))
                }
            };
            found.unwrap_or_default()
        })
    }

    /// The permissions of a file that is made here with `mode`, before the umask.
    pub(super) fn permissions(&self, mode: u32) -> u32 {
        let member =
            || self.credentials.in_group(self.group()) || self.credentials.may(Capability::FSetId);
        permissions(mode, self.mode & S_ISGID != 0, member)
    }

    /// Whether the directory lets the process make something in it.
    fn is_permitted(&self) -> bool {
        self.credentials.may(Capability::DacOverride) || !self.request.knows_creators() || {
            let owner = self.owner();
            let is_own = self.credentials.uid.fs == owner.uid;
            let in_group = || self.credentials.in_group(owner.gid);
            permits(self.mode, is_own, in_group, MAKE) || self.has_foreign_acl()
        }
    }

    fn has_foreign_acl(&self) -> bool {
        match &self.directory {
            Directory::Path(_, attributes) => self.request.shared().acls.has(attributes),
            Directory::Handle(_) => false,
        }
    }

    /// Whether the process may take the name away from what has it now (the kernel's
    /// `may_delete`); if there is nothing, it is for the kernel to say so.
    ///
    /// # Errors
    ///
    /// `EACCES` when it may not write to the directory, `EPERM` when that is sticky and the file
    /// somebody else's.
    pub(super) fn may_remove(&self) -> Result<(), Errno> {
        if is_privileged(&self.credentials) || !self.request.knows_creators() {
            return Ok(());
        }
        let (permitted, user) = (self.is_permitted(), self.credentials.uid.fs);
        let is_own_directory = self.owner().uid == user;
        self.enter()?;
        let target = Target::new(self.name.clone(), false);
        let Ok(native) = target.native() else { return Ok(()) };
        if !permitted {
            return Err(Errno::ACCESS);
        }
        if self.mode & S_ISVTX == 0 || is_own_directory || self.credentials.may(Capability::FOwner)
        {
            return Ok(());
        }
        let record = target.record(self.request.shared(), &native).unwrap_or_default();
        if record.uid == user { Ok(()) } else { Err(Errno::PERM) }
    }

    /// Whether the process may give something this name; if something has it, it is for the kernel to
    /// say so.
    ///
    /// # Errors
    ///
    /// `EACCES` when it may not write to the directory.
    pub(super) fn may_make(&self) -> Result<(), Errno> {
        if self.is_permitted() || !self.is_free() { Ok(()) } else { Err(Errno::ACCESS) }
    }

    /// Makes a file by `action`, which gets the name, relative to the working directory, and the
    /// process's umask in force; then records its owner.
    ///
    /// # Errors
    ///
    /// `EACCES` when the process has no right to make something here, or why the owner could not be
    /// recorded.
    pub(super) fn make<T>(
        &self,
        action: impl FnOnce(&CStr) -> Result<T, Errno>,
    ) -> Result<Made<T>, Errno> {
        self.make_with(action, |_| Ok(Target::new(self.name.clone(), false)), &self.record())
    }

    /// As [`Self::make`], of an empty file that stands for a device.
    pub(super) fn make_device<T>(
        &self,
        device: Device,
        action: impl FnOnce(&CStr) -> Result<T, Errno>,
    ) -> Result<Made<T>, Errno> {
        let record = Record { device: Some(device), ..self.record() };
        self.make_with(action, |_| Ok(Target::new(self.name.clone(), false)), &record)
    }

    /// As [`Self::make`], of an open file that has no name.
    pub(super) fn make_unnamed(
        &self,
        action: impl FnOnce(&CStr) -> Result<OwnedFd, Errno>,
    ) -> Result<Made<OwnedFd>, Errno> {
        self.make_with(action, |file| self.request.own_descriptor(file), &self.record())
    }

    fn make_with<T>(
        &self,
        action: impl FnOnce(&CStr) -> Result<T, Errno>,
        target: impl FnOnce(&T) -> Result<Target, Errno>,
        record: &Record,
    ) -> Result<Made<T>, Errno> {
        let unnamed = self.name.as_bytes() == b".";
        // Asked now, because afterwards the worker looks from elsewhere.
        let permitted = self.is_permitted();
        if self.enter().is_err() {
            return Ok(Made::Not);
        }
        // Many are; that much cheaper to see than the umask.
        if !unnamed && native::stat(&self.name, false).is_ok() {
            return Ok(Made::Exists);
        }
        if !permitted {
            return Err(Errno::ACCESS);
        }
        process::set_umask(self.request.umask()?);
        let made = match action(&self.name) {
            Ok(made) => made,
            Err(Errno::EXIST) => return Ok(Made::Exists),
            Err(_) => return Ok(Made::Not),
        };
        let recorded = target(&made)
            .and_then(|target| target.set_record(self.request.shared(), &target.native()?, record));
        // It must not stay root's unnoticed.
        recorded.map_err(|errno| {
            let what = format_args!("{}({:?}): its owner", self.request.name(), self.name);
            self.request.refuse(what, errno)
        })?;
        Ok(Made::Here(made))
    }

    pub(super) fn name(&self) -> &CStr {
        &self.name
    }

    /// Whether there is nothing of the name yet, as far as can be seen.
    pub(super) fn is_free(&self) -> bool {
        self.enter().and_then(|()| native::stat(&self.name, false)) == Err(Errno::NOENT)
    }

    /// Makes the directory the worker's own.
    fn enter(&self) -> Result<(), Errno> {
        match &self.directory {
            Directory::Path(target, _) => self.request.stand_in(&target.handle()?),
            Directory::Handle(handle) => self.request.stand_in(handle),
        }
    }

    /// The path to which a symbolic link of this name leads and where there is nothing yet, relative
    /// to where `path`, the link's own, began. The worker stands in the directory.
    pub(super) fn dangles_to(&self, path: &CStr) -> Option<CString> {
        let leads_to = native::read_link(&self.name).ok()?;
        let nothing = native::stat(&self.name, true) == Err(Errno::NOENT);
        (nothing && !leads_to.starts_with(b"/proc")).then(|| join(path, &leads_to)).flatten()
    }
}

/// Whether permissions say nothing to a process, as they do to root.
pub(super) fn is_privileged(credentials: &Credentials) -> bool {
    credentials.may(Capability::DacOverride) && credentials.may(Capability::FOwner)
}

/// The kernel's `mode_strip_sgid`: in a directory that passes its group on, a program with that
/// group's rights can only be made by a member.
fn permissions(mode: u32, inherits_group: bool, member: impl FnOnce() -> bool) -> u32 {
    let is_setgid_program = mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP;
    if is_setgid_program && inherits_group && !member() { mode & !S_ISGID } else { mode }
}

/// The kernel's `acl_permission_check`: the first class that one belongs to decides alone.
pub(super) fn permits(
    mode: u32,
    is_owner: bool,
    in_group: impl FnOnce() -> bool,
    wanted: u32,
) -> bool {
    let shift = match is_owner {
        true => 6,
        false if in_group() => 3,
        false => 0,
    };
    mode >> shift & wanted == wanted
}

/// The directory's path and the name in it; `None` if the path does not end in a name.
pub(super) fn split(path: &CStr) -> Option<(CString, CString)> {
    let path = path.to_bytes();
    let end_of_parent = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    let (parent, name) = path.split_at(end_of_parent);
    let parent = if parent.is_empty() { b"." } else { parent };
    let is_name = !matches!(name, b"" | b"." | b"..");
    is_name.then(|| Some((CString::new(parent).ok()?, CString::new(name).ok()?))).flatten()
}

/// Where a symbolic link at `path` leads, in the terms of that path.
fn join(path: &CStr, leads_to: &[u8]) -> Option<CString> {
    if leads_to.starts_with(b"/") {
        return CString::new(leads_to).ok();
    }
    let (parent, _) = split(path)?;
    CString::new([parent.to_bytes(), b"/", leads_to].concat()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_split_at_their_last_name() {
        for (path, parts) in [
            (c"a", Some((c".", c"a"))),
            (c"/a", Some((c"/", c"a"))),
            (c"a/b", Some((c"a/", c"b"))),
            (c"/a//b", Some((c"/a//", c"b"))),
            (c"../...", Some((c"../", c"..."))),
            (c"", None),
            (c"/", None),
            (c"a/", None),
            (c"a/.", None),
            (c"..", None),
        ] {
            let parts = parts.map(|(parent, name)| (parent.to_owned(), name.to_owned()));
            assert_eq!(split(path), parts, "{path:?}");
        }
    }

    #[test]
    fn links_lead_from_where_they_stand() {
        for (path, leads_to, end) in [
            (c"link", "file", c"./file"),
            (c"/a/link", "b/file", c"/a//b/file"),
            (c"a/link", "../file", c"a//../file"),
            (c"a/link", "/file", c"/file"),
        ] {
            assert_eq!(join(path, leads_to.as_bytes()).as_deref(), Some(end), "{path:?}");
        }
    }

    #[test]
    fn the_first_class_decides() {
        for (mode, is_owner, in_group, permitted) in [
            (0o755, true, false, true),
            (0o755, false, true, false),
            (0o775, false, true, true),
            (0o775, false, false, false),
            (0o1777, false, false, true),
            // An owner who has locked himself out, and a group that was.
            (0o077, true, true, false),
            (0o707, false, true, false),
            (0o702, false, false, false),
        ] {
            let found = permits(mode, is_owner, || in_group, MAKE);
            assert_eq!(found, permitted, "{mode:o} {is_owner} {in_group}");
        }
    }

    #[test]
    fn only_members_make_programs_of_a_group() {
        for (mode, inherits, member, made) in [
            (0o2755, true, false, 0o0755),
            (0o6755, true, false, 0o4755),
            (0o2755, true, true, 0o2755),
            (0o2755, false, false, 0o2755),
            // Mandatory locking, once; no program.
            (0o2644, true, false, 0o2644),
            (0o0777, true, false, 0o0777),
        ] {
            assert_eq!(permissions(mode, inherits, || member), made, "{mode:o}");
        }
    }
}
