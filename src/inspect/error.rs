//! [`Error`]: why an image cannot be looked into.

use std::io;
use std::path::PathBuf;

use crate::image::Digest;
use crate::{layer, store, transfer};

/// Why an image cannot be looked into.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Transfer(Box<transfer::Error>),
    #[error(transparent)]
    Store(Box<store::Error>),
    #[error("layer {layer} of {image}")]
    Layer {
        image: String,
        layer: Digest,
        #[source]
        source: Box<layer::Error>,
    },
    /// It may be meant to fill the memory or to take for ever.
    #[error("{image} is more than anybody would look through: {what}")]
    TooMuch { image: String, what: String },
    #[error("there is no {} in {image}", path.display())]
    NoFile { image: String, path: PathBuf },
    #[error("{} in {image} is {what}, not a file", path.display())]
    NotAFile { image: String, path: PathBuf, what: &'static str },
    #[error("{} in {image} leads through more symbolic links than there may be", path.display())]
    Links { image: String, path: PathBuf },
    #[error("there is no layer {text} in {image}; {there}")]
    NoBlob { image: String, text: String, there: String },
    #[error("{text} names several blobs of {image}")]
    Ambiguous { image: String, text: String },
    #[error("pattern {pattern:?}: {problem}")]
    Pattern { pattern: String, problem: String },
    #[error("passing data on")]
    Write(#[source] io::Error),
}

impl From<transfer::Error> for Error {
    fn from(error: transfer::Error) -> Self {
        Self::Transfer(Box::new(error))
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Store(Box::new(error))
    }
}

impl Error {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Transfer(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::NoFile { .. } => Some("`bryo find` lists what there is".into()),
            Self::Ambiguous { .. } => Some("give more of its digits".into()),
            _ => None,
        }
    }
}
