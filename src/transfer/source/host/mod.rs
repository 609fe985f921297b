//! From the programs of this machine: `host:PROG,PROG…` is a base image with these programs, the
//! libraries that they need and the few files that any image has, so that a first build works with
//! no network at all.
//!
//! Programs keep their paths, with all symbolic links on the way (`/bin` → `usr/bin`, `/usr/bin/awk`
//! → `/etc/alternatives/awk` → …), so that scripts find them where they are used to. The layer's
//! bytes depend on what the files contain, on their names and on whether they may be executed:
//! owners are root's and times are one constant, so that two machines with the same packages make
//! the same image.
//!
//! Asking the dynamic linker and packing take a tenth of a second. What was looked at is therefore
//! remembered with the image: if each file still has its size, time and inode number, the image of
//! the last time is taken.

mod collect;
mod elf;
mod libraries;
mod made;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::make::{self, StoredLayer};
use crate::image::{Config, Content, Descriptor, Digest, History, Manifest, Platform, Timestamp};
use crate::layer::archive::{Entry, EntryKind};
use crate::report::{Outcome, Reporter, start};
use crate::store::{CacheEntry, Store};
use crate::transfer::Error;
use collect::{Collection, Item, Seen};

/// 1980-01-01T00:00:00Z, the time of all files: the first one that zip archives can say, which
/// programs in the image may come to write.
const TIME: i64 = 315_532_800;
/// Changes when the same programs shall give another image.
const VERSION: u32 = 1;
/// What docker sets where an image says nothing.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Programs that a container can start with, the best first.
const SHELLS: [&str; 8] = ["bash", "zsh", "ksh", "mksh", "dash", "ash", "sh", "busybox"];

/// What is kept of an image that was made before.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    /// All that was looked at, and how it was.
    seen: Vec<(PathBuf, Option<Seen>)>,
    manifest: Descriptor,
}

/// Makes the image of some programs of this machine, or finds it made already. Programs are names,
/// looked up in `path` (the value of `$PATH`), or absolute paths.
///
/// # Errors
///
/// [`Error::NoProgram`], [`Error::NoLibrary`], [`Error::Program`] when a program cannot be taken;
/// what the storage directory says.
pub fn image(
    store: &Store,
    programs: &[String],
    path: &str,
    reporter: &dyn Reporter,
) -> Result<Manifest, Error> {
    let key = key(programs, path);
    if let Some(manifest) = remembered(store, &key) {
        return Ok(manifest);
    }
    let title = format!("host:{}", programs.join(","));
    let running = start(reporter, title.as_str(), None);
    let collection = collect(programs, path)?;
    let mut layer = StoredLayer::new(store)?;
    for (path, item) in collection.items() {
        let count = append(&mut layer, path, item)?;
        running.advance(count);
    }
    let layer = layer.finish()?;
    let config = config(programs, &collection, &title);
    let manifest = make::image(store, layer, config, reporter)?;
    running.finish(Outcome::Done);

    let remembered =
        Remembered { seen: collection.into_seen(), manifest: manifest.descriptor.clone() };
    let bytes = serde_json::to_vec(&remembered).expect("paths are kept as text or bytes");
    let content = Some(store.put_blob(&bytes)?);
    let created = Timestamp::from_seconds(TIME).to_string();
    store.cache_put(&key, &CacheEntry { created, content, ..CacheEntry::default() })?;
    Ok(manifest)
}

fn key(programs: &[String], path: &str) -> Digest {
    let words = (VERSION, env!("CARGO_PKG_VERSION"), "host", programs, path);
    Digest::of(&serde_json::to_vec(&words).expect("words are JSON"))
}

/// The image of the last time, if nothing changed since then and it is still here.
fn remembered(store: &Store, key: &Digest) -> Option<Manifest> {
    let content = store.cache_get(key).ok()??.content?;
    let remembered: Remembered = serde_json::from_slice(&store.read_blob(&content).ok()?).ok()?;
    let same = |(path, seen): &(PathBuf, Option<Seen>)| Seen::of(path).ok().flatten() == *seen;
    if !remembered.seen.iter().all(same) {
        return None;
    }
    let Content::Image(manifest) = store.content(&remembered.manifest).ok()? else { return None };
    let config = store.config(&manifest).ok()?;
    let whole = manifest.layers.iter().all(|layer| store.has_blob(&layer.digest));
    (whole && make::is_unpacked(store, &config)).then_some(manifest)
}

fn collect(programs: &[String], path: &str) -> Result<Collection, Error> {
    let mut collection = Collection::default();
    made::skeleton(&mut collection);
    for link in ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"] {
        collection.add_link(Path::new(link))?;
    }
    let mut shell = None;
    for name in programs {
        let program = find(&mut collection, name, path)?;
        if SHELLS.contains(&file_name(name)) {
            shell.get_or_insert(program.clone());
        }
        libraries::add_program(&mut collection, &program, path)?;
    }
    // The shell form of RUN and CMD is `/bin/sh -c`: whatever shell was asked for will do.
    if let Some(shell) = shell {
        collection.link_if_missing(Path::new("/bin/sh"), &shell);
    }
    Ok(collection)
}

