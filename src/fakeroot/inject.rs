//! What becomes of a command where its system calls are not answered for it.

use std::sync::Arc;

use super::profile::{Insertion, Profile};
use super::words::{insert_in_script, insert_in_words, is_shell_script, mentioned};
use crate::sandbox::RootEmulation;

/// What is to be executed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Command {
    pub argv: Vec<String>,
    /// The content of the file that it executes, if that is no file of the image.
    pub script: Option<String>,
}

/// A command, ready to be executed.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// How its system calls are answered; never `Auto`.
    pub mode: RootEmulation,
    pub command: Command,
    /// It runs under fakeroot(1).
    pub injection: Option<Injection>,
}

/// Why and how a command runs under fakeroot(1).
#[derive(Debug, Clone)]
pub struct Injection {
    pub profile: Arc<Profile>,
    /// The word that asks for it.
    pub word: String,
    /// Whether the profile's steps of preparation come first.
    pub set_up: bool,
}

impl Command {
    pub fn new(argv: Vec<String>) -> Self {
        Self { argv, script: None }
    }

    /// As it is.
    pub fn with(self, mode: RootEmulation) -> Prepared {
        Prepared { mode, command: self, injection: None }
    }

    /// The first of `words` in it.
    pub(super) fn mentions<'w>(&self, words: &'w [String]) -> Option<&'w str> {
        self.argv.iter().chain(&self.script).find_map(|text| mentioned(text, words))
    }

    /// With the profile's prefix.
    pub(super) fn inject(mut self, profile: &Arc<Profile>, word: &str) -> Prepared {
        self.argv.splice(0..0, profile.prefix.iter().cloned());
        let (profile, word) = (Arc::clone(profile), word.to_owned());
        let injection = Injection { profile, word, set_up: true };
        Prepared { mode: RootEmulation::Fakeroot, command: self, injection: Some(injection) }
    }

    /// With arguments that make commands content with a root that is only faked.
    pub(super) fn insert(self, insertions: &[Insertion]) -> Prepared {
        let script = self.script.map(|text| match is_shell_script(&text) {
            true => insert_in_script(&text, insertions),
            false => text,
        });
        let argv = insert_in_words(&self.argv, insertions);
        Self { argv, script }.with(RootEmulation::Fake)
    }
}
