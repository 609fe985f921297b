//! Several trees as one, for more layers than the kernel stacks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::by_path::forget_below;
use super::{Error, whiteout};
use crate::rootfs::{
    self, Copier, CopyOptions, Dirs, FileType, Found, Place, Record, Root, SideTable, Time, Walk,
};

/// Merges `trees`, from the lowest to the highest, into the empty directory `into`, whose table is
/// returned. Files are hard links to those of the trees, which nobody changes. `lowest` says that
/// nothing is below the first one; otherwise deletions stay.
pub fn merge(trees: &[(&Root, &SideTable)], into: &Root, lowest: bool) -> Result<SideTable, Error> {
    let mut merge = Merge {
        into,
        dirs: into.dirs()?,
        lowest,
        records: SideTable::new(trees.iter().all(|(_, records)| records.root_implied)),
        unfinished: BTreeMap::from([(PathBuf::new(), (0o755, (0, 0)))]),
    };
    for (tree, records) in trees {
        let mut from = tree.dirs()?;
        for found in Walk::new(tree, Path::new(""), records) {
            merge.add(tree, records, &mut from, &found?)?;
        }
    }
    for (path, (mode, time)) in merge.unfinished.into_iter().rev() {
        if let Some(dir) = merge.dirs.find(&path)? {
            let place = Place::of(dir);
            place.set_mode(mode)?;
            place.set_time(time)?;
        }
    }
    Ok(merge.records)
}

struct Merge<'m> {
    into: &'m Root,
    dirs: Dirs,
    lowest: bool,
    records: SideTable,
    unfinished: BTreeMap<PathBuf, (u32, Time)>,
}

