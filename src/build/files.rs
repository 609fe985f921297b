//! [`Files`]: a tree that COPY and ADD read from, and what of it a pattern means.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::attest::Elsewhere;
use super::error::Fault;
use super::remote::Arrival;
use crate::dockerfile::{Glob, Ignore};
use crate::rootfs::{self, Choice, FileType, Meta, Root, SideTable, Walk, clean};
use crate::store::{Hashes, Workspace};
use crate::sys;

/// A tree to copy from.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) root: Root,
    pub(super) records: SideTable,
    /// What is not there for COPY and ADD, though it is.
    ignore: Ignore,
    /// A context's files belong to whoever builds: in the image, to root.
    pub(super) keeps_owners: bool,
    /// Modes bind who builds, which the kernel does not see to: in our user namespace that is root.
    has_modes: bool,
    /// What is known of the contents; `None` of what nobody changes while we look.
    pub(super) hashes: Option<Mutex<Hashes>>,
    /// The device on which all changes show in a file's times.
    pub(super) telling: Option<u64>,
    /// Why there is nothing.
    is_nothing: bool,
    /// What goes when nobody reads from it any more.
    held: Option<Held>,
}

#[derive(Debug)]
#[allow(dead_code, reason = "held for their drop")]
pub(super) enum Held {
    Arrival(Arrival),
    Workspace(Workspace),
}

/// Something that a pattern names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// Free of links.
    pub(super) path: PathBuf,
    /// What it is called where it was asked for; a link's own name.
    pub(super) name: OsString,
    pub(super) meta: Meta,
    /// Of a directory: what of it is not meant, by path from there.
    pub(super) include: Option<Ignore>,
}

impl Files {
    /// A build context.
    pub(super) fn of_context(root: Root, ignore: Ignore, hashes: Hashes) -> Self {
        Self {
            telling: root.telling_device(),
            has_modes: sys::ns::root_is_somebody_else(),
            hashes: Some(Mutex::new(hashes)),
            ..Self::of_folder(root).ignoring(ignore)
        }
    }

    /// Where they came from, if that is another machine.
    pub(super) fn elsewhere(&self) -> Option<Elsewhere> {
        match &self.held {
            Some(Held::Arrival(arrival)) => arrival.origin(),
            _ => None,
        }
    }

    /// An image's files.
    pub(super) fn of_image(root: Root, records: SideTable) -> Self {
        Self { records, keeps_owners: true, ..Self::of_folder(root) }
    }

    /// A directory of ours.
    pub(super) fn of_folder(root: Root) -> Self {
        Self {
            root,
            records: SideTable::default(),
            ignore: Ignore::default(),
            keeps_owners: false,
            has_modes: false,
            hashes: None,
            telling: None,
            is_nothing: false,
            held: None,
        }
    }

    /// The context of a build that has none.
    pub(super) fn nothing(workspace: Workspace) -> Result<Self, Fault> {
        let files = Self::of_folder(Root::open(workspace.path())?);
        Ok(Self { is_nothing: true, ..files.holding(Held::Workspace(workspace)) })
    }

    pub(super) fn ignoring(self, ignore: Ignore) -> Self {
        Self { ignore, ..self }
    }

    pub(super) fn holding(self, held: Held) -> Self {
        Self { held: Some(held), ..self }
    }

    /// What is wrong with a file of a context is its owner's matter, not the store's.
    pub(super) fn said<T>(&self, result: rootfs::Result<T>) -> Result<T, Fault> {
        result.map_err(|error| self.fault(error))
    }

    pub(super) fn fault(&self, error: rootfs::Error) -> Fault {
        let is_ours = |path: &Path| self.hashes.is_some() && path.starts_with(self.root.path());
        match error {
            rootfs::Error::Open { path, source }
            | rootfs::Error::List { path, source }
            | rootfs::Error::Inspect { path, source }
                if is_ours(&path) =>
            {
                Fault::Unreadable { path, source: source.source }
            }
            error => error.into(),
        }
    }

    /// Whether who builds may read a file, or what is in a directory.
    pub(super) fn allow(&self, path: &Path, meta: &Meta) -> Result<(), Fault> {
        let needed = match meta.real_kind {
            FileType::Dir => 0o500,
            FileType::File => 0o400,
            _ => 0,
        };
        if self.has_modes && meta.mode & needed != needed {
            let source = io::ErrorKind::PermissionDenied.into();
            return Err(Fault::Unreadable { path: self.root.path().join(path), source });
        }
        Ok(())
    }

    /// What a plain path means, wildcards and all; it must be there.
    pub(super) fn exactly(&self, path: &str) -> Result<Source, Fault> {
        self.at(&clean(Path::new(path)))
    }

