//! Images that are made here, of one layer.

use std::io::Read;
use std::thread;

use crate::image::{Config, Content, Descriptor, Digest, Manifest, edit, media_type};
use crate::layer::archive::Entry;
use crate::layer::compress::Compression;
use crate::layer::{Layer, LayerWriter};
use crate::report::Reporter;
use crate::store::{BlobWriter, Store};
use crate::transfer::{Error, Options, unpack};

/// A layer that is written to the storage directory, entry by entry.
pub(super) struct StoredLayer<'a> {
    writer: LayerWriter<BlobWriter<'a>>,
}

impl<'a> StoredLayer<'a> {
    pub(super) fn new(store: &'a Store) -> Result<Self, Error> {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let writer = LayerWriter::new(store.blob_writer()?, Compression::default(), threads)?;
        Ok(Self { writer })
    }

    pub(super) fn append(&mut self, entry: &Entry, data: impl Read) -> Result<(), Error> {
        Ok(self.writer.append(entry, data)?)
    }

    pub(super) fn finish(self) -> Result<Layer, Error> {
        let (blob, layer) = self.writer.finish()?;
        blob.commit(Some(&layer.descriptor.digest))?;
        Ok(layer)
    }
}

/// Makes the image of a layer in the storage directory, and unpacks it there.
pub(super) fn image(
    store: &Store,
    layer: Layer,
    mut config: Config,
    reporter: &dyn Reporter,
) -> Result<Manifest, Error> {
    config.rootfs.diff_ids.push(layer.diff_id);
    let bytes = config.to_bytes();
    store.put_blob(&bytes)?;
    let config = Descriptor::of(media_type::OCI_CONFIG, &bytes);
    let manifest = edit::manifest(&config, &[layer.descriptor])?;
    store.put_blob(&manifest.bytes)?;
    unpack(store, &Content::Image(manifest.clone()), &Options::default(), reporter)?;
    Ok(manifest)
}

/// The same image with another configuration.
pub fn reconfigured(store: &Store, image: &Manifest, config: &Config) -> Result<Manifest, Error> {
    let bytes = config.to_bytes();
    store.put_blob(&bytes)?;
    let config = Descriptor::of(media_type::OCI_CONFIG, &bytes);
    let manifest = edit::manifest(&config, &image.layers)?;
    store.put_blob(&manifest.bytes)?;
    Ok(manifest)
}

/// Whether all layers are unpacked.
pub(super) fn is_unpacked(store: &Store, config: &Config) -> bool {
    let mut below: Option<Digest> = None;
    config.rootfs.diff_ids.iter().all(|diff_id| {
        let there = store.layer_tree(below.as_ref(), diff_id).is_some();
        below = Some(Digest::chain(below.as_ref(), diff_id));
        there
    })
}
