//! Rewritten images that nobody fetched.

use std::io;

use serde_json::{Value, json};

use super::*;
use crate::layer::LayerWriter;
use crate::layer::archive::{Entry, EntryKind, Reader};
use crate::report::Silent;

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

fn rewritten<'a>(fixed: &'a Fixed, rewrite: &Rewrite, store: &'a Store) -> Rewritten<'a> {
    Rewritten::new(fixed, rewrite, store, &Silent).expect("rewritten")
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
    let rewrite = Rewrite { changes: vec![Change::Disown], ..Rewrite::default() };
    let flat = rewritten(&fixed, &rewrite, &store);
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

/// The image for amd64 that an index begins with.
fn image_of(source: &dyn Source) -> Manifest {
    let Content::Index(index) = source.root().expect("it") else { panic!("no index") };
    let Content::Image(image) = source.manifest(&index.manifests[0]).expect("it") else {
        panic!("no image")
    };
    assert_eq!(image.descriptor.digest, index.manifests[0].digest);
    image
}

#[test]
fn layers_are_compressed_in_another_way_where_that_is_wanted() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path()).expect("a store");
    let fixed = index();
    let before = image_of(&fixed);
    let own = HashSet::from([before.layers[0].digest.clone()]);
    let zstd = Some(Compression::ZSTD);
    let kinds = |image: &Manifest| -> Vec<&str> {
        let kind = |layer: &Descriptor| match Compression::of_media_type(&layer.media_type) {
            Compression::None => "tar",
            Compression::Gzip { .. } => "gzip",
            Compression::Zstd { .. } => "zstd",
        };
        image.layers.iter().map(kind).collect()
    };
    for (rewrite, expected) in [
        (Rewrite::default(), ["gzip", "zstd", "gzip", "gzip"]),
        (Rewrite { compression: zstd, ..Rewrite::default() }, ["gzip", "zstd", "gzip", "gzip"]),
        (
            Rewrite { compression: zstd, own, ..Rewrite::default() },
            ["zstd", "zstd", "zstd", "gzip"],
        ),
        (
            Rewrite {
                compression: Some(Compression::None),
                forced: true,
                family: Some(Family::Oci),
                ..Rewrite::default()
            },
            ["tar", "tar", "tar", "gzip"],
        ),
    ] {
        let new = rewritten(&fixed, &rewrite, &store);
        let image = image_of(&new);
        assert_eq!(kinds(&image), expected, "{rewrite:?}");
        // What is inside stays, and so does the configuration.
        assert_eq!(image.config.digest, before.config.digest);
        for layer in &image.layers[..3] {
            read(&new, layer);
        }
        if rewrite == Rewrite::default() {
            assert_eq!(new.root().expect("it").bytes(), fixed.root().expect("it").bytes());
        }
        let is_docker = image.layers[0].media_type.contains("docker");
        assert_eq!(is_docker, rewrite.family.is_none(), "{rewrite:?}");
    }
}

#[test]
fn annotations_stand_where_they_belong() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path()).expect("a store");
    let fixed = index();
    let mut annotations = Annotations::default();
    for text in ["m=1", "manifest-descriptor:d=2", "index:i=3", "index-descriptor:p=4"] {
        annotations.add(text).expect(text);
    }
    let rewrite = Rewrite { annotations, ..Rewrite::default() };
    let new = rewritten(&fixed, &rewrite, &store);
    let root = new.root().expect("it");
    assert_eq!(root.descriptor().annotations.as_ref().expect("some")["p"], "4");
    let Content::Index(index) = &root else { panic!("no index") };
    assert_eq!(index.annotations["i"], "3");
    assert_eq!(index.manifests[0].annotations.as_ref().expect("some")["d"], "2");
    let image = image_of(&new);
    assert_eq!((&*image.annotations["m"], &*image.annotations["kept"]), ("1", "yes"));
    // What is said about the image is not annotated, but speaks of the new one.
    let about = index.manifests[1].annotations.as_ref().expect("some");
    assert_eq!(about.keys().collect::<Vec<_>>(), ["of"]);
    assert_eq!(about["of"], image.descriptor.digest.to_string());
}

#[test]
fn times_are_clamped_in_own_layers() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path()).expect("a store");
    let fixed = index();
    let before = image_of(&fixed);
    let own = HashSet::from([before.layers[1].digest.clone()]);
    let clamp = |latest| Rewrite { latest: Some(latest), own: own.clone(), ..Rewrite::default() };
    // Times were 0.
    let same = rewritten(&fixed, &clamp(0), &store);
    assert_eq!(image_of(&same).descriptor.digest, before.descriptor.digest);
    let earlier = rewritten(&fixed, &clamp(-5), &store);
    let image = image_of(&earlier);
    assert_eq!(image.layers[0], before.layers[0]);
    assert_ne!(image.layers[1].digest, before.layers[1].digest);
    let bytes = read(&earlier, &image.layers[1]);
    let tar = decompress(&bytes[..]).expect("ours");
    let entry = Reader::new(tar).next_entry().expect("ours").expect("a file");
    assert_eq!((entry.mtime, entry.uid), ((-5, 0), 2));
    let config = Config::parse(&read(&earlier, &image.config)).expect("a configuration");
    assert_ne!(config.rootfs.diff_ids[0], config.rootfs.diff_ids[1]);
}
