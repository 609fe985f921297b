//! What can be said of a build before anything of it is done: lint, and values that are wrong.

use super::base::local_config;
use super::context::Contexts;
use super::copy_words::Work;
use super::error::{Error, Fault};
use super::lint::{self, View};
use super::plan::{Origin, Plan, Stage, Wishes};
use super::scope::{Given, SOURCE_DATE_EPOCH};
use super::state::State;
use super::{Options, config_step};
use crate::dockerfile::lint::{Settings, filter};
use crate::dockerfile::{
    self, Diagnostic, Directives, Expander, Instruction, Located, Mode, Mount, Severity, Span,
    parse_trigger,
};
use crate::image::{Config, Platform};
use crate::store::Store;

/// The build argument that says the same as `# check=…`, and beats it.
const CHECK: &str = "BUILDKIT_DOCKERFILE_CHECK";

/// What a Dockerfile says of itself.
#[derive(Debug, Default)]
pub struct Survey {
    /// In the order of the file; as the reference has it, one for each word at fault.
    pub warnings: Vec<Diagnostic>,
    /// Why there can be no image of it.
    pub error: Option<Error>,
    /// `error=true`: warnings end the build.
    pub is_strict: bool,
    /// All bases are here, so nothing had to be guessed.
    pub is_complete: bool,
}

impl Survey {
    /// The names of the rules that have something to say.
    pub fn rules(&self) -> Vec<&'static str> {
        let mut rules: Vec<&str> = self.warnings.iter().filter_map(|found| found.rule).collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }

    /// The warnings, each once.
    pub fn distinct(&self) -> Vec<&Diagnostic> {
        let mut distinct: Vec<&Diagnostic> = Vec::new();
        for found in &self.warnings {
            if !distinct.contains(&found) {
                distinct.push(found);
            }
        }
        distinct
    }
}

/// Looks at a Dockerfile, its context and the bases that the store has; asks nobody else. Only what
/// the target needs can be wrong, unless it `is_for_all` stages and there is no target.
pub fn survey(store: &Store, options: &Options, is_for_all: bool) -> Survey {
    let (syntax, _) = dockerfile::read(&options.dockerfile);
    let (file, diagnostics) = dockerfile::parse(&options.dockerfile);
    let (settings, mut found) = match settings(&file.directives, options) {
        Ok(settings) => settings,
        Err(error) => return Survey { error: Some(error), ..Survey::default() },
    };
    let given = given(options, &options.first_target());
    let mut survey = Survey { is_strict: settings.error, is_complete: true, ..Survey::default() };
    found.extend(dockerfile::lint::syntax(&syntax));
    if diagnostics.iter().any(Diagnostic::is_error) {
        survey.error = Some(Error::Dockerfile(diagnostics));
    } else {
        found.extend(diagnostics);
        let mut walk = Walk { is_for_all, found: Vec::new(), error: None, is_complete: true };
        walk.file(store, options, file, &given);
        found.extend(walk.found);
        survey.error = walk.error;
        survey.is_complete = walk.is_complete;
    }
    survey.warnings = filter(found, &syntax, &settings);
    survey
}

/// The values that `ARG`s can ask for, in a build for `platform`.
pub(super) fn given(options: &Options, platform: &Platform) -> Given {
    let (host, target) = (Platform::host(), options.target.as_deref());
    let mut given = Given::new(&options.build_args, &host, platform, target);
    if let Some(seconds) = options.source_date_epoch {
        given.add(SOURCE_DATE_EPOCH, seconds.to_string());
    }
    given
}

/// Which rules speak; and what of the wish means nothing.
fn settings(
    directives: &Directives,
    options: &Options,
) -> Result<(Settings, Vec<Diagnostic>), Error> {
    let argument = options.build_args.iter().rfind(|(name, _)| name == CHECK);
    let settings = match (argument, &directives.check) {
        (Some((_, text)), _) => Settings::parse(text),
        (None, Some(text)) => Settings::of_comment(text),
        (None, None) => Ok(Settings::default()),
    };
    let settings = settings.map_err(Error::Check)?;
    let unknown = settings.unknown.iter().map(|(name, meant)| Diagnostic {
        severity: Severity::Warning,
        rule: None,
        message: format!("there is no lint rule {name:?}"),
        span: Span { start: 0, end: 0, line: 1, end_line: 1 },
        hint: meant.map(|meant| format!("did you mean {meant}?")),
    });
    let unknown = unknown.collect();
    Ok((settings, unknown))
}

/// Goes through the stages as a build does, without doing anything.
struct Walk {
    /// Without a target, what is wrong with any stage counts.
    is_for_all: bool,
    found: Vec<Diagnostic>,
    /// The first thing that is wrong.
    error: Option<Error>,
    is_complete: bool,
}

/// A stage so far.
#[derive(Clone)]
struct Seen {
    state: State,
    is_base_known: bool,
    has_workdir: bool,
}

