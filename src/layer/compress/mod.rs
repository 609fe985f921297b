//! gzip, zstd, none: recognised, read, written. bzip2 and xz are only read: archives in ADD are
//! compressed so.
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

/// As many keep up with the thread that feeds them, in 37 MB of memory.
const ZSTD_THREADS: usize = 4;

/// How many KiB an xz stream may want. `xz -9` wants 65 MiB; its format allows 4 GiB.
const XZ_MEMORY: u32 = 1 << 20;

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
    /// Every registry and every tool takes it. 484 MB of a Debian system on two cores: level 6 takes
    /// 6.0 s of processor time for 174.3 MB, 5 takes 5.2 s for 174.7 MB, 4 takes 4.9 s for 177.1 MB,
    /// 3 takes 4.5 s for 179.6 MB; pigz -6 takes 10.8 s for 172.3 MB.
    pub const GZIP: Self = Self::Gzip { level: 5 };
    /// The same data: 1.8 s, 162.7 MB. Docker reads it since 20.10 (2020).
    pub const ZSTD: Self = Self::Zstd { level: 3 };

    /// How a layer of this media type is compressed.
    pub fn of_media_type(media_type: &str) -> Self {
        match media_type {
            gzip if gzip.ends_with("gzip") => Self::GZIP,
            zstd if zstd.ends_with("zstd") => Self::ZSTD,
            _ => Self::None,
        }
    }

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
/// skippable ones, bzip2 and xz several streams.
///
/// # Errors
///
/// Reading fails on damaged and on truncated input, and on xz that wants more than a gigabyte of
/// memory.
pub fn decompress<'a>(mut input: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut magic = Vec::with_capacity(6);
    input.by_ref().take(6).read_to_end(&mut magic)?;
    let whole = io::Cursor::new(magic.clone()).chain(input);
    let buffered = |whole| BufReader::with_capacity(128 << 10, whole);
    Ok(match &magic[..] {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(buffered(whole))),
        // A frame, or a skippable one: estargz's and zstd:chunked's begin so.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            Box::new(zstd::stream::read::Decoder::with_buffer(buffered(whole))?)
        }
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => {
            Box::new(bzip2::bufread::MultiBzDecoder::new(buffered(whole)))
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            Box::new(lzma_rust2::XzReader::new_mem_limit(buffered(whole), true, XZ_MEMORY))
        }
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
                encoder.multithread(threads.clamp(1, ZSTD_THREADS) as u32)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Digest;

    /// Something like text, the same every time.
    fn sample(length: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut bytes = Vec::with_capacity(length + 16);
        while bytes.len() < length {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let word = state >> 24;
            bytes.extend_from_slice(format!("{} {word:x}\n", word * word).as_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    fn compress(content: &[u8], compression: Compression, threads: usize, step: usize) -> Vec<u8> {
        let mut compressor = Compressor::new(Vec::new(), compression, threads).expect("a Vec");
        for chunk in content.chunks(step) {
            compressor.write_all(chunk).expect("a Vec takes all");
        }
        compressor.finish().expect("a Vec takes all")
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        decompress(bytes)?.read_to_end(&mut content)?;
        Ok(content)
    }

    #[test]
    fn names_are_parsed_and_printed() {
        for (text, expected) in [
            ("none", Ok("none")),
            ("gzip", Ok("gzip:5")),
            ("gzip:9", Ok("gzip:9")),
            ("zstd", Ok("zstd:3")),
            ("zstd:22", Ok("zstd:22")),
            ("none:1", Err("no levels")),
            ("gzip:0", Err("1 to 9")),
            ("gzip:10", Err("1 to 9")),
            ("zstd:0", Err("1 to 22")),
            ("gzip:x", Err("a number")),
            ("gzip:", Err("a number")),
            ("brotli", Err("are known")),
        ] {
            match (text.parse::<Compression>(), expected) {
                (Ok(compression), Ok(expected)) => assert_eq!(compression.to_string(), expected),
                (Err(error), Err(expected)) => {
                    assert!(error.to_string().contains(expected), "{text}: {error}");
                }
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn bytes_depend_on_content_and_level_alone() {
        const BLOCK: usize = 128 << 10;
        let all = sample(5 << 20);
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, all.len()] {
            let content = &all[..length];
            for name in ["none", "gzip:1", "gzip", "gzip:9", "zstd", "zstd:9"] {
                let compression: Compression = name.parse().expect(name);
                let bytes = compress(content, compression, 1, 1 << 16);
                for (threads, step) in [(1, 1 << 16), (2, 100_000), (3, 777), (4, 1 << 20)] {
                    let again = compress(content, compression, threads, step);
                    assert!(again == bytes, "{length} bytes, {name}, {threads} threads, {step}");
                }
                assert!(read(&bytes).expect(name) == content, "{length} bytes, {name}");
                if name.starts_with("gzip") {
                    // One member: that is all many readers look at.
                    let mut single = Vec::new();
                    let mut decoder = flate2::bufread::GzDecoder::new(&bytes[..]);
                    decoder.read_to_end(&mut single).expect(name);
                    assert!(single == content && decoder.get_ref().is_empty(), "{length} {name}");
                }
            }
        }
    }

    #[test]
    fn the_same_content_makes_the_same_bytes_for_ever() {
        let content = sample(1 << 20);
        // When an update of a crate changes one of these, layers built anew get another digest than
        // the same layers built before.
        for (name, expected) in [
            ("gzip:1", "b2dbf401bb5a"),
            ("gzip", "252e01cbf2c9"),
            ("gzip:9", "aeb3dac1c739"),
            ("zstd", "73765f47fa3f"),
        ] {
            let bytes = compress(&content, name.parse().expect(name), 2, 1 << 16);
            assert_eq!(Digest::of(&bytes).short(), expected, "{name}");
        }
    }

    #[test]
    fn content_that_does_not_compress_is_carried() {
        let mut state = 1_u64;
        let mut noise = Vec::new();
        while noise.len() < 1 << 20 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            noise.extend_from_slice(&state.to_le_bytes());
        }
        for name in ["gzip:1", "gzip", "gzip:9", "zstd"] {
            let bytes = compress(&noise, name.parse().expect(name), 2, 1 << 16);
            assert!(read(&bytes).expect(name) == noise, "{name}");
            // zlib-rs's level 1 has fixed codes only.
            let most = noise.len() / if name == "gzip:1" { 16 } else { 1000 };
            assert!(bytes.len() < noise.len() + most, "{name}: {}", bytes.len());
        }
    }

    #[test]
    fn every_form_is_recognised() {
        let (left, right) = (sample(300_000), sample(1000));
        let both = [&left[..], &right].concat();
        let skippable: &[u8] = b"\x5a\x2a\x4d\x18\x04\0\0\0abcd";
        let of = |content: &[u8], compression| compress(content, compression, 1, 4096);
        let (gzip, zstd) = (Compression::GZIP, Compression::ZSTD);
        for (name, bytes, expected) in [
            ("two members", [of(&left, gzip), of(&right, gzip)].concat(), &both),
            ("two frames", [of(&left, zstd), of(&right, zstd)].concat(), &both),
            (
                "skippable frames",
                [skippable, &of(&left, zstd), skippable, &of(&right, zstd), skippable].concat(),
                &both,
            ),
            ("plain", left.clone(), &left),
            ("short", b"abc".to_vec(), &b"abc".to_vec()),
            ("nothing", vec![], &vec![]),
        ] {
            assert!(read(&bytes).expect(name) == *expected, "{name}");
        }
    }

    /// `left, left, left, left` and `right`, each a line and a stream of its own, as bzip2(1) makes
    /// them.
    const BZIP2: &[u8] =
        b"\x42\x5a\x68\x39\x31\x41\x59\x26\x53\x59\xc8\xc0\x6f\x62\x00\x00\x09\x51\x80\x00\
          \x10\x40\x04\x03\x04\x04\x00\x20\x00\x21\x24\x31\x08\x60\x2f\x2c\x54\x20\x45\x28\
          \x78\xbb\x92\x29\xc2\x84\x86\x46\x03\x7b\x10\x42\x5a\x68\x39\x31\x41\x59\x26\x53\
          \x59\x8f\x81\xa0\x8a\x00\x00\x02\x41\x80\x00\x10\x00\xe0\x14\x00\x20\x00\x22\x18\
          \x68\x30\x02\xc2\x98\x5d\xc9\x14\xe1\x42\x42\x3e\x06\x82\x28";

    /// The same of xz(1).
    const XZ: &[u8] =
        b"\xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x16\x00\x00\x00\
          \x74\x2f\xe5\xa3\xe0\x00\x16\x00\x0d\x5d\x00\x36\x19\x49\x05\xe4\xc4\x21\x58\x55\
          \x5c\xea\x00\x00\x00\x00\x00\x00\x4d\x23\xfa\x86\xb5\x1b\xe1\x23\x00\x01\x29\x17\
          \x07\xaf\x13\xe7\x1f\xb6\xf3\x7d\x01\x00\x00\x00\x00\x04\x59\x5a\xfd\x37\x7a\x58\
          \x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x16\x00\x00\x00\x74\x2f\xe5\xa3\
          \x01\x00\x05\x72\x69\x67\x68\x74\x0a\x00\x00\x00\x73\xa0\x79\xa6\xb4\xfc\x16\x15\
          \x00\x01\x1e\x06\xc1\x2f\xa4\x1d\x1f\xb6\xf3\x7d\x01\x00\x00\x00\x00\x04\x59\x5a";

    #[test]
    fn bzip2_and_xz_are_read() {
        for bytes in [BZIP2, XZ] {
            let content = read(bytes).expect("two streams");
            assert_eq!(content, b"left, left, left, left\nright\n");
            for length in (6..bytes.len()).step_by(5) {
                // The first stream alone is whole.
                assert!(
                    read(&bytes[..length]).is_err() || bytes[length..].starts_with(&bytes[..4])
                );
            }
            for at in [bytes.len() / 4, bytes.len() / 2, bytes.len() - 12] {
                let mut damaged = bytes.to_vec();
                damaged[at] ^= 1;
                assert!(read(&damaged).is_err(), "byte {at}");
            }
        }
    }

    #[test]
    fn damage_is_noticed() {
        let content = sample(300_000);
        for compression in [Compression::GZIP, Compression::ZSTD] {
            let bytes = compress(&content, compression, 2, 4096);
            for length in [7, 20, bytes.len() / 2, bytes.len() - 9, bytes.len() - 1] {
                let error = read(&bytes[..length]).expect_err("it is cut off");
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{compression} {length}");
            }
            // The checksum, the length (zstd: the last block), and something in the middle.
            for at in [bytes.len() / 2, bytes.len() - 6, bytes.len() - 2] {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1;
                assert!(read(&damaged).is_err(), "{compression}: byte {at}");
            }
        }
    }
}
