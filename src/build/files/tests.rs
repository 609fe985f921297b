//! Which files words mean, and what a digest is of.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;
use crate::build::content::Witness;
use crate::build::context;
use crate::image::Digest;

type Change = fn(&Path);

fn tree(files: &[(&str, &str)], links: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a directory");
    for (path, content) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("inside")).expect("a directory");
        fs::write(path, content).expect("a file");
    }
    for (path, target) in links {
        symlink(target, folder.path().join(path)).expect("a link");
    }
    folder
}

fn open(folder: &tempfile::TempDir) -> Files {
    context::open(folder.path(), None, Hashes::default()).expect("a context")
}

fn digest(files: &Files, word: &str) -> Digest {
    let source = files.find(word).expect(word).remove(0);
    files.digest(&source, &Ignore::default()).expect(word)
}

#[test]
fn words_mean_files() {
    let folder = tree(
        &[("a.txt", ""), ("b.txt", ""), (".hidden", ""), ("d/x/f", ""), ("d/y/f", "")],
        &[("link", "d/x"), ("abs", "/a.txt"), ("out", "../../../a.txt"), ("z", "nowhere")],
    );
    let files = open(&folder);
    for (word, expected) in [
        ("a.txt", "a.txt"),
        ("../../a.txt", "a.txt"),
        ("/d/../a.txt", "a.txt"),
        (".", ""),
        ("", ""),
        ("*.txt", "a.txt b.txt"),
        ("?.txt", "a.txt b.txt"),
        ("[b-z].txt", "b.txt"),
        (".h*", ".hidden"),
        ("d/*/f", "d/x/f d/y/f"),
        ("link", "d/x"),
        ("link/f", "d/x/f"),
        ("link/*", "d/x/f"),
        ("l*k/f", ""),
        ("ab*", "a.txt"),
        ("out", "a.txt"),
        ("none*", ""),
        ("d/none*", ""),
        ("d/none/*", "! \"/d/none\": not found"),
        ("a.txt/*", ""),
        ("z/*", "! \"/z\": not found"),
        ("**/f", ""),
        ("z", "! \"/z\": not found"),
        ("z*", "! \"/z\": not found"),
        ("a.txt/x", "! \"/a.txt/x\": not found"),
    ] {
        let found = match files.find(word) {
            Ok(found) => {
                found.iter().map(|source| source.path.display().to_string()).collect::<Vec<_>>()
            }
            Err(fault) => vec![format!("! {fault}")],
        };
        assert_eq!(found.join(" "), expected, "{word}");
    }
}

#[test]
fn what_is_ignored_is_not_there() {
    let folder = tree(
        &[
            (".dockerignore", "skip\nsome/*\n!some/kept\n*.log\n**/deep\n!**/deep/kept\n"),
            ("skip/f", ""),
            ("some/kept/f", ""),
            ("some/gone/f", ""),
            ("a.log", ""),
            ("x/deep/f", ""),
            ("y/deep/kept", ""),
        ],
        &[("link", "a.log")],
    );
    let files = open(&folder);
    for (word, there) in [
        ("skip", false),
        ("skip/f", false),
        ("some", true),
        ("some/kept", true),
        ("some/gone", false),
        ("some/gone/*", false),
        ("x/deep/*", false),
        ("a.log", false),
        ("link", false),
        ("x/deep", false),
        ("y/deep", true),
        ("y/deep/kept", true),
    ] {
        match files.find(word) {
            Ok(_) => assert!(there, "{word} was found"),
            Err(Fault::NotFound { .. }) => assert!(!there, "{word} was not found"),
            Err(other) => panic!("{word}: {other}"),
        }
    }
    assert!(files.find("*.log").expect("a pattern").is_empty());
}

