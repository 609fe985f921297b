//! From a stage's layers to those of the result: squashed, with times clamped, compressed alike,
//! where that is wanted; and its manifest.

use super::error::Fault;
use super::execute::Executor;
use super::key::{CacheKey, KeyMaker};
use super::state::State;
use crate::image::edit::{self, Edits};
use crate::image::{Annotated, Content, Descriptor, Digest, History, Manifest, media_type};
use crate::layer::compress::{Compression, decompress};
use crate::layer::{self, Below, Change, Layer, PackOptions};
use crate::store::{BlobWriter, CacheEntry, CachedLayer, Tree};

impl Executor<'_> {
    /// Gives the layers the form that the caller wants.
    pub(super) fn shape(&self, state: &mut State) -> Result<(), Fault> {
        let shape = &self.options.shape;
        if shape.squash {
            self.squash(state)?;
        }
        match self.epoch.filter(|_| shape.rewrite_timestamp) {
            Some(latest) => self.clamp(state, latest)?,
            None if shape.rewrite_timestamp => self.reporter.warn(
                "no times are rewritten, as there is no SOURCE_DATE_EPOCH to tell the latest one"
                    .to_owned(),
            ),
            None => {}
        }
        if shape.force_compression {
            self.compress_base(state)?;
        }
        Ok(())
    }

    /// Writes configuration and manifest.
    pub(super) fn manifest(&self, state: &State) -> Result<Manifest, Fault> {
        let shape = &self.options.shape;
        let config = state.config.to_bytes();
        self.store.put_blob(&config)?;
        let config = Descriptor::of(media_type::OCI_CONFIG, &config);
        let manifest = edit::manifest(&config, &state.layers).map_err(Fault::Image)?;
        let platform = state.config.platform();
        let annotations = shape.annotations.on(Annotated::Manifest, Some(&platform));
        let edits = Edits {
            family: Some(shape.family),
            annotations: Some(&annotations),
            ..Edits::default()
        };
        let content = edit::edit(&Content::Image(manifest), &edits).map_err(Fault::Image)?;
        self.store.put_blob(content.bytes())?;
        match content {
            Content::Image(manifest) => Ok(manifest),
            _ => unreachable!("what a manifest is does not change with what is said on it"),
        }
    }

    /// Makes of all layers of the build one, as `docker build --squash` does. In the history their
    /// steps have no layers any more, and a last entry tells of the one that there is.
    fn squash(&self, state: &mut State) -> Result<(), Fault> {
        let kept = state.ground.layers;
        if state.layers.len() == kept {
            return Ok(());
        }
        let id = Digest::of(&state.config.to_bytes());
        let diff_ids = &state.config.rootfs.diff_ids;
        let below = diff_ids[..kept].iter().fold(None, |below: Option<Digest>, diff_id| {
            Some(Digest::chain(below.as_ref(), diff_id))
        });
        let key = KeyMaker::new("squash", below.as_ref())
            .list("layers", diff_ids[kept..].iter().map(Digest::to_string))
            .field("compression", self.options.compression.to_string())
            .finish();
        let CachedLayer { descriptor, diff_id, .. } =
            self.remembered(&key, || self.squashed(&self.trees(state)?, kept))?;
        state.layers.truncate(kept);
        state.layers.push(descriptor);
        state.config.rootfs.diff_ids.truncate(kept);
        state.config.rootfs.diff_ids.push(diff_id);
        for entry in &mut state.config.history[state.ground.history..] {
            entry.empty_layer = true;
        }
        let comment = match state.base.as_ref().and_then(|base| base.id.as_ref()) {
            Some(base) => format!("merge {id} to {base}"),
            None => format!("create new from {id}"),
        };
        let created = state.created.clone();
        let comment = Some(comment);
        state.config.history.push(History { created, comment, ..History::default() });
        Ok(())
    }

    /// The trees from `kept` on as one layer.
    fn squashed(&self, trees: &[Tree], kept: usize) -> Result<CachedLayer, Fault> {
        let (below, above) = trees.split_at(kept);
        let mut opened = Vec::new();
        for tree in above {
            opened.push((tree.root()?, tree.records()?));
        }
        let opened: Vec<_> = opened.iter().map(|(root, records)| (root, records)).collect();
        let new = self.store.new_tree()?;
        let root = new.root()?;
        let records = layer::merge(&opened, &root, below.is_empty())?;
        let mut lower = Vec::new();
        for tree in below {
            lower.push((tree.files(), tree.records()?));
        }
        let mut changes = layer::changes_of_upper(&root, &mut Below::new(lower))?;
        if records.root_implied {
            changes.retain(
                |change| !matches!(change, Change::Put(path) if path.as_os_str().is_empty()),
            );
        }
        let options =
            PackOptions { compression: self.options.compression, ..PackOptions::default() };
        // The tree goes: its files are links to those of the layers, and would show it to who runs
        // the image.
        self.blob(|blob| layer::pack(&root, &changes, &records, &options, blob))
    }

    /// Sets times in layers of the build that are later than `latest`, in seconds since 1970, to
    /// that. Layers of the base stay as they are.
    fn clamp(&self, state: &mut State, latest: i64) -> Result<(), Fault> {
        for at in state.ground.layers..state.layers.len() {
            let old = &state.layers[at];
            let key = KeyMaker::new("times", None)
                .field("layer", old.digest.to_string())
                .field("latest", latest.to_string())
                .field("compression", self.options.compression.to_string())
                .finish();
            let new = self.remembered(&key, || self.clamped(old, latest))?;
            // Where no time was later, the bytes are the same but for how they are compressed.
            if new.diff_id != state.config.rootfs.diff_ids[at] {
                state.layers[at] = new.descriptor;
                state.config.rootfs.diff_ids[at] = new.diff_id;
            }
        }
        Ok(())
    }

    fn clamped(&self, old: &Descriptor, latest: i64) -> Result<CachedLayer, Fault> {
        let (compression, threads) = (self.options.compression, PackOptions::default().threads);
        let tar = decompress(self.store.open_blob(&old.digest)?).map_err(layer::Error::Read)?;
        self.blob(|blob| {
            layer::clamp(tar, blob, compression, threads, latest).map(|(_, layer)| layer)
        })
    }

    /// Compresses the base's layers as those of the build are.
    fn compress_base(&self, state: &mut State) -> Result<(), Fault> {
        for layer in &mut state.layers[..state.ground.layers] {
            if !media_type::is_foreign(&layer.media_type) {
                *layer = self.compressed(layer.clone(), None)?;
            }
        }
        Ok(())
    }

    /// A layer as it is to be compressed. How it was before, its media type tells as far as it does
    /// if nobody else knows.
    pub(super) fn compressed(
        &self,
        old: Descriptor,
        before: Option<&str>,
    ) -> Result<Descriptor, Fault> {
        let (compression, threads) = (self.options.compression, PackOptions::default().threads);
        let before = before.and_then(|text| text.parse().ok());
        if before.unwrap_or(Compression::of_media_type(&old.media_type)) == compression {
            return Ok(old);
        }
        let key = KeyMaker::new("compression", None)
            .field("layer", old.digest.to_string())
            .field("compression", compression.to_string())
            .finish();
        let new = self.remembered(&key, || {
            let blob = self.store.open_blob(&old.digest)?;
            let tar = decompress(blob).map_err(layer::Error::Read)?;
            self.blob(|blob| {
                layer::recompress(tar, blob, compression, threads).map(|(_, layer)| layer)
            })
        })?;
        Ok(new.descriptor)
    }

    /// What was made under this key before, or else is made now.
    fn remembered(
        &self,
        key: &CacheKey,
        make: impl FnOnce() -> Result<CachedLayer, Fault>,
    ) -> Result<CachedLayer, Fault> {
        if let Some(layer) = self.store.cache_get(key.digest())?.and_then(|entry| entry.layer) {
            return Ok(layer);
        }
        let layer = make()?;
        let entry = CacheEntry { layer: Some(layer.clone()), ..CacheEntry::default() };
        self.store.cache_put(key.digest(), &entry)?;
        Ok(layer)
    }

    /// Writes a layer's blob.
    fn blob(
        &self,
        write: impl FnOnce(&mut BlobWriter<'_>) -> Result<Layer, layer::Error>,
    ) -> Result<CachedLayer, Fault> {
        let mut blob = self.store.blob_writer()?;
        let Layer { descriptor, diff_id } = write(&mut blob)?;
        blob.commit(Some(&descriptor.digest))?;
        Ok(CachedLayer { descriptor, diff_id, compression: None })
    }
}
