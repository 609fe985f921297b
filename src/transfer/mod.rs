//! Moving images: pull, push, load, save and import are all [`transfer`] from a [`Source`] to a
//! [`Sink`].
//!
//! What moves is bytes: manifests, configurations and layers arrive as they were sent, under the
//! digests that they had. Manifests and configurations come first and are verified whole; layers
//! follow side by side, verified while they flow; a name is given at the very end, so that a
//! transfer that breaks off leaves nothing that anybody could mistake for an image.

mod about;
mod blob;
mod chunks;
mod daemon;
pub mod endpoint;
mod error;
pub mod filter;
mod hashing;
mod mount;
mod resolve;
mod side_by_side;
pub mod sink;
pub mod source;
mod tool;
mod verify;
mod way;

use std::io::{self, Read};
use std::sync::Arc;

pub use about::{About, is_tag_of_any};
pub use blob::{Blob, Role};
pub use endpoint::{Endpoint, Surroundings, Wishes};
pub use error::Error;
pub use mount::Mounter;
pub use resolve::Resolved;
pub use verify::verify;

use crate::concurrency::{Cancel, Semaphore};
use crate::image::{Config, Content, Descriptor, Digest, Index, Platform, Reference};
use crate::report::{Outcome, Reporter};
use crate::store::Store;
use way::Way;

/// How many layers move at the same time unless somebody says otherwise: more than two connections
/// are seldom faster, and each costs two threads.
pub const JOBS: usize = 4;
/// The largest manifest or configuration that is read, in bytes; registries refuse more than 4 MiB.
const METADATA: u64 = 16 << 20;
/// So deep indexes may lie in one another. A digest cannot contain itself, but a chain of them can
/// be as long as somebody likes.
const DEPTH: usize = 8;

/// Where an image, an index or an artifact comes from.
pub trait Source: Sync {
    /// As a person would write it.
    fn name(&self) -> String;

    /// What the source was asked for.
    fn root(&self) -> Result<Content, Error>;

    /// A manifest that an index names.
    fn manifest(&self, descriptor: &Descriptor) -> Result<Content, Error>;

    /// Begins to read a blob: the bytes that the descriptor tells, not decompressed and not yet
    /// verified.
    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error>;

    /// Whether a blob may be cut off and gone on with another day, by [`Source::open_at`].
    fn can_resume(&self) -> bool {
        false
    }

    /// Begins to read a blob after its first `offset` bytes.
    fn open_at(
        &self,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<Box<dyn Read + Send + '_>, Error> {
        let mut all = self.open(descriptor)?;
        let skipped = io::copy(&mut all.by_ref().take(offset), &mut io::sink());
        skipped.map_err(|source| Error::Read {
            digest: descriptor.digest.clone(),
            from: self.name(),
            source,
        })?;
        Ok(all)
    }

    /// How many bytes the blob has there; None when it is not there. Where that cannot be told
    /// without reading it, the descriptor is believed.
    fn size(&self, descriptor: &Descriptor) -> Result<Option<u64>, Error> {
        Ok(Some(descriptor.size))
    }

    /// What the source says of its root before it sends it, where it says anything.
    fn announced(&self) -> Result<Option<Descriptor>, Error> {
        Ok(None)
    }

    /// The names that the source knows the image by.
    fn names(&self) -> Vec<Reference> {
        Vec::new()
    }

    /// The manifests that say something about another one, which is their subject
    /// (distribution-spec, "Listing Referrers").
    fn referrers(&self, _subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        Ok(Vec::new())
    }

    /// What has another tag in the same repository: cosign keeps its signatures so. None when there
    /// is nothing.
    fn tagged(&self, _tag: &str) -> Result<Option<Content>, Error> {
        Ok(None)
    }

    /// Whether a blob is there; None where only reading it tells.
    fn has_blob(&self, _descriptor: &Descriptor) -> Result<Option<bool>, Error> {
        Ok(None)
    }
}

