//! Both directions at once, with GNU tar as the judge.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use tar::Header;

use super::*;
use crate::image::Digest;
use crate::layer::Error;

/// A little of everything.
fn assortment() -> Vec<(Entry, Vec<u8>)> {
    let of = |path: &str, kind, change: &dyn Fn(&mut Entry)| {
        let mut entry = Entry { mode: 0o755, mtime: (1_700_000_000, 0), ..Entry::new(path, kind) };
        change(&mut entry);
        (entry, Vec::new())
    };
    let file = |path: &str, content: &[u8], change: &dyn Fn(&mut Entry)| {
        let (entry, _) = of(path, EntryKind::File, change);
        (Entry { size: content.len() as u64, ..entry }, content.to_vec())
    };
    let deep = format!("{}/{}", "p".repeat(150), "n".repeat(90));
    let deeper = format!("{}/{}", "p".repeat(100), "n".repeat(120));
    let mut capability = vec![1, 0, 0, 2, 10, 61, 10, 255];
    capability.resize(20, 0);
    vec![
        of(".", EntryKind::Dir, &|_| {}),
        of("etc", EntryKind::Dir, &|e| (e.uid, e.gid, e.mode) = (0, 42, 0o1777)),
        file("etc/passwd", b"root:x:0:0\n", &|e| e.mode = 0o4640),
        file("empty", b"", &|e| e.mtime = (-2, 750_000_000)),
        file("precise", b"1", &|e| e.mtime = (1_700_000_000, 120_000_000)),
        file("old", b"1", &|e| e.mtime = (-1, 0)),
        file("future", b"1", &|e| e.mtime = (1 << 34, 0)),
        file("owned", b"1", &|e| (e.uid, e.gid) = (4_000_000_000, 2_097_152)),
        file("exact", &[b'x'; 512], &|_| {}),
        file("größe", b"utf-8", &|_| {}),
        file(&deep, b"in the prefix", &|_| {}),
        file(&deeper, b"in a record", &|_| {}),
        file("attributes", b"", &|e| {
            e.xattrs.insert("security.capability".into(), capability.clone());
            e.xattrs.insert("user.a=b%".into(), b"c".to_vec());
        }),
        of("symlink", EntryKind::Symlink, &|e| e.link = Some("../tärget".into())),
        of("hard", EntryKind::Hardlink, &|e| e.link = Some("etc/passwd".into())),
        of("fifo", EntryKind::Fifo, &|_| {}),
        of("null", EntryKind::Char, &|e| e.device = (1, 3)),
        of("sda", EntryKind::Block, &|e| e.device = (8, 1_048_575)),
    ]
}

fn write(entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, content) in entries {
        writer.append(entry, &content[..]).expect("a Vec takes all");
    }
    writer.finish().expect("a Vec takes all")
}

fn read(bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, Error> {
    let mut reader = Reader::new(bytes);
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut content = Vec::new();
        reader.read_to_end(&mut content).map_err(Error::Read)?;
        entries.push((entry, content));
    }
    Ok(entries)
}

#[test]
fn what_is_written_is_read_again() {
    let mut entries = assortment();
    entries.push((
        Entry {
            size: 3,
            ..Entry::new(Path::new(std::ffi::OsStr::from_bytes(b"\xff\xfe")), EntryKind::File)
        },
        b"raw".to_vec(),
    ));
    assert_eq!(read(&write(&entries)).expect("our own"), entries);
}

#[test]
fn the_same_entries_make_the_same_bytes_for_ever() {
    let bytes = write(&assortment());
    assert_eq!(bytes, write(&assortment()));
    // Another digest here means that every layer built before is built anew: think twice.
    assert_eq!(
        Digest::of(&bytes).to_string(),
        "sha256:382b13988d13c30ecd0f5434ab2de6c93a5ac31e86b852ef462a07c18df2a2b4"
    );
}

