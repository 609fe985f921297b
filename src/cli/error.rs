//! [`Error`]: an error chain as a message, a hint and an exit code.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use super::ui::{self, Style, Ui};
use crate::{image, sandbox};

/// How bryo ends (`bryo(1)`, "Exit status").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// The caller's own command or build failed.
    Failed = 1,
    /// The command line or the Dockerfile is wrong.
    Usage = 2,
    NotFound = 3,
    Denied = 4,
    /// Data did not match its digest or its format.
    Invalid = 5,
    Network = 6,
    /// This system cannot do it.
    System = 8,
    /// Storage: full, damaged, not writable.
    Storage = 9,
    /// A mistake of ours.
    Bug = 70,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}

/// What went wrong in a command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Image(#[from] image::Error),
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
    /// The words were understood, but make no sense together.
    #[error("{text}")]
    Usage { text: String, hint: Option<String> },
    #[error("{}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("stdout")]
    Stdout(#[from] io::Error),
    #[error("there is no directory to keep images in")]
    NoStorage,
}

impl Error {
    /// Tells a person, and says how to end.
    pub(crate) fn tell(&self, ui: Ui) -> ExitCode {
        let mut text = format!("{}: {}", ui.paint(Style::Error, "error"), chain(self));
        for hint in self.hints() {
            text.push_str(&format!("\n{}: {hint}", ui.paint(Style::Hint, "hint")));
        }
        ui::say(&text);
        self.status().into()
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Image(error) => error.hint().into_iter().collect(),
            Self::Sandbox(error) => error.hint().into_iter().collect(),
            Self::Usage { hint, .. } => hint.iter().cloned().collect(),
            Self::NoStorage => vec!["name one with --storage or $BRYO_STORAGE".to_owned()],
            _ => Vec::new(),
        }
    }

    fn status(&self) -> Status {
        match self {
            Self::Image(_) | Self::Usage { .. } => Status::Usage,
            Self::Sandbox(_) => Status::System,
            Self::Read { .. } => Status::NotFound,
            Self::Write { .. } | Self::Stdout(_) | Self::NoStorage => Status::Storage,
        }
    }
}

/// The error and its causes in one line, as `a: b: c`.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}
