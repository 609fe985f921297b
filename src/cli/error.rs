//! [`Error`]: what went wrong in a command, as a message, hints and an exit status.

use std::collections::VecDeque;
use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::batch;
use super::excerpt::Source;
use super::settings::Problem;
use super::status::{Ends as _, Status, causes};
use super::ui::{Lines, Progress, Ui, say};
use crate::http::server;
use crate::image::Reference;
use crate::sys::storage::without_path;
use crate::{build, fakeroot, http, image, inspect, registry, run, sandbox, store, transfer};

/// What went wrong in a command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Image(#[from] image::Error),
    #[error(transparent)]
    Registry(#[from] registry::Error),
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Transfer(#[from] transfer::Error),
    #[error(transparent)]
    Inspect(Box<inspect::Error>),
    #[error(transparent)]
    Fakeroot(#[from] fakeroot::Error),
    #[error(transparent)]
    Run(#[from] run::Error),
    #[error(transparent)]
    Server(#[from] server::Error),
    #[error("{error}")]
    Build {
        error: Box<build::Error>,
        /// The Dockerfile's name and text.
        name: String,
        text: String,
    },
    /// Of a build before there is a Dockerfile to blame.
    #[error(transparent)]
    Fault(Box<build::Fault>),
    /// There is no build context, or no Dockerfile in it.
    #[error("{text}")]
    NoContext { text: String, hint: Option<String> },
    /// The Dockerfile says that warnings are errors; these rules had some.
    #[error("lint violation found for rules: {0}")]
    Lint(String),
    /// A text is not what it should be (`bryo debug`).
    #[error("{0}")]
    Invalid(String),
    /// What was in a file, where the error itself does not name the file.
    #[error("{}", path.display())]
    In { path: PathBuf, source: Box<transfer::Error> },
    /// `bryo run` ended before the command began: it has statuses of its own.
    #[error(transparent)]
    NotRun(Box<Self>),
    /// What was asked for needs privilege.
    #[error("{text}")]
    Impossible { text: String, hint: String },
    /// What was asked for would undo something.
    #[error("{text}")]
    Refused { text: String, hint: Option<String> },
    #[error("{image} is not in {list}")]
    NotListed { image: String, list: String },
    /// Of several things, some could not be done, or all.
    #[error("{}", batch::text(*all, *done, failed))]
    Partly { all: usize, done: usize, failed: Vec<(String, Self)> },
    #[error("no {what} of {place} matches {pattern}")]
    NoneMatches { what: &'static str, place: String, pattern: String },
    /// The words were understood, but make no sense together.
    #[error("{text}")]
    Usage { text: String, hint: Option<String> },
    #[error("{0} is no image")]
    NotAnImage(String),
    /// Not here, and not in the registry that the name then means.
    #[error("no image is named {} here", name.familiar())]
    Nowhere { name: Box<Reference>, source: Box<registry::Error> },
    #[error("no image here matches {0:?}")]
    NothingMatches(String),
    #[error("{}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("reading from stdin")]
    Stdin(#[source] io::Error),
    #[error("writing to stdout")]
    Stdout(#[source] io::Error),
    #[error("{} is not yours, and there is no home directory to keep images in", .0.display())]
    NotOurs(PathBuf),
    #[error("there is no home directory to keep credentials in")]
    NoPlaceForCredentials,
    #[error("there is no home directory to keep settings in")]
    NoPlaceForSettings,
    #[error("{}", file.display())]
    Settings { file: PathBuf, source: Problem },
    /// What somebody wants to set.
    #[error(transparent)]
    Setting(#[from] Problem),
}

impl From<inspect::Error> for Error {
    fn from(error: inspect::Error) -> Self {
        Self::Inspect(Box::new(error))
    }
}

impl From<build::Fault> for Error {
    fn from(fault: build::Fault) -> Self {
        Self::Fault(Box::new(fault))
    }
}

impl Error {
    pub(crate) fn reading(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }

    pub(crate) fn writing(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source: without_path(source) }
    }

    /// Names the archive that something was read from, unless the error does.
    pub(crate) fn inside(path: &Path) -> impl FnOnce(transfer::Error) -> Self {
        let path = path.to_owned();
        move |source| match source {
            transfer::Error::Layer(_) => Self::In { path, source: Box::new(source) },
            other => Self::Transfer(other),
        }
    }

    /// Whether a reader of our stdout went away, who has what it wanted.
    pub(crate) fn is_closed_stdout(&self) -> bool {
        matches!(self, Self::Transfer(transfer::Error::Write { to, source })
            if to == "stdout" && source.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Tells a person, and says how to end.
    pub(crate) fn tell(&self, ui: Ui) -> ExitCode {
        let status = self.status();
        let hints = self.hints();
        match self {
            Self::Build { error, name, text } if ui.progress != Progress::Json => {
                drawn(error, &chain(self.told()), Source { name, text }, ui);
                if let Some(written) = error.fault().and_then(build::Fault::written) {
                    ui.repeat(&written.log, &last_lines(&written.last));
                }
                ui.hint(&hints);
            }
            Self::Build { error, .. } => {
                let written = error.fault().and_then(build::Fault::written);
                let written = written.map(|written| (&*written.log, last_lines(&written.last)));
                ui.fail_with(&self.message(), &hints, status.0, written);
            }
            _ => ui.fail(&self.message(), &hints, status.0),
        }
        status.into()
    }

    /// The error whose causes tell the story.
    fn told(&self) -> &(dyn StdError + 'static) {
        match self {
            // What an instruction failed of has causes of its own.
            Self::Build { error, .. } => match error.fault() {
                Some(fault) => fault,
                None => &**error,
            },
            Self::Fault(fault) => &**fault,
            error => error,
        }
    }

    /// The whole story in one line, and where it happened.
    pub(crate) fn message(&self) -> String {
        let story = chain(self.told());
        let Self::Build { error, name, .. } = self else { return story };
        let first = match &**error {
            build::Error::Dockerfile(all) => all.iter().find(|diagnostic| diagnostic.is_error()),
            _ => None,
        };
        let span = error.first_span();
        let story = first.map_or(story, |diagnostic| diagnostic.message.clone());
        span.map_or_else(|| story.clone(), |span| format!("{name}:{}: {story}", span.line))
    }

    /// What can be done about it.
    pub(crate) fn hints(&self) -> Vec<String> {
        match self {
            Self::Partly { all, done, failed } => batch::hints(*all, *done, failed),
            error => {
                error.hint().map(|hint| http::without_credentials(&hint)).into_iter().collect()
            }
        }
    }

    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Image(error) => error.hint(),
            Self::Registry(error) => error.hint(),
            Self::Sandbox(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Transfer(error) => error.hint(),
            Self::In { source, .. } => source.hint(),
            Self::Inspect(error) => error.hint(),
            Self::Fakeroot(error) => error.hint(),
            Self::Run(error) => error.hint(),
            Self::Server(error) => error.hint(),
            Self::Build { error, .. } => error.hint(),
            Self::NotRun(error) => error.hint(),
            Self::Nowhere { name, source } => Some(match (name.has_host(), source.hint()) {
                (true, Some(hint)) => hint,
                _ => "`bryo images` lists what there is here".to_owned(),
            }),
            Self::Fault(fault) => fault.hint(),
            Self::Impossible { hint, .. } => Some(hint.clone()),
            Self::Usage { hint, .. }
            | Self::NoContext { hint, .. }
            | Self::Refused { hint, .. } => hint.clone(),
            Self::Lint(_) => Some("`# check=error=true` says that warnings are errors".to_owned()),
            Self::NotOurs(_) => Some("name a directory with --storage or $BRYO_STORAGE".to_owned()),
            Self::NoPlaceForCredentials => Some("name a file with --authfile".to_owned()),
            Self::NoPlaceForSettings => Some("name a file with $BRYO_CONFIG".to_owned()),
            Self::Settings { source, .. } => source.hint(),
            Self::Setting(problem) => problem.hint(),
            _ => None,
        }
    }

    pub(crate) fn status(&self) -> Status {
        match self {
            Self::NotRun(error) => match &**error {
                Self::Run(error) => Status(error.exit_code()),
                _ => Status::NOT_RUN,
            },
            error => match error.own_status() {
                // The kernel says that there is no room for a namespace in the same words.
                Status::SYSTEM => Status::SYSTEM,
                // Whatever was being done: it ended because there was no room.
                _ if store::is_full(error.told()) => Status::STORAGE,
                status => status,
            },
        }
    }

    fn own_status(&self) -> Status {
        match self {
            Self::NotRun(_) => Status::NOT_RUN,
            Self::Partly { done, failed, .. } => batch::status(*done, failed),
            Self::Image(error) => error.status(),
            Self::Registry(error) => error.status(),
            Self::Sandbox(error) => error.status(),
            Self::Store(error) => error.status(),
            Self::Transfer(error) => error.status(),
            Self::In { source, .. } => source.status(),
            Self::Inspect(error) => error.status(),
            Self::Fakeroot(error) => error.status(),
            Self::Run(error) => error.status(),
            Self::Server(error) => error.status(),
            Self::Build { error, .. } => error.status(),
            Self::Fault(fault) => fault.status(),
            // Who gave no host meant an image here, which is not there, whatever Docker Hub says.
            Self::Nowhere { name, source } if name.has_host() => source.status(),
            Self::Nowhere { .. } => Status::NOT_FOUND,
            Self::Impossible { .. } => Status::SYSTEM,
            Self::Lint(_) | Self::Invalid(_) | Self::Refused { .. } => Status::FAILED,
            Self::Usage { .. }
            | Self::NotAnImage(_)
            | Self::NoPlaceForCredentials
            | Self::NoPlaceForSettings
            | Self::Settings { .. }
            | Self::Setting(_) => Status::USAGE,
            Self::NoContext { .. }
            | Self::NothingMatches(_)
            | Self::NoneMatches { .. }
            | Self::NotListed { .. }
            | Self::Read { .. } => Status::NOT_FOUND,
            Self::Write { .. } | Self::Stdin(_) | Self::Stdout(_) | Self::NotOurs(_) => {
                Status::STORAGE
            }
        }
    }
}

/// What is wrong with a build, with the lines that it is wrong in.
fn drawn(error: &build::Error, story: &str, source: Source<'_>, ui: Ui) {
    match (error, error.span()) {
        (build::Error::Dockerfile(diagnostics), _) => {
            diagnostics.iter().for_each(|diagnostic| say(&source.diagnostic(diagnostic, ui)));
        }
        (_, Some(span)) => say(&source.error(story, span, ui)),
        (_, None) => ui.fail(story, &[], Status::FAILED.0),
    }
}

/// So many lines are repeated.
const REPEATED: usize = 20;

/// The last lines of what a command has written.
fn last_lines(bytes: &[u8]) -> Vec<String> {
    let (mut all, mut lines) = (VecDeque::new(), Lines::default());
    let mut keep = |line: &str| {
        all.push_back(line.to_owned());
        if all.len() > REPEATED {
            all.pop_front();
        }
    };
    lines.push(bytes, &mut keep);
    lines.finish(&mut keep);
    all.into()
}

/// The error and its causes in one line, as `a: b: c`.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut parts: Vec<String> = causes(error).map(ToString::to_string).collect();
    parts.dedup();
    http::without_credentials(&parts.join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer;

    #[test]
    fn causes_decide_how_we_end() {
        let io = |kind: io::ErrorKind| store::Error::Io {
            action: "writing",
            path: "/x".into(),
            source: kind.into(),
        };
        let not_found = || store::Error::NotFound("x".into());
        let entry = |source| transfer::Error::Unpack {
            layer: image::Digest::of(b""),
            from: "x".to_owned(),
            source: Box::new(source),
        };
        for (error, status) in [
            (Error::from(io(io::ErrorKind::StorageFull)), Status::STORAGE),
            (transfer::Error::from(io(io::ErrorKind::QuotaExceeded)).into(), Status::STORAGE),
            (not_found().into(), Status::NOT_FOUND),
            (transfer::Error::from(not_found()).into(), Status::NOT_FOUND),
            (Error::NotRun(Box::new(not_found().into())), Status::NOT_RUN),
            (Error::NotRun(Box::new(run::Error::NoCommand.into())), Status(125)),
            (
                entry(layer::Error::Entry { path: "a".into(), problem: "too long" }).into(),
                Status::INVALID,
            ),
            (
                entry(layer::Error::Below { path: "a/b".into(), file: "a".into() }).into(),
                Status::INVALID,
            ),
            ("a b".parse::<image::Reference>().expect_err("a space").into(), Status::USAGE),
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
