//! `Packages` of old rpms: a hash table of Berkeley DB. Which bucket something is in does not
//! matter: all pages are read, and of each hash page the values.

use super::Take;
use super::blocks::{Blocks, Order};
use crate::packages::{Error, Result};

/// Of a hash table, at byte 12 of its first page.
const MAGIC: u32 = 0x0006_1561;

/// Types of pages.
const UNSORTED: u8 = 2;
const OVERFLOW: u8 = 7;
const HASH: u8 = 13;

/// Types of items.
const INLINE: u8 = 1;
const OUTSIDE: u8 = 3;

/// In bytes, of each page.
const HEADER: usize = 26;

/// A page's fields.
mod at {
    pub(super) const NEXT: usize = 16;
    pub(super) const ENTRIES: usize = 20;
    pub(super) const FREE: usize = 22;
    pub(super) const KIND: usize = 25;
}

/// The key 0 has no header beside it but the number of the next package.
const SHORTEST: usize = 16;

pub(super) fn read(file: &mut Blocks, take: Take<'_>) -> Result<()> {
    if file.length() == 0 {
        return Ok(());
    }
    let first = file.read(0, 72)?;
    let order = match (Order::Little.u32(&first, 12)?, Order::Big.u32(&first, 12)?) {
        (MAGIC, _) => Order::Little,
        (_, MAGIC) => Order::Big,
        _ => return Err(Error::Unknown("it is no hash table of Berkeley DB")),
    };
    if first[24] != 0 {
        return Err(Error::Unknown("it is encrypted"));
    }
    let size = order.u32(&first, 20)?;
    if !size.is_power_of_two() || !(512..=65536).contains(&size) {
        return Err(Error::Damaged("its pages have an impossible size"));
    }
    let mut table = Table { file, order, size: u64::from(size) };
    for number in 1..=u64::from(order.u32(&first, 32)?) {
        let page = table.page(number)?;
        if matches!(page[at::KIND], HASH | UNSORTED) {
            table.values(&page, take)?;
        }
    }
    Ok(())
}

struct Table<'f> {
    file: &'f mut Blocks,
    order: Order,
    /// Of a page, in bytes.
    size: u64,
}

impl Table<'_> {
    fn page(&mut self, number: u64) -> Result<Vec<u8>> {
        self.file.read(number * self.size, self.size)
    }

    /// Keys and values take turns; each begins where the page's index says, and ends where the one
    /// before begins.
    fn values(&mut self, page: &[u8], take: Take<'_>) -> Result<()> {
        let wrong = || Error::Damaged("a page of the hash table is wrong");
        let entries = usize::from(self.order.u16(page, at::ENTRIES)?);
        let mut end = page.len();
        for entry in 0..entries {
            let start = usize::from(self.order.u16(page, HEADER + 2 * entry)?);
            let item = page.get(start..end).filter(|item| !item.is_empty()).ok_or_else(wrong)?;
            end = start;
            if entry % 2 == 0 {
                continue;
            }
            let value = match item[0] {
                INLINE => item[1..].to_vec(),
                OUTSIDE => {
                    let (first, length) = (self.order.u32(item, 4)?, self.order.u32(item, 8)?);
                    self.outside(first, u64::from(length))?
                }
                _ => return Err(wrong()),
            };
            if value.len() >= SHORTEST {
                take(&value)?;
            }
        }
        Ok(())
    }

    /// A value that is too large for a page: a chain of pages.
    fn outside(&mut self, first: u32, length: u64) -> Result<Vec<u8>> {
        let wrong = || Error::Damaged("a chain of pages is broken");
        let mut value = Vec::new();
        let mut next = first;
        while (value.len() as u64) < length {
            if next == 0 {
                return Err(wrong());
            }
            let page = self.page(u64::from(next))?;
            // Here it says how much of the page is in use.
            let used = usize::from(self.order.u16(&page, at::FREE)?);
            let data = page.get(HEADER..HEADER + used).filter(|data| !data.is_empty());
            if page[at::KIND] != OVERFLOW {
                return Err(wrong());
            }
            value.extend(data.ok_or_else(wrong)?);
            next = self.order.u32(&page, at::NEXT)?;
        }
        value.truncate(usize::try_from(length).map_err(|_| wrong())?);
        Ok(value)
    }
}
