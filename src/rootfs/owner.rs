//! Owners, devices and attributes that the caller may not really set, kept with the file.
//!
//! | kind | attribute | what it holds |
//! |---|---|---|
//! | files, directories | `user.rootlesscontainers` | a protocol buffer: fields 1 to 5 |
//! | symbolic links, fifos, sockets | `security.capability` | a mark, uid and gid |
//!
//! The first one umoci and others read too (proto3): field 1 is the uid and 2 the gid. bryo adds, for
//! itself, 3 (`S_IFCHR` or `S_IFBLK`: the file is an empty placeholder for that device), 4 (the
//! device's number as `makedev(3)` has it) and 5 (a `security.capability` that could not be set). A
//! field that is 0 is left out, and a record that says nothing is not written: 0:0 is everyone's
//! owner.
//!
//! The others cannot have attributes of users. But `security.capability`, which root of a user
//! namespace may set on any file of its own, means something to `execve(2)` alone, and nobody
//! executes a link, a fifo or a socket. So it carries their owners, in the form of a set of
//! capabilities (`struct vfs_cap_data`, revision 2), which is all that the kernel looks at:
//!
//! ```text
//! 0  0x02000000        magic_etc: the revision, not effective
//! 4  uid               permitted, capabilities 0 to 31
//! 8  gid               inheritable, capabilities 0 to 31
//! 12 "bryo"            permitted, capabilities 32 to 63
//! 16 "own\xff"         inheritable, capabilities 32 to 63
//! ```
//!
//! All numbers are little-endian. The mark names capabilities that no kernel has (the last of Linux
//! 6.18 is 40), so no real set is taken for a record. The kernel adds the namespace's root (revision
//! 3, 24 bytes) and takes it away again for whoever is that root. It is copied when overlayfs copies
//! the file up, stays through renames and hard links, and a real `lchown(2)` removes it: the new
//! record is written after that. A real capability on such a file is recorded aside when an archive
//! brings it, never set.
//!
//! What a file cannot carry, because its file system has no such attributes or because it is more
//! than an owner, stands in the tree's [`SideTable`](super::SideTable), by path.

use std::ffi::OsStr;

use super::meta::{FileType, Xattrs};
use crate::sys::path::{device_number, device_parts};

/// The attribute that holds the record of a file or directory.
pub(super) const MESSAGE: &str = "user.rootlesscontainers";

/// What the name says; it also holds the record of what nobody can execute.
pub const CAPABILITY: &str = "security.capability";

const REVISION_2: u32 = 0x0200_0000;
const REVISION_3: u32 = 0x0300_0000;
const MARK: [u8; 8] = *b"bryoown\xff";

const S_IFCHR: u64 = 0o020_000;
const S_IFBLK: u64 = 0o060_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    Char,
    Block,
}

/// A device that stands in an image and that we may not make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    pub kind: DeviceKind,
    pub major: u32,
    pub minor: u32,
}

/// What an image says about a file and the file itself cannot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    pub uid: u32,
    pub gid: u32,
    pub device: Option<Device>,
    /// Those that could not be set on the file.
    pub xattrs: Xattrs,
}

impl Record {
    /// A record of an owner alone.
    pub fn owner(uid: u32, gid: u32) -> Self {
        Self { uid, gid, ..Self::default() }
    }

    /// Whether it says nothing: owner 0:0, no device, no attributes.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it says nothing of owner and device.
    pub fn is_of_attributes(&self) -> bool {
        (self.uid, self.gid, self.device) == (0, 0, None)
    }

    /// What stands on the file and what stands in the table, as one: the file's owner and device,
    /// because they are the ones that change, and the attributes of both.
    pub(super) fn merge(on_file: Option<Self>, in_table: Option<&Self>) -> Option<Self> {
        match (on_file, in_table) {
            (None, in_table) => in_table.cloned(),
            (on_file, None) => on_file,
            (Some(mut record), Some(table)) => {
                for (name, value) in &table.xattrs {
                    record.xattrs.entry(name.clone()).or_insert_with(|| value.clone());
                }
                Some(record)
            }
        }
    }
}

/// The attribute that carries a file's record, by the kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carrier {
    Message,
    Capability,
}

/// The value of a carrier that holds no record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damaged;

impl Carrier {
    /// That of what the kernel takes for a `kind`; real devices have none.
    pub(super) fn of(kind: FileType) -> Option<Self> {
        match kind {
            FileType::File | FileType::Dir => Some(Self::Message),
            FileType::Symlink | FileType::Fifo | FileType::Socket => Some(Self::Capability),
            FileType::Char | FileType::Block => None,
        }
    }

