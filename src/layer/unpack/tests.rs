//! Archives of all kinds, hostile ones too, and the trees that come of them.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use proptest::prelude::*;

use super::*;
use crate::layer::compress::Compression;
use crate::layer::text::{archive, draw, lines};
use crate::layer::{Below, PackOptions, pack_tree};

fn empty() -> (tempfile::TempDir, Root) {
    let dir = tempfile::tempdir().expect("a directory");
    let root = Root::open(dir.path()).expect("a root");
    (dir, root)
}

fn unpacked(archived: &str) -> (tempfile::TempDir, Root, Unpacked) {
    let (dir, root) = empty();
    let done = unpack(archive(archived).as_slice(), &root)
        .unwrap_or_else(|e| panic!("{e} {:?}\n{archived}", std::error::Error::source(&e)));
    (dir, root, done)
}

#[track_caller]
fn check(archived: &str, tree: &str) {
    let (_dir, root, done) = unpacked(archived);
    assert_eq!(draw(&root, &done.records), lines(&format!("d .\n{tree}")), "of\n{archived}");
}

#[test]
fn every_kind_keeps_all_that_it_has() {
    let tree = "
        d bin m=700
        c dev-null 1:3 m=666
        b disk 8:1 m=660 @0:6 t=77
        d etc m=1777 t=5 x.user.a=b
        f etc/empty
        f etc/motd hello m=4711 @1000:1001 t=-9 x.user.c=d
        h etc/motd2 -> etc/motd
        d locked m=500
        f locked/secret s m=400 @5:5
        s sym -> /etc/motd @7:8 t=3 x.user.on-link=1
        h sym2 -> sym
        p wire m=600 @3:0 t=4
        c zero-zero 0:0
    ";
    // A drawn tree is an archive, but for the order of links and the mode of directories.
    check(tree, tree);
}

#[test]
fn entries_find_their_place_inside_the_root() {
    let rows = [
        ("f ../../x 1\nf /abs 2\nf a/../../y 3", "f abs 2\nf x 1\nf y 3"),
        ("d ./\nf ./a/../b 1", "f b 1"),
        // Through links, which stay inside.
        (
            "d usr\nd usr/lib\ns lib -> usr/lib\nf lib/x 1",
            "s lib -> usr/lib\nd usr\nd usr/lib\nf usr/lib/x 1",
        ),
        (
            "s out -> /../../tmp/esc\nf out/x 1",
            "s out -> /../../tmp/esc\nd tmp\nd tmp/esc\nf tmp/esc/x 1",
        ),
        ("s up -> ../../..\nf up/x 1", "s up -> ../../..\nf x 1"),
        ("d b\nd b/c\ns a -> b/c/../d\nf a/x 1", "s a -> b/c/../d\nd b\nd b/c\nd b/d\nf b/d/x 1"),
        ("s a -> b\ns b -> c\nf a/x 1", "s a -> b\ns b -> c\nd c\nf c/x 1"),
        // The last name is replaced, never followed.
        ("s a -> /etc/passwd\nf a 1", "f a 1"),
        ("d d\ns a -> d\nd a 700\nf a/x 1", "d a m=700 !\nf a/x 1\nd d"),
        ("d d\ns a -> d\nf a/x 1\nd a\nf a/y 2", "d a !\nf a/y 2\nd d\nf d/x 1"),
        ("f t 1\ns a -> t\nh b -> a\nf b 2", "s a -> t\nf b 2\nf t 1"),
    ];
    for (archived, tree) in rows {
        check(archived, tree);
    }
}

#[test]
fn later_entries_win() {
    let rows = [
        ("f a 1\nf a 2 @5:5\nf a 3", "f a 3"),
        ("s a -> x @5:5\nf a 1", "f a 1"),
        ("d a\nf a/b 1\nf a 2", "f a 2"),
        ("d a\nf a/b 1\nf a 2\nd a 700", "d a m=700 !"),
        ("d a 700 @1:1 x.user.a=b\nf a/b 1\nd a 755 t=9", "d a t=9 x.user.a=b\nf a/b 1"),
        ("d a\nd a/b\nf a/b/c 1\ns a -> z\nf a/c 2", "s a -> z\nd z\nf z/c 2"),
        ("p a\np a m=600", "p a m=600"),
        ("f a 1\nh b -> a\nf a 2", "f a 2\nf b 1"),
        ("f a 1\nh b -> a\nh b -> a", "f a 1\nh b -> a"),
        ("f a 1\nh a -> a", "f a 1"),
        // A link that stands before its target.
        ("h a -> b\nf b 1", "f a 1\nh b -> a"),
        ("h a -> b\nh b -> c\nf c 1", "f a 1\nh b -> a\nh c -> a"),
        ("h a -> nowhere\nf a 1", "f a 1"),
        ("h a -> nowhere\nd a", "d a !"),
    ];
    for (archived, tree) in rows {
        check(archived, tree);
    }
}

