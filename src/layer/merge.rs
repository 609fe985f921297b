//! Several trees as one, for more layers than the kernel stacks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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
            let found = found?;
            if !(found.path.as_os_str().is_empty() && records.root_implied) {
                merge.add(tree, records, &mut from, &found)?;
            }
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
            Some(meta) if meta.is_dir() && !opaque => {
                for name in place.xattrs()?.into_keys() {
                    if let Some(name) = name.to_str() {
                        place.remove_xattr(name)?;
                    }
                }
            }
            Some(meta) => {
                hides |= whiteout::is_whiteout(place, &meta)?;
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
        let mut record = source.record(records)?.unwrap_or_default();
        let mut xattrs = std::mem::take(&mut record.xattrs);
        xattrs.extend(source.xattrs()?);
        let record = Record { xattrs: place.set_xattrs(xattrs)?, ..record };
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

/// Removes a path and all that is below it.
pub(super) fn forget_below<T>(map: &mut BTreeMap<PathBuf, T>, path: &Path) {
    let below = |(key, _): &(&PathBuf, &T)| key.starts_with(path);
    let keys: Vec<_> =
        map.range(path.to_path_buf()..).take_while(below).map(|(key, _)| key.clone()).collect();
    for key in keys {
        map.remove(&key);
    }
}
