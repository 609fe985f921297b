//! What can go wrong with a sandbox.

use std::io;
use std::path::PathBuf;

use super::binfmt::Foreign;
use super::cause::{Cause, Step};
use crate::sys::errno::ENOSPC;
use crate::{rootfs, sys};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{step}: {cause}")]
    Enter {
        step: Step,
        cause: Cause,
        #[source]
        source: sys::Error,
    },
    #[error("a sandbox cannot be made here")]
    World { source: sys::Error },
    #[error("root cannot be emulated in this way here")]
    Emulate { source: sys::Error },
    #[error("root emulation broke down: {why}")]
    Supervisor { why: String },
    #[error("{} cannot be mounted", path.display())]
    Mount { path: PathBuf, source: sys::Error },
    #[error("{}, which is to be mounted", path.display())]
    Source { path: PathBuf, source: io::Error },
    #[error("mount point {}", path.display())]
    Point { path: PathBuf, source: io::Error },
    #[error("mount points in the image")]
    Image(#[from] rootfs::Error),
    #[error("working directory {}", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error("ulimit {name}: {} is more than this user may have, which is {highest}", shown(*wanted))]
    Limit { name: String, wanted: Option<u64>, highest: u64 },
    #[error("{}: no such program in the image", program.display())]
    NotFound { program: PathBuf },
    #[error(
        "{} is a program for {architecture}, which this machine cannot execute", program.display()
    )]
    Foreign { program: PathBuf, architecture: String, why: Foreign },
    #[error("{} cannot be executed", program.display())]
    Execute { program: PathBuf, source: io::Error },
}

impl Error {
    /// Whether the system, not the user's input, is the reason: the kernel or a policy refuses what
    /// a sandbox needs.
    pub fn is_unsupported(&self) -> bool {
        matches!(
            self,
            Self::Enter { .. }
                | Self::World { .. }
                | Self::Mount { .. }
                | Self::Emulate { .. }
                | Self::Limit { .. }
                | Self::Foreign { .. }
        )
    }

    /// 126 or 127 when the program could not be executed, as of `docker run`; 8 when it is for another
    /// machine.
    pub fn exit_code(&self) -> Option<u8> {
        match self {
            Self::NotFound { .. } => Some(127),
            Self::Execute { .. } | Self::Directory { .. } => Some(126),
            // Nothing is wrong with the image: the system cannot do it.
            Self::Foreign { .. } => Some(8),
            _ => None,
        }
    }

    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Enter { cause, .. } => cause.remedy(),
            Self::Emulate { .. } => Some(
                "`bryo doctor` says which way of --root-emulation works here, and why".to_owned(),
            ),
            Self::World { source } if source.errno() == Some(ENOSPC) => Some(
                "it is not the disk that is full: `sysctl -a | grep max_.*_namespaces` shows how \
                 many of each kind a user may have"
                    .to_owned(),
            ),
            Self::Limit { name, highest, .. } => Some(format!(
                "--ulimit {name}={highest} is the most; an administrator can raise this user's limit \
                 (limits.conf(5))"
            )),
            Self::Foreign { why, .. } => Some(why.remedy()),
            Self::Execute { source, .. } if source.kind() == io::ErrorKind::NotFound => Some(
                "the file is there, but the interpreter that it names (after `#!`, or the ELF \
                 loader) is not"
                    .to_owned(),
            ),
            Self::Execute { source, .. } if source.kind() == io::ErrorKind::ExecutableFileBusy => {
                Some("something still writes to it".to_owned())
            }
            _ => None,
        }
    }
}

fn shown(limit: Option<u64>) -> String {
    limit.map_or_else(|| "no limit".to_owned(), |limit| limit.to_string())
}
