//! Calls about a path as the calling thread sees it: from its own working directory and root.
//!
//! A supervisor's threads act in the place of a traced process, with that one's directory and root
//! for their own ([`own_place`], [`change_directory`], [`change_root`]). Everyone else names files
//! from an open directory ([`super::path`]).

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, XattrFlags};
use rustix::thread::UnshareFlags;

use super::errno::Errno;

type Result<T> = std::result::Result<T, Errno>;

/// The most that the kernel lists of a file.
const XATTR_LIST_MAX: usize = 64 << 10;

/// As stat(2) tells it, in the widest types that any architecture has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    pub dev: u64,
    pub ino: u64,
    /// The kind of file and its permissions.
    pub mode: u32,
    pub nlink: u64,
    pub uid: u32,
    pub gid: u32,
    pub rdev: u64,
    pub size: u64,
    pub blksize: u64,
    pub blocks: u64,
    /// Seconds and nanoseconds.
    pub atime: (i64, u32),
    pub mtime: (i64, u32),
    pub ctime: (i64, u32),
}

impl From<rustix::fs::Stat> for Attributes {
    // The fields' types differ between architectures; the kernel's own values fit all of them.
    #[allow(clippy::unnecessary_cast, clippy::cast_lossless, clippy::cast_sign_loss)]
    #[allow(clippy::cast_possible_truncation)]
    fn from(stat: rustix::fs::Stat) -> Self {
        Self {
            dev: stat.st_dev as u64,
            ino: stat.st_ino as u64,
            mode: stat.st_mode as u32,
            nlink: stat.st_nlink as u64,
            uid: stat.st_uid,
            gid: stat.st_gid,
            rdev: stat.st_rdev as u64,
            size: stat.st_size as u64,
            blksize: stat.st_blksize as u64,
            blocks: stat.st_blocks as u64,
            atime: (stat.st_atime as i64, stat.st_atime_nsec as u32),
            mtime: (stat.st_mtime as i64, stat.st_mtime_nsec as u32),
            ctime: (stat.st_ctime as i64, stat.st_ctime_nsec as u32),
        }
    }
}

impl Attributes {
    pub fn is_file(&self) -> bool {
        self.mode & 0o170_000 == 0o100_000
    }

    pub fn is_dir(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }
}

/// Gives the calling thread a working directory, a root and a umask of its own, which it shared
/// with the rest of the process.
pub fn own_place() -> Result<()> {
    // SAFETY: changes what paths mean for this thread alone; no descriptor is touched.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS) }
}

/// Moves the calling thread, which has its [`own_place`], into a mount namespace: its root and
/// working directory become those of the namespace.
pub fn enter_mount_namespace(namespace: impl AsFd) -> Result<()> {
    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))
}

pub fn change_directory(path: &CStr) -> Result<()> {
    rustix::process::chdir(path)
}

pub fn change_directory_to(directory: impl AsFd) -> Result<()> {
    rustix::process::fchdir(directory)
}

pub fn change_root(path: &CStr) -> Result<()> {
    rustix::process::chroot(path)
}

pub fn stat(path: &CStr, follow: bool) -> Result<Attributes> {
    rustix::fs::statat(CWD, path, at(follow)).map(Attributes::from)
}

/// The kernel's own `struct statx`, with the given `AT_…` flags and `STATX_…` mask (Linux 4.11).
pub fn statx(path: &CStr, flags: u32, mask: u32) -> Result<[u8; 256]> {
    let mut buffer = [0_u8; 256];
    // SAFETY: the path ends with NUL, and the kernel writes at most the 256 bytes of the structure.
    let result = unsafe {
        libc::syscall(
            libc::SYS_statx,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            mask,
            buffer.as_mut_ptr(),
        )
    };
    match result {
        0 => Ok(buffer),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}

/// Changes the owner to root's, or leaves what is `None`; so the kernel does all that a change of
/// owner entails: times, setuid bits, capabilities, copying up.
pub fn chown_to_root(path: &CStr, follow: bool, user: bool, group: bool) -> Result<()> {
    let user = user.then_some(rustix::fs::Uid::ROOT);
    let group = group.then_some(rustix::fs::Gid::ROOT);
    rustix::fs::chownat(CWD, path, user, group, at(follow))
}

/// A handle (`O_PATH`) on whatever the path names.
pub fn handle(path: &CStr, follow: bool) -> Result<OwnedFd> {
    let follow = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
    rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC | follow, Mode::empty())
}

/// A handle (`O_PATH`) on a path below an open directory; links are followed.
pub fn handle_at(directory: impl AsFd, path: &str) -> Result<OwnedFd> {
    rustix::fs::openat(directory, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// Where a link leads, below an open directory.
pub fn read_link_at(directory: impl AsFd, path: impl rustix::path::Arg) -> Result<Vec<u8>> {
    rustix::fs::readlinkat(directory, path, Vec::new()).map(std::ffi::CString::into_bytes)
}

/// Where a link leads.
pub fn read_link(path: &CStr) -> Result<Vec<u8>> {
    read_link_at(CWD, path)
}

/// A whole file that is short, such as those of `/proc`.
pub fn read_text(path: &str) -> Result<String> {
    let failed = |e: std::io::Error| Errno::from_io_error(&e).unwrap_or(Errno::IO);
    std::fs::read_to_string(path).map_err(failed)
}

/// Sets an extended attribute; `flags` are `XATTR_…`.
pub fn set_attribute(
    path: &CStr,
    follow: bool,
    name: &CStr,
    value: &[u8],
    flags: u32,
) -> Result<()> {
    let set = if follow { rustix::fs::setxattr } else { rustix::fs::lsetxattr };
    set(path, name, value, XattrFlags::from_bits_retain(flags))
}

/// Removes an extended attribute.
pub fn remove_attribute(path: &CStr, follow: bool, name: &CStr) -> Result<()> {
    let remove = if follow { rustix::fs::removexattr } else { rustix::fs::lremovexattr };
    remove(path, name)
}

/// The names of the extended attributes, each with a NUL behind it.
pub fn list_attributes(path: &CStr, follow: bool) -> Result<Vec<u8>> {
    let list = |names: &mut [u8]| match follow {
        true => rustix::fs::listxattr(path, names),
        false => rustix::fs::llistxattr(path, names),
    };
    let mut short = [0; 512];
    match list(&mut short) {
        Err(Errno::RANGE) => {}
        length => return length.map(|length| short[..length].to_vec()),
    }
    let mut long = vec![0; XATTR_LIST_MAX];
    let length = list(&mut long)?;
    long.truncate(length);
    Ok(long)
}

fn at(follow: bool) -> AtFlags {
    if follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW }
}
