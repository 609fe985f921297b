//! [`Error`]: why a source on another machine cannot be had.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::http;

/// Why a source of ADD on another machine cannot be had. URLs are without what may be secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{url:?} is no URL: {why}")]
    Url { url: String, why: String },
    #[error("invalid git reference {reference:?}: {why}")]
    GitRef { reference: String, why: String },
    #[error("invalid checksum {checksum:?}: {why}")]
    BadChecksum { checksum: String, why: String },
    #[error(transparent)]
    Http(#[from] http::Error),
    #[error("GET {url}: the server answers with status {status}")]
    Status {
        url: String,
        status: u16,
        /// What it asks to wait before another try.
        pause: Option<Duration>,
    },
    #[error("GET {url}: the answer is cut off")]
    Cut { url: String, source: io::Error },
    #[error("{url}: digest mismatch: {actual} is not {expected}")]
    Digest { url: String, expected: String, actual: String },
    /// Between the step's key and its doing.
    #[error("{url}: its content changed while it was fetched, or has the entity tag of another")]
    Changed { url: String },
    #[error("writing {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("there is no program git")]
    NoGit,
    #[error("starting {}", path.display())]
    Start { path: PathBuf, source: io::Error },
    /// `said` is git's own message.
    #[error("git {verb} {remote}: {said}")]
    Git { verb: &'static str, remote: String, said: String },
    #[error("{remote} has no branch and no tag {reference:?}")]
    NoReference { remote: String, reference: String },
    #[error("{remote} has no commit {commit}")]
    NoCommit { remote: String, commit: String },
    #[error("{remote}: expected checksum to match {expected}, got {actual}")]
    Commit { remote: String, expected: String, actual: String },
    #[error("{remote} has no directory {subdir:?}")]
    NoSubdir { remote: String, subdir: String },
}

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What the Dockerfile says makes no sense.
    Usage,
    NotFound,
    Denied,
    /// It is not what the Dockerfile says it is.
    Invalid,
    Network,
    Local,
}

impl Error {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Url { .. } | Self::GitRef { .. } | Self::BadChecksum { .. } => Kind::Usage,
            Self::Status { status: 401 | 403 | 407, .. } => Kind::Denied,
            Self::Status { status: 404 | 410, .. }
            | Self::NoGit
            | Self::NoReference { .. }
            | Self::NoCommit { .. }
            | Self::NoSubdir { .. } => Kind::NotFound,
            Self::Digest { .. } | Self::Commit { .. } => Kind::Invalid,
            Self::Http(_) | Self::Status { .. } | Self::Cut { .. } | Self::Changed { .. } => {
                Kind::Network
            }
            Self::Git { said, .. } if is_denial(said) => Kind::Denied,
            Self::Git { said, .. } if said.contains("not found") => Kind::NotFound,
            Self::Git { .. } => Kind::Network,
            Self::Write { .. } | Self::Start { .. } => Kind::Local,
        }
    }

    /// Whether another try may end better.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Http(error) => error.is_passing(),
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..),
            Self::Cut { .. } => true,
            _ => false,
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Http(error) => error.hint(),
            Self::Changed { .. } => Some("build once more".to_owned()),
            Self::NoGit => Some("install it: sudo apt-get install git".to_owned()),
            Self::Digest { actual, .. } => {
                Some(format!("if the file is the right one, write --checksum={actual}"))
            }
            Self::BadChecksum { .. } => Some(
                "of a URL it is sha256: and 64 hexadecimal digits, of a repository a commit".into(),
            ),
            Self::Git { said, .. } if said.contains("Host key verification failed") => {
                Some("add the host's key to ~/.ssh/known_hosts, for instance with ssh".to_owned())
            }
            Self::Git { said, .. } if is_denial(said) => Some(
                "the repository is private or does not exist; nobody is asked for a password in a \
                 build"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

fn is_denial(said: &str) -> bool {
    ["terminal prompts disabled", "Permission denied", "Authentication failed", "could not read"]
        .iter()
        .any(|text| said.contains(text))
}
