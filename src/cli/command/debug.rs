//! `bryo debug`: parts of the Dockerfile language, each for itself, so that tables of cases can be
//! run against them.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Map, Value, json};

use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::dockerfile::{Expander, GitRef, Ignore, Word, value};
use crate::image::Reference;

/// Try parts of the Dockerfile language
#[derive(Debug, clap::Args)]
pub(crate) struct Debug {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Expand the variables of a word
    Expand {
        #[arg(long, allow_hyphen_values = true)]
        word: String,
        /// NAME=VALUE; may be repeated
        #[arg(long, value_name = "NAME=VALUE", allow_hyphen_values = true)]
        env: Vec<String>,
        #[arg(long, default_value = "\\")]
        escape: char,
        /// A JSON list of words instead of the text
        #[arg(long)]
        split: bool,
    },
    /// Which paths a list of patterns leaves out
    IgnoreMatch {
        #[arg(long, allow_hyphen_values = true)]
        pattern: Vec<String>,
        #[arg(last = true)]
        paths: Vec<String>,
    },
    /// The patterns of an ignore file
    IgnoreParse { file: PathBuf },
    /// The parts of an image's name
    Reference { name: String },
    /// A size in bytes
    Size {
        /// Powers of 1000
        #[arg(long)]
        si: bool,
        #[arg(allow_hyphen_values = true)]
        text: String,
    },
    /// A limit, as --ulimit takes it
    Ulimit { text: String },
    /// The parts of what names a git repository
    GitRef { text: String },
    /// Ports, as EXPOSE takes them
    Expose {
        #[arg(last = true)]
        specs: Vec<String>,
    },
}

impl Debug {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let answer = self.verb.answer()?;
        invocation.print(&match answer {
            Value::String(text) => format!("{text}\n"),
            other => format!("{other}\n"),
        })
    }
}

impl Verb {
    fn answer(&self) -> Result<Value, Error> {
        let wrong = |error: crate::dockerfile::Error| Error::Invalid(error.to_string());
        Ok(match self {
            Self::Expand { word, env, escape, split } => {
                let get = |name: &str| {
                    let entries = env.iter().rev().filter_map(|entry| entry.split_once('='));
                    entries.into_iter().find(|(known, _)| *known == name).map(|(_, v)| v.to_owned())
                };
                let expander = Expander::new(*escape, &get);
                match split {
                    true => json!(expander.words(&Word::new(word)).map_err(wrong)?),
                    false => json!(expander.text(word).map_err(wrong)?),
                }
            }
            Self::IgnoreMatch { pattern, paths } => {
                let ignore = Ignore::new(pattern).map_err(wrong)?;
                json!(paths.iter().map(|path| ignore.is_ignored(path)).collect::<Vec<_>>())
            }
            Self::IgnoreParse { file } => {
                let bytes = fs::read(file).map_err(Error::reading(file))?;
                json!(Ignore::lines(&String::from_utf8_lossy(&bytes)))
            }
            Self::Reference { name } => {
                reference(name).map_err(|error| Error::Invalid(error.to_string()))?
            }
            Self::Size { si, text } => {
                let size = if *si { value::decimal_size(text) } else { value::size(text) };
                json!(size.map_err(wrong)?)
            }
            Self::Ulimit { text } => {
                let (name, soft, hard) = value::ulimit(text).map_err(wrong)?;
                json!({ "name": name, "soft": soft, "hard": hard })
            }
            Self::GitRef { text } => git_ref(text).map_err(Error::Invalid)?,
            Self::Expose { specs } => {
                let ports: BTreeSet<String> =
                    value::expose(specs).map_err(wrong)?.into_iter().collect();
                json!(ports)
            }
        })
    }
}

/// What an address says of a repository, or why it is none.
fn git_ref(text: &str) -> Result<Value, String> {
    let found = GitRef::parse(text).unwrap_or_else(|| Err(format!("{text:?} is no git reference")));
    let found = found?;
    Ok(json!({
        "remote": found.remote,
        "short_name": found.short_name,
        "ref": found.reference.unwrap_or_default(),
        "subdir": found.subdir.unwrap_or_default(),
        "checksum": found.checksum.unwrap_or_default(),
        "local_looking": found.local_looking,
        "unencrypted": found.unencrypted,
        "keep_git_dir": found.keep_git_dir,
        "submodules": found.submodules,
        "mtime": found.mtime.unwrap_or_default(),
        "fetch_by_commit": found.fetch_by_commit,
    }))
}

/// What stands in a name, and what docker makes of it.
fn reference(name: &str) -> Result<Value, crate::image::Error> {
    let reference: Reference = name.parse()?;
    let (domain, path) = (reference.registry(), reference.repository());
    let rest = name.split_once('@').map_or(name, |(rest, _)| rest);
    let last = rest.rsplit('/').next().unwrap_or(rest);
    // A tag that nobody wrote is the parser's.
    let tag = reference.tag().filter(|_| last.contains(':'));
    let digest = reference.digest().map(ToString::to_string);
    let name = format!("{domain}/{path}");
    let short = match name.strip_prefix("docker.io/") {
        Some(short) => match short.strip_prefix("library/") {
            Some(rest) if !rest.contains('/') => rest.to_owned(),
            _ => short.to_owned(),
        },
        None => name.clone(),
    };
    let suffix = tag.map(|tag| format!(":{tag}")).unwrap_or_default()
        + &digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
    let values = [
        ("domain", Some(domain.to_owned())),
        ("path", Some(path.to_owned())),
        ("tag", tag.map(str::to_owned)),
        ("digest", digest),
        ("string", Some(format!("{name}{suffix}"))),
        ("familiar", Some(format!("{short}{suffix}"))),
        ("familiar_name", Some(short)),
        ("name", Some(name)),
    ];
    let values =
        values.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into())));
    Ok(Value::Object(values.collect::<Map<_, _>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_have_parts() {
        let found = git_ref("git@h:a/b.git?submodules=0#v1:/x").expect("a repository");
        assert_eq!(
            found,
            json!({ "remote": "git@h:a/b.git", "short_name": "b", "ref": "v1", "subdir": "x",
                    "checksum": "", "local_looking": false, "unencrypted": false,
                    "keep_git_dir": null, "submodules": false, "mtime": "",
                    "fetch_by_commit": null })
        );
        for (text, expected) in
            [("a/b", "\"a/b\" is no git reference"), ("git://h/b?x=1", "unexpected query \"x\"")]
        {
            assert_eq!(git_ref(text).expect_err(text), expected);
        }
    }

    #[test]
    fn names_have_parts() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, expected) in [
            (
                "debian".to_owned(),
                json!({ "domain": "docker.io", "path": "library/debian",
                        "name": "docker.io/library/debian", "string": "docker.io/library/debian",
                        "familiar_name": "debian", "familiar": "debian" }),
            ),
            (
                format!("localhost:5000/a/b:1@{digest}"),
                json!({ "domain": "localhost:5000", "path": "a/b", "tag": "1", "digest": digest,
                        "name": "localhost:5000/a/b",
                        "string": format!("localhost:5000/a/b:1@{digest}"),
                        "familiar_name": "localhost:5000/a/b",
                        "familiar": format!("localhost:5000/a/b:1@{digest}") }),
            ),
        ] {
            assert_eq!(reference(&text).expect("a name"), expected, "{text}");
        }
        assert!(reference("A").is_err());
    }
}
