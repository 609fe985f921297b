//! gzip, zstd, none: recognised, read, written.
//!
//! The bytes of a compressed layer depend on its content and the level alone, never on the number of
//! threads: gzip is cut into blocks by position, each one compressed by itself with the 32 KiB
//! before it as its dictionary and all of them one single member, as pigz does it. (Members of their
//! own would be simpler, but bootc, composefs and others read the first member only.)

mod gzip;

use std::fmt;
use std::io::{self, BufReader, Read, Write};
use std::str::FromStr;

use super::Error;
use crate::image::media_type;

/// How much zstd gives a worker at a time, in bytes. Part of what a layer's bytes depend on.
const ZSTD_JOB: u32 = 2 << 20;

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    None,
    /// 1 to 9.
    Gzip {
        level: u32,
    },
    /// 1 to 22.
    Zstd {
        level: i32,
    },
}

impl Compression {
    pub const GZIP: Self = Self::Gzip { level: 6 };
    pub const ZSTD: Self = Self::Zstd { level: 3 };

    /// The media type of a layer so compressed.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::None => media_type::OCI_LAYER,
            Self::Gzip { .. } => media_type::OCI_LAYER_GZIP,
            Self::Zstd { .. } => media_type::OCI_LAYER_ZSTD,
        }
    }
}

impl Default for Compression {
    fn default() -> Self {
        Self::GZIP
    }
}

/// `none`, `gzip`, `gzip:9`, `zstd`, `zstd:19`.
impl FromStr for Compression {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |why| Error::Compression(text.to_owned(), why);
        let (name, level) = match text.split_once(':') {
            Some((name, level)) => {
                (name, Some(level.parse().map_err(|_| wrong("the level must be a number"))?))
            }
            None => (text, None),
        };
        match (name, level) {
            ("none", None) => Ok(Self::None),
            ("none", Some(_)) => Err(wrong("there are no levels")),
            ("gzip", None) => Ok(Self::GZIP),
            ("gzip", Some(level @ 1..=9)) => Ok(Self::Gzip { level }),
            ("gzip", Some(_)) => Err(wrong("levels are 1 to 9")),
            ("zstd", None) => Ok(Self::ZSTD),
            ("zstd", Some(level @ 1..=22)) => Ok(Self::Zstd { level: level as i32 }),
            ("zstd", Some(_)) => Err(wrong("levels are 1 to 22")),
            _ => Err(wrong("gzip, zstd and none are known")),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Gzip { level } => write!(f, "gzip:{level}"),
            Self::Zstd { level } => write!(f, "zstd:{level}"),
        }
    }
}

/// Reads what `input` was before it was compressed, whatever way that was; media types are often
/// wrong, so the content alone is believed. gzip may have several members, zstd several frames and
/// skippable ones.
///
/// # Errors
///
/// Of kind `Unsupported` for bzip2 and xz, which no layer may be. Reading fails on damaged and on
/// truncated input.
pub fn decompress<'a>(mut input: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut magic = Vec::with_capacity(6);
    input.by_ref().take(6).read_to_end(&mut magic)?;
    let unsupported = |name| {
        let text = format!("{name} compression is not supported");
        Err(io::Error::new(io::ErrorKind::Unsupported, text))
    };
    let whole = io::Cursor::new(magic.clone()).chain(input);
    let buffered = |whole| BufReader::with_capacity(128 << 10, whole);
    Ok(match &magic[..] {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(buffered(whole))),
        // A frame, or a skippable one: estargz's and zstd:chunked's begin so.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            Box::new(zstd::stream::read::Decoder::with_buffer(buffered(whole))?)
        }
        [b'B', b'Z', b'h', ..] => return unsupported("bzip2"),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => return unsupported("xz"),
        _ => Box::new(whole),
    })
}

/// Compresses what is written to it with up to `threads` threads; the bytes do not depend on how
/// many. Small content starts none. Without [`finish`](Self::finish) the output is cut off.
#[derive(Debug)]
pub struct Compressor<W: Write>(Encoder<W>);

enum Encoder<W: Write> {
    None(W),
    Gzip(gzip::Encoder<W>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
}

impl<W: Write> fmt::Debug for Encoder<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None(_) => "None",
            Self::Gzip(_) => "Gzip",
            Self::Zstd(_) => "Zstd",
        })
    }
}

impl<W: Write> Compressor<W> {
    /// # Errors
    ///
    /// What `output` said to the first bytes.
    pub fn new(output: W, compression: Compression, threads: usize) -> io::Result<Self> {
        Ok(Self(match compression {
            Compression::None => Encoder::None(output),
            Compression::Gzip { level } => {
                Encoder::Gzip(gzip::Encoder::new(output, level, threads)?)
            }
            Compression::Zstd { level } => {
                let mut encoder = zstd::stream::write::Encoder::new(output, level)?;
                encoder.include_checksum(true)?;
                // At least one: libzstd makes other bytes when it has no worker at all.
                encoder.multithread(threads.max(1) as u32)?;
                encoder.set_parameter(zstd::zstd_safe::CParameter::JobSize(ZSTD_JOB))?;
                Encoder::Zstd(encoder)
            }
        }))
    }

    /// Writes the end and gives the output back, not flushed.
    pub fn finish(self) -> io::Result<W> {
        match self.0 {
            Encoder::None(output) => Ok(output),
            Encoder::Gzip(encoder) => encoder.finish(),
            Encoder::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Encoder::None(output) => output.write(bytes),
            Encoder::Gzip(encoder) => encoder.write(bytes),
            Encoder::Zstd(encoder) => encoder.write(bytes),
        }
    }

    /// Flushes the output; what is not compressed yet stays where it is, for the bytes would
    /// otherwise depend on when that was.
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Encoder::None(output) => output.flush(),
            Encoder::Gzip(encoder) => encoder.flush(),
            Encoder::Zstd(encoder) => encoder.get_mut().flush(),
        }
    }
}
