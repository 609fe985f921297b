//! ENV, LABEL, USER and the rest that change only the configuration. Pure.

use serde_json::{Map, Value};

use super::error::Fault;
use super::history;
use super::state::State;
use crate::dockerfile::{
    Check, Command, Expander, Healthcheck, Instruction, Pair, parse_trigger, value,
};
use crate::image;

/// Changes `state` as the instruction says.
///
/// Returns what the history says about it; nothing for `ARG` and `ONBUILD`'s kind, which leave no
/// entry. Instructions that touch files are not for this room's part and answer None unchanged.
pub(super) fn apply(
    instruction: &Instruction,
    state: &mut State,
    escape: char,
) -> Result<Option<String>, Fault> {
    let before = state.scope.clone();
    let get = |name: &str| before.get(name).map(str::to_owned);
    let expander = Expander::new(escape, &get);
    let shell = state.shell();
    let runtime = &mut state.config.runtime;
    let said = match instruction {
        Instruction::Env(env) => {
            let pairs = expand_pairs(&expander, &env.pairs)?;
            for (name, value) in &pairs {
                runtime.set_env(name, value);
                state.scope.set(name, value);
            }
            format!("ENV {}", joined(&pairs))
        }
        Instruction::Label(label) => {
            let pairs = expand_pairs(&expander, &label.pairs)?;
            runtime.labels.extend(pairs.iter().cloned());
            format!("LABEL {}", joined(&pairs))
        }
        Instruction::Cmd(cmd) => {
            let (words, is_shell) = argv(&cmd.command, &shell);
            let said = format!("CMD {}", history::quoted(&words));
            runtime.cmd = Some(words).filter(|words| !words.is_empty());
            runtime.args_escaped = is_shell.then_some(true);
            state.own_command = true;
            said
        }
        Instruction::Entrypoint(entrypoint) => {
            let (words, is_shell) = argv(&entrypoint.command, &shell);
            let said = format!("ENTRYPOINT {}", history::quoted(&words));
            runtime.entrypoint = Some(words).filter(|words| !words.is_empty());
            if is_shell {
                runtime.args_escaped = Some(true);
            }
            if !state.own_command {
                runtime.cmd = None;
            }
            said
        }
        Instruction::User(user) => {
            let user = expander.word(&user.user)?;
            runtime.user.clone_from(&user);
            format!("USER {user}")
        }
        Instruction::Expose(expose) => {
            let mut words = Vec::new();
            for port in &expose.ports {
                words.extend(expander.words(port)?);
            }
            let ports = value::expose(&words)?;
            runtime.exposed_ports.extend(ports.iter().map(|port| (port.clone(), empty())));
            format!("EXPOSE {}", history::listed(&ports))
        }
        Instruction::Volume(volume) => {
            let mut paths = Vec::new();
            for path in &volume.paths {
                let path = expander.word(path)?;
                if path.is_empty() {
                    return Err(Fault::EmptyVolume);
                }
                paths.push(path);
            }
            runtime.volumes.extend(paths.iter().map(|path| (path.clone(), empty())));
            format!("VOLUME {}", history::listed(&paths))
        }
        Instruction::StopSignal(stop) => {
            let signal = expander.word(&stop.signal)?;
            value::stop_signal(&signal)?;
            runtime.stop_signal = Some(signal.clone());
            format!("STOPSIGNAL {signal}")
        }
        Instruction::Healthcheck(check) => {
            let check = healthcheck(check);
            let said = history::healthcheck(&check);
            runtime.healthcheck = Some(check);
            said
        }
        Instruction::Shell(shell) => {
            runtime.shell = Some(shell.command.clone());
            format!("SHELL {}", history::listed(&shell.command))
        }
        Instruction::Maintainer(maintainer) => {
            state.config.author = Some(maintainer.name.clone());
            format!("MAINTAINER {}", maintainer.name)
        }
        Instruction::Onbuild(onbuild) => {
            // What would fail in the child's build is an error of this file.
            parse_trigger(&onbuild.trigger)
                .map_err(|diagnostic| Fault::Trigger(diagnostic.message))?;
            runtime.on_build.push(onbuild.trigger.clone());
            return Ok(None);
        }
        Instruction::Add(_)
        | Instruction::Arg(_)
        | Instruction::Copy(_)
        | Instruction::Run(_)
        | Instruction::Workdir(_) => return Ok(None),
    };
    Ok(Some(said))
}

/// A command as a configuration keeps it, and whether it came in the shell form.
pub(super) fn argv(command: &Command, shell: &[String]) -> (Vec<String>, bool) {
    match command {
        Command::Exec(words) => (words.clone(), false),
        Command::Shell(text) => (shell.iter().cloned().chain([text.clone()]).collect(), true),
    }
}

fn healthcheck(check: &Healthcheck) -> image::Healthcheck {
    let Healthcheck::Check(check) = check else {
        return image::Healthcheck { test: vec!["NONE".into()], ..Default::default() };
    };
    let Check { command, interval, timeout, start_period, start_interval, retries } = check;
    let test = match command {
        Command::Shell(text) => vec!["CMD-SHELL".to_owned(), text.clone()],
        Command::Exec(words) => {
            ["CMD".to_owned()].into_iter().chain(words.iter().cloned()).collect()
        }
    };
    let nanoseconds = |time: &Option<std::time::Duration>| {
        time.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)).filter(|time| *time > 0)
    };
    image::Healthcheck {
        test,
        interval: nanoseconds(interval),
        timeout: nanoseconds(timeout),
        start_period: nanoseconds(start_period),
        start_interval: nanoseconds(start_interval),
        retries: Some(u64::from(*retries)).filter(|retries| *retries > 0),
        extra: Map::new(),
    }
}

fn expand_pairs(expander: &Expander<'_>, pairs: &[Pair]) -> Result<Vec<(String, String)>, Fault> {
    pairs.iter().map(|pair| Ok((expander.word(&pair.key)?, expander.word(&pair.value)?))).collect()
}

fn joined(pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(" ")
}

/// Go's `struct{}`, the value of sets in configurations.
fn empty() -> Value {
    Value::Object(Map::new())
}
