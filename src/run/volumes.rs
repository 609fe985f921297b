//! `-v SRC:DST[:ro]`: a directory or file of the host, seen in the image.

use std::path::PathBuf;

/// A bind mount that the user asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// On the host, absolute.
    pub source: PathBuf,
    /// In the image, absolute.
    pub target: PathBuf,
    pub read_only: bool,
}
