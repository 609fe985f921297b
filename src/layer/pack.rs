//! Changes to a tar, reproducibly.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;

use super::archive::{Entry, EntryKind};
use super::compress::Compression;
use super::whiteout::{self, Name};
use super::writer::LayerWriter;
use super::{Change, Error, Layer};
use crate::rootfs::{self, Dirs, FileType, Meta, Place, Root, SideTable, Walk};

/// How a layer is packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackOptions {
    pub compression: Compression,
    /// For the compression; the bytes do not depend on it.
    pub threads: usize,
    /// The time of all files instead of their own, in seconds since 1970.
    pub time: Option<i64>,
    /// Files that are older get this time, in seconds since 1970.
    pub earliest: Option<i64>,
    /// Files that are younger get this time, in seconds since 1970.
    pub latest: Option<i64>,
}

impl Default for PackOptions {
    /// [`Compression::GZIP`], a thread for each processor, the files' own times.
    fn default() -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let compression = Compression::default();
        Self { compression, threads, time: None, earliest: None, latest: None }
    }
}

/// Packs a layer: `changes` to the layers below, in the order given, as `root` and `records` have
/// them.
///
/// Owners and devices are the recorded ones; attributes are those that belong to the image. Of a
/// file's names the first is the file and the others are hard links to it. Sockets, which tar does
/// not know, are left out.
///
/// # Errors
///
/// [`Error::Unfit`] when a file's name begins with `.wh.`, which would delete another one;
/// [`Error::Write`] with what `output` said; [`Error::Files`] with what the files said.
pub fn pack(
    root: &Root,
    changes: &[Change],
    records: &SideTable,
    options: &PackOptions,
    output: impl Write,
) -> Result<Layer, Error> {
    let mut packer = Packer::new(root, records, options, writer(options, output)?)?;
    for change in changes {
        match change {
            Change::Put(path) => {
                if !matches!(whiteout::read(path), Ok(Name::Plain)) {
                    let problem = "names that begin with .wh. stand for deletions";
                    return Err(Error::Unfit { path: path.clone(), problem });
                }
                packer.put(path)?;
            }
            Change::Delete(path) => packer.mark(
                path.with_file_name(whiteout::name_of(path.file_name().unwrap_or_default())),
            )?,
            Change::Hide(path) => packer.mark(path.join(whiteout::OPAQUE))?,
        }
    }
    packer.finish()
}

/// Packs all of `root`, the root directory first: an image's file system as one layer, or as a plain
/// tar. Everything else is as [`pack`] does it, but any name is welcome.
pub fn pack_tree(
    root: &Root,
    records: &SideTable,
    options: &PackOptions,
    output: impl Write,
) -> Result<Layer, Error> {
    let mut packer = Packer::new(root, records, options, writer(options, output)?)?;
    for found in Walk::new(root, Path::new(""), records) {
        packer.put(&found?.path)?;
    }
    packer.finish()
}

/// Packs several trees, each as [`pack_tree`] does it, but in the directory that it comes with.
pub fn pack_trees<'a>(
    trees: impl IntoIterator<Item = (&'a Path, &'a Root, &'a SideTable)>,
    options: &PackOptions,
    output: impl Write,
) -> Result<Layer, Error> {
    let mut writer = writer(options, output)?;
    for (directory, root, records) in trees {
        let mut packer = Packer::new(root, records, options, writer)?;
        directory.clone_into(&mut packer.directory);
        for found in Walk::new(root, Path::new(""), records) {
            packer.put(&found?.path)?;
        }
        writer = packer.writer;
    }
    let (_, layer) = writer.finish()?;
    Ok(layer)
}

fn writer<W: Write>(options: &PackOptions, output: W) -> Result<LayerWriter<W>, Error> {
    LayerWriter::new(output, options.compression, options.threads)
}

struct Packer<'a, W: Write> {
    writer: LayerWriter<W>,
    /// Where everything goes.
    directory: PathBuf,
    dirs: Dirs,
    records: &'a SideTable,
    options: &'a PackOptions,
    /// The first name of each file with several, by its identity.
    links: HashMap<(u64, u64), PathBuf>,
}

impl<'a, W: Write> Packer<'a, W> {
    fn new(
        root: &Root,
        records: &'a SideTable,
        options: &'a PackOptions,
        writer: LayerWriter<W>,
    ) -> Result<Self, Error> {
        let (directory, links) = (PathBuf::new(), HashMap::new());
        Ok(Self { writer, directory, dirs: root.dirs()?, records, options, links })
    }

