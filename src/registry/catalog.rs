//! Lists that come page by page: tags, repositories; and whether a registry is there at all.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;

use super::Error;
use super::answer::Headers;
use super::auth::Scope;
use super::client::{Call, Connection};
use crate::http::{Method, Url};

/// A page's answer.
const LONGEST: u64 = 16 * 1024 * 1024;
/// Entries on a page; Amazon's registry refuses more.
const PAGE: usize = 1000;
/// A list that goes on longer has no end.
const MOST_PAGES: usize = 10_000;

/// How much of a list somebody wants.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// So many names are enough on a page.
    pub page: usize,
    /// Whether no more have to be asked for, by those that came so far.
    pub enough: &'a dyn Fn(&[String]) -> bool,
}

impl Wanted<'_> {
    pub const ALL: Wanted<'static> = Wanted { page: PAGE, enough: &|_| false };
}

impl fmt::Debug for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wanted").field("page", &self.page).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Tags {
    /// Null in a repository that lost all its tags.
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Repositories {
    repositories: Option<Vec<String>>,
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

pub(super) fn tags(
    connection: &Connection,
    repository: &str,
    wanted: Wanted<'_>,
) -> Result<Vec<String>, Error> {
    let path = format!("/v2/{repository}/tags/list");
    list(connection, &path, &Scope::pull(repository), wanted, |bytes| {
        let page: Tags = serde_json::from_slice(bytes)?;
        Ok(page.tags.unwrap_or_default())
    })
}

pub(super) fn repositories(
    connection: &Connection,
    wanted: Wanted<'_>,
) -> Result<Vec<String>, Error> {
    list(connection, "/v2/_catalog", &Scope::catalog(), wanted, |bytes| {
        let page: Repositories = serde_json::from_slice(bytes)?;
        Ok(page.repositories.unwrap_or_default())
    })
}

/// The names of a list, sorted, each once.
fn list(
    connection: &Connection,
    path: &str,
    scope: &Scope,
    wanted: Wanted<'_>,
    read: impl Fn(&[u8]) -> serde_json::Result<Vec<String>>,
) -> Result<Vec<String>, Error> {
    let collect = |path: &str| {
        let mut names = Vec::new();
        pages(connection, path, scope, None, |_, bytes| {
            names.extend(read(bytes)?);
            Ok(!(wanted.enough)(&names))
        })?;
        names.sort_unstable();
        names.dedup();
        let all = names.len();
        names.retain(|name: &String| is_name(name));
        if names.len() < all {
            let count = all - names.len();
            let text =
                format!("{}{path}: {count} names that can be none are left out", connection.host());
            connection.access().reporter.warn(text);
        }
        Ok(names)
    };
    let page = wanted.page.clamp(1, PAGE);
    match collect(&format!("{path}?n={page}")) {
        // Some want smaller pages, and do not say which.
        Err(Error::Refused { status: 400, .. }) => collect(path),
        outcome => outcome,
    }
}

/// Whether it may be a tag or a repository: anything else could lead a terminal astray.
fn is_name(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    !name.is_empty() && name.len() <= 255 && name.chars().all(word) && !name.contains("..")
}

/// Gets a list's pages one after the other, as their `Link` headers lead and as long as `page` wants
/// more.
pub(super) fn pages(
    connection: &Connection,
    path: &str,
    scope: &Scope,
    accept: Option<&'static str>,
    mut page: impl FnMut(&Headers, &[u8]) -> serde_json::Result<bool>,
) -> Result<(), Error> {
    let mut seen = HashSet::new();
    let mut next: Option<Url> = None;
    loop {
        let mut call = match &next {
            None => Call::new(Method::Get, path, scope),
            Some(url) => Call::to(Method::Get, url, scope),
        };
        if let Some(accept) = accept {
            call = call.header("accept", accept);
        }
        let wrong = |why: String| Error::Protocol { what: connection.shown(&call), why };
        let (headers, bytes) = connection.fetch(&call, LONGEST)?;
        let goes_on = page(&headers, &bytes)
            .map_err(|error| wrong(format!("the list is not what it should be: {error}")))?;
        if !goes_on {
            return Ok(());
        }
        let link = headers.links.iter().find_map(|link| next_link(link));
        let link = link.and_then(|link| headers.url.join(link).ok());
        // A registry that sends us in circles has told all it knows.
        let Some(url) = link.filter(|url| seen.insert(url.clone())) else { return Ok(()) };
        if seen.len() > MOST_PAGES {
            return Err(wrong(format!("the list has more than {MOST_PAGES} pages")));
        }
        next = Some(url);
    }
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
    fn names_are_told_from_tricks() {
        for (name, expected) in [
            ("v1.0-rc_1", true),
            ("team/app", true),
            ("\u{1b}[31mx", false),
            ("a\nb", false),
            ("../../x", false),
            ("", false),
        ] {
            assert_eq!(is_name(name), expected, "{name:?}");
        }
    }

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
