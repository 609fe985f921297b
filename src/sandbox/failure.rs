//! What the second stage tells bryo: lines of JSON over their socket, none of them when all went
//! well.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Error;
use crate::sys;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    Notice(Notice),
    /// Calls are trapped from now on. The listener and the mount namespace come with this line, and
    /// one byte back is waited for. Whether signals leave waiting threads alone.
    Listening {
        killable: bool,
    },
    Failure(Failure),
}

/// Something that the user should know, though the process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Notice {
    ProcIsShared,
}

impl Notice {
    pub(super) fn text(self) -> String {
        match self {
            Self::ProcIsShared => {
                "/proc is masked by a container runtime: commands see that of the \
                                   host, with all its processes"
            }
        }
        .to_owned()
    }
}

/// Why the program does not run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Failure {
    about: About,
    /// The system call, as `sys::Error` shows it.
    call: Option<String>,
    errno: Option<i32>,
}

/// What could not be done.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum About {
    World,
    /// The filter, or the first calls under it.
    Emulation,
    Source(#[serde(with = "super::any_path")] PathBuf),
    Point(#[serde(with = "super::any_path")] PathBuf),
    Mount(#[serde(with = "super::any_path")] PathBuf),
    Directory(#[serde(with = "super::any_path")] PathBuf),
    /// There is no such program, in `PATH` or at all.
    NotFound(#[serde(with = "super::any_path")] PathBuf),
    Program(#[serde(with = "super::any_path")] PathBuf),
}

impl Failure {
    pub(super) fn call(about: About, error: sys::Error) -> Self {
        Self { about, errno: error.errno(), call: Some(error.call) }
    }

    pub(super) fn file(about: About, error: &io::Error) -> Self {
        Self { about, errno: error.raw_os_error(), call: None }
    }

    /// The same, as bryo's callers see it.
    pub(super) fn into_error(self) -> Error {
        let invalid = || io::ErrorKind::InvalidInput.into();
        let cause = self.errno.map_or_else(invalid, io::Error::from_raw_os_error);
        let call = |fallback: &str| self.call.clone().unwrap_or_else(|| fallback.to_owned());
        match self.about {
            About::World => {
                Error::World { source: sys::Error { call: call("second stage"), source: cause } }
            }
            About::Emulation => {
                Error::Emulate { source: sys::Error { call: call("seccomp"), source: cause } }
            }
            About::Source(path) => Error::Source { path, source: cause },
            About::Point(path) => Error::Point { path, source: cause },
            About::Mount(path) => {
                let source = sys::Error { call: call("write"), source: cause };
                Error::Mount { path, source }
            }
            About::Directory(path) => Error::Directory { path, source: cause },
            About::NotFound(program) => Error::NotFound { program },
            About::Program(program) => Error::Execute { program, source: cause },
        }
    }
}

impl From<sys::Error> for Failure {
    fn from(error: sys::Error) -> Self {
        Self::call(About::World, error)
    }
}
