//! Images that are made here, of one layer.

use std::io::{self, Read, Write};
use std::thread;

use crate::image::{Config, Content, Descriptor, Digest, Hasher, Manifest, edit, media_type};
use crate::layer::Layer;
use crate::layer::archive::{Entry, Writer};
use crate::layer::compress::{Compression, Compressor};
use crate::report::Reporter;
use crate::store::{BlobWriter, Store};
use crate::transfer::{Error, JOBS, unpack};

/// A layer that is written to the storage directory, entry by entry.
pub(super) struct LayerWriter<'a> {
    writer: Writer<Hashing<Compressor<BlobWriter<'a>>>>,
}

impl<'a> LayerWriter<'a> {
    pub(super) fn new(store: &'a Store) -> Result<Self, Error> {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let compressor = Compressor::new(store.blob_writer()?, Compression::default(), threads)
            .map_err(Error::writing(PLACE))?;
        let inner = Hashing { inner: compressor, hasher: Hasher::sha256() };
        Ok(Self { writer: Writer::new(inner) })
    }

    pub(super) fn append(&mut self, entry: &Entry, data: impl Read) -> Result<(), Error> {
        Ok(self.writer.append(entry, data)?)
    }

    pub(super) fn finish(self) -> Result<Layer, Error> {
        let Hashing { inner, hasher } = self.writer.finish()?;
        let blob = inner.finish().map_err(Error::writing(PLACE))?;
        let (digest, size) = blob.commit(None)?;
        let kind = Compression::default().media_type();
        Ok(Layer { descriptor: Descriptor::new(kind, digest, size), diff_id: hasher.finish() })
    }
}

const PLACE: &str = "a layer to the storage directory";

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
    unpack(store, &Content::Image(manifest.clone()), JOBS, reporter)?;
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

struct Hashing<W> {
    inner: W,
    hasher: Hasher,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
