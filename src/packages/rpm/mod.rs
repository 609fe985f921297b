//! rpm's databases. Each keeps the same thing, the packages' headers, in another kind of file:
//! SQLite since 2020 ([`sqlite`]), SUSE's ndb ([`ndb`]), Berkeley DB before ([`berkeley`]).

mod berkeley;
mod blocks;
mod header;
mod log;
mod ndb;
mod sqlite;

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;

use blocks::Blocks;

use super::{Found, Result, file, is_file};
use crate::rootfs::Root;

/// Where rpm keeps its database: distributions that want all of the system below `/usr` first; the
/// other one is often a link to it.
const FOLDERS: [&str; 2] = ["usr/lib/sysimage/rpm", "var/lib/rpm"];

/// Takes the bytes of each header of a database, in any order.
type Take<'t> = &'t mut dyn FnMut(&[u8]) -> Result<()>;

/// Hands out the headers of one kind of database.
type Reader = fn(&mut Blocks, Take<'_>) -> Result<()>;

pub(super) fn read(root: &Root, found: &mut Found) {
    let mut seen = HashSet::new();
    for folder in FOLDERS.map(Path::new) {
        // The same folder under two names is one.
        match root.stat(folder) {
            Ok(Some(meta)) if meta.is_dir() && seen.insert(meta.identity()) => {}
            Ok(_) => continue,
            Err(error) => {
                found.note(folder, Err(error.into()));
                continue;
            }
        }
        let result = read_sqlite(root, folder, found);
        found.note(&folder.join("rpmdb.sqlite"), result);
        let others: [(&str, Reader); 2] =
            [("Packages.db", ndb::read), ("Packages", berkeley::read)];
        for (name, reader) in others {
            let path = folder.join(name);
            let result = read_file(root, &path, reader, found);
            found.note(&path, result);
        }
    }
}

fn read_file(root: &Root, path: &Path, reader: Reader, found: &mut Found) -> Result<()> {
    let Some(file) = file(root, path)? else { return Ok(()) };
    reader(&mut Blocks::of(file)?, &mut |header| keep(header, path, found))
}

fn read_sqlite(root: &Root, folder: &Path, found: &mut Found) -> Result<()> {
    let path = folder.join("rpmdb.sqlite");
    let Some(file) = file(root, &path)? else { return Ok(()) };
    let mut log: Option<File> = None;
    let beside = folder.join("rpmdb.sqlite-wal");
    if is_file(root, &beside)? {
        log = Some(root.open_file(&beside)?);
    }
    let mut database = sqlite::Database::open(file, log)?;
    database.blobs("Packages", &mut |header| keep(header, &path, found))
}

fn keep(header: &[u8], path: &Path, found: &mut Found) -> Result<()> {
    header::package(header, path)?.map_or(Ok(()), |package| found.push(package))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    fn data(folder: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/packages/rpm").join(folder)
    }

    /// An image with the files of a folder in rpm's.
    fn image(folder: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        let place = dir.path().join(FOLDERS[1]);
        fs::create_dir_all(&place).expect("made");
        for entry in fs::read_dir(data(folder)).expect("listed") {
            let entry = entry.expect("an entry");
            fs::copy(entry.path(), place.join(entry.file_name())).expect("copied");
        }
        dir
    }

    fn look(dir: &Path) -> Found {
        let mut found = Found::default();
        read(&Root::open(dir).expect("a root"), &mut found);
        found.packages.sort();
        found
    }

    #[test]
    fn all_kinds_of_databases_say_the_same() {
        for (folder, expected) in [
            ("sqlite", "hello hello-devel hello-doc hello-extra hello-libs hello-tools"),
            ("log", "hello-doc hello-extra"),
            // One was removed again.
            ("ndb", "hello hello-devel hello-doc hello-libs hello-tools"),
            ("berkeley", "hello hello-devel hello-doc hello-extra hello-libs hello-tools"),
        ] {
            let found = look(image(folder).path());
            assert!(found.unread.is_empty(), "{folder}: {:?}", found.unread);
            let names: Vec<_> = found.packages.iter().map(|package| &*package.name).collect();
            assert_eq!(names.join(" "), expected, "{folder}");
            for package in &found.packages {
                assert_eq!(package.version, "2.12.1-3.fc40", "{folder}: {}", package.name);
                let source = package.source.as_ref().expect("a source");
                assert_eq!(source.name, "hello", "{folder}: {}", package.name);
            }
            let libs = found.packages.iter().find(|package| package.name == "hello-libs");
            let Some(libs) = libs else { continue };
            assert_eq!((libs.epoch, libs.architecture.as_deref()), (Some(1), Some("noarch")));
            assert_eq!(libs.license.as_deref(), Some("GPLv2+ and LGPLv2+ with exceptions"));
            assert_eq!(libs.vendor.as_deref(), Some("Example Project"));
            assert_eq!(libs.packager.as_deref(), Some("Jane Doe <jane@example.org>"));
            assert_eq!(libs.homepage.as_deref(), Some("https://example.org/hello"));
        }
    }

    #[test]
    fn the_log_counts_as_far_as_it_is_whole() {
        let dir = image("log");
        let log = dir.path().join(FOLDERS[1]).join("rpmdb.sqlite-wal");
        let whole = fs::read(&log).expect("read");
        let names = |found: Found| found.packages.into_iter().map(|p| p.name).collect::<Vec<_>>();
        for (bytes, expected) in [
            (&whole[..whole.len() - 1], &["hello-extra"][..]),
            (&whole[..20], &["hello-extra"]),
            (b"", &["hello-extra"]),
            (&whole[..], &["hello-doc", "hello-extra"]),
        ] {
            fs::write(&log, bytes).expect("written");
            let found = look(dir.path());
            assert!(found.unread.is_empty(), "{:?}", found.unread);
            assert_eq!(names(found), expected, "{} bytes", bytes.len());
        }
    }

    #[test]
    fn a_folder_of_two_names_is_one() {
        let dir = image("ndb");
        fs::create_dir_all(dir.path().join("usr/lib/sysimage")).expect("made");
        let link = dir.path().join(FOLDERS[0]);
        std::os::unix::fs::symlink("../../../var/lib/rpm", link).expect("linked");
        let found = look(dir.path());
        assert_eq!(found.packages.len(), 5);
        assert!(found.packages[0].database.starts_with(FOLDERS[0]));
    }

    #[test]
    fn what_is_no_database_is_told() {
        let dir = image("sqlite");
        let place = dir.path().join(FOLDERS[1]);
        for name in ["rpmdb.sqlite", "Packages.db", "Packages"] {
            fs::write(
                place.join(name),
                "this is no database at all, and has a hundred bytes or so ".repeat(3),
            )
            .expect("written");
        }
        let found = look(dir.path());
        assert!(found.packages.is_empty());
        let told: Vec<String> =
            found.unread.iter().map(|unread| unread.error.to_string()).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told.iter().all(|text| text.starts_with("it is of a kind")), "{told:?}");
    }

    /// Damage anywhere: a file that is cut, and one that has a wrong byte in each place. What counts
    /// is that the reader comes to an end.
    #[test]
    fn damage_is_survived() {
        for folder in ["sqlite", "log", "ndb", "berkeley"] {
            let dir = image(folder);
            for entry in fs::read_dir(data(folder)).expect("listed") {
                let name = entry.expect("an entry").file_name();
                let path = dir.path().join(FOLDERS[1]).join(name);
                let sound = fs::read(&path).expect("read");
                // More of where things are, which pages begin with, than of what they are.
                let step = |at: usize| if at % 512 < 32 { 3 } else { 239 };
                let mut at = 0;
                while at < sound.len() {
                    for wrong in [sound[at].wrapping_add(1), 0xff] {
                        let mut bytes = sound.clone();
                        bytes[at] = wrong;
                        fs::write(&path, bytes).expect("written");
                        assert!(look(dir.path()).packages.len() < 100);
                    }
                    at += step(at);
                }
                for end in (0..sound.len()).step_by(997) {
                    fs::write(&path, &sound[..end]).expect("written");
                    look(dir.path());
                }
                fs::write(&path, sound).expect("written");
            }
        }
    }
}
