//! Changes of what is there: to remove, rename, link, chmod, and to set times. The kernel does them
//! well for root; here is what it would not ask anybody else, and what concerns the nodes of
//! [`device`].

use std::ffi::CStr;

use super::credentials::{Capability, Credentials};
use super::device::{self, is_covered};
use super::place::{Place, is_privileged, split};
use super::request::{CURRENT_DIRECTORY, Reply, Request};
use super::tables::Call;
use super::target::Target;
use super::{Answer, permission};
use crate::sys::errno::Errno;
use crate::sys::native;

const S_ISGID: u32 = 0o2000;
const AT_REMOVEDIR: u32 = 0x200;
const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
const AT_SYMLINK_FOLLOW: u32 = 0x400;
const RENAME_NOREPLACE: u32 = 1;
const RENAME_EXCHANGE: u32 = 1 << 1;

pub(super) fn unlink(request: &Request<'_>) -> Reply {
    let (directory, path, flags) = match request.call() {
        Call::Unlink => (CURRENT_DIRECTORY, 0, 0),
        Call::Rmdir => (CURRENT_DIRECTORY, 0, AT_REMOVEDIR),
        _ => (request.int(0), 1, request.word(2)),
    };
    let devices = &request.shared().devices;
    let path = request.text(path)?;
    may_remove(request, directory, &path)?;
    if !devices.concern(&path) {
        return Ok(Answer::Continue);
    }
    let found = request.topmost_of(directory, &path, false);
    let is_node = |node: &Target| flags & AT_REMOVEDIR == 0 && is_covered(node);
    let Some(node) = found.ok().filter(is_node) else { return Ok(Answer::Continue) };
    let known = devices.find(&node);
    native::unlink(node.path())?;
    if let Some((mount, _)) = known {
        devices.forget(mount);
    }
    Ok(Answer::Value(0))
}

/// Whether a process that is not root may take a name away: the kernel, to which all are root, would
/// not ask.
fn may_remove(request: &Request<'_>, directory: i32, path: &CStr) -> Result<(), Errno> {
    if is_privileged(&*request.credentials()?) {
        return Ok(());
    }
    Place::find(request, directory, path, 0).map_or(Ok(()), |place| place.may_remove())
}

/// Whether a process that is not root may move a directory to another one, which changes it: it must
/// be allowed to write to it.
fn may_reparent(
    request: &Request<'_>,
    (from, old): (i32, &CStr),
    (to, new): (i32, &CStr),
) -> Result<(), Errno> {
    let credentials = request.credentials()?;
    if is_privileged(&credentials) || !request.knows_creators() {
        return Ok(());
    }
    let parent = |directory, path| {
        let (parent, _) = split(path)?;
        let found = request.target_of(directory, &parent, true).ok()?.native().ok()?;
        found.is_dir().then_some((found.dev, found.ino))
    };
    let moves = parent(from, old).zip(parent(to, new)).is_some_and(|(from, to)| from != to);
    let found = request.target_of(from, old, false);
    let found = found.and_then(|target| Ok((target.native()?, target)));
    let Ok((native, target)) = found else { return Ok(()) };
    let writes = permission::WRITE;
    let may = !moves
        || !native.is_dir()
        || permission::is_permitted(request, &credentials, &target, &native, writes);
    if may { Ok(()) } else { Err(Errno::ACCESS) }
}

/// Whether a process that is not root may give something a new name.
fn may_make(request: &Request<'_>, directory: i32, path: &CStr) -> Result<(), Errno> {
    if is_privileged(&*request.credentials()?) {
        return Ok(());
    }
    Place::find(request, directory, path, 0).map_or(Ok(()), |place| place.may_make())
}

