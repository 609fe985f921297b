//! [`Snapshot`]: layers as one directory that can be written to.
//!
//! What is written lands in a directory of its own, the upper one, which is exactly the new layer
//! and becomes that layer's tree by a rename. A snapshot that is not committed leaves nothing
//! behind.
//!
//! How the layers become one directory is a [`Backend`]'s business; the first of [`BACKENDS`] that
//! can do it here does it.

mod overlay;

use std::collections::HashSet;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

use super::{Result, Store, Tree, TreeKey, Workspace};
use crate::image::Digest;
use crate::layer::{self, Below, Change};
use crate::rootfs::live::Unwritten;
use crate::rootfs::{FileType, Record, Root, SideTable};

/// A way to show layers as one directory.
pub trait Backend: Debug + Sync {
    fn name(&self) -> &'static str;

    /// How many layers it takes; of more, the lowest are merged first.
    fn most_layers(&self) -> usize;

    /// Shows layers; see [`Layers`].
    fn prepare(&self, layers: &Layers<'_>) -> Result<Box<dyn Shown>>;

    /// Whether it works in this storage directory; the error says why it does not.
    fn fits(&self, store: &Store) -> Result<()> {
        let workspace = store.workspace()?;
        let workspace = store.relative(workspace.path());
        let (trees, below) = (&[], &Below::default());
        self.prepare(&Layers { base: store.path(), workspace, trees, below }).map(drop)
    }
}

/// What a backend shows.
#[derive(Debug)]
pub struct Layers<'a> {
    /// The storage directory.
    pub base: &'a Path,
    /// An empty directory for the backend, relative to `base`.
    pub workspace: &'a Path,
    /// The layers' directories, relative to `base`, the topmost first.
    pub trees: &'a [PathBuf],
    /// What the layers say, above all about `/`.
    pub below: &'a Below,
}

/// Layers that a backend shows, until this is dropped.
pub trait Shown: Debug + Send {
    /// The layers and what was written, as one.
    fn root(&self) -> PathBuf;

    /// What was written, alone, in the form of a tree's files.
    fn upper(&self) -> PathBuf;

    /// Ends it; the directory whose `fs` is what was written is returned, with nothing else in it.
    fn finish(self: Box<Self>) -> Result<PathBuf>;
}

/// The best one first.
pub const BACKENDS: &[&dyn Backend] = &[&overlay::Overlay];

/// Layers as one writable directory. Dropped, it removes itself.
#[derive(Debug)]
pub struct Snapshot<'a> {
    store: &'a Store,
    // Closed in this order: what lies in the mount, the mount, the directories behind it.
    root: Root,
    upper: Root,
    shown: Box<dyn Shown>,
    workspace: Workspace,
    trees: Vec<Tree>,
    /// The records of each of them.
    tables: Vec<SideTable>,
    below: Below,
    /// Owners and devices of what is new, where the files cannot carry them.
    new_records: SideTable,
    /// Whether owners and devices were noted, so that no table below knows better.
    is_noted: bool,
}

