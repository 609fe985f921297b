//! [`Descriptor`], [`Manifest`], [`Index`]: Docker's and OCI's, read tolerantly.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::{Digest, Error, Platform, media_type};

/// Points at content (image-spec descriptor.md). Fields that we do not know are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub urls: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The content itself, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Descriptor {
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            platform: None,
            annotations: None,
            urls: None,
            artifact_type: None,
            data: None,
            extra: Map::new(),
        }
    }

    /// Describes `bytes`.
    pub fn of(media_type: impl Into<String>, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }
}

/// An image's or an artifact's manifest: the bytes as they came, and a view of them.
#[derive(Debug, Clone)]
pub struct Manifest {
    pub bytes: Vec<u8>,
    /// Of `bytes`.
    pub descriptor: Descriptor,
    pub config: Descriptor,
    /// The lowest first. An artifact's need not be file system layers.
    pub layers: Vec<Descriptor>,
    pub subject: Option<Descriptor>,
    pub artifact_type: Option<String>,
    pub annotations: BTreeMap<String, String>,
}

/// A list of manifests for several platforms (Docker: manifest list).
#[derive(Debug, Clone)]
pub struct Index {
    pub bytes: Vec<u8>,
    /// Of `bytes`.
    pub descriptor: Descriptor,
    pub manifests: Vec<Descriptor>,
    pub subject: Option<Descriptor>,
    pub annotations: BTreeMap<String, String>,
}

/// What a reference can name.
#[derive(Debug, Clone)]
pub enum Content {
    Image(Manifest),
    Index(Index),
    /// Anything else that is stored as a manifest: copied whole, never unpacked or run.
    Artifact(Manifest),
}

impl Content {
    /// Reads a manifest of any kind. `media_type` is what the sender called it (its own
    /// `mediaType` field wins; neither needs to be there).
    pub fn parse(bytes: Vec<u8>, media_type: Option<&str>) -> Result<Self, Error> {
        let view: View = serde_json::from_slice(&bytes)
            .map_err(|source| Error::Json { what: "the manifest", source })?;
        let declared = view.media_type.as_deref().or(media_type).unwrap_or_default();
        if view.schema_version == Some(1) || media_type::is_schema_one(declared) {
            return Err(Error::SchemaOne(declared.to_owned()));
        }
        let kind = match declared {
            known if media_type::is_index(known) || media_type::is_manifest(known) => known,
            _ if view.manifests.is_some() => media_type::OCI_INDEX,
            _ if view.config.is_some() => media_type::OCI_MANIFEST,
            other => return Err(Error::MediaType(other.to_owned())),
        };
        let mut descriptor = Descriptor::of(kind, &bytes);
        descriptor.artifact_type.clone_from(&view.artifact_type);
        let annotations = view.annotations;
        if media_type::is_index(kind) {
            let manifests =
                view.manifests.ok_or(Error::Field { what: "index", field: "manifests" })?;
            let subject = view.subject;
            return Ok(Self::Index(Index { bytes, descriptor, manifests, subject, annotations }));
        }
        let config = view.config.ok_or(Error::Field { what: "manifest", field: "config" })?;
        // An attestation has an image's configuration, for registries that want one.
        let is_said = |layer: &Descriptor| layer.media_type == media_type::IN_TOTO;
        let is_image =
            media_type::is_image_config(&config.media_type) && !view.layers.iter().any(is_said);
        let manifest = Manifest {
            bytes,
            descriptor,
            config,
            layers: view.layers,
            subject: view.subject,
            artifact_type: view.artifact_type,
            annotations,
        };
        Ok(if is_image { Self::Image(manifest) } else { Self::Artifact(manifest) })
    }

