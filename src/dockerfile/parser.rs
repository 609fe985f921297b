//! [`Node`]s to instructions: what the syntax leaves open is judged here.

use super::flags::Flags;
use super::rsync::Rsync;
use super::suggest::suggest_keyword;
use super::syntax::{Form, Node, read};
use super::{
    Add, Arg, Argument, Check, Cmd, Command, Copy, Device, Diagnostic, Dockerfile, Entrypoint, Env,
    Expose, From, Healthcheck, Instruction, Label, Located, Maintainer, Mount, Network, Onbuild,
    Pair, Run, Security, Severity, Shell, Source, Span, Stage, StopSignal, User, Volume, Word,
    Workdir, heredoc, value,
};

pub(super) const NAMES: [&str; 19] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RSYNC",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Reads a Dockerfile. It never fails: what is wrong is in the diagnostics, and the file can be
/// built when none of them [is an error](Diagnostic::is_error).
pub fn parse(text: &str) -> (Dockerfile, Vec<Diagnostic>) {
    let (syntax, mut diagnostics) = read(text);
    let mut file = Dockerfile { directives: syntax.directives, ..Dockerfile::default() };
    let empty = syntax.nodes.is_empty() && !diagnostics.iter().any(Diagnostic::is_error);
    for node in syntax.nodes {
        match statement(&node, &mut diagnostics) {
            Ok(Statement::From(from)) => {
                let steps = declarations(&from, node.span);
                file.stages.push(Stage { from: located(from, &node), steps });
            }
            Ok(Statement::Step(step)) => match (file.stages.last_mut(), step) {
                (Some(stage), step) => stage.steps.push(located(step, &node)),
                (None, Instruction::Arg(arg)) => file.arguments.push(located(arg, &node)),
                (None, _) => diagnostics.push(
                    Diagnostic::error(node.span, "no build stage in current context")
                        .with_hint(Some("only ARG may stand before the first FROM".to_owned())),
                ),
            },
            Err(mut error) => {
                error.message =
                    format!("dockerfile parse error on line {}: {}", node.span.line, error.message);
                diagnostics.push(error);
            }
        }
    }
    let nowhere = Span { start: 0, end: 0, line: 1, end_line: 1 };
    let missing = match () {
        () if text.is_empty() => Some("the Dockerfile cannot be empty"),
        () if empty => Some("file with no instructions"),
        () if file.stages.is_empty() && !diagnostics.iter().any(Diagnostic::is_error) => {
            Some("dockerfile contains no stages to build")
        }
        () => None,
    };
    diagnostics.extend(missing.map(|message| Diagnostic::error(nowhere, message)));
    diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
    (file, diagnostics)
}

/// Reads an ONBUILD trigger as an image's configuration keeps it.
pub fn parse_trigger(text: &str) -> Result<Located<Instruction>, Diagnostic> {
    let (syntax, diagnostics) = read(text);
    if let Some(error) = diagnostics.into_iter().find(Diagnostic::is_error) {
        return Err(error);
    }
    let mut nodes = syntax.nodes.into_iter();
    let (Some(node), None) = (nodes.next(), nodes.next()) else {
        let nowhere = Span { start: 0, end: text.len(), line: 1, end_line: 1 };
        return Err(Diagnostic::error(nowhere, "an ONBUILD trigger is one instruction"));
    };
    allowed_as_trigger(&node)?;
    match statement(&node, &mut Vec::new())? {
        Statement::Step(step) => Ok(located(step, &node)),
        Statement::From(_) => Err(wrong(&node, "FROM isn't allowed as an ONBUILD trigger")),
    }
}

fn located<T>(value: T, node: &Node) -> Located<T> {
    Located { value, span: node.span, original: node.original.trim().to_owned() }
}

enum Statement {
    From(From),
    Step(Instruction),
}

fn wrong(node: &Node, message: impl Into<String>) -> Diagnostic {
    Diagnostic::error(node.span, message)
}

