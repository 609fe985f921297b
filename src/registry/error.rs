//! [`Error`]: what a registry refused or could not do, naming host and path.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::http;
use crate::image::{self, Mismatch};

use super::authfile::canonical;
use super::credential::{Found, GIVEN};

/// What went wrong between a registry and us. `what` names host and path, as in
/// `GET localhost:5000/v2/app/tags/list`, or `localhost:5000/app:1.0`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what} does not exist{detail}")]
    NotFound { what: String, detail: Detail },
    #[error("access denied to {what}{detail}")]
    Denied {
        /// What can be logged in to: a host, perhaps with the beginning of a repository's path.
        host: String,
        what: String,
        detail: Detail,
        /// Where the credentials that were refused had been found.
        refused: Option<String>,
    },
    #[error("{what}")]
    Mismatch {
        what: String,
        #[source]
        source: Mismatch,
    },
    #[error("{what}{}", tried(*tries))]
    Exchange {
        what: String,
        tries: u32,
        #[source]
        source: http::Error,
    },
    #[error("{what}: the registry is busy (status {status}){}{}{detail}", tried(*tries), asked(*pause))]
    Busy {
        what: String,
        status: u16,
        tries: u32,
        /// The pause that it asked for.
        pause: Option<Duration>,
        detail: Detail,
    },
    #[error("{what}{}: the answer was cut", tried(*tries))]
    Cut {
        what: String,
        tries: u32,
        #[source]
        source: io::Error,
    },
    #[error("{what}: refused with status {status}{detail}")]
    Refused { what: String, status: u16, detail: Detail },
    #[error("{what} cannot be deleted: {refused}; nor can another image take its place: {instead}")]
    Undeletable {
        what: String,
        /// Deleting the tag.
        refused: Box<Self>,
        /// Deleting it with an image of our own.
        instead: Box<Self>,
    },
    #[error("{what}: {why}")]
    Protocol { what: String, why: String },
    #[error("{what} is a layer that its registry does not keep; it is at {}", places.join(", "))]
    Foreign { what: String, places: Vec<String> },
    #[error("{what}")]
    Content {
        what: String,
        #[source]
        source: image::Error,
    },
    #[error("{host} is no name of a registry")]
    Host { host: String },
    #[error("{what} is blocked by registries.conf")]
    Blocked { what: String },
    #[error("{host} sends credentials to {realm}, {why}")]
    Realm { host: String, realm: String, why: &'static str },
    #[error("credentials in {}", path.display())]
    CredentialFile {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("credentials in {} are not valid JSON", path.display())]
    CredentialFormat {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("credentials in {} for {key}: {why}", path.display())]
    CredentialEntry { path: PathBuf, key: String, why: &'static str },
    #[error("credentials for {host}")]
    Unasked {
        host: String,
        #[source]
        source: io::Error,
    },
    #[error("{program}")]
    HelperStart {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error("{program}: {why}")]
    Helper { program: String, why: String },
}

/// What an error means to a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    NotFound,
    Denied,
    /// What came is not what was promised, or makes no sense.
    Invalid,
    /// The network or the registry failed, retries included.
    Network,
    /// Something on our side: files, certificates, helpers.
    Local,
}

