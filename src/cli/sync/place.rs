//! [`Place`]: where many images go.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::cli::error::Error;
use crate::image::Reference;
use crate::transfer::Endpoint;

/// A place with room for many images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Below a path of a registry, which may be empty.
    Registry { host: String, path: String },
    /// Here, by their own names, or below another one.
    Store(Option<String>),
    /// Each in a directory of its own.
    Trees(PathBuf),
    /// A layout or an archive that has room for all.
    Shared(Endpoint),
}

/// Where one image goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum To {
    Own(Endpoint),
    /// Into what all share, under this name.
    Shared(Endpoint, Reference),
}

impl fmt::Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(Endpoint::Registry(name)) => f.write_str(&name.familiar()),
            Self::Own(endpoint) => endpoint.fmt(f),
            Self::Shared(endpoint, name) => write!(f, "{endpoint}:{}", name.familiar()),
        }
    }
}

impl Place {
    /// Whether an image keeps its whole name there.
    pub(crate) fn keeps_names(&self) -> bool {
        matches!(self, Self::Store(None) | Self::Shared(_))
    }

    pub(crate) fn is_stream(&self) -> bool {
        matches!(self, Self::Shared(endpoint) if endpoint.is_stream())
    }

    /// Where the image `name` goes, `below` this place; with more at the end of its tag.
    pub(crate) fn of(&self, name: &Reference, below: &str, suffix: &str) -> Result<To, Error> {
        let target = match (name.tag(), name.digest()) {
            (_, Some(digest)) if suffix.is_empty() => format!("@{digest}"),
            (_, Some(_)) => {
                let text =
                    format!("{} has no tag that {suffix:?} could be added to", name.familiar());
                let hint = Some("leave out --append-suffix, or name a tag".to_owned());
                return Err(Error::Usage { text, hint });
            }
            (Some(tag), None) => format!(":{tag}{suffix}"),
            (None, None) => format!(":latest{suffix}"),
        };
        let same = || -> Result<Reference, Error> {
            Ok(format!("{}/{}{target}", name.registry(), name.repository()).parse()?)
        };
        Ok(match self {
            Self::Registry { host, path } => {
                let path = if path.is_empty() { String::new() } else { format!("{path}/") };
                To::Own(Endpoint::Registry(format!("{host}/{path}{below}{target}").parse()?))
            }
            Self::Store(None) => To::Own(Endpoint::Store(same()?.to_string())),
            Self::Store(Some(path)) => {
                let name: Reference = format!("{path}/{below}{target}").parse()?;
                To::Own(Endpoint::Store(name.to_string()))
            }
            Self::Trees(dir) => {
                let target = target.trim_start_matches(':');
                To::Own(Endpoint::Dir(
                    dir.join(format!("{below}-{}", target.replace(['@', ':'], "-"))),
                ))
            }
            Self::Shared(endpoint) => To::Shared(endpoint.clone(), same()?),
        })
    }
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let usage = |problem: &str| {
            let hint = "write registry:HOST/PATH, oci:DIR, oci-archive:FILE, docker-archive:FILE, \
                        store:, store:PATH or dir:DIR";
            let text = format!("{text:?} is no place for several images: {problem}");
            Err(Error::Usage { text, hint: Some(hint.to_owned()) })
        };
        match text {
            "store:" => return Ok(Self::Store(None)),
            "-" => return usage("it could be an archive of docker's or of OCI"),
            _ => {}
        }
        // URLs, and words with nothing after them, are explained there.
        match text.strip_prefix("registry:") {
            Some(rest) => registry(rest).map_or_else(usage, Ok),
            None => match Endpoint::with_scheme(text)? {
                None => registry(text).map_or_else(usage, Ok),
                Some(Endpoint::Store(path)) => match registry(&path) {
                    Ok(_) => Ok(Self::Store(Some(path.trim_end_matches('/').to_owned()))),
                    Err(problem) => usage(problem),
                },
                Some(Endpoint::Dir(dir)) => Ok(Self::Trees(dir)),
                Some(
                    endpoint @ (Endpoint::Oci { tag: None, .. }
                    | Endpoint::OciArchive { tag: None, .. }
                    | Endpoint::DockerArchive { name: None, .. }),
                ) => Ok(Self::Shared(endpoint)),
                Some(
                    Endpoint::Oci { .. }
                    | Endpoint::OciArchive { .. }
                    | Endpoint::DockerArchive { .. },
                ) => usage("images keep their own names there, so leave out the name"),
                Some(_) => usage("it has room for one"),
            },
        }
    }
}

/// `HOST[/PATH]`; without a host a path of Docker Hub.
fn registry(text: &str) -> Result<Place, &'static str> {
    let text = text.trim_end_matches('/');
    let is_host = |word: &str| word.contains(['.', ':']) || word == "localhost";
    let (host, path) = match text.split_once('/') {
        Some((host, path)) if is_host(host) => (host, path),
        None if is_host(text) => (text, ""),
        _ => ("docker.io", text),
    };
    let name = if path.is_empty() { format!("{host}/x") } else { format!("{host}/{path}") };
    if path.contains([':', '@']) {
        return Err("images keep their own tags, so leave out the tag");
    }
    match text.is_empty() || name.parse::<Reference>().is_err() {
        true => Err("it is no registry, and no path of one"),
        false => Ok(Place::Registry { host: host.to_owned(), path: path.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_go_to_different_places() {
        let digest = format!("h:1/a/b@sha256:{}", "0".repeat(64));
        for (place, name, suffix, expected) in [
            ("h.example", "debian:12", "", "h.example/b:12"),
            ("registry:h:5000/mirror/", "debian", "-x", "h:5000/mirror/b:latest-x"),
            ("mirror", "h:1/a/b:2", "", "mirror/b:2"),
            ("store:", "h:1/a/b:2", "-x", "store:h:1/a/b:2-x"),
            ("store:h.example/m", "h:1/a/b:2", "", "store:h.example/m/b:2"),
            ("dir:d", "h:1/a/b:2", "", "dir:d/b-2"),
            ("oci:d", "h:1/a/b:2", "-x", "oci:d:h:1/a/b:2-x"),
            ("oci:d", "debian:12", "", "oci:d:debian:12"),
            ("docker-archive:f", &digest, "", &format!("docker-archive:f:{digest}")),
        ] {
            let parsed: Place = place.parse().expect(place);
            let name: Reference = name.parse().expect(name);
            let to = parsed.of(&name, "b", suffix).expect(place);
            assert_eq!(to.to_string(), expected, "{place}");
        }
        let place: Place = "h.example".parse().expect("a place");
        let name: Reference = digest.parse().expect("a name");
        assert!(place.of(&name, "b", "-x").is_err());
        for text in [
            "",
            "h.example/m:tag",
            "docker://h.example/m",
            "oci:",
            "oci:d:tag",
            "bundle:d",
            "daemon:x",
            "-",
            "registry:",
            "h.example/UP",
        ] {
            text.parse::<Place>().expect_err(text);
        }
    }
}