#[test]
fn deletions_become_overlays_and_spare_what_the_layer_brings() {
    let rows = [
        ("f .wh.a\nf d/.wh.b", "w a\nd d\nw d/b"),
        ("f .wh.a\nf .wh.a", "w a"),
        ("f a 1\nf .wh.a", "f a 1"),
        ("f .wh.a\nf a 1", "f a 1"),
        ("d a\nf a/b 1\nf .wh.a", "d a !\nf a/b 1"),
        ("f .wh.a\nd a\nf a/b 1", "d a !\nf a/b 1"),
        ("f .wh.a\nf a/b 1", "d a !\nf a/b 1"),
        ("f .wh.a\nf a 1\nd a", "d a !"),
        ("d a\nf a/b 1\nf a/.wh..wh..opq", "d a !\nf a/b 1"),
        ("f a/.wh..wh..opq\nf a/b 1\nd a 700", "d a m=700 !\nf a/b 1"),
        ("d d\ns a -> d\nf a/.wh.x", "s a -> d\nd d\nw d/x"),
        ("f .wh..wh.plnk/9 1\nf .wh..wh.aufs\nd .wh..wh.orph", ""),
        ("d .wh.a\ns .wh.b -> c", "w a\nw b"),
        ("h .wh.a -> b", "w a"),
        ("f .wh.a\nh b -> a", "w a"),
    ];
    for (archived, tree) in rows {
        check(archived, tree);
    }
}

#[test]
fn what_no_layer_may_have_is_refused() {
    let rows = [
        ("f .wh.", "deletes no name"),
        ("f a/.wh..", "deletes no name"),
        ("f .wh...", "deletes no name"),
        ("f .wh.a/b 1", "name of a whiteout"),
        ("f . 1", "root directory"),
        ("s / -> x", "root directory"),
        ("f a/.. 1", "root directory"),
        ("d d\nh a -> d", "hard link to a directory"),
        ("h a -> .", "hard link to a directory"),
        ("s a -> a\nf a/x 1", "round in a circle"),
        ("s a -> b\ns b -> a\nf a/x 1", "round in a circle"),
        ("f a 1\nf a/b 2", "\"a/b\" of the archive lies below \"a\""),
        ("p a m=600\nd a/b/c", "lies below \"a\""),
        ("f b 1\ns a -> b\nf a/x 2", "\"a/x\" of the archive lies below \"b\""),
        ("h a -> nowhere\nf a/b 1", "lies below \"a\""),
    ];
    for (archived, problem) in rows {
        let (_dir, root) = empty();
        let error = unpack(archive(archived).as_slice(), &root).expect_err(archived).to_string();
        assert!(error.contains(problem), "{archived}: {error}");
    }
    let long = format!("f {}x 1", "d/".repeat(2100));
    let (_dir, root) = empty();
    assert!(unpack(archive(&long).as_slice(), &root).is_err());
}

#[test]
fn what_leads_outside_is_noted() {
    let rows = [
        ("f ../x 1\nf /y 1\nf a/../../z 1\nf a/../b 1", 3, "../x"),
        ("s lnk -> /out\nf lnk/a 1\nf lnk/b 1\nf lnk/c/d 1", 3, "lnk/a"),
        ("d a\ns a/up -> ../../out\nf a/up/b 1", 1, "a/up/b"),
        ("s a -> b\ns b -> /out\nf c 1\nf a/x 1\nf a/.wh.y", 2, "a/x"),
        ("f x 1\nh y -> ../x", 1, "y"),
        // Links that stay inside are as good as any directory.
        ("d usr\nd usr/lib\ns lib -> usr/lib\nf lib/x 1\nf lib/y/z 1", 0, ""),
        ("d a\nd b\ns a/b -> ../b\nf a/b/x 1", 0, ""),
        // What is replaced leads nowhere any more.
        ("s lnk -> /out\nd lnk\nf lnk/a 1", 0, ""),
        ("s lnk -> /out\nf lnk/a 1\nd lnk\nf lnk/b 1", 1, "lnk/a"),
    ];
    for (archived, count, first) in rows {
        let (_dir, _root, done) = unpacked(archived);
        assert_eq!(done.strays, Noted { count, first: first.into() }, "{archived}");
    }
}