impl Store {
    /// A snapshot above `below`, the lowest first; of nothing, when there are none.
    ///
    /// # Errors
    ///
    /// [`Mount`](super::Error::Mount) when no backend can do it here.
    pub fn snapshot(&self, trees: &[Tree]) -> Result<Snapshot<'_>> {
        let tables = trees.iter().map(Tree::records).collect::<Result<Vec<_>>>()?;
        let below = below(trees, &tables);
        let (workspace, shown) = self.show(trees, &below)?;
        let root = Root::open(&shown.root())?;
        let upper = Root::open(&shown.upper())?;
        let (trees, new_records) = (trees.to_vec(), SideTable::default());
        Ok(Snapshot {
            store: self,
            root,
            upper,
            shown,
            workspace,
            trees,
            tables,
            below,
            new_records,
            is_noted: false,
        })
    }

    fn show(&self, trees: &[Tree], below: &Below) -> Result<(Workspace, Box<dyn Shown>)> {
        let mut first_error = None;
        for backend in BACKENDS {
            let trees = self.within(backend.most_layers(), trees)?;
            let trees: Vec<PathBuf> =
                trees.iter().rev().map(|tree| self.relative(&tree.files()).to_owned()).collect();
            let workspace = self.workspace()?;
            let place = self.relative(workspace.path());
            let layers = Layers { base: self.path(), workspace: place, trees: &trees, below };
            match backend.prepare(&layers) {
                Ok(shown) => return Ok((workspace, shown)),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.expect("there is a backend"))
    }

    /// At most `most` trees that look like `trees`: each one once, and the lowest merged if need be.
    fn within(&self, most: usize, trees: &[Tree]) -> Result<Vec<Tree>> {
        let trees = without_repetition(trees);
        if trees.len() <= most {
            return Ok(trees);
        }
        // In steps, so that the next layers need no merging of their own.
        let step = (most / 2).max(1);
        let surplus = trees.len() - most + 1;
        let (lowest, kept) = trees.split_at(surplus.div_ceil(step) * step);
        let merged = self.merged_tree(lowest, step)?;
        Ok([merged].into_iter().chain(kept.iter().cloned()).collect())
    }

    /// A tree that looks like all of `trees`, made of hard links; kept for the next time. What was
    /// merged before, a step less, is merged with the rest.
    fn merged_tree(&self, trees: &[Tree], step: usize) -> Result<Tree> {
        let names: Vec<_> =
            trees.iter().map(|tree| tree.path().file_name().unwrap_or_default()).collect();
        let names: Vec<_> = names.iter().map(|name| name.to_string_lossy()).collect();
        let key = TreeKey::Merged(Digest::of(names.join("\n").as_bytes()));
        if let Some(tree) = self.tree(&key) {
            return Ok(tree);
        }
        let mut parts = trees.to_vec();
        if trees.len() > step {
            let (lower, upper) = trees.split_at(trees.len() - step);
            parts = vec![self.merged_tree(lower, step)?];
            parts.extend_from_slice(upper);
        }
        let new = self.new_tree()?;
        let mut opened = Vec::new();
        for tree in &parts {
            opened.push((tree.root()?, tree.records()?));
        }
        let opened: Vec<_> = opened.iter().map(|(root, records)| (root, records)).collect();
        let records = layer::merge(&opened, &new.root()?, true)?;
        new.commit(&key, &records)
    }

    /// A path in the storage directory, from there.
    fn relative<'p>(&self, path: &'p Path) -> &'p Path {
        path.strip_prefix(self.path()).unwrap_or(path)
    }
}

/// Two equal layers (an empty one, often) are one tree, which no overlay takes twice. What the upper
/// one says hides all that the lower one says, so that one can go.
fn without_repetition(trees: &[Tree]) -> Vec<Tree> {
    let mut seen = HashSet::new();
    let mut kept: Vec<Tree> =
        trees.iter().rev().filter(|tree| seen.insert(tree.path())).cloned().collect();
    kept.reverse();
    kept
}

fn below(trees: &[Tree], tables: &[SideTable]) -> Below {
    Below::new(trees.iter().map(Tree::files).zip(tables.iter().cloned()))
}

