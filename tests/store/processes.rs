//! Several processes in one storage directory, some of them killed.

use std::env;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use bryo::image::{Content, Digest};
use bryo::rootfs::SideTable;
use bryo::store::{Error, Name, Piece, Store, TreeKey};

use crate::content::{count, entry, image};

/// A process that ends with its test, however that ends.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts this program as a worker, in a mount namespace of its own as every bryo has one.
fn start(words: &[&str]) -> Worker {
    let child = Command::new("unshare")
        .args(["--mount", "--"])
        .arg(env::current_exe().expect("we have a path"))
        .arg("worker")
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("unshare is there");
    Worker(child)
}

fn wait_until_ready(worker: &mut Worker) {
    let mut line = String::new();
    BufReader::new(worker.0.stdout.as_mut().expect("piped")).read_line(&mut line).expect("a line");
    assert_eq!(line, "ready\n");
}

/// What a worker does.
pub(crate) fn work(words: &[String]) {
    let [task, dir] = words else { panic!("worker TASK DIR") };
    let store = Store::open(Path::new(dir)).expect("opened");
    io::stdout().write_all(b"ready\n").expect("stdout");
    match task.as_str() {
        "hold" => {
            // Until the parent closes its end.
            io::stdin().read_to_end(&mut Vec::new()).expect("stdin");
        }
        "lease" => make_once(&store),
        "same" => (0..40).for_each(|number| make(&store, number % 8)),
        // Until it is killed.
        "churn" => loop {
            (0..8).for_each(|number| make(&store, number));
        },
        // Makes, forgets, brings back and deletes, until it is killed.
        "tidy" => loop {
            (0..8).for_each(|number| tidy(&store, number));
        },
        other => panic!("no such task: {other}"),
    }
}

fn tidy(store: &Store, number: u32) {
    make(store, number % 4);
    let kept = entry("kept", &image(store, &["kept"]));
    store.set_ref(&kept).expect("named");
    let name = entry("churned", &kept.descriptor).name;
    store.forget(std::slice::from_ref(&name)).expect("forgotten");
    if number.is_multiple_of(2) {
        store.restore(&name).expect("nobody else is here");
    }
    let usage = store.usage().expect("counted");
    let is_kept = |piece: &&Piece| piece.id == kept.descriptor.digest.to_string();
    let gone: Vec<&Piece> = usage.pieces.iter().filter(|piece| !is_kept(piece)).collect();
    assert!(!store.delete(&gone).expect("deleted").deferred);
}

/// Makes something that takes time, unless another process did.
fn make_once(store: &Store) {
    let key = Digest::of(b"costly");
    let lease = store.lease(&key).expect("a lease");
    if !store.has_blob(&key) {
        let path = store.path().join("../made");
        File::options()
            .append(true)
            .create(true)
            .open(path)
            .expect("a log")
            .write_all(b"x")
            .expect("written");
        thread::sleep(Duration::from_millis(100));
        store.put_blob(b"costly").expect("written");
    }
    drop(lease);
}

const FILES: usize = 12;

/// Everything that a build makes: blobs, a tree, a snapshot above it that becomes a tree, a name.
fn make(store: &Store, number: u32) {
    let text = format!("layer {number} ").repeat(5000);
    let mut writer = store.blob_writer().expect("begun");
    for part in text.as_bytes().chunks(4096) {
        writer.write_all(part).expect("written");
    }
    writer.commit(Some(&Digest::of(text.as_bytes()))).expect("committed");
    let lower = plant(store, &format!("lower {number}"));
    let mut snapshot = store.snapshot(&[lower]).expect("a snapshot");
    for file in 0..FILES {
        snapshot.root().write_file(format!("new{file}").as_ref(), 0o644, b"new").expect("written");
    }
    let (changes, records) = snapshot.changes().expect("told");
    assert_eq!(changes.len(), FILES);
    let upper = Digest::of(format!("upper {number}").as_bytes());
    snapshot.commit(&upper, &records).expect("committed");
    let image = image(store, &[&format!("image {number}")]);
    store.set_ref(&entry("churned", &image)).expect("named");
}

fn plant(store: &Store, name: &str) -> bryo::store::Tree {
    let new = store.new_tree().expect("a tree");
    for file in 0..FILES {
        fs::write(new.files().join(format!("old{file}")), "old").expect("written");
    }
    let key = TreeKey::Diff(Digest::of(name.as_bytes()));
    new.commit(&key, &SideTable::new(true)).expect("committed")
}

/// Every blob is what its name says, every tree is complete, every name stands for something.
fn check(store: &Store) {
    for blob in fs::read_dir(store.path().join("blobs/sha256")).expect("there") {
        let name = blob.expect("an entry").file_name();
        let digest = format!("sha256:{}", name.to_string_lossy()).parse().expect("a digest");
        store.read_blob(&digest).expect("whole");
    }
    for tree in fs::read_dir(store.path().join("trees")).expect("there") {
        let files = tree.expect("an entry").path().join("fs");
        let count = fs::read_dir(&files).expect("there").count();
        assert!([1, FILES].contains(&count), "{} has {count} files", files.display());
    }
    for entry in store.list_refs().expect("readable") {
        let content = store.content(&entry.descriptor).expect("there");
        let Content::Image(manifest) = content else { panic!("not an image") };
        let config = store.config(&manifest).expect("there");
        assert!(store.trees(&config).is_some(), "{} is not whole", entry.name);
    }
}

