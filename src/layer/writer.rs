//! [`LayerWriter`]: a layer, entry by entry; both digests in one pass.
//!
//! ```text
//! entries ──> tar ──┬──> compression ──┬──> output
//!                   └──> diff ID       └──> digest, size
//! ```
//!
//! Entries are read, hashed and written by the caller's thread, compressed by others; what is on its
//! way between them is bounded ([`Compressor`]).

use std::fmt;
use std::io::{self, Read, Write};

use super::archive::{Entry, Writer};
use super::compress::{Compression, Compressor};
use super::{Error, Layer};
use crate::image::{Descriptor, Digest, Hasher};

/// A layer in the making. The same entries in the same order make the same bytes.
pub struct LayerWriter<W: Write> {
    writer: Writer<Hashing<Compressor<Hashing<W>>>>,
    compression: Compression,
}

impl<W: Write> fmt::Debug for LayerWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerWriter")
            .field("compression", &self.compression)
            .finish_non_exhaustive()
    }
}

impl<W: Write> LayerWriter<W> {
    /// Compresses with up to `threads` threads; the bytes do not depend on how many.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] with what `output` said to the first bytes.
    pub fn new(output: W, compression: Compression, threads: usize) -> Result<Self, Error> {
        // What is not compressed has one digest, and hashing is all that costs there.
        let output = Hashing::new(output, compression != Compression::None);
        let compressor = Compressor::new(output, compression, threads).map_err(Error::Write)?;
        Ok(Self { writer: Writer::new(Hashing::new(compressor, true)), compression })
    }

    /// Writes an entry and its content: see [`Writer::append`].
    pub fn append(&mut self, entry: &Entry, data: impl Read) -> Result<(), Error> {
        self.writer.append(entry, data)
    }

    /// Writes the end; gives the output back, flushed, and says what it holds now.
    pub fn finish(self) -> Result<(W, Layer), Error> {
        finish(self.writer.finish()?, self.compression)
    }
}

/// Compresses the layer `tar`, which is not, in another way: its diff ID stays.
///
/// # Errors
///
/// [`Error::Read`] and [`Error::Write`] with what either side said.
pub fn recompress<W: Write>(
    mut tar: impl Read,
    output: W,
    compression: Compression,
    threads: usize,
) -> Result<(W, Layer), Error> {
    let output = Hashing::new(output, compression != Compression::None);
    let compressor = Compressor::new(output, compression, threads).map_err(Error::Write)?;
    let mut writer = Hashing::new(compressor, true);
    let mut buffer = vec![0; 128 << 10];
    loop {
        match tar.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => writer.write_all(&buffer[..count]).map_err(Error::Write)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::Read(error)),
        }
    }
    finish(writer, compression)
}

/// Writes the end of what is compressed.
fn finish<W: Write>(
    writer: Hashing<Compressor<Hashing<W>>>,
    compression: Compression,
) -> Result<(W, Layer), Error> {
    let (compressor, diff_id, size) = writer.finish();
    let diff_id = diff_id.expect("the tar is hashed always");
    let (mut output, digest, compressed) = compressor.finish().map_err(Error::Write)?.finish();
    output.flush().map_err(Error::Write)?;
    let media_type = compression.media_type();
    let descriptor = match digest {
        Some(digest) => Descriptor::new(media_type, digest, compressed),
        None => Descriptor::new(media_type, diff_id.clone(), size),
    };
    Ok((output, Layer { descriptor, diff_id }))
}

/// Hashes and counts what is written through it.
struct Hashing<W> {
    output: W,
    hasher: Option<Hasher>,
    size: u64,
}

impl<W: Write> Hashing<W> {
    fn new(output: W, hashes: bool) -> Self {
        Self { output, hasher: hashes.then(Hasher::sha256), size: 0 }
    }

    fn finish(self) -> (W, Option<Digest>, u64) {
        (self.output, self.hasher.map(Hasher::finish), self.size)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&bytes[..written]);
        }
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::compress::decompress;

    #[test]
    fn a_layer_is_compressed_in_another_way() {
        let tar: Vec<u8> = (0..300_000_u32).map(|at| (at / 700) as u8).collect();
        for compression in [Compression::None, Compression::GZIP, Compression::ZSTD] {
            let (bytes, layer) = recompress(&tar[..], Vec::new(), compression, 2).expect("a Vec");
            let mut read = Vec::new();
            decompress(&bytes[..]).expect("ours").read_to_end(&mut read).expect("ours");
            assert!(read == tar, "{compression}");
            assert_eq!(layer.diff_id, Digest::of(&tar));
            assert_eq!(layer.descriptor.digest, Digest::of(&bytes));
            assert_eq!(layer.descriptor.size, bytes.len() as u64);
            assert_eq!(layer.descriptor.media_type, compression.media_type());
        }
    }
}
