//! [`Names`]: what a repository on the wire is called here, and the other way round.
//!
//! A name on the wire means what a person who types it means: `team/app` is `docker.io/team/app`,
//! `debian` is `docker.io/library/debian`, `registry.example/team/app` is just that. So what is
//! pushed can be used under the name that it was pushed to, and what is here can be pulled under
//! the name that it has here.
//!
//! Three things that names here may have do not exist on the wire. A port stands there behind an
//! underscore (`127.0.0.1_5000/app`); what no person could type is a repository of the default
//! registry; capital letters and IPv6 addresses of hosts cannot be told, so those images are not
//! served.

use super::refusal::{Refusal, Result};
use crate::image::{Digest, Reference};

/// The registry that names without one belong to.
#[derive(Debug, Clone)]
pub(super) struct Names {
    default: String,
}

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Repository {
    /// As the client called it.
    pub(super) wire: String,
    pub(super) registry: String,
    pub(super) path: String,
}

impl Names {
    pub(super) fn new(default: &str) -> Self {
        Self { default: default.to_owned() }
    }

    /// What a name on the wire means.
    pub(super) fn repository(&self, wire: &str) -> Result<Repository> {
        let found = if is_name(wire) { self.meant(wire) } else { None };
        let (registry, path) = found.ok_or_else(|| {
            let message = format!("{wire:?} is no name of a repository");
            Refusal::new(400, "NAME_INVALID", message)
        })?;
        Ok(Repository { wire: wire.to_owned(), registry, path })
    }

    fn meant(&self, wire: &str) -> Option<(String, String)> {
        let in_default = || parse(&format!("{}/{wire}", self.default));
        let Some((first, rest)) = wire.split_once('/') else { return in_default() };
        if first != "localhost" && !first.contains('.') {
            return match with_port(first) {
                Some(host) if host.starts_with("localhost:") => parse(&format!("{host}/{rest}")),
                _ => in_default(),
            };
        }
        let host = with_port(first).unwrap_or_else(|| first.to_owned());
        parse(&format!("{host}/{rest}")).or_else(in_default)
    }

    /// What a repository here is called on the wire; None where that cannot be told.
    pub(super) fn wire(&self, name: &Reference) -> Option<String> {
        let (registry, path) = (name.registry(), name.repository());
        let own = (registry.to_owned(), path.to_owned());
        let short = (registry == self.default).then(|| {
            let alone = path.strip_prefix("library/").filter(|rest| !rest.contains('/'));
            alone.filter(|_| registry == "docker.io").unwrap_or(path).to_owned()
        });
        let long = format!("{}/{path}", registry.replace(':', "_"));
        let forms = short.into_iter().chain([long]);
        forms.into_iter().find(|wire| is_name(wire) && self.meant(wire).as_ref() == Some(&own))
    }
}

impl Repository {
    /// Registry and path, as everybody here calls it.
    pub(super) fn key(&self) -> String {
        key(&self.registry, &self.path)
    }

    /// The name of a tag.
    pub(super) fn tagged(&self, tag: &str) -> Option<Reference> {
        let name: Reference = format!("{}:{tag}", self.key()).parse().ok()?;
        (name.tag() == Some(tag) && name.digest().is_none()).then_some(name)
    }

    /// The name of what has no tag.
    pub(super) fn pinned(&self, digest: &Digest) -> Option<Reference> {
        format!("{}@{digest}", self.key()).parse().ok()
    }
}

/// Names a repository, whatever tag or digest is asked for.
pub(super) fn key(registry: &str, path: &str) -> String {
    format!("{registry}/{path}")
}

fn parse(text: &str) -> Option<(String, String)> {
    let name: Reference = format!("{text}:x").parse().ok()?;
    Some((name.registry().to_owned(), name.repository().to_owned()))
}

/// `HOST_PORT` as `HOST:PORT`.
fn with_port(word: &str) -> Option<String> {
    let (host, port) = word.rsplit_once('_')?;
    let is_host = host == "localhost" || host.contains('.');
    (is_host && port.parse::<u16>().is_ok()).then(|| format!("{host}:{port}"))
}

/// The specification's expression for names: words of `a-z0-9`, with single separators in them.
fn is_name(name: &str) -> bool {
    let is_word = |word: &str| {
        let separators = word.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        ends(word.chars().next())
            && ends(word.chars().last())
            && separators.into_iter().all(|separator| {
                matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
            })
    };
    name.len() <= 255 && name.split('/').all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_what_people_mean() {
        let names = Names::new("docker.io");
        for (wire, here, canonical) in [
            ("debian", "docker.io/library/debian", "debian"),
            ("library/debian", "docker.io/library/debian", "debian"),
            ("docker.io/library/debian", "docker.io/library/debian", "debian"),
            ("team/app", "docker.io/team/app", "team/app"),
            ("team_1/app", "docker.io/team_1/app", "team_1/app"),
            ("registry.example/team/app", "registry.example/team/app", "registry.example/team/app"),
            ("localhost/a", "localhost/a", "localhost/a"),
            ("localhost_5000/a", "localhost:5000/a", "localhost_5000/a"),
            ("127.0.0.1_5000/a/b", "127.0.0.1:5000/a/b", "127.0.0.1_5000/a/b"),
            // Nobody can type that.
            ("a__b.c/d", "docker.io/a__b.c/d", "a__b.c/d"),
            ("a.b", "docker.io/library/a.b", "a.b"),
        ] {
            let repository = names.repository(wire).expect(wire);
            assert_eq!(repository.key(), here, "{wire}");
            let name = repository.tagged("1").expect("a tag");
            assert_eq!(names.wire(&name).as_deref(), Some(canonical), "{wire}");
        }
        for bad in ["", "A", "a//b", "a/", "/a", "-a", "a_", "a___b", "a:1", "a b", "é"] {
            assert!(names.repository(bad).is_err(), "{bad:?} was accepted");
        }
        assert!(names.repository(&"a".repeat(256)).is_err());
    }

    #[test]
    fn names_here_are_told_where_that_can_be() {
        let names = Names::new("docker.io");
        let wire = |text: &str| names.wire(&text.parse::<Reference>().expect(text));
        assert_eq!(
            wire("docker.io/registry.example/a").as_deref(),
            Some("docker.io/registry.example/a")
        );
        assert_eq!(wire("[::1]:5000/a"), None);
        assert_eq!(wire("HOST/a"), None);
        let digest = "a".repeat(64);
        assert_eq!(wire(&format!("docker.io/{digest}/b")), Some(format!("{digest}/b")));
    }

    #[test]
    fn another_registry_may_be_the_default() {
        let names = Names::new("quay.io");
        for (wire, here, canonical) in [
            ("team/app", "quay.io/team/app", "team/app"),
            ("app", "quay.io/app", "app"),
            ("docker.io/library/debian", "docker.io/library/debian", "docker.io/library/debian"),
        ] {
            let repository = names.repository(wire).expect(wire);
            assert_eq!(repository.key(), here);
            let name = repository.tagged("x").expect("a tag");
            assert_eq!(names.wire(&name).as_deref(), Some(canonical));
        }
        let names = Names::new("127.0.0.1:5000");
        let repository = names.repository("a").expect("a name");
        assert_eq!(repository.key(), "127.0.0.1:5000/a");
        assert!(repository.tagged("-").is_none() && repository.tagged("a@b").is_none());
        let digest = Digest::of(b"");
        let pinned = repository.pinned(&digest).expect("a name");
        assert_eq!(pinned.to_string(), format!("127.0.0.1:5000/a@{digest}"));
    }
}