    fn put(&mut self, path: &Path) -> Result<(), Error> {
        let missing = || rootfs::Error::Missing { path: path.to_owned() };
        let place = self.dirs.place(path)?.ok_or_else(missing)?;
        let (meta, xattrs) = place.describe(self.records)?.ok_or_else(missing)?;
        let Some(mut entry) = self.entry(path, &place, &meta)? else { return Ok(()) };
        entry.xattrs = xattrs;
        if meta.nlink > 1 && !meta.is_dir() {
            if let Some(first) = self.links.get(&meta.identity()) {
                entry.kind = EntryKind::Hardlink;
                entry.link = Some(first.clone());
                entry.size = 0;
                return self.writer.append(&entry, io::empty());
            }
            self.links.insert(meta.identity(), self.directory.join(path));
        }
        if entry.kind == EntryKind::File && entry.size > 0 {
            self.writer.append(&entry, place.open()?)
        } else {
            self.writer.append(&entry, io::empty())
        }
    }

    /// None for what no tar can have.
    fn entry(&self, path: &Path, place: &Place, meta: &Meta) -> Result<Option<Entry>, Error> {
        let kind = match meta.kind {
            FileType::File => EntryKind::File,
            FileType::Dir => EntryKind::Dir,
            FileType::Symlink => EntryKind::Symlink,
            FileType::Fifo => EntryKind::Fifo,
            FileType::Char => EntryKind::Char,
            FileType::Block => EntryKind::Block,
            FileType::Socket => return Ok(None),
        };
        let path = match path.as_os_str().is_empty() {
            true if self.directory.as_os_str().is_empty() => PathBuf::from("."),
            true => self.directory.clone(),
            false => self.directory.join(path),
        };
        let mut entry = Entry::new(path, kind);
        entry.mode = meta.mode;
        (entry.uid, entry.gid) = (meta.uid, meta.gid);
        entry.mtime = self.options.time.map_or(meta.mtime, |seconds| (seconds, 0));
        if let Some(earliest) = self.options.earliest {
            entry.mtime = entry.mtime.max((earliest, 0));
        }
        if let Some(latest) = self.options.latest {
            entry.mtime = entry.mtime.min((latest, 0));
        }
        match kind {
            EntryKind::File => entry.size = meta.size,
            EntryKind::Symlink => {
                entry.mode = 0o777; // nobody looks at it, and file systems differ
                entry.link = Some(place.read_link()?);
            }
            EntryKind::Char | EntryKind::Block => entry.device = meta.rdev,
            EntryKind::Dir | EntryKind::Hardlink | EntryKind::Fifo => {}
        }
        Ok(Some(entry))
    }

    /// Writes a whiteout: an empty file whose name says it all.
    fn mark(&mut self, path: PathBuf) -> Result<(), Error> {
        self.writer.append(&Entry::new(path, EntryKind::File), io::empty())
    }

