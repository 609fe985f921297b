//! Error numbers that other rooms tell apart; `io::ErrorKind` makes `EPERM` and `EACCES` one.

pub use libc::{EACCES, EINVAL, ENOSPC, ENOSYS, EPERM};
