//! `rpmdb.sqlite`: enough of SQLite's file format (sqlite.org/fileformat2.html) to read a table of
//! blobs: the schema, a table's tree of pages, values that go on in further pages, and the log of
//! pages that were written and not yet put into the file ([`Log`]).

use std::fs::File;

use super::Take;
use super::blocks::{Blocks, LARGEST, Order};
use super::log::Log;
use crate::packages::{Error, Result};

const MAGIC: &[u8] = b"SQLite format 3\0";
/// The file's own header, which the first page begins with, in bytes.
const HEADER: usize = 100;

/// Types of pages of a table.
const INTERIOR: u8 = 5;
const LEAF: u8 = 13;

/// Of the table that tells where the others begin.
const SCHEMA: u32 = 1;

/// An opened database.
#[derive(Debug)]
pub(super) struct Database {
    file: Blocks,
    log: Option<Log>,
    /// Of a page, in bytes.
    size: u32,
    /// What of a page is used, in bytes.
    usable: usize,
}

/// A value of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value<'v> {
    Number(i64),
    Bytes(&'v [u8]),
    /// Null, or a number with a fraction.
    Other,
}

impl Database {
    /// `log` is the file beside it, whose name ends in `-wal`.
    pub(super) fn open(file: File, log: Option<File>) -> Result<Self> {
        let mut file = Blocks::of(file)?;
        let log = log.map(Log::read).transpose()?.flatten();
        // A database that was never put into the file at all has its first page in the log.
        let header = match file.length() {
            0 => Vec::new(),
            _ => file.read(0, HEADER as u64)?,
        };
        let (size, reserved) = match (&log, &header[..]) {
            (_, header) if header.starts_with(MAGIC) => {
                let size = u32::from(Order::Big.u16(header, 16)?);
                (if size == 1 { 65536 } else { size }, usize::from(header[20]))
            }
            (Some(log), []) => (log.page_size(), 0),
            _ => return Err(Error::Unknown("it is no database of SQLite")),
        };
        let wrong = Error::Damaged("its pages have an impossible size");
        if !size.is_power_of_two() || !(512..=65536).contains(&size) {
            return Err(wrong);
        }
        let usable = (size as usize).checked_sub(reserved).filter(|usable| *usable >= 480);
        let usable = usable.ok_or(wrong)?;
        let log = log.filter(|log| log.page_size() == size);
        Ok(Self { file, log, size, usable })
    }

    /// Hands out the blobs of a table, the second column of its rows.
    pub(super) fn blobs(&mut self, table: &str, take: Take<'_>) -> Result<()> {
        let mut root = None;
        self.rows(SCHEMA, &mut |row| {
            // What it is, its name, whose it is, its first page, its SQL.
            let values = values(row, 4)?;
            let text = Value::Bytes;
            if let [kind, name, _, Value::Number(page)] = values[..]
                && (kind, name) == (text(b"table"), text(table.as_bytes()))
            {
                root = u32::try_from(page).ok();
            }
            Ok(())
        })?;
        let root = root.ok_or(Error::Unknown("it has no table of packages"))?;
        self.rows(root, &mut |row| match values(row, 2)?[..] {
            [_, Value::Bytes(blob)] => take(blob),
            _ => Err(Error::Damaged("a row has no header of a package")),
        })
    }

    /// Hands out the rows of a table, in order. That no page is read for ever is [`Blocks`]' care.
    fn rows(&mut self, root: u32, take: Take<'_>) -> Result<()> {
        let wrong = || Error::Damaged("a page of a table is wrong");
        let mut waiting = vec![root];
        while let Some(number) = waiting.pop() {
            // A page is never a child of two.
            if waiting.len() as u64 > self.pages() {
                return Err(wrong());
            }
            let page = self.page(number)?;
            let start = if number == SCHEMA { HEADER } else { 0 };
            let kind = *page.get(start).ok_or_else(wrong)?;
            let cells = usize::from(Order::Big.u16(&page, start + 3)?);
            let pointers = start + if kind == INTERIOR { 12 } else { 8 };
            let cell = |at| Order::Big.u16(&page, pointers + 2 * at).map(usize::from);
            match kind {
                INTERIOR => {
                    // The last one first: the stack turns them round.
                    waiting.push(Order::Big.u32(&page, start + 8)?);
                    for at in (0..cells).rev() {
                        waiting.push(Order::Big.u32(&page, cell(at)?)?);
                    }
                }
                LEAF => {
                    for at in 0..cells {
                        let cell = page.get(cell(at)?..self.usable).ok_or_else(wrong)?;
                        take(&self.row(cell)?)?;
                    }
                }
                _ => return Err(wrong()),
            }
        }
        Ok(())
    }

