//! `.dockerignore` patterns.

use super::Error;

/// Patterns of an ignore file, or of `--exclude`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignore {}

impl Ignore {
    /// Reads a `.dockerignore`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let _ = text;
        Ok(Self {})
    }

    /// From patterns without comments (`--exclude`).
    pub fn new(patterns: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, Error> {
        let _ = patterns;
        Ok(Self {})
    }

    pub fn is_empty(&self) -> bool {
        true
    }

    /// Whether a path (relative, with `/`, clean) is left out.
    pub fn is_ignored(&self, path: &str) -> bool {
        let _ = path;
        false
    }

    /// Whether something below an ignored directory may come back: otherwise it need not be
    /// walked.
    pub fn may_reinclude_below(&self, directory: &str) -> bool {
        let _ = directory;
        false
    }
}