pub(super) fn rename(request: &Request<'_>) -> Reply {
    let (old, new, flags) = match request.call() {
        Call::Rename => ((CURRENT_DIRECTORY, 0), (CURRENT_DIRECTORY, 1), 0),
        Call::Renameat => ((request.int(0), 1), (request.int(2), 3), 0),
        _ => ((request.int(0), 1), (request.int(2), 3), request.word(4)),
    };
    let devices = &request.shared().devices;
    let (old_path, new_path) = (request.text(old.1)?, request.text(new.1)?);
    let is_there = || request.topmost_of(old.0, &old_path, false).and_then(|old| old.native());
    may_remove(request, old.0, &old_path)?;
    let replaces = || request.topmost_of(new.0, &new_path, false).and_then(|new| new.native());
    let is_refused = || {
        is_there().is_err()
            || flags & RENAME_NOREPLACE != 0 && replaces().is_ok()
            || flags & RENAME_EXCHANGE != 0 && replaces().is_err()
    };
    if !is_privileged(&*request.credentials()?) && is_refused() {
        return Ok(Answer::Continue);
    }
    may_remove(request, new.0, &new_path)?;
    may_make(request, new.0, &new_path)?;
    may_reparent(request, (old.0, &old_path), (new.0, &new_path))?;
    if flags & RENAME_EXCHANGE != 0 {
        may_reparent(request, (new.0, &new_path), (old.0, &old_path))?;
    }
    if !devices.concern(&old_path) && !devices.concern(&new_path) {
        return Ok(Answer::Continue);
    }
    let find = |directory, path: &CStr| {
        let node = request.topmost_of(directory, path, false).ok()?;
        let (covered, known) = (is_covered(&node), devices.find(&node));
        let (parent, name) = split(path)?;
        let parent = request.target_of(directory, &parent, true).ok()?.handle().ok()?;
        Some((covered, known, parent, name))
    };
    let (Some(old), Some(new)) = (find(old.0, &old_path), find(new.0, &new_path)) else {
        return Ok(Answer::Continue);
    };
    if !old.0 && !new.0 {
        return Ok(Answer::Continue);
    }
    native::rename((&old.2, &old.3), (&new.2, &new.3), flags)?;
    if let Some((mount, _)) = new.1
        && flags & RENAME_EXCHANGE == 0
    {
        devices.forget(mount);
    }
    Ok(Answer::Value(0))
}

pub(super) fn link(request: &Request<'_>) -> Reply {
    let devices = &request.shared().devices;
    let privileged = is_privileged(&*request.credentials()?);
    if privileged && !devices.any() {
        return Ok(Answer::Continue);
    }
    let (old, new, follow) = match request.call() {
        Call::Link => ((CURRENT_DIRECTORY, 0), (CURRENT_DIRECTORY, 1), false),
        _ => {
            let follow = request.word(4) & AT_SYMLINK_FOLLOW != 0;
            ((request.int(0), 1), (request.int(2), 3), follow)
        }
    };
    let (old_path, new_path) = (request.text(old.1)?, request.text(new.1)?);
    if !privileged {
        may_link(request, (old.0, &old_path, follow), (new.0, &new_path))?;
    }
    let found = request.topmost_of(old.0, &old_path, follow);
    let Some((_, file)) = found.ok().and_then(|target| devices.find(&target)) else {
        return Ok(Answer::Continue);
    };
    let Some((parent, name)) = split(&new_path) else { return Ok(Answer::Continue) };
    let parent = request.target_of(new.0, &parent, true)?.handle()?;
    let beneath = native::own_descriptor(&*file);
    native::link((&request.shared().proc, &beneath), (&parent, &name))?;
    request.stand_in(&parent)?;
    let node = Target::new(name, false);
    let record = node.record(request.shared(), &node.native()?);
    if let Some(device) = record.and_then(|record| record.device) {
        device::bind(request, node.path(), device);
    }
    Ok(Answer::Value(0))
}

