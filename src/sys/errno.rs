//! Error numbers that other rooms tell apart; `io::ErrorKind` makes `EPERM` and `EACCES` one.

pub use libc::{EACCES, EBUSY, EINVAL, ENOEXEC, ENOSPC, ENOSYS, EPERM};

/// An error number, as a system call that bryo answers for a process returns it.
pub use rustix::io::Errno;
