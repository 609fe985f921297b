//! What can be told by a manifest alone.

use serde_json::Value;

use super::report::Report;
use crate::image::media_type::{self, Family};
use crate::image::{Content, Descriptor, Digest, Manifest};
use crate::layer::archive::base64;

/// Registries and machines have trouble with larger layers.
const LARGE: u64 = 1 << 30;

/// Layers that everybody knows.
const KNOWN: [&str; 6] = [
    media_type::OCI_LAYER,
    media_type::OCI_LAYER_GZIP,
    media_type::OCI_LAYER_ZSTD,
    media_type::DOCKER_LAYER,
    media_type::DOCKER_LAYER_GZIP,
    media_type::DOCKER_LAYER_ZSTD,
];

impl Report {
    /// What a manifest or an index says of itself.
    pub(super) fn manifest(&mut self, bytes: &[u8], own: &Descriptor) {
        let raw: Value = serde_json::from_slice(bytes).unwrap_or_default();
        if raw["schemaVersion"] != 2 {
            self.add("schema-version", format!("schemaVersion is {}, not 2", raw["schemaVersion"]));
        }
        let digest = Digest::of(bytes);
        if own.digest.algorithm() == digest.algorithm() && own.digest != digest {
            self.add("manifest-digest", format!("it is {digest}, not {}", own.digest));
        }
        let descriptors = ["config", "subject"].into_iter().map(|field| &raw[field]);
        let lists = ["layers", "manifests"].into_iter();
        let lists = lists.flat_map(|field| raw[field].as_array().into_iter().flatten());
        for descriptor in descriptors.chain(lists) {
            if let Ok(descriptor) = serde_json::from_value::<Descriptor>(descriptor.clone()) {
                self.embedded(&descriptor);
            }
        }
    }

    /// The content that a descriptor may carry itself.
    fn embedded(&mut self, descriptor: &Descriptor) {
        let Some(data) = &descriptor.data else { return };
        let wrong = match base64(data.as_bytes()) {
            None => "no base64",
            Some(bytes) if bytes.len() as u64 != descriptor.size => "of another size",
            Some(bytes) if !is(&descriptor.digest, &bytes) => "something else",
            Some(_) => return,
        };
        self.add("descriptor-data", format!("the data beside {} is {wrong}", descriptor.digest));
    }

    /// Whether `who` says the truth of what it points to.
    pub(super) fn points_to(&mut self, descriptor: &Descriptor, content: &Content, who: &str) {
        let own = content.descriptor();
        if descriptor.size != own.size {
            let text = format!("it has {} bytes, {who} says {}", own.size, descriptor.size);
            self.add("manifest-size", text);
        }
        if !is(&descriptor.digest, content.bytes()) {
            let text = format!("it is {}, {who} says {}", own.digest, descriptor.digest);
            self.add("manifest-digest", text);
        }
        let said: Value = serde_json::from_slice(content.bytes()).unwrap_or_default();
        match said["mediaType"].as_str() {
            Some(said) if !descriptor.media_type.is_empty() && said != descriptor.media_type => {
                let text =
                    format!("it says it is {said:?}, {who} says {:?}", descriptor.media_type);
                self.add("manifest-media-type", text);
            }
            _ => {}
        }
    }

    /// What layers are called.
    pub(super) fn layers(&mut self, manifest: &Manifest) {
        let own = Family::of(&manifest.descriptor.media_type);
        let (id, whose) = match own {
            Family::Oci => ("oci-media-type", "OCI"),
            Family::Docker => ("docker-media-type", "Docker"),
        };
        let all = std::iter::once(&manifest.config).chain(&manifest.layers);
        let others = all.filter(|part| Family::of(&part.media_type) != own).count();
        self.add(
            id,
            match others {
                0 => format!("the media types are {whose}'s"),
                others => format!("the manifest is {whose}'s, {others} of its parts are not"),
            },
        );
        for (at, layer) in manifest.layers.iter().enumerate() {
            let name = format!("layer {}", at + 1);
            let kind = layer.media_type.as_str();
            if media_type::is_foreign(kind)
                || layer.urls.as_ref().is_some_and(|all| !all.is_empty())
            {
                let urls = layer.urls.iter().flatten().map(String::as_str).collect::<Vec<_>>();
                self.add("foreign-layer", format!("{name} is to be fetched from {urls:?}"));
            } else if !KNOWN.contains(&kind) {
                self.add("layer-media-type", format!("{name} is {kind:?}"));
            }
            if kind.ends_with("zstd") {
                self.add("zstd-compat", format!("{name} is compressed with zstd"));
            }
            if layer.size > LARGE {
                self.add("large-layer", format!("{name} has {} bytes", layer.size));
            }
        }
    }
}

fn is(digest: &Digest, bytes: &[u8]) -> bool {
    let mut hasher = crate::image::Hasher::new(digest.algorithm());
    hasher.update(bytes);
    hasher.finish() == *digest
}