#[test]
fn holes_are_filled() {
    let entry = Entry {
        size: 40_000,
        sparse: Some(vec![(0, 1), (20_000, 2)]),
        ..Entry::new("f", EntryKind::File)
    };
    let entries = read(&write(&[(entry, b"abc".to_vec())])).expect("our own");
    let mut expected = vec![0; 40_000];
    expected[0] = b'a';
    expected[20_000..20_002].copy_from_slice(b"bc");
    assert_eq!(entries[0].1, expected);
}

#[test]
fn content_must_have_its_size() {
    let entry = Entry { size: 3, ..Entry::new("f", EntryKind::File) };
    for (content, actual) in [("ab", 2), ("abcd", 4)] {
        let error = Writer::new(Vec::new()).append(&entry, content.as_bytes()).expect_err(content);
        assert!(matches!(error, Error::Size { actual: found, .. } if found == actual), "{error}");
    }
}

fn gnu_tar(arguments: &[&str], directory: &Path, input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("tar")
        .args(arguments)
        .current_dir(directory)
        .env("TZ", "UTC0")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("GNU tar is on every system that builds this");
    let mut stdin = child.stdin.take().expect("it is piped");
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().expect("it was started")
    });
    assert!(output.status.success(), "tar {arguments:?}");
    output.stdout
}

#[test]
fn gnu_tar_sees_what_was_written() {
    let bytes = write(&assortment());
    let here = Path::new(".");
    let list = gnu_tar(
        &["-tvv", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--full-time", "-f-"],
        here,
        &bytes,
    );
    let list = String::from_utf8(list).expect("names are UTF-8");
    let lines: Vec<String> =
        list.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        "drwxr-xr-x 0/0 0 2023-11-14 22:13:20 ./",
        "drwxrwxrwt 0/42 0 2023-11-14 22:13:20 etc/",
        "-rwSr----- 0/0 11 2023-11-14 22:13:20 etc/passwd",
        "-rwxr-xr-x 0/0 1 2023-11-14 22:13:20.12 precise",
        "-rwxr-xr-x 0/0 1 1969-12-31 23:59:59 old",
        "-rwxr-xr-x 0/0 1 2514-05-30 01:53:04 future",
        "-rwxr-xr-x 4000000000/2097152 1 2023-11-14 22:13:20 owned",
        "-rwxr-xr-x* 0/0 0 2023-11-14 22:13:20 attributes",
        "x: 20 security.capability",
        "x: 1 user.a=b%",
        "lrwxr-xr-x 0/0 0 2023-11-14 22:13:20 symlink -> ../tärget",
        "hrwxr-xr-x 0/0 0 2023-11-14 22:13:20 hard link to etc/passwd",
        "prwxr-xr-x 0/0 0 2023-11-14 22:13:20 fifo",
        "crwxr-xr-x 0/0 1,3 2023-11-14 22:13:20 null",
        "brwxr-xr-x 0/0 8,1048575 2023-11-14 22:13:20 sda",
    ] {
        assert!(lines.iter().any(|l| l == line), "{line} is not in\n{}", lines.join("\n"));
    }
    // Its list shows times before 1970 with their fraction mirrored, its extraction does not.
    let directory = tempfile::tempdir().expect("a directory");
    gnu_tar(&["--warning=no-timestamp", "-xf-", "empty"], directory.path(), &bytes);
    let meta = fs::metadata(directory.path().join("empty")).expect("it was extracted");
    assert_eq!((meta.mtime(), meta.mtime_nsec()), (-2, 750_000_000));
    for (entry, content) in assortment().iter().filter(|(e, _)| e.kind == EntryKind::File) {
        let name = entry.path.to_str().expect("UTF-8");
        assert_eq!(&gnu_tar(&["-xOf-", name], here, &bytes), content, "{name}");
    }
}

