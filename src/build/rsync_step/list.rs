//! [`List`]: the files that one RSYNC copies, found as rsync(1) finds them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::filter::{Levels, Rules};
use super::links::Fate;
use super::place::{self, Target};
use crate::build::error::Fault;
use crate::build::files::Files;
use crate::dockerfile::rsync::{Settings, filter};
use crate::dockerfile::{Glob, Ignore};
use crate::rootfs::{Choice, FileType, Meta, Root, clean};
use crate::store::Snapshot;

/// Where a file is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Context,
    /// Elsewhere on this machine: a link led there.
    Outside,
}

/// A file to be copied.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// From the destination; empty for the destination itself.
    pub(super) name: PathBuf,
    pub(super) side: Side,
    /// From that side's root, without links on the way.
    pub(super) path: PathBuf,
    pub(super) meta: Meta,
    /// A directory whose contents are in the list.
    pub(super) is_searched: bool,
    levels: Levels,
}

/// What is copied.
#[derive(Debug)]
pub(super) struct List<'l> {
    pub(super) entries: Vec<Entry>,
    pub(super) rules: Rules,
    /// What is left out for its kind, and why.
    pub(super) skipped: Vec<String>,
    /// The names of those and of others that are not copied, though no rule excludes them: what has
    /// one of them in the destination is not deleted.
    spared: BTreeSet<PathBuf>,
    /// Where links led that leave the context.
    pub(super) outside: Vec<PathBuf>,
    context: &'l Root,
    host: Root,
}

