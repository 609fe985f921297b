//! Owners: chown and its kin write records, stat and its kin show them.

use super::credentials::{Capability, UNCHANGED};
use super::layout::statx;
use super::request::{Reply, Request};
use super::tables::Call;
use super::target::{self, Target};
use super::{Answer, process};
use crate::rootfs::Record;
use crate::sys::errno::Errno;
use crate::sys::native::{self, Attributes};
use crate::sys::path::{device_number, device_parts};

const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
const AT_EMPTY_PATH: u32 = 0x1000;

/// What `newfstatat` knows: `AT_SYMLINK_NOFOLLOW`, `AT_NO_AUTOMOUNT`, `AT_EMPTY_PATH`, and how fresh
/// the answer has to be, which it ignores.
const STAT_FLAGS: u32 = AT_SYMLINK_NOFOLLOW | 0x800 | AT_EMPTY_PATH | 0x6000;

/// The setuid and the setgid bit.
const SET_ID: u32 = 0o6000;

/// What the kernel does not tell about a file unless it is asked; owner, kind and mode are needed.
const STATX_NEEDED: u32 = 0x1 | 0x2 | 0x8 | 0x10;

pub(super) fn chown(request: &Request<'_>) -> Reply {
    let (target, ids) = match request.call() {
        Call::Chown => (request.target(None, 0, true)?, 1),
        Call::Lchown => (request.target(None, 0, false)?, 1),
        Call::Fchown => (open_file(request, request.int(0))?, 1),
        _ => {
            let flags = request.word(4);
            if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
                return Err(Errno::INVAL);
            }
            (at(request, 0, 1, flags, Missing::IsWrong)?, 2)
        }
    };
    let (uid, gid) = (request.id(ids), request.id(ids + 1));
    let native = target.native()?;
    let recorded = target.record(request.shared(), &native);
    let credentials = request.credentials()?;
    let old = request.presume(recorded, &credentials);
    // The kernel's chown_ok() and chgrp_ok().
    if !credentials.may(Capability::Chown) {
        let owns = credentials.uid.fs == old.uid;
        let user_stays = uid == UNCHANGED || owns && uid == old.uid;
        let group_is_own =
            gid == UNCHANGED || owns && (gid == old.gid || credentials.in_group(gid));
        // To take these bits away is a change of mode.
        let loses_bits = native.mode & SET_ID != 0 && !native.is_dir();
        let keeps_mode = !loses_bits || owns || credentials.may(Capability::FOwner);
        if !user_stays || !group_is_own || !keeps_mode {
            return Err(Errno::PERM);
        }
    }
    match native::chown_to_root(target.path(), target.follow(), uid != UNCHANGED, gid != UNCHANGED)
    {
        Ok(()) => {}
        // The host's file, lent by a bind mount. It is as good as root's, and stays what it is.
        Err(Errno::PERM) => return Ok(Answer::Value(0)),
        Err(errno) => return Err(errno),
    }
    let keep = |new: u32, old: u32| if new == UNCHANGED { old } else { new };
    let mut new = Record { uid: keep(uid, old.uid), gid: keep(gid, old.gid), ..old };
    // Capabilities do not survive a change of owner.
    if native.is_file() {
        new.xattrs.clear();
    }
    target.set_record(request.shared(), &native, &new)?;
    Ok(Answer::Value(0))
}

pub(super) fn stat(request: &Request<'_>) -> Reply {
    let (target, buffer) = match request.call() {
        Call::Stat => (request.glimpse(None, 0, true), 1),
        Call::Lstat => (request.glimpse(None, 0, false), 1),
        Call::Fstat => (request.target_descriptor(request.int(0)), 1),
        _ if request.word(3) & !STAT_FLAGS != 0 => return Err(Errno::INVAL),
        _ => (seen_at(request, request.word(3)), 2),
    };
    let layout = request.trapped().layout.ok_or(Errno::NOSYS)?;
    // Whatever this thread cannot find the kernel may, or knows the right error for.
    let Some(attributes) = target.and_then(|target| attributes(request, &target)).ok() else {
        return Ok(Answer::Continue);
    };
    request.write(request.arg(buffer), &layout.encode(&attributes)?)?;
    Ok(Answer::Value(0))
}

/// What a process is told about a file.
fn attributes(request: &Request<'_>, target: &Target) -> Result<Attributes, Errno> {
    let mut attributes = target.native()?;
    let record = record(request, target, &attributes);
    target::apply(&mut attributes, record.as_ref());
    Ok(attributes)
}

