//! Caches elsewhere: what the steps of a build made, for other machines. It is written as an artifact,
//! to a registry or a layout, or into the image itself; and taken from there.
//!
//! A step's key is made of contents alone: no user, no path and no machine is in it, so equal steps
//! have equal keys everywhere.
//!
//! ```text
//! manifest ─┬─ configuration: {"entries": [{"key", "created", "layer", "content"}, …],
//!           │                  "mounts": [{"key", "name", "archive"}, …]}
//!           └─ layers: those of the entries, each once, and the archives
//! ```
//!
//! An image has the list in its configuration; the layers are its own.

mod mounts;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::json;

pub use mounts::Carried;
pub(super) use mounts::Used;

use super::error::Fault;
use super::result::Built;
use super::shared::Shared;
use super::{Options, Services};
use crate::image::{
    Config, Content, Descriptor, Digest, Error, Manifest, Platform, Reference, media_type,
};
use crate::report::{Outcome, Reporter, start};
use crate::store::{CacheEntry, Store};
use crate::transfer::{self, Source, source};
use mounts::Carriage;

/// The media type of the list, and the type of the artifact.
const LIST: &str = "application/vnd.bryo.cache.list.v1+json";
const ARTIFACT: &str = "application/vnd.bryo.cache.v1";

/// Where an image's configuration has the list.
const INLINE: &str = "vnd.bryo.cache.v1";

/// How long a list may be that somebody else wrote.
const LONGEST: u64 = 64 << 20;

/// Where a cache comes from (`--cache-from`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheOrigin {
    /// In a registry: a cache, or an image that has one in it.
    Registry(Reference),
    /// The same in an OCI image layout.
    Layout { directory: PathBuf, tag: Option<String> },
}

impl fmt::Display for CacheOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => f.write_str(&reference.familiar()),
            Self::Layout { directory, tag: None } => directory.display().fmt(f),
            Self::Layout { directory, tag: Some(tag) } => {
                write!(f, "{}:{tag}", directory.display())
            }
        }
    }
}

/// How much of a build a cache has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Extent {
    /// Of the stages that became the result.
    #[default]
    Result,
    /// Of all stages.
    Everything,
}

/// What a step made, or what was found out for its key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Made {
    key: Digest,
    #[serde(flatten)]
    entry: CacheEntry,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct List {
    entries: Vec<Made>,
    #[serde(default)]
    mounts: Vec<Carriage>,
}

/// All that was made in a build so far, or found in the cache.
pub(super) fn made(shared: &Shared<'_>) -> Vec<Made> {
    let steps = shared.entries.landed().into_iter().map(|((key, _), entry)| (key, entry));
    let contents = shared.contents.landed().into_iter().map(|(key, digest)| {
        let content = Some(digest);
        (key, CacheEntry { content, ..CacheEntry::default() })
    });
    // Sorted, so that the same build makes the same list.
    let all: BTreeMap<String, Made> =
        steps.chain(contents).map(|(key, entry)| (key.to_string(), Made { key, entry })).collect();
    all.into_values().collect()
}

/// Writes into an image's configuration what was made for it.
pub(super) fn write_inline(config: &mut Config, made: &[Made]) {
    let has = |made: &&Made| {
        made.entry.layer.as_ref().is_none_or(|l| config.rootfs.diff_ids.contains(&l.diff_id))
    };
    let entries: Vec<&Made> = made.iter().filter(has).collect();
    let list = json!({ "entries": entries });
    config.extra.insert(INLINE.to_owned(), list);
}

impl Built {
    /// Writes a cache of this build into the store: a manifest without a name.
    ///
    /// # Errors
    ///
    /// When the store cannot take it.
    pub fn cache(
        &self,
        store: &Store,
        extent: Extent,
        carried: &Carried,
        reporter: &dyn Reporter,
    ) -> Result<Manifest, Fault> {
        let of_result: HashSet<&Digest> =
            self.images.iter().flat_map(|image| &image.stage_layers).collect();
        let counts = |made: &&Made| match (&made.entry.layer, extent) {
            (Some(layer), Extent::Result) => of_result.contains(&layer.diff_id),
            _ => true,
        };
        let entries: Vec<&Made> = self.made.iter().filter(counts).collect();
        let mounts = mounts::pack(&self.mounted, carried, store, reporter)?;
        write(store, &entries, &mounts)
    }
}

