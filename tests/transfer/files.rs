//! Images and plain files.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use bryo::image::{Config, Content, Digest, Manifest, Platform};
use bryo::layer::archive::{EntryKind, Reader};
use bryo::layer::compress::Compression;
use bryo::report::{Event, Recorder, Silent};
use bryo::store::{Store, Tree, TreeKey};
use bryo::transfer::source::host;
use bryo::transfer::source::tree::{self, Making};
use bryo::transfer::{self, sink};

use crate::made::{Made, Place, compressed, run, tar};

fn config(store: &Store, digest: &Digest) -> Config {
    let entry = store.find(digest.hex()).expect("it is there");
    match store.content(&entry.descriptor).expect("a manifest") {
        Content::Image(manifest) => store.config(&manifest).expect("a configuration"),
        other => panic!("{:?}", other.descriptor()),
    }
}

fn trees(store: &Store, manifest: &Manifest) -> Vec<Tree> {
    let config = store.config(manifest).expect("a configuration");
    store.trees(&config).expect("all layers are unpacked")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
}

pub(crate) fn layers_lean_on_those_below() {
    let base = tar(&["tmp/ 1777 5 ", "etc/ 750 0 ", "etc/file 600 42 content"]);
    // Neither `/tmp` nor `/etc` has an entry here.
    let bare = tar(&["tmp/x 644 0 x", "etc/link 600 0 =>etc/file"]);
    let whole = tar(&["opt/ 755 0 ", "opt/x 644 0 x"]);
    let layers = [base.clone(), bare.clone(), whole.clone(), bare.clone()];
    let made = Made::image(&layers, &Platform::host());
    let place = Place::new();
    let digest = place.take(&made).expect("taken");

    let config = config(&place.store, &digest);
    let trees = place.store.trees(&config).expect("all layers are unpacked");
    for bare in [&trees[1], &trees[3]] {
        assert_eq!(mode(&bare.files().join("tmp")), 0o1777);
        assert_eq!(mode(&bare.files().join("etc")), 0o750);
        assert_eq!(fs::read(bare.files().join("etc/link")).expect("copied"), b"content");
        let root = bare.root().expect("a tree");
        let meta = root.lstat(Path::new("etc/link")).expect("readable").expect("there");
        assert_eq!((meta.uid, meta.mode), (42, 0o600));
        assert_eq!(root.lstat(Path::new("tmp")).expect("readable").expect("there").uid, 5);
    }
    let (base, bare, whole) = (Digest::of(&base), Digest::of(&bare), Digest::of(&whole));
    let second = Digest::chain(Some(&base), &bare);
    let third = Digest::chain(Some(&second), &whole);
    let fourth = Digest::chain(Some(&third), &bare);
    let has = |key: TreeKey| place.store.tree(&key).is_some();
    assert!(has(TreeKey::Diff(base)) && has(TreeKey::Diff(whole)));
    assert!(has(TreeKey::Chain(second)) && has(TreeKey::Chain(fourth)));
    assert!(!has(TreeKey::Diff(bare)) && !has(TreeKey::Chain(third)));

    // A link to a file that no layer has is an error, and no image comes of it.
    let lost = Made::image(&[tar(&["a 644 0 =>nowhere"])], &Platform::host());
    place.take(&lost).expect_err("it leads nowhere");
    place.store.find(lost.digest().hex()).expect_err("it has no name");
}

pub(crate) fn a_missing_tree_is_unpacked_again() {
    let (made, place) = (Made::usual(), Place::new());
    let digest = place.take(&made).expect("taken");
    let config = config(&place.store, &digest);
    let trees = place.store.trees(&config).expect("unpacked");
    for tree in [&trees[0], &trees[2]] {
        bryo::rootfs::remove_tree(tree.files().parent().expect("its folder")).expect("removed");
    }
    assert!(place.store.trees(&config).is_none());
    transfer::unpack(&place.store, &made.content, &transfer::Options::default(), &Silent)
        .expect("unpacked");
    let again = place.store.trees(&config).expect("unpacked");
    assert_eq!(mode(&again[0].files().join("bin/sh")), 0o4755);
    assert_eq!(fs::metadata(again[0].files().join("large")).expect("there").len(), 2_000_000);
    assert_eq!(again[2].files().join("etc/other").metadata().expect("there").len(), 4);
}

