//! [`Plan`]: stages, what each stands on, and which of them the target needs. Pure.

use std::collections::BTreeMap;

use super::error::{Error, Fault};
use super::scope::{Given, Globals};
use crate::dockerfile::{self, Dockerfile, Expander, Instruction, Located};
use crate::image::{Platform, Reference};

/// A Dockerfile's stages with everything resolved that needs neither disk nor network.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) stages: Vec<Stage>,
    /// The stage whose image is the result.
    pub(super) target: usize,
    pub(super) globals: Globals,
    pub(super) escape: char,
    contexts: Vec<String>,
}

/// One stage.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) name: Option<String>,
    pub(super) base: Origin,
    pub(super) platform: Platform,
    pub(super) from: Located<dockerfile::From>,
    pub(super) steps: Vec<Located<Instruction>>,
}

/// Where files come from: the base of a stage, or `--from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    Scratch,
    /// An earlier stage of the same file.
    Stage(usize),
    /// A named context (`--build-context`).
    Context(String),
    Image(Reference),
}

/// What a plan is made from, beside the Dockerfile.
#[derive(Debug)]
pub(super) struct Wishes<'a> {
    pub(super) given: &'a mut Given,
    pub(super) target: Option<&'a str>,
    pub(super) platform: &'a Platform,
    /// Names of `--build-context`; they hide stages and images of the same name.
    pub(super) contexts: Vec<String>,
}

impl Plan {
    /// Resolves the stages' bases and the target.
    pub(super) fn new(dockerfile: Dockerfile, wishes: Wishes<'_>) -> Result<Self, Error> {
        let Dockerfile { directives, arguments, stages } = dockerfile;
        let Wishes { given, target, platform, contexts } = wishes;
        let names: Vec<Option<String>> =
            stages.iter().map(|stage| stage.from.value.name.clone()).collect();
        let target = find_target(&names, target)?;
        given.set_target_stage(names[target].as_deref().unwrap_or("default"));
        let escape = directives.escape;

        let mut globals = Globals::predeclared(given);
        for located in &arguments {
            for argument in &located.value.arguments {
                let expand = |globals: &Globals, word: &dockerfile::Word| {
                    let get = |name: &str| globals.get(name).map(str::to_owned);
                    Expander::new(escape, &get)
                        .word(word)
                        .map_err(|error| Error::at(located.span, error))
                };
                let name = expand(&globals, &argument.name)?;
                let default =
                    argument.default.as_ref().map(|word| move |seen: &Globals| expand(seen, word));
                globals.declare(given, &name, default)?;
            }
        }

        let mut plan = Self { stages: Vec::new(), target, globals, escape, contexts };
        for stage in stages {
            let planned = plan.stage(stage, platform)?;
            plan.stages.push(planned);
        }
        Ok(plan)
    }

    fn stage(&self, stage: dockerfile::Stage, platform: &Platform) -> Result<Stage, Error> {
        let dockerfile::Stage { from, steps } = stage;
        let at = |fault: Fault| Error::at(from.span, fault);
        let get = |name: &str| self.globals.get(name).map(str::to_owned);
        let expander = Expander::new(self.escape, &get);
        let image =
            expander.word(&from.value.image).map_err(|error| Error::at(from.span, error))?;
        if image.is_empty() {
            return Err(at(Fault::BlankBase(from.value.image.raw().to_owned())));
        }
        let platform = match &from.value.platform {
            None => platform.clone(),
            Some(word) => {
                let text = expander.word(word).map_err(|error| Error::at(from.span, error))?;
                if text.is_empty() {
                    return Err(at(Fault::EmptyPlatform(word.raw().to_owned())));
                }
                text.parse().map_err(|error| at(Fault::Image(error)))?
            }
        };
        let base = if self.contexts.contains(&image) {
            Origin::Context(image)
        } else if let Some(number) = self.stage_named(&image) {
            Origin::Stage(number)
        } else if image == "scratch" {
            Origin::Scratch
        } else {
            Origin::Image(image.parse().map_err(|error| at(Fault::Image(error)))?)
        };
        Ok(Stage { name: from.value.name.clone(), base, platform, from, steps })
    }