    /// The same under the digest that it was asked for by, which the bytes were verified against: it
    /// need not be a sha256.
    #[must_use]
    pub fn known_as(mut self, digest: &Digest) -> Self {
        self.descriptor_mut().digest = digest.clone();
        self
    }

    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Image(manifest) | Self::Artifact(manifest) => &manifest.bytes,
            Self::Index(index) => &index.bytes,
        }
    }

    pub fn descriptor(&self) -> &Descriptor {
        match self {
            Self::Image(manifest) | Self::Artifact(manifest) => &manifest.descriptor,
            Self::Index(index) => &index.descriptor,
        }
    }

    /// What it says something about.
    pub fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Image(manifest) | Self::Artifact(manifest) => manifest.subject.as_ref(),
            Self::Index(index) => index.subject.as_ref(),
        }
    }

    /// As a list of referrers describes it (distribution-spec, "Listing Referrers"): with its
    /// annotations, and with its artifact type, which the type of its configuration stands in for.
    pub fn as_referrer(&self) -> Descriptor {
        let (annotations, config) = match self {
            Self::Image(manifest) | Self::Artifact(manifest) => {
                (&manifest.annotations, Some(&manifest.config.media_type))
            }
            Self::Index(index) => (&index.annotations, None),
        };
        let own = self.descriptor();
        let artifact_type = own.artifact_type.as_ref().filter(|kind| !kind.is_empty()).or(config);
        let annotations = (!annotations.is_empty()).then(|| annotations.clone());
        let bare = Descriptor::new(own.media_type.clone(), own.digest.clone(), own.size);
        Descriptor { annotations, artifact_type: artifact_type.cloned(), ..bare }
    }

    /// For what is said where it is pointed to.
    pub fn descriptor_mut(&mut self) -> &mut Descriptor {
        match self {
            Self::Image(manifest) | Self::Artifact(manifest) => &mut manifest.descriptor,
            Self::Index(index) => &mut index.descriptor,
        }
    }
}

