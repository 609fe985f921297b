//! `mount`, `umount2`, `pivot_root` and `mount_setattr`.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags};
use rustix::fs::{Mode, OFlags};

use super::{Error, Result};

/// Mounts a new file system of type `kind`, always `nosuid` and `nodev`.
///
/// # Errors
///
/// `EPERM` for procfs and sysfs also when the process sees an instance of which parts are hidden
/// by other mounts (fs/namespace.c, `mount_too_revealing`).
pub fn fresh(kind: &str, target: &Path, options: &str, executable: bool) -> Result<()> {
    let mut flags = MsFlags::MS_NOSUID;
    flags.set(MsFlags::MS_NOEXEC, !executable);
    // Terminals are devices.
    flags.set(MsFlags::MS_NODEV, kind != "devpts");
    nix::mount::mount(Some(kind), target, Some(kind), flags, Some(options)).map_err(|e| {
        let flags = shown(flags);
        Error::new(format!("mount({kind:?}, {target:?}, {kind:?}, {flags}, {options:?})"), e)
    })
}

/// Mounts a new file system of type `kind` nowhere: it is seen through the descriptor alone, and as
/// long as that is open (Linux 5.2).
///
/// # Errors
///
/// `EPERM` when only root may have such a file system.
pub fn detached(kind: &str) -> Result<OwnedFd> {
    use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
    let failed = |call: &str| {
        let call = format!("{call}({kind:?})");
        move |e| Error::new(call, e)
    };
    let context =
        rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).map_err(failed("fsopen"))?;
    rustix::mount::fsconfig_create(&context).map_err(failed("fsconfig"))?;
    let flags = FsMountFlags::FSMOUNT_CLOEXEC;
    rustix::mount::fsmount(&context, flags, MountAttrFlags::empty()).map_err(failed("fsmount"))
}

/// Makes `source` visible at `target`.
///
/// A directory needs `recursive` where a mount beneath it came from a more privileged namespace:
/// the kernel does not let anybody see what such a mount hides (`EINVAL`).
pub fn bind(source: &Path, target: &Path, recursive: bool) -> Result<()> {
    let mut flags = MsFlags::MS_BIND;
    flags.set(MsFlags::MS_REC, recursive);
    let none = None::<&Path>;
    nix::mount::mount(Some(source), target, none, flags, none).map_err(|e| {
        Error::new(format!("mount({source:?}, {target:?}, NULL, {}, NULL)", shown(flags)), e)
    })
}

/// Takes all mounts of the namespace out of their peer groups, both ways.
pub fn make_all_private() -> Result<()> {
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    let none = None::<&str>;
    nix::mount::mount(none, "/", none, flags, none)
        .map_err(|e| Error::new(format!("mount(NULL, \"/\", NULL, {}, NULL)", shown(flags)), e))
}

/// Makes the mount at `target` read-only, and leaves those beneath it as they are.
pub fn make_alone_read_only(target: &Path) -> Result<()> {
    remount_read_only(target)
}

/// Makes the mount at `target` and those beneath it read-only.
pub fn make_read_only(target: &Path) -> Result<()> {
    match set_read_only_recursively(target) {
        // Linux before 5.12, or a container runtime's filter.
        Err(e) if matches!(e.errno(), Some(libc::ENOSYS | libc::EPERM | libc::EINVAL)) => {
            for point in mount_points()?.iter().filter(|point| point.starts_with(target)) {
                remount_read_only(point)?;
            }
            Ok(())
        }
        result => result,
    }
}

fn set_read_only_recursively(target: &Path) -> Result<()> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    let path = CString::new(target.as_os_str().as_bytes())
        .map_err(|e| Error::new(format!("mount_setattr({target:?})"), io::Error::from(e)))?;
    // SAFETY: `path` is a string that ends with NUL and `attributes` a structure of the size given;
    // both outlive the call, which only reads them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::AT_RECURSIVE,
            &raw const attributes,
            size_of_val(&attributes),
        )
    };
    if result == 0 {
        return Ok(());
    }
    let call = format!("mount_setattr(AT_FDCWD, {target:?}, AT_RECURSIVE, {{RDONLY}})");
    Err(Error::new(call, io::Error::last_os_error()))
}

/// The old way; a mount that came from another namespace keeps its flags only if they are named.
fn remount_read_only(target: &Path) -> Result<()> {
    use nix::sys::statvfs::FsFlags;
    let kept = nix::sys::statvfs::statvfs(target)
        .map_err(|e| Error::new(format!("statvfs({target:?})"), e))?
        .flags();
    let mut flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    for (has, set) in [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ] {
        flags.set(set, kept.contains(has));
    }
    let none = None::<&str>;
    nix::mount::mount(none, target, none, flags, none).map_err(|e| {
        Error::new(format!("mount(NULL, {target:?}, NULL, {}, NULL)", shown(flags)), e)
    })
}