/// Writes a cache into the store: a manifest without a name.
fn write(store: &Store, entries: &[&Made], mounts: &[Carriage]) -> Result<Manifest, Fault> {
    let mut layers: Vec<&Descriptor> = Vec::new();
    for layer in entries.iter().filter_map(|made| made.entry.layer.as_ref()) {
        if layers.iter().all(|known| known.digest != layer.descriptor.digest) {
            layers.push(&layer.descriptor);
        }
    }
    layers.extend(mounts.iter().map(|mount| &mount.archive));
    let list = json!({ "entries": entries, "mounts": mounts }).to_string().into_bytes();
    store.put_blob(&list)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "artifactType": ARTIFACT,
        "config": Descriptor::of(LIST, &list),
        "layers": layers,
    });
    let bytes = manifest.to_string().into_bytes();
    store.put_blob(&bytes)?;
    match Content::parse(bytes, Some(media_type::OCI_MANIFEST)).map_err(Fault::Image)? {
        Content::Image(manifest) | Content::Artifact(manifest) => Ok(manifest),
        Content::Index(_) => unreachable!("a manifest is no index"),
    }
}

/// Writes a cache of all steps that the store remembers and still has the layers of: a manifest
/// without a name, and how many steps it has.
///
/// # Errors
///
/// When the store cannot be read, or cannot take it.
pub fn export(store: &Store) -> Result<(Manifest, usize), Fault> {
    let is_whole = |entry: &CacheEntry| {
        entry.layer.as_ref().is_none_or(|layer| store.has_blob(&layer.descriptor.digest))
    };
    let steps = store.cached_steps()?.into_iter().filter(|(_, entry)| is_whole(entry));
    // Sorted, so that the same cache makes the same list.
    let all: BTreeMap<String, Made> =
        steps.map(|(key, entry)| (key.to_string(), Made { key, entry })).collect();
    let entries: Vec<&Made> = all.values().collect();
    Ok((write(store, &entries, &[])?, entries.len()))
}

/// Takes all steps of a cache into the store, with their layers; gives how many there are. Directories
/// that steps mount are not taken: only a build knows what they are for.
///
/// # Errors
///
/// When there is no cache in `source`, or a layer of it cannot be had.
pub fn import(
    source: Box<dyn Source + '_>,
    store: &Store,
    reporter: &dyn Reporter,
) -> Result<usize, Fault> {
    let mut all = Imported::default();
    all.add_source(source, vec![Platform::host()], reporter)?;
    for (number, entry) in all.entries.values() {
        if let Some(layer) = &entry.layer {
            fetch(&*all.sources[*number], &layer.descriptor, store, reporter)?;
        }
    }
    for (key, (_, entry)) in &all.entries {
        store.cache_put(key, entry)?;
    }
    Ok(all.entries.len())
}

/// What is known of caches elsewhere. Layers are fetched when a step wants them.
#[derive(Default)]
pub(super) struct Imported<'a> {
    sources: Vec<Box<dyn Source + 'a>>,
    /// By key, with the number of the source.
    entries: HashMap<Digest, (usize, CacheEntry)>,
    /// The same of directories that steps mount.
    mounts: HashMap<Digest, (usize, Carriage)>,
}

impl<'a> Imported<'a> {
    /// Asks for their lists. One that cannot be had costs time alone, so it is told and no error.
    pub(super) fn read(
        store: &'a Store,
        services: Services<'a>,
        options: &'a Options,
        reporter: &dyn Reporter,
    ) -> Self {
        let mut all = Self::default();
        for origin in &options.cache_from {
            let running = start(reporter, format!("cache of {origin}"), None);
            match all.add(origin, store, services, options, reporter) {
                Ok(()) => running.finish(Outcome::Done),
                Err(fault) => {
                    running.finish(Outcome::Failed);
                    reporter.warn(format!("no cache of {origin}: {}", chain(&fault)));
                }
            }
        }
        all
    }

