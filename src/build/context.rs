//! What COPY and ADD read: the build context, named contexts, and other images' files; which of it
//! a pattern means, and the digest of that.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::error::Fault;
use super::{NamedContext, Options};
use crate::dockerfile::{Glob, Ignore};
use crate::image::{Digest, Hasher};
use crate::rootfs::{Choice, FileType, Found, Meta, Root, SideTable, Walk, clean};

/// The contexts of a build; a directory is opened when a step first reads from it.
#[derive(Debug)]
pub(super) struct Contexts<'a> {
    options: &'a Options,
    main: OnceCell<Files>,
    named: Vec<(&'a str, &'a Path, OnceCell<Files>)>,
}

impl<'a> Contexts<'a> {
    pub(super) fn new(options: &'a Options) -> Self {
        let directory = |(name, context): &'a (String, NamedContext)| match context {
            NamedContext::Directory(path) => Some((name.as_str(), path.as_path(), OnceCell::new())),
            _ => None,
        };
        let named = options.contexts.iter().filter_map(directory).collect();
        Self { options, main: OnceCell::new(), named }
    }

    /// The build context.
    pub(super) fn main(&self) -> Result<&Files, Fault> {
        if let Some(files) = self.main.get() {
            return Ok(files);
        }
        let folder = self.options.context.as_deref().ok_or(Fault::NoContext)?;
        let own = self.options.ignore_file.as_deref();
        let files = Files::open(folder, own)?;
        Ok(self.main.get_or_init(|| files))
    }

    /// A named context that is a directory.
    pub(super) fn named(&self, name: &str) -> Option<Result<&Files, Fault>> {
        let (_, folder, cell) = self.named.iter().find(|(known, ..)| *known == name)?;
        if let Some(files) = cell.get() {
            return Some(Ok(files));
        }
        Some(Files::open(folder, None).map(|files| cell.get_or_init(|| files)))
    }
}

/// A tree to copy from.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) root: Root,
    pub(super) records: SideTable,
    /// What is not there for COPY and ADD, though it is.
    ignore: Ignore,
    /// A context's files belong to whoever builds: in the image, to root.
    pub(super) keeps_owners: bool,
}

/// Something that a pattern names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// Free of links.
    pub(super) path: PathBuf,
    /// What it is called where it was asked for; a link's own name.
    pub(super) name: OsString,
    pub(super) meta: Meta,
}

impl Files {
    /// A context: a directory with its ignore file, or the one that belongs to the Dockerfile.
    fn open(folder: &Path, own: Option<&Path>) -> Result<Self, Fault> {
        let root = match fs::metadata(folder) {
            Ok(metadata) if metadata.is_dir() => Root::open(folder)?,
            Ok(_) => {
                let error = io::Error::from(io::ErrorKind::NotADirectory);
                return Err(Fault::Context(folder.to_owned(), error));
            }
            Err(error) => return Err(Fault::Context(folder.to_owned(), error)),
        };
        let general = folder.join(".dockerignore");
        let mut ignore = Ignore::default();
        for path in own.into_iter().chain([general.as_path()]) {
            match fs::read_to_string(path) {
                Ok(text) => {
                    ignore = Ignore::parse(&text)?;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Fault::Read(path.to_owned(), error)),
            }
        }
        Ok(Self { root, records: SideTable::default(), ignore, keeps_owners: false })
    }

    /// An image's files.
    pub(super) fn of_image(root: Root, records: SideTable) -> Self {
        Self { root, records, ignore: Ignore::default(), keeps_owners: true }
    }

    /// Whether `path` is there for COPY and ADD.
    pub(super) fn is_ignored(&self, path: &Path) -> bool {
        !self.ignore.is_empty() && self.ignore.is_ignored(&path.to_string_lossy())
    }

    /// Whether nothing in the directory `path` can be there, so that it need not be walked.
    pub(super) fn is_ignored_wholly(&self, path: &Path) -> bool {
        self.is_ignored(path) && !self.ignore.may_reinclude_below(&path.to_string_lossy())
    }

    /// What a word of COPY or ADD means. A pattern may mean nothing; a plain name must be there.
    pub(super) fn find(&self, word: &str) -> Result<Vec<Source>, Fault> {
        let path = clean(Path::new(word));
        if !Glob::is_pattern(word) {
            return self.found(&path)?.map(|source| vec![source]).ok_or_else(|| {
                let ignored = self.is_ignored(&path);
                Fault::NotFound { path: path.display().to_string(), ignored }
            });
        }
        let glob = Glob::new(&path.to_string_lossy())?;
        let mut found = Vec::new();
        self.matching(Path::new(""), &glob, 0, &mut found)?;
        Ok(found)
    }

