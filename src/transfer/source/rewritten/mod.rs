//! From anywhere, changed on the way: with root as the owner of everything, with other times, without
//! some of the files, compressed in another way, all layers in one, in the words of Docker or of OCI,
//! annotated.

mod fewer;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::io::{self, Read};
use std::thread;

use serde_json::json;

use crate::concurrency::Cancel;
use crate::image::edit::{self, Edits};
use crate::image::media_type::Family;
use crate::image::{
    Annotated, Annotations, Config, Content, Descriptor, Digest, Manifest, Platform, Reference,
    Timestamp, media_type,
};
use crate::layer::archive::Entry;
use crate::layer::compress::{Compression, decompress};
use crate::layer::{self, Layer, Verdict};
use crate::report::{Outcome, Reporter, start};
use crate::store::{CacheEntry, CachedLayer, Store};
use crate::transfer::filter::{Change, Found, Kitchen, Times};
use crate::transfer::hashing::Hashing;
use crate::transfer::{Blob, Error, Role, Source, read_small, short};

/// What changes; nothing by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// What is done to the entries of all layers, in this order.
    pub changes: Vec<Change>,
    /// In layers of `own`, times that are later become this one (seconds since 1970).
    pub latest: Option<i64>,
    /// How layers of `own` are compressed.
    pub compression: Option<Compression>,
    /// All other layers are compressed so, too.
    pub forced: bool,
    /// Layers that the caller made; all others are somebody else's.
    pub own: HashSet<Digest>,
    /// All layers become one. (Then nothing else is done to them but compression.)
    pub squash: bool,
    /// So many layers are left, the lowest; nothing else is done to them.
    pub lowest: Option<usize>,
    pub family: Option<Family>,
    pub annotations: Annotations,
}

impl Rewrite {
    /// One more change. What is left out at once is judged by all rules together.
    pub fn add(&mut self, change: Change) {
        match (self.changes.last_mut(), change) {
            (Some(Change::Exclude(rules)), Change::Exclude(more)) => rules.extend(more),
            (_, change) => self.changes.push(change),
        }
    }
}

/// An image, or an index of images, that a [`Rewrite`] changes. Layers that change are written once
/// more, into the storage directory, which remembers what became of which. Of configurations and
/// manifests only that changes which follows from it. What is no layer is passed on, and so is a
/// layer that registries do not keep.
pub struct Rewritten<'a> {
    source: Box<dyn Source + 'a>,
    store: &'a Store,
    root: Content,
    new: New,
}

/// What differs from the source, by its new digest.
#[derive(Default)]
struct New {
    contents: HashMap<Digest, Content>,
    configs: HashMap<Digest, Vec<u8>>,
    /// They are in the storage directory.
    layers: HashSet<Digest>,
}

impl<'a> Rewritten<'a> {
    /// Reads all layers of what `source` holds that change, unless they were changed so before.
    pub fn new(
        source: impl Source + 'a,
        rewrite: &Rewrite,
        store: &'a Store,
        reporter: &'a dyn Reporter,
    ) -> Result<Self, Error> {
        Self::of_box(Box::new(source), rewrite, store, reporter)
    }

    /// The same of what is known as a source alone.
    pub fn of_box(
        source: Box<dyn Source + 'a>,
        rewrite: &Rewrite,
        store: &'a Store,
        reporter: &'a dyn Reporter,
    ) -> Result<Self, Error> {
        Self::filtered(source, rewrite, Kitchen { store, reporter, found: &|_| Ok(()) })
    }

    pub(in crate::transfer) fn filtered(
        source: Box<dyn Source + 'a>,
        rewrite: &Rewrite,
        kitchen: Kitchen<'a>,
    ) -> Result<Self, Error> {
        let (new, done) = (New::default(), HashMap::new());
        let name = source.names().first().map_or_else(|| source.name(), Reference::familiar);
        let mut rewriter = Rewriter { source: &*source, name, rewrite, kitchen, new, done };
        let (mut root, platform) = rewriter.content(source.root()?, None)?;
        let on = match &root {
            Content::Index(_) => Annotated::IndexDescriptor,
            _ => Annotated::ManifestDescriptor,
        };
        let added = rewrite.annotations.on(on, platform.as_ref());
        if !added.is_empty() {
            root.descriptor_mut().annotations.get_or_insert_default().extend(added);
        }
        let new = rewriter.new;
        Ok(Self { source, store: kitchen.store, root, new })
    }
}

