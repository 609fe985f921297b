//! What can go wrong in a build, and where in the Dockerfile.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::log::Written;
use super::remote;
use crate::dockerfile::{self, Diagnostic, Span};
use crate::rootfs::{self, Root};
use crate::{fakeroot, image, layer, run, sandbox, store, transfer};

/// Why there is no image.
#[derive(Debug)]
pub enum Error {
    /// The Dockerfile itself is wrong; at least one of the diagnostics is an error.
    Dockerfile(Vec<Diagnostic>),
    NoStage,
    Target {
        wanted: String,
        nearest: Option<String>,
    },
    /// `SOURCE_DATE_EPOCH` is no number of seconds.
    Epoch(String),
    /// `# check=…`, or the build argument that says the same.
    Check(String),
    /// Something is to be said on an index, and there is none.
    NoIndex,
    /// Something is to be said about an image for this platform, and there is none.
    NoPlatform(String),
    /// An instruction that could not be done.
    At {
        span: Span,
        fault: Box<Fault>,
    },
    /// The image could not be written, after all steps.
    Result(Box<Fault>),
}

// By hand, as an error at a place is told like the fault itself, and has that one's causes.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dockerfile(_) => f.write_str("the Dockerfile is not valid"),
            Self::NoStage => f.write_str("dockerfile contains no stages to build"),
            Self::Target { wanted, nearest } => {
                let meant = meant(nearest.as_deref());
                write!(f, "target stage {wanted:?} could not be found{meant}")
            }
            Self::Check(why) => write!(f, "failed to parse check options: {why}"),
            Self::Epoch(text) => write!(f, "invalid SOURCE_DATE_EPOCH: {text}"),
            Self::NoIndex => {
                f.write_str("index annotations not supported for single platform export")
            }
            Self::NoPlatform(platform) => {
                write!(f, "invalid annotation: no platform {platform} found in source")
            }
            Self::At { fault, .. } | Self::Result(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.fault().and_then(std::error::Error::source)
    }
}

impl Error {
    pub(super) fn at(span: Span, fault: impl Into<Fault>) -> Self {
        Self::At { span, fault: Box::new(fault.into()) }
    }

    /// What went wrong, wherever that was.
    pub(super) fn into_fault(self) -> Fault {
        match self {
            Self::At { fault, .. } | Self::Result(fault) => *fault,
            other => Fault::Trigger(other.to_string()),
        }
    }

    /// Where in the Dockerfile.
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::At { span, .. } => Some(*span),
            _ => None,
        }
    }

    /// The same, or where the first thing is that is wrong with the Dockerfile itself.
    pub fn first_span(&self) -> Option<Span> {
        match self {
            Self::Dockerfile(all) => all.iter().find(|found| found.is_error()).map(|f| f.span),
            _ => self.span(),
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
            Self::Epoch(_) => Some("it is a number of seconds since 1970".to_owned()),
            Self::NoIndex => {
                Some("annotate the manifest: --annotation manifest:NAME=VALUE".to_owned())
            }
            Self::NoPlatform(_) => {
                Some("name one of those that are built with --platform".to_owned())
            }
            _ => self.fault().and_then(Fault::hint),
        }
    }
}

/// A name that nothing has, and which one was meant.
#[derive(Debug)]
pub struct Misnamed {
    pub(super) fault: Box<Fault>,
    pub(super) hint: String,
}

// It is told like the fault itself, and has that one's causes.
impl fmt::Display for Misnamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)
    }
}

impl std::error::Error for Misnamed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.fault.source()
    }
}

impl Misnamed {
    pub fn fault(&self) -> &Fault {
        &self.fault
    }
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(" (did you mean {name}?)"))
}

