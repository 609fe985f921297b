//! Content-addressed bytes.

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::path::PathBuf;

use super::draft::Draft;
use super::{Durability, Error, Result, Store};
use crate::image::{
    Algorithm, Config, Content, Descriptor, Digest, Hasher, Manifest, Platform, Verified,
};

/// A blob in the making: hashed while it is written, and seen by nobody until it is committed.
/// Dropped before that, it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter<'a> {
    store: &'a Store,
    file: File,
    draft: Draft,
}

impl Write for BlobWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.draft.note(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BlobWriter<'_> {
    /// How many bytes were written.
    pub fn size(&self) -> u64 {
        self.draft.size()
    }

    /// Puts the blob in its place; returns its digest and its size in bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] when the content is not what was `expected`.
    pub fn commit(self, expected: Option<&Digest>) -> Result<(Digest, u64)> {
        self.draft.commit(self.store, expected)
    }
}

impl Store {
    pub(super) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    /// Whether the blob is here. An empty file is none, unless its digest says so: a crash of the
    /// machine can leave such.
    pub fn has_blob(&self, digest: &Digest) -> bool {
        self.blob_size(digest).is_some()
    }

    /// The size in bytes; `None` when it is not there.
    pub fn blob_size(&self, digest: &Digest) -> Option<u64> {
        let size = fs::metadata(self.blob_path(digest)).ok()?.len();
        let empty = || Hasher::new(digest.algorithm()).finish() == *digest;
        (size > 0 || empty()).then_some(size)
    }

    /// The digests of all blobs, sorted.
    pub fn list_blobs(&self) -> Result<Vec<Digest>> {
        let mut found = Vec::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let name = algorithm.name();
            for path in self.entries(&format!("blobs/{name}"))? {
                let hex = path.file_name().unwrap_or_default().to_string_lossy();
                found.extend(format!("{name}:{hex}").parse::<Digest>());
            }
        }
        Ok(found)
    }

    /// Opens a blob; its content is not verified. Who sends it has a receiver that does.
    pub fn open_blob(&self, digest: &Digest) -> Result<File> {
        let path = self.blob_path(digest);
        File::open(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::Missing(digest.clone()),
            _ => Error::Io { action: "reading", path, source },
        })
    }

    /// Begins a blob whose digest will be known at its end. It is hashed with the algorithm of
    /// everything that we make, sha256.
    pub fn blob_writer(&self) -> Result<BlobWriter<'_>> {
        self.blob_writer_for(Algorithm::Sha256)
    }

    /// The same for content that somebody else named with another algorithm.
    pub fn blob_writer_for(&self, algorithm: Algorithm) -> Result<BlobWriter<'_>> {
        let draft = self.draft(algorithm)?;
        let file = draft.open()?;
        Ok(BlobWriter { store: self, file, draft })
    }

    /// Stores `bytes`; nothing is written when they are there already.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        if !self.has_blob(&digest) {
            self.replace(&self.blob_path(&digest), bytes, Durability::InMemory)?;
        }
        Ok(digest)
    }

    /// The same for bytes that somebody named already, with whatever algorithm.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] when they are not what `digest` says.
    pub fn put_blob_as(&self, bytes: &[u8], digest: &Digest) -> Result<()> {
        let mut writer = self.blob_writer_for(digest.algorithm())?;
        writer.write_all(bytes).map_err(Error::io("writing", self.blob_path(digest)))?;
        writer.commit(Some(digest)).map(drop)
    }

    /// A small blob, verified. For manifests and configurations.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`]; [`Error::Damaged`] when it is not what its name says. It is gone then, so
    /// that the next pull fetches it again.
    pub fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>> {
        let file = self.open_blob(digest)?;
        let mut bytes = Vec::new();
        match Verified::new(file, digest.clone(), None).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(source) if source.kind() == io::ErrorKind::InvalidData => {
                let path = self.blob_path(digest);
                // Reported in any case.
                drop(fs::remove_file(&path));
                Err(Error::Damaged { path, source })
            }
            Err(source) => {
                Err(Error::Io { action: "reading", path: self.blob_path(digest), source })
            }
        }
    }

    /// A manifest or an index.
    pub fn content(&self, descriptor: &Descriptor) -> Result<Content> {
        let bytes = self.read_blob(&descriptor.digest)?;
        Ok(Content::parse(bytes, Some(&descriptor.media_type))?.known_as(&descriptor.digest))
    }

    /// What a descriptor means on a machine: of an index the image that serves `platform` best, of
    /// all else itself.
    ///
    /// # Errors
    ///
    /// When the index has no such image.
    pub fn content_for(&self, descriptor: &Descriptor, platform: &Platform) -> Result<Content> {
        let mut content = self.content(descriptor)?;
        // Some keep an index of indexes.
        while let Content::Index(index) = &content {
            content = self.content(index.select(platform)?)?;
        }
        Ok(content)
    }

    /// The configuration of an image.
    pub fn config(&self, manifest: &Manifest) -> Result<Config> {
        Ok(Config::parse(&self.read_blob(&manifest.config.digest)?)?)
    }
}
