//! Owners, devices and attributes that the caller may not really set, kept beside the file.
//!
//! Regular files and directories carry a [`Record`] in the extended attribute
//! `user.rootlesscontainers`, which umoci and others read too: a protocol buffer (proto3) with the
//! fields 1 (uid) and 2 (gid). bryo adds, for itself, 3 (`S_IFCHR` or `S_IFBLK`: the file is an
//! empty placeholder for that device), 4 (the device's number as `makedev(3)` has it) and 5 (a
//! `security.capability` that could not be set). A field that is 0 is left out, and a record that
//! says nothing is not written: 0:0 is everyone's owner.
//!
//! Symbolic links and fifos cannot carry it, and some file systems carry none at all: these records
//! stand in the tree's [`SideTable`], by path.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::meta::Xattrs;
use super::{Error, Result};
use crate::sys::path::{device_number, device_parts};

/// The attribute that holds a record.
pub(super) const ATTRIBUTE: &str = "user.rootlesscontainers";

/// The only attribute that a record on the file itself can hold.
pub(super) const CAPABILITY: &str = "security.capability";

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

    /// The value of the attribute; empty when there is nothing to write.
    pub(super) fn encode(&self) -> Vec<u8> {
        let device = self.device.map_or((0, 0), |device| {
            let kind = match device.kind {
                DeviceKind::Char => S_IFCHR,
                DeviceKind::Block => S_IFBLK,
            };
            (kind, device_number(device.major, device.minor))
        });
        let mut bytes = Vec::new();
        for (field, value) in
            [(1, self.uid.into()), (2, self.gid.into()), (3, device.0), (4, device.1)]
        {
            if value != 0 {
                put_varint(&mut bytes, field << 3);
                put_varint(&mut bytes, value);
            }
        }
        if let Some(capability) = self.xattrs.get(OsStr::new(CAPABILITY)) {
            put_varint(&mut bytes, 5 << 3 | 2);
            put_varint(&mut bytes, capability.len() as u64);
            bytes.extend_from_slice(capability);
        }
        bytes
    }

    /// Reads the attribute's value; fields that we do not know are skipped. `None` when it is no
    /// protocol buffer.
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut record = Self::default();
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

/// The records of a tree that its files cannot carry, by path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct SideTable {
    records: BTreeMap<PathBuf, Record>,
    /// Whether the tree's layer says nothing about the root directory itself, so that its
    /// attributes are those of the layers below.
    pub root_implied: bool,
}

impl SideTable {
    /// An empty table of a tree whose layer says nothing about the root directory, or does.
    pub fn new(root_implied: bool) -> Self {
        Self { root_implied, ..Self::default() }
    }

    pub fn get(&self, path: &Path) -> Option<&Record> {
        self.records.get(path)
    }

    /// Records something about a path, or forgets it when there is nothing to say.
    pub fn set(&mut self, path: PathBuf, record: Record) {
        if record.is_plain() {
            self.records.remove(&path);
        } else {
            self.records.insert(path, record);
        }
    }

    /// Forgets a path and all below it.
    pub fn forget(&mut self, path: &Path) {
        if self.records.is_empty() {
            return;
        }
        let below: Vec<PathBuf> = self
            .records
            .range(path.to_path_buf()..)
            .map(|(below, _)| below)
            .take_while(|below| below.starts_with(path))
            .cloned()
            .collect();
        for path in below {
            self.records.remove(&path);
        }
    }

    /// Lets what is recorded of `from`, and of all below it, be recorded of `to`.
    pub fn rename(&mut self, from: &Path, to: &Path) {
        let moved = |path: PathBuf| match path.strip_prefix(from) {
            Ok(rest) if rest.as_os_str().is_empty() => to.to_owned(),
            Ok(rest) => to.join(rest),
            Err(_) => path,
        };
        let records = std::mem::take(&mut self.records);
        self.records = records.into_iter().map(|(path, record)| (moved(path), record)).collect();
    }

    /// Path and record, in the order of paths.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &Record)> {
        self.records.iter().map(|(path, record)| (path.as_path(), record))
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a table has only strings and numbers")
    }

    /// # Errors
    ///
    /// [`Error::SideTable`] when it is not what [`Self::to_json`] made.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(Error::SideTable)
    }
}

