//! [`Blob`]: content on its way, verified while it flows.

use std::fs::File;
use std::io::{self, Read, Write};

use super::{Error, Source};
use crate::concurrency::Cancel;
use crate::image::{Content, Descriptor, Digest, Mismatch, Verified};
use crate::report::Running;
use crate::{registry, store};

/// How much is moved at a time, in bytes.
pub(super) const CHUNK: usize = 128 << 10;

/// What a blob is to its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    Config,
    /// A layer of an image. `diff_id` is what the configuration promises of the uncompressed bytes;
    /// `below` is the chain ID of the layers under it, None for the lowest.
    Layer {
        diff_id: Digest,
        below: Option<Digest>,
    },
    /// A part of an artifact.
    Other,
}

/// Content that a sink is asked to take.
#[derive(Clone)]
pub struct Blob<'a> {
    pub descriptor: &'a Descriptor,
    pub role: Role,
    bytes: Bytes<'a>,
    running: Option<&'a Running<'a>>,
    cancel: Option<&'a Cancel>,
}

#[derive(Clone, Copy)]
enum Bytes<'a> {
    Kept(&'a [u8]),
    At(&'a dyn Source),
}

impl<'a> Blob<'a> {
    pub(super) fn new(
        descriptor: &'a Descriptor,
        role: Role,
        source: &'a dyn Source,
        cancel: &'a Cancel,
    ) -> Self {
        let bytes = Bytes::At(source);
        Self { descriptor, role, bytes, running: None, cancel: Some(cancel) }
    }

    /// One that was read, and verified, already.
    pub(super) fn kept(descriptor: &'a Descriptor, role: Role, bytes: &'a [u8]) -> Self {
        Self { descriptor, role, bytes: Bytes::Kept(bytes), running: None, cancel: None }
    }

    /// The same, with somebody who watches its progress.
    pub(super) fn watched<'b>(&'b self, running: &'b Running<'b>) -> Blob<'b> {
        let Self { descriptor, role, bytes, running: _, cancel } = self;
        Blob {
            descriptor,
            role: role.clone(),
            bytes: *bytes,
            running: Some(running),
            cancel: *cancel,
        }
    }

    /// A manifest or an index.
    pub(super) fn of_content(content: &'a Content) -> Self {
        Self::kept(content.descriptor(), Role::Other, content.bytes())
    }

    /// Who sends it.
    pub fn origin(&self) -> String {
        match self.bytes {
            Bytes::Kept(_) => "memory".to_owned(),
            Bytes::At(source) => source.name(),
        }
    }

    /// The bytes from the beginning, as often as needed. Reading fails at the end unless size and
    /// digest are the descriptor's.
    pub fn open(&self) -> Result<Box<dyn Read + Send + '_>, Error> {
        let inner = match self.bytes {
            Bytes::Kept(bytes) => return Ok(Box::new(bytes)),
            Bytes::At(source) => source.open(self.descriptor)?,
        };
        let Descriptor { digest, size, .. } = self.descriptor;
        let inner = Verified::new(inner, digest.clone(), Some(*size));
        Ok(Box::new(Watched { inner, running: self.running, cancel: self.cancel }))
    }

    /// The same for somebody who verifies it himself.
    pub(super) fn open_unverified(&self) -> Result<Box<dyn Read + Send + '_>, Error> {
        let inner = match self.bytes {
            Bytes::Kept(bytes) => return Ok(Box::new(bytes)),
            Bytes::At(source) => source.open(self.descriptor)?,
        };
        Ok(Box::new(Watched { inner, running: self.running, cancel: self.cancel }))
    }

    /// Whether it may be cut off, and gone on with another day.
    pub(super) fn can_resume(&self) -> bool {
        matches!(self.bytes, Bytes::At(source) if source.can_resume())
    }

    /// As [`Self::open_unverified`], but with the first bytes from a file that has them.
    pub(super) fn open_after(
        &self,
        kept: Option<(File, u64)>,
    ) -> Result<Box<dyn Read + Send + '_>, Error> {
        let (Some((file, offset)), Bytes::At(source)) = (kept, self.bytes) else {
            return self.open_unverified();
        };
        let descriptor = self.descriptor;
        let inner = Joined { file: file.take(offset), rest: None, source, descriptor, offset };
        Ok(Box::new(Watched { inner, running: self.running, cancel: self.cancel }))
    }

    /// Writes it all to `output`, which is called `to` in errors.
    pub fn copy_to(&self, output: &mut dyn Write, to: &str) -> Result<(), Error> {
        self.copy_from(self.open()?, output, to)
    }

    /// Writes `input`, which is the blob.
    pub(super) fn copy_from(
        &self,
        mut input: impl Read,
        output: &mut dyn Write,
        to: &str,
    ) -> Result<(), Error> {
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = match input.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.unreadable(error)),
            };
            output.write_all(&buffer[..count]).map_err(Error::writing(to))?;
        }
    }

    /// Counts bytes that were not read through [`Self::open`].
    pub(super) fn advance(&self, bytes: u64) {
        if let Some(running) = self.running {
            running.advance(bytes);
        }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancel.is_some_and(Cancel::is_set)
    }

    /// What it means that reading failed.
    pub(super) fn unreadable(&self, source: io::Error) -> Error {
        if self.is_cancelled() {
            return Error::Cancelled;
        }
        // A registry's own words say more than ours.
        match source.downcast::<registry::Error>() {
            Ok(error) => error.into(),
            Err(source) => {
                Error::Read { digest: self.descriptor.digest.clone(), from: self.origin(), source }
            }
        }
    }

    /// What it means that there were `actual` bytes, or more.
    pub(super) fn wrong_size(&self, actual: u64) -> Error {
        let (digest, expected) = (self.descriptor.digest.clone(), self.descriptor.size);
        let mismatch = match actual < expected {
            true => Mismatch::Short { digest, expected, actual },
            false => Mismatch::Long { digest, expected },
        };
        self.unreadable(io::Error::new(io::ErrorKind::InvalidData, mismatch))
    }

    /// What it means that the storage directory refused it.
    pub(super) fn refused(&self, error: store::Error) -> Error {
        match error {
            store::Error::Damaged { source, .. } => self.unreadable(source),
            other => other.into(),
        }
    }
}

impl std::fmt::Debug for Blob<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blob({} as {:?})", self.descriptor.digest, self.role)
    }
}

/// A blob whose beginning is in a file. The source is asked when that is read.
struct Joined<'a> {
    file: io::Take<File>,
    rest: Option<Box<dyn Read + Send + 'a>>,
    source: &'a dyn Source,
    descriptor: &'a Descriptor,
    offset: u64,
}

impl Read for Joined<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        if count > 0 || buffer.is_empty() {
            return Ok(count);
        }
        if self.rest.is_none() {
            let rest = self.source.open_at(self.descriptor, self.offset);
            self.rest = Some(rest.map_err(|error| match error {
                Error::Registry(error) => io::Error::other(error),
                other => io::Error::other(other.to_string()),
            })?);
        }
        self.rest.as_mut().expect("it was opened").read(buffer)
    }
}

struct Watched<'a, R> {
    inner: R,
    running: Option<&'a Running<'a>>,
    cancel: Option<&'a Cancel>,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_some_and(Cancel::is_set) {
            return Err(io::Error::other("another part failed"));
        }
        let count = self.inner.read(buffer)?;
        if let Some(running) = self.running {
            running.advance(count as u64);
        }
        Ok(count)
    }
}
