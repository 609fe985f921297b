//! What comes from other machines: files behind URLs and git repositories, for ADD and as build
//! contexts.
//!
//! What a step's key says about them is content: a file's digest, a commit. A file is fetched
//! before there is a key, unless the Dockerfile says its digest; of a repository only the commit is
//! asked for, and the files when the step really runs.

mod arrival;
mod error;
mod git;
mod program;
mod web;

use std::cell::OnceCell;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

pub use arrival::{Arrival, fetch_text};
pub use error::{Error, Kind};

use crate::build::error::Fault;
use crate::build::files::{Files, Source};
use crate::build::key::KeyMaker;
use crate::build::{Services, attest};
use crate::dockerfile::GitRef;
use crate::http::{Client, Patience, Proxies, Trust, Url};
use crate::image::Digest;
use crate::report::Reporter;
use crate::store::{Store, Workspace};

/// How machines that are no registries are reached.
#[derive(Debug, Clone)]
pub struct Web {
    pub client: Arc<Client>,
    /// Hosts (`host` or `host:port`, `*` for all) that need not prove who they are.
    pub insecure: Vec<String>,
    pub patience: Patience,
    /// What git is told; `client` knows them already.
    pub proxies: Proxies,
    /// Files of certificate authorities that git is told.
    pub certificates: Vec<PathBuf>,
    /// Where the caller's `.ssh` is.
    pub home: Option<PathBuf>,
    /// The caller's ssh-agent.
    pub ssh_agent: Option<PathBuf>,
}

impl Web {
    fn trust(&self, url: &Url) -> Trust {
        let host = url.host_str().unwrap_or_default();
        let full = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        match self.insecure.iter().any(|name| name == "*" || name == host || *name == full) {
            true => Trust::Unchecked,
            false => Trust::Checked,
        }
    }
}

/// What fetching needs.
#[derive(Clone, Copy)]
pub struct Fetcher<'e> {
    pub store: &'e Store,
    pub services: Services<'e>,
    pub reporter: &'e dyn Reporter,
}

impl fmt::Debug for Fetcher<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").field("store", &self.store).finish_non_exhaustive()
    }
}

/// What ADD's flags say about its sources.
#[derive(Debug, Clone, Default)]
pub(super) struct Flags {
    pub(super) checksum: Option<String>,
    pub(super) keep_git_dir: Option<bool>,
}

/// A source on another machine.
#[derive(Debug)]
pub(super) struct Remote {
    place: Place,
    fetched: OnceCell<Fetched>,
    /// Of a file's content, once that is known.
    digest: OnceCell<Digest>,
}

#[derive(Debug)]
enum Place {
    Url(web::Address),
    Git(git::Repository),
}

/// What a source turned out to be.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) files: Files,
    pub(super) source: Source,
    /// Goes when nobody reads from it any more.
    workspace: Workspace,
}

/// Whether a word of COPY or ADD names something on another machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Elsewhere {
    Url,
    Git,
}

impl Elsewhere {
    pub(super) fn of(word: &str) -> Option<Self> {
        let is_url = word.starts_with("http://") || word.starts_with("https://");
        match GitRef::parse(word) {
            // A word that only looks like a repository names a file.
            Some(Ok(found)) if found.local_looking => None,
            Some(_) => Some(Self::Git),
            None => is_url.then_some(Self::Url),
        }
    }
}

impl Remote {
    /// None: `word` is a path.
    pub(super) fn of(word: &str, flags: &Flags) -> Result<Option<Self>, Error> {
        let place = match Elsewhere::of(word) {
            None => return Ok(None),
            Some(Elsewhere::Url) => Place::Url(web::Address::new(word, flags.checksum.as_deref())?),
            Some(Elsewhere::Git) => Place::Git(git::Repository::new(word, flags)?),
        };
        Ok(Some(Self { place, fetched: OnceCell::new(), digest: OnceCell::new() }))
    }

