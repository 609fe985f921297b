//! Statements (in-toto 1) and the manifests that carry them (BuildKit's
//! `docs/attestations/attestation-storage.md`): a manifest beside the image's in the index, for a
//! platform that no machine is of, so that nobody takes it for an image.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::image::{Descriptor, Digest, Error, Platform, edit, media_type};

/// The type of a statement.
const TYPE: &str = "https://in-toto.io/Statement/v1";

/// What a statement is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// A package URL, or the path of a file.
    pub name: String,
    pub digest: Digest,
}

/// Something said.
#[derive(Debug, Clone, PartialEq)]
pub struct Predicate {
    /// A URI.
    pub kind: &'static str,
    pub value: Value,
    /// The file that has it where an image's files are written without the image.
    pub file: String,
    /// It is said of images only, never in a file.
    pub inline_only: bool,
}

impl Predicate {
    /// Says it of something.
    pub fn statement(&self, subjects: &[Subject]) -> Value {
        let subjects: Vec<Value> = subjects
            .iter()
            .map(|Subject { name, digest }| {
                let digest = json!({ digest.algorithm().name(): digest.hex() });
                json!({ "name": name, "digest": digest })
            })
            .collect();
        json!({
            "_type": TYPE,
            "subject": subjects,
            "predicateType": self.kind,
            "predicate": self.value,
        })
    }
}

/// The manifest of what is said about an image, its entry in the index, and all blobs, in the order
/// in which they are to be kept.
pub(super) fn manifest(
    predicates: &[Predicate],
    subjects: &[Subject],
    image: &Digest,
) -> Result<(Descriptor, Vec<Vec<u8>>), Error> {
    let (mut blobs, mut layers) = (Vec::new(), Vec::new());
    for predicate in predicates {
        let bytes = predicate.statement(subjects).to_string().into_bytes();
        let mut layer = Descriptor::of(media_type::IN_TOTO, &bytes);
        layer.annotations = Some([(PREDICATE_TYPE.to_owned(), predicate.kind.to_owned())].into());
        layers.push(layer);
        blobs.push(bytes);
    }
    let diff_ids: Vec<&Digest> = layers.iter().map(|layer| &layer.digest).collect();
    let config = json!({
        "architecture": "unknown",
        "os": "unknown",
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let config = config.to_string().into_bytes();
    let manifest = edit::manifest(&Descriptor::of(media_type::OCI_CONFIG, &config), &layers)?;
    blobs.extend([config, manifest.bytes]);
    let annotations: BTreeMap<String, String> = [
        (media_type::REFERENCE_TYPE, media_type::ATTESTATION.to_owned()),
        (media_type::REFERENCE_DIGEST, image.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let mut entry = manifest.descriptor;
    entry.annotations = Some(annotations);
    entry.platform = Some(Platform::new("unknown", "unknown", None));
    Ok((entry, blobs))
}

/// Tells what is in a blob without opening it.
const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";
