//! The Dockerfile language: [`parse`] never fails and never touches a disk.
//!
//! ```text
//! text ─ lexer ─▶ logical lines ─ syntax ─▶ nodes ─ parser ─▶ Dockerfile { arguments, stages }
//! ```
//!
//! The syntax alone accepts much that is wrong (`HEALTHCHECK` with nothing behind it); the parser
//! says what. Both collect [`Diagnostic`]s in BuildKit's words and go on. What depends on
//! variables stays a [`Word`] until an [`Expander`] reads it; values that can only be judged then
//! (ports, signals, modes, mounts) are parsed by [`value`] and [`Mount`].

pub mod csv;
mod device;
mod expand;
mod flags;
mod git_ref;
mod glob;
mod heredoc;
mod ignore;
mod instruction;
mod lexer;
pub mod lint;
mod mode;
mod mount;
mod parser;
mod pattern;
pub mod rsync;
mod span;
mod substitution;
mod suggest;
mod syntax;
#[cfg(test)]
mod tests;
pub mod value;
mod words;

pub use device::Device;
pub use expand::Expander;
pub use git_ref::{GitRef, decoded};
pub use glob::Glob;
pub use ignore::Ignore;
pub use instruction::*;
pub use mode::Mode;
pub use mount::{Mount, Owner, Sharing};
pub use parser::{parse, parse_trigger};
pub use span::{Diagnostic, Severity, Span};
pub use suggest::suggest;
pub use syntax::{Form, Node, Syntax, read};

/// Every word of the language that a manual has to explain: instructions, and flags with their `--`.
#[cfg(test)]
pub(crate) fn vocabulary() -> Vec<String> {
    let flags = flags::all().chain(rsync::options()).map(|name| format!("--{name}"));
    parser::NAMES.iter().map(ToString::to_string).chain(flags).collect()
}

/// A Dockerfile, read. What had an error is missing from it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dockerfile {
    pub directives: Directives,
    /// `ARG`s before the first `FROM`: seen by `FROM` lines, and by stages that import them.
    pub arguments: Vec<Located<Arg>>,
    pub stages: Vec<Stage>,
}

/// A `FROM` and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    pub from: Located<From>,
    pub steps: Vec<Located<Instruction>>,
}

/// Something, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    pub value: T,
    pub span: Span,
    /// The logical line: continuations joined, comments gone, here-documents' bodies left out.
    pub original: String,
}

impl<T> Located<T> {
    /// As it is written.
    pub fn keyword(&self) -> &str {
        self.original.split_whitespace().next().unwrap_or_default()
    }
}

/// The special comments on a file's first lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directives {
    /// Names a frontend; ours is the only one there is.
    pub syntax: Option<String>,
    /// `\` or `` ` ``.
    pub escape: char,
    /// Which lint rules to skip, and whether the others are errors.
    pub check: Option<String>,
}

impl Default for Directives {
    fn default() -> Self {
        Self { syntax: None, escape: '\\', check: None }
    }
}

/// What can be wrong with a text once its variables are known. BuildKit's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("failed to process {word:?}: {why}")]
    Expand { word: String, why: String },
    #[error("illegal exclusion pattern: \"!\"")]
    Exclusion,
    #[error("syntax error in pattern {0:?}")]
    Pattern(String),
    #[error("invalid signal: {0}")]
    Signal(String),
    #[error("invalid containerPort: {0}")]
    Port(String),
    #[error("invalid hostPort: {0}")]
    HostPort(String),
    #[error("invalid IP address: {0}")]
    Address(String),
    #[error("invalid ranges specified for container and host Ports: {0} and {1}")]
    PortRanges(String, String),
    #[error("invalid port: {word:?}: {why}")]
    PortOf { word: String, why: String },
    #[error("invalid chmod parameter: '{0}'. it should be octal string and between 0 and 07777")]
    Mode(String),
    #[error("time: invalid duration {0:?}")]
    Duration(String),
    #[error("invalid size: '{0}'")]
    Size(String),
    #[error("invalid suffix: '{0}'")]
    SizeSuffix(String),
    #[error("invalid git reference {reference:?}: {why}")]
    GitRef { reference: String, why: String },
    #[error("invalid ulimit {0:?}: it is NAME=SOFT[:HARD]")]
    Limit(String),
    #[error("{0}")]
    Mount(String),
    #[error("{0}")]
    Device(String),
}

impl Error {
    /// What to write instead, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Expand { why, .. } if why.contains("substitution") => Some(
                "a `$` that begins no variable is written with the escape before it".to_owned(),
            ),
            Self::Expand { why, .. } if why.contains("quote") => Some(
                "a quotation mark that quotes nothing is written with the escape before it"
                    .to_owned(),
            ),
            Self::Exclusion => Some("name what is to be kept after the `!`".to_owned()),
            _ => None,
        }
    }
}
