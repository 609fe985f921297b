//! [`Reference`]: an image's name, with docker's defaults.

use std::fmt;
use std::str::FromStr;

use super::{Digest, Error};

const DEFAULT_REGISTRY: &str = "docker.io";
const DEFAULT_TAG: &str = "latest";
/// What is wrong with a name that has a password.
const CREDENTIALS: &str = "it has credentials, which everybody on this machine can see; \
                           use `bryo login`, or --creds USER, which asks for the password";

/// `[registry/]repository[:tag][@digest]`, completed as docker does: no registry means Docker Hub
/// and, there, a repository of one word lies under `library/`; neither tag nor digest means
/// `:latest`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Host and port, `docker.io` for Docker Hub.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Path within the registry, `library/` included.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What a registry is asked for: the digest if there is one, else the tag.
    pub fn target(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }

    /// The same repository, another digest and no tag.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// Whether it is in another registry than Docker Hub, which goes without saying.
    pub fn has_host(&self) -> bool {
        self.registry != DEFAULT_REGISTRY
    }

    /// The same repository, another tag and no digest. None where the word is no tag.
    pub fn with_tag(&self, tag: &str) -> Option<Self> {
        is_tag(tag).then(|| Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// As people write it: Docker Hub's name and `library/` left out.
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        if self.registry != DEFAULT_REGISTRY {
            return full;
        }
        let short = &full[DEFAULT_REGISTRY.len() + 1..];
        match short.strip_prefix("library/") {
            Some(rest) if !rest.contains('/') => rest.to_owned(),
            _ => short.to_owned(),
        }
    }
}

impl Reference {
    /// The same without tag and digest.
    pub fn familiar_repository(&self) -> String {
        Self { tag: None, digest: None, ..self.clone() }.familiar()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = Error;

    /// The grammar of distribution/reference.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |why| Error::Reference(text.to_owned(), why);
        if text.is_empty() {
            return Err(wrong("it is empty"));
        }
        if text.parse::<Digest>().is_ok() || is_hex_id(text) {
            return Err(wrong("a digest alone names no repository"));
        }
        if let Some(at) = text.find("://") {
            let (scheme, rest) = text.split_at(at + 3);
            let authority = rest.split('/').next().unwrap_or_default();
            // Whoever reads the message need not read a password.
            let Some((_, host)) = authority.rsplit_once('@') else {
                return Err(wrong("it is a URL; leave the scheme out"));
            };
            let shown = format!("{scheme}***@{host}{}", &rest[authority.len()..]);
            return Err(Error::Reference(shown, CREDENTIALS));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => match digest.parse() {
                Ok(digest) => (rest, Some(digest)),
                // No digest has a slash or a dot, but a host has.
                Err(_) if digest.contains(['/', '.']) || digest.starts_with("localhost") => {
                    let host = text.rsplit('@').next().unwrap_or_default();
                    return Err(Error::Reference(format!("***@{host}"), CREDENTIALS));
                }
                Err(error) => return Err(error),
            },
            None => (text, None),
        };
        // A colon after the last slash begins a tag; one before it, a port.
        let slash = rest.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match rest[slash..].find(':') {
            Some(at) => (&rest[..slash + at], Some(&rest[slash + at + 1..])),
            None => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong("a tag has at most 128 letters, digits, '_', '.', '-'"));
        }
        let (registry, path) = match name.split_once('/') {
            Some((first, path)) if is_registry(first) => (first, path),
            _ => (DEFAULT_REGISTRY, name),
        };
        if registry != DEFAULT_REGISTRY && !is_host(registry) {
            return Err(wrong("the registry is not HOST or HOST:PORT"));
        }
        let registry =
            if registry == "index.docker.io" { DEFAULT_REGISTRY } else { registry }.to_owned();
        let repository = match registry == DEFAULT_REGISTRY && !path.contains('/') {
            true => format!("library/{path}"),
            false => path.to_owned(),
        };
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(wrong("a repository's name must be in lower case"));
        }
        if path.is_empty() || !path.split('/').all(is_component) {
            return Err(wrong("a repository's name has a-z, 0-9 and single separators . _ __ -"));
        }
        if registry.len() + 1 + repository.len() > 255 {
            return Err(wrong("its name is longer than 255 characters"));
        }
        let tag = match (&digest, tag) {
            (None, None) => Some(DEFAULT_TAG.to_owned()),
            (_, tag) => tag.map(str::to_owned),
        };
        Ok(Self { registry, repository, tag, digest })
    }
}

/// Docker's rule for what the word before the first slash is: a host has a dot, a colon, capital
/// letters, or is `localhost`.
fn is_registry(word: &str) -> bool {
    word.contains(['.', ':']) || word == "localhost" || word.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_host(registry: &str) -> bool {
    let (host, port) = match registry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            if !address.chars().all(|c| c.is_ascii_hexdigit() || c == ':') {
                return false;
            }
            ("v6", port.strip_prefix(':').or(port.is_empty().then_some("1")))
        }
        None => match registry.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (registry, Some("1")),
        },
    };
    let Some(port) = port else { return false };
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && host.split('.').all(label)
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&tag.len())
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(component: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    if !alphanumeric(*first) || !alphanumeric(*last) {
        return false;
    }
    component.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).all(|between| {
        matches!(between, "" | "." | "_" | "__") || between.bytes().all(|b| b == b'-')
    })
}

/// 64 hexadecimal digits, which docker reserves for image ids.
fn is_hex_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_docker_does() {
        let digest = Digest::of(b"");
        let pinned = format!("debian@{digest}");
        let full_pinned = format!("docker.io/library/debian@{digest}");
        for (text, full, familiar) in [
            ("debian", "docker.io/library/debian:latest", "debian:latest"),
            ("debian:12", "docker.io/library/debian:12", "debian:12"),
            ("a/b", "docker.io/a/b:latest", "a/b:latest"),
            ("index.docker.io/a", "docker.io/library/a:latest", "a:latest"),
            ("localhost/a", "localhost/a:latest", "localhost/a:latest"),
            ("127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c"),
            ("[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest"),
            ("quay.io/a__b/c-d.e", "quay.io/a__b/c-d.e:latest", "quay.io/a__b/c-d.e:latest"),
            (&pinned, &full_pinned, &pinned),
        ] {
            let reference: Reference = text.parse().expect(text);
            assert_eq!(
                (reference.to_string(), reference.familiar()),
                (full.into(), familiar.into())
            );
            assert_eq!(full.parse::<Reference>().expect(full), reference);
        }
    }

    #[test]
    fn passwords_are_not_repeated() {
        for text in [
            "registry://ann:s3cret@h/a:1",
            "http://ann:s3@cret@h:5/a",
            "https://s3cret@h",
            "ann:s3cret@localhost:5/a:1",
            "ann:s3@cret@h.x/a",
        ] {
            let error = text.parse::<Reference>().expect_err(text).to_string();
            assert!(!error.contains("cret@") && error.contains("--creds"), "{error}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let id = "a".repeat(64);
        let long = "a/".repeat(130) + "a";
        for text in [
            "",
            ":",
            "a:",
            "A",
            "a/B",
            "a//b",
            "a:-x",
            "-a",
            "a-",
            "a___b",
            "a..b",
            "a@b",
            "a b",
            "http://h/a",
            "host:port/a",
            "[::z]/a",
            "/a",
            "a/",
            &id,
            &long,
            "h.:5/",
            "a:b:c",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?} was accepted");
        }
    }
}
