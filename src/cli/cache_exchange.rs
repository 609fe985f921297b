//! `--cache-from` and `--cache-to`, in the words of buildx.

use std::path::PathBuf;
use std::str::FromStr;

use super::args::{Login, Network};
use super::error::Error;
use super::exports::can_be_written;
use super::invocation::Invocation;
use super::network::Remote;
use super::output::{truth, unknown};
use crate::build::{self, Built, CacheOrigin, Carried, Extent};
use crate::dockerfile::csv;
use crate::image::Reference;
use crate::store::Store;
use crate::transfer::{self, Endpoint, Wishes, sink, source, transfer};

/// What a cache is called in a layout, unless somebody says otherwise.
const TAG: &str = "latest";

/// Kinds that the reference knows, and that need somebody's service.
const OF_SERVICES: [&str; 3] = ["gha", "s3", "azblob"];

/// `type=registry,ref=NAME`, `type=local,src=DIR`, or a name alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CacheFrom {
    pub(crate) origin: CacheOrigin,
    insecure: bool,
}

/// `type=registry,ref=NAME`, `type=local,dest=DIR`, `type=inline`, or a name alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CacheTo {
    place: Place,
    extent: Extent,
    carried: Carried,
    insecure: bool,
    /// One that cannot be written is told, and the build is done all the same.
    ignore_error: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Registry(Reference),
    Layout {
        directory: PathBuf,
        tag: String,
    },
    /// In the image itself.
    Inline,
}

/// The fields of either.
struct Fields {
    kind: String,
    rest: Vec<(String, String)>,
}

impl Fields {
    fn read(text: &str, kinds: &[&str]) -> Result<Self, String> {
        let fields = csv::fields(text)?;
        if let [name] = &fields[..]
            && !name.contains('=')
        {
            let rest = vec![("ref".to_owned(), name.clone())];
            return Ok(Self { kind: "registry".to_owned(), rest });
        }
        let (mut kind, mut rest) = (None, Vec::new());
        for field in fields {
            let (key, value) =
                field.split_once('=').ok_or_else(|| format!("{field:?} is not KEY=VALUE"))?;
            match key.trim().to_lowercase().as_str() {
                "type" => kind = Some(value.to_owned()),
                key => rest.push((key.to_owned(), value.to_owned())),
            }
        }
        let kind = kind.ok_or_else(|| format!("it has no type: one of {}", kinds.join(", ")))?;
        if OF_SERVICES.contains(&kind.as_str()) {
            return Err(format!(
                "type={kind} keeps caches with a service that bryo does not speak to: there are {}",
                kinds.join(", ")
            ));
        }
        match kinds.contains(&kind.as_str()) {
            true => Ok(Self { kind, rest }),
            false => Err(unknown("type", &kind, kinds)),
        }
    }

    fn refuse(&self, key: &str, keys: &[&str]) -> String {
        unknown(&format!("key of type={}", self.kind), key, keys)
    }
}

/// `all`, or an id, which may be said several times.
fn carried(before: Carried, value: &str) -> Carried {
    match (before, value.strip_prefix("id=").unwrap_or(value)) {
        (Carried::All, _) | (_, "all") => Carried::All,
        (Carried::Ids(mut ids), id) => {
            ids.push(id.to_owned());
            Carried::Ids(ids)
        }
        (Carried::None, id) => Carried::Ids(vec![id.to_owned()]),
    }
}

fn reference(text: &str) -> Result<Reference, String> {
    text.parse().map_err(|error: crate::image::Error| error.to_string())
}

impl FromStr for CacheFrom {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fields = Fields::read(text, &["registry", "local"])?;
        let keys: &[&str] = match fields.kind.as_str() {
            "registry" => &["ref", "registry.insecure"],
            _ => &["src", "tag", "digest"],
        };
        let (mut place, mut tag, mut insecure) = (None, None, false);
        for (key, value) in &fields.rest {
            match key.as_str() {
                known if !keys.contains(&known) => return Err(fields.refuse(known, keys)),
                "ref" | "src" => place = Some(value.clone()),
                "registry.insecure" => insecure = truth(key, value)?,
                _ => tag = Some(value.clone()),
            }
        }
        let place = place.ok_or_else(|| format!("type={} needs {}=", fields.kind, keys[0]))?;
        let origin = match fields.kind.as_str() {
            "registry" => CacheOrigin::Registry(reference(&place)?),
            _ => {
                let tag = tag.or_else(|| Some(TAG.to_owned()));
                CacheOrigin::Layout { directory: place.into(), tag }
            }
        };
        Ok(Self { origin, insecure })
    }
}

