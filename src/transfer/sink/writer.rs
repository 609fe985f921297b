//! [`Writer`]: a blob on its way into the storage directory, whole or over several processes.

use std::fs::File;
use std::io::{self, Write};

use crate::store::{BlobWriter, PartialBlob, Store};
use crate::transfer::{Blob, Error};

#[derive(Debug)]
pub(super) enum Writer<'a> {
    Whole(BlobWriter<'a>),
    Partial(PartialBlob<'a>),
}

impl<'a> Writer<'a> {
    /// For a blob that nobody else fetches just now.
    pub(super) fn new(store: &'a Store, blob: &Blob<'_>) -> Result<Self, Error> {
        Ok(match blob.can_resume() {
            true => Self::Partial(store.partial_blob(blob.descriptor)?),
            false => Self::Whole(store.blob_writer_for(blob.descriptor.digest.algorithm())?),
        })
    }

    /// What is here of it, to be written first.
    pub(super) fn kept(&self) -> Result<Option<(File, u64)>, Error> {
        match self {
            Self::Whole(_) => Ok(None),
            Self::Partial(partial) => Ok(partial.kept()?),
        }
    }

    /// Puts it in its place if it is what it should be.
    pub(super) fn commit(self, blob: &Blob<'_>) -> Result<(), Error> {
        let outcome = match self {
            Self::Whole(whole) => whole.commit(Some(&blob.descriptor.digest)).map(drop),
            Self::Partial(partial) => partial.commit(),
        };
        outcome.map_err(|error| blob.refused(error))
    }
}

impl Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Whole(whole) => whole.write(bytes),
            Self::Partial(partial) => partial.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
