//! [`Usage`]: what takes up room in the storage directory, and for whom.
//!
//! A layer that several images have is there once, as a blob and as a tree. So what goes with an
//! image is less than what it needs, and of several images more than the sum of what goes with each.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::gc::{Reached, Removed, size_on_disk};
use super::{Name, RefEntry, Result, Store};
use crate::image::{Descriptor, Digest};
use crate::rootfs;

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An image, an index or an artifact that is here.
    Image,
    /// One whose name was removed.
    Removed,
    /// What a step of a build made.
    Step,
    /// A directory of `RUN --mount=type=cache`.
    CacheMount,
    /// What the commands of a build wrote.
    Log,
    /// Blobs and trees that nothing holds.
    Rest,
}

/// Something that can be deleted by itself.
#[derive(Debug, Clone)]
pub struct Piece {
    pub kind: Kind,
    /// An image's digest, a cached step's key, the name of a file.
    pub id: String,
    /// Of images.
    pub names: Vec<Name>,
    /// Of images: the manifest or the index.
    pub descriptor: Option<Descriptor>,
    /// What it is, for people; empty where its names say it.
    pub text: String,
    /// When it was used last, as far as that is known; of images, when it got its name.
    pub used: Option<SystemTime>,
    place: Option<PathBuf>,
    /// Bytes of `place`.
    own: u64,
    /// What it needs of [`Usage::shared`].
    needs: BTreeSet<usize>,
}

impl Piece {
    fn new(kind: Kind, id: impl Into<String>) -> Self {
        Self {
            kind,
            id: id.into(),
            names: Vec::new(),
            descriptor: None,
            text: String::new(),
            used: None,
            place: None,
            own: 0,
            needs: BTreeSet::new(),
        }
    }

    /// Whether it is an image that nobody gave a name, or that has lost its tag: docker prunes what
    /// only a digest names, too.
    pub fn is_dangling(&self) -> bool {
        let is_tagged = |name: &Name| match name {
            Name::Tagged(name) => name.tag().is_some(),
            Name::Anonymous(_) => false,
        };
        self.kind == Kind::Image && !self.names.iter().any(is_tagged)
    }
}

/// All that is in the storage directory.
#[derive(Debug, Default)]
pub struct Usage {
    pub pieces: Vec<Piece>,
    /// Bytes of what pieces may have in common.
    shared: Vec<u64>,
    /// How many pieces need that.
    users: Vec<usize>,
}

impl Usage {
    /// All bytes.
    pub fn total(&self) -> u64 {
        self.freed(|_| true)
    }

    /// Bytes that go with a piece alone, and bytes that others need, too.
    pub fn sizes(&self, piece: &Piece) -> (u64, u64) {
        let sum = |alone: bool| -> u64 {
            let needs = piece.needs.iter().filter(|at| (self.users[**at] == 1) == alone);
            needs.map(|at| self.shared[*at]).sum()
        };
        (piece.own + sum(true), sum(false))
    }

    /// Whether an image with a name needs something of it, or nothing is to be had of it.
    pub fn is_needed_by_named(&self, piece: &Piece) -> bool {
        let named = |other: &&Piece| other.kind == Kind::Image && !other.is_dangling();
        piece.needs.is_empty()
            || self.pieces.iter().filter(named).any(|other| !other.needs.is_disjoint(&piece.needs))
    }

    /// Bytes that the pieces of a kind need, each once.
    pub fn needed(&self, is_one: impl Fn(&Piece) -> bool) -> u64 {
        let pieces = || self.pieces.iter().filter(|piece| is_one(piece));
        let needs: HashSet<usize> =
            pieces().flat_map(|piece| piece.needs.iter().copied()).collect();
        let own: u64 = pieces().map(|piece| piece.own).sum();
        own + needs.into_iter().map(|at| self.shared[at]).sum::<u64>()
    }

    /// Bytes that are free when these pieces are gone.
    pub fn freed(&self, goes: impl Fn(&Piece) -> bool) -> u64 {
        let kept = self.pieces.iter().filter(|piece| !goes(piece));
        let kept: HashSet<usize> = kept.flat_map(|piece| piece.needs.iter().copied()).collect();
        let gone: u64 =
            (0..self.shared.len()).filter(|at| !kept.contains(at)).map(|at| self.shared[at]).sum();
        let own = self.pieces.iter().filter(|piece| goes(piece)).map(|piece| piece.own);
        gone + own.sum::<u64>()
    }
}

