//! [`Snapshot`]: a writable root above layers.
//!
//! Layers are shown as one directory by the kernel's overlayfs. What is written to it lands in a
//! directory of its own, the upper one, which is exactly the new layer and becomes that layer's
//! tree by a rename. A snapshot that is not committed leaves nothing behind.

mod mount;

use std::path::{Path, PathBuf};

use super::{Error, Store, Tree, TreeKey, Workspace};
use crate::image::Digest;
use crate::layer::{self, Below, Change};
use crate::rootfs::{FileType, Meta, Root, SideTable};
use crate::sys::overlay;
use mount::Mounted;

/// Layers as one writable directory. Dropped, it unmounts and removes itself.
#[derive(Debug)]
pub struct Snapshot<'a> {
    store: &'a Store,
    /// Before the workspace, so that it is unmounted first.
    mounted: Mounted,
    _workspace: Workspace,
    trees: Vec<Tree>,
    below: Below,
    root: Root,
    upper: Root,
    /// The attributes of `/` before anything was done.
    first: Meta,
    /// Owners and devices of what is new, where the files cannot carry them.
    new_records: SideTable,
}

impl Store {
    /// A snapshot above `trees`, the lowest first; of nothing, when there are none.
    pub fn snapshot(&self, trees: &[Tree]) -> Result<Snapshot<'_>, Error> {
        let workspace = self.workspace()?;
        let below = below(trees)?;
        let lower = self.within_limit(trees)?;
        let mounted = Mounted::new(workspace.path(), &lower, &below)?;
        let root = Root::open(&mounted.merged())?;
        let upper = Root::open(&mounted.upper())?;
        let first = attributes_of_root(&upper)?;
        Ok(Snapshot {
            store: self,
            mounted,
            _workspace: workspace,
            trees: trees.to_vec(),
            below,
            root,
            upper,
            first,
            new_records: SideTable::default(),
        })
    }

    /// Merges the lowest layers into one where there are more than the kernel takes.
    fn within_limit(&self, trees: &[Tree]) -> Result<Vec<PathBuf>, Error> {
        if trees.len() <= overlay::MOST_LAYERS {
            return Ok(trees.iter().map(Tree::files).collect());
        }
        let (lowest, kept) = trees.split_at(trees.len() - overlay::MOST_LAYERS + 1);
        let merged = self.merged_tree(lowest)?;
        Ok([&merged].into_iter().chain(kept).map(Tree::files).collect())
    }

    /// A tree that looks like all of `trees`, made of hard links; kept for the next time.
    fn merged_tree(&self, trees: &[Tree]) -> Result<Tree, Error> {
        let names: Vec<_> = trees.iter().map(|tree| tree.path().to_string_lossy()).collect();
        let key = TreeKey::Merged(Digest::of(names.join("\n").as_bytes()));
        if let Some(tree) = self.tree(&key) {
            return Ok(tree);
        }
        let new = self.new_tree()?;
        let parts = trees
            .iter()
            .map(|tree| Ok((tree.root()?, tree.records()?)))
            .collect::<Result<Vec<_>, Error>>()?;
        let parts: Vec<_> = parts.iter().map(|(root, records)| (root, records)).collect();
        let records = layer::merge(&parts, &new.root()?, true)?;
        new.commit(&key, &records)
    }
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

    /// All owners and devices that files of [`Self::root`] cannot carry.
    pub fn records(&self) -> Result<SideTable, Error> {
        let mut records = below(&self.trees)?.records()?;
        for (path, record) in self.new_records.iter() {
            records.set(path.to_owned(), record.clone());
        }
        Ok(records)
    }

    /// What was written, as a layer says it, sorted; and owners and devices for it.
    pub fn changes(&mut self) -> Result<(Vec<Change>, SideTable), Error> {
        let changes = layer::changes_of_upper(&self.upper, &mut self.below)?;
        let mut records = self.new_records.clone();
        records.root_implied = !changes.contains(&Change::Put(PathBuf::new()));
        let below = self.below.records()?;
        if !below.is_empty() {
            for change in &changes {
                let Change::Put(path) = change else { continue };
                if records.get(path).is_none()
                    && let Some(record) = below.get(path)
                    && self.is_copied_up(path)?
                {
                    records.set(path.clone(), record.clone());
                }
            }
        }
        Ok((changes, records))
    }

    /// Whether what lies at `path` can be the file of a layer below, whose record is true then: a
    /// link that leads elsewhere, or another kind of file, is a new one.
    fn is_copied_up(&self, path: &Path) -> Result<bool, Error> {
        let Some(now) = self.upper.lstat(path)? else { return Ok(false) };
        for tree in self.trees.iter().rev() {
            let root = tree.root()?;
            let Some(before) = root.lstat(path)? else { continue };
            let same_link = now.kind != FileType::Symlink
                || root.read_link(path)? == self.upper.read_link(path)?;
            return Ok(before.kind == now.kind && same_link);
        }
        Ok(false)
    }

    /// Makes what was written the tree of the layer with this diff ID.
    pub fn commit(self, diff_id: &Digest, records: &SideTable) -> Result<Tree, Error> {
        let Self { store, mounted, upper, first, _workspace, .. } = self;
        // Without an entry of its own, a layer says nothing about the time of `/`.
        upper.set_time(Path::new(""), first.mtime)?;
        let made = mounted.into_tree()?;
        store.commit_tree(&made, &TreeKey::Diff(diff_id.clone()), records)
    }
}

/// Trees as the codec reads them.
fn below(trees: &[Tree]) -> Result<Below, Error> {
    let parts = trees.iter().map(|tree| Ok((tree.files(), tree.records()?)));
    Ok(Below::new(parts.collect::<Result<Vec<_>, Error>>()?))
}

fn attributes_of_root(root: &Root) -> Result<Meta, Error> {
    Ok(root.lstat(Path::new(""))?.expect("a directory has a root"))
}
