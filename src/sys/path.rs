//! Opening, making and removing files relative to a directory's descriptor.
//!
//! Two kinds of call live here. [`open_in_root`] resolves a whole path as if a directory were `/`:
//! by `openat2(2)` with `RESOLVE_IN_ROOT` (Linux 5.6), or, where the kernel has none, by a walk
//! that opens one component at a time and follows symbolic links itself. All other calls take a
//! directory and one component, never follow a symbolic link, and so cannot leave the directory.
//!
//! Every descriptor made here is closed on `exec`.

use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{self, AtFlags, FileType as Type, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{Error, Result};

/// The limit of the kernel's own resolution (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// Attempts at `openat2`, which gives up with `EAGAIN` when something is renamed meanwhile.
const MAX_RACES: usize = 64;

/// What kind of file a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileType {
    File,
    Dir,
    Symlink,
    Fifo,
    Char,
    Block,
    Socket,
}

impl FileType {
    /// The kind that a mode of stat(2) has.
    pub fn of(mode: u32) -> Self {
        match Type::from_raw_mode(mode) {
            Type::Directory => Self::Dir,
            Type::Symlink => Self::Symlink,
            Type::Fifo => Self::Fifo,
            Type::CharacterDevice => Self::Char,
            Type::BlockDevice => Self::Block,
            Type::Socket => Self::Socket,
            _ => Self::File,
        }
    }
}

/// What the kernel says about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    pub kind: FileType,
    /// Permissions with setuid, setgid and sticky: at most `0o7777`.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    /// Allocated units of 512 bytes; fewer than the size needs in a file with holes.
    pub blocks: u64,
    /// Seconds since 1970 and nanoseconds.
    pub mtime: (i64, u32),
    /// When anything about the file changed last; nobody can set it.
    pub ctime: (i64, u32),
    /// Major and minor number of the device that the file is.
    pub rdev: (u32, u32),
    pub nlink: u64,
    /// The device that the file lies on.
    pub dev: u64,
    pub ino: u64,
}

impl From<fs::Stat> for Stat {
    // The fields' types differ between architectures.
    #[allow(clippy::unnecessary_cast, clippy::cast_lossless)]
    fn from(stat: fs::Stat) -> Self {
        Self {
            kind: FileType::of(stat.st_mode),
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            blocks: u64::try_from(stat.st_blocks).unwrap_or(0),
            mtime: (stat.st_mtime as i64, u32::try_from(stat.st_mtime_nsec).unwrap_or(0)),
            ctime: (stat.st_ctime as i64, u32::try_from(stat.st_ctime_nsec).unwrap_or(0)),
            rdev: (fs::major(stat.st_rdev), fs::minor(stat.st_rdev)),
            nlink: stat.st_nlink as u64,
            dev: stat.st_dev as u64,
            ino: stat.st_ino as u64,
        }
    }
}

/// How a path inside a root is resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolver {
    /// By the kernel: `openat2(2)`, Linux 5.6.
    Openat2,
    /// By a walk over the components.
    Walk,
}

impl Resolver {
    /// The kernel's where it answers, asked once: old kernels say `ENOSYS`, and old seccomp
    /// filters `EPERM`.
    pub fn best() -> Self {
        static BEST: OnceLock<Resolver> = OnceLock::new();
        *BEST.get_or_init(|| match openat2(fs::CWD, Path::new("."), OFlags::PATH) {
            Ok(_) => Self::Openat2,
            Err(_) => Self::Walk,
        })
    }
}

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Whatever it is, to look at it or to name it (`O_PATH`).
    Handle,
    /// A directory, to reach its entries (`O_PATH`): needs no permission to read it.
    Directory,
    /// A directory, to list it.
    List,
    /// A file's content. A fifo does not block.
    Read,
    /// A file's content, to change it.
    Write,
}

impl Want {
    fn flags(self) -> OFlags {
        OFlags::CLOEXEC
            | match self {
                Self::Handle => OFlags::PATH,
                Self::Directory => OFlags::PATH | OFlags::DIRECTORY,
                Self::List => OFlags::RDONLY | OFlags::DIRECTORY,
                Self::Read => OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY,
                Self::Write => OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY,
            }
    }
}

/// Opens a directory of the host, to be the root of others.
pub fn open_root(path: &Path) -> Result<OwnedFd> {
    fs::open(path, Want::Directory.flags(), Mode::empty())
        .map_err(|e| Error::new(format!("open({path:?}, O_PATH|O_DIRECTORY)"), e))
}

/// Opens `path` as if `root` were `/`: absolute symbolic links begin there and `..` stops there.
/// The last component is followed only on request.
pub fn open_in_root(
    root: impl AsFd,
    path: &Path,
    want: Want,
    follow: bool,
    resolver: Resolver,
) -> Result<OwnedFd> {
    let root = root.as_fd();
    let flags = want.flags() | if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
    let opened = match resolver {
        Resolver::Openat2 => openat2(root, path, flags),
        Resolver::Walk => walk(root, path, flags),
    };
    opened.map_err(|e| {
        let call = match resolver {
            Resolver::Openat2 => "openat2",
            Resolver::Walk => "openat",
        };
        Error::new(format!("{call}({}, {path:?}, {want:?}, RESOLVE_IN_ROOT)", root.as_raw_fd()), e)
    })
}

