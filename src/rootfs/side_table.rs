//! [`SideTable`]: records that files cannot carry, by path, and how they are stored.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::owner::{Device, DeviceKind, Record};
use super::{Error, Result};

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

    #[test]
    fn tables_survive_json() {
        let mut table = SideTable { root_implied: true, ..SideTable::default() };
        let odd = OsString::from_vec(b"dir/100% \xff\xfe \xc3\xa9 \"\n%41".to_vec());
        let xattrs = [(OsString::from_vec(b"trusted.\x80".to_vec()), vec![0, 255])].into();
        table.set(
            odd.into(),
            Record {
                xattrs,
                device: Some(Device { kind: DeviceKind::Block, major: 8, minor: 1 }),
                ..Record::default()
            },
        );
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