impl<S: Source + ?Sized> Source for &S {
    fn name(&self) -> String {
        (**self).name()
    }

    fn root(&self) -> Result<Content, Error> {
        (**self).root()
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Content, Error> {
        (**self).manifest(descriptor)
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error> {
        (**self).open(descriptor)
    }

    fn can_resume(&self) -> bool {
        (**self).can_resume()
    }

    fn open_at(
        &self,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<Box<dyn Read + Send + '_>, Error> {
        (**self).open_at(descriptor, offset)
    }

    fn size(&self, descriptor: &Descriptor) -> Result<Option<u64>, Error> {
        (**self).size(descriptor)
    }

    fn announced(&self) -> Result<Option<Descriptor>, Error> {
        (**self).announced()
    }

    fn names(&self) -> Vec<Reference> {
        (**self).names()
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        (**self).referrers(subject)
    }

    fn tagged(&self, tag: &str) -> Result<Option<Content>, Error> {
        (**self).tagged(tag)
    }

    fn has_blob(&self, descriptor: &Descriptor) -> Result<Option<bool>, Error> {
        (**self).has_blob(descriptor)
    }
}

/// Where it goes.
pub trait Sink: Sync {
    /// As a person would write it.
    fn name(&self) -> String;

    /// Whether it takes one platform's image only; an index is then narrowed to one.
    fn takes_one_image(&self) -> bool {
        false
    }

    /// How many blobs it takes at the same time.
    fn jobs(&self) -> usize {
        usize::MAX
    }

    /// Takes a blob, and says whether it was there already. An image's configuration comes before
    /// its layers; layers come in any order, side by side.
    fn put_blob(&self, blob: &Blob<'_>) -> Result<Outcome, Error>;

    /// Takes a manifest that an index names, after its blobs.
    fn put_manifest(&self, content: &Content) -> Result<(), Error>;

    /// Whether a manifest that an index names is there, with all that it names itself.
    fn has(&self, _descriptor: &Descriptor) -> Result<bool, Error> {
        Ok(false)
    }

    /// Whether layers must be there that manifests only point to (`urls`).
    fn needs_foreign(&self) -> bool {
        false
    }

    /// Whether it has room for what is said about images.
    fn takes_referrers(&self) -> bool {
        false
    }

    /// Takes a manifest that says something about the one that is its subject, after its blobs, and
    /// before the names are given.
    fn put_referrer(&self, content: &Content, _subject: &Digest) -> Result<(), Error> {
        self.put_manifest(content)
    }

    /// Takes what shall have a tag of its own beside the image.
    fn put_tagged(&self, content: &Content, _tag: &str) -> Result<(), Error> {
        self.put_manifest(content)
    }

    /// Takes what was asked for, last, and gives it its names.
    fn put_root(&self, root: &Root<'_>) -> Result<(), Error>;

    /// Ends a file that has room for several images; until then there is none. Every transfer is
    /// over by now.
    fn finish(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}

/// What was asked for.
#[derive(Debug)]
pub struct Root<'a> {
    pub content: &'a Content,
    /// The configuration, if it is an image.
    pub config: Option<&'a Config>,
    /// The index that it was chosen from.
    pub index: Option<&'a Index>,
    pub names: &'a [Reference],
}

/// How to transfer.
#[derive(Debug, Clone)]
pub struct Options {
    /// Takes this platform's image out of an index; None takes the index whole where the sink can.
    pub platform: Option<Platform>,
    /// How many layers move at the same time.
    pub jobs: usize,
    /// The permits to move a layer, where several transfers share them.
    pub semaphore: Option<Arc<Semaphore>>,
    /// Ends the transfer.
    pub cancel: Cancel,
    /// What the image shall be called where it arrives.
    pub names: Vec<Reference>,
    /// What becomes of what is said about the image.
    pub about: About,
    /// Layers that registries do not keep are moved too.
    pub foreign: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            platform: None,
            jobs: JOBS,
            semaphore: None,
            cancel: Cancel::default(),
            names: Vec::new(),
            about: About::Ignored,
            foreign: false,
        }
    }
}

/// Moves what `source` holds to `sink`. Returns the descriptor of what arrived.
pub fn transfer(
    source: &dyn Source,
    sink: &dyn Sink,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Descriptor, Error> {
    let root = source.root()?;
    let (content, index) = choose(source, root, options, sink.takes_one_image())?;
    let way = Way { source, sink, options, reporter };
    let config = way.copy_parts(&content)?;
    way.copy_about(&content)?;
    if let (Some(wanted), Some(config)) = (&options.platform, &config) {
        warn_of_platform(wanted, config, source, reporter);
    }
    sink.put_root(&Root {
        content: &content,
        config: config.as_ref(),
        index: index.as_ref(),
        names: &options.names,
    })?;
    Ok(content.descriptor().clone())
}

/// Moves what is said about an image that is there already, and nothing else.
pub fn follow(
    source: &dyn Source,
    sink: &dyn Sink,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<(), Error> {
    Way { source, sink, options, reporter }.copy_about(&source.root()?)
}

/// Unpacks what is in the storage directory, as far as it is not yet.
pub fn unpack(
    store: &Store,
    content: &Content,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<(), Error> {
    if let Content::Image(manifest) = content
        && store.trees(&store.config(manifest)?).is_some()
    {
        return Ok(());
    }
    let source = source::Store::new(store, content.descriptor().clone());
    let options = Options { platform: None, names: Vec::new(), ..options.clone() };
    transfer(&source, &sink::Store::nameless(store).telling(reporter), &options, reporter).map(drop)
}

/// Picks one image out of an index where one is wanted.
fn choose(
    source: &dyn Source,
    root: Content,
    options: &Options,
    one_image: bool,
) -> Result<(Content, Option<Index>), Error> {
    let Content::Index(index) = root else { return Ok((root, None)) };
    let host = Platform::host();
    let wanted = match &options.platform {
        Some(platform) => platform,
        None if one_image => &host,
        None => return Ok((Content::Index(index), None)),
    };
    Ok((narrow(source, &index, wanted)?, Some(index)))
}

/// The image, or the artifact, that serves a platform best.
///
/// # Errors
///
/// When the index has none for it.
pub fn narrow(source: &dyn Source, index: &Index, wanted: &Platform) -> Result<Content, Error> {
    let mut content = source.manifest(index.select(wanted)?)?;
    // Some layouts keep an index of indexes.
    for _ in 0..DEPTH {
        let Content::Index(inner) = &content else { return Ok(content) };
        content = source.manifest(inner.select(wanted)?)?;
    }
    let problem = "its indexes lie in one another without an end".to_owned();
    Err(Error::NoImage { path: source.name(), problem })
}

/// An image that says it is for another machine than the one asked for: an index would have been
/// searched, a lone image is taken as it is.
fn warn_of_platform(
    wanted: &Platform,
    config: &Config,
    source: &dyn Source,
    reporter: &dyn Reporter,
) {
    let offered = config.platform();
    if !offered.architecture.is_empty() && wanted.distance(&offered).is_none() {
        reporter.warn(format!("{} is an image for {offered}, not for {wanted}", source.name()));
    }
}

/// Reads a configuration, or anything that is as small, and verifies it.
///
/// # Errors
///
/// Also when the descriptor says that it is larger than manifests and configurations are.
pub fn read_small(source: &dyn Source, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
    if descriptor.size > METADATA {
        let (digest, size) = (descriptor.digest.clone(), descriptor.size);
        return Err(Error::TooLarge { digest, size, limit: METADATA });
    }
    let cancel = Cancel::default();
    let blob = Blob::new(descriptor, Role::Config, source, &cancel);
    let mut bytes = Vec::new();
    blob.copy_to(&mut bytes, "memory")?;
    Ok(bytes)
}

/// `sha256:` and the first twelve digits.
fn short(digest: &Digest) -> String {
    format!("{}:{}", digest.algorithm().name(), digest.short())
}
