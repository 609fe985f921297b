//! Against Debian's `docker-registry`, with and without somebody rude in between.
//!
//! [`docker`] starts the registry, [`faults`] stands in front of it, [`tokens`] gives permission.

mod docker;
mod faults;
mod http;
mod lists;
mod login;
mod mirrors;
mod plain;
mod rough;
mod tokens;
mod tunnels;
mod uploads;

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use super::{Access, Credential, Error, Keyring, Patience, Registries, Registry, Routes, Uploaded};
use crate::http::{Client, Settings};
use crate::image::{Content, Descriptor, Digest, Hasher, media_type};
use crate::report::{Event, Recorder};
use docker::Docker;

/// A client as tests want it: patient, but in a hurry; and what it told.
struct Guest {
    registry: Registry,
    recorder: Arc<Recorder>,
}

impl Guest {
    fn new(host: &str) -> Self {
        Self::with(host, Keyring::default())
    }

    fn user(host: &str, user: &str, secret: &str) -> Self {
        let given = Some(Credential::new(user, secret));
        Self::with(host, Keyring { given, ..Keyring::default() })
    }

    fn with(host: &str, keyring: Keyring) -> Self {
        Self::made_of(host, Settings::default(), Access { keyring, ..Access::default() })
    }

    /// As people's are, who share a registry with others.
    fn in_no_hurry(host: &str) -> Self {
        let first = Duration::from_secs(1);
        let patience = Patience { first, ..Patience::default() };
        Self::patient(host, Settings::default(), Access::default(), patience)
    }

    fn made_of(host: &str, settings: Settings, access: Access) -> Self {
        let (first, longest) = (Duration::from_millis(1), Duration::from_millis(20));
        let patience = Patience { first, longest, ..Patience::default() };
        Self::patient(host, settings, access, patience)
    }

    fn patient(host: &str, settings: Settings, access: Access, patience: Patience) -> Self {
        let recorder = Arc::new(Recorder::default());
        let access = Access { patience, reporter: recorder.clone(), ..access };
        let registry = Registries::new(Arc::new(Client::new(settings)), access).get(host);
        Self { registry, recorder }
    }

    /// How often it had to try again.
    fn retries(&self) -> usize {
        let events = self.recorder.events();
        events.iter().filter(|event| matches!(event, Event::Note { .. })).count()
    }

    fn upload(&self, repository: &str, bytes: &[u8]) -> Result<Uploaded, Error> {
        self.upload_from(repository, bytes, None)
    }

    fn upload_from(
        &self,
        repository: &str,
        bytes: &[u8],
        from: Option<&str>,
    ) -> Result<Uploaded, Error> {
        let bytes = bytes.to_vec();
        let descriptor = Descriptor::of("application/octet-stream", &bytes);
        let open = move || {
            let reader: Box<dyn Read + Send> = Box::new(io::Cursor::new(bytes.clone()));
            Ok(reader)
        };
        self.registry.upload_blob(repository, &descriptor, &open, from)
    }

    /// Pushes an image of one layer.
    fn push(&self, repository: &str, tag: &str, layer: &[u8]) -> Result<Content, Error> {
        let config =
            br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
        self.upload(repository, layer)?;
        self.upload(repository, config)?;
        let manifest = manifest(config, layer);
        self.registry.put_manifest(repository, tag, &manifest)?;
        Ok(manifest)
    }

    fn download(&self, repository: &str, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let descriptor = Descriptor::of("application/octet-stream", bytes);
        let mut blob = self.registry.blob(repository, &descriptor).map_err(io::Error::other)?;
        let mut found = Vec::new();
        blob.read_to_end(&mut found)?;
        Ok(found)
    }
}

fn manifest(config: &[u8], layer: &[u8]) -> Content {
    let json = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": Descriptor::of(media_type::OCI_CONFIG, config),
        "layers": [Descriptor::of(media_type::OCI_LAYER, layer)],
    });
    Content::parse(json.to_string().into_bytes(), None).expect("a manifest")
}

/// Bytes that look like nothing, the same for the same seed.
fn noise(seed: u8, size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + 32);
    let mut block = vec![seed];
    while bytes.len() < size {
        let mut hasher = Hasher::sha256();
        hasher.update(&block);
        block = hasher.finish().hex().as_bytes().to_vec();
        bytes.extend_from_slice(&block);
    }
    bytes.truncate(size);
    bytes
}

/// The error inside of what a reader returned.
fn inner(error: &io::Error) -> &Error {
    Error::of(error).unwrap_or_else(|| panic!("no error of a registry: {error:?}"))
}

/// The error and its causes, as `cli` shows them.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
