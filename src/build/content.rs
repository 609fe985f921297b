//! The digest of what COPY and ADD take: names, kinds, modes, owners, contents, links and
//! capabilities; no times.
//!
//! It is made twice: before, for the key, and once more of what was really copied ([`Witness`]), for a
//! context may change meanwhile. A file is read for it once, however many steps take it: see
//! [`Hashes`](crate::store::Hashes).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::SystemTime;

use super::error::Fault;
use super::files::{Files, Source, inside};
use super::hashing::{Asked, Hashed, Hashing, Outcome};
use super::key::KeyMaker;
use crate::dockerfile::Ignore;
use crate::image::{Digest, Hasher};
use crate::rootfs::{
    self, CAPABILITY, Choice, Dirs, FileType, Found, Meta, Stamp, Taken, Walk, Xattrs,
};

impl Files {
    /// The digest of all that copying `source` depends on. Of a directory it is what is in it, for its
    /// own attributes are not copied.
    pub(super) fn digest(&self, source: &Source, exclude: &Ignore) -> Result<Digest, Fault> {
        let mut tally = Tally::new(self, source);
        let mut hashing = Hashing::default();
        let mut dirs = self.said(self.root.dirs())?;
        let mut walk = Walk::new(&self.root, &source.path, &self.records);
        while let Some(found) = walk.next() {
            let found = self.said(found)?;
            let choice = self.choose(source, exclude, &found.path, &found.meta);
            if choice == Choice::Skip {
                walk.leave_out();
                continue;
            }
            self.allow(&found.path, &found.meta)?;
            if tally.see(&found.path, &found.meta, choice) {
                self.ask(&found, &mut dirs, &mut tally, &mut hashing)?;
            }
            while let Some(hashed) = hashing.ready() {
                tally.content(&self.learned(hashed)?);
            }
        }
        while let Some(hashed) = hashing.next() {
            tally.content(&self.learned(hashed)?);
        }
        Ok(tally.finish())
    }

    /// Whether what is read may be another thing the next moment.
    pub(super) fn may_change(&self) -> bool {
        self.hashes.is_some()
    }

    /// As [`Self::digest`], of a file that was read since it was found; the digest of nothing when it
    /// changed meanwhile.
    pub(super) fn digest_if_same(
        &self,
        source: &Source,
        exclude: &Ignore,
    ) -> Result<Digest, Fault> {
        let now = self.said(self.root.lstat(&source.path))?;
        match now {
            Some(meta) if meta.stamp() == source.meta.stamp() => self.digest(source, exclude),
            _ => Ok(Digest::of(b"")),
        }
    }

    /// The digest of a file's content alone.
    pub(super) fn content_digest(&self, source: &Source) -> Result<Digest, Fault> {
        let mut hashing = Hashing::default();
        let (time, path) = (SystemTime::now(), source.path.clone());
        let file = self.said(self.root.open_file(&path))?;
        let stamp = source.meta.stamp();
        hashing.ask(Asked { path, file, stamp, time, is_all: false });
        self.learned(hashing.next().expect("one was asked for"))
    }

    /// Asks for what else there is to say about a file.
    fn ask(
        &self,
        found: &Found,
        dirs: &mut Dirs,
        tally: &mut Tally<'_>,
        hashing: &mut Hashing,
    ) -> Result<(), Fault> {
        let gone = || rootfs::Error::Missing { path: self.root.path().join(&found.path) };
        let place = self.said(dirs.place(&found.path))?;
        let place = self.said(place.ok_or_else(gone))?;
        match found.meta.real_kind {
            FileType::Symlink => tally.link(&self.said(place.read_link())?),
            FileType::File => {
                let stamp = found.meta.stamp();
                // What is known by its stamp has no capability.
                if let Some(digest) = self.known(&stamp) {
                    hashing.know(digest);
                    return Ok(());
                }
                let time = SystemTime::now();
                let described = self.said(place.describe(&self.records))?;
                let (_, xattrs) = self.said(described.ok_or_else(gone))?;
                tally.capability(&xattrs);
                let (path, file) = (found.path.clone(), self.said(place.open())?);
                let is_all = !xattrs.contains_key(OsStr::new(CAPABILITY));
                hashing.ask(Asked { path, file, stamp, time, is_all });
            }
            _ => {}
        }
        Ok(())
    }

    fn known(&self, stamp: &Stamp) -> Option<Digest> {
        let hashes = self.hashes.as_ref()?;
        hashes.lock().unwrap_or_else(PoisonError::into_inner).get(stamp)
    }

    fn learned(&self, hashed: Outcome) -> Result<Digest, Fault> {
        let Hashed { digest, stamp } =
            hashed.map_err(|(path, error)| Fault::Read(self.root.path().join(path), error))?;
        if let (Some((stamp, time)), Some(hashes)) = (stamp, &self.hashes) {
            let mut hashes = hashes.lock().unwrap_or_else(PoisonError::into_inner);
            hashes.learn(&stamp, &digest, time, self.telling == Some(stamp.dev));
        }
        Ok(digest)
    }
}

/// Contents of files that are not all those of a tree: one digest of them, in the order in which they
/// come.
pub(super) struct Contents<'f> {
    files: &'f Files,
    hashing: Hashing,
    key: KeyMaker,
}

impl<'f> Contents<'f> {
    /// `files` keeps what is learned of them.
    pub(super) fn new(files: &'f Files) -> Self {
        Self { files, hashing: Hashing::default(), key: KeyMaker::new("contents", None) }
    }

