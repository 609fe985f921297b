//! From anywhere, edited: each image of an index with another configuration, more layers, another
//! base, or all its layers in one. Bytes that need no change are not read.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Read};
use std::path::Path;
use std::sync::Arc;

use super::files::Section;
use crate::image::edit::{self, Changes, Edits};
use crate::image::media_type::{self, Family};
use crate::image::{Algorithm, Config, Content, Descriptor, Digest, Manifest, Platform, Reference};
use crate::layer::archive::Reader;
use crate::layer::compress::{Compression, decompress};
use crate::layer::{self, Layer, PackOptions};
use crate::report::Reporter;
use crate::rootfs::{Root, SideTable};
use crate::store::Store;
use crate::transfer::hashing::Hashing;
use crate::transfer::{Error, Options, Resolved, Source, choose, read_small};

/// An image, or an index of images, that was edited.
pub struct Edited<'a> {
    source: &'a dyn Source,
    root: Content,
    new: New<'a>,
}

/// What differs from the source, by its new digest.
#[derive(Default)]
struct New<'a> {
    contents: HashMap<Digest, Content>,
    configs: HashMap<Digest, Vec<u8>>,
    layers: HashMap<Digest, Arc<File>>,
    /// Layers that come from another source.
    elsewhere: HashMap<Digest, &'a dyn Source>,
}

impl std::fmt::Debug for Edited<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Edited").field(&self.source.name()).finish()
    }
}

impl Source for Edited<'_> {
    fn name(&self) -> String {
        self.source.name()
    }

    fn root(&self) -> Result<Content, Error> {
        Ok(self.root.clone())
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Content, Error> {
        match self.new.contents.get(&descriptor.digest) {
            Some(content) => Ok(content.clone()),
            None => self.source.manifest(descriptor),
        }
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error> {
        let Descriptor { digest, size, .. } = descriptor;
        if let Some(bytes) = self.new.configs.get(digest) {
            return Ok(Box::new(&bytes[..]));
        }
        match self.new.layers.get(digest) {
            Some(file) => Ok(Box::new(Section::new(Arc::clone(file), 0, *size))),
            None => self.new.elsewhere.get(digest).unwrap_or(&self.source).open(descriptor),
        }
    }

    fn names(&self) -> Vec<Reference> {
        self.source.names()
    }
}

/// What changes; nothing by default.
#[derive(Default)]
pub struct Edit<'a> {
    pub changes: Changes,
    /// Come on top, in their order.
    pub layers: Vec<NewLayer>,
    pub rebase: Option<Rebase<'a>>,
    /// What the history says of the changes.
    pub said: String,
}

/// The lowest layers are replaced by others.
pub struct Rebase<'a> {
    /// The image whose layers they are.
    pub old: Box<dyn Source + 'a>,
    pub new: Box<dyn Source + 'a>,
}

impl std::fmt::Debug for Rebase<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rebase({} to {})", self.old.name(), self.new.name())
    }
}

/// A layer that was made of somebody's files.
#[derive(Debug, Clone)]
pub struct NewLayer {
    layer: Layer,
    file: Arc<File>,
    /// What the history says of it.
    said: String,
}

impl std::fmt::Debug for Edit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edit")
            .field("changes", &self.changes)
            .field("layers", &self.layers)
            .field("rebase", &self.rebase)
            .finish_non_exhaustive()
    }
}

impl NewLayer {
    /// Of a directory, whose files become root's, or of a layer's tar. A tar that is compressed by
    /// gzip or zstd, or not at all, becomes the layer byte by byte; any other is compressed by gzip.
    /// With `latest`, files of a directory that are younger get that time.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is no tar.
    pub fn read(
        path: &Path,
        latest: Option<i64>,
        said: String,
        store: &Store,
    ) -> Result<Self, Error> {
        let failed = || Error::writing("a temporary file in the storage directory");
        let workspace = store.workspace()?;
        let mut file = tempfile::tempfile_in(workspace.path()).map_err(failed())?;
        let found = std::fs::metadata(path).map_err(Error::opening(path))?;
        let layer = if found.is_dir() {
            let options = PackOptions { latest, ..PackOptions::default() };
            let mut output = BufWriter::new(&file);
            let root = Root::open(path)?;
            layer::pack_tree(&root, &SideTable::default(), &options, &mut output)?
        } else {
            let input = File::open(path).map_err(Error::opening(path))?;
            let mut copied = Copying::new(input, &mut file);
            let diff_id = examine(decompress(&mut copied).map_err(Error::opening(path))?)?;
            let (magic, digest, size) = copied.finish(path)?;
            let kind = match magic {
                [0x1f, 0x8b, ..] => media_type::OCI_LAYER_GZIP,
                [0x28, 0xb5, 0x2f, 0xfd] => media_type::OCI_LAYER_ZSTD,
                _ => media_type::OCI_LAYER,
            };
            match kind == media_type::OCI_LAYER && digest != diff_id {
                false => Layer { descriptor: Descriptor::new(kind, digest, size), diff_id },
                true => {
                    // No registry and no tool takes this compression.
                    let input = File::open(path).map_err(Error::opening(path))?;
                    let tar = decompress(input).map_err(Error::opening(path))?;
                    file = tempfile::tempfile_in(workspace.path()).map_err(failed())?;
                    layer::recompress(tar, BufWriter::new(&file), Compression::GZIP, threads())?.1
                }
            }
        };
        Ok(Self { layer, file: Arc::new(file), said })
    }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Reads a whole tar; returns its digest.
fn examine(tar: impl Read) -> Result<Digest, Error> {
    let mut tar = Hashing::new(tar, Algorithm::Sha256);
    let mut reader = Reader::new(&mut tar);
    while reader.next_entry()?.is_some() {}
    reader.finish().map_err(layer::Error::Read)?;
    Ok(tar.finish())
}

/// What is read of a file goes to another one, too.
struct Copying<'f> {
    input: Hashing<File>,
    output: BufWriter<&'f mut File>,
    magic: Vec<u8>,
    size: u64,
}