/// One instruction. Warnings are added to the diagnostics, the first error is returned.
fn statement(node: &Node, warnings: &mut Vec<Diagnostic>) -> Result<Statement, Diagnostic> {
    Ok(Statement::Step(match node.keyword.to_ascii_uppercase().as_str() {
        "FROM" => return from(node).map(Statement::From),
        "ADD" => Instruction::Add(add(node)?),
        "ARG" => Instruction::Arg(arg(node, warnings)?),
        "CMD" => Instruction::Cmd(Cmd { command: only_command(node)? }),
        "COPY" => Instruction::Copy(copy(node)?),
        "ENTRYPOINT" => Instruction::Entrypoint(Entrypoint { command: only_command(node)? }),
        "ENV" => Instruction::Env(Env { pairs: pairs(node, "ENV")? }),
        "EXPOSE" => Instruction::Expose(expose(node)?),
        "HEALTHCHECK" => Instruction::Healthcheck(healthcheck(node)?),
        "LABEL" => Instruction::Label(Label { pairs: pairs(node, "LABEL")? }),
        "MAINTAINER" => {
            Instruction::Maintainer(Maintainer { name: single(node, "MAINTAINER")?.to_owned() })
        }
        "ONBUILD" => Instruction::Onbuild(onbuild(node, warnings)?),
        "NSYNC" | "RSYNC" => {
            Instruction::Rsync(Rsync::parse(&node.arguments).map_err(|why| wrong(node, why))?)
        }
        "RUN" => Instruction::Run(run(node)?),
        "SHELL" => Instruction::Shell(shell(node)?),
        "STOPSIGNAL" => {
            without_flags(node, warnings);
            Instruction::StopSignal(StopSignal { signal: Word::new(only(node, "STOPSIGNAL")?) })
        }
        "USER" => Instruction::User(User { user: Word::new(single(node, "USER")?) }),
        "VOLUME" => Instruction::Volume(volume(node)?),
        "WORKDIR" => Instruction::Workdir(Workdir { path: Word::new(single(node, "WORKDIR")?) }),
        _ => {
            let meant = suggest_keyword(&node.keyword, &NAMES)
                .map_or_else(String::new, |name| format!(" (did you mean {name}?)"));
            let message = format!("unknown instruction: {}{meant}", node.keyword);
            return Err(Diagnostic::error(node.keyword_span, message));
        }
    }))
}

fn from(node: &Node) -> Result<From, Diagnostic> {
    let (image, name) = match &node.arguments[..] {
        [image] => (image, None),
        [image, keyword, name] if keyword.eq_ignore_ascii_case("as") => (image, Some(name)),
        _ => return Err(wrong(node, "FROM requires either one or three arguments")),
    };
    if let Some(name) = name.filter(|name| !is_stage_name(&name.to_ascii_lowercase())) {
        return Err(wrong(
            node,
            format!(
                "invalid name for build stage: {name:?}, name can't start with a number or contain \
                 symbols"
            ),
        ));
    }
    let mut flags = Flags::parse(node)?;
    let argument = |text: String| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            Ok(Argument { name: Word::new(name), default: Some(Word::new(value)) })
        }
        _ => Err(wrong(node, format!("FROM --arg requires NAME=VALUE, not {text:?}"))),
    };
    Ok(From {
        image: Word::new(image),
        platform: flags.text("platform").map(Word::new),
        arguments: flags.texts("arg").into_iter().map(argument).collect::<Result<_, _>>()?,
        name: name.map(|name| name.to_ascii_lowercase()),
    })
}

/// What `FROM --arg` means to its stage.
fn declarations(from: &From, span: Span) -> Vec<Located<Instruction>> {
    let arg = |argument: &Argument| {
        let value = argument.default.as_ref().map_or("", Word::raw);
        let original = format!("ARG {}={value}", argument.name);
        let value = Instruction::Arg(Arg { arguments: vec![argument.clone()] });
        Located { value, span, original }
    };
    from.arguments.iter().map(arg).collect()
}

fn is_stage_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|char| {
            char.is_ascii_lowercase() || char.is_ascii_digit() || matches!(char, '-' | '_' | '.')
        })
}

fn arg(node: &Node, warnings: &mut Vec<Diagnostic>) -> Result<Arg, Diagnostic> {
    without_flags(node, warnings);
    at_least_one(node, "ARG")?;
    let arguments = node.arguments.iter().map(|word| match word.split_once('=') {
        Some(("", _)) => Err(wrong(node, "ARG names can not be blank")),
        Some((name, default)) => {
            Ok(Argument { name: Word::new(name), default: Some(Word::new(default)) })
        }
        None => Ok(Argument { name: Word::new(word), default: None }),
    });
    Ok(Arg { arguments: arguments.collect::<Result<_, _>>()? })
}

fn pairs(node: &Node, name: &str) -> Result<Vec<Pair>, Diagnostic> {
    Flags::parse(node)?;
    at_least_one(node, name)?;
    let pair = |pair: &[String]| {
        if pair[0].is_empty() {
            return Err(wrong(node, format!("{name} names can not be blank")));
        }
        Ok(Pair { key: Word::new(&pair[0]), value: Word::new(&pair[1]) })
    };
    node.arguments.chunks_exact(3).map(pair).collect()
}

fn expose(node: &Node) -> Result<Expose, Diagnostic> {
    at_least_one(node, "EXPOSE")?;
    Flags::parse(node)?;
    let mut ports: Vec<Word> = node.arguments.iter().map(Word::new).collect();
    // As written, before variables: the history shows them so.
    ports.sort();
    Ok(Expose { ports })
}

