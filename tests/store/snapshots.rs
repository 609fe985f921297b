//! Snapshots: many layers as one directory, and what was written to it as the next layer.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use bryo::image::Digest;
use bryo::layer::Change;
use bryo::rootfs::{Record, Root, SideTable};
use bryo::store::{BACKENDS, Snapshot, Store, Tree, TreeKey};
use bryo::sys::overlay::{self, Overlay};
use tempfile::TempDir;

fn store() -> (TempDir, Store) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path()).expect("made");
    (dir, store)
}

/// Makes a layer as a RUN does: above `below`, by `change`, which sees the merged root.
fn layer(store: &Store, below: &[Tree], name: &str, change: impl FnOnce(&Path)) -> Tree {
    let mut snapshot = store.snapshot(below).expect("a snapshot");
    change(snapshot.root().path());
    let (_, records) = snapshot.changes().expect("told");
    snapshot.commit(&Digest::of(name.as_bytes()), &records).expect("committed")
}

/// What can be seen in a snapshot: each path with what is there.
fn listing(snapshot: &Snapshot<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    list(snapshot.root().path(), Path::new(""), &mut lines);
    lines.sort();
    lines
}

fn list(root: &Path, dir: &Path, lines: &mut Vec<String>) {
    for entry in fs::read_dir(root.join(dir)).expect("a directory") {
        let entry = entry.expect("an entry");
        let path = dir.join(entry.file_name());
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            lines.push(format!("{}/", path.display()));
            list(root, &path, lines);
        } else if kind.is_symlink() {
            let target = fs::read_link(entry.path()).expect("a link");
            lines.push(format!("{} -> {}", path.display(), target.display()));
        } else {
            let text = fs::read_to_string(entry.path()).expect("a text");
            lines.push(format!("{} = {text}", path.display()));
        }
    }
}

fn put(path: PathBuf) -> Change {
    Change::Put(path)
}

pub(crate) fn a_snapshot_becomes_a_layer() {
    let (_dir, store) = store();
    let base = layer(&store, &[], "base", |root| {
        fs::create_dir_all(root.join("etc/conf.d")).expect("made");
        fs::write(root.join("etc/name"), "base").expect("written");
        fs::write(root.join("etc/conf.d/a"), "a").expect("written");
        fs::create_dir(root.join("gone")).expect("made");
        fs::write(root.join("gone/file"), "").expect("written");
        fs::write(root.join("one"), "linked").expect("written");
        fs::hard_link(root.join("one"), root.join("two")).expect("linked");
        symlink("one", root.join("link")).expect("linked");
    });
    let next = layer(&store, std::slice::from_ref(&base), "next", |root| {
        fs::write(root.join("etc/name"), "next").expect("written");
        fs::remove_dir_all(root.join("gone")).expect("removed");
        fs::remove_dir_all(root.join("etc/conf.d")).expect("removed");
        fs::create_dir(root.join("etc/conf.d")).expect("made");
        fs::write(root.join("etc/conf.d/b"), "b").expect("written");
        // A directory becomes a file, and a file a directory.
        fs::write(root.join("gone"), "now a file").expect("written");
        fs::remove_file(root.join("two")).expect("removed");
        fs::create_dir(root.join("two")).expect("made");
    });
    let back = layer(&store, &[base.clone(), next.clone()], "back", |root| {
        fs::remove_file(root.join("gone")).expect("removed");
        fs::create_dir(root.join("gone")).expect("made");
        fs::write(root.join("gone/new"), "again a directory").expect("written");
        fs::hard_link(root.join("etc/name"), root.join("name")).expect("linked");
    });
    let trees = [base, next, back];
    let snapshot = store.snapshot(&trees).expect("a snapshot");
    let expected = [
        "etc/",
        "etc/conf.d/",
        "etc/conf.d/b = b",
        "etc/name = next",
        "gone/",
        "gone/new = again a directory",
        "link -> one",
        "name = next",
        "one = linked",
        "two/",
    ];
    assert_eq!(listing(&snapshot), expected);
    let inode = |path: &str| fs::metadata(snapshot.root().path().join(path)).expect(path).ino();
    assert_eq!(inode("etc/name"), inode("name"));
}