pub(crate) fn nothing_is_deleted_under_others() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_string_lossy().into_owned();
    let store = Store::open(dir.path()).expect("made");
    let image = entry("app", &image(&store, &["app"]));
    store.set_ref(&image).expect("named");
    let mut other = start(&["hold", &path]);
    wait_until_ready(&mut other);

    let removed = store.remove(std::slice::from_ref(&image.name)).expect("removed");
    assert!(removed.deferred);
    assert_eq!(store.list_refs().expect("readable"), []);
    assert_eq!(count(&store, "trees"), 1, "deleted under another process");

    drop(other.0.stdin.take());
    assert!(other.0.wait().expect("waited").success());
    let removed = store.remove(&[]).expect("removed");
    assert_eq!((removed.deferred, removed.trees), (false, 1));
    assert_eq!((count(&store, "blobs/sha256"), count(&store, "removed")), (0, 0));
}

pub(crate) fn one_waits_for_the_other() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("store").to_string_lossy().into_owned();
    let workers: Vec<Worker> = (0..4).map(|_| start(&["lease", &path])).collect();
    for mut worker in workers {
        assert!(worker.0.wait().expect("waited").success());
    }
    assert_eq!(fs::read(dir.path().join("made")).expect("a log"), b"x", "made more than once");
    let store = Store::open(Path::new(&path)).expect("opened");
    assert_eq!(count(&store, "leases"), 0, "a lease was left behind");
}

pub(crate) fn many_write_the_same() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_string_lossy().into_owned();
    let workers: Vec<Worker> = (0..4).map(|_| start(&["same", &path])).collect();
    for mut worker in workers {
        assert!(worker.0.wait().expect("waited").success());
    }
    let store = Store::open(dir.path()).expect("opened");
    check(&store);
    assert_eq!(count(&store, "trees"), 8 * 3);
    assert_eq!(count(&store, "tmp"), 0);
}

pub(crate) fn who_is_killed_while_tidying() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_string_lossy().into_owned();
    // Who is killed early has named nothing.
    let store = Store::open(dir.path()).expect("made");
    store.set_ref(&entry("kept", &image(&store, &["kept"]))).expect("named");
    drop(store);
    for round in 0..40 {
        let mut victim = start(&["tidy", &path]);
        wait_until_ready(&mut victim);
        thread::sleep(Duration::from_micros(1500 * round));
        drop(victim);
        let store = Store::open(dir.path()).expect("opened");
        check(&store);
        assert_eq!(count(&store, "tmp"), 0, "round {round}");
    }
    let store = Store::open(dir.path()).expect("opened");
    let found = store.find("kept").expect("it was never deleted");
    assert!(store.content(&found.descriptor).is_ok());
    let usage = store.usage().expect("counted");
    store.delete(&usage.pieces.iter().collect::<Vec<_>>()).expect("deleted");
    assert_eq!((count(&store, "blobs/sha256"), count(&store, "trees")), (0, 0));
}

pub(crate) fn a_store_is_emptied_when_nobody_uses_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_string_lossy().into_owned();
    let store = Store::open(dir.path()).expect("made");
    store.set_ref(&entry("app", &image(&store, &["app"]))).expect("named");
    drop(store);
    let mut other = start(&["hold", &path]);
    wait_until_ready(&mut other);
    assert!(matches!(Store::reset(dir.path()), Err(Error::Busy(_))));
    assert_eq!(Store::open(dir.path()).expect("opened").list_refs().expect("readable").len(), 1);
    drop(other);
    // Of a newer bryo, too; what is none is left alone.
    fs::write(dir.path().join("format"), "bryo storage 99\n").expect("writable");
    Store::reset(dir.path()).expect("emptied");
    let store = Store::open(dir.path()).expect("opened");
    assert_eq!((store.list_refs().expect("readable").len(), count(&store, "blobs/sha256")), (0, 0));
    let foreign = tempfile::tempdir().expect("a directory");
    fs::write(foreign.path().join("thesis.tex"), "").expect("written");
    assert!(matches!(Store::reset(foreign.path()), Err(Error::Open(..))));
    assert!(foreign.path().join("thesis.tex").exists());
}

pub(crate) fn the_killed_leave_no_harm() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_string_lossy().into_owned();
    let mut survivor = start(&["churn", &path]);
    wait_until_ready(&mut survivor);
    for round in 0..40 {
        let mut victim = start(&["churn", &path]);
        wait_until_ready(&mut victim);
        thread::sleep(Duration::from_micros(700 * round));
        drop(victim);
        let store = Store::open(dir.path()).expect("opened");
        check(&store);
        // The survivor's directory and its lock, and nothing of the dead.
        assert_eq!(count(&store, "tmp"), 2, "round {round}");
    }
    assert_eq!(survivor.0.try_wait().expect("asked"), None, "the survivor came to harm");
    drop(survivor);
    let store = Store::open(dir.path()).expect("opened");
    assert_eq!(count(&store, "tmp"), 0);
    check(&store);
    let names: Vec<Name> =
        store.list_refs().expect("readable").into_iter().map(|entry| entry.name).collect();
    assert!(!store.remove(&names).expect("removed").deferred);
    assert_eq!((count(&store, "blobs/sha256"), count(&store, "trees")), (0, 0));
}
