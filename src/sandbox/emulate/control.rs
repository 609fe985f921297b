//! Messages of sockets as they stand in a caller's memory: `struct msghdr`, `struct mmsghdr`,
//! `struct iovec`, and control messages (cmsg(3)).
//!
//! They differ between callers in one thing alone: how wide a pointer and a `size_t` are, here the
//! `word`. Byte order is the machine's.

use super::request::Request;
use crate::sys::errno::Errno;

/// `UIO_MAXIOV`: the parts of a message, and the messages of a call.
pub(super) const MOST_PARTS: u64 = 1024;

/// Control messages of sockets themselves; the numbers are those of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Control<'a> {
    pub level: i32,
    pub kind: i32,
    pub data: &'a [u8],
    /// Where `data` begins in the buffer.
    pub offset: usize,
}

/// The header of a message, `struct msghdr`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub name: u64,
    pub name_length: u32,
    pub vectors: u64,
    pub vector_count: u64,
    pub control: u64,
    pub control_length: u64,
    pub flags: u32,
}

impl Header {
    /// The header at an address of the caller's.
    pub(super) fn of(request: &Request<'_>, address: u64) -> Result<Self, Errno> {
        let word = request.abi().pointer_size();
        let mut bytes = vec![0; Self::size(word)];
        request.read(address, &mut bytes)?;
        Ok(Self::read(&bytes, word))
    }

    pub(super) fn size(word: usize) -> usize {
        (6 * word + 4).next_multiple_of(word)
    }

    /// The distance between two of an array of `struct mmsghdr`. What was moved stands behind the
    /// header, as a 32-bit number.
    pub(super) fn step(word: usize) -> usize {
        (Self::size(word) + 4).next_multiple_of(word)
    }

    /// Where the fields begin that the kernel writes when a message is received: the length of the
    /// name, the length of the control messages, the flags.
    pub(super) fn outputs(word: usize) -> [usize; 3] {
        [word, 5 * word, 6 * word]
    }

    /// Reads a header of [`Self::size`] bytes.
    fn read(bytes: &[u8], word: usize) -> Self {
        let at = |index| number(bytes, index * word, word);
        Self {
            name: at(0),
            name_length: narrow(bytes, word),
            vectors: at(2),
            vector_count: at(3),
            control: at(4),
            control_length: at(5),
            flags: narrow(bytes, 6 * word),
        }
    }
}

/// Address and length of each part of a message, from an array of `struct iovec`.
pub(super) fn vectors(bytes: &[u8], word: usize) -> Vec<(u64, u64)> {
    let pairs = bytes.chunks_exact(2 * word);
    pairs.map(|pair| (number(pair, 0, word), number(pair, word, word))).collect()
}

/// A number of `word` bytes.
pub(super) fn number(bytes: &[u8], offset: usize, word: usize) -> u64 {
    let mut wide = [0; 8];
    match word {
        4 => return narrow(bytes, offset).into(),
        _ => wide.copy_from_slice(&bytes[offset..offset + 8]),
    }
    u64::from_ne_bytes(wide)
}

/// A number of 32 bits.
pub(super) fn narrow(bytes: &[u8], offset: usize) -> u32 {
    let mut narrow = [0; 4];
    narrow.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_ne_bytes(narrow)
}

/// A number as `word` bytes.
pub(super) fn encode(number: u64, word: usize) -> Vec<u8> {
    match word {
        4 => u32::try_from(number).unwrap_or(u32::MAX).to_ne_bytes().to_vec(),
        _ => number.to_ne_bytes().to_vec(),
    }
}

/// `sizeof(struct cmsghdr)`, which is a multiple of the word.
fn head(word: usize) -> usize {
    word + 8
}

/// What is in a control buffer; `None` when the kernel would call it invalid.
pub(super) fn controls(buffer: &[u8], word: usize) -> Option<Vec<Control<'_>>> {
    let (head, mut found, mut start) = (head(word), Vec::new(), 0);
    while buffer.len().saturating_sub(start) >= head {
        let length = usize::try_from(number(buffer, start, word)).ok()?;
        let end = start.checked_add(length).filter(|end| *end <= buffer.len())?;
        if length < head {
            return None;
        }
        found.push(Control {
            level: narrow(buffer, start + word).cast_signed(),
            kind: narrow(buffer, start + word + 4).cast_signed(),
            data: &buffer[start + head..end],
            offset: start + head,
        });
        start += length.next_multiple_of(word);
    }
    Some(found)
}

/// A control buffer of a caller, being filled as the kernel does (`put_cmsg()`).
#[derive(Debug)]
pub(super) struct Filling {
    word: usize,
    size: usize,
    bytes: Vec<u8>,
    /// Something did not fit (`MSG_CTRUNC`).
    pub truncated: bool,
}

