//! Extended attributes (xattr(7)): access control lists for users who are not there, capabilities,
//! and the attributes that are bryo's own.
//!
//! Access control lists are stored without the users and groups that the kernel cannot map: modes,
//! of the file and of those that inherit from it, come out as on a real system, and getfacl(1) does
//! not show the entries that were left out.
//!
//! Records are left out of listings. Reading is trapped only as far as programs read what was not
//! listed to them, a capability: most read what was, and a bryo in the sandbox keeps its own records
//! as this one does, which reads them. What carries the record of a link, a fifo or a socket is its
//! `security.capability` ([`rootfs::is_hidden`]); nobody has a use for a real one there, and who sets
//! one is refused (`EOPNOTSUPP`, as on a file system without).

use std::collections::HashSet;
use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::credentials::{Capability, Credentials};
use super::request::{Reply, Request};
use super::tables::Call;
use super::target::{self, Target};
use super::{Answer, acl, control, lock, owner};
use crate::rootfs::{self, FileType};
use crate::sys::errno::Errno;
use crate::sys::native::{self, Attributes};

const CAPABILITY: &str = "security.capability";
const DEFAULT_ACL: &CStr = c"system.posix_acl_default";

/// `XATTR_SIZE_MAX`.
const LONGEST_VALUE: u64 = 64 << 10;

/// `XATTR_CREATE` and `XATTR_REPLACE`.
const CREATE: u32 = 1;
const REPLACE: u32 = 2;

/// Whom an attribute concerns, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// An access control list: the file's owner's.
    Acl,
    Capability,
    /// `user.…`: theirs who may write the file.
    User,
    /// Kept by the kernel for who is root outside, or by a security module.
    Privileged,
    /// The kernel's, and for it to judge.
    Other,
}

impl Class {
    fn of(name: &CStr) -> Self {
        let name = name.to_bytes();
        if name == CAPABILITY.as_bytes() {
            Self::Capability
        } else if [&b"system.posix_acl_access"[..], b"system.posix_acl_default"].contains(&name) {
            Self::Acl
        } else if name.starts_with(b"user.") {
            Self::User
        } else if name.starts_with(b"security.") || name.starts_with(b"trusted.") {
            Self::Privileged
        } else {
            Self::Other
        }
    }
}

/// Files whose access control lists say more than what is kept of them: nobody is refused anything
/// there.
#[derive(Debug, Default)]
pub(super) struct Acls {
    any: AtomicBool,
    files: Mutex<HashSet<(u64, u64)>>,
}

impl Acls {
    fn add(&self, file: &Attributes) {
        lock(&self.files).insert((file.dev, file.ino));
        self.any.store(true, Ordering::Release);
    }

    pub(super) fn has(&self, file: &Attributes) -> bool {
        self.any.load(Ordering::Acquire) && lock(&self.files).contains(&(file.dev, file.ino))
    }
}

/// A change of one attribute that the emulation has a word to say about.
struct Change {
    target: Target,
    name: CString,
    class: Class,
    native: Attributes,
}

/// `setxattr` and its kin.
pub(super) fn set(request: &Request<'_>) -> Reply {
    let Some(change) = Change::prepare(request)? else { return Ok(Answer::Continue) };
    let (address, size, flags) = match request.call() {
        Call::Setxattrat => {
            // struct xattr_args, the same everywhere; a later kernel may know a longer one.
            let mut arguments = [0; 16];
            if request.arg(5) < arguments.len() as u64 {
                return Ok(Answer::Continue);
            }
            request.read(request.arg(4), &mut arguments)?;
            let word = |at| control::narrow(&arguments, at);
            (control::number(&arguments, 0, 8), word(8).into(), word(12))
        }
        _ => (request.arg(2), request.arg(3), request.word(4)),
    };
    if size > LONGEST_VALUE || flags & !(CREATE | REPLACE) != 0 {
        return Ok(Answer::Continue);
    }
    let mut value = vec![0; usize::try_from(size).map_err(|_| Errno::TOOBIG)?];
    request.read(address, &mut value)?;
    match change.class {
        Class::Acl => match acl::without_foreign_ids(&value) {
            Some(_) if change.is_in_vain() => Err(Errno::ACCESS),
            Some(ours) => {
                let done = change.set(&ours, flags)?;
                request.shared().acls.add(&change.native);
                Ok(done)
            }
            // The kernel would change the device.
            None if change.target.is_held() => change.set(&value, flags),
            None => Ok(Answer::Continue),
        },
        Class::Capability => change.set_capability(request, &value, flags),
        Class::User | Class::Other => Ok(Answer::Continue),
        Class::Privileged => change.note(request, change.set(&value, flags)),
    }
}

