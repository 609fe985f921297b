//! Images that are changed on their way.

use std::io::Read as _;

use bryo::image::{Config, Content, Digest, Manifest, Platform};
use bryo::layer::archive::{Entry, EntryKind, Reader};
use bryo::layer::compress::decompress;
use bryo::report::{Recorder, Silent};
use bryo::transfer::filter::{Filter, Kitchen, apply};
use bryo::transfer::{Source, verify};

use crate::made::{Made, Place, outcomes, tar};

fn filters(texts: &[&str]) -> Vec<Filter> {
    texts.iter().map(|text| text.parse().expect(text)).collect()
}

/// An image's parts, with the entries of its layers.
fn read(source: &dyn Source, manifest: &Manifest) -> (Config, Vec<Vec<Entry>>) {
    let bytes = |descriptor| {
        let mut bytes = Vec::new();
        source.open(descriptor).expect("there").read_to_end(&mut bytes).expect("read");
        assert_eq!(Digest::of(&bytes), descriptor.digest);
        bytes
    };
    let config = Config::parse(&bytes(&manifest.config)).expect("a configuration");
    assert_eq!(config.rootfs.diff_ids.len(), manifest.layers.len());
    let mut layers = Vec::new();
    for (layer, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
        let mut tar = Vec::new();
        let blob = bytes(layer);
        decompress(&blob[..]).expect("known").read_to_end(&mut tar).expect("read");
        assert_eq!(Digest::of(&tar), *diff_id, "the configuration tells the truth");
        let mut reader = Reader::new(&tar[..]);
        let mut entries = Vec::new();
        while let Some(entry) = reader.next_entry().expect("a tar") {
            entries.push(entry);
        }
        layers.push(entries);
    }
    (config, layers)
}

fn image(source: &dyn Source) -> Manifest {
    match source.root().expect("there") {
        Content::Image(manifest) => manifest,
        other => panic!("no image: {other:?}"),
    }
}

pub(crate) fn filters_make_valid_images_twice() {
    let place = Place::new();
    let made = Made::image(
        &[
            tar(&["etc/ 755 0 ", "etc/a 644 0 a", "etc/b 644 0 b", "usr/ 755 0 "]),
            tar(&["etc/.wh.a 0 0 ", "etc/c 600 5 c", "usr/x.pyc 644 0 x"]),
            tar(&["etc/x 644 7 xx", "etc/y 644 0 =>etc/x", "etc/z 644 0 =>etc/x"]),
        ],
        &Platform::host(),
    );
    let kitchen = Kitchen { store: &place.store, reporter: &Silent, found: &|_| Ok(()) };
    let paths = |layers: &[Vec<Entry>]| -> String {
        let one = |entry: &Entry| match entry.kind {
            EntryKind::Hardlink => format!("{}=", entry.path.display()),
            _ => entry.path.display().to_string(),
        };
        let layer = |layer: &Vec<Entry>| layer.iter().map(one).collect::<Vec<_>>().join(" ");
        layers.iter().map(layer).collect::<Vec<_>>().join(" | ")
    };
    let whole = "etc etc/a etc/b usr | etc/.wh.a etc/c usr/x.pyc | etc/x etc/y= etc/z=";
    for (texts, expected, time, kind) in [
        (&["timestamps=7"][..], whole, 7, None),
        (&["timestamps=max=5", "timestamps=max=6"], whole, 5, None),
        (&["timestamps=max=2000000000"], whole, 1_000_000_000, None),
        (&["recompress=none"], whole, 1_000_000_000, Some("tar")),
        (&["recompress=gzip:9", "timestamps=0"], whole, 0, Some("gzip")),
        (
            &["exclude=*.pyc", "exclude=/etc/*", "exclude=!b", "exclude=!z", "exclude=!c"],
            "etc etc/b usr | etc/c | etc/z",
            1_000_000_000,
            None,
        ),
        (
            &["exclude:pattern=etc/x,*.pyc", "normalize-timestamps:ts=3"],
            "etc etc/a etc/b usr | etc/.wh.a etc/c | etc/y etc/z=",
            3,
            None,
        ),
    ] {
        let mut digests = Vec::new();
        for _ in 0..2 {
            let source = apply(Box::new(&made), &filters(texts), kitchen).expect("filtered");
            let manifest = image(&*source);
            let (config, layers) = read(&*source, &manifest);
            assert_eq!(paths(&layers), expected, "{texts:?}");
            let times = layers.iter().flatten().map(|entry| entry.mtime);
            assert!(times.into_iter().all(|found| found == (time, 0)), "{texts:?}");
            if let Some(kind) = kind {
                assert!(manifest.layers.iter().all(|layer| layer.media_type.ends_with(kind)));
            }
            assert_eq!(config.runtime.cmd, Some(vec!["sh".to_owned()]));
            digests.push(source.root().expect("there").descriptor().digest.clone());
            verify(&*source, None).expect("whole");
        }
        assert!(digests.windows(2).all(|two| two[0] == two[1]), "{texts:?}: {digests:?}");
    }
}

