//! [`Endpoint`]: where an image is, as people write it. One row of [`SCHEMES`] for each word.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::daemon::Daemon;
use super::sink::{self, Output};
use super::source::{self, Files};
use super::{Error, Sink, Source};
use crate::image::{self, Reference};
use crate::registry::Registries;
use crate::report::Reporter;
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
    /// The files of an image.
    Dir(PathBuf),
    /// A runtime bundle.
    Bundle(PathBuf),
    /// A directory where an image's files are seen while they are mounted there.
    Mount(PathBuf),
    /// An image that docker or podman keeps.
    Daemon {
        name: String,
        socket: Option<PathBuf>,
    },
    /// The files of an image in one file.
    Squashfs(PathBuf),
    /// The same as Apptainer runs it.
    Sif(PathBuf),
    /// An archive on stdin or stdout.
    Stream,
}

/// What endpoints are opened with.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    pub store: &'a Store,
    pub registries: &'a Registries,
    pub reporter: &'a dyn Reporter,
    /// Where programs of this machine are, as `PATH` has it.
    pub search: &'a str,
    /// Where the sockets of daemons are, the best first.
    pub sockets: &'a [PathBuf],
}

impl fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").field("store", self.store).finish_non_exhaustive()
    }
}

/// What a sink shall do beside taking an image.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// More tags that the image gets there.
    pub tags: Vec<String>,
    /// Another repository of the same registry that probably has the layers.
    pub near: Option<String>,
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
    Scheme {
        name: "dir",
        form: "dir:DIR",
        help: "the files of an image, in a directory",
        parse: |rest| Ok(Endpoint::Dir(rest.into())),
    },
    Scheme {
        name: "bundle",
        form: "bundle:DIR",
        help: "an OCI runtime bundle (only written)",
        parse: |rest| Ok(Endpoint::Bundle(rest.into())),
    },
    Scheme {
        name: "daemon",
        form: "daemon:NAME[:TAG][?socket=PATH]",
        help: "an image of docker or of podman's service",
        parse: daemon,
    },
    Scheme {
        name: "squashfs",
        form: "squashfs:FILE",
        help: "the files of an image, in a SquashFS file (only written)",
        parse: |rest| Ok(Endpoint::Squashfs(rest.into())),
    },
    Scheme {
        name: "sif",
        form: "sif:FILE",
        help: "the files of an image, in a file that Apptainer runs (only written)",
        parse: |rest| Ok(Endpoint::Sif(rest.into())),
    },
    Scheme {
        name: "mount",
        form: "mount:DIR",
        help: "the files of an image, mounted there by squashfuse (only written)",
        parse: |rest| Ok(Endpoint::Mount(rest.into())),
    },
];

