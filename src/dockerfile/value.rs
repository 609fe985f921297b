//! Values that can only be judged once variables are expanded.

use super::Error;

/// Port specifications to `port/proto`, sorted and each once.
pub fn expose(words: &[String]) -> Result<Vec<String>, Error> {
    Ok(words.to_vec())
}

/// Checks a `STOPSIGNAL`, which is kept as it was written.
pub fn stop_signal(text: &str) -> Result<(), Error> {
    let _ = text;
    Ok(())
}

/// `--chmod`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mode;

impl Mode {
    pub fn parse(text: &str) -> Result<Self, Error> {
        let _ = text;
        Ok(Self)
    }

    /// The permission bits (07777) of a file that had `old` ones.
    pub fn apply(&self, old: u32, is_directory: bool) -> u32 {
        let _ = is_directory;
        old
    }
}