pub(crate) fn filtered_layers_are_remembered() {
    let place = Place::new();
    let mut made = Made::index(&["linux/amd64", "linux/arm64"]);
    let run = |made: &Made, texts: &[&str]| {
        let recorder = Recorder::default();
        let found = std::sync::Mutex::new(Vec::new());
        let note = |hit: &bryo::transfer::filter::Found<'_>| {
            found.lock().expect("alone").push(hit.entry.path.display().to_string());
            Ok(())
        };
        let kitchen = Kitchen { store: &place.store, reporter: &recorder, found: &note };
        let source = apply(Box::new(made), &filters(texts), kitchen).expect("filtered");
        let digest = source.root().expect("there").descriptor().digest.clone();
        drop(source);
        (digest, outcomes(&recorder).len(), found.into_inner().expect("alone"))
    };
    let (first, done, _) = run(&made, &["timestamps=1"]);
    assert_eq!(done, 2);
    // Not even read: the layers themselves are gone.
    let blobs = made.blobs.clone();
    let Content::Index(index) = made.content.clone() else { panic!("it was made as one") };
    for entry in &index.manifests {
        let Content::Image(manifest) = &made.others[&entry.digest] else { panic!("no image") };
        made.blobs.remove(&manifest.layers[0].digest);
    }
    assert_eq!(run(&made, &["timestamps=1"]), (first.clone(), 0, vec![]));
    made.blobs = blobs;
    // Each set of filters has its own result, and the first stays.
    let (other, done, _) = run(&made, &["timestamps=2"]);
    assert_eq!((other != first, done), (true, 2));
    assert_eq!(run(&made, &["timestamps=1"]), (first.clone(), 0, vec![]));
    // Who looks for something sees it each time.
    for _ in 0..2 {
        let (digest, _, found) = run(&made, &["timestamps=1", "find=plat*"]);
        assert_eq!((digest, found), (first.clone(), vec!["platform".to_owned(); 2]));
    }
}

pub(crate) fn layers_become_one() {
    let (made, place) = (Made::usual(), Place::new());
    let kitchen = Kitchen { store: &place.store, reporter: &Silent, found: &|_| Ok(()) };
    let squash = |texts: &[&str]| {
        let source = apply(Box::new(&made), &filters(texts), kitchen).expect("squashed");
        let manifest = image(&*source);
        let (_, layers) = read(&*source, &manifest);
        (layers, manifest.descriptor.digest)
    };
    let (layers, digest) = squash(&["squash"]);
    let [entries] = &layers[..] else { panic!("one layer") };
    let paths: Vec<_> = entries.iter().map(|entry| entry.path.display().to_string()).collect();
    let paths = paths.join(" ");
    assert_eq!(paths, ". bin bin/sh etc etc/other etc/passwd large null tmp", "{paths}");
    let owner = entries.iter().find(|entry| entry.path.ends_with("other")).expect("there").uid;
    assert_eq!(owner, 42);
    assert_eq!(squash(&["squash"]).1, digest);
    let (layers, _) = squash(&["timestamps=9", "squash", "exclude=large"]);
    assert_eq!(layers.len(), 1);
    let files = layers[0].iter().filter(|entry| entry.kind == EntryKind::File);
    assert!(files.into_iter().all(|entry| entry.mtime == (9, 0) && !entry.path.ends_with("large")));
}

pub(crate) fn lying_layers_are_not_remembered() {
    let place = Place::new();
    let mut made = Made::image(&[tar(&["a 644 0 a"])], &Platform::host());
    let other = Made::image(&[tar(&["b 644 0 b"])], &Platform::host());
    // The configuration tells of one layer, the manifest of another one.
    let (Content::Image(lie), Content::Image(truth)) = (&mut made.content, &other.content) else {
        panic!("they were made as images")
    };
    let config = made.blobs[&lie.config.digest].clone();
    lie.layers.clone_from(&truth.layers);
    made.blobs.extend(other.blobs.clone());
    assert!(!config.is_empty());
    let kitchen = Kitchen { store: &place.store, reporter: &Silent, found: &|_| Ok(()) };
    let error = apply(Box::new(&made), &filters(&["timestamps=0"]), kitchen).err();
    let error = error.expect("a lie").to_string();
    assert!(error.contains("configuration says"), "{error}");
}
