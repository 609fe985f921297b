//! [`Below`]: the trees that a layer stands on, seen as the one tree that they make.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use super::{Error, whiteout};
use crate::rootfs::{FileType, Meta, Place, Root, SideTable};

/// The limit of the kernel's own resolution (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// Directories that are remembered.
const CAPACITY: usize = 16 << 10;

/// The trees that a layer stands on, as overlayfs would show them. They may be hundreds, so none is
/// kept open.
#[derive(Debug, Default)]
pub struct Below {
    /// From the lowest to the highest.
    trees: Vec<(PathBuf, SideTable)>,
    /// The trees that have a part in a directory, the highest first.
    parts: HashMap<PathBuf, Rc<[usize]>>,
}

/// What the trees below have at some path.
#[derive(Debug)]
pub(super) struct Hit {
    pub(super) tree: usize,
    pub(super) place: Place,
    pub(super) meta: Meta,
}

impl Below {
    /// The directory of each tree on the host and its table, from the lowest to the highest.
    pub fn new(trees: impl IntoIterator<Item = (PathBuf, SideTable)>) -> Self {
        Self { trees: trees.into_iter().collect(), parts: HashMap::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.trees.is_empty()
    }

    /// How many of the lowest trees cannot be seen at all, because a layer above them hides all
    /// that is below its root directory. An overlay must be mounted without them: overlayfs does
    /// not look whether the root of a lower tree is opaque.
    pub fn hidden(&mut self) -> Result<usize, Error> {
        Ok(self.parts(Path::new(""))?.last().copied().unwrap_or(0))
    }

    /// The records of all trees as one table: of each path, that of the highest tree that has it.
    pub fn records(&mut self) -> Result<SideTable, Error> {
        let mut merged = SideTable::new(self.trees.iter().all(|(_, records)| records.root_implied));
        for tree in 0..self.trees.len() {
            let records: Vec<_> = self.trees[tree]
                .1
                .iter()
                .map(|(path, record)| (path.to_owned(), record.clone()))
                .collect();
            for (path, record) in records {
                if self.find(&path)?.is_some_and(|hit| hit.tree == tree) {
                    merged.set(path, record);
                }
            }
        }
        Ok(merged)
    }

    /// What the trees say about the root directory: the highest one that says anything.
    pub(super) fn root(&self) -> Result<Option<Hit>, Error> {
        match self.trees.iter().rposition(|(_, records)| !records.root_implied) {
            Some(tree) => self.look(tree, Path::new("")),
            None => Ok(None),
        }
    }

    /// Gives `dir` the attributes that the trees give the root directory. An overlay's upper
    /// directory needs that: the kernel shows its attributes, and no lower one's, as the root's.
    pub fn apply_root(&self, dir: &Root) -> Result<(), Error> {
        let top = Place::of(dir.dirs()?.top());
        match self.root()? {
            Some(hit) => {
                let mut ignored = SideTable::default();
                adopt(&hit, &self.trees[hit.tree].1, &top, &mut ignored)
            }
            None => {
                top.set_mode(0o755)?;
                Ok(top.set_time((0, 0))?)
            }
        }
    }

    pub(super) fn records_of(&self, tree: usize) -> &SideTable {
        &self.trees[tree].1
    }

    /// The tree's own root.
    pub(super) fn open(&self, tree: usize) -> Result<Root, Error> {
        Ok(Root::open(&self.trees[tree].0)?)
    }

    /// What is at `path`, which is free of symbolic links before its last name.
    pub(super) fn find(&mut self, path: &Path) -> Result<Option<Hit>, Error> {
        let Some(parent) = path.parent() else { return self.root() };
        for tree in self.parts(parent)?.iter() {
            if let Some(hit) = self.look(*tree, path)? {
                let gone = whiteout::is_whiteout(&hit.place, &hit.meta)?;
                return Ok(if gone { None } else { Some(hit) });
            }
        }
        Ok(None)
    }

    /// Whether any tree has a directory at `path` that can be seen.
    pub(super) fn has_dir(&mut self, path: &Path) -> Result<bool, Error> {
        Ok(!self.parts(path)?.is_empty())
    }

    fn parts(&mut self, dir: &Path) -> Result<Rc<[usize]>, Error> {
        if let Some(parts) = self.parts.get(dir) {
            return Ok(Rc::clone(parts));
        }
        let above: Rc<[usize]> = match dir.parent() {
            Some(parent) => self.parts(parent)?,
            None => (0..self.trees.len()).rev().collect(),
        };
        let mut parts = Vec::new();
        for tree in above.iter() {
            let Some(hit) = self.look(*tree, dir)? else { continue };
            if hit.meta.kind != FileType::Dir {
                break;
            }
            parts.push(*tree);
            if whiteout::is_opaque(&hit.place)? {
                break;
            }
        }
        if self.parts.len() >= CAPACITY {
            self.parts.clear();
        }
        let parts: Rc<[usize]> = parts.into();
        self.parts.insert(dir.to_owned(), Rc::clone(&parts));
        Ok(parts)
    }

    /// What one tree has at `path`, a whiteout included.
    fn look(&self, tree: usize, path: &Path) -> Result<Option<Hit>, Error> {
        let place = match self.open(tree)?.place(path)? {
            Some(place) if path.as_os_str().is_empty() || place.path() == path => place,
            _ => return Ok(None),
        };
        let meta = place.meta(&self.trees[tree].1)?;
        Ok(meta.map(|meta| Hit { tree, place, meta }))
    }

    /// `path` without symbolic links, also its last name's; what is missing is kept as it is. Also
    /// says whether a link would lead out of the root, were it taken at its word.
    pub(super) fn resolve(&mut self, path: &Path) -> Result<(PathBuf, bool), Error> {
        let mut strays = false;
        let mut here = PathBuf::new();
        let mut ahead: Vec<PathBuf> = vec![path.to_owned()];
        let mut links = 0;
        while let Some(next) = ahead.pop() {
            let mut components = next.components();
            let Some(component) = components.next() else { continue };
            ahead.push(components.as_path().to_owned());
            let name = match component {
                Component::Normal(name) => name,
                Component::ParentDir => {
                    strays |= !here.pop();
                    continue;
                }
                Component::RootDir => {
                    strays = true;
                    here.clear();
                    continue;
                }
                Component::CurDir | Component::Prefix(_) => continue,
            };
            let inside = here.join(name);
            match self.find(&inside)? {
                Some(hit) if hit.meta.kind == FileType::Symlink && links < MAX_LINKS => {
                    links += 1;
                    ahead.push(hit.place.read_link()?);
                }
                _ => here = inside,
            }
        }
        Ok((here, strays))
    }
}

/// Gives a directory what another one has: mode, time, owner and attributes.
pub(super) fn adopt(
    from: &Hit,
    from_records: &SideTable,
    to: &Place,
    to_records: &mut SideTable,
) -> Result<(), Error> {
    let mut record = from.place.record(from_records)?.unwrap_or_default();
    let mut xattrs = std::mem::take(&mut record.xattrs);
    xattrs.extend(from.place.xattrs(FileType::Dir)?);
    record.xattrs = to.set_xattrs(FileType::Dir, xattrs)?;
    to.set_record(FileType::Dir, record, to_records)?;
    to.set_mode(from.meta.mode)?;
    Ok(to.set_time(from.meta.mtime)?)
}
