//! `COPY --parents`: sources keep the directories that they are in.

use std::path::Path;

use super::error::Fault;
use super::files::{Files, Source};
use crate::dockerfile::{Glob, Ignore};
use crate::rootfs::clean;

/// What stands before it is not kept.
const PIVOT: &str = "/./";

impl Files {
    /// The directories that paths are kept from, with what the rest of the word leaves of them. In
    /// the rest, `**` stands for any number of directories.
    pub(super) fn find_with_parents(&self, word: &str) -> Result<Vec<Source>, Fault> {
        let (before, rest) = word.split_once(PIVOT).unwrap_or(("", word));
        let rest = clean(Path::new(rest));
        let pattern = rest.to_string_lossy();
        let may_miss = Glob::is_pattern(before) || Glob::is_pattern(&pattern);
        let mut include = None;
        if !pattern.is_empty() {
            let mark = if pattern.starts_with('!') { "\\" } else { "" };
            include = Some(Ignore::new(["**".to_owned(), format!("!{mark}{pattern}")])?);
        }
        let mut sources = self.find(before)?;
        if Glob::is_pattern(before) {
            sources.retain(|source| source.meta.is_dir());
        }
        for source in &mut sources {
            let path = source.path.join(&rest);
            if !source.meta.is_dir() {
                return Err(self.missing(&path));
            }
            source.name.clear();
            source.include.clone_from(&include);
            // Links on the way are not followed: what they lead to has another path.
            let parent = path.parent().unwrap_or(Path::new(""));
            let is_there = may_miss
                || self.root.resolve(parent)? == parent
                    && self.root.lstat(&path)?.is_some()
                    && (!self.is_ignored(&path) || self.at(&path).is_ok());
            if !is_there {
                return Err(self.missing(&path));
            }
        }
        Ok(sources)
    }
}