/// `removexattr` and its kin.
pub(super) fn remove(request: &Request<'_>) -> Reply {
    let Some(change) = Change::prepare(request)? else { return Ok(Answer::Continue) };
    match change.class {
        Class::Capability => change.remove_capability(request),
        Class::Acl if change.target.is_held() => change.remove(),
        Class::Acl | Class::User | Class::Other => Ok(Answer::Continue),
        Class::Privileged => change.note(request, change.remove()),
    }
}

/// `getxattr` and its kin, from who reads a capability: what carries a record has none.
pub(super) fn get(request: &Request<'_>) -> Reply {
    if Class::of(&request.text_at(request.arg(1))?) != Class::Capability {
        return Ok(Answer::Continue);
    }
    let found = place(request).and_then(|(target, _)| target.native());
    match found {
        Ok(native) if rootfs::is_hidden(CAPABILITY.as_ref(), FileType::of(native.mode)) => {
            Err(Errno::NODATA)
        }
        // Whatever this thread cannot find the kernel may, or knows the right error for.
        Ok(_) | Err(_) => Ok(Answer::Continue),
    }
}

/// `listxattr` and its kin.
pub(super) fn list(request: &Request<'_>) -> Reply {
    let found = place(request).and_then(|(target, next)| {
        let names = native::list_attributes(target.path(), target.follow())?;
        Ok((shown(&names, || kind(&target)), next))
    });
    // Whatever this thread cannot find the kernel may, or knows the right error for.
    let Ok((names, next)) = found else { return Ok(Answer::Continue) };
    let (address, size) = (request.arg(next), request.arg(next + 1));
    let length = names.len() as u64;
    if size != 0 && length != 0 {
        if size < length {
            return Err(Errno::RANGE);
        }
        request.write(address, &names)?;
    }
    Ok(Answer::Value(length.cast_signed()))
}

fn kind(target: &Target) -> FileType {
    target.native().map_or(FileType::File, |native| FileType::of(native.mode))
}

/// Without the names of attributes that carry a record. The kind of the file is asked for only if it
/// matters.
fn shown(names: &[u8], kind: impl FnOnce() -> FileType) -> Vec<u8> {
    let all = || names.split_inclusive(|byte| *byte == 0);
    let bare = |name: &[u8]| OsStr::from_bytes(name.strip_suffix(b"\0").unwrap_or(name)).to_owned();
    let kind = match all().any(|name| bare(name) == CAPABILITY) {
        true => kind(),
        false => FileType::File,
    };
    all().filter(|name| !rootfs::is_hidden(&bare(name), kind)).flatten().copied().collect()
}

/// The file that a call is about, and the first argument behind it.
fn place(request: &Request<'_>) -> Result<(Target, usize), Errno> {
    let target = match request.call() {
        Call::Setxattr | Call::Removexattr | Call::Getxattr | Call::Listxattr => {
            request.target(None, 0, true)?
        }
        Call::Lsetxattr | Call::Lremovexattr | Call::Lgetxattr | Call::Llistxattr => {
            request.target(None, 0, false)?
        }
        Call::Fsetxattr | Call::Fremovexattr | Call::Fgetxattr | Call::Flistxattr => {
            // A handle has no attributes, though its path in /proc does.
            if native::is_handle(&request.steal(request.int(0))?)? {
                return Err(Errno::BADF);
            }
            request.target_descriptor(request.int(0))?
        }
        _ => return Ok((owner::at(request, 0, 1, request.word(2), owner::Missing::IsEmpty)?, 3)),
    };
    Ok((target, 1))
}