/// The process stands with one foot in each of two roots: absolute paths mean the new one and
/// cannot lead out of it, relative ones mean the old one.
///
/// After a `pivot_root` alone this is not so: the old root would lie on top of the new one, and
/// `/..` be the old one.
#[derive(Debug)]
pub struct TwoRoots {
    old: OwnedFd,
    new: PathBuf,
}

/// Makes `new`, a mount point, the root of absolute paths.
pub fn straddle(new: &Path) -> Result<TwoRoots> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let old = rustix::fs::open("/", flags, Mode::empty())
        .map_err(|e| Error::new("open(\"/\", O_PATH)", e))?;
    enter(Path::new("/"))?;
    chroot(new)?;
    Ok(TwoRoots { old, new: new.to_owned() })
}

impl TwoRoots {
    /// Makes the new root that of the mount namespace, lets go of the old one and moves to `/`.
    ///
    /// Both arguments of `pivot_root` are the same directory (pivot_root(2), NOTES): the old root
    /// then lies on top of the new one, and no directory has to be there for it.
    pub fn pivot(self) -> Result<()> {
        rustix::process::fchdir(&self.old).map_err(|e| Error::new("fchdir(old root)", e))?;
        chroot(Path::new("."))?;
        enter(&self.new)?;
        match nix::unistd::pivot_root(".", ".") {
            Ok(()) => {
                rustix::process::fchdir(&self.old)
                    .map_err(|e| Error::new("fchdir(old root)", e))?;
                detach(Path::new("."))?;
            }
            Err(Errno::EINVAL) => cover_root()?,
            Err(e) => return Err(Error::new("pivot_root(\".\", \".\")", e)),
        }
        enter(Path::new("/"))
    }
}

/// The kernel does not let anybody pivot away from an initial ramfs, on which diskless machines
/// live: the working directory's mount is moved on top of it.
fn cover_root() -> Result<()> {
    let none = None::<&str>;
    nix::mount::mount(Some("."), "/", none, MsFlags::MS_MOVE, none)
        .map_err(|e| Error::new("mount(\".\", \"/\", NULL, MS_MOVE, NULL)", e))?;
    chroot(Path::new("."))
}

/// Takes the topmost mount away from `target`, as soon as nobody uses it.
pub fn detach(target: &Path) -> Result<()> {
    nix::mount::umount2(target, MntFlags::MNT_DETACH)
        .map_err(|e| Error::new(format!("umount2({target:?}, MNT_DETACH)"), e))
}

/// The mount points that the process sees, in the order in which they were mounted.
pub fn mount_points() -> Result<Vec<PathBuf>> {
    let path = "/proc/self/mountinfo";
    let text = std::fs::read(path).map_err(|e| Error::new(format!("read({path:?})"), e))?;
    let fields = text.split(|&b| b == b'\n').filter_map(|l| l.split(|&b| b == b' ').nth(4));
    Ok(fields.map(|field| PathBuf::from(OsStr::from_bytes(&unescape(field)))).collect())
}

/// Undoes the kernel's `\ooo` for blanks and backslashes.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let octal = |digits: &[u8]| {
            digits.iter().try_fold(0u32, |n, &d| {
                (b'0'..=b'7').contains(&d).then(|| n * 8 + u32::from(d - b'0'))
            })
        };
        let escaped = (first == b'\\').then(|| after.get(..3).and_then(octal)).flatten();
        match escaped.and_then(|code| u8::try_from(code).ok()) {
            Some(byte) => {
                plain.push(byte);
                rest = &after[3..];
            }
            None => {
                plain.push(first);
                rest = after;
            }
        }
    }
    plain
}

/// Flags as strace shows them.
fn shown(flags: MsFlags) -> String {
    flags.iter_names().map(|(name, _)| name).collect::<Vec<_>>().join("|")
}

fn chroot(directory: &Path) -> Result<()> {
    nix::unistd::chroot(directory).map_err(|e| Error::new(format!("chroot({directory:?})"), e))
}

fn enter(directory: &Path) -> Result<()> {
    std::env::set_current_dir(directory).map_err(|e| Error::new(format!("chdir({directory:?})"), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_unescaped() {
        for (field, plain) in [
            ("/plain", "/plain"),
            (r"/a\040b", "/a b"),
            (r"/tab\011end\134", "/tab\tend\\"),
            (r"/not\04", r"/not\04"),
            (r"/nor\9", r"/nor\9"),
        ] {
            assert_eq!(unescape(field.as_bytes()), plain.as_bytes(), "{field}");
        }
        assert!(mount_points().expect("procfs").contains(&PathBuf::from("/")));
    }
}
