//! Files of an image by their names.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use super::{Error, Listing, Merged, Record};
use crate::image::Descriptor;
use crate::layer::archive::EntryKind;
use crate::pattern::Pattern;

/// What is looked for.
#[derive(Debug)]
pub struct Wanted(Pattern);

impl Wanted {
    /// # Errors
    ///
    /// [`Error::Pattern`]
    pub fn new(pattern: &str, regex: bool) -> Result<Self, Error> {
        let made = if regex { Pattern::regex(pattern) } else { Pattern::shell(pattern) };
        let wrong = |problem| Error::Pattern { pattern: pattern.to_owned(), problem };
        made.map(Self).map_err(wrong)
    }

    /// Whether it is the name of a file, or its path; that is taken with a slash in front of it too.
    pub fn is(&self, path: &Path) -> bool {
        let whole = path.to_string_lossy();
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        self.0.matches(&whole) || self.0.matches(&name) || self.0.matches(&format!("/{whole}"))
    }
}

/// A file that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hit {
    /// The layer that it is from; 0 is the lowest.
    pub index: usize,
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// In bytes.
    pub size: u64,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    #[serde(serialize_with = "lossy_option", skip_serializing_if = "Option::is_none")]
    pub link: Option<PathBuf>,
}

fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

fn lossy_option<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => lossy(path, serializer),
        None => serializer.serialize_none(),
    }
}

/// What people call it.
pub fn kind_name(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::File => "file",
        EntryKind::Dir => "directory",
        EntryKind::Symlink => "symlink",
        EntryKind::Hardlink => "hardlink",
        EntryKind::Fifo => "fifo",
        EntryKind::Char => "character device",
        EntryKind::Block => "block device",
    }
}

/// Looks through each layer by itself: what upper layers hide is found too, and deletions are.
pub fn find_in_layers(listings: &[Listing], wanted: &Wanted) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (index, listing) in listings.iter().enumerate() {
        for record in listing {
            let (path, kind) = match record {
                Record::Put(path, _) => (path, ""),
                Record::Delete(path) => (path, "whiteout"),
                Record::Hide(path) => (path, "opaque whiteout"),
            };
            if !wanted.is(path) {
                continue;
            }
            let hit = match record {
                Record::Put(path, item) => hit(index, path, item),
                _ => Hit {
                    index,
                    path: named(path),
                    kind,
                    size: 0,
                    mode: 0,
                    uid: 0,
                    gid: 0,
                    link: None,
                },
            };
            hits.push(hit);
        }
    }
    hits
}

/// Looks through the files as a container sees them.
pub fn find_merged(merged: &Merged, wanted: &Wanted) -> Vec<Hit> {
    let found = merged.iter().filter(|(path, _)| wanted.is(path));
    found.map(|(path, placed)| hit(placed.layer, path, &placed.item)).collect()
}

fn hit(index: usize, path: &Path, item: &super::Item) -> Hit {
    Hit {
        index,
        path: named(path),
        kind: kind_name(item.kind),
        size: item.size,
        mode: item.mode,
        uid: item.uid,
        gid: item.gid,
        link: item.link.as_deref().map(Path::to_owned),
    }
}

/// A path as people write it: the root is a dot.
fn named(path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { ".".into() } else { path.to_owned() }
}

/// A layer or the configuration, by its number (1 is the lowest layer), the word `config`, or the
/// beginning of its digest.
///
/// # Errors
///
/// [`Error::NoBlob`] and [`Error::Ambiguous`].
pub fn pick<'a>(
    image: &str,
    config: &'a Descriptor,
    layers: &'a [Descriptor],
    text: &str,
) -> Result<&'a Descriptor, Error> {
    if text == "config" {
        return Ok(config);
    }
    let missing = || {
        let there = match layers.len() {
            0 => "it has none".to_owned(),
            1 => "it has layer 1 alone".to_owned(),
            count => format!("it has layers 1 to {count}"),
        };
        Error::NoBlob { image: image.to_owned(), text: text.to_owned(), there }
    };
    // Four digits begin a digest: no image has a thousand layers.
    if text.len() < 4
        && let Ok(number) = text.parse::<usize>()
    {
        return number.checked_sub(1).and_then(|at| layers.get(at)).ok_or_else(missing);
    }
    let begins = |descriptor: &&Descriptor| {
        let digest = &descriptor.digest;
        text.len() >= 4 && (digest.hex().starts_with(text) || digest.to_string().starts_with(text))
    };
    let mut found = layers.iter().chain([config]).filter(begins);
    let first = found.next().ok_or_else(missing)?;
    match found.all(|other| other.digest == first.digest) {
        true => Ok(first),
        false => Err(Error::Ambiguous { image: image.to_owned(), text: text.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Digest;

    #[test]
    fn names_and_paths_are_matched() {
        for (pattern, regex, path, expected) in [
            ("passwd", false, "etc/passwd", true),
            ("etc/pass*", false, "etc/passwd", true),
            ("/etc/passwd", false, "etc/passwd", true),
            ("pass", false, "etc/passwd", false),
            ("pass", true, "etc/passwd", true),
            ("^/etc/", true, "etc/passwd", true),
        ] {
            let wanted = Wanted::new(pattern, regex).expect(pattern);
            assert_eq!(wanted.is(Path::new(path)), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn blobs_are_picked_by_number_or_digest() {
        let digest = |start: &str| {
            let hex = format!("{start}{}", "0".repeat(64 - start.len()));
            format!("sha256:{hex}").parse::<Digest>().expect("a digest")
        };
        let layer = |start: &str| Descriptor::new("x", digest(start), 1);
        let layers = [layer("abcd1"), layer("abcd2")];
        let config = layer("ffff");
        let pick = |text: &str| pick("app", &config, &layers, text);
        assert_eq!(pick("2").expect("a layer"), &layers[1]);
        assert_eq!(pick("abcd2").expect("a layer"), &layers[1]);
        assert_eq!(pick("sha256:abcd1").expect("a layer"), &layers[0]);
        assert_eq!(pick("config").expect("the configuration"), &config);
        assert_eq!(pick("ffff0").expect("the configuration"), &config);
        assert!(matches!(pick("abcd"), Err(Error::Ambiguous { .. })));
        for text in ["0", "3", "abc", "9999", ""] {
            assert!(matches!(pick(text), Err(Error::NoBlob { .. })), "{text}");
        }
    }
}
