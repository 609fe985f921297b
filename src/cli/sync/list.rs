//! What is to be copied, as people write it: a pattern on the command line, a list of our own in
//! TOML, or one that skopeo reads, in YAML (skopeo-sync(1)).

use std::path::{Path, PathBuf};

use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::semver::Range;
use crate::dockerfile::Glob;
use crate::document;
use crate::image::Platform;

/// Repositories, and which of their images.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    /// A repository's name, or a pattern for several of one registry.
    pub(crate) repository: String,
    pub(crate) tags: Tags,
    /// This platform's images alone.
    pub(crate) platform: Option<Platform>,
    /// How the registry is spoken to, where the list says so: an index of [`List::accesses`].
    pub(crate) access: Option<usize>,
}

#[derive(Debug, Clone)]
pub(crate) enum Tags {
    All,
    /// Tags, patterns, digests.
    These(Vec<String>),
    Matching(Regex),
    Within(Range),
}

/// How a registry is spoken to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RegistryAccess {
    pub(crate) host: String,
    /// A user and a password.
    pub(crate) login: Option<(String, String)>,
    pub(crate) without_tls: bool,
    /// A folder with certificates (containers-certs.d(5)).
    pub(crate) certificates: Option<PathBuf>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct List {
    pub(crate) accesses: Vec<RegistryAccess>,
    pub(crate) selections: Vec<Selection>,
}

/// What a file is written in, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Toml,
    Yaml,
}

impl Form {
    pub(crate) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "toml" => Some(Self::Toml),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }
}

impl List {
    /// # Errors
    ///
    /// What is wrong with it, in a line.
    pub(crate) fn parse(text: &str, form: Form) -> Result<Self, String> {
        match form {
            Form::Toml => of_toml(text),
            Form::Yaml => of_yaml(text),
        }
    }
}

/// `HOST/ORG/NAME*:TAG*`; without a tag all of them, with a digest that image.
pub(crate) fn pattern(text: &str) -> Result<Selection, String> {
    let text = text.strip_prefix("registry:").unwrap_or(text);
    let (repository, tags) = match text.split_once('@') {
        Some((name, digest)) => (without_tag(name).0, Tags::These(vec![digest.to_owned()])),
        None => match without_tag(text) {
            (name, None) => (name, Tags::All),
            (name, Some(tag)) => (name, Tags::These(vec![tag.to_owned()])),
        },
    };
    let selection =
        Selection { repository: repository.to_owned(), tags, platform: None, access: None };
    selection.check()?;
    Ok(selection)
}

/// A name, and the tag after its last colon, unless that begins a port.
fn without_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') && !name.is_empty() => (name, Some(tag)),
        _ => (text, None),
    }
}

