//! Extended attributes of an entry of a directory, without following a link.
//!
//! The kernel has such calls only since Linux 6.13 (`getxattrat`). Before, the entry is named by
//! the directory's descriptor in `/proc/self/fd`, which works for directories that were opened
//! with `O_PATH` as well.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use rustix::fs::{self, XattrFlags};
use rustix::io::Errno;

use super::{Error, Result};

/// Most values (records, capabilities, overlay's marks) are far shorter; longer ones cost a second call.
const SHORT: usize = 256;

/// An attribute's value; `None` when it is not there or the file system keeps none.
pub fn get_at(dir: impl AsFd, name: &OsStr, attribute: &OsStr) -> Result<Option<Vec<u8>>> {
    let path = entry(dir, name);
    let mut short = [0_u8; SHORT];
    let mut found = fs::lgetxattr(&path, attribute, &mut short).map(|len| short[..len].to_vec());
    // The value may grow between the question for its size and the one for itself.
    while let Err(Errno::RANGE) = found {
        found = fs::lgetxattr_query(&path, attribute).and_then(|len| {
            let mut long = vec![0_u8; len];
            let len = fs::lgetxattr(&path, attribute, &mut long[..])?;
            long.truncate(len);
            Ok(long)
        });
    }
    match found {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(e) => Err(Error::new(format!("lgetxattr({path:?}, {attribute:?})"), e)),
    }
}

/// The names of an entry's attributes; none where the file system keeps none.
pub fn list_at(dir: impl AsFd, name: &OsStr) -> Result<Vec<OsString>> {
    let path = entry(dir, name);
    let mut short = [0_u8; SHORT];
    let mut found = fs::llistxattr(&path, &mut short).map(|len| short[..len].to_vec());
    while let Err(Errno::RANGE) = found {
        found = fs::llistxattr_query(&path).and_then(|len| {
            let mut long = vec![0_u8; len];
            let len = fs::llistxattr(&path, &mut long[..])?;
            long.truncate(len);
            Ok(long)
        });
    }
    match found {
        Ok(names) => Ok(names
            .split(|b| *b == 0)
            .filter(|name| !name.is_empty())
            .map(|name| OsString::from_vec(name.to_vec()))
            .collect()),
        Err(Errno::OPNOTSUPP) => Ok(Vec::new()),
        Err(e) => Err(Error::new(format!("llistxattr({path:?})"), e)),
    }
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
    match fs::lremovexattr(&path, attribute) {
        Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        Err(e) => Err(Error::new(format!("lremovexattr({path:?}, {attribute:?})"), e)),
    }
}

fn entry(dir: impl AsFd, name: &OsStr) -> PathBuf {
    let mut path = format!("/proc/self/fd/{}/", dir.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(name.as_bytes());
    OsString::from_vec(path).into()
}