impl Index {
    /// The entry that serves `wanted` best, the first of equals. Entries that are no images for a
    /// machine (attestations say `unknown/unknown`) never match; an entry without a platform only
    /// when there is no other.
    pub fn select(&self, wanted: &Platform) -> Result<&Descriptor, Error> {
        let fitting = self.manifests.iter().filter_map(|entry| {
            let distance = wanted.distance(entry.platform.as_ref()?)?;
            Some((distance, entry))
        });
        if let Some((_, entry)) = fitting.min_by_key(|(distance, _)| *distance) {
            return Ok(entry);
        }
        if let [only] = &self.manifests[..]
            && only.platform.is_none()
        {
            return Ok(only);
        }
        let mut available: Vec<String> = self
            .manifests
            .iter()
            .filter_map(|entry| entry.platform.as_ref())
            .filter(|platform| platform.os != "unknown")
            .map(ToString::to_string)
            .collect();
        available.dedup();
        let available = if available.is_empty() { "none".to_owned() } else { available.join(", ") };
        Err(Error::NoPlatform { wanted: wanted.to_string(), available })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct View {
    schema_version: Option<u64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    #[serde(default, deserialize_with = "null_is_default")]
    layers: Vec<Descriptor>,
    #[serde(default, deserialize_with = "null_is_empty")]
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    #[serde(default, deserialize_with = "null_is_default")]
    annotations: BTreeMap<String, String>,
}

/// Go writes an empty list or map as `null`.
pub(super) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The same where a field that is not there means something else.
fn null_is_empty<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Descriptor>>, D::Error> {
    null_is_default(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_empty_index_of_go_is_one() {
        let text = r#"{"schemaVersion":2,"manifests":null}"#;
        match Content::parse(text.into(), Some(media_type::OCI_INDEX)) {
            Ok(Content::Index(index)) => assert!(index.manifests.is_empty()),
            other => panic!("{other:?}"),
        }
    }

    use super::*;

    fn digest(c: char) -> String {
        format!("sha256:{}", c.to_string().repeat(64))
    }

    #[test]
    fn kinds_are_told_apart() {
        let parse = |text: String, sent: Option<&str>| Content::parse(text.into_bytes(), sent);
        let config =
            |kind: &str| format!(r#"{{"mediaType":"{kind}","digest":"{}","size":2}}"#, digest('a'));
        let image = format!(r#"{{"schemaVersion":2,"config":{}}}"#, config(media_type::OCI_CONFIG));
        assert!(matches!(parse(image.clone(), None), Ok(Content::Image(_))));
        let docker = parse(image, Some(media_type::DOCKER_MANIFEST)).expect("docker");
        assert_eq!(docker.descriptor().media_type, media_type::DOCKER_MANIFEST);
        let other = format!(r#"{{"config":{},"layers":null}}"#, config("application/x"));
        assert!(matches!(parse(other, None), Ok(Content::Artifact(_))));
        assert!(matches!(parse(r#"{"manifests":[]}"#.into(), None), Ok(Content::Index(_))));
        assert!(matches!(parse(r#"{"schemaVersion":1}"#.into(), None), Err(Error::SchemaOne(_))));
        assert!(matches!(parse("{}".into(), None), Err(Error::MediaType(_))));
        assert!(matches!(parse("nonsense".into(), None), Err(Error::Json { .. })));
    }

    #[test]
    fn referrers_are_described_by_what_they_say() {
        let (a, b) = (digest('a'), digest('b'));
        let subject = format!(r#""subject":{{"mediaType":"m","digest":"{b}","size":1}}"#);
        let config = format!(r#""config":{{"mediaType":"application/x","digest":"{a}","size":2}}"#);
        let said = r#""annotations":{"k":"v"}"#;
        for (text, kind) in [
            (format!("{{{config},{said},{subject}}}"), Some("application/x")),
            (format!(r#"{{"artifactType":"t/y",{config},{said},{subject}}}"#), Some("t/y")),
            (format!(r#"{{"artifactType":"","manifests":[],{said},{subject}}}"#), None),
            (format!(r#"{{"artifactType":"t/z","manifests":[],{said},{subject}}}"#), Some("t/z")),
        ] {
            let content = Content::parse(text.clone().into_bytes(), None).expect(&text);
            assert_eq!(
                content.subject().map(|subject| subject.digest.to_string()),
                Some(b.clone())
            );
            let referrer = content.as_referrer();
            assert_eq!(referrer.artifact_type.as_deref(), kind, "{text}");
            assert_eq!(referrer.digest, Digest::of(text.as_bytes()));
            assert_eq!(referrer.annotations, Some(BTreeMap::from([("k".into(), "v".into())])));
        }
    }

    #[test]
    fn the_best_entry_is_selected() {
        let entry = |c, platform: &str| {
            let (os, rest) = platform.split_once('/').expect("a slash");
            let (arch, variant) = rest.split_once('/').unwrap_or((rest, ""));
            format!(
                r#"{{"mediaType":"m","digest":"{}","size":1,"platform":{{"os":"{os}","architecture":"{arch}","variant":"{variant}"}}}}"#,
                digest(c)
            )
            .replace(r#","variant":"""#, "")
        };
        let entries = [
            entry('0', "unknown/unknown"),
            entry('1', "linux/arm/v5"),
            entry('2', "linux/arm/v6"),
            entry('3', "linux/amd64"),
        ];
        let text = format!(r#"{{"manifests":[{}]}}"#, entries.join(","));
        let Ok(Content::Index(index)) = Content::parse(text.into_bytes(), None) else {
            panic!("not an index")
        };
        let pick = |platform: &str| {
            index.select(&platform.parse().expect(platform)).map(|d| d.digest.hex()[..1].to_owned())
        };
        assert_eq!(pick("linux/arm/v7").expect("arm"), "2");
        assert_eq!(pick("linux/amd64").expect("amd64"), "3");
        let error = pick("linux/s390x").expect_err("not there").to_string();
        assert!(error.ends_with("linux/arm/v5, linux/arm/v6, linux/amd64"), "{error}");
    }

    #[test]
    fn unknown_fields_of_descriptors_survive() {
        let text = format!(r#"{{"mediaType":"m","digest":"{}","size":1,"x":null}}"#, digest('a'));
        let descriptor: Descriptor = serde_json::from_str(&text).expect("valid");
        assert_eq!(serde_json::to_string(&descriptor).expect("serialises"), text);
    }
}