impl Error {
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotFound { .. } | Self::Foreign { .. } => Kind::NotFound,
            Self::Denied { .. } | Self::Realm { .. } | Self::Blocked { .. } => Kind::Denied,
            // It takes nothing, from anybody.
            Self::Refused { status: 405, .. } | Self::Undeletable { .. } => Kind::Denied,
            Self::Mismatch { .. } | Self::Content { .. } | Self::Protocol { .. } => Kind::Invalid,
            Self::Busy { .. } | Self::Cut { .. } | Self::Refused { .. } => Kind::Network,
            Self::Exchange { source, .. } if source.is_own_certificate() => Kind::Denied,
            Self::Exchange { source, .. } => match source {
                http::Error::Connect { .. }
                | http::Error::Offline { .. }
                | http::Error::Exchange { .. }
                | http::Error::Redirect { .. }
                | http::Error::Redirects { .. } => Kind::Network,
                http::Error::Body { .. }
                | http::Error::Certificates { .. }
                | http::Error::Proxy { .. }
                | http::Error::Setup(_) => Kind::Local,
            },
            Self::Host { .. }
            | Self::CredentialFile { .. }
            | Self::CredentialFormat { .. }
            | Self::CredentialEntry { .. }
            | Self::Unasked { .. }
            | Self::HelperStart { .. }
            | Self::Helper { .. } => Kind::Local,
        }
    }

    /// That there is no such thing, where the answer said nothing more.
    pub fn missing(what: String) -> Self {
        Self::NotFound { what, detail: Detail::default() }
    }

    /// That `found` was not enough.
    pub(super) fn denied(host: &str, what: String, detail: Detail, found: Option<&Found>) -> Self {
        let key = found.map(|found| canonical(&found.key));
        let host = key.filter(|key| key.starts_with(host)).unwrap_or_else(|| host.to_owned());
        Self::Denied { host, what, detail, refused: found.map(|found| found.place.clone()) }
    }

    /// The error inside of one that [`super::Blob`]'s reader returned.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Denied { host, refused: None, .. } => Some(format!(
                "if the name is right and the repository is private: bryo login {host}"
            )),
            Self::Denied { refused: Some(place), .. } if place == GIVEN => Some(
                "the credentials that were given were refused: name or password is wrong".into(),
            ),
            Self::Denied { host, refused: Some(place), .. } => Some(format!(
                "the credentials from {place} were refused; renew them with: bryo login {host}"
            )),
            Self::Busy { status: 429, .. } => Some(
                "who is logged in may ask more often (bryo login); --rate-limit N asks less often"
                    .into(),
            ),
            Self::Host { .. } => {
                Some("write HOST or HOST:PORT, and nothing before or after".into())
            }
            Self::Exchange { source, .. } => source.hint(),
            Self::Content { source, .. } => source.hint(),
            Self::CredentialFormat { path, .. } | Self::CredentialEntry { path, .. } => {
                Some(format!("mend or remove {}, then log in again", path.display()))
            }
            Self::Foreign { .. } => Some("--allow-foreign fetches it from there".into()),
            Self::Undeletable { .. } | Self::Refused { status: 405, .. } => Some(
                "the registry is read-only, or deletes nothing; of docker's, storage.delete.enabled \
                 and storage.maintenance.readonly say so"
                    .into(),
            ),
            Self::Realm { .. } => Some("credentials are never sent there".into()),
            _ => None,
        }
    }

    /// Whether another try may end better.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Exchange { source, .. } => source.is_passing(),
            Self::Busy { .. } | Self::Cut { .. } => true,
            _ => false,
        }
    }

    /// The same, after so many tries.
    pub(super) fn after(mut self, made: u32) -> Self {
        match &mut self {
            Self::Exchange { tries, .. } | Self::Busy { tries, .. } | Self::Cut { tries, .. } => {
                *tries = made;
            }
            _ => {}
        }
        self
    }
}

fn asked(pause: Option<Duration>) -> String {
    match pause.map(|pause| pause.as_secs()) {
        None | Some(0) => String::new(),
        Some(seconds @ 1..=120) => format!(", it asks to come back in {seconds} s"),
        Some(seconds) => format!(", it asks to come back in {} min", seconds.div_ceil(60)),
    }
}

fn tried(tries: u32) -> String {
    match tries {
        0 | 1 => String::new(),
        many => format!(" after {many} tries"),
    }
}

/// What a registry says about its refusal (distribution-spec, "Error codes").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Detail(Option<String>);

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    errors: Vec<Entry>,
    /// As token servers and proxies say it.
    details: Option<String>,
    message: Option<String>,
    error_description: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    code: String,
    message: Option<String>,
}

impl Detail {
    /// Longer ones say nothing more to people.
    const LONGEST: usize = 300;

    pub(super) fn parse(body: &[u8]) -> Self {
        let Ok(body) = serde_json::from_slice::<Body>(body) else { return Self(None) };
        let errors: Vec<String> = body
            .errors
            .into_iter()
            .map(|entry| match entry.message {
                Some(message) if !message.is_empty() => format!("{}: {message}", entry.code),
                _ => entry.code,
            })
            .collect();
        let text = match errors.is_empty() {
            false => Some(errors.join(", ")),
            true => body.error_description.or(body.details).or(body.message),
        };
        Self(text.filter(|text| !text.is_empty()).map(|text| printable(&text)))
    }

    /// Whether the registry gave this code.
    pub(super) fn has(&self, code: &str) -> bool {
        self.0.as_deref().is_some_and(|text| text.contains(code))
    }
}

/// One line, without what could lead a terminal astray.
fn printable(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(clean).take(Detail::LONGEST).collect::<String>().trim_end().to_owned()
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(text) => write!(f, " ({text})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_read_in_every_form() {
        let unknown = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"x"}}]}"#;
        for (body, expected) in [
            (unknown, " (MANIFEST_UNKNOWN: manifest unknown)"),
            (r#"{"errors":[{"code":"A"},{"code":"B","message":"b\u001b[2J"}]}"#, " (A, B: b [2J)"),
            (
                r#"{"details":"incorrect username or password"}"#,
                " (incorrect username or password)",
            ),
            (r#"{"errors":[]}"#, ""),
            ("<html>", ""),
        ] {
            assert_eq!(Detail::parse(body.as_bytes()).to_string(), expected, "{body}");
        }
        assert!(Detail::parse(unknown.as_bytes()).has("MANIFEST_UNKNOWN"));
    }
}
