//! [`Endpoint`]: where an image is, as people write it. One row of [`SCHEMES`] for each word.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::sink::{self, Output};
use super::source::{self, Files};
use super::{Error, Sink, Source};
use crate::image::Reference;
use crate::registry::Registries;
use crate::store::Store;

/// A place that an image comes from or goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    Registry(Reference),
    /// A name, or the beginning of an id, in the storage directory.
    Store(String),
    /// An image layout in a directory.
    Oci {
        dir: PathBuf,
        tag: Option<String>,
    },
    /// An image layout in a tar.
    OciArchive {
        file: PathBuf,
        tag: Option<String>,
    },
    /// What `docker save` writes.
    DockerArchive {
        file: PathBuf,
        name: Option<String>,
    },
}

/// What endpoints are opened with.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    pub store: &'a Store,
    pub registries: &'a Registries,
}

/// A word before a colon, and what may follow.
#[derive(Debug)]
pub struct Scheme {
    pub name: &'static str,
    /// As in a manual.
    pub form: &'static str,
    pub help: &'static str,
    parse: fn(&str) -> Result<Endpoint, Error>,
}

pub const SCHEMES: &[Scheme] = &[
    Scheme {
        name: "registry",
        form: "registry:NAME[:TAG|@DIGEST]",
        help: "an image in a registry",
        parse: |rest| Ok(Endpoint::Registry(rest.parse()?)),
    },
    Scheme {
        name: "store",
        form: "store:NAME|ID",
        help: "an image here",
        parse: |rest| Ok(Endpoint::Store(rest.to_owned())),
    },
    Scheme {
        name: "oci",
        form: "oci:DIR[:TAG]",
        help: "an OCI image layout in a directory",
        parse: |rest| Ok(path_and_name(rest, |dir, tag| Endpoint::Oci { dir, tag })),
    },
    Scheme {
        name: "oci-archive",
        form: "oci-archive:FILE[:TAG]",
        help: "an OCI image layout in a tar file",
        parse: |rest| Ok(path_and_name(rest, |file, tag| Endpoint::OciArchive { file, tag })),
    },
    Scheme {
        name: "docker-archive",
        form: "docker-archive:FILE[:NAME[:TAG]]",
        help: "a tar file as docker save writes it",
        parse: |rest| Ok(path_and_name(rest, |file, name| Endpoint::DockerArchive { file, name })),
    },
];

/// No path may have a colon here: skopeo's rule, which scripts rely on.
fn path_and_name(rest: &str, make: impl Fn(PathBuf, Option<String>) -> Endpoint) -> Endpoint {
    match rest.split_once(':') {
        Some((path, name)) if !name.is_empty() => make(path.into(), Some(name.to_owned())),
        Some((path, _)) => make(path.into(), None),
        None => make(rest.into(), None),
    }
}

impl Endpoint {
    /// The endpoint that `text` names, if it begins with a scheme's word; None for anything else, a
    /// bare image name most often, whose meaning each command decides.
    pub fn with_scheme(text: &str) -> Result<Option<Self>, Error> {
        if let Some((word, rest)) = text.split_once("://") {
            return Err(Error::Endpoint(text.to_owned(), url(word, rest)));
        }
        let Some((word, rest)) = text.split_once(':') else { return Ok(None) };
        let Some(scheme) = SCHEMES.iter().find(|scheme| scheme.name == word) else {
            return Ok(None);
        };
        if rest.is_empty() || rest.starts_with(':') {
            let problem = format!("the form is {}", scheme.form);
            return Err(Error::Endpoint(text.to_owned(), problem));
        }
        (scheme.parse)(rest).map(Some)
    }

