//! What happens when something is wrong.

use std::error::Error as _;
use std::fs;

use bryo::image::{Config, Content, Descriptor, Digest, Platform, edit, media_type};
use bryo::transfer::source::{self, Files};
use bryo::transfer::{Error, sink};

use crate::made::{Made, Place, tar};

fn layer(made: &Made, number: usize) -> Digest {
    let Content::Image(manifest) = &made.content else { panic!("no image") };
    manifest.layers[number].digest.clone()
}

pub(crate) fn wrong_bytes_are_refused() {
    let usual = Made::usual();
    let digest = layer(&usual, 0);
    let change = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut made = usual.clone();
        change(made.blobs.get_mut(&digest).expect("it is there"));
        made
    };
    let cases = [
        ("a flipped bit", change(&|blob| blob[100] ^= 1)),
        ("a flipped bit at the end", change(&|blob| *blob.last_mut().expect("bytes") ^= 1)),
        ("a cut", change(&|blob| blob.truncate(blob.len() / 2))),
        ("nothing", change(&Vec::clear)),
        ("more", change(&|blob| blob.extend([0; 1000]))),
    ];
    for (what, made) in cases {
        let place = Place::new();
        let error = place.take(&made).expect_err(what);
        assert!(
            matches!(&error, Error::Read { digest: wrong, .. } if *wrong == digest),
            "{what}: {error:?}"
        );
        let cause = error.source().expect("a cause").to_string();
        assert!(cause.contains(&digest.to_string()), "{what}: {cause}");
        assert!(!place.store.has_blob(&digest), "{what} was kept");
        // A layout passes it on no more than a storage directory does.
        let sink = sink::Oci::directory(&place.path("layout"), None).expect("a layout");
        let options = bryo::transfer::Options::default();
        bryo::transfer::transfer(&made, &sink, &options, &bryo::report::Silent).expect_err(what);
        let blob = place.path("layout/blobs/sha256").join(digest.hex());
        assert!(!blob.exists() && !place.path("layout/index.json").exists());
        // And what was right is taken over when all is well again.
        assert_eq!(place.take(&usual).expect("taken"), *usual.digest());
    }
}

/// How many things this process has left half done.
fn in_progress(place: &Place) -> usize {
    let folders = fs::read_dir(place.path("store/tmp")).expect("listed").flatten();
    folders.filter_map(|folder| Some(fs::read_dir(folder.path()).ok()?.count())).sum()
}

pub(crate) fn a_failed_transfer_leaves_nothing() {
    // The configuration promises other content than the layer has.
    let image = Made::image(&[tar(&["a 644 0 a"])], &Platform::host());
    let Content::Image(manifest) = &image.content else { panic!("no image") };
    let lie = |diff_ids: Vec<Digest>| {
        let mut made = image.clone();
        let mut config = Config::parse(&made.blobs[&manifest.config.digest]).expect("valid");
        config.rootfs.diff_ids = diff_ids;
        let bytes = config.to_bytes();
        let described = Descriptor::of(media_type::OCI_CONFIG, &bytes);
        made.blobs.insert(described.digest.clone(), bytes);
        made.content = Content::Image(edit::manifest(&described, &manifest.layers).expect("valid"));
        made
    };
    let place = Place::new();
    let error = place.take(&lie(vec![Digest::of(b"other")])).expect_err("a lie");
    assert!(matches!(error, Error::DiffId { .. }), "{error:?}");
    let error = place.take(&lie(Vec::new())).expect_err("a lie");
    assert!(matches!(error, Error::LayerCount { diff_ids: 0, layers: 1, .. }), "{error:?}");
    assert_eq!(place.store.list_refs().expect("listed"), []);
    assert_eq!(in_progress(&place), 0);
    assert_eq!(fs::read_dir(place.path("store/trees")).expect("listed").count(), 0);

    // A layer that is no archive.
    let mut made = image.clone();
    let bytes = b"x".repeat(2000);
    let described = Descriptor::of(media_type::OCI_LAYER, &bytes);
    made.blobs.insert(described.digest.clone(), bytes);
    made.content = Content::Image(edit::manifest(&manifest.config, &[described]).expect("valid"));
    let error = place.take(&made).expect_err("no archive");
    assert!(matches!(error, Error::Unpack { .. }), "{error:?}");
    assert_eq!(in_progress(&place), 0);

    // A layout whose blob is missing.
    place.take(&image).expect("taken");
    let dir = place.path("layout");
    let sink = sink::Oci::directory(&dir, None).expect("a layout");
    place.send(image.digest(), &[], Box::new(sink));
    let digest = layer(&image, 0);
    fs::remove_file(dir.join("blobs/sha256").join(digest.hex())).expect("removed");
    let other = Place::new();
    let files = Files::open(&dir, &other.store).expect("a layout");
    let error = other.take(&source::Oci::find(files, None).expect("one image")).expect_err("gone");
    assert!(error.to_string().contains(&digest.to_string()), "{error}");
}
