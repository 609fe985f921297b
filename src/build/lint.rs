//! The lint rules that need variables: what an instruction says in a stage's scope. Pure.

use super::plan::Plan;
use super::scope::{Given, Globals};
use super::state::State;
use crate::dockerfile::lint::{is_secret, warning};
use crate::dockerfile::{
    self, Command, Diagnostic, Dockerfile, Expander, Ignore, Instruction, Located, Source, Span,
    Word, suggest,
};
use crate::image::{Config, Platform, Reference};

/// What is said about the `FROM` lines.
pub(super) fn bases(file: &Dockerfile, globals: &Globals, given: &Given) -> Vec<Diagnostic> {
    let escape = file.directives.escape;
    let (globals_alone, given_nothing) = (globals, given.without_arguments());
    let without = Plan::globals(&file.arguments, &given_nothing, escape).ok();
    let declared = Plan::declared_globals(file);
    let mut found = Vec::new();
    for stage in &file.stages {
        let (from, span) = (&stage.from.value, stage.from.span);
        // What is wrong with its own arguments ends the build.
        let own = |globals: &Globals, given| globals.seen_by(from, given, escape).ok();
        let seen = own(globals_alone, given);
        let globals = seen.as_ref().unwrap_or(globals_alone);
        let without = without.as_ref().and_then(|without| own(without, &given_nothing));
        let get = |name: &str| globals.get(name).map(str::to_owned);
        let expander = Expander::new(escape, &get);
        for word in [Some(&from.image), from.platform.as_ref()].into_iter().flatten() {
            for used in expander.uses(word.raw()) {
                if globals.get(&used).is_some() || declared.contains(&used) {
                    continue;
                }
                let names = globals.names().chain(declared.iter().map(String::as_str));
                let meant = meant(&used, names, "");
                let message = format!("FROM argument '{used}' is not declared{meant}");
                found.push(warning(span, "UndefinedArgInFrom", message));
            }
        }
        if let Some(without) = &without {
            let get = |name: &str| without.get(name).map(str::to_owned);
            let image = Expander::new(escape, &get).word(&from.image);
            if image.is_ok_and(|image| image.parse::<Reference>().is_err())
                && !expander.uses(from.image.raw()).is_empty()
            {
                let message = format!(
                    "Default value for ARG {} results in empty or invalid base image name",
                    from.image
                );
                found.push(warning(span, "InvalidDefaultArgInFrom", message));
            }
        }
        if let Some(word) = &from.platform {
            let uses = expander.uses(word.raw());
            let name = from.name.as_deref().unwrap_or_default();
            let platform = expander.word(word).unwrap_or_default();
            let is_target = globals.get("TARGETPLATFORM") == Some(&platform);
            found.extend(constant_platform(word, &uses, is_target, name, span));
        }
    }
    found
}

fn constant_platform(
    word: &Word,
    uses: &[String],
    is_target: bool,
    name: &str,
    span: Span,
) -> Option<Diagnostic> {
    let raw = word.raw();
    match uses {
        [] => {
            // A stage whose name says what it is for is meant for that alone.
            let platform: Platform = raw.parse().ok()?;
            let says = name.contains(&platform.os) || name.contains(&platform.architecture);
            let message = format!("FROM --platform flag should not use constant value {raw:?}");
            (!says).then(|| warning(span, "FromPlatformFlagConstDisallowed", message))
        }
        [only] if only == "TARGETPLATFORM" && is_target => {
            let message = format!(
                "Setting platform to predefined {raw} in FROM is redundant as this is the default \
                 behavior"
            );
            Some(warning(span, "RedundantTargetPlatform", message))
        }
        _ => None,
    }
}

/// Whether the base is an image for another machine.
pub(super) fn base_platform(
    reference: &Reference,
    config: &Config,
    wanted: &Platform,
    span: Span,
) -> Option<Diagnostic> {
    let is = config.platform();
    if config.architecture.is_empty()
        || (&is.os, &is.architecture) == (&wanted.os, &wanted.architecture)
    {
        return None;
    }
    let message = format!(
        "Base image {} was pulled with platform {:?}, expected {:?} for current build",
        reference.familiar(),
        is.to_string(),
        wanted.to_string()
    );
    Some(warning(span, "InvalidBaseImagePlatform", message))
}

/// A stage as the rules see it, before an instruction.
pub(super) struct View<'a> {
    pub(super) state: &'a State,
    pub(super) escape: char,
    /// What the base brings along is known.
    pub(super) is_base_known: bool,
    /// A WORKDIR stood in this stage or one below.
    pub(super) has_workdir: bool,
    /// What the context leaves out.
    pub(super) ignore: Option<&'a Ignore>,
    pub(super) given: &'a Given,
}