/// Whether a process that is not root may give a file one more name: its own, or one that it may read
/// and write (the kernel's `may_linkat`, with `fs.protected_hardlinks` as it is everywhere).
fn may_link(
    request: &Request<'_>,
    (directory, path, follow): (i32, &CStr, bool),
    new: (i32, &CStr),
) -> Result<(), Errno> {
    let found = request.target_of(directory, path, follow).and_then(|target| target.native());
    let Ok(native) = found else { return Ok(()) };
    // What keeps the name from being made for everybody comes first.
    let Ok(place) = Place::find(request, new.0, new.1, 0) else { return Ok(()) };
    if !place.is_free() {
        return Ok(());
    }
    let credentials = request.credentials()?;
    let target = request.target_of(directory, path, follow)?;
    let record = target.record(request.shared(), &native).unwrap_or_default();
    let owns = credentials.uid.fs == record.uid || credentials.may(Capability::FOwner);
    let is_plain = native.is_file() && record.device.is_none();
    let may = owns || is_plain && may_be_linked(native.mode, credentials.in_group(record.gid));
    if !may {
        return Err(Errno::PERM);
    }
    Place::find(request, new.0, new.1, 0).map_or(Ok(()), |place| place.may_make())
}

/// Whether somebody who does not own a file may link it: he may read and write it, and it gives
/// nobody more rights than his own (the kernel's `safe_hardlink_source`).
fn may_be_linked(mode: u32, in_group: bool) -> bool {
    const SET_USER: u32 = 0o4000;
    const SET_GROUP: u32 = 0o2010;
    let class = if in_group { mode >> 3 } else { mode };
    mode & SET_USER == 0 && mode & SET_GROUP != SET_GROUP && class & 0o6 == 0o6
}

/// chmod of an open file.
pub(super) fn chmod_open(request: &Request<'_>) -> Reply {
    let credentials = request.credentials()?;
    let privileged = may_change_modes(&credentials);
    if privileged && !request.shared().devices.any() {
        return Ok(Answer::Continue);
    }
    let Ok(target) = request.target_descriptor(request.int(0)) else {
        return Ok(Answer::Continue);
    };
    if privileged && !target.is_held() {
        return Ok(Answer::Continue);
    }
    // A handle is no open file.
    let is_handle = || native::is_handle(request.steal(request.int(0))?);
    if !target.is_held() && is_handle().unwrap_or(true) {
        return Ok(Answer::Continue);
    }
    change_mode(request, &credentials, &target, request.word(1) & 0o7777)
}

pub(super) fn chmod(request: &Request<'_>) -> Reply {
    let (directory, path, mode, flags) = match request.call() {
        Call::Chmod => (CURRENT_DIRECTORY, 0, 1, 0),
        Call::Fchmodat => (request.int(0), 1, 2, 0),
        _ => (request.int(0), 1, 2, request.word(3)),
    };
    let credentials = request.credentials()?;
    let (devices, path) = (&request.shared().devices, request.text(path)?);
    let privileged = may_change_modes(&credentials);
    if privileged && !devices.concern(&path) || flags & !AT_SYMLINK_NOFOLLOW != 0 {
        return Ok(Answer::Continue);
    }
    match request.target_of(directory, &path, flags & AT_SYMLINK_NOFOLLOW == 0) {
        Ok(target) => change_mode(request, &credentials, &target, request.word(mode) & 0o7777),
        Err(_) => Ok(Answer::Continue),
    }
}

/// Whether a process may give every file every mode.
fn may_change_modes(credentials: &Credentials) -> bool {
    is_privileged(credentials) && credentials.may(Capability::FSetId)
}

fn change_mode(
    request: &Request<'_>,
    credentials: &Credentials,
    target: &Target,
    wanted: u32,
) -> Reply {
    let Ok(native) = target.native() else { return Ok(Answer::Continue) };
    let record = request.presume(target.record(request.shared(), &native), credentials);
    if credentials.uid.fs != record.uid && !credentials.may(Capability::FOwner) {
        return Err(Errno::PERM);
    }
    let keeps_group = credentials.in_group(record.gid) || credentials.may(Capability::FSetId);
    let mode = if keeps_group { wanted } else { wanted & !S_ISGID };
    if target.is_held() || mode != wanted && target.follow() {
        native::change_mode(target.path(), mode)?;
    } else if is_covered(target) {
        // The host's, lent by the sandbox's `/dev`: as good as root's, and stays what it is.
    } else {
        return Ok(Answer::Continue);
    }
    Ok(Answer::Value(0))
}

