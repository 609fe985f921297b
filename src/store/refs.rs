//! Names to manifests, changed atomically.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::lock::{Lock, Mode};
use super::{Durability, Error, Result, Store};
use crate::image::{Content, Descriptor, Digest, Reference};

/// What an image is called here.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    Tagged(Reference),
    /// Nobody named it; it is known by its manifest's digest.
    Anonymous(Digest),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tagged(reference) => reference.fmt(f),
            Self::Anonymous(digest) => write!(f, "@{digest}"),
        }
    }
}

impl From<Reference> for Name {
    fn from(reference: Reference) -> Self {
        Self::Tagged(reference)
    }
}

/// A name and what it stands for: an image, an index or an artifact.
#[derive(Debug, Clone, PartialEq)]
pub struct RefEntry {
    pub name: Name,
    pub descriptor: Descriptor,
    /// The index that the image was chosen from.
    pub index: Option<Descriptor>,
}

/// A name that was forgotten, and what it stood for.
#[derive(Debug, Clone, PartialEq)]
pub struct Forgotten {
    /// Where that is noted.
    pub(super) path: PathBuf,
    pub entry: RefEntry,
    pub since: SystemTime,
}

/// The names that somebody has seen, so that the next look reads only what changed.
#[derive(Debug, Default)]
pub struct SeenRefs {
    files: HashMap<OsString, Seen>,
    looks: u64,
}

#[derive(Debug)]
struct Seen {
    stamp: Stamp,
    /// None: it cannot be read.
    entry: Option<RefEntry>,
    look: u64,
}

/// Of a file that is replaced and never changed: inode, size and the time of its last rename.
type Stamp = (u64, u64, i64, i64);

/// A name that came, changed or went.
#[derive(Debug, Clone, PartialEq)]
pub struct RefChange {
    pub before: Option<RefEntry>,
    pub now: Option<RefEntry>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    name: String,
    descriptor: Descriptor,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    index: Option<Descriptor>,
}

