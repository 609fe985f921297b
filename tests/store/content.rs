//! Blobs, names, cached steps, and removing.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use bryo::image::{Config, Descriptor, Digest, Platform, Reference, media_type};
use bryo::rootfs::SideTable;
use bryo::store::{
    CacheEntry, CachedLayer, Error, Kind, Name, RefChange, RefEntry, SeenRefs, Store, TreeKey,
};

use crate::run;

/// An image in the store, with one layer for each text: its blob is the text, its tree has one file.
pub(crate) fn image(store: &Store, layers: &[&str]) -> Descriptor {
    let mut config = Config::scratch(&Platform::host());
    let mut descriptors = Vec::new();
    for text in layers {
        let digest = store.put_blob(text.as_bytes()).expect("a blob");
        let size = text.len() as u64;
        descriptors.push(Descriptor::new(media_type::OCI_LAYER_GZIP, digest.clone(), size));
        tree(store, &digest, &[("file", text)]);
        config.rootfs.diff_ids.push(digest);
    }
    let config = config.to_bytes();
    store.put_blob(&config).expect("a blob");
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": Descriptor::of(media_type::OCI_CONFIG, &config),
        "layers": descriptors,
    });
    let bytes = serde_json::to_vec(&manifest).expect("JSON");
    store.put_blob(&bytes).expect("a blob");
    Descriptor::of(media_type::OCI_MANIFEST, &bytes)
}

/// A layer's tree with these files.
pub(crate) fn tree(store: &Store, diff_id: &Digest, files: &[(&str, &str)]) {
    let new = store.new_tree().expect("a tree");
    for (path, text) in files {
        let path = new.files().join(path);
        fs::create_dir_all(path.parent().expect("in the tree")).expect("a directory");
        fs::write(path, text).expect("a file");
    }
    new.commit(&TreeKey::Diff(diff_id.clone()), &SideTable::new(true)).expect("committed");
}

pub(crate) fn entry(name: &str, descriptor: &Descriptor) -> RefEntry {
    let name = match name {
        "" => Name::Anonymous(descriptor.digest.clone()),
        name => Name::Tagged(name.parse().expect(name)),
    };
    RefEntry { name, descriptor: descriptor.clone(), index: None }
}

/// The number of entries in a folder of the storage directory.
pub(crate) fn count(store: &Store, folder: &str) -> usize {
    fs::read_dir(store.path().join(folder)).expect(folder).count()
}

fn names(store: &Store) -> Vec<String> {
    store.list_refs().expect("readable").iter().map(|entry| entry.name.to_string()).collect()
}

pub(crate) fn a_store_is_made_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("a/b");
    let store = Store::open(&path).expect("made");
    let mode = fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o700);
    let digest = store.put_blob(b"kept").expect("written");
    drop(store);
    assert!(Store::open(&path).expect("opened").has_blob(&digest));

    // Killed while it was made.
    fs::remove_file(path.join("format")).expect("there");
    fs::remove_dir(path.join("leases")).expect("there");
    assert!(Store::open(&path).expect("made whole").has_blob(&digest));

    fs::write(path.join("format"), "bryo storage 99\n").expect("writable");
    match Store::open(&path) {
        Err(Error::Format { found, known: 1, .. }) => assert_eq!(found, "99"),
        other => panic!("{other:?}"),
    }

    let other = dir.path().join("home");
    fs::create_dir(&other).expect("made");
    fs::write(other.join("thesis.tex"), "").expect("written");
    assert!(matches!(Store::open(&other), Err(Error::Open(..))));
    assert_eq!(fs::read_dir(&other).expect("there").count(), 1, "something was made there");
}