    /// Goes down the directories that the pattern's leading parts match.
    fn matching(
        &self,
        folder: &Path,
        glob: &Glob,
        depth: usize,
        found: &mut Vec<Source>,
    ) -> Result<(), Fault> {
        for (name, meta) in self.root.read_dir(folder)? {
            if !glob.matches_component(depth, &name.to_string_lossy()) {
                continue;
            }
            let path = folder.join(&name);
            if depth + 1 == glob.depth() {
                found.extend(self.found(&path)?);
            } else if meta.is_dir() {
                self.matching(&path, glob, depth + 1, found)?;
            }
        }
        Ok(())
    }

    /// What is at `path`, a link there followed inside the tree; None when nothing is, or when it
    /// is ignored.
    fn found(&self, path: &Path) -> Result<Option<Source>, Fault> {
        // A directory that is ignored can have something in it that is not.
        if self.is_ignored_wholly(path) {
            return Ok(None);
        }
        let resolved = self.root.resolve(path)?;
        let Some(place) = self.root.place(&resolved)? else { return Ok(None) };
        let Some(meta) = place.meta(&self.records)? else { return Ok(None) };
        if self.is_ignored(path) && !meta.is_dir() {
            return Ok(None);
        }
        let name = path.file_name().map(ToOwned::to_owned).unwrap_or_default();
        Ok(Some(Source { path: resolved, name, meta }))
    }

    /// The digest of all that copying `source` depends on: names, kinds, modes, owners, contents,
    /// links and capabilities; no times.
    pub(super) fn digest(&self, source: &Source, exclude: &Ignore) -> Result<Digest, Fault> {
        let mut hasher = Hasher::sha256();
        // Directories that count only if something in them does.
        let mut pending: Vec<(PathBuf, Vec<u8>)> = Vec::new();
        let mut walk = Walk::new(&self.root, &source.path, &self.records);
        while let Some(found) = walk.next() {
            let found = found?;
            let line = self.line(&found, source);
            pending.retain(|(folder, _)| found.path.starts_with(folder));
            match self.choose(source, exclude, &found.path, &found.meta) {
                Choice::Skip => walk.leave_out(),
                Choice::Search => pending.push((found.path.clone(), line)),
                Choice::Take => {
                    for (_, line) in pending.drain(..) {
                        hasher.update(&line);
                    }
                    hasher.update(&line);
                    self.hash_content(&found, source, &mut hasher)?;
                }
            }
        }
        Ok(hasher.finish())
    }

    /// What the digest says about a file, beside its content.
    fn line(&self, found: &Found, source: &Source) -> Vec<u8> {
        let meta = &found.meta;
        let (uid, gid) = if self.keeps_owners { (meta.uid, meta.gid) } else { (0, 0) };
        let inner = inside(&found.path, source);
        let mut line = inner.as_os_str().as_bytes().to_vec();
        line.extend_from_slice(
            format!("\0{:?} {:o} {uid} {gid} {:?}\n", meta.kind, meta.mode, meta.rdev).as_bytes(),
        );
        line
    }

    fn hash_content(
        &self,
        found: &Found,
        source: &Source,
        hasher: &mut Hasher,
    ) -> Result<(), Fault> {
        match (&found.link, found.meta.real_kind) {
            (Some(first), _) => {
                hasher.update(b"link ");
                hasher.update(inside(first, source).as_os_str().as_bytes());
            }
            (None, FileType::File) => self.hash_file(&found.path, hasher)?,
            (None, FileType::Symlink) => {
                hasher.update(self.root.read_link(&found.path)?.as_os_str().as_bytes());
            }
            (None, _) => {}
        }
        hasher.update(b"\n");
        Ok(())
    }

    /// Whether a file comes along when `source` is copied. `exclude` holds patterns that count from
    /// the source; the ignore file's count from the context's root.
    pub(super) fn choose(
        &self,
        source: &Source,
        exclude: &Ignore,
        path: &Path,
        meta: &Meta,
    ) -> Choice {
        let inner = inside(path, source);
        if inner.as_os_str().is_empty() {
            // It was asked for by name, and found.
            return Choice::Take;
        }
        let mut choice = Choice::Take;
        for (ignore, path) in [(&self.ignore, path), (exclude, inner)] {
            let text = path.to_string_lossy();
            if ignore.is_empty() || !ignore.is_ignored(&text) {
                continue;
            }
            if !meta.is_dir() || !ignore.may_reinclude_below(&text) {
                return Choice::Skip;
            }
            choice = Choice::Search;
        }
        choice
    }

    fn hash_file(&self, path: &Path, hasher: &mut Hasher) -> Result<(), Fault> {
        for (name, value) in self.root.xattrs(path)? {
            if name == "security.capability" {
                hasher.update(&value);
            }
        }
        let mut file = self.root.open_file(path)?;
        let mut content = Hasher::sha256();
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let count = match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Fault::Read(path.to_owned(), error)),
            };
            content.update(&buffer[..count]);
        }
        hasher.update(content.finish().to_string().as_bytes());
        Ok(())
    }
}

/// `path` from the source's own path; empty for the source itself.
fn inside<'p>(path: &'p Path, source: &Source) -> &'p Path {
    path.strip_prefix(&source.path).unwrap_or(path)
}
