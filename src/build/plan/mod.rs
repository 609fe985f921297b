//! [`Plan`]: stages, what each stands on, and which of them the target needs. Pure.

mod needs;

use std::collections::BTreeMap;

use super::Options;
use super::error::{Error, Fault, Misnamed};
use super::scope::{Given, Globals, SOURCE_DATE_EPOCH};
use crate::dockerfile::{
    self, Arg, Dockerfile, Expander, Instruction, Located, Security, parse_trigger,
};
use crate::image::{Aliases, Platform, Reference};

/// A Dockerfile's stages with everything resolved that needs neither disk nor network.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) stages: Vec<Stage>,
    /// The stage whose image is the result.
    pub(super) target: usize,
    pub(super) globals: Globals,
    pub(super) escape: char,
    contexts: Vec<String>,
    aliases: Aliases,
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
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
    pub(super) given: &'a Given,
    pub(super) target: Option<&'a str>,
    pub(super) platform: &'a Platform,
    /// Names of `--build-context`; they hide stages and images of the same name.
    pub(super) contexts: Vec<String>,
    /// What short names of images mean.
    pub(super) aliases: Aliases,
}

impl<'a> Wishes<'a> {
    pub(super) fn new(options: &'a Options, given: &'a Given, platform: &'a Platform) -> Self {
        let contexts = options.contexts.iter().map(|(name, _)| name.clone()).collect();
        let aliases = options.aliases.clone();
        Self { given, target: options.target.as_deref(), platform, contexts, aliases }
    }
}

impl Plan {
    /// Resolves the stages' bases and the target.
    pub(super) fn new(dockerfile: Dockerfile, wishes: Wishes<'_>) -> Result<Self, Error> {
        let Dockerfile { directives, arguments, stages } = dockerfile;
        let Wishes { given, target, platform, contexts, aliases } = wishes;
        let names: Vec<Option<String>> =
            stages.iter().map(|stage| stage.from.value.name.clone()).collect();
        let target = find_target(&names, target)?;
        let escape = directives.escape;

        let globals = Self::globals(&arguments, given, escape)?;
        let mut plan = Self { stages: Vec::new(), target, globals, escape, contexts, aliases };
        for stage in stages {
            let planned = plan.stage(stage, given, platform)?;
            plan.stages.push(planned);
        }
        plan.refuse_circles()?;
        Ok(plan)
    }

    /// The arguments of before the first `FROM`.
    pub(super) fn globals(
        arguments: &[Located<Arg>],
        given: &Given,
        escape: char,
    ) -> Result<Globals, Error> {
        let mut globals = Globals::predeclared(given);
        for located in arguments {
            for argument in &located.value.arguments {
                let expand = |globals: &Globals, word: &dockerfile::Word| {
                    let get = |name: &str| globals.get(name).map(str::to_owned);
                    Expander::new(escape, &get)
                        .word(word)
                        .map_err(|error| Error::at(located.span, error))
                };
                let default =
                    argument.default.as_ref().map(|word| move |seen: &Globals| expand(seen, word));
                globals.declare(given, argument.name.raw(), default)?;
            }
        }
        Ok(globals)
    }

