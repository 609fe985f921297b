//! Extended attributes of an entry of a directory, without following a link; and of a path, as the
//! calling thread resolves it.
//!
//! For entries, the kernel has such calls only since Linux 6.13 (`getxattrat`). Before, the entry is
//! named by the directory's descriptor in `/proc/self/fd`, which works for directories that were
//! opened with `O_PATH` as well.

use std::ffi::{CStr, OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{self, XattrFlags};
use rustix::io::Errno;

use super::{Error, Result};

/// Most values (records, capabilities, overlay's marks) are far shorter; longer ones
/// cost a second call.
const SHORT: usize = 256;

/// `XATTR_SIZE_MAX` and `XATTR_LIST_MAX`.
const LONGEST: usize = 64 << 10;

/// An attribute's value; `None` when it is not there, when the file system keeps none, and when it
/// is a capability that has no meaning in this user namespace.
pub fn get_at(dir: impl AsFd, name: &OsStr, attribute: &OsStr) -> Result<Option<Vec<u8>>> {
    let path = entry(dir, name);
    value(&path, attribute, |buffer| fs::lgetxattr(&path, attribute, buffer))
}

/// As [`get_at`], of the file that a descriptor stands for, a handle (`O_PATH`) included.
pub fn get(file: impl AsFd, attribute: &OsStr) -> Result<Option<Vec<u8>>> {
    let path = handle(file);
    value(&path, attribute, |buffer| fs::getxattr(&path, attribute, buffer))
}

/// The names of an entry's attributes; none where the file system keeps none.
pub fn list_at(dir: impl AsFd, name: &OsStr) -> Result<Vec<OsString>> {
    names(&entry(dir, name), |path, buffer| fs::llistxattr(path, buffer))
}

/// As [`list_at`], of the file that a descriptor stands for.
pub fn list(file: impl AsFd) -> Result<Vec<OsString>> {
    names(&handle(file), |path, buffer| fs::listxattr(path, buffer))
}

pub fn set_at(dir: impl AsFd, name: &OsStr, attribute: &OsStr, value: &[u8]) -> Result<()> {
    let path = entry(dir, name);
    fs::lsetxattr(&path, attribute, value, XattrFlags::empty()).map_err(|e| {
        Error::new(format!("lsetxattr({path:?}, {attribute:?}, {} bytes)", value.len()), e)
    })
}

/// Removes an attribute; it is no error when it is not there.
pub fn remove_at(dir: impl AsFd, name: &OsStr, attribute: &OsStr) -> Result<()> {
    let path = entry(dir, name);
    gone(fs::lremovexattr(&path, attribute), || fs::lgetxattr(&path, attribute, &mut [0_u8; 0]))
        .map_err(|e| Error::new(format!("lremovexattr({path:?}, {attribute:?})"), e))
}

/// What `then` makes of the value of an attribute of the file at `path`, which the calling thread's
/// working directory and root resolve; `None` as [`get_at`] says it, which costs one system call
/// and no memory.
pub fn look<T>(
    path: &CStr,
    follow: bool,
    attribute: &str,
    then: impl FnOnce(&[u8]) -> T,
) -> Result<Option<T>> {
    let ask = |buffer: &mut [u8]| match follow {
        true => fs::getxattr(path, attribute, buffer),
        false => fs::lgetxattr(path, attribute, buffer),
    };
    let mut short = [0_u8; SHORT];
    let answer = match ask(&mut short) {
        Ok(length) => return Ok(Some(then(&short[..length]))),
        Err(Errno::RANGE) => whole(ask),
        Err(e) => Err(e),
    };
    match answer {
        Ok(value) => Ok(Some(then(&value))),
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::OVERFLOW) => Ok(None),
        Err(e) => Err(Error::new(format!("getxattr({path:?}, {attribute:?})"), e)),
    }
}

/// Sets an attribute of the file that [`look`] would look at.
pub fn set(path: &CStr, follow: bool, attribute: &str, value: &[u8]) -> Result<()> {
    let set = if follow { fs::setxattr } else { fs::lsetxattr };
    set(path, attribute, value, XattrFlags::empty()).map_err(|e| {
        Error::new(format!("setxattr({path:?}, {attribute:?}, {} bytes)", value.len()), e)
    })
}

/// Removes an attribute of the file that [`look`] would look at; it is no error when it is not
/// there.
pub fn remove(path: &CStr, follow: bool, attribute: &str) -> Result<()> {
    let done = match follow {
        true => {
            gone(fs::removexattr(path, attribute), || fs::getxattr(path, attribute, &mut [0_u8; 0]))
        }
        false => gone(fs::lremovexattr(path, attribute), || {
            fs::lgetxattr(path, attribute, &mut [0_u8; 0])
        }),
    };
    done.map_err(|e| Error::new(format!("removexattr({path:?}, {attribute:?})"), e))
}

/// Whether an attribute is not there now. Who may not remove one hears so even when there is none.
fn gone(
    removed: rustix::io::Result<()>,
    ask: impl Fn() -> rustix::io::Result<usize>,
) -> rustix::io::Result<()> {
    match removed {
        Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        Err(Errno::PERM | Errno::ACCESS) if ask() == Err(Errno::NODATA) => Ok(()),
        Err(e) => Err(e),
    }
}

fn value(
    path: &Path,
    attribute: &OsStr,
    ask: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
) -> Result<Option<Vec<u8>>> {
    match whole(ask) {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::OVERFLOW) => Ok(None),
        Err(e) => Err(Error::new(format!("getxattr({path:?}, {attribute:?})"), e)),
    }
}

fn names(
    path: &Path,
    ask: impl Fn(&Path, &mut [u8]) -> rustix::io::Result<usize>,
) -> Result<Vec<OsString>> {
    match whole(|buffer| ask(path, buffer)) {
        Ok(names) => Ok(names
            .split(|b| *b == 0)
            .filter(|name| !name.is_empty())
            .map(|name| OsString::from_vec(name.to_vec()))
            .collect()),
        Err(Errno::OPNOTSUPP) => Ok(Vec::new()),
        Err(e) => Err(Error::new(format!("listxattr({path:?})"), e)),
    }
}

fn whole(ask: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    let mut short = [0_u8; SHORT];
    match ask(&mut short) {
        Ok(length) => return Ok(short[..length].to_vec()),
        Err(Errno::RANGE) => {}
        Err(e) => return Err(e),
    }
    // The largest that the kernel knows, so that nothing can grow past it meanwhile.
    let mut long = vec![0_u8; LONGEST];
    let length = ask(&mut long)?;
    long.truncate(length);
    Ok(long)
}

fn entry(dir: impl AsFd, name: &OsStr) -> PathBuf {
    handle(dir).join(name)
}

fn handle(file: impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd()))
}