    /// The image that is there.
    pub fn source<'a>(&self, around: Surroundings<'a>) -> Result<Box<dyn Source + 'a>, Error> {
        let Surroundings { store, registries } = around;
        Ok(match self {
            Self::Registry(reference) => {
                let registry = registries.get(reference.registry());
                Box::new(source::Registry::new(registry, reference.clone()))
            }
            Self::Store(name) => Box::new(source::Store::find(store, name)?),
            Self::Oci { dir: path, tag } | Self::OciArchive { file: path, tag } => {
                Box::new(source::Oci::find(files(path, store)?, tag.as_deref())?)
            }
            Self::DockerArchive { file, name } => {
                Box::new(source::Docker::find(files(file, store)?, name.as_deref())?)
            }
        })
    }

    /// A place for one image, or for several with names of their own. Those that the endpoint tells
    /// itself come back too, for [`Options::names`](super::Options::names).
    pub fn sink<'a>(
        &self,
        around: Surroundings<'a>,
    ) -> Result<(Box<dyn Sink + 'a>, Vec<Reference>), Error> {
        let Surroundings { store, registries } = around;
        Ok(match self {
            Self::Registry(reference) => {
                let registry = registries.get(reference.registry());
                (Box::new(sink::Registry::new(registry, reference.clone())), Vec::new())
            }
            Self::Store(name) => (Box::new(sink::Store::new(store)), vec![name.parse()?]),
            Self::Oci { dir, tag } => {
                (Box::new(sink::Oci::directory(dir, tag.clone())?), Vec::new())
            }
            Self::OciArchive { file, tag } => {
                (Box::new(sink::Oci::archive(output(file), tag.clone())?), Vec::new())
            }
            Self::DockerArchive { file, name } => {
                let names = name.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
                (Box::new(sink::Docker::archive(output(file), store)?), names)
            }
        })
    }
}

/// An archive or a layout; `-` is stdin.
fn files(path: &Path, store: &Store) -> Result<Files, Error> {
    match path == Path::new("-") {
        true => Files::stream(io::stdin(), "stdin", store),
        false => Files::open(path, store),
    }
}

/// `-` is stdout.
fn output(path: &Path) -> Output {
    match path == Path::new("-") {
        true => Output::Stream("stdout", Box::new(io::stdout())),
        false => Output::File(path.to_owned()),
    }
}

/// What to write instead of a URL. `docker://` is a registry for some tools and the local daemon for
/// others, so that neither is guessed.
fn url(word: &str, rest: &str) -> String {
    match word {
        "docker" => format!(
            "docker:// is a daemon to some tools and a registry to others; write registry:{rest} for the latter"
        ),
        "http" | "https" => {
            format!("it is a URL; write registry:{rest} for an image in a registry")
        }
        _ => format!("write {word}:{rest}"),
    }
}

/// A bare name is an image in a registry.
impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match Self::with_scheme(text)? {
            Some(endpoint) => Ok(endpoint),
            None => Ok(Self::Registry(text.parse()?)),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, path, name) = match self {
            Self::Registry(reference) => return write!(f, "registry:{reference}"),
            Self::Store(name) => return write!(f, "store:{name}"),
            Self::Oci { dir, tag } => ("oci", dir, tag),
            Self::OciArchive { file, tag } => ("oci-archive", file, tag),
            Self::DockerArchive { file, name } => ("docker-archive", file, name),
        };
        write!(f, "{word}:{}", path.display())?;
        name.as_ref().map_or(Ok(()), |name| write!(f, ":{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_told_from_names() {
        let tag = |tag: &str| Some(tag.to_owned());
        for (text, endpoint) in [
            ("oci:d", Endpoint::Oci { dir: "d".into(), tag: None }),
            ("oci:/a/b:v1", Endpoint::Oci { dir: "/a/b".into(), tag: tag("v1") }),
            ("oci:d:h/n:v", Endpoint::Oci { dir: "d".into(), tag: tag("h/n:v") }),
            ("oci-archive:f.tar", Endpoint::OciArchive { file: "f.tar".into(), tag: None }),
            (
                "docker-archive:f:n:v",
                Endpoint::DockerArchive { file: "f".into(), name: tag("n:v") },
            ),
            ("store:abcd", Endpoint::Store("abcd".into())),
            ("registry:h:5/n:v", Endpoint::Registry("h:5/n:v".parse().expect("valid"))),
            ("debian:12", Endpoint::Registry("debian:12".parse().expect("valid"))),
        ] {
            let parsed: Endpoint = text.parse().expect(text);
            assert_eq!(parsed, endpoint);
            assert_eq!(parsed.to_string().parse::<Endpoint>().expect(text), endpoint);
        }
        assert_eq!(Endpoint::with_scheme("debian:12").expect("a bare name"), None);
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        for (text, part) in [
            ("docker://debian", "write registry:debian"),
            ("https://h/n", "write registry:h/n"),
            ("oci://d", "write oci:d"),
            ("oci:", "the form is oci:DIR[:TAG]"),
            ("oci::v1", "the form is"),
        ] {
            let error = text.parse::<Endpoint>().expect_err(text).to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