    /// Whether nothing in `source` is ignored.
    pub(super) fn is_whole(&self, source: &Source) -> Result<bool, Fault> {
        if self.ignore.is_empty() {
            return Ok(true);
        }
        for found in Walk::new(&self.root, &source.path, &self.records) {
            if self.is_ignored(&self.said(found)?.path) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What is left out.
    pub(super) fn ignore(&self) -> &Ignore {
        &self.ignore
    }

    /// Whether `path` is there for COPY and ADD.
    pub(super) fn is_ignored(&self, path: &Path) -> bool {
        !self.ignore.is_empty() && self.ignore.is_ignored(&path.to_string_lossy())
    }

    /// Whether a directory is worth reading.
    fn may_hold_something(&self, folder: &Path) -> bool {
        !self.is_ignored(folder) || self.ignore.may_reinclude_below(&folder.to_string_lossy())
    }

    /// Whether something in the directory `path` is there, though it is itself ignored.
    fn holds_something(&self, path: &Path) -> Result<bool, Fault> {
        if !self.ignore.may_reinclude_below(&path.to_string_lossy()) {
            return Ok(false);
        }
        let mut walk = Walk::new(&self.root, path, &self.records);
        while let Some(found) = walk.next() {
            let path = self.said(found)?.path;
            if !self.is_ignored(&path) {
                return Ok(true);
            }
            if !self.ignore.may_reinclude_below(&path.to_string_lossy()) {
                walk.leave_out();
            }
        }
        Ok(false)
    }

    /// What a word of COPY or ADD means. A pattern may mean nothing, if the directory is there that it
    /// begins with; a plain name must be there.
    pub(super) fn find(&self, word: &str) -> Result<Vec<Source>, Fault> {
        let path = clean(Path::new(word));
        if !Glob::is_pattern(word) {
            return Ok(vec![self.at(&path)?]);
        }
        let glob = Glob::new(&path.to_string_lossy())?;
        // Links are followed in what precedes the first wildcard, and nowhere behind it.
        let is_plain = |name: &OsStr| !Glob::is_pattern(&name.to_string_lossy());
        let folder: PathBuf = path.iter().take_while(|name| is_plain(name)).collect();
        let mut found = Vec::new();
        if self.at(&folder)?.meta.is_dir() {
            self.matching(&folder, &glob, folder.iter().count(), &mut found)?;
        }
        Ok(found)
    }

    /// What is at `path`, which is clean.
    pub(super) fn at(&self, path: &Path) -> Result<Source, Fault> {
        self.found(path)?.ok_or_else(|| self.missing(path))
    }

    pub(super) fn missing(&self, path: &Path) -> Fault {
        let ignored = self.is_ignored(path);
        let path = Path::new("/").join(path);
        match self.is_nothing {
            true => Fault::NoContext(path),
            false => Fault::NotFound { path, ignored },
        }
    }

    /// Goes down the directories that the pattern's leading parts match.
    fn matching(
        &self,
        folder: &Path,
        glob: &Glob,
        depth: usize,
        found: &mut Vec<Source>,
    ) -> Result<(), Fault> {
        if !self.may_hold_something(folder) {
            return Ok(());
        }
        for (name, meta) in self.said(self.root.read_dir(folder))? {
            if !glob.matches_component(depth, &name.to_string_lossy()) {
                continue;
            }
            let path = folder.join(&name);
            if depth + 1 < glob.depth() {
                if meta.is_dir() {
                    self.matching(&path, glob, depth + 1, found)?;
                }
                continue;
            }
            match self.found(&path)? {
                Some(source) => found.push(source),
                None if self.is_ignored(&path) => {}
                // A link that leads nowhere.
                None => return Err(self.missing(&path)),
            }
        }
        Ok(())
    }

    /// What is at `path`, a link there followed inside the tree; None when nothing is, or when it
    /// is ignored.
    fn found(&self, path: &Path) -> Result<Option<Source>, Fault> {
        let resolved = self.said(self.root.resolve(path))?;
        let Some(place) = self.said(self.root.place(&resolved))? else { return Ok(None) };
        let Some(meta) = self.said(place.meta(&self.records))? else { return Ok(None) };
        for path in [path, &resolved] {
            let is_folder = path == resolved && meta.is_dir();
            if self.is_ignored(path) && !(is_folder && self.holds_something(path)?) {
                return Ok(None);
            }
        }
        let name = path.file_name().map(ToOwned::to_owned).unwrap_or_default();
        Ok(Some(Source { path: resolved, name, meta, include: None }))
    }

    /// Whether a file comes along when `source` is copied. `exclude` and what the source itself
    /// leaves out count from there; the ignore file's count from the context's root.
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
        let include = source.include.iter().map(|include| (include, inner));
        for (ignore, path) in [(&self.ignore, path), (exclude, inner)].into_iter().chain(include) {
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
}

/// `path` from the source's own path; empty for the source itself.
pub(super) fn inside<'p>(path: &'p Path, source: &Source) -> &'p Path {
    path.strip_prefix(&source.path).unwrap_or(path)
}

#[cfg(test)]
mod tests;
