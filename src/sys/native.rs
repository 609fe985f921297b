//! Calls about a path as the calling thread sees it: from its own working directory and root.
//!
//! A supervisor's threads act in the place of a traced process, with that one's directory and root
//! for their own ([`own_place`], [`change_directory`], [`change_root`]). Everyone else names files
//! from an open directory ([`super::path`]).

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, RenameFlags, ResolveFlags, Timespec, Timestamps, XattrFlags,
};
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

    pub fn is_link(&self) -> bool {
        self.mode & 0o170_000 == 0o120_000
    }

    pub fn is_char_device(&self) -> bool {
        self.mode & 0o170_000 == 0o020_000
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

/// Whether a descriptor is no more than a handle (`O_PATH`).
pub fn is_handle(descriptor: impl AsFd) -> Result<bool> {
    Ok(rustix::fs::fcntl_getfl(descriptor)?.contains(OFlags::PATH))
}

/// A handle (`O_PATH`) on what has a name in a directory, of which there may be no more than a handle
/// either. A link is not followed.
pub fn handle_beside(directory: impl AsFd, name: &CStr) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::openat(directory, name, flags, Mode::empty())
}

/// A handle (`O_PATH`) on a path below an open directory; links are followed.
pub fn handle_at(directory: impl AsFd, path: &str) -> Result<OwnedFd> {
    rustix::fs::openat(directory, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// Where a link leads, below an open directory.
pub fn read_link_at(directory: impl AsFd, path: impl rustix::path::Arg) -> Result<Vec<u8>> {
    rustix::fs::readlinkat(directory, path, Vec::new()).map(std::ffi::CString::into_bytes)
}

/// The names in an open directory that are numbers: the processes, of `/proc`.
pub fn numbers_in(directory: impl AsFd) -> Result<Vec<i32>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(directory, ".", flags, Mode::empty())?;
    let mut numbers = Vec::new();
    for entry in rustix::fs::Dir::new(directory)? {
        numbers.extend(entry?.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok()));
    }
    Ok(numbers)
}

/// Where a link leads.
pub fn read_link(path: &CStr) -> Result<Vec<u8>> {
    read_link_at(CWD, path)
}

/// Whether set-id bits count for nothing on the file system of a file, as it is mounted there. Links
/// are followed.
pub fn is_no_suid(path: &CStr) -> Result<bool> {
    let mounted = rustix::fs::statvfs(path)?;
    Ok(mounted.f_flag.contains(rustix::fs::StatVfsMountFlags::NOSUID))
}

/// The beginning of a regular file; how many bytes there were.
pub fn read_head(path: &CStr, follow: bool, buffer: &mut [u8]) -> Result<usize> {
    let follow = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
    let file = rustix::fs::openat(CWD, path, OFlags::CLOEXEC | follow, Mode::empty())?;
    rustix::io::read(file, buffer)
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

/// Flags of open(2), in the values of this machine: they differ between architectures, but not
/// between two that one kernel serves.
pub mod open_flags {
    pub const CREAT: u32 = libc::O_CREAT.cast_unsigned();
    pub const EXCL: u32 = libc::O_EXCL.cast_unsigned();
    pub const TRUNC: u32 = libc::O_TRUNC.cast_unsigned();
    pub const NOFOLLOW: u32 = libc::O_NOFOLLOW.cast_unsigned();
    pub const DIRECTORY: u32 = libc::O_DIRECTORY.cast_unsigned();
    pub const PATH: u32 = libc::O_PATH.cast_unsigned();
    pub const NOATIME: u32 = libc::O_NOATIME.cast_unsigned();
    /// What tells whether a file is read, written or both.
    pub const ACCESS: u32 = 0o3;
    pub const WRITE_ONLY: u32 = libc::O_WRONLY.cast_unsigned();
    pub const READ_ONLY: u32 = libc::O_RDONLY.cast_unsigned();
    pub const CLOEXEC: u32 = libc::O_CLOEXEC.cast_unsigned();
    /// Without the `O_DIRECTORY` that goes with it.
    pub const TMPFILE: u32 = (libc::O_TMPFILE & !libc::O_DIRECTORY).cast_unsigned();
    /// What creat(2) means.
    pub const OF_CREAT: u32 = (libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC).cast_unsigned();
}

/// Opens a file with flags as a program gave them, closed on `exec`.
pub fn open(path: &CStr, flags: u32, mode: u32) -> Result<OwnedFd> {
    let flags = OFlags::from_bits_retain(flags) | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::from_bits_retain(mode))
}

/// As [`open`], by openat2(2), which refuses what that one ignores.
pub fn open_strictly(path: &CStr, flags: u32, mode: u32) -> Result<OwnedFd> {
    let flags = OFlags::from_bits_retain(flags) | OFlags::CLOEXEC;
    rustix::fs::openat2(CWD, path, flags, Mode::from_bits_retain(mode), ResolveFlags::empty())
}

/// A handle (`O_PATH`) on a directory, found with `RESOLVE_…` flags of openat2(2).
pub fn directory_within(path: &CStr, resolve: u64) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::from_bits_retain(resolve))
}

