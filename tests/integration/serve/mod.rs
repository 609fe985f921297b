//! `bryo serve`: a registry over the store.

mod behind;
mod filters;
mod images;
mod life;
mod lists;
mod manifests;
mod pulls;
mod pushes;
mod tools;
mod troubles;

use serde_json::{Value, json};

use crate::support::served::{Served, sha256};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// What is pushed with a manifest that says so much.
pub(crate) struct Pushed {
    pub(crate) text: String,
    pub(crate) digest: String,
}

/// A manifest with a configuration and a layer of their own, whose blobs are there.
pub(crate) fn manifest(served: &Served, name: &str, content: &str) -> Pushed {
    manifest_with(served, name, content, &json!({}))
}

/// The same, with more fields.
pub(crate) fn manifest_with(served: &Served, name: &str, content: &str, more: &Value) -> Pushed {
    let config = served.push_blob(name, b"{}");
    let layer = served.push_blob(name, content.as_bytes());
    let mut value = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": EMPTY, "digest": config, "size": 2 },
        "layers": [{ "mediaType": "application/x", "digest": layer, "size": content.len() }],
    });
    for (key, field) in more.as_object().expect("an object") {
        value[key] = field.clone();
    }
    let text = value.to_string();
    let digest = sha256(text.as_bytes());
    Pushed { text, digest }
}

impl Pushed {
    pub(crate) fn put(&self, served: &Served, name: &str, target: &str) -> &Self {
        let reply = served.push_manifest(name, target, MANIFEST, &self.text).is(201);
        assert_eq!(reply.header("docker-content-digest"), self.digest);
        assert_eq!(reply.header("location"), format!("/v2/{name}/manifests/{}", self.digest));
        self
    }

    pub(crate) fn descriptor(&self) -> Value {
        json!({ "mediaType": MANIFEST, "digest": self.digest, "size": self.text.len() })
    }
}

/// An index of manifests, pushed.
pub(crate) fn index(parts: &[&Pushed], more: &Value) -> Pushed {
    let mut value = json!({
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": parts.iter().map(|part| part.descriptor()).collect::<Vec<_>>(),
    });
    for (key, field) in more.as_object().expect("an object") {
        value[key] = field.clone();
    }
    let text = value.to_string();
    let digest = sha256(text.as_bytes());
    Pushed { text, digest }
}