impl Selection {
    fn check(&self) -> Result<(), String> {
        let tags = match &self.tags {
            Tags::These(tags) => &tags[..],
            _ => &[],
        };
        for text in std::iter::once(&self.repository).chain(tags) {
            if text.is_empty() {
                return Err("it names no image".to_owned());
            }
            Glob::new(text).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    images: Vec<toml::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    from: String,
    tags: Option<Vec<String>>,
    tag_regex: Option<String>,
    semver: Option<String>,
    platform: Option<String>,
}

/// `images`: patterns, or tables with `from` and what narrows it.
fn of_toml(text: &str) -> Result<List, String> {
    let whole: Whole = toml::from_str(text).map_err(|error| error.to_string())?;
    let mut selections = Vec::new();
    for (at, image) in whole.images.into_iter().enumerate() {
        let wrong = |why: String| format!("images, number {}: {why}", at + 1);
        selections.push(match image {
            toml::Value::String(text) => pattern(&text).map_err(wrong)?,
            table => {
                let entry: Entry = table
                    .try_into()
                    .map_err(|error: toml::de::Error| wrong(error.message().to_owned()))?;
                entry.selection().map_err(wrong)?
            }
        });
    }
    Ok(List { accesses: Vec::new(), selections })
}

impl Entry {
    fn selection(self) -> Result<Selection, String> {
        let mut selection = pattern(&self.from)?;
        let mut ways = Vec::new();
        if let Some(tags) = self.tags {
            ways.push(if tags.is_empty() { Tags::All } else { Tags::These(tags) });
        }
        if let Some(text) = self.tag_regex {
            ways.push(matching(&text)?);
        }
        if let Some(text) = self.semver {
            ways.push(within(&text)?);
        }
        if ways.len() + usize::from(!matches!(selection.tags, Tags::All)) > 1 {
            let one = "tags are told once: in from, or by tags, tag-regex or semver";
            return Err(one.to_owned());
        }
        if let Some(tags) = ways.pop() {
            selection.tags = tags;
        }
        let platform = self.platform.map(|text| text.parse()).transpose();
        selection.platform = platform.map_err(|error: crate::image::Error| error.to_string())?;
        selection.check()?;
        Ok(selection)
    }
}

fn matching(text: &str) -> Result<Tags, String> {
    Regex::new(text).map(Tags::Matching).map_err(|error| error.to_string())
}

fn within(text: &str) -> Result<Tags, String> {
    text.parse().map(Tags::Within).map_err(|why| format!("semver {text:?}: {why}"))
}

/// Registries, and what is wanted of each.
fn of_yaml(text: &str) -> Result<List, String> {
    let mut list = List::default();
    let Value::Object(registries) = document::texts_from_yaml(text)? else {
        return Err("it has no registries".to_owned());
    };
    for (host, said) in registries {
        let wrong = |why: String| format!("{host}: {why}");
        let said = table(said).map_err(wrong)?;
        list.registry(&host, said).map_err(wrong)?;
    }
    Ok(list)
}

impl List {
    fn registry(&mut self, host: &str, said: Map<String, Value>) -> Result<(), String> {
        let mut access = RegistryAccess { host: host.to_owned(), ..RegistryAccess::default() };
        let at = self.accesses.len();
        let selected = |name: &str, tags| {
            let repository = format!("{host}/{name}");
            let selection = Selection { repository, tags, platform: None, access: Some(at) };
            match Glob::is_pattern(name) {
                true => Err(format!("{name:?} is no repository's name")),
                false => selection.check().map(|()| selection),
            }
        };
        for (key, value) in said {
            let wrong = |why: String| format!("{key}: {why}");
            match &*key {
                "images" => {
                    for (name, tags) in table(value).map_err(wrong)? {
                        let tags = texts(tags).map_err(|why| format!("{key}: {name}: {why}"))?;
                        let tags = if tags.is_empty() { Tags::All } else { Tags::These(tags) };
                        self.selections.push(selected(&name, tags)?);
                    }
                }
                "images-by-tag-regex" | "images-by-semver" => {
                    let read = if key.ends_with("regex") { matching } else { within };
                    for (name, rule) in table(value).map_err(wrong)? {
                        let tags = text(rule).and_then(|rule| read(&rule));
                        let tags = tags.map_err(|why| format!("{key}: {name}: {why}"))?;
                        self.selections.push(selected(&name, tags)?);
                    }
                }
                "credentials" => access.login = Some(login(value).map_err(wrong)?),
                "tls-verify" => {
                    access.without_tls = match &*text(value).map_err(wrong)? {
                        "true" => false,
                        "false" => true,
                        _ => return Err(wrong("it is true or false".to_owned())),
                    };
                }
                "cert-dir" => access.certificates = Some(text(value).map_err(wrong)?.into()),
                _ => return Err(format!("there is no key {key:?}")),
            }
        }
        self.accesses.push(access);
        Ok(())
    }
}

fn login(value: Value) -> Result<(String, String), String> {
    let mut said = table(value)?;
    let mut take = |key: &str| match said.remove(key) {
        Some(value) => text(value),
        None => Err(format!("{key} is missing")),
    };
    let login = (take("username")?, take("password")?);
    match said.keys().next() {
        Some(key) => Err(format!("there is no key {key:?}")),
        None => Ok(login),
    }
}

fn table(value: Value) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        _ => Err("it is no table".to_owned()),
    }
}

fn text(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err("it is no text".to_owned()),
    }
}

