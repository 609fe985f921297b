//! [`Upstream`]: another registry, whose images are fetched when somebody asks for them, and kept.
//!
//! What has a digest is fetched once: from then on the store has it. A tag may move, so upstream is
//! asked each time what it names; only when upstream does not answer does the client get what the
//! tag named last. However many clients ask for the same thing at the same time, it is fetched
//! once; blobs are sent on while they arrive.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::blob::{head, no_part, partial, wanted};
use super::growing::{Growing, Reader};
use super::manifest::{Arrived, Target};
use super::names::Repository;
use super::range::Part;
use super::refusal::{Refusal, Result};
use super::shelf::About;
use super::{Call, Registry};
use crate::http::Method;
use crate::http::server::{Answer, Payload};
use crate::image::{Content, Descriptor, Digest};
use crate::registry::{self, Kind};
use crate::report::{Outcome, start};
use crate::store::{Name, RefEntry};

/// So much is written, and then told to those who wait for it.
const PIECE: usize = 128 * 1024;
/// An upstream that did not answer is left alone for so long where there is something to give.
const REST: Duration = Duration::from_secs(10);

/// A registry that is asked for what is not here.
#[derive(Debug)]
pub struct Upstream {
    registry: registry::Registry,
    tags: Flights<String, Found>,
    manifests: Flights<Digest, Found>,
    blobs: Flights<Digest, Option<Arc<Growing>>>,
    rests_until: Mutex<Option<Instant>>,
}

/// What a tag or a digest names, and what there is to say about it.
type Found = Result<(Descriptor, Option<String>)>;

/// Work that is done once for all who ask for it at the same time.
#[derive(Debug)]
struct Flights<K, V>(Mutex<HashMap<K, Arc<Flight<V>>>>);

type Flight<V> = Mutex<Option<(Instant, V)>>;

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + std::hash::Hash, V: Clone> Flights<K, V> {
    /// What `work` gives, done by this call or by one that came no earlier than it ended.
    fn run(&self, key: &K, work: impl FnOnce() -> V) -> V {
        let came = Instant::now();
        let all = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let flight = Arc::clone(all().entry(key.clone()).or_default());
        let value = {
            let mut landed = flight.lock().unwrap_or_else(PoisonError::into_inner);
            match &*landed {
                Some((when, value)) if *when >= came => value.clone(),
                _ => {
                    let value = work();
                    *landed = Some((Instant::now(), value.clone()));
                    value
                }
            }
        };
        // The table's and ours: nobody else waits.
        let mut all = all();
        if Arc::strong_count(&flight) <= 2 {
            all.remove(key);
        }
        value
    }
}

impl Upstream {
    pub fn new(registry: registry::Registry) -> Self {
        let (tags, manifests, blobs) = (Flights::default(), Flights::default(), Flights::default());
        Self { registry, tags, manifests, blobs, rests_until: Mutex::default() }
    }

    pub fn host(&self) -> &str {
        self.registry.host()
    }

    pub(super) fn registry(&self) -> &registry::Registry {
        &self.registry
    }

    fn rests(&self) -> bool {
        let until = self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// Remembers whether it answers.
    fn note<T>(&self, outcome: &std::result::Result<T, registry::Error>) {
        let is_down = matches!(outcome, Err(error) if error.kind() == Kind::Network);
        let mut until = self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = is_down.then(|| Instant::now() + REST);
    }
}

impl Registry {
    /// The upstream that has a repository, if it is one's.
    pub(super) fn upstream_of(&self, repository: &Repository) -> Option<&Upstream> {
        self.settings.upstream.as_ref().filter(|upstream| repository.registry == upstream.host())
    }

    /// A manifest of upstream's.
    pub(super) fn cached_manifest(
        &self,
        call: &Call<'_>,
        upstream: &Upstream,
        repository: &Repository,
        target: &Target,
    ) -> Result<Answer> {
        let (descriptor, warning) = match target {
            Target::Digest(digest) => match self.find_manifest(repository, target)? {
                Some(descriptor) => (descriptor, None),
                None => upstream.manifests.run(digest, || {
                    let text = digest.to_string();
                    let content = upstream.registry.manifest(&repository.path, &text);
                    upstream.note(&content);
                    self.take(repository, content?, digest, None).map(|one| (one, None))
                })?,
            },
            Target::Tag(tag, _) => {
                upstream.tags.run(&format!("{}:{tag}", repository.key()), || {
                    self.renew(upstream, repository, target, tag)
                })?
            }
        };
        let answer = self.send_manifest(call, &descriptor)?;
        Ok(match warning {
            Some(text) => answer.header("warning", format!("299 - \"{text}\"")),
            None => answer,
        })
    }

