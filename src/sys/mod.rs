//! Kernel calls, each wrapped once: the only room where `unsafe`, `libc`, `nix`, `rustix` and
//! `caps` may appear.
#![allow(unsafe_code)] // The one door; each block says why it is sound.

pub mod clone;
pub mod errno;
pub mod fd;
pub mod internet;
pub mod mount;
pub mod native;
pub mod ns;
pub mod overlay;
pub mod path;
pub mod probe;
pub mod process;
pub mod seccomp;
pub mod signal;
pub mod socket;
pub mod storage;
pub mod tracee;
pub mod xattr;

use std::io;

/// A system call that failed, shown as strace would: the call with its arguments; the reason is
/// the source.
#[derive(Debug, thiserror::Error)]
#[error("{call}")]
pub struct Error {
    pub call: String,
    #[source]
    pub source: io::Error,
}

impl Error {
    /// The error number, as `libc::E…`.
    pub fn errno(&self) -> Option<i32> {
        self.source.raw_os_error()
    }

    fn new(call: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self { call: call.into(), source: source.into() }
    }
}

pub type Result<T> = std::result::Result<T, Error>;
