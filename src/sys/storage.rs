//! What a file system says about itself: how much room is left, and what its errors mean.

use std::io;
use std::os::fd::AsFd;
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

/// Whether all that happens to a file's content on its file system shows in the time of its last
/// change, by this machine's clock. Not so where other machines write (NFS), and in memory, where
/// writes through a mapping leave no time (tmpfs).
pub fn tells_changes(file: impl AsFd) -> bool {
    // linux/magic.h; zfs, f2fs and bcachefs have theirs in their own headers.
    const EXT: u32 = 0xef53;
    const XFS: u32 = 0x5846_5342;
    const BTRFS: u32 = 0x9123_683e;
    const OVERLAY: u32 = 0x794c_7630;
    const F2FS: u32 = 0xf2f5_2010;
    const ZFS: u32 = 0x2fc1_2fc1;
    const BCACHEFS: u32 = 0xca45_1a4e;
    let known = [EXT, XFS, BTRFS, OVERLAY, F2FS, ZFS, BCACHEFS];
    #[allow(clippy::cast_possible_truncation, reason = "the field's type differs")]
    rustix::fs::fstatfs(file).is_ok_and(|stat| known.contains(&(stat.f_type as u32)))
}

/// Whether the file system or a quota has no room left.
pub fn is_full(error: &io::Error) -> bool {
    is_one_of(error, &[Errno::NOSPC, Errno::DQUOT])
}

/// An error without the name of a temporary file that nobody has asked for: `tempfile` puts it there,
/// and takes the error's number away.
pub fn without_path(error: io::Error) -> io::Error {
    if error.raw_os_error().is_some() {
        return error;
    }
    let number = match error.kind() {
        io::ErrorKind::StorageFull => Some(Errno::NOSPC),
        io::ErrorKind::QuotaExceeded => Some(Errno::DQUOT),
        _ => None,
    };
    let text = error.to_string();
    match (number, text.rfind(" at path \"")) {
        (Some(number), Some(_)) => number.into(),
        (None, Some(end)) => io::Error::new(error.kind(), &text[..end]),
        (_, None) => error,
    }
}

/// Whether a lock failed because the file system has none: Lustre without `-o flock` says `ENOSYS`,
/// others `EOPNOTSUPP`, NFS without its lock daemon `ENOLCK`.
pub fn cannot_lock(error: &io::Error) -> bool {
    is_one_of(error, &[Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOLCK])
}

fn is_one_of(error: &io::Error, numbers: &[Errno]) -> bool {
    error.raw_os_error().is_some_and(|number| numbers.iter().any(|e| e.raw_os_error() == number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_files_have_no_name() {
        let folder = tempfile::tempdir().expect("a directory");
        let error = tempfile::tempdir_in(folder.path().join("none")).expect_err("it is not there");
        assert!(error.to_string().contains("none"), "{error}");
        let bare = without_path(error);
        let said = (bare.kind(), bare.to_string());
        let expected = "No such file or directory (os error 2)";
        assert_eq!(said, (io::ErrorKind::NotFound, expected.to_owned()));
        let other = without_path(io::Error::other("as it was"));
        assert_eq!(other.to_string(), "as it was");
        let full = io::Error::new(io::ErrorKind::StorageFull, "full at path \"/x\"");
        assert!(is_full(&without_path(full)));
    }
}
