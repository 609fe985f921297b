//! Copying a file's content the cheapest way: `FICLONE` shares the blocks, `copy_file_range` stays
//! in the kernel, and where neither is possible the bytes pass through a buffer. Holes stay holes.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{self, SeekFrom};
use rustix::io::Errno;

use super::{Error, Result};

const BUFFER: usize = 256 << 10;

/// A file of at most so many bytes is read and written: that is fewer calls than to ask for more.
const SMALL: u64 = 16 << 10;

/// Copies the content of `from`, `size` bytes long, to `to`, which is empty. A `from` that shrinks
/// meanwhile leaves a hole at the end of the copy.
pub fn copy(from: &File, to: &File, size: u64) -> Result<()> {
    let set_size = || {
        let failed = |e| Error::new(format!("ftruncate({}, {size})", to.as_raw_fd()), e);
        to.set_len(size).map_err(failed)
    };
    if size <= SMALL {
        let end = copy_bytes(from, to, 0, size)?;
        return if end == size { Ok(()) } else { set_size() };
    }
    if share(from, to) {
        return Ok(());
    }
    set_size()?;
    let mut in_kernel = true;
    let mut end = 0;
    while let Some(start) = next_data(from, end)?.filter(|start| *start < size) {
        end = next_hole(from, start)?.min(size);
        if in_kernel {
            in_kernel = copy_range(from, to, start, end)?;
        }
        if !in_kernel {
            copy_bytes(from, to, start, end)?;
        }
    }
    Ok(())
}

/// Shares all blocks, where the file system can (btrfs, XFS, bcachefs, some network ones).
fn share(from: &File, to: &File) -> bool {
    fs::ioctl_ficlone(to, from).is_ok()
}

/// Copies inside the kernel; false when it will not, which is the case between file systems
/// (`EXDEV`) and on some of them (`EINVAL`, `EOPNOTSUPP`), or under an old seccomp filter.
fn copy_range(from: &File, to: &File, start: u64, end: u64) -> Result<bool> {
    let (mut read, mut written) = (start, start);
    while read < end {
        let length = usize::try_from(end - read).unwrap_or(usize::MAX).min(1 << 30);
        match fs::copy_file_range(from, Some(&mut read), to, Some(&mut written), length) {
            // At the end of the file, or a kernel (5.6 to 5.18) that answers 0 for what it cannot
            // copy: the buffer finds out which.
            Ok(0) => return Ok(false),
            Ok(_) | Err(Errno::INTR) => {}
            Err(
                Errno::XDEV
                | Errno::INVAL
                | Errno::OPNOTSUPP
                | Errno::NOSYS
                | Errno::PERM
                | Errno::BADF,
            ) => return Ok(false),
            Err(e) => {
                let call =
                    format!("copy_file_range({}, {start}, {})", from.as_raw_fd(), to.as_raw_fd());
                return Err(Error::new(call, e));
            }
        }
    }
    Ok(true)
}

/// Gives the end of what there was.
fn copy_bytes(from: &File, to: &File, start: u64, end: u64) -> Result<u64> {
    let mut buffer = vec![0; BUFFER.min(usize::try_from(end - start).unwrap_or(BUFFER))];
    let mut at = start;
    while at < end {
        let length = buffer.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
        let read = from
            .read_at(&mut buffer[..length], at)
            .map_err(|e| Error::new(format!("pread({}, {at})", from.as_raw_fd()), e))?;
        if read == 0 {
            return Ok(at);
        }
        to.write_all_at(&buffer[..read], at)
            .map_err(|e| Error::new(format!("pwrite({}, {at})", to.as_raw_fd()), e))?;
        at += read as u64;
    }
    Ok(end)
}

/// Where data begins at or after `at`; `None` when only a hole follows.
pub fn next_data(file: &File, at: u64) -> Result<Option<u64>> {
    match fs::seek(file, SeekFrom::Data(at)) {
        Ok(start) => Ok(Some(start)),
        Err(Errno::NXIO) => Ok(None),
        // The file system does not tell holes: all is data.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some(at)),
        Err(e) => Err(Error::new(format!("lseek({}, {at}, SEEK_DATA)", file.as_raw_fd()), e)),
    }
}

/// Where the data at `at` ends: at a hole or at the end of the file.
pub fn next_hole(file: &File, at: u64) -> Result<u64> {
    match fs::seek(file, SeekFrom::Hole(at)) {
        Ok(end) => Ok(end),
        Err(Errno::NXIO | Errno::INVAL | Errno::OPNOTSUPP) => Ok(u64::MAX),
        Err(e) => Err(Error::new(format!("lseek({}, {at}, SEEK_HOLE)", file.as_raw_fd()), e)),
    }
}
