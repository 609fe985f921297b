//! Paths that lead inside alone, with openat2(2) and without.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};

use super::*;

/// A tree with links of all kinds, and the two ways to resolve paths in it.
fn trees() -> (tempfile::TempDir, [Root; 2]) {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("root");
    for path in ["usr/bin", "a/b/c", "etc"] {
        fs::create_dir_all(root.join(path)).expect("directories");
    }
    for (path, content) in [("usr/bin/sh", "sh"), ("etc/passwd", "inside"), ("a/b/c/f", "f")] {
        fs::write(root.join(path), content).expect("a file");
    }
    fs::write(dir.path().join("secret"), "outside").expect("a file");
    let links = [
        ("usr/bin", "bin"),
        ("/usr/bin", "abs"),
        ("../../../../../etc/passwd", "up"),
        ("/../../etc/passwd", "abs-up"),
        ("../secret", "out"),
        ("b/../b/./c//", "a/dots"),
        ("../../bin/sh", "a/b/far"),
        ("loop2", "loop"),
        ("loop", "loop2"),
        ("nowhere/x", "dangling"),
        ("etc/passwd/", "slash"),
        (".", "self"),
    ];
    for (target, path) in links {
        symlink(target, root.join(path)).expect("a link");
    }
    symlink(dir.path().join("secret"), root.join("host")).expect("a link");
    let open = |resolver| Root::open_with(&root, resolver).expect("a root");
    (dir, [open(Resolver::best()), open(Resolver::Walk)])
}

#[test]
fn paths_are_resolved_inside_the_root_by_the_kernel_and_without() {
    // The content, or none where nothing is, or an error.
    let rows = [
        ("etc/passwd", Ok(Some("inside"))),
        ("/etc/passwd", Ok(Some("inside"))),
        ("//etc/./passwd", Ok(Some("inside"))),
        ("../../etc/passwd", Ok(Some("inside"))),
        ("bin/sh", Ok(Some("sh"))),
        ("abs/sh", Ok(Some("sh"))),
        ("abs/../bin/sh", Ok(Some("sh"))),
        ("up", Ok(Some("inside"))),
        ("abs-up", Ok(Some("inside"))),
        ("out", Ok(None)),
        ("host", Ok(None)),
        ("../secret", Ok(None)),
        ("a/dots/f", Ok(Some("f"))),
        ("a/dots/../../b/far", Ok(Some("sh"))),
        ("self/self/self/bin/sh", Ok(Some("sh"))),
        ("dangling", Ok(None)),
        ("nothing/at/all", Ok(None)),
        ("etc/passwd/x", Ok(None)),
        ("etc/passwd/", Ok(None)),
        ("slash", Ok(None)),
        ("loop", Err(())),
        ("loop/x", Err(())),
        ("etc", Err(())),
    ];
    let (_dir, roots) = trees();
    for root in &roots {
        for (path, content) in rows {
            let read = root.read_file(Path::new(path), 100);
            let read = read.map_err(|_| ());
            let content = content.map(|c| c.map(|c| c.as_bytes().to_vec()));
            assert_eq!(read, content, "{path} by {:?}", root.resolver);
        }
    }
}

#[test]
fn both_ways_see_the_same_files() {
    let (_dir, [kernel, walk]) = trees();
    let names = [
        "",
        "/",
        ".",
        "..",
        "bin",
        "bin/",
        "bin/sh",
        "out",
        "self/..",
        "up",
        "loop",
        "etc/passwd/",
        "etc/",
        "a/dots",
        "a/dots/",
        "slash",
    ];
    for name in names {
        let path = Path::new(name);
        let look = |root: &Root| (root.lstat(path).ok(), root.stat(path).ok());
        assert_eq!(look(&kernel), look(&walk), "{name:?}");
        assert_eq!(kernel.read_dir(path).ok(), walk.read_dir(path).ok(), "{name:?}");
    }
    assert!(
        kernel
            .lstat(Path::new("bin"))
            .is_ok_and(|m| m.is_some_and(|m| m.kind == FileType::Symlink))
    );
}

#[test]
fn paths_are_freed_of_links() {
    let rows = [
        ("/", ""),
        ("..", ""),
        ("/bin/sh", "usr/bin/sh"),
        ("abs/new/file", "usr/bin/new/file"),
        ("new/../bin", "usr/bin"),
        ("dangling", "nowhere/x"),
        ("dangling/y", "nowhere/x/y"),
        ("up", "etc/passwd"),
        ("a/dots", "a/b/c"),
        ("a/dots/..", "a/b"),
        ("a/dots/../far", "usr/bin/sh"),
        ("out", "secret"),
        ("self/self", ""),
        ("etc/passwd/x", "etc/passwd/x"),
    ];
    let (_dir, [root, _]) = trees();
    for (path, resolved) in rows {
        assert_eq!(root.resolve(Path::new(path)).expect(path), Path::new(resolved), "{path}");
    }
    assert!(root.resolve(Path::new("loop")).is_err());
    assert!(root.resolve(Path::new("loop/x")).is_err());
}

