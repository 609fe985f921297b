//! Stages side by side, the steps of each one after the other.
//!
//! Each stage that is needed has a thread. A stage waits for those that it stands on or copies from,
//! and a step for a permit to do something; equal steps of several stages, and of several platforms,
//! are done once. The first error ends everything.

use std::cell::Cell;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Scope};

use super::attest::record::{Record, Told};
use super::attest::{self, Invocation, Story};
use super::base::{Base, Form};
use super::config_step;
use super::context::Contexts;
use super::error::{Error, Fault};
use super::key::CacheKey;
use super::log::Log;
use super::plan::{self, Origin, Plan};
use super::remote::Fetcher;
use super::result::BuiltImage;
use super::scope::Given;
use super::shared::{Shared, Stopped};
use super::state::State;
use super::{
    NamedContext, Options, Services, copy_step, exchange, rsync_step, run_step, workdir_step,
};
use crate::concurrency::{Cancel, SingleFlight};
use crate::dockerfile::{Instruction, Located, Span, parse_trigger};
use crate::fakeroot::Help;
use crate::image::{Config, Digest, Platform};
use crate::report::{self, Activity, Outcome, Reporter};
use crate::store::{CacheEntry, Snapshot, Store};
use crate::transfer;

/// Builds the stages of one platform.
pub(super) struct Executor<'a> {
    pub(super) store: &'a Store,
    pub(super) services: Services<'a>,
    pub(super) options: &'a Options,
    pub(super) plan: &'a Plan,
    pub(super) given: &'a Given,
    /// Keeps what RUN steps write; everybody reports through it.
    pub(super) log: &'a Log<'a>,
    pub(super) reporter: &'a dyn Reporter,
    pub(super) contexts: &'a Contexts<'a>,
    /// How RUN steps are root.
    pub(super) help: &'a Help,
    /// Ends what takes long.
    pub(super) cancel: &'a Cancel,
    /// What the steps of this build made, by their keys and whether they might use the cache.
    pub(super) entries: &'a SingleFlight<(Digest, bool), CacheEntry>,
    /// Digests of what steps read.
    pub(super) contents: &'a SingleFlight<Digest, Digest>,
    /// Images that stages stand on or copy from.
    pub(super) bases: &'a SingleFlight<(Origin, String), Arc<Base>>,
    pub(super) shared: &'a Shared<'a>,
    /// What is built for.
    platform: Platform,
    /// Seconds since 1970 for all times that would come from the clock.
    pub(super) epoch: Option<i64>,
    /// What the build uses and does.
    pub(super) record: Record,
    /// The stages that are needed, each after those that it needs.
    needed: Vec<usize>,
    stages: SingleFlight<usize, Arc<State>>,
    /// Arguments that triggers of base images declared.
    triggered: Mutex<Vec<String>>,
}

/// A step of a stage while it runs.
pub(super) struct Step<'s> {
    /// The number of its stage.
    pub(super) stage: usize,
    pub(super) span: Span,
    pub(super) activity: Activity,
    pub(super) state: &'s mut State,
    /// To be called when something has to be done, before it is.
    pub(super) missed: &'s dyn Fn(),
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