impl Store {
    /// Slashes and colons do not suit file names, and names can be longer than these may be.
    pub(super) fn ref_path(&self, name: &Name) -> PathBuf {
        let text = name.to_string();
        let mut file = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                '/' => file.push_str("%2F"),
                ':' => file.push_str("%3A"),
                other => file.push(other),
            }
        }
        if file.len() > 250 {
            file = format!("%{}", Digest::of(text.as_bytes()).hex());
        }
        self.root.join("refs").join(file)
    }

    pub fn get_ref(&self, name: &Name) -> Result<Option<RefEntry>> {
        read(&self.ref_path(name))
    }

    /// When the name got what it stands for.
    pub fn named_at(&self, name: &Name) -> Option<SystemTime> {
        fs::metadata(self.ref_path(name)).ok()?.modified().ok()
    }

    /// Makes the name stand for something, whatever it stood for before. An image that had this
    /// name and has no other now stays as an anonymous one. An anonymous name for an image that has
    /// a proper one is not kept.
    pub fn set_ref(&self, entry: &RefEntry) -> Result<()> {
        let _lock = self.lock_refs()?;
        let digest = &entry.descriptor.digest;
        let nobody = Name::Anonymous(digest.clone());
        if entry.name == nobody && self.is_named(digest, &nobody)? {
            return Ok(());
        }
        let displaced = match &entry.name {
            Name::Tagged(_) => match self.get_ref(&entry.name) {
                // What a damaged one stood for, nobody knows.
                Err(Error::Damaged { .. }) => None,
                found => found?,
            },
            Name::Anonymous(_) => None,
        };
        if let Some(old) = displaced.filter(|old| old.descriptor.digest != *digest)
            && !self.is_named(&old.descriptor.digest, &old.name)?
        {
            // First, so that who is killed in between leaves a name too many and not one too few.
            let name = Name::Anonymous(old.descriptor.digest.clone());
            self.write_ref(&RefEntry { name, ..old })?;
        }
        self.write_ref(entry)?;
        if entry.name != nobody {
            self.delete_file(&self.ref_path(&nobody))?;
        }
        Ok(())
    }

    /// Makes the name stand for something; what it stood for before is kept by nobody.
    pub fn replace_ref(&self, entry: &RefEntry) -> Result<()> {
        let _lock = self.lock_refs()?;
        self.write_ref(entry)?;
        self.delete_file(&self.ref_path(&Name::Anonymous(entry.descriptor.digest.clone())))
    }

    /// Makes the name stand for something; what it stood for before is deleted by the next
    /// [`Store::remove`](Self::remove), if nothing else holds it.
    pub fn supersede_ref(&self, entry: &RefEntry) -> Result<()> {
        self.forget_ref(&entry.name)?;
        self.set_ref(entry)
    }

    /// Whether the image has a name of its own besides `except`.
    fn is_named(&self, digest: &Digest, except: &Name) -> Result<bool> {
        let others = self.all_refs()?.0.into_iter();
        Ok(others.filter(|other| other.name != *except).any(|other| {
            matches!(other.name, Name::Tagged(_)) && other.descriptor.digest == *digest
        }))
    }

    fn write_ref(&self, entry: &RefEntry) -> Result<()> {
        let stored = Stored {
            name: entry.name.to_string(),
            descriptor: entry.descriptor.clone(),
            index: entry.index.clone(),
        };
        let bytes = serde_json::to_vec(&stored).expect("a reference has string keys");
        self.replace(&self.ref_path(&entry.name), &bytes, Durability::OnDisk)
    }

    /// Forgets a name, if it is there. What it stood for is remembered until
    /// [`Store::remove`](Self::remove) could delete it.
    pub(super) fn forget_ref(&self, name: &Name) -> Result<()> {
        let _lock = self.lock_refs()?;
        let path = self.ref_path(name);
        let entry = match read(&path) {
            Err(Error::Damaged { .. }) => return self.delete_file(&path),
            found => found?,
        };
        let Some(entry) = entry else { return Ok(()) };
        let file = path.file_name().expect("made of a name");
        fs::rename(&path, self.root.join("removed").join(file))
            .map_err(Error::io("removing", &path))?;
        // Who was killed in `set_ref` may have left the image an anonymous name as well.
        self.delete_file(&self.ref_path(&Name::Anonymous(entry.descriptor.digest)))
    }

    /// Forgets a name of something that another name holds as well, so that nothing is to be deleted.
    pub fn forget_held(&self, name: &Name) -> Result<()> {
        let _lock = self.lock_refs()?;
        self.delete_file(&self.ref_path(name))
    }

    /// When a name was last given, changed or forgotten, by anybody.
    pub fn refs_changed(&self) -> Result<SystemTime> {
        let path = self.root.join("refs");
        fs::metadata(&path).and_then(|meta| meta.modified()).map_err(Error::io("reading", &path))
    }

    /// Changing a name reads others before, and nobody may change them meanwhile. Reading alone
    /// needs no lock.
    fn lock_refs(&self) -> Result<Lock> {
        let path = self.root.join("leases/refs");
        Lock::wait(&path, Mode::Exclusive).map_err(Error::io("locking", &path))
    }

    /// All names that were forgotten and can be restored, in the order of their files.
    pub fn forgotten_refs(&self) -> Result<Vec<Forgotten>> {
        let mut found = Vec::new();
        for path in self.entries("removed")? {
            if let Some(entry) = read(&path)? {
                let since = moved(&path).unwrap_or(UNIX_EPOCH);
                found.push(Forgotten { path, entry, since });
            }
        }
        Ok(found)
    }

    /// Gives a name that was forgotten back to what it stood for.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] when the name stands for something again; [`Error::NotForgotten`] when it
    /// was never there, or when what it stood for has been deleted.
    pub fn restore(&self, name: &Name) -> Result<RefEntry> {
        {
            let _lock = self.lock_refs()?;
            if self.get_ref(name)?.is_some() {
                return Err(Error::Exists(name.to_string()));
            }
        }
        let all = self.forgotten_refs()?;
        let Some(found) = all.into_iter().find(|found| found.entry.name == *name) else {
            return Err(Error::NotForgotten(name.to_string()));
        };
        // First the name, so that who is killed in between leaves one too many.
        self.set_ref(&found.entry)?;
        self.delete_file(&found.path)?;
        Ok(found.entry)
    }

    /// All names, sorted; without those that are damaged.
    pub fn list_refs(&self) -> Result<Vec<RefEntry>> {
        Ok(self.list_all_refs()?.0)
    }

    /// The same, and the names whose files are damaged, as far as these tell them.
    pub fn list_all_refs(&self) -> Result<(Vec<RefEntry>, Vec<String>)> {
        let (mut found, damaged) = self.all_refs()?;
        // A process that was killed in `set_ref` can leave an anonymous name beside a proper one.
        let named: HashSet<Digest> = found
            .iter()
            .filter(|entry| matches!(entry.name, Name::Tagged(_)))
            .map(|entry| entry.descriptor.digest.clone())
            .collect();
        found.retain(|entry| match &entry.name {
            Name::Tagged(_) => true,
            Name::Anonymous(digest) => !named.contains(digest),
        });
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((found, damaged))
    }

    /// What changed since somebody looked last. After an error the look must be begun anew, with
    /// nothing seen.
    pub fn look_again(&self, seen: &mut SeenRefs) -> Result<Vec<RefChange>> {
        let folder = self.root.join("refs");
        let failed = |error| Error::io("reading", &folder)(error);
        seen.looks += 1;
        let look = seen.looks;
        let mut changes = Vec::new();
        for file in fs::read_dir(&folder).map_err(failed)? {
            let file = file.map_err(failed)?;
            let metadata = match file.metadata() {
                // Another process removed it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata.map_err(failed)?,
            };
            let stamp = (metadata.ino(), metadata.len(), metadata.ctime(), metadata.ctime_nsec());
            let known = seen.files.get_mut(&file.file_name());
            if let Some(known) = known.filter(|known| known.stamp == stamp) {
                known.look = look;
                continue;
            }
            let now = match read(&file.path()) {
                Ok(entry) => entry,
                Err(Error::Damaged { .. }) => None,
                Err(error) => return Err(error),
            };
            let new = Seen { stamp, entry: now.clone(), look };
            let before = seen.files.insert(file.file_name(), new).and_then(|old| old.entry);
            changes.push(RefChange { before, now });
        }
        seen.files.retain(|_, known| {
            let is_there = known.look == look;
            if !is_there {
                changes.push(RefChange { before: known.entry.take(), now: None });
            }
            is_there
        });
        Ok(changes)
    }

    /// Whether all names can be read. What a damaged one held, nobody knows, and so nothing may be
    /// deleted.
    pub(super) fn check_refs(&self) -> Result<()> {
        self.entries("refs")?.iter().try_for_each(|path| read(path).map(drop))
    }

    fn all_refs(&self) -> Result<(Vec<RefEntry>, Vec<String>)> {
        let (mut found, mut damaged) = (Vec::new(), Vec::new());
        for path in self.entries("refs")? {
            match read(&path) {
                // Another process may have removed it meanwhile.
                Ok(entry) => found.extend(entry),
                // One damaged name is no reason to lose sight of all others.
                Err(Error::Damaged { .. }) => {
                    let file = path.file_name().unwrap_or_default().to_string_lossy();
                    damaged.push(file.replace("%2F", "/").replace("%3A", ":"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok((found, damaged))
    }

    /// What a name stands for; one with a digest also through any other name of that repository.
    pub fn find_reference(&self, reference: &Reference) -> Result<Option<RefEntry>> {
        if let Some(entry) = self.get_ref(&Name::Tagged(reference.clone()))? {
            return Ok(Some(entry));
        }
        let Some(digest) = reference.digest() else { return Ok(None) };
        Ok(self.list_refs()?.into_iter().find(|entry| {
            let same = match &entry.name {
                Name::Tagged(name) => {
                    name.registry() == reference.registry()
                        && name.repository() == reference.repository()
                }
                Name::Anonymous(_) => false,
            };
            let index = entry.index.as_ref().map(|index| &index.digest);
            same && (entry.descriptor.digest == *digest || index == Some(digest))
        }))
    }

    /// What a person means: a name, a name with a digest, or the beginning (at least four digits)
    /// of a manifest's or a configuration's digest.
    pub fn find(&self, text: &str) -> Result<RefEntry> {
        match text.parse::<Reference>() {
            Ok(reference) => {
                if let Some(entry) = self.find_reference(&reference)? {
                    return Ok(entry);
                }
            }
            // No message repeats what may be a password.
            Err(error) if text.contains('@') => return Err(error.into()),
            Err(_) => {}
        }
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        if hex.len() < 4 || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(Error::NotFound(text.to_owned()));
        }
        let mut found: Option<RefEntry> = None;
        for entry in self.list_refs()? {
            if !self.id_begins_with(&entry.descriptor, hex) {
                continue;
            }
            // The same image may have several manifests: another compression, another format.
            if let Some(other) = &found
                && self.id_of(&other.descriptor) != self.id_of(&entry.descriptor)
            {
                return Err(Error::Ambiguous(text.to_owned()));
            }
            found = found.or(Some(entry));
        }
        found.ok_or_else(|| Error::NotFound(text.to_owned()))
    }

    fn id_begins_with(&self, descriptor: &Descriptor, hex: &str) -> bool {
        descriptor.digest.hex().starts_with(hex) || self.id_of(descriptor).hex().starts_with(hex)
    }

    /// What people know an image by: its configuration's digest; of all else, the manifest's.
    fn id_of(&self, descriptor: &Descriptor) -> Digest {
        match self.content(descriptor) {
            Ok(Content::Image(manifest) | Content::Artifact(manifest)) => manifest.config.digest,
            _ => descriptor.digest.clone(),
        }
    }
}

/// When a file got its place: a rename changes no other of its times.
fn moved(path: &Path) -> Option<SystemTime> {
    let metadata = fs::metadata(path).ok()?;
    let seconds = u64::try_from(metadata.ctime()).ok()?;
    let nanoseconds = u32::try_from(metadata.ctime_nsec()).ok()?;
    Some(UNIX_EPOCH + Duration::new(seconds, nanoseconds))
}

/// `None` when there is no such file.
fn read(path: &Path) -> Result<Option<RefEntry>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(Error::io("reading", path))?,
    };
    let damaged = |source: io::Error| Error::Damaged { path: path.to_owned(), source };
    let Stored { name, descriptor, index } =
        serde_json::from_slice(&bytes).map_err(|error| damaged(error.into()))?;
    let name = match name.strip_prefix('@') {
        Some(digest) => digest.parse().map(Name::Anonymous),
        None => name.parse().map(Name::Tagged),
    };
    let name = name.map_err(|error| damaged(io::Error::new(io::ErrorKind::InvalidData, error)))?;
    Ok(Some(RefEntry { name, descriptor, index }))
}
