//! `Packages.db`, rpm's ndb: a header, slots that say where blobs are, blobs in blocks of 16 bytes.
//! All numbers have their little end first.

use super::Take;
use super::blocks::{Blocks, Order};
use crate::packages::{Error, Result};

const MAGIC: &[u8] = b"RpmP";
const SLOT: &[u8] = b"Slot";
const BLOB: &[u8] = b"BlbS";

/// Sizes in bytes. The header of the file takes the places of two slots.
const PAGE: u64 = 4096;
const SLOT_SIZE: usize = 16;
const HEADER: usize = 2 * SLOT_SIZE;
const BLOCK: u64 = 16;
const BLOB_HEADER: u64 = 16;

pub(super) fn read(file: &mut Blocks, take: Take<'_>) -> Result<()> {
    if file.length() == 0 {
        return Ok(()); // as rpm leaves it when nothing was ever installed
    }
    let number = |bytes: &[u8], at| Order::Little.u32(bytes, at);
    let header = file.read(0, HEADER as u64)?;
    if !header.starts_with(MAGIC) {
        return Err(Error::Unknown("it does not begin as an ndb database does"));
    }
    if number(&header, 4)? != 0 {
        return Err(Error::Unknown("an ndb database of another version"));
    }
    for page in 0..u64::from(number(&header, 12)?) {
        let slots = file.read(page * PAGE, PAGE)?;
        let first = if page == 0 { HEADER } else { 0 };
        for slot in slots[first..].chunks_exact(SLOT_SIZE) {
            if !slot.starts_with(SLOT) {
                return Err(Error::Damaged("a slot of the database is wrong"));
            }
            let (index, block) = (number(slot, 4)?, u64::from(number(slot, 8)?));
            // A slot without a block is free.
            if block != 0 {
                take(&blob(file, block * BLOCK, index)?)?;
            }
        }
    }
    Ok(())
}

fn blob(file: &mut Blocks, offset: u64, index: u32) -> Result<Vec<u8>> {
    let header = file.read(offset, BLOB_HEADER)?;
    let number = |at| Order::Little.u32(&header, at);
    if !header.starts_with(BLOB) || number(4)? != index {
        return Err(Error::Damaged("a package is not where the database says"));
    }
    file.read(offset + BLOB_HEADER, u64::from(number(12)?))
}