impl FromStr for CacheTo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const COMMON: [&str; 8] = [
            "mode",
            "mounts",
            "ignore-error",
            "oci-mediatypes",
            "image-manifest",
            "compression",
            "compression-level",
            "force-compression",
        ];
        let fields = Fields::read(text, &["registry", "local", "inline"])?;
        let own: &[&str] = match fields.kind.as_str() {
            "registry" => &["ref", "registry.insecure"],
            "local" => &["dest", "tag"],
            _ => &[],
        };
        let keys: Vec<&str> = match own {
            [] => Vec::new(),
            own => own.iter().chain(&COMMON).copied().collect(),
        };
        let (mut place, mut tag) = (None, None);
        let mut to = Self {
            place: Place::Inline,
            extent: Extent::default(),
            carried: Carried::None,
            insecure: false,
            ignore_error: false,
        };
        for (key, value) in &fields.rest {
            match key.as_str() {
                // The only one that an image has room for.
                "mode" if own.is_empty() && value == "min" => {}
                "mode" if own.is_empty() => {
                    return Err("an image has room for mode=min alone: type=registry takes \
                                mode=max"
                        .to_owned());
                }
                known if !keys.contains(&known) => return Err(fields.refuse(known, &keys)),
                "ref" | "dest" => place = Some(value.clone()),
                "tag" => tag = Some(value.clone()),
                "registry.insecure" => to.insecure = truth(key, value)?,
                "ignore-error" => to.ignore_error = truth(key, value)?,
                "mounts" => to.carried = carried(to.carried, value),
                "mode" => {
                    to.extent = match value.as_str() {
                        "min" => Extent::Result,
                        "max" => Extent::Everything,
                        other => return Err(format!("mode={other}: there are min and max")),
                    }
                }
                "oci-mediatypes" | "image-manifest" => match truth(key, value)? {
                    true => {}
                    false => return Err(format!("{key}=false: a cache is an OCI artifact here")),
                },
                _ => {
                    return Err(format!(
                        "{key}: a cache's layers are compressed as the build makes them: see \
                         --compress"
                    ));
                }
            }
        }
        let needed = || place.ok_or_else(|| format!("type={} needs {}=", fields.kind, own[0]));
        to.place = match fields.kind.as_str() {
            "registry" => Place::Registry(reference(&needed()?)?),
            "local" => {
                let tag = tag.unwrap_or_else(|| TAG.to_owned());
                Place::Layout { directory: needed()?.into(), tag }
            }
            _ => Place::Inline,
        };
        Ok(to)
    }
}

impl CacheTo {
    pub(crate) fn is_inline(&self) -> bool {
        self.place == Place::Inline
    }

    /// What can be known before anything is built.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match &self.place {
            Place::Layout { directory, .. } if !self.ignore_error => {
                can_be_written(directory, true)
            }
            _ => Ok(()),
        }
    }

    /// Writes or sends the cache of a build.
    pub(crate) fn write(
        &self,
        built: &Built,
        store: &Store,
        remote: &Remote,
        invocation: &Invocation,
    ) -> Result<(), Error> {
        match self.try_to_write(built, store, remote, invocation) {
            Err(error) if self.ignore_error => {
                invocation.reporter.warn(format!("the cache was not written: {}", error.message()));
                Ok(())
            }
            done => done,
        }
    }

    fn try_to_write(
        &self,
        built: &Built,
        store: &Store,
        remote: &Remote,
        invocation: &Invocation,
    ) -> Result<(), Error> {
        if self.is_inline() {
            return Ok(());
        }
        let reporter = &*invocation.reporter;
        let manifest = built.cache(store, self.extent, &self.carried, reporter)?;
        let source = source::Store::new(store, manifest.descriptor);
        match &self.place {
            Place::Registry(reference) => {
                remote.send(invocation, store, &source, reference, false)?;
            }
            Place::Layout { directory, tag } => {
                let sink = sink::Oci::directory(directory, Some(tag.clone()))?;
                let jobs = invocation.jobs().layers;
                let options = transfer::Options { jobs, ..transfer::Options::default() };
                transfer(&source, &sink, &options, &*invocation.reporter)?;
                transfer::Sink::finish(Box::new(sink))?;
            }
            Place::Inline => {}
        }
        Ok(())
    }
}

/// Where a whole cache goes.
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// A name in a registry, oci:DIR or oci-archive:FILE, each with :TAG if it has several
    #[arg(value_name = "PLACE", value_parser = cache_place)]
    place: Endpoint,
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    login: Login,
}

/// Where a whole cache comes from.
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// A name in a registry, oci:DIR or oci-archive:FILE, each with :TAG if it has several; also of an
    /// image that has a cache in it
    #[arg(value_name = "PLACE", value_parser = cache_place)]
    place: Endpoint,
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    login: Login,
}

/// A place of a cache; in a layout it is called as `--cache-from` expects it.
fn cache_place(text: &str) -> Result<Endpoint, String> {
    let tag = |tag: Option<String>| Some(tag.unwrap_or_else(|| TAG.to_owned()));
    match text.parse().map_err(|error: transfer::Error| error.to_string())? {
        Endpoint::Oci { dir, tag: given } => Ok(Endpoint::Oci { dir, tag: tag(given) }),
        Endpoint::OciArchive { file, tag: given } => {
            Ok(Endpoint::OciArchive { file, tag: tag(given) })
        }
        registry @ Endpoint::Registry(_) => Ok(registry),
        other => {
            Err(format!("{other} has no room for a cache: a registry has, oci: and oci-archive:"))
        }
    }
}