fn openat2(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..MAX_RACES {
        match fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            done => return done,
        }
    }
    Err(Errno::AGAIN)
}

/// What `openat2` does with `RESOLVE_IN_ROOT`, one component after the other. The directories
/// above the present one are held open, so that `..` is a matter of this function alone.
fn walk(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let mut above: Vec<OwnedFd> = Vec::new();
    let mut ahead = Vec::new();
    push_reversed(&mut ahead, path.as_os_str());
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        let here = above.last().map_or(root, AsFd::as_fd);
        if name == ".." {
            above.pop();
            continue;
        }
        if name == "." {
            continue;
        }
        let at = fs::openat(
            here,
            &*name,
            OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let kind = FileType::of(fs::fstat(&at)?.st_mode);
        let last = ahead.is_empty();
        if kind == FileType::Symlink && !(last && flags.contains(OFlags::NOFOLLOW)) {
            links += 1;
            if links > MAX_LINKS {
                return Err(Errno::LOOP);
            }
            let target = fs::readlinkat(&at, "", Vec::new())?;
            if target.as_bytes().starts_with(b"/") {
                above.clear();
            }
            push_reversed(&mut ahead, OsStr::from_bytes(target.as_bytes()));
        } else if last {
            return fs::openat(
                here,
                &*name,
                flags | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
            );
        } else if kind == FileType::Dir {
            above.push(at);
        } else {
            return Err(Errno::NOTDIR);
        }
    }
    let here = above.last().map_or(root, AsFd::as_fd);
    fs::openat(here, ".", flags | OFlags::CLOEXEC, Mode::empty())
}

/// The components of `path`, the first one on top. A slash at the end asks for a directory, as a
/// `.` there does.
fn push_reversed(stack: &mut Vec<OsString>, path: &OsStr) {
    let bytes = path.as_bytes();
    if bytes.ends_with(b"/") {
        stack.push(".".into());
    }
    let names = bytes.rsplit(|b| *b == b'/').filter(|name| !name.is_empty());
    stack.extend(names.map(|name| OsString::from_vec(name.to_vec())));
}

/// Opens one entry of a directory; a symbolic link only as a [`Want::Handle`].
pub fn open_at(dir: impl AsFd, name: &OsStr, want: Want) -> Result<OwnedFd> {
    let dir = dir.as_fd();
    fs::openat(dir, name, want.flags() | OFlags::NOFOLLOW, Mode::empty())
        .map_err(|e| Error::new(format!("openat({}, {name:?}, {want:?})", dir.as_raw_fd()), e))
}

/// Makes a new file to write to and read from; never opens one that exists.
pub fn create_at(dir: impl AsFd, name: &OsStr, mode: u32) -> Result<OwnedFd> {
    let dir = dir.as_fd();
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(dir, name, flags, Mode::from_raw_mode(mode)).map_err(|e| {
        Error::new(format!("openat({}, {name:?}, O_CREAT|O_EXCL, {mode:#o})", dir.as_raw_fd()), e)
    })
}

/// What an entry is; `None` when there is none.
pub fn stat_at(dir: impl AsFd, name: &OsStr) -> Result<Option<Stat>> {
    let dir = dir.as_fd();
    match fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat.into())),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(e) => Err(Error::new(format!("fstatat({}, {name:?})", dir.as_raw_fd()), e)),
    }
}

pub fn stat(file: impl AsFd) -> Result<Stat> {
    let file = file.as_fd();
    match fs::fstat(file) {
        Ok(stat) => Ok(stat.into()),
        Err(e) => Err(Error::new(format!("fstat({})", file.as_raw_fd()), e)),
    }
}

/// Where a symbolic link points. An empty name reads the link that `dir` itself is a handle of.
pub fn read_link_at(dir: impl AsFd, name: &OsStr) -> Result<PathBuf> {
    let dir = dir.as_fd();
    match fs::readlinkat(dir, name, Vec::with_capacity(256)) {
        Ok(target) => Ok(OsString::from_vec(target.into_bytes()).into()),
        Err(e) => Err(Error::new(format!("readlinkat({}, {name:?})", dir.as_raw_fd()), e)),
    }
}

/// Makes a directory; false when something of that name exists.
pub fn make_dir_at(dir: impl AsFd, name: &OsStr, mode: u32) -> Result<bool> {
    let dir = dir.as_fd();
    match fs::mkdirat(dir, name, Mode::from_raw_mode(mode)) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(e) => Err(Error::new(format!("mkdirat({}, {name:?}, {mode:#o})", dir.as_raw_fd()), e)),
    }
}

pub fn symlink_at(target: &Path, dir: impl AsFd, name: &OsStr) -> Result<()> {
    let dir = dir.as_fd();
    fs::symlinkat(target, dir, name)
        .map_err(|e| Error::new(format!("symlinkat({target:?}, {}, {name:?})", dir.as_raw_fd()), e))
}