    /// What a tag names now; what it named last, where upstream does not answer.
    fn renew(
        &self,
        upstream: &Upstream,
        repository: &Repository,
        target: &Target,
        tag: &str,
    ) -> Found {
        let last = self.find_manifest(repository, target)?;
        let last = last.filter(|last| self.store.has_blob(&last.digest));
        let warning = || format!("{} does not answer: this is what it had", upstream.host());
        if let Some(last) = &last
            && upstream.rests()
        {
            return Ok((last.clone(), Some(warning())));
        }
        let named = upstream.registry.head_manifest(&repository.path, tag);
        upstream.note(&named);
        match named {
            Ok(None) => Err(Refusal::manifest_unknown(tag)),
            Ok(Some(named)) if !self.settings.filters.are_none() => {
                let (target, original) = ((target, tag), &named.digest);
                let found = self.renew_filtered(upstream, repository, target, original, last)?;
                Ok((found, None))
            }
            Ok(Some(named)) => match last {
                Some(last) if last.digest == named.digest => Ok((last, None)),
                _ => {
                    let digest = named.digest;
                    let content =
                        upstream.registry.manifest(&repository.path, &digest.to_string())?;
                    let found = self.take(repository, content, &digest, Some(target))?;
                    Ok((found, None))
                }
            },
            Err(error) => match last {
                Some(last) if error.kind() == Kind::Network => {
                    self.reporter
                        .detail(format!("{error}: {} is served as it was", repository.wire));
                    Ok((last, Some(warning())))
                }
                _ => Err(error.into()),
            },
        }
    }

    /// Keeps a manifest that upstream sent.
    pub(super) fn take(
        &self,
        repository: &Repository,
        content: Content,
        digest: &Digest,
        target: Option<&Target>,
    ) -> Result<Descriptor> {
        let about: About = serde_json::from_slice(content.bytes()).unwrap_or_default();
        let (kind, size) = (&content.descriptor().media_type, content.bytes().len() as u64);
        let descriptor = Descriptor::new(kind, digest.clone(), size);
        let subject = about.subject.map(|subject| subject.digest);
        let arrived = Arrived { content, descriptor: descriptor.clone(), subject };
        let tags = match target {
            Some(Target::Tag(_, name)) => vec![name.clone()],
            _ => Vec::new(),
        };
        // A cache does not keep what its tags named before.
        for name in &tags {
            let name = Name::Tagged(name.clone());
            if let Some(RefEntry { name, .. }) = self.store.get_ref(&name)? {
                self.store.forget(std::slice::from_ref(&name))?;
                self.removed(&[name]);
            }
        }
        self.accept(repository, &arrived, &tags)?;
        Ok(descriptor)
    }

    /// A blob of upstream's, which is not here yet.
    pub(super) fn cached_blob(
        &self,
        call: &Call<'_>,
        upstream: &Upstream,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Answer> {
        let contents = self.shelf.contents(&self.store)?;
        let known = contents.get(&repository.key()).and_then(|here| here.blobs.get(digest));
        let size = match known {
            Some(size) => *size,
            None => {
                let nameless = Descriptor::new("", digest.clone(), 0);
                let size = upstream.registry.blob_size(&repository.path, &nameless)?;
                // A registry that does not tell makes us ask in vain: 0 is not its size.
                let size = size.filter(|size| *size > 0 || *digest == Digest::of(b""));
                size.ok_or_else(|| Refusal::blob_unknown(digest))?
            }
        };
        let answer = head(digest);
        if call.method == Method::Head {
            return Ok(answer(200).payload(Payload::Length(size)));
        }
        let (first, count) = match wanted(call, digest, size) {
            Part::None => return Err(no_part(size)),
            Part::All => (0, size),
            Part::Some(first, count) => (first, count),
        };
        let Some(growing) = self.fetch(upstream, repository, digest, size)? else {
            // It has arrived in between.
            return self.local_blob(call, repository, digest);
        };
        let payload = Payload::Stream(count, Box::new(Reader::new(growing, first)));
        Ok(match wanted(call, digest, size) {
            Part::Some(..) => partial(answer(206), first, count, size),
            _ => answer(200),
        }
        .payload(payload))
    }

    /// Begins to fetch a blob, or finds who does so; None when it is here.
    fn fetch(
        &self,
        upstream: &Upstream,
        repository: &Repository,
        digest: &Digest,
        size: u64,
    ) -> Result<Option<Arc<Growing>>> {
        let all = || upstream.blobs.0.lock().unwrap_or_else(PoisonError::into_inner);
        let flight = Arc::clone(all().entry(digest.clone()).or_default());
        let mut under_way = flight.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, Some(growing))) = &*under_way
            && !growing.has_failed()
        {
            return Ok(Some(Arc::clone(growing)));
        }
        if self.has_blob(&repository.key(), digest)? {
            all().remove(digest);
            return Ok(None);
        }
        let descriptor = Descriptor::new("", digest.clone(), size);
        let opened = upstream.registry.blob(&repository.path, &descriptor).map_err(|error| {
            match error.kind() {
                Kind::NotFound => Refusal::blob_unknown(digest),
                _ => error.into(),
            }
        });
        let blob = opened.inspect_err(|_| drop(all().remove(digest)))?;
        let draft = self.store.draft(digest.algorithm())?;
        let growing = Arc::new(Growing::new(draft.read()?, size));
        *under_way = Some((Instant::now(), Some(Arc::clone(&growing))));
        let (me, key, digest) = (Weak::clone(&self.me), repository.key(), digest.clone());
        let (shared, title) = (Arc::clone(&growing), format!("{}@{digest}", repository.key()));
        thread::spawn(move || {
            // The server is there as long as anybody reads.
            let Some(registry) = me.upgrade() else { return };
            let running = start(&*registry.reporter, title, Some(size));
            match registry.receive(draft, blob, &shared, &key, &digest) {
                Ok(()) => {
                    registry.counts.received(size);
                    registry.counts.fetched();
                    running.finish(Outcome::Done);
                    shared.finish(Ok(()));
                }
                Err(error) => {
                    registry.reporter.warn(format!("{key}@{digest}: {error}"));
                    shared.finish(Err(error.to_string()));
                }
            }
            if let Some(upstream) = &registry.settings.upstream {
                let mut all = upstream.blobs.0.lock().unwrap_or_else(PoisonError::into_inner);
                all.remove(&digest);
            }
        });
        Ok(Some(growing))
    }