fn at_least_one(node: &Node, name: &str) -> Result<(), Diagnostic> {
    match node.arguments.is_empty() {
        true => Err(wrong(node, format!("{name} requires at least one argument"))),
        false => Ok(()),
    }
}

fn single<'a>(node: &'a Node, name: &str) -> Result<&'a str, Diagnostic> {
    let argument = only(node, name)?;
    Flags::parse(node)?;
    Ok(argument)
}

fn only<'a>(node: &'a Node, name: &str) -> Result<&'a str, Diagnostic> {
    match &node.arguments[..] {
        [argument] => Ok(argument),
        _ => Err(wrong(node, format!("{name} requires exactly one argument"))),
    }
}

/// The reference never looks at the flags of these, so what has some builds.
fn without_flags(node: &Node, warnings: &mut Vec<Diagnostic>) {
    warnings.extend(node.flags.iter().map(|(flag, span)| Diagnostic {
        severity: Severity::Warning,
        rule: None,
        message: format!("{} takes no flags: {flag} means nothing", node.keyword),
        span: *span,
        hint: None,
    }));
}

/// A command line with no flags before it.
fn only_command(node: &Node) -> Result<Command, Diagnostic> {
    Flags::parse(node)?;
    Ok(command(node, &node.arguments))
}

fn command(node: &Node, arguments: &[String]) -> Command {
    match node.form {
        Form::Exec => Command::Exec(arguments.to_vec()),
        Form::Shell => Command::Shell(arguments.first().cloned().unwrap_or_default()),
    }
}

fn run(node: &Node) -> Result<Run, Diagnostic> {
    let mut flags = Flags::parse(node)?;
    let command = command(node, &node.arguments);
    if matches!(&command, Command::Exec(words) if words.is_empty()) {
        return Err(wrong(node, "RUN requires at least one argument"));
    }
    let mounts = flags.texts("mount");
    for mount in &mounts {
        Mount::check(mount).map_err(|error| wrong(node, error.to_string()))?;
    }
    let network = match flags.text("network").as_deref() {
        None | Some("default") => Network::Default,
        Some("none") => Network::None,
        Some("host") => Network::Host,
        Some(other) => return Err(wrong(node, format!("invalid network mode {other:?}"))),
    };
    let security = match flags.text("security").as_deref() {
        None | Some("sandbox") => Security::Sandbox,
        Some("insecure") => Security::Insecure,
        Some(other) => return Err(wrong(node, format!("security {other:?} is not valid"))),
    };
    let device = |text: &String| Device::parse(text).map_err(|e| wrong(node, e.to_string()));
    let devices = flags.texts("device").iter().map(device).collect::<Result<_, _>>()?;
    Ok(Run { command, heredocs: node.heredocs.clone(), mounts, network, security, devices })
}

/// The sources of COPY and ADD, and where they go.
fn sources(node: &Node, name: &str) -> Result<(Vec<Source>, Word), Diagnostic> {
    let Some((destination, sources)) = node.arguments.split_last().filter(|(_, s)| !s.is_empty())
    else {
        let why = "requires at least two arguments, but only one was provided. Destination could \
                   not be determined";
        return Err(wrong(node, format!("{name} {why}")));
    };
    let shell = node.form == Form::Shell;
    if shell && heredoc::open(destination).is_some() {
        return Err(wrong(node, format!("{name} cannot accept a heredoc as a destination")));
    }
    // Blanks separate the words here but not where bodies are looked for (`<< EOF`), so a body
    // belongs to the word that names it.
    let source = |word: &String| {
        let opened = heredoc::open(word).filter(|_| shell)?;
        node.heredocs.iter().find(|heredoc| heredoc.name == opened.name).cloned()
    };
    let sources = sources
        .iter()
        .map(|word| source(word).map_or_else(|| Source::Path(Word::new(word)), Source::Heredoc));
    Ok((sources.collect(), Word::new(destination)))
}

fn copy(node: &Node) -> Result<Copy, Diagnostic> {
    let (sources, destination) = sources(node, "COPY")?;
    let mut flags = Flags::parse(node)?;
    let from = flags.text("from");
    if from.as_ref().is_some_and(|from| from.trim_end_matches('$').contains('$')) {
        return Err(wrong(
            node,
            "variable expansion is not supported for --from, define a new stage with FROM using \
             ARG from global scope as a workaround",
        ));
    }
    Ok(Copy {
        from,
        chown: flags.text("chown").map(Word::new),
        chmod: flags.text("chmod").map(Word::new),
        link: flags.switch("link").unwrap_or(false),
        parents: flags.switch("parents").unwrap_or(false),
        exclude: flags.texts("exclude"),
        sources,
        destination,
    })
}