impl fmt::Debug for Rewritten<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rewritten").field(&self.source.name()).finish()
    }
}

impl Source for Rewritten<'_> {
    fn name(&self) -> String {
        self.source.name()
    }

    fn root(&self) -> Result<Content, Error> {
        Ok(self.root.clone())
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Content, Error> {
        match self.new.contents.get(&descriptor.digest) {
            Some(content) => Ok(content.clone()),
            None => self.source.manifest(descriptor),
        }
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error> {
        if let Some(bytes) = self.new.configs.get(&descriptor.digest) {
            return Ok(Box::new(&bytes[..]));
        }
        match self.new.layers.contains(&descriptor.digest) {
            true => Ok(Box::new(self.store.open_blob(&descriptor.digest)?)),
            false => self.source.open(descriptor),
        }
    }

    fn names(&self) -> Vec<Reference> {
        self.source.names()
    }

    // Of what has changed, nobody has said anything yet.
    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        self.source.referrers(subject)
    }

    fn tagged(&self, tag: &str) -> Result<Option<Content>, Error> {
        self.source.tagged(tag)
    }
}

struct Rewriter<'r, 'a> {
    source: &'r dyn Source,
    /// What the image is called.
    name: String,
    rewrite: &'r Rewrite,
    kitchen: Kitchen<'a>,
    new: New,
    /// By the digest of what they were made of: images share layers.
    done: HashMap<Digest, Option<Layer>>,
}

impl Rewriter<'_, '_> {
    /// What it becomes; and the machine that it is for, if it is an image that is for one. `platform`
    /// is what its index says of that.
    fn content(
        &mut self,
        content: Content,
        platform: Option<&Platform>,
    ) -> Result<(Content, Option<Platform>), Error> {
        let rewrite = self.rewrite;
        let mut edits = Edits { family: rewrite.family, ..Edits::default() };
        let (said, platform) = match &content {
            Content::Index(index) => {
                edits.content = self.children(&index.manifests)?;
                (rewrite.annotations.on(Annotated::Index, None), None)
            }
            Content::Image(manifest) if rewrite.squash && manifest.layers.len() > 1 => {
                return self.squashed(manifest);
            }
            Content::Image(manifest)
                if rewrite.lowest.is_some_and(|count| count < manifest.layers.len()) =>
            {
                return self.lowest(manifest, rewrite.lowest.unwrap_or_default());
            }
            Content::Image(manifest) => {
                let (changes, own) = self.image(manifest)?;
                edits.content = changes;
                // What is said about images has a platform that is none.
                let platform = platform.unwrap_or(&own);
                let platform = Some(platform.clone()).filter(|platform| platform.os != "unknown");
                let said = platform
                    .as_ref()
                    .map(|platform| rewrite.annotations.on(Annotated::Manifest, Some(platform)));
                (said.unwrap_or_default(), platform)
            }
            Content::Artifact(_) => return Ok((content, None)),
        };
        if edits.content.is_empty() && edits.family.is_none() && said.is_empty() {
            return Ok((content, platform)); // with all its blanks
        }
        edits.annotations = Some(&said);
        Ok((edit::edit(&content, &edits)?, platform))
    }

    /// What changes in an index.
    fn children(
        &mut self,
        manifests: &[Descriptor],
    ) -> Result<BTreeMap<String, Descriptor>, Error> {
        let mut changes = BTreeMap::new();
        for old in manifests {
            let child = self.source.manifest(old)?;
            let (new, platform) = self.content(child, old.platform.as_ref())?;
            let mut change = new.descriptor().clone();
            change.annotations = platform.map(|platform| {
                self.rewrite.annotations.on(Annotated::ManifestDescriptor, Some(&platform))
            });
            let is_same = change.digest == old.digest;
            if !is_same || change.annotations.as_ref().is_some_and(|all| !all.is_empty()) {
                changes.insert(old.digest.to_string(), change);
            }
            if !is_same {
                self.new.contents.insert(new.descriptor().digest.clone(), new);
            }
        }
        Ok(changes)
    }

