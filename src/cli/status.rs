//! [`Status`]: how bryo ends, and which error ends it how.

use std::error::Error as StdError;
use std::process::ExitCode;

use crate::build::{self, Fault, RemoteKind};
use crate::http::server;
use crate::{fakeroot, image, inspect, layer, registry, rootfs, run, sandbox, store, transfer};

/// An exit status (bryo(1), "Exit status").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) u8);

impl Status {
    /// The caller's own command or build failed.
    pub(crate) const FAILED: Self = Self(1);
    /// The command line or the Dockerfile is wrong.
    pub(crate) const USAGE: Self = Self(2);
    pub(crate) const NOT_FOUND: Self = Self(3);
    pub(crate) const DENIED: Self = Self(4);
    /// Data did not match its digest or its format.
    pub(crate) const INVALID: Self = Self(5);
    pub(crate) const NETWORK: Self = Self(6);
    /// Part of a batch.
    pub(crate) const PARTLY: Self = Self(7);
    /// This system cannot do it.
    pub(crate) const SYSTEM: Self = Self(8);
    /// Storage: full, damaged, not writable.
    pub(crate) const STORAGE: Self = Self(9);
    /// A mistake of ours.
    pub(crate) const BUG: Self = Self(70);
    /// `run` came to nothing (as of `docker run`).
    pub(crate) const NOT_RUN: Self = Self(125);
}

impl From<Status> for ExitCode {
    fn from(Status(status): Status) -> Self {
        Self::from(status)
    }
}

/// An error that knows how it ends bryo.
pub(crate) trait Ends {
    fn status(&self) -> Status;
}

impl Ends for image::Error {
    fn status(&self) -> Status {
        match self {
            Self::Reference(..)
            | Self::Platform(..)
            | Self::Digest(..)
            | Self::Annotation(..)
            | Self::Time(..) => Status::USAGE,
            Self::NoPlatform { .. } => Status::NOT_FOUND,
            Self::Json { .. }
            | Self::MediaType(_)
            | Self::SchemaOne(_)
            | Self::Field { .. }
            | Self::Invalid(_) => Status::INVALID,
        }
    }
}

impl Ends for rootfs::Error {
    fn status(&self) -> Status {
        match self {
            Self::Missing { .. } | Self::NoUser(_) | Self::NoGroup(_) => Status::NOT_FOUND,
            Self::NotADirectory { .. }
            | Self::IsADirectory { .. }
            | Self::IsRoot { .. }
            | Self::TooLong { .. }
            | Self::Owner(_) => Status::FAILED,
            Self::Record { .. } | Self::SideTable(_) => Status::STORAGE,
            _ => Status::STORAGE,
        }
    }
}

impl Ends for layer::Error {
    fn status(&self) -> Status {
        match self {
            Self::Files(error) => error.status(),
            Self::Compression(..) => Status::USAGE,
            Self::Write(_) => Status::STORAGE,
            _ => Status::INVALID,
        }
    }
}

impl Ends for store::Error {
    fn status(&self) -> Status {
        match self {
            Self::NotFound(_) | Self::NotForgotten(_) => Status::NOT_FOUND,
            Self::Ambiguous(_) => Status::USAGE,
            Self::Exists(_) => Status::FAILED,
            Self::Image(error) => error.status(),
            Self::Layer(error) => error.status(),
            Self::Mount(_) => Status::SYSTEM,
            _ => Status::STORAGE,
        }
    }
}

impl Ends for registry::Error {
    fn status(&self) -> Status {
        match self.kind() {
            registry::Kind::NotFound => Status::NOT_FOUND,
            registry::Kind::Denied => Status::DENIED,
            registry::Kind::Invalid => Status::INVALID,
            registry::Kind::Network => Status::NETWORK,
            registry::Kind::Local => Status::USAGE,
        }
    }
}