impl Walk {
    fn file(
        &mut self,
        store: &Store,
        options: &Options,
        file: dockerfile::Dockerfile,
        given: &Given,
    ) {
        let escape = file.directives.escape;
        match Plan::globals(&file.arguments, given, escape) {
            Ok(globals) => {
                self.found.extend(lint::bases(&file, &globals, given));
            }
            Err(error) => self.error = Some(error),
        }
        let platform = options.first_target();
        let wishes = Wishes::new(options, given, &platform);
        let planned = Plan::new(file, wishes).and_then(|plan| {
            plan.epoch(given)?;
            let needed = plan.order()?;
            Ok((plan, needed))
        });
        let (plan, needed) = match planned {
            Ok(planned) => planned,
            Err(error) => {
                self.error.get_or_insert(error);
                return;
            }
        };
        let contexts = Contexts::new(options);
        let context = options.context.as_ref().and_then(|_| contexts.main(store).ok());
        let ignore = context.map(|files| files.ignore());
        let mut stages: Vec<Seen> = Vec::new();
        for (number, stage) in plan.stages.iter().enumerate() {
            let is_needed = options.target.is_none() && self.is_for_all || needed.contains(&number);
            let mut seen = match stage.base {
                Origin::Stage(base) => {
                    Seen { state: stages[base].state.inherit(), ..stages[base].clone() }
                }
                _ => self.base(store, options, stage, needed.contains(&number)),
            };
            for trigger in std::mem::take(&mut seen.state.config.runtime.on_build) {
                if let Ok(located) = parse_trigger(&trigger) {
                    let located = Located { span: stage.from.span, ..located };
                    self.apply(&located, &mut seen, &plan, given, (number, is_needed));
                }
            }
            for located in &stage.steps {
                let view = View {
                    state: &seen.state,
                    escape,
                    is_base_known: seen.is_base_known,
                    has_workdir: seen.has_workdir,
                    ignore,
                    given,
                };
                self.found.extend(lint::step(located, &view));
                self.apply(located, &mut seen, &plan, given, (number, is_needed));
            }
            stages.push(seen);
        }
    }

    fn base(&mut self, store: &Store, options: &Options, stage: &Stage, is_needed: bool) -> Seen {
        let config = match &stage.base {
            Origin::Scratch => Some(Config::scratch(&stage.platform)),
            base => local_config(store, options, base, &stage.platform),
        };
        if let (Some(config), Origin::Image(reference)) = (&config, &stage.base) {
            let span = stage.from.span;
            self.found.extend(lint::base_platform(reference, config, &stage.platform, span));
        }
        self.is_complete &= config.is_some() || !is_needed;
        Seen {
            is_base_known: config.is_some(),
            has_workdir: false,
            state: State::new(config.unwrap_or_default(), &[]),
        }
    }

    /// Changes the state as the instruction will. What cannot be is an error of a stage that is
    /// built.
    fn apply(
        &mut self,
        located: &Located<Instruction>,
        seen: &mut Seen,
        plan: &Plan,
        given: &Given,
        (stage, is_needed): (usize, bool),
    ) {
        let Err(fault) = applied(&located.value, &mut seen.state, plan, stage, given) else {
            seen.has_workdir |= matches!(located.value, Instruction::Workdir(_));
            return;
        };
        // An unknown base may give the variables that are missing here.
        let state = &seen.state;
        let get = |name: &str| state.scope.get(name).map(str::to_owned);
        let expander = Expander::new(plan.escape, &get);
        let mut uses = lint::words(&located.value).into_iter().flat_map(|word| expander.uses(word));
        let is_certain = seen.is_base_known || uses.all(|used| get(&used).is_some());
        if is_needed && is_certain {
            self.error.get_or_insert(Error::at(located.span, fault));
        }
    }
}

/// What an instruction makes of a stage's configuration and variables.
fn applied(
    instruction: &Instruction,
    state: &mut State,
    plan: &Plan,
    stage: usize,
    given: &Given,
) -> Result<(), Fault> {
    let before = state.scope.clone();
    let get = |name: &str| before.get(name).map(str::to_owned);
    let expander = Expander::new(plan.escape, &get);
    match instruction {
        Instruction::Arg(arg) => {
            state.scope.declare_all(arg, given, &plan.globals, plan.escape)?;
        }
        Instruction::Run(run) => {
            run.mounts.iter().try_for_each(|mount| Mount::parse(mount, &expander).map(drop))?;
        }
        Instruction::Rsync(rsync) => {
            rsync.settings(&expander).map_err(Fault::Rsync)?;
        }
        Instruction::Copy(_) | Instruction::Add(_) => {
            let work = Work::new(plan, stage, instruction, state)?;
            work.chmod.as_deref().map(Mode::parse).transpose()?;
        }
        Instruction::Workdir(workdir) => drop(expander.word(&workdir.path)?),
        other => {
            config_step::apply(other, state, plan.escape)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