/// Builds the target of each platform, and all that it needs. What goes wrong is
/// [`Shared::failure`].
pub(super) fn execute(executors: &[Executor<'_>], jobs: usize) -> Result<(), Stopped> {
    let needed = || {
        executors
            .iter()
            .flat_map(|executor| executor.needed.iter().map(move |number| (executor, *number)))
    };
    if jobs <= 1 || needed().count() == 1 {
        return needed().try_for_each(|(executor, number)| executor.stage(number).map(drop));
    }
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for (executor, number) in needed() {
            // The next one begins when this one has: else it might do what this one is to do, and
            // what that one needs, each in a frame of the same stack.
            let (begun, begins) = mpsc::channel();
            let work = move || executor.stage_begun(number, Some(begun)).map(drop);
            match thread::Builder::new().spawn_scoped(scope, work) {
                Ok(thread) => threads.push(thread),
                // There are no more to be had.
                Err(_) => executor.stage(number).map(drop)?,
            }
            // It says nothing, and ends.
            let _closed = begins.recv();
        }
        let ends = threads.into_iter().map(|thread| match thread.join() {
            Ok(end) => end,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        // All of them are waited for.
        ends.fold(Ok(()), Result::and)
    })
}

impl<'a> Executor<'a> {
    pub(super) fn new(
        shared: &'a Shared<'a>,
        plan: &'a Plan,
        given: &'a Given,
        platform: Platform,
    ) -> Result<Self, Error> {
        let needed = plan.order()?;
        plan.refuse_impossible(&needed)?;
        Ok(Self {
            store: shared.store,
            services: shared.services,
            options: shared.options,
            plan,
            given,
            log: shared.log,
            reporter: shared.log,
            contexts: &shared.contexts,
            help: &shared.help,
            cancel: &shared.cancel,
            entries: &shared.entries,
            contents: &shared.contents,
            bases: &shared.bases,
            shared,
            platform,
            epoch: plan.epoch(given)?,
            record: Record::default(),
            needed,
            stages: SingleFlight::default(),
            triggered: Mutex::default(),
        })
    }

    /// Arguments that triggers of base images declared.
    pub(super) fn triggered(&self) -> Vec<String> {
        self.triggered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes an error.
    fn fail(&self, error: Error) -> Stopped {
        self.shared.fail(error);
        Stopped
    }

    /// Builds a stage unless it is built; waits for it when somebody else does.
    fn stage(&self, number: usize) -> Result<Arc<State>, Stopped> {
        self.stage_begun(number, None)
    }

    /// As [`Self::stage`]; drops `begun` when it is sure that nobody else builds it.
    fn stage_begun(&self, number: usize, begun: Option<Sender<()>>) -> Result<Arc<State>, Stopped> {
        let build = move || {
            drop(begun);
            match self.cancel.is_set() {
                true => Err(Stopped),
                false => thread::scope(|scope| self.steps(number, scope)).map(Arc::new),
            }
        };
        Ok(self.stages.run(&number, build)?.0)
    }

    /// Takes a stage as built that ends so.
    pub(super) fn assume(&self, stage: usize, state: State) {
        drop(self.stages.run(&stage, || Ok::<_, Stopped>(Arc::new(state))));
    }

    /// A stage that a step before this one waited for.
    pub(super) fn built(&self, stage: usize) -> Arc<State> {
        self.stages.get(&stage).expect("stages that a step needs are built before it")
    }

    fn steps<'scope>(
        &'scope self,
        number: usize,
        scope: &'scope Scope<'scope, '_>,
    ) -> Result<State, Stopped> {
        let stage = &self.plan.stages[number];
        let total = stage.steps.len() + 1;
        let mut state = self.from(number, total)?;
        let mut steps = Vec::new();
        for trigger in std::mem::take(&mut state.config.runtime.on_build) {
            let located = parse_trigger(&trigger).map_err(|found| {
                self.fail(Error::at(stage.from.span, Fault::Trigger(found.message)))
            })?;
            let located = Located { span: stage.from.span, ..located };
            if let Instruction::Arg(arg) = &located.value {
                let mut triggered = self.triggered.lock().unwrap_or_else(PoisonError::into_inner);
                triggered.extend(plan::names(arg));
            }
            steps.push((1, located));
        }
        steps.extend(stage.steps.iter().enumerate().map(|(at, step)| (at + 2, step.clone())));
        let has_missed = Cell::new(false);
        for (at, (place, located)) in steps.iter().enumerate() {
            let trigger = if *place == 1 { "ONBUILD " } else { "" };
            let title =
                format!("{} {trigger}{}", self.prefix(number, *place, total), located.original);
            // Then all that follows has to be done, too.
            let missed = || {
                if !has_missed.replace(true) {
                    let rest = steps[at + 1..].iter().map(|(_, located)| &located.value);
                    self.prefetch(number, rest, scope);
                }
            };
            self.step(number, &title, located, &mut state, &missed)?;
        }
        Ok(state)
    }

    /// Begins to fetch the images that `steps` read from.
    fn prefetch<'scope, 's>(
        &'scope self,
        stage: usize,
        steps: impl Iterator<Item = &'s Instruction>,
        scope: &'scope Scope<'scope, '_>,
    ) {
        let mut seen = Vec::new();
        for origin in steps.filter_map(|step| self.plan.origins(stage, step).ok()).flatten() {
            let is_image = match &origin {
                Origin::Image(_) => true,
                Origin::Context(name) => {
                    let named = |(known, context): &&(String, NamedContext)| {
                        known == name && context.is_image()
                    };
                    self.options.contexts.iter().any(|context| named(&context))
                }
                Origin::Stage(_) | Origin::Scratch => false,
            };
            if is_image && !seen.contains(&origin) {
                seen.push(origin.clone());
                let platform = &self.plan.stages[stage].platform;
                // The step that needs it asks again, and tells what is wrong.
                let fetch = move || {
                    if let Ok((base, _)) = Base::find(self, &origin, platform) {
                        drop(base.fetch(self, Form::Unpacked));
                    }
                };
                drop(thread::Builder::new().spawn_scoped(scope, fetch));
            }
        }
    }

    /// `[2/5]`, or `[name 2/5]` when there are several stages; with the platform when there are
    /// several of these.
    fn prefix(&self, stage: usize, step: usize, total: usize) -> String {
        let mut words = Vec::new();
        if self.options.has_several_platforms() {
            let (own, target) = (&self.plan.stages[stage].platform, &self.platform);
            words.push(match (own == target, own.os == target.os) {
                (true, _) => own.to_string(),
                (false, true) => {
                    let target = target.to_string();
                    let (_, architecture) = target.split_once('/').unwrap_or_default();
                    format!("{own}->{architecture}")
                }
                (false, false) => format!("{own}->{target}"),
            });
        }
        if self.plan.stages.len() > 1 {
            words.push(self.plan.title(stage));
        }
        words.push(format!("{step}/{total}"));
        format!("[{}]", words.join(" "))
    }

    /// What a stage begins with.
    fn from(&self, number: usize, total: usize) -> Result<State, Stopped> {
        let stage = &self.plan.stages[number];
        let title = format!("{} {}", self.prefix(number, 1, total), stage.from.original);
        // The stage's base first: its own steps come before this one's line.
        if let Origin::Stage(base) = stage.base {
            let state = self.stage(base)?.inherit();
            report::start(self.reporter, title, None).finish(Outcome::Cached);
            return Ok(state);
        }
        let mut state = None;
        let span = stage.from.span;
        self.perform(&title, span, |activity| {
            if let Origin::Context(name) = &stage.base
                && let Some(files) = self.contexts.named(name, self.fetcher())
            {
                let deed = copy_step::all(self, name, files?)?;
                let scratch = State::new(Config::scratch(&stage.platform), &[]);
                let state = state.insert(scratch);
                let mut step = Step { stage: number, span, activity, state, missed: &|| () };
                return self.layer(deed, &mut step);
            }
            let (base, outcome) = Base::find(self, &stage.base, &stage.platform)?;
            state = Some(self.begin(base, &stage.platform, Some(span)));
            Ok(outcome)
        })?;
        Ok(state.expect("there is one, or the stage has stopped"))
    }

    /// What a stage has that stands on an image.
    pub(super) fn begin(&self, base: Arc<Base>, platform: &Platform, span: Option<Span>) -> State {
        let mut state = State::new(base.config.clone(), &base.layers);
        let note = |source| self.record.source(source, Some(platform), &state.layers, span);
        state.vertex = base.source.clone().map(note);
        state.base = Some(base);
        state
    }

    fn step(
        &self,
        stage: usize,
        title: &str,
        located: &Located<Instruction>,
        state: &mut State,
        missed: &dyn Fn(),
    ) -> Result<(), Stopped> {
        let span = located.span;
        let origins = self.plan.origins(stage, &located.value);
        for origin in origins.map_err(|fault| self.fail(Error::at(span, fault)))? {
            // A trigger may copy from a stage that nothing else needs.
            if let Origin::Stage(needed) = origin {
                self.stage(needed)?;
            }
        }
        self.perform(title, span, |activity| {
            self.instruction(&located.value, &mut Step { stage, span, activity, state, missed })
        })
    }

    /// Does something when there is a permit for it, and notes what goes wrong.
    fn perform(
        &self,
        title: &str,
        span: Span,
        work: impl FnOnce(Activity) -> Result<Outcome, Fault>,
    ) -> Result<(), Stopped> {
        let _permit = self.shared.steps.acquire();
        if self.cancel.is_set() {
            return Err(Stopped);
        }
        let running = report::start(self.reporter, title, None);
        match work(running.activity()) {
            Ok(outcome) => {
                running.finish(outcome);
                Ok(())
            }
            Err(fault) => {
                let is_first = self.shared.fail(Error::at(span, fault));
                running.finish(if is_first { Outcome::Failed } else { Outcome::Cancelled });
                Err(Stopped)
            }
        }
    }

    fn instruction(
        &self,
        instruction: &Instruction,
        step: &mut Step<'_>,
    ) -> Result<Outcome, Fault> {
        match instruction {
            Instruction::Arg(arg) => {
                let (given, globals) = (self.given, &self.plan.globals);
                let scope = &mut step.state.scope;
                let said = scope.declare_all(arg, given, globals, self.plan.escape)?;
                self.change(said, step)
            }
            Instruction::Run(run) => {
                let deed = run_step::plan(self, run, &mut *step)?;
                self.layer(deed, step)
            }
            Instruction::Copy(_) | Instruction::Add(_) => {
                let deed = copy_step::plan(self, instruction, step)?;
                self.layer(deed, step)
            }
            Instruction::Rsync(rsync) => {
                let deed = rsync_step::plan(self, rsync, step)?;
                self.layer(deed, step)
            }
            Instruction::Workdir(workdir) => match workdir_step::plan(self, workdir, step.state)? {
                Some(deed) => self.layer(deed, step),
                None => self.change(format!("WORKDIR {}", step.state.directory()), step),
            },
            other => match config_step::apply(other, step.state, self.plan.escape)? {
                Some(said) => self.change(said, step),
                None => Ok(Outcome::Done),
            },
        }
    }

    /// What fetching needs.
    pub(super) fn fetcher(&self) -> Fetcher<'_> {
        let Self { store, services, reporter, .. } = *self;
        Fetcher { store, services, reporter }
    }

    /// Options for a transfer of an image of this platform, or of whatever is there.
    pub(super) fn transfer_options(&self, platform: Option<&Platform>) -> transfer::Options {
        transfer::Options {
            platform: platform.cloned(),
            jobs: self.options.jobs.layers,
            semaphore: Some(Arc::clone(&self.shared.layers)),
            cancel: self.cancel.clone(),
            ..transfer::Options::default()
        }
    }

    /// The time, in seconds, of what a COPY makes without a source for it: the clock must not reach
    /// a layer.
    pub(super) fn time_of_made(&self) -> i64 {
        self.epoch.unwrap_or(0)
    }

    /// Writes the configuration and the manifest of the finished image.
    pub(super) fn finish(&self, invocation: &Invocation) -> Result<BuiltImage, Error> {
        let failed = |fault: Fault| Error::Result(Box::new(fault));
        let state = (*self.built(self.plan.target)).clone();
        if let Some(base) = &state.base {
            base.fetch(self, Form::Packed).map_err(failed)?;
        }
        self.write(state, invocation).map_err(failed)
    }

    fn write(&self, mut state: State, invocation: &Invocation) -> Result<BuiltImage, Fault> {
        let installed = attest::look(self, &state)?;
        // Who asks for a platform gets an image that says so, whatever the base says.
        if !self.options.platforms.is_empty() {
            state.config.os.clone_from(&self.platform.os);
            state.config.architecture.clone_from(&self.platform.architecture);
            state.config.variant.clone_from(&self.platform.variant);
        }
        for (name, value) in &self.options.labels {
            state.config.runtime.labels.insert(name.clone(), value.clone());
        }
        // Without a base and without a step there was no moment to speak of.
        state.config.created = match &state.created {
            None if self.epoch.is_none() => None,
            time => Some(self.time(time.as_deref().unwrap_or_default())),
        };
        let stage_layers = state.config.rootfs.diff_ids.clone();
        self.shape(&mut state)?;
        if self.options.inline_cache {
            exchange::write_inline(&mut state.config, &exchange::made(self.shared));
        }
        let manifest = self.manifest(&state)?;
        let mut image = BuiltImage {
            platform: self.platform.clone(),
            manifest,
            config: state.config,
            base_layers: state.ground.layers,
            stage_layers,
            attestations: Vec::new(),
            predicates: Vec::new(),
            story: Story::new(self, state.vertex, invocation),
        };
        attest::attest(self.store, self.options, &mut image, installed.as_ref())?;
        Ok(image)
    }
}
