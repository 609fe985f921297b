//! Manifests and indexes that we make ourselves, out of `oci_spec`'s types; and images of others,
//! changed.

mod changes;
mod parts;

use std::collections::BTreeMap;
use std::str::FromStr as _;

use oci_spec::image as spec;
use serde_json::{Map, Value};

pub use changes::{Changes, remember};
pub use parts::{empty_index, rebuilt, relisted};

use super::media_type::Family;
use super::{Content, Descriptor, Error, Manifest, Platform, media_type};

/// An image manifest over a configuration and its layers, the lowest first.
///
/// # Errors
///
/// A descriptor that `oci_spec` finds invalid.
pub fn manifest(config: &Descriptor, layers: &[Descriptor]) -> Result<Manifest, Error> {
    let manifest = spec::ImageManifestBuilder::default()
        .schema_version(2_u32)
        .media_type(spec::MediaType::ImageManifest)
        .config(convert(config)?)
        .layers(layers.iter().map(convert).collect::<Result<Vec<_>, _>>()?)
        .build()
        .map_err(|error| Error::Invalid(error.to_string()))?;
    match Content::parse(to_bytes(&manifest)?, Some(media_type::OCI_MANIFEST))? {
        Content::Image(manifest) | Content::Artifact(manifest) => Ok(manifest),
        Content::Index(_) => Err(Error::Invalid("a manifest was read back as an index".into())),
    }
}

/// An index of manifests, in the given order.
///
/// # Errors
///
/// A descriptor that `oci_spec` finds invalid.
pub fn index(manifests: &[Descriptor]) -> Result<Content, Error> {
    let index = spec::ImageIndexBuilder::default()
        .schema_version(2_u32)
        .media_type(spec::MediaType::ImageIndex)
        .manifests(manifests.iter().map(convert).collect::<Result<Vec<_>, _>>()?)
        .build()
        .map_err(|error| Error::Invalid(error.to_string()))?;
    Content::parse(to_bytes(&index)?, Some(media_type::OCI_INDEX))
}

/// Annotations of a layer that tell where in its bytes something is: estargz's and zstd:chunked's.
const ABOUT_BYTES: [&str; 3] = [
    "containerd.io/snapshot/stargz/",
    "io.containers.estargz.",
    "io.github.containers.zstd-chunked.",
];

/// What changes in a manifest or an index.
#[derive(Debug, Default)]
pub struct Edits<'e> {
    /// By the digest that they had: what stands there now.
    pub content: BTreeMap<String, Descriptor>,
    /// Whose names it uses; as it was when None.
    pub family: Option<Family>,
    /// Beat those of the same names.
    pub annotations: Option<&'e BTreeMap<String, String>>,
}

/// The same manifest or index over other content: where it has one of the digests that
/// [`Edits::content`] has, the new one, its size and its media type stand instead, with its
/// annotations and its platform too, if it has any; in annotations the digest. Docker's manifests do not know annotations. All
/// else stays.
///
/// # Errors
///
/// What reading a manifest says.
pub fn edit(content: &Content, edits: &Edits<'_>) -> Result<Content, Error> {
    let failed = |source| Error::Json { what: "the manifest", source };
    let mut value: Value = serde_json::from_slice(content.bytes()).map_err(failed)?;
    replace_in(&mut value, &edits.content);
    let mut media_type = content.descriptor().media_type.clone();
    if let (Some(family), Value::Object(fields)) = (edits.family, &mut value) {
        media_type = family.name_of(&media_type).to_owned();
        fields.insert("mediaType".to_owned(), Value::String(media_type.clone()));
        for field in ["config", "layers"] {
            match fields.get_mut(field) {
                Some(Value::Array(items)) => items.iter_mut().for_each(|item| call(item, family)),
                Some(item) => call(item, family),
                None => {}
            }
        }
        // What an index names says itself what it is: a statement about an image stays OCI's.
        if let (Family::Docker, Some(Value::Array(items))) = (family, fields.get_mut("manifests")) {
            items.iter_mut().filter(|item| is_dockers(item)).for_each(|item| call(item, family));
        }
        if family == Family::Docker {
            fields.remove("annotations");
        }
    }
    if let (Some(added), Value::Object(fields)) = (edits.annotations, &mut value) {
        annotate(fields, added.iter());
    }
    let bytes = serde_json::to_vec(&value).map_err(failed)?;
    Content::parse(bytes, Some(&media_type))
}

/// Adds to the annotations of a manifest or a descriptor.
fn annotate<'a>(
    fields: &mut Map<String, Value>,
    added: impl Iterator<Item = (&'a String, &'a String)>,
) {
    let added = added.map(|(name, text)| (name.clone(), Value::String(text.clone())));
    let mut added: Map<String, Value> = added.collect();
    if added.is_empty() {
        return;
    }
    let annotations = fields.entry("annotations").or_insert(Value::Null);
    if let Value::Object(mut all) = annotations.take() {
        all.extend(added);
        added = all;
    }
    added.sort_keys();
    *annotations = Value::Object(added);
}

