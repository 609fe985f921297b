//! Mounting overlayfs.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use nix::mount::MsFlags;
use nix::sched::CloneFlags;

use super::{Error, Result};

/// The most lower directories that the kernel takes (fs/overlayfs/params.h, `OVL_MAX_STACK`).
pub const MOST_LAYERS: usize = 500;

/// Mounts an overlay, always with `userxattr` (Linux 5.11), which needs no privilege beyond that of
/// a user namespace's root.
///
/// All names are relative to `directory`, and short: the kernel takes at most a page of options
/// (fs/namespace.c, `copy_mount_options`), and [`MOST_LAYERS`] names of three digits fit there, so
/// that the newer interface, which takes one name at a time (`lowerdir+`, Linux 6.7), gains nothing.
///
/// # Errors
///
/// `EPERM`: this kernel lets only the system's root mount an overlay. `EINVAL`: the file system of
/// `upper` cannot be the upper one (another overlay, NFS). `ENODEV`: there is no overlayfs here.
pub fn mount(
    directory: &Path,
    lower: &[String],
    upper: Option<(&str, &str)>,
    at: &str,
) -> Result<()> {
    let lower = lower.join(":");
    let options = match upper {
        // No sync of the whole file system when it is unmounted: a killed build is thrown away.
        Some((upper, work)) => {
            format!("userxattr,volatile,lowerdir={lower},upperdir={upper},workdir={work}")
        }
        None => format!("userxattr,lowerdir={lower}"),
    };
    match mount_from(directory, &options, at) {
        // Linux 5.10 brought `volatile`; some older kernels have a backport of `userxattr` alone.
        Err(error) if error.errno() == Some(libc::EINVAL) && upper.is_some() => {
            mount_from(directory, &options.replacen("volatile,", "", 1), at)
        }
        result => result,
    }
}

/// mount(2) with another working directory than the process: in a thread that has its own.
fn mount_from(directory: &Path, options: &str, at: &str) -> Result<()> {
    let mount = || -> Result<()> {
        nix::sched::unshare(CloneFlags::CLONE_FS)
            .map_err(|errno| Error::new("unshare(CLONE_FS)", errno))?;
        std::env::set_current_dir(directory)
            .map_err(|error| Error::new(format!("chdir({directory:?})"), error))?;
        let kind = OsStr::new("overlay");
        nix::mount::mount(Some(kind), at, Some(kind), MsFlags::empty(), Some(options)).map_err(
            |errno| {
                Error::new(
                    format!("mount(\"overlay\", {at:?}, \"overlay\", 0, {options:?})"),
                    errno,
                )
            },
        )
    };
    std::thread::scope(|scope| match std::thread::Builder::new().spawn_scoped(scope, mount) {
        Ok(thread) => thread.join().expect("mounting does not panic"),
        Err(error) => Err(Error::new("pthread_create()", error)),
    })
}

/// Takes a mount away, at once.
pub fn unmount(at: &Path) -> Result<()> {
    nix::mount::umount2(at, nix::mount::MntFlags::MNT_DETACH)
        .map_err(|errno| Error::new(format!("umount2({at:?}, MNT_DETACH)"), io::Error::from(errno)))
}
