//! What a file system says about itself: how much room is left, and what its errors mean.

use std::io;
use std::path::Path;

use rustix::io::Errno;

use super::{Error, Result};

/// How much a file system holds, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    pub total: u64,
    /// What an unprivileged user may still use.
    pub free: u64,
    pub read_only: bool,
}

/// Asks the file system that `path` lies on.
pub fn space(path: &Path) -> Result<Space> {
    let stat =
        rustix::fs::statvfs(path).map_err(|e| Error::new(format!("statvfs({path:?})"), e))?;
    Ok(Space {
        total: stat.f_blocks.saturating_mul(stat.f_frsize),
        free: stat.f_bavail.saturating_mul(stat.f_frsize),
        read_only: stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
    })
}

/// Whether the file system or a quota has no room left.
pub fn is_full(error: &io::Error) -> bool {
    is_one_of(error, &[Errno::NOSPC, Errno::DQUOT])
}

/// Whether a lock failed because the file system has none: Lustre without `-o flock` says `ENOSYS`,
/// others `EOPNOTSUPP`, NFS without its lock daemon `ENOLCK`.
pub fn cannot_lock(error: &io::Error) -> bool {
    is_one_of(error, &[Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOLCK])
}

fn is_one_of(error: &io::Error, numbers: &[Errno]) -> bool {
    error.raw_os_error().is_some_and(|number| numbers.iter().any(|e| e.raw_os_error() == number))
}
