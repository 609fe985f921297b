//! What can go wrong in a build, and where in the Dockerfile.

use std::io;
use std::path::PathBuf;

use crate::dockerfile::{self, Diagnostic, Span};
use crate::{image, layer, rootfs, run, sandbox, store, transfer};

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Dockerfile itself is wrong; at least one of the diagnostics is an error.
    #[error("the Dockerfile is not valid")]
    Dockerfile(Vec<Diagnostic>),
    #[error("dockerfile contains no stages to build")]
    NoStage,
    #[error("target stage {wanted:?} could not be found")]
    Target { wanted: String, nearest: Option<String> },
    /// An instruction that could not be done.
    #[error("{fault}")]
    At { span: Span, fault: Box<Fault> },
    /// The image could not be written, after all steps.
    #[error(transparent)]
    Result(Box<Fault>),
}

impl Error {
    pub(super) fn at(span: Span, fault: impl Into<Fault>) -> Self {
        Self::At { span, fault: Box::new(fault.into()) }
    }

    /// Where in the Dockerfile.
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::At { span, .. } => Some(*span),
            _ => None,
        }
    }

    /// What went wrong there.
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::At { fault, .. } | Self::Result(fault) => Some(fault),
            _ => None,
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Target { nearest, .. } => {
                nearest.as_ref().map(|name| format!("did you mean {name}?"))
            }
            _ => self.fault().and_then(Fault::hint),
        }
    }
}

/// What went wrong with one instruction. Where the reference builder has words for it, those.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("base name ({0}) should not be blank")]
    BlankBase(String),
    #[error("empty platform value from expression {0}")]
    EmptyPlatform(String),
    #[error(transparent)]
    Image(image::Error),
    #[error("invalid stage index {0}")]
    StageIndex(usize),
    #[error(
        "cannot copy from stage {wanted:?}, it needs to be defined before current stage {current:?}"
    )]
    LaterStage { wanted: String, current: String },
    #[error("circular dependency detected on stage: {0}")]
    CircularStage(String),
    #[error("{reference} is an artifact or an index, which has no files")]
    NotAnImage { reference: String },
    #[error("{0}")]
    Language(#[from] dockerfile::Error),
    #[error("VOLUME specified can not be an empty string")]
    EmptyVolume,
    #[error("{0}")]
    Trigger(String),
    #[error("process {command:?} did not complete successfully: exit code: {code}")]
    Command { command: String, code: u8 },
    #[error("RUN has no command")]
    NoCommand,
    #[error("source can't be a URL or a git ref for COPY: {0}")]
    RemoteCopy(String),
    #[error("the layers below are not unpacked")]
    NotUnpacked,
    #[error("{0} is not supported by this version of bryo")]
    Unsupported(String),
    #[error("there is no build context: \"-\" was given")]
    NoContext,
    #[error("{path:?}: not found")]
    NotFound { path: String, ignored: bool },
    #[error("{destination:?} must be a directory and end with /, as there are several sources")]
    SeveralSources { destination: String },
    #[error("cannot copy to non-directory: {0:?}")]
    NotADirectory(PathBuf),
    #[error("cannot replace to directory {0:?} with file")]
    IsADirectory(PathBuf),
    #[error("the build context {0:?}")]
    Context(PathBuf, #[source] io::Error),
    #[error("{0:?}")]
    Read(PathBuf, #[source] io::Error),
    #[error(transparent)]
    Rootfs(#[from] rootfs::Error),
    #[error(transparent)]
    Layer(#[from] layer::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Transfer(#[from] transfer::Error),
    #[error(transparent)]
    Run(#[from] run::Error),
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
}

impl Fault {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { ignored: true, .. } => {
                Some("a pattern of .dockerignore leaves it out of the build context".into())
            }
            Self::NoContext => Some("COPY and ADD need a directory as the build context".into()),
            Self::Image(error) => error.hint(),
            _ => None,
        }
    }
}