fn daemon(rest: &str) -> Result<Endpoint, Error> {
    let (name, option) = match rest.split_once('?') {
        Some((name, option)) => (name, Some(option)),
        None => (rest, None),
    };
    let wrong = |problem: &str| Error::Endpoint(format!("daemon:{rest}"), problem.to_owned());
    let socket = match option.map(|option| option.split_once('=')) {
        None => None,
        Some(Some(("socket", path))) if !path.is_empty() => {
            Some(path.strip_prefix("unix://").unwrap_or(path).into())
        }
        Some(_) => return Err(wrong("the only option is ?socket=PATH")),
    };
    if name.is_empty() {
        return Err(wrong("it names no image"));
    }
    Ok(Endpoint::Daemon { name: name.to_owned(), socket })
}

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
        if text == "-" {
            return Ok(Some(Self::Stream));
        }
        if let Some((word, rest)) = text.split_once("://").filter(|(word, _)| is_word(word)) {
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

    /// Whether an image keeps its manifests there, byte for byte.
    pub fn keeps_manifests(&self) -> bool {
        match self {
            Self::Registry(_)
            | Self::Store(_)
            | Self::Oci { .. }
            | Self::OciArchive { .. }
            | Self::Stream => true,
            Self::DockerArchive { .. }
            | Self::Dir(_)
            | Self::Bundle(_)
            | Self::Mount(_)
            | Self::Daemon { .. }
            | Self::Squashfs(_)
            | Self::Sif(_) => false,
        }
    }

    /// The same place under another tag, where that can be told.
    #[must_use]
    pub fn tagged(&self, tag: &str) -> Self {
        match self {
            Self::Registry(name) => name.with_tag(tag).map_or_else(|| self.clone(), Self::Registry),
            Self::Oci { dir, .. } => Self::Oci { dir: dir.clone(), tag: Some(tag.to_owned()) },
            Self::OciArchive { file, .. } => {
                Self::OciArchive { file: file.clone(), tag: Some(tag.to_owned()) }
            }
            other => other.clone(),
        }
    }

    /// Whether what is there are an image's files, for which layers are unpacked.
    pub fn is_files(&self) -> bool {
        matches!(self, Self::Dir(_) | Self::Bundle(_) | Self::Squashfs(_) | Self::Sif(_))
    }

    /// Whether it is stdin or stdout.
    pub fn is_stream(&self) -> bool {
        match self {
            Self::Stream => true,
            Self::OciArchive { file, .. } | Self::DockerArchive { file, .. } => {
                file == Path::new("-")
            }
            _ => false,
        }
    }

    /// The image that is there.
    pub fn source<'a>(&self, around: Surroundings<'a>) -> Result<Box<dyn Source + 'a>, Error> {
        let Surroundings { store, registries, reporter, .. } = around;
        let only_written = |instead| Error::OnlyWritten { what: self.to_string(), instead };
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
            Self::Dir(dir) if is_skopeos(dir) => {
                return Err(Error::OnlyWritten {
                    what: format!("{self}, a directory in skopeo's own form,"),
                    instead: "copy it with skopeo to oci:DIR, which both know",
                });
            }
            Self::Dir(dir) => {
                let image =
                    source::tree::image(store, dir, &source::tree::Making::default(), reporter)?;
                Box::new(source::Store::new(store, image.descriptor))
            }
            Self::Daemon { name, socket } => {
                let daemon = Daemon::find(socket.as_deref(), around.sockets)?;
                let files = Files::stream(daemon.save(name)?, daemon.name(name), store)?;
                source::only_of(files)?
            }
            Self::Stream => source::only_of(Files::stream(io::stdin(), "stdin", store)?)?,
            Self::Bundle(_) => return Err(only_written("read its rootfs: dir:DIR/rootfs")),
            Self::Squashfs(_) => {
                return Err(only_written("unpack it with unsquashfs and read it with dir:DIR"));
            }
            Self::Sif(_) => {
                return Err(only_written(
                    "unpack it with `apptainer build --sandbox DIR FILE` and \
                                         read it with dir:DIR",
                ));
            }
            Self::Mount(_) => return Err(only_written("read the directory: dir:DIR")),
        })
    }

    /// A place for one image, or for several with names of their own. Those that the endpoint tells
    /// itself come back too, for [`Options::names`](super::Options::names).
    pub fn sink<'a>(
        &self,
        around: Surroundings<'a>,
        wishes: &Wishes,
    ) -> Result<(Box<dyn Sink + 'a>, Vec<Reference>), Error> {
        let Surroundings { store, registries, reporter, search, sockets } = around;
        Ok(match self {
            Self::Registry(reference) => {
                let registry = registries.get(reference.registry());
                let sink = sink::Registry::new(registry, reference.clone());
                let mut sink = sink.tagged(wishes.tags.clone());
                if let Some(repository) = &wishes.near {
                    sink = sink.near(repository);
                }
                (Box::new(sink), Vec::new())
            }
            Self::Store(name) => (Box::new(sink::Store::new(store).packed()), vec![name.parse()?]),
            Self::Oci { dir, tag } => {
                let layout = sink::Oci::directory(dir, tag.clone())?;
                (Box::new(layout.tagged(wishes.tags.clone())), Vec::new())
            }
            Self::OciArchive { file, tag } => {
                let layout = sink::Oci::archive(output(file), tag.clone())?;
                (Box::new(layout.tagged(wishes.tags.clone())), Vec::new())
            }
            Self::DockerArchive { file, name } => {
                let names = name.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
                (Box::new(sink::Docker::archive(output(file), store)?), names)
            }
            Self::Dir(dir) => (Box::new(sink::Unpacked::tree(store, dir, reporter)?), Vec::new()),
            Self::Bundle(dir) => {
                (Box::new(sink::Unpacked::bundle(store, dir, reporter)?), Vec::new())
            }
            Self::Daemon { name, socket } => {
                let daemon = Daemon::find(socket.as_deref(), sockets)?;
                (Box::new(sink::Daemon::new(daemon, name.parse()?, store)?), Vec::new())
            }
            Self::Squashfs(file) => {
                (Box::new(sink::Squashfs::new(store, file, search, reporter)?), Vec::new())
            }
            Self::Sif(file) => {
                (Box::new(sink::Sif::new(store, file, search, reporter)?), Vec::new())
            }
            Self::Stream => {
                let stdout = Output::Stream("stdout", Box::new(io::stdout()));
                let layout = sink::Oci::archive(stdout, None)?;
                (Box::new(layout.tagged(wishes.tags.clone())), Vec::new())
            }
            Self::Mount(dir) => return Err(Error::Mount(dir.clone())),
        })
    }
}

