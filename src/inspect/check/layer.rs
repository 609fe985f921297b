//! What is in a layer, read once and to its end whatever is wrong with it.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};

use super::report::Findings;
use super::secret::{HEAD, looks_secret};
use super::{Cause, CheckOptions, Error, cause, chain};
use crate::image::{Descriptor, Digest, Hasher};
use crate::inspect::listing::{Listing, Record, Slim};
use crate::inspect::scan::{Bomb, Budget, Capped};
use crate::layer::archive::{Entry, EntryKind, Reader};
use crate::layer::compress::{Compression, decompress};
use crate::layer::{self, Change, change};
use crate::report::{Outcome, Reporter, start};
use crate::rootfs::clean;
use crate::transfer::Source;

/// `PATH_MAX` without its NUL, and `NAME_MAX`.
const LONGEST: (usize, usize) = (4095, 255);

/// The last second of an unsigned number of 32 bits: 2106.
const LAST: i64 = u32::MAX as i64;

/// A file's own capabilities.
const CAPABILITY: &str = "security.capability";

/// What was seen of a layer.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) findings: Findings,
    /// As far as it could be read.
    pub(super) listing: Listing<Slim>,
}

/// A layer of an image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Of<'a> {
    /// 1 is the lowest.
    pub(super) number: usize,
    pub(super) descriptor: &'a Descriptor,
    /// As the configuration has it.
    pub(super) diff_id: Option<&'a Digest>,
}

/// What is there of a blob, by its size alone.
fn presence(
    source: &dyn Source,
    descriptor: &Descriptor,
    name: &str,
    findings: &mut Findings,
) -> Result<Option<Descriptor>, Error> {
    match source.size(descriptor)? {
        None => {
            let digest = &descriptor.digest;
            findings.add("missing-blob", format_args!("{name}: {digest} is not there"));
            Ok(None)
        }
        Some(size) => {
            if size != descriptor.size {
                let told = descriptor.size;
                findings.add(
                    "layer-size",
                    format_args!("{name} has {size} bytes, the manifest says {told}"),
                );
            }
            Ok(Some(Descriptor { size, ..descriptor.clone() }))
        }
    }
}

/// Looks at a part of an artifact, whatever that is.
pub(super) fn blob(
    source: &dyn Source,
    descriptor: &Descriptor,
    options: &CheckOptions,
    reporter: &dyn Reporter,
) -> Result<Findings, Error> {
    let mut findings = Findings::default();
    let name = format!("blob {}", descriptor.digest.short());
    let Some(there) = presence(source, descriptor, &name, &mut findings)? else {
        return Ok(findings);
    };
    if !options.fast {
        let running = start(reporter, name.clone(), Some(there.size));
        let mut input = Hashed::new(source.open(&there)?, &there.digest);
        let read = io::copy(&mut input, &mut io::sink());
        digest(source, &there, input, read.err(), &name, &mut findings)?;
        running.finish(Outcome::Done);
    }
    Ok(findings)
}

/// Looks at a layer.
pub(super) fn look(
    source: &dyn Source,
    of: &Of<'_>,
    options: &CheckOptions,
    budget: &Budget,
    reporter: &dyn Reporter,
) -> Result<Look, Error> {
    let name = format!("layer {} ({})", of.number, of.descriptor.digest.short());
    let mut look = Look::default();
    let Some(there) = presence(source, of.descriptor, &name, &mut look.findings)? else {
        return Ok(look);
    };
    if options.fast {
        return Ok(look);
    }
    let running = start(reporter, name.clone(), Some(there.size));
    let inner = source.open(&there)?;
    let mut compressed = Hashed::new(Watched { inner, running: &running }, &there.digest);
    let mut way = Way { name: &name, options, budget, look: &mut look, head: Vec::new() };
    let (failed, unpacked) = way.archive(&mut compressed, &there);
    let failed = match failed {
        Some(error) => Some(error),
        // What lies behind the end of the compressed data is part of the blob.
        None => io::copy(&mut compressed, &mut io::sink()).err(),
    };
    // A broken stream says nothing of what the rest of the bytes are.
    let failed = match failed {
        Some(error) if is_of_the_data(&error) => {
            way.broken(&error);
            io::copy(&mut compressed, &mut io::sink()).err()
        }
        other => other,
    };
    digest(source, &there, compressed, failed, &name, &mut look.findings)?;
    if let (Some(unpacked), Some(expected)) = (unpacked, of.diff_id)
        && unpacked != *expected
    {
        look.findings.add(
            "diff-id",
            format_args!("{name} unpacks to {unpacked}, the configuration says {expected}"),
        );
    }
    running.finish(Outcome::Done);
    Ok(look)
}

