//! [`Refusal`]: an error as the distribution specification wants it told ("Error Codes").

use serde_json::json;

use crate::http::server::{Answer, Payload};
use crate::{image, registry, store, transfer};

pub(super) type Result<T, E = Refusal> = std::result::Result<T, E>;

/// A message has so many characters; what a client sent may be much longer, and stands in some.
const LONGEST: usize = 1000;

/// What a client is told of what did not work.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    status: u16,
    code: &'static str,
    message: String,
    /// What the client need not know.
    story: Option<String>,
    headers: Vec<(&'static str, String)>,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), story: None, headers: Vec::new() }
    }

    #[must_use]
    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn blob_unknown(digest: &image::Digest) -> Self {
        Self::new(404, "BLOB_UNKNOWN", format!("there is no blob {digest} in this repository"))
    }

    pub(super) fn manifest_unknown(target: &str) -> Self {
        let message = format!("there is no manifest {target} in this repository");
        Self::new(404, "MANIFEST_UNKNOWN", message)
    }

    pub(super) fn upload_unknown() -> Self {
        Self::new(404, "BLOB_UPLOAD_UNKNOWN", "there is no such upload; begin a new one")
    }

    pub(super) fn upload_invalid(message: impl Into<String>) -> Self {
        Self::new(400, "BLOB_UPLOAD_INVALID", message)
    }

    pub(super) fn manifest_invalid(message: impl Into<String>) -> Self {
        Self::new(400, "MANIFEST_INVALID", message)
    }

    pub(super) fn digest_invalid(message: impl Into<String>) -> Self {
        Self::new(400, "DIGEST_INVALID", message)
    }

    /// What is not done here, whoever asks; `allowed` names the methods that are.
    pub(super) fn unsupported(message: impl Into<String>, allowed: &str) -> Self {
        Self::new(405, "UNSUPPORTED", message).header("allow", allowed)
    }

    /// What cannot be stored for want of room.
    pub(super) fn full() -> Self {
        Self::new(507, "UNKNOWN", "the registry's disk is full")
    }

    pub(super) fn is_ours(&self) -> bool {
        self.status >= 500
    }

    /// For who runs the registry.
    pub(super) fn story(&self) -> &str {
        self.story.as_ref().unwrap_or(&self.message)
    }

    pub(super) fn answer(self) -> Answer {
        let Self { status, code, mut message, story: _, headers } = self;
        if let Some((end, _)) = message.char_indices().nth(LONGEST) {
            message.truncate(end);
            message.push('…');
        }
        let body = json!({ "errors": [{ "code": code, "message": message }] }).to_string();
        let answer = Answer::new(status).header("content-type", "application/json");
        let answer =
            headers.into_iter().fold(answer, |answer, (name, value)| answer.header(name, value));
        answer.payload(Payload::Bytes(body.into_bytes()))
    }
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        let refusal = match error.is_full() {
            true => Self::full(),
            // Paths of ours are nobody else's business.
            false => Self::new(500, "UNKNOWN", "the registry's storage failed; its log has more"),
        };
        Self { story: Some(story(&error)), ..refusal }
    }
}

impl From<registry::Error> for Refusal {
    fn from(error: registry::Error) -> Self {
        let story = story(&error);
        match error.kind() {
            registry::Kind::NotFound => Self::new(404, "MANIFEST_UNKNOWN", story),
            registry::Kind::Denied => Self::new(403, "DENIED", story),
            registry::Kind::Invalid | registry::Kind::Network | registry::Kind::Local => {
                Self::new(502, "UNKNOWN", story)
            }
        }
    }
}

impl From<transfer::Error> for Refusal {
    fn from(error: transfer::Error) -> Self {
        match error {
            transfer::Error::Store(error) => error.into(),
            error => Self::new(502, "UNKNOWN", story(&error)),
        }
    }
}

/// An error and its causes.
fn story(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut parts: Vec<String> = causes.map(ToString::to_string).collect();
    parts.dedup();
    parts.join(": ")
}
