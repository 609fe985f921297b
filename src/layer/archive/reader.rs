//! Reading.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, BufRead as _, BufReader, Read};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use tar::Header;

use super::pax::Records;
use super::{BLOCK, Entry, EntryKind};
use crate::layer::Error;

/// How many bytes of extended headers, long names and sparse maps one entry may have; Go's limit.
/// Attributes of 64 KiB, the kernel's limit, fit many times.
pub(super) const METADATA: u64 = 1 << 20;

/// Reads an archive's entries in order. It is itself the reader of the current entry's content, of
/// which [`Entry::stored`] bytes are there; what is not read is skipped.
pub struct Reader<R> {
    input: BufReader<R>,
    /// Bytes taken so far.
    pub(super) offset: u64,
    /// Of the current entry's content.
    pub(super) left: u64,
    /// After it.
    pub(super) padding: u64,
    ended: bool,
}

impl<R> fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("offset", &self.offset).finish_non_exhaustive()
    }
}

/// What precedes an entry and belongs to it.
#[derive(Default)]
struct Pending {
    pax: Option<Vec<u8>>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: u64,
}

impl<R: Read> Reader<R> {
    pub fn new(input: R) -> Self {
        // Inflating 512 bytes at a time would cost more than the copy.
        let input = BufReader::with_capacity(64 << 10, input);
        Self { input, offset: 0, left: 0, padding: 0, ended: false }
    }