    /// Adds to a step's key what the content depends on.
    pub(super) fn describe(&self, key: KeyMaker, fetcher: Fetcher<'_>) -> Result<KeyMaker, Fault> {
        match &self.place {
            Place::Git(repository) => repository.describe(key, fetcher),
            Place::Url(address) => {
                let digest = match address.checksum() {
                    Some(digest) => self.digest.get_or_init(|| digest.clone()),
                    None => self.digest(address, fetcher)?,
                };
                Ok(key.field("url", address.name()).field("content", digest.to_string()))
            }
        }
    }

    /// What the record says of it, as far as a key was made; and what it is called.
    pub(super) fn told(&self) -> (Option<attest::record::Source>, String) {
        use attest::record::Source;
        match &self.place {
            Place::Git(repository) => {
                let commit = repository.commit().map(str::to_owned);
                let url = repository.address();
                (commit.map(|commit| Source::Repository { url, commit }), String::new())
            }
            Place::Url(address) => {
                let (url, digest) = (address.address(), self.digest.get().cloned());
                let source = digest.map(|digest| Source::Url { url, digest });
                (source, address.name().to_owned())
            }
        }
    }

    /// The digest of a file's content; that is fetched unless the server calls it what it called
    /// it before.
    fn digest(&self, address: &web::Address, fetcher: Fetcher<'_>) -> Result<&Digest, Fault> {
        if let Some(digest) = self.digest.get() {
            return Ok(digest);
        }
        let digest = match address.ask(fetcher, true)? {
            web::Answer::Known(digest) => digest,
            web::Answer::Fetched(fetched, digest) => {
                self.fetched.get_or_init(|| *fetched);
                digest
            }
        };
        Ok(self.digest.get_or_init(|| digest))
    }

    /// The files, fetched once.
    pub(super) fn fetched(&self, fetcher: Fetcher<'_>) -> Result<&Fetched, Fault> {
        if let Some(fetched) = self.fetched.get() {
            return Ok(fetched);
        }
        let fetched = match &self.place {
            Place::Url(address) => {
                let fetched = address.fetch(fetcher)?;
                // The step's key has the one digest, and its layer would have the other content.
                if address.checksum().is_none()
                    && let Some(digest) = self.digest.get()
                    && fetched.files.content_digest(&fetched.source)? != *digest
                {
                    return Err(Error::Changed { url: address.shown() }.into());
                }
                fetched
            }
            Place::Git(repository) => repository.fetch(fetcher)?,
        };
        Ok(self.fetched.get_or_init(|| fetched))
    }
}

/// A URL as people may see it: without user and password.
pub(super) fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        // Of ssh, the name is part of the address and says nothing.
        Some(at) if scheme == "ssh" && !rest[..at].contains(':') => text.to_owned(),
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_left_out() {
        for (text, expected) in [
            ("https://ann:secret@h/a@b?x=1", "https://h/a@b?x=1"),
            ("https://token@h", "https://h"),
            ("https://h/a", "https://h/a"),
            ("ssh://git@h/a", "ssh://git@h/a"),
            ("ssh://git:pass@h/a", "ssh://h/a"),
            ("git@h:a", "git@h:a"),
        ] {
            assert_eq!(without_password(text), expected);
        }
    }

    #[test]
    fn words_that_name_other_machines() {
        for (word, expected) in [
            ("http://h/a.tar", Some(Elsewhere::Url)),
            ("https://h/a.git", Some(Elsewhere::Git)),
            ("https://h/a.git?x=1", Some(Elsewhere::Git)),
            ("git@h:a", Some(Elsewhere::Git)),
            ("ssh://h/a", Some(Elsewhere::Git)),
            ("github.com/a/b", None),
            ("ftp://h/a", None),
            ("http:", None),
            ("a/b.git", None),
        ] {
            assert_eq!(Elsewhere::of(word), expected, "{word}");
        }
    }
}
