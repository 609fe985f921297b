//! [`Collection`]: the files of an image of the host's programs, in order of their paths.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::transfer::Error;

/// How many links of a path are followed; the kernel's limit.
const LINKS: usize = 40;

/// A file of the image. A path without its slash is the image's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Dir {
        mode: u32,
    },
    Link {
        target: PathBuf,
    },
    /// The host's file of the same path.
    File {
        mode: u32,
    },
    Made {
        mode: u32,
        content: String,
    },
}

/// By what a file is known to be unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    mode: u32,
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Seen {
    /// Of what is at a path now, links not followed; None when nothing is there.
    pub(super) fn of(path: &Path) -> io::Result<Option<Self>> {
        match fs::symlink_metadata(path) {
            Ok(metadata) => Ok(Some(Self::from(&metadata))),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl From<&fs::Metadata> for Seen {
    fn from(metadata: &fs::Metadata) -> Self {
        // A directory changes with every file in it; what matters there is looked at itself.
        let is_dir = metadata.is_dir();
        Self {
            mode: metadata.mode(),
            device: metadata.dev(),
            inode: metadata.ino(),
            size: if is_dir { 0 } else { metadata.len() },
            changed: if is_dir { (0, 0) } else { (metadata.ctime(), metadata.ctime_nsec()) },
        }
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Files by path, and what was looked at to find them.
#[derive(Debug, Default)]
pub(super) struct Collection {
    items: BTreeMap<PathBuf, Item>,
    seen: BTreeMap<PathBuf, Option<Seen>>,
    programs: BTreeSet<PathBuf>,
}

impl Collection {
    /// Parents before what is in them.
    pub(super) fn items(&self) -> impl Iterator<Item = (&Path, &Item)> {
        self.items.iter().map(|(path, item)| (path.as_path(), item))
    }

    pub(super) fn into_seen(self) -> Vec<(PathBuf, Option<Seen>)> {
        self.seen.into_iter().collect()
    }

    /// What was asked for, by the paths where it was found.
    pub(super) fn programs(&self) -> impl Iterator<Item = &Path> {
        self.programs.iter().map(PathBuf::as_path)
    }

    pub(super) fn put(&mut self, path: &str, item: Item) {
        self.items.insert(path.into(), item);
    }

    /// Remembers how something is, without taking it.
    pub(super) fn look(&mut self, path: &Path) {
        let seen = Seen::of(path).ok().flatten();
        self.seen.insert(path.to_owned(), seen);
    }

    /// Whether a file is there that may be executed.
    pub(super) fn is_program(&mut self, path: &Path) -> bool {
        self.look(path);
        fs::metadata(path).is_ok_and(|found| found.is_file() && found.mode() & 0o111 != 0)
    }

    /// Takes a program, and says where its file really is.
    pub(super) fn add_program(&mut self, path: &Path) -> Result<PathBuf, Error> {
        self.programs.insert(path.to_owned());
        self.add(path)
    }

    /// Takes a path if it is a symbolic link on the host, and what it leads to.
    pub(super) fn add_link(&mut self, path: &Path) -> Result<(), Error> {
        self.look(path);
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_symlink() && path.exists() => self.add(path).map(drop),
            _ => Ok(()),
        }
    }

    /// Makes `path` a link to `target`, unless it is there.
    pub(super) fn link_if_missing(&mut self, path: &Path, target: &Path) {
        if !self.leads_somewhere(path) {
            let parent = self.real_parent(path);
            let path = parent.join(path.file_name().unwrap_or_default());
            self.items.entry(parent).or_insert(Item::Dir { mode: 0o755 });
            self.items.insert(path, Item::Link { target: target.to_owned() });
        }
    }

    fn leads_somewhere(&self, path: &Path) -> bool {
        self.items.contains_key(&self.real_parent(path).join(path.file_name().unwrap_or_default()))
    }

    /// The directory that a path's file lies in, where that directory may be one link of the image.
    fn real_parent(&self, path: &Path) -> PathBuf {
        let parent = path.parent().unwrap_or(Path::new("/"));
        match self.items.get(parent) {
            Some(Item::Link { target }) => Path::new("/").join(target),
            _ => parent.to_owned(),
        }
    }

    /// Takes what is at an absolute path, and every directory and link on the way. Returns the path
    /// of the file itself.
    pub(super) fn add(&mut self, path: &Path) -> Result<PathBuf, Error> {
        let mut left: Vec<OsString> = parts(path);
        let mut at = PathBuf::from("/");
        let mut links = 0;
        while let Some(part) = left.pop() {
            if part == ".." {
                at.pop();
                continue;
            }
            let next = at.join(&part);
            let metadata = fs::symlink_metadata(&next).map_err(Error::opening(&next))?;
            self.seen.insert(next.clone(), Some(Seen::from(&metadata)));
            if metadata.is_symlink() {
                links += 1;
                if links > LINKS {
                    let problem = "too many symbolic links".to_owned();
                    return Err(Error::Program { program: path.display().to_string(), problem });
                }
                let target = fs::read_link(&next).map_err(Error::opening(&next))?;
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                left.extend(parts(&target));
                self.items.insert(next, Item::Link { target });
                continue;
            }
            at = next;
            if metadata.is_dir() {
                self.items.entry(at.clone()).or_insert(Item::Dir { mode: 0o755 });
            } else {
                let executable = metadata.permissions().mode() & 0o111 != 0;
                let special = metadata.permissions().mode() & 0o6000;
                let mode = special | if executable { 0o755 } else { 0o644 };
                self.items.insert(at.clone(), Item::File { mode });
            }
        }
        Ok(at)
    }
}

/// A path's components, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let mut parts: Vec<_> = path
        .components()
        .filter_map(|part| match part {
            Component::Normal(part) => Some(part.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            _ => None,
        })
        .collect();
    parts.reverse();
    parts
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_on_the_way_are_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let base = fs::canonicalize(dir.path()).expect("it is there");
        fs::create_dir_all(base.join("usr/bin")).expect("made");
        fs::write(base.join("usr/bin/real"), "x").expect("written");
        symlink("usr/bin", base.join("bin")).expect("linked");
        symlink(base.join("bin/real"), base.join("usr/bin/alternative")).expect("linked");
        symlink("../bin/alternative", base.join("usr/bin/name")).expect("linked");

        let mut collection = Collection::default();
        let real = collection.add(&base.join("bin/name")).expect("all is there");
        assert_eq!(real, base.join("usr/bin/real"));
        let kinds: Vec<_> = collection
            .items()
            .filter_map(|(path, item)| Some((path.strip_prefix(&base).ok()?.to_owned(), item)))
            .map(|(path, item)| (path.display().to_string(), matches!(item, Item::Link { .. })))
            .collect();
        let expected = [
            ("", false),
            ("bin", true),
            ("usr", false),
            ("usr/bin", false),
            ("usr/bin/alternative", true),
            ("usr/bin/name", true),
            ("usr/bin/real", false),
        ];
        assert_eq!(kinds, expected.map(|(path, link)| (path.to_owned(), link)));

        symlink("b", base.join("a")).expect("linked");
        symlink("a", base.join("b")).expect("linked");
        collection.add(&base.join("a")).expect_err("it goes round");
    }
}
