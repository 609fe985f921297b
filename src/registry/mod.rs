//! The distribution protocol from the client's side. Bytes in, bytes out; it knows no storage.
//!
//! [`Registries`] hands out one [`Registry`] for each host, which remembers whether the host
//! speaks TLS and the tokens that it gave out. Credentials are looked for when a registry first
//! asks for them, never before.
//!
//! Whatever may pass is tried again (408, 429, 5xx, resets) as [`Access::patience`] says; a
//! download that was cut goes on where it stopped, an upload starts anew. Manifests are
//! compared with their digests before anybody sees them, blobs while they are read.

mod answer;
mod auth;
mod authfile;
mod blob;
mod catalog;
mod client;
mod credential;
mod delete;
mod error;
mod keeper;
mod keyring;
mod login;
mod manifest;
mod referrers;
mod routes;
#[cfg(test)]
mod tests;
mod token;
mod upload;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use crate::http;
use crate::image::{Content, Descriptor, Digest};
use crate::report::{Reporter, Silent};

pub use crate::http::{Open, Patience};
pub use authfile::canonical;
pub use blob::{Blob, Rest};
pub use catalog::Wanted;
pub use credential::{Credential, Found, Kept};
pub use error::{Error, Kind};
pub use keyring::{Ask, Keyring, Question};
pub use login::{Place, forget, forget_all, remember};
pub use routes::Routes;
pub use upload::Uploaded;

use client::Connection;

/// How registries are spoken to.
#[derive(Clone)]
pub struct Access {
    /// Hosts (`host` or `host:port`, `*` for all) that may do without TLS or show any certificate.
    pub insecure: Vec<String>,
    pub keyring: Keyring,
    pub patience: Patience,
    /// Layers that registries do not keep may be fetched from wherever their descriptors say.
    pub allow_foreign: bool,
    /// Mirrors, and what else somebody decided about registries.
    pub routes: Routes,
    /// Hears of retries, of where credentials were found, and of helpers that do not work.
    pub reporter: Arc<dyn Reporter + Send + Sync>,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            insecure: Vec::new(),
            keyring: Keyring::default(),
            patience: Patience::default(),
            allow_foreign: false,
            routes: Routes::default(),
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
            .field("allow_foreign", &self.allow_foreign)
            .field("routes", &self.routes)
            .finish_non_exhaustive()
    }
}

/// A mirror that does not answer is tried so often; another one may have the image.
const MIRROR_TRIES: u32 = 2;

/// All registries of a run.
#[derive(Debug)]
pub struct Registries {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    http: Arc<http::Client>,
    access: Arc<Access>,
    /// As `access`, for mirrors: what was given for a registry is not theirs to see.
    mirror_access: Arc<Access>,
    open: Mutex<HashMap<Key, Arc<Connection>>>,
    /// Hosts that somebody named with `http://`.
    plain: Mutex<HashSet<String>>,
}

/// What makes a connection different from others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    host: String,
    insecure: bool,
    mirror: bool,
}

impl Registries {
    pub fn new(http: Arc<http::Client>, access: Access) -> Self {
        let mirror_access = Access {
            keyring: Keyring { given: None, ..access.keyring.clone() },
            patience: Patience {
                tries: access.patience.tries.min(MIRROR_TRIES),
                ..access.patience.clone()
            },
            ..access.clone()
        };
        let (access, mirror_access) = (Arc::new(access), Arc::new(mirror_access));
        let (open, plain) = (Mutex::default(), Mutex::default());
        Self { shared: Arc::new(Shared { http, access, mirror_access, open, plain }) }
    }

    /// Lets a host do without TLS, as [`Access::insecure`] does, from now on.
    pub fn allow_plain(&self, host: &str) {
        let mut plain = self.shared.plain.lock().expect("adding a name cannot panic");
        plain.insert(host.to_owned());
    }

    /// The registry of a host as references name it (`docker.io` is Docker Hub). Nothing is sent
    /// yet.
    pub fn get(&self, host: &str) -> Registry {
        Registry { host: host.into(), shared: self.shared.clone(), alone: false }
    }
}

