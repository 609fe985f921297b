//! Why a sandbox could not be made, with the cause and the remedy.

use std::path::PathBuf;

use crate::sys;

/// A step of entering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    UserNamespace,
}

/// What the system tells about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {}

/// Why the kernel refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    Unknown,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("this system does not let bryo make a user namespace")]
    Enter {
        step: Step,
        cause: Cause,
        #[source]
        source: sys::Error,
    },
    #[error("mount point {}", path.display())]
    Point {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// Whether the system (not the user's input) is the reason: the kernel or a policy refuses
    /// what a sandbox needs.
    pub fn is_unsupported(&self) -> bool {
        true
    }

    /// 126 or 127 when the program could not be executed, as of `docker run`.
    pub fn exit_code(&self) -> Option<u8> {
        None
    }

    pub fn hint(&self) -> Option<String> {
        None
    }
}