pub(super) fn statx(request: &Request<'_>) -> Reply {
    let (flags, mask) = (request.word(2), request.word(3));
    // Asked for by the kernel's structure itself, so that what it knows and we do not is kept.
    let found = seen_at(request, flags).and_then(|target| {
        let follow = if target.follow() { 0 } else { AT_SYMLINK_NOFOLLOW };
        let flags = flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) | follow;
        Ok((native::statx(target.path(), flags, mask | STATX_NEEDED)?, target))
    });
    let Ok((mut told, target)) = found else {
        return Ok(Answer::Continue);
    };
    let mut attributes = decode(&told);
    let record = record(request, &target, &attributes);
    target::apply(&mut attributes, record.as_ref());
    patch(&mut told, &attributes);
    request.write(request.arg(4), &told)?;
    Ok(Answer::Value(0))
}

/// As much of the kernel's `struct statx` as says which file it is, and what [`patch`] changes.
fn decode(told: &[u8; statx::SIZE]) -> Attributes {
    let word = |at: usize| u32::from_ne_bytes(told[at..at + 4].try_into().expect("four bytes"));
    let long = |at: usize| u64::from_ne_bytes(told[at..at + 8].try_into().expect("eight bytes"));
    let mode = u16::from_ne_bytes([told[statx::MODE], told[statx::MODE + 1]]);
    Attributes {
        dev: device_number(word(statx::DEV_MAJOR), word(statx::DEV_MINOR)),
        ino: long(statx::INO),
        mode: mode.into(),
        uid: word(statx::UID),
        gid: word(statx::GID),
        rdev: device_number(word(statx::RDEV_MAJOR), word(statx::RDEV_MINOR)),
        size: long(statx::LENGTH),
        blocks: long(statx::BLOCKS),
        ..Attributes::default()
    }
}

/// Writes into the structure what a record changes.
fn patch(told: &mut [u8; statx::SIZE], attributes: &Attributes) {
    let (major, minor) = device_parts(attributes.rdev);
    for (at, word) in [
        (statx::UID, attributes.uid),
        (statx::GID, attributes.gid),
        (statx::RDEV_MAJOR, major),
        (statx::RDEV_MINOR, minor),
    ] {
        told[at..at + 4].copy_from_slice(&word.to_ne_bytes());
    }
    for (at, long) in [(statx::LENGTH, attributes.size), (statx::BLOCKS, attributes.blocks)] {
        told[at..at + 8].copy_from_slice(&long.to_ne_bytes());
    }
    let mode = u16::try_from(attributes.mode).expect("the kernel's own modes have 16 bits");
    told[statx::MODE..statx::MODE + 2].copy_from_slice(&mode.to_ne_bytes());
}

/// What is recorded of a file; of a file in `/proc`, what is known about its process.
pub(super) fn record(
    request: &Request<'_>,
    target: &Target,
    native: &Attributes,
) -> Option<Record> {
    match process::owner(request, target, native) {
        Some((uid, gid)) => Some(Record::owner(uid, gid)),
        None => target.record(request.shared(), native),
    }
}

/// What it means that an argument points to no path at all.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// The path is empty: so the calls of the stat family since Linux 6.11, and later ones.
    IsEmpty,
    IsWrong,
}

/// The file that a call of the `…at` family means.
pub(super) fn at(
    request: &Request<'_>,
    directory: usize,
    path: usize,
    flags: u32,
    missing: Missing,
) -> Result<Target, Errno> {
    if flags & AT_EMPTY_PATH != 0 {
        let none = missing == Missing::IsEmpty && request.arg(path) == 0;
        if none || request.text(path)?.is_empty() {
            return request.target_descriptor(request.int(directory));
        }
    }
    request.target(Some(directory), path, flags & AT_SYMLINK_NOFOLLOW == 0)
}

/// The file that a call of the stat family means by its first two arguments.
fn seen_at(request: &Request<'_>, flags: u32) -> Result<Target, Errno> {
    match flags & AT_EMPTY_PATH {
        0 => request.glimpse(Some(0), 1, flags & AT_SYMLINK_NOFOLLOW == 0),
        _ => at(request, 0, 1, flags, Missing::IsEmpty),
    }
}

/// The file behind a descriptor that is more than a handle (`O_PATH`): such may be looked at, but
/// not changed.
fn open_file(request: &Request<'_>, descriptor: i32) -> Result<Target, Errno> {
    let target = request.target_descriptor(descriptor)?;
    // What is hidden beneath a device is reached by a handle of our own.
    if target.is_held() {
        return Ok(target);
    }
    // The link in /proc has the modes that the file was opened with.
    let link = native::stat(target.path(), false).map_err(|_| Errno::BADF)?;
    if link.mode & 0o600 == 0 { Err(Errno::BADF) } else { Ok(target) }
}