pub(super) fn set_times(request: &Request<'_>) -> Reply {
    let (directory, path, times, flags) = match request.call() {
        Call::Utime | Call::Utimes => (CURRENT_DIRECTORY, 0, 1, 0),
        Call::Futimesat => (request.int(0), 1, 2, 0),
        _ => (request.int(0), 1, 2, request.word(3)),
    };
    let times = match request.arg(times) {
        0 => None,
        address => Some(read_times(request, address)?),
    };
    may_set_times(request, (directory, path, flags), times)?;
    let Some(file) = changed(request, directory, path, flags)? else {
        return Ok(Answer::Continue);
    };
    native::change_times(file.path(), times)?;
    Ok(Answer::Value(0))
}

/// Whether a process that is not root may set the times of a file: its owner may, and to now, also who
/// may write to it (the kernel's `vfs_utimes` and `setattr_prepare`).
fn may_set_times(
    request: &Request<'_>,
    (directory, path, flags): (i32, usize, u32),
    times: Option<[(i64, i64); 2]>,
) -> Result<(), Errno> {
    let credentials = request.credentials()?;
    let is = |nanoseconds| times.is_some_and(|times| times.iter().all(|t| t.1 == nanoseconds));
    if is_privileged(&credentials) || is(native::OMITTED) {
        return Ok(());
    }
    let found = match request.arg(path) {
        0 => request.target_descriptor(directory),
        _ => {
            let follow = flags & AT_SYMLINK_NOFOLLOW == 0;
            request.target_of(directory, &request.text(path)?, follow)
        }
    };
    let Ok((native, target)) = found.and_then(|target| Ok((target.native()?, target))) else {
        return Ok(());
    };
    if permission::owns(request, &credentials, &target, &native) {
        return Ok(());
    }
    if times.is_some() && !is(native::NOW) {
        return Err(Errno::PERM);
    }
    let writes = permission::WRITE;
    match permission::is_permitted(request, &credentials, &target, &native, writes) {
        true => Ok(()),
        false => Err(Errno::ACCESS),
    }
}

/// The file beneath a node whose attributes are to change; `None` for everything else.
fn changed(
    request: &Request<'_>,
    directory: i32,
    path: usize,
    flags: u32,
) -> Result<Option<Target>, Errno> {
    let devices = &request.shared().devices;
    if !devices.any() {
        return Ok(None);
    }
    if request.arg(path) == 0 {
        // Without a path it means an open file.
        let target = request.target_descriptor(directory);
        return Ok(target.ok().filter(Target::is_held));
    }
    let follow = flags & AT_SYMLINK_NOFOLLOW == 0;
    let found = request.topmost_of(directory, &request.text(path)?, follow);
    match found.ok().and_then(|target| devices.find(&target)) {
        Some((_, file)) => request.held(file).map(Some),
        None => Ok(None),
    }
}

/// Access and modification, in the form of the call.
fn read_times(request: &Request<'_>, address: u64) -> Result<[(i64, i64); 2], Errno> {
    let wide = request.abi().pointer_size() == 8 || request.call() == Call::UtimensatTime64;
    let width = if wide { 8 } else { 4 };
    let words = if request.call() == Call::Utime { 2 } else { 4 };
    let mut bytes = [0; 32];
    request.read(address, &mut bytes[..words * width])?;
    let word = |at: usize| match wide {
        true => i64::from_ne_bytes(bytes[at * 8..][..8].try_into().expect("eight bytes")),
        false => i32::from_ne_bytes(bytes[at * 4..][..4].try_into().expect("four bytes")).into(),
    };
    Ok(match request.call() {
        Call::Utime => [0, 1].map(|at| (word(at), 0)),
        Call::Utimes | Call::Futimesat => [0, 2].map(|at| (word(at), word(at + 1) * 1000)),
        // `UTIME_NOW` and `UTIME_OMIT` are values of the nanoseconds.
        _ => [0, 2].map(|at| (word(at), word(at + 1))),
    })
}
