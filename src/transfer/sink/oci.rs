//! To an OCI image layout (image-spec image-layout.md), a directory or a tar. Several images share
//! one layout; equal blobs are there once.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use super::docker::Listed;
use super::output::{self, Opened, Output};
use crate::image::{Content, Descriptor, Digest, Reference, Timestamp, edit, media_type};
use crate::layer;
use crate::layer::archive::{Entry, EntryKind, Writer};
use crate::report::Outcome;
use crate::transfer::{Blob, Error, Root, Sink, about};

/// The tag of an entry of `index.json` (image-spec annotations.md).
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// When the image was made.
const CREATED: &str = "org.opencontainers.image.created";
/// The whole name, where containerd and docker look for it.
const IMAGE_NAME: &str = "io.containerd.image.name";

/// A layout.
#[derive(Debug)]
pub struct Oci {
    name: String,
    /// What the images are called in the layout, instead of their own tags.
    tag: Option<String>,
    /// More tags that they get.
    more: Vec<String>,
    /// Whole names are their tags.
    whole: bool,
    place: Place,
    /// What `index.json` shall name.
    entries: Mutex<Vec<Descriptor>>,
    /// What is said about images, by the tag that stands for it.
    said: Mutex<BTreeMap<String, Vec<Descriptor>>>,
    /// What `manifest.json` shall name, where docker is to load it too.
    listed: Option<Mutex<Vec<Listed>>>,
}

#[derive(Debug)]
enum Place {
    Directory(PathBuf),
    Archive(Mutex<Tar>),
}

#[derive(Debug)]
struct Tar {
    writer: Writer<Opened>,
    written: HashSet<Digest>,
}