    /// What changes in an image's manifest; and its platform.
    fn image(
        &mut self,
        manifest: &Manifest,
    ) -> Result<(BTreeMap<String, Descriptor>, Platform), Error> {
        let mut config = Config::parse(&read_small(self.source, &manifest.config)?)?;
        let (diff_ids, layers) = (config.rootfs.diff_ids.len(), manifest.layers.len());
        if diff_ids != layers {
            return Err(Error::LayerCount { image: self.source.name(), diff_ids, layers });
        }
        let before = config.rootfs.diff_ids.clone();
        let mut is_changed = self.set_times(&mut config);
        let mut changes = BTreeMap::new();
        for (at, descriptor) in manifest.layers.iter().enumerate() {
            let kind = &descriptor.media_type;
            if !media_type::is_layer(kind) || media_type::is_foreign(kind) {
                continue;
            }
            let place = format!("{}/{layers} {}", at + 1, short(&descriptor.digest));
            if let Some(layer) = self.layer(descriptor, &before[at], &place)? {
                config.rootfs.diff_ids[at] = layer.diff_id;
                changes.insert(descriptor.digest.to_string(), layer.descriptor);
            }
        }
        is_changed |= config.rootfs.diff_ids != before;
        if is_changed {
            let bytes = config.to_bytes();
            let new = Descriptor::of(manifest.config.media_type.as_str(), &bytes);
            self.new.configs.insert(new.digest.clone(), bytes);
            changes.insert(manifest.config.digest.to_string(), new);
        }
        Ok((changes, config.platform()))
    }

    /// Gives a configuration the times that its files get; whether it had others.
    fn set_times(&self, config: &mut Config) -> bool {
        let mut is_changed = false;
        for change in &self.rewrite.changes {
            let Change::Times(times) = change else { continue };
            let history = config.history.iter_mut().map(|entry| &mut entry.created);
            for text in std::iter::once(&mut config.created).chain(history).flatten() {
                let before = text.parse::<Timestamp>().map_or(i64::MAX, Timestamp::seconds);
                let after = times.of(before);
                if after != before || matches!(times, Times::All(_)) {
                    let after = Timestamp::from_seconds(after).to_string();
                    is_changed |= *text != after;
                    *text = after;
                }
            }
        }
        is_changed
    }

    /// What a layer becomes; None when nothing changes in it.
    fn layer(
        &mut self,
        descriptor: &Descriptor,
        diff_id: &Digest,
        place: &str,
    ) -> Result<Option<Layer>, Error> {
        if let Some(layer) = self.done.get(&descriptor.digest) {
            return Ok(layer.clone());
        }
        let Rewrite { changes, latest, compression, forced, own, .. } = self.rewrite;
        let is_own = own.contains(&descriptor.digest);
        let before = Compression::of_media_type(&descriptor.media_type);
        let wanted = compression.filter(|_| is_own || *forced).unwrap_or(before);
        let mut changes = changes.clone();
        changes
            .extend(latest.filter(|_| is_own).map(|latest| Change::Times(Times::Latest(latest))));
        let verb = match &changes[..] {
            [] if wanted == before => return Ok(None),
            [] => "compress",
            [Change::Disown] => "flatten",
            _ => "filter",
        };
        let work = Work { descriptor, diff_id, changes: &changes, before, wanted };
        let key = work.key();
        let only_looks = |change: &Change| matches!(change, Change::Find { .. });
        let known = self.kitchen.store.cache_get(&key)?;
        let layer = match known {
            Some(known) if !changes.iter().any(only_looks) => known
                .layer
                .map(|CachedLayer { descriptor, diff_id, .. }| Layer { descriptor, diff_id }),
            _ => {
                let title = format!("{verb} {place}");
                let running = start(self.kitchen.reporter, title, Some(descriptor.size));
                let cancel = Cancel::default();
                let blob = Blob::new(descriptor, Role::Other, self.source, &cancel);
                let layer = self.written(&work, &blob.watched(&running))?;
                running.finish(Outcome::Done);
                let cached = layer.as_ref().map(|layer| CachedLayer {
                    descriptor: layer.descriptor.clone(),
                    diff_id: layer.diff_id.clone(),
                    compression: Some(wanted.to_string()),
                });
                let created = Timestamp::EPOCH.to_string();
                let said = Some(format!("{verb} {diff_id}"));
                let entry = CacheEntry { layer: cached, created, said, ..CacheEntry::default() };

                self.kitchen.store.cache_put(&key, &entry)?;
                layer
            }
        };
        let layer = layer.map(|mut layer| {
            layer.descriptor.media_type = match wanted == before {
                true => descriptor.media_type.clone(),
                false => Family::of(&descriptor.media_type).name_of(wanted.media_type()).to_owned(),
            };
            self.new.layers.insert(layer.descriptor.digest.clone());
            layer
        });
        // It is the same blob, after all.
        let layer = layer.filter(|layer| layer.descriptor.digest != descriptor.digest);
        self.done.insert(descriptor.digest.clone(), layer.clone());
        Ok(layer)
    }

