//! Records of extended headers (POSIX pax, "pax Extended Header"): `LENGTH KEY=VALUE\n`, where the
//! length counts the whole record and the value may be any bytes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

/// GNU tar and star's key for an extended attribute; Go and Docker know this one alone.
pub(super) const XATTR: &str = "SCHILY.xattr.";
/// bsdtar's: the name is percent-encoded, the value is in base64.
const LIBARCHIVE_XATTR: &str = "LIBARCHIVE.xattr.";

/// What an extended header says about the entry after it.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<(i64, u32)>,
    pub(super) xattrs: BTreeMap<OsString, Vec<u8>>,
    pub(super) sparse: Sparse,
}

/// GNU tar's description of a file with holes, in its three versions (GNU tar manual, "Storing
/// Sparse Files").
#[derive(Debug, Default)]
pub(super) struct Sparse {
    pub(super) version: (Option<u64>, Option<u64>),
    pub(super) name: Option<Vec<u8>>,
    pub(super) real_size: Option<u64>,
    /// Offsets and lengths in turn: versions 0.0 and 0.1.
    pub(super) map: Option<Vec<u64>>,
}

impl Records {
    /// Reads an extended header's data. Keys that we do not know are passed over, malformed records
    /// are not: what follows them could be anything.
    pub(super) fn parse(mut data: &[u8]) -> Result<Self, &'static str> {
        let mut records = Self::default();
        let mut libarchive = BTreeMap::new();
        while !data.is_empty() {
            let (key, value, rest) = split(data).ok_or("a pax record is malformed")?;
            data = rest;
            records.apply(key, value, &mut libarchive)?;
        }
        for (name, value) in libarchive {
            records.xattrs.entry(name).or_insert(value);
        }
        Ok(records)
    }

    fn apply(
        &mut self,
        key: &[u8],
        value: &[u8],
        libarchive: &mut BTreeMap<OsString, Vec<u8>>,
    ) -> Result<(), &'static str> {
        if let Some(name) = key.strip_prefix(XATTR.as_bytes()) {
            self.xattrs.insert(OsString::from_vec(decode_name(name)), value.to_vec());
            return Ok(());
        }
        if let Some(name) = key.strip_prefix(LIBARCHIVE_XATTR.as_bytes()) {
            let value = base64(value).ok_or("an extended attribute is not in base64")?;
            libarchive.insert(OsString::from_vec(percent_decode(name)), value);
            return Ok(());
        }
        if value.is_empty() {
            return Ok(()); // POSIX: as if the record were not there
        }
        match key {
            b"path" => self.path = Some(name(value)?),
            b"linkpath" => self.link = Some(name(value)?),
            b"size" => self.size = Some(decimal(value)?),
            b"uid" => self.uid = Some(decimal(value)?),
            b"gid" => self.gid = Some(decimal(value)?),
            b"mtime" => self.mtime = Some(time(value).ok_or("a pax time is malformed")?),
            b"GNU.sparse.major" => self.sparse.version.0 = Some(decimal(value)?),
            b"GNU.sparse.minor" => self.sparse.version.1 = Some(decimal(value)?),
            b"GNU.sparse.name" => self.sparse.name = Some(name(value)?),
            b"GNU.sparse.realsize" | b"GNU.sparse.size" => {
                self.sparse.real_size = Some(decimal(value)?);
            }
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                let map = self.sparse.map.get_or_insert_default();
                let is_length = key.ends_with(b"numbytes");
                if is_length == map.len().is_multiple_of(2) {
                    return Err("a sparse map is malformed");
                }
                map.push(decimal(value)?);
            }
            b"GNU.sparse.map" => {
                let numbers = value.split(|b| *b == b',').map(decimal);
                self.sparse.map = Some(numbers.collect::<Result<_, _>>()?);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Appends a record to an extended header's data.
pub(super) fn push(data: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3; // space, equals sign, newline
    let mut length = rest;
    // The length counts its own digits: at most two rounds until it holds still.
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    data.extend_from_slice(length.to_string().as_bytes());
    data.push(b' ');
    data.extend_from_slice(key);
    data.push(b'=');
    data.extend_from_slice(value);
    data.push(b'\n');
}

/// A time as a record has it: decimal, with as many digits after the point as it needs.
pub(super) fn format_time((seconds, nanos): (i64, u32)) -> String {
    if nanos == 0 {
        return seconds.to_string();
    }
    // Before 1970 the fraction counts away from zero: (-2, 0.75 s) is -1.25.
    let (sign, seconds, nanos) = if seconds < 0 {
        ("-", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanos)
    } else {
        ("", seconds.unsigned_abs(), nanos)
    };
    format!("{sign}{seconds}.{nanos:09}").trim_end_matches('0').to_owned()
}

/// An attribute's name as a key may have it: no equals sign. GNU tar encodes it so.
pub(super) fn encode_name(name: &[u8]) -> Vec<u8> {
    if !name.contains(&b'=') {
        return name.to_vec();
    }
    let mut encoded = Vec::new();
    for byte in name {
        match byte {
            b'=' => encoded.extend_from_slice(b"%3D"),
            b'%' => encoded.extend_from_slice(b"%25"),
            _ => encoded.push(*byte),
        }
    }
    encoded
}

/// Go and older GNU tars do not encode at all, so that a percent sign alone means nothing.
fn decode_name(name: &[u8]) -> Vec<u8> {
    if name.windows(3).any(|w| w == b"%3D") { percent_decode(name) } else { name.to_vec() }
}

fn percent_decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let hex = |at: usize| (*tail.get(at)? as char).to_digit(16);
        if let (b'%', Some(high), Some(low)) = (first, hex(0), hex(1)) {
            decoded.push((high * 16 + low) as u8);
            rest = &tail[2..];
        } else {
            decoded.push(*first);
            rest = tail;
        }
    }
    decoded
}

/// The first record's key and value, and what comes after it.
fn split(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = data.iter().take(20).position(|b| *b == b' ')?;
    let length = decimal(&data[..space]).ok()?;
    let (record, rest) = data.split_at_checked(usize::try_from(length).ok()?)?;
    let pair = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = pair.iter().position(|b| *b == b'=')?;
    (equals > 0).then(|| (&pair[..equals], &pair[equals + 1..], rest))
}

pub(super) fn decimal(text: &[u8]) -> Result<u64, &'static str> {
    let number = str::from_utf8(text).ok().filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
    number.and_then(|t| t.parse().ok()).ok_or("a decimal number is malformed")
}

fn name(value: &[u8]) -> Result<Vec<u8>, &'static str> {
    if value.contains(&0) { Err("a name contains a NUL") } else { Ok(value.to_vec()) }
}

/// Digits after the ninth are cut off.
fn time(value: &[u8]) -> Option<(i64, u32)> {
    let text = str::from_utf8(value).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut nanos: u32 = 0;
    for at in 0..9 {
        nanos = nanos * 10 + fraction.as_bytes().get(at).map_or(0, |b| u32::from(b - b'0'));
    }
    if whole.starts_with('-') && nanos > 0 {
        return Some((seconds.checked_sub(1)?, 1_000_000_000 - nanos));
    }
    Some((seconds, nanos))
}

/// Decodes base64, with or without its `=`; None where it is none.
pub fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.iter().filter(|b| !matches!(b, b'=' | b'\n')) {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            decoded.push((bits >> count) as u8);
        }
    }
    Some(decoded)
}
