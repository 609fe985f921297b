//! A layer written once more: without owners, for who cannot have any; with no time later than one.

use std::io::{Read, Write};

use super::archive::{Entry, Reader};
use super::compress::Compression;
use super::writer::LayerWriter;
use super::{Error, Layer};

const SETUID_SETGID: u32 = 0o6000;

/// The attributes that a change of owner takes away.
const CAPABILITY: &str = "security.capability";

/// Writes the layer `tar`, which is not compressed, once more as everything would be had root made
/// it: owner 0:0, no user and group names, no setuid and setgid bits, no capabilities. `tar` is read
/// to its end, beyond the archive's.
///
/// # Errors
///
/// What reading and writing an archive say.
pub fn flatten<W: Write>(
    tar: impl Read,
    output: W,
    compression: Compression,
    threads: usize,
) -> Result<(W, Layer), Error> {
    rewrite(tar, output, compression, threads, |entry| {
        (entry.uid, entry.gid) = (0, 0);
        entry.mode &= !SETUID_SETGID;
        entry.xattrs.retain(|name, _| name != CAPABILITY);
    })
}

/// The same with every time after `latest`, in seconds since 1970, set to that.
///
/// # Errors
///
/// What reading and writing an archive say.
pub fn clamp<W: Write>(
    tar: impl Read,
    output: W,
    compression: Compression,
    threads: usize,
    latest: i64,
) -> Result<(W, Layer), Error> {
    rewrite(tar, output, compression, threads, |entry| {
        entry.mtime = entry.mtime.min((latest, 0));
    })
}

fn rewrite<W: Write>(
    tar: impl Read,
    output: W,
    compression: Compression,
    threads: usize,
    change: impl Fn(&mut Entry),
) -> Result<(W, Layer), Error> {
    let mut reader = Reader::new(tar);
    let mut writer = LayerWriter::new(output, compression, threads)?;
    while let Some(mut entry) = reader.next_entry()? {
        change(&mut entry);
        writer.append(&entry, &mut reader)?;
    }
    reader.finish().map_err(Error::Read)?;
    writer.finish()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::image::Digest;
    use crate::layer::archive::{EntryKind, Writer};
    use crate::layer::compress::decompress;

    /// Entries with owners and modes of all kinds; with those that are left, when `flat`.
    fn entries(flat: bool) -> Vec<(Entry, &'static [u8])> {
        let owner = |uid, gid| if flat { (0, 0) } else { (uid, gid) };
        let entry = |path: &str, kind, mode, (uid, gid)| {
            let mode = if flat { mode & 0o1777 } else { mode };
            let mtime = (1_700_000_000, 5);
            Entry { mode, uid, gid, mtime, ..Entry::new(path, kind) }
        };
        let mut ping = entry("bin/ping", EntryKind::File, 0o4755, owner(1, 2));
        ping.xattrs.insert("user.note".into(), b"kept".to_vec());
        if !flat {
            ping.xattrs.insert(CAPABILITY.into(), b"\x01\0\0\x02".to_vec());
        }
        ping.size = 4;
        let mut link = entry("link", EntryKind::Symlink, 0o777, owner(u32::MAX - 1, 65534));
        link.link = Some("bin/ping".into());
        let mut again = entry("again", EntryKind::Hardlink, 0o6755, owner(1, 2));
        again.link = Some("bin/ping".into());
        let mut disk = entry("disk", EntryKind::Block, 0o660, owner(0, 6));
        disk.device = (8, 1);
        vec![
            (entry("tmp", EntryKind::Dir, 0o1777, owner(0, 0)), b""),
            (entry("mail", EntryKind::Dir, 0o2775, owner(0, 8)), b""),
            (ping, b"ping"),
            (link, b""),
            (again, b""),
            (disk, b""),
            (entry("fifo", EntryKind::Fifo, 0o600, owner(7, 7)), b""),
            (entry("etc/.wh.gone", EntryKind::File, 0, owner(0, 0)), b""),
        ]
    }

    fn archive(entries: Vec<(Entry, &'static [u8])>) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        for (entry, content) in entries {
            writer.append(&entry, content).expect("an entry");
        }
        writer.finish().expect("an archive")
    }

    #[test]
    fn owners_and_what_depends_on_them_go_and_all_else_stays() {
        let (tar, expected) = (archive(entries(false)), archive(entries(true)));
        for compression in [Compression::None, Compression::GZIP, Compression::ZSTD] {
            let flat =
                |threads| flatten(&tar[..], Vec::new(), compression, threads).expect("a layer");
            let (bytes, layer) = flat(1);
            let mut written = Vec::new();
            decompress(&bytes[..]).expect("ours").read_to_end(&mut written).expect("ours");
            assert!(written == expected, "{compression}");
            assert_eq!(layer.diff_id, Digest::of(&expected));
            assert_eq!(layer.descriptor.digest, Digest::of(&bytes));
            assert_eq!(layer.descriptor.size, bytes.len() as u64);
            assert_eq!(flat(3), (bytes, layer));
        }
        let (once, _) = flatten(&expected[..], Vec::new(), Compression::None, 1).expect("flat");
        assert!(once == expected, "what is flat is not changed");
    }

    #[test]
    fn times_are_clamped_and_all_else_stays() {
        let late = |latest: (i64, u32)| {
            let mut entries = entries(false);
            for (at, (entry, _)) in entries.iter_mut().enumerate() {
                let time = [(1, 0), (5, 0), (5, 1), (6, 0)][at % 4];
                entry.mtime = time.min(latest);
            }
            archive(entries)
        };
        let (tar, expected) = (late((9, 0)), late((5, 0)));
        let (bytes, layer) = clamp(&tar[..], Vec::new(), Compression::None, 1, 5).expect("a layer");
        assert!(bytes == expected);
        assert_eq!(layer.diff_id, Digest::of(&expected));
        let (same, _) = clamp(&tar[..], Vec::new(), Compression::None, 1, 6).expect("a layer");
        assert!(same == tar, "what is old enough is not changed");
    }

    #[test]
    fn damage_is_reported() {
        let tar = archive(entries(false));
        let flat = |tar| flatten(tar, io::sink(), Compression::None, 1);
        assert!(matches!(flat(&tar[..700]), Err(Error::Truncated { .. })));
        assert!(matches!(flat(&[1; 512][..]), Err(Error::Malformed { .. })));
    }
}
