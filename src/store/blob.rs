//! Content-addressed bytes.

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::path::PathBuf;

use tempfile::NamedTempFile;

use super::{Error, Store};
use crate::image::{Config, Content, Descriptor, Digest, Hasher, Manifest, Mismatch, Verified};

/// A blob in the making: hashed while it is written, and seen by nobody until it is committed.
#[derive(Debug)]
pub struct BlobWriter<'a> {
    store: &'a Store,
    file: NamedTempFile,
    hasher: Hasher,
    size: u64,
}

impl Write for BlobWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl BlobWriter<'_> {
    /// Puts the blob in its place; returns its digest and its size in bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] when the content is not what was `expected`.
    pub fn commit(self, expected: Option<&Digest>) -> Result<(Digest, u64), Error> {
        let digest = self.hasher.finish();
        if let Some(expected) = expected.filter(|expected| **expected != digest) {
            let mismatch = Mismatch::Digest { expected: expected.clone(), actual: digest };
            let source = io::Error::new(io::ErrorKind::InvalidData, mismatch);
            return Err(Error::Damaged { path: self.file.path().to_owned(), source });
        }
        let path = self.store.blob_path(&digest);
        self.file
            .persist(&path)
            .map_err(|error| error.error)
            .map_err(Error::io("writing", &path))?;
        Ok((digest, self.size))
    }
}

impl Store {
    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    pub fn has_blob(&self, digest: &Digest) -> bool {
        self.blob_path(digest).exists()
    }

    /// The size in bytes; None when it is not there.
    pub fn blob_size(&self, digest: &Digest) -> Option<u64> {
        fs::metadata(self.blob_path(digest)).ok().map(|metadata| metadata.len())
    }

    pub fn open_blob(&self, digest: &Digest) -> Result<File, Error> {
        let path = self.blob_path(digest);
        File::open(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::Missing(digest.clone()),
            _ => Error::Io { action: "reading", path, source },
        })
    }

    /// Begins a blob whose digest will be known at its end. It is hashed with the algorithm of
    /// everything that we make, sha256.
    pub fn blob_writer(&self) -> Result<BlobWriter<'_>, Error> {
        self.blob_writer_for(crate::image::Algorithm::Sha256)
    }

    /// The same for content that somebody else named with another algorithm.
    pub fn blob_writer_for(
        &self,
        algorithm: crate::image::Algorithm,
    ) -> Result<BlobWriter<'_>, Error> {
        let tmp = self.root.join("tmp");
        let file = tempfile::Builder::new()
            .prefix("blob-")
            .tempfile_in(&tmp)
            .map_err(Error::io("writing", tmp))?;
        Ok(BlobWriter { store: self, file, hasher: Hasher::new(algorithm), size: 0 })
    }

    /// Stores `bytes`; nothing is written when they are there already.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::of(bytes);
        if !self.has_blob(&digest) {
            self.replace(&self.blob_path(&digest), bytes)?;
        }
        Ok(digest)
    }

    /// A small blob, verified. For manifests and configurations.
    pub fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let file = self.open_blob(digest)?;
        let mut bytes = Vec::new();
        Verified::new(file, digest.clone(), None)
            .read_to_end(&mut bytes)
            .map_err(|source| Error::Damaged { path: self.blob_path(digest), source })?;
        Ok(bytes)
    }

    /// A manifest or an index.
    pub fn content(&self, descriptor: &Descriptor) -> Result<Content, Error> {
        let bytes = self.read_blob(&descriptor.digest)?;
        Ok(Content::parse(bytes, Some(&descriptor.media_type))?)
    }

    /// The configuration of an image.
    pub fn config(&self, manifest: &Manifest) -> Result<Config, Error> {
        Ok(Config::parse(&self.read_blob(&manifest.config.digest)?)?)
    }
}
