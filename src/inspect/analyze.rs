//! [`Analysis`]: how much of what an image's layers carry is of any use.
//!
//! The score and what is called wasted are dive's, so that thresholds mean the same to both: of each
//! path that is a leaf in a layer's tree, the smallest size that it ever had against the sum of all.
//! A deletion counts as the path that it deletes, with no size, or with that of all that is in it
//! when it is a directory. What nobody can see any more in the end is counted beside it
//! ([`Analysis::hidden`]).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::listing::{Item, Listing, Record};
use super::merged::{Deed, Merged};
use super::steps;
use crate::image::{Config, Descriptor};
use crate::layer::archive::EntryKind;

/// A path that is in several layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub path: PathBuf,
    /// In how many, deletions included.
    pub count: usize,
    /// Bytes in all of them.
    pub size: u64,
}

/// A layer's share.
#[derive(Debug)]
pub struct Share {
    pub descriptor: Descriptor,
    /// Bytes of its files.
    pub size: u64,
    /// How many of them nobody can see in the end.
    pub hidden: u64,
    /// What made it.
    pub command: String,
    pub files: Vec<(PathBuf, Item)>,
}

/// What an image's layers carry.
#[derive(Debug)]
pub struct Analysis {
    pub layers: Vec<Share>,
    /// Bytes of all files of all layers.
    pub size: u64,
    /// Bytes of paths that are in several layers, in all of them.
    pub wasted: u64,
    /// 1 where nothing is wasted.
    pub efficiency: f64,
    /// `wasted` in relation to what the layers above the lowest carry; 0 where these carry nothing.
    pub user_wasted: f64,
    /// Bytes that upper layers hide.
    pub hidden: u64,
    /// The largest first.
    pub references: Vec<Reference>,
    /// The files in the end.
    pub merged: Merged,
}

#[derive(Debug, Default)]
struct Sizes {
    count: usize,
    sum: u64,
    least: Option<u64>,
}

impl Sizes {
    fn add(&mut self, size: u64) {
        self.count += 1;
        self.sum = self.sum.saturating_add(size);
        self.least = Some(self.least.map_or(size, |least| least.min(size)));
    }
}

impl Analysis {
    /// Of an image's layers, as [`list_all`](super::list_all) lists them.
    pub fn of(config: &Config, layers: &[Descriptor], listings: Vec<Listing>) -> Self {
        let mut paths: HashMap<PathBuf, Sizes> = HashMap::new();
        let mut merged = Merged::default();
        let makers = steps(config, layers);
        let mut shares = Vec::new();
        for (at, listing) in listings.into_iter().enumerate() {
            let files = files(&listing);
            for (path, item) in leaves(&files) {
                paths.entry(path.clone()).or_default().add(item.size);
            }
            merged.apply(at, listing, &mut |deed| {
                if let Deed::Deleted { path, bytes, dir } = deed {
                    let bytes = if dir { bytes } else { 0 };
                    paths.entry(path.to_owned()).or_default().add(bytes);
                }
            });
            let maker = makers
                .iter()
                .find(|step| step.layer.is_some_and(|layer| std::ptr::eq(layer, &layers[at])));
            let command = maker.and_then(|step| step.history.created_by.clone());
            shares.push(Share {
                descriptor: layers[at].clone(),
                size: files.iter().map(|(_, item)| item.size).sum(),
                hidden: 0,
                command: command.unwrap_or_default(),
                files,
            });
        }
        for (at, share) in shares.iter_mut().enumerate() {
            let seen: u64 = merged
                .iter()
                .filter(|(_, placed)| placed.layer == at && !placed.shared)
                .map(|(_, placed)| placed.item.size)
                .sum();
            share.hidden = share.size.saturating_sub(seen);
        }
        let least: u64 = paths.values().filter_map(|path| path.least).sum();
        let sum: u64 = paths.values().map(|path| path.sum).sum();
        let mut references: Vec<Reference> = paths
            .into_iter()
            .filter(|(_, found)| found.count > 1)
            .map(|(path, Sizes { count, sum, .. })| Reference { path, count, size: sum })
            .collect();
        references.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.path.cmp(&b.path)));
        let wasted = references.iter().map(|reference| reference.size).sum();
        let size = shares.iter().map(|share| share.size).sum();
        let user: u64 = shares.iter().skip(1).map(|share| share.size).sum();
        Self {
            size,
            wasted,
            efficiency: if sum == 0 { 1.0 } else { least as f64 / sum as f64 },
            user_wasted: if user == 0 { 0.0 } else { wasted as f64 / user as f64 },
            hidden: shares.iter().map(|share| share.hidden).sum(),
            layers: shares,
            references,
            merged,
        }
    }

    /// The document that `dive --json` writes, and what more is known.
    pub fn document(&self, config: &Config) -> Value {
        let layers: Vec<Value> = self
            .layers
            .iter()
            .enumerate()
            .map(|(at, share)| {
                let files = share.files.iter().map(|(path, item)| file(path, item));
                json!({
                    "index": at,
                    "id": share.descriptor.digest.hex(),
                    "digestId": config.rootfs.diff_ids.get(at),
                    "sizeBytes": share.size,
                    "hiddenBytes": share.hidden,
                    "command": share.command,
                    "fileList": files.collect::<Vec<_>>(),
                })
            })
            .collect();
        let references: Vec<Value> = self
            .references
            .iter()
            .map(|found| {
                json!({
                    "count": found.count,
                    "sizeBytes": found.size,
                    "file": format!("/{}", found.path.to_string_lossy()),
                })
            })
            .collect();
        json!({
            "layer": layers,
            "image": {
                "sizeBytes": self.size,
                "inefficientBytes": self.wasted,
                "efficiencyScore": self.efficiency,
                "userWastedPercent": self.user_wasted,
                "hiddenBytes": self.hidden,
                "fileReference": references,
            },
        })
    }
}

