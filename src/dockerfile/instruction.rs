//! The instructions: one struct for each, every field typed.
//!
//! A [`Word`] still has to be expanded; a `String` stands for itself. So the types say which
//! fields variables may be used in, and nobody can forget to expand one.

use std::fmt;
use std::time::Duration;

use super::rsync::Rsync;

use super::Device;

/// Text in which variables, quotes and escapes count: read it through
/// [`Expander`](super::Expander).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Word(String);

impl Word {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// One that means exactly this text.
    pub fn literal(text: &str, escape: char) -> Self {
        let escaped = text.chars().map(|c| match c.is_alphanumeric() {
            true => c.to_string(),
            false => format!("{escape}{c}"),
        });
        Self(escaped.collect())
    }

    /// As it stands in the file.
    pub fn raw(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What may stand in a stage after its `FROM`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    Add(Add),
    Arg(Arg),
    Cmd(Cmd),
    Copy(Copy),
    Entrypoint(Entrypoint),
    Env(Env),
    Expose(Expose),
    Healthcheck(Healthcheck),
    Label(Label),
    Maintainer(Maintainer),
    Onbuild(Onbuild),
    /// An extension, not of the reference.
    Rsync(Rsync),
    Run(Run),
    Shell(Shell),
    StopSignal(StopSignal),
    User(User),
    Volume(Volume),
    Workdir(Workdir),
}

impl Instruction {
    /// The keyword, in capitals.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Add(_) => "ADD",
            Self::Arg(_) => "ARG",
            Self::Cmd(_) => "CMD",
            Self::Copy(_) => "COPY",
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Env(_) => "ENV",
            Self::Expose(_) => "EXPOSE",
            Self::Healthcheck(_) => "HEALTHCHECK",
            Self::Label(_) => "LABEL",
            Self::Maintainer(_) => "MAINTAINER",
            Self::Onbuild(_) => "ONBUILD",
            Self::Rsync(_) => "RSYNC",
            Self::Run(_) => "RUN",
            Self::Shell(_) => "SHELL",
            Self::StopSignal(_) => "STOPSIGNAL",
            Self::User(_) => "USER",
            Self::Volume(_) => "VOLUME",
            Self::Workdir(_) => "WORKDIR",
        }
    }
}

/// `FROM [--platform=P] [--arg=NAME=VALUE]… IMAGE [AS NAME]`. Sees only global arguments, and its
/// own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    /// An image, an earlier stage's name (exactly as that stage's lower-cased name), or `scratch`.
    pub image: Word,
    pub platform: Option<Word>,
    /// `--arg`, as ch-image has it: for this line alone what a global ARG is, and an `ARG` right
    /// after it, which stands among the stage's steps already.
    pub arguments: Vec<Argument>,
    /// In lower case.
    pub name: Option<String>,
}

/// `ARG NAME[=DEFAULT] …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arg {
    pub arguments: Vec<Argument>,
}

/// One name of an `ARG`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    pub name: Word,
    /// `None` when there is no `=`: such an argument may stay unset.
    pub default: Option<Word>,
}

/// `ENV KEY=VALUE …`. All values see the environment from before the instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Env {
    pub pairs: Vec<Pair>,
}

/// `LABEL KEY=VALUE …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    pub pairs: Vec<Pair>,
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    pub key: Word,
    pub value: Word,
}

/// A command line in either form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// One text for the shell.
    Shell(String),
    /// A JSON array: executed as it is.
    Exec(Vec<String>),
}

/// `RUN [--mount=…] [--network=…] [--security=…] [--device=…] COMMAND`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub command: Command,
    /// Bodies of the here-documents that the (shell form) command names, in their order.
    pub heredocs: Vec<Heredoc>,
    /// Each `--mount`'s text: [`Mount::parse`](super::Mount::parse) makes it a
    /// [`Mount`](super::Mount) once there are variables. Its keys and `from=` are checked already.
    pub mounts: Vec<String>,
    pub network: Network,
    pub security: Security,
    pub devices: Vec<Device>,
}

/// `RUN --network`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Network {
    #[default]
    Default,
    None,
    Host,
}

/// `RUN --security`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Security {
    #[default]
    Sandbox,
    Insecure,
}

/// What the shell form of a `RUN` really asks for, here-documents and all: see [`Run::script`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Script {
    /// This text goes to the shell.
    Text(String),
    /// The one here-document begins with `#!`: the shell gets `path`, where an executable,
    /// read-only file with this content is mounted.
    File { path: String, content: String },
}

/// A here-document's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// Unquoted. For COPY and ADD this is the file's name.
    pub name: String,
    /// The lines as they stand in the file, without the terminator; see [`Self::text`].
    pub content: String,
    /// Whether variables in the body count (no part of the name was quoted).
    pub expand: bool,
    /// `<<-`: leading tabs are not part of the text.
    pub strip_tabs: bool,
    /// `3<<EOF`
    pub descriptor: u32,
}

/// `COPY [--from=…] … SOURCE… DESTINATION`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// A stage's name or index, an image, or a named context. Never expanded.
    pub from: Option<String>,
    pub chown: Option<Word>,
    pub chmod: Option<Word>,
    pub link: bool,
    pub parents: bool,
    pub exclude: Vec<String>,
    pub sources: Vec<Source>,
    pub destination: Word,
}

/// `ADD [--checksum=…] … SOURCE… DESTINATION`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Add {
    pub chown: Option<Word>,
    pub chmod: Option<Word>,
    pub checksum: Option<Word>,
    pub link: bool,
    pub exclude: Vec<String>,
    pub keep_git_dir: Option<bool>,
    /// `None`: local archives are unpacked, remote ones are not.
    pub unpack: Option<bool>,
    pub sources: Vec<Source>,
    pub destination: Word,
}

/// What COPY and ADD read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A path or a pattern; for ADD also a URL or a git reference.
    Path(Word),
    Heredoc(Heredoc),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cmd {
    pub command: Command,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entrypoint {
    pub command: Command,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workdir {
    pub path: Word,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// `name`, `uid`, or either with `:group`.
    pub user: Word,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expose {
    /// Each may expand to several words; see [`expose`](super::value::expose).
    pub ports: Vec<Word>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    pub paths: Vec<Word>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopSignal {
    /// Checked after expansion by [`stop_signal`](super::value::stop_signal).
    pub signal: Word,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Healthcheck {
    /// `HEALTHCHECK NONE`: switches the base's check off.
    None,
    Check(Check),
}

/// How a running container is asked for its health. `None` times mean the engine's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub command: Command,
    pub interval: Option<Duration>,
    pub timeout: Option<Duration>,
    pub start_period: Option<Duration>,
    pub start_interval: Option<Duration>,
    /// 0 means the engine's default.
    pub retries: u32,
}

/// `SHELL ["…", …]`: what shell forms are given to from here on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shell {
    pub command: Vec<String>,
}

/// `ONBUILD INSTRUCTION`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Onbuild {
    /// As the image's configuration keeps it, here-document bodies and all;
    /// [`parse_trigger`](super::parse_trigger) reads it.
    pub trigger: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maintainer {
    pub name: String,
}
