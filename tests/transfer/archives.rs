//! Layouts and archives, written and read.

use std::fs::{self, File};
use std::io::Cursor;
use std::path::Path;

use bryo::image::{Content, Digest, Manifest, media_type};
use bryo::layer::archive::{Entry, EntryKind, Writer};
use bryo::layer::compress::{Compression, decompress};
use bryo::transfer::source::{self, Files};
use bryo::transfer::{Sink, sink};

use crate::made::{Made, Place, compressed, name, run};

fn manifest(place: &Place, digest: &Digest) -> Manifest {
    let entry = place.store.find(digest.hex()).expect("it is there");
    match place.store.content(&entry.descriptor).expect("a manifest") {
        Content::Image(manifest) => manifest,
        other => panic!("{:?}", other.descriptor()),
    }
}

fn oci_archive(file: &Path) -> Box<dyn Sink> {
    let output = sink::Output::File(file.to_owned());
    Box::new(sink::Oci::archive(output, None).expect("a file"))
}

pub(crate) fn layouts_keep_every_byte() {
    let (made, place) = (Made::usual(), Place::new());
    let digest = place.take(&made).expect("taken");
    assert_eq!(digest, *made.digest());

    let dir = place.path("layout");
    let names = [name("localhost/app:1"), name("localhost/app:2")];
    place.send(&digest, &names, Box::new(sink::Oci::directory(&dir, None).expect("a layout")));
    let file = place.path("layout.tar");
    place.send(&digest, &names, oci_archive(&file));
    let again = place.path("again.tar");
    place.send(&digest, &names, oci_archive(&again));
    assert!(fs::read(&file).expect("read") == fs::read(&again).expect("read"), "not reproducible");

    for path in [dir, file] {
        let other = Place::new();
        let files = Files::open(&path, &other.store).expect("a layout");
        let images = source::detect(files).expect("images");
        assert_eq!(images.len(), 1, "{}", path.display());
        assert_eq!(images[0].names(), names);
        assert_eq!(other.take(&*images[0]).expect("taken"), digest, "{}", path.display());
        let found = other.store.find("localhost/app:2").expect("named").descriptor.digest;
        assert_eq!(found, digest);
        let config = other.store.config(&manifest(&other, &digest)).expect("a configuration");
        assert_eq!(other.store.trees(&config).expect("unpacked").len(), 3);
        for tag in ["1", "2", "localhost/app:2", &digest.to_string()] {
            let files = Files::open(&path, &other.store).expect("a layout");
            source::Oci::find(files, Some(tag)).expect(tag);
        }
        let files = Files::open(&path, &other.store).expect("a layout");
        source::Oci::find(files, Some("3")).expect_err("there is no such tag");
    }
}