impl List<'_> {
    pub(super) fn root(&self, side: Side) -> &Root {
        match side {
            Side::Context => self.context,
            Side::Outside => &self.host,
        }
    }

    /// Whether the files are those that were found: nobody wrote to them meanwhile.
    pub(super) fn is_as_it_was(&self) -> Result<bool, Fault> {
        for entry in &self.entries {
            let now = self.root(entry.side).lstat(&entry.path)?;
            let said = |meta: Meta| (meta.identity(), meta.kind, meta.mode, meta.size, meta.mtime);
            if now.map(said) != Some(said(entry.meta)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes from the destination what is not in the list, where its directories are.
    pub(super) fn delete_others(
        &self,
        settings: &Settings,
        target: &Target,
        snapshot: &mut Snapshot<'_>,
    ) -> Result<(), Fault> {
        let names: BTreeMap<&Path, ()> =
            self.entries.iter().map(|entry| (entry.name.as_path(), ())).collect();
        for entry in self.entries.iter().filter(|entry| entry.is_searched) {
            let folder = target.path(&entry.name);
            let is_dir = match settings.keep_dirlinks {
                true => snapshot.root().stat(&folder)?,
                false => snapshot.root().lstat(&folder)?,
            };
            if !is_dir.is_some_and(|meta| meta.is_dir()) {
                continue;
            }
            for (child, meta) in snapshot.root().read_dir(&folder)? {
                let name = entry.name.join(&child);
                if !names.contains_key(name.as_path()) && !self.spared.contains(&name) {
                    self.purge(&folder.join(&child), &name, &meta, &entry.levels, snapshot)?;
                }
            }
        }
        Ok(())
    }

    /// Removes a file, or all of a tree that no rule spares; says whether all of it is gone.
    fn purge(
        &self,
        path: &Path,
        name: &Path,
        meta: &Meta,
        levels: &Levels,
        snapshot: &mut Snapshot<'_>,
    ) -> Result<bool, Fault> {
        if self.rules.exclude(name, meta.is_dir(), filter::Side::Receiver, levels) {
            return Ok(false);
        }
        let mut all = true;
        if meta.is_dir() {
            for (child, meta) in snapshot.root().read_dir(path)? {
                let (path, name) = (path.join(&child), name.join(&child));
                all &= self.purge(&path, &name, &meta, levels, snapshot)?;
            }
        }
        if all {
            place::remove(path, snapshot)?;
        }
        Ok(all)
    }
}

/// Finds the files.
pub(super) struct Lister<'l, 's> {
    pub(super) files: &'l Files,
    pub(super) settings: &'s Settings,
    /// Links may lead out of the context.
    pub(super) may_leave: bool,
    pub(super) list: List<'l>,
    known: BTreeMap<PathBuf, usize>,
    /// Directories that one is in, by device and inode: links may lead in circles.
    open: Vec<(u64, u64)>,
}

impl<'l, 's> Lister<'l, 's> {
    pub(super) fn new(
        files: &'l Files,
        settings: &'s Settings,
        may_leave: bool,
    ) -> Result<Self, Fault> {
        let rules = Rules::new(settings, &files.root)?;
        let host = Root::open(Path::new("/"))?;
        let list = List {
            entries: Vec::new(),
            rules,
            skipped: Vec::new(),
            spared: BTreeSet::new(),
            outside: Vec::new(),
            context: &files.root,
            host,
        };
        Ok(Self { files, settings, may_leave, list, known: BTreeMap::new(), open: Vec::new() })
    }

    pub(super) fn finish(self) -> List<'l> {
        let Self { mut list, .. } = self;
        list.entries.sort_by(|a, b| a.name.cmp(&b.name));
        list.outside.sort();
        list.outside.dedup();
        list
    }

    /// Adds what a word means.
    pub(super) fn add(&mut self, word: &str) -> Result<(), Fault> {
        let is_inside =
            word.ends_with('/') || word.ends_with("/.") || word == "." || word.is_empty();
        if !Glob::is_pattern(word) {
            return self.argument(word, &clean(Path::new(word)), is_inside);
        }
        // Python's patterns: `[!a]`, and no wildcard finds a name that begins with a dot.
        let pattern = clean(Path::new(&word.replace("[!", "[^"))).to_string_lossy().into_owned();
        let glob = Glob::new(&pattern)?;
        let mut found = Vec::new();
        self.matching(Path::new(""), &pattern, &glob, 0, &mut found)?;
        if is_inside {
            let is_dir = |path: &PathBuf| {
                self.files.root.stat(path).is_ok_and(|meta| meta.is_some_and(|meta| meta.is_dir()))
            };
            found.retain(is_dir);
        }
        if found.is_empty() {
            return Err(Fault::NotFound { path: Path::new("/").join(&pattern), ignored: false });
        }
        found.iter().try_for_each(|path| self.argument(word, path, is_inside))
    }

    fn matching(
        &self,
        folder: &Path,
        pattern: &str,
        glob: &Glob,
        depth: usize,
        found: &mut Vec<PathBuf>,
    ) -> Result<(), Fault> {
        let part = pattern.split('/').nth(depth).unwrap_or_default();
        let mut entries = self.files.root.read_dir(folder)?;
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, _) in entries {
            let text = name.to_string_lossy();
            let is_hidden = text.starts_with('.') && !part.starts_with('.');
            let path = folder.join(&name);
            if is_hidden || !glob.matches_component(depth, &text) || self.files.is_ignored(&path) {
                continue;
            }
            if depth + 1 == glob.depth() {
                found.push(path);
            } else if self.files.root.stat(&path)?.is_some_and(|meta| meta.is_dir()) {
                self.matching(&path, pattern, glob, depth + 1, found)?;
            }
        }
        Ok(())
    }

    /// Adds what one argument names.
    fn argument(&mut self, word: &str, path: &Path, is_inside: bool) -> Result<(), Fault> {
        let is_inside = is_inside || path.as_os_str().is_empty();
        let root = &self.files.root;
        // With --relative a `/./` says where the names begin.
        let name = match (self.settings.relative, word.split_once("/./")) {
            (true, Some((before, _))) => {
                let before = clean(Path::new(before));
                path.strip_prefix(&before).unwrap_or(path).to_owned()
            }
            (true, None) => path.to_owned(),
            (false, _) if is_inside => PathBuf::new(),
            (false, _) => path.file_name().map(PathBuf::from).unwrap_or_default(),
        };
        let real = match (is_inside, path.parent(), path.file_name()) {
            (false, Some(parent), Some(last)) => root.resolve(parent)?.join(last),
            _ => root.resolve(path)?,
        };
        let Some(meta) = root.lstat(&real)? else { return Err(self.files.missing(path)) };
        if is_inside && !meta.is_dir() {
            let error = std::io::Error::from(std::io::ErrorKind::NotADirectory);
            return Err(Fault::Read(Path::new("/").join(path), error));
        }
        let is_kept = self.files.choose(&self.files.exactly("")?, &Ignore::default(), &real, &meta);
        if is_kept == Choice::Skip {
            return Err(self.files.missing(path));
        }
        if self.settings.relative {
            self.implied(&name, path)?;
        }
        self.visit(name, Side::Context, real, meta, &Vec::new(), is_inside)
    }

    /// With --relative, the directories above come along, without what else is in them.
    fn implied(&mut self, name: &Path, path: &Path) -> Result<(), Fault> {
        let depth = name.components().count();
        for (up, above) in name.ancestors().skip(1).enumerate() {
            if above.as_os_str().is_empty() || up + 1 >= depth {
                continue;
            }
            let source = path.ancestors().nth(up + 1).unwrap_or(Path::new(""));
            let real = self.files.root.resolve(source)?;
            if let Some(meta) = self.files.root.lstat(&real)? {
                let (side, levels) = (Side::Context, Vec::new());
                let name = above.to_owned();
                self.push(Entry { name, side, path: real, meta, is_searched: false, levels });
            }
        }
        Ok(())
    }

    fn push(&mut self, entry: Entry) {
        // Of two with one name the first counts, but for a directory.
        match self.known.get(&entry.name) {
            Some(at) => {
                let old = &mut self.list.entries[*at];
                if entry.meta.is_dir() && old.meta.is_dir() {
                    old.is_searched |= entry.is_searched;
                } else if entry.meta.is_dir() {
                    *old = entry;
                }
            }
            None => {
                self.known.insert(entry.name.clone(), self.list.entries.len());
                self.list.entries.push(entry);
            }
        }
    }

    /// Adds a file, and what is in it.
    fn visit(
        &mut self,
        name: PathBuf,
        side: Side,
        path: PathBuf,
        meta: Meta,
        levels: &Levels,
        is_inside: bool,
    ) -> Result<(), Fault> {
        let is_top = name.as_os_str().is_empty();
        let (mut side, mut path, mut meta) = (side, path, meta);
        if meta.kind == FileType::Symlink {
            match self.link(&name, side, &path)? {
                Fate::Kept => {}
                Fate::Dropped => {
                    if !self.list.rules.exclude(&name, false, filter::Side::Sender, levels) {
                        self.list.spared.insert(name);
                    }
                    return Ok(());
                }
                Fate::Followed(to_side, to_path, to_meta) => {
                    (side, path, meta) = (to_side, to_path, to_meta);
                }
            }
        }
        if !is_top && self.list.rules.exclude(&name, meta.is_dir(), filter::Side::Sender, levels) {
            return Ok(());
        }
        match meta.kind {
            FileType::Dir => return self.directory(&name, side, &path, meta, levels, is_inside),
            FileType::File => {
                let (least, most) = (self.settings.min_size, self.settings.max_size);
                if least.is_some_and(|least| meta.size < least)
                    || most.is_some_and(|most| meta.size > most)
                {
                    self.list.spared.insert(name);
                    return Ok(());
                }
            }
            FileType::Symlink => {}
            FileType::Fifo if self.settings.specials => {}
            _ => {
                let shown = name.display();
                self.list.skipped.push(format!("skipping non-regular file {shown:?}"));
                self.list.spared.insert(name);
                return Ok(());
            }
        }
        self.push(Entry { name, side, path, meta, is_searched: false, levels: Vec::new() });
        Ok(())
    }

    fn directory(
        &mut self,
        name: &Path,
        side: Side,
        path: &Path,
        meta: Meta,
        levels: &Levels,
        is_inside: bool,
    ) -> Result<(), Fault> {
        let Settings { recursive, dirs, .. } = *self.settings;
        if !recursive && !dirs {
            let shown = if name.as_os_str().is_empty() { Path::new(".") } else { name };
            self.list.skipped.push(format!("skipping directory {:?}", shown.display()));
            return Ok(());
        }
        let is_searched = recursive || is_inside;
        let mut levels = levels.clone();
        if is_searched {
            levels.extend(self.list.rules.level(name, self.list.root(side), path)?);
        }
        let at = self.list.entries.len();
        let is_known = self.known.contains_key(name);
        let entry = Entry {
            name: name.to_owned(),
            side,
            path: path.to_owned(),
            meta,
            is_searched,
            levels: levels.clone(),
        };
        self.push(entry);
        if !is_searched {
            return Ok(());
        }
        if self.open.contains(&meta.identity()) {
            return Err(Fault::Rsync(format!("{}: links lead in a circle", name.display())));
        }
        self.open.push(meta.identity());
        let mut entries = self.list.root(side).read_dir(path)?;
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        let whole = self.files.exactly("")?;
        for (child, meta) in entries {
            let inner = path.join(&child);
            if side == Side::Context
                && self.files.choose(&whole, &Ignore::default(), &inner, &meta) == Choice::Skip
            {
                continue;
            }
            if !recursive && meta.is_dir() && !dirs {
                continue;
            }
            self.visit(name.join(&child), side, inner, meta, &levels, false)?;
        }
        self.open.pop();
        let is_empty = self.list.entries.len() == at + 1;
        // A directory of which something is only kept by `!` in the ignore file may keep nothing.
        let is_ignored = side == Side::Context && self.files.is_ignored(path);
        let may_go = !is_known && !name.as_os_str().is_empty();
        if is_empty && may_go && (self.settings.prune_empty_dirs || is_ignored) {
            self.list.entries.pop();
            self.known.remove(name);
        }
        Ok(())
    }
}
