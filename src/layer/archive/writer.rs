//! Writing.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use tar::{EntryType, Header, UstarHeader};

use super::{BLOCK, Entry, EntryKind, pax};
use crate::layer::Error;

/// The largest number in eight bytes of a header: seven octal digits.
const SHORT: u32 = 0o7777777;
/// The largest number in twelve bytes.
const LONG: u64 = 0o77777777777;

/// Writes entries in the order given. The same entries make the same bytes: a plain ustar header
/// where that says it all, else a PAX header before it, with its records in a fixed order. No user
/// or group names, no access times.
pub struct Writer<W> {
    output: W,
    /// Headers and small files go on together; content is read to where it is sent from.
    buffer: Box<[u8]>,
    filled: usize,
}

impl<W> fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("filled", &self.filled).finish_non_exhaustive()
    }
}

impl<W: Write> Writer<W> {
    pub fn new(output: W) -> Self {
        Self { output, buffer: vec![0; 128 << 10].into(), filled: 0 }
    }

    /// Writes an entry and its content, of which `data` must hold exactly [`Entry::stored`] bytes.
    /// Holes are filled: few readers of images understand sparse files.
    ///
    /// # Errors
    ///
    /// [`Error::Size`] when `data` holds fewer or more bytes, [`Error::Unfit`] when a name contains a
    /// NUL, [`Error::Read`] and [`Error::Write`] with what `data` or the output said.
    pub fn append(&mut self, entry: &Entry, mut data: impl Read) -> Result<(), Error> {
        self.append_header(entry)?;
        if entry.kind != EntryKind::File {
            return Ok(());
        }
        let mut at = 0;
        for &(offset, length) in entry.sparse.as_deref().unwrap_or(&[(0, entry.size)]) {
            self.append_zeros(offset - at)?;
            self.append_data(entry, &mut data, length)?;
            at = offset + length;
        }
        self.append_zeros(entry.size - at)?;
        if data.read(&mut [0]).map_err(Error::Read)? > 0 {
            let (path, expected) = (entry.path.clone(), entry.size);
            return Err(Error::Size { path, expected, actual: expected + 1 });
        }
        self.append_zeros(entry.size.wrapping_neg() % BLOCK)
    }

    /// Writes the end of the archive and gives the output back, not flushed. Without it the archive
    /// is cut off anywhere.
    pub fn finish(mut self) -> Result<W, Error> {
        self.append_zeros(2 * BLOCK)?;
        self.send()?;
        Ok(self.output)
    }

    fn append_header(&mut self, entry: &Entry) -> Result<(), Error> {
        let mut header = Header::new_ustar();
        let mut records = Vec::new();
        let mut path = entry.path.as_os_str().as_bytes().to_vec();
        if entry.kind == EntryKind::Dir && !path.ends_with(b"/") {
            path.push(b'/');
        }
        let link = entry.link.as_deref().unwrap_or(Path::new("")).as_os_str().as_bytes();
        let unfit = |problem| Error::Unfit { path: entry.path.clone(), problem };
        if path.contains(&0) || link.contains(&0) {
            return Err(unfit("a name contains a NUL"));
        }
        if str::from_utf8(&path).is_err() || str::from_utf8(link).is_err() {
            pax::push(&mut records, b"hdrcharset", b"BINARY");
        }

        let ustar = header.as_ustar_mut().expect("it was made as one");
        if !set_name(ustar, &path) {
            pax::push(&mut records, b"path", &path);
        }
        if !link.is_ascii() || link.len() > ustar.linkname.len() {
            pax::push(&mut records, b"linkpath", link);
        } else {
            ustar.linkname[..link.len()].copy_from_slice(link);
        }
        let size = if entry.kind == EntryKind::File { entry.size } else { 0 };
        let long = |records: &mut Vec<u8>, key: &str, value: u64| {
            if value > LONG {
                pax::push(records, key.as_bytes(), value.to_string().as_bytes());
            }
            if value > LONG { 0 } else { value }
        };
        let short = |records: &mut Vec<u8>, key: &str, value: u32| {
            if value > SHORT {
                pax::push(records, key.as_bytes(), value.to_string().as_bytes());
            }
            if value > SHORT { 0 } else { u64::from(value) }
        };
        header.set_size(long(&mut records, "size", size));
        header.set_uid(short(&mut records, "uid", entry.uid));
        header.set_gid(short(&mut records, "gid", entry.gid));
        let (seconds, nanos) = entry.mtime;
        let in_header = u64::try_from(seconds).ok().filter(|seconds| *seconds <= LONG);
        if nanos != 0 || in_header.is_none() {
            pax::push(&mut records, b"mtime", pax::format_time(entry.mtime).as_bytes());
        }
        header.set_mtime(in_header.unwrap_or(0));
        for (name, value) in &entry.xattrs {
            let name = pax::encode_name(name.as_bytes());
            pax::push(&mut records, &[pax::XATTR.as_bytes(), &name].concat(), value);
        }

        header.set_mode(entry.mode & 0o7777);
        header.set_entry_type(match entry.kind {
            EntryKind::File => EntryType::Regular,
            EntryKind::Dir => EntryType::Directory,
            EntryKind::Symlink => EntryType::Symlink,
            EntryKind::Hardlink => EntryType::Link,
            EntryKind::Fifo => EntryType::Fifo,
            EntryKind::Char => EntryType::Char,
            EntryKind::Block => EntryType::Block,
        });
        let device = if matches!(entry.kind, EntryKind::Char | EntryKind::Block) {
            entry.device
        } else {
            (0, 0)
        };
        if device.0 > SHORT || device.1 > SHORT {
            return Err(unfit("a device number is too large"));
        }
        header.set_device_major(device.0).expect("a ustar header has devices");
        header.set_device_minor(device.1).expect("a ustar header has devices");
        header.set_cksum();

        if !records.is_empty() {
            self.append_records(&records)?;
        }
        self.append_bytes(header.as_bytes())
    }

