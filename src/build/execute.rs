//! One stage after the other: for each step a hit, or the deed and its commit.

use std::time::SystemTime;

use super::attest::record::{Record, Told};
use super::attest::{self, Invocation, Story};
use super::base::Base;
use super::config_step;
use super::context::Contexts;
use super::error::{Error, Fault};
use super::key::{CacheKey, KeyMaker};
use super::log::Log;
use super::plan::{self, Origin, Plan};
use super::remote::Fetcher;
use super::result::BuiltImage;
use super::scope::Given;
use super::state::State;
use super::{Options, Services, copy_step, run_step, workdir_step};
use crate::dockerfile::{Instruction, Located, Span, parse_trigger};
use crate::fakeroot::Help;
use crate::image::{Config, Descriptor, Digest, Platform, Reference, Timestamp, media_type};
use crate::layer::{self, PackOptions};
use crate::report::{self, Activity, Outcome, Reporter};
use crate::store::{CacheEntry, CachedLayer, Snapshot, Store, Tree};
use crate::transfer;

/// All that the steps of a build share.
pub(super) struct Executor<'a> {
    pub(super) store: &'a Store,
    pub(super) services: Services<'a>,
    pub(super) options: &'a Options,
    pub(super) plan: &'a Plan,
    pub(super) given: &'a Given,
    /// Keeps what RUN steps write; everybody reports through it.
    pub(super) log: &'a Log<'a>,
    pub(super) reporter: &'a dyn Reporter,
    pub(super) contexts: Contexts<'a>,
    /// How RUN steps are root.
    pub(super) help: Help,
    /// Seconds since 1970 for all times that would come from the clock.
    epoch: Option<i64>,
    /// What the build uses and does.
    pub(super) record: Record,
    /// Arguments that triggers of base images declared.
    pub(super) triggered: Vec<String>,
    /// The stages that are built.
    done: Vec<Option<State>>,
}

/// A step of a stage while it runs.
pub(super) struct Step<'s> {
    /// The number of its stage.
    pub(super) stage: usize,
    pub(super) span: Span,
    pub(super) activity: Activity,
    pub(super) state: &'s mut State,
}

/// Changes files in a snapshot.
type Act<'d> = Box<dyn FnOnce(&mut Snapshot<'_>) -> Result<Worth, Fault> + 'd>;

/// What a step's result is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worth {
    /// Whoever comes with the same key gets the same.
    Lasting,
    /// What the step reads changed meanwhile: this build alone uses what came of it.
    Once,
}

/// What a step that changes files has to say before it does anything.
pub(super) struct Deed<'d> {
    pub(super) key: CacheKey,
    /// For the history.
    pub(super) said: String,
    /// For the record.
    pub(super) told: Told,
    /// Does it, in the snapshot.
    pub(super) act: Act<'d>,
}

impl<'a> Executor<'a> {
    pub(super) fn new(
        store: &'a Store,
        services: Services<'a>,
        options: &'a Options,
        plan: &'a Plan,
        given: &'a Given,
        log: &'a Log<'a>,
    ) -> Result<Self, Error> {
        let contexts = Contexts::new(options);
        let help = Help::new(options.emulation.clone());
        let (triggered, done) = (Vec::new(), vec![None; plan.stages.len()]);
        let epoch = plan.epoch(given)?;
        Ok(Self {
            store,
            services,
            options,
            plan,
            given,
            log,
            reporter: log,
            contexts,
            help,
            epoch,
            record: Record::default(),
            triggered,
            done,
        })
    }

