//! What layers unpack to, once that was found out: by the digest of the blob, its diff ID.
//!
//! Only who has read a blob to its end knows what is in it. What an image's configuration says of it is
//! a claim: a tree of that diff ID may be here, and the blob be another layer's, or damaged.

use std::fs;
use std::path::PathBuf;

use super::{Durability, Error, Result, Store};
use crate::image::Digest;

impl Store {
    fn pair_path(&self, blob: &Digest) -> PathBuf {
        self.root.join("pairs").join(format!("{}-{}", blob.algorithm().name(), blob.hex()))
    }

    /// Whether the blob is known to unpack to that.
    pub fn knows_layer(&self, blob: &Digest, diff_id: &Digest) -> bool {
        fs::read_to_string(self.pair_path(blob)).is_ok_and(|text| text == diff_id.to_string())
    }

    /// Remembers what a blob was seen to unpack to.
    pub fn know_layer(&self, blob: &Digest, diff_id: &Digest) -> Result<()> {
        if self.knows_layer(blob, diff_id) {
            return Ok(());
        }
        let path = self.pair_path(blob);
        // The store may be older than this folder.
        let folder = self.root.join("pairs");
        fs::create_dir_all(&folder).map_err(Error::io("making", &folder))?;
        self.replace(&path, diff_id.to_string().as_bytes(), Durability::InMemory)
    }

    /// Forgets what is known of a blob that is gone.
    pub(super) fn forget_layer(&self, blob: &Digest) -> Result<()> {
        self.delete_file(&self.pair_path(blob))
    }
}
