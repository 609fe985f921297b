//! Removing: names first, then what only they held.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::refs::Forgotten;
use super::{CacheEntry, Error, Name, RefEntry, Result, Store, TreeKey};
use crate::image::{Config, Content, Descriptor, Digest};
use crate::rootfs::{self, FileType, Root, SideTable, Walk};

/// What a removal did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Bytes of blobs that were deleted.
    pub blobs: u64,
    /// Unpacked layers that were deleted.
    pub trees: usize,
    /// Bytes that their files took on the disk.
    pub tree_bytes: u64,
    /// Bytes of all else: cache mounts and logs.
    pub other: u64,
    /// Another process works in the storage directory: what the names held stays until the next
    /// removal.
    pub deferred: bool,
}

impl Removed {
    /// All bytes that are free now.
    pub fn bytes(&self) -> u64 {
        self.blobs + self.tree_bytes + self.other
    }
}

/// What can be reached from some names.
#[derive(Debug, Default)]
pub(super) struct Reached {
    pub(super) blobs: HashSet<Digest>,
    diff_ids: HashSet<Digest>,
    chain_ids: HashSet<Digest>,
}

impl Store {
    /// Forgets names. What they stood for stays, and [`Store::restore`](Self::restore) brings it back,
    /// until it is swept.
    pub fn forget(&self, names: &[Name]) -> Result<()> {
        names.iter().try_for_each(|name| self.forget_ref(name))
    }

    /// Forgets names, and deletes what nothing else holds: blobs and trees that no other name and
    /// no step's cached result points to. Cached results that point to what the removed images
    /// alone had go with them. What was forgotten before is deleted too.
    pub fn remove(&self, names: &[Name]) -> Result<Removed> {
        self.forget(names)?;
        self.sweep(&|_, _| true)
    }

    /// Deletes what nobody holds. What was forgotten is deleted for good where `goes` says so, which
    /// is told since when it is; the rest of it is spared.
    pub fn sweep(&self, goes: &dyn Fn(&Name, SystemTime) -> bool) -> Result<Removed> {
        self.sweep_but(&HashSet::new(), goes)
    }

    /// The same, but for the blobs in `keep`. Nothing in this process may give names, or commit blobs
    /// that it does not keep, meanwhile.
    pub fn sweep_but(
        &self,
        keep: &HashSet<Digest>,
        goes: &dyn Fn(&Name, SystemTime) -> bool,
    ) -> Result<Removed> {
        let deferred = Removed { deferred: true, ..Removed::default() };
        Ok(self.alone(|| self.sweep_now(keep, goes))?.unwrap_or(deferred))
    }

    /// [`Self::sweep_but`], by who is alone.
    pub(super) fn sweep_now(
        &self,
        keep: &HashSet<Digest>,
        goes: &dyn Fn(&Name, SystemTime) -> bool,
    ) -> Result<Removed> {
        self.check_refs()?;
        let mut held = Reached::default();
        held.blobs.extend(keep.iter().cloned());
        for entry in self.list_refs()? {
            self.reach_entry(&entry, &mut held)?;
        }
        let mut gone = Reached::default();
        let mut forgotten = Vec::new();
        for Forgotten { path, entry, since } in self.forgotten_refs()? {
            if goes(&entry.name, since) {
                self.reach_entry(&entry, &mut gone)?;
                forgotten.push(path);
            } else {
                self.reach_entry(&entry, &mut held)?;
            }
        }
        // Cached results first: without the manifests nobody knows any more which are to go.
        for (path, CacheEntry { layer, content, .. }) in self.cache_entries()? {
            held.blobs.extend(content);
            let Some(layer) = layer else { continue };
            let digest = &layer.descriptor.digest;
            if gone.blobs.contains(digest) && !held.blobs.contains(digest) {
                self.delete_file(&path)?;
            } else {
                held.blobs.insert(digest.clone());
                held.diff_ids.insert(layer.diff_id);
            }
        }
        for path in &forgotten {
            self.delete_file(path)?;
        }
        self.sweep_partials()?;
        let mut removed = Removed::default();
        for algorithm in ["sha256", "sha512"] {
            self.sweep_blobs(algorithm, &held, &mut removed)?;
        }
        // Merged trees are never kept: they are made again when they are needed again.
        let keep: HashSet<PathBuf> = held.trees().map(|key| self.tree_path(&key)).collect();
        for path in self.entries("trees")? {
            if !keep.contains(&path) {
                removed.tree_bytes += self.delete_tree(&path)?;
                removed.trees += 1;
            }
        }
        Ok(removed)
    }