    pub(super) fn attribute(self) -> &'static str {
        match self {
            Self::Message => MESSAGE,
            Self::Capability => CAPABILITY,
        }
    }

    /// The attribute's value; empty when there is nothing to write.
    pub(super) fn encode(self, record: &Record) -> Vec<u8> {
        match self {
            Self::Message => message(record),
            Self::Capability if (record.uid, record.gid) == (0, 0) => Vec::new(),
            Self::Capability => {
                let numbers = [REVISION_2, record.uid, record.gid].map(u32::to_le_bytes);
                [numbers.as_flattened(), &MARK].concat()
            }
        }
    }

    /// Reads the attribute's value; none of a capability that is really one.
    ///
    /// # Errors
    ///
    /// [`Damaged`] when it is no protocol buffer.
    pub(super) fn decode(self, bytes: &[u8]) -> Result<Option<Record>, Damaged> {
        match self {
            Self::Message => read_message(bytes).map(Some).ok_or(Damaged),
            Self::Capability => Ok(read_capability(bytes)),
        }
    }

    /// What it cannot hold of a record.
    pub(super) fn rest(self, mut record: Record) -> Record {
        (record.uid, record.gid) = (0, 0);
        if self == Self::Message {
            record.device = None;
            record.xattrs.remove(OsStr::new(CAPABILITY));
        }
        record
    }
}

/// Whether a listing of a file's attributes must leave this one out, because it carries a record.
/// `kind` is what the kernel takes the file for.
pub fn is_hidden(attribute: &OsStr, kind: FileType) -> bool {
    attribute == MESSAGE
        || attribute == CAPABILITY && Carrier::of(kind) == Some(Carrier::Capability)
}

/// Whether the value of a `security.capability` is no capability but carries a record.
pub fn is_record(value: &[u8]) -> bool {
    read_capability(value).is_some()
}

fn message(record: &Record) -> Vec<u8> {
    let device = record.device.map_or((0, 0), |device| {
        let kind = match device.kind {
            DeviceKind::Char => S_IFCHR,
            DeviceKind::Block => S_IFBLK,
        };
        (kind, device_number(device.major, device.minor))
    });
    let mut bytes = Vec::new();
    for (field, value) in
        [(1, record.uid.into()), (2, record.gid.into()), (3, device.0), (4, device.1)]
    {
        if value != 0 {
            put_varint(&mut bytes, field << 3);
            put_varint(&mut bytes, value);
        }
    }
    if let Some(capability) = record.xattrs.get(OsStr::new(CAPABILITY)) {
        put_varint(&mut bytes, 5 << 3 | 2);
        put_varint(&mut bytes, capability.len() as u64);
        bytes.extend_from_slice(capability);
    }
    bytes
}

/// Fields that we do not know are skipped. `None` when it is no protocol buffer.
fn read_message(mut bytes: &[u8]) -> Option<Record> {
    let mut record = Record::default();
    let (mut kind, mut number) = (0, 0);
    while !bytes.is_empty() {
        let key = take_varint(&mut bytes)?;
        match (key >> 3, key & 7) {
            (field, 0) => {
                let value = take_varint(&mut bytes)?;
                match field {
                    1 => record.uid = u32::try_from(value).ok()?,
                    2 => record.gid = u32::try_from(value).ok()?,
                    3 => kind = value,
                    4 => number = value,
                    _ => {}
                }
            }
            (field, 2) => {
                let length = usize::try_from(take_varint(&mut bytes)?).ok()?;
                let value = bytes.split_off(..length)?;
                if field == 5 {
                    record.xattrs.insert(CAPABILITY.into(), value.to_vec());
                }
            }
            (_, 1) => _ = bytes.split_off(..8)?,
            (_, 5) => _ = bytes.split_off(..4)?,
            _ => return None,
        }
    }
    let kind = match kind {
        S_IFCHR => Some(DeviceKind::Char),
        S_IFBLK => Some(DeviceKind::Block),
        _ => None,
    };
    let (major, minor) = device_parts(number);
    record.device = kind.map(|kind| Device { kind, major, minor });
    Some(record)
}