    /// Builds a stage unless it is built, and those that it needs before.
    pub(super) fn stage(&mut self, number: usize) -> Result<State, Error> {
        if let Some(state) = &self.done[number] {
            return Ok(state.clone());
        }
        let stage = &self.plan.stages[number];
        let total = stage.steps.len() + 1;
        let mut state = self.from(number, total)?;
        let triggers = std::mem::take(&mut state.config.runtime.on_build);
        for trigger in &triggers {
            let located = parse_trigger(trigger)
                .map_err(|found| Error::at(stage.from.span, Fault::Trigger(found.message)))?;
            let located = Located { span: stage.from.span, ..located };
            if let Instruction::Arg(arg) = &located.value {
                self.triggered.extend(plan::names(arg));
            }
            let title = format!("{} ONBUILD {}", self.prefix(number, 1, total), located.original);
            self.step(number, &title, &located, &mut state)?;
        }
        for (at, located) in stage.steps.iter().enumerate() {
            let title = format!("{} {}", self.prefix(number, at + 2, total), located.original);
            self.step(number, &title, located, &mut state)?;
        }
        self.done[number] = Some(state.clone());
        Ok(state)
    }

    /// `[2/5]`, or `[name 2/5]` when there are several stages.
    fn prefix(&self, stage: usize, step: usize, total: usize) -> String {
        match self.plan.stages.len() {
            1 => format!("[{step}/{total}]"),
            _ => format!("[{} {step}/{total}]", self.plan.title(stage)),
        }
    }

    /// What a stage begins with.
    fn from(&mut self, number: usize, total: usize) -> Result<State, Error> {
        let plan = self.plan;
        let stage = &plan.stages[number];
        let span = stage.from.span;
        // The stage's base first: its own steps come before this one's line.
        if let Origin::Stage(base) = stage.base {
            let state = self.stage(base)?.inherit();
            let title = format!("{} {}", self.prefix(number, 1, total), stage.from.original);
            report::start(self.reporter, title, None).finish(Outcome::Cached);
            return Ok(state);
        }
        let title = format!("{} {}", self.prefix(number, 1, total), stage.from.original);
        let running = report::start(self.reporter, title, None);
        if let Origin::Context(name) = &stage.base
            && let Some(files) = self.contexts.named(name, self.fetcher())
        {
            let mut state = State::new(Config::scratch(&stage.platform), &[]);
            let activity = running.activity();
            let mut step = Step { stage: number, span, activity, state: &mut state };
            let outcome = files
                .and_then(|files| copy_step::all(self, name, files))
                .and_then(|deed| self.layer(deed, &mut step))
                .map_err(|fault| Error::at(span, fault))?;
            running.finish(outcome);
            return Ok(state);
        }
        let (base, outcome) = Base::find(self, &stage.base, &stage.platform)
            .map_err(|fault| Error::at(span, fault))?;
        running.finish(outcome);
        Ok(self.begin(base, &stage.platform, Some(span)))
    }

    /// What a stage has that stands on an image.
    pub(super) fn begin(&self, base: Base, platform: &Platform, span: Option<Span>) -> State {
        let Base { config, layers, source } = base;
        let mut state = State::new(config, &layers);
        let note = |source| self.record.source(source, Some(platform), &state.layers, span);
        state.vertex = source.map(note);
        state
    }

    fn step(
        &mut self,
        stage: usize,
        title: &str,
        located: &Located<Instruction>,
        state: &mut State,
    ) -> Result<(), Error> {
        let span = located.span;
        // A trigger may copy from a stage that nothing else needs.
        let origins = self.plan.origins(stage, &located.value);
        for origin in origins.map_err(|fault| Error::at(span, fault))? {
            if let Origin::Stage(needed) = origin {
                self.stage(needed)?;
            }
        }
        let running = report::start(self.reporter, title, None);
        let mut step = Step { stage, span, activity: running.activity(), state };
        let outcome =
            self.perform(&located.value, &mut step).map_err(|fault| Error::at(span, fault))?;
        running.finish(outcome);
        Ok(())
    }

