//! [`Error`]: an error chain as a message, a hint and an exit code.

use std::error::Error as StdError;
use std::io;
use std::process::ExitCode;

use super::ui::Ui;
use crate::{image, sandbox, store};

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
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The words were understood, but make no sense together.
    #[error("{text}")]
    Usage { text: String, hint: Option<String> },
    #[error("{0} is no image")]
    NotAnImage(String),
    #[error("no image here matches {0:?}")]
    NothingMatches(String),
    #[error("writing to stdout")]
    Stdout(#[source] io::Error),
    #[error("there is no home directory to keep images in")]
    NoStorage,
}

impl Error {
    /// Tells a person, and says how to end.
    pub(crate) fn tell(&self, ui: Ui) -> ExitCode {
        let status = self.status();
        ui.fail(&chain(self), &self.hints(), status as u8);
        status.into()
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Image(error) => error.hint(),
            Self::Sandbox(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Usage { hint, .. } => hint.clone(),
            Self::NoStorage => Some("name a directory with --storage or $BRYO_STORAGE".to_owned()),
            Self::NotAnImage(_) | Self::NothingMatches(_) | Self::Stdout(_) => None,
        };
        hint.into_iter().collect()
    }

    fn status(&self) -> Status {
        // Whatever was being done: it ended because there was no room.
        if causes(self).any(is_full) {
            return Status::Storage;
        }
        match self {
            Self::Image(error) => of_image(error),
            Self::Sandbox(_) => Status::System,
            Self::Store(error) => of_store(error),
            Self::Usage { .. } | Self::NotAnImage(_) => Status::Usage,
            Self::NothingMatches(_) => Status::NotFound,
            Self::Stdout(_) | Self::NoStorage => Status::Storage,
        }
    }
}

fn of_image(error: &image::Error) -> Status {
    match error {
        image::Error::Reference(..)
        | image::Error::Platform(..)
        | image::Error::Digest(..)
        | image::Error::Time(..) => Status::Usage,
        image::Error::NoPlatform { .. } => Status::NotFound,
        image::Error::Json { .. }
        | image::Error::MediaType(_)
        | image::Error::SchemaOne(_)
        | image::Error::Invalid(_) => Status::Invalid,
    }
}

fn of_store(error: &store::Error) -> Status {
    match error {
        store::Error::NotFound(_) => Status::NotFound,
        store::Error::Ambiguous(_) => Status::Usage,
        store::Error::Image(error) => of_image(error),
        store::Error::Layer(_) => Status::Invalid,
        store::Error::Mount(_) => Status::System,
        store::Error::Open(..)
        | store::Error::Format { .. }
        | store::Error::Io { .. }
        | store::Error::Missing(_)
        | store::Error::Damaged { .. }
        | store::Error::Rootfs(_) => Status::Storage,
    }
}

/// The error and its causes.
fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| <dyn StdError>::source(*error))
}

fn is_full(error: &(dyn StdError + 'static)) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(kind, Some(StorageFull | QuotaExceeded | ReadOnlyFilesystem))
}

/// The error and its causes in one line, as `a: b: c`.
fn chain(error: &(dyn StdError + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_decide_how_we_end() {
        let io = |kind: io::ErrorKind| store::Error::Io {
            action: "writing",
            path: "/x".into(),
            source: kind.into(),
        };
        for (error, status) in [
            (Error::from(io(io::ErrorKind::StorageFull)), Status::Storage),
            (Error::Stdout(io::ErrorKind::StorageFull.into()), Status::Storage),
            (store::Error::NotFound("x".into()).into(), Status::NotFound),
            ("a b".parse::<image::Reference>().expect_err("a space").into(), Status::Usage),
        ] {
            assert_eq!(error.status(), status, "{error:?}");
        }
    }

    #[test]
    fn a_chain_is_one_line() {
        let source = io::Error::other("no");
        let error = store::Error::Io { action: "writing", path: "/x".into(), source };
        assert_eq!(chain(&Error::from(error)), "writing \"/x\": no");
    }
}