fn texts(value: Value) -> Result<Vec<String>, String> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) => items.into_iter().map(text).collect(),
        _ => Err("it is no list".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(selection: &Selection) -> String {
        let tags = match &selection.tags {
            Tags::All => "all".to_owned(),
            Tags::These(tags) => tags.join(","),
            Tags::Matching(regex) => format!("/{regex}/"),
            Tags::Within(_) => "range".to_owned(),
        };
        format!("{} {tags}", selection.repository)
    }

    #[test]
    fn patterns_have_a_repository_and_perhaps_tags() {
        for (text, expected) in [
            ("debian", "debian all"),
            ("registry:h:5000/a/*", "h:5000/a/* all"),
            ("h:5000/a/*:1.*", "h:5000/a/* 1.*"),
            ("h/a:v1@sha256:12", "h/a sha256:12"),
        ] {
            assert_eq!(pattern(text).map(|found| shown(&found)).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", "h/a:", "h/[", "h/a@"] {
            pattern(text).expect_err(text);
        }
    }

    #[test]
    fn a_list_of_our_own_is_toml() {
        let text = "images = ['debian:12', {from = 'h/a', tags = ['1', '2.*']}]\n";
        let list = List::parse(text, Form::Toml).expect("a list");
        let all: Vec<_> = list.selections.iter().map(shown).collect();
        assert_eq!(all, ["debian 12", "h/a 1,2.*"]);
        let text = "[[images]]\nfrom = 'h/a'\ntag-regex = '^v'\nplatform = 'linux/arm64'\n\
                    [[images]]\nfrom = 'h/*'\nsemver = '>=1'\n";
        let list = List::parse(text, Form::Toml).expect("a list");
        let all: Vec<_> = list.selections.iter().map(shown).collect();
        assert_eq!(all, ["h/a /^v/", "h/* range"]);
        assert_eq!(list.selections[0].platform, Some("linux/arm64".parse().expect("a platform")));
        for (text, part) in [
            ("", "images"),
            ("images = [1]", "number 1"),
            ("images = [{from = 'a', tag = 'x'}]", "unknown field `tag`"),
            ("images = [{from = 'a:1', semver = '1'}]", "told once"),
            ("images = ['a', {from = 'a', tag-regex = '('}]", "number 2"),
            ("images = [{from = 'a', semver = 'new'}]", "is no version"),
            ("images = []\nother = 1", "other"),
        ] {
            let why = List::parse(text, Form::Toml).expect_err(text);
            assert!(why.contains(part), "{text}: {why}");
        }
    }

    #[test]
    fn lists_of_skopeo_are_read() {
        let text = "h.example:\n  images:\n    busybox: []\n    redis:\n      - \"1.0\"\n      - 010\n      \
                    - sha256:ab\n  images-by-tag-regex:\n    nginx: ^1\\.13\\.[12]-alpine-perl$\n  \
                    credentials:\n    username: john\n    password: a secret\n  tls-verify: true\n  \
                    cert-dir: /c\nquay.example:\n  tls-verify: false\n  images-by-semver:\n    \
                    alpine: \">= 3.12.0\"\n";
        let list = List::parse(text, Form::Yaml).expect("a list");
        let all: Vec<_> = list.selections.iter().map(shown).collect();
        let nginx = r"h.example/nginx /^1\.13\.[12]-alpine-perl$/";
        let expected = ["h.example/busybox all", "h.example/redis 1.0,010,sha256:ab", nginx];
        assert_eq!(all[..3], expected);
        assert_eq!(all[3..], ["quay.example/alpine range"]);
        let first = RegistryAccess {
            host: "h.example".to_owned(),
            login: Some(("john".to_owned(), "a secret".to_owned())),
            without_tls: false,
            certificates: Some("/c".into()),
        };
        assert_eq!(list.accesses[0], first);
        assert!(list.accesses[1].without_tls);
        assert_eq!(list.selections[3].access, Some(1));
        for (text, part) in [
            ("h: 1", "no table"),
            ("h:\n  image: {}", "h: there is no key \"image\""),
            ("h:\n  images:\n    a: x", "h: images: a: it is no list"),
            ("h:\n  images:\n    a*: []", "no repository's name"),
            ("h:\n  credentials:\n    username: x", "password is missing"),
            ("h:\n  tls-verify: maybe", "true or false"),
            ("[", ""),
        ] {
            let why = List::parse(text, Form::Yaml).expect_err(text);
            assert!(why.contains(part), "{text}: {why}");
        }
    }
}