#[test]
fn nothing_outside_of_the_root_is_touched() {
    let outside = tempfile::tempdir().expect("a directory");
    fs::write(outside.path().join("kept"), "as it was").expect("a file");
    let base = outside.path().join("root");
    let target = outside.path().display();
    let attacks = [
        format!("s a -> {target}\nf a/kept 1\nf a/new 1"),
        format!("s a -> {target}/kept\nf a 1"),
        "s a -> ..\nf a/kept 1\nf a/new 1".into(),
        "s a -> ../kept\nd a 777".into(),
        "h a -> ../kept\nf a 1".into(),
        "f x 1\ns a -> ..\nh a/kept -> x".into(),
        "s a -> ..\nf a/.wh.kept\nf a/.wh..wh..opq".into(),
        "s a -> ..\nd a/ 777 t=9 @7:7".into(),
        "d a\nd a/b\ns a/b/c -> ../../..\nf a/b/c/kept 1".into(),
    ];
    for attack in &attacks {
        fs::create_dir(&base).expect("a directory");
        let root = Root::open(&base).expect("a root");
        let before = fs::metadata(outside.path()).expect("a directory");
        if let Ok(mut done) = unpack(archive(attack).as_slice(), &root) {
            drop(done.complete(&root, &mut Below::default()));
        }
        let after = fs::metadata(outside.path()).expect("a directory");
        assert_eq!(
            (before.mode(), before.mtime(), before.mtime_nsec()),
            (after.mode(), after.mtime(), after.mtime_nsec()),
            "{attack}"
        );
        let names: Vec<_> = fs::read_dir(outside.path()).expect("a directory").collect();
        assert_eq!(names.len(), 2, "{attack}");
        let kept = outside.path().join("kept");
        assert_eq!(fs::read(&kept).expect("a file"), b"as it was", "{attack}");
        assert_eq!(fs::metadata(&kept).expect("a file").nlink(), 1, "{attack}");
        crate::rootfs::remove_tree(&base).expect("a tree");
    }
}

#[test]
fn holes_stay_holes() {
    let (_dir, root) = empty();
    let mut content = vec![0; 3 << 20];
    content[5 << 19] = 1;
    let mut writer = crate::layer::archive::Writer::new(Vec::new());
    for (name, size) in [("zeros", 2 << 20), ("middle", content.len()), ("odd", (1 << 20) + 7)] {
        let mut entry = Entry::new(name, EntryKind::File);
        (entry.size, entry.mode) = (size as u64, 0o644);
        writer.append(&entry, &content[..size]).expect("an entry");
    }
    let tar = writer.finish().expect("an archive");
    let done = unpack(tar.as_slice(), &root).expect("a tree");
    assert_eq!(done.bytes, (6 << 20) + 7);
    for (name, size, most) in
        [("zeros", 2 << 20, 0), ("middle", 3 << 20, 512), ("odd", (1 << 20) + 7, 16)]
    {
        let meta = root.lstat(name.as_ref()).expect("a file").expect("a file");
        assert!(meta.blocks <= most, "{name} takes {} blocks", meta.blocks);
        let read = root.read_file(name.as_ref(), 4 << 20).expect("a file").expect("a file");
        assert!(read == content[..size], "{name} differs");
    }
}

#[test]
fn capabilities_are_set_or_recorded() {
    // CAP_NET_RAW as a layer has it (revision 2), and bytes that no kernel takes.
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    for value in [capability, b"nonsense".to_vec()] {
        let (_dir, root) = empty();
        let mut entry = Entry::new("ping", EntryKind::File);
        (entry.mode, entry.uid) = (0o755, 7);
        entry.xattrs.insert("security.capability".into(), value.clone());
        let mut writer = crate::layer::archive::Writer::new(Vec::new());
        writer.append(&entry, io::empty()).expect("an entry");
        let tar = writer.finish().expect("an archive");
        let done = unpack(tar.as_slice(), &root).expect("a tree");
        let place = root.place("ping".as_ref()).expect("a place").expect("a place");
        let record = place.record(&done.records).expect("a record").expect("a record");
        assert_eq!((record.uid, done.records.is_empty()), (7, true));
        let mut all = place.xattrs(FileType::File).expect("attributes");
        all.extend(record.xattrs);
        assert_eq!(all, entry.xattrs);
    }
}

