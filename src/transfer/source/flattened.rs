//! From the storage directory, with root as the owner of everything.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{BufWriter, Read};
use std::sync::Arc;
use std::thread;

use super::files::Section;
use crate::image::{Config, Content, Descriptor, Digest, Manifest, edit, media_type};
use crate::layer::compress::{Compression, decompress};
use crate::layer::{self, Layer};
use crate::report::{Outcome, Reporter, start};
use crate::store::Store;
use crate::transfer::side_by_side::Cancel;
use crate::transfer::{Blob, Error, Role, Source, read_small, short};

/// An image, or an index of images, whose layers were written once more by [`layer::flatten`]. There
/// are as many as before, each in the same compression; the new ones lie in files that nobody else
/// sees. Configurations and manifests differ in the digests alone. What is no layer is passed on,
/// and so is a layer that registries do not keep.
pub struct Flattened<'a> {
    source: &'a dyn Source,
    root: Content,
    new: New,
}

/// What differs from the source, by its new digest.
#[derive(Default)]
struct New {
    contents: HashMap<Digest, Content>,
    configs: HashMap<Digest, Vec<u8>>,
    layers: HashMap<Digest, Arc<File>>,
}

impl<'a> Flattened<'a> {
    /// Reads all layers of what `source` holds and writes them once more, into the storage directory.
    pub fn new(
        source: &'a dyn Source,
        store: &Store,
        reporter: &dyn Reporter,
    ) -> Result<Self, Error> {
        let root = source.root()?;
        let mut flattener =
            Flattener { source, store, reporter, new: New::default(), done: HashMap::new() };
        let root = flattener.content(root)?;
        Ok(Self { source, root, new: flattener.new })
    }
}

impl fmt::Debug for Flattened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Flattened").field(&self.source.name()).finish()
    }
}

impl Source for Flattened<'_> {
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
        match self.new.layers.get(&descriptor.digest) {
            Some(file) => Ok(Box::new(Section::new(Arc::clone(file), 0, descriptor.size))),
            None => self.source.open(descriptor),
        }
    }
}

struct Flattener<'a> {
    source: &'a dyn Source,
    store: &'a Store,
    reporter: &'a dyn Reporter,
    new: New,
    /// By the digest of what they were made of: images share layers.
    done: HashMap<Digest, Layer>,
}

impl Flattener<'_> {
    fn content(&mut self, content: Content) -> Result<Content, Error> {
        let changes = match &content {
            Content::Index(index) => {
                let mut changes = BTreeMap::new();
                for descriptor in &index.manifests {
                    let new = self.content(self.source.manifest(descriptor)?)?;
                    changes.insert(descriptor.digest.to_string(), new.descriptor().clone());
                    self.new.contents.insert(new.descriptor().digest.clone(), new);
                }
                changes
            }
            Content::Image(manifest) => self.image(manifest)?,
            Content::Artifact(_) => return Ok(content),
        };
        Ok(edit::replace(&content, &changes)?)
    }

    /// What changes in an image's manifest.
    fn image(&mut self, manifest: &Manifest) -> Result<BTreeMap<String, Descriptor>, Error> {
        let mut config = Config::parse(&read_small(self.source, &manifest.config)?)?;
        let (diff_ids, layers) = (config.rootfs.diff_ids.len(), manifest.layers.len());
        if diff_ids != layers {
            return Err(Error::LayerCount { image: self.source.name(), diff_ids, layers });
        }
        let mut changes = BTreeMap::new();
        for (at, descriptor) in manifest.layers.iter().enumerate() {
            let kind = &descriptor.media_type;
            if !media_type::is_layer(kind) || media_type::is_foreign(kind) {
                continue;
            }
            let title = format!("flatten {}/{layers} {}", at + 1, short(&descriptor.digest));
            let layer = self.layer(descriptor, title)?;
            config.rootfs.diff_ids[at] = layer.diff_id;
            changes.insert(descriptor.digest.to_string(), layer.descriptor);
        }
        if !changes.is_empty() {
            let bytes = config.to_bytes();
            let new = Descriptor::of(manifest.config.media_type.as_str(), &bytes);
            self.new.configs.insert(new.digest.clone(), bytes);
            changes.insert(manifest.config.digest.to_string(), new);
        }
        Ok(changes)
    }

    fn layer(&mut self, descriptor: &Descriptor, title: String) -> Result<Layer, Error> {
        if let Some(layer) = self.done.get(&descriptor.digest) {
            return Ok(layer.clone());
        }
        let running = start(self.reporter, title, Some(descriptor.size));
        let cancel = Cancel::default();
        let blob = Blob::new(descriptor, Role::Other, self.source, &cancel);
        let blob = blob.watched(&running);
        let tar = decompress(blob.open()?).map_err(|error| blob.unreadable(error))?;
        let failed = || Error::writing("a temporary file in the storage directory");
        let workspace = self.store.workspace()?;
        let file = tempfile::tempfile_in(workspace.path()).map_err(failed())?;
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let compression = Compression::of_media_type(&descriptor.media_type);
        let (file, layer) = layer::flatten(tar, BufWriter::new(file), compression, threads)?;
        let file = file.into_inner().map_err(|error| failed()(error.into_error()))?;
        running.finish(Outcome::Done);
        self.new.layers.insert(layer.descriptor.digest.clone(), Arc::new(file));
        self.done.insert(descriptor.digest.clone(), layer.clone());
        Ok(layer)
    }
}