fn read_capability(bytes: &[u8]) -> Option<Record> {
    let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let known = matches!((number(0)?, bytes.len()), (REVISION_2, 20) | (REVISION_3, 24));
    (known && bytes[12..20] == MARK)
        .then(|| number(4).zip(number(8)))?
        .map(|(uid, gid)| Record::owner(uid, gid))
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(kind: DeviceKind, major: u32, minor: u32) -> Record {
        Record { device: Some(Device { kind, major, minor }), ..Record::default() }
    }

    #[test]
    fn records_have_the_bytes_that_others_read() {
        let capability =
            Record { xattrs: [(CAPABILITY.into(), vec![1, 2, 3])].into(), ..Record::owner(0, 5) };
        let rows: [(Record, &[u8]); 8] = [
            (Record::default(), &[]),
            (Record::owner(1, 0), &[0x08, 1]),
            (Record::owner(0, 5), &[0x10, 5]),
            (Record::owner(1000, 65534), &[0x08, 0xe8, 0x07, 0x10, 0xfe, 0xff, 0x03]),
            (Record::owner(u32::MAX, 0), &[0x08, 0xff, 0xff, 0xff, 0xff, 0x0f]),
            (device(DeviceKind::Char, 1, 3), &[0x18, 0x80, 0x40, 0x20, 0x83, 0x02]),
            (device(DeviceKind::Block, 0, 0), &[0x18, 0x80, 0xc0, 0x01]),
            (capability, &[0x10, 5, 0x2a, 3, 1, 2, 3]),
        ];
        for (record, bytes) in rows {
            assert_eq!(Carrier::Message.encode(&record), bytes, "{record:?}");
            assert_eq!(read_message(bytes).as_ref(), Some(&record));
        }
    }

    #[test]
    fn foreign_fields_are_skipped_and_damage_is_seen() {
        let rows: [(&[u8], Option<Record>); 7] = [
            (&[0x08, 1, 0x78, 9, 0x32, 1, 0xff], Some(Record::owner(1, 0))),
            (&[0x31, 0, 0, 0, 0, 0, 0, 0, 0, 0x35, 0, 0, 0, 0, 0x10, 2], Some(Record::owner(0, 2))),
            (&[0x08], None),
            (&[0x08, 0xff], None),
            (&[0x08, 0xff, 0xff, 0xff, 0xff, 0x7f], None),
            (&[0x2a, 200, 1], None),
            (&[0x0b, 1], None),
        ];
        for (bytes, record) in rows {
            assert_eq!(read_message(bytes), record, "{bytes:x?}");
        }
    }

    #[test]
    fn a_set_of_capabilities_carries_an_owner_and_nothing_else_is_taken_for_one() {
        let rows: [((u32, u32), &[u8]); 4] = [
            ((0, 0), b""),
            ((1, 0), b"\0\0\0\x02\x01\0\0\0\0\0\0\0bryoown\xff"),
            ((0, 65535), b"\0\0\0\x02\0\0\0\0\xff\xff\0\0bryoown\xff"),
            ((4_294_967_294, 258), b"\0\0\0\x02\xfe\xff\xff\xff\x02\x01\0\0bryoown\xff"),
        ];
        let carrier = Carrier::Capability;
        for ((uid, gid), value) in rows {
            let record = Record::owner(uid, gid);
            assert_eq!(carrier.encode(&record), value);
            if value.is_empty() {
                continue;
            }
            assert_eq!(carrier.decode(value), Ok(Some(record.clone())));
            let (_, rest) = value.split_at(4);
            let with_root = [b"\0\0\0\x03", rest, b"\xe9\x03\0\0"].concat();
            assert_eq!(carrier.decode(&with_root), Ok(Some(record)));
            let others = [
                [b"\x01\0\0\x02", rest].concat(),
                [b"\0\0\0\x03", rest].concat(),
                [value, b"\0\0\0\0"].concat(),
                [value, b"\0"].concat(),
                value[..19].to_vec(),
                [&value[..19], b"\x01"].concat(),
            ];
            for other in others {
                assert_eq!(carrier.decode(&other), Ok(None), "{other:x?}");
            }
        }
        // All capabilities that there are, and cap_net_raw=ep.
        let all = b"\x01\0\0\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\0\0\xff\x01\0\0";
        let ping = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        for real in [&all[..], &ping[..], b"", b"nonsense"] {
            assert_eq!(carrier.decode(real), Ok(None));
        }
    }

    #[test]
    fn what_a_carrier_cannot_hold_is_left() {
        let xattrs: Xattrs = [(CAPABILITY.into(), vec![1]), ("user.a".into(), vec![2])].into();
        let kind = DeviceKind::Char;
        let device = Some(Device { kind, major: 1, minor: 3 });
        let record = Record { device, xattrs: xattrs.clone(), ..Record::owner(1, 2) };
        let few = [("user.a".into(), vec![2])].into();
        let rows = [
            (Carrier::Message, Record { xattrs: few, ..Record::default() }),
            (Carrier::Capability, Record { device, xattrs, ..Record::default() }),
        ];
        for (carrier, rest) in rows {
            assert_eq!(carrier.rest(record.clone()), rest);
        }
    }

    #[test]
    fn carriers_are_hidden_where_they_carry() {
        let rows = [
            (MESSAGE, FileType::File, true),
            (MESSAGE, FileType::Symlink, true),
            (CAPABILITY, FileType::File, false),
            (CAPABILITY, FileType::Dir, false),
            (CAPABILITY, FileType::Symlink, true),
            (CAPABILITY, FileType::Fifo, true),
            (CAPABILITY, FileType::Socket, true),
            (CAPABILITY, FileType::Char, false),
            ("user.other", FileType::Symlink, false),
        ];
        for (name, kind, hidden) in rows {
            assert_eq!(is_hidden(OsStr::new(name), kind), hidden, "{name} {kind:?}");
        }
    }
}