impl Shared {
    fn is_plain(&self, host: &str) -> bool {
        self.plain.lock().expect("looking for a name cannot panic").contains(host)
    }

    fn connection(&self, key: &Key) -> Arc<Connection> {
        let mut open = self.open.lock().expect("no thread panics while it makes a connection");
        let access = if key.mirror { &self.mirror_access } else { &self.access };
        let make = || {
            let http = self.http.clone();
            Arc::new(Connection::new(http, &key.host, key.insecure, access.clone()))
        };
        open.entry(key.clone()).or_insert_with(make).clone()
    }
}

/// One registry; clones share what they have learnt.
///
/// `repository` is a path as [`crate::image::Reference::repository`] gives it, `target` a tag or a
/// digest. Reading may be diverted by [`Routes`]; all else goes to this very host.
#[derive(Debug, Clone)]
pub struct Registry {
    host: Arc<str>,
    shared: Arc<Shared>,
    /// Nobody else is asked in its place.
    alone: bool,
}

impl Registry {
    /// As references name it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The same without [`Routes`]: for who wants to know what this very host has.
    #[must_use]
    pub fn alone(self) -> Self {
        Self { alone: true, ..self }
    }

    /// The connection for whatever is no reading.
    fn connection(&self, repository: &str) -> Result<Arc<Connection>, Error> {
        let rule = self.shared.access.routes.rule(&self.host, repository);
        if rule.is_some_and(|rule| rule.blocked) {
            return Err(Error::Blocked { what: format!("{}/{repository}", self.host) });
        }
        let insecure = rule.is_some_and(|rule| rule.insecure) || self.shared.is_plain(&self.host);
        let key = Key { host: self.host.to_string(), insecure, mirror: false };
        Ok(self.shared.connection(&key))
    }

    /// Reads from the first place that has it: mirrors in their order, then the registry itself.
    fn read<T>(
        &self,
        repository: &str,
        by_digest: bool,
        ask: impl Fn(&Arc<Connection>, &str) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let own = self.connection(repository)?;
        if self.alone {
            return ask(&own, repository);
        }
        let places = match self.shared.access.routes.rule(&self.host, repository) {
            Some(rule) => rule.places(&self.host, repository, by_digest),
            None => Vec::new(),
        };
        let Some((last, mirrors)) = places.split_last() else { return ask(&own, repository) };
        for routes::Place { host, repository, insecure } in mirrors {
            let key = Key { host: host.clone(), insecure: *insecure, mirror: true };
            let mirror = self.shared.connection(&key);
            if mirror.is_down() {
                continue;
            }
            match ask(&mirror, repository) {
                Err(error) if error.kind() != Kind::Local => {
                    mirror.note_failure(&error);
                    let reporter = &self.shared.access.reporter;
                    reporter.detail(format!("mirror {host}: {error}; asking the next"));
                }
                outcome => {
                    if outcome.is_ok() && mirror.is_news() {
                        let reporter = &self.shared.access.reporter;
                        reporter.detail(format!("{}: read from its mirror {host}", self.host));
                    }
                    return outcome;
                }
            }
        }
        // What stands in the place of the registry itself is no mirror, but no place for what was
        // given for another host either.
        let mirror = last.host != *self.host;
        let insecure = last.insecure || !mirror && self.shared.is_plain(&self.host);
        let key = Key { host: last.host.clone(), insecure, mirror };
        ask(&self.shared.connection(&key), &last.repository)
    }

    /// Asks whether the registry is there and takes our credentials, as `login` does.
    pub fn check(&self) -> Result<(), Error> {
        catalog::check(&*self.connection("")?)
    }

    /// The manifest, verified: against `target` if that is a digest, and against what the registry
    /// says it sends.
    pub fn manifest(&self, repository: &str, target: &str) -> Result<Content, Error> {
        self.read(repository, is_digest(target), |connection, repository| {
            manifest::get(connection, repository, target)
        })
    }

