//! `--dry-run`: which steps of a build would come from the cache, and which would be done. Nothing is:
//! no command runs, nothing is fetched, no image is made. To know a hit, files are read that are here.

use serde::Serialize;

use super::base::{Base, local_config};
use super::copy_words::{Input, Work};
use super::error::{Error, Fault};
use super::execute::{Executor, Step};
use super::log::Log;
use super::plan::{Origin, Plan, Wishes};
use super::shared::Shared;
use super::state::State;
use super::{
    Options, Services, config_step, copy_step, rsync_step, run_step, survey, workdir_step,
};
use crate::dockerfile::{self, Instruction, Located, parse_trigger};
use crate::image::{Config, Platform};
use crate::report::{Activity, Reporter};
use crate::store::Store;

/// What would become of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    /// It comes from the cache.
    Hit,
    /// It is done.
    Miss,
    /// That depends on something that is not here yet.
    Unknown,
}

/// An instruction, and what would become of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rehearsed {
    /// Where it begins in the Dockerfile.
    pub line: usize,
    pub expected: Expected,
    pub instruction: String,
    /// Only where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
}

/// Goes through a build as far as that is possible without doing anything.
///
/// # Errors
///
/// Those of a build that are found before anything is done.
pub fn rehearse(
    store: &Store,
    services: Services<'_>,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Vec<Rehearsed>, Error> {
    let (dockerfile, diagnostics) = dockerfile::parse(&options.dockerfile);
    if diagnostics.iter().any(dockerfile::Diagnostic::is_error) {
        return Err(Error::Dockerfile(diagnostics));
    }
    let log = Log::new(store, reporter, &options.secrets);
    let shared = Shared::new(store, services, options, &log);
    let mut all = Vec::new();
    for platform in options.targets() {
        let given = survey::given(options, &platform);
        let plan = Plan::new(dockerfile.clone(), Wishes::new(options, &given, &platform))?;
        let shown = options.has_several_platforms().then(|| platform.to_string());
        let executor = Executor::new(&shared, &plan, &given, platform)?;
        let mut rehearsal = Rehearsal {
            executor: &executor,
            is_known: vec![None; plan.stages.len()],
            platform: shown,
            found: Vec::new(),
        };
        for number in plan.order()? {
            rehearsal.stage(number)?;
        }
        rehearsal.found.sort_by_key(|found| found.line);
        all.append(&mut rehearsal.found);
    }
    Ok(all)
}

struct Rehearsal<'r, 'e> {
    executor: &'r Executor<'e>,
    /// Of a stage that was gone through: whether its end is in the cache.
    is_known: Vec<Option<bool>>,
    platform: Option<String>,
    found: Vec<Rehearsed>,
}

impl Rehearsal<'_, '_> {
    fn note<T>(&mut self, located: &Located<T>, expected: Expected) {
        let (line, instruction) = (located.span.line, located.original.clone());
        let platform = self.platform.clone();
        self.found.push(Rehearsed { line, expected, instruction, platform });
    }

    fn stage(&mut self, number: usize) -> Result<(), Error> {
        if self.is_known[number].is_some() {
            return Ok(());
        }
        let executor = self.executor;
        let stage = &executor.plan.stages[number];
        let (mut state, from) = self.base(number)?;
        self.note(&stage.from, from);
        let mut steps = Vec::new();
        for trigger in state.iter_mut().flat_map(|s| std::mem::take(&mut s.config.runtime.on_build))
        {
            let located = parse_trigger(&trigger)
                .map_err(|found| Error::at(stage.from.span, Fault::Trigger(found.message)))?;
            steps.push(Located { span: stage.from.span, ..located });
        }
        steps.extend(stage.steps.iter().cloned());
        // What follows something that is done is done; what follows something unknown is unknown.
        let mut then = if from == Expected::Miss { Expected::Unknown } else { from };
        for located in &steps {
            let expected = match &mut state {
                None => then,
                Some(known) => {
                    let expected = self
                        .step(number, located, known)
                        .map_err(|fault| Error::at(located.span, fault))?;
                    let changes_files = !is_configuration(&located.value);
                    if expected != Expected::Hit && changes_files {
                        (state, then) = (None, expected);
                    }
                    expected
                }
            };
            self.note(located, expected);
        }
        self.is_known[number] = Some(state.is_some());
        if let Some(state) = state {
            executor.assume(number, state);
        }
        Ok(())
    }

