//! [`Meta`]: what an image says about a file; which extended attributes belong to it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;

pub use crate::sys::path::FileType;
use crate::sys::path::{self as kernel, Stat};

use super::owner::{self, DeviceKind, Record};

/// Extended attributes, by name.
pub type Xattrs = BTreeMap<OsString, Vec<u8>>;

/// Seconds since 1970, and nanoseconds to add.
pub type Time = (i64, u32);

/// What the kernel says of a file that is another thing as soon as anybody has written to it: equal
/// stamps, equal contents, but for changes within one tick of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    pub dev: u64,
    pub ino: u64,
    pub size: u64,
    pub mtime: Time,
    pub ctime: Time,
}

impl Stamp {
    /// Of a file that is open; `None` when the kernel does not say.
    pub fn of(file: &File) -> Option<Self> {
        kernel::stat(file).ok().map(|stat| Self::from(&stat))
    }
}

impl From<&Stat> for Stamp {
    fn from(stat: &Stat) -> Self {
        let Stat { dev, ino, size, mtime, ctime, .. } = *stat;
        Self { dev, ino, size, mtime, ctime }
    }
}

/// What an image says about a file. Owner and device are the recorded ones; without a record the
/// owner is 0:0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    pub kind: FileType,
    /// What the kernel takes it for. It differs from `kind` for a recorded device, which is an
    /// empty file; a device in both is real, as overlayfs's whiteouts are.
    pub real_kind: FileType,
    /// Permissions with setuid, setgid and sticky: at most `0o7777`.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub mtime: Time,
    /// Major and minor number of a device.
    pub rdev: (u32, u32),
    pub nlink: u64,
    /// The device that the file lies on; with `ino` it tells hard links.
    pub dev: u64,
    pub ino: u64,
    /// Allocated units of 512 bytes; fewer than the size needs in a file with holes.
    pub blocks: u64,
    /// When anything about the file changed last.
    pub ctime: Time,
}

impl Meta {
    pub(super) fn new(stat: &Stat, record: Option<&Record>) -> Self {
        let mut meta = Self {
            kind: stat.kind,
            real_kind: stat.kind,
            mode: stat.mode,
            uid: 0,
            gid: 0,
            size: stat.size,
            mtime: stat.mtime,
            rdev: stat.rdev,
            nlink: stat.nlink,
            dev: stat.dev,
            ino: stat.ino,
            blocks: stat.blocks,
            ctime: stat.ctime,
        };
        if let Some(record) = record {
            meta.apply(record);
        }
        meta
    }

    /// Takes owner and device from `record`.
    pub fn apply(&mut self, record: &Record) {
        (self.uid, self.gid) = (record.uid, record.gid);
        if let Some(device) = record.device.filter(|_| self.real_kind == FileType::File) {
            self.kind = match device.kind {
                DeviceKind::Char => FileType::Char,
                DeviceKind::Block => FileType::Block,
            };
            self.rdev = (device.major, device.minor);
            self.size = 0;
        }
    }

    pub fn is_dir(&self) -> bool {
        self.kind == FileType::Dir
    }

    /// Of a file that carries no record.
    pub fn stamp(&self) -> Stamp {
        let Self { dev, ino, size, mtime, ctime, .. } = *self;
        Stamp { dev, ino, size, mtime, ctime }
    }

    /// Two files with the same identity are one file with two names.
    pub fn identity(&self) -> (u64, u64) {
        (self.dev, self.ino)
    }

    /// Whether it is overlayfs's whiteout: a real character device 0:0.
    pub fn is_whiteout(&self) -> bool {
        self.real_kind == FileType::Char && self.rdev == (0, 0)
    }
}

/// Whether an attribute belongs to the image: not overlayfs's marks, not our own records (see also
/// [`is_hidden`](super::is_hidden)), and not the labels that a host's security modules give.
pub fn is_portable(attribute: &OsStr) -> bool {
    const HOSTS: [&str; 5] = [
        "security.selinux",
        "security.ima",
        "security.evm",
        "security.apparmor",
        "security.SMACK64",
    ];
    let name = attribute.as_bytes();
    !(name.starts_with(b"user.overlay.")
        || name.starts_with(b"trusted.overlay.")
        || attribute == owner::MESSAGE
        || HOSTS.iter().any(|host| name.starts_with(host.as_bytes())))
}
