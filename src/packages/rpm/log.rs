//! [`Log`]: pages of a database of SQLite that were written since its file was (file format, "the
//! write-ahead log"). Who ends without tidying up, as a container that is stopped, leaves them.

use std::collections::HashMap;
use std::fs::File;

use super::blocks::{Blocks, Order};
use crate::packages::Result;

/// The numbers that a log begins with; the second one counts checksums with the big end first.
const MAGIC: [u32; 2] = [0x377f_0682, 0x377f_0683];

/// In bytes.
const HEADER: u64 = 32;
const FRAME: u64 = 24;

/// The pages of all transactions that were completed.
#[derive(Debug)]
pub(super) struct Log {
    file: Blocks,
    page_size: u32,
    /// Where the latest version of each page is.
    pages: HashMap<u32, u64>,
}

impl Log {
    /// None when there is nothing in it.
    pub(super) fn read(file: File) -> Result<Option<Self>> {
        let mut file = Blocks::of(file)?;
        if file.length() < HEADER {
            return Ok(None);
        }
        let header = file.read(0, HEADER)?;
        let number = |bytes: &[u8], at| Order::Big.u32(bytes, at);
        let magic = number(&header, 0)?;
        let page_size = number(&header, 8)?;
        let order = if magic == MAGIC[1] { Order::Big } else { Order::Little };
        let mut sum = checksum((0, 0), &header[..24], order)?;
        let told = (number(&header, 24)?, number(&header, 28)?);
        if !MAGIC.contains(&magic) || sum != told || !(512..=65536).contains(&page_size) {
            return Ok(None); // as SQLite itself has it: a log that is not whole is none
        }
        let (mut pages, mut pending) = (HashMap::new(), HashMap::new());
        let step = FRAME + u64::from(page_size);
        let mut at = HEADER;
        while at + step <= file.length() {
            let frame = file.read(at, step)?;
            sum = checksum(sum, &frame[..8], order)?;
            sum = checksum(sum, &frame[FRAME as usize..], order)?;
            // A frame of an earlier round, or half a one, ends the log.
            let is_of_this = frame[8..16] == header[16..24];
            if !is_of_this || sum != (number(&frame, 16)?, number(&frame, 20)?) {
                break;
            }
            pending.insert(number(&frame, 0)?, at + FRAME);
            // The last frame of a transaction tells how many pages the database has then.
            if number(&frame, 4)? != 0 {
                pages.extend(pending.drain());
            }
            at += step;
        }
        Ok((!pages.is_empty()).then_some(Self { file, page_size, pages }))
    }

    /// In bytes.
    pub(super) fn page_size(&self) -> u32 {
        self.page_size
    }

    /// In bytes.
    pub(super) fn length(&self) -> u64 {
        self.file.length()
    }

    pub(super) fn page(&mut self, number: u32) -> Result<Option<Vec<u8>>> {
        match self.pages.get(&number) {
            Some(at) => self.file.read(*at, u64::from(self.page_size)).map(Some),
            None => Ok(None),
        }
    }
}

/// Goes on with a checksum, over a multiple of eight bytes.
fn checksum((mut a, mut b): (u32, u32), bytes: &[u8], order: Order) -> Result<(u32, u32)> {
    for at in (0..bytes.len()).step_by(8) {
        a = a.wrapping_add(order.u32(bytes, at)?).wrapping_add(b);
        b = b.wrapping_add(order.u32(bytes, at + 4)?).wrapping_add(a);
    }
    Ok((a, b))
}