#[test]
fn a_layer_that_leans_on_others_is_completed() {
    let lowest = "d ./ m=555 @9:9 t=1\nd tmp 1777 t=2 @1:2 x.user.k=v\nd usr\nd usr/lib 700\nf usr/lib/a one @3:4 t=7 m=640\ns l -> usr/lib @6:6";
    let middle = "d opt\nf .wh.gone\nd secret\nf secret/.wh..wh..opq\nf usr/lib/.wh.dropped";
    let trees = [unpacked(lowest), unpacked(middle)];
    assert!(!trees[1].2.is_self_contained(), "usr and usr/lib are implied");
    assert!(trees[0].2.is_self_contained());
    let below = || {
        Below::new(
            trees.iter().map(|(_, root, done)| (root.path().to_owned(), done.records.clone())),
        )
    };
    let rows = [
        ("f tmp/x 1", false, "d tmp m=1777 @1:2 t=2 x.user.k=v\nf tmp/x 1"),
        // What is hidden is what is in it.
        ("f tmp/.wh..wh..opq\nf tmp/x 1", false, "d tmp m=1777 @1:2 t=2 x.user.k=v !\nf tmp/x 1"),
        ("f tmp/.wh..wh..opq", false, "d tmp m=1777 @1:2 t=2 x.user.k=v !"),
        ("f .wh.tmp\nf tmp/.wh..wh..opq", false, "d tmp !"),
        ("f tmp/.wh..wh..opq\nf .wh.tmp", false, "d tmp !"),
        ("f new/x 1", false, "d new\nf new/x 1"),
        ("d usr\nd usr/lib\nf usr/lib/b 2", true, "d usr\nd usr/lib\nf usr/lib/b 2"),
        ("f usr/lib/b 2", false, "d usr\nd usr/lib m=755\nf usr/lib/b 2"),
        ("h copy -> usr/lib/a", false, "f copy one m=640 @3:4 t=7"),
        ("h copy -> l/a\nh copy2 -> copy", false, "f copy one m=640 @3:4 t=7\nh copy2 -> copy"),
        ("h l2 -> l", false, "s l2 -> usr/lib @6:6"),
        // Through a lower layer's link.
        (
            "f l/x 1 @7:7\ns l/s -> q @8:8\nf l/.wh.a",
            false,
            "d usr\nd usr/lib m=755\nw usr/lib/a\ns usr/lib/s -> q @8:8\nf usr/lib/x 1 @7:7",
        ),
        (
            "d usr 711\nd usr/lib 500 t=5\nf usr/lib/x 2\nf usr/lib/y 3\nd l/d\nf l/x 1",
            false,
            "d usr m=711\nd usr/lib m=500 t=5\nd usr/lib/d\nf usr/lib/x 1\nf usr/lib/y 3",
        ),
        ("h l/copy -> l/a", false, "d usr\nd usr/lib m=755\nf usr/lib/copy one m=640 @3:4 t=7"),
        ("d l\nf l/x 1", true, "d l\nf l/x 1"),
        ("f .wh.l\nf l/x 1", false, "d l !\nf l/x 1"),
        ("f .wh.tmp\nf tmp/x 1", false, "d tmp !\nf tmp/x 1"),
        ("d a 555 t=5\nh a/copy -> usr/lib/a", false, "d a m=555 t=5\nf a/copy one m=640 @3:4 t=7"),
    ];
    for (archived, contained, tree) in rows {
        let (_dir, root, mut done) = unpacked(archived);
        assert_eq!(done.is_self_contained(), contained, "{archived}");
        done.complete(&root, &mut below()).unwrap_or_else(|e| panic!("{archived}: {e}"));
        assert!(done.is_self_contained());
        // The middle layer's own usr and usr/lib are bare: it was not completed.
        let tree = lines(&format!("d .\n{}", tree.replace(" m=755", "")));
        assert_eq!(draw(&root, &done.records), tree, "of\n{archived}");
    }
    for archived in ["h a -> nowhere", "h a -> usr/lib/dropped", "h a -> usr", "h a -> b\nh b -> a"]
    {
        let (_dir, root, mut done) = unpacked(archived);
        let error = done.complete(&root, &mut below()).expect_err(archived);
        assert!(matches!(error, Error::HardLink { .. }), "{archived}: {error}");
    }
}

