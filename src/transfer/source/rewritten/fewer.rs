//! Images of fewer layers: all of them in one, or the lowest alone.

use serde_json::json;

use super::Rewriter;
use crate::image::edit::{self, Edits};
use crate::image::media_type::{self, Family};
use crate::image::{Config, Content, Descriptor, Digest, Manifest, Platform, Timestamp};
use crate::layer::compress::Compression;
use crate::layer::{self, Layer, PackOptions};
use crate::report::{Outcome, start};
use crate::store::{CacheEntry, CachedLayer};
use crate::transfer::filter::Kitchen;
use crate::transfer::source::edited::One;
use crate::transfer::{Error, Options, read_small, sink, transfer};

impl Rewriter<'_, '_> {
    /// The image with one layer, which has what a container of the image would see.
    pub(super) fn squashed(
        &mut self,
        manifest: &Manifest,
    ) -> Result<(Content, Option<Platform>), Error> {
        let Kitchen { store, reporter, .. } = self.kitchen;
        let mut config = Config::parse(&read_small(self.source, &manifest.config)?)?;
        let first = manifest.layers.first().map_or("", |layer| &layer.media_type);
        let before = Compression::of_media_type(first);
        let compression = self.rewrite.compression.unwrap_or(before);
        let key = json!(["squash", 1, config.rootfs.diff_ids, compression.to_string()]);
        let key = Digest::of(key.to_string().as_bytes());
        let layer = match store.cache_get(&key)?.and_then(|known| known.layer) {
            Some(known) => Layer { descriptor: known.descriptor, diff_id: known.diff_id },
            None => {
                let content = Content::Image(manifest.clone());
                let one = One { source: self.source, content };
                transfer(
                    &one,
                    &sink::Store::nameless(store).telling(reporter),
                    &Options::default(),
                    reporter,
                )?;
                let running = start(reporter, format!("squash {}", self.name), None);
                let missing =
                    || Error::Missing { path: self.name.clone(), what: "unpacked layer".into() };
                let snapshot = store.snapshot(&store.trees(&config).ok_or_else(missing)?)?;
                let mut to = store.blob_writer()?;
                let options = PackOptions { compression, ..PackOptions::default() };
                let records = snapshot.records()?;
                let layer = layer::pack_tree(snapshot.root(), &records, &options, &mut to)?;
                to.commit(Some(&layer.descriptor.digest))?;
                running.finish(Outcome::Done);
                let cached = CachedLayer {
                    descriptor: layer.descriptor.clone(),
                    diff_id: layer.diff_id.clone(),
                    compression: Some(compression.to_string()),
                };
                let created = Timestamp::EPOCH.to_string();
                let said = Some(format!("squash {}", manifest.descriptor.digest));
                let entry =
                    CacheEntry { layer: Some(cached), created, said, ..CacheEntry::default() };
                store.cache_put(&key, &entry)?;
                layer
            }
        };
        self.new.layers.insert(layer.descriptor.digest.clone());
        config.rootfs.diff_ids = vec![layer.diff_id];
        for entry in &mut config.history {
            entry.empty_layer = true;
        }
        let said = format!("bryo squash: {} layers in one", manifest.layers.len());
        edit::remember(&mut config, &said, false);
        self.made(manifest, &config, &[layer.descriptor])
    }

    /// The image with its lowest layers alone.
    pub(super) fn lowest(
        &mut self,
        manifest: &Manifest,
        count: usize,
    ) -> Result<(Content, Option<Platform>), Error> {
        let mut config = Config::parse(&read_small(self.source, &manifest.config)?)?;
        config.rootfs.diff_ids.truncate(count);
        let mut left = count;
        let end = config.history.iter().position(|entry| {
            let is_layer = !entry.empty_layer;
            let is_beyond = is_layer && left == 0;
            left -= usize::from(is_layer && left > 0);
            is_beyond
        });
        config.history.truncate(end.unwrap_or(config.history.len()));
        self.made(manifest, &config, &manifest.layers[..count])
    }

    /// An image of other layers that says of itself what the old one does.
    pub(super) fn made(
        &mut self,
        manifest: &Manifest,
        config: &Config,
        layers: &[Descriptor],
    ) -> Result<(Content, Option<Platform>), Error> {
        let bytes = config.to_bytes();
        let described = Descriptor::of(media_type::OCI_CONFIG, &bytes);
        self.new.configs.insert(described.digest.clone(), bytes);
        let made = Content::Image(edit::manifest(&described, layers)?);
        let edits = Edits {
            family: Some(Family::of(&manifest.descriptor.media_type)),
            annotations: Some(&manifest.annotations),
            ..Edits::default()
        };
        Ok((edit::edit(&made, &edits)?, Some(config.platform())))
    }
}