    fn perform(
        &mut self,
        instruction: &Instruction,
        step: &mut Step<'_>,
    ) -> Result<Outcome, Fault> {
        match instruction {
            Instruction::Arg(arg) => {
                let (given, globals) = (self.given, &self.plan.globals);
                let scope = &mut step.state.scope;
                let said = scope.declare_all(arg, given, globals, self.plan.escape)?;
                self.change(said, step.state)
            }
            Instruction::Run(run) => {
                let deed = run_step::plan(self, run, &mut *step)?;
                self.layer(deed, step)
            }
            Instruction::Copy(_) | Instruction::Add(_) => {
                let deed = copy_step::plan(self, instruction, step)?;
                self.layer(deed, step)
            }
            Instruction::Workdir(workdir) => match workdir_step::plan(self, workdir, step.state)? {
                Some(deed) => self.layer(deed, step),
                None => self.change(format!("WORKDIR {}", step.state.directory()), step.state),
            },
            other => match config_step::apply(other, step.state, self.plan.escape)? {
                Some(said) => self.change(said, step.state),
                None => Ok(Outcome::Done),
            },
        }
    }

    /// A step that changes the configuration alone. Its time is remembered like a layer's, so that
    /// an unchanged build gives an unchanged image.
    fn change(&self, said: String, state: &mut State) -> Result<Outcome, Fault> {
        let mut config = state.config.clone();
        config.history.clear();
        config.created = None;
        let key = KeyMaker::new("configuration", None)
            .field("config", config.to_bytes())
            .field("instruction", &said)
            .finish();
        if let Some(entry) = self.hit(&key)? {
            state.push_change(said, &self.time(&entry.created));
            return Ok(Outcome::Cached);
        }
        let created = self.now();
        let entry = CacheEntry { layer: None, created: created.clone(), content: None };
        self.store.cache_put(key.digest(), &entry)?;
        state.push_change(said, &self.time(&created));
        Ok(Outcome::Done)
    }

    /// A step that makes a layer.
    fn layer(&self, deed: Deed<'_>, step: &mut Step<'_>) -> Result<Outcome, Fault> {
        let Deed { key, said, told, act } = deed;
        let outcome = self.layer_of(&key, said, act, step.state)?;
        let platform = &self.plan.stages[step.stage].platform;
        let state = &mut *step.state;
        let vertex = self.record.step(state.vertex, told, platform, &state.layers, step.span);
        state.vertex = Some(vertex);
        Ok(outcome)
    }

    fn layer_of(
        &self,
        key: &CacheKey,
        said: String,
        act: Act<'_>,
        state: &mut State,
    ) -> Result<Outcome, Fault> {
        // How it is compressed is a choice of the caller, not of the instruction.
        let key = KeyMaker::new("layer", None)
            .field("step", key.digest().to_string())
            .field("compression", self.options.compression.to_string())
            .finish();
        if let Some(entry) = self.hit(&key)?
            && let Some(CachedLayer { descriptor, diff_id }) = entry.layer
            && self.store.layer_tree(state.chain_id().as_ref(), &diff_id).is_some()
        {
            state.push_layer(descriptor, diff_id, said, &self.time(&entry.created));
            return Ok(Outcome::Cached);
        }
        let trees = self.trees(state)?;
        let mut snapshot = self.store.snapshot(&trees)?;
        let worth = act(&mut snapshot)?;
        let (descriptor, diff_id) = self.commit(snapshot)?;
        let created = self.now();
        let layer = CachedLayer { descriptor: descriptor.clone(), diff_id: diff_id.clone() };
        let entry = CacheEntry { layer: Some(layer), created: created.clone(), content: None };
        match worth {
            Worth::Lasting => self.store.cache_put(key.digest(), &entry)?,
            Worth::Once => self.reporter.warn(format!(
                "files changed while they were copied, so the next build does this again: {said}"
            )),
        }
        state.push_layer(descriptor, diff_id, said, &self.time(&created));
        Ok(Outcome::Done)
    }

    fn hit(&self, key: &CacheKey) -> Result<Option<CacheEntry>, Fault> {
        if self.options.no_cache {
            return Ok(None);
        }
        Ok(self.store.cache_get(key.digest())?)
    }