impl Change {
    /// Finds out what is to be changed, and whether that is allowed; `None` when the kernel is to
    /// do it.
    ///
    /// # Errors
    ///
    /// `EPERM` and `EACCES`, by the rules of the kernel's `xattr_permission()` and of
    /// security/commoncap.c.
    fn prepare(request: &Request<'_>) -> Result<Option<Self>, Errno> {
        let name = match request.call() {
            Call::Setxattrat | Call::Removexattrat => 3,
            _ => 1,
        };
        let name = request.text_at(request.arg(name))?;
        let class = Class::of(&name);
        let credentials = request.credentials()?;
        let needed = match class {
            Class::Acl => Capability::FOwner,
            Class::Capability => Capability::SetFCap,
            Class::Privileged => Capability::SysAdmin,
            Class::User => Capability::DacOverride,
            Class::Other => return Ok(None),
        };
        let is_capable = credentials.may(needed);
        if class == Class::User && is_capable {
            return Ok(None);
        }
        let found = place(request).and_then(|(target, _)| Ok((target.native()?, target)));
        let Ok((native, target)) = found else { return Ok(None) };
        let change = Self { target, name, class, native };
        if !is_capable && !change.is_in_vain() {
            let mut file = native;
            let record = change.target.record(request.shared(), &native);
            target::apply(&mut file, Some(&request.presume(record, &credentials)));
            // A bryo that this user runs keeps records of its own.
            let is_own_record = change.is_of_record() && credentials.uid.fs == file.uid;
            if !is_own_record {
                may_change(class, &credentials, &file)?;
            }
        }
        Ok(Some(change))
    }

    /// Whether it is about what new files inherit, of what is no directory: nobody may set that, and
    /// everybody may remove it.
    fn is_in_vain(&self) -> bool {
        self.name.as_c_str() == DEFAULT_ACL && !self.native.is_dir()
    }

    fn set(&self, value: &[u8], flags: u32) -> Reply {
        let (path, follow) = (self.target.path(), self.target.follow());
        native::set_attribute(path, follow, &self.name, value, flags)?;
        Ok(Answer::Value(0))
    }

    fn remove(&self) -> Reply {
        native::remove_attribute(self.target.path(), self.target.follow(), &self.name)?;
        Ok(Answer::Value(0))
    }

    /// On a file system that keeps no capabilities, they stand in the file's record.
    fn set_capability(&self, request: &Request<'_>, value: &[u8], flags: u32) -> Reply {
        if self.is_of_record() {
            return match rootfs::is_record(value) {
                true => Ok(Answer::Continue),
                false if !request.credentials()?.may(Capability::SetFCap) => Err(Errno::PERM),
                false => Err(self.refuse(request, Errno::OPNOTSUPP)),
            };
        }
        let shared = request.shared();
        let mut record = self.target.record(shared, &self.native).unwrap_or_default();
        let recorded = record.xattrs.contains_key(OsStr::new(CAPABILITY));
        match self.set(value, flags) {
            // The file system may have changed its mind: one of the two is enough.
            Ok(done) if recorded => {
                record.xattrs.remove(OsStr::new(CAPABILITY));
                self.target.set_record(shared, &self.native, &record)?;
                Ok(done)
            }
            Err(Errno::OPNOTSUPP) if self.native.is_file() => {
                match (recorded, flags & CREATE != 0, flags & REPLACE != 0) {
                    (true, true, _) => return Err(Errno::EXIST),
                    (false, _, true) => return Err(Errno::NODATA),
                    _ => {}
                }
                record.xattrs.insert(CAPABILITY.into(), value.to_vec());
                self.target.set_record(shared, &self.native, &record)?;
                Ok(Answer::Value(0))
            }
            reply => self.note(request, reply),
        }
    }

    fn remove_capability(&self, request: &Request<'_>) -> Reply {
        // A change of owner to root has removed it, if it was for a bryo here to remove.
        if self.is_of_record() {
            return Err(Errno::NODATA);
        }
        let removed = self.remove();
        if matches!(removed, Err(Errno::NODATA | Errno::OPNOTSUPP)) {
            let shared = request.shared();
            let mut record = self.target.record(shared, &self.native).unwrap_or_default();
            if record.xattrs.remove(OsStr::new(CAPABILITY)).is_some() {
                self.target.set_record(shared, &self.native, &record)?;
                return Ok(Answer::Value(0));
            }
        }
        self.note(request, removed)
    }

    /// Whether the attribute is what carries the file's record.
    fn is_of_record(&self) -> bool {
        let name = OsStr::from_bytes(self.name.to_bytes());
        rootfs::is_hidden(name, FileType::of(self.native.mode))
    }

    /// Notes what real root could have done.
    fn note(&self, request: &Request<'_>, reply: Reply) -> Reply {
        match reply {
            Err(errno @ (Errno::PERM | Errno::OPNOTSUPP)) => Err(self.refuse(request, errno)),
            reply => reply,
        }
    }

