//! The commands, one file for each.

mod completion;
mod history;
mod images;
mod inspect;
mod rm;
mod tag;
mod version;

use std::process::ExitCode;

use clap::Subcommand;

use super::error::Error;
use super::session::Session;

/// What bryo can be told to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(visible_aliases = ["ls", "list"])]
    Images(images::Images),
    Inspect(inspect::Inspect),
    History(history::History),
    Tag(tag::Tag),
    #[command(visible_alias = "rmi")]
    Rm(rm::Rm),
    Version(version::Version),
    Completion(completion::Completion),
}

impl Command {
    /// Whether it touches unpacked files, and so must be root in a namespace of its own.
    pub(crate) fn needs_namespace(&self) -> bool {
        match self {
            Self::Images(_)
            | Self::Inspect(_)
            | Self::History(_)
            | Self::Tag(_)
            | Self::Rm(_)
            | Self::Version(_)
            | Self::Completion(_) => false,
        }
    }

    /// Whether it reads or writes anything that belongs to the caller.
    pub(crate) fn keeps_anything(&self) -> bool {
        !matches!(self, Self::Version(_) | Self::Completion(_))
    }

    pub(crate) fn run(self, session: &Session) -> Result<ExitCode, Error> {
        match self {
            Self::Images(images) => images.run(session)?,
            Self::Inspect(inspect) => inspect.run(session)?,
            Self::History(history) => history.run(session)?,
            Self::Tag(tag) => tag.run(session)?,
            Self::Rm(rm) => rm.run(session)?,
            Self::Version(version) => version.run(session)?,
            Self::Completion(completion) => completion.run(session)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
