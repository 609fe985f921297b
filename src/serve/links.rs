//! [`Links`]: blobs that repositories have though no manifest names them (yet).
//!
//! They are remembered as long as the server runs. After that a client that asks for such a blob
//! does not find it, and sends it again.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::image::Digest;

#[derive(Debug, Default)]
pub(super) struct Links(Mutex<HashMap<String, HashSet<Digest>>>);

impl Links {
    pub(super) fn add(&self, repository: &str, digest: &Digest) {
        self.all().entry(repository.to_owned()).or_default().insert(digest.clone());
    }

    pub(super) fn has(&self, repository: &str, digest: &Digest) -> bool {
        self.all().get(repository).is_some_and(|blobs| blobs.contains(digest))
    }

    pub(super) fn has_anywhere(&self, digest: &Digest) -> bool {
        self.all().values().any(|blobs| blobs.contains(digest))
    }

    /// Whether it was there.
    pub(super) fn remove(&self, repository: &str, digest: &Digest) -> bool {
        self.all().get_mut(repository).is_some_and(|blobs| blobs.remove(digest))
    }

    pub(super) fn clear(&self) {
        self.all().clear();
    }

    /// All of them.
    pub(super) fn blobs(&self) -> HashSet<Digest> {
        self.all().values().flatten().cloned().collect()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, HashSet<Digest>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