/// The types of Go's archive/tar, and its modes.
fn file(path: &Path, item: &Item) -> Value {
    let (flag, kind): (u8, u32) = match item.kind {
        EntryKind::File => (b'0', 0),
        EntryKind::Hardlink => (b'1', 0),
        EntryKind::Symlink => (b'2', 1 << 27),
        EntryKind::Char => (b'3', 1 << 26 | 1 << 21),
        EntryKind::Block => (b'4', 1 << 26),
        EntryKind::Dir => (b'5', 1 << 31),
        EntryKind::Fifo => (b'6', 1 << 25),
    };
    let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let special = special.iter().filter(|(bit, _)| item.mode & bit != 0);
    let mode = special.fold(kind | item.mode & 0o777, |mode, (_, bit)| mode | bit);
    json!({
        "path": path.to_string_lossy(),
        "typeFlag": flag,
        "linkName": item.link.as_deref().map(Path::to_string_lossy).unwrap_or_default(),
        "size": item.size,
        "fileMode": mode,
        "uid": item.uid,
        "gid": item.gid,
        "isDir": item.kind == EntryKind::Dir,
    })
}

/// What a layer puts, sorted; the last of several of one name.
fn files(listing: &Listing) -> Vec<(PathBuf, Item)> {
    let puts = listing.iter().filter_map(|record| match record {
        Record::Put(path, item) => Some((path.to_path_buf(), item.clone())),
        Record::Delete(_) | Record::Hide(_) => None,
    });
    let mut files: Vec<(PathBuf, Item)> = puts.collect();
    files.sort_by(|(a, _), (b, _)| a.cmp(b));
    files.reverse();
    files.dedup_by(|next, kept| next.0 == kept.0);
    files.reverse();
    files
}

/// Those that have nothing below them in the same layer.
fn leaves(files: &[(PathBuf, Item)]) -> impl Iterator<Item = &(PathBuf, Item)> {
    files.iter().enumerate().filter_map(|(at, file)| {
        let is_parent = files.get(at + 1).is_some_and(|(next, _)| next.starts_with(&file.0));
        (!is_parent && !file.0.as_os_str().is_empty()).then_some(file)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::archive::Entry;

    fn file(path: &str, size: u64) -> Record {
        let kind = if path.ends_with('/') { EntryKind::Dir } else { EntryKind::File };
        let entry = Entry { size, ..Entry::new("", kind) };
        Record::put(path.trim_end_matches('/'), Item::of(entry))
    }

    fn analyze(listings: Vec<Listing>) -> Analysis {
        let layers: Vec<Descriptor> =
            (0..listings.len()).map(|at| Descriptor::of("x", &[at as u8])).collect();
        Analysis::of(&Config::default(), &layers, listings)
    }

    #[test]
    fn the_score_is_the_smallest_against_all() {
        let base = || vec![file("a/", 0), file("a/x", 100), file("a/y", 100)];
        let same = analyze(vec![base()]);
        assert_eq!((same.efficiency, same.wasted, same.hidden), (1.0, 0, 0));
        // A file that was written again, and one that was deleted.
        let found = analyze(vec![base(), vec![file("a/x", 50), Record::delete("a/y")]]);
        assert_eq!((found.size, found.wasted, found.hidden), (250, 250, 200));
        assert!((found.efficiency - 50.0 / 250.0).abs() < 1e-9, "{}", found.efficiency);
        assert!((found.user_wasted - 5.0).abs() < 1e-9, "{}", found.user_wasted);
        let names: Vec<(&str, usize, u64)> = found
            .references
            .iter()
            .map(|found| (found.path.to_str().expect("text"), found.count, found.size))
            .collect();
        assert_eq!(names, [("a/x", 2, 150), ("a/y", 2, 100)]);
        assert_eq!(found.layers[0].hidden, 200);
        // A directory that was deleted: once, with all that was in it.
        let found = analyze(vec![base(), vec![Record::delete("a")]]);
        assert_eq!((found.efficiency, found.wasted, found.hidden), (1.0, 0, 200));
        assert_eq!(analyze(Vec::new()).efficiency, 1.0);
    }

    #[test]
    fn the_document_has_the_fields_of_dive() {
        let found = analyze(vec![vec![file("a", 1)], vec![file("a", 2)]]);
        let document = found.document(&Config::default());
        assert_eq!(document["image"]["fileReference"][0]["file"], "/a");
        assert_eq!(document["image"]["inefficientBytes"], 3);
        assert_eq!(document["layer"][1]["fileList"][0]["typeFlag"], 48);
        assert_eq!(document["layer"][1]["fileList"][0]["size"], 2);
    }
}