    /// Packs what was written in a snapshot, and keeps both forms: the blob and the tree.
    fn commit(&self, mut snapshot: Snapshot<'_>) -> Result<(Descriptor, Digest), Fault> {
        let (changes, records) = snapshot.changes()?;
        let mut blob = self.store.blob_writer()?;
        let options =
            PackOptions { compression: self.options.compression, ..PackOptions::default() };
        let layer::Layer { descriptor, diff_id } =
            layer::pack(snapshot.upper(), &changes, &records, &options, &mut blob)?;
        blob.commit(Some(&descriptor.digest))?;
        snapshot.commit(&diff_id, &records)?;
        Ok((descriptor, diff_id))
    }

    /// What fetching needs.
    pub(super) fn fetcher(&self) -> Fetcher<'_> {
        let Self { store, services, reporter, .. } = *self;
        Fetcher { store, services, reporter }
    }

    pub(super) fn transfer_options(
        &self,
        platform: &Platform,
        names: Vec<Reference>,
    ) -> transfer::Options {
        transfer::Options {
            platform: Some(platform.clone()),
            jobs: self.options.jobs,
            names,
            ..transfer::Options::default()
        }
    }

    /// A stage that a step before this one built.
    pub(super) fn built(&self, stage: usize) -> &State {
        self.done[stage].as_ref().expect("stages that a step needs are built before it")
    }

    /// The unpacked layers below the next step.
    pub(super) fn trees(&self, state: &State) -> Result<Vec<Tree>, Fault> {
        self.store.trees(&state.config).ok_or(Fault::NotUnpacked)
    }

    /// The time, in seconds, of what a COPY makes without a source for it: the clock must not reach
    /// a layer.
    pub(super) fn time_of_made(&self) -> i64 {
        self.epoch.unwrap_or(0)
    }

    /// The moment, or what `SOURCE_DATE_EPOCH` says.
    fn now(&self) -> String {
        match self.epoch {
            Some(seconds) => Timestamp::from_seconds(seconds).to_string(),
            None => Timestamp::from(SystemTime::now()).to_string(),
        }
    }

    /// The time of a cached step, unless `SOURCE_DATE_EPOCH` sets all times.
    fn time(&self, cached: &str) -> String {
        match self.epoch {
            Some(_) => self.now(),
            None => cached.to_owned(),
        }
    }

    /// Builds the target and all that it needs.
    pub(super) fn build(
        &mut self,
        platform: &Platform,
        invocation: &Invocation,
    ) -> Result<BuiltImage, Error> {
        for number in self.plan.order()? {
            self.stage(number)?;
        }
        let state = self.stage(self.plan.target)?;
        self.finish(state, platform, invocation).map_err(|fault| Error::Result(Box::new(fault)))
    }

    /// Writes the configuration and the manifest of the finished image.
    fn finish(
        &self,
        mut state: State,
        platform: &Platform,
        invocation: &Invocation,
    ) -> Result<BuiltImage, Fault> {
        let installed = attest::look(self, &state)?;
        // Who asks for a platform gets an image that says so, whatever the base says.
        if !self.options.platforms.is_empty() {
            state.config.os.clone_from(&platform.os);
            state.config.architecture.clone_from(&platform.architecture);
            state.config.variant.clone_from(&platform.variant);
        }
        for (name, value) in &self.options.labels {
            state.config.runtime.labels.insert(name.clone(), value.clone());
        }
        // Without a base and without a step there was no moment to speak of.
        state.config.created = match &state.created {
            None if self.epoch.is_none() => None,
            time => Some(self.time(time.as_deref().unwrap_or_default())),
        };
        let bytes = state.config.to_bytes();
        self.store.put_blob(&bytes)?;
        let config = Descriptor::of(media_type::OCI_CONFIG, &bytes);
        let manifest =
            crate::image::edit::manifest(&config, &state.layers).map_err(Fault::Image)?;
        self.store.put_blob(&manifest.bytes)?;
        let mut image = BuiltImage {
            platform: platform.clone(),
            manifest,
            config: state.config,
            attestations: Vec::new(),
            predicates: Vec::new(),
            story: Story::new(self, state.vertex, invocation),
        };
        attest::attest(self.store, self.options, &mut image, installed.as_ref())?;
        Ok(image)
    }
}
