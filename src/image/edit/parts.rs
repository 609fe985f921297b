//! Manifests and indexes with other parts than they had.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::Error;
use crate::image::media_type::{self, Family};
use crate::image::{Content, Descriptor, Index, Manifest};

/// The same manifest over another configuration and other layers, the lowest first, by the names of
/// its family. What it had before keeps all that is said about it; all else stays.
///
/// # Errors
///
/// What reading a manifest says.
pub fn rebuilt(
    manifest: &Manifest,
    config: &Descriptor,
    layers: &[Descriptor],
) -> Result<Manifest, Error> {
    let media_type = manifest.descriptor.media_type.clone();
    let family = Family::of(&media_type);
    let mut fields = fields(&manifest.bytes)?;
    let mut known = known(fields.get("layers"));
    if let Some(old) = fields.get("config") {
        known.extend(digest(old).map(|digest| (digest, old.clone())));
    }
    let mut part = |descriptor: &Descriptor| part(descriptor, &mut known, family);
    let config = part(config)?;
    let layers = layers.iter().map(&mut part).collect::<Result<_, _>>()?;
    fields.insert("config".to_owned(), config);
    fields.insert("layers".to_owned(), Value::Array(layers));
    match Content::parse(to_bytes(fields)?, Some(&media_type))? {
        Content::Image(manifest) | Content::Artifact(manifest) => Ok(manifest),
        Content::Index(_) => Err(Error::Invalid("a manifest was read back as an index".into())),
    }
}

/// The same index of other manifests. An index of Docker's stays one as long as all that it lists is
/// Docker's, and becomes OCI's else; an index of OCI's stays one. `family` says otherwise.
///
/// # Errors
///
/// What reading an index says.
pub fn relisted(
    index: &Index,
    manifests: &[Descriptor],
    family: Option<Family>,
) -> Result<Content, Error> {
    let mut fields = fields(&index.bytes)?;
    let is_docker = Family::of(&index.descriptor.media_type) == Family::Docker
        && manifests.iter().all(|entry| Family::of(&entry.media_type) == Family::Docker);
    let family = family.unwrap_or(if is_docker { Family::Docker } else { Family::Oci });
    let media_type = family.name_of(media_type::OCI_INDEX);
    fields.insert("mediaType".to_owned(), media_type.into());
    let mut known = known(fields.get("manifests"));
    let entries = manifests.iter().map(|entry| {
        let old = known.remove(&entry.digest.to_string());
        // Only who changed what is said of it wants it to be said anew.
        match old.filter(|old| is_same(old, entry)) {
            Some(old) => Ok(old),
            None => to_value(entry),
        }
    });
    let entries = entries.collect::<Result<_, _>>()?;
    fields.insert("manifests".to_owned(), Value::Array(entries));
    Content::parse(to_bytes(fields)?, Some(media_type))
}

/// A new index of nothing, of a family.
pub fn empty_index(family: Family) -> Result<Index, Error> {
    let media_type = family.name_of(media_type::OCI_INDEX);
    let text = format!(r#"{{"schemaVersion":2,"mediaType":"{media_type}","manifests":[]}}"#);
    match Content::parse(text.into_bytes(), Some(media_type))? {
        Content::Index(index) => Ok(index),
        _ => Err(Error::Invalid("an index was read back as a manifest".into())),
    }
}

fn fields(bytes: &[u8]) -> Result<Map<String, Value>, Error> {
    serde_json::from_slice(bytes).map_err(|source| Error::Json { what: "the manifest", source })
}

fn to_bytes(fields: Map<String, Value>) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(&Value::Object(fields))
        .map_err(|source| Error::Json { what: "the new manifest", source })
}

fn to_value(descriptor: &Descriptor) -> Result<Value, Error> {
    serde_json::to_value(descriptor)
        .map_err(|source| Error::Json { what: "the new manifest", source })
}

/// Descriptors of a list, by what they point to.
fn known(list: Option<&Value>) -> HashMap<String, Value> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| Some((digest(item)?, item.clone()))).collect()
}

fn digest(descriptor: &Value) -> Option<String> {
    descriptor.get("digest")?.as_str().map(str::to_owned)
}

