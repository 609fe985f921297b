//! A layer written once more: without owners, for who cannot have any; with no time later than one;
//! without some of its files.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::archive::{Entry, EntryKind, Reader};
use super::compress::Compression;
use super::writer::LayerWriter;
use super::{Error, Layer};
use crate::rootfs::clean;

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
    rewrite(tar, output, compression, threads, disown)
}

/// Makes an entry root's, as [`flatten`] does.
pub fn disown(entry: &mut Entry) {
    (entry.uid, entry.gid) = (0, 0);
    entry.mode &= !SETUID_SETGID;
    entry.xattrs.retain(|name, _| name != CAPABILITY);
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

/// What becomes of an entry on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Keep,
    Drop,
}

/// Writes the layer `tar` once more with what `judge` keeps of it, as it left it. A hard link to a
/// file that goes becomes that file itself; until then its content waits in a file that `spool`
/// makes.
///
/// # Errors
///
/// [`Error::HardLink`] when a link is kept to something that only a lower layer has, and that does
/// not stay there by what `drops` says; and what reading and writing an archive say.
pub fn sieve<W: Write>(
    tar: impl Read,
    output: W,
    compression: Compression,
    threads: usize,
    judge: &mut dyn FnMut(&mut Entry) -> Verdict,
    drops: &dyn Fn(&Entry) -> bool,
    spool: &dyn Fn() -> io::Result<File>,
) -> Result<(W, Layer), Error> {
    let mut reader = Reader::new(tar);
    let mut writer = LayerWriter::new(output, compression, threads)?;
    let mut gone = Gone { files: HashMap::new(), spool, file: None, end: 0 };
    while let Some(mut entry) = reader.next_entry()? {
        let path = clean(&entry.path);
        if judge(&mut entry) == Verdict::Drop {
            gone.keep(path, entry, &mut reader)?;
            continue;
        }
        gone.files.remove(&path);
        if entry.kind != EntryKind::Hardlink {
            writer.append(&entry, &mut reader)?;
            continue;
        }
        let target = clean(entry.link.as_deref().unwrap_or(Path::new("")));
        match gone.take(&target, &path)? {
            None => {
                if drops(&Entry::new(target.clone(), EntryKind::File)) {
                    return Err(Error::HardLink { path, target });
                }
                writer.append(&entry, io::empty())?;
            }
            Some(Taken::Moved(to)) => {
                entry.link = Some(to);
                writer.append(&entry, io::empty())?;
            }
            Some(Taken::Itself(mut file, at)) => {
                file.path = entry.path;
                let content = gone.content(at, file.stored())?;
                writer.append(&file, content)?;
            }
        }
    }
    reader.finish().map_err(Error::Read)?;
    writer.finish()
}

/// What was dropped, for links to it that were not.
struct Gone<'s> {
    files: HashMap<PathBuf, Place>,
    spool: &'s dyn Fn() -> io::Result<File>,
    file: Option<File>,
    /// Of what is in the file.
    end: u64,
}

/// Where something is that has been dropped.
enum Place {
    /// An entry, and where its content begins in the file.
    Spooled(Box<Entry>, u64),
    /// Another name of the same file.
    Link(PathBuf),
}

enum Taken {
    Itself(Box<Entry>, u64),
    Moved(PathBuf),
}

