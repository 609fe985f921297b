//! Trees that are copied into others.

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, symlink};

use super::*;

struct Pair {
    _dir: tempfile::TempDir,
    from: Root,
    to: Root,
}

/// A source with a bit of everything, and a target with something in the way.
fn pair() -> Pair {
    let dir = tempfile::tempdir().expect("a directory");
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    for path in ["from/d/sub", "from/d/empty", "to/old/sub"] {
        fs::create_dir_all(dir.path().join(path)).expect("directories");
    }
    for path in ["d/f", "d/sub/g", "plain"] {
        fs::write(from.join(path), path).expect("a file");
    }
    fs::hard_link(from.join("d/f"), from.join("d/sub/f2")).expect("a link");
    symlink("/etc/passwd", from.join("d/link")).expect("a link");
    fs::write(to.join("old/sub/kept"), "kept").expect("a file");
    fs::write(to.join("old/f"), "was").expect("a file");
    symlink("old", to.join("alias")).expect("a link");
    let (from, to) = (Root::open(&from).expect("a root"), Root::open(&to).expect("a root"));
    for (path, mode, time) in
        [("d/f", 0o4750, 7), ("d/sub", 0o500, 8), ("d", 0o711, 9), ("plain", 0o644, 5)]
    {
        from.set_mode(path.as_ref(), mode).expect(path);
        from.set_time(path.as_ref(), (time, 123)).expect(path);
    }
    from.set_time("d/link".as_ref(), (6, 0)).expect("a link");
    for (path, time) in [("old", 1), ("old/sub", 2), ("", 3)] {
        to.set_time(path.as_ref(), (time, 0)).expect(path);
    }
    Pair { _dir: dir, from, to }
}

impl Pair {
    fn copy(&self, source: &str, target: &str, options: CopyOptions<'_>) -> Result<Copied> {
        let (from, mut to) = (SideTable::default(), SideTable::default());
        Copier::new(&self.from, &from, &self.to, &mut to, options)?
            .copy(source.as_ref(), target.as_ref())
    }

    fn meta(&self, path: &str) -> Meta {
        self.to.lstat(path.as_ref()).expect(path).expect(path)
    }
}

fn names(root: &Root, path: &str) -> Vec<String> {
    let table = SideTable::default();
    Walk::new(root, path.as_ref(), &table)
        .map(|found| found.expect("a file").path.display().to_string())
        .collect()
}

#[test]
fn a_tree_keeps_all_that_it_has() {
    let pair = pair();
    let copied = pair.copy("d", "new", CopyOptions::default()).expect("a copy");
    assert_eq!(copied, Copied { paths: 7, bytes: 10 });
    let all = ["new", "new/empty", "new/f", "new/link", "new/sub", "new/sub/f2", "new/sub/g"];
    assert_eq!(names(&pair.to, "new"), all);
    for (path, mode, time) in [("new", 0o711, 9), ("new/f", 0o4750, 7), ("new/sub", 0o500, 8)] {
        assert_eq!((pair.meta(path).mode, pair.meta(path).mtime), (mode, (time, 123)), "{path}");
    }
    assert_eq!(pair.meta("new/link").mtime, (6, 0));
    assert_eq!(pair.to.read_link("new/link".as_ref()).expect("a link"), Path::new("/etc/passwd"));
    assert_eq!(pair.meta("new/f").identity(), pair.meta("new/sub/f2").identity());
    assert_eq!(pair.meta("").mtime, (3, 0), "the directory around it keeps its time");
    assert_eq!(
        pair.to.read_file("new/sub/g".as_ref(), 99).expect("a file"),
        Some(b"d/sub/g".to_vec())
    );
}

#[test]
fn a_tree_joins_another() {
    let pair = pair();
    pair.copy("/d/../d/", "/alias/../old/", CopyOptions::default()).expect("a copy");
    let all = [
        "old",
        "old/empty",
        "old/f",
        "old/link",
        "old/sub",
        "old/sub/f2",
        "old/sub/g",
        "old/sub/kept",
    ];
    assert_eq!(names(&pair.to, "old"), all);
    assert_eq!(
        (pair.meta("old").mode & 0o700, pair.meta("old").mtime),
        (0o700, (1, 0)),
        "it stays"
    );
    assert_eq!((pair.meta("old/sub").mode, pair.meta("old/sub").mtime), (0o500, (8, 123)));
    assert_eq!(pair.to.read_file("old/f".as_ref(), 99).expect("a file"), Some(b"d/f".to_vec()));
}