impl Oci {
    /// A directory, new or with a layout that gets one more image.
    ///
    /// # Errors
    ///
    /// [`Error::NoImage`] when something else is in it.
    pub fn directory(dir: &Path, tag: Option<String>) -> Result<Self, Error> {
        let name = dir.display().to_string();
        let blobs = dir.join("blobs/sha256");
        let is_layout = dir.join("oci-layout").exists();
        let is_empty = match fs::read_dir(dir) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(Error::opening(dir)(error)),
        };
        if !is_layout && !is_empty {
            let problem = "it is a directory with other files".to_owned();
            return Err(Error::NoImage { path: name, problem });
        }
        fs::create_dir_all(&blobs).map_err(Error::writing(blobs.display().to_string()))?;
        if !is_layout {
            output::replace(&dir.join("oci-layout"), &edit::layout())?;
        }
        let place = Place::Directory(dir.to_owned());
        Ok(Self::at(place, name, tag))
    }

    fn at(place: Place, name: String, tag: Option<String>) -> Self {
        let (more, entries, said) = (Vec::new(), Mutex::default(), Mutex::default());
        Self { name, tag, more, whole: false, place, entries, said, listed: None }
    }

    /// Gives images these tags too.
    #[must_use]
    pub fn tagged(self, more: Vec<String>) -> Self {
        Self { more, ..self }
    }

    /// Tells images of several repositories apart: by their whole names, which are their tags.
    #[must_use]
    pub fn with_whole_names(self) -> Self {
        Self { whole: true, ..self }
    }

    /// A tar. Its bytes depend on the images and their names alone.
    pub fn archive(output: Output, tag: Option<String>) -> Result<Self, Error> {
        let name = output.name();
        let mut writer = Writer::new(output.open()?);
        for dir in ["blobs", "blobs/sha256"] {
            let entry = Entry { mode: 0o755, ..Entry::new(dir, EntryKind::Dir) };
            writer.append(&entry, io::empty()).map_err(|error| from_tar(error, &name))?;
        }
        let place = Place::Archive(Mutex::new(Tar { writer, written: HashSet::new() }));
        Ok(Self::at(place, name, tag))
    }

    /// The same with the file that makes a layout an archive of docker's as well (`manifest.json`):
    /// as the reference builder's `type=docker`. For images, not for indexes.
    #[must_use]
    pub fn for_docker(self) -> Self {
        Self { listed: Some(Mutex::default()), ..self }
    }

    fn put(&self, blob: &Blob<'_>) -> Result<Outcome, Error> {
        let Descriptor { digest, size, .. } = blob.descriptor;
        let inside = blob_file(digest);
        match &self.place {
            Place::Directory(dir) => {
                let path = dir.join(inside);
                if fs::metadata(&path).is_ok_and(|found| found.len() == *size) {
                    return Ok(Outcome::Cached);
                }
                let folder = path.parent().unwrap_or(dir);
                fs::create_dir_all(folder).map_err(Error::writing(folder.display().to_string()))?;
                let to = path.display().to_string();
                let mut opened = Output::File(path).open()?;
                blob.copy_to(&mut opened, &to)?;
                opened.finish()?;
            }
            Place::Archive(tar) => {
                let mut tar = lock(tar);
                if !tar.written.insert(digest.clone()) {
                    return Ok(Outcome::Cached);
                }
                let entry =
                    Entry { mode: 0o644, size: *size, ..Entry::new(inside, EntryKind::File) };
                tar.writer.append(&entry, blob.open()?).map_err(|error| match error {
                    layer::Error::Read(source) => blob.unreadable(source),
                    other => from_tar(other, &self.name),
                })?;
            }
        }
        Ok(Outcome::Done)
    }

    /// The entry of `index.json` for each name of the image, or one without any.
    fn entries_of(&self, root: &Root<'_>) -> Vec<Descriptor> {
        let mut entry = root.content.descriptor().clone();
        entry.platform = root.config.map(crate::image::Config::platform);
        let mut about = entry.annotations.take().unwrap_or_default();
        let created = root.config.and_then(|config| config.created.as_deref());
        if let Some(Ok(created)) = created.map(str::parse::<Timestamp>) {
            let created = Timestamp::from_seconds(created.seconds()).to_string();
            about.entry(CREATED.to_owned()).or_insert(created);
        }
        let named = |tag: Option<&str>, whole: Option<&Reference>| {
            let mut annotations = about.clone();
            if let Some(whole) = whole {
                annotations.insert(IMAGE_NAME.to_owned(), whole.to_string());
            }
            if let Some(tag) = tag {
                annotations.insert(REF_NAME.to_owned(), tag.to_owned());
            }
            let annotations = (!annotations.is_empty()).then_some(annotations);
            Descriptor { annotations, ..entry.clone() }
        };
        let mut entries = match (&self.tag, root.names) {
            (Some(tag), names) => vec![named(Some(tag), names.first())],
            (None, []) if !self.more.is_empty() => Vec::new(),
            (None, []) => vec![named(None, None)],
            (None, names) if self.whole => {
                names.iter().map(|name| named(Some(&name.familiar()), Some(name))).collect()
            }
            (None, names) => names.iter().map(|name| named(name.tag(), Some(name))).collect(),
        };
        for tag in &self.more {
            let whole = root.names.first().and_then(|name| name.with_tag(tag));
            entries.push(named(Some(tag), whole.as_ref()));
        }
        entries
    }

    /// Adds entries to a directory's `index.json`, in place of those of the same names.
    fn add_to_index(&self, dir: &Path, added: Vec<Descriptor>) -> Result<(), Error> {
        let path = dir.join("index.json");
        let mut entries = match fs::read(&path) {
            Ok(bytes) => match Content::parse(bytes, Some(media_type::OCI_INDEX))? {
                Content::Index(index) => index.manifests,
                _ => Vec::new(),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Error::opening(path)(error)),
        };
        // A tag that somebody named means one thing, whatever else the other image was called.
        let is_same =
            if self.tag.is_some() || !self.more.is_empty() { same_tag } else { same_name };
        entries.retain(|old| !added.iter().any(|new| is_same(old, new)));
        entries.extend(added);
        output::replace(&path, edit::index(&entries)?.bytes())
    }

    /// Keeps what was said about the images since the last time, and tells the entries of
    /// `index.json` for that.
    fn entries_of_said(&self) -> Result<Vec<Descriptor>, Error> {
        let mut added = Vec::new();
        for (tag, mut entries) in std::mem::take(&mut *lock(&self.said)) {
            // A single thing with a tag of its own, or a list, which may be there already.
            let mut entry = match &entries[..] {
                [only] if tag.contains('.') => only.clone(),
                _ => {
                    let known = self.known(&tag)?;
                    entries.retain(|new| known.iter().all(|old| old.digest != new.digest));
                    let list = edit::index(&[known, entries].concat())?;
                    self.put(&Blob::of_content(&list))?;
                    list.descriptor().clone()
                }
            };
            entry.annotations = Some([(REF_NAME.to_owned(), tag)].into());
            added.push(entry);
        }
        Ok(added)
    }

    /// The list that a directory has under this tag already.
    fn known(&self, tag: &str) -> Result<Vec<Descriptor>, Error> {
        let Place::Directory(dir) = &self.place else { return Ok(Vec::new()) };
        let read = |path: PathBuf| match fs::read(&path) {
            Ok(bytes) => Content::parse(bytes, Some(media_type::OCI_INDEX)).map_err(Error::from),
            Err(error) => Err(Error::opening(path)(error)),
        };
        if !dir.join("index.json").exists() {
            return Ok(Vec::new());
        }
        let Content::Index(index) = read(dir.join("index.json"))? else { return Ok(Vec::new()) };
        let has_tag = |entry: &&Descriptor| {
            let tags = entry.annotations.as_ref().and_then(|all| all.get(REF_NAME));
            tags.is_some_and(|other| other == tag)
        };
        let Some(entry) = index.manifests.iter().find(has_tag) else { return Ok(Vec::new()) };
        match read(dir.join(blob_file(&entry.digest)))? {
            Content::Index(list) => Ok(list.manifests),
            _ => Ok(Vec::new()),
        }
    }
}