pub(crate) fn skopeo_reads_what_is_written() {
    let (made, place) = (Made::usual(), Place::new());
    let digest = place.take(&made).expect("taken");
    let text = |name: &str| place.path(name).display().to_string();
    let layout = sink::Oci::directory(&place.path("layout"), Some("v1".into())).expect("a layout");
    place.send(&digest, &[], Box::new(layout));
    let raw = run("skopeo", &["inspect", "--raw", &format!("oci:{}:v1", text("layout"))]);
    assert_eq!(Digest::of(raw.as_bytes()), digest);

    place.send(&digest, &[name("localhost/app:1")], oci_archive(&place.path("a.tar")));
    let from = format!("oci-archive:{}:1", text("a.tar"));
    let raw = run("skopeo", &["inspect", "--raw", &from]);
    assert_eq!(Digest::of(raw.as_bytes()), digest);

    let output = sink::Output::File(place.path("d.tar"));
    let archive = sink::Docker::archive(output, &place.store).expect("a file");
    place.send(&digest, &[name("localhost/app:1")], Box::new(archive));
    let (from, to) =
        (format!("docker-archive:{}", text("d.tar")), format!("oci:{}:x", text("copy")));
    run("skopeo", &["--insecure-policy", "copy", "-q", &from, &to]);
    // And what skopeo writes is read: its layers have the same content.
    let other = Place::new();
    let files = Files::open(&place.path("copy"), &other.store).expect("a layout");
    let copied = other.take(&source::Oci::find(files, Some("x")).expect("x")).expect("taken");
    let diff_ids = |place: &Place, digest: &Digest| {
        place.store.config(&manifest(place, digest)).expect("a configuration").rootfs.diff_ids
    };
    assert_eq!(diff_ids(&other, &copied), diff_ids(&place, &digest));

    let to = format!("docker-archive:{}:localhost/app:3", text("skopeo.tar"));
    // skopeo 1.9 cannot decompress zstd for docker; its own copy has none.
    let from = format!("oci:{}:x", text("copy"));
    run("skopeo", &["--insecure-policy", "copy", "-q", &from, &to]);
    let files = Files::open(&place.path("skopeo.tar"), &other.store).expect("an archive");
    let images = source::detect(files).expect("images");
    assert_eq!(images[0].names(), [name("localhost/app:3")]);
    let loaded = other.take(&*images[0]).expect("taken");
    assert_eq!(diff_ids(&other, &loaded), diff_ids(&place, &digest));
}

pub(crate) fn docker_archives_come_back() {
    let (made, place) = (Made::usual(), Place::new());
    let digest = place.take(&made).expect("taken");
    let names = [name("localhost/team/app:1"), name("app")];
    let archive = |place: &Place, digest: &Digest, file: &str| {
        let output = sink::Output::File(place.path(file));
        let archive = sink::Docker::archive(output, &place.store).expect("a file");
        place.send(digest, &names, Box::new(archive));
        fs::read(place.path(file)).expect("read")
    };
    let first = archive(&place, &digest, "first.tar");
    assert!(first == archive(&place, &digest, "second.tar"), "not reproducible");

    let other = Place::new();
    let files = Files::open(&place.path("first.tar"), &other.store).expect("an archive");
    let images = source::detect(files).expect("images");
    assert_eq!(images[0].names(), names);
    let loaded = other.take(&*images[0]).expect("taken");
    let (before, after) = (manifest(&place, &digest), manifest(&other, &loaded));
    assert_eq!(before.config.digest, after.config.digest);
    assert!(first == archive(&other, &loaded, "third.tar"), "something was lost");
    assert_eq!(other.take(&*images[0]).expect("once more"), loaded);
}

/// The same image as docker 25 and later write it, and as docker 1.10 did, with links.
fn by_hand(made: &Made, modern: bool) -> Vec<u8> {
    let Content::Image(manifest) = &made.content else { panic!("no image") };
    let mut writer = Writer::new(Vec::new());
    let mut add = |path: String, content: &[u8]| {
        let size = content.len() as u64;
        let entry = Entry { mode: 0o644, size, ..Entry::new(&path, EntryKind::File) };
        writer.append(&entry, content).expect("in memory");
        path
    };
    let mut places = Vec::new();
    for layer in &manifest.layers {
        let mut tar = Vec::new();
        let mut inside = decompress(&made.blobs[&layer.digest][..]).expect("compressed");
        std::io::copy(&mut inside, &mut tar).expect("compressed");
        let hex = Digest::of(&tar).hex().to_owned();
        let path =
            if modern { format!("blobs/sha256/{hex}") } else { format!("./{hex}/layer.tar") };
        places.push(add(path, &tar));
    }
    let config = &manifest.config.digest;
    let path = if modern {
        format!("blobs/sha256/{}", config.hex())
    } else {
        format!("{}.json", config.hex())
    };
    let config = add(path, &made.blobs[config]);
    if !modern {
        // Equal layers were links, and every name began with `./` for some writers.
        let entry = |path: &str, target: &str| Entry {
            link: Some(target.into()),
            ..Entry::new(path, EntryKind::Symlink)
        };
        let target = format!("../{}", places[0].trim_start_matches("./"));
        writer.append(&entry("linked/layer.tar", &target), std::io::empty()).expect("in memory");
        places[0] = "linked/layer.tar".to_owned();
    }
    let list = serde_json::json!([{ "Config": config, "RepoTags": null, "Layers": places }]);
    let list = list.to_string().into_bytes();
    let size = list.len() as u64;
    let entry = Entry { mode: 0o644, size, ..Entry::new("manifest.json", EntryKind::File) };
    writer.append(&entry, &list[..]).expect("in memory");
    writer.finish().expect("in memory")
}