    fn stage(
        &self,
        stage: dockerfile::Stage,
        given: &Given,
        platform: &Platform,
    ) -> Result<Stage, Error> {
        let dockerfile::Stage { from, mut steps } = stage;
        let at = |fault: Fault| Error::at(from.span, fault);
        let seen = self.globals.seen_by(&from.value, given, self.escape);
        let seen = seen.map_err(|error| Error::at(from.span, error))?;
        // Their values are those of this line: the stage itself sees no global arguments.
        for step in steps.iter_mut().take(from.value.arguments.len()) {
            let Instruction::Arg(arg) = &mut step.value else { continue };
            for argument in &mut arg.arguments {
                let value = seen.get(argument.name.raw()).unwrap_or_default();
                argument.default = Some(dockerfile::Word::literal(value, self.escape));
            }
        }
        let get = |name: &str| seen.get(name).map(str::to_owned);
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
                let word = word.raw().to_owned();
                let nearest = || self.nearest_global(&expander.uses(&word));
                if text.is_empty() {
                    return Err(at(Fault::EmptyPlatform { nearest: nearest(), word }));
                }
                text.parse().map_err(|source| {
                    at(Fault::Platform { nearest: nearest(), word: word.clone(), source })
                })?
            }
        };
        let base = if self.contexts.contains(&image) {
            Origin::Context(image)
        } else if let Some(number) = self.stage_named(&image) {
            Origin::Stage(number)
        } else if image == "scratch" {
            Origin::Scratch
        } else {
            Origin::Image(
                self.image_named(&image).map_err(|fault| at(self.no_reference(&image, fault)))?,
            )
        };
        Ok(Stage { name: from.value.name.clone(), base, platform, from, steps })
    }

    /// The argument that one of these names, which nothing is known of, may have meant.
    fn nearest_global(&self, names: &[String]) -> Option<String> {
        let mut unknown = names.iter().filter(|name| self.globals.get(name).is_none());
        unknown.find_map(|name| dockerfile::suggest(name, self.globals.names()).map(str::to_owned))
    }

    /// `SOURCE_DATE_EPOCH`: of --build-arg, or else the default of an `ARG` before the first `FROM`.
    pub(super) fn epoch(&self, given: &Given) -> Result<Option<i64>, Error> {
        let text = given.argument(SOURCE_DATE_EPOCH).or(self.globals.get(SOURCE_DATE_EPOCH));
        match text.filter(|text| !text.is_empty()) {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| Error::Epoch(text.to_owned())),
        }
    }

    /// What is no name of an image may be a stage's but for its case.
    fn no_reference(&self, text: &str, fault: Fault) -> Fault {
        match self.stage_named(&text.to_lowercase()) {
            Some(_) => {
                let hint = format!("the stage is called {}", text.to_lowercase());
                Fault::Misnamed(Misnamed { fault: Box::new(fault), hint })
            }
            None => fault,
        }
    }

    /// The last stage so far with exactly this name.
    fn stage_named(&self, name: &str) -> Option<usize> {
        self.stages.iter().rposition(|stage| stage.name.as_deref() == Some(name))
    }

    /// A stage's name, or its number.
    pub(super) fn title(&self, stage: usize) -> String {
        self.stages[stage].name.clone().unwrap_or_else(|| stage.to_string())
    }

    /// What a name means that is no stage's.
    fn image_named(&self, name: &str) -> Result<Reference, Fault> {
        let found = self.aliases.reference(name);
        found
            .map(|(reference, _)| reference)
            .map_err(|source| Fault::StageName { name: name.to_owned(), source })
    }

    /// The images that stages stand on under a short name, with what that means.
    pub(super) fn by_alias(&self) -> Vec<(&str, &Reference)> {
        let stages = self.stages.iter().filter_map(|stage| match &stage.base {
            Origin::Image(reference) => Some((stage.from.value.image.raw(), reference)),
            _ => None,
        });
        stages.filter(|(text, _)| self.aliases.reference(text).is_ok_and(|found| found.1)).collect()
    }

    /// As messages of the reference name it.
    fn full_title(&self, stage: usize) -> String {
        self.stages[stage].name.clone().unwrap_or_else(|| format!("stage-{stage}"))
    }

    /// Why there is no image of that name; the stage that was meant, perhaps, goes with it.
    pub(super) fn misnamed(&self, reference: &Reference, fault: Fault) -> Fault {
        let Some(name) = reference.repository().strip_prefix("library/") else { return fault };
        let names = self.stages.iter().filter_map(|stage| stage.name.as_deref());
        let hint = match names.clone().any(|known| known == name) {
            true => format!("the stage {name} has to be defined before it is named"),
            false => match dockerfile::suggest(name, names) {
                Some(meant) => format!("did you mean the stage {meant}?"),
                None => return fault,
            },
        };
        Fault::Misnamed(Misnamed { fault: Box::new(fault), hint })
    }

    /// What no system allows ends a build before its first step.
    pub(super) fn refuse_impossible(&self, needed: &[usize]) -> Result<(), Error> {
        let mut steps = needed.iter().flat_map(|number| &self.stages[*number].steps);
        let is_insecure = |step: &&Located<Instruction>| matches!(&step.value, Instruction::Run(run) if run.security == Security::Insecure);
        match steps.find(is_insecure) {
            Some(step) => Err(Error::at(step.span, Fault::Insecure)),
            None => Ok(()),
        }
    }

    /// How many instructions the target takes, all its stages' together.
    pub(super) fn steps(&self) -> Result<usize, Error> {
        Ok(self.order()?.into_iter().map(|number| self.stages[number].steps.len() + 1).sum())
    }

    /// All names that `ARG`s of the file declare, wherever they stand.
    pub(super) fn declared(dockerfile: &Dockerfile) -> Vec<String> {
        let heads = Self::declared_globals(dockerfile);
        let steps = dockerfile.stages.iter().flat_map(|stage| &stage.steps);
        let inner = steps.filter_map(|step| match &step.value {
            Instruction::Arg(arg) => Some(arg.clone()),
            Instruction::Onbuild(onbuild) => match parse_trigger(&onbuild.trigger).ok()?.value {
                Instruction::Arg(arg) => Some(arg),
                _ => None,
            },
            _ => None,
        });
        heads.into_iter().chain(inner.flat_map(|arg| names(&arg))).collect()
    }

    /// The names that `ARG`s before the first `FROM` declare.
    pub(super) fn declared_globals(dockerfile: &Dockerfile) -> Vec<String> {
        dockerfile.arguments.iter().flat_map(|located| names(&located.value)).collect()
    }
}

