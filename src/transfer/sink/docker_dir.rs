//! To a directory that several images share, as occystrap's `dir://` makes it: what an archive of
//! `docker save` has, as files, and a list of what there is (`catalog.json`).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use serde_json::{Value, json};

use super::docker::{Listed, config_file, decompress_to, layer_file};
use super::output::{Output, replace};
use crate::image::{Content, Reference};
use crate::report::Outcome;
use crate::transfer::{Blob, Error, Role, Root, Sink};

/// The list: image, tag, and the file that is its manifest.
type Catalog = BTreeMap<String, BTreeMap<String, String>>;

/// A directory that gets one more image.
#[derive(Debug)]
pub struct DockerDir {
    dir: PathBuf,
    /// The file that shall list the image.
    manifest: String,
    /// What the image is called: its repository and its tag.
    image: (String, String),
    listed: Mutex<Option<Listed>>,
}

impl DockerDir {
    /// A directory, new or with other images. Without `unique` its one `manifest.json` is replaced;
    /// else the image has one of its own.
    pub fn new(dir: &Path, name: &Reference, unique: bool) -> Result<Self, Error> {
        fs::create_dir_all(dir).map_err(Error::writing(dir.display().to_string()))?;
        let image = (name.repository().to_owned(), name.target());
        let manifest = match unique {
            true => manifest_of(name),
            false => "manifest.json".to_owned(),
        };
        Ok(Self { dir: dir.to_owned(), manifest, image, listed: Mutex::default() })
    }

    /// The file that lists the image.
    pub fn manifest(&self) -> &str {
        &self.manifest
    }

    fn put(&self, blob: &Blob<'_>, file: &str) -> Result<Outcome, Error> {
        let path = self.dir.join(file);
        if path.exists() {
            return Ok(Outcome::Cached);
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(Error::writing(folder.display().to_string()))?;
        }
        let to = path.display().to_string();
        let mut opened = Output::File(path).open()?;
        match &blob.role {
            Role::Layer { diff_id, .. } => decompress_to(blob, diff_id, &mut opened, &to)?,
            _ => blob.copy_to(&mut opened, &to)?,
        }
        opened.finish()?;
        Ok(Outcome::Done)
    }

    fn catalog(&self) -> Result<Catalog, Error> {
        let path = self.dir.join("catalog.json");
        let malformed = |error: serde_json::Error| Error::NoImage {
            path: path.display().to_string(),
            problem: format!("it is malformed: {error}"),
        };
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(malformed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Catalog::new()),
            Err(error) => Err(Error::opening(path)(error)),
        }
    }
}

impl Sink for DockerDir {
    fn name(&self) -> String {
        self.dir.display().to_string()
    }

    fn takes_one_image(&self) -> bool {
        true
    }

    fn needs_foreign(&self) -> bool {
        true
    }

    fn put_blob(&self, blob: &Blob<'_>) -> Result<Outcome, Error> {
        match &blob.role {
            Role::Layer { diff_id, .. } => self.put(blob, &layer_file(diff_id)),
            Role::Config => self.put(blob, &config_file(&blob.descriptor.digest)),
            Role::Other => Err(Error::Unsuitable { sink: self.name(), what: "an artifact" }),
        }
    }

    fn put_manifest(&self, _: &Content) -> Result<(), Error> {
        Err(Error::Unsuitable { sink: self.name(), what: "an index" })
    }

    fn put_root(&self, root: &Root<'_>) -> Result<(), Error> {
        let (Content::Image(manifest), Some(config)) = (root.content, root.config) else {
            return Err(Error::Unsuitable { sink: self.name(), what: "an index or an artifact" });
        };
        let repo_tags = root.names.iter().filter(|name| name.tag().is_some());
        *lock(&self.listed) = Some(Listed {
            config: config_file(&manifest.config.digest),
            repo_tags: repo_tags.map(Reference::familiar).collect(),
            layers: config.rootfs.diff_ids.iter().map(layer_file).collect(),
        });
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        let Some(listed) = lock(&self.listed).take() else { return Ok(()) };
        let (image, tag) = self.image.clone();
        let mut entry = json!(listed);
        if self.manifest != "manifest.json" {
            entry["ImageName"] = json!(image);
        }
        let pretty = |value: &Value| format!("{value:#}\n");
        replace(&self.dir.join(&self.manifest), pretty(&json!([entry])).as_bytes())?;
        let mut catalog = self.catalog()?;
        catalog.entry(image).or_default().insert(tag, self.manifest.clone());
        replace(&self.dir.join("catalog.json"), pretty(&json!(catalog)).as_bytes())
    }
}

/// The file that lists one image alone among several.
pub fn manifest_of(name: &Reference) -> String {
    format!("manifest-{}-{}.json", name.repository().replace('/', "_"), name.target())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread panics while it keeps a result")
}