    fn add(
        &mut self,
        origin: &CacheOrigin,
        store: &'a Store,
        services: Services<'a>,
        options: &'a Options,
        reporter: &dyn Reporter,
    ) -> Result<(), Fault> {
        let source: Box<dyn Source + 'a> = match origin {
            CacheOrigin::Registry(reference) => services.images.source(reference)?,
            CacheOrigin::Layout { directory, tag } => {
                let files = source::Files::open(directory, store)?;
                Box::new(source::Oci::find(files, tag.as_deref())?)
            }
        };
        self.add_source(source, options.targets(), reporter)
    }

    /// Adds the lists that a cache has, or that images have in them, those of some platforms.
    fn add_source(
        &mut self,
        source: Box<dyn Source + 'a>,
        platforms: Vec<Platform>,
        reporter: &dyn Reporter,
    ) -> Result<(), Fault> {
        let nothing = || Fault::Image(Error::Invalid("there is no cache in it".to_owned()));
        let lists = match source.root()? {
            Content::Artifact(manifest) if manifest.config.media_type == LIST => {
                vec![list(&*source, &manifest.config)?]
            }
            Content::Artifact(_) => return Err(nothing()),
            Content::Image(_) | Content::Index(_) => {
                let mut lists = Vec::new();
                for platform in platforms {
                    let wish = transfer::Options { platform: Some(platform), ..Default::default() };
                    let image = transfer::Resolved::of(&*source, &wish, reporter)?;
                    lists.extend(inline(&image.config, &image.manifest));
                }
                lists
            }
        };
        if lists.is_empty() {
            return Err(nothing());
        }
        let number = self.sources.len();
        self.sources.push(source);
        for List { entries, mounts } in lists {
            for Made { key, entry } in entries {
                self.entries.entry(key).or_insert((number, entry));
            }
            for mount in mounts {
                self.mounts.entry(mount.key.clone()).or_insert((number, mount));
            }
        }
        Ok(())
    }

    /// What the step with this key made, its layer fetched. What cannot be fetched is made again.
    pub(super) fn fetch(
        &self,
        key: &Digest,
        store: &Store,
        reporter: &dyn Reporter,
    ) -> Result<Option<CacheEntry>, Fault> {
        let Some((number, entry)) = self.entries.get(key) else { return Ok(None) };
        if let Some(layer) = &entry.layer {
            let source = &*self.sources[*number];
            match fetch(source, &layer.descriptor, store, reporter) {
                Ok(()) => {}
                // What is wrong with the store is wrong for all that follows.
                Err(fault @ Fault::Store(_)) => return Err(fault),
                Err(fault) => {
                    reporter.warn(format!(
                        "from the cache of {}: {}",
                        source.name(),
                        chain(&fault)
                    ));
                    return Ok(None);
                }
            }
        }
        store.cache_put(key, entry)?;
        Ok(Some(entry.clone()))
    }
}

