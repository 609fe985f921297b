//! From an OCI image layout (image-spec image-layout.md), in a directory or a tar.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use super::Files;
use crate::image::{Content, Descriptor, Digest, Reference, media_type};
use crate::transfer::{Error, Source, about};

/// The tag of an entry of `index.json` (image-spec annotations.md).
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The whole name, as containerd and docker write it there.
const IMAGE_NAME: &str = "io.containerd.image.name";

/// An image, an index or an artifact of a layout.
#[derive(Debug)]
pub struct Oci {
    files: Arc<Files>,
    root: Descriptor,
    /// As the layout's own words have it; any text will do.
    tags: Vec<String>,
    names: Vec<Reference>,
    /// What is said about images, by its tag.
    said: Arc<HashMap<String, Descriptor>>,
}

impl Oci {
    /// Whether there is a layout here at all.
    pub fn fits(files: &Files) -> Result<bool, Error> {
        Ok(files.read("oci-layout")?.is_some() && files.read("index.json")?.is_some())
    }

    /// All that `index.json` names but for what is said about images; entries that differ in their
    /// names alone are one image with several.
    pub fn all(files: &Arc<Files>) -> Result<Vec<Self>, Error> {
        let Some(layout) = files.read("oci-layout")? else {
            return Err(files.no_image("it has no file oci-layout"));
        };
        let layout: serde_json::Value = serde_json::from_slice(&layout).unwrap_or_default();
        let version = layout["imageLayoutVersion"].as_str().unwrap_or_default();
        if !version.starts_with("1.") {
            return Err(files.no_image(format!("its layout has the unknown version {version:?}")));
        }
        let Some(index) = files.read("index.json")? else {
            return Err(files.no_image("it has no file index.json"));
        };
        let Content::Index(index) = Content::parse(index, Some(media_type::OCI_INDEX))? else {
            return Err(files.no_image("its index.json is no index"));
        };
        let annotation = |entry: &Descriptor, key| -> Option<String> {
            entry.annotations.as_ref().and_then(|all| all.get(key)).cloned()
        };
        let is_said = |entry: &Descriptor| {
            annotation(entry, REF_NAME).filter(|tag| about::is_tag_of_any(tag))
        };
        let said: HashMap<_, _> = index
            .manifests
            .iter()
            .filter_map(|entry| is_said(entry).map(|tag| (tag, entry.clone())))
            .collect();
        let said = Arc::new(said);
        let mut images: Vec<Self> = Vec::new();
        for entry in index.manifests {
            if is_said(&entry).is_some() {
                continue;
            }
            let (tag, whole) = (annotation(&entry, REF_NAME), annotation(&entry, IMAGE_NAME));
            let full = whole.or_else(|| tag.clone().filter(|tag| tag.contains(['/', ':'])));
            let reference = full.and_then(|name| name.parse::<Reference>().ok());
            let known = images.iter().position(|image| image.root.digest == entry.digest);
            let at = known.unwrap_or_else(|| {
                let root = Descriptor { annotations: None, ..entry.clone() };
                let (files, said) = (Arc::clone(files), Arc::clone(&said));
                images.push(Self { files, root, tags: Vec::new(), names: Vec::new(), said });
                images.len() - 1
            });
            images[at].tags.extend(tag);
            images[at].names.extend(reference);
        }
        Ok(images)
    }

    /// The one that `tag` names: an entry's tag, its whole name, or its digest. Without a tag, the
    /// only one.
    pub fn find(files: Files, tag: Option<&str>) -> Result<Self, Error> {
        let files = Arc::new(files);
        let mut images = Self::all(&files)?;
        let path = files.label().to_owned();
        if let Some(tag) = tag {
            let reference = tag.parse::<Reference>().ok();
            let digest = tag.parse::<Digest>().ok();
            let wanted = |image: &Self| {
                image.tags.iter().any(|other| other == tag)
                    || reference.as_ref().is_some_and(|name| image.names.contains(name))
                    || digest.as_ref() == Some(&image.root.digest)
            };
            let found = images.into_iter().find(wanted);
            return found.ok_or_else(|| Error::Missing { path, what: format!("image {tag}") });
        }
        match images.len() {
            0 => Err(Error::Missing { path, what: "image".to_owned() }),
            1 => Ok(images.remove(0)),
            _ => {
                let name = |image: Self| match &image.tags[..] {
                    [] => image.root.digest.to_string(),
                    tags => tags.join(", "),
                };
                let names: Vec<_> = images.into_iter().map(name).collect();
                Err(Error::Several { path, names: names.join(", ") })
            }
        }
    }

    fn blob(&self, digest: &Digest) -> Result<(Box<dyn Read + Send>, u64), Error> {
        let name = format!("blobs/{}/{}", digest.algorithm().name(), digest.hex());
        let path = self.files.label().to_owned();
        self.files.open_file(&name)?.ok_or(Error::Missing { path, what: format!("blob {digest}") })
    }
}

impl Source for Oci {
    fn name(&self) -> String {
        let label = self.files.label();
        self.tags.first().map_or(label.to_owned(), |tag| format!("{label}:{tag}"))
    }

    fn root(&self) -> Result<Content, Error> {
        self.manifest(&self.root)
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Content, Error> {
        let bytes = crate::transfer::read_small(self, descriptor)?;
        let content = Content::parse(bytes, Some(&descriptor.media_type));
        let content = content.map_err(|source| Error::Content {
            what: format!("{}, manifest {}", self.name(), descriptor.digest),
            source,
        })?;
        Ok(content.known_as(&descriptor.digest))
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error> {
        Ok(self.blob(&descriptor.digest)?.0)
    }

    fn announced(&self) -> Result<Option<Descriptor>, Error> {
        Ok(Some(self.root.clone()))
    }

    fn size(&self, descriptor: &Descriptor) -> Result<Option<u64>, Error> {
        match self.blob(&descriptor.digest) {
            Ok((_, size)) => Ok(Some(size)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn names(&self) -> Vec<Reference> {
        self.names.clone()
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        match self.tagged(&about::tag_of(subject))? {
            Some(Content::Index(index)) => Ok(index.manifests),
            _ => Ok(Vec::new()),
        }
    }

    fn tagged(&self, tag: &str) -> Result<Option<Content>, Error> {
        self.said.get(tag).map(|entry| self.manifest(entry)).transpose()
    }
}
