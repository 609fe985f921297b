//! What an answer says beside its body.

use super::Error;
use super::error::Detail;
use crate::http::{self, Response, Url};

/// An error's body is read so far.
const LONGEST_REFUSAL: u64 = 64 * 1024;

/// The text of a `Warning` (RFC 7234 §5.5) as the specification has it: `299 - "TEXT"`.
pub(super) fn warning(header: &str) -> Option<String> {
    let text = header.strip_prefix("299 ")?.split_once('"')?.1;
    let text = text.strip_suffix('"')?.replace("\\\"", "\"");
    Some(text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
}

/// Turns an answer that asks for patience into an error that says so.
pub(super) fn busy(response: Response, what: impl FnOnce() -> String) -> Result<Response, Error> {
    let status = response.status();
    if !matches!(status, 408 | 429 | 500 | 502 | 503 | 504) {
        return Ok(response);
    }
    let pause = response.header("retry-after").and_then(http::retry_after);
    Err(Error::Busy { what: what(), status, tries: 1, pause, detail: detail(response) })
}

/// Reads a refusal to its end, so that the connection can serve again.
pub(super) fn detail(response: Response) -> Detail {
    Detail::parse(&response.bytes(LONGEST_REFUSAL).unwrap_or_default())
}

/// What an answer's head says about its body.
#[derive(Debug)]
pub(super) struct Headers {
    pub(super) url: Url,
    pub(super) media_type: Option<String>,
    pub(super) digest: Option<String>,
    pub(super) length: Option<u64>,
    /// What names this version of the answer.
    pub(super) etag: Option<String>,
    pub(super) links: Vec<String>,
    /// It keeps the lists of referrers itself.
    pub(super) knows_subjects: bool,
    /// It left out what was not asked for.
    pub(super) is_filtered: bool,
}

impl Headers {
    pub(super) fn of(response: &Response) -> Self {
        let text = |name| response.header(name).map(str::to_owned);
        // Parameters such as `charset` say nothing about JSON.
        let bare = |value: String| value.split(';').next().unwrap_or_default().trim().to_owned();
        Self {
            url: response.url().clone(),
            media_type: text("content-type").map(bare),
            digest: text("docker-content-digest"),
            length: response.length(),
            etag: text("etag"),
            links: response.headers("link").map(str::to_owned).collect(),
            knows_subjects: response.header("oci-subject").is_some(),
            is_filtered: response
                .headers("oci-filters-applied")
                .flat_map(|value| value.split(','))
                .any(|filter| filter.trim() == "artifactType"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_read() {
        for (header, expected) in [
            (r#"299 - "gone \"soon\"""#, Some("gone \"soon\"")),
            (r#"299 - "a b""#, Some("a b")),
            (r#"110 - "stale""#, None),
            ("299 - gone", None),
        ] {
            assert_eq!(warning(header).as_deref(), expected, "{header}");
        }
    }
}
