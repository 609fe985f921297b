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

use super::lock;
use super::place::split;
use super::request::Request;
use super::target::Target;
use crate::rootfs::{Device, DeviceKind};
use crate::sys::errno::Errno;
use crate::sys::native::{self, open_flags};
use crate::sys::path::device_parts;

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
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Whether a path may lead to a node that has a device over it.
    pub(super) fn concern(&self, path: &CStr) -> bool {
        self.any() || path.to_bytes().starts_with(b"/dev/")
    }

    /// The mount of a node, and the file beneath.
    pub(super) fn find(&self, target: &Target) -> Option<(u64, Arc<OwnedFd>)> {
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

    pub(super) fn forget(&self, mount: u64) {
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

/// Whether a node has a device over it, ours or what another mount namespace has copied of it: the
/// root of its mount is a device.
pub(super) fn is_covered(target: &Target) -> bool {
    target.native().is_ok_and(|native| native.is_char_device())
        && native::is_mount(target.path(), target.follow())
}