    /// Adds a file. `is_all`: it has no capability.
    pub(super) fn add(
        &mut self,
        path: PathBuf,
        meta: &Meta,
        is_all: bool,
        open: impl FnOnce() -> Result<File, Fault>,
    ) -> Result<(), Fault> {
        let stamp = meta.stamp();
        match self.files.known(&stamp) {
            Some(digest) => self.hashing.know(digest),
            None => {
                let time = SystemTime::now();
                self.hashing.ask(Asked { path, file: open()?, stamp, time, is_all });
            }
        }
        while let Some(hashed) = self.hashing.ready() {
            self.key.add("content", self.files.learned(hashed)?.to_string());
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Digest, Fault> {
        while let Some(hashed) = self.hashing.next() {
            self.key.add("content", self.files.learned(hashed)?.to_string());
        }
        Ok(self.key.finish().digest().clone())
    }
}

/// The digest in the making. Contents have a key of their own, as they come later than what else
/// there is to say.
struct Tally<'t> {
    files: &'t Files,
    source: &'t Source,
    key: KeyMaker,
    contents: KeyMaker,
    /// Where the first name of a file with several is, among those that come along.
    links: HashMap<(u64, u64), PathBuf>,
    /// Directories that count only if something in them does.
    pending: Vec<(PathBuf, Meta)>,
}

impl<'t> Tally<'t> {
    fn new(files: &'t Files, source: &'t Source) -> Self {
        Self {
            files,
            source,
            key: KeyMaker::new("tree", None),
            contents: KeyMaker::new("contents", None),
            links: HashMap::new(),
            pending: Vec::new(),
        }
    }

    /// The walk has come to a file. Whether there is more to say of it: where a link leads, or a
    /// content.
    fn see(&mut self, path: &Path, meta: &Meta, choice: Choice) -> bool {
        self.pending.retain(|(folder, _)| path.starts_with(folder));
        let is_start = meta.is_dir() && path == self.source.path;
        match choice {
            Choice::Skip => return false,
            Choice::Search => {
                self.pending.push((path.to_owned(), *meta));
                return false;
            }
            Choice::Take if is_start => return false,
            Choice::Take => {}
        }
        for (folder, meta) in std::mem::take(&mut self.pending) {
            self.describe(&folder, &meta);
        }
        if meta.is_whiteout() {
            return false; // not copied
        }
        self.describe(path, meta);
        if meta.nlink > 1 && !meta.is_dir() {
            if let Some(first) = self.links.get(&meta.identity()) {
                self.key.add("hard link", bytes(inside(first, self.source)));
                return false;
            }
            self.links.insert(meta.identity(), path.to_owned());
        }
        matches!(meta.real_kind, FileType::File | FileType::Symlink)
    }

    fn describe(&mut self, path: &Path, meta: &Meta) {
        let Meta { kind, mode, uid, gid, rdev, .. } = *meta;
        let (uid, gid) = if self.files.keeps_owners { (uid, gid) } else { (0, 0) };
        self.key.add("path", bytes(inside(path, self.source)));
        self.key.add("is", format!("{kind:?} {mode:o} {uid} {gid} {rdev:?}"));
    }

    fn link(&mut self, target: &Path) {
        self.key.add("leads to", bytes(target));
    }

    fn capability(&mut self, xattrs: &Xattrs) {
        if let Some(value) = xattrs.get(OsStr::new(CAPABILITY)) {
            self.key.add("capability", value);
        }
    }

    fn content(&mut self, digest: &Digest) {
        self.contents.add("content", digest.to_string());
    }

    fn finish(self) -> Digest {
        let contents = self.contents.finish().digest().to_string();
        self.key.field("contents", contents).finish().digest().clone()
    }
}

/// Looks on while a source is copied, and says in the end what was copied.
pub(super) struct Witness<'t> {
    tally: RefCell<Tally<'t>>,
    exclude: &'t Ignore,
    /// The file that came last is to say more.
    waits: Cell<bool>,
}

impl<'t> Witness<'t> {
    pub(super) fn new(files: &'t Files, source: &'t Source, exclude: &'t Ignore) -> Self {
        let tally = RefCell::new(Tally::new(files, source));
        Self { tally, exclude, waits: Cell::new(false) }
    }

    /// What [`Files::choose`] says.
    pub(super) fn choose(&self, path: &Path, meta: &Meta) -> Choice {
        let mut tally = self.tally.borrow_mut();
        let choice = tally.files.choose(tally.source, self.exclude, path, meta);
        self.waits.set(tally.see(path, meta, choice));
        choice
    }

    /// A file is there.
    pub(super) fn look(&self, found: &Found, taken: &Taken<'_>) -> rootfs::Result<()> {
        if !self.waits.replace(false) {
            return Ok(());
        }
        let mut tally = self.tally.borrow_mut();
        match taken {
            Taken::Link(target) => tally.link(target),
            Taken::File { xattrs, opened } => {
                tally.capability(xattrs);
                let stamp = found.meta.stamp();
                let digest = match opened {
                    None => Digest::of(b""),
                    Some((original, copy)) => {
                        let is_same = Stamp::of(original) == Some(stamp);
                        match tally.files.known(&stamp).filter(|_| is_same) {
                            Some(digest) => digest,
                            // Nobody changes the copy.
                            None => of_copy(copy, &found.path)?,
                        }
                    }
                };
                tally.content(&digest);
            }
        }
        Ok(())
    }

    /// As [`Files::digest`].
    pub(super) fn finish(self) -> Digest {
        self.tally.into_inner().finish()
    }
}

fn of_copy(copy: &File, path: &Path) -> rootfs::Result<Digest> {
    let fail = |source| rootfs::Error::Read { path: path.to_owned(), source };
    let (mut hasher, mut at) = (Hasher::sha256(), 0);
    let mut buffer = vec![0; 128 << 10];
    loop {
        match copy.read_at(&mut buffer, at) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                at += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(fail(error)),
        }
    }
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}