    /// Deletes what was forgotten longer ago, if there is any.
    pub fn sweep_old(&self, age: Duration) -> Result<Removed> {
        let is_old = |since: SystemTime| since.elapsed().is_ok_and(|since| since > age);
        match self.forgotten_refs()?.iter().any(|forgotten| is_old(forgotten.since)) {
            true => self.sweep(&|_, since| is_old(since)),
            false => Ok(Removed::default()),
        }
    }

    fn sweep_blobs(&self, algorithm: &str, held: &Reached, removed: &mut Removed) -> Result<()> {
        for path in self.entries(&format!("blobs/{algorithm}"))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let digest = format!("{algorithm}:{name}").parse::<Digest>();
            if digest.as_ref().is_ok_and(|digest| held.blobs.contains(digest)) {
                continue;
            }
            if let Ok(digest) = &digest {
                self.forget_layer(digest)?;
            }
            removed.blobs += fs::metadata(&path).map_or(0, |metadata| metadata.len());
            self.delete_file(&path)?;
        }
        Ok(())
    }

    /// Out of its place at once, then piece by piece: whoever is killed here leaves no half tree.
    /// Returns what its files took on the disk.
    pub(super) fn delete_tree(&self, path: &Path) -> Result<u64> {
        let workspace = self.workspace()?;
        let doomed = workspace.path().join("tree");
        fs::rename(path, &doomed).map_err(Error::io("removing", path))?;
        let bytes = size_on_disk(&doomed).unwrap_or(0);
        rootfs::remove_tree(&doomed)?;
        Ok(bytes)
    }

    pub(super) fn reach_entry(&self, entry: &RefEntry, reached: &mut Reached) -> Result<()> {
        self.reach(&entry.descriptor, reached)?;
        reached.blobs.extend(entry.index.as_ref().map(|index| index.digest.clone()));
        Ok(())
    }

    /// Adds all that a manifest or an index needs. What is not there, or is damaged, holds nothing;
    /// what cannot be read now may hold anything, and is an error.
    fn reach(&self, descriptor: &Descriptor, reached: &mut Reached) -> Result<()> {
        if !reached.blobs.insert(descriptor.digest.clone()) {
            return Ok(());
        }
        match self.content(descriptor) {
            Ok(Content::Index(index)) => {
                index.manifests.iter().try_for_each(|manifest| self.reach(manifest, reached))?;
            }
            Ok(Content::Image(manifest) | Content::Artifact(manifest)) => {
                reached.blobs.insert(manifest.config.digest.clone());
                reached.blobs.extend(manifest.layers.iter().map(|layer| layer.digest.clone()));
                match self.config(&manifest) {
                    Ok(config) => reached.add_layers(&config),
                    Err(error) => holds_nothing(error)?,
                }
            }
            Err(error) => holds_nothing(error)?,
        }
        Ok(())
    }
}

fn holds_nothing(error: Error) -> Result<()> {
    match error {
        Error::Missing(_) | Error::Damaged { .. } | Error::Image(_) => Ok(()),
        other => Err(other),
    }
}

/// Files with several names, which other trees may share, count as nothing.
pub(super) fn size_on_disk(path: &Path) -> Result<u64> {
    let root = Root::open(path)?;
    let mut blocks = 0;
    for found in Walk::new(&root, Path::new(""), &SideTable::default()) {
        let meta = found?.meta;
        if meta.nlink == 1 || meta.kind == FileType::Dir {
            blocks += meta.blocks;
        }
    }
    Ok(blocks * 512)
}

impl Reached {
    pub(super) fn trees(&self) -> impl Iterator<Item = TreeKey> {
        let diffs = self.diff_ids.iter().cloned().map(TreeKey::Diff);
        diffs.chain(self.chain_ids.iter().cloned().map(TreeKey::Chain))
    }

    /// Adds what a cached result needs.
    pub(super) fn add_cached(&mut self, entry: CacheEntry) {
        self.blobs.extend(entry.content);
        if let Some(layer) = entry.layer {
            self.blobs.insert(layer.descriptor.digest);
            self.diff_ids.insert(layer.diff_id);
        }
    }

    fn add_layers(&mut self, config: &Config) {
        let mut below: Option<Digest> = None;
        for diff_id in &config.rootfs.diff_ids {
            let chain_id = Digest::chain(below.as_ref(), diff_id);
            self.diff_ids.insert(diff_id.clone());
            self.chain_ids.insert(chain_id.clone());
            below = Some(chain_id);
        }
    }
}
