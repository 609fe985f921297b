//! Tar archives, entry by entry: [`Reader`] understands what GNU tar, bsdtar, Python and Go write,
//! [`Writer`] always writes the same bytes for the same entries.
//!
//! Headers are the `tar` crate's; the rest is ours. That crate reads PAX sparse files as their packed
//! data under a made-up name, loses extended attributes whose value contains a newline (as
//! `security.capability` may) and takes a header's size at its word where it has no data (tar-rs 295;
//! 0.4.46). Go's archive/tar is the model in doubt, because Docker and containerd read with it: what
//! it refuses is refused here too, so that no two tools see different files in one layer.
//!
//! Nothing here touches a file system; paths are what the archive says and are not to be trusted.

mod pax;
mod reader;
mod sparse;
mod writer;

#[cfg(test)]
mod round_trips;
#[cfg(test)]
mod vectors;

pub use pax::base64;
pub use reader::Reader;
pub use writer::Writer;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// Headers and data come in units of this many bytes.
const BLOCK: u64 = 512;

/// One file of an archive, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// As the archive has it, `./`, `..` and a leading slash included; without the slash at the end
    /// of a directory's name.
    pub path: PathBuf,
    pub kind: EntryKind,
    /// Permissions with setuid, setgid and sticky: 07777.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since 1970, and nanoseconds to add.
    pub mtime: (i64, u32),
    /// In bytes, holes included. 0 for everything but files.
    pub size: u64,
    /// Target of a symbolic or hard link.
    pub link: Option<PathBuf>,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    pub xattrs: BTreeMap<OsString, Vec<u8>>,
    /// Offset and length of the segments of a file with holes, in order and not overlapping. The
    /// archive then has their bytes only.
    pub sparse: Option<Vec<(u64, u64)>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    File,
    Dir,
    Symlink,
    Hardlink,
    Fifo,
    Char,
    Block,
}

impl Entry {
    /// Nobody's empty file of 1970, or whatever `kind` says.
    pub fn new(path: impl Into<PathBuf>, kind: EntryKind) -> Self {
        Self {
            path: path.into(),
            kind,
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: (0, 0),
            size: 0,
            link: None,
            device: (0, 0),
            xattrs: BTreeMap::new(),
            sparse: None,
        }
    }

    /// How many bytes of content the archive has: the size without the holes.
    pub fn stored(&self) -> u64 {
        match &self.sparse {
            Some(segments) => segments.iter().map(|(_, length)| length).sum(),
            None => self.size,
        }
    }
}