#[test]
fn what_is_in_the_way_is_replaced_or_refused() {
    let pair = pair();
    // A link is replaced as itself.
    pair.copy("plain", "alias", CopyOptions::default()).expect("a copy");
    assert_eq!(pair.meta("alias").kind, FileType::File);
    pair.copy("d/link", "old/f", CopyOptions::default()).expect("a copy");
    assert_eq!(pair.meta("old/f").kind, FileType::Symlink);
    let wrong =
        |source, target| pair.copy(source, target, CopyOptions::default()).expect_err(target);
    assert!(matches!(wrong("d", "alias"), Error::NotADirectory { .. }));
    assert!(matches!(wrong("d", "old/f"), Error::NotADirectory { .. }));
    assert!(matches!(wrong("plain", "old"), Error::IsADirectory { .. }));
    assert!(matches!(wrong("nowhere", "x"), Error::Missing { .. }));
    assert!(matches!(wrong("plain", "nowhere/x"), Error::Missing { .. }));
}

#[test]
fn options_change_what_they_say() {
    let pair = pair();
    let mode = |meta: &Meta| if meta.is_dir() { 0o2755 } else { 0o604 };
    let (from, mut to) = (SideTable::default(), SideTable::default());
    let options = CopyOptions {
        owner: Some((1000, 50)),
        mode: Some(&mode),
        time: Some((42, 0)),
        ..CopyOptions::default()
    };
    let mut copier = Copier::new(&pair.from, &from, &pair.to, &mut to, options).expect("a copier");
    copier.copy("d".as_ref(), "new".as_ref()).expect("a copy");
    for path in names(&pair.to, "new") {
        let place = pair.to.place(path.as_ref()).expect("a place").expect("a place");
        let meta = place.meta(&to).expect("a file").expect("a file");
        assert_eq!((meta.uid, meta.gid, meta.mtime), (1000, 50, (42, 0)), "{path}");
        let mode = match meta.kind {
            FileType::Dir => 0o2755,
            FileType::Symlink => meta.mode,
            _ => 0o604,
        };
        assert_eq!(meta.mode, mode, "{path}");
    }
    // Only who may set capabilities can let a link carry its owner.
    let on_link = pair.meta("new/link").uid == 1000;
    assert_eq!(to.iter().count(), usize::from(!on_link), "the link's record");
}

#[test]
fn choices_are_kept() {
    let pair = pair();
    let rows: [(&[&str], &[&str], &[&str]); 4] = [
        // Skipped, searched, copied.
        (&["d/sub"], &[], &["new", "new/empty", "new/f", "new/link"]),
        (
            &["d/sub/g"],
            &["d", "d/sub", "d/empty"],
            &["new", "new/f", "new/link", "new/sub", "new/sub/f2"],
        ),
        (&["d/f", "d/link", "d/sub", "d/empty"], &["d"], &[]),
        (
            &["d/f", "d/link", "d/sub/f2"],
            &["d", "d/sub", "d/empty"],
            &["new", "new/sub", "new/sub/g"],
        ),
    ];
    for (skipped, searched, copied) in rows {
        let choose = |path: &Path, _: &Meta| {
            let path = path.to_str().expect("a name");
            match () {
                () if skipped.contains(&path) => Choice::Skip,
                () if searched.contains(&path) => Choice::Search,
                () => Choice::Take,
            }
        };
        let options = CopyOptions { choose: Some(&choose), ..CopyOptions::default() };
        pair.copy("d", "new", options).expect("a copy");
        let found = if copied.is_empty() { Vec::new() } else { names(&pair.to, "new") };
        assert_eq!(found, copied, "without {skipped:?}");
        if !copied.is_empty() {
            assert_eq!(pair.meta("new").mtime, (9, 123));
        }
        pair.to.remove("new".as_ref()).expect("a tree");
        assert!(pair.to.lstat("new".as_ref()).expect("nothing").is_none());
    }
}

