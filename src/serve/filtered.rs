//! [`Filters`]: what is done to images that pass through, on their way to the registry downstream or
//! from the one upstream.
//!
//! Here everything stays as it came. A changed image has digests of its own: downstream its tag
//! names that one; from upstream its tag does so here, and the original can be had by its digest.
//! What becomes of a layer is remembered in the store, so that nothing is changed twice; what
//! becomes of upstream's manifests is remembered as long as the server runs.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Registry;
use super::manifest::Target;
use super::names::Repository;
use super::refusal::{Refusal, Result};
use super::upstream::Upstream;
use crate::image::{Content, Descriptor, Digest, Reference};
use crate::transfer::filter::{self, Filter, Found, Kitchen};
use crate::transfer::{self, Source, read_small, source};

/// So many of upstream's manifests are remembered.
const REMEMBERED: usize = 20_000;

/// Is told what `find` finds.
type Listener = Box<dyn Fn(&Found<'_>) -> io::Result<()> + Send + Sync>;

/// What is done to images on their way, in this order.
pub struct Filters {
    filters: Vec<Filter>,
    found: Listener,
    /// What upstream's manifests became.
    became: Mutex<HashMap<Digest, Descriptor>>,
}

impl fmt::Debug for Filters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filters").field(&self.filters).finish()
    }
}

impl Filters {
    /// `found` is told what [`filter::Change::Find`] finds, by any thread.
    pub fn new(
        filters: Vec<Filter>,
        found: impl Fn(&Found<'_>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self { filters, found: Box::new(found), became: Mutex::default() }
    }

    pub(super) fn are_none(&self) -> bool {
        self.filters.is_empty()
    }

    fn became(&self) -> MutexGuard<'_, HashMap<Digest, Descriptor>> {
        self.became.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As long as it lives, nothing is deleted.
pub(super) struct Busy<'r>(&'r AtomicUsize);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Registry {
    /// Spares what nothing names yet.
    pub(super) fn busy(&self) -> Busy<'_> {
        let _gate = self.gate();
        self.busy.fetch_add(1, Ordering::AcqRel);
        Busy(&self.busy)
    }

    /// The same image, changed. What is made of its layers is in the store then: [`Self::busy`].
    pub(super) fn filtered<'a>(
        &'a self,
        source: Box<dyn Source + 'a>,
    ) -> Result<Box<dyn Source + 'a>, transfer::Error> {
        let Filters { filters, found, .. } = &self.settings.filters;
        let kitchen = Kitchen { store: &self.store, reporter: &*self.reporter, found };
        filter::apply(source, filters, kitchen)
    }

    /// What a tag names here of which upstream says that it names `original`.
    pub(super) fn renew_filtered(
        &self,
        upstream: &Upstream,
        repository: &Repository,
        (target, tag): (&Target, &str),
        original: &Digest,
        last: Option<Descriptor>,
    ) -> Result<Descriptor> {
        let filters = &self.settings.filters;
        if let Some(last) = last
            && filters.became().get(original).is_some_and(|known| known.digest == last.digest)
        {
            return Ok(last);
        }
        let name = format!("{}:{tag}@{original}", repository.key());
        let name: Reference = name.parse().map_err(|_| Refusal::manifest_unknown(tag))?;
        let _busy = self.busy();
        let source = Box::new(source::Registry::new(upstream.registry().clone(), name));
        let source = self.filtered(source)?;
        let root = source.root()?;
        self.keep_parts(&*source, &root)?;
        let digest = root.descriptor().digest.clone();
        let kept = self.take(repository, root, &digest, Some(target))?;
        let mut became = filters.became();
        if became.len() >= REMEMBERED {
            became.clear();
        }
        became.insert(original.clone(), kept.clone());
        Ok(kept)
    }

    /// Keeps the manifests and configurations that upstream may not have. Layers that changed are
    /// kept already; the others come when somebody asks for them.
    fn keep_parts(&self, source: &dyn Source, root: &Content) -> Result<()> {
        let mut all = vec![root.clone()];
        while let Some(content) = all.pop() {
            match &content {
                Content::Index(index) => {
                    for child in &index.manifests {
                        let child = source.manifest(child)?;
                        self.store.put_blob_as(child.bytes(), &child.descriptor().digest)?;
                        all.push(child);
                    }
                }
                Content::Image(manifest) => {
                    let config = &manifest.config;
                    if !self.store.has_blob(&config.digest) {
                        let bytes = read_small(source, config)?;
                        self.store.put_blob_as(&bytes, &config.digest)?;
                    }
                }
                Content::Artifact(_) => {}
            }
        }
        Ok(())
    }
}