    /// What `target` names, without fetching it where the registry can tell; None if nothing.
    pub fn head_manifest(
        &self,
        repository: &str,
        target: &str,
    ) -> Result<Option<Descriptor>, Error> {
        let outcome = self.read(repository, is_digest(target), |connection, repository| {
            let missing = || Error::missing(connection.what(repository, target));
            manifest::head(connection, repository, target)?.ok_or_else(missing)
        });
        match outcome {
            Err(Error::NotFound { .. }) => Ok(None),
            outcome => outcome.map(Some),
        }
    }

    /// Sends a manifest, whose blobs or manifests must be there already, byte by byte as it is. If it
    /// has a subject, it is among that one's referrers afterwards.
    pub fn put_manifest(
        &self,
        repository: &str,
        target: &str,
        content: &Content,
    ) -> Result<(), Error> {
        manifest::put(&*self.connection(repository)?, repository, target, content)
    }

    /// Opens a blob. It reads as its bytes, comes back after a cut, and fails at the end unless it
    /// is what the descriptor says.
    pub fn blob(&self, repository: &str, descriptor: &Descriptor) -> Result<Blob, Error> {
        self.read(repository, true, |connection, repository| {
            Blob::open(connection, repository, descriptor)
        })
    }

    /// Opens a blob after its first `offset` bytes, for somebody who has those and verifies the
    /// whole.
    pub fn rest_of_blob(
        &self,
        repository: &str,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<Rest, Error> {
        self.read(repository, true, |connection, repository| {
            Rest::open(connection, repository, descriptor, offset)
        })
    }

    /// Whether the repository has the blob.
    pub fn has_blob(&self, repository: &str, descriptor: &Descriptor) -> Result<bool, Error> {
        upload::exists(&*self.connection(repository)?, repository, descriptor)
    }

    /// How many bytes the blob has in the repository; None when it is not there. What a registry
    /// does not tell is taken from the descriptor.
    pub fn blob_size(
        &self,
        repository: &str,
        descriptor: &Descriptor,
    ) -> Result<Option<u64>, Error> {
        let outcome = self.read(repository, true, |connection, repository| {
            let missing =
                || Error::missing(connection.what(repository, &descriptor.digest.to_string()));
            upload::size(connection, repository, descriptor)?.ok_or_else(missing)
        });
        match outcome {
            Err(Error::NotFound { .. }) => Ok(None),
            outcome => outcome.map(Some),
        }
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
        upload::upload(&*self.connection(repository)?, repository, descriptor, open, from)
    }

    /// All tags of a repository, sorted.
    pub fn tags(&self, repository: &str) -> Result<Vec<String>, Error> {
        self.some_tags(repository, Wanted::ALL)
    }

    /// Tags, sorted, of which no more are asked for than are wanted: those that the registry names
    /// first.
    pub fn some_tags(&self, repository: &str, wanted: Wanted<'_>) -> Result<Vec<String>, Error> {
        self.read(repository, false, |connection, repository| {
            catalog::tags(connection, repository, wanted)
        })
    }

    /// All repositories, sorted. Many registries tell nobody, or only some of them.
    pub fn repositories(&self) -> Result<Vec<String>, Error> {
        self.some_repositories(Wanted::ALL)
    }

    /// Repositories, as [`Registry::some_tags`] has tags.
    pub fn some_repositories(&self, wanted: Wanted<'_>) -> Result<Vec<String>, Error> {
        catalog::repositories(&*self.connection("")?, wanted)
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
        referrers::list(&*self.connection(repository)?, repository, digest, artifact_type)
    }

    /// Removes a manifest and, with it, every tag that names it. It leaves the list of its subject's
    /// referrers, too.
    pub fn delete_manifest(&self, repository: &str, digest: &Digest) -> Result<(), Error> {
        delete::manifest(&*self.connection(repository)?, repository, digest)
    }

    /// Removes a tag and nothing else: what it named stays, and so do other tags of the same.
    pub fn delete_tag(&self, repository: &str, tag: &str) -> Result<(), Error> {
        delete::tag(&*self.connection(repository)?, repository, tag)
    }
}

fn is_digest(target: &str) -> bool {
    target.contains(':')
}