#[test]
fn directories_are_made_through_links_and_leave_no_time() {
    let (_dir, [root, _]) = trees();
    let time = |path: &str| root.stat(Path::new(path)).expect(path).expect(path).mtime;
    let (top, bin) = (time(""), time("bin"));
    let made = root.create_dir_all(Path::new("/abs/x/y"), 0o1750).expect("directories");
    assert_eq!(made, ["usr/bin/x", "usr/bin/x/y"].map(PathBuf::from));
    assert_eq!((time("usr/bin/x"), time("usr/bin/x/y"), time("bin")), ((0, 0), (0, 0), bin));
    assert_eq!(root.stat(Path::new("bin/x")).expect("x").expect("x").mode, 0o1750);
    assert_eq!(root.create_dir_all(Path::new("dangling"), 0o755).expect("it").len(), 2);
    assert_eq!(time(""), top);
    assert!(root.create_dir_all(Path::new("abs/x"), 0o700).expect("it").is_empty());
    for path in ["etc/passwd", "etc/passwd/x", "loop/x"] {
        assert!(root.create_dir_all(Path::new(path), 0o755).is_err(), "{path}");
    }
}

#[test]
fn files_are_replaced_but_links_are_not_followed() {
    let (dir, [root, _]) = trees();
    let top = root.lstat(Path::new("")).expect("/").expect("/").mtime;
    for path in ["out", "host", "etc/passwd", "bin/new", "loop"] {
        root.write_file(Path::new(path), 0o640, b"new").expect(path);
        let meta = root.lstat(Path::new(path)).expect(path).expect(path);
        assert_eq!(
            (meta.kind, meta.mode, meta.size, meta.mtime),
            (FileType::File, 0o640, 3, (0, 0))
        );
    }
    assert_eq!(fs::read(dir.path().join("secret")).expect("it"), b"outside");
    assert!(root.write_file(Path::new("etc"), 0o644, b"").is_err());
    assert!(root.write_file(Path::new("nowhere/x"), 0o644, b"").is_err());
    assert!(root.remove(Path::new("bin")).expect("a link"));
    assert!(root.remove(Path::new("a")).expect("a tree"));
    assert!(!root.remove(Path::new("a")).expect("nothing"));
    assert!(root.remove(Path::new("/")).is_err());
    assert!(dir.path().join("root/usr/bin/sh").exists());
    assert_eq!(root.lstat(Path::new("")).expect("/").expect("/").mtime, top);
}

#[test]
fn long_files_are_refused() {
    let (_dir, [root, _]) = trees();
    let read = |limit| root.read_file(Path::new("etc/passwd"), limit);
    assert!(read(6).is_ok_and(|content| content.is_some()));
    assert!(matches!(read(5), Err(Error::TooLong { limit: 5, .. })));
}

#[test]
fn owners_are_recorded_where_they_can_be() {
    let (dir, [root, _]) = trees();
    let mut records = SideTable::default();
    for path in ["etc/passwd", "etc", "", "bin"] {
        root.set_owner(Path::new(path), 5, 70000, &mut records).expect(path);
        let place = root.place(Path::new(path)).expect(path).expect(path);
        let meta = place.meta(&records).expect(path).expect(path);
        assert_eq!((meta.uid, meta.gid), (5, 70000), "{path:?}");
    }
    // Only who may set capabilities can let a link carry its owner.
    let on_link = root.lstat(Path::new("bin")).expect("it").expect("it").uid == 5;
    let in_table: Vec<_> = records.iter().map(|(path, _)| path.to_owned()).collect();
    assert_eq!(in_table, if on_link { vec![] } else { vec![Path::new("bin")] });
    assert_eq!(root.lstat(Path::new("etc")).expect("it").expect("it").gid, 70000);
    root.set_owner(Path::new("etc"), 0, 0, &mut records).expect("it");
    root.set_owner(Path::new("bin"), 0, 0, &mut records).expect("it");
    assert_eq!(root.lstat(Path::new("etc")).expect("it").expect("it").gid, 0);
    assert!(records.is_empty());
    let own = fs::metadata(dir.path()).expect("it").uid();
    assert_eq!(fs::metadata(dir.path().join("root/etc/passwd")).expect("it").uid(), own);
}
