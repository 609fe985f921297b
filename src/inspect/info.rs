//! What an image is, and how it was made.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::image::{Config, Content, Descriptor, Digest, History, Index, Manifest, Platform};
use crate::store::{RefEntry, Store};
use crate::transfer::{self, Error, Source, source};

/// What something that has a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Image,
    Index,
    Artifact,
}

/// An image, an index or an artifact.
#[derive(Debug, Clone, PartialEq)]
pub struct Info {
    pub kind: Kind,
    pub manifest: Descriptor,
    /// The index that the image was chosen from.
    pub index: Option<Descriptor>,
    /// An image's own: its configuration, and the digest that docker calls its ID.
    pub config: Option<(Digest, Config)>,
    pub layers: Vec<Descriptor>,
    /// Of an index: what it lists.
    pub manifests: Vec<Descriptor>,
    /// Of an index: the configurations of its images, as far as they are here.
    pub configs: Vec<Config>,
    /// Bytes of all blobs, each once and compressed as they are.
    pub size: u64,
}

impl Info {
    /// An index whose images nobody asked for.
    pub fn of_index_alone(index: &Index) -> Self {
        Self {
            kind: Kind::Index,
            manifest: index.descriptor.clone(),
            index: None,
            config: None,
            layers: Vec::new(),
            manifests: index.manifests.clone(),
            configs: Vec::new(),
            size: index.descriptor.size,
        }
    }

    /// What people know it by: an image's ID, else the manifest's digest.
    pub fn id(&self) -> &Digest {
        self.config.as_ref().map_or(&self.manifest.digest, |(id, _)| id)
    }

    pub fn created(&self) -> Option<&str> {
        self.all_configs().filter_map(|config| config.created.as_deref()).max()
    }

    /// Its own configuration, or those of the images of an index, as far as they are here.
    pub fn all_configs(&self) -> impl Iterator<Item = &Config> {
        let own = self.config.as_ref().map(|(_, config)| config);
        own.into_iter().chain(&self.configs)
    }

    pub fn platform(&self) -> Option<Platform> {
        self.config.as_ref().map(|(_, config)| config.platform())
    }
}

/// What `entry` stands for.
///
/// # Errors
///
/// When the manifest or the configuration is not there or damaged.
pub fn info(store: &Store, entry: &RefEntry) -> Result<Info, Error> {
    let source = source::Store::of(store, entry);
    info_of(&source, source.root()?, entry.index.clone())
}

/// What `root`, which came from `source`, is. `index` is the one that it was chosen from. Layers are
/// not read; of an index all manifests are.
///
/// # Errors
///
/// When a configuration is not there or damaged.
pub fn info_of(
    source: &dyn Source,
    root: Content,
    index: Option<Descriptor>,
) -> Result<Info, Error> {
    let descriptor = root.descriptor().clone();
    let (kind, manifest) = match root {
        Content::Image(manifest) => (Kind::Image, manifest),
        Content::Artifact(manifest) => (Kind::Artifact, manifest),
        Content::Index(index) => return of_index(source, descriptor, index),
    };
    let config = match kind {
        Kind::Image => Some((manifest.config.digest.clone(), config(source, &manifest)?)),
        Kind::Index | Kind::Artifact => None,
    };
    let size = total(blobs(&descriptor, &manifest));
    let Manifest { layers, .. } = manifest;
    Ok(Info {
        kind,
        size,
        manifest: descriptor,
        index,
        config,
        layers,
        manifests: Vec::new(),
        configs: Vec::new(),
    })
}

fn config(source: &dyn Source, manifest: &Manifest) -> Result<Config, Error> {
    Ok(Config::parse(&transfer::read_small(source, &manifest.config)?)?)
}

fn of_index(source: &dyn Source, own: Descriptor, index: Index) -> Result<Info, Error> {
    let mut all = vec![own.clone()];
    let mut configs = Vec::new();
    for descriptor in &index.manifests {
        all.push(descriptor.clone());
        match source.manifest(descriptor) {
            Ok(Content::Image(manifest)) => {
                all.extend(blobs(descriptor, &manifest));
                configs.push(config(source, &manifest)?);
            }
            Ok(Content::Artifact(manifest)) => all.extend(blobs(descriptor, &manifest)),
            Ok(Content::Index(_)) => {}
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Info {
        kind: Kind::Index,
        size: total(all),
        manifest: own,
        index: None,
        config: None,
        layers: Vec::new(),
        manifests: index.manifests,
        configs,
    })
}

/// All that an image or an artifact is made of.
fn blobs(descriptor: &Descriptor, manifest: &Manifest) -> Vec<Descriptor> {
    [descriptor, &manifest.config].into_iter().chain(&manifest.layers).cloned().collect()
}

/// Bytes, of each digest once.
fn total(descriptors: Vec<Descriptor>) -> u64 {
    let sizes: BTreeMap<Digest, u64> =
        descriptors.into_iter().map(|descriptor| (descriptor.digest, descriptor.size)).collect();
    sizes.values().sum()
}

/// One line of an image's history, with the layer that it made.
#[derive(Debug, Clone, PartialEq)]
pub struct Step<'a> {
    pub history: &'a History,
    pub layer: Option<&'a Descriptor>,
}

/// How an image was made, the first step first.
pub fn steps<'a>(config: &'a Config, layers: &'a [Descriptor]) -> Vec<Step<'a>> {
    let mut layers = layers.iter();
    config
        .history
        .iter()
        .map(|history| {
            let layer = if history.empty_layer { None } else { layers.next() };
            Step { history, layer }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_belong_to_the_steps_that_made_them() {
        let step = |empty_layer| History { empty_layer, ..History::default() };
        let config =
            Config { history: vec![step(false), step(true), step(false)], ..Config::default() };
        let layer = |text: &str| Descriptor::of("x", text.as_bytes());
        let layers = [layer("a"), layer("b")];
        let found: Vec<_> = steps(&config, &layers).iter().map(|step| step.layer).collect();
        assert_eq!(found, [Some(&layers[0]), None, Some(&layers[1])]);
        // A history longer than the layers is wrong, and no reason to fail.
        let found: Vec<_> = steps(&config, &layers[..1]).iter().map(|step| step.layer).collect();
        assert_eq!(found, [Some(&layers[0]), None, None]);
    }
}
