//! Removing manifests, and tags without what they name.

use std::io::{self, Read};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::auth::Scope;
use super::client::{Call, Connection};
use super::{Error, manifest, referrers, upload};
use crate::http::Method;
use crate::image::{Content, Descriptor, Digest, media_type};

/// An archive without entries.
const EMPTY_TAR: [u8; 1024] = [0; 1024];

pub(super) fn manifest(
    connection: &Connection,
    repository: &str,
    digest: &Digest,
) -> Result<(), Error> {
    // What it was about is known only as long as it is there.
    let content = manifest::get(connection, repository, &digest.to_string())?;
    delete(connection, repository, &digest.to_string())?;
    match content.subject() {
        Some(subject) => referrers::remove(connection, repository, &subject.digest, digest),
        None => Ok(()),
    }
}

pub(super) fn tag(connection: &Connection, repository: &str, tag: &str) -> Result<(), Error> {
    let refused = match delete(connection, repository, tag) {
        // Where only digests can be deleted (distribution-spec, "Deleting tags": 400 or 405), or a
        // tag is not even looked for.
        Err(error @ (Error::Refused { status: 400 | 405 | 501, .. } | Error::NotFound { .. })) => {
            error
        }
        outcome => return outcome,
    };
    let before = manifest::get(connection, repository, tag)?;
    // Whether anything may be deleted is tried with something that no tag names: a tag that points
    // at our own invention would be worse than one that stays.
    let trial = || {
        let trial = invent(connection, repository, tag, 1)?;
        manifest::send(connection, repository, &digest(&trial), &trial)?;
        delete(connection, repository, &digest(&trial))
    };
    trial().map_err(|error| match error {
        Error::Refused { .. } => Error::Undeletable {
            what: connection.what(repository, tag),
            refused: Box::new(refused),
            instead: Box::new(error),
        },
        other => other,
    })?;
    let instead = invent(connection, repository, tag, 2)?;
    manifest::send(connection, repository, tag, &instead)?;
    delete(connection, repository, &digest(&instead)).inspect_err(|_| {
        // The first error counts, whatever comes of this.
        drop(manifest::send(connection, repository, tag, &before));
    })
}

fn digest(content: &Content) -> String {
    content.descriptor().digest.to_string()
}

/// Deletes what a tag or a digest names.
fn delete(connection: &Connection, repository: &str, target: &str) -> Result<(), Error> {
    let (scope, path) = (Scope::delete(repository), manifest::path(repository, target));
    let call = Call::new(Method::Delete, &path, &scope);
    let response = connection.call(&call)?;
    if response.is_success() {
        return Ok(());
    }
    Err(match connection.refusal(&call, response) {
        Error::NotFound { detail, .. } => {
            Error::NotFound { what: connection.what(repository, target), detail }
        }
        other => other,
    })
}

/// A manifest that nobody else has: an image of nothing, whose configuration says what it is for.
fn invent(
    connection: &Connection,
    repository: &str,
    tag: &str,
    number: u32,
) -> Result<Content, Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let layer = Descriptor::of(media_type::OCI_LAYER, &EMPTY_TAR);
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Labels": {
            "bryo.deletes": tag,
            "bryo.unique": format!("{now}-{}-{number}", std::process::id()),
        }},
        "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
    });
    let config_bytes = config.to_string().into_bytes();
    let config = Descriptor::of(media_type::OCI_CONFIG, &config_bytes);
    for (descriptor, bytes) in [(&layer, &EMPTY_TAR[..]), (&config, &config_bytes)] {
        let open = || Ok(Box::new(io::Cursor::new(bytes)) as Box<dyn Read + Send + '_>);
        upload::upload(connection, repository, descriptor, &open, None)?;
    }
    let text = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": config,
        "layers": [layer],
    });
    Ok(Content::parse(text.to_string().into_bytes(), None).expect("a manifest"))
}
