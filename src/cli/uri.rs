//! What occystrap calls places: its URIs, with their options, as our places.

use std::path::PathBuf;
use std::time::SystemTime;

use super::args;
use super::error::Error;
use crate::image::Reference;
use crate::layer::compress::Compression;
use crate::transfer::Endpoint;

/// A place that images come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum From {
    Place(Endpoint),
    /// A tar, whatever form it has.
    Archive(PathBuf),
    /// A directory that images share, and which of them.
    Shared(PathBuf, Option<Reference>),
    /// All repositories of a registry that match, each with the tag.
    Matching(String),
}

/// A place that they go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum To {
    Place(Endpoint),
    /// Below a path of a registry, for several.
    Below(String),
    Shared {
        dir: PathBuf,
        /// Each image has a manifest of its own.
        unique: bool,
        /// Its files, too, beside it.
        expand: bool,
    },
    Mount(PathBuf),
}

/// What the options of a URI say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) os: Option<String>,
    pub(crate) architecture: Option<String>,
    pub(crate) variant: Option<String>,
    /// A registry that may do without TLS.
    pub(crate) insecure: Option<String>,
    pub(crate) compression: Option<Compression>,
    /// So many layers at once.
    pub(crate) jobs: Option<usize>,
    pub(crate) since: Option<SystemTime>,
}

/// A URI, taken apart.
struct Uri {
    scheme: String,
    /// Without the scheme and the options.
    rest: String,
    options: Vec<(String, String)>,
}

/// The schemes that occystrap has, in its order.
const FROM: &str = "registry://, quay://, docker://, dockerpush://, tar://, file://, dir://";
const TO: &str = "tar://, dir://, oci://, mounts://, docker://, registry://";

fn usage<T>(text: String, hint: &str) -> Result<T, Error> {
    Err(Error::Usage { text, hint: Some(hint.to_owned()) })
}

impl Uri {
    /// None where it is none of occystrap's.
    fn read(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        let scheme = match &*scheme.to_ascii_lowercase() {
            "file" => "tar".to_owned(),
            "directory" => "dir".to_owned(),
            scheme => scheme.to_owned(),
        };
        let known = ["registry", "quay", "docker", "dockerpush", "tar", "dir", "oci", "mounts"];
        if !known.contains(&&*scheme) {
            return None;
        }
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let options = options.split('&').filter(|option| !option.is_empty());
        let pair = |option: &str| {
            let (name, value) = option.split_once('=').unwrap_or((option, "true"));
            (decoded(name), decoded(value))
        };
        Some(Self { scheme, rest: rest.to_owned(), options: options.map(pair).collect() })
    }

    /// The file or directory that it names.
    fn path(&self) -> Result<PathBuf, Error> {
        let rest = match self.rest.strip_prefix("localhost/") {
            Some(rest) => format!("/{rest}"),
            None => self.rest.clone(),
        };
        match rest.is_empty() {
            true => {
                usage(format!("{}:// names no path", self.scheme), "write it behind the slashes")
            }
            false => Ok(decoded(&rest).into()),
        }
    }

    /// An image's name; who writes a password into one is not repeated.
    fn name(&self) -> Result<Reference, Error> {
        let name: Reference = self.rest.parse()?;
        // A name of one word before the slash would be a user of Docker Hub; here it is a host.
        let host = self.rest.split('/').next().unwrap_or_default();
        if self.scheme == "registry" && host != name.registry() {
            let hint =
                "write registry://docker.io/ORG/IMAGE for Docker Hub, and HOST:PORT for others";
            return usage(format!("registry://: {host:?} is no registry's name"), hint);
        }
        Ok(name)
    }

    /// Reads the options, of which some are `known` for this place.
    fn said(&self, known: &[&str]) -> Result<Said, Error> {
        let mut said = Said::default();
        for (name, value) in &self.options {
            let scheme = &self.scheme;
            if matches!(name.as_str(), "username" | "password" | "token") {
                let hint = "log in with `bryo login`, or with --src-creds or --dest-creds USER and \
                            --password-stdin";
                let text = format!("{scheme}://: {name}= would show to everybody who you are");
                return usage(text, hint);
            }
            if !known.contains(&name.as_str()) {
                let hint = match known {
                    [] => "it has none".to_owned(),
                    known => format!("it has {}", known.join(", ")),
                };
                return usage(format!("{scheme}:// has no option {name}"), &hint);
            }
            let wrong = |why: &str| {
                let text = format!("{scheme}://: {name}={value}: {why}");
                Error::Usage { text, hint: None }
            };
            match name.as_str() {
                "os" => said.os = Some(value.clone()),
                "arch" | "architecture" => said.architecture = Some(value.clone()),
                "variant" => said.variant = Some(value.clone()),
                "insecure" => {
                    let host = || self.name().map(|name| name.registry().to_owned());
                    said.insecure = is_true(value).map_err(wrong)?.then(host).transpose()?;
                }
                "compression" => {
                    let compression = value.parse::<Compression>();
                    said.compression =
                        Some(compression.map_err(|error| wrong(&error.to_string()))?);
                }
                "max_workers" => {
                    let count = value.parse().ok().filter(|count| *count > 0);
                    said.jobs = Some(count.ok_or_else(|| wrong("it is no number above 0"))?);
                }
                "since" => said.since = Some(args::moment(value).map_err(|why| wrong(&why))?),
                // Those that say which place it is.
                _ => {}
            }
        }
        Ok(said)
    }

