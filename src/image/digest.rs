//! [`Digest`], [`Hasher`], and [`Verified`]: a reader that fails unless size and digest match.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

use super::Error;

/// The registered digest algorithms of the image specification (descriptor.md, "Registered
/// algorithms").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn hex_length(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// `algorithm:hex`, checked and in lower case.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    hex: Box<str>,
}

impl Digest {
    /// The sha256 digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The sha256 digest with these bytes.
    pub fn from_sha256(bytes: [u8; 32]) -> Self {
        Self { algorithm: Algorithm::Sha256, hex: hex(&bytes) }
    }

    /// The bytes of a sha256 digest.
    pub fn sha256(&self) -> Option<[u8; 32]> {
        if self.algorithm != Algorithm::Sha256 {
            return None;
        }
        let nibble = |digit: u8| char::from(digit).to_digit(16).unwrap_or(0) as u8;
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(self.hex.as_bytes().chunks_exact(2)) {
            *byte = nibble(digits[0]) << 4 | nibble(digits[1]);
        }
        Some(bytes)
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The part after the colon.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// The first twelve hexadecimal digits, as tools show an image's id.
    pub fn short(&self) -> &str {
        &self.hex[..12]
    }

    /// The chain ID of a layer above a chain (image-spec config.md, "Layer ChainID"): the layer's
    /// diff ID itself for the lowest one.
    pub fn chain(below: Option<&Self>, diff_id: &Self) -> Self {
        match below {
            None => diff_id.clone(),
            Some(below) => Self::of(format!("{below} {diff_id}").as_bytes()),
        }
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |why| Error::Digest(text.to_owned(), why);
        let (name, hex) = text.split_once(':').ok_or_else(|| wrong("there is no colon"))?;
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ => return Err(wrong("only sha256 and sha512 are known")),
        };
        if hex.len() != algorithm.hex_length() {
            return Err(wrong("the number of hexadecimal digits is wrong"));
        }
        if !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(wrong("digits must be 0-9 and a-f"));
        }
        Ok(Self { algorithm, hex: hex.into() })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A digest in the making.
#[derive(Debug, Clone)]
pub struct Hasher(State);

#[derive(Debug, Clone)]
enum State {
    Sha256(sha2::Sha256),
    Sha512(Box<sha2::Sha512>),
}

impl Hasher {
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Box::new(sha2::Sha512::new())),
        })
    }

    /// The algorithm of everything that we write ourselves.
    pub fn sha256() -> Self {
        Self::new(Algorithm::Sha256)
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    pub fn finish(self) -> Digest {
        let (algorithm, bytes) = match self.0 {
            State::Sha256(state) => (Algorithm::Sha256, state.finalize().to_vec()),
            State::Sha512(state) => (Algorithm::Sha512, state.finalize().to_vec()),
        };
        Digest { algorithm, hex: hex(&bytes) }
    }
}

fn hex(bytes: &[u8]) -> Box<str> {
    let mut hex = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            hex.push(char::from_digit(nibble.into(), 16).expect("a nibble is below 16"));
        }
    }
    hex.into()
}

impl io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Content that is not what its descriptor promised. Travels inside an [`io::Error`] of kind
/// [`io::ErrorKind::InvalidData`].
#[derive(Debug, thiserror::Error)]
pub enum Mismatch {
    #[error("content is {actual} instead of {expected}")]
    Digest { expected: Digest, actual: Digest },
    #[error("content of {digest} ended after {actual} of {expected} bytes")]
    Short { digest: Digest, expected: u64, actual: u64 },
    #[error("content of {digest} is longer than its {expected} bytes")]
    Long { digest: Digest, expected: u64 },
}

/// Passes bytes on while it hashes them, and fails instead of reporting the end unless size and
/// digest are the expected ones. A reader that stops early has verified nothing.
#[derive(Debug)]
pub struct Verified<R> {
    inner: R,
    digest: Digest,
    size: Option<u64>,
    seen: u64,
    hasher: Option<Hasher>,
}

impl<R: Read> Verified<R> {
    /// `size` is in bytes; None where it is not known beforehand.
    pub fn new(inner: R, digest: Digest, size: Option<u64>) -> Self {
        let hasher = Some(Hasher::new(digest.algorithm()));
        Self { inner, digest, size, seen: 0, hasher }
    }

    fn finish(&mut self) -> Result<(), Mismatch> {
        if let Some(expected) = self.size.filter(|size| self.seen < *size) {
            let digest = self.digest.clone();
            return Err(Mismatch::Short { digest, expected, actual: self.seen });
        }
        let Some(hasher) = self.hasher.take() else { return Ok(()) };
        let actual = hasher.finish();
        if actual != self.digest {
            return Err(Mismatch::Digest { expected: self.digest.clone(), actual });
        }
        Ok(())
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.inner.read(buffer)?;
        self.seen += count as u64;
        if let Some(expected) = self.size.filter(|size| self.seen > *size) {
            let digest = self.digest.clone();
            return Err(invalid(Mismatch::Long { digest, expected }));
        }
        if count == 0 {
            self.finish().map_err(invalid)?;
        } else if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        Ok(count)
    }
}

fn invalid(mismatch: Mismatch) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, mismatch)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn digests_are_checked() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        let empty = EMPTY.parse::<Digest>().expect("valid");
        assert_eq!(empty, Digest::of(b""));
        assert_eq!(empty.sha256().map(Digest::from_sha256), Some(empty));
        let upper = EMPTY.to_uppercase().replace("SHA", "sha");
        for bad in ["", "sha256", "sha256:", "md5:00", "sha256:e3b0", &upper] {
            assert!(bad.parse::<Digest>().is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn verified_passes_what_is_right_and_nothing_else() {
        let read = |text: &str, digest: Digest, size| {
            let mut out = String::new();
            Verified::new(text.as_bytes(), digest, size).read_to_string(&mut out).map(|_| out)
        };
        let digest = Digest::of(b"moss");
        assert_eq!(read("moss", digest.clone(), Some(4)).expect("right"), "moss");
        assert_eq!(read("moss", digest.clone(), None).expect("right"), "moss");
        for (text, size) in [("mos", Some(4)), ("mossy", Some(4)), ("mess", Some(4)), ("mos", None)]
        {
            let error = read(text, digest.clone(), size).expect_err(text);
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{text}: {error}");
        }
    }

    #[test]
    fn chain_ids_follow_the_specification() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        assert_eq!(Digest::chain(None, &a), a);
        assert_eq!(Digest::chain(Some(&a), &b), Digest::of(format!("{a} {b}").as_bytes()));
    }
}
