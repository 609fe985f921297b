//! Owners that only records know, through snapshots: on the kernel's overlayfs, in a user namespace.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use bryo::image::Digest;
use bryo::layer::archive::{Entry, EntryKind, Reader, Writer};
use bryo::layer::compress::Compression;
use bryo::layer::{self, PackOptions};
use bryo::rootfs::live::{self, Written};
use bryo::rootfs::{FileType, Record, Root, SideTable};
use bryo::store::{Snapshot, Store, Tree, TreeKey};
use tempfile::TempDir;

use crate::run;

fn store() -> (TempDir, Store) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path()).expect("made");
    (dir, store)
}

fn entry(path: &str, kind: EntryKind, uid: u32, gid: u32) -> Entry {
    let mut entry = Entry::new(path, kind);
    (entry.uid, entry.gid) = (uid, gid);
    entry.mode = if kind == EntryKind::Dir { 0o2750 } else { 0o4710 };
    if kind == EntryKind::Symlink {
        entry.link = Some("somewhere".into());
    }
    entry
}

fn unpacked(store: &Store, entries: &[Entry]) -> (Tree, SideTable) {
    let mut writer = Writer::new(Vec::new());
    for entry in entries {
        writer.append(entry, io::empty()).expect("an entry");
    }
    let tar = writer.finish().expect("a tar");
    let new = store.new_tree().expect("a tree");
    let records = layer::unpack(&tar[..], &new.root().expect("opened")).expect("unpacked").records;
    let key = TreeKey::Diff(Digest::of(&tar));
    (new.commit(&key, &records).expect("committed"), records)
}

/// What a tar of the changes says: each entry's path with its owner and attributes.
fn packed(snapshot: &mut Snapshot<'_>) -> (Vec<String>, SideTable) {
    let (changes, records) = snapshot.changes().expect("told");
    let options = PackOptions { compression: Compression::None, ..PackOptions::default() };
    let mut tar = Vec::new();
    layer::pack(snapshot.upper(), &changes, &records, &options, &mut tar).expect("packed");
    (told(&tar), records)
}

fn told(tar: &[u8]) -> Vec<String> {
    let mut reader = Reader::new(tar);
    let mut lines = Vec::new();
    while let Some(entry) = reader.next_entry().expect("ours") {
        let mut line = format!("{} {}:{}", entry.path.display(), entry.uid, entry.gid);
        for name in entry.xattrs.keys() {
            line += &format!(" {}", name.display());
        }
        lines.push(line);
    }
    lines
}

/// As the emulation of a running container does it: really, as far as that goes, then by record.
fn chown(path: &Path, uid: u32, gid: u32) {
    lchown(path, Some(0), Some(0)).expect("to root, who we are");
    let kind = match fs::symlink_metadata(path).expect("there").file_type() {
        kind if kind.is_symlink() => FileType::Symlink,
        kind if kind.is_dir() => FileType::Dir,
        kind if kind.is_fifo() => FileType::Fifo,
        kind if kind.is_socket() => FileType::Socket,
        _ => FileType::File,
    };
    let name = CString::new(path.as_os_str().as_bytes()).expect("a path");
    let record = Record::owner(uid, gid);
    assert_eq!(live::write(&name, false, kind, &record).expect("written"), Written::OnFile);
    let read = live::read(&name, false, kind).expect("read");
    assert_eq!(read.unwrap_or_default(), record, "{}", path.display());
}

fn owners(root: &Root, paths: &[&str]) -> Vec<(u32, u32)> {
    let owner = |path: &&str| {
        let meta = root.lstat(Path::new(path)).expect(path).expect(path);
        (meta.uid, meta.gid)
    };
    paths.iter().map(owner).collect()
}

