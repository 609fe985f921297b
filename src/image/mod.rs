//! What an image is, as values. No input or output happens here.
//!
//! What others made is kept as the bytes they sent, with a tolerant view beside it
//! ([`Manifest`], [`Index`], [`Config`]): unknown fields, Docker's own fields and nulls survive,
//! and nothing is serialised again unless it was changed. What we make ourselves is built in
//! [`edit`].

mod alias;
mod annotation;
mod config;
mod digest;
pub mod edit;
mod manifest;
pub mod media_type;
mod platform;
mod reference;
mod time;

pub use alias::Aliases;
pub use annotation::{Annotated, Annotation, Annotations};
pub use config::{Config, Healthcheck, History, RootFs, Runtime};
pub use digest::{Algorithm, Digest, Hasher, Mismatch, Verified};
pub use manifest::{Content, Descriptor, Index, Manifest};
pub use platform::Platform;
pub use reference::Reference;
pub use time::Timestamp;

/// What is wrong with an image's own words.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("invalid digest {0:?}: {1}")]
    Digest(String, &'static str),
    #[error("invalid image reference {0:?}: {1}")]
    Reference(String, &'static str),
    #[error("invalid platform {0:?}: {1}")]
    Platform(String, &'static str),
    #[error("invalid annotation {0:?}: {1}")]
    Annotation(String, String),
    #[error("invalid time {0:?}: {1}")]
    Time(String, &'static str),
    #[error("{what} is not valid JSON")]
    Json {
        what: &'static str,
        #[source]
        source: serde_json::Error,
    },
    #[error("media type {0:?} is neither an image manifest nor an index")]
    MediaType(String),
    #[error(
        "the manifest is of schema 1 (sent as {0:?}), which has neither a configuration nor digests of what is in its layers"
    )]
    SchemaOne(String),
    #[error("no image for platform {wanted}; the index has {available}")]
    NoPlatform { wanted: String, available: String },
    #[error("the {what} has no field {field:?}")]
    Field { what: &'static str, field: &'static str },
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::SchemaOne(_) => Some(
                "push the image again with a tool of this decade, or pull it by one that still reads \
                 schema 1 (docker before 28) and push it from there"
                    .into(),
            ),
            Self::NoPlatform { .. } => Some("choose one of them with --platform".into()),
            _ => None,
        }
    }
}
