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
    let shell = state.shell();
    let scope = &state.scope;
    let get = |name: &str| scope.get(name).map(str::to_owned);
    let expander = Expander::new(escape, &get);
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
            let words = argv(&cmd.command, &shell);
            let said = format!("CMD {}", history::quoted(&words));
            runtime.cmd = Some(words).filter(|words| !words.is_empty());
            // Whatever its form is, and of CMD alone; it has a meaning on Windows only.
            runtime.args_escaped = Some(true);
            state.own_command = true;
            said
        }
        Instruction::Entrypoint(entrypoint) => {
            let words = argv(&entrypoint.command, &shell);
            let said = format!("ENTRYPOINT {}", history::quoted(&words));
            runtime.entrypoint = Some(words).filter(|words| !words.is_empty());
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
        | Instruction::Rsync(_)
        | Instruction::Run(_)
        | Instruction::Workdir(_) => return Ok(None),
    };
    Ok(Some(said))
}

/// A command as a configuration keeps it.
pub(super) fn argv(command: &Command, shell: &[String]) -> Vec<String> {
    match command {
        Command::Exec(words) => words.clone(),
        Command::Shell(text) => shell.iter().cloned().chain([text.clone()]).collect(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Config, Platform};

    fn state(config: Config) -> State {
        State::new(config, &[])
    }

    /// Applies all instructions, and gives what the history says about each.
    fn apply_all(state: &mut State, text: &str) -> Vec<String> {
        text.lines()
            .map(|line| {
                let located = parse_trigger(line).unwrap_or_else(|error| panic!("{error:?}"));
                match apply(&located.value, state, '\\') {
                    Ok(said) => said.unwrap_or_default(),
                    Err(fault) => format!("! {fault}"),
                }
            })
            .collect()
    }

    #[test]
    fn the_history_has_the_words_of_the_reference() {
        let mut state = state(Config::scratch(&Platform::new("linux", "amd64", None)));
        for (line, expected) in [
            ("ENV a=1 b=$a c=\"x y\"", "ENV a=1 b= c=x y"),
            ("ENV b=$a", "ENV b=1"),
            ("LABEL $a=$b", "LABEL 1=1"),
            ("CMD echo $a", r#"CMD ["/bin/sh" "-c" "echo $a"]"#),
            (r#"ENTRYPOINT ["a", "b c"]"#, r#"ENTRYPOINT ["a" "b c"]"#),
            ("USER $a:root", "USER 1:root"),
            ("EXPOSE 80 $a-3/UDP 80", "EXPOSE [1/udp 2/udp 3/udp 80/tcp 80/tcp]"),
            ("EXPOSE 80/xyz", "! invalid port: \"80/xyz\": invalid proto: xyz"),
            ("VOLUME /a $b", "VOLUME [/a 1]"),
            ("VOLUME /a $none", "! VOLUME specified can not be an empty string"),
            ("STOPSIGNAL SIGTERM", "STOPSIGNAL SIGTERM"),
            ("STOPSIGNAL $none", "! invalid signal: "),
            (r#"SHELL ["/bin/bash", "-c"]"#, "SHELL [/bin/bash -c]"),
            ("CMD x", r#"CMD ["/bin/bash" "-c" "x"]"#),
        ] {
            assert_eq!(apply_all(&mut state, line), [expected], "{line}");
        }
        let env: Vec<&str> = state.config.runtime.env.iter().map(String::as_str).collect();
        assert_eq!(env[1..], ["a=1", "b=1", "c=x y"]);
        assert!(env[0].starts_with("PATH=/usr/local/sbin:"), "{env:?}");
        assert_eq!(state.config.runtime.working_dir, "/");
    }

    #[test]
    fn an_entrypoint_clears_an_inherited_command_alone() {
        let words = |text: &str| Some(vec![text.to_owned()]);
        for (lines, cmd, entrypoint) in [
            ("ENTRYPOINT [\"e\"]", None, words("e")),
            ("CMD [\"c\"]\nENTRYPOINT [\"e\"]", words("c"), words("e")),
            ("ENTRYPOINT []", None, None),
            ("CMD []", None, words("old")),
            ("CMD [\"c\"]", words("c"), words("old")),
        ] {
            let mut config = Config::default();
            config.runtime.cmd = words("base");
            config.runtime.entrypoint = words("old");
            let mut state = state(config);
            apply_all(&mut state, lines);
            let runtime = &state.config.runtime;
            assert_eq!((&runtime.cmd, &runtime.entrypoint), (&cmd, &entrypoint), "{lines}");
            // A stage on top inherits the command, so its entry point clears it.
            let mut child = state.inherit();
            apply_all(&mut child, "ENTRYPOINT [\"e\"]");
            assert_eq!(child.config.runtime.cmd, None, "{lines}");
        }
    }

    #[test]
    fn triggers_are_kept_as_they_are_written() {
        let mut state = state(Config::default());
        let onbuild = |trigger: &str| {
            Instruction::Onbuild(crate::dockerfile::Onbuild { trigger: trigger.to_owned() })
        };
        let said = apply(&onbuild("RUN echo $A"), &mut state, '\\').expect("a trigger");
        assert_eq!((said, &state.config.runtime.on_build[..]), (None, &["RUN echo $A".into()][..]));
        assert!(apply(&onbuild("COPY x"), &mut state, '\\').is_err());
    }

    #[test]
    fn a_health_check_keeps_what_it_says() {
        let mut state = state(Config::default());
        let said = apply_all(&mut state, "HEALTHCHECK --interval=90s --retries=3 CMD x y");
        assert_eq!(
            said,
            ["HEALTHCHECK {Test:[CMD-SHELL x y] Interval:1m30s Timeout:0s StartPeriod:0s \
              StartInterval:0s Retries:3}"]
        );
        let check = state.config.runtime.healthcheck.clone().expect("a check");
        assert_eq!((check.interval, check.timeout), (Some(90_000_000_000), None));
        apply_all(&mut state, "HEALTHCHECK NONE");
        assert_eq!(state.config.runtime.healthcheck.expect("a check").test, ["NONE"]);
    }
}