pub(crate) fn owners_survive_what_a_run_does() {
    let (_dir, store) = store();
    let kinds =
        [("file", EntryKind::File), ("link", EntryKind::Symlink), ("fifo", EntryKind::Fifo)];
    let mut entries = vec![entry("d", EntryKind::Dir, 1, 2)];
    for (name, kind) in kinds {
        for (number, deed) in
            (1..).zip(["copied", "kept", "given", "linked", "moved", "rooted", "touched"])
        {
            entries.push(entry(&format!("{name}-{deed}"), kind, 70000 + number, u32::MAX - 1));
        }
        entries.push(entry(&format!("d/{name}"), kind, 65534, 65535));
    }
    let (base, records) = unpacked(&store, &entries);
    assert!(records.is_empty(), "the files carry all");

    let mut snapshot = store.snapshot(std::slice::from_ref(&base)).expect("a snapshot");
    let root = snapshot.root().path().to_owned();
    let at = |path: &str| root.join(path);
    let text = |path: &str| at(path).to_str().expect("text").to_owned();
    for name in ["file", "link", "fifo"] {
        run("touch", &["-h", &text(&format!("{name}-touched"))]);
        chown(&at(&format!("{name}-given")), 5, 6);
        chown(&at(&format!("{name}-rooted")), 0, 0);
        fs::hard_link(at(&format!("{name}-linked")), at(&format!("{name}-second")))
            .expect("linked");
        fs::rename(at(&format!("{name}-moved")), at(&format!("{name}-new-name"))).expect("moved");
        run("cp", &["-a", &text(&format!("{name}-copied")), &text(&format!("{name}-copy"))]);
        chown(&at(&format!("{name}-copy")), 8, 9);
    }
    let _socket = UnixListener::bind(at("socket")).expect("a socket");
    chown(&at("socket"), 3, 4);
    assert_eq!(owners(snapshot.root(), &["socket"]), [(3, 4)]);
    // A directory of a layer cannot be renamed in an overlay: mv copies, and gives the owners that
    // it saw, as the emulation shows them.
    let there = ["d", "d/fifo", "d/file", "d/link"];
    let moved = ["e", "e/fifo", "e/file", "e/link"];
    let seen = owners(snapshot.root(), &there);
    assert_eq!(seen, [(1, 2), (65534, 65535), (65534, 65535), (65534, 65535)]);
    run("mv", &[&text("d"), &text("e")]);
    for (path, (uid, gid)) in moved.iter().zip(&seen) {
        chown(&at(path), *uid, *gid);
    }
    // One that is new can.
    fs::rename(at("e"), at("f")).expect("renamed");

    let mut expected = vec![".wh.d 0:0".to_owned()];
    expected.push("f 1:2".into());
    for name in ["fifo", "file", "link"] {
        expected.push(format!("f/{name} 65534:65535"));
    }
    for name in ["fifo", "file", "link"] {
        expected.extend([
            format!("{name}-copy 8:9"),
            format!("{name}-given 5:6"),
            format!("{name}-linked 70004:4294967294"),
            format!("{name}-new-name 70005:4294967294"),
            format!("{name}-rooted 0:0"),
            format!("{name}-second 70004:4294967294"),
            format!("{name}-touched 70007:4294967294"),
        ]);
        expected.push(format!(".wh.{name}-moved 0:0"));
    }
    let (mut lines, records) = packed(&mut snapshot);
    assert!(records.is_empty(), "the files carry all");
    lines.sort();
    expected.sort();
    assert_eq!(lines, expected);

    // The next RUN sees the same, and so does whoever has all layers as one.
    let next = snapshot.commit(&Digest::of(b"next"), &records).expect("committed");
    let trees = [base, next];
    let above = store.snapshot(&trees).expect("a snapshot");
    let merged = tempfile::tempdir_in(store.path()).expect("a directory");
    let merged = Root::open(merged.path()).expect("opened");
    let opened: Vec<_> = trees.iter().map(|tree| tree.root().expect("opened")).collect();
    let none = SideTable::new(true);
    let layers: Vec<_> = opened.iter().map(|root| (root, &none)).collect();
    assert!(layer::merge(&layers, &merged, true).expect("merged").is_empty());
    let all = ["f/link", "link-second", "fifo-given", "link-rooted", "link-kept", "link-new-name"];
    for root in [above.root(), &merged] {
        let high = u32::MAX - 1;
        let expected =
            [(65534, 65535), (70004, high), (5, 6), (0, 0), (70002, high), (70005, high)];
        assert_eq!(owners(root, &all), expected);
    }
}