pub(crate) fn blobs_are_what_their_names_say() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path()).expect("made");
    let mut writer = store.blob_writer().expect("begun");
    writer.write_all(b"some").expect("written");
    writer.write_all(b"thing").expect("written");
    let wrong = Digest::of(b"another");
    assert!(matches!(writer.commit(Some(&wrong)), Err(Error::Damaged { .. })));
    assert_eq!(count(&store, "blobs/sha256"), 0);

    let mut writer = store.blob_writer().expect("begun");
    writer.write_all(b"something").expect("written");
    let (digest, size) = writer.commit(None).expect("committed");
    assert_eq!((digest.clone(), size), (Digest::of(b"something"), 9));
    assert_eq!(store.read_blob(&digest).expect("whole"), b"something");
    assert_eq!(store.blob_size(&digest), Some(9));

    let path = store.path().join("blobs/sha256").join(digest.hex());
    fs::write(&path, b"somethinG").expect("writable");
    assert!(matches!(store.read_blob(&digest), Err(Error::Damaged { .. })));
    assert!(!store.has_blob(&digest), "the damaged blob is still there");
    assert!(matches!(store.read_blob(&digest), Err(Error::Missing(_))));

    fs::write(&path, b"").expect("writable");
    assert!(!store.has_blob(&digest), "an empty file was taken for the blob");
    let empty = store.put_blob(b"").expect("written");
    assert!(store.has_blob(&empty));

    drop(store.blob_writer().expect("begun"));
    drop(store);
    assert_eq!(fs::read_dir(dir.path().join("tmp")).expect("there").count(), 0);
}

pub(crate) fn names_move_and_nothing_is_lost() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path()).expect("made");
    let (old, new) = (image(&store, &["old"]), image(&store, &["new"]));
    store.set_ref(&entry("app", &old)).expect("named");
    store.set_ref(&entry("app", &old)).expect("named again");
    assert_eq!(names(&store), ["docker.io/library/app:latest"]);
    store.set_ref(&entry("app", &new)).expect("moved");
    let nameless = format!("@{}", old.digest);
    assert_eq!(names(&store), ["docker.io/library/app:latest", &nameless]);

    store.set_ref(&entry("app:old", &old)).expect("named");
    store.set_ref(&entry("", &old)).expect("nothing to do");
    assert_eq!(names(&store), ["docker.io/library/app:latest", "docker.io/library/app:old"]);
    store.set_ref(&entry("app:old", &new)).expect("moved");
    store.set_ref(&entry("app:old", &old)).expect("and back");
    assert_eq!(names(&store).len(), 2, "{:?}", names(&store));

    let long = format!("{}/{}:{}", "host.example:5000", "a/".repeat(100) + "b", "t".repeat(128));
    store.set_ref(&entry(&long, &old)).expect("named");
    let found = store.get_ref(&Name::Tagged(long.parse().expect("valid"))).expect("readable");
    assert_eq!(found.expect("there").descriptor, old);
}

pub(crate) fn images_are_found_by_what_people_type() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path()).expect("made");
    let (one, two) = (image(&store, &["one"]), image(&store, &["two"]));
    let index = Descriptor::of(media_type::OCI_INDEX, b"an index");
    let with_index = RefEntry { index: Some(index.clone()), ..entry("host.example/one:1", &one) };
    store.set_ref(&with_index).expect("named");
    store.set_ref(&entry("", &two)).expect("kept");
    let content = store.content(&one).expect("readable");
    let bryo::image::Content::Image(manifest) = content else { panic!("not an image") };
    let id = manifest.config.digest;
    for text in [
        "host.example/one:1".to_owned(),
        format!("host.example/one@{}", one.digest),
        format!("host.example/one@{}", index.digest),
        one.digest.to_string(),
        one.digest.hex()[..12].to_owned(),
        id.hex()[..12].to_owned(),
        format!("sha256:{}", &id.hex()[..12]),
    ] {
        assert_eq!(store.find(&text).expect(&text).descriptor, one, "{text}");
    }
    assert_eq!(store.find(two.digest.short()).expect("by its digest").descriptor, two);
    for text in ["host.example/one", "one", &one.digest.hex()[..3], "zzzz", "", "a b"] {
        assert!(matches!(store.find(text), Err(Error::NotFound(_))), "{text}");
    }
    let reference: Reference = format!("host.example/two@{}", one.digest).parse().expect("valid");
    assert_eq!(store.find_reference(&reference).expect("readable"), None);
}