impl<'f> Copying<'f> {
    fn new(input: File, output: &'f mut File) -> Self {
        let input = Hashing::new(input, Algorithm::Sha256);
        Self { input, output: BufWriter::new(output), magic: Vec::new(), size: 0 }
    }

    /// The first bytes, the digest, and the size in bytes.
    fn finish(mut self, path: &Path) -> Result<([u8; 4], Digest, u64), Error> {
        std::io::copy(&mut self, &mut std::io::sink()).map_err(Error::opening(path))?;
        std::io::Write::flush(&mut self.output)
            .map_err(Error::writing("a temporary file in the storage directory"))?;
        let mut magic = [0; 4];
        magic[..self.magic.len()].copy_from_slice(&self.magic);
        Ok((magic, self.input.finish(), self.size))
    }
}

impl Read for Copying<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.input.read(buffer)?;
        std::io::Write::write_all(&mut self.output, &buffer[..count])?;
        let missing = 4 - self.magic.len();
        self.magic.extend(buffer[..count].iter().take(missing));
        self.size += count as u64;
        Ok(count)
    }
}

/// What `source` holds, edited.
///
/// # Errors
///
/// When the platform is to be another one and there are several images; when an image does not stand
/// on the base that is to be replaced; what the sources say.
pub fn edited<'a>(
    source: &'a dyn Source,
    edit: &'a Edit<'a>,
    reporter: &dyn Reporter,
) -> Result<Edited<'a>, Error> {
    let mut new = New::default();
    let mut work = |manifest: &Manifest, platform: &Platform, new: &mut New<'a>| {
        edit_image(source, edit, manifest, platform, new, reporter)
    };
    let root = each_image(source, source.root()?, None, &mut new, &mut work)?;
    if let (Some(_), Content::Index(index)) = (&edit.changes.platform, &root)
        && index.manifests.iter().filter(|entry| is_for_a_machine(entry)).count() > 1
    {
        return Err(Error::OneMachine(source.name()));
    }
    Ok(Edited { source, root, new })
}

fn is_for_a_machine(entry: &Descriptor) -> bool {
    entry.platform.as_ref().is_none_or(|platform| platform.os != "unknown")
}

/// What an image becomes, and the platform that its index is to say, if that is another one.
type Made = (Manifest, Option<Platform>);

type Work<'w, 'a> = dyn FnMut(&Manifest, &Platform, &mut New<'a>) -> Result<Made, Error> + 'w;

/// Does `work` to each image. An artifact, and what is said about images, stays as it is, but for the
/// digests of what it is about.
fn each_image<'a>(
    source: &dyn Source,
    content: Content,
    platform: Option<&Platform>,
    new: &mut New<'a>,
    work: &mut Work<'_, 'a>,
) -> Result<Content, Error> {
    match content {
        Content::Artifact(_) => Ok(content),
        Content::Image(manifest) => {
            let own = Config::parse(&read_small(source, &manifest.config)?)?.platform();
            let (manifest, _) = work(&manifest, platform.unwrap_or(&own), new)?;
            Ok(Content::Image(manifest))
        }
        Content::Index(index) => {
            let mut edits = Edits::default();
            for old in &index.manifests {
                let child = source.manifest(old)?;
                let (after, platform) = match &child {
                    Content::Image(manifest) => {
                        let own = Config::parse(&read_small(source, &manifest.config)?)?.platform();
                        let platform = old.platform.as_ref().unwrap_or(&own);
                        let (manifest, platform) = work(manifest, platform, new)?;
                        (Content::Image(manifest), platform)
                    }
                    _ => (each_image(source, child.clone(), None, new, work)?, None),
                };
                if after.descriptor().digest == old.digest && platform.is_none() {
                    continue;
                }
                let mut change = after.descriptor().clone();
                (change.annotations, change.platform) = (None, platform);
                edits.content.insert(old.digest.to_string(), change);
                new.contents.insert(after.descriptor().digest.clone(), after);
            }
            let content = Content::Index(index);
            match edits.content.is_empty() {
                true => Ok(content), // with all its blanks
                false => Ok(edit::edit(&content, &edits)?),
            }
        }
    }
}