pub(crate) fn changes_are_told() {
    let (_dir, store) = store();
    let base = layer(&store, &[], "base", |root| {
        fs::create_dir_all(root.join("d/e")).expect("made");
        fs::write(root.join("d/e/f"), "f").expect("written");
        fs::write(root.join("kept"), "kept").expect("written");
    });
    let mut snapshot = store.snapshot(&[base]).expect("a snapshot");
    assert_eq!(snapshot.changes().expect("told").0, []);
    let root = snapshot.root().path().to_owned();
    fs::read(root.join("kept")).expect("read");
    fs::remove_dir_all(root.join("d/e")).expect("removed");
    fs::create_dir(root.join("d/e")).expect("made");
    fs::write(root.join("new"), "new").expect("written");
    fs::remove_file(root.join("kept")).expect("removed");
    let name = "user.note";
    let status = std::process::Command::new("setfattr")
        .args(["-n", name, "-v", "said"])
        .arg(root.join("new"))
        .status()
        .expect("setfattr");
    assert!(status.success());
    let (changes, records) = snapshot.changes().expect("told");
    let expected = [
        put("d".into()),
        put("d/e".into()),
        Change::Hide("d/e".into()),
        Change::Delete("kept".into()),
        put("new".into()),
    ];
    assert_eq!(changes, expected);
    assert!(records.root_implied && records.is_empty());
    let xattrs = snapshot.upper().xattrs(Path::new("new")).expect("readable");
    assert_eq!(xattrs.get(OsStr::new(name)).map(Vec::as_slice), Some(&b"said"[..]));
}

pub(crate) fn the_root_keeps_its_attributes() {
    let (_dir, store) = store();
    let new = store.new_tree().expect("a tree");
    let root = new.root().expect("opened");
    root.set_owner(Path::new(""), 5, 6, &mut SideTable::default()).expect("recorded");
    root.set_mode(Path::new(""), 0o751).expect("set");
    root.set_time(Path::new(""), (1_000_000, 5)).expect("set");
    let key = TreeKey::Diff(Digest::of(b"base"));
    let base = new.commit(&key, &SideTable::default()).expect("committed");

    let attributes = |root: &Root| {
        let meta = root.lstat(Path::new("")).expect("readable").expect("there");
        (meta.mode, meta.uid, meta.gid)
    };
    let mut snapshot = store.snapshot(std::slice::from_ref(&base)).expect("a snapshot");
    assert_eq!(attributes(snapshot.root()), (0o751, 5, 6));
    snapshot.root().write_file(Path::new("file"), 0o644, b"").expect("written");
    let (changes, records) = snapshot.changes().expect("told");
    assert_eq!(changes, [put("file".into())], "a trace of the upper directory");
    let next = snapshot.commit(&Digest::of(b"next"), &records).expect("committed");

    // A layer that says nothing about `/` does not hide what the base says.
    let mut snapshot = store.snapshot(&[base.clone(), next.clone()]).expect("a snapshot");
    assert_eq!(attributes(snapshot.root()), (0o751, 5, 6));
    assert_eq!(snapshot.changes().expect("told").0, []);
    let merged = snapshot.root().path();
    fs::set_permissions(merged, fs::Permissions::from_mode(0o700)).expect("changed");
    let (changes, records) = snapshot.changes().expect("told");
    assert_eq!(changes, [put(PathBuf::new())]);
    let private = snapshot.commit(&Digest::of(b"private"), &records).expect("committed");
    let snapshot = store.snapshot(&[base, next, private]).expect("a snapshot");
    assert_eq!(attributes(snapshot.root()), (0o700, 5, 6));

    let scratch = store.snapshot(&[]).expect("a snapshot of nothing");
    assert_eq!(attributes(scratch.root()), (0o755, 0, 0));
    assert_eq!(listing(&scratch), [""; 0]);
}

pub(crate) fn records_follow_links() {
    let (_dir, store) = store();
    let new = store.new_tree().expect("a tree");
    let mut records = SideTable::new(true);
    for name in ["kept", "touched", "replaced", "redirected"] {
        symlink("target", new.files().join(name)).expect("linked");
        records.set(name.into(), Record::owner(7, 8));
    }
    let base = new.commit(&TreeKey::Diff(Digest::of(b"base")), &records).expect("committed");
    let mut snapshot = store.snapshot(&[base]).expect("a snapshot");
    let root = snapshot.root().path().to_owned();
    // A change of owner copies the link up: to root, who we are.
    std::os::unix::fs::lchown(root.join("touched"), Some(0), Some(0)).expect("changed");
    for (name, target) in [("replaced", "target"), ("redirected", "elsewhere")] {
        fs::remove_file(root.join(name)).expect("removed");
        symlink(target, root.join(name)).expect("linked");
    }
    snapshot.new_records().set("new".into(), Record::owner(1, 1));
    let (changes, records) = snapshot.changes().expect("told");
    let changed: Vec<_> = changes.iter().map(Change::path).collect();
    assert_eq!(changed, ["redirected", "replaced", "touched"].map(Path::new));
    let kept: Vec<_> = records.iter().map(|(path, _)| path).collect();
    assert_eq!(kept, ["new", "touched"].map(Path::new));
    let all = snapshot.records().expect("read");
    assert_eq!(all.get(Path::new("kept")), Some(&Record::owner(7, 8)));
}