    /// Writes a layer once more, into the storage directory; None when nothing was to be changed
    /// in it.
    fn written(&self, work: &Work<'_>, blob: &Blob<'_>) -> Result<Option<Layer>, Error> {
        let Work { descriptor, diff_id, changes, before, wanted } = *work;
        let store = self.kitchen.store;
        let inner = decompress(blob.open()?).map_err(|error| blob.unreadable(error))?;
        let mut tar = Hashing::new(inner, diff_id.algorithm());
        let to = store.blob_writer()?;
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let read = |error| match error {
            layer::Error::Read(source) => blob.unreadable(source),
            other => Error::from(other),
        };
        let (to, layer) = match changes {
            [] => layer::recompress(&mut tar, to, wanted, threads).map_err(read)?,
            _ => {
                let workspace = store.workspace()?;
                let spool = || tempfile::tempfile_in(workspace.path());
                let mut said = Ok(());
                let drops = |entry: &Entry| {
                    let excludes = |change: &Change| matches!(change, Change::Exclude(rules) if rules.exclude(entry));
                    changes.iter().any(excludes)
                };
                let mut judge = |entry: &mut Entry| self.judge(work, entry, &mut said);
                let sieved =
                    layer::sieve(&mut tar, to, wanted, threads, &mut judge, &drops, &spool)
                        .map_err(read);
                said.map_err(Error::writing("what was found"))?;
                sieved?
            }
        };
        // What is remembered by a diff ID had better have it.
        let actual = tar.finish();
        if actual != *diff_id {
            let (layer, expected) = (descriptor.digest.clone(), diff_id.clone());
            return Err(Error::DiffId { layer, expected, actual });
        }
        // It may have been compressed with more effort before.
        if wanted == before && layer.diff_id == *diff_id && !changes.is_empty() {
            return Ok(None);
        }
        to.commit(Some(&layer.descriptor.digest))?;
        Ok(Some(layer))
    }

    fn judge(&self, work: &Work<'_>, entry: &mut Entry, said: &mut io::Result<()>) -> Verdict {
        let mut verdict = Verdict::Keep;
        for change in work.changes {
            match change {
                Change::Disown => layer::disown(entry),
                Change::Times(times) => {
                    entry.mtime = match times {
                        Times::All(time) => (*time, 0),
                        Times::Latest(latest) => entry.mtime.min((*latest, 0)),
                    };
                }
                // It goes on: a link to it may stay, and be it from then on.
                Change::Exclude(rules) if rules.exclude(entry) => verdict = Verdict::Drop,
                Change::Exclude(_) => {}
                Change::Find { what, script } => {
                    let path = crate::rootfs::clean(&entry.path);
                    let is_there = verdict == Verdict::Keep;
                    if said.is_ok() && is_there && what.finds(&path.to_string_lossy()) {
                        let (image, layer) = (&*self.name, work.diff_id);
                        let found = Found { image, layer, entry, script: *script };
                        *said = (self.kitchen.found)(&found);
                    }
                }
            }
        }
        verdict
    }
}

/// What is to be done to a layer.
struct Work<'w> {
    descriptor: &'w Descriptor,
    diff_id: &'w Digest,
    changes: &'w [Change],
    before: Compression,
    wanted: Compression,
}

impl Work<'_> {
    /// What its result is remembered by.
    fn key(&self) -> Digest {
        let changes = self.changes.iter().filter(|change| !matches!(change, Change::Find { .. }));
        let changes: Vec<String> = changes.map(ToString::to_string).collect();
        // A layer that nothing changes in stays as it was compressed, however that was.
        let (before, wanted) = (self.before.to_string(), self.wanted.to_string());
        let all = json!(["layer", 1, self.diff_id, changes, before, wanted]);
        Digest::of(all.to_string().as_bytes())
    }
}