impl Merge<'_> {
    fn add(
        &mut self,
        tree: &Root,
        records: &SideTable,
        from: &mut Dirs,
        found: &Found,
    ) -> Result<(), Error> {
        let missing = || rootfs::Error::Missing { path: tree.path().join(&found.path) };
        let source = from.place(&found.path)?.ok_or_else(missing)?;
        let place = self.dirs.place(&found.path)?.ok_or_else(missing)?;
        if whiteout::is_whiteout(&source, &found.meta)? {
            self.clear(&place)?;
            if !self.lowest {
                whiteout::put(&place)?;
            }
            return Ok(());
        }
        if found.meta.is_dir() {
            return self.add_dir(records, &source, found, &place);
        }
        match self.link(&place, &source) {
            Ok(()) => {
                if let Some(record) = records.get(&found.path) {
                    self.records.set(found.path.clone(), record.clone());
                }
                Ok(())
            }
            Err(e) if e.no_more_links() => {
                Copier::new(tree, records, self.into, &mut self.records, CopyOptions::default())?
                    .copy(&found.path, &found.path)?;
                Ok(())
            }
            Err(e) => Err(e.into()),
        }
    }

    fn link(&mut self, place: &Place, source: &Place) -> Result<(), rootfs::Error> {
        if !place.link(source)? {
            self.clear(place)?;
            place.link(source)?;
        }
        Ok(())
    }

    fn add_dir(
        &mut self,
        records: &SideTable,
        source: &Place,
        found: &Found,
        place: &Place,
    ) -> Result<(), Error> {
        let opaque = whiteout::is_opaque(source)?;
        let there = place.meta(&SideTable::default())?;
        let mut hides = opaque;
        match there {
            Some(_) if place.is_root() && opaque => {
                for (name, _) in self.into.read_dir(Path::new(""))? {
                    if let Some(inside) = self.dirs.place(Path::new(&name))? {
                        self.clear(&inside)?;
                    }
                }
            }
            Some(_) if place.is_root() && records.root_implied => {}
            Some(meta) if meta.is_dir() && !opaque => {
                for name in place.xattrs(FileType::Dir)?.into_keys() {
                    if let Some(name) = name.to_str() {
                        place.remove_xattr(name)?;
                    }
                }
            }
            // A whiteout or a file of a lower tree: it hid what is further below.
            Some(_) => {
                hides = true;
                self.clear(place)?;
                place.make_dir()?;
            }
            None => {
                place.make_dir()?;
            }
        }
        if hides && !self.lowest {
            whiteout::set_opaque(place)?;
        }
        if place.is_root() && records.root_implied {
            return Ok(());
        }
        let mut record = source.record(records)?.unwrap_or_default();
        let mut xattrs = std::mem::take(&mut record.xattrs);
        xattrs.extend(source.xattrs(FileType::Dir)?);
        let record = Record { xattrs: place.set_xattrs(FileType::Dir, xattrs)?, ..record };
        place.set_record(FileType::Dir, record, &mut self.records)?;
        self.unfinished.insert(found.path.clone(), (found.meta.mode, found.meta.mtime));
        Ok(())
    }

    fn clear(&mut self, place: &Place) -> Result<(), rootfs::Error> {
        let Some(meta) = place.meta(&SideTable::default())? else { return Ok(()) };
        place.remove()?;
        let path = place.path();
        self.records.forget(&path);
        if matches!(meta.real_kind, FileType::Dir | FileType::Symlink) {
            self.dirs.forget();
            forget_below(&mut self.unfinished, &path);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::text::{archive, draw, lines};
    use crate::layer::unpack;

    fn tree(text: &str) -> (tempfile::TempDir, Root, SideTable) {
        let dir = tempfile::tempdir().expect("a directory");
        let root = Root::open(dir.path()).expect("a root");
        let records = unpack(archive(text).as_slice(), &root).expect(text).records;
        (dir, root, records)
    }

    #[test]
    fn trees_become_one() {
        let lowest = "d . 711 t=1\nd a 700 t=2 x.user.a=1 x.user.b=1\nf a/x 1 @1:1\nd a/d\nf a/d/y 2\nf b 1\nd c\nf c/z 1\ns l -> q @5:5";
        // Layers above, the merger with nothing below, and the one with something below.
        let rows: [(&[&str], &str, &str); 9] = [
            (
                &[],
                "d . m=711 t=1\nd a m=700 t=2 x.user.a=1 x.user.b=1\nd a/d\nf a/d/y 2\nf a/x 1 @1:1\nf b 1\nd c\nf c/z 1\ns l -> q @5:5",
                "",
            ),
            (
                &["f .wh.a\nf .wh.l\nf .wh.nothing", "f b 2\nh b2 -> b"],
                "d . m=711 t=1\nf b 2\nh b2 -> b\nd c\nf c/z 1",
                "d . m=711 t=1\nw a\nf b 2\nh b2 -> b\nd c\nf c/z 1\nw l\nw nothing",
            ),
            (
                &["d . 700 t=9\nd a 755 t=3 x.user.b=2\nf a/n 1\nf .wh.b\nf .wh.c\nf .wh.l"],
                "d . m=700 t=9\nd a t=3 x.user.b=2\nd a/d\nf a/d/y 2\nf a/n 1\nf a/x 1 @1:1",
                "d . m=700 t=9\nd a t=3 x.user.b=2\nd a/d\nf a/d/y 2\nf a/n 1\nf a/x 1 @1:1\nw b\nw c\nw l",
            ),
            (
                &["d a\nf a/.wh..wh..opq\nf a/n 1\nf .wh.b\nf .wh.c\ns l -> r"],
                "d . m=711 t=1\nd a\nf a/n 1\ns l -> r",
                "d . m=711 t=1\nd a !\nf a/n 1\nw b\nw c\ns l -> r",
            ),
            (
                &["f .wh.a\nf .wh.b\nf .wh.c\nf .wh.l", "d a\nf a/n 1"],
                "d . m=711 t=1\nd a\nf a/n 1",
                "d . m=711 t=1\nd a !\nf a/n 1\nw b\nw c\nw l",
            ),
            (
                &["f a 1\nd b\nf b/n 1\ns c -> b\nd l"],
                "d . m=711 t=1\nf a 1\nd b\nf b/n 1\ns c -> b\nd l",
                "d . m=711 t=1\nf a 1\nd b !\nf b/n 1\ns c -> b\nd l !",
            ),
            (&["d .\nf .wh..wh..opq\nf n 1"], "d .\nf n 1", "d . !\nf n 1"),
            (&["f .wh..wh..opq\nf n 1"], "d . m=711 t=1\nf n 1", "d . m=711 t=1 !\nf n 1"),
            (
                &["f a/d/y 3", "f a/d/.wh.y\nf .wh.b\nf .wh.c\nf .wh.l"],
                "d . m=711 t=1\nd a\nd a/d\nf a/x 1 @1:1",
                "d . m=711 t=1\nd a\nd a/d\nw a/d/y\nf a/x 1 @1:1\nw b\nw c\nw l",
            ),
        ];
        for (above, alone, upon) in rows {
            let mut trees = vec![tree(lowest)];
            trees.extend(above.iter().map(|text| tree(text)));
            let trees: Vec<_> = trees.iter().map(|(_, root, records)| (root, records)).collect();
            for (lowest, expected) in [(true, alone), (false, upon)] {
                let dir = tempfile::tempdir().expect("a directory");
                let into = Root::open(dir.path()).expect("a root");
                let records = merge(&trees, &into, lowest).expect("a tree");
                let expected = if expected.is_empty() { alone } else { expected };
                assert_eq!(draw(&into, &records), lines(expected), "{above:?}, {lowest}");
            }
        }
    }

    #[test]
    fn files_are_not_copied() {
        let (_dir, root, records) = tree("f a 1\ns l -> a");
        let dir = tempfile::tempdir().expect("a directory");
        let into = Root::open(dir.path()).expect("a root");
        merge(&[(&root, &records)], &into, true).expect("a tree");
        for path in ["a", "l"] {
            let meta = |root: &Root| root.lstat(Path::new(path)).expect(path).expect(path);
            assert_eq!(meta(&root).identity(), meta(&into).identity(), "{path}");
        }
    }
}