    fn option(&self, name: &str) -> Option<&str> {
        let found = self.options.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether an option says so.
    fn is(&self, name: &str) -> Result<bool, Error> {
        let wrong = |why: &str| Error::Usage {
            text: format!("{}://: {name}: {why}", self.scheme),
            hint: None,
        };
        self.option(name).map_or(Ok(false), |value| is_true(value).map_err(wrong))
    }

    fn daemon(&self) -> Result<Endpoint, Error> {
        let name = self.name()?.familiar();
        let socket = self.option("socket").map(PathBuf::from);
        Ok(Endpoint::Daemon { name, socket })
    }
}

fn is_true(text: &str) -> Result<bool, &'static str> {
    match &*text.to_ascii_lowercase() {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err("it is true or false"),
    }
}

const OF_REGISTRY: [&str; 6] = ["os", "arch", "architecture", "variant", "insecure", "max_workers"];

/// A source, as occystrap has it; or one of our own places.
pub(crate) fn source(text: &str) -> Result<(From, Said), Error> {
    let Some(uri) = Uri::read(text) else {
        return Ok((From::Place(ours(text, FROM)?), Said::default()));
    };
    let (from, known): (_, &[&str]) = match &*uri.scheme {
        "registry" => (From::Place(Endpoint::Registry(uri.name()?)), &OF_REGISTRY),
        "tar" => (From::Archive(uri.path()?), &[]),
        "docker" | "dockerpush" => (From::Place(uri.daemon()?), &["socket"]),
        "dir" => {
            let image = uri.option("image").map(str::parse).transpose()?;
            (From::Shared(uri.path()?, image), &["image"])
        }
        "quay" => (From::Matching(quay(&uri.rest)?), &["since"]),
        scheme => {
            let hint = match scheme {
                "oci" => {
                    "it is a runtime bundle, which is only written; for a layout: bryo copy oci:DIR"
                }
                _ => "it is only written",
            };
            return usage(format!("{scheme}:// cannot be read"), hint);
        }
    };
    let said = uri.said(known)?;
    Ok((from, said))
}

/// A destination, as occystrap has it; or one of our own places. For `several` images a registry's
/// path is enough.
pub(crate) fn destination(text: &str, several: bool) -> Result<(To, Said), Error> {
    let Some(uri) = Uri::read(text) else {
        return Ok((To::Place(ours(text, TO)?), Said::default()));
    };
    let (to, known): (_, &[&str]) = match &*uri.scheme {
        "registry" if several => {
            (To::Below(uri.rest.clone()), &["insecure", "compression", "max_workers"])
        }
        "registry" => {
            let name = uri.name()?;
            (To::Place(Endpoint::Registry(name)), &["insecure", "compression", "max_workers"])
        }
        "dir" => {
            let (unique, expand) = (uri.is("unique_names")?, uri.is("expand")?);
            (To::Shared { dir: uri.path()?, unique, expand }, &["unique_names", "expand"])
        }
        scheme if several => {
            let hint = "write dir://DIR?unique_names=true, or registry://HOST/PATH";
            return usage(format!("{scheme}:// has room for one image"), hint);
        }
        "tar" => {
            let (file, name) = (uri.path()?, None);
            (To::Place(Endpoint::DockerArchive { file, name }), &[])
        }
        "oci" => (To::Place(Endpoint::Bundle(uri.path()?)), &[]),
        "mounts" => (To::Mount(uri.path()?), &[]),
        "docker" => (To::Place(uri.daemon()?), &["socket"]),
        scheme => return usage(format!("{scheme}:// is only read"), "write one of the others"),
    };
    let said = uri.said(known)?;
    Ok((to, said))
}

/// One of our own places.
fn ours(text: &str, known: &str) -> Result<Endpoint, Error> {
    match Endpoint::with_scheme(text) {
        Ok(Some(endpoint)) => Ok(endpoint),
        Ok(None) => usage(format!("{text:?} has no scheme"), &format!("there are {known}")),
        Err(error) => Err(error.into()),
    }
}

