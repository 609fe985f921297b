//! Namespaces: `unshare`, and the uid and gid maps.

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::sched::CloneFlags;

use super::{Error, Result};

/// A kind of namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespace {
    /// The caller must have no other thread.
    User,
    Mount,
    /// Of the children that the calling thread makes from now on, not of itself.
    Pid,
    Ipc,
    Uts,
    Network,
}

/// Moves the calling thread into new namespaces (all of them in one call, or none).
///
/// # Errors
///
/// Those of unshare(2): `ENOSPC` at a limit of `/proc/sys/user`, `EPERM` where a filter, a sysctl
/// or a chroot forbids it, `EINVAL` for a user namespace of a process with several threads.
pub fn unshare(namespaces: &[Namespace]) -> Result<()> {
    let (mut flags, mut names) = (CloneFlags::empty(), Vec::new());
    for namespace in namespaces {
        let (flag, name) = match namespace {
            Namespace::User => (CloneFlags::CLONE_NEWUSER, "CLONE_NEWUSER"),
            Namespace::Mount => (CloneFlags::CLONE_NEWNS, "CLONE_NEWNS"),
            Namespace::Pid => (CloneFlags::CLONE_NEWPID, "CLONE_NEWPID"),
            Namespace::Ipc => (CloneFlags::CLONE_NEWIPC, "CLONE_NEWIPC"),
            Namespace::Uts => (CloneFlags::CLONE_NEWUTS, "CLONE_NEWUTS"),
            Namespace::Network => (CloneFlags::CLONE_NEWNET, "CLONE_NEWNET"),
        };
        flags |= flag;
        names.push(name);
    }
    nix::sched::unshare(flags).map_err(|e| Error::new(format!("unshare({})", names.join("|")), e))
}

/// Gives up `setgroups` for the process's user namespace: the kernel's condition for mapping a
/// group without privilege (Linux 3.19).
pub fn deny_setgroups() -> Result<()> {
    write("/proc/self/setgroups", "deny")
}

/// Maps one user of the parent namespace, to root.
pub fn map_user_to_root(uid: u32) -> Result<()> {
    write("/proc/self/uid_map", &format!("0 {uid} 1"))
}

/// Maps one group of the parent namespace, to root.
pub fn map_group_to_root(gid: u32) -> Result<()> {
    write("/proc/self/gid_map", &format!("0 {gid} 1"))
}

/// The inode number of the process's user namespace; no two that exist have the same.
pub fn user_namespace() -> Result<u64> {
    let path = Path::new("/proc/self/ns/user");
    let metadata =
        path.metadata().map_err(|e| Error::new(format!("stat({:?})", path.as_os_str()), e))?;
    Ok(metadata.ino())
}

/// Whether root of the process's user namespace is somebody else outside of it.
pub fn root_is_somebody_else() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let mut ids = map.lines().map(str::split_whitespace);
    ids.any(|mut ids| ids.next() == Some("0") && ids.next() != Some("0"))
}

/// What this machine is called.
pub fn host_name() -> Option<String> {
    nix::unistd::gethostname().ok()?.into_string().ok()
}

/// The user and the group that root of the process's user namespace is outside of it; the process's
/// own where it has a wider map, or none.
pub fn outside() -> (u32, u32) {
    let one = |map: &str, own: u32| {
        let map = std::fs::read_to_string(map).unwrap_or_default();
        let numbers: Vec<u32> =
            map.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        if let [0, outside, 1] = numbers[..] { outside } else { own }
    };
    let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
    (one("/proc/self/uid_map", uid.as_raw()), one("/proc/self/gid_map", gid.as_raw()))
}

/// Names the machine, for those in the caller's uts namespace.
pub fn set_host_name(name: &str) -> Result<()> {
    nix::unistd::sethostname(name).map_err(|e| Error::new(format!("sethostname({name:?})"), e))
}

/// Switches the loopback device of the caller's network namespace on: in a new one it is off.
pub fn raise_loopback() -> Result<()> {
    let failed = |call: &str| Error::new(call, io::Error::last_os_error());
    let socket =
        rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)
            .map_err(|e| Error::new("socket(AF_INET, SOCK_DGRAM)", e))?;
    // SAFETY: a structure of numbers, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(b"lo") {
        *place = byte.cast_signed() as libc::c_char;
    }
    let (socket, name) = (socket.as_raw_fd(), "\"lo\"");
    // SAFETY: the call takes a structure of this type, which outlives it.
    if unsafe { libc::ioctl(socket, libc::SIOCGIFFLAGS as _, &raw mut request) } != 0 {
        return Err(failed(&format!("ioctl({socket}, SIOCGIFFLAGS, {name})")));
    }
    // SAFETY: the call before has set this field of the union; each bit pattern is a value of it.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    request.ifr_ifru.ifru_flags = flags | libc::IFF_UP as libc::c_short;
    // SAFETY: as the first one.
    if unsafe { libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &raw const request) } != 0 {
        return Err(failed(&format!("ioctl({socket}, SIOCSIFFLAGS, {name}, IFF_UP)")));
    }
    Ok(())
}

fn write(path: &str, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|e| Error::new(format!("write({path:?}, {text:?})"), e))
}