/// A [`SideTable`] as JSON has it. Paths and names need not be UTF-8: what is not, and the percent
/// sign, is written as `%XX`. Values are hexadecimal.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    root_implied: bool,
    #[serde(default)]
    records: BTreeMap<String, StoredRecord>,
}

#[derive(Serialize, Deserialize)]
struct StoredRecord {
    #[serde(default, skip_serializing_if = "is_zero")]
    uid: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    gid: u32,
    /// `c` or `b`, major, minor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device: Option<(char, u32, u32)>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    xattrs: BTreeMap<String, String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

impl From<SideTable> for Stored {
    fn from(table: SideTable) -> Self {
        let record = |record: Record| StoredRecord {
            uid: record.uid,
            gid: record.gid,
            device: record.device.map(|device| {
                let kind = match device.kind {
                    DeviceKind::Char => 'c',
                    DeviceKind::Block => 'b',
                };
                (kind, device.major, device.minor)
            }),
            xattrs: record.xattrs.iter().map(|(name, value)| (escape(name), hex(value))).collect(),
        };
        Self {
            root_implied: table.root_implied,
            records: table
                .records
                .into_iter()
                .map(|(path, value)| (escape(path.as_os_str()), record(value)))
                .collect(),
        }
    }
}

impl From<Stored> for SideTable {
    fn from(stored: Stored) -> Self {
        let record = |record: StoredRecord| Record {
            uid: record.uid,
            gid: record.gid,
            device: record.device.map(|(kind, major, minor)| Device {
                kind: if kind == 'b' { DeviceKind::Block } else { DeviceKind::Char },
                major,
                minor,
            }),
            xattrs: record
                .xattrs
                .iter()
                .map(|(name, value)| (unescape(name), unhex(value)))
                .collect(),
        };
        Self {
            root_implied: stored.root_implied,
            records: stored
                .records
                .into_iter()
                .map(|(path, value)| (unescape(&path).into(), record(value)))
                .collect(),
        }
    }
}

fn escape(text: &OsStr) -> String {
    let mut escaped = String::new();
    for chunk in text.as_bytes().utf8_chunks() {
        for part in chunk.valid().split_inclusive('%') {
            escaped.push_str(part.strip_suffix('%').unwrap_or(part));
            if part.ends_with('%') {
                escaped.push_str("%25");
            }
        }
        for byte in chunk.invalid() {
            write!(escaped, "%{byte:02X}").expect("a string takes all that is written");
        }
    }
    escaped
}

fn unescape(text: &str) -> OsString {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()).filter(|_| *byte == b'%') {
            Some(code) => {
                bytes.push(code);
                rest = &after[2..];
            }
            None => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    OsString::from_vec(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all that is written");
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
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
            assert_eq!(record.encode(), bytes, "{record:?}");
            assert_eq!(Record::decode(bytes).as_ref(), Some(&record));
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
            assert_eq!(Record::decode(bytes), record, "{bytes:x?}");
        }
    }

    #[test]
    fn tables_survive_json() {
        let mut table = SideTable { root_implied: true, ..SideTable::default() };
        let odd = OsString::from_vec(b"dir/100% \xff\xfe \xc3\xa9 \"\n%41".to_vec());
        let xattrs = [(OsString::from_vec(b"trusted.\x80".to_vec()), vec![0, 255])].into();
        table.set(odd.into(), Record { xattrs, ..device(DeviceKind::Block, 8, 1) });
        table.set("link".into(), Record::owner(1, 2));
        table.set("nothing".into(), Record::default());
        let json = table.to_json();
        assert_eq!(SideTable::from_json(&json).expect("our own JSON"), table);
        assert_eq!(table.iter().count(), 2);
        assert!(SideTable::from_json(b"{\"records\": 1}").is_err());
    }

    #[test]
    fn forgetting_takes_what_is_below_and_nothing_beside() {
        let mut table = SideTable::default();
        for path in ["a", "a-b", "a/b", "a/b/c", "ab", "b"] {
            table.set(path.into(), Record::owner(1, 1));
        }
        table.forget(Path::new("a"));
        let left: Vec<_> = table.iter().map(|(path, _)| path.to_owned()).collect();
        assert_eq!(left, ["a-b", "ab", "b"].map(PathBuf::from));
    }
}
