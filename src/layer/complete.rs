//! Layers that lean on what is below: the serial pass, in the order of layers.
//!
//! An archive may leave out the directories above its files, and it may hard-link to a file of a
//! lower layer. Alone, such a tree would show a bare 0755 `/tmp` where the layer below has a 1777
//! one, and no file at all for the link. And where the layer below has `/lib` as a symbolic link to
//! `usr/lib`, a file `lib/x` belongs into the latter: a directory `lib` would hide all that is there.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::{Path, PathBuf};
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
    /// (clones, where the file system can). What else is below at a directory that was left out
    /// gives way to it, as an overlay has it, and is noted.
    ///
    /// # Errors
    ///
    /// [`Error::HardLink`] when a link leads nowhere in the lower layers either.
    pub fn complete(&mut self, root: &Root, below: &mut Below) -> Result<(), Error> {
        let mut dirs = root.dirs()?;
        self.follow_links(&mut dirs, below)?;
        let mut hidden = Hidden::default();
        // Inner ones first: an outer one's mode may lock them up.
        for path in std::mem::take(&mut self.implied).into_keys().rev() {
            let hit = match below.find(&path)? {
                Some(hit) if hit.meta.kind == FileType::Dir => hit,
                _ => continue,
            };
            let hidden_by = match path.parent().filter(|_| self.emptied.contains_key(&path)) {
                Some(parent) => parent,
                None => &path,
            };
            if !hidden.has(&mut dirs, hidden_by)?
                && let Some(dir) = dirs.find(&path)?
            {
                adopt(&hit, below.records_of(hit.tree), &Place::of(dir), &mut self.records)?;
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
        let mut hidden = Hidden::default();
        let mut ahead = VecDeque::new();
        loop {
            let Some(path) = ahead.pop_front() else {
                // What was moved may lie under a link again.
                ahead.extend(self.implied.keys().filter(|path| !seen.contains(*path)).cloned());
                match ahead.is_empty() {
                    true => return Ok(()),
                    false => continue,
                }
            };
            seen.insert(path.clone());
            if !self.implied.contains_key(&path) {
                continue; // it was moved
            }
            let kind = match below.find(&path)? {
                Some(hit) if hit.meta.kind != FileType::Dir => hit.meta.kind,
                _ => continue,
            };
            if hidden.has(dirs, &path)? {
                continue;
            }
            if kind == FileType::Symlink {
                let (target, strays) = below.resolve(&path)?;
                if below.has_dir(&target)? {
                    if strays {
                        self.strays.add(&path);
                    }
                    self.relocate(dirs, &path, &target)?;
                    hidden = Hidden::default();
                    continue;
                }
            }
            self.replaced.add(&path);
        }
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
            move_below(&mut self.emptied, &old, &new);
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
        let (parent, _) = below.resolve(target.parent().unwrap_or(Path::new("")))?;
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

/// The directories of a tree that hide, or do not, what is below.
#[derive(Debug, Default)]
struct Hidden {
    known: HashMap<PathBuf, bool>,
}

impl Hidden {
    /// Whether the tree itself hides what is below at `path`.
    fn has(&mut self, dirs: &mut Dirs, path: &Path) -> Result<bool, Error> {
        let unknown: Vec<&Path> =
            path.ancestors().take_while(|above| !self.known.contains_key(*above)).collect();
        let nearest = path.ancestors().nth(unknown.len());
        let mut hides = nearest.is_some_and(|above| self.known[above]);
        for above in unknown.into_iter().rev() {
            hides = hides
                || match dirs.find(above)? {
                    Some(dir) => whiteout::is_opaque(&Place::of(dir))?,
                    None => false,
                };
            self.known.insert(above.to_owned(), hides);
        }
        Ok(hides)
    }
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
