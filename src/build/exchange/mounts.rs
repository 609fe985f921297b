//! Directories of `RUN --mount=type=cache` that go along with a cache: a whole one is an archive, and
//! a new one elsewhere begins with that.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Imported, chain, fetch};
use crate::build::error::Fault;
use crate::dockerfile::Sharing;
use crate::image::{Descriptor, Digest};
use crate::layer::compress::decompress;
use crate::layer::{self, PackOptions};
use crate::report::{Outcome, Reporter, start};
use crate::rootfs::{Root, SideTable};
use crate::store::Store;

/// Which of them go along.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Carried {
    #[default]
    None,
    /// All that the build's steps mount.
    All,
    /// Those with these ids.
    Ids(Vec<String>),
}

/// One that a step of a build mounts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::build) struct Used {
    /// Its `id`, or its target.
    pub(in crate::build) name: String,
    pub(in crate::build) key: Digest,
}

/// One in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Carriage {
    pub(super) key: Digest,
    /// For people.
    name: String,
    pub(super) archive: Descriptor,
}

/// Packs what is in the store of those that are wanted.
pub(super) fn pack(
    mounted: &[Used],
    wish: &Carried,
    store: &Store,
    reporter: &dyn Reporter,
) -> Result<Vec<Carriage>, Fault> {
    let wanted = |mounted: &&Used| match wish {
        Carried::None => false,
        Carried::All => true,
        Carried::Ids(ids) => ids.contains(&mounted.name),
    };
    if let Carried::Ids(ids) = wish {
        let is_there = |id: &&String| mounted.iter().any(|mounted| mounted.name == **id);
        for id in ids.iter().filter(|id| !is_there(id)) {
            reporter.warn(format!("no step mounts a cache {id:?}, so none goes along"));
        }
    }
    let mut all = Vec::new();
    for Used { name, key } in mounted.iter().filter(wanted) {
        let waits = || reporter.note(format!("waiting for the cache {name}: a step has it"));
        let cache = store.cache_mount(key, name, Sharing::Locked, &waits)?;
        let Some(folder) = cache.existing() else { continue };
        let running = start(reporter, format!("packing the cache {name}"), None);
        let mut blob = store.blob_writer()?;
        let options = PackOptions {
            compression: "zstd".parse().expect("it is a method"),
            ..PackOptions::default()
        };
        let root = Root::open(&folder)?;
        let packed = layer::pack_tree(&root, &SideTable::default(), &options, &mut blob)?;
        blob.commit(Some(&packed.descriptor.digest))?;
        running.finish(Outcome::Done);
        all.push(Carriage { key: key.clone(), name: name.clone(), archive: packed.descriptor });
    }
    Ok(all)
}

impl Imported<'_> {
    /// Fills a new cache with what one elsewhere has of it; false when there is nothing, or when it
    /// cannot be had: then it begins empty.
    pub(in crate::build) fn fill(
        &self,
        key: &Digest,
        folder: &Path,
        store: &Store,
        reporter: &dyn Reporter,
    ) -> Result<bool, Fault> {
        let Some((number, Carriage { name, archive, .. })) = self.mounts.get(key) else {
            return Ok(false);
        };
        let root = Root::open(folder)?;
        let filled = fetch(&*self.sources[*number], archive, store, reporter).and_then(|()| {
            let tar = decompress(store.open_blob(&archive.digest)?).map_err(layer::Error::Read)?;
            layer::extract(tar, &root, Path::new(""), None, &mut SideTable::default())?;
            Ok(())
        });
        if let Err(fault) = filled {
            reporter.warn(format!("the cache {name} begins empty: {}", chain(&fault)));
            for (name, _) in root.read_dir(Path::new(""))? {
                root.remove(Path::new(&name))?;
            }
            return Ok(false);
        }
        Ok(true)
    }
}
