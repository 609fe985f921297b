//! Tags, page by page; and whether a registry is there at all.

use std::collections::HashSet;

use serde::Deserialize;

use super::Error;
use super::auth::Scope;
use super::client::{Call, Connection};
use crate::http::{Method, Url};

/// A page's answer.
const LONGEST: u64 = 16 * 1024 * 1024;
/// Tags on a page; Amazon's registry refuses more.
const PAGE: u32 = 1000;

#[derive(Deserialize)]
struct Page {
    /// Null in a repository that lost all its tags.
    tags: Option<Vec<String>>,
}

pub(super) fn check(connection: &Connection) -> Result<(), Error> {
    let scope = Scope::default();
    let call = Call::new(Method::Get, "/v2/", &scope);
    let response = connection.call(&call)?;
    match response.is_success() {
        true => Ok(()),
        false => Err(connection.refusal(&call, response)),
    }
}

pub(super) fn tags(connection: &Connection, repository: &str) -> Result<Vec<String>, Error> {
    let scope = Scope::pull(repository);
    let path = format!("/v2/{repository}/tags/list?n={PAGE}");
    let mut tags = Vec::new();
    let mut seen = HashSet::new();
    let mut next: Option<Url> = None;
    loop {
        let call = match &next {
            None => Call::new(Method::Get, &path, &scope),
            Some(url) => Call::to(Method::Get, url, &scope),
        };
        let (headers, bytes) = connection.fetch(&call, LONGEST)?;
        let page: Page = serde_json::from_slice(&bytes).map_err(|error| Error::Protocol {
            what: connection.shown(&call),
            why: format!("the list of tags is not valid JSON: {error}"),
        })?;
        tags.extend(page.tags.unwrap_or_default());
        let link = headers.links.iter().find_map(|link| next_link(link));
        let link = link.and_then(|link| headers.url.join(link).ok());
        // A registry that sends us in circles has told all it knows.
        match link.filter(|url| seen.insert(url.clone())) {
            Some(url) => next = Some(url),
            None => break,
        }
    }
    tags.sort_unstable();
    tags.dedup();
    Ok(tags)
}

/// The target of a `Link` whose relation is `next` (RFC 8288 §3).
fn next_link(header: &str) -> Option<&str> {
    let mut rest = header;
    loop {
        let (target, after) = rest.split_once('<')?.1.split_once('>')?;
        // Parameters end where the next link begins; no parameter of ours has a '<'.
        let parameters = after.split('<').next().unwrap_or_default();
        let is_next = parameters.split([';', ',']).any(|parameter| {
            let Some((name, value)) = parameter.split_once('=') else { return false };
            name.trim().eq_ignore_ascii_case("rel")
                && value.trim().trim_matches('"').split(' ').any(|word| word == "next")
        });
        if is_next {
            return Some(target);
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read() {
        for (header, expected) in [
            (
                r#"</v2/a/tags/list?last=b%2Fc&n=2>; rel="next""#,
                Some("/v2/a/tags/list?last=b%2Fc&n=2"),
            ),
            (r#"<https://h/x?a=1,2;3>;rel=next"#, Some("https://h/x?a=1,2;3")),
            (r#"</p>; rel="prev", </n>; title="x"; REL="next""#, Some("/n")),
            (r#"</n>; rel="last next""#, Some("/n")),
            (r#"</n>; rel="nextish""#, None),
            ("</n>", None),
            ("next", None),
            ("", None),
        ] {
            assert_eq!(next_link(header), expected, "{header}");
        }
    }
}
