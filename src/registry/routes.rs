//! [`Routes`]: where images are read from instead of the registry that their names say
//! (containers-registries.conf(5), version 2), and whom nobody may speak to.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::image::Aliases;

/// What somebody decided about registries. Only reading takes a route: what is sent goes to the
/// registry that its name says.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    rules: Vec<Rule>,
    aliases: Aliases,
}

/// What holds for all names that begin with a prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Rule {
    /// `host[:port][/path]`, or `*.domain`.
    #[serde(default)]
    prefix: String,
    /// What stands in the prefix's place.
    #[serde(default)]
    location: String,
    #[serde(default)]
    pub(super) insecure: bool,
    #[serde(default)]
    pub(super) blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default, rename = "mirror")]
    mirrors: Vec<Mirror>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Mirror {
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    pull_from_mirror: Pulls,
}

/// Which names a mirror is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Pulls {
    #[default]
    All,
    DigestOnly,
    TagOnly,
}

/// Somewhere to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) repository: String,
    pub(super) insecure: bool,
}

/// The file, as far as we read it.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    registry: Vec<Rule>,
    #[serde(default)]
    aliases: BTreeMap<String, String>,
}

impl Routes {
    /// Adds what a file says; of two rules about the same prefix the later counts.
    ///
    /// # Errors
    ///
    /// Why the text cannot be read.
    pub fn read(&mut self, text: &str) -> Result<(), String> {
        let wrong = |error: toml::de::Error| {
            let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
            let line = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            format!("{line}{}", error.message())
        };
        let value: toml::Table = text.parse().map_err(wrong)?;
        if value.get("registries").is_some_and(toml::Value::is_table) {
            return Err("it has version 1 of the format, which nobody reads any more".to_owned());
        }
        let file: File = value.try_into().map_err(wrong)?;
        for mut rule in file.registry {
            if rule.prefix.is_empty() {
                rule.prefix.clone_from(&rule.location);
            }
            if rule.prefix.is_empty() {
                return Err("a [[registry]] has neither a prefix nor a location".to_owned());
            }
            self.add(rule);
        }
        self.aliases.extend(file.aliases);
        Ok(())
    }

    /// Lets `mirror` be asked first for all that is in `of`; both are `host[:port][/path]`.
    pub fn mirror(&mut self, of: &str, mirror: &str) {
        let location = mirror.trim_end_matches('/').to_owned();
        let new = Mirror { location, insecure: false, pull_from_mirror: Pulls::All };
        match self.rules.iter_mut().find(|rule| rule.prefix == of) {
            Some(rule) => rule.mirrors.insert(0, new),
            None => {
                let (prefix, mirrors) = (of.to_owned(), vec![new]);
                self.rules.push(Rule { prefix, mirrors, ..Rule::default() });
            }
        }
    }

    /// Lets everything that is in `of` be read from `location` alone.
    pub fn move_to(&mut self, of: &str, location: &str) {
        let (prefix, location) = (of.to_owned(), location.trim_end_matches('/').to_owned());
        self.add(Rule { prefix, location, ..Rule::default() });
    }

    fn add(&mut self, rule: Rule) {
        self.rules.retain(|known| known.prefix != rule.prefix);
        self.rules.push(rule);
    }

    /// The full names that somebody gave to short ones.
    pub fn aliases(&self) -> &Aliases {
        &self.aliases
    }

    /// What holds for a repository: the rule with the longest prefix.
    pub(super) fn rule(&self, host: &str, repository: &str) -> Option<&Rule> {
        let name = name(host, repository);
        self.rules
            .iter()
            .filter(|rule| rule.covers(&name).is_some())
            .max_by_key(|rule| rule.prefix.len())
    }
}

impl Rule {
    /// How many bytes of a name stand for the prefix.
    fn covers(&self, name: &str) -> Option<usize> {
        if let Some(domain) = self.prefix.strip_prefix('*') {
            let host = &name[..name.find('/').unwrap_or(name.len())];
            return (domain.starts_with('.') && host.ends_with(domain)).then_some(host.len());
        }
        let rest = name.strip_prefix(self.prefix.as_str())?;
        (rest.is_empty() || rest.starts_with('/')).then_some(self.prefix.len())
    }

