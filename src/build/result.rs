//! [`Built`]: what a build made. Whoever writes, names, pushes or describes the result of a build
//! works on this, and so does what is said about it (attestations).

use std::collections::HashSet;

use serde_json::Value;

use super::attest::{Predicate, Provenance, Story};
use super::error::Fault;
use super::exchange::{Made, Used};
use super::{Options, Shape};
use crate::image::edit::{self, Edits};
use crate::image::{Annotated, Config, Content, Descriptor, Digest, Manifest, Platform};
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
    /// What `SOURCE_DATE_EPOCH` says, in seconds since 1970.
    pub epoch: Option<i64>,
    /// What its steps made, for a cache elsewhere.
    pub(super) made: Vec<Made>,
    /// The caches that its steps mount.
    pub(super) mounted: Vec<Used>,
}

/// The image for one platform.
#[derive(Debug, Clone)]
pub struct BuiltImage {
    /// What was asked for, as an index says it.
    pub platform: Platform,
    pub manifest: Manifest,
    pub config: Config,
    /// How many of the layers, from the lowest, are those of its base.
    pub base_layers: usize,
    /// The diff IDs of the stage's layers, before they got the form that the caller wants.
    pub(super) stage_layers: Vec<Digest>,
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
    pub(super) fn new(
        store: &Store,
        images: Vec<BuiltImage>,
        shape: &Shape,
        epoch: Option<i64>,
    ) -> Result<Self, Fault> {
        let annotations = &shape.annotations;
        let said_of = |image: &BuiltImage| {
            let said = annotations.on(Annotated::ManifestDescriptor, Some(&image.platform));
            (!said.is_empty()).then_some(said)
        };
        if let [image] = &images[..]
            && image.attestations.is_empty()
        {
            let mut root = Content::Image(image.manifest.clone());
            root.descriptor_mut().annotations = said_of(image);
            return Ok(Self { root, images, epoch, made: Vec::new(), mounted: Vec::new() });
        }
        let own = images.iter().map(|image| Descriptor {
            platform: Some(image.platform.clone()),
            annotations: said_of(image),
            ..image.manifest.descriptor.clone()
        });
        let said = images.iter().flat_map(|image| image.attestations.iter().cloned());
        let entries: Vec<Descriptor> = own.chain(said).collect();
        let index = edit::index(&entries).map_err(Fault::Image)?;
        let said = annotations.on(Annotated::Index, None);
        let edits =
            Edits { family: Some(shape.family), annotations: Some(&said), ..Edits::default() };
        let mut root = edit::edit(&index, &edits).map_err(Fault::Image)?;
        store.put_blob(root.bytes())?;
        let said = annotations.on(Annotated::IndexDescriptor, None);
        root.descriptor_mut().annotations = (!said.is_empty()).then_some(said);
        Ok(Self { root, images, epoch, made: Vec::new(), mounted: Vec::new() })
    }

    /// The layers that the build made, as opposed to those of bases.
    pub fn new_layers(&self) -> HashSet<Digest> {
        let layers =
            self.images.iter().flat_map(|image| &image.manifest.layers[image.base_layers..]);
        layers.map(|layer| layer.digest.clone()).collect()
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