/// What is said about an instruction of a stage.
pub(super) fn step(located: &Located<Instruction>, view: &View<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut warn = |rule, message| found.push(warning(located.span, rule, message));
    let scope = &view.state.scope;
    let get = |name: &str| scope.get(name).map(str::to_owned);
    let expander = Expander::new(view.escape, &get);
    undefined(&located.value, &expander, view, &mut warn);
    match &located.value {
        Instruction::Cmd(dockerfile::Cmd { command })
        | Instruction::Entrypoint(dockerfile::Entrypoint { command }) => {
            let is_text = matches!(command, Command::Shell(_));
            if is_text && view.state.config.runtime.shell.is_none() {
                let message = format!(
                    "JSON arguments recommended for {} to prevent unintended behavior related to \
                     OS signals",
                    located.keyword()
                );
                warn("JSONArgsRecommended", message);
            }
        }
        Instruction::Workdir(workdir) if !view.has_workdir => {
            if let Ok(path) = expander.word(&workdir.path)
                && !path.starts_with('/')
            {
                let message = format!(
                    "Relative workdir {path:?} can have unexpected results if the base image \
                     changes"
                );
                warn("WorkdirRelativePath", message);
            }
        }
        Instruction::Env(env) => {
            let names: Vec<&Word> = env.pairs.iter().map(|pair| &pair.key).collect();
            secrets(&names, |name| found.push(secret("ENV", name, located.span)));
        }
        Instruction::Arg(arg) => {
            let names: Vec<&Word> = arg.arguments.iter().map(|argument| &argument.name).collect();
            secrets(&names, |name| found.push(secret("ARG", name, located.span)));
        }
        Instruction::Expose(expose) => {
            let words = expose.ports.iter().filter_map(|port| expander.words(port).ok()).flatten();
            words.for_each(|word| self::expose(&word, &mut warn));
        }
        Instruction::Copy(copy) if copy.from.is_none() => {
            ignored("Copy", &copy.sources, &expander, view.ignore, &mut warn);
        }
        Instruction::Add(add) => {
            ignored("Add", &add.sources, &expander, view.ignore, &mut warn);
        }
        _ => {}
    }
    if !view.is_base_known {
        let unsure = |diagnostic: &&mut Diagnostic| diagnostic.rule == Some("UndefinedVar");
        for diagnostic in found.iter_mut().filter(unsure) {
            diagnostic.hint = Some(UNSURE.to_owned());
        }
    }
    found
}

/// Of an image that is not here nobody knows the environment.
pub(super) const UNSURE: &str =
    "the base image is not here, and may define it: `bryo pull` it to be sure";