pub(crate) fn real_capabilities_of_links_stay_aside() {
    let (_dir, store) = store();
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    let mut entries = Vec::new();
    // One that looks as a record does is no record either when it comes in an archive.
    let forged = b"\0\0\0\x02\x09\0\0\0\x09\0\0\0bryoown\xff".to_vec();
    for (name, value) in [("real", capability), ("forged", forged)] {
        for (kind, uid) in [(EntryKind::Symlink, 7), (EntryKind::Symlink, 0), (EntryKind::Fifo, 7)]
        {
            let mut entry = entry(&format!("{name}-{kind:?}-{uid}"), kind, uid, uid);
            entry.xattrs.insert("security.capability".into(), value.clone());
            entries.push(entry);
        }
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let expected: Vec<_> = entries
        .iter()
        .map(|e| format!("{} {}:{} security.capability", e.path.display(), e.uid, e.gid))
        .collect();
    let (tree, records) = unpacked(&store, &entries);
    assert_eq!(records.iter().count(), entries.len());
    let root = tree.root().expect("opened");
    let options = PackOptions { compression: Compression::None, ..PackOptions::default() };
    let mut tar = Vec::new();
    layer::pack_tree(&root, &records, &options, &mut tar).expect("packed");
    assert_eq!(told(&tar)[1..], expected);
    for entry in &entries {
        assert!(root.xattrs(&entry.path).expect("read").is_empty(), "{:?}", entry.path);
    }
    let mut snapshot = store.snapshot(&[tree]).expect("a snapshot");
    let merged = snapshot.root().path().to_owned();
    for entry in &entries {
        run("touch", &["-h", "-r", "/", merged.join(&entry.path).to_str().expect("text")]);
        let time = root.lstat(&entry.path).expect("read").expect("there").mtime;
        snapshot.root().set_time(&entry.path, time).expect("set");
    }
    assert_eq!(packed(&mut snapshot).0, expected);
}

pub(crate) fn what_files_could_not_carry_is_noted() {
    // One file system that takes attributes, and one that takes none.
    let (_dir, takes) = store();
    let found = note(&takes);
    assert_eq!(found, ["chowned-xattr 0", "touched-xattr 0"]);
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_string_lossy();
    run("mount", &["-t", "ramfs", "none", &path]);
    let refuses = Store::open(&dir.path().join("store")).expect("made");
    let all = ["a 3", "chowned 1", "chowned-xattr 9", "touched 7", "touched-xattr 0", "z 3"];
    assert_eq!(note(&refuses), all);
    drop(refuses);
    run("umount", &["-l", &path]);
}

/// The table of a layer after a RUN above one all of whose owners stand in a table, as it is where
/// files can carry none.
fn note(store: &Store) -> Vec<String> {
    let new = store.new_tree().expect("a tree");
    let mut table = SideTable::new(true);
    for name in ["chowned", "rooted", "touched", "untouched"] {
        symlink("target", new.files().join(name)).expect("linked");
        table.set(name.into(), Record::owner(7, 8));
    }
    for name in ["chowned-xattr", "touched-xattr"] {
        fs::write(new.files().join(name), "").expect("written");
        let xattrs = [("trusted.note".into(), b"kept".to_vec())].into();
        table.set(name.into(), Record { xattrs, ..Record::default() });
    }
    let base = new.commit(&TreeKey::Diff(Digest::of(b"base")), &table).expect("committed");
    let mut snapshot = store.snapshot(&[base]).expect("a snapshot");
    let root = snapshot.root().path().to_owned();
    let mut unwritten = snapshot.unwritten().expect("read");
    let known: Vec<_> = unwritten.values().map(|record| (record.uid, record.gid)).collect();
    assert_eq!(known, [(7, 8); 4]);

    // As the emulation does it.
    let mut chown = |name: &str, uid: u32, gid: u32| {
        let path = root.join(name);
        lchown(&path, Some(0), Some(0)).expect("changed");
        let meta = fs::symlink_metadata(&path).expect("there");
        let kind = if meta.is_symlink() { FileType::Symlink } else { FileType::File };
        let (file, record) = ((meta.dev(), meta.ino()), Record::owner(uid, gid));
        let path = CString::new(path.as_os_str().as_bytes()).expect("a path");
        match live::write(&path, false, kind, &record).expect("written") {
            Written::Refused => drop(unwritten.insert(file, record)),
            Written::OnFile => drop(unwritten.remove(&file)),
        }
    };
    chown("chowned", 1, 2);
    chown("chowned-xattr", 9, 9);
    chown("rooted", 0, 0);
    fs::write(root.join("z"), "").expect("written");
    fs::hard_link(root.join("z"), root.join("a")).expect("linked");
    chown("z", 3, 4);
    run("touch", &["-h", root.join("touched").to_str().expect("text")]);
    let time = snapshot.root().lstat("rooted".as_ref()).expect("read").expect("there").mtime;
    snapshot.root().set_time("touched".as_ref(), time).expect("set");
    fs::write(root.join("touched-xattr"), "new").expect("written");
    snapshot.note(&unwritten).expect("noted");

    let (lines, records) = packed(&mut snapshot);
    let expected = [
        "a 3:4",
        "chowned 1:2",
        "chowned-xattr 9:9 trusted.note",
        "rooted 0:0",
        "touched 7:8",
        "touched-xattr 0:0 trusted.note",
        "z 3:4",
    ];
    assert_eq!(lines, expected);
    let tree = snapshot.commit(&Digest::of(b"next"), &records).expect("committed");
    let records = tree.records().expect("read");
    records.iter().map(|(path, record)| format!("{} {}", path.display(), record.uid)).collect()
}
