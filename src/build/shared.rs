//! [`Shared`]: what all stages of a build have in common: permits, what was made, and how it ended.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::base::Base;
use super::context::Contexts;
use super::error::{Error, Fault};
use super::exchange::{Imported, Used};
use super::log::Log;
use super::plan::Origin;
use super::{Options, Services};
use crate::concurrency::{Cancel, Semaphore, SingleFlight};
use crate::fakeroot::Help;
use crate::image::Digest;
use crate::store::{CacheEntry, Store};

/// All that the stages of a build share, for whatever platform they are.
pub(super) struct Shared<'a> {
    pub(super) store: &'a Store,
    pub(super) services: Services<'a>,
    pub(super) options: &'a Options,
    pub(super) log: &'a Log<'a>,
    pub(super) contexts: Contexts<'a>,
    pub(super) help: Help,
    pub(super) cancel: Cancel,
    /// What went wrong first.
    failure: Mutex<Option<Error>>,
    /// Permits to execute a step.
    pub(super) steps: Semaphore,
    /// Permits to move a layer.
    pub(super) layers: Arc<Semaphore>,
    pub(super) entries: SingleFlight<(Digest, bool), CacheEntry>,
    pub(super) contents: SingleFlight<Digest, Digest>,
    pub(super) bases: SingleFlight<(Origin, String), Arc<Base>>,
    /// Caches elsewhere.
    pub(super) imported: Imported<'a>,
    /// What steps mount as caches, whether they are executed or not.
    mounted: Mutex<BTreeSet<Used>>,
}

/// A stage has ended early: what went wrong has been noted.
#[derive(Debug)]
pub(super) struct Stopped;

impl<'a> Shared<'a> {
    pub(super) fn new(
        store: &'a Store,
        services: Services<'a>,
        options: &'a Options,
        log: &'a Log<'a>,
    ) -> Self {
        Self {
            store,
            services,
            options,
            log,
            contexts: Contexts::new(options),
            help: Help::new(options.emulation.clone()),
            cancel: Cancel::default(),
            failure: Mutex::default(),
            steps: Semaphore::new(options.jobs.steps),
            layers: Arc::new(Semaphore::new(options.jobs.layers)),
            entries: SingleFlight::default(),
            contents: SingleFlight::default(),
            bases: SingleFlight::default(),
            imported: Imported::default(),
            mounted: Mutex::default(),
        }
    }

    /// Ends everything because of an error; whether it is the first one. Those that come later are
    /// only because the others were ended.
    pub(super) fn fail(&self, error: Error) -> bool {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = failure.is_none();
        failure.get_or_insert(error);
        drop(failure);
        self.cancel.set();
        is_first
    }

    /// Notes that a step mounts a cache.
    pub(super) fn mounts(&self, mounted: Used) {
        self.mounted.lock().unwrap_or_else(PoisonError::into_inner).insert(mounted);
    }

    pub(super) fn mounted(&self) -> Vec<Used> {
        self.mounted.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Remembers what was read of contexts.
    pub(super) fn keep_hashes(&self) -> Result<(), Fault> {
        self.contexts.keep_hashes(self.store)
    }

    /// What went wrong.
    pub(super) fn failure(self) -> Option<Error> {
        self.failure.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}