fn edit_image<'a>(
    source: &'a dyn Source,
    edit: &'a Edit<'a>,
    manifest: &Manifest,
    platform: &Platform,
    new: &mut New<'a>,
    reporter: &dyn Reporter,
) -> Result<Made, Error> {
    let bytes = read_small(source, &manifest.config)?;
    let mut config = Config::parse(&bytes)?;
    let (diff_ids, count) = (config.rootfs.diff_ids.len(), manifest.layers.len());
    if diff_ids != count {
        return Err(Error::LayerCount { image: source.name(), diff_ids, layers: count });
    }
    let mut layers = manifest.layers.clone();
    if let Some(rebase) = &edit.rebase {
        let options = Options { platform: Some(platform.clone()), ..Options::default() };
        let old = Resolved::of(&*rebase.old, &options, reporter)?;
        let base = Resolved::of(&*rebase.new, &options, reporter)?;
        put_on(&source.name(), &old.config, &base, &mut config, &mut layers)?;
        for layer in &base.manifest.layers {
            new.elsewhere.insert(layer.digest.clone(), &*rebase.new);
        }
    }
    edit.changes.apply(&mut config, &edit.said);
    for NewLayer { layer, file, said } in &edit.layers {
        config.rootfs.diff_ids.push(layer.diff_id.clone());
        layers.push(layer.descriptor.clone());
        edit::remember(&mut config, said, false);
        new.layers.insert(layer.descriptor.digest.clone(), Arc::clone(file));
    }
    let manifest = finished(manifest, &bytes, &config, &layers, new)?;
    Ok((manifest, edit.changes.platform.clone()))
}

/// The manifest of an image with that configuration and those layers. Docker's images stay Docker's,
/// unless they have a layer now that these cannot have.
fn finished(
    manifest: &Manifest,
    before: &[u8],
    config: &Config,
    layers: &[Descriptor],
    new: &mut New<'_>,
) -> Result<Manifest, Error> {
    let unchanged = Config::parse(before)? == *config;
    let mut descriptor = manifest.config.clone();
    if !unchanged {
        let bytes = config.to_bytes();
        descriptor = Descriptor::of(manifest.config.media_type.as_str(), &bytes);
        new.configs.insert(descriptor.digest.clone(), bytes);
    }
    if unchanged && *layers == *manifest.layers {
        return Ok(manifest.clone());
    }
    let is_docker = Family::of(&manifest.descriptor.media_type) == Family::Docker;
    let is_zstd = |layer: &Descriptor| layer.media_type == media_type::OCI_LAYER_ZSTD;
    let mut start = manifest.clone();
    if is_docker && layers.iter().any(is_zstd) {
        let edits = Edits { family: Some(Family::Oci), ..Edits::default() };
        if let Content::Image(oci) = edit::edit(&Content::Image(start.clone()), &edits)? {
            start = oci;
        }
    }
    Ok(edit::rebuilt(&start, &descriptor, layers)?)
}

/// Puts an image on another base: its layers above the old one's come above the new one's.
fn put_on(
    name: &str,
    before: &Config,
    base: &Resolved,
    config: &mut Config,
    layers: &mut Vec<Descriptor>,
) -> Result<(), Error> {
    let count = before.rootfs.diff_ids.len();
    if !config.rootfs.diff_ids.starts_with(&before.rootfs.diff_ids) {
        return Err(Error::OtherBase(name.to_owned()));
    }
    layers.splice(..count, base.manifest.layers.iter().cloned());
    config.rootfs.diff_ids.splice(..count, base.config.rootfs.diff_ids.iter().cloned());
    let told = match config.history.starts_with(&before.history) {
        true => before.history.len(),
        // Told in other words: up to the last entry of a layer.
        false => {
            let made = config.history.iter().enumerate().filter(|(_, entry)| !entry.empty_layer);
            count.checked_sub(1).and_then(|last| made.clone().nth(last)).map_or(0, |(at, _)| at + 1)
        }
    };
    let own = config.history.split_off(told.min(config.history.len()));
    config.history = base.config.history.iter().cloned().chain(own).collect();
    let Config { os, architecture, variant, .. } = base.config.clone();
    (config.os, config.architecture, config.variant) = (os, architecture, variant);
    Ok(())
}

/// One of the images of a source.
pub struct One<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) content: Content,
}

impl<'a> One<'a> {
    /// That of an index for this platform; the only one there is else.
    pub fn of(source: &'a dyn Source, platform: &Platform) -> Result<Self, Error> {
        let options = Options { platform: Some(platform.clone()), ..Options::default() };
        let (content, _) = choose(source, source.root()?, &options, true)?;
        Ok(Self { source, content })
    }
}

impl std::fmt::Debug for One<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "One({} of {})", self.content.descriptor().digest, self.source.name())
    }
}

impl Source for One<'_> {
    fn name(&self) -> String {
        self.source.name()
    }

    fn root(&self) -> Result<Content, Error> {
        Ok(self.content.clone())
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Content, Error> {
        self.source.manifest(descriptor)
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error> {
        self.source.open(descriptor)
    }

    fn names(&self) -> Vec<Reference> {
        self.source.names()
    }
}
