//! Unpacked layers.
//!
//! A layer that is complete in itself is kept under its diff ID and serves every image that has
//! it. One that leaves out the entries of its parent directories, or that hard-links to a file of
//! a layer below, is finished with what those have, and kept under its chain ID.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{Error, Result, Store, Workspace};
use crate::image::{Config, Digest};
use crate::rootfs::{Root, SideTable};

/// What an unpacked layer is found by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TreeKey {
    Diff(Digest),
    Chain(Digest),
    /// Several layers in one, named after them.
    Merged(Digest),
}

impl TreeKey {
    fn file_name(&self) -> String {
        let (kind, digest) = match self {
            Self::Diff(digest) => ("diff", digest),
            Self::Chain(digest) => ("chain", digest),
            Self::Merged(digest) => ("merged", digest),
        };
        format!("{kind}-{}-{}", digest.algorithm().name(), digest.hex())
    }
}

/// A layer's files, in the form that overlayfs takes. Never changed once it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    path: PathBuf,
}

impl Tree {
    /// The directory with the files.
    pub fn files(&self) -> PathBuf {
        self.path.join("fs")
    }

    pub fn root(&self) -> Result<Root> {
        Ok(Root::open(&self.files())?)
    }

    /// Owners and devices that the files themselves cannot carry.
    pub fn records(&self) -> Result<SideTable> {
        let path = self.path.join("records.json");
        match fs::read(&path) {
            Ok(bytes) => Ok(SideTable::from_json(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(SideTable::default()),
            Err(source) => Err(Error::Io { action: "reading", path, source }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// A tree in the making: an empty directory that nobody else sees.
#[derive(Debug)]
pub struct NewTree<'a> {
    store: &'a Store,
    workspace: Workspace,
}

impl NewTree<'_> {
    /// Where the files go.
    pub fn files(&self) -> PathBuf {
        self.workspace.path().join("tree/fs")
    }

    pub fn root(&self) -> Result<Root> {
        Ok(Root::open(&self.files())?)
    }

    /// Puts the tree in its place. When another process was first, its tree is taken.
    pub fn commit(self, key: &TreeKey, records: &SideTable) -> Result<Tree> {
        self.store.commit_tree(&self.workspace.path().join("tree"), key, records)
    }
}

impl Store {
    pub(super) fn tree_path(&self, key: &TreeKey) -> PathBuf {
        self.root.join("trees").join(key.file_name())
    }

    pub fn tree(&self, key: &TreeKey) -> Option<Tree> {
        let path = self.tree_path(key);
        path.join("fs").is_dir().then_some(Tree { path })
    }

    /// The tree of a layer above the layers with the chain ID `below`.
    pub fn layer_tree(&self, below: Option<&Digest>, diff_id: &Digest) -> Option<Tree> {
        self.tree(&TreeKey::Diff(diff_id.clone()))
            .or_else(|| self.tree(&TreeKey::Chain(Digest::chain(below, diff_id))))
    }

    /// The trees of all layers, the lowest first; None when one of them is not unpacked.
    pub fn trees(&self, config: &Config) -> Option<Vec<Tree>> {
        let mut below: Option<Digest> = None;
        let mut trees = Vec::new();
        for diff_id in &config.rootfs.diff_ids {
            trees.push(self.layer_tree(below.as_ref(), diff_id)?);
            below = Some(Digest::chain(below.as_ref(), diff_id));
        }
        Some(trees)
    }

    pub fn new_tree(&self) -> Result<NewTree<'_>> {
        let workspace = self.workspace()?;
        let files = workspace.path().join("tree/fs");
        fs::create_dir_all(&files).map_err(Error::io("making", &files))?;
        // Whatever the umask is: it is the mode of `/`, unless the layer says another.
        fs::set_permissions(&files, Permissions::from_mode(0o755))
            .map_err(Error::io("making", &files))?;
        Ok(NewTree { store: self, workspace })
    }

    /// Moves `made`, a directory with the files in `fs`, into place.
    pub(super) fn commit_tree(
        &self,
        made: &Path,
        key: &TreeKey,
        records: &SideTable,
    ) -> Result<Tree> {
        if *records != SideTable::default() {
            let path = made.join("records.json");
            fs::write(&path, records.to_json()).map_err(Error::io("writing", &path))?;
        }
        let path = self.tree_path(key);
        match fs::rename(made, &path) {
            Ok(()) => Ok(Tree { path }),
            // Somebody else put the same tree there: only an empty directory is replaced.
            Err(_) if path.join("fs").is_dir() => Ok(Tree { path }),
            Err(source) => Err(Error::Io { action: "writing", path, source }),
        }
    }
}
