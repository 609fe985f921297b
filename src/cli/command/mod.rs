//! The commands, one file for each.

mod build;
mod completion;
mod debug;
mod doctor;
mod history;
mod images;
mod import;
mod inspect;
mod load;
mod login;
mod logout;
mod pull;
mod push;
mod rm;
mod run;
mod save;
mod tag;
mod version;

use std::process::ExitCode;

use clap::Subcommand;

use super::error::Error;
use super::invocation::Invocation;

/// What bryo can be told to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Build(Box<build::Build>),
    Run(Box<run::Run>),
    Pull(pull::Pull),
    Push(push::Push),
    Login(login::Login),
    Logout(logout::Logout),
    #[command(visible_aliases = ["ls", "list"])]
    Images(images::Images),
    Inspect(inspect::Inspect),
    History(history::History),
    Tag(tag::Tag),
    #[command(visible_alias = "rmi")]
    Rm(rm::Rm),
    Save(save::Save),
    Load(load::Load),
    Import(import::Import),
    Doctor(doctor::Doctor),
    Version(version::Version),
    Completion(completion::Completion),
    #[command(hide = true)]
    Debug(debug::Debug),
}

impl Command {
    /// Whether it touches unpacked files, and so must be root in a namespace of its own.
    pub(crate) fn needs_namespace(&self) -> bool {
        match self {
            Self::Build(build) => !build.only_reads(),
            Self::Run(_) | Self::Pull(_) | Self::Load(_) | Self::Import(_) => true,
            Self::Doctor(doctor) => doctor.is_inside(),
            Self::Push(_)
            | Self::Login(_)
            | Self::Logout(_)
            | Self::Images(_)
            | Self::Inspect(_)
            | Self::History(_)
            | Self::Tag(_)
            | Self::Rm(_)
            | Self::Save(_)
            | Self::Version(_)
            | Self::Completion(_)
            | Self::Debug(_) => false,
        }
    }

    /// Whether it reads or writes anything that belongs to the caller.
    pub(crate) fn keeps_anything(&self) -> bool {
        !matches!(self, Self::Doctor(_) | Self::Version(_) | Self::Completion(_) | Self::Debug(_))
    }

    pub(crate) fn run(self, invocation: &Invocation) -> Result<ExitCode, Error> {
        match self {
            Self::Build(build) => return build.run(invocation),
            Self::Run(run) => return run.run(invocation),
            Self::Doctor(doctor) => return doctor.run(invocation),
            Self::Pull(pull) => pull.run(invocation)?,
            Self::Push(push) => push.run(invocation)?,
            Self::Login(login) => login.run(invocation)?,
            Self::Logout(logout) => logout.run(invocation)?,
            Self::Images(images) => images.run(invocation)?,
            Self::Inspect(inspect) => inspect.run(invocation)?,
            Self::History(history) => history.run(invocation)?,
            Self::Tag(tag) => tag.run(invocation)?,
            Self::Rm(rm) => rm.run(invocation)?,
            Self::Save(save) => save.run(invocation)?,
            Self::Load(load) => load.run(invocation)?,
            Self::Import(import) => import.run(invocation)?,
            Self::Version(version) => version.run(invocation)?,
            Self::Completion(completion) => completion.run(invocation)?,
            Self::Debug(debug) => debug.run(invocation)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