    /// The next entry; None at the end of the archive.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] and [`Error::Truncated`] with the place; [`Error::Read`] with what the
    /// input said.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        let mut pending = Pending::default();
        loop {
            self.skip()?;
            let header = if self.ended { None } else { self.header()? };
            let Some(header) = header else {
                self.ended = true;
                if pending.size == 0 {
                    return Ok(None);
                }
                return Err(self.malformed("the entry of an extended header is missing"));
            };
            let flag = header.as_old().linkflag[0];
            let slot = match flag {
                b'x' => &mut pending.pax,
                b'L' => &mut pending.name,
                b'K' => &mut pending.link,
                // Global headers, most often git's comment, and volume labels. Docker passes over
                // them as well.
                b'g' | b'V' => {
                    self.expect(self.size_of(&header)?);
                    continue;
                }
                _ => return self.entry(&header, pending).map(Some),
            };
            if slot.is_some() {
                return Err(self.malformed("an entry has two extended headers of one kind"));
            }
            let size = self.size_of(&header)?;
            pending.size = pending.size.saturating_add(size).saturating_add(BLOCK);
            if pending.size > METADATA {
                return Err(self.malformed("extended headers are too large"));
            }
            let mut data = vec![0; size as usize];
            self.expect(size);
            self.fill(&mut data)?;
            self.left = 0;
            if flag != b'x' {
                data.truncate(data.iter().position(|b| *b == 0).unwrap_or(data.len()));
            }
            *slot = Some(data);
        }
    }

    /// How many bytes of the archive were taken: after [`Self::next_entry`], where the entry's
    /// content begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads what is left, behind the end of the archive too, so that whoever hashes the input has
    /// seen all of it.
    pub fn finish(mut self) -> io::Result<R> {
        io::copy(&mut self.input, &mut io::sink())?;
        Ok(self.input.into_inner())
    }

    fn entry(&mut self, header: &Header, pending: Pending) -> Result<Entry, Error> {
        let old = header.as_old();
        let records = match &pending.pax {
            Some(data) => Records::parse(data).map_err(|problem| self.malformed(problem))?,
            None => Records::default(),
        };
        let number = |field: &[u8]| number(field).ok_or("a number in a header is malformed");
        let owner = |record: Option<u64>, field: &[u8]| match record {
            Some(id) => u32::try_from(id).map_err(|_| "an owner is out of range"),
            None => u32::try_from(number(field)?).map_err(|_| "an owner is out of range"),
        };
        let fields = || -> Result<_, &'static str> {
            let mode = (number(&old.mode)? & 0o7777) as u32;
            let (uid, gid) = (owner(records.uid, &old.uid)?, owner(records.gid, &old.gid)?);
            let mtime = match records.mtime {
                Some(mtime) => mtime,
                None => (number(&old.mtime)?, 0),
            };
            Ok((mode, uid, gid, mtime))
        };
        let (mode, uid, gid, mtime) = fields().map_err(|problem| self.malformed(problem))?;

        let mut path = match (records.path, pending.name) {
            (Some(path), _) | (None, Some(path)) => path,
            (None, None) => {
                let field = |field: &[u8]| field.split(|b| *b == 0).next().unwrap_or(&[]).to_vec();
                let prefix = header.as_ustar().map_or(Vec::new(), |ustar| field(&ustar.prefix));
                if prefix.is_empty() {
                    field(&old.name)
                } else {
                    [&prefix[..], b"/", &field(&old.name)].concat()
                }
            }
        };
        let link = records
            .link
            .or(pending.link)
            .unwrap_or_else(|| old.linkname.split(|b| *b == 0).next().unwrap_or(&[]).to_vec());

        let flag = old.linkflag[0];
        let kind = match flag {
            b'0' | 0 | b'7' | b'S' => EntryKind::File,
            b'1' => EntryKind::Hardlink,
            b'2' => EntryKind::Symlink,
            b'3' => EntryKind::Char,
            b'4' => EntryKind::Block,
            b'5' | b'D' => EntryKind::Dir,
            b'6' => EntryKind::Fifo,
            _ => return Err(self.malformed("an entry has an unknown type")),
        };
        // Entries that are headers only may still tell a size, which then means nothing: tar and cpio
        // put that of a hard link's file there. Go, bsdtar and GNU tar read on at the next block.
        let size = match flag {
            b'1'..=b'6' => 0,
            _ => match records.size {
                Some(size) => size,
                None => self.size_of(header)?,
            },
        };
        if size > i64::MAX as u64 {
            return Err(self.malformed("a size is out of range"));
        }
        self.expect(size);

        let mut entry = Entry { mode, uid, gid, mtime, ..Entry::new("", kind) };
        if kind == EntryKind::File {
            if let Some(name) = records.sparse.name.clone() {
                path = name;
            }
            entry.size = size;
            entry.xattrs = records.xattrs;
            self.read_sparse(header, &records.sparse, &mut entry)?;
            // The convention of Unix version 7, which had no type for directories.
            if path.ends_with(b"/") && flag != b'S' {
                entry.kind = EntryKind::Dir;
                entry.size = 0;
                entry.sparse = None;
            }
        } else {
            entry.xattrs = records.xattrs;
        }
        if entry.kind != EntryKind::File {
            // GNU's incremental archives list a directory's names there.
            self.padding += self.left;
            self.left = 0;
        }
        if entry.kind == EntryKind::Dir {
            while path.len() > 1 && path.ends_with(b"/") {
                path.pop();
            }
        }
        if path.is_empty() {
            return Err(self.malformed("an entry has no name"));
        }
        entry.path = PathBuf::from(OsString::from_vec(path));
        match entry.kind {
            EntryKind::Symlink | EntryKind::Hardlink => {
                if link.is_empty() {
                    return Err(self.malformed("a link has no target"));
                }
                entry.link = Some(PathBuf::from(OsString::from_vec(link)));
            }
            EntryKind::Char | EntryKind::Block => {
                let gnu_or_ustar = (header.as_bytes()).split_at(329).1;
                let part = |field: &[u8]| {
                    let number = number(field).map_err(|problem| self.malformed(problem))?;
                    u32::try_from(number).map_err(|_| self.malformed("a device is out of range"))
                };
                entry.device = (part(&gnu_or_ustar[..8])?, part(&gnu_or_ustar[8..16])?);
            }
            EntryKind::File | EntryKind::Dir | EntryKind::Fifo => {}
        }
        Ok(entry)
    }

    /// The next header; None at the end, which is two blocks of zeros or the end of the input.
    fn header(&mut self) -> Result<Option<Header>, Error> {
        let mut header = Header::new_old();
        if !self.block(&mut header)? {
            return Ok(None);
        }
        if is_zero(&header) {
            // Go refuses what comes after a single one, others stop there or go on.
            if self.block(&mut header)? && !is_zero(&header) {
                return Err(self.malformed("there is a block of zeros between entries"));
            }
            return Ok(None);
        }
        let bytes = header.as_bytes();
        let sums = bytes.iter().enumerate().fold((0, 0), |(unsigned, signed), (at, byte)| {
            let byte = if (148..156).contains(&at) { b' ' } else { *byte };
            // Some old tars summed up signed characters.
            (unsigned + i64::from(byte), signed + i64::from(byte as i8))
        });
        let sum = number(&header.as_old().cksum);
        if sum != Some(sums.0) && sum != Some(sums.1) {
            return Err(self.malformed("a header's checksum is wrong"));
        }
        Ok(Some(header))
    }

    /// Reads a block that may be missing altogether.
    fn block(&mut self, header: &mut Header) -> Result<bool, Error> {
        let available = loop {
            match self.input.fill_buf() {
                Ok(bytes) => break bytes.len(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Read(error)),
            }
        };
        if available == 0 {
            return Ok(false);
        }
        (self.left, self.padding) = (BLOCK, 0);
        self.fill(header.as_mut_bytes())?;
        Ok(true)
    }

    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        self.read_exact(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.as_truncated(error),
            _ => Error::Read(error),
        })
    }

    /// Passes over what is left of the current entry.
    fn skip(&mut self) -> Result<(), Error> {
        let mut rest = self.left + self.padding;
        while rest > 0 {
            let available = match self.input.fill_buf() {
                // Whoever forgot to close the archive (`umoci insert`) wrote all the content. Go
                // takes it for the end.
                Ok([]) if rest <= self.padding => {
                    self.ended = true;
                    break;
                }
                Ok([]) => return Err(Error::Truncated { offset: self.offset }),
                Ok(bytes) => bytes.len(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::Read(error)),
            };
            let step = rest.min(available as u64);
            self.input.consume(step as usize);
            self.offset += step;
            rest -= step;
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    /// Content of `size` bytes comes now.
    fn expect(&mut self, size: u64) {
        self.left = size;
        self.padding = size.wrapping_neg() % BLOCK;
    }

    fn size_of(&self, header: &Header) -> Result<u64, Error> {
        let size = number(&header.as_old().size).and_then(|size| u64::try_from(size).ok());
        size.ok_or_else(|| self.malformed("a size is malformed"))
    }

    pub(super) fn malformed(&self, problem: &'static str) -> Error {
        Error::Malformed { offset: self.offset, problem }
    }

    /// Our own report, or that of a reader below (a cut gzip stream).
    fn as_truncated(&self, error: io::Error) -> Error {
        match error.downcast::<Error>() {
            Ok(own) => own,
            Err(error) => Error::Read(error),
        }
    }
}

/// The current entry's content. Its end is the content's; a truncated archive is an error.
impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let got = self.input.read(&mut buffer[..wanted])?;
        if got == 0 {
            let error = Error::Truncated { offset: self.offset };
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, error));
        }
        self.offset += got as u64;
        self.left -= got as u64;
        Ok(got)
    }
}

fn is_zero(header: &Header) -> bool {
    header.as_bytes().iter().all(|b| *b == 0)
}

/// A header's number: octal, or binary in two's complement where the first bit is set (GNU). An
/// empty field is 0.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        // Bit 6 is the sign.
        let first = i128::from(first & 0x7f) - if first & 0x40 != 0 { 0x80 } else { 0 };
        let value = rest.iter().fold(first, |value, byte| value << 8 | i128::from(*byte));
        return i64::try_from(value).ok();
    }
    let text = str::from_utf8(field).ok()?;
    let text = text.trim_matches([' ', '\0']);
    let text = text.split('\0').next().unwrap_or("");
    if text.is_empty() {
        return Some(0);
    }
    if text.starts_with('+') { None } else { i64::from_str_radix(text, 8).ok() }
}