impl Gone<'_> {
    fn keep(&mut self, path: PathBuf, entry: Entry, content: &mut impl Read) -> Result<(), Error> {
        let place = match entry.kind {
            EntryKind::Hardlink => {
                Place::Link(clean(entry.link.as_deref().unwrap_or(Path::new(""))))
            }
            // Nothing can be a hard link to it.
            EntryKind::Dir => return Ok(()),
            _ => {
                let at = self.end;
                if entry.stored() > 0 {
                    if self.file.is_none() {
                        self.file = Some((self.spool)().map_err(Error::Write)?);
                    }
                    if let Some(file) = &mut self.file {
                        file.seek(SeekFrom::Start(at)).map_err(Error::Write)?;
                        self.end += io::copy(content, file).map_err(Error::Read)?;
                    }
                }
                Place::Spooled(Box::new(entry), at)
            }
        };
        self.files.insert(path, place);
        Ok(())
    }

    /// What a link to `target` becomes, which is kept at `path`; None if the target was not dropped.
    fn take(&mut self, target: &Path, path: &Path) -> Result<Option<Taken>, Error> {
        let mut at = target.to_owned();
        for _ in 0..=self.files.len() {
            match self.files.remove(&at) {
                None if at == target => return Ok(None),
                // A name that was kept, or moved.
                None => return Ok(Some(Taken::Moved(at))),
                Some(Place::Link(next)) => {
                    self.files.insert(at, Place::Link(next.clone()));
                    at = next;
                }
                Some(Place::Spooled(entry, offset)) => {
                    self.files.insert(at, Place::Link(path.to_owned()));
                    return Ok(Some(Taken::Itself(entry, offset)));
                }
            }
        }
        Err(Error::HardLink { path: path.to_owned(), target: target.to_owned() })
    }

    fn content(&mut self, at: u64, size: u64) -> Result<impl Read + use<'_>, Error> {
        let reader: Box<dyn Read> = match &mut self.file {
            Some(file) if size > 0 => {
                file.seek(SeekFrom::Start(at)).map_err(Error::Read)?;
                Box::new(file.take(size))
            }
            _ => Box::new(io::empty()),
        };
        Ok(reader)
    }
}

fn rewrite<W: Write>(
    tar: impl Read,
    output: W,
    compression: Compression,
    threads: usize,
    change: impl Fn(&mut Entry),
) -> Result<(W, Layer), Error> {
    let mut judge = |entry: &mut Entry| {
        change(entry);
        Verdict::Keep
    };
    let spool = || Err(io::ErrorKind::Unsupported.into()); // nothing is dropped
    sieve(tar, output, compression, threads, &mut judge, &|_| false, &spool)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Digest;
    use crate::layer::archive::Writer;
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
    fn links_outlive_what_they_link_to() {
        let file = |path: &str, content: &'static [u8]| {
            let size = content.len() as u64;
            (Entry { size, uid: 7, mode: 0o600, ..Entry::new(path, EntryKind::File) }, content)
        };
        let link = |path: &str, to: &str| {
            let link = Some(to.into());
            (Entry { link, uid: 7, ..Entry::new(path, EntryKind::Hardlink) }, &b""[..])
        };
        let sieved = |entries: Vec<(Entry, &'static [u8])>| {
            let is_gone = |entry: &Entry| clean(&entry.path).starts_with("x");
            let mut judge = |entry: &mut Entry| match is_gone(entry) {
                true => Verdict::Drop,
                false => Verdict::Keep,
            };
            let tar = archive(entries);
            let spool = || tempfile::tempfile();
            sieve(&tar[..], Vec::new(), Compression::None, 1, &mut judge, &is_gone, &spool)
        };
        for (before, after) in [
            // The first link that stays is the file, and the others are links to it.
            (
                vec![file("x/a", b"aa"), file("x/b", b"b"), link("l", "x/a"), link("./m", "x/a")],
                vec![file("l", b"aa"), link("./m", "l")],
            ),
            // By way of one that goes, in either direction.
            (
                vec![file("a", b"aa"), link("x/b", "a"), link("c", "/x/b")],
                vec![file("a", b"aa"), link("c", "a")],
            ),
            (
                vec![file("x/a", b"aa"), link("x/b", "x/a"), link("c", "x/b"), link("d", "x/a")],
                vec![file("c", b"aa"), link("d", "c")],
            ),
            // A link to a lower layer's file is none of ours.
            (vec![link("l", "below")], vec![link("l", "below")]),
            (vec![file("x", b"1"), file("y", b"")], vec![file("y", b"")]),
        ] {
            let (bytes, layer) = sieved(before).expect("a layer");
            let expected = archive(after);
            assert!(bytes == expected);
            assert_eq!(layer.diff_id, Digest::of(&expected));
        }
        let error = sieved(vec![link("l", "x/below")]).expect_err("nothing is there any more");
        assert!(matches!(error, Error::HardLink { .. }), "{error}");
    }

    #[test]
    fn damage_is_reported() {
        let tar = archive(entries(false));
        let flat = |tar| flatten(tar, io::sink(), Compression::None, 1);
        assert!(matches!(flat(&tar[..300]), Err(Error::Truncated { .. })));
        assert!(matches!(flat(&[1; 512][..]), Err(Error::Malformed { .. })));
    }
}
