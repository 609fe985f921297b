//! The codec between a tar stream and files.

pub mod archive;
pub mod compress;

use std::io;

/// What can go wrong with a layer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("reading the archive")]
    Read(#[source] io::Error),
    #[error("writing the archive")]
    Write(#[source] io::Error),
    #[error("the archive is malformed at byte {offset}: {problem}")]
    Malformed { offset: u64, problem: &'static str },
    #[error("the archive ends in the middle of an entry, after {offset} bytes")]
    Truncated { offset: u64 },
    #[error("{path:?} has {actual} bytes instead of {expected}")]
    Size { path: std::path::PathBuf, expected: u64, actual: u64 },
    #[error("{path:?} does not fit into an archive: {problem}")]
    Unfit { path: std::path::PathBuf, problem: &'static str },
    #[error("compression {0:?}: {1}")]
    Compression(String, &'static str),
}
