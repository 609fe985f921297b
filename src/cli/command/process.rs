//! `bryo process`.

use std::path::Path;
use std::process::ExitCode;

use super::copy::Errand;
use crate::cli::args::Network;
use crate::cli::batch;
use crate::cli::changes::Changes;
use crate::cli::credentials::Logins;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::mounting::mount;
use crate::cli::network::Remote;
use crate::cli::sync::find::{Found, in_registry};
use crate::cli::sync::list;
use crate::cli::sync::place::{Place, To as Placed};
use crate::cli::uri::{self, From, Said, To};
use crate::image::{Digest, Platform, Reference};
use crate::store::Store;
use crate::transfer::source::{self, Files};
use crate::transfer::{self, About, Endpoint, Sink as _, Source, sink};

/// Copy an image from one of occystrap's URIs to another, as occystrap does it
///
/// For scripts that were written for it: one platform's image, linux/amd64 unless something else is
/// said, with occystrap's names for places and filters. For all else there is `bryo copy`. Prints the
/// digest of what arrived.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Sources:
  registry://HOST/IMAGE[:TAG][?os=…&arch=…&variant=…&insecure=true&max_workers=N]
  tar://FILE, file://FILE           an archive of docker's or of OCI, compressed or not
  docker://IMAGE[:TAG][?socket=PATH], dockerpush://…
                                    an image of docker or of podman's service
  dir://DIR[?image=NAME:TAG]        what dir:// writes
  quay://ORG[/PATTERN[:TAG]][?since=2026-01-31]
                                    all repositories of quay.io that match and have the tag

Destinations:
  registry://HOST/IMAGE[:TAG][?insecure=true&compression=gzip|zstd&max_workers=N]
  tar://FILE                        an archive as docker save writes it
  dir://DIR[?unique_names=true&expand=true]
                                    such an archive in a directory, which several images may share;
                                    expand: the image's files, too
  oci://DIR                         an OCI runtime bundle
  mounts://DIR                      the image's files, mounted by squashfuse
  docker://IMAGE[:TAG][?socket=PATH]

Places of bryo's own are understood, too: store:NAME, oci-archive:FILE, …

Examples:
  bryo process registry://docker.io/library/busybox:latest tar://busybox.tar
  bryo process tar://app.tar registry://registry.example/app:1 -f normalize-timestamps
  bryo process 'quay://team/*:latest' 'dir://images?unique_names=true'")]
pub(crate) struct Process {
    /// Where the image is
    source: String,
    /// Where it goes
    destination: String,
    /// Choose the image for this system from an index
    #[arg(long, value_name = "OS", default_value = "linux")]
    os: String,
    /// Choose the image for this architecture
    #[arg(long, value_name = "ARCH", default_value = "amd64")]
    architecture: String,
    /// Choose the image for this variant of it
    #[arg(long, value_name = "VARIANT")]
    variant: Option<String>,
    /// Copy up to N layers at once
    #[arg(short = 'j', long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    parallel: Option<u16>,
    /// Copy up to N images at once, of those that quay:// names
    #[arg(short = 'J', long, value_name = "N", default_value = "3")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    image_parallel: u16,
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    logins: Logins,
}

impl Process {
    pub(crate) fn needs_namespace(&self) -> bool {
        let is_files = |(to, _)| match to {
            To::Place(endpoint) => Endpoint::is_files(&endpoint),
            To::Shared { expand, .. } => expand,
            To::Below(_) | To::Mount(_) => false,
        };
        let of_files = |(from, _)| match from {
            From::Place(endpoint) => Endpoint::is_files(&endpoint),
            _ => false,
        };
        // What is wrong with them is told later.
        self.changes.needs_namespace()
            || uri::destination(&self.destination, false).is_ok_and(is_files)
            || uri::source(&self.source).is_ok_and(of_files)
    }

