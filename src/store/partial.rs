//! [`PartialBlob`]: a blob that may take several processes to arrive.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use super::{Error, Result, Store};
use crate::image::{Descriptor, Digest, Hasher, Mismatch};

/// Less than this is not worth keeping, in bytes.
const WORTH_KEEPING: u64 = 64 << 10;
/// Parts that nobody went on with for so long are removed.
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// A blob in the making as [`BlobWriter`](super::BlobWriter) is one, but what was written stays when
/// it is dropped, or its process killed.
#[derive(Debug)]
pub struct PartialBlob<'a> {
    store: &'a Store,
    digest: Digest,
    /// Of the whole blob.
    whole: u64,
    path: PathBuf,
    file: File,
    /// So many bytes were there before.
    kept: u64,
    hasher: Hasher,
    size: u64,
}

impl Store {
    /// Begins a blob where an earlier process stopped: see [`PartialBlob::kept`]. For who has a
    /// [`Lease`](super::Lease) on the digest.
    pub fn partial_blob(&self, descriptor: &Descriptor) -> Result<PartialBlob<'_>> {
        let digest = descriptor.digest.clone();
        let path = self.partial_path(&digest);
        let folder = self.root.join("partial");
        fs::create_dir_all(&folder).map_err(Error::io("making", &folder))?;
        let mut options = File::options();
        let file = options.append(true).create(true).open(&path);
        let file = file.map_err(Error::io("writing", &path))?;
        let found = file.metadata().map_err(Error::io("reading", &path))?;
        let mut kept = found.len();
        if kept >= descriptor.size {
            file.set_len(0).map_err(Error::io("writing", &path))?;
            kept = 0;
        }
        let hasher = Hasher::new(digest.algorithm());
        let whole = descriptor.size;
        Ok(PartialBlob { store: self, digest, whole, path, file, kept, hasher, size: 0 })
    }

    /// Whether a part of a blob is here.
    pub fn has_partial(&self, digest: &Digest) -> bool {
        self.partial_path(digest).exists()
    }

    fn partial_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("partial").join(format!("{}-{}", digest.algorithm().name(), digest.hex()))
    }

    /// Removes what nobody went on with for long.
    pub(super) fn sweep_partials(&self) -> Result<()> {
        if !self.root.join("partial").exists() {
            return Ok(());
        }
        for path in self.entries("partial")? {
            let changed = fs::metadata(&path).and_then(|found| found.modified());
            if changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age > WEEK)) {
                self.delete_file(&path)?;
            }
        }
        Ok(())
    }
}

impl PartialBlob<'_> {
    /// What was there before, and how many bytes that is: who goes on must write them first, which
    /// costs nothing but their hash. None if there was nothing.
    pub fn kept(&self) -> Result<Option<(File, u64)>> {
        if self.kept == 0 {
            return Ok(None);
        }
        let file = File::open(&self.path).map_err(Error::io("reading", &self.path))?;
        Ok(Some((file, self.kept)))
    }

    /// Puts the blob in its place.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] when it is not what its digest says; then nobody can go on with it.
    pub fn commit(self) -> Result<()> {
        let actual = self.hasher.clone().finish();
        if actual != self.digest {
            let mismatch = Mismatch::Digest { expected: self.digest.clone(), actual };
            let source = io::Error::new(io::ErrorKind::InvalidData, mismatch);
            fs::remove_file(&self.path).map_err(Error::io("removing", &self.path))?;
            return Err(Error::Damaged { path: self.path.clone(), source });
        }
        let path = self.store.blob_path(&self.digest);
        fs::rename(&self.path, &path).map_err(Error::io("writing", &path))
    }
}

impl Write for PartialBlob<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let there = usize::try_from(self.kept.saturating_sub(self.size)).unwrap_or(usize::MAX);
        let count = match there {
            0 => self.file.write(bytes)?,
            there => bytes.len().min(there),
        };
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for PartialBlob<'_> {
    fn drop(&mut self) {
        // Somebody else may have seen that all of it is not what it should be.
        if self.kept.max(self.size) < WORTH_KEEPING || self.size >= self.whole {
            // After a commit there is nothing any more.
            drop(fs::remove_file(&self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn what_was_written_is_gone_on_with() {
        let folder = tempfile::tempdir().expect("a directory");
        let store = Store::open(folder.path()).expect("a store");
        let bytes = vec![5; 200_000];
        let descriptor = Descriptor::of("x/y", &bytes);
        let mut first = store.partial_blob(&descriptor).expect("begun");
        assert!(first.kept().expect("asked").is_none());
        first.write_all(&bytes[..90_000]).expect("written");
        drop(first);
        assert!(store.has_partial(&descriptor.digest) && !store.has_blob(&descriptor.digest));

        let mut second = store.partial_blob(&descriptor).expect("gone on with");
        let (file, count) = second.kept().expect("asked").expect("something");
        let mut kept = Vec::new();
        file.take(count).read_to_end(&mut kept).expect("read");
        assert_eq!(kept, bytes[..90_000]);
        second.write_all(&kept).expect("hashed");
        second.write_all(&bytes[90_000..]).expect("written");
        second.commit().expect("whole");
        assert_eq!(store.read_blob(&descriptor.digest).expect("there"), bytes);
        assert!(!store.has_partial(&descriptor.digest));
    }

    #[test]
    fn what_is_wrong_or_little_is_not_kept() {
        let folder = tempfile::tempdir().expect("a directory");
        let store = Store::open(folder.path()).expect("a store");
        let descriptor = Descriptor::of("x/y", &[5; 200_000]);
        for (bytes, fine) in [(vec![5; 100], true), (vec![6; 200_000], false)] {
            let mut blob = store.partial_blob(&descriptor).expect("begun");
            blob.write_all(&bytes).expect("written");
            match fine {
                true => drop(blob),
                false => assert!(matches!(blob.commit(), Err(Error::Damaged { .. }))),
            }
            assert!(!store.has_partial(&descriptor.digest));
        }
        // All of it is nothing to go on with, nor is more.
        for size in [200_000, 300_000] {
            let mut blob = store.partial_blob(&descriptor).expect("begun");
            blob.write_all(&vec![6; size]).expect("written");
            drop(blob);
            assert!(!store.has_partial(&descriptor.digest), "{size}");
        }
        store.sweep_partials().expect("swept");
    }
}