fn add(node: &Node) -> Result<Add, Diagnostic> {
    let (sources, destination) = sources(node, "ADD")?;
    let mut flags = Flags::parse(node)?;
    Ok(Add {
        chown: flags.text("chown").map(Word::new),
        chmod: flags.text("chmod").map(Word::new),
        checksum: flags.text("checksum").map(Word::new),
        link: flags.switch("link").unwrap_or(false),
        exclude: flags.texts("exclude"),
        keep_git_dir: flags.switch("keep-git-dir"),
        unpack: flags.switch("unpack"),
        sources,
        destination,
    })
}

fn healthcheck(node: &Node) -> Result<Healthcheck, Diagnostic> {
    at_least_one(node, "HEALTHCHECK")?;
    let (kind, arguments) = (node.arguments[0].to_ascii_uppercase(), &node.arguments[1..]);
    if kind == "NONE" {
        return match arguments.is_empty() {
            true => Ok(Healthcheck::None),
            false => Err(wrong(node, "HEALTHCHECK NONE takes no arguments")),
        };
    }
    let mut flags = Flags::parse(node)?;
    if kind != "CMD" {
        return Err(wrong(node, format!("Unknown type {kind:?} in HEALTHCHECK (try CMD)")));
    }
    if arguments.is_empty() {
        return Err(wrong(node, "Missing command after HEALTHCHECK CMD"));
    }
    let mut interval = |name: &str| {
        let Some(text) = flags.text(name) else { return Ok(None) };
        let nanoseconds = value::duration(&text).map_err(|error| wrong(node, error.to_string()))?;
        match nanoseconds {
            0 => Ok(None),
            1_000_000.. => Ok(Some(std::time::Duration::from_nanos(nanoseconds.unsigned_abs()))),
            _ => Err(wrong(node, format!("Interval {name:?} cannot be less than 1ms"))),
        }
    };
    let (interval, timeout, start_period, start_interval) = (
        interval("interval")?,
        interval("timeout")?,
        interval("start-period")?,
        interval("start-interval")?,
    );
    let retries = flags.text("retries").unwrap_or_else(|| "0".to_owned());
    let retries = match retries.parse::<i32>() {
        Ok(retries) => u32::try_from(retries)
            .map_err(|_| wrong(node, format!("--retries cannot be negative ({retries})")))?,
        Err(_) => return Err(wrong(node, format!("--retries is not a number: {retries}"))),
    };
    Ok(Healthcheck::Check(Check {
        command: command(node, arguments),
        interval,
        timeout,
        start_period,
        start_interval,
        retries,
    }))
}

fn shell(node: &Node) -> Result<Shell, Diagnostic> {
    Flags::parse(node)?;
    at_least_one(node, "SHELL")?;
    match node.form {
        Form::Exec => Ok(Shell { command: node.arguments.clone() }),
        Form::Shell => Err(wrong(node, "SHELL requires the arguments to be in JSON form")),
    }
}

fn volume(node: &Node) -> Result<Volume, Diagnostic> {
    at_least_one(node, "VOLUME")?;
    Flags::parse(node)?;
    let path = |path: &String| match path.trim() {
        "" => Err(wrong(node, "VOLUME specified can not be an empty string")),
        path => Ok(Word::new(path)),
    };
    Ok(Volume { paths: node.arguments.iter().map(path).collect::<Result<_, _>>()? })
}

fn onbuild(node: &Node, warnings: &mut Vec<Diagnostic>) -> Result<Onbuild, Diagnostic> {
    let Some(trigger) = &node.trigger else {
        return Err(wrong(node, "ONBUILD requires at least one argument"));
    };
    Flags::parse(node)?;
    allowed_as_trigger(trigger)?;
    // The reference looks at a trigger only when it fires; whoever wrote it is better told now.
    if let Err(error) = statement(trigger, warnings) {
        let message = format!("this trigger will fail: {}", error.message);
        warnings.push(Diagnostic { severity: Severity::Warning, message, ..error });
    }
    // Blanks at its end stay, in the configuration too.
    let line = node.original.trim_start()[node.keyword.len()..].trim_start();
    Ok(Onbuild { trigger: heredoc::with_bodies(line, &node.heredocs) })
}

fn allowed_as_trigger(trigger: &Node) -> Result<(), Diagnostic> {
    match trigger.keyword.to_ascii_uppercase().as_str() {
        "ONBUILD" => Err(wrong(trigger, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")),
        name @ ("FROM" | "MAINTAINER") => {
            Err(wrong(trigger, format!("{name} isn't allowed as an ONBUILD trigger")))
        }
        _ => Ok(()),
    }
}
