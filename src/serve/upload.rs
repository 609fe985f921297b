//! Uploads: blobs that arrive in one request or in several ("Pushing blobs").

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::names::Repository;
use super::range::chunk;
use super::refusal::{Refusal, Result};
use super::{Call, Registry};
use crate::http::server::{Answer, RequestBody};
use crate::image::{Algorithm, Digest};
use crate::store::{self, Draft};
use crate::sys;

/// An upload that nobody touched for so long is given up.
const PATIENCE: Duration = Duration::from_secs(3600);
/// So many uploads may be open at the same time.
const MOST: usize = 10_000;
/// So much of a body is read and written at once.
const PIECE: usize = 128 * 1024;

/// Those that are under way.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    open: Mutex<HashMap<String, Arc<Upload>>>,
}

#[derive(Debug)]
struct Upload {
    /// The repository's name here.
    repository: String,
    /// None: it is over. Locked by who writes.
    draft: Mutex<Option<Draft>>,
    /// What was written, for those who ask meanwhile.
    size: AtomicU64,
    touched: Mutex<Instant>,
}

impl Upload {
    fn touch(&self) {
        *self.touched.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn age(&self) -> Duration {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

impl Uploads {
    fn open(&self) -> MutexGuard<'_, HashMap<String, Arc<Upload>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, repository: &Repository, draft: Draft) -> Result<String> {
        self.expire();
        let mut open = self.open();
        if open.len() >= MOST {
            let message = "too many uploads are open; end some, or come back in an hour";
            return Err(Refusal::new(429, "TOOMANYREQUESTS", message).header("retry-after", "60"));
        }
        let random = || RandomState::new().build_hasher().finish();
        let id = format!("{:016x}{:016x}", random(), random());
        let upload = Upload {
            repository: repository.key(),
            size: AtomicU64::new(draft.size()),
            draft: Mutex::new(Some(draft)),
            touched: Mutex::new(Instant::now()),
        };
        open.insert(id.clone(), Arc::new(upload));
        Ok(id)
    }

    fn find(&self, repository: &Repository, id: &str) -> Result<Arc<Upload>> {
        let found = self.open().get(id).cloned();
        let upload = found.filter(|upload| upload.repository == repository.key());
        let upload = upload.ok_or_else(Refusal::upload_unknown)?;
        upload.touch();
        Ok(upload)
    }

    fn end(&self, id: &str) {
        self.open().remove(id);
    }

    /// Gives up those that were given up by their clients.
    pub(super) fn expire(&self) {
        // Files are removed when nobody waits for the lock.
        let old: Vec<_> = {
            let mut open = self.open();
            let is_old =
                |upload: &Arc<Upload>| upload.age() > PATIENCE && upload.draft.try_lock().is_ok();
            let ids: Vec<String> = open
                .iter()
                .filter(|(_, upload)| is_old(upload))
                .map(|(id, _)| id.clone())
                .collect();
            ids.iter().filter_map(|id| open.remove(id)).collect()
        };
        drop(old);
    }

    pub(super) fn are_open(&self) -> bool {
        !self.open().is_empty()
    }
}

impl Registry {
    /// `POST`: mounts a blob, takes one whole, or begins an upload.
    pub(super) fn begin_upload(
        &self,
        call: &Call<'_>,
        repository: &Repository,
        body: &mut RequestBody,
    ) -> Result<Answer> {
        if let Some(mount) = call.query.get("mount") {
            let digest = self::digest(mount)?;
            if self.mount(repository, &digest, call.query.get("from"))? {
                return Ok(created(repository, &digest));
            }
        }
        let whole = call.query.get("digest").map(self::digest).transpose()?;
        let algorithm = match (call.query.get("digest-algorithm"), &whole) {
            (Some("sha256"), _) | (None, None) => Algorithm::Sha256,
            (Some("sha512"), _) => Algorithm::Sha512,
            (None, Some(digest)) => digest.algorithm(),
            (Some(other), _) => {
                let message = format!("{other:?} is neither sha256 nor sha512");
                return Err(Refusal::digest_invalid(message));
            }
        };
        let mut draft = self.store.draft(algorithm)?;
        if let Some(digest) = whole {
            self.refuse_if_full(call.asked.length())?;
            let size = receive(&mut draft, body, None).map_err(Received::refusal)?;
            // Without a body the client wants to begin, and says the digest too early.
            if size > 0 || crate::image::Hasher::new(digest.algorithm()).finish() == digest {
                self.keep(repository, draft, &digest)?;
                self.counts.received(size);
                return Ok(created(repository, &digest));
            }
        }
        let id = self.uploads.begin(repository, draft)?;
        Ok(state(202, repository, &id, 0))
    }

    /// Whether a blob that another repository has is in this one now, too. Without `from`, whichever
    /// repository.
    fn mount(&self, repository: &Repository, digest: &Digest, from: Option<&str>) -> Result<bool> {
        let _gate = self.gate();
        let is_there = match from {
            Some(from) => self.has_blob(&self.names.repository(from)?.key(), digest)?,
            None => self.has_blob_anywhere(digest)?,
        };
        if is_there {
            self.links.add(&repository.key(), digest);
        }
        Ok(is_there)
    }

    /// `GET`: how far it is.
    pub(super) fn upload_state(&self, repository: &Repository, id: &str) -> Result<Answer> {
        let upload = self.uploads.find(repository, id)?;
        Ok(state(204, repository, id, upload.size.load(Ordering::Acquire)))
    }

    /// `DELETE`: gives it up.
    pub(super) fn cancel_upload(&self, repository: &Repository, id: &str) -> Result<Answer> {
        let upload = self.uploads.find(repository, id)?;
        self.uploads.end(id);
        if let Ok(mut draft) = upload.draft.try_lock() {
            *draft = None;
        }
        Ok(Answer::new(204))
    }

    /// `PATCH`: a piece more.
    pub(super) fn continue_upload(
        &self,
        call: &Call<'_>,
        repository: &Repository,
        id: &str,
        body: &mut RequestBody,
    ) -> Result<Answer> {
        let upload = self.uploads.find(repository, id)?;
        let mut draft = writable(&upload)?;
        self.append(call, repository, id, &upload, &mut draft, body)?;
        Ok(state(202, repository, id, upload.size.load(Ordering::Acquire)))
    }

    /// `PUT`: the last piece, or none, and the digest of the whole.
    pub(super) fn finish_upload(
        &self,
        call: &Call<'_>,
        repository: &Repository,
        id: &str,
        body: &mut RequestBody,
    ) -> Result<Answer> {
        let upload = self.uploads.find(repository, id)?;
        let digest = call.query.get("digest").ok_or_else(|| {
            Refusal::digest_invalid("the parameter digest is missing, which names the whole blob")
        })?;
        let digest = self::digest(digest)?;
        let mut draft = writable(&upload)?;
        self.append(call, repository, id, &upload, &mut draft, body)?;
        let Some(whole) = draft.take() else { return Err(Refusal::upload_unknown()) };
        self.uploads.end(id);
        self.counts.received(whole.size());
        self.keep(repository, whole, &digest)?;
        Ok(created(repository, &digest))
    }

    /// Writes a request's body at the end of an upload.
    fn append(
        &self,
        call: &Call<'_>,
        repository: &Repository,
        id: &str,
        upload: &Upload,
        draft: &mut Option<Draft>,
        body: &mut RequestBody,
    ) -> Result<()> {
        let Some(open) = draft else { return Err(Refusal::upload_unknown()) };
        let range = match call.asked.header("content-range") {
            Some(header) => Some(chunk(header).ok_or_else(|| {
                Refusal::upload_invalid(format!("Content-Range {header:?} is not FIRST-LAST"))
            })?),
            None => None,
        };
        let size = open.size();
        let mut expected = call.asked.length();
        if let Some((first, length)) = range {
            if first != size {
                let message = format!("the next chunk begins at {size}, not at {first}");
                let refusal = Refusal::new(416, "BLOB_UPLOAD_INVALID", message);
                return Err(located(refusal, repository, id, size));
            }
            if expected.is_some_and(|expected| expected != length) {
                let message = format!("Content-Range says {length} bytes, Content-Length differs");
                return Err(Refusal::new(400, "SIZE_INVALID", message));
            }
            expected = Some(length);
        }
        self.refuse_if_full(expected)?;
        let received = receive(open, body, expected);
        upload.size.store(open.size(), Ordering::Release);
        upload.touch();
        match received {
            Ok(_) => Ok(()),
            Err(Received::Store(error)) => {
                // What was written is of no use to anybody, and takes room.
                *draft = None;
                self.uploads.end(id);
                Err(error.into())
            }
            Err(cut) => Err(located(cut.refusal(), repository, id, open.size())),
        }
    }

    /// Before a body is read that has no room, even without what was removed.
    fn refuse_if_full(&self, length: Option<u64>) -> Result<()> {
        let is_full = || match (length, sys::storage::space(self.store.path())) {
            (Some(length), Ok(space)) => length > space.free,
            _ => false,
        };
        if is_full() {
            self.tidy();
            if is_full() {
                return Err(Refusal::full());
            }
        }
        Ok(())
    }

    /// Puts a blob in its place, in a repository.
    fn keep(&self, repository: &Repository, draft: Draft, digest: &Digest) -> Result<()> {
        let _gate = self.gate();
        match draft.commit(&self.store, Some(digest)) {
            Ok(_) => {
                self.links.add(&repository.key(), digest);
                Ok(())
            }
            Err(store::Error::Damaged { source, .. }) => {
                Err(Refusal::digest_invalid(source.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// A digest that a client gave.
pub(super) fn digest(text: &str) -> Result<Digest> {
    text.parse().map_err(|error: crate::image::Error| Refusal::digest_invalid(error.to_string()))
}

/// Nobody waits: a second request at the same time would only mix up the bytes.
fn writable(upload: &Upload) -> Result<MutexGuard<'_, Option<Draft>>> {
    upload.draft.try_lock().map_err(|_| {
        let message = "another request is writing to this upload";
        Refusal::new(409, "BLOB_UPLOAD_INVALID", message).header("retry-after", "1")
    })
}

/// Why a body was not received.
enum Received {
    /// The client broke off, or sent another number of bytes than it said.
    Client(String),
    Store(store::Error),
}

impl Received {
    fn refusal(self) -> Refusal {
        match self {
            Self::Client(why) => Refusal::upload_invalid(why),
            Self::Store(error) => error.into(),
        }
    }
}

/// Writes a body to the end of a draft; gives its size. What arrived before an error stays.
fn receive(
    draft: &mut Draft,
    body: &mut RequestBody,
    expected: Option<u64>,
) -> std::result::Result<u64, Received> {
    let write = |source| {
        let (action, path) = ("writing", std::path::PathBuf::from("an upload"));
        Received::Store(store::Error::Io { action, path, source })
    };
    let mut file = draft.append().map_err(Received::Store)?;
    let mut buffer = vec![0; PIECE];
    let mut size = 0;
    loop {
        let count = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Received::Client(format!("the body broke off: {error}"))),
        };
        size += count as u64;
        if let Some(expected) = expected.filter(|expected| size > *expected) {
            return Err(Received::Client(format!("the body has more than its {expected} bytes")));
        }
        file.write_all(&buffer[..count]).map_err(write)?;
    }
    match expected.filter(|expected| size < *expected) {
        Some(expected) => {
            Err(Received::Client(format!("the body has {size} of its {expected} bytes")))
        }
        None => Ok(size),
    }
}

/// Where a blob is now.
fn created(repository: &Repository, digest: &Digest) -> Answer {
    Answer::new(201)
        .header("location", format!("/v2/{}/blobs/{digest}", repository.wire))
        .header("docker-content-digest", digest.to_string())
}

/// How far an upload is, and where it goes on.
fn state(status: u16, repository: &Repository, id: &str, size: u64) -> Answer {
    Answer::new(status)
        .header("location", location(repository, id))
        .header("range", written(size))
        .header("docker-upload-uuid", id)
}

fn located(refusal: Refusal, repository: &Repository, id: &str, size: u64) -> Refusal {
    refusal
        .header("location", location(repository, id))
        .header("range", written(size))
        .header("docker-upload-uuid", id)
}

fn location(repository: &Repository, id: &str) -> String {
    format!("/v2/{}/blobs/uploads/{id}", repository.wire)
}

/// Inclusive, so that nothing cannot be told from one byte; other registries say the same.
fn written(size: u64) -> String {
    format!("0-{}", size.saturating_sub(1))
}
