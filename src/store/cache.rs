//! A step's key, here a bare digest, to what that step made.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{Durability, Error, Result, Store};
use crate::image::{Descriptor, Digest};

/// What a step made. Unless all that it names is still in the store, it is no hit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CacheEntry {
    /// None for a step that changes no files.
    pub layer: Option<CachedLayer>,
    /// When the step was done (RFC 3339): a later hit gives the image the same bytes.
    pub created: String,
    /// A digest that was expensive to find out, for keys of other steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Digest>,
    /// What the image's history says of the step; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// The key of the step before; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Digest>,
}

/// A step's layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CachedLayer {
    pub descriptor: Descriptor,
    pub diff_id: Digest,
    /// How it is compressed (`gzip:5`), for who wants it in another way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<String>,
}

impl Store {
    fn cache_path(&self, key: &Digest) -> PathBuf {
        self.root.join("cache").join(key.hex())
    }

    /// What the step with this key made; None when nobody did it yet, or when its layer is gone.
    pub fn cache_get(&self, key: &Digest) -> Result<Option<CacheEntry>> {
        let path = self.cache_path(key);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Io { action: "reading", path, source }),
        };
        // A damaged entry costs one more execution of its step, nothing else.
        let Ok(entry) = serde_json::from_slice::<CacheEntry>(&bytes) else { return Ok(None) };
        let there =
            entry.layer.as_ref().is_none_or(|layer| self.has_blob(&layer.descriptor.digest));
        if there {
            // So that what is used is known from what is not. Where that cannot be noted, no matter.
            drop(fs::File::open(&path).and_then(|file| file.set_modified(SystemTime::now())));
        }
        Ok(there.then_some(entry))
    }

    pub fn cache_put(&self, key: &Digest, entry: &CacheEntry) -> Result<()> {
        let bytes = serde_json::to_vec(entry).expect("an entry has string keys");
        self.replace(&self.cache_path(key), &bytes, Durability::InMemory)
    }

    /// All entries and their keys, in the order of the keys.
    pub fn cached_steps(&self) -> Result<Vec<(Digest, CacheEntry)>> {
        let all = self.cache_entries()?.into_iter();
        let keyed = all.filter_map(|(path, entry)| {
            let name = path.file_name()?.to_str()?;
            Some((format!("sha256:{name}").parse().ok()?, entry))
        });
        Ok(keyed.collect())
    }

    /// All entries, with their keys' file names. Damaged ones are left out.
    pub(super) fn cache_entries(&self) -> Result<Vec<(PathBuf, CacheEntry)>> {
        let mut found = Vec::new();
        for path in self.entries("cache")? {
            let Ok(bytes) = fs::read(&path) else { continue };
            if let Ok(entry) = serde_json::from_slice(&bytes) {
                found.push((path, entry));
            }
        }
        Ok(found)
    }
}