pub(crate) fn steps_are_remembered() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path()).expect("made");
    let (key, diff_id) = (Digest::of(b"key"), Digest::of(b"diff"));
    assert_eq!(store.cache_get(&key).expect("readable"), None);
    let digest = store.put_blob(b"layer").expect("written");
    let descriptor = Descriptor::new(media_type::OCI_LAYER_GZIP, digest.clone(), 5);
    let layer = Some(CachedLayer { descriptor, diff_id, compression: None });
    let made = CacheEntry {
        layer,
        created: "2026-01-01T00:00:00Z".into(),
        said: Some("RUN true".into()),
        ..CacheEntry::default()
    };
    store.cache_put(&key, &made).expect("written");
    assert_eq!(store.cache_get(&key).expect("readable"), Some(made));
    fs::remove_file(dir.path().join("blobs/sha256").join(digest.hex())).expect("there");
    assert_eq!(store.cache_get(&key).expect("readable"), None, "its layer is gone");
    fs::write(dir.path().join("cache").join(key.hex()), "{").expect("writable");
    assert_eq!(store.cache_get(&key).expect("readable"), None, "it is damaged");
}

pub(crate) fn removing_spares_what_others_hold() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path()).expect("made");
    let one = image(&store, &["base", "one"]);
    let two = image(&store, &["base", "two"]);
    store.set_ref(&entry("one", &one)).expect("named");
    store.set_ref(&entry("two", &two)).expect("named");
    for text in ["one", "stage"] {
        let digest = store.put_blob(text.as_bytes()).expect("a blob");
        let descriptor = Descriptor::new(media_type::OCI_LAYER_GZIP, digest.clone(), 0);
        let layer = Some(CachedLayer { descriptor, diff_id: digest.clone(), compression: None });
        let made = CacheEntry { layer, ..CacheEntry::default() };
        store.cache_put(&digest, &made).expect("cached");
    }
    tree(&store, &Digest::of(b"stage"), &[("file", "of a stage that has no name")]);
    let has_tree = |text: &str| store.tree(&TreeKey::Diff(Digest::of(text.as_bytes()))).is_some();

    let removed = store.remove(&[entry("one", &one).name]).expect("removed");
    assert!(!removed.deferred);
    assert_eq!((removed.trees, removed.blobs > 3, removed.tree_bytes > 0), (1, true, true));
    for (text, kept) in [("base", true), ("one", false), ("two", true), ("stage", true)] {
        assert_eq!(store.has_blob(&Digest::of(text.as_bytes())), kept, "{text}");
        assert_eq!(has_tree(text), kept, "{text}");
    }
    assert_eq!(count(&store, "cache"), 1, "the cached step of a removed image");
    assert!(store.content(&two).is_ok());

    // The same name again does no harm, and the last image takes all with it.
    store.remove(&[entry("one", &one).name]).expect("nothing to do");
    // Somebody was killed when it had its name, and was about to lose its anonymous one.
    let other = tempfile::tempdir().expect("a directory");
    let scratch = Store::open(other.path()).expect("made");
    scratch.set_ref(&entry("", &two)).expect("named");
    let twin = fs::read_dir(other.path().join("refs")).expect("there").next().expect("one");
    let twin = twin.expect("an entry");
    fs::copy(twin.path(), dir.path().join("refs").join(twin.file_name())).expect("copied");
    assert_eq!(names(&store), ["docker.io/library/two:latest"]);
    store.remove(&[entry("two", &two).name]).expect("removed");
    assert!(!has_tree("base"));
    assert_eq!((count(&store, "blobs/sha256"), count(&store, "refs")), (1, 0));
    assert_eq!(count(&store, "removed"), 0);
}