#[test]
fn a_digest_is_of_what_is_copied() {
    let make = || tree(&[("d/a", "1"), ("d/s/b", "2"), (".dockerignore", "d/ignored")], &[]);
    let path = |folder: &tempfile::TempDir, name: &str| folder.path().join(name);
    let first = make();
    let expected = digest(&open(&first), "d");
    let same: [(&str, Change); 3] = [
        ("an ignored file", |root| fs::write(root.join("d/ignored"), "x").expect("a file")),
        ("the directory's own mode", |root| {
            fs::set_permissions(root.join("d"), fs::Permissions::from_mode(0o700)).expect("chmod");
        }),
        ("a time", |root| fs::write(root.join("d/a"), "1").expect("a file")),
    ];
    for (what, change) in same {
        let folder = make();
        change(folder.path());
        assert_eq!(digest(&open(&folder), "d"), expected, "{what} counts");
    }
    let other: [(&str, Change); 5] = [
        ("content", |root| fs::write(root.join("d/a"), "2").expect("a file")),
        ("a name", |root| fs::rename(root.join("d/a"), root.join("d/c")).expect("rename")),
        ("a mode", |root| {
            fs::set_permissions(root.join("d/a"), fs::Permissions::from_mode(0o600))
                .expect("chmod");
        }),
        ("an empty directory", |root| fs::create_dir(root.join("d/e")).expect("mkdir")),
        ("a link", |root| {
            fs::remove_file(root.join("d/a")).expect("remove");
            symlink("s/b", root.join("d/a")).expect("a link");
        }),
    ];
    for (what, change) in other {
        let folder = make();
        change(folder.path());
        assert_ne!(digest(&open(&folder), "d"), expected, "{what} does not count");
    }
    // A hard link to an ignored file is that file's content.
    let folder = make();
    let link = |content: &str| {
        drop(fs::remove_file(path(&folder, "d/z")));
        fs::write(path(&folder, "d/ignored"), content).expect("a file");
        fs::hard_link(path(&folder, "d/ignored"), path(&folder, "d/z")).expect("a link");
        digest(&open(&folder), "d")
    };
    assert_ne!(link("1"), link("2"));
}

/// Copies what `word` means, while `meanwhile` is told of each file that is about to be copied.
fn copied(files: &Files, word: &str, meanwhile: impl Fn(&Path)) -> Digest {
    let (source, none) = (files.find(word).expect(word).remove(0), Ignore::default());
    let target = tempfile::tempdir().expect("a directory");
    let (target, mut records) = (Root::open(target.path()).expect("a root"), SideTable::default());
    let witness = Witness::new(files, &source, &none);
    let choose = |path: &Path, meta: &Meta| {
        meanwhile(path);
        witness.choose(path, meta)
    };
    let look = |found: &rootfs::Found, taken: &rootfs::Taken<'_>| witness.look(found, taken);
    let options = rootfs::CopyOptions {
        choose: Some(&choose),
        watch: Some(&look),
        sockets: true,
        ..rootfs::CopyOptions::default()
    };
    rootfs::Copier::new(&files.root, &files.records, &target, &mut records, options)
        .and_then(|mut copier| copier.copy(&source.path, "copy".as_ref()))
        .expect("copied");
    witness.finish()
}

#[test]
fn what_is_copied_is_told_from_what_was_planned() {
    const FILES: [(&str, &str); 5] =
        [("d/a", "1"), ("d/e", ""), ("d/s/b", "2"), ("d/z", "3"), (".dockerignore", "d/s\n!d/s/b")];
    let make = || {
        let folder = tree(&FILES, &[("d/link", "a")]);
        fs::hard_link(folder.path().join("d/a"), folder.path().join("d/n")).expect("a link");
        folder
    };
    let folder = make();
    let files = open(&folder);
    for word in ["d", "d/a", "d/link"] {
        assert_eq!(copied(&files, word, |_| {}), digest(&files, word), "{word}");
    }
    let changes: [(&str, Change); 8] = [
        ("a content", |root| fs::write(root.join("d/z"), "4").expect("a file")),
        ("a content of the past", |root| {
            let file = fs::File::options().write(true).open(root.join("d/z")).expect("a file");
            let time = file.metadata().and_then(|meta| meta.modified()).expect("a time");
            std::io::Write::write_all(&mut &file, b"4").expect("a byte");
            file.set_modified(time).expect("a time");
        }),
        ("a longer content", |root| fs::write(root.join("d/z"), "34").expect("a file")),
        ("a shorter content", |root| fs::write(root.join("d/z"), "").expect("a file")),
        ("an empty file's content", |root| fs::write(root.join("d/e"), "4").expect("a file")),
        ("a mode", |root| {
            fs::set_permissions(root.join("d/z"), fs::Permissions::from_mode(0o600))
                .expect("chmod");
        }),
        ("a new file", |root| fs::write(root.join("d/y"), "").expect("a file")),
        ("a link", |root| {
            fs::remove_file(root.join("d/link")).expect("remove");
            symlink("z", root.join("d/link")).expect("a link");
        }),
    ];
    for (what, change) in changes {
        let folder = make();
        let files = open(&folder);
        let planned = digest(&files, "d");
        // Before its directory is listed.
        let found = copied(&files, "d", |path| {
            if path == Path::new("d") {
                change(folder.path());
            }
        });
        assert_ne!(found, planned, "{what} was not seen");
    }
    // And between the look at a file and its copy.
    let folder = make();
    let files = open(&folder);
    let planned = digest(&files, "d");
    let found = copied(&files, "d", |path| {
        if path == Path::new("d/z") {
            fs::write(folder.path().join(path), "4").expect("a file");
        }
    });
    assert_ne!(found, planned);
}