fn is_dockers(descriptor: &Value) -> bool {
    let media_type = descriptor.get("mediaType").and_then(Value::as_str).unwrap_or_default();
    Family::of(media_type) == Family::Docker
}

/// Calls what a descriptor points to by the family's name.
fn call(descriptor: &mut Value, family: Family) {
    let Value::Object(fields) = descriptor else { return };
    if let Some(Value::String(media_type)) = fields.get_mut("mediaType") {
        *media_type = family.name_of(media_type).to_owned();
    }
    if family == Family::Docker {
        fields.remove("annotations");
    }
}

fn replace_in(value: &mut Value, changes: &BTreeMap<String, Descriptor>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| replace_in(item, changes)),
        Value::Object(fields) => {
            let named = fields.get("digest").and_then(Value::as_str);
            if let Some(change) = named.and_then(|digest| changes.get(digest)) {
                fields.insert("size".into(), change.size.into());
                if let Some(media_type) = fields.get_mut("mediaType") {
                    *media_type = Value::String(change.media_type.clone());
                }
                fields.remove("data"); // the content itself
                if let Some(platform) = &change.platform {
                    fields.insert("platform".into(), serde_json::json!(platform));
                }
                if let Some(Value::Object(annotations)) = fields.get_mut("annotations") {
                    annotations.retain(|name, _| !ABOUT_BYTES.iter().any(|a| name.starts_with(a)));
                }
                annotate(fields, change.annotations.iter().flatten());
            }
            fields.values_mut().for_each(|field| replace_in(field, changes));
        }
        Value::String(text) => {
            if let Some(change) = changes.get(text) {
                *text = change.digest.to_string();
            }
        }
        _ => {}
    }
}

/// The file `oci-layout` of an image layout (image-spec image-layout.md).
pub fn layout() -> Vec<u8> {
    format!(r#"{{"imageLayoutVersion":"{}"}}"#, "1.0.0").into_bytes()
}

fn to_bytes(value: &impl serde::Serialize) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Json { what: "the new manifest", source };
    let mut value = serde_json::to_value(value).map_err(failed)?;
    sort_annotations(&mut value);
    serde_json::to_vec(&value).map_err(failed)
}

/// `oci_spec` keeps annotations in a `HashMap`, which has another order each time.
fn sort_annotations(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(sort_annotations),
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::Object(annotations) if name == "annotations" => annotations.sort_keys(),
                    other => sort_annotations(other),
                }
            }
        }
        _ => {}
    }
}

fn convert(descriptor: &Descriptor) -> Result<spec::Descriptor, Error> {
    let invalid = |error: oci_spec::OciSpecError| Error::Invalid(error.to_string());
    let digest = spec::Digest::from_str(&descriptor.digest.to_string()).map_err(invalid)?;
    let kind = spec::MediaType::from(descriptor.media_type.as_str());
    let mut made = spec::Descriptor::new(kind, descriptor.size, digest);
    if let Some(annotations) = &descriptor.annotations {
        let annotations = annotations.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        made.set_annotations(Some(annotations));
    }
    if let Some(platform) = &descriptor.platform {
        made.set_platform(Some(convert_platform(platform)?));
    }
    made.set_urls(descriptor.urls.clone());
    if let Some(artifact_type) = &descriptor.artifact_type {
        made.set_artifact_type(Some(spec::MediaType::from(artifact_type.as_str())));
    }
    made.set_data(descriptor.data.clone());
    Ok(made)
}