/// What can stand before `://`. (A socket's path may have those characters, too.)
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

/// Whether it is what skopeo calls `dir:`, whose files are no image's files.
fn is_skopeos(dir: &Path) -> bool {
    std::fs::read_to_string(dir.join("version"))
        .is_ok_and(|text| text.starts_with("Directory Transport Version"))
        && dir.join("manifest.json").is_file()
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
    if let (true, Err(image::Error::Reference(_, why))) =
        (rest.contains('@'), rest.parse::<Reference>())
    {
        return why.to_owned(); // it may have a password in it
    }
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
            None if ["/", "./", "../"].iter().any(|start| text.starts_with(start)) => {
                let problem = format!(
                    "it is a path; write oci-archive:{text}, docker-archive:{text} or oci:{text}"
                );
                Err(Error::Endpoint(text.to_owned(), problem))
            }
            None => Ok(Self::Registry(text.parse()?)),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, path, name) = match self {
            Self::Registry(reference) => return write!(f, "registry:{reference}"),
            Self::Store(name) => return write!(f, "store:{name}"),
            Self::Stream => return f.write_str("-"),
            Self::Daemon { name, socket: None } => return write!(f, "daemon:{name}"),
            Self::Daemon { name, socket: Some(socket) } => {
                return write!(f, "daemon:{name}?socket={}", socket.display());
            }
            Self::Oci { dir, tag } => ("oci", dir, tag),
            Self::OciArchive { file, tag } => ("oci-archive", file, tag),
            Self::DockerArchive { file, name } => ("docker-archive", file, name),
            Self::Dir(dir) => ("dir", dir, &None),
            Self::Bundle(dir) => ("bundle", dir, &None),
            Self::Mount(dir) => ("mount", dir, &None),
            Self::Squashfs(file) => ("squashfs", file, &None),
            Self::Sif(file) => ("sif", file, &None),
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
            ("dir:/a:b", Endpoint::Dir("/a:b".into())),
            ("bundle:b", Endpoint::Bundle("b".into())),
            ("squashfs:f.sqfs", Endpoint::Squashfs("f.sqfs".into())),
            ("sif:f.sif", Endpoint::Sif("f.sif".into())),
            ("daemon:n:v", Endpoint::Daemon { name: "n:v".into(), socket: None }),
            (
                "daemon:n?socket=/run/d.sock",
                Endpoint::Daemon { name: "n".into(), socket: Some("/run/d.sock".into()) },
            ),
            ("-", Endpoint::Stream),
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
            ("registry://ann:secret@h:5/n", "bryo login"),
            ("docker://ann:secret@h/n:1", "bryo login"),
            ("https://h/n", "write registry:h/n"),
            ("oci://d", "write oci:d"),
            ("./a.tar", "write oci-archive:./a.tar"),
            ("oci:", "the form is oci:DIR[:TAG]"),
            ("oci::v1", "the form is"),
            ("daemon:n?port=1", "the only option is"),
        ] {
            let error = text.parse::<Endpoint>().expect_err(text).to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
