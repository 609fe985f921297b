//! The distribution protocol from the client's side. Bytes in, bytes out; it knows no storage.
//!
//! [`Registries`] hands out one [`Registry`] for each host, which remembers whether the host
//! speaks TLS and the tokens that it gave out. Credentials are looked for when a registry first
//! asks for them, never before.
//!
//! Whatever may pass is tried again (408, 429, 5xx, resets) as [`Access::patience`] says; a
//! download that was cut goes on where it stopped, an upload starts anew. Manifests are
//! compared with their digests before anybody sees them, blobs while they are read.

mod auth;
mod blob;
mod catalog;
mod client;
mod credentials;
mod delete;
mod error;
mod keeper;
mod login;
mod manifest;
mod referrers;
#[cfg(test)]
mod tests;
mod token;
mod upload;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use crate::http;
use crate::image::{Content, Descriptor, Digest};
use crate::report::{Reporter, Silent};

pub use crate::http::{Open, Patience};
pub use blob::Blob;
pub use credentials::{Credential, Found, Keyring};
pub use error::{Error, Kind};
pub use login::{Place, forget, remember};
pub use upload::Uploaded;

use client::Connection;

/// How registries are spoken to.
#[derive(Clone)]
pub struct Access {
    /// Hosts (`host` or `host:port`, `*` for all) that may do without TLS or show any certificate.
    pub insecure: Vec<String>,
    pub keyring: Keyring,
    pub patience: Patience,
    /// Hears of retries, of where credentials were found, and of helpers that do not work.
    pub reporter: Arc<dyn Reporter + Send + Sync>,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            insecure: Vec::new(),
            keyring: Keyring::default(),
            patience: Patience::default(),
            reporter: Arc::new(Silent),
        }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("insecure", &self.insecure)
            .field("keyring", &self.keyring)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// All registries of a run.
#[derive(Debug)]
pub struct Registries {
    http: Arc<http::Client>,
    access: Arc<Access>,
    open: Mutex<HashMap<String, Registry>>,
}

impl Registries {
    pub fn new(http: Arc<http::Client>, access: Access) -> Self {
        Self { http, access: Arc::new(access), open: Mutex::default() }
    }

    /// The registry of a host as references name it (`docker.io` is Docker Hub). Nothing is sent
    /// yet.
    pub fn get(&self, host: &str) -> Registry {
        let mut open = self.open.lock().expect("no thread panics while it makes a registry");
        let make = || Registry::new(self.http.clone(), host, self.access.clone());
        open.entry(host.to_owned()).or_insert_with(make).clone()
    }
}

/// One registry; clones share what they have learnt.
///
/// `repository` is a path as [`crate::image::Reference::repository`] gives it, `target` a tag or a
/// digest.
#[derive(Debug, Clone)]
pub struct Registry {
    connection: Arc<Connection>,
}

impl Registry {
    pub fn new(http: Arc<http::Client>, host: &str, access: Arc<Access>) -> Self {
        Self { connection: Arc::new(Connection::new(http, host, access)) }
    }

    /// As references name it.
    pub fn host(&self) -> &str {
        self.connection.host()
    }

    /// Asks whether the registry is there and takes our credentials, as `login` does.
    pub fn check(&self) -> Result<(), Error> {
        catalog::check(&self.connection)
    }

    /// The manifest, verified: against `target` if that is a digest, and against what the registry
    /// says it sends.
    pub fn manifest(&self, repository: &str, target: &str) -> Result<Content, Error> {
        manifest::get(&self.connection, repository, target)
    }

    /// What `target` names, without fetching it where the registry can tell; None if nothing.
    pub fn head_manifest(
        &self,
        repository: &str,
        target: &str,
    ) -> Result<Option<Descriptor>, Error> {
        manifest::head(&self.connection, repository, target)
    }

    /// Sends a manifest, whose blobs or manifests must be there already, byte by byte as it is. If it
    /// has a subject, it is among that one's referrers afterwards.
    pub fn put_manifest(
        &self,
        repository: &str,
        target: &str,
        content: &Content,
    ) -> Result<(), Error> {
        manifest::put(&self.connection, repository, target, content)
    }

    /// Opens a blob. It reads as its bytes, comes back after a cut, and fails at the end unless it
    /// is what the descriptor says.
    pub fn blob(&self, repository: &str, descriptor: &Descriptor) -> Result<Blob, Error> {
        Blob::open(self.connection.clone(), repository, descriptor)
    }

    /// Whether the repository has the blob.
    pub fn has_blob(&self, repository: &str, descriptor: &Descriptor) -> Result<bool, Error> {
        upload::exists(&self.connection, repository, descriptor)
    }

    /// Brings a blob into the repository unless it is there. `from` is another repository of this
    /// registry that is known to have it: then nothing need be sent. `open` is called for each
    /// attempt to send it.
    pub fn upload_blob(
        &self,
        repository: &str,
        descriptor: &Descriptor,
        open: Open<'_>,
        from: Option<&str>,
    ) -> Result<Uploaded, Error> {
        upload::upload(&self.connection, repository, descriptor, open, from)
    }

    /// All tags of a repository, sorted.
    pub fn tags(&self, repository: &str) -> Result<Vec<String>, Error> {
        catalog::tags(&self.connection, repository)
    }

    /// All repositories, sorted. Many registries tell nobody, or only some of them.
    pub fn repositories(&self) -> Result<Vec<String>, Error> {
        catalog::repositories(&self.connection)
    }

    /// What says something about a manifest: signatures, attestations, whatever has it as its
    /// subject. `artifact_type` chooses one kind. A registry that keeps no such lists is asked for
    /// the tag that clients keep in their place (distribution-spec, "Referrers Tag Schema").
    pub fn referrers(
        &self,
        repository: &str,
        digest: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, Error> {
        referrers::list(&self.connection, repository, digest, artifact_type)
    }

    /// Removes a manifest and, with it, every tag that names it. It leaves the list of its subject's
    /// referrers, too.
    pub fn delete_manifest(&self, repository: &str, digest: &Digest) -> Result<(), Error> {
        delete::manifest(&self.connection, repository, digest)
    }

    /// Removes a tag and nothing else: what it named stays, and so do other tags of the same.
    pub fn delete_tag(&self, repository: &str, tag: &str) -> Result<(), Error> {
        delete::tag(&self.connection, repository, tag)
    }
}