#[test]
fn directories_that_are_there_may_take_modes_alone() {
    let pair = pair();
    let search = |_: &Path, meta: &Meta| match meta.is_dir() {
        true => Choice::Search,
        false => Choice::Take,
    };
    let searching = CopyOptions { choose: Some(&search), ..CopyOptions::default() };
    let modes_alone = CopyOptions { modes_alone: true, ..CopyOptions::default() };
    for (options, time) in
        [(searching, (2, 0)), (modes_alone, (2, 0)), (CopyOptions::default(), (8, 123))]
    {
        pair.to.set_mode("old/sub".as_ref(), 0o700).expect("a mode");
        pair.to.set_time("old/sub".as_ref(), (2, 0)).expect("a time");
        pair.copy("d", "old", options).expect("a copy");
        let meta = pair.meta("old/sub");
        assert_eq!((meta.mode, meta.mtime), (0o500, time), "{options:?}");
    }
    // A link in the way of one that is searched is in the way, wherever it leads.
    pair.to.remove("old/sub".as_ref()).expect("a tree");
    symlink("..", pair.to.path().join("old/sub")).expect("a link");
    let options = || CopyOptions { choose: Some(&search), ..CopyOptions::default() };
    let wrong = pair.copy("d", "old", options()).expect_err("a link");
    assert!(matches!(wrong, Error::NotADirectory { .. }), "{wrong}");
    pair.copy("d", "old", CopyOptions { replace: true, ..options() }).expect("a copy");
    assert_eq!(pair.meta("old/sub").kind, FileType::Dir);
}

#[test]
fn records_and_attributes_travel() {
    let pair = pair();
    let (mut from, mut to) = (SideTable::default(), SideTable::default());
    pair.from.set_owner("d/f".as_ref(), 3, 4, &mut from).expect("a record");
    pair.from.set_owner("d/link".as_ref(), 5, 6, &mut from).expect("a record");
    let place = pair.from.place("d/f".as_ref()).expect("a place").expect("a place");
    for (name, value) in [("user.a", "b"), ("user.overlay.opaque", "y")] {
        assert!(place.set_xattr(name.as_ref(), value.as_bytes()).expect("an attribute"));
    }
    let device = Device { kind: DeviceKind::Block, major: 8, minor: 300 };
    let place = pair.from.place("plain".as_ref()).expect("a place").expect("a place");
    let record = Record { device: Some(device), ..Record::owner(0, 6) };
    place.set_record(FileType::File, record, &mut from).expect("a record");
    for (no_xattrs, target) in [(false, "all"), (true, "few")] {
        let options = CopyOptions { no_xattrs, ..CopyOptions::default() };
        let mut copier =
            Copier::new(&pair.from, &from, &pair.to, &mut to, options).expect("a copier");
        copier.copy("".as_ref(), "old".as_ref()).expect("a copy");
        let meta = |path: &str| {
            let place = pair.to.place(path.as_ref()).expect(path).expect(path);
            let meta = place.meta(&to).expect(path).expect(path);
            (meta, place.xattrs(meta.real_kind).expect(path).len())
        };
        let (file, xattrs) = meta("old/d/f");
        assert_eq!((file.uid, file.gid, xattrs), (3, 4, usize::from(!no_xattrs)), "{target}");
        let (link, _) = meta("old/d/link");
        assert_eq!((link.uid, link.gid), (5, 6));
        let (device, _) = meta("old/plain");
        assert_eq!(
            (device.kind, device.rdev, device.gid, device.size),
            (FileType::Block, (8, 300), 6, 0)
        );
    }
}

#[test]
fn holes_stay_holes() {
    let pair = pair();
    let path = pair.from.path().join("holes");
    let file = fs::File::create(&path).expect("a file");
    file.write_all_at(b"data", 1 << 20).expect("a write");
    file.set_len(3 << 20).expect("a length");
    let copied = pair.copy("holes", "holes", CopyOptions::default()).expect("a copy");
    assert_eq!(copied.bytes, 3 << 20);
    let to = pair.to.path().join("holes");
    assert!(fs::read(&to).expect("a file") == fs::read(&path).expect("a file"));
    let blocks = fs::metadata(&to).expect("a file").blocks();
    assert!(blocks <= fs::metadata(&path).expect("a file").blocks(), "{blocks} blocks");
}
