//! From plain files: a directory, or a tar of one, becomes an image of one layer.
//!
//! A tar may hold the root directory's content itself (a "tarbomb"), or one directory that is the
//! root directory; that one's name is then left out, and a note says so. A tar with an entry for `.`
//! is the root directory's content, whatever is in it. What ch-image notes in `/ch` of a root directory
//! becomes the image's configuration.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Seek as _, Write as _};
use std::path::{Component, Path, PathBuf};

use super::ch_image::{self, Notes};
use super::files::spool;
use super::make::{self, StoredLayer};
use crate::image::{Config, History, Manifest, Platform, Timestamp};
use crate::layer::archive::{Entry, EntryKind, Reader};
use crate::layer::{self, PackOptions};
use crate::report::{Outcome, Reporter, start};
use crate::rootfs::{Root, SideTable};
use crate::store::Store;
use crate::transfer::Error;

/// Directories of a root directory: a tar that has one of them at its top and nothing else is that
/// root directory's content all the same.
const USUAL: [&str; 21] = [
    "bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "media", "mnt", "opt",
    "proc", "root", "run", "sbin", "srv", "sys", "tmp", "usr", "var",
];

/// How an image is made of plain files.
#[derive(Debug, Clone, Default)]
pub struct Making {
    /// The machine that the files are for: this one's, unless they say it themselves.
    pub platform: Option<Platform>,
    /// Files that are younger get this time, which is that of the image too; in seconds since 1970.
    pub latest: Option<i64>,
}

/// Makes an image of the files in `path`, a directory or a tar of any compression, in the storage
/// directory.
pub fn image(
    store: &Store,
    path: &Path,
    making: &Making,
    reporter: &dyn Reporter,
) -> Result<Manifest, Error> {
    let name = path.display().to_string();
    let metadata = fs::metadata(path).map_err(Error::opening(path))?;
    // Whoever gives `.` for a directory that bryo keeps its own files in does not mean these.
    let whole = fs::canonicalize(path).map_err(Error::opening(path))?;
    if fs::canonicalize(store.path()).is_ok_and(|storage| storage.starts_with(&whole)) {
        return Err(Error::HoldsStorage {
            path: path.to_owned(),
            storage: store.path().to_owned(),
        });
    }
    if !metadata.is_dir() {
        let file = File::open(path).map_err(Error::opening(path))?;
        return from_stream(store, file, &name, making, reporter);
    }
    let running = start(reporter, format!("import {name}"), None);
    let options = PackOptions { latest: making.latest, ..PackOptions::default() };
    let mut blob = store.blob_writer()?;
    let root = Root::open(path)?;
    let packed = layer::pack_tree(&root, &SideTable::default(), &options, &mut blob)?;
    blob.flush().map_err(Error::writing("a layer to the storage directory"))?;
    blob.commit(Some(&packed.descriptor.digest))?;
    let mut notes = Notes::default();
    for file in ch_image::FILES {
        if let Some(bytes) = root.read_file(Path::new(file), ch_image::LIMIT)? {
            notes.learn(file, bytes);
        }
    }
    let config = making.config(&name, &notes)?;
    let manifest = make::image(store, packed, config, reporter)?;
    running.finish(Outcome::Done);
    Ok(manifest)
}

/// The same, of a tar that can be read only once. `name` is for messages and for the history.
pub fn from_stream(
    store: &Store,
    input: impl Read + Send,
    name: &str,
    making: &Making,
    reporter: &dyn Reporter,
) -> Result<Manifest, Error> {
    let running = start(reporter, format!("import {name}"), None);
    let mut file = spool(input, name, store)?;
    let top = one_top(&file)?;
    if let Some(top) = &top {
        reporter.note(format!("{name}: its one directory {} is the root directory", top.display()));
    }
    file.rewind().map_err(Error::opening(name))?;
    let mut layer = StoredLayer::new(store)?;
    let mut notes = Notes::default();
    let mut reader = Reader::new(&file);
    while let Some(entry) = reader.next_entry()? {
        let Some(mut entry) = without_top(entry, top.as_deref()) else { continue };
        if let Some(latest) = making.latest {
            entry.mtime = entry.mtime.min((latest, 0));
        }
        running.advance(entry.size);
        let path: PathBuf = inside(&entry.path).collect();
        let is_note = entry.kind == EntryKind::File && entry.size <= ch_image::LIMIT;
        match ch_image::FILES.iter().find(|file| is_note && path == Path::new(file)) {
            Some(file) => {
                let mut bytes = Vec::new();
                reader.read_to_end(&mut bytes).map_err(Error::opening(name))?;
                layer.append(&entry, &bytes[..])?;
                notes.learn(file, bytes);
            }
            None => layer.append(&entry, &mut reader)?,
        }
    }
    let config = making.config(name, &notes)?;
    let manifest = make::image(store, layer.finish()?, config, reporter)?;
    running.finish(Outcome::Done);
    Ok(manifest)
}