/// Gives a file one more name. Of a symbolic link, the link itself.
pub fn link_at(from: impl AsFd, old: &OsStr, to: impl AsFd, new: &OsStr) -> Result<()> {
    let (from, to) = (from.as_fd(), to.as_fd());
    fs::linkat(from, old, to, new, AtFlags::empty()).map_err(|e| {
        Error::new(format!("linkat({}, {old:?}, {}, {new:?})", from.as_raw_fd(), to.as_raw_fd()), e)
    })
}

pub fn make_fifo_at(dir: impl AsFd, name: &OsStr, mode: u32) -> Result<()> {
    make_node(dir.as_fd(), name, Type::Fifo, mode)
}

/// Makes overlayfs's whiteout, the character device 0:0: the one device that needs no privilege
/// (Linux 5.8; `EPERM` before).
pub fn make_whiteout_at(dir: impl AsFd, name: &OsStr) -> Result<()> {
    make_node(dir.as_fd(), name, Type::CharacterDevice, 0)
}

fn make_node(dir: BorrowedFd<'_>, name: &OsStr, kind: Type, mode: u32) -> Result<()> {
    fs::mknodat(dir, name, kind, Mode::from_raw_mode(mode), 0).map_err(|e| {
        Error::new(format!("mknodat({}, {name:?}, {kind:?}|{mode:#o}, 0)", dir.as_raw_fd()), e)
    })
}

/// Moves an entry, over what has the new name.
pub fn rename_at(from: impl AsFd, old: &OsStr, to: impl AsFd, new: &OsStr) -> Result<()> {
    let (from, to) = (from.as_fd(), to.as_fd());
    fs::renameat(from, old, to, new).map_err(|e| {
        Error::new(
            format!("renameat({}, {old:?}, {}, {new:?})", from.as_raw_fd(), to.as_raw_fd()),
            e,
        )
    })
}

/// Removes a name that is no directory's.
pub fn remove_at(dir: impl AsFd, name: &OsStr) -> Result<()> {
    unlink(dir.as_fd(), name, AtFlags::empty())
}

/// Removes an empty directory.
pub fn remove_dir_at(dir: impl AsFd, name: &OsStr) -> Result<()> {
    unlink(dir.as_fd(), name, AtFlags::REMOVEDIR)
}

fn unlink(dir: BorrowedFd<'_>, name: &OsStr, flags: AtFlags) -> Result<()> {
    fs::unlinkat(dir, name, flags)
        .map_err(|e| Error::new(format!("unlinkat({}, {name:?}, {flags:?})", dir.as_raw_fd()), e))
}

/// The names in a directory, as the kernel gives them, without `.` and `..`.
pub fn list(dir: impl AsFd) -> Result<Vec<OsString>> {
    let dir = dir.as_fd();
    let fail = |e| Error::new(format!("getdents64({})", dir.as_raw_fd()), e);
    let mut names = Vec::new();
    let mut buffer = [MaybeUninit::uninit(); 32 << 10];
    let mut entries = fs::RawDir::new(dir, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name.to_vec()));
        }
    }
    Ok(names)
}

pub fn set_mode(file: impl AsFd, mode: u32) -> Result<()> {
    let file = file.as_fd();
    fs::fchmod(file, Mode::from_raw_mode(mode))
        .map_err(|e| Error::new(format!("fchmod({}, {mode:#o})", file.as_raw_fd()), e))
}

/// Sets the mode of an entry through a handle of it, so that no symbolic link can be followed:
/// `fchmodat(2)` itself cannot promise that before Linux 6.6.
pub fn set_mode_at(dir: impl AsFd, name: &OsStr, mode: u32) -> Result<()> {
    let handle = open_at(dir, name, Want::Handle)?;
    let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
    fs::chmod(&*path, Mode::from_raw_mode(mode))
        .map_err(|e| Error::new(format!("chmod({path:?} of {name:?}, {mode:#o})"), e))
}

/// Sets the times of access and of modification to the same moment.
pub fn set_times(file: impl AsFd, time: (i64, u32)) -> Result<()> {
    let file = file.as_fd();
    fs::futimens(file, &both(time))
        .map_err(|e| Error::new(format!("futimens({}, {time:?})", file.as_raw_fd()), e))
}

/// As [`set_times`], for an entry; of a symbolic link, its own times.
pub fn set_times_at(dir: impl AsFd, name: &OsStr, time: (i64, u32)) -> Result<()> {
    let dir = dir.as_fd();
    fs::utimensat(dir, name, &both(time), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|e| Error::new(format!("utimensat({}, {name:?}, {time:?})", dir.as_raw_fd()), e))
}

fn both((seconds, nanoseconds): (i64, u32)) -> fs::Timestamps {
    let time = fs::Timespec { tv_sec: seconds, tv_nsec: nanoseconds.min(999_999_999).into() };
    fs::Timestamps { last_access: time, last_modification: time }
}

/// The number that file systems and records hold for a device (`makedev(3)`).
pub fn device_number(major: u32, minor: u32) -> u64 {
    fs::makedev(major, minor)
}

/// The opposite of [`device_number`].
pub fn device_parts(number: u64) -> (u32, u32) {
    (fs::major(number), fs::minor(number))
}