/// `ORG[/PATTERN[:TAG]]`, of the registry that has its name from there.
fn quay(rest: &str) -> Result<String, Error> {
    if rest.contains('@') {
        let hint =
            "log in with `bryo login quay.io`, or with --src-creds USER and --password-stdin";
        return usage("quay:// takes no credentials, which everybody could see".to_owned(), hint);
    }
    let (organization, images) = rest.split_once('/').unwrap_or((rest, ""));
    if organization.is_empty() {
        return usage("quay:// names no organization".to_owned(), "write quay://ORG/PATTERN:TAG");
    }
    let (pattern, tag) = images.rsplit_once(':').unwrap_or((images, ""));
    let or = |text: &str, otherwise: &str| {
        if text.is_empty() { otherwise.to_owned() } else { text.to_owned() }
    };
    Ok(format!("quay.io/{organization}/{}:{}", or(pattern, "*"), or(tag, "latest")))
}

/// `%2F` and its like.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        let hex = more.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.filter(|_| *first == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &more[2..] } else { more };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_those_of_occystrap() {
        let archive = |path: &str| From::Archive(path.into());
        let registry = |name: &str| From::Place(Endpoint::Registry(name.parse().expect(name)));
        let daemon = |name: &str, socket: Option<&str>| {
            let socket = socket.map(PathBuf::from);
            From::Place(Endpoint::Daemon { name: name.to_owned(), socket })
        };
        for (text, expected) in [
            ("tar://a.tar", archive("a.tar")),
            ("tar:a.tar", archive("a.tar")),
            ("file:///x/a%20b.tar", archive("/x/a b.tar")),
            ("tar://localhost/x/a.tar", archive("/x/a.tar")),
            ("tar://./a/b.tar", archive("./a/b.tar")),
            ("registry://h:5000/a/b:1", registry("h:5000/a/b:1")),
            ("registry://docker.io/library/busybox", registry("busybox:latest")),
            ("docker://app:1?socket=/s", daemon("app:1", Some("/s"))),
            ("dockerpush://app", daemon("app:latest", None)),
            ("dir://d?image=a:1", From::Shared("d".into(), Some("a:1".parse().expect("a name")))),
            ("quay://org", From::Matching("quay.io/org/*:latest".to_owned())),
            ("quay://org/a-*:v1", From::Matching("quay.io/org/a-*:v1".to_owned())),
            ("quay://org/a", From::Matching("quay.io/org/a:latest".to_owned())),
            ("store:x", From::Place(Endpoint::Store("x".to_owned()))),
        ] {
            assert_eq!(source(text).expect(text).0, expected, "{text}");
        }
        let text = "registry://h.io/a?os=linux&arch=arm64&variant=v8&insecure=yes&max_workers=2";
        let said = source(text).expect("valid").1;
        let text = |text: &str| Some(text.to_owned());
        assert_eq!((said.os, said.architecture), (text("linux"), text("arm64")));
        assert_eq!((said.variant, said.insecure, said.jobs), (text("v8"), text("h.io"), Some(2)));
        for (text, part) in [
            ("registry://ann:s3cret@h/a", "--creds"),
            ("registry://h.io/a?password=s3cret", "--password-stdin"),
            ("quay://org/a?token=s3cret", "bryo login"),
            ("quay://u:s3cret@org/a", "bryo login"),
            ("registry://h.io/a?colour=red", "os, arch"),
            ("tar://a?x=1", "it has none"),
            ("tar://", "names no path"),
            ("registry://h.io/a?insecure=maybe", "true or false"),
            ("registry://h/a", "docker.io"),
            ("oci://d", "bryo copy"),
            ("mounts://d", "only written"),
            ("foo://x", "foo:x"),
            ("plain", "registry://"),
        ] {
            let error = source(text).expect_err(text);
            let told = format!("{} {}", error.message(), error.hints().join(" "));
            assert!(told.contains(part) && !told.contains("s3cret"), "{text}: {told}");
        }
    }

    #[test]
    fn destinations_are_those_of_occystrap() {
        let shared = |unique, expand| To::Shared { dir: "d".into(), unique, expand };
        let tar = Endpoint::DockerArchive { file: "a.tar".into(), name: None };
        for (text, several, expected) in [
            ("tar://a.tar", false, To::Place(tar)),
            ("oci://d", false, To::Place(Endpoint::Bundle("d".into()))),
            ("dir://d", false, shared(false, false)),
            ("directory://d?unique_names=true&expand", true, shared(true, true)),
            ("mounts://d", false, To::Mount("d".into())),
            ("registry://h/mirror", true, To::Below("h/mirror".to_owned())),
            ("squashfs:f", false, To::Place(Endpoint::Squashfs("f".into()))),
        ] {
            assert_eq!(destination(text, several).expect(text).0, expected, "{text}");
        }
        let said = destination("registry://h.io/a?compression=zstd", false).expect("valid").1;
        assert_eq!(said.compression, Some("zstd".parse().expect("a compression")));
        for (text, several) in
            [("dockerpush://a", false), ("tar://a", true), ("oci://a", true), ("quay://o", false)]
        {
            destination(text, several).expect_err(text);
        }
    }
}