    /// Writes a blob while it arrives. Its last piece is shown to nobody before the whole is
    /// verified: whoever has everything has it right.
    fn receive(
        &self,
        mut draft: crate::store::Draft,
        mut blob: registry::Blob,
        growing: &Growing,
        key: &str,
        digest: &Digest,
    ) -> io::Result<()> {
        let mut buffer = vec![0; PIECE];
        let mut file = draft.append().map_err(io::Error::other)?;
        let mut written = 0;
        loop {
            match blob.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    growing.advance(written);
                    file.write_all(&buffer[..count])?;
                    written += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        drop(file);
        let _gate = self.gate();
        draft.commit(&self.store, Some(digest)).map_err(io::Error::other)?;
        self.links.add(key, digest);
        Ok(())
    }

    /// Upstream's tags; those that are here, where it does not answer.
    pub(super) fn upstream_tags(&self, repository: &Repository) -> Result<Option<Vec<String>>> {
        let Some(upstream) = self.upstream_of(repository) else { return Ok(None) };
        let tags = upstream.registry.tags(&repository.path);
        upstream.note(&tags);
        match tags {
            Ok(tags) => Ok(Some(tags)),
            Err(error) => match error.kind() {
                Kind::Network => Ok(None),
                Kind::NotFound => {
                    let message = format!("there is no repository {:?}", repository.wire);
                    Err(Refusal::new(404, "NAME_UNKNOWN", message))
                }
                _ => Err(error.into()),
            },
        }
    }

    /// Upstream's referrers; None where there is none, or it does not answer.
    pub(super) fn upstream_referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Option<Vec<Descriptor>> {
        let upstream = self.upstream_of(repository)?;
        let found = upstream.registry.referrers(&repository.path, subject, None);
        upstream.note(&found);
        found.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn those_who_wait_share_what_comes_and_those_who_come_later_do_not() {
        let (flights, count) = (Flights::<u8, usize>::default(), AtomicUsize::new(0));
        let (began, may_end) = (Barrier::new(2), Barrier::new(2));
        let values = thread::scope(|scope| {
            let first = scope.spawn(|| {
                flights.run(&1, || {
                    began.wait();
                    may_end.wait();
                    count.fetch_add(1, Ordering::SeqCst)
                })
            });
            began.wait();
            let others: Vec<_> = (0..3)
                .map(|_| scope.spawn(|| flights.run(&1, || count.fetch_add(1, Ordering::SeqCst))))
                .collect();
            // They wait in line before the first one ends.
            while Arc::strong_count(&flights.0.lock().expect("free")[&1]) < 5 {
                thread::yield_now();
            }
            may_end.wait();
            let all = std::iter::once(first).chain(others);
            all.map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
        });
        assert_eq!((values, count.load(Ordering::SeqCst)), (vec![0; 4], 1));
        assert_eq!(flights.run(&1, || count.fetch_add(1, Ordering::SeqCst)), 1);
        assert!(flights.0.lock().expect("free").is_empty());
    }
}