fn chain(fault: &Fault) -> String {
    let causes = std::iter::successors(Some(fault as &dyn std::error::Error), |e| e.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn list(source: &dyn Source, descriptor: &Descriptor) -> Result<List, Fault> {
    let mut bytes = Vec::new();
    let read = |error| Fault::Read(source.name().into(), error);
    source.open(descriptor)?.take(LONGEST).read_to_end(&mut bytes).map_err(read)?;
    if Digest::of(&bytes) != descriptor.digest {
        let text = format!("the list is not {}", descriptor.digest);
        return Err(Fault::Image(Error::Invalid(text)));
    }
    serde_json::from_slice(&bytes)
        .map_err(|source| Fault::Image(Error::Json { what: "the list of a cache", source }))
}

/// The list in an image's configuration. However its layers are compressed by now, they are those of
/// the manifest.
fn inline(config: &Config, manifest: &Manifest) -> Option<List> {
    let list = config.extra.get(INLINE)?;
    let mut list = List::deserialize(list).ok()?;
    list.entries.retain_mut(|made| {
        let Some(layer) = &mut made.entry.layer else { return true };
        let at = config.rootfs.diff_ids.iter().position(|diff_id| *diff_id == layer.diff_id);
        match at.and_then(|at| manifest.layers.get(at)) {
            Some(descriptor) => {
                if descriptor.digest != layer.descriptor.digest {
                    layer.compression = None;
                }
                layer.descriptor = descriptor.clone();
                true
            }
            None => false,
        }
    });
    Some(list)
}

/// Brings a layer into the store.
fn fetch(
    source: &dyn Source,
    descriptor: &Descriptor,
    store: &Store,
    reporter: &dyn Reporter,
) -> Result<(), Fault> {
    let Descriptor { digest, size, .. } = descriptor;
    if store.has_blob(digest) {
        return Ok(());
    }
    let title = format!("cached layer {}", digest.to_string().chars().take(19).collect::<String>());
    let running = start(reporter, title, Some(*size));
    let read = |error| Fault::Read(source.name().into(), error);
    let mut input = source.open(descriptor)?.take(*size);
    let mut blob = store.blob_writer_for(digest.algorithm())?;
    let mut buffer = vec![0; 128 << 10];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                let full = |source| Fault::Read(digest.to_string().into(), source);
                blob.write_all(&buffer[..count]).map_err(full)?;
                running.advance(count as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(read(error)),
        }
    }
    if blob.size() != *size {
        return Err(read(io::ErrorKind::UnexpectedEof.into()));
    }
    // Not a fault of the store: the other side has sent something else.
    blob.commit(Some(digest)).map_err(|error| match error {
        crate::store::Error::Damaged { source, .. } => read(source),
        other => other.into(),
    })?;
    running.finish(Outcome::Done);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::CachedLayer;

    fn made(key: &str, layer: Option<&str>) -> Made {
        let layer = layer.map(|content| CachedLayer {
            descriptor: Descriptor::of(media_type::OCI_LAYER_GZIP, content.as_bytes()),
            diff_id: Digest::of(format!("tar of {content}").as_bytes()),
            compression: Some("gzip:5".to_owned()),
        });
        let created = "2026-01-01T00:00:00Z".to_owned();
        let entry = CacheEntry { layer, created, ..CacheEntry::default() };
        Made { key: Digest::of(key.as_bytes()), entry }
    }

    #[test]
    fn an_image_has_what_was_made_for_it() {
        let all = [made("a", Some("one")), made("b", Some("other")), made("c", None)];
        let mut config = Config::default();
        config.rootfs.diff_ids = vec![Digest::of(b"base"), Digest::of(b"tar of one")];
        write_inline(&mut config, &all);
        let config = Config::parse(&config.to_bytes()).expect("a configuration");
        // Compressed in another way since.
        let layers = [b"base".as_slice(), b"zstd of one"];
        let layers = layers.map(|bytes| Descriptor::of(media_type::OCI_LAYER_ZSTD, bytes));
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_MANIFEST,
            "config": Descriptor::of(media_type::OCI_CONFIG, &config.to_bytes()),
            "layers": layers,
        });
        let content = Content::parse(manifest.to_string().into_bytes(), None).expect("a manifest");
        let Content::Image(manifest) = content else { panic!("{content:?}") };
        let list = inline(&config, &manifest).expect("a list").entries;
        assert_eq!(list.len(), 2, "{list:?}");
        let layer = list.iter().find_map(|made| made.entry.layer.as_ref()).expect("a layer");
        assert_eq!((&layer.descriptor, &layer.compression), (&layers[1], &None));
        assert!(inline(&Config::default(), &manifest).is_none());
    }
}
