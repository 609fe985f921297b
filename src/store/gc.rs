//! Removing: names first, then what only they held.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use super::{CacheEntry, Error, Name, Store, TreeKey};
use crate::image::{Config, Content, Descriptor, Digest};
use crate::rootfs;

/// What a removal did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Bytes of blobs that were deleted.
    pub blobs: u64,
    /// Unpacked layers that were deleted.
    pub trees: usize,
    /// Another process works in the storage directory: what the names held stays until the next
    /// removal.
    pub deferred: bool,
}

/// What can be reached from some names.
#[derive(Debug, Default)]
struct Reached {
    blobs: HashSet<Digest>,
    diff_ids: HashSet<Digest>,
    chain_ids: HashSet<Digest>,
}

impl Store {
    /// Forgets names, and deletes what nothing else holds: blobs and trees that no other name and
    /// no step's cached result points to. Cached results that point to what the removed images
    /// alone had go with them.
    pub fn remove(&self, names: &[Name]) -> Result<Removed, Error> {
        let mut gone = Reached::default();
        for name in names {
            if let Some(entry) = self.get_ref(name)? {
                self.reach(&entry.descriptor, &mut gone);
                if let Some(index) = &entry.index {
                    gone.blobs.insert(index.digest.clone());
                }
            }
            self.forget_ref(name)?;
        }
        match self.lock.alone(|| self.sweep(&gone)) {
            Some(removed) => removed,
            None => Ok(Removed { deferred: true, ..Removed::default() }),
        }
    }

    fn sweep(&self, gone: &Reached) -> Result<Removed, Error> {
        let mut held = Reached::default();
        for entry in self.list_refs()? {
            self.reach(&entry.descriptor, &mut held);
            if let Some(index) = &entry.index {
                held.blobs.insert(index.digest.clone());
            }
        }
        for (path, CacheEntry { layer, .. }) in self.cache_entries()? {
            let Some(layer) = layer else { continue };
            let digest = &layer.descriptor.digest;
            if gone.blobs.contains(digest) && !held.blobs.contains(digest) {
                fs::remove_file(&path).map_err(Error::io("removing", &path))?;
            } else {
                held.blobs.insert(digest.clone());
                held.diff_ids.insert(layer.diff_id);
            }
        }
        let mut removed = Removed::default();
        for algorithm in ["sha256", "sha512"] {
            self.sweep_blobs(algorithm, &held, &mut removed)?;
        }
        let keep: HashSet<_> = held
            .diff_ids
            .iter()
            .map(|digest| self.tree_path(&TreeKey::Diff(digest.clone())))
            .chain(
                held.chain_ids.iter().map(|digest| self.tree_path(&TreeKey::Chain(digest.clone()))),
            )
            .collect();
        let folder = self.root.join("trees");
        for path in entries(&folder)? {
            if !keep.contains(&path) {
                self.delete_tree(&path)?;
                removed.trees += 1;
            }
        }
        Ok(removed)
    }

    fn sweep_blobs(
        &self,
        algorithm: &str,
        held: &Reached,
        removed: &mut Removed,
    ) -> Result<(), Error> {
        for path in entries(&self.root.join("blobs").join(algorithm))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let digest = format!("{algorithm}:{name}").parse::<Digest>();
            if digest.is_ok_and(|digest| held.blobs.contains(&digest)) {
                continue;
            }
            removed.blobs += fs::metadata(&path).map_or(0, |metadata| metadata.len());
            fs::remove_file(&path).map_err(Error::io("removing", &path))?;
        }
        Ok(())
    }

    /// Out of its place at once, then piece by piece: whoever is killed here leaves no half tree.
    fn delete_tree(&self, path: &Path) -> Result<(), Error> {
        let workspace = self.workspace()?;
        let doomed = workspace.path().join("tree");
        fs::rename(path, &doomed).map_err(Error::io("removing", path))?;
        rootfs::remove_tree(&doomed)?;
        Ok(())
    }

    /// Adds all that a manifest or an index needs. What is not there, or is damaged, holds nothing.
    fn reach(&self, descriptor: &Descriptor, reached: &mut Reached) {
        if !reached.blobs.insert(descriptor.digest.clone()) {
            return;
        }
        match self.content(descriptor) {
            Ok(Content::Index(index)) => {
                index.manifests.iter().for_each(|manifest| self.reach(manifest, reached));
            }
            Ok(Content::Image(manifest) | Content::Artifact(manifest)) => {
                reached.blobs.insert(manifest.config.digest.clone());
                reached.blobs.extend(manifest.layers.iter().map(|layer| layer.digest.clone()));
                if let Ok(config) = self.config(&manifest) {
                    reached.add_layers(&config);
                }
            }
            Err(_) => {}
        }
    }
}

impl Reached {
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

fn entries(folder: &Path) -> Result<Vec<std::path::PathBuf>, Error> {
    let failed = || Error::io("reading", folder);
    fs::read_dir(folder)
        .map_err(failed())?
        .map(|entry| entry.map(|entry| entry.path()).map_err(failed()))
        .collect()
}
