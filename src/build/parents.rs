//! `COPY --parents`: sources keep the directories that they are in.

use std::path::Path;

use super::context::{Files, Source};
use super::error::Fault;
use crate::dockerfile::{Glob, Ignore};
use crate::rootfs::{FileType, clean};

/// What stands before it is not kept.
const PIVOT: &str = "/./";

impl Files {
    /// The directory that paths are kept from, with what the rest of the word leaves of it. Here
    /// `**` stands for any number of directories.
    pub(super) fn find_with_parents(&self, word: &str) -> Result<Source, Fault> {
        let (before, rest) = word.split_once(PIVOT).unwrap_or(("", word));
        let mut source = self.at(&clean(Path::new(before)))?;
        let rest = clean(Path::new(rest));
        if source.meta.kind != FileType::Dir {
            return Err(self.missing(&source.path.join(&rest)));
        }
        source.name.clear();
        if rest.as_os_str().is_empty() {
            return Ok(source); // all of it
        }
        let pattern = rest.to_string_lossy();
        let mark = if pattern.starts_with('!') { "\\" } else { "" };
        source.include = Some(Ignore::new(["**".to_owned(), format!("!{mark}{pattern}")])?);
        if !Glob::is_pattern(&pattern) {
            // Links on the way are not followed: what they lead to has another path.
            let path = source.path.join(&rest);
            let parent = path.parent().unwrap_or(Path::new(""));
            let is_there = self.root.resolve(parent)? == parent
                && self.root.lstat(&path)?.is_some()
                && (!self.is_ignored(&path) || self.at(&path).is_ok());
            if !is_there {
                return Err(self.missing(&path));
            }
        }
        Ok(source)
    }
}
