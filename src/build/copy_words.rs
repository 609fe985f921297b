//! The words of COPY and ADD, expanded.

use super::error::Fault;
use super::history;
use super::plan::{Origin, Plan};
use super::remote::{Elsewhere, Flags, Remote};
use super::state::State;
use crate::dockerfile::{self, Expander, Instruction, Word};

/// A COPY or an ADD, expanded.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) name: &'static str,
    pub(super) from: Option<Origin>,
    pub(super) sources: Vec<Input>,
    /// As written, for the history.
    pub(super) target: String,
    /// Absolute.
    pub(super) destination: String,
    pub(super) chown: Option<String>,
    pub(super) chmod: Option<String>,
    pub(super) exclude: Vec<String>,
    /// Sources keep the directories that they are in.
    pub(super) parents: bool,
    /// The destination's own links are not followed, the reference says, and are replaced instead.
    pub(super) link: bool,
    /// ADD: whether archives of the context are unpacked.
    pub(super) unpack: bool,
    /// ADD: whether archives from other machines are, too.
    pub(super) unpack_remote: bool,
}

#[derive(Debug)]
pub(super) enum Input {
    Path(String),
    /// A here-document: a file's name and content.
    Text(String, String),
    /// As written, for the history.
    Remote(String, Box<Remote>),
}

impl Work {
    /// Of an instruction in this stage; pure.
    pub(super) fn new(
        plan: &Plan,
        stage: usize,
        instruction: &Instruction,
        state: &State,
    ) -> Result<Self, Fault> {
        let get = |name: &str| state.scope.get(name).map(str::to_owned);
        let expander = Expander::new(plan.escape, &get);
        let optional = |word: &Option<Word>| -> Result<Option<String>, Fault> {
            let text = word.as_ref().map(|word| expander.word(word)).transpose()?;
            Ok(text.filter(|text| !text.is_empty()))
        };
        let mut work = Self {
            name: instruction.name(),
            from: None,
            sources: Vec::new(),
            target: String::new(),
            destination: String::new(),
            chown: None,
            chmod: None,
            exclude: Vec::new(),
            parents: false,
            link: false,
            unpack: false,
            unpack_remote: false,
        };
        let mut flags = Flags::default();
        let (sources, destination);
        match instruction {
            Instruction::Copy(copy) => {
                let origin = |from| plan.origin(stage, from);
                work.from = copy.from.as_deref().map(origin).transpose()?;
                (work.parents, work.link) = (copy.parents, copy.link);
                (work.chown, work.chmod) = (optional(&copy.chown)?, optional(&copy.chmod)?);
                work.exclude.clone_from(&copy.exclude);
                (sources, destination) = (&copy.sources, &copy.destination);
            }
            Instruction::Add(add) => {
                work.unpack = add.unpack.unwrap_or(true);
                work.unpack_remote = add.unpack.unwrap_or(false);
                work.link = add.link;
                (work.chown, work.chmod) = (optional(&add.chown)?, optional(&add.chmod)?);
                work.exclude.clone_from(&add.exclude);
                flags.checksum = optional(&add.checksum)?;
                flags.keep_git_dir = add.keep_git_dir;
                (sources, destination) = (&add.sources, &add.destination);
            }
            other => unreachable!("{} copies nothing", other.name()),
        }
        for source in sources {
            work.sources.push(match source {
                dockerfile::Source::Path(word) => work.path(expander.word(word)?, &flags)?,
                dockerfile::Source::Heredoc(text) => {
                    let content =
                        if text.expand { expander.body(&text.text())? } else { text.text() };
                    Input::Text(text.name.clone(), content)
                }
            });
        }
        // In this order the reference copies them, and tells of them.
        work.sources.sort_by_key(|source| matches!(source, Input::Text(..)));
        if flags.checksum.is_some() {
            match &work.sources[..] {
                [Input::Remote(..)] => {}
                [Input::Path(_)] => return Err(Fault::LocalChecksum),
                _ => return Err(Fault::SeveralChecksums),
            }
        }
        work.target = expander.word(destination)?;
        work.destination = absolute(state.directory(), &work.target);
        Ok(work)
    }

    fn path(&self, word: String, flags: &Flags) -> Result<Input, Fault> {
        if self.name == "COPY" {
            return match Elsewhere::of(&word) {
                Some(Elsewhere::Url) => Err(Fault::UrlCopy(word)),
                Some(Elsewhere::Git) => Err(Fault::GitCopy(word)),
                None => Ok(Input::Path(word)),
            };
        }
        Ok(match Remote::of(&word, flags)? {
            Some(remote) => Input::Remote(super::remote::without_password(&word), remote.into()),
            None => Input::Path(word),
        })
    }

    /// Whether none of the sources is in the context.
    pub(super) fn needs_no_context(&self) -> bool {
        !self.sources.iter().any(|input| matches!(input, Input::Path(_)))
    }

    /// What the history says.
    pub(super) fn said(&self) -> String {
        let mut flags = Vec::new();
        if self.parents {
            flags.push("--parents".to_owned());
        }
        for (name, value) in [("chown", &self.chown), ("chmod", &self.chmod)] {
            flags.extend(value.as_deref().map(|value| format!("--{name}={value}")));
        }
        let words: Vec<String> = self
            .sources
            .iter()
            .map(|input| match input {
                Input::Path(text) | Input::Remote(text, _) => text.clone(),
                Input::Text(name, _) => format!("<<{name}"),
            })
            .collect();
        history::copy(self.name, &flags, &words, &self.target)
    }
}

/// A path of the image as it was meant, with its trailing slash.
pub(super) fn absolute(directory: &str, path: &str) -> String {
    match path {
        _ if path.starts_with('/') => path.to_owned(),
        "" | "." => format!("{}/", directory.trim_end_matches('/')),
        _ => format!("{}/{path}", directory.trim_end_matches('/')),
    }
}