pub(crate) fn what_was_forgotten_comes_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path()).expect("made");
    let (one, two) = (image(&store, &["one"]), image(&store, &["two"]));
    for named in [entry("one", &one), entry("two", &two), entry("other", &two)] {
        store.set_ref(&named).expect("named");
    }
    let name = |text: &str| entry(text, &one).name;
    store.forget(&[name("one"), name("two")]).expect("forgotten");
    assert_eq!(names(&store), ["docker.io/library/other:latest"]);
    // Neither others' removal nor what is not old enough takes it.
    store.sweep(&|_, _| false).expect("swept");
    let spared = store.sweep_old(std::time::Duration::from_secs(60)).expect("nothing to do");
    assert_eq!(spared.bytes(), 0);
    assert_eq!(store.restore(&name("one")).expect("restored").descriptor, one);
    assert!(store.content(&one).is_ok());
    assert!(matches!(store.restore(&name("one")), Err(Error::Exists(_))));
    assert!(matches!(store.restore(&name("never")), Err(Error::NotForgotten(_))));
    // The name means something else by now.
    store.set_ref(&entry("two", &one)).expect("named");
    assert!(matches!(store.restore(&name("two")), Err(Error::Exists(_))));
    store.forget(&[name("two"), name("one"), name("other")]).expect("forgotten");
    let swept = store.sweep(&|gone, _| *gone == name("other")).expect("swept");
    assert!(swept.bytes() > 0, "two has no other name");
    assert!(matches!(store.restore(&name("other")), Err(Error::NotForgotten(_))));
    store.restore(&name("two")).expect("of the two it was the last");
    assert_eq!(store.find("two").expect("there").descriptor, one);
}

pub(crate) fn all_that_is_freed_was_counted() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path()).expect("made");
    let long = "long ".repeat(10_000);
    let one = image(&store, &["base", &long]);
    let two = image(&store, &["base", "two"]);
    store.set_ref(&entry("one", &one)).expect("named");
    store.set_ref(&entry("two", &two)).expect("named");
    store.set_ref(&entry("again", &two)).expect("named");
    let digest = store.put_blob(b"of a step").expect("a blob");
    let descriptor = Descriptor::new(media_type::OCI_LAYER_GZIP, digest.clone(), 9);
    let layer = Some(CachedLayer { descriptor, diff_id: digest.clone(), compression: None });
    store.cache_put(&digest, &CacheEntry { layer, ..CacheEntry::default() }).expect("cached");
    store.put_blob(b"that nobody knows of").expect("a blob");

    let usage = store.usage().expect("counted");
    let kinds: Vec<Kind> = usage.pieces.iter().map(|piece| piece.kind).collect();
    assert_eq!(kinds, [Kind::Image, Kind::Image, Kind::Step, Kind::Rest]);
    let first = usage.pieces.iter().find(|piece| piece.id == one.digest.to_string());
    let first = first.expect("the image");
    let (own, shared) = usage.sizes(first);
    assert!(own > 50_000 && shared > 0 && shared < 20_000, "{own} {shared}");
    let is_first = |piece: &bryo::store::Piece| piece.id == first.id;
    assert_eq!(usage.freed(is_first), own);
    assert_eq!(usage.needed(|piece| piece.kind == Kind::Image) + 20, {
        let of_step = usage.freed(|piece| piece.kind == Kind::Step);
        usage.total() - of_step
    });
    // What is deleted is what was counted, and the rest that nobody holds.
    let chosen: Vec<_> =
        usage.pieces.iter().filter(|p| is_first(p) || p.kind == Kind::Rest).collect();
    let expected = usage.freed(|piece| is_first(piece) || piece.kind == Kind::Rest);
    let removed = store.delete(&chosen).expect("deleted");
    assert_eq!((removed.bytes(), removed.deferred), (expected, false));
    let after = store.usage().expect("counted");
    assert_eq!(after.total(), usage.total() - expected);
    assert_eq!(names(&store).len(), 2);
    assert!(store.cache_get(&digest).expect("readable").is_some());
    store.delete(&after.pieces.iter().collect::<Vec<_>>()).expect("deleted");
    assert_eq!(store.usage().expect("counted").total(), 0);
}