impl Ends for transfer::Error {
    fn status(&self) -> Status {
        match self {
            Self::Image(error) | Self::Content { source: error, .. } => error.status(),
            Self::Layer(error) => error.status(),
            Self::Unpack { source, .. } => source.status(),
            Self::Registry(error) => error.status(),
            Self::Rootfs(error) => error.status(),
            Self::Store(error) => error.status(),
            // The cause is what the sender said, or that its bytes are not what they should be.
            Self::Read { source, .. } => {
                registry::Error::of(source).map_or(Status::INVALID, Ends::status)
            }
            Self::Write { .. } => Status::STORAGE,
            Self::NotEmpty(_) | Self::OtherBase(_) => Status::FAILED,
            Self::OneMachine(_) | Self::HoldsStorage { .. } => Status::USAGE,
            Self::NotTaken { .. } => Status::FAILED,
            Self::Mount(_) | Self::NoTool { .. } => Status::SYSTEM,
            Self::Daemon { .. } => Status::NETWORK,
            Self::OnlyWritten { .. } | Self::ZstdInDocker(_) => Status::USAGE,
            Self::Open { .. }
            | Self::Missing { .. }
            | Self::NoProgram(_)
            | Self::NoLibrary { .. } => Status::NOT_FOUND,
            Self::Endpoint(..) | Self::Several { .. } | Self::Unsuitable { .. } => Status::USAGE,
            _ => Status::INVALID,
        }
    }
}

impl Ends for inspect::Error {
    fn status(&self) -> Status {
        match self {
            Self::Transfer(error) => error.status(),
            Self::Store(error) => error.status(),
            Self::Layer { source, .. } => source.status(),
            Self::TooMuch { .. } => Status::INVALID,
            Self::NoFile { .. } | Self::NoBlob { .. } => Status::NOT_FOUND,
            Self::NotAFile { .. } | Self::Links { .. } => Status::FAILED,
            Self::Ambiguous { .. } | Self::Pattern { .. } => Status::USAGE,
            Self::Write(_) => Status::STORAGE,
        }
    }
}

impl Ends for sandbox::Error {
    fn status(&self) -> Status {
        if self.is_unsupported() { Status::SYSTEM } else { Status::FAILED }
    }
}

impl Ends for fakeroot::Error {
    fn status(&self) -> Status {
        match self {
            Self::Impossible { .. } => Status::SYSTEM,
            Self::NoProfile { .. } | Self::Profile(_) => Status::USAGE,
            Self::Image(error) => error.status(),
        }
    }
}

impl Ends for run::Error {
    fn status(&self) -> Status {
        match self {
            Self::Sandbox(error) => error.status(),
            Self::Image(error) => error.status(),
            Self::Fakeroot(error) => error.status(),
            error if error.is_unsupported() => Status::SYSTEM,
            Self::Cdi(run::CdiError::Missing { .. }) | Self::Node { .. } | Self::NoDevice(_) => {
                Status::NOT_FOUND
            }
            Self::Cdi(_) => Status::USAGE,
            _ => Status::FAILED,
        }
    }
}

impl Ends for server::Error {
    fn status(&self) -> Status {
        match self {
            Self::Address(_) | Self::Identity { .. } => Status::USAGE,
            Self::Listen { .. } | Self::Threads(_) => Status::SYSTEM,
        }
    }
}

impl Ends for build::Error {
    fn status(&self) -> Status {
        self.fault().map_or(Status::USAGE, Ends::status)
    }
}

impl Ends for Fault {
    fn status(&self) -> Status {
        match self {
            Self::Image(error) => error.status(),
            Self::Rootfs(error) => error.status(),
            Self::Layer(error) => error.status(),
            Self::Store(error) => error.status(),
            Self::Transfer(error) => error.status(),
            Self::Fakeroot(error) => error.status(),
            Self::Run(error) => error.status(),
            Self::Sandbox(error) => error.status(),
            Self::Misnamed(misnamed) => misnamed.fault().status(),
            Self::Insecure => Status::SYSTEM,
            Self::Late { .. } => Status::FAILED,
            Self::Agent(_)
            | Self::NoAgent(_)
            | Self::NoSecret(_)
            | Self::NotFound { .. }
            | Self::NoContext(_)
            | Self::NoFile(_)
            | Self::NoUser(_) => Status::NOT_FOUND,
            Self::Archive { source, .. } => source.status(),
            Self::Remote(error) => match error.kind() {
                RemoteKind::Usage => Status::USAGE,
                RemoteKind::NotFound => Status::NOT_FOUND,
                RemoteKind::Denied => Status::DENIED,
                RemoteKind::Invalid => Status::INVALID,
                RemoteKind::Network => Status::NETWORK,
                RemoteKind::Local => Status::STORAGE,
            },
            Self::Context(..) | Self::Read(..) => Status::NOT_FOUND,
            Self::Command { .. }
            | Self::NotADirectory(_)
            | Self::IsADirectory(_)
            | Self::Unreadable { .. } => Status::FAILED,
            Self::NotUnpacked => Status::STORAGE,
            _ => Status::USAGE,
        }
    }
}

/// The error and its causes.
pub(crate) fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| <dyn StdError>::source(*error))
}