    /// Where to look, one after the other; the last is the repository itself, or what stands in its
    /// place.
    pub(super) fn places(&self, host: &str, repository: &str, by_digest: bool) -> Vec<Place> {
        let name = name(host, repository);
        let Some(length) = self.covers(&name) else { return Vec::new() };
        let wanted = |mirror: &&Mirror| match mirror.pull_from_mirror {
            Pulls::All => by_digest || !self.mirror_by_digest_only,
            Pulls::DigestOnly => by_digest,
            Pulls::TagOnly => !by_digest,
        };
        let place = |location: &str, insecure| {
            let full = format!("{location}{}", &name[length..]);
            let (host, repository) = full.split_once('/').unwrap_or((&full, ""));
            Place { host: host.to_owned(), repository: repository.to_owned(), insecure }
        };
        let mirrors = self.mirrors.iter().filter(wanted);
        let mut places: Vec<Place> =
            mirrors.map(|mirror| place(&mirror.location, mirror.insecure)).collect();
        places.push(match self.location.is_empty() {
            true => place(&name[..length], self.insecure),
            false => place(&self.location, self.insecure),
        });
        places
    }
}

fn name(host: &str, repository: &str) -> String {
    match repository.is_empty() {
        true => host.to_owned(),
        false => format!("{host}/{repository}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
unqualified-search-registries = ["docker.io"]

[[registry]]
location = "docker.io"
[[registry.mirror]]
location = "near:5000/hub"
insecure = true
[[registry.mirror]]
location = "pinned"
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "tagged"
pull-from-mirror = "tag-only"

[[registry]]
prefix = "docker.io/library"
location = "lib.example/l"

[[registry]]
prefix = "*.corp.example"
[[registry.mirror]]
location = "m.example/c"

[[registry]]
prefix = "bad.example"
blocked = true

[[registry]]
prefix = "digests.example"
mirror-by-digest-only = true
[[registry.mirror]]
location = "m2.example"

[aliases]
"moss" = "quay.example/plants/moss"
"#;

    fn places(routes: &Routes, host: &str, repository: &str, by_digest: bool) -> String {
        let Some(rule) = routes.rule(host, repository) else { return String::new() };
        let places = rule.places(host, repository, by_digest);
        let shown = |place: &Place| {
            let mark = if place.insecure { "!" } else { "" };
            format!("{}/{}{mark}", place.host, place.repository)
        };
        places.iter().map(shown).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_longest_prefix_says_where_to_look() {
        let mut routes = Routes::default();
        routes.read(FILE).expect("version 2");
        for (host, repository, by_digest, expected) in [
            ("docker.io", "a/b", false, "near:5000/hub/a/b! tagged/a/b docker.io/a/b"),
            ("docker.io", "a/b", true, "near:5000/hub/a/b! pinned/a/b docker.io/a/b"),
            ("docker.io", "library/b", false, "lib.example/l/b"),
            (
                "docker.io",
                "libraryb",
                true,
                "near:5000/hub/libraryb! pinned/libraryb docker.io/libraryb",
            ),
            ("x.corp.example", "a", false, "m.example/c/a x.corp.example/a"),
            ("corp.example", "a", false, ""),
            ("digests.example", "a", false, "digests.example/a"),
            ("digests.example", "a", true, "m2.example/a digests.example/a"),
            ("docker.io:5000", "a", false, ""),
            ("other.example", "docker.io/a", false, ""),
        ] {
            assert_eq!(
                places(&routes, host, repository, by_digest),
                expected,
                "{host}/{repository}"
            );
        }
        assert!(routes.rule("bad.example", "a").is_some_and(|rule| rule.blocked));
        let (moss, is_alias) = routes.aliases().reference("moss:1").expect("a name");
        assert_eq!((moss.to_string().as_str(), is_alias), ("quay.example/plants/moss:1", true));
    }

    #[test]
    fn what_is_said_later_counts() {
        let mut routes = Routes::default();
        routes.read(FILE).expect("version 2");
        routes.read("[[registry]]\nlocation='docker.io'\n").expect("a file that adds");
        assert_eq!(places(&routes, "docker.io", "a", false), "docker.io/a");
        routes.mirror("docker.io", "m1");
        routes.mirror("docker.io", "m2/x/");
        assert_eq!(places(&routes, "docker.io", "a", false), "m2/x/a m1/a docker.io/a");
        routes.move_to("docker.io", "h:1/y");
        assert_eq!(places(&routes, "docker.io", "a", false), "h:1/y/a");
        routes.mirror("new.example", "m3");
        assert_eq!(places(&routes, "new.example", "a", true), "m3/a new.example/a");
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        for (text, expected) in [
            ("[registries.search]\nregistries=['docker.io']", "version 1"),
            ("[[registry]]\ninsecure=true", "neither a prefix nor a location"),
            ("[[registry]]\nlocation=5", "invalid type"),
            ("[aliases]\n[[registry]", "line 2: "),
        ] {
            let error = Routes::default().read(text).expect_err(text);
            assert!(error.contains(expected), "{error}");
        }
    }
}