    /// The whole row of a leaf's cell: its length, its key, as much of it as fits into a page, and
    /// the number of the page where the rest is.
    fn row(&mut self, cell: &[u8]) -> Result<Vec<u8>> {
        let wrong = || Error::Damaged("a row is wrong");
        let (length, cell) = varint(cell).ok_or_else(wrong)?;
        let (_, cell) = varint(cell).ok_or_else(wrong)?;
        let length = usize::try_from(length).ok().filter(|length| *length as u64 <= LARGEST);
        let length = length.ok_or_else(wrong)?;
        let here = self.part_in_page(length);
        self.file.charge(here as u64)?;
        let mut row = cell.get(..here).ok_or_else(wrong)?.to_vec();
        if here == length {
            return Ok(row);
        }
        let mut next = Order::Big.u32(cell, here)?;
        while row.len() < length {
            if next == 0 {
                return Err(wrong());
            }
            let page = self.page(next)?;
            let part = &page[4..self.usable];
            row.extend(&part[..part.len().min(length - row.len())]);
            next = Order::Big.u32(&page, 0)?;
        }
        Ok(row)
    }

    /// How many bytes of a row stand in the leaf itself (file format, "B-tree cell format").
    fn part_in_page(&self, length: usize) -> usize {
        let most = self.usable - 35;
        if length <= most {
            return length;
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let fitting = least + (length - least) % (self.usable - 4);
        if fitting <= most { fitting } else { least }
    }

    /// How many there are at most.
    fn pages(&self) -> u64 {
        let log = self.log.as_ref().map_or(0, Log::length);
        (self.file.length() + log) / u64::from(self.size)
    }

    /// Pages are counted from 1.
    fn page(&mut self, number: u32) -> Result<Vec<u8>> {
        if let Some(log) = &mut self.log
            && let Some(page) = log.page(number)?
        {
            return Ok(page);
        }
        let index = number.checked_sub(1).ok_or(Error::Damaged("there is no page 0"))?;
        self.file.read(u64::from(index) * u64::from(self.size), u64::from(self.size))
    }
}

/// The first values of a row: types first, then the values themselves.
fn values(row: &[u8], count: usize) -> Result<Vec<Value<'_>>> {
    let wrong = || Error::Damaged("a row is wrong");
    let (header, rest) = varint(row).ok_or_else(wrong)?;
    let header = usize::try_from(header).map_err(|_| wrong())?;
    let mut types = row.get(row.len() - rest.len()..header).ok_or_else(wrong)?;
    let mut data = row.get(header..).ok_or_else(wrong)?;
    let mut values = Vec::new();
    while values.len() < count && !types.is_empty() {
        let (kind, rest) = varint(types).ok_or_else(wrong)?;
        types = rest;
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return Err(wrong()),
            _ => (kind - 12) / 2,
        };
        let length = usize::try_from(length).map_err(|_| wrong())?;
        let (value, rest) = data.split_at_checked(length).ok_or_else(wrong)?;
        data = rest;
        values.push(match kind {
            8 => Value::Number(0),
            9 => Value::Number(1),
            1..=6 => Value::Number(signed(value)),
            0 | 7 => Value::Other,
            _ => Value::Bytes(value),
        });
    }
    Ok(values)
}

/// A number of one to eight bytes, its big end first.
fn signed(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let start = if negative { -1 } else { 0 };
    bytes.iter().fold(start, |number: i64, byte| number << 8 | i64::from(*byte))
}

/// A number of one to nine bytes, seven bits in each but the ninth, and what comes after it.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for at in 0..9 {
        let byte = u64::from(*bytes.get(at)?);
        if at == 8 {
            return Some((number << 8 | byte, &bytes[9..]));
        }
        number = number << 7 | byte & 0x7f;
        if byte & 0x80 == 0 {
            return Some((number, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read() {
        for (bytes, number, left) in [
            (&[0x00][..], 0, 0),
            (&[0x7f, 1], 127, 1),
            (&[0x81, 0x00], 128, 0),
            (&[0xff; 9], u64::MAX, 0),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 7], u64::MAX << 8, 1),
        ] {
            let (found, rest) = varint(bytes).expect("whole");
            assert_eq!((found, rest.len()), (number, left), "{bytes:?}");
        }
        assert_eq!(varint(&[0x81]), None);
        for (bytes, number) in [
            (&[0x7f][..], 127),
            (&[0x80], -128),
            (&[0xff, 0xfe], -2),
            (&[0; 8], 0),
            (&[0xff; 8], -1),
        ] {
            assert_eq!(signed(bytes), number, "{bytes:?}");
        }
    }

    #[test]
    fn rows_are_read() {
        // Four types: a text of 2 bytes, null, a number of 2 bytes, the number 1.
        let row = [5, 13 + 4, 0, 2, 9, b'h', b'i', 0x01, 0x00];
        let found = values(&row, 9).expect("sound");
        assert_eq!(
            found,
            [Value::Bytes(b"hi"), Value::Other, Value::Number(256), Value::Number(1)]
        );
        assert_eq!(values(&row, 1).expect("sound").len(), 1);
        for bad in [&[][..], &[9, 1], &[2, 10], &[2, 1], &[0x80]] {
            assert!(values(bad, 1).is_err(), "{bad:?}");
        }
    }
}