/// Where a program is.
fn find(collection: &mut Collection, name: &str, path: &str) -> Result<PathBuf, Error> {
    if name.starts_with('/') {
        return match collection.is_program(Path::new(name)) {
            true => Ok(name.into()),
            false => Err(Error::NoProgram(name.to_owned())),
        };
    }
    if name.is_empty() || name.contains('/') {
        return Err(Error::NoProgram(name.to_owned()));
    }
    path.split(':')
        .filter(|folder| folder.starts_with('/'))
        .map(|folder| Path::new(folder).join(name))
        .find(|program| collection.is_program(program))
        .ok_or_else(|| Error::NoProgram(name.to_owned()))
}

fn file_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// Writes one file; returns how many bytes its content has.
fn append(layer: &mut StoredLayer<'_>, path: &Path, item: &Item) -> Result<u64, Error> {
    let kind = match item {
        Item::Dir { .. } => EntryKind::Dir,
        Item::Link { .. } => EntryKind::Symlink,
        Item::File { .. } | Item::Made { .. } => EntryKind::File,
    };
    let inside = path.strip_prefix("/").unwrap_or(path);
    let mut entry = Entry { mtime: (TIME, 0), ..Entry::new(inside, kind) };
    match item {
        Item::Dir { mode } => {
            entry.mode = *mode;
            if inside.as_os_str().is_empty() {
                entry.path = ".".into();
            }
            layer.append(&entry, io::empty())?;
        }
        Item::Link { target } => {
            entry.mode = 0o777;
            entry.link = Some(target.clone());
            layer.append(&entry, io::empty())?;
        }
        Item::Made { mode, content } => {
            (entry.mode, entry.size) = (*mode, content.len() as u64);
            layer.append(&entry, content.as_bytes())?;
        }
        Item::File { mode } => {
            let file = File::open(path).map_err(Error::opening(path))?;
            entry.size = file.metadata().map_err(Error::opening(path))?.len();
            entry.mode = *mode;
            layer.append(&entry, file)?;
        }
    }
    Ok(entry.size)
}

fn config(programs: &[String], collection: &Collection, title: &str) -> Config {
    let mut folders: Vec<String> = PATH.split(':').map(str::to_owned).collect();
    for program in collection.programs() {
        let folder = program.parent().map_or(OsString::new(), |parent| parent.into());
        let folder = folder.to_string_lossy().into_owned();
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    let created = Some(Timestamp::from_seconds(TIME).to_string());
    let mut config = Config::scratch(&Platform::host());
    config.created.clone_from(&created);
    config.runtime.set_env("PATH", &folders.join(":"));
    let shell = SHELLS.iter().find(|shell| programs.iter().any(|name| file_name(name) == **shell));
    config.runtime.cmd = shell.map(|shell| match *shell {
        "busybox" => vec!["busybox".to_owned(), "sh".to_owned()],
        shell => vec![shell.to_owned()],
    });
    let created_by = Some(format!("bryo import {title}"));
    config.history.push(History { created, created_by, ..History::default() });
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shells() -> (Collection, PathBuf) {
        let mut collection = collect(&["sh".to_owned()], PATH).expect("every machine has a shell");
        let shell = find(&mut collection, "sh", PATH).expect("it was found before");
        (collection, shell)
    }

    #[test]
    fn a_shell_comes_with_all_that_it_needs() {
        let (collection, shell) = shells();
        let has = |path: &Path| collection.items().any(|(other, _)| other == path);
        // Every link ends at something that is there.
        for (path, item) in collection.items() {
            let Item::Link { target } = item else { continue };
            let whole = path.parent().expect("a link is not the root").join(target);
            let real = std::fs::canonicalize(&whole).expect("the host's links lead somewhere");
            assert!(has(&real), "{} -> {} is missing", path.display(), real.display());
        }
        let real = std::fs::canonicalize(&shell).expect("it is there");
        assert!(has(&real) && has(Path::new("/etc/passwd")));
        let interpreter = elf::interpreter(&mut File::open(&real).expect("readable"));
        if let elf::Kind::Dynamic(interpreter) = interpreter.expect("an ELF file") {
            let real = std::fs::canonicalize(interpreter).expect("it is there");
            assert!(has(&real), "{} is missing", real.display());
        }
    }

    #[test]
    fn the_configuration_starts_a_shell() {
        let (collection, _) = shells();
        let config = config(&["true".to_owned(), "sh".to_owned()], &collection, "host:true,sh");
        assert_eq!(config.runtime.cmd, Some(vec!["sh".to_owned()]));
        assert_eq!(config.runtime.env("PATH"), Some(PATH));
    }

    #[test]
    fn programs_that_are_not_there_are_named() {
        for name in ["no-such-program", "", "./sh", "/no/such", "/etc"] {
            let error = collect(&[name.to_owned()], PATH).expect_err(name);
            assert!(matches!(error, Error::NoProgram(_)), "{error}");
        }
    }
}
