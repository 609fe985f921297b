//! The contexts of a build: what COPY and ADD read, and its ignore file.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::error::Fault;
use super::files::{Files, Held};
use super::remote::{Arrival, Fetcher};
use super::{IgnoreFile, NamedContext, Options};
use crate::dockerfile::Ignore;
use crate::rootfs::Root;
use crate::store::{Hashes, Store};

/// The contexts of a build; one is opened, or fetched, when a step first reads from it.
#[derive(Debug)]
pub(super) struct Contexts<'a> {
    options: &'a Options,
    main: OnceLock<Files>,
    named: Vec<Named<'a>>,
}

/// A named context that has files and is no image.
#[derive(Debug)]
struct Named<'a> {
    name: &'a str,
    place: Place<'a>,
    files: OnceLock<Files>,
    /// Held while they are fetched: several steps may want them at the same time.
    opening: Mutex<()>,
}

#[derive(Debug)]
enum Place<'a> {
    Directory(&'a Path),
    Elsewhere(&'a str),
}

impl<'a> Contexts<'a> {
    pub(super) fn new(options: &'a Options) -> Self {
        let named = |(name, context): &'a (String, NamedContext)| {
            let place = match context {
                NamedContext::Directory(path) => Place::Directory(path),
                NamedContext::Remote(url) => Place::Elsewhere(url),
                _ => return None,
            };
            Some(Named { name, place, files: OnceLock::new(), opening: Mutex::default() })
        };
        let named = options.contexts.iter().filter_map(named).collect();
        Self { options, main: OnceLock::new(), named }
    }

    /// Keeps for later builds what this one has learned of the files.
    pub(super) fn keep_hashes(&self, store: &Store) -> Result<(), Fault> {
        let named = self.named.iter().filter_map(|named| named.files.get());
        for files in self.main.get().into_iter().chain(named) {
            if let Some(hashes) = &files.hashes {
                let hashes = hashes.lock().unwrap_or_else(PoisonError::into_inner);
                store.keep_hashes(&hashes)?;
            }
        }
        Ok(())
    }

    /// The build context. Without one it is empty, as in the reference.
    pub(super) fn main(&self, store: &Store) -> Result<&Files, Fault> {
        if let Some(files) = self.main.get() {
            return Ok(files);
        }
        let files = match &self.options.context {
            Some(folder) => open(folder, self.options.ignore_file.as_ref(), store.hashes(folder))?,
            None => Files::nothing(store.workspace()?)?,
        };
        Ok(self.main.get_or_init(|| files))
    }

    /// A named context that is a directory, or came from elsewhere; None when there is none of that
    /// name.
    pub(super) fn named(&self, name: &str, fetcher: Fetcher<'_>) -> Option<Result<&Files, Fault>> {
        let named = self.named.iter().find(|named| named.name == name)?;
        let _opening = named.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(files) = named.files.get() {
            return Some(Ok(files));
        }
        let files = match named.place {
            Place::Directory(folder) => open(folder, None, fetcher.store.hashes(folder)),
            Place::Elsewhere(url) => Arrival::fetch(fetcher, url, false).and_then(of_arrival),
        };
        Some(files.map(|files| named.files.get_or_init(|| files)))
    }
}

/// A context: a directory with its ignore file, or the one that belongs to the Dockerfile.
pub(super) fn open(
    folder: &Path,
    own: Option<&IgnoreFile>,
    hashes: Hashes,
) -> Result<Files, Fault> {
    let root = match fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => Root::open_plain(folder)?,
        Ok(_) => {
            let error = io::Error::from(io::ErrorKind::NotADirectory);
            return Err(Fault::Context(folder.to_owned(), error));
        }
        Err(error) => return Err(Fault::Context(folder.to_owned(), error)),
    };
    let ignore = match own {
        Some(file) => patterns(file)?,
        None => {
            let path = folder.join(".dockerignore");
            match fs::read(&path) {
                Ok(text) => patterns(&IgnoreFile { path, text })?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ignore::default(),
                Err(error) => return Err(Fault::Read(path, error)),
            }
        }
    };
    Ok(Files::of_context(root, ignore, hashes))
}

/// What came from elsewhere, with its own ignore file.
fn of_arrival(arrival: Arrival) -> Result<Files, Fault> {
    let ignore = patterns(&arrival.ignore_file(None)?)?;
    let files = Files::of_folder(Root::open(arrival.directory())?);
    Ok(files.ignoring(ignore).holding(Held::Arrival(arrival)))
}

fn patterns(file: &IgnoreFile) -> Result<Ignore, Fault> {
    Ignore::parse(&String::from_utf8_lossy(&file.text))
        .map_err(|source| Fault::Ignore { path: file.path.clone(), source })
}