impl Store {
    /// Looks at everything; the trees' files are counted one by one.
    pub fn usage(&self) -> Result<Usage> {
        let mut usage = Usage::default();
        let mut places: HashMap<PathBuf, usize> = HashMap::new();
        for folder in ["blobs/sha256", "blobs/sha512", "trees"] {
            for path in self.entries(folder)? {
                let size = match folder {
                    "trees" => size_on_disk(&path).unwrap_or(0),
                    _ => fs::metadata(&path).map_or(0, |found| found.len()),
                };
                places.insert(path, usage.shared.len());
                usage.shared.push(size);
            }
        }
        let mut pieces: Vec<Piece> = Vec::new();
        for entry in self.list_refs()? {
            let digest = &entry.descriptor.digest;
            let same = |piece: &&mut Piece| piece.id == digest.to_string();
            match pieces.iter_mut().find(same) {
                Some(piece) => {
                    piece.needs.extend(self.needs(&entry, &places)?);
                    piece.names.push(entry.name);
                }
                None => {
                    let used = self.named_at(&entry.name);
                    let piece = self.of_image(Kind::Image, entry, &places)?;
                    pieces.push(Piece { used, ..piece });
                }
            }
        }
        for forgotten in self.forgotten_refs()? {
            let piece = self.of_image(Kind::Removed, forgotten.entry, &places)?;
            pieces.push(Piece { used: Some(forgotten.since), ..piece });
        }
        for (path, entry) in self.cache_entries()? {
            let mut piece = Piece::new(Kind::Step, file_name(&path));
            let mut reached = Reached::default();
            piece.used = modified(&path);
            piece.text = entry.said.clone().unwrap_or_default();
            piece.own = fs::metadata(&path).map_or(0, |found| found.len());
            reached.add_cached(entry);
            piece.needs = self.found(&reached, &places);
            pieces.push(Piece { place: Some(path), ..piece });
        }
        for path in self.entries("caches")? {
            let mut piece = Piece::new(Kind::CacheMount, file_name(&path));
            piece.used = modified(&path.join("0.lock"));
            piece.own = size_on_disk(&path).unwrap_or(0);
            piece.text =
                fs::read_to_string(path.join("name")).unwrap_or_default().trim().to_owned();
            pieces.push(Piece { place: Some(path), ..piece });
        }
        for path in self.entries("logs")? {
            let mut piece = Piece::new(Kind::Log, file_name(&path));
            piece.used = modified(&path);
            piece.own = size_on_disk(&path).unwrap_or(0);
            pieces.push(Piece { place: Some(path), ..piece });
        }
        usage.users = vec![0; usage.shared.len()];
        for at in pieces.iter().flat_map(|piece| &piece.needs) {
            usage.users[*at] += 1;
        }
        let mut rest = Piece::new(Kind::Rest, "-");
        rest.needs = (0..usage.shared.len()).filter(|at| usage.users[*at] == 0).collect();
        if !rest.needs.is_empty() {
            rest.needs.iter().for_each(|at| usage.users[*at] = 1);
            rest.text = "layers that nothing needs".to_owned();
            pieces.push(rest);
        }
        usage.pieces = pieces;
        Ok(usage)
    }

    fn of_image(
        &self,
        kind: Kind,
        entry: RefEntry,
        places: &HashMap<PathBuf, usize>,
    ) -> Result<Piece> {
        let mut piece = Piece::new(kind, entry.descriptor.digest.to_string());
        piece.needs = self.needs(&entry, places)?;
        piece.descriptor = Some(entry.descriptor);
        piece.names.push(entry.name);
        Ok(piece)
    }

    fn needs(&self, entry: &RefEntry, places: &HashMap<PathBuf, usize>) -> Result<BTreeSet<usize>> {
        let mut reached = Reached::default();
        self.reach_entry(entry, &mut reached)?;
        Ok(self.found(&reached, places))
    }

    fn found(&self, reached: &Reached, places: &HashMap<PathBuf, usize>) -> BTreeSet<usize> {
        let blobs = reached.blobs.iter().map(|digest: &Digest| self.blob_path(digest));
        let trees = reached.trees().map(|key| self.tree_path(&key));
        blobs.chain(trees).filter_map(|path| places.get(&path).copied()).collect()
    }

    /// Deletes pieces for good, and all that nothing holds without them.
    pub fn delete(&self, pieces: &[&Piece]) -> Result<Removed> {
        let of_kind = |kind| pieces.iter().filter(move |piece| piece.kind == kind);
        let names: HashSet<&Name> = pieces.iter().flat_map(|piece| &piece.names).collect();
        for name in of_kind(Kind::Image).flat_map(|piece| &piece.names) {
            self.forget_ref(name)?;
        }
        let deferred = Removed { deferred: true, ..Removed::default() };
        let done = self.alone(|| {
            for place in of_kind(Kind::Step).filter_map(|piece| piece.place.as_deref()) {
                self.delete_file(place)?;
            }
            let mut removed = self.sweep_now(&HashSet::new(), &|name, _| names.contains(name))?;
            removed.other += of_kind(Kind::Step).map(|piece| piece.own).sum::<u64>();
            for piece in of_kind(Kind::CacheMount) {
                let there = piece.place.as_deref().filter(|place| place.exists());
                if let Some(place) = there {
                    self.delete_tree(place)?;
                    removed.other += piece.own;
                }
            }
            for piece in of_kind(Kind::Log) {
                if let Some(place) = &piece.place
                    && rootfs::remove_tree(place)?
                {
                    removed.other += piece.own;
                }
            }
            Ok(removed)
        })?;
        Ok(done.unwrap_or(deferred))
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}