/// The names that an `ARG` declares.
pub(super) fn names(arg: &Arg) -> Vec<String> {
    arg.arguments.iter().map(|argument| argument.name.raw().to_owned()).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str, target: Option<&str>, arguments: &[(&str, &str)]) -> Result<Plan, Error> {
        let (dockerfile, diagnostics) = dockerfile::parse(text);
        assert!(!diagnostics.iter().any(dockerfile::Diagnostic::is_error), "{diagnostics:?}");
        let arguments: Vec<_> =
            arguments.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let platform = Platform::new("linux", "amd64", None);
        let given = Given::new(&arguments, &platform, &platform, target);
        let contexts = vec!["named".to_owned()];
        let plan = Plan::new(
            dockerfile,
            Wishes {
                given: &given,
                target,
                platform: &platform,
                contexts,
                aliases: Aliases::default(),
            },
        )?;
        plan.epoch(&given)?;
        Ok(plan)
    }

    /// The stages that are built, in order; or what is wrong.
    fn order(text: &str, target: Option<&str>, arguments: &[(&str, &str)]) -> String {
        let order = plan(text, target, arguments).and_then(|plan| plan.order());
        order.map_or_else(|error| error.to_string(), |order| format!("{order:?}"))
    }

    #[test]
    fn only_what_the_target_needs_is_built() {
        let text = "FROM x AS a\nFROM y AS b\nFROM a AS c\nCOPY --from=B . /\n\
                    FROM scratch AS d\nCOPY --from=0 . /\nCOPY --from=image:1 . /\n";
        for (target, expected) in [
            (None, "[0, 3]"),
            (Some("a"), "[0]"),
            (Some("C"), "[0, 1, 2]"),
            (Some("cc"), "target stage \"cc\" could not be found (did you mean c?)"),
            (Some("1"), "target stage \"1\" could not be found (did you mean a?)"),
        ] {
            assert_eq!(order(text, target, &[]), expected, "{target:?}");
        }
    }

    #[test]
    fn bases_and_sources_are_resolved() {
        for (text, expected) in [
            ("FROM a AS x\nFROM X\n", "failed to parse stage name \"X\": invalid reference format"),
            ("FROM a AS x\nFROM x\n", "[0, 1]"),
            ("FROM a AS x\nFROM b AS x\nFROM x\n", "[1, 2]"),
            ("FROM a AS named\nFROM named\n", "[1]"),
            ("FROM a AS named\nFROM b\nCOPY --from=named . /\n", "[1]"),
            ("FROM $NONE\n", "base name ($NONE) should not be blank"),
            ("ARG B=a\nFROM x AS a\nFROM ${B}\n", "[0, 1]"),
            ("FROM x\nARG B=a\nFROM $B\n", "base name ($B) should not be blank"),
            ("FROM --platform=$NONE x\n", "empty platform value from expression $NONE"),
            (
                "FROM --platform=$BULIDPLATFORM x\n",
                "empty platform value from expression $BULIDPLATFORM (did you mean BUILDPLATFORM?)",
            ),
            (
                "ARG MY_ARCH=a\nFROM --platform=linux/${MYARCH} x\n",
                "failed to parse platform linux/${MYARCH} (did you mean MY_ARCH?)",
            ),
            ("FROM --platform=$TARGETPLATFORM x\n", "[0]"),
            ("FROM x\nCOPY --from=0 . /\n", "circular dependency detected on stage: stage-0"),
            ("FROM x\nCOPY --from=1 . /\n", "invalid stage index 1"),
            ("FROM x\nCOPY --from=1 . /\nFROM y\n", "[1]"),
            (
                "FROM x\nCOPY --from=1 . /\nFROM y\nFROM 0\nCOPY --from=0 . /\n",
                "cannot copy from stage \"1\", it needs to be defined before current stage \"stage-0\"",
            ),
            (
                "FROM x AS a\nCOPY --from=c . /\nFROM x AS b\nCOPY --from=a . /\nFROM x AS c\n\
                 COPY --from=b . /\nFROM x\n",
                "circular dependency detected on stage: a",
            ),
            (
                "FROM x AS a\nCOPY --from=a . /\nFROM x\n",
                "circular dependency detected on stage: a",
            ),
            (
                "FROM x AS a\nRUN --mount=from=b true\nFROM x AS b\nCOPY --from=a . /\n",
                "circular dependency detected on stage: a",
            ),
            ("FROM x\nCOPY --from=-1 . /\n", "invalid stage index -1"),
            ("FROM x AS a\nCOPY --from=A . /\n", "circular dependency detected on stage: a"),
            (
                "FROM x AS a\nCOPY --from=b . /\nFROM a AS b\n",
                "cannot copy from stage \"b\", it needs to be defined before current stage \"a\"",
            ),
            ("FROM x AS a\nFROM y\nRUN --mount=from=A,target=/a true\n", "[0, 1]"),
            ("FROM x AS a\nFROM y\nRUN --mount=type=cache,from=a,target=/a true\n", "[0, 1]"),
            ("FROM x AS a\nFROM y\nRUN --mount=target=/a,from=other true\n", "[1]"),
            // A number is an image's name there.
            ("FROM x AS a\nFROM y\nRUN --mount=from=0,target=/a true\n", "[1]"),
            ("FROM x AS named\nFROM y\nRUN --mount=from=named,target=/a true\n", "[1]"),
            (
                "FROM x AS a\nRUN --mount=from=a,target=/a true\n",
                "circular dependency detected on stage: a",
            ),
            ("ARG SOURCE_DATE_EPOCH=soon\nFROM x\n", "invalid SOURCE_DATE_EPOCH: soon"),
        ] {
            assert_eq!(order(text, None, &[]), expected, "{text}");
        }
        assert_eq!(order("ARG B\nFROM x AS a\nFROM $B\n", None, &[("B", "a")]), "[0, 1]");
    }

    #[test]
    fn arguments_are_declared_wherever_they_stand() {
        let (dockerfile, _) = dockerfile::parse(
            "ARG A B=1\nFROM x\nARG C\nFROM y\nONBUILD ARG D\nONBUILD RUN true\nENV E=1\n",
        );
        assert_eq!(Plan::declared(&dockerfile), ["A", "B", "C", "D"]);
    }
}