pub(crate) fn layers_repeat() {
    let (_dir, store) = store();
    let write = |text: &'static str| {
        move |root: &Path| fs::write(root.join("file"), text).expect("written")
    };
    let one = layer(&store, &[], "one", write("one"));
    let two = layer(&store, std::slice::from_ref(&one), "two", write("two"));
    for (trees, text) in [
        (vec![&one, &one], "one"),
        (vec![&one, &two, &one], "one"),
        (vec![&two, &one, &two, &one, &two], "two"),
    ] {
        let trees: Vec<Tree> = trees.into_iter().cloned().collect();
        let snapshot = store.snapshot(&trees).expect("a snapshot");
        assert_eq!(listing(&snapshot), [format!("file = {text}")]);
    }
}

/// `count` layers; each adds a file, takes the one of three layers before away, and writes to one
/// that all have.
fn tower(store: &Store, count: usize) -> Vec<Tree> {
    let mut trees: Vec<Tree> = Vec::new();
    for number in 0..count {
        let name = format!("layer {number}");
        let new = store.new_tree().expect("a tree");
        let root = new.root().expect("opened");
        let dir = Path::new("dir");
        root.create_dir_all(dir, 0o755).expect("made");
        root.write_file(&dir.join(number.to_string()), 0o644, b"").expect("written");
        root.write_file(Path::new("last"), 0o644, name.as_bytes()).expect("written");
        if let Some(before) = number.checked_sub(3) {
            let place = root.place(&dir.join(before.to_string())).expect("fine");
            place.expect("in a directory").make_whiteout().expect("made");
        }
        let key = TreeKey::Diff(Digest::of(name.as_bytes()));
        trees.push(new.commit(&key, &SideTable::new(true)).expect("committed"));
    }
    trees
}

fn check_tower(store: &Store, trees: &[Tree]) {
    let mut snapshot = store.snapshot(trees).expect("a snapshot");
    let count = trees.len();
    let mut expected: Vec<String> = (count - 3..count).map(|n| format!("dir/{n} = ")).collect();
    expected.push("dir/".to_owned());
    expected.push(format!("last = layer {}", count - 1));
    expected.sort();
    assert_eq!(listing(&snapshot), expected);
    snapshot.root().write_file(Path::new("dir/new"), 0o644, b"").expect("written");
    let (changes, _) = snapshot.changes().expect("told");
    assert_eq!(changes, [put("dir".into()), put("dir/new".into())]);
}

pub(crate) fn a_hundred_and_fifty_layers() {
    let (_dir, store) = store();
    check_tower(&store, &tower(&store, 150));
    assert_eq!(fs::read_dir(store.path().join("trees")).expect("there").count(), 150);
}

pub(crate) fn more_layers_than_the_kernel_takes() {
    let (_dir, store) = store();
    let trees = tower(&store, 1010);
    let merged = || {
        let entries = fs::read_dir(store.path().join("trees")).expect("there").flatten();
        entries.filter(|e| e.file_name().to_string_lossy().starts_with("merged-")).count()
    };
    for (count, merges) in [(500, 0), (501, 1), (600, 1), (749, 1), (750, 2), (1010, 3)] {
        check_tower(&store, &trees[..count]);
        assert_eq!(merged(), merges, "with {count} layers");
    }
}

/// What kernels before 6.7 do: names longer than their new interface takes lead there.
pub(crate) fn old_kernels_mount_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let deep = dir.path().join("x".repeat(250)).join("y".repeat(250));
    for name in ["lower0", "lower1", "upper", "work", "root"] {
        fs::create_dir_all(deep.join(name)).expect("made");
    }
    fs::write(deep.join("lower0/file"), "below").expect("written");
    let inner = deep.strip_prefix(dir.path()).expect("in it");
    let lower = [inner.join("lower1"), inner.join("lower0")];
    let (upper, work) = (inner.join("upper"), inner.join("work"));
    let (target, links) = (deep.join("root"), deep.join("links"));
    for upper in [Some((&*upper, &*work)), None] {
        let overlay = Overlay { base: dir.path(), lower: &lower, upper };
        overlay.mount(&target, &links).expect("mounted");
        assert_eq!(fs::read_to_string(target.join("file")).expect("there"), "below");
        assert_eq!(fs::write(target.join("new"), "").is_ok(), upper.is_some());
        overlay::unmount(&target).expect("unmounted");
        assert!(!links.exists(), "the links were left behind");
    }
    assert!(deep.join("upper/new").exists());
}

pub(crate) fn every_backend_fits_or_says_why() {
    let (_dir, store) = store();
    for backend in BACKENDS {
        if let Err(error) = backend.fits(&store) {
            panic!("{} does not fit: {error:?}", backend.name());
        }
    }
}
