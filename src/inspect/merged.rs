//! [`Merged`]: the files of an image as its layers make them, without their content.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::ops::Bound;
use std::path::{Component, Path, PathBuf};

use super::listing::{Item, Listing, Node, Record};
use crate::layer::archive::EntryKind;
use crate::rootfs::clean;

/// So many symbolic links may lead on from one path: the kernel's number.
const LINKS: usize = 40;

/// A file, and the layer that it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<T = Item> {
    /// 0 is the lowest.
    pub layer: usize,
    /// Where it stands in its layer, if that is another path than the one that leads to it: links on
    /// the way and hard links are followed.
    pub at: Option<Box<PathBuf>>,
    /// Another name of a file that was there before: a hard link.
    pub shared: bool,
    pub item: T,
}

/// What a layer did that somebody may want to know of.
#[derive(Debug, PartialEq, Eq)]
pub enum Deed<'a> {
    /// A second entry of the same name.
    Twice(&'a Path),
    /// A hard link to nothing.
    Nowhere(&'a Path, &'a Path),
    /// A hard link to a directory.
    ToDirectory(&'a Path, &'a Path),
    /// What was put lies behind a symbolic link, at the second path.
    Through(&'a Path, &'a Path),
    /// The same with a link that leads nowhere (the second path): a directory takes its place.
    Instead(&'a Path, &'a Path),
    /// What was put lies in something that is no directory (the second path), which goes.
    Inside(&'a Path, &'a Path),
    /// What was put lies behind links without an end.
    Circle(&'a Path),
    /// Something was deleted, a directory with all that is in it; of how many bytes.
    Deleted { path: &'a Path, bytes: u64, dir: bool },
    /// There was nothing to delete.
    DeletedNothing(&'a Path),
    /// The same name is in a lower layer.
    Replaced(&'a Path),
}

/// The files of an image. Paths have no slash at either end; the root is the empty one.
#[derive(Debug)]
pub struct Merged<T = Item> {
    files: BTreeMap<Box<Path>, Placed<T>>,
    /// The last directory that was asked for, and where it leads: archives go through directories
    /// one by one.
    last: Option<(PathBuf, Option<PathBuf>)>,
    /// A directory that nothing stands in the way to.
    clear: Option<PathBuf>,
}

impl<T> Default for Merged<T> {
    fn default() -> Self {
        Self { files: BTreeMap::new(), last: None, clear: None }
    }
}

impl<T: Node> Merged<T> {
    /// What layers make of each other, the lowest first.
    pub fn of(listings: Vec<Listing<T>>) -> Self {
        let mut merged = Self::default();
        for (layer, listing) in listings.into_iter().enumerate() {
            merged.apply(layer, listing, &mut |_| {});
        }
        merged
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Path, &Placed<T>)> {
        self.files.iter().map(|(path, placed)| (&**path, placed))
    }

    pub fn get(&self, path: &Path) -> Option<&Placed<T>> {
        self.files.get(path)
    }

    /// Whether there is anything, a directory that no entry describes included.
    pub fn exists(&self, path: &Path) -> bool {
        path.as_os_str().is_empty()
            || self.files.contains_key(path)
            || self.below(path).next().is_some()
    }

    /// What lies in a directory, at any depth.
    pub fn below<'s>(&'s self, dir: &'s Path) -> impl Iterator<Item = (&'s Path, &'s Placed<T>)> {
        self.files
            .range::<Path, _>((Bound::Excluded(dir), Bound::Unbounded))
            .take_while(move |(path, _)| path.starts_with(dir))
            .map(|(path, placed)| (&**path, placed))
    }

    /// Puts a layer on top. A layer's deletions do not touch what it brings itself, wherever they
    /// stand in it.
    pub fn apply(&mut self, layer: usize, listing: Listing<T>, seen: &mut dyn FnMut(Deed<'_>)) {
        let mut waiting = Vec::new();
        // What was read goes while it becomes what is made of it: there may be millions.
        let mut listing = listing;
        listing.reverse();
        while let Some(record) = listing.pop() {
            if listing.len() < listing.capacity() / 2 {
                listing.shrink_to_fit();
            }
            match record {
                Record::Delete(path) => {
                    let path = self.in_reach(&path);
                    self.last = None;
                    match self.exists(&path) {
                        true => {
                            let dir = self.files.get(&*path).is_none_or(|gone| gone.item.is_dir());
                            let bytes = self.remove(&path, layer);
                            seen(Deed::Deleted { path: &path, bytes, dir });
                        }
                        false => seen(Deed::DeletedNothing(&path)),
                    }
                }
                Record::Hide(dir) => {
                    let dir = self.in_reach(&dir);
                    self.last = None;
                    let doomed: Vec<PathBuf> = self
                        .below(&dir)
                        .filter(|(_, placed)| placed.layer < layer)
                        .map(|(path, _)| path.to_owned())
                        .collect();
                    doomed.iter().for_each(|path| drop(self.files.remove(&**path)));
                }
                Record::Put(path, item) => {
                    let place = self.make_way(&path, seen);
                    if item.kind() == EntryKind::Hardlink {
                        let target = item.link().map(clean).unwrap_or_default();
                        let target = self.in_reach(&target);
                        match self.linked(&target, layer) {
                            Some(there) => {
                                if there.item.is_dir() {
                                    seen(Deed::ToDirectory(&place, &target));
                                }
                                self.put(place, there, seen);
                            }
                            None => waiting.push((place, target, item)),
                        }
                        continue;
                    }
                    let at = (*place != *path).then(|| Box::new(path.into_path_buf()));
                    self.put(place, Placed { layer, at, shared: false, item }, seen);
                }
            }
        }
        // Links that stand before their targets in the archive.
        for (place, target, item) in waiting {
            match self.linked(&target, layer) {
                Some(there) => self.put(place, there, seen),
                None => {
                    seen(Deed::Nowhere(&place, &target));
                    self.put(place, Placed { layer, at: None, shared: false, item }, seen);
                }
            }
        }
    }

    /// Where an entry goes. What is in the way goes itself, as it does when layers are unpacked:
    /// files, and links that lead to no directory.
    fn make_way(&mut self, path: &Path, seen: &mut dyn FnMut(Deed<'_>)) -> PathBuf {
        let place = self.in_reach(path);
        let parent = place.parent().unwrap_or(Path::new(""));
        // Where the same directory was asked for before, nothing is in the way any more.
        if self.clear.as_deref() == Some(parent) && place == path {
            return place;
        }
        if place != path && self.is_dir(parent) {
            seen(Deed::Through(path, &place));
            return place;
        }
        if place == path && self.follow(parent).is_none() {
            seen(Deed::Circle(path));
        }
        let above: Vec<PathBuf> = path.ancestors().skip(1).map(Path::to_owned).collect();
        for dir in above.into_iter().rev() {
            let Some(there) = self.files.get(&*dir).filter(|there| !there.item.is_dir()) else {
                continue;
            };
            match there.item.kind() {
                EntryKind::Symlink => seen(Deed::Instead(path, &dir)),
                _ => seen(Deed::Inside(path, &dir)),
            }
            self.files.remove(&*dir);
            self.last = None;
        }
        self.clear = path.parent().map(Path::to_owned);
        path.to_owned()
    }

    /// Whether a directory is there, with an entry of its own or without.
    fn is_dir(&self, path: &Path) -> bool {
        match self.files.get(path) {
            Some(there) => there.item.is_dir(),
            None => self.exists(path),
        }
    }

    /// Another name of what is at `target`, given by `layer`.
    fn linked(&self, target: &Path, layer: usize) -> Option<Placed<T>> {
        let there = self.files.get(target)?.clone();
        let at = there.at.unwrap_or_else(|| Box::new(target.to_owned()));
        Some(Placed { layer, at: Some(at), shared: true, item: there.item })
    }

    fn put(&mut self, path: PathBuf, placed: Placed<T>, seen: &mut dyn FnMut(Deed<'_>)) {
        let is_dir = placed.item.is_dir();
        let there = self.files.get(&*path).map(|there| (there.layer, there.item.is_dir()));
        if let Some((layer, was_dir)) = there {
            match layer == placed.layer {
                true => seen(Deed::Twice(&path)),
                false if !is_dir || !was_dir => seen(Deed::Replaced(&path)),
                false => {}
            }
        }
        // What was no directory has nothing in it.
        if !is_dir && there.is_none_or(|(_, was_dir)| was_dir) && !path.as_os_str().is_empty() {
            let below: Vec<PathBuf> = self.below(&path).map(|(path, _)| path.to_owned()).collect();
            below.iter().for_each(|path| drop(self.files.remove(&**path)));
        }
        if placed.item.kind() == EntryKind::Symlink || there.is_some_and(|(_, was_dir)| !was_dir) {
            self.last = None;
        }
        if !is_dir {
            // It may stand in the way of what comes.
            self.clear = self.clear.take().filter(|dir| !dir.starts_with(&path));
        }
        self.files.insert(path.into_boxed_path(), placed);
    }

    /// Removes what lower layers have at a path and below it; says how many bytes that were.
    fn remove(&mut self, path: &Path, layer: usize) -> u64 {
        let lower = |placed: &Placed<T>| placed.layer < layer;
        let mut doomed: Vec<PathBuf> = self
            .below(path)
            .filter(|(_, placed)| lower(placed))
            .map(|(path, _)| path.to_owned())
            .collect();
        if self.files.get(path).is_some_and(lower) {
            doomed.push(path.to_owned());
        }
        let gone = doomed.iter().filter_map(|path| self.files.remove(&**path));
        gone.filter(|gone| !gone.shared).map(|gone| gone.item.size()).sum()
    }

    /// Where a path leads when the symbolic links on the way, not at its end, are followed inside
    /// the image; the path itself where they lead round in circles.
    fn in_reach(&mut self, path: &Path) -> PathBuf {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return path.to_owned();
        };
        if self.last.as_ref().is_none_or(|(last, _)| last != parent) {
            self.last = Some((parent.to_owned(), self.follow(parent)));
        }
        match &self.last {
            Some((_, Some(parent))) => parent.join(name),
            _ => path.to_owned(),
        }
    }

    /// Where a path leads when all symbolic links are followed inside the image; None where they
    /// are too many.
    pub fn follow(&self, path: &Path) -> Option<PathBuf> {
        let mut ahead: Vec<OsString> = names(path);
        ahead.reverse();
        let mut done = PathBuf::new();
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            if name == ".." {
                done.pop();
                continue;
            }
            done.push(&name);
            let Some(placed) = self.files.get(&*done) else { continue };
            let (EntryKind::Symlink, Some(target)) = (placed.item.kind(), placed.item.link())
            else {
                continue;
            };
            links += 1;
            if links > LINKS {
                return None;
            }
            match target.is_absolute() {
                true => done = PathBuf::new(),
                false => _ = done.pop(),
            }
            ahead.extend(names(target).into_iter().rev());
        }
        Some(done)
    }
}

/// The names of a path, `..` included.
fn names(path: &Path) -> Vec<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsStr::new("..").to_owned()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::archive::Entry;

    fn put(path: &str) -> Record {
        let kind = if path.ends_with('/') { EntryKind::Dir } else { EntryKind::File };
        let mut entry = Entry::new("", kind);
        entry.size = if kind == EntryKind::File { 10 } else { 0 };
        Record::put(clean(Path::new(path)), Item::of(entry))
    }

    fn link(path: &str, target: &str, kind: EntryKind) -> Record {
        let entry = Entry { link: Some(target.into()), ..Entry::new("", kind) };
        Record::put(path, Item::of(entry))
    }

    fn delete(path: &str) -> Record {
        Record::delete(path)
    }

    fn shown(layers: Vec<Listing>) -> (Vec<String>, Vec<String>) {
        let mut merged = Merged::default();
        let mut deeds = Vec::new();
        for (layer, listing) in layers.into_iter().enumerate() {
            merged.apply(layer, listing, &mut |deed| deeds.push(format!("{deed:?}")));
        }
        let files =
            merged.iter().map(|(path, placed)| format!("{} {}", path.display(), placed.layer));
        (files.collect(), deeds)
    }

    #[test]
    fn layers_make_an_image() {
        let base = || vec![put("a/"), put("a/x"), put("a/y"), put("a.b"), put("f")];
        let (files, deeds) = shown(vec![base(), vec![delete("a"), put("a/z"), put("f")]]);
        assert_eq!(files, ["a/z 1", "a.b 0", "f 1"]);
        assert_eq!(deeds, [r#"Deleted { path: "a", bytes: 20, dir: true }"#, r#"Replaced("f")"#]);
        // Where a deletion stands does not matter.
        let (files, _) = shown(vec![base(), vec![put("a/z"), Record::hide("a")]]);
        assert_eq!(files, ["a 0", "a/z 1", "a.b 0", "f 0"]);
        // A directory keeps what is in it, anything else replaces it.
        let (files, _) = shown(vec![base(), vec![put("a/")]]);
        assert_eq!(files, ["a 1", "a/x 0", "a/y 0", "a.b 0", "f 0"]);
        let (files, _) = shown(vec![base(), vec![put("a")]]);
        assert_eq!(files, ["a 1", "a.b 0", "f 0"]);
        let (_, deeds) = shown(vec![base(), vec![delete("nothing"), put("n"), put("n")]]);
        assert_eq!(deeds, [r#"DeletedNothing("nothing")"#, r#"Twice("n")"#]);
    }

    #[test]
    fn links_are_followed_inside() {
        use EntryKind::{Hardlink, Symlink};
        let base = || vec![put("usr/bin/"), put("usr/bin/sh"), link("bin", "usr/bin", Symlink)];
        let (files, deeds) = shown(vec![base(), vec![put("bin/ls")]]);
        assert_eq!(files, ["bin 0", "usr/bin 0", "usr/bin/ls 1", "usr/bin/sh 0"]);
        assert_eq!(deeds, [r#"Through("bin/ls", "usr/bin/ls")"#]);
        let (files, _) =
            shown(vec![base(), vec![link("h", "bin/sh", Hardlink), link("n", "no", Hardlink)]]);
        assert_eq!(files, ["bin 0", "h 1", "n 1", "usr/bin 0", "usr/bin/sh 0"]);
        let merged = Merged::of(vec![vec![
            link("up", "../../../etc", Symlink),
            link("round", "round", Symlink),
            link("abs", "/up/x", Symlink),
        ]]);
        let follow = |path: &str| merged.follow(Path::new(path));
        assert_eq!(follow("up/passwd"), Some("etc/passwd".into()));
        assert_eq!(follow("abs"), Some("etc/x".into()));
        assert_eq!(follow("round"), None);
        assert!(merged.exists(Path::new("")) && !merged.exists(Path::new("etc")));
    }
}