/// Opens a file below an open directory for reading.
pub fn open_at(directory: impl AsFd, path: &str) -> Result<OwnedFd> {
    rustix::fs::openat(directory, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

pub fn make_directory(path: &CStr, mode: u32) -> Result<()> {
    rustix::fs::mkdirat(CWD, path, Mode::from_bits_retain(mode))
}

/// Makes a symbolic link.
pub fn make_link(leads_to: &CStr, path: &CStr) -> Result<()> {
    rustix::fs::symlinkat(leads_to, CWD, path)
}

/// Makes a file of the kind that `mode` says, which is no device.
pub fn make_node(path: &CStr, mode: u32) -> Result<()> {
    let kind = rustix::fs::FileType::from_raw_mode(mode);
    rustix::fs::mknodat(CWD, path, kind, Mode::from_bits_retain(mode & 0o7777), 0)
}

pub fn unlink(path: &CStr) -> Result<()> {
    rustix::fs::unlinkat(CWD, path, AtFlags::empty())
}

/// Renames from a name in a directory to another, with flags of renameat2(2).
pub fn rename(
    (from, old): (&OwnedFd, &CStr),
    (to, new): (&OwnedFd, &CStr),
    flags: u32,
) -> Result<()> {
    if flags == 0 {
        return rustix::fs::renameat(from, old, to, new);
    }
    rustix::fs::renameat_with(from, old, to, new, RenameFlags::from_bits_retain(flags))
}

/// Gives a file, found through a link below an open directory, one more name.
pub fn link((from, old): (&OwnedFd, &CStr), (to, new): (&OwnedFd, &CStr)) -> Result<()> {
    rustix::fs::linkat(from, old, to, new, AtFlags::SYMLINK_FOLLOW)
}

/// Follows a link at the end.
pub fn change_mode(path: &CStr, mode: u32) -> Result<()> {
    rustix::fs::chmodat(CWD, path, Mode::from_bits_retain(mode), AtFlags::empty())
}

/// Nanoseconds that are none: the time is now, or stays.
pub const NOW: i64 = (1 << 30) - 1;
pub const OMITTED: i64 = (1 << 30) - 2;

/// Changes the times of access and of modification, each in seconds and nanoseconds; the latter may
/// be `UTIME_NOW` or `UTIME_OMIT`. `None` is now. Follows a link at the end.
// The field's type differs between architectures.
#[allow(clippy::useless_conversion)]
pub fn change_times(path: &CStr, times: Option<[(i64, i64); 2]>) -> Result<()> {
    let time = |(seconds, nanoseconds): (i64, i64)| {
        // What is no number of them stays none.
        let tv_nsec = nanoseconds.try_into().unwrap_or(-1);
        Timespec { tv_sec: seconds, tv_nsec }
    };
    let [access, modification] = times.unwrap_or([(0, NOW); 2]);
    let times = Timestamps { last_access: time(access), last_modification: time(modification) };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::empty())
}

/// The path of a descriptor of this process, from `/proc`.
pub fn own_descriptor(descriptor: impl AsFd) -> CString {
    let path = format!("self/fd/{}", descriptor.as_fd().as_raw_fd());
    CString::new(path).expect("words and a number")
}

/// The number of the mount on which a file is seen.
pub fn mount_of(path: &CStr, follow: bool) -> Result<u64> {
    // Linux 5.8, and since 6.8 a number that no later mount gets.
    const MOUNT_ID: u32 = 0x1000 | 0x4000;
    let flags = if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW.cast_unsigned() };
    match statx(path, flags, MOUNT_ID) {
        Ok(told) if word_at(&told, 0) & MOUNT_ID != 0 => {
            Ok(u64::from(word_at(&told, 0x90)) | u64::from(word_at(&told, 0x94)) << 32)
        }
        Ok(_) | Err(Errno::NOSYS) => mount_of_handle(&handle(path, follow)?),
        Err(errno) => Err(errno),
    }
}

fn word_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// As older kernels tell it (Linux 3.15).
fn mount_of_handle(handle: &OwnedFd) -> Result<u64> {
    let text = read_text(&format!("/proc/self/fdinfo/{}", handle.as_raw_fd()))?;
    let number = text.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    number.and_then(|number| number.trim().parse().ok()).ok_or(Errno::NODATA)
}

/// Whether a path leads to the root of a mount, as far as the kernel tells (Linux 5.8).
pub fn is_mount(path: &CStr, follow: bool) -> bool {
    const MOUNT_ROOT: u64 = 0x2000;
    let flags = if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW.cast_unsigned() };
    statx(path, flags, 0).is_ok_and(|told| {
        let attributes = u64::from_ne_bytes(told[8..16].try_into().expect("eight bytes"));
        attributes & MOUNT_ROOT != 0
    })
}

/// A copy of the mount on which a file is seen, with that file for its root (Linux 5.2). It can be
/// attached in any mount namespace.
pub fn copy_mount(directory: impl AsFd, path: &[u8]) -> Result<OwnedFd> {
    use rustix::mount::OpenTreeFlags;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    rustix::mount::open_tree(directory, path, flags)
}

/// Lets what [`copy_mount`] made be seen in place of a file.
pub fn attach_mount(mount: &OwnedFd, over: &OwnedFd) -> Result<()> {
    use rustix::mount::MoveMountFlags;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, c"", over, c"", flags)
}

/// Lets a file be seen in place of another one.
pub fn bind(file: &CStr, over: &CStr) -> Result<()> {
    rustix::mount::mount_bind(file, over)
}

fn at(follow: bool) -> AtFlags {
    if follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW }
}