fn is_same(old: &Value, new: &Descriptor) -> bool {
    serde_json::from_value::<Descriptor>(old.clone()).is_ok_and(|old| old == *new)
}

/// What was there as it was; what is new in the family's words.
fn part(
    descriptor: &Descriptor,
    known: &mut HashMap<String, Value>,
    family: Family,
) -> Result<Value, Error> {
    // Twice, where a layer stands twice.
    if let Some(old) = known.get(&descriptor.digest.to_string()) {
        return Ok(old.clone());
    }
    let mut new = descriptor.clone();
    new.media_type = family.name_of(&descriptor.media_type).to_owned();
    if family == Family::Docker {
        new.annotations = None;
    }
    to_value(&new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Digest, Platform, edit};

    fn manifest(text: &str) -> Manifest {
        match Content::parse(text.as_bytes().to_vec(), None).expect("a manifest") {
            Content::Image(manifest) => manifest,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_stays_keeps_its_bytes() {
        let (old, new) = (Digest::of(b"old"), Digest::of(b"new"));
        let layer = format!(
            r#"{{"size":3,"x":[1],"mediaType":"{}","digest":"{old}"}}"#,
            media_type::DOCKER_LAYER_GZIP
        );
        let config = Digest::of(b"config");
        let before = manifest(&format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"{}","size":6,"digest":"{config}","data":"Y29uZmln"}},"layers":[{layer},{layer}],"odd":null}}"#,
            media_type::DOCKER_MANIFEST,
            media_type::DOCKER_CONFIG
        ));
        let layers = [
            before.layers[0].clone(),
            Descriptor::new(media_type::OCI_LAYER_GZIP, new.clone(), 4),
            before.layers[1].clone(),
        ];
        let config = Descriptor::of(media_type::OCI_CONFIG, b"other");
        let after = rebuilt(&before, &config, &layers).expect("a manifest");
        let text = String::from_utf8_lossy(&after.bytes).into_owned();
        assert_eq!(text.matches(&layer).count(), 2, "{text}");
        assert!(text.ends_with(r#""odd":null}"#) && !text.contains("data"), "{text}");
        let kinds: Vec<&str> = after.layers.iter().map(|layer| &*layer.media_type).collect();
        assert_eq!(kinds, [media_type::DOCKER_LAYER_GZIP; 3]);
        assert_eq!(after.config.media_type, media_type::DOCKER_CONFIG);
        let same = rebuilt(&before, &before.config, &before.layers).expect("a manifest");
        assert_eq!(same.bytes, before.bytes);
    }

    #[test]
    fn an_index_is_of_its_parts_family() {
        let entry = |kind: &str, text: &[u8], architecture: &str| Descriptor {
            platform: Some(Platform::new("linux", architecture, None)),
            ..Descriptor::of(kind, text)
        };
        let docker = entry(media_type::DOCKER_MANIFEST, b"a", "amd64");
        let oci = entry(media_type::OCI_MANIFEST, b"b", "arm64");
        let index = |content: Content| match content {
            Content::Index(index) => index,
            other => panic!("{other:?}"),
        };
        let empty = empty_index(Family::Docker).expect("an index");
        let one = index(relisted(&empty, std::slice::from_ref(&docker), None).expect("an index"));
        assert_eq!(one.descriptor.media_type, media_type::DOCKER_INDEX);
        let two = index(relisted(&one, &[docker.clone(), oci.clone()], None).expect("an index"));
        assert_eq!(two.descriptor.media_type, media_type::OCI_INDEX);
        assert_eq!(two.manifests, [docker.clone(), oci]);
        let forced = relisted(&one, &one.manifests, Some(Family::Oci)).expect("an index");
        assert_eq!(forced.descriptor().media_type, media_type::OCI_INDEX);
        let again = relisted(&two, &two.manifests, None).expect("an index");
        assert_eq!(again.bytes(), two.bytes);
        let made = edit::index(&[docker]).expect("an index");
        assert_eq!(made.descriptor().media_type, media_type::OCI_INDEX);
    }
}