impl Snapshot<'_> {
    /// The layers and what was written, as one.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// What was written, alone.
    pub fn upper(&self) -> &Root {
        &self.upper
    }

    /// Where to note owners and devices of what is written, if the files cannot carry them.
    pub fn new_records(&mut self) -> &mut SideTable {
        &mut self.new_records
    }

    /// What a container's emulation has to know beforehand: owners and devices that its files do not
    /// carry.
    pub fn unwritten(&self) -> Result<Unwritten> {
        let mut unwritten = Unwritten::new();
        for (path, record) in self.records()?.iter() {
            if !record.is_of_attributes()
                && let Some(meta) = self.root.lstat(path)?
            {
                unwritten.insert(meta.identity(), record.clone());
            }
        }
        Ok(unwritten)
    }

    /// Notes what a container's emulation knows at the end: it began with [`Self::unwritten`], and of
    /// what it wrote to the files it has no record here. Files that were not written to are no matter
    /// of the new layer and left out.
    pub fn note(&mut self, unwritten: &Unwritten) -> Result<()> {
        self.is_noted = true;
        if unwritten.is_empty() {
            return Ok(());
        }
        for change in layer::changes_of_upper(&self.upper, &mut self.below)? {
            if let Change::Put(path) = change
                && let Some(place) = self.root.place(&path)?
                && let Some(meta) = place.meta(&SideTable::default())?
                && let Some(record) = unwritten.get(&meta.identity())
                && place.record(&SideTable::default())?.is_none()
            {
                place.set_record(meta.real_kind, record.clone(), &mut self.new_records)?;
            }
        }
        Ok(())
    }

    /// All owners and devices that files of [`Self::root`] cannot carry.
    pub fn records(&self) -> Result<SideTable> {
        let mut records = below(&self.trees, &self.tables).records()?;
        for (path, record) in self.new_records.iter() {
            records.set(path.to_owned(), record.clone());
        }
        Ok(records)
    }

    /// What was written, as a layer says it, sorted; and the owners and devices that belong to it:
    /// those of new files, and of files that were copied up from a layer below. The root directory
    /// is among it only when something was done to `/` itself.
    pub fn changes(&mut self) -> Result<(Vec<Change>, SideTable)> {
        let changes = layer::changes_of_upper(&self.upper, &mut self.below)?;
        let mut records = self.new_records.clone();
        records.root_implied = !changes.contains(&Change::Put(PathBuf::new()));
        for change in &changes {
            let Change::Put(path) = change else { continue };
            let known = records.get(path);
            if known.is_some() && !self.is_noted {
                continue;
            }
            let Some(copied) = self.copied_record(path)? else { continue };
            // The emulation knows better, but for attributes that it never asks about.
            let record = match self.is_noted {
                true => {
                    let known = known.cloned().unwrap_or_default();
                    let xattrs = copied.xattrs.into_iter().chain(known.xattrs).collect();
                    Record { xattrs, ..known }
                }
                false => copied,
            };
            records.set(path.clone(), record);
        }
        Ok((changes, records))
    }

    /// What a table below records of the file that was copied up to `path`, if that is what happened:
    /// what stands on a file is copied with it. A copy of a link or of a fifo has its time, and
    /// nobody writes to them; of other files the kind must do.
    fn copied_record(&self, path: &Path) -> Result<Option<Record>> {
        if self.tables.iter().all(|table| table.get(path).is_none()) {
            return Ok(None);
        }
        let Some(now) = self.upper.lstat(path)? else { return Ok(None) };
        for (tree, table) in self.trees.iter().zip(&self.tables).rev() {
            let root = tree.root()?;
            let Some(before) = root.lstat(path)? else { continue };
            let is_copy = match now.real_kind {
                kind if kind != before.real_kind => false,
                FileType::Symlink => {
                    now.mtime == before.mtime
                        && root.read_link(path)? == self.upper.read_link(path)?
                }
                FileType::Fifo => now.mtime == before.mtime,
                _ => true,
            };
            return Ok(table.get(path).filter(|_| is_copy).cloned());
        }
        Ok(None)
    }

    /// Makes what was written the tree of the layer with this diff ID.
    pub fn commit(self, diff_id: &Digest, records: &SideTable) -> Result<Tree> {
        let Self { store, root, upper, shown, workspace, .. } = self;
        drop((root, upper));
        let made = shown.finish()?;
        let tree = store.commit_tree(&made, &TreeKey::Diff(diff_id.clone()), records)?;
        drop(workspace);
        Ok(tree)
    }
}
