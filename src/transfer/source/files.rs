//! [`Files`]: the files of an image layout or of a `docker save` archive, by name, out of a
//! directory or a tar.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::layer::archive::{EntryKind, Reader};
use crate::layer::compress::decompress;
use crate::store::Store;
use crate::transfer::Error;

/// How many links of an archive are followed for one name.
const LINKS: usize = 8;

/// Files by name. Names have no `./` before them.
pub struct Files {
    /// As a person would write it.
    label: String,
    place: Place,
}

/// A file's bytes, and how many they are.
type Content = (Box<dyn Read + Send>, u64);

enum Place {
    Directory(PathBuf),
    Archive { file: Arc<File>, members: HashMap<String, Member> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Member {
    /// Where its content lies in the archive, in bytes.
    Data { offset: u64, size: u64 },
    /// The other one that it stands for.
    Link(String),
}

impl Files {
    /// The files of a directory, or of a tar. What is compressed is decompressed into the storage
    /// directory first, to a file that nobody sees.
    pub fn open(path: &Path, store: &Store) -> Result<Self, Error> {
        let label = path.display().to_string();
        let metadata = fs::metadata(path).map_err(Error::opening(path))?;
        if metadata.is_dir() {
            return Ok(Self { label, place: Place::Directory(path.to_owned()) });
        }
        let file = File::open(path).map_err(Error::opening(path))?;
        if !metadata.is_file() {
            return Self::stream(file, label, store);
        }
        let mut magic = Vec::new();
        (&file).take(4).read_to_end(&mut magic).map_err(Error::opening(path))?;
        (&file).rewind().map_err(Error::opening(path))?;
        match magic[..] {
            [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd] => Self::stream(file, label, store),
            [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Self::stream(file, label, store),
            _ => Self::archive(file, label),
        }
    }

    /// The files of a tar, compressed or not, that can be read once only.
    pub fn stream(
        input: impl Read + Send,
        label: impl Into<String>,
        store: &Store,
    ) -> Result<Self, Error> {
        let label = label.into();
        Self::archive(spool(input, &label, store)?, label)
    }

    fn archive(file: File, label: String) -> Result<Self, Error> {
        let members = members(&file)?;
        Ok(Self { label, place: Place::Archive { file: Arc::new(file), members } })
    }

    pub fn label(&self) -> &str {
        &self.label
    }

    /// Opens a file and tells its size in bytes; None when there is none of that name.
    pub fn open_file(&self, name: &str) -> Result<Option<Content>, Error> {
        match &self.place {
            Place::Directory(dir) => {
                let inside = |part| matches!(part, Component::Normal(_));
                if !Path::new(name).components().all(inside) {
                    return Ok(None);
                }
                let path = dir.join(name);
                let file = match File::open(&path) {
                    Ok(file) => file,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                    Err(error) => return Err(Error::opening(path)(error)),
                };
                let size = file.metadata().map_err(Error::opening(path))?.len();
                Ok(Some((Box::new(file), size)))
            }
            Place::Archive { file, members } => {
                let Some((offset, size)) = find(members, name) else { return Ok(None) };
                let section = Section::new(Arc::clone(file), offset, size);
                Ok(Some((Box::new(section), size)))
            }
        }
    }

    /// A small file; None when there is none of that name.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let Some((input, size)) = self.open_file(name)? else { return Ok(None) };
        if size > crate::transfer::METADATA {
            return Err(self.no_image(format!("{name} has {size} bytes")));
        }
        let mut bytes = Vec::new();
        let failed = |error| Error::opening(format!("{}: {name}", self.label))(error);
        BufReader::new(input).read_to_end(&mut bytes).map_err(failed)?;
        Ok(Some(bytes))
    }

    pub fn no_image(&self, problem: impl Into<String>) -> Error {
        Error::NoImage { path: self.label.clone(), problem: problem.into() }
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Files").field(&self.label).finish()
    }
}

/// Copies a stream, decompressed, to a file without a name in the storage directory.
pub(super) fn spool(input: impl Read + Send, label: &str, store: &Store) -> Result<File, Error> {
    let workspace = store.workspace()?;
    let failed = || Error::writing("a temporary file in the storage directory");
    let mut file = tempfile::tempfile_in(workspace.path()).map_err(failed())?;
    let mut input = decompress(input).map_err(Error::opening(label))?;
    let mut buffer = vec![0; 128 << 10];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => file.write_all(&buffer[..count]).map_err(failed())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::opening(label)(error)),
        }
    }
    file.rewind().map_err(failed())?;
    Ok(file)
}

/// A tar's table of contents. The last of several members of one name counts.
fn members(file: &File) -> Result<HashMap<String, Member>, Error> {
    let mut members = HashMap::new();
    let mut reader = Reader::new(file);
    while let Some(entry) = reader.next_entry()? {
        // Names that are no text name nothing that we look for.
        let Some(name) = normal(&entry.path) else { continue };
        let member = match (entry.kind, &entry.link) {
            (EntryKind::File, _) if entry.sparse.is_none() => {
                Member::Data { offset: reader.offset(), size: entry.size }
            }
            (EntryKind::Symlink, Some(link)) => {
                // `docker save` of old links equal layers: `../ID/layer.tar`.
                let beside = entry.path.parent().unwrap_or(Path::new(""));
                let Some(target) = normal(&beside.join(link)) else { continue };
                Member::Link(target)
            }
            (EntryKind::Hardlink, Some(link)) => {
                let Some(target) = normal(link) else { continue };
                Member::Link(target)
            }
            _ => continue,
        };
        members.insert(name, member);
    }
    Ok(members)
}

/// A path without `.` and `..`; None when it leads out of the archive or is no text.
fn normal(path: &Path) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::ParentDir => drop(parts.pop()?),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Some(parts.join("/"))
}

/// Where a member's content lies, and its size.
fn find(members: &HashMap<String, Member>, name: &str) -> Option<(u64, u64)> {
    let mut name = normal(Path::new(name))?;
    for _ in 0..LINKS {
        match members.get(&name)? {
            Member::Data { offset, size } => return Some((*offset, *size)),
            Member::Link(target) => name.clone_from(target),
        }
    }
    None
}

/// A part of a file, read without moving anybody else's position.
pub(super) struct Section {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Section {
    pub(super) fn new(file: Arc<File>, at: u64, size: u64) -> Self {
        Self { file, at, end: at + size }
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let size = buffer.len().min(left);
        let count = self.file.read_at(&mut buffer[..size], self.at)?;
        if count == 0 && size > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_through_links() {
        let link = |to: &str| Member::Link(to.to_owned());
        let members = HashMap::from([
            ("a/layer.tar".to_owned(), Member::Data { offset: 512, size: 3 }),
            ("b/layer.tar".to_owned(), link("a/layer.tar")),
            ("c".to_owned(), link("c")),
        ]);
        assert_eq!(find(&members, "./a/layer.tar"), Some((512, 3)));
        assert_eq!(find(&members, "b/layer.tar"), Some((512, 3)));
        assert_eq!(find(&members, "c"), None);
        assert_eq!(find(&members, "../a/layer.tar"), None);
    }
}