/// What went wrong with one instruction. Where the reference builder has words for it, those.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("base name ({0}) should not be blank")]
    BlankBase(String),
    #[error("empty platform value from expression {word}{}", meant(nearest.as_deref()))]
    EmptyPlatform { word: String, nearest: Option<String> },
    #[error("failed to parse platform {word}{}", meant(nearest.as_deref()))]
    Platform { word: String, nearest: Option<String>, source: image::Error },
    #[error("failed to parse stage name {name:?}: invalid reference format")]
    StageName { name: String, source: image::Error },
    #[error(transparent)]
    Image(image::Error),
    #[error("invalid stage index {0}")]
    StageIndex(i64),
    #[error(
        "cannot copy from stage {wanted:?}, it needs to be defined before current stage {current:?}"
    )]
    LaterStage { wanted: String, current: String },
    #[error("circular dependency detected on stage: {0}")]
    CircularStage(String),
    #[error(transparent)]
    Misnamed(Misnamed),
    #[error("{reference} is an artifact or an index, which has no files")]
    NotAnImage { reference: String },
    #[error(transparent)]
    Language(#[from] dockerfile::Error),
    /// Of an ignore file.
    #[error("{}", path.display())]
    Ignore { path: PathBuf, source: dockerfile::Error },
    #[error("VOLUME specified can not be an empty string")]
    EmptyVolume,
    #[error("{0}")]
    Trigger(String),
    #[error("process {command:?} did not complete successfully: exit code: {code}")]
    Command {
        command: String,
        code: u8,
        /// Of both streams; None when there was nothing.
        written: Option<Written>,
        /// Another way of root emulation may help.
        advice: Option<String>,
    },
    #[error("process {command:?} did not end within {limit:?}")]
    Late { command: String, limit: Duration, written: Option<Written> },
    #[error("secret {0}: not found")]
    NoSecret(String),
    #[error("no SSH key {0:?} forwarded from the client")]
    NoAgent(String),
    #[error(transparent)]
    Agent(#[from] run::AgentError),
    #[error("secret {0} cannot be a variable: it is no text")]
    BinarySecret(String),
    #[error("invalid mount target {0:?}")]
    MountTarget(String),
    #[error("RUN --security=insecure cannot be done here: bryo has no privilege to give")]
    Insecure,
    /// What its words ask for, or what it finds, is nothing that RSYNC can do.
    #[error("{0}")]
    Rsync(String),
    #[error("RUN has no command")]
    NoCommand,
    #[error("unable to find user {0}: no matching entries in passwd file")]
    NoUser(String),
    #[error("source can't be a URL for COPY: {0}")]
    UrlCopy(String),
    #[error("source can't be a git ref for COPY: {0}")]
    GitCopy(String),
    #[error("checksum requires HTTP(S) or Git sources")]
    LocalChecksum,
    #[error("checksum can't be specified for multiple sources")]
    SeveralChecksums,
    #[error(transparent)]
    Remote(#[from] remote::Error),
    /// `remedy` is what to write instead.
    #[error("{what} is not supported by this version of bryo")]
    Unsupported { what: String, remedy: &'static str },
    #[error("the layers below are not unpacked")]
    NotUnpacked,
    /// It was looked for where there is nothing.
    #[error("{0:?}: not found")]
    NoContext(PathBuf),
    #[error("{0:?} is no file")]
    NoFile(PathBuf),
    #[error("{path:?}: not found")]
    NotFound { path: PathBuf, ignored: bool },
    #[error("{destination:?} must be a directory and end with /, as there are several sources")]
    SeveralSources { destination: String },
    #[error("cannot copy to non-directory: {0:?}")]
    NotADirectory(PathBuf),
    #[error("cannot replace to directory {0:?} with file")]
    IsADirectory(PathBuf),
    #[error("the build context {}", .0.display())]
    Context(PathBuf, #[source] io::Error),
    #[error("reading {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// A file of a context.
    #[error("{} cannot be read", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// What ADD was to unpack.
    #[error("unpacking {}", path.display())]
    Archive { path: PathBuf, source: layer::Error },
    #[error(transparent)]
    Rootfs(#[from] rootfs::Error),
    #[error(transparent)]
    Layer(#[from] layer::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Transfer(#[from] transfer::Error),
    #[error(transparent)]
    Fakeroot(#[from] fakeroot::Error),
    #[error(transparent)]
    Run(#[from] run::Error),
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
}

impl Fault {
    /// A conflict between what is copied and what an image has, by the image's own path.
    pub(super) fn in_image(error: rootfs::Error, root: &Root) -> Self {
        let inner = |path: PathBuf| match path.strip_prefix(root.path()) {
            Ok(inner) => Path::new("/").join(inner),
            Err(_) => path,
        };
        match error {
            rootfs::Error::NotADirectory { path } => Self::NotADirectory(inner(path)),
            rootfs::Error::IsADirectory { path } => Self::IsADirectory(inner(path)),
            other => other.into(),
        }
    }

    /// What the command that failed has written.
    pub fn written(&self) -> Option<&Written> {
        match self {
            Self::Command { written, .. } | Self::Late { written, .. } => written.as_ref(),
            _ => None,
        }
    }

    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { ignored: true, .. } => {
                Some("a pattern of .dockerignore leaves it out of the build context".into())
            }
            Self::Unreadable { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Some("make it readable for you, or name it in .dockerignore".into())
            }
            Self::NoContext(_) => Some(
                "there is no build context, as a Dockerfile alone was given: name a directory, or \
                 give an archive of one"
                    .into(),
            ),
            Self::BlankBase(_) | Self::EmptyPlatform { .. } => Some(
                "FROM sees only the ARGs from before the first FROM: give them a default there, or \
                 a value with --build-arg"
                    .into(),
            ),
            Self::Misnamed(misnamed) => Some(misnamed.hint.clone()),
            Self::Late { .. } => Some("--run-timeout sets this limit".into()),
            Self::NoSecret(id) => Some(format!("give it with --secret id={id},src=FILE")),
            Self::NoAgent(id) => Some(format!("forward an agent with --ssh {id}")),
            Self::Agent(error) => error.hint(),
            Self::BinarySecret(_) => Some("mount it as a file, without env=".into()),
            Self::MountTarget(_) => Some("say where with target=".into()),
            Self::Insecure => Some(
                "leave it out: with root emulation most of what needs privilege works anyway"
                    .into(),
            ),
            Self::SeveralSources { destination } => Some(format!("write {destination}/")),
            Self::UrlCopy(_) | Self::GitCopy(_) => Some("ADD takes these".into()),
            Self::NotADirectory(path) => Some(format!(
                "what is at {} is a file or a symbolic link; copy to where it leads, or remove it \
                 in a RUN before",
                path.display()
            )),
            Self::IsADirectory(path) => Some(format!(
                "copy into it with {}/ at the end, or remove it in a RUN before",
                path.display()
            )),
            Self::Unsupported { remedy, .. } => Some((*remedy).to_owned()),
            Self::Remote(error) => error.hint(),
            Self::Image(error)
            | Self::Platform { source: error, .. }
            | Self::StageName { source: error, .. } => error.hint(),
            Self::Language(error) | Self::Ignore { source: error, .. } => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Transfer(error) => error.hint(),
            Self::Command { advice, .. } => advice.clone(),
            Self::Fakeroot(error) => error.hint(),
            Self::Run(error) => error.hint(),
            Self::Sandbox(error) => error.hint(),
            _ => None,
        }
    }
}
