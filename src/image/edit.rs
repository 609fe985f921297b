//! Manifests and indexes that we make ourselves, out of `oci_spec`'s types.

use std::str::FromStr as _;

use oci_spec::image as spec;
use serde_json::Value;

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