fn convert_platform(platform: &Platform) -> Result<spec::Platform, Error> {
    let mut builder = spec::PlatformBuilder::default()
        .os(platform.os.as_str())
        .architecture(platform.architecture.as_str());
    if let Some(variant) = &platform.variant {
        builder = builder.variant(variant.clone());
    }
    builder.build().map_err(|error| Error::Invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Digest;

    #[test]
    fn what_is_made_reads_back() {
        let config = Descriptor::of(media_type::OCI_CONFIG, b"{}");
        let layer = Descriptor::of(media_type::OCI_LAYER_GZIP, b"layer");
        let made = manifest(&config, std::slice::from_ref(&layer)).expect("valid");
        assert_eq!((&made.config, &made.layers[..]), (&config, &[layer][..]));
        assert!(made.bytes.starts_with(br#"{"schemaVersion":2,"mediaType":"application/vnd.oci"#));
        let mut entry = made.descriptor.clone();
        entry.platform = Some(Platform::new("linux", "arm", Some("v7")));
        let Ok(Content::Index(index)) = index(&[entry.clone()]) else { panic!("not an index") };
        assert_eq!(index.manifests, [entry]);
    }

    #[test]
    fn content_is_replaced_and_all_else_stays() {
        let (old, new) = (Digest::of(b"old"), Digest::of(b"new"));
        let other = Digest::of(b"other");
        let json = |digest: &Digest, size: u32, data: &str| {
            format!(
                r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{{"size":{size},"digest":"{digest}","x":[1]{data}}},{{"size":9,"digest":"{other}","annotations":{{"of":"{digest}","text":"of {other}"}}}}],"odd":{{"z":1,"a":null}}}}"#,
                media_type::DOCKER_INDEX
            )
        };
        let before = json(&old, 3, r#","data":"b2xk""#).into_bytes();
        let content = Content::parse(before, None).expect("an index");
        let change = Descriptor::new("any", new.clone(), 4);
        let change = [(old.to_string(), change)].into();
        let edits = Edits { content: change, ..Edits::default() };
        let after = edit(&content, &edits).expect("an index");
        assert_eq!(String::from_utf8_lossy(after.bytes()), json(&new, 4, ""));
        assert_eq!(after.descriptor().media_type, media_type::DOCKER_INDEX);
        assert_eq!(after.descriptor().digest, Digest::of(after.bytes()));
        let layer = |annotations: &str| {
            let text = format!(
                r#"{{"schemaVersion":2,"config":{{"digest":"{other}","size":1}},"layers":[{{"digest":"{old}","size":1,"annotations":{{{annotations}}}}}]}}"#
            );
            Content::parse(text.into_bytes(), None).expect("a manifest")
        };
        let annotated = layer(
            r#""a":"b","io.github.containers.zstd-chunked.manifest-position":"1","containerd.io/snapshot/stargz/toc.digest":"2""#,
        );
        let Content::Artifact(after) = edit(&annotated, &edits).expect("a manifest") else {
            panic!("a manifest has become another thing")
        };
        let left = after.layers[0].annotations.as_ref().expect("one is left");
        assert_eq!(left.keys().collect::<Vec<_>>(), ["a"]);
        let same = edit(&content, &Edits::default()).expect("an index");
        assert_eq!(same.bytes(), content.bytes());
    }

    #[test]
    fn manifests_change_their_family_and_are_annotated() {
        let mut layer = Descriptor::of(media_type::OCI_LAYER_ZSTD, b"layer");
        layer.annotations = Some([("a".to_owned(), "b".to_owned())].into());
        let config = Descriptor::of(media_type::OCI_CONFIG, b"{}");
        let made = Content::Image(manifest(&config, &[layer]).expect("valid"));
        let annotations = [("z".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())];
        let annotations = BTreeMap::from(annotations);
        let edits = |family, annotations| Edits { family, annotations, ..Edits::default() };
        let docker = edit(&made, &edits(Some(Family::Docker), Some(&annotations)));
        let Ok(Content::Image(docker)) = docker else { panic!("not an image") };
        assert_eq!(docker.descriptor.media_type, media_type::DOCKER_MANIFEST);
        assert_eq!(docker.config.media_type, media_type::DOCKER_CONFIG);
        assert_eq!(docker.layers[0].media_type, media_type::DOCKER_LAYER_ZSTD);
        assert_eq!(docker.layers[0].annotations, None);
        assert_eq!(docker.annotations, annotations);
        let text = String::from_utf8(docker.bytes.clone()).expect("JSON");
        assert!(text.contains(media_type::DOCKER_MANIFEST), "{text}");
        let more = [("b".to_owned(), "3".to_owned())].into();
        let oci = edit(&Content::Image(docker), &edits(Some(Family::Oci), Some(&more)));
        let Ok(Content::Image(oci)) = oci else { panic!("not an image") };
        assert_eq!(oci.descriptor.media_type, media_type::OCI_MANIFEST);
        assert_eq!((&*oci.annotations["b"], &*oci.annotations["z"]), ("3", "1"));
        let same = edit(&made, &edits(Some(Family::Oci), None)).expect("valid");
        assert_eq!(same.bytes(), made.bytes());
    }

    #[test]
    fn annotations_have_an_order() {
        let mut entry = Descriptor::of(media_type::OCI_MANIFEST, b"{}");
        let names: Vec<String> = (10..40).map(|n| format!("name{n}")).collect();
        entry.annotations = Some(names.iter().map(|n| (n.clone(), String::new())).collect());
        let made = index(&[entry]).expect("valid");
        let text = String::from_utf8(made.bytes().to_vec()).expect("JSON");
        let places: Vec<_> = names.iter().map(|name| text.find(name.as_str())).collect();
        assert!(places.is_sorted(), "{text}");
    }
}
