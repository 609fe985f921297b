//! From the storage directory, with root as the owner of everything.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{BufWriter, Read};
use std::sync::Arc;
use std::thread;

use super::files::Section;
use crate::concurrency::Cancel;
use crate::image::edit::{self, Edits};
use crate::image::{Config, Content, Descriptor, Digest, Manifest, media_type};
use crate::layer::compress::{Compression, decompress};
use crate::layer::{self, Layer};
use crate::report::{Outcome, Reporter, start};
use crate::store::Store;
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
        Ok(edit::edit(&content, &Edits { content: changes, ..Edits::default() })?)
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
        let (file, mut layer) = layer::flatten(tar, BufWriter::new(file), compression, threads)?;
        layer.descriptor.media_type.clone_from(&descriptor.media_type);
        let file = file.into_inner().map_err(|error| failed()(error.into_error()))?;
        running.finish(Outcome::Done);
        self.new.layers.insert(layer.descriptor.digest.clone(), Arc::new(file));
        self.done.insert(descriptor.digest.clone(), layer.clone());
        Ok(layer)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use serde_json::{Value, json};

    use super::*;
    use crate::layer::LayerWriter;
    use crate::layer::archive::{Entry, EntryKind, Reader};
    use crate::report::Recorder;

    /// Content that is there.
    #[derive(Default)]
    struct Fixed(HashMap<Digest, Vec<u8>>, Option<Descriptor>);

    impl Fixed {
        fn put(&mut self, media_type: &str, bytes: Vec<u8>) -> Descriptor {
            let descriptor = Descriptor::of(media_type, &bytes);
            self.0.insert(descriptor.digest.clone(), bytes);
            descriptor
        }

        fn put_json(&mut self, media_type: &str, value: &Value) -> Descriptor {
            self.put(media_type, serde_json::to_vec(value).expect("JSON"))
        }
    }

    impl Source for Fixed {
        fn name(&self) -> String {
            "fixed".into()
        }

        fn root(&self) -> Result<Content, Error> {
            self.manifest(self.1.as_ref().expect("a root"))
        }

        fn manifest(&self, descriptor: &Descriptor) -> Result<Content, Error> {
            let bytes = self.0[&descriptor.digest].clone();
            Ok(Content::parse(bytes, Some(&descriptor.media_type))?)
        }

        fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error> {
            Ok(Box::new(&self.0[&descriptor.digest][..]))
        }
    }

    fn layer(uid: u32, compression: Compression) -> (Vec<u8>, Digest) {
        let mut writer = LayerWriter::new(Vec::new(), compression, 1).expect("a writer");
        let entry = Entry { uid, mode: 0o4755, ..Entry::new("file", EntryKind::File) };
        writer.append(&entry, io::empty()).expect("an entry");
        let (bytes, layer) = writer.finish().expect("a layer");
        (bytes, layer.diff_id)
    }

    fn read(source: &dyn Source, descriptor: &Descriptor) -> Vec<u8> {
        let cancel = Cancel::default();
        let mut bytes = Vec::new();
        let blob = Blob::new(descriptor, Role::Other, source, &cancel);
        blob.copy_to(&mut bytes, "memory").expect("it is what its name says");
        bytes
    }

    /// An index of an image, with layers of all sorts, and of what was said about it.
    fn index() -> Fixed {
        let mut fixed = Fixed::default();
        let (gzip, gzip_id) = layer(1, Compression::GZIP);
        let (zstd, zstd_id) = layer(2, Compression::ZSTD);
        let gzip = fixed.put(media_type::DOCKER_LAYER_GZIP, gzip);
        let zstd = fixed.put(media_type::OCI_LAYER_ZSTD, zstd);
        let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
        let foreign = Descriptor::of(foreign, b"somewhere else");
        let config = fixed.put_json(
            media_type::DOCKER_CONFIG,
            &json!({"architecture": "amd64", "os": "linux", "odd": [1],
                "rootfs": {"type": "layers", "diff_ids": [gzip_id, zstd_id, gzip_id, foreign.digest]}}),
        );
        let image = fixed.put_json(
            media_type::DOCKER_MANIFEST,
            &json!({"schemaVersion": 2, "mediaType": media_type::DOCKER_MANIFEST, "config": config,
                "layers": [gzip, zstd, gzip, foreign], "annotations": {"kept": "yes"}}),
        );
        let said = fixed.put("application/vnd.in-toto+json", b"{}".to_vec());
        let config = fixed.put_json(
            media_type::OCI_CONFIG,
            &json!({"architecture": "unknown", "os": "unknown",
                "rootfs": {"type": "layers", "diff_ids": [said.digest]}}),
        );
        let attestation = fixed.put_json(
            media_type::OCI_MANIFEST,
            &json!({"schemaVersion": 2, "config": config, "layers": [said]}),
        );
        let mut about = attestation;
        about.annotations = Some([("of".into(), image.digest.to_string())].into());
        let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX,
            "manifests": [image, about]});
        fixed.1 = Some(fixed.put_json(media_type::OCI_INDEX, &index));
        fixed
    }

    #[test]
    fn a_whole_index_is_flattened_and_its_parts_fit_together() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path()).expect("a store");
        let fixed = index();
        let flat = Flattened::new(&fixed, &store, &Recorder::default()).expect("flat");
        let Content::Index(old) = fixed.root().expect("it") else { panic!("no index") };
        let Content::Index(new) = flat.root().expect("it") else { panic!("no index") };
        assert_ne!(old.manifests[0].digest, new.manifests[0].digest);
        // What is no image stays, and what is said of the image is said of the new one.
        assert_eq!(old.manifests[1].digest, new.manifests[1].digest);
        let said = new.manifests[1].annotations.as_ref().expect("annotations");
        assert_eq!(said["of"], new.manifests[0].digest.to_string());

        let Content::Image(image) = flat.manifest(&new.manifests[0]).expect("it") else {
            panic!("no image")
        };
        assert_eq!(image.descriptor.digest, new.manifests[0].digest);
        assert_eq!(image.descriptor.size, new.manifests[0].size);
        assert_eq!(image.annotations["kept"], "yes");
        let Content::Image(before) = fixed.manifest(&old.manifests[0]).expect("it") else {
            panic!("no image")
        };
        let types = |manifest: &Manifest| -> Vec<String> {
            manifest.layers.iter().map(|layer| layer.media_type.clone()).collect()
        };
        assert_eq!(types(&image), types(&before));
        assert_eq!(image.layers[3], before.layers[3], "nobody has a foreign layer");
        assert_eq!(image.layers[0], image.layers[2]);
        let config = Config::parse(&read(&flat, &image.config)).expect("a configuration");
        assert_eq!(config.extra["odd"], json!([1]));
        for (descriptor, diff_id) in image.layers.iter().zip(&config.rootfs.diff_ids).take(3) {
            let bytes = read(&flat, descriptor);
            let mut tar = Vec::new();
            decompress(&bytes[..]).expect("ours").read_to_end(&mut tar).expect("ours");
            assert_eq!(Digest::of(&tar), *diff_id);
            let entry = Reader::new(&tar[..]).next_entry().expect("ours").expect("a file");
            assert_eq!((entry.uid, entry.gid, entry.mode), (0, 0, 0o755));
        }
        // The two layers differed in their owner alone, and in how they are compressed still.
        assert_eq!(config.rootfs.diff_ids[0], config.rootfs.diff_ids[1]);
        assert_ne!(image.layers[0].digest, image.layers[1].digest);
    }
}