#[test]
fn what_gnu_tar_writes_is_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = fs::File::create(directory.path().join("sparse")).expect("a file");
    let holes: Vec<(u64, &[u8])> = vec![(0, b"begin"), (100_000, b"middle"), (1 << 20, b"end")];
    let mut whole = vec![0; (3 << 20) as usize];
    for (at, text) in holes {
        std::os::unix::fs::FileExt::write_all_at(&file, text, at).expect("a write");
        whole[at as usize..at as usize + text.len()].copy_from_slice(text);
    }
    file.set_len(3 << 20).expect("a length");
    let long = "long/".repeat(50);
    fs::create_dir_all(directory.path().join(&long)).expect("directories");
    fs::write(directory.path().join(&long).join("größe"), "content").expect("a file");
    std::os::unix::fs::symlink(&long, directory.path().join("symlink")).expect("a link");

    for format in [
        &["--format=gnu"][..],
        &["--format=posix", "--sparse-version=0.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=1.0"],
        &["--format=posix", "--sparse-version=1.0", "--mtime=1969-12-31 23:59:58.25"],
    ] {
        let arguments = [format, &["--sort=name", "-cSf-", "long", "sparse", "symlink"]].concat();
        let entries = read(&gnu_tar(&arguments, directory.path(), b"")).expect("GNU tar's");
        let find = |name: &str| {
            let found = entries.iter().find(|(entry, _)| entry.path == Path::new(name));
            found.unwrap_or_else(|| panic!("{name} in {format:?}"))
        };
        assert_eq!(find(&format!("{long}größe")).1, b"content");
        assert_eq!(find("symlink").0.link.as_deref(), Some(Path::new(&long)));
        assert_eq!(find("long").0.kind, EntryKind::Dir);
        let (entry, content) = find("sparse");
        if format.len() == 3 {
            assert_eq!(entry.mtime, (-2, 250_000_000));
        }
        // A file system may make holes coarser, or none at all.
        assert!(content.len() < whole.len(), "{format:?}: the file has no holes");
        let filled = write(&[(entry.clone(), content.clone())]);
        let filled = read(&filled).expect("our own").remove(0).1;
        assert!(filled == whole, "{format:?}: the content differs");
    }
}

prop_compose! {
    fn any_entry()(
        path in "[a-zé/.]{1,300}",
        link in "[a-zé/.]{1,300}",
        kind in prop::sample::select(vec![EntryKind::File, EntryKind::Symlink, EntryKind::Hardlink, EntryKind::Char, EntryKind::Fifo]),
        (mode, uid, gid) in (0_u32..0o10000, any::<u32>(), any::<u32>()),
        mtime in (-(1_i64 << 40)..1 << 40, 0_u32..1_000_000_000),
        device in (0_u32..4096, 0_u32..1 << 20),
        xattrs in prop::collection::btree_map("user\\.[a-z=]{1,8}", any::<Vec<u8>>(), 0..3),
        content in any::<Vec<u8>>(),
    ) -> (Entry, Vec<u8>) {
        let path = format!("{path}x"); // a slash at the end would say directory
        let is = |wanted| kind == wanted;
        let content = if is(EntryKind::File) { content } else { Vec::new() };
        (Entry {
            mode, uid, gid, mtime,
            size: content.len() as u64,
            link: (is(EntryKind::Symlink) || is(EntryKind::Hardlink)).then(|| link.into()),
            device: if is(EntryKind::Char) { device } else { (0, 0) },
            xattrs: xattrs.into_iter().map(|(name, value)| (name.into(), value)).collect(),
            ..Entry::new(path, kind)
        }, content)
    }
}

proptest! {
    #[test]
    fn any_entry_survives(entries in prop::collection::vec(any_entry(), 0..4)) {
        prop_assert_eq!(read(&write(&entries)).expect("our own"), entries);
    }

    #[test]
    fn no_damage_makes_the_reader_panic(
        at in prop::collection::vec((0.0..1.0, any::<u8>()), 1..6),
        length in 0.0..1.0,
    ) {
        let mut bytes = write(&assortment());
        for (place, byte) in at {
            let place = (place * bytes.len() as f64) as usize;
            bytes[place] = byte;
            // Or else nothing gets past the checksum.
            let block = place / 512 * 512;
            let mut header = Header::new_old();
            header.as_mut_bytes().copy_from_slice(&bytes[block..block + 512]);
            header.set_cksum();
            bytes[block..block + 512].copy_from_slice(header.as_bytes());
        }
        bytes.truncate((length * 2.0 * bytes.len() as f64) as usize);
        let _either_way = read(&bytes);
    }
}
