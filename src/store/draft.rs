//! [`Draft`]: a blob that is written in several goes, before anybody knows its digest.

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::path::PathBuf;
use std::sync::Arc;

use super::workspace::Scratch;
use super::{Error, Result, Store};
use crate::image::{Algorithm, Digest, Hasher, Mismatch};

/// Bytes that are hashed while they are written, and that nobody sees until they are committed.
/// Dropped before that, it leaves nothing. No file is open while nothing is written.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    _scratch: Arc<Scratch>,
    algorithm: Algorithm,
    hasher: Hasher,
    size: u64,
}

/// Writes at the end of a [`Draft`].
#[derive(Debug)]
pub struct Appending<'a> {
    file: File,
    draft: &'a mut Draft,
}

impl Write for Appending<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.draft.note(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a commit there is nothing any more.
        drop(fs::remove_file(&self.path));
    }
}

impl Draft {
    /// How many bytes were written.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Goes on writing at the end.
    pub fn append(&mut self) -> Result<Appending<'_>> {
        Ok(Appending { file: self.open()?, draft: self })
    }

    /// Reads what was written, from the beginning. What is written later is seen too, and what was
    /// opened stays readable when the draft is committed.
    pub fn read(&self) -> Result<File> {
        File::open(&self.path).map_err(Error::io("reading", &self.path))
    }

    /// Puts the blob in its place; returns its digest and its size in bytes. Content that is
    /// `expected` to have a digest of another algorithm is hashed anew.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] when the content is not what was `expected`.
    pub fn commit(self, store: &Store, expected: Option<&Digest>) -> Result<(Digest, u64)> {
        let algorithm = expected.map_or(self.algorithm, Digest::algorithm);
        let digest = match algorithm == self.algorithm {
            true => self.hasher.clone().finish(),
            false => self.hash(algorithm)?,
        };
        if let Some(expected) = expected.filter(|expected| **expected != digest) {
            let mismatch = Mismatch::Digest { expected: expected.clone(), actual: digest };
            let source = io::Error::new(io::ErrorKind::InvalidData, mismatch);
            return Err(Error::Damaged { path: self.path.clone(), source });
        }
        // What is there already has the same bytes, or is damaged and repaired by this.
        let path = store.blob_path(&digest);
        fs::rename(&self.path, &path).map_err(Error::io("writing", &path))?;
        Ok((digest, self.size))
    }

    pub(super) fn open(&self) -> Result<File> {
        File::options().append(true).open(&self.path).map_err(Error::io("writing", &self.path))
    }

    /// These bytes were written to the file.
    pub(super) fn note(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
    }

    fn hash(&self, algorithm: Algorithm) -> Result<Digest> {
        let mut file = self.read()?;
        let mut hasher = Hasher::new(algorithm);
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match file.read(&mut buffer).map_err(Error::io("reading", &self.path))? {
                0 => return Ok(hasher.finish()),
                count => hasher.update(&buffer[..count]),
            }
        }
    }
}

impl Store {
    /// Begins a blob that is hashed with `algorithm` while it is written.
    pub fn draft(&self, algorithm: Algorithm) -> Result<Draft> {
        let scratch = self.scratch()?;
        let path = scratch.path();
        File::create_new(&path).map_err(Error::io("writing", &path))?;
        let hasher = Hasher::new(algorithm);
        Ok(Draft { path, _scratch: scratch, algorithm, hasher, size: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_written_in_goes_and_hashed_as_it_is_called_in_the_end() {
        let folder = tempfile::tempdir().expect("a directory");
        let store = Store::open(folder.path()).expect("a store");
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let mut draft = store.draft(Algorithm::Sha256).expect("begun");
            for piece in ["mo", "ss"] {
                draft.append().expect("opened").write_all(piece.as_bytes()).expect("written");
            }
            let mut hasher = Hasher::new(algorithm);
            hasher.update(b"moss");
            let digest = hasher.finish();
            assert!(!store.has_blob(&digest));
            let committed = draft.commit(&store, Some(&digest)).expect("as expected");
            assert_eq!(committed, (digest.clone(), 4));
            assert_eq!(store.read_blob(&digest).expect("there"), b"moss");
        }
        let draft = store.draft(Algorithm::Sha256).expect("begun");
        let path = draft.path.clone();
        let wrong = Digest::of(b"mess");
        assert!(matches!(draft.commit(&store, Some(&wrong)), Err(Error::Damaged { .. })));
        assert!(!path.exists() && !store.has_blob(&wrong));
    }
}
