//! [`Error`]: what can go wrong on the way.

use std::io;
use std::path::PathBuf;

use crate::image::{self, Digest};
use crate::sys::storage::without_path;
use crate::{layer, registry, rootfs, store};

/// What can go wrong on the way of an image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Image(#[from] image::Error),
    /// A manifest that makes no sense.
    #[error("{what}")]
    Content {
        what: String,
        #[source]
        source: image::Error,
    },
    #[error(transparent)]
    Layer(#[from] layer::Error),
    #[error(transparent)]
    Registry(#[from] registry::Error),
    #[error(transparent)]
    Rootfs(#[from] rootfs::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("reading {digest} from {from}")]
    Read {
        digest: Digest,
        from: String,
        #[source]
        source: io::Error,
    },
    #[error("unpacking layer {layer} from {from}")]
    Unpack {
        layer: Digest,
        from: String,
        #[source]
        source: Box<layer::Error>,
    },
    #[error("writing {to}")]
    Write {
        to: String,
        #[source]
        source: io::Error,
    },
    #[error("{}", path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{}: ch/metadata.json", path.display())]
    Notes {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("{0} does not stand on the base that is to be replaced: its lowest layers are others")]
    OtherBase(String),
    #[error("{0} has images for several machines, and not all of them can be for one")]
    OneMachine(String),
    #[error("{path} is no image: {problem}")]
    NoImage { path: String, problem: String },
    #[error("there is no {what} in {path}")]
    Missing { path: String, what: String },
    #[error("{path} holds several images: {names}")]
    Several { path: String, names: String },
    #[error(
        "{digest} has {size} bytes, more than the {limit} that a manifest or configuration may"
    )]
    TooLarge { digest: Digest, size: u64, limit: u64 },
    #[error("the configuration of {image} tells of {diff_ids} layers, its manifest of {layers}")]
    LayerCount { image: String, diff_ids: usize, layers: usize },
    #[error("layer {layer} unpacks to {actual}, the image's configuration says {expected}")]
    DiffId { layer: Digest, expected: Digest, actual: Digest },
    #[error("{0:?} is no place of an image: {1}")]
    Endpoint(String, String),
    #[error("{} is there already, and is no empty directory", .0.display())]
    NotEmpty(PathBuf),
    #[error("{} has the storage directory in it, {}", path.display(), storage.display())]
    HoldsStorage { path: PathBuf, storage: PathBuf },
    #[error("{sink} takes one image, not {what}")]
    Unsuitable { sink: String, what: &'static str },
    #[error("{sink} did not take the image: {problem}")]
    NotTaken { sink: String, problem: String },
    #[error("{0} has layers in zstd, for which Docker's manifests have no name")]
    ZstdInDocker(String),
    #[error("{what} cannot be read, only written")]
    OnlyWritten { what: String, instead: &'static str },
    #[error("a mount at {} would be seen in this process's namespace alone and end with it", .0.display())]
    Mount(PathBuf),
    #[error("the daemon at {socket}: {problem}")]
    Daemon { socket: String, problem: String },
    #[error("there is no program {program} in PATH")]
    NoTool { program: &'static str, package: &'static str },
    #[error("there is no program {0:?} in PATH")]
    NoProgram(String),
    #[error("{program} needs the library {library}, which this machine does not have")]
    NoLibrary { program: String, library: String },
    #[error("{program} cannot be copied: {problem}")]
    Program { program: String, problem: String },
    /// Another part of the same transfer failed, and that is the error to tell.
    #[error("another part failed")]
    Cancelled,
}

impl Error {
    pub(super) fn writing(to: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let to = to.into();
        move |source| Self::Write { to, source: without_path(source) }
    }

    pub(super) fn opening(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Open { path, source }
    }

    /// Whether what was asked for is simply not there.
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::Store(store::Error::Missing(_)) => true,
            Self::Registry(error) => error.kind() == registry::Kind::NotFound,
            _ => false,
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Image(error) | Self::Content { source: error, .. } => error.hint(),
            Self::Registry(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Several { .. } => Some("add the name of one, after a colon".into()),
            Self::OneMachine(_) => Some("choose one of them with --platform".into()),
            Self::NoTool { package, .. } => Some(format!("install the package {package}")),
            Self::HoldsStorage { .. } => {
                Some("name a directory without it, or another one with --storage".into())
            }
            Self::NotEmpty(_) => Some("remove it, or name another directory".into()),
            Self::ZstdInDocker(_) => {
                Some("compress them anew first: --filter recompress=gzip --filter format=docker".into())
            }
            Self::OnlyWritten { instead, .. } => Some((*instead).into()),
            Self::Daemon { .. } => {
                Some("start it, or name its socket: daemon:NAME?socket=PATH".into())
            }
            Self::Mount(_) => Some(
                "mount with `bryo copy IMAGE mount:DIR`, without sudo and in no other namespace; or \
                 write the files with dir:DIR"
                    .into(),
            ),
            Self::NoProgram(_) => Some("give an absolute path, or install it here".into()),
            _ => None,
        }
    }
}