/// A directory in which a small file system of its own is mounted.
fn small_disk(dir: &Path) {
    run("mount", &["-t", "tmpfs", "-o", "size=1M,mode=700", "none", &dir.to_string_lossy()]);
}

pub(crate) fn a_full_disk_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    small_disk(dir.path());
    let store = Store::open(dir.path()).expect("made");
    let name = entry("small", &image(&store, &["small"]));
    store.set_ref(&name).expect("named");

    let mut writer = store.blob_writer().expect("begun");
    let full = (0..64).find_map(|_| writer.write_all(&[7; 64 << 10]).err()).expect("it is full");
    assert!(bryo::store::is_full(&full), "{full:?}");
    let error = store.put_blob(&[8; 64 << 10]).expect_err("it is full");
    assert!(error.is_full(), "{error:?}");
    let hint = error.hint().expect("there is a remedy");
    let place = dir.path().canonicalize().expect("there");
    let expected = format!("{} (tmpfs)", place.display());
    assert!(hint.contains(&expected), "{hint:?} does not name {expected:?}");
    drop(writer);

    // What did not fit has left nothing, and the store is as it was.
    assert_eq!(store.find("small").expect("there"), name);
    store.put_blob(&[8; 64 << 10]).expect("there is room again");
    drop(store);
    assert_eq!(fs::read_dir(dir.path().join("tmp")).expect("there").count(), 0);
    run("umount", &[&dir.path().to_string_lossy()]);
}

pub(crate) fn changes_of_names_are_seen_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path()).expect("made");
    let mut seen = SeenRefs::default();
    let mut look = || store.look_again(&mut seen).expect("readable");
    let change = |before: Option<&RefEntry>, now: Option<&RefEntry>| RefChange {
        before: before.cloned(),
        now: now.cloned(),
    };
    assert_eq!(look(), []);
    let [one, two] = ["one", "two"].map(|text| image(&store, &[text]));
    let (first, second) = (entry("a", &one), entry("b", &one));
    store.set_ref(&first).expect("named");
    assert_eq!(look(), [change(None, Some(&first))]);
    assert_eq!(look(), []);
    // To another image of the same size, and to the same one again.
    let moved = entry("a", &two);
    store.replace_ref(&moved).expect("named");
    store.replace_ref(&second).expect("named");
    let mut all = look();
    all.sort_by_key(|change| change.now.as_ref().map(|entry| entry.name.clone()));
    assert_eq!(all, [change(Some(&first), Some(&moved)), change(None, Some(&second))]);
    store.replace_ref(&second).expect("named");
    assert_eq!(look(), [change(Some(&second), Some(&second))]);
    store.forget(std::slice::from_ref(&moved.name)).expect("forgotten");
    assert_eq!(look(), [change(Some(&moved), None)]);
    store.restore(&moved.name).expect("there");
    store.forget_held(&second.name).expect("forgotten");
    let mut all = look();
    all.sort_by_key(|change| change.before.is_some());
    assert_eq!(all, [change(None, Some(&moved)), change(Some(&second), None)]);
    // One that is damaged is none.
    let file = fs::read_dir(dir.path().join("refs")).expect("there").next().expect("one");
    fs::write(file.expect("readable").path(), "moss").expect("writable");
    assert_eq!(look(), [change(Some(&moved), None)]);
    assert_eq!(look(), []);
}

pub(crate) fn a_store_can_be_read_only() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_string_lossy();
    let store = Store::open(dir.path()).expect("made");
    let name = entry("shared", &image(&store, &["shared"]));
    store.set_ref(&name).expect("named");
    drop(store);
    run("mount", &["--bind", &path, &path]);
    run("mount", &["-o", "remount,bind,ro", &path]);
    let store = Store::open(dir.path()).expect("readable");
    let found = store.find("shared").expect("there");
    assert!(store.content(&found.descriptor).is_ok());
    assert!(store.put_blob(b"new").is_err());
    assert!(store.remove(&[name.name]).is_err());
    assert_eq!(store.list_refs().expect("readable").len(), 1);
    drop(store);
    run("umount", &[&path]);
}