pub(crate) fn archives_of_every_kind_are_loaded() {
    let made = Made::usual();
    let Content::Image(expected) = &made.content else { panic!("no image") };
    for modern in [true, false] {
        let tar = by_hand(&made, modern);
        for compression in [Compression::None, Compression::GZIP, Compression::ZSTD] {
            let place = Place::new();
            let bytes = compressed(&tar, compression);
            fs::write(place.path("a"), &bytes).expect("written");
            let files = [
                Files::open(&place.path("a"), &place.store).expect("a file"),
                Files::stream(Cursor::new(bytes), "stdin", &place.store).expect("a stream"),
            ];
            for files in files {
                let images = source::detect(files).expect("images");
                let digest = place.take(&*images[0]).expect("taken");
                assert_eq!(manifest(&place, &digest).config.digest, expected.config.digest);
            }
        }
    }
    let place = Place::new();
    fs::write(place.path("a"), "no tar at all, and too short to be one").expect("written");
    let error = Files::open(&place.path("a"), &place.store).and_then(source::detect);
    error.map(|images| images.len()).expect_err("nonsense");
    File::create(place.path("b")).expect("made");
    let error = Files::open(&place.path("b"), &place.store).and_then(source::detect);
    let error = error.map(|images| images.len()).expect_err("empty").to_string();
    assert!(error.contains("manifest.json"), "{error}");
}

pub(crate) fn several_images_share_an_archive() {
    let (one, index) = (Made::usual(), Made::index(&["linux/amd64"]));
    let other = index.others.values().next().expect("one image").clone();
    let other = Made { content: other, ..index };
    let place = Place::new();
    let digests = [&one, &other].map(|made| place.take(made).expect("taken"));
    let names = ["localhost/one:1", "localhost/other:1"].map(name);
    let sinks: [Box<dyn Sink>; 2] = [
        oci_archive(&place.path("oci.tar")),
        Box::new({
            let output = sink::Output::File(place.path("docker.tar"));
            sink::Docker::archive(output, &place.store).expect("a file")
        }),
    ];
    for sink in sinks {
        for (digest, name) in digests.iter().zip(&names) {
            let source = source::Store::find(&place.store, digest.hex()).expect("there");
            let names = vec![name.clone()];
            let options = bryo::transfer::Options { names, ..Default::default() };
            bryo::transfer::transfer(&source, &*sink, &options, &bryo::report::Silent)
                .expect("sent");
        }
        sink.finish().expect("finished");
    }
    for file in ["oci.tar", "docker.tar"] {
        let target = Place::new();
        let files = Files::open(&place.path(file), &target.store).expect("an archive");
        let images = source::detect(files).expect("images");
        let found: Vec<_> = images.iter().flat_map(|image| image.names()).collect();
        assert_eq!(found, names, "{file}");
        images.iter().for_each(|image| drop(target.take(&**image).expect("taken")));
        target.store.find("localhost/other:1").expect("named");
    }
    let find = |name| {
        let files = Files::open(&place.path("docker.tar"), &place.store).expect("an archive");
        source::Docker::find(files, name)
    };
    let error = find(None).expect_err("several").to_string();
    assert!(error.contains("localhost/one:1, localhost/other:1"), "{error}");
    find(Some("localhost/other:1")).expect("named");
    assert_eq!(one.content.descriptor().media_type, media_type::OCI_MANIFEST);
}