    /// The last stage so far with exactly this name.
    fn stage_named(&self, name: &str) -> Option<usize> {
        self.stages.iter().rposition(|stage| stage.name.as_deref() == Some(name))
    }

    /// What `--from` means in stage `current`: a named context, a stage by name or number, else an
    /// image.
    pub(super) fn origin(&self, current: usize, from: &str) -> Result<Origin, Fault> {
        if self.contexts.iter().any(|name| name == from) {
            return Ok(Origin::Context(from.to_owned()));
        }
        let lower = from.to_lowercase();
        let named = |stage: &Stage| stage.name.as_deref() == Some(lower.as_str());
        if let Some(number) = self.stages[..current].iter().rposition(named) {
            return Ok(Origin::Stage(number));
        }
        if let Some(number) = self.stages[current..].iter().position(named) {
            return Err(match number {
                0 => Fault::CircularStage(lower),
                _ => Fault::LaterStage { wanted: lower, current: self.title(current) },
            });
        }
        if let Ok(number) = from.parse::<usize>() {
            return match number < current {
                true => Ok(Origin::Stage(number)),
                false => Err(Fault::StageIndex(number)),
            };
        }
        if from == "scratch" {
            return Ok(Origin::Scratch);
        }
        from.parse().map(Origin::Image).map_err(Fault::Image)
    }

    /// A stage's name, or its number.
    pub(super) fn title(&self, stage: usize) -> String {
        self.stages[stage].name.clone().unwrap_or_else(|| stage.to_string())
    }

    /// The stages that the target needs, each after those it needs itself. Triggers of base images
    /// may ask for more when they run.
    pub(super) fn order(&self) -> Result<Vec<usize>, Error> {
        let mut order = Vec::new();
        self.visit(self.target, &mut order)?;
        Ok(order)
    }

    fn visit(&self, number: usize, order: &mut Vec<usize>) -> Result<(), Error> {
        // A stage can only name earlier ones, so this ends.
        if order.contains(&number) {
            return Ok(());
        }
        let stage = &self.stages[number];
        if let Origin::Stage(base) = stage.base {
            self.visit(base, order)?;
        }
        for step in &stage.steps {
            if let Instruction::Copy(copy) = &step.value
                && let Some(from) = &copy.from
            {
                let origin =
                    self.origin(number, from).map_err(|fault| Error::at(step.span, fault))?;
                if let Origin::Stage(needed) = origin {
                    self.visit(needed, order)?;
                }
            }
        }
        order.push(number);
        Ok(())
    }

    /// All names that `ARG`s of the needed stages and of the file's head declare.
    pub(super) fn declared(dockerfile: &Dockerfile) -> Vec<String> {
        let heads = dockerfile.arguments.iter().flat_map(|located| &located.value.arguments);
        let steps = dockerfile.stages.iter().flat_map(|stage| &stage.steps);
        let inner = steps.filter_map(|step| match &step.value {
            Instruction::Arg(arg) => Some(&arg.arguments),
            _ => None,
        });
        heads.chain(inner.flatten()).map(|argument| argument.name.raw().to_owned()).collect()
    }
}

fn find_target(names: &[Option<String>], wanted: Option<&str>) -> Result<usize, Error> {
    let last = names.len().checked_sub(1).ok_or(Error::NoStage)?;
    let Some(wanted) = wanted else { return Ok(last) };
    let lower = wanted.to_lowercase();
    names.iter().rposition(|name| name.as_deref() == Some(lower.as_str())).ok_or_else(|| {
        let known: BTreeMap<&str, ()> =
            names.iter().flatten().map(|name| (name.as_str(), ())).collect();
        let nearest = dockerfile::suggest(&lower, known.into_keys()).map(str::to_owned);
        Error::Target { wanted: wanted.to_owned(), nearest }
    })
}