    /// What a stage begins with, if that is here.
    fn base(&mut self, number: usize) -> Result<(Option<State>, Expected), Error> {
        let executor = self.executor;
        let stage = &executor.plan.stages[number];
        let failed = |fault| Error::at(stage.from.span, fault);
        match &stage.base {
            Origin::Stage(base) => {
                self.stage(*base)?;
                Ok(match self.is_known[*base] {
                    Some(true) => (Some(executor.built(*base).inherit()), Expected::Hit),
                    _ => (None, Expected::Miss),
                })
            }
            Origin::Scratch => {
                let config = Config::scratch(&stage.platform);
                Ok((Some(State::new(config, &[])), Expected::Hit))
            }
            origin if self.is_here(origin, &stage.platform) => {
                let (base, _) = Base::find(executor, origin, &stage.platform).map_err(failed)?;
                let span = Some(stage.from.span);
                Ok((Some(executor.begin(base, &stage.platform, span)), Expected::Hit))
            }
            // A registry that is asked may have the same as is here.
            Origin::Image(_) if executor.options.pull => Ok((None, Expected::Unknown)),
            _ => Ok((None, Expected::Miss)),
        }
    }

    fn is_here(&self, origin: &Origin, platform: &Platform) -> bool {
        let Executor { store, options, .. } = self.executor;
        !options.pull && local_config(store, options, origin, platform).is_some()
    }

    fn step(
        &mut self,
        stage: usize,
        located: &Located<Instruction>,
        state: &mut State,
    ) -> Result<Expected, Fault> {
        let executor = self.executor;
        let platform = executor.plan.stages[stage].platform.clone();
        for origin in executor.plan.origins(stage, &located.value)? {
            let is_here = match &origin {
                Origin::Stage(needed) => {
                    if let Err(error) = self.stage(*needed) {
                        return Err(error.into_fault());
                    }
                    self.is_known[*needed] == Some(true)
                }
                Origin::Scratch => true,
                Origin::Context(name) if executor.options.has_directory(name) => true,
                other => self.is_here(other, &platform),
            };
            if !is_here {
                return Ok(Expected::Unknown);
            }
        }
        let (activity, span) = (Activity::new(), located.span);
        let mut step = Step { stage, span, activity, state, missed: &|| () };
        let deed = match &located.value {
            Instruction::Arg(arg) => {
                let (given, globals) = (executor.given, &executor.plan.globals);
                let scope = &mut step.state.scope;
                let said = scope.declare_all(arg, given, globals, executor.plan.escape)?;
                return executor.expect_change(said, &mut step);
            }
            Instruction::Run(run) => run_step::plan(executor, run, &mut step)?,
            instruction @ (Instruction::Copy(_) | Instruction::Add(_)) => {
                let work = Work::new(executor.plan, stage, instruction, step.state)?;
                if work.sources.iter().any(|source| matches!(source, Input::Remote(..))) {
                    return Ok(Expected::Unknown);
                }
                copy_step::plan(executor, instruction, &step)?
            }
            Instruction::Rsync(rsync) => rsync_step::plan(executor, rsync, &step)?,
            Instruction::Workdir(workdir) => {
                match workdir_step::plan(executor, workdir, step.state)? {
                    Some(deed) => deed,
                    None => {
                        let said = format!("WORKDIR {}", step.state.directory());
                        return executor.expect_change(said, &mut step);
                    }
                }
            }
            other => {
                return match config_step::apply(other, step.state, executor.plan.escape)? {
                    Some(said) => executor.expect_change(said, &mut step),
                    None => Ok(Expected::Hit),
                };
            }
        };
        executor.expect_layer(deed, &mut step)
    }
}

/// Whether an instruction leaves files alone: what follows it does not depend on whether it was done
/// before.
fn is_configuration(instruction: &Instruction) -> bool {
    !matches!(
        instruction,
        Instruction::Run(_)
            | Instruction::Copy(_)
            | Instruction::Add(_)
            | Instruction::Rsync(_)
            | Instruction::Workdir(_)
    )
}
