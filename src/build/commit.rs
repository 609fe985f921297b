//! From a step's key to its result: what the cache has, or what the step makes now.

use std::time::SystemTime;

use super::base::Form;
use super::error::Fault;
use super::execute::{Deed, Executor, Step, Worth};
use super::key::{CacheKey, KeyMaker};
use super::rehearse::Expected;
use super::state::State;
use crate::image::{Config, Content, Descriptor, Digest, Timestamp, edit, media_type};
use crate::layer::compress::Compression;
use crate::layer::{self, PackOptions};
use crate::report::Outcome;
use crate::store::{CacheEntry, CachedLayer, Snapshot, Store, Tree};
use crate::transfer;

impl Executor<'_> {
    /// A step that changes the configuration alone. Its time is remembered like a layer's, so that
    /// an unchanged build gives an unchanged image.
    pub(super) fn change(&self, said: String, step: &mut Step<'_>) -> Result<Outcome, Fault> {
        let mut config = step.state.config.clone();
        config.history.clear();
        config.created = None;
        let key = configuration_key(&config, &said);
        let (entry, outcome) = self.entry(&key, step.stage, || {
            let (said, parent) = (Some(said.clone()), step.state.step.clone());
            let created = self.now();
            let entry = CacheEntry { created, said, parent, ..CacheEntry::default() };
            Ok((entry, Worth::Lasting))
        })?;
        step.state.step = Some(key.digest().clone());
        step.state.push_change(said, &self.time(&entry.created));
        Ok(outcome)
    }

    /// A step that makes a layer.
    pub(super) fn layer(&self, deed: Deed<'_>, step: &mut Step<'_>) -> Result<Outcome, Fault> {
        let Deed { key, said, told, act } = deed;
        let (entry, outcome) = self.entry(&key, step.stage, || {
            (step.missed)();
            let trees = self.trees(step.state)?;
            let mut snapshot = self.store.snapshot(&trees)?;
            let worth = match act(&mut snapshot) {
                Ok(worth) => worth,
                Err(fault) => {
                    // One that was ended because of another's failure is none.
                    if self.options.keep_failed && !self.cancel.is_set() {
                        self.keep(snapshot, step.state, &said);
                    }
                    return Err(fault);
                }
            };
            let (descriptor, diff_id) = self.commit(snapshot)?;
            let compression = Some(self.options.compression.to_string());
            let layer = Some(CachedLayer { descriptor, diff_id, compression });
            if worth == Worth::Once {
                self.reporter.warn(format!(
                    "files changed while they were copied, so the next build does this again: {said}"
                ));
            }
            let (said, parent) = (Some(said.clone()), step.state.step.clone());
            Ok((CacheEntry { layer, created: self.now(), content: None, said, parent }, worth))
        })?;
        step.state.step = Some(key.digest().clone());
        let CachedLayer { descriptor, diff_id, compression } =
            entry.layer.expect("keys of layers have other fields than those of configurations");
        // How it is compressed is a choice of the caller, not of the instruction.
        let descriptor = self.compressed(descriptor, compression.as_deref())?;
        let state = &mut *step.state;
        state.push_layer(descriptor, diff_id, said, &self.time(&entry.created));
        let platform = &self.plan.stages[step.stage].platform;
        let vertex = self.record.step(state.vertex, told, platform, &state.layers, step.span);
        state.vertex = Some(vertex);
        Ok(outcome)
    }

    /// As [`Self::change`], without remembering anything.
    pub(super) fn expect_change(
        &self,
        said: String,
        step: &mut Step<'_>,
    ) -> Result<Expected, Fault> {
        let mut config = step.state.config.clone();
        config.history.clear();
        config.created = None;
        let entry = self.cached(&configuration_key(&config, &said), step.stage)?;
        let expected = if entry.is_some() { Expected::Hit } else { Expected::Miss };
        let created = entry.map_or_else(|| self.now(), |entry| entry.created);
        step.state.push_change(said, &self.time(&created));
        Ok(expected)
    }

    /// As [`Self::layer`], without doing anything.
    pub(super) fn expect_layer(
        &self,
        deed: Deed<'_>,
        step: &mut Step<'_>,
    ) -> Result<Expected, Fault> {
        let Deed { key, said, .. } = deed;
        let entry = self.cached(&key, step.stage)?;
        let Some((CachedLayer { descriptor, diff_id, .. }, created)) =
            entry.and_then(|entry| Some((entry.layer?, entry.created)))
        else {
            return Ok(Expected::Miss);
        };
        step.state.push_layer(descriptor, diff_id, said, &self.time(&created));
        Ok(Expected::Hit)
    }

    fn cached(&self, key: &CacheKey, stage: usize) -> Result<Option<CacheEntry>, Fault> {
        match self.uses_cache(stage) {
            true => Ok(self.store.cache_get(key.digest())?),
            false => Ok(None),
        }
    }

    /// What is in the cache here, or in one elsewhere.
    fn known(&self, key: &Digest) -> Result<Option<CacheEntry>, Fault> {
        match self.store.cache_get(key)? {
            Some(entry) => Ok(Some(entry)),
            None => self.shared.imported.fetch(key, self.store, self.reporter),
        }
    }

    /// What a step makes: made by an equal step of this build, found in the cache, or made now.
    fn entry(
        &self,
        key: &CacheKey,
        stage: usize,
        make: impl FnOnce() -> Result<(CacheEntry, Worth), Fault>,
    ) -> Result<(CacheEntry, Outcome), Fault> {
        let mut outcome = Outcome::Cached;
        let uses_cache = self.uses_cache(stage);
        let (entry, _) = self.entries.run(&(key.digest().clone(), uses_cache), || {
            if uses_cache && let Some(entry) = self.known(key.digest())? {
                return Ok(entry);
            }
            let (entry, worth) = make()?;
            if worth == Worth::Lasting {
                self.store.cache_put(key.digest(), &entry)?;
            }
            outcome = Outcome::Done;
            Ok::<_, Fault>(entry)
        })?;
        Ok((entry, outcome))
    }

    /// A digest that stands for what a step reads and that does not change: remembered, and found out
    /// once.
    pub(super) fn content(
        &self,
        key: &CacheKey,
        find: impl FnOnce() -> Result<Digest, Fault>,
    ) -> Result<Digest, Fault> {
        let (digest, _) = self.contents.run(key.digest(), || {
            if let Some(digest) = self.known(key.digest())?.and_then(|entry| entry.content) {
                return Ok(digest);
            }
            let digest = find()?;
            let content = Some(digest.clone());
            let entry = CacheEntry { content, ..CacheEntry::default() };
            self.store.cache_put(key.digest(), &entry)?;
            Ok::<_, Fault>(digest)
        })?;
        Ok(digest)
    }

    fn uses_cache(&self, stage: usize) -> bool {
        let own = self.plan.stages[stage].name.as_deref();
        let filter = &self.options.no_cache_filter;
        !self.options.no_cache
            && !filter.iter().any(|name| own.is_some_and(|own| own.eq_ignore_ascii_case(name)))
    }

    /// Packs what was written in a snapshot, and keeps both forms: the blob and the tree.
    pub(super) fn commit(&self, snapshot: Snapshot<'_>) -> Result<(Descriptor, Digest), Fault> {
        pack(self.store, self.options.compression, snapshot)
    }

    /// The unpacked layers below the next step. What is not unpacked yet is now, and fetched if need
    /// be.
    pub(super) fn trees(&self, state: &State) -> Result<Vec<Tree>, Fault> {
        let trees = || self.store.trees(&state.config);
        if let Some(trees) = trees() {
            return Ok(trees);
        }
        if let Some(base) = &state.base {
            base.fetch(self, Form::Unpacked)?;
        }
        if let Some(trees) = trees() {
            return Ok(trees);
        }
        self.unpack(&state.config, &state.layers)?;
        trees().ok_or(Fault::NotUnpacked)
    }

    /// Unpacks layers whose blobs are here.
    pub(super) fn unpack(&self, config: &Config, layers: &[Descriptor]) -> Result<(), Fault> {
        if self.store.trees(config).is_some() {
            return Ok(());
        }
        let bytes = config.to_bytes();
        self.store.put_blob(&bytes)?;
        let config = Descriptor::of(media_type::OCI_CONFIG, &bytes);
        let manifest = edit::manifest(&config, layers).map_err(Fault::Image)?;
        self.store.put_blob(&manifest.bytes)?;
        let options = self.transfer_options(None);
        transfer::unpack(self.store, &Content::Image(manifest), &options, self.reporter)?;
        Ok(())
    }

    /// The moment, or what `SOURCE_DATE_EPOCH` says.
    pub(super) fn now(&self) -> String {
        match self.epoch {
            Some(seconds) => Timestamp::from_seconds(seconds).to_string(),
            None => Timestamp::from(SystemTime::now()).to_string(),
        }
    }

    /// The time of a cached step, unless `SOURCE_DATE_EPOCH` sets all times.
    pub(super) fn time(&self, cached: &str) -> String {
        match self.epoch {
            Some(_) => self.now(),
            None => cached.to_owned(),
        }
    }
}

/// Packs what was written in a snapshot, and keeps both forms: the blob and the tree.
pub(super) fn pack(
    store: &Store,
    compression: Compression,
    mut snapshot: Snapshot<'_>,
) -> Result<(Descriptor, Digest), Fault> {
    let (changes, records) = snapshot.changes()?;
    let mut blob = store.blob_writer()?;
    let options = PackOptions { compression, ..PackOptions::default() };
    let layer::Layer { descriptor, diff_id } =
        layer::pack(snapshot.upper(), &changes, &records, &options, &mut blob)?;
    blob.commit(Some(&descriptor.digest))?;
    store.know_layer(&descriptor.digest, &diff_id)?;
    snapshot.commit(&diff_id, &records)?;
    Ok((descriptor, diff_id))
}

fn configuration_key(config: &Config, said: &str) -> CacheKey {
    KeyMaker::new("configuration", None)
        .field("config", config.to_bytes())
        .field("instruction", said)
        .finish()
}
