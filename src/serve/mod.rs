//! [`Registry`]: the distribution protocol from the server's side, over the store.
//!
//! ```text
//! client ──> http::server ──> Registry ──> store    blobs, manifests, names
//!                                │   └───> shelf    what each repository has, by its names
//!                                ├───────> upload   blobs that are not whole yet
//!                                └───────> links    blobs that no manifest names yet
//! ```
//!
//! There is no second bookkeeping: a tag is a name in the store, what has no tag is named by its
//! digest, and what an index lists needs no name. So whatever is pushed is an image here, whatever
//! is here can be pulled, and both work while other bryos work in the same store.
//!
//! Nothing is deleted while anybody else has the store open. What clients remove loses its names at
//! once; its bytes go when the server finds itself alone with the store, at the latest when it ends.

mod access;
mod blob;
mod downstream;
mod filtered;
mod growing;
mod links;
mod list;
mod manifest;
mod names;
mod range;
mod refusal;
mod route;
mod shelf;
mod upload;
mod upstream;

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, Weak};
use std::thread;
use std::time::{Duration, Instant};

pub use access::{Access, Invalid};
pub use downstream::Downstream;
pub use filtered::Filters;
pub use upstream::Upstream;

use links::Links;
use names::Names;
use refusal::{Refusal, Result};
use route::{Query, Route, decoded};
use shelf::Shelf;
use upload::Uploads;

use crate::http::Method;
use crate::http::server::{self, Answer, Asked, Payload, RequestBody, Server, Service};
use crate::image::Digest;
use crate::report::Reporter;
use crate::store::{Name, Store};

/// How often the server tidies up.
const TIDY: Duration = Duration::from_secs(30);

/// How a registry serves.
#[derive(Debug)]
pub struct Settings {
    /// Nobody may change anything.
    pub read_only: bool,
    /// Manifests are taken whether or not their blobs are here.
    pub sparse: bool,
    /// None: everybody may come in.
    pub access: Option<Access>,
    /// Whether every request gets a line.
    pub log: bool,
    /// Asked for what is not here.
    pub upstream: Option<Upstream>,
    /// Gets what is pushed here.
    pub downstream: Option<Downstream>,
    /// What is done to images on their way from the one and to the other.
    pub filters: Filters,
}

/// A registry over a store.
pub struct Registry {
    /// For threads of its own.
    me: Weak<Self>,
    store: Store,
    settings: Settings,
    reporter: Arc<dyn Reporter + Send + Sync>,
    names: Names,
    shelf: Shelf,
    uploads: Uploads,
    links: Links,
    /// Shared by who puts something into the store, exclusive while things are deleted from it.
    gate: RwLock<()>,
    /// Locked by who changes names.
    naming: Mutex<()>,
    /// What was removed, whose bytes may still be there; None: nothing.
    untidy: Mutex<Option<HashSet<Name>>>,
    /// So many are at work with what nothing names yet.
    busy: AtomicUsize,
    counts: Counts,
}

/// What a registry did.
#[derive(Debug, Default)]
pub struct Counts {
    requests: AtomicU64,
    failures: AtomicU64,
    pushed: AtomicU64,
    pulled: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    fetched: AtomicU64,
    passed_on: AtomicU64,
}

/// The same, at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    pub requests: u64,
    /// Requests that failed for a reason of ours.
    pub failures: u64,
    /// Manifests that were pushed.
    pub pushed: u64,
    /// Manifests that were pulled.
    pub pulled: u64,
    /// Bytes of blobs.
    pub received: u64,
    /// Bytes that were to be sent.
    pub sent: u64,
    /// Blobs that came from upstream.
    pub fetched: u64,
    /// Manifests that went downstream.
    pub passed_on: u64,
}

impl Counts {
    fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    fn pushed(&self) {
        Self::add(&self.pushed, 1);
    }

    fn pulled(&self) {
        Self::add(&self.pulled, 1);
    }

    fn received(&self, bytes: u64) {
        Self::add(&self.received, bytes);
    }

    fn fetched(&self) {
        Self::add(&self.fetched, 1);
    }

    fn passed_on(&self) {
        Self::add(&self.passed_on, 1);
    }