impl Filling {
    /// `size` is what the caller has.
    pub(super) fn new(size: usize, word: usize) -> Self {
        Self { word, size, bytes: Vec::new(), truncated: false }
    }

    /// What is to be written, and how long the buffer is said to be filled.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many descriptors there is room for now.
    pub(super) fn descriptors(&self) -> usize {
        (self.size - self.bytes.len()).saturating_sub(head(self.word)) / 4
    }

    /// Adds a message, or as much of it as fits.
    pub(super) fn put(&mut self, level: i32, kind: i32, data: &[u8]) {
        let (head, left) = (head(self.word), self.size - self.bytes.len());
        if left < head {
            self.truncated = true;
            return;
        }
        let length = head + data.len();
        self.truncated |= length > left;
        let fits = length.min(left);
        self.bytes.extend(encode(fits as u64, self.word));
        self.bytes.extend(level.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(&data[..fits - head]);
        let space = length.next_multiple_of(self.word).min(left);
        self.bytes.resize(self.bytes.len() + space - fits, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_the_kernels() {
        // sizeof(struct msghdr), sizeof(struct mmsghdr), and the fields that are written.
        for (word, size, step, outputs) in [(8, 56, 64, [8, 40, 48]), (4, 28, 32, [4, 20, 24])] {
            assert_eq!(Header::size(word), size);
            assert_eq!(Header::step(word), step);
            assert_eq!(Header::outputs(word), outputs);
        }
    }

    #[test]
    fn headers_are_read() {
        let expected = Header {
            name: 0x1000,
            name_length: 16,
            vectors: 0x2000,
            vector_count: 2,
            control: 0x3000,
            control_length: 64,
            flags: 8,
        };
        for word in [4, 8] {
            let mut bytes = Vec::new();
            for field in [0x1000, 16, 0x2000, 2, 0x3000, 64, 8] {
                bytes.extend(encode(field, word));
            }
            bytes.truncate(Header::size(word));
            assert_eq!(Header::read(&bytes, word), expected, "{word}");
            let bytes: Vec<u8> = [1, 2, 3, 4].into_iter().flat_map(|n| encode(n, word)).collect();
            assert_eq!(vectors(&bytes, word), [(1, 2), (3, 4)], "{word}");
        }
    }

    #[test]
    fn what_was_put_is_found() {
        for (word, offsets, filled) in [(8, [16, 48], 56), (4, [12, 36], 44)] {
            let mut buffer = Filling::new(100, word);
            buffer.put(1, 2, b"twelve bytes");
            buffer.put(3, 4, b"fourfive");
            assert!(!buffer.truncated, "{word}");
            assert_eq!(buffer.bytes().len(), filled, "{word}");
            let found = controls(buffer.bytes(), word).expect("valid");
            let [offset, offset1] = offsets;
            assert_eq!(
                found,
                [
                    Control { level: 1, kind: 2, data: b"twelve bytes", offset },
                    Control { level: 3, kind: 4, data: b"fourfive", offset: offset1 },
                ],
                "{word}"
            );
        }
    }

    #[test]
    fn what_does_not_fit_is_cut() {
        // size; bytes filled with 12 bytes of data, cut?, descriptors that would have fit before
        for (word, size, filled, cut, descriptors) in [
            (8, 0, 0, true, 0),
            (8, 15, 0, true, 0),
            (8, 16, 16, true, 0),
            (8, 20, 20, true, 1),
            (8, 28, 28, false, 3),
            (8, 31, 31, false, 3),
            (8, 32, 32, false, 4),
            (8, 99, 32, false, 20),
            (4, 11, 0, true, 0),
            (4, 24, 24, false, 3),
        ] {
            let mut buffer = Filling::new(size, word);
            assert_eq!(buffer.descriptors(), descriptors, "{word} {size}");
            buffer.put(1, 2, b"twelve bytes");
            assert_eq!((buffer.bytes().len(), buffer.truncated), (filled, cut), "{word} {size}");
        }
    }

    #[test]
    fn invalid_buffers_are_none() {
        let good = {
            let mut buffer = Filling::new(64, 8);
            buffer.put(1, 2, b"twelve bytes");
            buffer.bytes().to_vec()
        };
        assert_eq!(controls(&good[..15], 8), Some(Vec::new()), "too short for a header");
        assert_eq!(controls(&good[..27], 8), None, "longer than the buffer");
        assert!(controls(&good[..28], 8).is_some(), "no padding at the end");
        for length in [0, 15, 33, u64::MAX, u64::MAX - 7] {
            let bytes = [&length.to_ne_bytes(), &good[8..]].concat();
            assert_eq!(controls(&bytes, 8), None, "{length}");
        }
    }
}
