//! [`Walk`]: a tree in order, a directory before what is in it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

use super::meta::{FileType, Meta};
use super::root::Root;
use super::side_table::SideTable;
use super::{Error, Result};

/// A file that a walk came by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// From the root.
    pub path: PathBuf,
    pub meta: Meta,
    /// The first path, in the order of the walk, of the file that this is one more name of.
    pub link: Option<PathBuf>,
}

/// Goes through a tree in the order of [`Path`] (name by name, in the order of their bytes).
/// Holds one directory's entries for each level, and opens one at a time.
#[derive(Debug)]
pub struct Walk<'r> {
    root: &'r Root,
    records: &'r SideTable,
    start: Option<PathBuf>,
    /// The directory to enter next.
    entering: Option<PathBuf>,
    levels: Vec<(PathBuf, IntoIter<(OsString, Meta)>)>,
    links: HashMap<(u64, u64), PathBuf>,
}

impl<'r> Walk<'r> {
    /// Of what is at `start`, that itself included; the empty path is the whole tree. Symbolic
    /// links are not followed.
    pub fn new(root: &'r Root, start: &Path, records: &'r SideTable) -> Self {
        Self {
            root,
            records,
            start: Some(start.to_owned()),
            entering: None,
            levels: Vec::new(),
            links: HashMap::new(),
        }
    }

    /// Leaves out what is in the directory that came last.
    pub fn leave_out(&mut self) {
        self.entering = None;
    }

    fn begin(&self, start: &Path) -> Result<Found> {
        let missing = || Error::Missing { path: self.root.path().join(start) };
        let place = self.root.place(start)?.ok_or_else(missing)?;
        let meta = place.meta(self.records)?.ok_or_else(missing)?;
        Ok(Found { path: place.path(), meta, link: None })
    }

    fn step(&mut self) -> Option<Result<Found>> {
        if let Some(start) = self.start.take() {
            return Some(self.begin(&start));
        }
        if let Some(dir) = self.entering.take() {
            match self.root.entries(&dir, false, self.records) {
                Ok(entries) => self.levels.push((dir, entries.into_iter())),
                Err(e) => return Some(Err(e)),
            }
        }
        while let Some((dir, entries)) = self.levels.last_mut() {
            if let Some((name, meta)) = entries.next() {
                return Some(Ok(Found { path: dir.join(name), meta, link: None }));
            }
            self.levels.pop();
        }
        None
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Found>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut found = match self.step()? {
            Ok(found) => found,
            Err(e) => return Some(Err(e)),
        };
        if found.meta.kind == FileType::Dir {
            self.entering = Some(found.path.clone());
        } else if found.meta.nlink > 1 && !found.meta.is_whiteout() {
            found.link = self.links.get(&found.meta.identity()).cloned();
            if found.link.is_none() {
                self.links.insert(found.meta.identity(), found.path.clone());
            }
        }
        Some(Ok(found))
    }
}
