//! Nodes of harmless devices work: over the file that stands for one ([`super::node`]), the device
//! itself is mounted, as the sandbox's `/dev` has it.
//!
//! To the processes a node is no mount point, though. What changes a node rather than the device (its
//! owner, its mode, its times) means the file beneath; that file is also what [`beneath`] finds for
//! every other handler. To remove, move or link a mount point is refused only to those who live in
//! its mount namespace (the kernel's `is_local_mountpoint`), and a worker does not: the kernel takes
//! the mount away or moves it along (`detach_mounts`, Linux 3.18).
//!
//! All that costs other calls one look at a flag, as long as there is no such node. The devices of
//! the sandbox's own `/dev` are mounted in the same way, and are removed and moved in the same way
//! when their path says that it is them: `mv /dev/random /dev/random.real` is a usual thing to do.

use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::credentials::Capability;
use super::place::{Place, is_privileged, split};
use super::request::{CURRENT_DIRECTORY, Reply, Request};
use super::tables::Call;
use super::target::Target;
use super::{Answer, lock};
use crate::rootfs::{Device, DeviceKind};
use crate::sys::errno::Errno;
use crate::sys::native::{self, open_flags};
use crate::sys::path::device_parts;

const S_ISGID: u32 = 0o2000;
const AT_REMOVEDIR: u32 = 0x200;
const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
const AT_SYMLINK_FOLLOW: u32 = 0x400;
const RENAME_EXCHANGE: u32 = 1 << 1;

/// Character devices that nobody can do harm with, and where the sandbox has them.
const HARMLESS: [((u32, u32), &CStr); 6] = [
    ((1, 3), c"/dev/null"),
    ((1, 5), c"/dev/zero"),
    ((1, 7), c"/dev/full"),
    ((1, 8), c"/dev/random"),
    ((1, 9), c"/dev/urandom"),
    ((5, 0), c"/dev/tty"),
];

/// How many nodes may work at a time; each costs bryo a descriptor.
const MOST: usize = 128;

/// The nodes over which a device is mounted.
#[derive(Debug, Default)]
pub(super) struct Devices {
    any: AtomicBool,
    /// The file beneath each, by the mount's number.
    nodes: Mutex<HashMap<u64, Arc<OwnedFd>>>,
}

impl Devices {
    fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Whether a path may lead to a node that has a device over it.
    fn concern(&self, path: &CStr) -> bool {
        self.any() || path.to_bytes().starts_with(b"/dev/")
    }

    /// The mount of a node, and the file beneath.
    fn find(&self, target: &Target) -> Option<(u64, Arc<OwnedFd>)> {
        if !self.any() {
            return None;
        }
        // A mount that went with its namespace may have left its number to another one.
        target.native().ok().filter(native::Attributes::is_char_device)?;
        let mount = native::mount_of(target.path(), target.follow()).ok()?;
        Some((mount, lock(&self.nodes).get(&mount)?.clone()))
    }

    fn add(&self, mount: u64, beneath: OwnedFd) {
        lock(&self.nodes).insert(mount, Arc::new(beneath));
        self.any.store(true, Ordering::Release);
    }

    fn forget(&self, mount: u64) {
        let mut nodes = lock(&self.nodes);
        nodes.remove(&mount);
        self.any.store(!nodes.is_empty(), Ordering::Release);
    }
}

/// Lets a node be the device that it stands for, if that one is harmless. `name` is the node's, from
/// the worker's directory.
///
/// It stays an empty file where that does not work, as when bryo has no such device itself.
pub(super) fn bind(request: &Request<'_>, name: &CStr, device: Device) {
    let number = (device.major, device.minor);
    let Some((_, source)) = HARMLESS.iter().find(|(harmless, _)| *harmless == number) else {
        return;
    };
    let devices = &request.shared().devices;
    if device.kind != DeviceKind::Char || lock(&devices.nodes).len() >= MOST {
        return;
    }
    let Ok(beneath) = native::handle(name, false) else { return };
    let (proc, thread) = (&request.shared().proc, request.thread());
    let mounted = thread::scope(|scope| {
        // A thread that moves to a mount namespace does so for good.
        let mounter = || mount(proc, thread, source, number, &beneath);
        thread::Builder::new().spawn_scoped(scope, mounter).ok()?.join().ok()
    });
    if matches!(mounted, Some(Ok(())))
        && let Ok(mount) = native::mount_of(name, false)
    {
        devices.add(mount, beneath);
    }
}

/// Mounts a device over a file, in the mount namespace of a process, for which `proc` has a number.
fn mount(
    proc: &OwnedFd,
    thread: i32,
    source: &CStr,
    number: (u32, u32),
    beneath: &OwnedFd,
) -> Result<(), Errno> {
    let is_it = |device: &OwnedFd| {
        let found = native::stat(&native::own_descriptor(device), true)?;
        let same = found.is_char_device() && device_parts(found.rdev) == number;
        if same { Ok(()) } else { Err(Errno::NODEV) }
    };
    native::own_place()?;
    // bryo's own, for the sandbox's may be gone: beside its `/proc`.
    let ours = native::copy_mount(proc, &[b"..", source.to_bytes()].concat());
    let namespace = native::open_at(proc, &format!("{thread}/ns/mnt"))?;
    native::enter_mount_namespace(namespace)?;
    // The descriptors below are named from here.
    native::change_directory_to(proc)?;
    if let Ok(device) = ours {
        is_it(&device)?;
        return native::attach_mount(&device, beneath);
    }
    // Before Linux 5.2.
    let device = native::handle(source, true)?;
    is_it(&device)?;
    native::bind(&native::own_descriptor(&device), &native::own_descriptor(beneath))
}