    /// A PAX header. Its own name means nothing; a constant one compresses best.
    fn append_records(&mut self, records: &[u8]) -> Result<(), Error> {
        let mut header = Header::new_ustar();
        let ustar = header.as_ustar_mut().expect("it was made as one");
        let name = b"././@PaxHeader";
        ustar.name[..name.len()].copy_from_slice(name);
        header.set_entry_type(EntryType::XHeader);
        header.set_size(records.len() as u64);
        for zero in [Header::set_uid, Header::set_gid, Header::set_mtime] {
            zero(&mut header, 0);
        }
        header.set_mode(0);
        header.set_device_major(0).expect("a ustar header has devices");
        header.set_device_minor(0).expect("a ustar header has devices");
        header.set_cksum();
        self.append_bytes(header.as_bytes())?;
        self.append_bytes(records)?;
        self.append_zeros((records.len() as u64).wrapping_neg() % BLOCK)
    }

    fn append_data(
        &mut self,
        entry: &Entry,
        data: &mut impl Read,
        length: u64,
    ) -> Result<(), Error> {
        let mut left = length;
        while left > 0 {
            let space = self.space()?;
            let wanted = left.min(space.len() as u64) as usize;
            let got = match data.read(&mut space[..wanted]) {
                Ok(0) => {
                    let (path, expected) = (entry.path.clone(), entry.size);
                    return Err(Error::Size { path, expected, actual: expected - left });
                }
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::Read(error)),
            };
            self.filled += got;
            left -= got as u64;
        }
        Ok(())
    }

    fn append_zeros(&mut self, count: u64) -> Result<(), Error> {
        let mut left = count;
        while left > 0 {
            let space = self.space()?;
            let step = left.min(space.len() as u64) as usize;
            space[..step].fill(0);
            self.filled += step;
            left -= step as u64;
        }
        Ok(())
    }

    fn append_bytes(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let space = self.space()?;
            let step = bytes.len().min(space.len());
            space[..step].copy_from_slice(&bytes[..step]);
            self.filled += step;
            bytes = &bytes[step..];
        }
        Ok(())
    }

    /// What is free of the buffer, never nothing.
    fn space(&mut self) -> Result<&mut [u8], Error> {
        if self.filled == self.buffer.len() {
            self.send()?;
        }
        Ok(&mut self.buffer[self.filled..])
    }

    fn send(&mut self) -> Result<(), Error> {
        self.output.write_all(&self.buffer[..self.filled]).map_err(Error::Write)?;
        self.filled = 0;
        Ok(())
    }
}

/// Puts a path into a header, cut in two at a slash where it must be. False when it does not fit, or
/// is not ASCII: ustar has no word for the encoding.
fn set_name(header: &mut UstarHeader, path: &[u8]) -> bool {
    let (name, prefix) = (header.name.len(), header.prefix.len());
    if !path.is_ascii() {
        return false;
    }
    if path.len() <= name {
        header.name[..path.len()].copy_from_slice(path);
        return true;
    }
    // The last slash that leaves something on both sides and fits on the left.
    let cut = path[..path.len() - 1].iter().take(prefix + 1).rposition(|b| *b == b'/');
    let Some(cut) = cut.filter(|cut| *cut > 0 && path.len() - cut - 1 <= name) else {
        return false;
    };
    header.prefix[..cut].copy_from_slice(&path[..cut]);
    header.name[..path.len() - cut - 1].copy_from_slice(&path[cut + 1..]);
    true
}
