//! [`Built`]: what a build made. Whoever writes, names, pushes or describes the result of a build
//! works on this, and so does what is said about it (attestations).

use serde_json::Value;

use super::Options;
use super::attest::{Predicate, Provenance, Story};
use super::error::Fault;
use crate::image::{Config, Content, Descriptor, Manifest, Platform, edit};
use crate::store::Store;

/// An image; or an index of images, one for each platform.
///
/// It is an index when several platforms were asked for, and when something is said about an image,
/// as with the reference builder. Names, outputs and registries get the [`root`](Self::root) with
/// all that it points to; everything is in the store already.
#[derive(Debug, Clone)]
pub struct Built {
    /// What the names stand for: the manifest of the only image, or the index.
    pub root: Content,
    /// At least one, in the order in which the platforms were asked for.
    pub images: Vec<BuiltImage>,
}

/// The image for one platform.
#[derive(Debug, Clone)]
pub struct BuiltImage {
    /// What was asked for, as an index says it.
    pub platform: Platform,
    pub manifest: Manifest,
    pub config: Config,
    /// Manifests of what is said about this image, in the store. They come into the index after all
    /// images.
    pub attestations: Vec<Descriptor>,
    /// What is said there.
    pub predicates: Vec<Predicate>,
    pub(super) story: Story,
}

impl BuiltImage {
    /// How it came to be: the predicate of SLSA provenance 1.0, whether it was to go with the image
    /// or not. `options` are those of the build.
    pub fn provenance(&self, options: &Options, wish: &Provenance) -> Value {
        self.story.provenance(options, wish)
    }
}

impl Built {
    /// Puts images together.
    pub(super) fn new(store: &Store, images: Vec<BuiltImage>) -> Result<Self, Fault> {
        if let [image] = &images[..]
            && image.attestations.is_empty()
        {
            return Ok(Self { root: Content::Image(image.manifest.clone()), images });
        }
        let own = images.iter().map(|image| Descriptor {
            platform: Some(image.platform.clone()),
            ..image.manifest.descriptor.clone()
        });
        let said = images.iter().flat_map(|image| image.attestations.iter().cloned());
        let entries: Vec<Descriptor> = own.chain(said).collect();
        let root = edit::index(&entries).map_err(Fault::Image)?;
        store.put_blob(root.bytes())?;
        Ok(Self { root, images })
    }

    /// Of what the names stand for.
    pub fn descriptor(&self) -> &Descriptor {
        self.root.descriptor()
    }

    /// Whether images for several platforms were asked for.
    pub fn has_several_platforms(&self) -> bool {
        self.images.len() > 1
    }
}
