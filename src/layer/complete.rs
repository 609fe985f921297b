//! Layers that lean on what is below: the serial pass, in the order of layers.
//!
//! An archive may leave out the directories above its files, and it may hard-link to a file of a
//! lower layer. Alone, such a tree would show a bare 0755 `/tmp` where the layer below has a 1777
//! one, and no file at all for the link. And where the layer below has `/lib` as a symbolic link to
//! `usr/lib`, a file `lib/x` belongs into the latter: a directory `lib` would hide all that is there.

use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;

use super::below::{Below, adopt};
use super::by_path::{forget_below, move_below};
use super::unpack::{IMPLIED_MODE, NO_TIME, Unpacked};
use super::{Error, whiteout};
use crate::rootfs::{self, Copier, CopyOptions, Dirs, FileType, Place, Root, SideTable};

impl Unpacked {
    /// Makes the tree at `root` whole for the chain of layers `below`: directories that the archive
    /// left out take the attributes that the lower ones have, or move to where a lower symbolic
    /// link of their name leads; hard links to files of lower layers become copies of these
    /// (clones, where the file system can).
    ///
    /// # Errors
    ///
    /// [`Error::HardLink`] when a link leads nowhere in the lower layers either.
    pub fn complete(&mut self, root: &Root, below: &mut Below) -> Result<(), Error> {
        let mut dirs = root.dirs()?;
        self.follow_links(&mut dirs, below)?;
        // Inner ones first: an outer one's mode may lock them up.
        for path in std::mem::take(&mut self.implied).into_keys().rev() {
            let Some(dir) = dirs.find(&path)? else { continue };
            if is_hidden(&mut dirs, &path)? {
                continue;
            }
            match below.find(&path)? {
                Some(hit) if hit.meta.kind == FileType::Dir => {
                    adopt(&hit, below.records_of(hit.tree), &Place::of(dir), &mut self.records)?;
                }
                _ => {}
            }
        }
        for (path, target) in std::mem::take(&mut self.dangling) {
            let place = dirs
                .place(&path)?
                .ok_or_else(|| Error::HardLink { path: path.clone(), target: target.clone() })?;
            let dir = Place::of(Rc::clone(place.dir()));
            writable(&dir, || self.fetch(root, &mut dirs, below, &place, &target))?;
        }
        Ok(())
    }

    /// Moves the content of implied directories to where the lower layers' links lead.
    fn follow_links(&mut self, dirs: &mut Dirs, below: &mut Below) -> Result<(), Error> {
        let mut seen = BTreeSet::new();
        // What was moved may lie under a link again.
        while let Some(path) = self.implied.keys().find(|path| !seen.contains(*path)).cloned() {
            seen.insert(path.clone());
            let is_link = below.find(&path)?.is_some_and(|hit| hit.meta.kind == FileType::Symlink);
            if !is_link || is_hidden(dirs, &path)? {
                continue;
            }
            let target = below.resolve(&path)?;
            if below.has_dir(&target)? {
                self.relocate(dirs, &path, &target)?;
            }
        }
        Ok(())
    }

    /// Moves what is in `from` into `to`, both free of links.
    fn relocate(&mut self, dirs: &mut Dirs, from: &Path, to: &Path) -> Result<(), Error> {
        let implied = &mut self.implied;
        let target = dirs.make(to, &mut |place, kind| {
            if kind.is_some() {
                return Err(rootfs::Error::NotADirectory { path: place.shown() });
            }
            implied.insert(place.path(), ());
            writable(&Place::of(Rc::clone(place.dir())), || {
                place.make_dir()?;
                place.set_mode(IMPLIED_MODE)?;
                place.set_time(NO_TIME)
            })
        });
        let target = match target {
            Ok(dir) => dir,
            // The layer itself has something else there.
            Err(rootfs::Error::NotADirectory { .. }) => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        let Some(source) = dirs.find(from)? else { return Ok(()) };
        for name in source.names()? {
            let (old, new) =
                (Place::new(Rc::clone(&source), &name), Place::new(Rc::clone(&target), &name));
            let kind = |place: &Place| -> Result<_, Error> {
                Ok(place.meta(&SideTable::default())?.map(|meta| meta.real_kind))
            };
            if (kind(&old)?, kind(&new)?) == (Some(FileType::Dir), Some(FileType::Dir)) {
                self.relocate(dirs, &old.path(), &new.path())?;
                continue;
            }
            writable(&Place::of(Rc::clone(&target)), || {
                new.remove()?;
                old.rename(&new)
            })?;
            let (old, new) = (old.path(), new.path());
            self.records.forget(&new);
            self.records.rename(&old, &new);
            forget_below(&mut self.implied, &new);
            move_below(&mut self.implied, &old, &new);
            move_below(&mut self.dangling, &old, &new);
        }
        let emptied = Place::of(source);
        // Links that are to be made there have no file yet.
        move_below(&mut self.dangling, from, to);
        self.implied.remove(from);
        self.records.forget(from);
        if let Some(place) = dirs.place(&emptied.path())? {
            writable(&Place::of(Rc::clone(place.dir())), || place.remove())?;
        }
        dirs.forget();
        Ok(())
    }

    /// Puts a copy of what is below at `target` at `place`.
    fn fetch(
        &mut self,
        root: &Root,
        dirs: &mut Dirs,
        below: &mut Below,
        place: &Place,
        target: &Path,
    ) -> Result<(), Error> {
        let nowhere = || Error::HardLink { path: place.path(), target: target.to_owned() };
        // Another link to the same file may have fetched it before.
        if let Some(own) = dirs.place(target)?
            && let Some(meta) = own.meta(&self.records)?
            && !whiteout::is_whiteout(&own, &meta)?
        {
            place.link(&own)?;
            if let Some(record) = self.records.get(&own.path()).cloned() {
                self.records.set(place.path(), record);
            }
            return Ok(());
        }
        let parent = below.resolve(target.parent().unwrap_or(Path::new("")))?;
        let name = target.file_name().ok_or_else(nowhere)?;
        let hit = below.find(&parent.join(name))?.ok_or_else(nowhere)?;
        if hit.meta.kind == FileType::Dir {
            return Err(nowhere());
        }
        let from = below.open(hit.tree)?;
        let from_records = below.records_of(hit.tree);
        Copier::new(&from, from_records, root, &mut self.records, CopyOptions::default())?
            .copy(&hit.place.path(), &place.path())?;
        Ok(())
    }
}

/// Whether the tree itself hides what is below at `path`.
fn is_hidden(dirs: &mut Dirs, path: &Path) -> Result<bool, Error> {
    for above in path.ancestors() {
        if let Some(dir) = dirs.find(above)?
            && whiteout::is_opaque(&Place::of(dir))?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Runs `change` in a directory that its mode may not let us write to, and leaves mode and time as
/// they were.
fn writable<T, E: From<rootfs::Error>>(
    dir: &Place,
    change: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let before = dir.meta(&SideTable::default())?;
    if let Some(meta) = before.filter(|meta| meta.mode & 0o300 != 0o300) {
        dir.set_mode(meta.mode | 0o300)?;
    }
    let done = change()?;
    if let Some(meta) = before {
        if meta.mode & 0o300 != 0o300 {
            dir.set_mode(meta.mode)?;
        }
        dir.set_time(meta.mtime)?;
    }
    Ok(done)
}