#[test]
fn an_archive_is_added_to_what_is_there() {
    let base = "d etc 700 t=3\nf etc/a 1 t=4\nd opt 750 @1:1 t=5\nf opt/old 1\ns l -> opt";
    let rows = [
        (
            "f x 1 @5:6",
            "",
            None,
            "d etc m=700 t=3\nf etc/a 1 t=4\ns l -> opt\nd opt m=750 @1:1 t=5\nf opt/old 1\nf x 1 @5:6",
        ),
        ("d etc 711 t=9\nf etc/a/b 2", "", None, ""),
        (
            "f a 2\nf new/b 3",
            "opt",
            Some((8, 9)),
            "d etc m=700 t=3\nf etc/a 1 t=4\ns l -> opt\nd opt m=750 @1:1 t=5\nf opt/a 2 @8:9\nd opt/new @8:9\nf opt/new/b 3 @8:9\nf opt/old 1",
        ),
        (
            "f old 2",
            "l",
            None,
            "d etc m=700 t=3\nf etc/a 1 t=4\ns l -> opt\nd opt m=750 @1:1 t=5\nf opt/old 2",
        ),
        (
            "d old",
            "opt",
            None,
            "d etc m=700 t=3\nf etc/a 1 t=4\ns l -> opt\nd opt m=750 @1:1 t=5\nd opt/old",
        ),
        ("f .wh.a", "etc", None, ""),
        ("h b -> a", "", None, ""),
        (
            "h b -> a\nd . 700",
            "etc",
            None,
            "d etc m=700\nf etc/a 1 t=4\nh etc/b -> etc/a\ns l -> opt\nd opt m=750 @1:1 t=5\nf opt/old 1",
        ),
    ];
    for (added, at, owner, tree) in rows {
        let (_dir, root, done) = unpacked(base);
        let mut records = done.records;
        let result = extract(archive(added).as_slice(), &root, Path::new(at), owner, &mut records);
        match (result, tree) {
            (Ok(_), tree) if !tree.is_empty() => {
                assert_eq!(draw(&root, &records), lines(&format!("d .\n{tree}")), "of\n{added}");
            }
            (Err(_), "") => {}
            (Ok(_), _) => panic!("{added} is taken"),
            (Err(e), _) => panic!("{added}: {e}"),
        }
    }
}

#[test]
fn the_whole_input_is_read_and_what_is_cut_is_an_error() {
    let tar = archive("f a 1");
    let mut longer = tar.clone();
    longer.extend_from_slice(&[0; 10240]);
    let (_dir, root) = empty();
    let mut input = longer.as_slice();
    unpack(&mut input, &root).expect("an archive");
    assert!(input.is_empty());
    let (_dir, root) = empty();
    assert!(unpack(&tar[..512], &root).is_err());
}

/// A tree of a few files of all kinds, drawn.
fn any_tree() -> impl Strategy<Value = String> {
    let attributes =
        (0..3_u32, 0..3_u32, 0..0o10000_u32, -5..5_i64, proptest::option::of("[a-z]{1,3}"));
    let file = (0..7_u8, "[a-zA-Z0-9]{0,9}", attributes);
    let name = prop_oneof!["[abc]{1,2}", "[a-c]\\.[wh]{1,2}", "é{1,70}", "[a-z]{90,120}"];
    proptest::collection::btree_map(proptest::collection::vec(name, 1..4), file, 0..25).prop_map(
        |files| {
            let mut text = BTreeMap::from([(PathBuf::new(), "d .".to_owned())]);
            let mut names = Vec::new();
            for (path, (kind, word, (uid, gid, mode, time, xattr))) in files {
                let path: PathBuf = path.iter().collect();
                // What is not a directory has nothing in it.
                if path
                    .ancestors()
                    .any(|above| text.get(above).is_some_and(|line| !line.starts_with('d')))
                {
                    continue;
                }
                for above in
                    path.ancestors().skip(1).filter(|above| above.components().next().is_some())
                {
                    text.entry(above.to_owned())
                        .or_insert_with(|| format!("d {}", above.display()));
                }
                let (shown, usual) = (path.display(), if kind == 0 { 0o755 } else { 0o644 });
                let mut line = match kind {
                    0 => format!("d {shown}"),
                    1 => format!("s {shown} -> /{word}"),
                    2 => format!("p {shown}"),
                    3 => format!("c {shown} {uid}:{}", mode * 77),
                    4 if !names.is_empty() => {
                        let mut all = [names.swap_remove(0), path];
                        all.sort();
                        let [first, second] = all;
                        let line =
                            text.remove(&first).or_else(|| text.remove(&second)).expect("a file");
                        let words = line
                            .splitn(3, ' ')
                            .nth(2)
                            .map_or(String::new(), |rest| format!(" {rest}"));
                        text.insert(first.clone(), format!("f {}{words}", first.display()));
                        text.insert(
                            second.clone(),
                            format!("h {} -> {}", second.display(), first.display()),
                        );
                        continue;
                    }
                    _ => {
                        names.push(path.clone());
                        format!("f {shown}{}{word}", if word.is_empty() { "" } else { " " })
                    }
                };
                // The owner must be able to look at it all, outside of a user namespace too.
                let mode = mode | if kind == 0 { 0o700 } else { 0o600 };
                if mode != usual && kind != 1 {
                    line += &format!(" m={mode:o}");
                }
                if (uid, gid) != (0, 0) {
                    line += &format!(" @{uid}:{gid}");
                }
                if time != 0 {
                    line += &format!(" t={time}");
                }
                if let Some(value) = xattr {
                    line += &format!(" x.user.k={value}");
                }
                text.insert(path, line);
            }
            text.into_values().fold(String::new(), |all, line| all + &line + "\n")
        },
    )
}