    fn refuse(&self, request: &Request<'_>, errno: Errno) -> Errno {
        let path = match request.call() {
            Call::Fsetxattr | Call::Fremovexattr => native::read_link(self.target.path()).ok(),
            Call::Setxattrat | Call::Removexattrat => request.text(1).ok().map(CString::into_bytes),
            _ => request.text(0).ok().map(CString::into_bytes),
        };
        let path = path.unwrap_or_default();
        let (path, name) = (OsStr::from_bytes(&path), OsStr::from_bytes(self.name.to_bytes()));
        request.refuse(format_args!("{}({path:?}, {name:?})", request.name()), errno)
    }
}

/// Whether somebody without the capability for it may change attributes of a class.
fn may_change(class: Class, credentials: &Credentials, file: &Attributes) -> Result<(), Errno> {
    const STICKY: u32 = 0o1000;
    const WRITE: u32 = 0o2;
    let owns = credentials.uid.fs == file.uid;
    match class {
        Class::Acl if owns => Ok(()),
        Class::User => {
            let is_group = credentials.in_group(file.gid);
            let bits = file.mode
                >> if owns {
                    6
                } else if is_group {
                    3
                } else {
                    0
                };
            let is_owner = owns || credentials.may(Capability::FOwner);
            let may_have_them =
                file.is_file() || file.is_dir() && (file.mode & STICKY == 0 || is_owner);
            if !may_have_them {
                Err(Errno::PERM)
            } else if bits & WRITE == 0 {
                Err(Errno::ACCESS)
            } else {
                Ok(())
            }
        }
        _ => Err(Errno::PERM),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_class() {
        let rows = [
            (c"system.posix_acl_access", Class::Acl),
            (c"system.posix_acl_default", Class::Acl),
            (c"system.nfs4_acl", Class::Other),
            (c"security.capability", Class::Capability),
            (c"security.selinux", Class::Privileged),
            (c"trusted.overlay.opaque", Class::Privileged),
            (c"user.rootlesscontainers", Class::User),
            (c"user.mime_type", Class::User),
            (c"", Class::Other),
        ];
        for (name, class) in rows {
            assert_eq!(Class::of(name), class, "{name:?}");
        }
    }

    #[test]
    fn records_are_not_shown() {
        let names = b"user.a\0user.rootlesscontainers\0security.capability\0user.b\0";
        let on_file = shown(names, || FileType::File);
        assert_eq!(on_file, b"user.a\0security.capability\0user.b\0");
        let on_link = shown(names, || FileType::Symlink);
        assert_eq!(on_link, b"user.a\0user.b\0");
        let unasked = shown(b"user.a\0", || panic!("the kind does not matter"));
        assert_eq!(unasked, b"user.a\0");
        assert_eq!(shown(b"", || FileType::File), b"");
        assert_eq!(shown(b"user.rootlesscontainers\0", || FileType::File), b"");
    }

    #[test]
    fn attributes_belong_to_owners_and_writers() {
        const DIR: u32 = 0o040_000;
        const FILE: u32 = 0o100_000;
        let app = Credentials::root()
            .setgroups(vec![9])
            .and_then(|c| c.setgid(7))
            .and_then(|c| c.setuid(7))
            .expect("root may");
        let rows = [
            (Class::Acl, FILE | 0o400, 7, 0, Ok(())),
            (Class::Acl, FILE | 0o777, 0, 7, Err(Errno::PERM)),
            (Class::Capability, FILE | 0o777, 7, 7, Err(Errno::PERM)),
            (Class::Privileged, FILE | 0o777, 7, 7, Err(Errno::PERM)),
            (Class::User, FILE | 0o600, 7, 7, Ok(())),
            (Class::User, FILE | 0o466, 7, 7, Err(Errno::ACCESS)),
            (Class::User, FILE | 0o060, 0, 7, Ok(())),
            (Class::User, FILE | 0o060, 0, 9, Ok(())),
            (Class::User, FILE | 0o606, 0, 9, Err(Errno::ACCESS)),
            (Class::User, FILE | 0o666, 0, 0, Ok(())),
            (Class::User, FILE | 0o664, 0, 0, Err(Errno::ACCESS)),
            (Class::User, DIR | 0o1777, 0, 0, Err(Errno::PERM)),
            (Class::User, DIR | 0o1777, 7, 0, Ok(())),
            (Class::User, DIR | 0o777, 0, 0, Ok(())),
        ];
        for (class, mode, uid, gid, expected) in rows {
            let file = Attributes { mode, uid, gid, ..Attributes::default() };
            let found = may_change(class, &app, &file);
            assert_eq!(found, expected, "{class:?} {mode:o} {uid}:{gid}");
        }
    }
}
