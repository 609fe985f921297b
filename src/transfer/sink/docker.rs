//! To an archive as `docker save` writes it, which all versions of docker and podman load: layers
//! decompressed, each as `HEX/layer.tar` of its diff ID. Names are sorted and times are 0, so that
//! the same images make the same bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::sync::{Mutex, MutexGuard};

use serde::Serialize;

use super::output::{Opened, Output};
use crate::image::{Content, Digest, Hasher, Reference};
use crate::layer;
use crate::layer::archive::{Entry, EntryKind, Writer};
use crate::layer::compress::decompress;
use crate::report::Outcome;
use crate::store::{Store, Workspace};
use crate::transfer::{Blob, Error, Role, Root, Sink};

/// An archive of one image or of several.
#[derive(Debug)]
pub struct Docker {
    name: String,
    output: Mutex<Opened>,
    /// Where layers wait: a tar tells a file's size before its content.
    workspace: Workspace,
    layers: Mutex<BTreeMap<Digest, File>>,
    configs: Mutex<BTreeMap<Digest, Vec<u8>>>,
    images: Mutex<Vec<Listed>>,
}

/// An entry of `manifest.json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    pub(super) config: String,
    pub(super) repo_tags: Vec<String>,
    pub(super) layers: Vec<String>,
}

impl Docker {
    /// Layers wait in the storage directory until the archive is finished.
    pub fn archive(output: Output, store: &Store) -> Result<Self, Error> {
        Ok(Self {
            name: output.name(),
            output: Mutex::new(output.open()?),
            workspace: store.workspace()?,
            layers: Mutex::default(),
            configs: Mutex::default(),
            images: Mutex::default(),
        })
    }

    fn put_layer(&self, blob: &Blob<'_>, diff_id: &Digest) -> Result<Outcome, Error> {
        if lock(&self.layers).contains_key(diff_id) {
            return Ok(Outcome::Cached);
        }
        let place = "a temporary file in the storage directory";
        let failed = || Error::writing(place);
        let mut file = tempfile::tempfile_in(self.workspace.path()).map_err(failed())?;
        decompress_to(blob, diff_id, &mut file, place)?;
        file.rewind().map_err(failed())?;
        lock(&self.layers).insert(diff_id.clone(), file);
        Ok(Outcome::Done)
    }
}

impl Sink for Docker {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn takes_one_image(&self) -> bool {
        true
    }

    fn needs_foreign(&self) -> bool {
        true
    }

    fn put_blob(&self, blob: &Blob<'_>) -> Result<Outcome, Error> {
        match &blob.role {
            Role::Layer { diff_id, .. } => self.put_layer(blob, diff_id),
            Role::Config => {
                let mut bytes = Vec::new();
                blob.copy_to(&mut bytes, &self.name)?;
                lock(&self.configs).insert(blob.descriptor.digest.clone(), bytes);
                Ok(Outcome::Done)
            }
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
        let mut images = lock(&self.images);
        let config_file = config_file(&manifest.config.digest);
        let layers = config.rootfs.diff_ids.iter().map(layer_file).collect();
        let repo_tags: Vec<String> = repo_tags.map(Reference::familiar).collect();
        match images.iter_mut().find(|image| image.config == config_file) {
            Some(image) => image.repo_tags.extend(repo_tags),
            None => images.push(Listed { config: config_file, repo_tags, layers }),
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        let Self { name, output, workspace, layers, configs, images } = *self;
        let failed = |error| match error {
            layer::Error::Write(source) => Error::writing(&name)(source),
            other => other.into(),
        };
        let output = output.into_inner().unwrap_or_else(|error| error.into_inner());
        let mut writer = Writer::new(output);
        let images = images.into_inner().unwrap_or_else(|error| error.into_inner());
        let configs = configs.into_inner().unwrap_or_else(|error| error.into_inner());
        let layers = layers.into_inner().unwrap_or_else(|error| error.into_inner());
        let list = serde_json::to_vec(&images).expect("the list has string keys");

        let mut files: BTreeMap<String, Part> = BTreeMap::new();
        files.insert("manifest.json".to_owned(), Part::Bytes(list));
        for (digest, bytes) in configs {
            files.insert(config_file(&digest), Part::Bytes(bytes));
        }
        for (diff_id, file) in layers {
            files.insert(format!("{}/", diff_id.hex()), Part::Directory);
            files.insert(layer_file(&diff_id), Part::File(file));
        }
        for (path, content) in files {
            let file = |size| Entry { mode: 0o644, size, ..Entry::new(&path, EntryKind::File) };
            match content {
                Part::Directory => {
                    let path = path.trim_end_matches('/');
                    let entry = Entry { mode: 0o755, ..Entry::new(path, EntryKind::Dir) };
                    writer.append(&entry, io::empty()).map_err(failed)?;
                }
                Part::Bytes(bytes) => {
                    writer.append(&file(bytes.len() as u64), &bytes[..]).map_err(failed)?;
                }
                Part::File(content) => {
                    let size = content.metadata().map_err(Error::opening(&path))?.len();
                    writer.append(&file(size), content).map_err(failed)?;
                }
            }
        }
        writer.finish().map_err(failed)?.finish()?;
        drop(workspace);
        Ok(())
    }
}

/// Writes a layer's tar, which must be the one of `diff_id`, to `file`, which is called `to`.
pub(super) fn decompress_to(
    blob: &Blob<'_>,
    diff_id: &Digest,
    file: &mut dyn io::Write,
    to: &str,
) -> Result<(), Error> {
    let unreadable = |source| blob.unreadable(source);
    let mut input = decompress(blob.open()?).map_err(unreadable)?;
    let mut hasher = Hasher::new(diff_id.algorithm());
    let mut buffer = vec![0; 128 << 10];
    loop {
        let count = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(error)),
        };
        hasher.update(&buffer[..count]);
        file.write_all(&buffer[..count]).map_err(Error::writing(to))?;
    }
    let actual = hasher.finish();
    if actual != *diff_id {
        let (layer, expected) = (blob.descriptor.digest.clone(), diff_id.clone());
        return Err(Error::DiffId { layer, expected, actual });
    }
    Ok(())
}

/// What a member of the archive holds.
enum Part {
    Directory,
    Bytes(Vec<u8>),
    File(File),
}

pub(super) fn config_file(digest: &Digest) -> String {
    format!("{}.json", digest.hex())
}

pub(super) fn layer_file(diff_id: &Digest) -> String {
    format!("{}/layer.tar", diff_id.hex())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread panics while it keeps a result")
}