/// Entries that contradict each other, lead everywhere and delete anything.
fn any_attack() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        "a",
        "b",
        "c",
        Just("..".into()),
        Just(".wh.a".into()),
        Just(".wh..wh..opq".into())
    ];
    let path = proptest::collection::vec(name, 1..5).prop_map(|names| names.join("/"));
    let kind = proptest::sample::select(vec!["d", "f", "s", "h", "p", "c"]);
    let entry = (kind, path.clone(), path, proptest::bool::ANY).prop_map(
        |(kind, path, target, absolute)| {
            let slash = if absolute { "/" } else { "" };
            match kind {
                "s" => format!("s {path} -> {slash}{target}"),
                "h" => format!("h {path} -> {slash}{target}"),
                "c" => format!("c {path} 1:2"),
                "d" => format!("d {path}"),
                _ => format!("{kind} {slash}{path}"),
            }
        },
    );
    proptest::collection::vec(entry, 1..40).prop_map(|entries| entries.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_tree_survives_being_packed_and_unpacked(text in any_tree()) {
        let (_dir, root, done) = unpacked(&text);
        prop_assert_eq!(&draw(&root, &done.records), &text);
        let options = PackOptions { compression: Compression::None, ..PackOptions::default() };
        let mut tar = Vec::new();
        let layer = pack_tree(&root, &done.records, &options, &mut tar).expect("a layer");
        let (_dir, again) = empty();
        let done = unpack(tar.as_slice(), &again).expect("a tree");
        prop_assert!(done.is_self_contained() && !done.records.root_implied);
        prop_assert_eq!(&draw(&again, &done.records), &text);
        let mut same = Vec::new();
        let once_more = pack_tree(&again, &done.records, &options, &mut same).expect("a layer");
        prop_assert_eq!(layer, once_more);
    }

    #[test]
    fn no_archive_leaves_the_root(text in any_attack()) {
        let outside = tempfile::tempdir().expect("a directory");
        for (name, inside) in [("a", "x"), ("b", "y"), ("c", "z")] {
            fs::create_dir(outside.path().join(name)).expect("a directory");
            fs::write(outside.path().join(name).join(inside), "kept").expect("a file");
        }
        let outer = Root::open(outside.path()).expect("a root");
        let before = draw(&outer, &SideTable::default());
        let inside = tempfile::tempdir_in(outside.path()).expect("a directory");
        let hidden = inside.path().file_name().expect("a name").to_owned();
        let root = Root::open(inside.path()).expect("a root");
        let top = outer.stat(Path::new("")).expect("it").expect("it").mtime;
        if let Ok(mut done) = unpack(archive(&text).as_slice(), &root) {
            drop(done.complete(&root, &mut Below::default()));
            draw(&root, &done.records);
        }
        prop_assert_eq!(outer.stat(Path::new("")).expect("it").expect("it").mtime, top);
        outer.remove(Path::new(&hidden)).expect("a tree");
        outer.set_time(Path::new(""), before_time(&before)).expect("it");
        prop_assert_eq!(draw(&outer, &SideTable::default()), before);
    }
}

/// The time of the root directory in a drawing.
fn before_time(drawn: &str) -> Time {
    let line = drawn.lines().next().expect("the root");
    let time = line.split(" t=").nth(1).and_then(|rest| rest.split(' ').next());
    (time.expect("a time").parse().expect("a number"), 0)
}
