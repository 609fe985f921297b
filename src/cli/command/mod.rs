//! The commands, one file for each.

mod analyze;
mod attach;
mod blob;
mod build;
mod cache;
mod cat;
mod check;
mod completion;
mod config;
mod copy;
mod debug;
mod delete;
mod details;
mod diff;
mod digest;
mod doctor;
mod du;
mod edit;
mod endpoints;
mod export;
mod find;
mod history;
mod images;
mod import;
mod inspect;
mod load;
mod login;
mod logout;
mod manifest;
mod modify;
mod process;
mod prune;
mod pull;
mod push;
mod referrers;
mod repos;
mod reset;
mod rm;
mod run;
mod save;
mod serve;
mod sync;
mod tag;
mod tags;
mod undelete;
mod unpack;
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
    Modify(Box<modify::Modify>),
    Pull(pull::Pull),
    Push(push::Push),
    Copy(Box<copy::Copy>),
    Sync(Box<sync::Sync>),
    Process(Box<process::Process>),
    Login(login::Login),
    Logout(logout::Logout),
    Tags(tags::Tags),
    #[command(visible_alias = "repositories")]
    Repos(repos::Repos),
    Digest(digest::Digest),
    Delete(delete::Delete),
    Endpoints(endpoints::Endpoints),
    Referrers(referrers::Referrers),
    Attach(attach::Attach),
    #[command(visible_alias = "ls")]
    Images(images::Images),
    List(images::List),
    Inspect(inspect::Inspect),
    History(history::History),
    Check(check::Check),
    #[command(visible_alias = "search")]
    Find(find::Find),
    Cat(cat::Cat),
    Blob(blob::Blob),
    Diff(diff::Diff),
    Analyze(analyze::Analyze),
    Tag(tag::Tag),
    #[command(visible_alias = "rmi")]
    Rm(rm::Rm),
    Undelete(undelete::Undelete),
    Edit(Box<edit::Edit>),
    Manifest(manifest::Manifest),
    Save(save::Save),
    Load(load::Load),
    Import(import::Import),
    Export(export::Export),
    Unpack(unpack::Unpack),
    Du(du::Du),
    #[command(alias = "build-cache")]
    Cache(cache::Cache),
    Prune(prune::Prune),
    Reset(reset::Reset),
    Config(config::Config),
    Serve(serve::Serve),
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
            Self::Run(_)
            | Self::Modify(_)
            | Self::Edit(_)
            | Self::Load(_)
            | Self::Import(_)
            | Self::Export(_)
            | Self::Unpack(_) => true,
            Self::Pull(pull) => pull.needs_namespace(),
            Self::Doctor(doctor) => doctor.is_inside(),
            Self::Copy(copy) => copy.needs_namespace(),
            Self::Sync(sync) => sync.needs_namespace(),
            Self::Process(process) => process.needs_namespace(),
            Self::Save(save) => save.needs_namespace(),
            Self::Push(push) => push.needs_namespace(),
            Self::Serve(serve) => serve.needs_namespace(),
            Self::Login(_)
            | Self::Logout(_)
            | Self::Tags(_)
            | Self::Repos(_)
            | Self::Digest(_)
            | Self::Delete(_)
            | Self::Endpoints(_)
            | Self::Referrers(_)
            | Self::Attach(_)
            | Self::Images(_)
            | Self::List(_)
            | Self::Inspect(_)
            | Self::History(_)
            | Self::Check(_)
            | Self::Find(_)
            | Self::Cat(_)
            | Self::Blob(_)
            | Self::Diff(_)
            | Self::Analyze(_)
            | Self::Tag(_)
            | Self::Manifest(_)
            | Self::Rm(_)
            | Self::Undelete(_)
            | Self::Du(_)
            | Self::Cache(_)
            | Self::Prune(_)
            | Self::Reset(_)
            | Self::Config(_)
            | Self::Version(_)
            | Self::Completion(_)
            | Self::Debug(_) => false,
        }
    }

    /// Whether it reads or writes anything that belongs to the caller.
    pub(crate) fn keeps_anything(&self) -> bool {
        !matches!(self, Self::Doctor(_) | Self::Version(_) | Self::Completion(_) | Self::Debug(_))
    }

    /// Whether it is asked to change settings, which may be wrong.
    pub(crate) fn mends_settings(&self) -> bool {
        matches!(self, Self::Config(config) if config.mends())
    }

    pub(crate) fn run(self, invocation: &Invocation) -> Result<ExitCode, Error> {
        match self {
            Self::Build(build) => return build.run(invocation),
            Self::Run(run) => return run.run(invocation),
            Self::Copy(copy) => return copy.run(invocation),
            Self::Doctor(doctor) => return doctor.run(invocation),
            Self::Modify(modify) => modify.run(invocation)?,
            Self::Edit(edit) => edit.run(invocation)?,
            Self::Manifest(manifest) => manifest.run(invocation)?,
            Self::Check(check) => return check.run(invocation),
            Self::Process(process) => return process.run(invocation),
            Self::Find(find) => return find.run(invocation),
            Self::Diff(diff) => return diff.run(invocation),
            Self::Analyze(analyze) => return analyze.run(invocation),
            Self::Cat(cat) => cat.run(invocation)?,
            Self::Blob(blob) => blob.run(invocation)?,
            Self::Pull(pull) => pull.run(invocation)?,
            Self::Push(push) => push.run(invocation)?,
            Self::Sync(sync) => sync.run(invocation)?,
            Self::Login(login) => login.run(invocation)?,
            Self::Logout(logout) => logout.run(invocation)?,
            Self::Tags(tags) => tags.run(invocation)?,
            Self::Repos(repos) => repos.run(invocation)?,
            Self::Digest(digest) => digest.run(invocation)?,
            Self::Delete(delete) => delete.run(invocation)?,
            Self::Endpoints(endpoints) => endpoints.run(invocation)?,
            Self::Referrers(referrers) => referrers.run(invocation)?,
            Self::Attach(attach) => attach.run(invocation)?,
            Self::Images(images) => images.run(invocation)?,
            Self::List(list) => list.run(invocation)?,
            Self::Inspect(inspect) => inspect.run(invocation)?,
            Self::History(history) => history.run(invocation)?,
            Self::Tag(tag) => tag.run(invocation)?,
            Self::Rm(rm) => rm.run(invocation)?,
            Self::Undelete(undelete) => undelete.run(invocation)?,
            Self::Save(save) => save.run(invocation)?,
            Self::Load(load) => load.run(invocation)?,
            Self::Import(import) => import.run(invocation)?,
            Self::Export(export) => export.run(invocation)?,
            Self::Unpack(unpack) => unpack.run(invocation)?,
            Self::Du(du) => du.run(invocation)?,
            Self::Cache(cache) => cache.run(invocation)?,
            Self::Prune(prune) => prune.run(invocation)?,
            Self::Reset(reset) => reset.run(invocation)?,
            Self::Config(config) => config.run(invocation)?,
            Self::Serve(serve) => serve.run(invocation)?,
            Self::Version(version) => version.run(invocation)?,
            Self::Completion(completion) => completion.run(invocation)?,
            Self::Debug(debug) => debug.run(invocation)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