impl Making {
    fn config(&self, name: &str, notes: &Notes) -> Result<Config, Error> {
        let mut config = Config::scratch(&Platform::host());
        notes.apply(&mut config).map_err(|source| Error::Notes { path: name.into(), source })?;
        if let Some(Platform { os, architecture, variant, .. }) = self.platform.clone() {
            (config.os, config.architecture, config.variant) = (os, architecture, variant);
        }
        let created = self.latest.map(|time| Timestamp::from_seconds(time).to_string());
        config.created.clone_from(&created);
        let created_by = Some(format!("bryo import {name}"));
        config.history.push(History { created, created_by, ..History::default() });
        Ok(config)
    }
}

/// The one directory that all else is in.
fn one_top(file: &File) -> Result<Option<PathBuf>, Error> {
    let mut tops = BTreeSet::new();
    let mut reader = Reader::new(file);
    while let Some(entry) = reader.next_entry()? {
        let mut parts = inside(&entry.path);
        // Who describes the root directory itself means it.
        let Some(top) = parts.next() else { return Ok(None) };
        if parts.next().is_none() && entry.kind != EntryKind::Dir {
            return Ok(None);
        }
        tops.insert(PathBuf::from(top));
        if tops.len() > 1 {
            return Ok(None);
        }
    }
    Ok(tops.pop_first().filter(|top| USUAL.iter().all(|usual| top != Path::new(usual))))
}

fn inside(path: &Path) -> impl Iterator<Item = &std::ffi::OsStr> {
    path.components().filter_map(|part| match part {
        Component::Normal(part) => Some(part),
        _ => None,
    })
}

/// The entry as it is inside `top`; None for what is not.
fn without_top(mut entry: Entry, top: Option<&Path>) -> Option<Entry> {
    let Some(top) = top else { return Some(entry) };
    let strip = |path: &Path| -> Option<PathBuf> {
        let whole: PathBuf = inside(path).collect();
        let rest = whole.strip_prefix(top).ok()?;
        Some(if rest.as_os_str().is_empty() { ".".into() } else { rest.to_owned() })
    };
    entry.path = strip(&entry.path)?;
    if entry.kind == EntryKind::Hardlink {
        entry.link = entry.link.as_deref().map(strip)?;
    }
    Some(entry)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::layer::archive::Writer;

    fn tar(paths: &[&str]) -> File {
        let mut writer = Writer::new(tempfile::tempfile().expect("a file"));
        for path in paths {
            let kind = if path.ends_with('/') { EntryKind::Dir } else { EntryKind::File };
            let entry = Entry::new(path.trim_end_matches('/'), kind);
            writer.append(&entry, io::empty()).expect("written");
        }
        let mut file = writer.finish().expect("written");
        file.rewind().expect("rewound");
        file
    }

    #[test]
    fn one_directory_at_the_top_is_the_root() {
        for (paths, top) in [
            (&["a/", "a/bin/", "a/bin/sh"][..], Some("a")),
            (&["./", "./a/", "./a/x"], None),
            (&["./a/", "./a/x"], Some("a")),
            (&["a/x"], Some("a")),
            (&["a/", "b/"], None),
            (&["a"], None),
            (&["usr/", "usr/bin/x"], None),
            (&["bin/sh", "etc/passwd"], None),
            (&[], None),
        ] {
            let found = one_top(&tar(paths)).expect("a tar");
            assert_eq!(found.as_deref(), top.map(Path::new), "{paths:?}");
        }
    }

    #[test]
    fn names_lose_the_top() {
        let entry = |path: &str| Entry::new(path, EntryKind::File);
        let top = Some(Path::new("a"));
        let path = |entry: Option<Entry>| entry.map(|entry| entry.path.display().to_string());
        assert_eq!(path(without_top(entry("./a/b/c"), top)), Some("b/c".into()));
        assert_eq!(path(without_top(entry("a"), top)), Some(".".into()));
        assert_eq!(path(without_top(entry("./"), top)), None);
        assert_eq!(path(without_top(entry("./x"), None)), Some("./x".into()));
        let mut link = Entry::new("a/l", EntryKind::Hardlink);
        link.link = Some("a/t".into());
        let link = without_top(link, top).expect("inside").link;
        assert_eq!(link.as_deref(), Some(Path::new("t")));
    }
}