/// Whether reading failed because of what the bytes are, and not because there were none.
fn is_of_the_data(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Bomb>())
        || (error.raw_os_error().is_none()
            && error.get_ref().is_none_or(|inner| !inner.is::<crate::registry::Error>())
            && matches!(cause(error), Cause::Other))
}

/// Compares a blob that was read, or that could not be, with its digest.
fn digest<R>(
    source: &dyn Source,
    descriptor: &Descriptor,
    input: Hashed<R>,
    failed: Option<io::Error>,
    name: &str,
    findings: &mut Findings,
) -> Result<(), Error> {
    if let Some(error) = failed {
        let id = match cause(&error) {
            Cause::Size => "layer-size",
            Cause::Digest => "layer-digest",
            Cause::Image(_) | Cause::Other => {
                let (digest, from) = (descriptor.digest.clone(), source.name());
                return Err(match error.downcast::<crate::registry::Error>() {
                    Ok(error) => crate::transfer::Error::from(error).into(),
                    Err(source) => crate::transfer::Error::Read { digest, from, source }.into(),
                });
            }
        };
        findings.add(id, format_args!("{name}: {}", chain(&error)));
        return Ok(());
    }
    let actual = input.hasher.finish();
    if actual != descriptor.digest {
        let wanted = &descriptor.digest;
        findings.add("layer-digest", format_args!("{name} is {actual}, not {wanted}"));
    }
    Ok(())
}

/// Hashes what passes.
struct Hashed<R> {
    inner: R,
    hasher: Hasher,
}

impl<R> Hashed<R> {
    fn new(inner: R, digest: &Digest) -> Self {
        Self { inner, hasher: Hasher::new(digest.algorithm()) }
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

struct Watched<'a, R> {
    inner: R,
    running: &'a crate::report::Running<'a>,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.running.advance(count as u64);
        Ok(count)
    }
}

/// One layer's archive, under way.
struct Way<'a> {
    name: &'a str,
    options: &'a CheckOptions,
    budget: &'a Budget,
    look: &'a mut Look,
    /// The first bytes of the current file.
    head: Vec<u8>,
}

