//! From an archive of `docker save`: `manifest.json` names a configuration and layers, which lie as
//! `ID/layer.tar` (docker until 24, kaniko, bazel, …) or as `blobs/sha256/HEX` (docker since 25).
//!
//! There is no manifest in it that a registry would know, so one is made. A layer that is not
//! compressed has its diff ID as its digest, so that nothing needs to be read twice.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;

use serde::Deserialize;

use super::Files;
use crate::image::{
    Config, Content, Descriptor, Digest, Hasher, Manifest, Reference, edit, media_type,
};
use crate::layer::compress::Compression;
use crate::transfer::{Error, Source};

/// What lists the images.
const MANIFEST: &str = "manifest.json";

/// An entry of it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// An image of such an archive.
#[derive(Debug)]
pub struct Docker {
    files: Arc<Files>,
    manifest: Manifest,
    /// Where each blob lies.
    places: HashMap<Digest, String>,
    names: Vec<Reference>,
}

impl Docker {
    /// All images of the archive.
    pub fn all(files: &Arc<Files>) -> Result<Vec<Self>, Error> {
        list(files, MANIFEST)?.iter().map(|listed| Self::new(files, listed)).collect()
    }

    /// The one that `name` names. Without a name, the only one.
    pub fn find(files: Files, name: Option<&str>) -> Result<Self, Error> {
        let files = Arc::new(files);
        let path = files.label().to_owned();
        let listed = list(&files, MANIFEST)?;
        let tags = |listed: &Listed| listed.repo_tags.clone().unwrap_or_default();
        if let Some(name) = name {
            let reference = name.parse::<Reference>().ok();
            let wanted = |tag: &String| tag == name || tag.parse().ok() == reference;
            let found = listed.iter().find(|listed| tags(listed).iter().any(wanted));
            let missing = || Error::Missing { path, what: format!("image {name}") };
            return Self::new(&files, found.ok_or_else(missing)?);
        }
        match &listed[..] {
            [only] => Self::new(&files, only),
            [] => Err(Error::Missing { path, what: "image".to_owned() }),
            several => {
                let names: Vec<_> = several.iter().flat_map(tags).collect();
                Err(Error::Several { path, names: names.join(", ") })
            }
        }
    }

    /// The only one that another file than `manifest.json` lists, which is of the same form.
    pub fn listed_in(files: Files, manifest: &str) -> Result<Self, Error> {
        let files = Arc::new(files);
        match &list(&files, manifest)?[..] {
            [only] => Self::new(&files, only),
            _ => Err(files.no_image(format!("its {manifest} does not list one image"))),
        }
    }

    fn new(files: &Arc<Files>, listed: &Listed) -> Result<Self, Error> {
        let missing = |what: &str| Error::Missing {
            path: files.label().to_owned(),
            what: format!("file {what}, which its manifest.json names"),
        };
        let bytes = files.read(&listed.config)?.ok_or_else(|| missing(&listed.config))?;
        let config = Config::parse(&bytes)?;
        let layers = listed.layers.as_deref().unwrap_or_default();
        let diff_ids = &config.rootfs.diff_ids;
        if layers.len() != diff_ids.len() {
            let (image, diff_ids) = (files.label().to_owned(), diff_ids.len());
            return Err(Error::LayerCount { image, diff_ids, layers: layers.len() });
        }
        let mut places = HashMap::new();
        let mut described = Vec::new();
        for (place, diff_id) in layers.iter().zip(diff_ids) {
            let descriptor = match described.iter().find(|(other, _)| *other == place) {
                Some((_, descriptor)) => Descriptor::clone(descriptor),
                None => describe(files, place, diff_id)?.ok_or_else(|| missing(place))?,
            };
            places.insert(descriptor.digest.clone(), place.clone());
            described.push((place, descriptor));
        }
        let layers: Vec<_> = described.into_iter().map(|(_, descriptor)| descriptor).collect();
        let config = Descriptor::of(media_type::OCI_CONFIG, &bytes);
        places.insert(config.digest.clone(), listed.config.clone());
        let names = listed.repo_tags.iter().flatten().filter_map(|tag| tag.parse().ok()).collect();
        let manifest = edit::manifest(&config, &layers)?;
        Ok(Self { files: Arc::clone(files), manifest, places, names })
    }
}

fn list(files: &Files, manifest: &str) -> Result<Vec<Listed>, Error> {
    let Some(bytes) = files.read(manifest)? else {
        return Err(files.no_image(format!("it has neither an oci-layout nor a {manifest}")));
    };
    serde_json::from_slice(&bytes)
        .map_err(|error| files.no_image(format!("its {manifest} is malformed: {error}")))
}

/// What a layer of the archive is; None when it is not there.
fn describe(files: &Files, place: &str, diff_id: &Digest) -> Result<Option<Descriptor>, Error> {
    let Some((mut input, size)) = files.open_file(place)? else { return Ok(None) };
    let failed = |source| Error::opening(format!("{}: {place}", files.label()))(source);
    let mut magic = Vec::new();
    input.by_ref().take(4).read_to_end(&mut magic).map_err(failed)?;
    let compression = match magic[..] {
        [0x1f, 0x8b, ..] => Compression::GZIP,
        [0x28, 0xb5, 0x2f, 0xfd] => Compression::ZSTD,
        _ => return Ok(Some(Descriptor::new(media_type::OCI_LAYER, diff_id.clone(), size))),
    };
    let mut hasher = Hasher::sha256();
    hasher.update(&magic);
    io::copy(&mut input, &mut hasher).map_err(failed)?;
    Ok(Some(Descriptor::new(compression.media_type(), hasher.finish(), size)))
}

impl Source for Docker {
    fn name(&self) -> String {
        self.files.label().to_owned()
    }

    fn root(&self) -> Result<Content, Error> {
        Ok(Content::Image(self.manifest.clone()))
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Content, Error> {
        let path = self.name();
        Err(Error::Missing { path, what: format!("manifest {}", descriptor.digest) })
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error> {
        let missing =
            || Error::Missing { path: self.name(), what: format!("blob {}", descriptor.digest) };
        let place = self.places.get(&descriptor.digest).ok_or_else(missing)?;
        Ok(self.files.open_file(place)?.ok_or_else(missing)?.0)
    }

    fn size(&self, descriptor: &Descriptor) -> Result<Option<u64>, Error> {
        let Some(place) = self.places.get(&descriptor.digest) else { return Ok(None) };
        Ok(self.files.open_file(place)?.map(|(_, size)| size))
    }

    fn names(&self) -> Vec<Reference> {
        self.names.clone()
    }
}
