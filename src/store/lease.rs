//! [`Lease`]: the sole right to make something, so that one process waits for another's identical
//! work instead of repeating it.
//!
//! A lease is a courtesy: what is made is complete before it gets its name, so two makers do no
//! harm. (What the deletion of images must spare is another matter: for that, every process that
//! has the store open holds its lock.)

use super::lock::{Lock, Mode};
use super::{Error, Result, Store};
use crate::image::Digest;

/// Held until dropped, or until the process ends.
#[derive(Debug)]
pub struct Lease {
    lock: Option<Lock>,
}

impl Store {
    /// Waits until nobody else, in this process or another, holds the lease on making what `digest`
    /// names. Afterwards, look whether it is there now.
    ///
    /// Who holds a lease must not wait for another one.
    pub fn lease(&self, digest: &Digest) -> Result<Lease> {
        let path = self.root.join("leases").join(digest.hex());
        match Lock::wait(&path, Mode::Exclusive) {
            Ok(lock) => Ok(Lease { lock: Some(lock) }),
            Err(source) => Err(Error::Io { action: "locking", path, source }),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(lock) = self.lock.take() {
            // A file that stays is an unlocked one, which harms nobody.
            drop(lock.remove());
        }
    }
}