impl Way<'_> {
    fn add(&mut self, id: &'static str, what: impl std::fmt::Display) {
        self.look.findings.add(id, format_args!("{}: {what}", self.name));
    }

    fn broken(&mut self, error: &io::Error) {
        match error.get_ref().is_some_and(|inner| inner.is::<Bomb>()) {
            true => self.add("layer-bomb", chain(error)),
            false => {
                let text = match error.kind() {
                    io::ErrorKind::UnexpectedEof => "it is cut off".to_owned(),
                    _ => chain(error),
                };
                self.add("layer-seekable", text);
            }
        }
    }

    /// Reads the archive. Gives why that was not possible, and the digest of what it unpacks to, if
    /// it does.
    fn archive(
        &mut self,
        compressed: &mut (impl Read + Send),
        descriptor: &Descriptor,
    ) -> (Option<io::Error>, Option<Digest>) {
        let mut magic = Vec::new();
        if let Err(error) = compressed.by_ref().take(6).read_to_end(&mut magic) {
            return (Some(error), None);
        }
        self.compression(&magic, &descriptor.media_type);
        let whole = io::Cursor::new(magic).chain(compressed);
        let plain = match decompress(whole) {
            Ok(plain) => plain,
            Err(error) => return (Some(error), None),
        };
        let capped = Capped::new(plain, self.options.limits.of_layer(descriptor.size));
        let mut plain = Hashed { inner: capped, hasher: Hasher::sha256() };
        let mut reader = Reader::new(&mut plain);
        let mut over = false;
        loop {
            match reader.next_entry() {
                Ok(Some(entry)) if self.budget.takes(&entry, &self.options.limits) => {
                    match self.entry(entry, &mut reader).map_err(io::Error::downcast) {
                        Ok(()) => {}
                        // The archive ends in a file's content.
                        Err(Ok(error @ layer::Error::Truncated { .. })) => {
                            self.add("tar-format", chain(&error));
                            break;
                        }
                        Err(Ok(error)) => return (Some(io::Error::other(error)), None),
                        Err(Err(error)) => return (Some(error), None),
                    }
                }
                Ok(Some(_)) => {
                    if !std::mem::replace(&mut over, true) {
                        self.add("too-many-entries", "not all of its entries were looked at");
                    }
                }
                Ok(None) => break,
                Err(layer::Error::Read(error)) => return (Some(error), None),
                Err(error) => {
                    self.add("tar-format", chain(&error));
                    break;
                }
            }
        }
        match reader.finish() {
            Ok(_) => (None, Some(plain.hasher.finish())),
            Err(error) => (Some(error), None),
        }
    }

    /// Compares the first bytes with what the media type says.
    fn compression(&mut self, magic: &[u8], media_type: &str) {
        let found = match magic {
            [0x1f, 0x8b, ..] => "gzip",
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => "zstd",
            [b'B', b'Z', b'h', ..] => "bzip2",
            [0xfd, b'7', b'z', b'X', b'Z', 0] => "xz",
            _ => "not compressed",
        };
        let expected = match Compression::of_media_type(media_type) {
            Compression::Gzip { .. } => "gzip",
            Compression::Zstd { .. } => "zstd",
            Compression::None if media_type.ends_with("tar") => "not compressed",
            Compression::None => return,
        };
        if found != expected {
            self.add(
                "layer-compression",
                format_args!("it is {found}, its media type says {expected}"),
            );
        }
    }

    fn entry(&mut self, entry: Entry, data: &mut dyn Read) -> io::Result<()> {
        self.path(&entry);
        if entry.mtime.0 < 0 || entry.mtime.0 > LAST {
            let (path, time) = (&entry.path, entry.mtime.0);
            self.add(
                "tar-timestamp",
                format_args!("the time of {path:?} is {time} seconds after 1970"),
            );
        }
        let path = clean(&entry.path);
        match change(&path) {
            Err(error) => self.add("whiteout", chain(&error)),
            Ok(None) => {}
            Ok(Some(Change::Put(path))) => {
                self.file(&entry, &path, data)?;
                self.look.listing.push(Record::put(path, Slim::of(entry)));
            }
            Ok(Some(gone)) => {
                if entry.size > 0 {
                    self.add(
                        "whiteout-size",
                        format_args!("{:?} has {} bytes", entry.path, entry.size),
                    );
                }
                self.look.listing.push(match gone {
                    Change::Hide(path) => Record::hide(path),
                    gone => Record::delete(gone.path()),
                });
            }
        }
        Ok(())
    }

    /// What is wrong with a name, as it is written.
    fn path(&mut self, entry: &Entry) {
        let path = &entry.path;
        if path.components().any(|part| part == Component::ParentDir) {
            self.add("path-escape", format_args!("{path:?}"));
        } else if path.is_absolute() {
            self.add("absolute-path", format_args!("{path:?}"));
        }
        if clean(path).as_os_str().is_empty() && entry.kind != EntryKind::Dir {
            self.add("path-escape", format_args!("{path:?} would take the place of the root"));
        }
        let longest = path.components().map(|part| part.as_os_str().len()).max().unwrap_or(0);
        if path.as_os_str().len() > LONGEST.0 || longest > LONGEST.1 {
            let start = OsStr::from_bytes(&path.as_os_str().as_bytes()[..60]);
            let length = path.as_os_str().len();
            self.add("path-length", format_args!("{:?}… has {length} bytes", Path::new(start)));
        }
    }

    fn file(&mut self, entry: &Entry, path: &Path, data: &mut dyn Read) -> io::Result<()> {
        let is_privileged = entry.kind == EntryKind::File && entry.mode & 0o6000 != 0;
        let is_open = entry.mode & 0o002 != 0;
        match (entry.kind, is_privileged) {
            (_, true) if is_open => {
                self.add("tar-permissions", format_args!("{path:?} has mode {:04o}", entry.mode));
            }
            (_, true) => self.add("setuid", format_args!("{path:?} has mode {:04o}", entry.mode)),
            (EntryKind::File, false) if is_open => {
                self.add("world-writable", format_args!("{path:?} has mode {:04o}", entry.mode));
            }
            (EntryKind::Dir, _) if is_open && entry.mode & 0o1000 == 0 => {
                self.add("world-writable", format_args!("{path:?} has mode {:04o}", entry.mode));
            }
            (EntryKind::Char | EntryKind::Block, _) => {
                let (major, minor) = entry.device;
                self.add("device", format_args!("{path:?} is the device {major}:{minor}"));
            }
            _ => {}
        }
        if entry.xattrs.contains_key(OsStr::new(CAPABILITY)) {
            self.add("capability", format_args!("{path:?} has capabilities"));
        }
        if entry.kind == EntryKind::File {
            self.head.clear();
            data.take(HEAD as u64).read_to_end(&mut self.head)?;
            if let Some(why) = looks_secret(path, &self.head) {
                self.add("secret", format_args!("{path:?}: {why}"));
            }
        }
        Ok(())
    }
}