    pub(crate) fn run(&self, invocation: &Invocation) -> Result<ExitCode, Error> {
        let (from, of_source) = uri::source(&self.source)?;
        let several = matches!(from, From::Matching(_));
        let (to, of_destination) = uri::destination(&self.destination, several)?;
        if let To::Mount(dir) = &to {
            return mount(dir, &self.destination, invocation);
        }
        let is_stream = matches!(&to, To::Place(endpoint) if endpoint.is_stream());
        if self.changes.speaks() && is_stream {
            let text = "stdout cannot have both the image and what is found in it".to_owned();
            return Err(Error::Usage { text, hint: Some("name a file".to_owned()) });
        }
        let store = invocation.store()?;
        let (source, destination) = self.logins.given(invocation)?;
        let remote = |said: &Said, given| {
            let mut network = self.network.clone();
            network.insecure.extend(said.insecure.clone());
            network.remote_as(invocation, given)
        };
        let changes = self.changes.clone().compressed(of_destination.compression);
        let platform = self.platform(&of_source)?;
        let jobs = self.parallel.map(usize::from).or(of_source.jobs).or(of_destination.jobs);
        let errand = Errand {
            invocation,
            reporter: &*invocation.reporter,
            store: &store,
            from: &remote(&of_source, source)?,
            to: &remote(&of_destination, destination)?,
            changes: &changes,
            platform: Some(&platform),
            all_platforms: false,
            about: About::Moved,
            foreign: false,
            tags: &[],
            jobs: jobs.unwrap_or_else(|| invocation.jobs().layers),
        };
        match &from {
            From::Matching(pattern) => self.all(&errand, pattern, &of_source, &to)?,
            from => {
                let digest = one(&errand, from, &to)?;
                if !self.changes.speaks() && !is_stream {
                    invocation.print(&format!("{digest}\n"))?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The platform whose image is copied.
    fn platform(&self, said: &Said) -> Result<Platform, Error> {
        let os = said.os.as_ref().unwrap_or(&self.os);
        let architecture = said.architecture.as_ref().unwrap_or(&self.architecture);
        Ok(match said.variant.as_ref().or(self.variant.as_ref()).filter(|text| !text.is_empty()) {
            Some(variant) => format!("{os}/{architecture}/{variant}").parse()?,
            None => format!("{os}/{architecture}").parse()?,
        })
    }

    /// Copies all images that match; a line for each.
    fn all(&self, errand: &Errand<'_>, pattern: &str, said: &Said, to: &To) -> Result<(), Error> {
        let (invocation, store) = (errand.invocation, errand.store);
        let wrong = |why| Error::Usage { text: format!("{}: {why}", self.source), hint: None };
        let selection = list::pattern(pattern).map_err(wrong)?;
        let found = in_registry(errand.from, &selection)?;
        if let To::Shared { dir, unique: false, .. } = to
            && found.len() > 1
        {
            let text = "images would replace one another's manifest.json".to_owned();
            let hint = Some(format!("write dir://{}?unique_names=true", dir.display()));
            return Err(Error::Usage { text, hint });
        }
        // A list in one directory is written by one of them at a time.
        let at_once = match to {
            To::Shared { .. } => 1,
            _ => usize::from(self.image_parallel),
        };
        let outcomes = batch::side_by_side(&found, at_once, true, |_, found: &Found<'_>| {
            if let Some(since) = said.since
                && !found.is_recent(store, errand.platform, since, errand.reporter)?
            {
                return Ok(());
            }
            let from = From::Place(Endpoint::Registry(found.name.clone()));
            let (to, shown) = below(to, found)?;
            one(errand, &from, &to)?;
            match self.changes.speaks() {
                true => Ok(()),
                false => invocation.print(&format!("{found} -> {shown}\n")),
            }
        });
        outcomes.end()
    }
}

/// Where one of several goes; and for people.
fn below(to: &To, found: &Found<'_>) -> Result<(To, String), Error> {
    Ok(match to {
        To::Below(path) => {
            let place: Place = format!("registry:{path}").parse()?;
            let to = place.of(&found.name, &found.below, "")?;
            let shown = to.to_string();
            match to {
                Placed::Own(endpoint) => (To::Place(endpoint), shown),
                Placed::Shared(..) => unreachable!("a registry has a place for each"),
            }
        }
        To::Shared { dir, .. } => (to.clone(), format!("dir://{}", dir.display())),
        to => unreachable!("{to:?} has room for one image"),
    })
}

/// Copies one image; gives the digest of what arrived.
fn one(errand: &Errand<'_>, from: &From, to: &To) -> Result<Digest, Error> {
    let store = errand.store;
    match (from, to) {
        (From::Place(from), To::Place(to)) => Ok(errand.carry(from, to)?.digest),
        (from, To::Place(to)) => {
            Ok(errand.carry_image(open(from, errand.from, store)?, None, to)?.digest)
        }
        (from, To::Shared { dir, unique, expand }) => {
            let image = open(from, errand.from, store)?;
            let names = image.names();
            let Some(name) = names.first().cloned() else {
                let text = format!("{} has no name, which dir:// would list it by", image.name());
                let hint = Some("give it one: bryo load, bryo tag, and store:NAME".to_owned());
                return Err(Error::Usage { text, hint });
            };
            let sink = Box::new(sink::DockerDir::new(dir, &name, *unique)?);
            let manifest = sink.manifest().to_owned();
            let arrived = errand.carry_into(image, &*sink, names)?;
            sink.finish()?;
            if *expand {
                let written = source::Docker::listed_in(Files::open(dir, store)?, &manifest)?;
                let tree = Endpoint::Dir(dir.join(manifest.trim_end_matches(".json")));
                let plain = Errand { changes: &Changes::default(), ..*errand };
                plain.carry_image(Box::new(written), None, &tree)?;
            }
            Ok(arrived.digest)
        }
        (_, to) => unreachable!("{to:?} was taken care of"),
    }
}

/// The image that is there.
fn open<'a>(
    from: &From,
    remote: &'a Remote,
    store: &'a Store,
) -> Result<Box<dyn Source + 'a>, Error> {
    Ok(match from {
        From::Place(endpoint) => endpoint.source(remote.surroundings(store))?,
        From::Archive(path) => source::only(path, store).map_err(Error::inside(path))?,
        From::Shared(dir, image) => shared(dir, image.as_ref(), store)?,
        From::Matching(pattern) => unreachable!("{pattern} are several"),
    })
}

/// An image of a directory that several share.
fn shared<'a>(
    dir: &Path,
    image: Option<&Reference>,
    store: &'a Store,
) -> Result<Box<dyn Source + 'a>, Error> {
    let files = || Files::open(dir, store);
    let Some(name) = image else {
        return Ok(Box::new(source::Docker::find(files()?, None)?));
    };
    // Which of them has a manifest of its own?
    let own = sink::manifest_of(name);
    let is_there = |file: &str| dir.join(file).exists();
    Ok(match (is_there(&own), is_there("manifest.json")) {
        (true, _) => Box::new(source::Docker::listed_in(files()?, &own)?),
        (false, true) => Box::new(source::Docker::find(files()?, Some(&name.to_string()))?),
        (false, false) => {
            let (path, what) = (dir.display().to_string(), format!("image {}", name.familiar()));
            return Err(transfer::Error::Missing { path, what }.into());
        }
    })
}
