//! Files with holes, in the four ways that GNU tar has written them (its manual, "Sparse Formats").

use std::io::Read;

use tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

use super::reader::{METADATA, Reader, number};
use super::{BLOCK, Entry, pax};
use crate::layer::Error;

impl<R: Read> Reader<R> {
    /// Finds out where a file's segments are, whichever way it was written, and reads what of that
    /// stands before or in the content.
    pub(super) fn read_sparse(
        &mut self,
        header: &Header,
        records: &pax::Sparse,
        entry: &mut Entry,
    ) -> Result<(), Error> {
        let (map, real_size) = match (header.as_old().linkflag[0], records.version, &records.map) {
            (b'S', ..) => {
                let gnu = header.as_gnu();
                let gnu =
                    gnu.ok_or_else(|| self.malformed("a sparse file is not in GNU's format"))?;
                let content = (self.left, self.padding);
                let map = self.read_gnu_map(&gnu.sparse, gnu.isextended[0] != 0)?;
                (self.left, self.padding) = content;
                (map, number(&gnu.realsize).and_then(|size| u64::try_from(size).ok()))
            }
            (_, (Some(1), Some(0)), _) => (self.read_pax_map()?, records.real_size),
            (_, (Some(_), Some(_)), None) => {
                return Err(self.malformed("a sparse file is of an unknown version"));
            }
            (_, _, Some(map)) => (map.clone(), records.real_size),
            // Version 0.0 of a file that is one hole.
            (_, _, None) if records.real_size.is_some() => (Vec::new(), records.real_size),
            (_, _, None) => return Ok(()),
        };
        let real_size = real_size.filter(|size| *size <= i64::MAX as u64);
        entry.size = real_size.ok_or_else(|| self.malformed("a sparse file has no size"))?;
        let segments = segments(&map, entry.size);
        entry.sparse = Some(segments.ok_or_else(|| self.malformed("a sparse map is malformed"))?);
        if entry.stored() != self.left {
            return Err(self.malformed("a sparse map and its content differ in size"));
        }
        Ok(())
    }

    /// Old GNU format: four segments in the header, 21 in each block that may follow.
    fn read_gnu_map(
        &mut self,
        first: &[GnuSparseHeader],
        mut extended: bool,
    ) -> Result<Vec<u64>, Error> {
        let mut map = Vec::new();
        let mut add = |segments: &[GnuSparseHeader]| {
            for segment in segments.iter().take_while(|s| s.offset[0] != 0 && s.numbytes[0] != 0) {
                for field in [&segment.offset, &segment.numbytes] {
                    map.push(number(field).and_then(|n| u64::try_from(n).ok())?);
                }
            }
            Some(())
        };
        let mut sound = add(first);
        let mut size = 0;
        while extended {
            size += BLOCK;
            if size > METADATA {
                return Err(self.malformed("a sparse map is too large"));
            }
            let mut block = GnuExtSparseHeader::new();
            self.left = BLOCK;
            self.fill(block.as_mut_bytes())?;
            sound = sound.and(add(block.sparse()));
            extended = block.isextended[0] != 0;
        }
        sound.ok_or_else(|| self.malformed("a sparse map is malformed"))?;
        Ok(map)
    }

    /// Version 1.0: lines of decimal numbers at the start of the content, up to a whole block. The
    /// first says how many segments there are.
    fn read_pax_map(&mut self) -> Result<Vec<u64>, Error> {
        let mut numbers: Vec<u64> = Vec::new();
        let mut line = Vec::new();
        let mut size = 0;
        loop {
            if let Some(count) = numbers.first()
                && numbers.len() as u64 > count.saturating_mul(2)
            {
                numbers.remove(0);
                return Ok(numbers);
            }
            size += BLOCK;
            if size > METADATA {
                return Err(self.malformed("a sparse map is too large"));
            }
            if self.left < BLOCK {
                return Err(self.malformed("a sparse map is longer than its content"));
            }
            let mut block = [0; BLOCK as usize];
            self.fill(&mut block)?;
            for byte in block {
                if numbers.first().is_some_and(|c| numbers.len() as u64 > c.saturating_mul(2)) {
                    break; // the rest is padding
                }
                if byte == b'\n' {
                    numbers.push(pax::decimal(&line).map_err(|problem| self.malformed(problem))?);
                    line.clear();
                } else {
                    line.push(byte);
                }
            }
        }
    }
}

/// A map's pairs, checked against the file's size; empty ones left out.
fn segments(map: &[u64], size: u64) -> Option<Vec<(u64, u64)>> {
    if !map.len().is_multiple_of(2) {
        return None;
    }
    let mut end = 0;
    let mut segments = Vec::with_capacity(map.len() / 2);
    for pair in map.chunks_exact(2) {
        let (offset, length) = (pair[0], pair[1]);
        if offset < end {
            return None;
        }
        end = offset.checked_add(length)?;
        if length > 0 {
            segments.push((offset, length));
        }
    }
    (end <= size).then_some(segments)
}