    fn summary(&self) -> Summary {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Summary {
            requests: read(&self.requests),
            failures: read(&self.failures),
            pushed: read(&self.pushed),
            pulled: read(&self.pulled),
            received: read(&self.received),
            sent: read(&self.sent),
            fetched: read(&self.fetched),
            passed_on: read(&self.passed_on),
        }
    }
}

/// A request that is understood.
struct Call<'a> {
    asked: &'a Asked,
    method: Method,
    query: Query,
}

impl Call<'_> {
    /// Whether the client has this content already.
    fn knows(&self, digest: &Digest) -> bool {
        let tag = entity_tag(digest);
        self.asked.header("if-none-match").is_some_and(|known| {
            known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)
        })
    }
}

/// RFC 9110 §8.8.3
fn entity_tag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Registry {
    pub fn new(
        store: Store,
        settings: Settings,
        reporter: Arc<dyn Reporter + Send + Sync>,
    ) -> Arc<Self> {
        let default = settings.upstream.as_ref().map_or("docker.io", Upstream::host).to_owned();
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            store,
            settings,
            reporter,
            names: Names::new(&default),
            shelf: Shelf::default(),
            uploads: Uploads::default(),
            links: Links::default(),
            gate: RwLock::default(),
            naming: Mutex::default(),
            untidy: Mutex::default(),
            busy: AtomicUsize::default(),
            counts: Counts::default(),
        })
    }

    /// Serves until the server is stopped; tells what was done. Starts threads.
    pub fn serve(
        self: &Arc<Self>,
        server: Server,
        settings: &server::Settings,
    ) -> Result<Summary, server::Error> {
        let registry = self;
        let (over, is_over) = channel::<()>();
        thread::scope(|scope| {
            let tidier = Arc::clone(registry);
            scope.spawn(move || {
                while is_over.recv_timeout(TIDY) == Err(RecvTimeoutError::Timeout) {
                    tidier.uploads.expire();
                    if !tidier.uploads.are_open() {
                        tidier.tidy();
                    }
                }
            });
            let served = server.run(registry, settings);
            drop(over);
            served
        })?;
        // Who is not there any more needs no blobs for a later manifest.
        registry.links.clear();
        registry.tidy();
        Ok(registry.counts.summary())
    }

    fn respond(&self, asked: &Asked, body: &mut RequestBody) -> Result<Answer> {
        if let Some(access) = &self.settings.access {
            access.check(asked.header("authorization"))?;
        }
        let path = decoded(asked.path()).unwrap_or_default();
        let route = Route::of(&path).ok_or_else(|| {
            Refusal::new(404, "UNSUPPORTED", "there is nothing here but the registry below /v2/")
        })?;
        let not_allowed = |allowed: &str| {
            let message = format!("{} is not for {path}", asked.method_name());
            Refusal::unsupported(message, allowed)
        };
        let method = asked.method().ok_or_else(|| not_allowed("GET, HEAD"))?;
        let call = Call { asked, method, query: Query::of(asked.query()) };
        let is_read = matches!(method, Method::Get | Method::Head);
        if self.settings.read_only && !is_read {
            let message = "this registry is read-only";
            return Err(Refusal::unsupported(message, "GET, HEAD"));
        }
        let Some(name) = route.repository() else {
            return match (route, is_read) {
                (Route::Catalog, true) => self.catalog(&call),
                (_, true) => Ok(Answer::new(200)
                    .header("content-type", "application/json")
                    .payload(Payload::Bytes(b"{}".to_vec()))),
                (_, false) => Err(not_allowed("GET, HEAD")),
            };
        };
        let repository = &self.names.repository(name)?;
        if !is_read
            && self.settings.downstream.is_none()
            && let Some(upstream) = self.upstream_of(repository)
        {
            let message = format!("this is a cache of {0}: push to {0}", upstream.host());
            return Err(Refusal::unsupported(message, "GET, HEAD"));
        }
        match (route, method) {
            (Route::Tags(_), Method::Get | Method::Head) => self.tags(&call, repository),
            (Route::Referrers(_, digest), Method::Get | Method::Head) => {
                self.referrers(&call, repository, digest)
            }
            (Route::Tags(_) | Route::Referrers(..), _) => Err(not_allowed("GET, HEAD")),
            (Route::Manifest(_, target), Method::Get | Method::Head) => {
                self.manifest(&call, repository, target)
            }
            (Route::Manifest(_, target), Method::Put) => {
                self.put_manifest(&call, repository, target, body)
            }
            (Route::Manifest(_, target), Method::Delete) => {
                self.delete_manifest(repository, target)
            }
            (Route::Manifest(..), _) => Err(not_allowed("GET, HEAD, PUT, DELETE")),
            (Route::Blob(_, digest), Method::Get | Method::Head) => {
                self.blob(&call, repository, digest)
            }
            (Route::Blob(_, digest), Method::Delete) => self.delete_blob(repository, digest),
            (Route::Blob(..), _) => Err(not_allowed("GET, HEAD, DELETE")),
            (Route::Uploads(_), Method::Post) => self.begin_upload(&call, repository, body),
            (Route::Uploads(_), _) => Err(not_allowed("POST")),
            (Route::Upload(_, id), Method::Get) => self.upload_state(repository, id),
            (Route::Upload(_, id), Method::Patch) => {
                self.continue_upload(&call, repository, id, body)
            }
            (Route::Upload(_, id), Method::Put) => self.finish_upload(&call, repository, id, body),
            (Route::Upload(_, id), Method::Delete) => self.cancel_upload(repository, id),
            (Route::Upload(..), _) => Err(not_allowed("GET, PATCH, PUT, DELETE")),
            (Route::Base | Route::Catalog, _) => Err(not_allowed("GET, HEAD")),
        }
    }

    /// Held by who puts something into the store.
    fn gate(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held by who changes names.
    fn naming(&self) -> MutexGuard<'_, ()> {
        self.naming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was removed: these names, or what had none.
    fn removed(&self, names: &[Name]) {
        self.untidy().get_or_insert_default().extend(names.iter().cloned());
    }

    fn untidy(&self) -> MutexGuard<'_, Option<HashSet<Name>>> {
        self.untidy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletes what clients removed, if nobody else has the store open. What others removed stays as
    /// long as they want.
    fn tidy(&self) {
        let Some(names) = self.untidy().take() else { return };
        let _gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        let keep = &self.links.blobs();
        if self.busy.load(Ordering::Acquire) > 0 {
            self.untidy().get_or_insert_default().extend(names);
            return;
        }
        match self.store.sweep_but(keep, &|name, _| names.contains(name)) {
            Ok(removed) if removed.deferred => {
                self.untidy().get_or_insert_default().extend(names);
            }
            Ok(removed) => {
                self.reporter.detail(format!("removed {} bytes of blobs", removed.blobs));
            }
            Err(error) => self.reporter.warn(format!("removing what nobody needs: {error}")),
        }
    }

    fn log(&self, asked: &Asked, answer: &Answer, took: Duration) {
        let line = || {
            format!(
                "{} {} {} {} {} {:.3}s",
                asked.peer(),
                asked.method_name(),
                asked.path(),
                answer.status,
                answer.payload.length(),
                took.as_secs_f64(),
            )
        };
        match self.settings.log {
            true => self.reporter.note(line()),
            false => self.reporter.detail(line()),
        }
    }
}

impl Service for Registry {
    fn answer(&self, asked: &Asked, body: &mut RequestBody) -> Answer {
        let begun = Instant::now();
        Counts::add(&self.counts.requests, 1);
        let answer = self.respond(asked, body).unwrap_or_else(|refusal| {
            if refusal.is_ours() {
                Counts::add(&self.counts.failures, 1);
                let (method, path) = (asked.method_name(), asked.path());
                self.reporter.warn(format!("{method} {path}: {}", refusal.story()));
            }
            refusal.answer()
        });
        let mut answer = answer.header("docker-distribution-api-version", "registry/2.0");
        if asked.method() == Some(Method::Head) {
            answer.payload = Payload::Length(answer.payload.length());
        } else {
            Counts::add(&self.counts.sent, answer.payload.length());
        }
        self.log(asked, &answer, begun.elapsed());
        answer
    }

    fn complain(&self, text: String) {
        self.reporter.warn(text);
    }
}