impl Export {
    pub(crate) fn run(&self, store: &Store, invocation: &Invocation) -> Result<(), Error> {
        let remote = self.network.remote_as(invocation, self.login.given(invocation)?)?;
        let (manifest, steps) = build::export_cache(store)?;
        let source = source::Store::new(store, manifest.descriptor.clone());
        let (sink, _) = self.place.sink(remote.surroundings(store), &Wishes::default())?;
        let jobs = invocation.jobs().layers;
        let options = transfer::Options { jobs, ..transfer::Options::default() };
        transfer(&source, &*sink, &options, &*invocation.reporter)?;
        sink.finish()?;
        invocation.reporter.note(format!("exported {steps} steps to {}", self.place));
        match self.place.is_stream() {
            true => Ok(()),
            false => invocation.print(&format!("{}\n", manifest.descriptor.digest)),
        }
    }
}

impl Import {
    pub(crate) fn run(&self, store: &Store, invocation: &Invocation) -> Result<(), Error> {
        let remote = self.network.remote_as(invocation, self.login.given(invocation)?)?;
        let source = self.place.source(remote.surroundings(store))?;
        let steps = build::import_cache(source, store, &*invocation.reporter)?;
        invocation.reporter.note(format!("imported {steps} steps from {}", self.place));
        Ok(())
    }
}

/// Registries of caches that may be spoken to without TLS.
pub(crate) fn insecure(from: &[CacheFrom], to: &[CacheTo]) -> Vec<String> {
    let from = from.iter().filter(|from| from.insecure).filter_map(|from| match &from.origin {
        CacheOrigin::Registry(reference) => Some(reference),
        CacheOrigin::Layout { .. } => None,
    });
    let to = to.iter().filter(|to| to.insecure).filter_map(|to| match &to.place {
        Place::Registry(reference) => Some(reference),
        _ => None,
    });
    from.chain(to).map(|reference| reference.registry().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_caches_are_told_apart() {
        let name = || reference("r.example/cache:x").expect("a name");
        let layout =
            |tag: &str| CacheOrigin::Layout { directory: "d".into(), tag: Some(tag.to_owned()) };
        for (text, expected) in [
            ("r.example/cache:x", Ok(CacheOrigin::Registry(name()))),
            ("type=registry,ref=r.example/cache:x", Ok(CacheOrigin::Registry(name()))),
            ("src=d,type=local", Ok(layout("latest"))),
            ("type=local,src=d,tag=t", Ok(layout("t"))),
            ("type=local", Err("type=local needs src=")),
            ("type=gha", Err("type=gha keeps caches with a service")),
            ("type=inline", Err("there is no type \"inline\"")),
            ("type=local,dest=d", Err("there is no key of type=local \"dest\"")),
            ("ref=x", Err("it has no type")),
            ("type=registry,ref=A", Err("invalid image reference")),
        ] {
            match (text.parse::<CacheFrom>(), expected) {
                (Ok(got), Ok(expected)) => assert_eq!(got.origin, expected, "{text}"),
                (Err(error), Err(part)) => assert!(error.contains(part), "{text}: {error}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
        for (text, expected) in [
            ("r.example/cache:x", Ok((Place::Registry(name()), Extent::Result))),
            (
                "type=registry,ref=r.example/cache:x,mode=max,image-manifest=true",
                Ok((Place::Registry(name()), Extent::Everything)),
            ),
            (
                "type=local,dest=d,mode=min",
                Ok((Place::Layout { directory: "d".into(), tag: TAG.into() }, Extent::Result)),
            ),
            ("type=inline", Ok((Place::Inline, Extent::Result))),
            ("type=inline,mode=max", Err("mode=min alone")),
            ("type=registry,mode=max", Err("type=registry needs ref=")),
            ("type=local,dest=d,mode=all", Err("there are min and max")),
            ("type=local,dest=d,compression=zstd", Err("see --compress")),
            ("type=s3,bucket=b", Err("type=s3 keeps caches with a service")),
            ("type=inline,x=y", Err("takes no key at all")),
        ] {
            match (text.parse::<CacheTo>(), expected) {
                (Ok(got), Ok(expected)) => assert_eq!((got.place, got.extent), expected, "{text}"),
                (Err(error), Err(part)) => assert!(error.contains(part), "{text}: {error}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }

    #[test]
    fn mounts_go_along_that_are_named() {
        let ids = |ids: &[&str]| Carried::Ids(ids.iter().map(ToString::to_string).collect());
        for (mounts, expected) in [
            ("", Carried::None),
            (",mounts=all", Carried::All),
            (",mounts=a,mounts=id=b", ids(&["a", "b"])),
            (",mounts=a,mounts=all", Carried::All),
        ] {
            let text = format!("type=registry,ref=r{mounts}");
            assert_eq!(text.parse::<CacheTo>().expect(&text).carried, expected, "{text}");
        }
    }
}
