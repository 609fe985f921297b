//! Images in memory that nobody should have to read to their ends.

use std::collections::HashMap;
use std::io::{self, Read, Write as _};

use serde_json::json;

use super::*;
use crate::image::media_type;
use crate::inspect::list_all;
use crate::layer::archive::{Entry, EntryKind, Writer};
use crate::layer::compress::{Compression, Compressor};
use crate::report::Silent;

/// An image in memory.
struct Memory {
    root: Vec<u8>,
    announced: Option<Descriptor>,
    blobs: HashMap<Digest, Vec<u8>>,
}

impl Source for Memory {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn root(&self) -> Result<Content, transfer::Error> {
        Ok(Content::parse(self.root.clone(), None)?)
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Content, transfer::Error> {
        let bytes = self.blobs.get(&descriptor.digest).cloned();
        let (path, what) = (self.name(), "manifest".to_owned());
        Ok(Content::parse(bytes.ok_or(transfer::Error::Missing { path, what })?, None)?)
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, transfer::Error> {
        Ok(Box::new(&self.blobs[&descriptor.digest][..]))
    }

    fn announced(&self) -> Result<Option<Descriptor>, transfer::Error> {
        Ok(self.announced.clone())
    }
}

/// An image of layers that are made so.
fn image(layers: Vec<(Vec<u8>, Compression)>) -> Memory {
    let mut blobs = HashMap::new();
    let mut keep = |bytes: Vec<u8>, kind: &str| {
        let descriptor = Descriptor::of(kind, &bytes);
        blobs.insert(descriptor.digest.clone(), bytes);
        descriptor
    };
    let diff_ids: Vec<Digest> = layers.iter().map(|(tar, _)| Digest::of(tar)).collect();
    let layers: Vec<Descriptor> = layers
        .into_iter()
        .map(|(tar, compression)| {
            let mut compressor = Compressor::new(Vec::new(), compression, 1).expect("a Vec");
            compressor.write_all(&tar).expect("a Vec");
            keep(compressor.finish().expect("a Vec"), compression.media_type())
        })
        .collect();
    let config = json!({
        "os": "linux", "architecture": "amd64",
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let config = keep(config.to_string().into_bytes(), media_type::OCI_CONFIG);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": config, "layers": layers,
    });
    Memory { root: manifest.to_string().into_bytes(), announced: None, blobs }
}

fn tar(names: impl Iterator<Item = String>, size: u64) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for name in names {
        let entry = Entry { size, mode: 0o644, ..Entry::new(name, EntryKind::File) };
        writer.append(&entry, io::repeat(0).take(size)).expect("a Vec");
    }
    writer.finish().expect("a Vec")
}

fn ids(source: &Memory, limits: Limits) -> Vec<&'static str> {
    let options = CheckOptions { limits, ..CheckOptions::default() };
    let report = check(source, &options, &Silent).expect("a report");
    let wrong = report.results.iter().filter(|finding| finding.severity != Severity::Info);
    wrong.map(|finding| finding.check).collect()
}

#[test]
fn what_unpacks_without_an_end_is_left() {
    let bomb = tar(["zeros".to_owned()].into_iter(), 30 << 20);
    let limits = Limits { unpacked: 1 << 20, ratio: 100, ..Limits::default() };
    for compression in [Compression::GZIP, Compression::ZSTD] {
        let source = image(vec![(bomb.clone(), compression)]);
        let expected = match compression {
            Compression::Zstd { .. } => vec!["zstd-compat", "layer-bomb"],
            _ => vec!["layer-bomb"],
        };
        assert_eq!(ids(&source, limits), expected);
        let Ok(Content::Image(manifest)) = source.root() else { panic!("no image") };
        // The other verbs refuse it.
        let scanned =
            crate::inspect::scan(&source, &manifest.layers[0], &limits, &mut |_, _| Ok(()));
        assert!(matches!(scanned, Err(Error::TooMuch { .. })), "{scanned:?}");
        // It is no more than it is.
        let generous = Limits { ratio: 1 << 20, ..limits };
        assert!(!ids(&source, generous).contains(&"layer-bomb"));
    }
}

#[test]
fn entries_without_an_end_are_not_kept() {
    let many = tar((0..5000).map(|n| format!("d/{n}")), 0);
    let source = image(vec![(many, Compression::GZIP)]);
    let few = Limits { entries: 1000, ..Limits::default() };
    assert_eq!(ids(&source, few), ["too-many-entries"]);
    let short = Limits { names: 2000, ..Limits::default() };
    assert_eq!(ids(&source, short), ["too-many-entries"]);
    assert_eq!(ids(&source, Limits::default()), Vec::<&str>::new());
    let Ok(Content::Image(manifest)) = source.root() else { panic!("no image") };
    let listed = list_all(&source, &manifest.layers, 2).expect("it is small enough");
    assert_eq!(listed[0].len(), 5000);
}

#[test]
fn what_a_sender_says_of_a_manifest_is_compared() {
    let mut source = image(vec![(tar(["x".to_owned()].into_iter(), 1), Compression::GZIP)]);
    let own = Descriptor::of(media_type::OCI_MANIFEST, &source.root);
    for (announced, expected) in [
        (own.clone(), None),
        (
            Descriptor { media_type: media_type::DOCKER_MANIFEST.into(), ..own.clone() },
            Some("manifest-media-type"),
        ),
        (Descriptor { digest: Digest::of(b"other"), ..own.clone() }, Some("manifest-digest")),
        (Descriptor { size: 1, ..own.clone() }, Some("manifest-size")),
    ] {
        source.announced = Some(announced);
        let found = ids(&source, Limits::default());
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    }
}