/// The file beneath, if a target is such a node.
pub(super) fn beneath(request: &Request<'_>, target: Target) -> Result<Target, Errno> {
    match request.shared().devices.find(&target) {
        Some((_, file)) => request.held(file),
        None => Ok(target),
    }
}

/// Lets the nodes in the `/dev` of a directory work that is about to become somebody's root.
pub(super) fn equip(request: &Request<'_>, root: &Target) -> Result<(), Errno> {
    request.stand_in(&root.handle()?)?;
    // No link: it would not lead where it will.
    request.stand_in(&Target::new(c"dev".to_owned(), false).handle()?)?;
    for (_, path) in HARMLESS {
        let Some((_, name)) = split(path) else { continue };
        let node = Target::new(name, false);
        let Some(native) = node.native().ok().filter(native::Attributes::is_file) else { continue };
        let record = node.record(request.shared(), &native);
        if let Some(device) = record.and_then(|record| record.device) {
            bind(request, node.path(), device);
        }
    }
    Ok(())
}

/// Opens a node that is there although the process would also have made it.
///
/// In a sticky directory the kernel would refuse that (`fs.protected_regular`, which is about devices
/// as well): the device belongs to nobody here.
pub(super) fn open(
    request: &Request<'_>,
    directory: i32,
    path: &CStr,
    flags: u32,
) -> Option<OwnedFd> {
    let making = open_flags::CREAT | open_flags::EXCL;
    if flags & making != open_flags::CREAT || !request.shared().devices.any() {
        return None;
    }
    let follow = flags & open_flags::NOFOLLOW == 0;
    let target = request.topmost_of(directory, path, follow).ok()?;
    request.shared().devices.find(&target)?;
    native::open(target.path(), flags & !making, 0).ok()
}

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

/// Whether a node has a device over it, ours or what another mount namespace has copied of it: the
/// root of its mount is a device.
fn is_covered(target: &Target) -> bool {
    target.native().is_ok_and(|native| native.is_char_device())
        && native::is_mount(target.path(), target.follow())
}

pub(super) fn rename(request: &Request<'_>) -> Reply {
    let (old, new, flags) = match request.call() {
        Call::Rename => ((CURRENT_DIRECTORY, 0), (CURRENT_DIRECTORY, 1), 0),
        Call::Renameat => ((request.int(0), 1), (request.int(2), 3), 0),
        _ => ((request.int(0), 1), (request.int(2), 3), request.word(4)),
    };
    let devices = &request.shared().devices;
    let (old_path, new_path) = (request.text(old.1)?, request.text(new.1)?);
    may_remove(request, old.0, &old_path)?;
    may_remove(request, new.0, &new_path)?;
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
        bind(request, node.path(), device);
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
    let found = request.target_of(directory, path, follow);
    let Ok((native, target)) = found.and_then(|target| Ok((target.native()?, target))) else {
        return Ok(());
    };
    let credentials = request.credentials()?;
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

/// chmod of an open file, which is the kernel's affair unless that is a device of ours.
pub(super) fn chmod_open(request: &Request<'_>) -> Reply {
    if !request.shared().devices.any() {
        return Ok(Answer::Continue);
    }
    let Ok(target) = request.target_descriptor(request.int(0)) else {
        return Ok(Answer::Continue);
    };
    if !target.is_held() {
        return Ok(Answer::Continue);
    }
    native::change_mode(target.path(), request.word(1) & 0o7777)?;
    Ok(Answer::Value(0))
}

pub(super) fn chmod(request: &Request<'_>) -> Reply {
    let (directory, path, mode, flags) = match request.call() {
        Call::Chmod => (CURRENT_DIRECTORY, 0, 1, 0),
        Call::Fchmodat => (request.int(0), 1, 2, 0),
        _ => (request.int(0), 1, 2, request.word(3)),
    };
    let credentials = request.credentials()?;
    let (devices, path) = (&request.shared().devices, request.text(path)?);
    let privileged = is_privileged(&credentials) && credentials.may(Capability::FSetId);
    if privileged && !devices.concern(&path) || flags & !AT_SYMLINK_NOFOLLOW != 0 {
        return Ok(Answer::Continue);
    }
    let found = request.target_of(directory, &path, flags & AT_SYMLINK_NOFOLLOW == 0);
    let Ok((native, target)) = found.and_then(|target| Ok((target.native()?, target))) else {
        return Ok(Answer::Continue);
    };
    let record = request.presume(target.record(request.shared(), &native), &credentials);
    if credentials.uid.fs != record.uid && !credentials.may(Capability::FOwner) {
        return Err(Errno::PERM);
    }
    let wanted = request.word(mode) & 0o7777;
    let keeps_group = credentials.in_group(record.gid) || credentials.may(Capability::FSetId);
    let mode = if keeps_group { wanted } else { wanted & !S_ISGID };
    if target.is_held() || mode != wanted && target.follow() {
        native::change_mode(target.path(), mode)?;
    } else if is_covered(&target) {
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
    let Some(file) = changed(request, directory, path, flags)? else {
        return Ok(Answer::Continue);
    };
    let times = match request.arg(times) {
        0 => None,
        address => Some(read_times(request, address)?),
    };
    native::change_times(file.path(), times)?;
    Ok(Answer::Value(0))
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
