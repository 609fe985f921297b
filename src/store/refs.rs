//! Names to manifests, changed atomically.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Error, Store};
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

#[derive(Serialize, Deserialize)]
struct Stored {
    name: String,
    descriptor: Descriptor,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    index: Option<Descriptor>,
}

impl Store {
    /// Slashes and colons do not suit file names, and names can be longer than these may be.
    fn ref_path(&self, name: &Name) -> PathBuf {
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

    pub fn get_ref(&self, name: &Name) -> Result<Option<RefEntry>, Error> {
        let path = self.ref_path(name);
        match fs::read(&path) {
            Ok(bytes) => read(&path, &bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { action: "reading", path, source }),
        }
    }

    /// Makes the name stand for something, whatever it stood for before.
    pub fn set_ref(&self, entry: &RefEntry) -> Result<(), Error> {
        let stored = Stored {
            name: entry.name.to_string(),
            descriptor: entry.descriptor.clone(),
            index: entry.index.clone(),
        };
        let bytes = serde_json::to_vec(&stored).expect("a reference has string keys");
        self.replace(&self.ref_path(&entry.name), &bytes)
    }

    /// Forgets a name; says whether it was there. Content is deleted by
    /// [`Store::remove`](Self::remove) only.
    pub(super) fn forget_ref(&self, name: &Name) -> Result<bool, Error> {
        let path = self.ref_path(name);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(Error::Io { action: "removing", path, source }),
        }
    }

    /// All names, sorted.
    pub fn list_refs(&self) -> Result<Vec<RefEntry>, Error> {
        let folder = self.root.join("refs");
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).map_err(Error::io("reading", &folder))? {
            let path = entry.map_err(Error::io("reading", &folder))?.path();
            match fs::read(&path) {
                Ok(bytes) => found.push(read(&path, &bytes)?),
                // Another process removed it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(Error::Io { action: "reading", path, source }),
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// What a person means: a name, a name with a digest, or the beginning (at least four digits)
    /// of a manifest's or a configuration's digest.
    pub fn find(&self, text: &str) -> Result<RefEntry, Error> {
        if let Ok(reference) = text.parse::<Reference>() {
            if let Some(entry) = self.get_ref(&Name::Tagged(reference.clone()))? {
                return Ok(entry);
            }
            if let Some(digest) = reference.digest() {
                let same = |entry: &RefEntry| match &entry.name {
                    Name::Tagged(name) => name.repository() == reference.repository(),
                    Name::Anonymous(_) => false,
                };
                let wanted = |entry: &RefEntry| {
                    let index = entry.index.as_ref().map(|index| &index.digest);
                    entry.descriptor.digest == *digest || index == Some(digest)
                };
                let found =
                    self.list_refs()?.into_iter().find(|entry| same(entry) && wanted(entry));
                return found.ok_or_else(|| Error::NotFound(text.to_owned()));
            }
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
            if found
                .as_ref()
                .is_some_and(|other| other.descriptor.digest != entry.descriptor.digest)
            {
                return Err(Error::Ambiguous(text.to_owned()));
            }
            found = found.or(Some(entry));
        }
        found.ok_or_else(|| Error::NotFound(text.to_owned()))
    }

    fn id_begins_with(&self, descriptor: &Descriptor, hex: &str) -> bool {
        if descriptor.digest.hex().starts_with(hex) {
            return true;
        }
        match self.content(descriptor) {
            Ok(Content::Image(manifest) | Content::Artifact(manifest)) => {
                manifest.config.digest.hex().starts_with(hex)
            }
            _ => false,
        }
    }
}

fn read(path: &std::path::Path, bytes: &[u8]) -> Result<RefEntry, Error> {
    let damaged =
        |source: serde_json::Error| Error::Damaged { path: path.to_owned(), source: source.into() };
    let Stored { name, descriptor, index } = serde_json::from_slice(bytes).map_err(damaged)?;
    let name = match name.strip_prefix('@') {
        Some(digest) => Name::Anonymous(digest.parse()?),
        None => Name::Tagged(name.parse()?),
    };
    Ok(RefEntry { name, descriptor, index })
}