pub(crate) fn programs_of_the_host_run() {
    let place = Place::new();
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let programs = ["sh", "ls", "awk", "ldd"].map(str::to_owned);
    let recorder = Recorder::default();
    let image =
        |store: &Store, recorder| host::image(store, &programs, path, recorder).expect("made");
    let made = image(&place.store, &recorder);
    assert!(!recorder.events().is_empty());
    let tree = trees(&place.store, &made).remove(0).files();
    let root = tree.display().to_string();
    let said = run(
        "/usr/sbin/chroot",
        &[&root, "/bin/sh", "-c", "echo hello; ls /; awk 'BEGIN { print 6 * 7 }'"],
    );
    assert!(
        said.starts_with("hello\n") && said.contains("tmp\n") && said.ends_with("42\n"),
        "{said}"
    );
    // `ldd` is a script of bash, which nobody asked for.
    run("/usr/sbin/chroot", &[&root, "ldd", "--version"]);
    assert_eq!(mode(&tree.join("tmp")), 0o1777);
    assert_eq!(fs::read_link("/bin").ok(), fs::read_link(tree.join("bin")).ok());
    let config = place.store.config(&made).expect("a configuration");
    assert_eq!(config.runtime.cmd, Some(vec!["sh".to_owned()]));

    // The second time nothing is done; another machine makes the same bytes.
    let recorder = Recorder::default();
    assert_eq!(image(&place.store, &recorder).descriptor, made.descriptor);
    assert_eq!(recorder.events(), []);
    let other = Place::new();
    assert_eq!(image(&other.store, &Recorder::default()).descriptor, made.descriptor);

    // A program that changes makes another image.
    let own = place.path("own");
    let script = |text: &str| {
        fs::write(&own, text).expect("written");
        fs::set_permissions(&own, fs::Permissions::from_mode(0o700)).expect("set");
        let programs = [own.display().to_string()];
        host::image(&place.store, &programs, path, &Silent).expect("made").descriptor
    };
    let first = script("#!/bin/sh\necho one\n");
    let second = script("#!/bin/sh\necho two\n");
    assert_ne!(first, second);
    assert_eq!(first, script("#!/bin/sh\necho one\n"));
}

pub(crate) fn directories_and_tars_are_imported() {
    let place = Place::new();
    let dir = place.path("tree");
    fs::create_dir_all(dir.join("usr/bin")).expect("made");
    fs::write(dir.join("usr/bin/prog"), "content").expect("written");
    symlink("usr/bin", dir.join("bin")).expect("linked");
    let first = tree::image(&place.store, &dir, &Making::default(), &Silent).expect("imported");
    let files = trees(&place.store, &first).remove(0).files();
    assert_eq!(fs::read(files.join("bin/prog")).expect("there"), b"content");
    let again = tree::image(&place.store, &dir, &Making::default(), &Silent).expect("imported");
    assert_eq!(first.descriptor, again.descriptor);
    let metadata = fs::metadata(files.join("usr/bin/prog")).expect("there");
    assert_eq!(metadata.uid(), fs::metadata(&dir).expect("there").uid());

    let bomb = tar(&["usr/ 755 0 ", "usr/prog 755 9 content", "usr/same 755 9 =>usr/prog"]);
    let top = tar(&[
        "top/ 755 0 ",
        "top/usr/ 755 0 ",
        "top/usr/prog 755 9 content",
        "top/usr/same 755 9 =>top/usr/prog",
    ]);
    for bytes in [bomb, top] {
        for compression in [Compression::None, Compression::GZIP, Compression::ZSTD] {
            fs::write(place.path("tar"), compressed(&bytes, compression)).expect("written");
            let image = tree::image(&place.store, &place.path("tar"), &Making::default(), &Silent)
                .expect("imported");
            let tree = trees(&place.store, &image).remove(0);
            assert_eq!(fs::metadata(tree.files().join("usr/same")).expect("there").nlink(), 2);
            let root = tree.root().expect("a tree");
            let meta = root.lstat(Path::new("usr/prog")).expect("readable").expect("there");
            assert_eq!((meta.uid, meta.mode), (9, 0o755));
        }
    }
    tree::image(&place.store, &place.path("nothing"), &Making::default(), &Silent)
        .expect_err("it is not there");
}

pub(crate) fn images_become_files() {
    let (made, place) = (Made::usual(), Place::new());
    let digest = place.take(&made).expect("taken");
    let dir = place.path("out");
    let recorder = Recorder::default();
    place.send(&digest, &[], Box::new(sink::Tree::directory(&place.store, &dir, &recorder)));
    assert_eq!(fs::read(dir.join("etc/other")).expect("there"), b"root");
    assert!(!dir.join("etc/link").is_symlink() && !dir.join("null").exists());
    // Whoever owns a file here is not who owns it there.
    assert_eq!(mode(&dir.join("bin/sh")), 0o755);
    assert_eq!(mode(&dir.join("tmp")), 0o1777);
    let warned = |event: &Event| matches!(event, Event::Warning { .. });
    assert_eq!(recorder.events().iter().filter(|event| warned(event)).count(), 1);

    let mut written = Vec::new();
    for file in ["a.tar", "b.tar"] {
        let output = sink::Output::File(place.path(file));
        let sink = sink::Tree::tar(&place.store, output, &Silent).expect("a file");
        place.send(&digest, &[], Box::new(sink));
        written.push(fs::read(place.path(file)).expect("written"));
    }
    assert!(written[0] == written[1], "not reproducible");
    let mut reader = Reader::new(&written[0][..]);
    let mut found = Vec::new();
    while let Some(entry) = reader.next_entry().expect("a tar") {
        found.push((entry.path.display().to_string(), entry.kind, entry.mode, entry.uid));
    }
    let has = |path: &str, kind, mode, uid| found.contains(&(path.to_owned(), kind, mode, uid));
    assert!(has("bin/sh", EntryKind::File, 0o4755, 0), "{found:?}");
    assert!(has("etc/other", EntryKind::File, 0o640, 42), "{found:?}");
    assert!(has("null", EntryKind::Char, 0o666, 0), "{found:?}");
    assert!(!found.iter().any(|(path, ..)| path.contains(".wh.") || path == "etc/link"));
}
