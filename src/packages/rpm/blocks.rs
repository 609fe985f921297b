//! [`Blocks`]: a file that is read in pieces, of which there are never more than it has.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use crate::packages::{Error, Result};

/// The largest piece that is read, in bytes: the headers of the largest packages have a tenth.
pub(super) const LARGEST: u64 = 128 << 20;

/// A file of an image. A sound database has each of its bytes in one place of one thing, so that who
/// reads all of it takes each once, or twice where pages are read for what is in them. A forged one
/// may point to the same bytes again and again: then there is an end at three times its length.
#[derive(Debug)]
pub(super) struct Blocks {
    file: File,
    length: u64,
    left: u64,
}

impl Blocks {
    pub(super) fn of(file: File) -> Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self { file, length, left: length.saturating_mul(3) })
    }

    /// In bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// `count` bytes at `offset`.
    pub(super) fn read(&mut self, offset: u64, count: u64) -> Result<Vec<u8>> {
        if offset.checked_add(count).is_none_or(|end| end > self.length) {
            return Err(Error::Damaged("it ends too early"));
        }
        self.charge(count)?;
        let small = usize::try_from(count).ok().filter(|count| *count as u64 <= LARGEST);
        let count = small.ok_or(Error::Damaged("a piece of it is too large"))?;
        let mut bytes = vec![0; count];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// Counts bytes that are taken out of what was read.
    pub(super) fn charge(&mut self, count: u64) -> Result<()> {
        let left = self.left.checked_sub(count);
        self.left = left.ok_or(Error::Damaged("it points to the same place again and again"))?;
        Ok(())
    }
}

/// Which end of a number comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Big,
    Little,
}

impl Order {
    /// The number of two bytes at `at`.
    pub(super) fn u16(self, bytes: &[u8], at: usize) -> Result<u16> {
        let bytes = part(bytes, at)?;
        Ok(match self {
            Self::Big => u16::from_be_bytes(bytes),
            Self::Little => u16::from_le_bytes(bytes),
        })
    }

    /// The number of four bytes at `at`.
    pub(super) fn u32(self, bytes: &[u8], at: usize) -> Result<u32> {
        let bytes = part(bytes, at)?;
        Ok(match self {
            Self::Big => u32::from_be_bytes(bytes),
            Self::Little => u32::from_le_bytes(bytes),
        })
    }
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    let part = at.checked_add(N).and_then(|end| bytes.get(at..end));
    let part = part.and_then(|part| part.try_into().ok());
    part.ok_or(Error::Damaged("a piece of it is too short"))
}