    fn finish(self) -> Result<Layer, Error> {
        let (_, layer) = self.writer.finish()?;
        Ok(layer)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::os::unix::net::UnixListener;

    use tempfile::TempDir;

    use super::*;
    use crate::image::Digest;
    use crate::layer::archive::Reader;
    use crate::layer::compress::decompress;
    use crate::layer::unpack;
    use crate::rootfs::{Device, DeviceKind, Record};

    const TIME: (i64, u32) = (1_700_000_000, 0);

    /// A little of everything, made in the given order, and the changes that it is.
    fn tree(backwards: bool) -> (TempDir, Root, SideTable, Vec<Change>) {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |path: &str| dir.path().join(path);
        for path in ["etc", "dev", "lib"] {
            fs::create_dir(at(path)).expect(path);
        }
        let mut names = ["z", "y", "etc/passwd", "lib/old", "dev/null", "dev/sda"];
        if backwards {
            names.reverse();
        }
        for name in names {
            let content = if name.starts_with("dev") { "" } else { name };
            fs::write(at(name), content).expect(name);
            fs::set_permissions(at(name), fs::Permissions::from_mode(0o644)).expect(name);
        }
        fs::hard_link(at("z"), at("etc/z")).expect("a link");
        symlink("/etc/passwd", at("link")).expect("a link");
        let _socket = UnixListener::bind(at("socket")).expect("a socket");
        for path in ["", "etc", "dev", "lib"] {
            fs::set_permissions(at(path), fs::Permissions::from_mode(0o755)).expect(path);
        }

        let root = Root::open(dir.path()).expect("a root");
        let mut records = SideTable::default();
        let mut record = |path: &str, record: Record| {
            let place = root.place(Path::new(path)).expect(path).expect(path);
            let kind = place.meta(&records).expect(path).expect(path).real_kind;
            place.set_record(kind, record, &mut records).expect(path);
        };
        let capability = [("security.capability".into(), b"\x01\n".to_vec())];
        record("etc/passwd", Record { xattrs: capability.into(), ..Record::owner(1, 2) });
        record("link", Record::owner(3, 4));
        let device = |kind, major, minor| Record {
            device: Some(Device { kind, major, minor }),
            ..Record::owner(0, 5)
        };
        record("dev/null", device(DeviceKind::Char, 1, 3));
        record("dev/sda", device(DeviceKind::Block, 8, 0));
        let all = "dev/null dev/sda dev etc/passwd etc/z etc lib/old lib link socket y z ";
        for path in all.split(' ') {
            root.set_time(Path::new(path), TIME).expect(path);
        }
        root.set_time(Path::new("y"), (1_800_000_000, 5)).expect("y");

        let put = |path: &str| Change::Put(path.into());
        let changes = vec![
            put(""),
            put("dev"),
            put("dev/null"),
            put("dev/sda"),
            put("etc"),
            put("etc/passwd"),
            Change::Delete("etc/shadow".into()),
            put("etc/z"),
            put("lib"),
            Change::Hide("lib".into()),
            put("lib/old"),
            put("link"),
            put("socket"),
            Change::Delete("x".into()),
            put("y"),
            put("z"),
        ];
        (dir, root, records, changes)
    }

    fn options(compression: Compression) -> PackOptions {
        PackOptions { compression, ..PackOptions::default() }
    }

    fn list(bytes: &[u8]) -> Vec<String> {
        let mut reader = Reader::new(decompress(bytes).expect("ours"));
        let mut lines = Vec::new();
        while let Some(entry) = reader.next_entry().expect("ours") {
            let mut content = String::new();
            reader.read_to_string(&mut content).expect("text");
            let Entry { kind, path, mode, uid, gid, mtime, link, device, xattrs, .. } = entry;
            let mut line = format!("{kind:?} {} {mode:o} {uid}:{gid}", path.display());
            if mtime != TIME {
                line += &format!(" @{}+{}", mtime.0, mtime.1);
            }
            line += &link.map_or(String::new(), |link| format!(" -> {}", link.display()));
            if device != (0, 0) {
                line += &format!(" {device:?}");
            }
            for (name, value) in xattrs {
                line += &format!(" {name:?}={value:?}");
            }
            lines.push(if content.is_empty() { line } else { format!("{line} {content:?}") });
        }
        lines
    }

    #[test]
    fn changes_become_a_layer() {
        let (_dir, root, records, changes) = tree(false);
        let mut bytes = Vec::new();
        let layer = pack(&root, &changes, &records, &options(Compression::None), &mut bytes)
            .expect("packed");
        assert_eq!(
            list(&bytes),
            [
                "Dir . 755 0:0",
                "Dir dev 755 0:0",
                "Char dev/null 644 0:5 (1, 3)",
                "Block dev/sda 644 0:5 (8, 0)",
                "Dir etc 755 0:0",
                r#"File etc/passwd 644 1:2 "security.capability"=[1, 10] "etc/passwd""#,
                "File etc/.wh.shadow 0 0:0 @0+0",
                r#"File etc/z 644 0:0 "z""#,
                "Dir lib 755 0:0",
                "File lib/.wh..wh..opq 0 0:0 @0+0",
                r#"File lib/old 644 0:0 "lib/old""#,
                "Symlink link 777 3:4 -> /etc/passwd",
                "File .wh.x 0 0:0 @0+0",
                r#"File y 644 0:0 @1800000000+5 "y""#,
                "Hardlink z 644 0:0 -> etc/z",
            ]
        );
        assert_eq!(layer.descriptor.digest, Digest::of(&bytes));
        assert_eq!(layer.descriptor.size, bytes.len() as u64);
        assert_eq!(layer.diff_id, layer.descriptor.digest);
    }

    #[test]
    fn the_same_files_make_the_same_layer_for_ever() {
        let mut tar = Vec::new();
        let (_dir, root, records, changes) = tree(false);
        pack(&root, &changes, &records, &options(Compression::None), &mut tar).expect("packed");
        for compression in [Compression::GZIP, Compression::ZSTD] {
            let mut seen = Vec::new();
            for (threads, backwards) in [(1, false), (2, true), (4, true)] {
                let (_dir, root, records, changes) = tree(backwards);
                let options = PackOptions { threads, ..options(compression) };
                let mut bytes = Vec::new();
                let layer = pack(&root, &changes, &records, &options, &mut bytes).expect("packed");
                assert_eq!(layer.descriptor.media_type, compression.media_type());
                assert_eq!(layer.descriptor.digest, Digest::of(&bytes));
                assert_eq!(layer.descriptor.size, bytes.len() as u64);
                assert_eq!(layer.diff_id, Digest::of(&tar));
                seen.push(bytes);
            }
            assert!(seen.iter().all(|bytes| *bytes == seen[0]), "{compression}");
        }
        // Another digest here means that every layer built before is built anew: think twice.
        assert_eq!(
            Digest::of(&tar).to_string(),
            "sha256:100dcb84d22a22b2e0cc8dd948af663dbde2c7b99ca9352354a3dc8b258b80a2"
        );
    }

    #[test]
    fn a_whole_tree_is_packed_in_order() {
        let (dir, root, records, _) = tree(true);
        fs::write(dir.path().join("lib/.wh.name"), "").expect("a file");
        let mut bytes = Vec::new();
        pack_tree(&root, &records, &options(Compression::None), &mut bytes).expect("packed");
        let paths: Vec<String> = list(&bytes)
            .iter()
            .map(|line| line.split(' ').nth(1).expect("a path").to_owned())
            .collect();
        let expected =
            ". dev dev/null dev/sda etc etc/passwd etc/z lib lib/.wh.name lib/old link y z";
        assert_eq!(paths.join(" "), expected);
    }

    #[test]
    fn nothing_is_lost_from_tar_to_tar() {
        let (_dir, root, records, _) = tree(false);
        let mut first = Vec::new();
        let none = options(Compression::None);
        let layer = pack_tree(&root, &records, &none, &mut first).expect("packed");
        let dir = tempfile::tempdir().expect("a directory");
        let root = Root::open(dir.path()).expect("a root");
        let unpacked = unpack(&first[..], &root).expect("unpacked");
        let mut second = Vec::new();
        let again = pack_tree(&root, &unpacked.records, &none, &mut second).expect("packed");
        assert_eq!(list(&first), list(&second));
        assert_eq!(layer, again);
    }

    #[test]
    fn all_files_may_have_one_time() {
        let (_dir, root, records, _) = tree(false);
        let changes = [Change::Put("y".into()), Change::Put("z".into())];
        for (time, expected) in [
            (None, ["@1800000000+5", ""]),
            (Some(1_750_000_000), ["@1750000000+0", "@1750000000+0"]),
            (Some(0), ["@0+0", "@0+0"]),
        ] {
            let options = PackOptions { time, ..options(Compression::None) };
            let mut bytes = Vec::new();
            pack(&root, &changes, &records, &options, &mut bytes).expect("packed");
            for (line, expected) in list(&bytes).iter().zip(expected) {
                assert!(line.contains(expected), "{time:?}: {line}");
            }
        }
    }

    #[test]
    fn what_cannot_be_said_is_refused() {
        let (dir, root, records, _) = tree(false);
        fs::write(dir.path().join(".wh.y"), "").expect("a file");
        let options = options(Compression::None);
        for (path, expected) in [(".wh.y", ".wh."), ("nowhere", "does not exist")] {
            let changes = [Change::Put(path.into())];
            let error = pack(&root, &changes, &records, &options, io::sink()).expect_err(path);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn an_output_that_fails_is_reported() {
        /// Takes so many bytes.
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (dir, root, records, _) = tree(false);
        let noise: Vec<u8> = (0..3_u32 << 20).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
        fs::write(dir.path().join("large"), noise).expect("a file");
        let changes = [Change::Put("large".into())];
        for compression in [Compression::None, Compression::GZIP, Compression::ZSTD] {
            for room in [0, 100, 1 << 10] {
                let error = pack(&root, &changes, &records, &options(compression), Full(room))
                    .expect_err("there is no room");
                let Error::Write(source) = error else { panic!("{error}") };
                assert_eq!(source.kind(), io::ErrorKind::StorageFull, "{compression} {room}");
            }
        }
    }
}