/// Whether two entries have the same tag, or neither has one.
fn same_tag(a: &Descriptor, b: &Descriptor) -> bool {
    annotation(a, REF_NAME) == annotation(b, REF_NAME)
}

/// The same, and the same whole name.
fn same_name(a: &Descriptor, b: &Descriptor) -> bool {
    same_tag(a, b) && annotation(a, IMAGE_NAME) == annotation(b, IMAGE_NAME)
}

fn annotation<'a>(entry: &'a Descriptor, name: &str) -> Option<&'a String> {
    entry.annotations.as_ref()?.get(name)
}

impl Sink for Oci {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn jobs(&self) -> usize {
        match self.place {
            Place::Directory(_) => usize::MAX,
            Place::Archive(_) => 1,
        }
    }

    fn put_blob(&self, blob: &Blob<'_>) -> Result<Outcome, Error> {
        self.put(blob)
    }

    fn put_manifest(&self, content: &Content) -> Result<(), Error> {
        self.put(&Blob::of_content(content)).map(drop)
    }

    fn put_root(&self, root: &Root<'_>) -> Result<(), Error> {
        if let Some(listed) = &self.listed {
            let Content::Image(manifest) = root.content else {
                return Err(Error::Unsuitable { sink: self.name(), what: "an index" });
            };
            let tags = root.names.iter().filter(|name| name.tag().is_some());
            lock(listed).push(Listed {
                config: blob_file(&manifest.config.digest),
                repo_tags: tags.map(Reference::familiar).collect(),
                layers: manifest.layers.iter().map(|layer| blob_file(&layer.digest)).collect(),
            });
        }
        self.put_manifest(root.content)?;
        let mut added = self.entries_of(root);
        added.extend(self.entries_of_said()?);
        match &self.place {
            Place::Directory(dir) => self.add_to_index(dir, added),
            Place::Archive(_) => {
                lock(&self.entries).extend(added);
                Ok(())
            }
        }
    }

    fn takes_referrers(&self) -> bool {
        true
    }

    fn put_referrer(&self, content: &Content, subject: &Digest) -> Result<(), Error> {
        self.put_manifest(content)?;
        let entry = content.as_referrer();
        lock(&self.said).entry(about::tag_of(subject)).or_default().push(entry);
        Ok(())
    }

    fn put_tagged(&self, content: &Content, tag: &str) -> Result<(), Error> {
        self.put_manifest(content)?;
        lock(&self.said).insert(tag.to_owned(), vec![content.descriptor().clone()]);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        let Self { name, place, entries, listed, .. } = *self;
        let listed = listed.map(|listed| {
            let listed = listed.into_inner().unwrap_or_else(|error| error.into_inner());
            serde_json::to_vec(&listed).expect("the list has string keys")
        });
        let tar = match place {
            Place::Archive(tar) => tar,
            Place::Directory(dir) => {
                return listed
                    .map_or(Ok(()), |listed| output::replace(&dir.join("manifest.json"), &listed));
            }
        };
        let failed = |error| from_tar(error, &name);
        let Tar { mut writer, .. } = tar.into_inner().unwrap_or_else(|error| error.into_inner());
        let entries = entries.into_inner().unwrap_or_else(|error| error.into_inner());
        let index = edit::index(&entries)?;
        let layout = edit::layout();
        let listed = listed.as_deref().map(|listed| ("manifest.json", listed));
        let files = [Some(("index.json", index.bytes())), listed, Some(("oci-layout", &layout))];
        for (path, content) in files.into_iter().flatten() {
            let size = content.len() as u64;
            let entry = Entry { mode: 0o644, size, ..Entry::new(path, EntryKind::File) };
            writer.append(&entry, content).map_err(failed)?;
        }
        writer.finish().map_err(failed)?.finish()
    }
}

fn blob_file(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread panics while it writes")
}

fn from_tar(error: layer::Error, to: &str) -> Error {
    match error {
        layer::Error::Write(source) => Error::writing(to)(source),
        other => other.into(),
    }
}