fn undefined(
    instruction: &Instruction,
    expander: &Expander<'_>,
    view: &View<'_>,
    warn: &mut impl FnMut(&'static str, String),
) {
    let scope = &view.state.scope;
    let mut check = |mut uses: Vec<String>, declared: &[&str]| {
        uses.sort_unstable();
        uses.dedup();
        for used in uses {
            let is_declared = scope.is_declared(&used) || declared.contains(&used.as_str());
            if is_declared || scope.get(&used).is_some() {
                continue;
            }
            let names = scope.environment().iter().map(|(name, _)| name.as_str());
            let meant = meant(&used, names, "$");
            warn("UndefinedVar", format!("Usage of undefined variable '${used}'{meant}"));
        }
    };
    match instruction {
        // The reference looks at its variables only when it looks at its ports.
        Instruction::Expose(_) => return,
        // A default that does not count is not looked at; each sees those before it.
        Instruction::Arg(arg) => {
            let mut declared: Vec<&str> = Vec::new();
            for argument in &arg.arguments {
                let name = argument.name.raw();
                if let (Some(default), None) = (&argument.default, view.given.argument(name)) {
                    check(expander.uses(default.raw()), &declared);
                }
                declared.push(name);
            }
            return;
        }
        _ => {}
    }
    for word in words(instruction) {
        check(expander.uses(word), &[]);
    }
    for body in bodies(instruction) {
        check(expander.uses_of_body(body), &[]);
    }
}

/// The here-documents of an instruction in which variables count.
fn bodies(instruction: &Instruction) -> Vec<&str> {
    let (Instruction::Add(dockerfile::Add { sources, .. })
    | Instruction::Copy(dockerfile::Copy { sources, .. })) = instruction
    else {
        return Vec::new();
    };
    let bodies = sources.iter().filter_map(|source| match source {
        Source::Heredoc(heredoc) if heredoc.expand => Some(heredoc.content.as_str()),
        _ => None,
    });
    bodies.collect()
}

/// The texts of an instruction in which variables count.
pub(super) fn words(instruction: &Instruction) -> Vec<&str> {
    fn files<'a>(
        sources: &'a [Source],
        destination: &'a Word,
        options: [&'a Option<Word>; 3],
    ) -> Vec<&'a str> {
        let paths = sources.iter().filter_map(|source| match source {
            Source::Path(word) => Some(word),
            Source::Heredoc(_) => None,
        });
        let options = options.into_iter().flatten();
        paths.chain([destination]).chain(options).map(Word::raw).collect()
    }
    match instruction {
        Instruction::Add(add) => {
            files(&add.sources, &add.destination, [&add.chown, &add.chmod, &add.checksum])
        }
        Instruction::Copy(copy) => {
            files(&copy.sources, &copy.destination, [&copy.chown, &copy.chmod, &None])
        }
        Instruction::Arg(arg) => {
            arg.arguments.iter().filter_map(|a| a.default.as_ref()).map(Word::raw).collect()
        }
        Instruction::Env(dockerfile::Env { pairs })
        | Instruction::Label(dockerfile::Label { pairs }) => {
            pairs.iter().flat_map(|pair| [pair.key.raw(), pair.value.raw()]).collect()
        }
        Instruction::Expose(expose) => expose.ports.iter().map(Word::raw).collect(),
        Instruction::Rsync(rsync) => {
            let words = rsync.options.iter().chain(&rsync.sources).chain([&rsync.destination]);
            words.map(Word::raw).collect()
        }
        Instruction::Run(run) => run.mounts.iter().map(String::as_str).collect(),
        Instruction::StopSignal(stop) => vec![stop.signal.raw()],
        Instruction::User(user) => vec![user.user.raw()],
        Instruction::Volume(volume) => volume.paths.iter().map(Word::raw).collect(),
        Instruction::Workdir(workdir) => vec![workdir.path.raw()],
        Instruction::Cmd(_)
        | Instruction::Entrypoint(_)
        | Instruction::Healthcheck(_)
        | Instruction::Maintainer(_)
        | Instruction::Onbuild(_)
        | Instruction::Shell(_) => Vec::new(),
    }
}

fn secrets<'a>(names: &[&'a Word], mut tell: impl FnMut(&'a str)) {
    names.iter().map(|name| name.raw()).filter(|name| is_secret(name)).for_each(&mut tell);
}

fn secret(keyword: &str, name: &str, span: Span) -> Diagnostic {
    let message =
        format!("Do not use ARG or ENV instructions for sensitive data ({keyword} {name:?})");
    warning(span, "SecretsUsedInArgOrEnv", message)
}

fn expose(word: &str, warn: &mut impl FnMut(&'static str, String)) {
    let (address, protocol) = word.split_once('/').unwrap_or((word, ""));
    if protocol != protocol.to_lowercase() {
        let message =
            format!("Defined protocol '{word}' in EXPOSE instruction should be lowercase");
        warn("ExposeProtoCasing", message);
    }
    let before = address.rsplit_once(':').map_or("", |(before, _)| before);
    if before.contains(|char| char != ':') {
        let message = format!(
            "EXPOSE instruction should not define an IP address or host-port mapping, found \
             '{word}'"
        );
        warn("ExposeInvalidFormat", message);
    }
}

/// Exceptions make it hard to say what of a directory is left, so nothing is said with any.
fn ignored(
    verb: &str,
    sources: &[Source],
    expander: &Expander<'_>,
    ignore: Option<&Ignore>,
    warn: &mut impl FnMut(&'static str, String),
) {
    let Some(ignore) = ignore.filter(|ignore| !ignore.has_exceptions()) else { return };
    for source in sources {
        let Source::Path(word) = source else { continue };
        let Ok(path) = expander.word(word) else { continue };
        if path.contains("://") || path.starts_with("git@") {
            continue;
        }
        let path = crate::rootfs::clean(path.as_ref()).to_string_lossy().into_owned();
        let is_ignored = match path.as_str() {
            "" | "." => ignore.patterns().any(|p| matches!(p.as_str(), "*" | "**" | "**/*")),
            path => ignore.is_ignored(path),
        };
        if is_ignored {
            let path = if path.is_empty() { "." } else { &path };
            let message =
                format!("Attempting to {verb} file {path:?} that is excluded by .dockerignore");
            warn("CopyIgnoredFile", message);
        }
    }
}

fn meant<'a>(name: &str, names: impl Iterator<Item = &'a str>, sign: &str) -> String {
    suggest(name, names).map_or_else(String::new, |name| format!(" (did you mean {sign}{name}?)"))
}
