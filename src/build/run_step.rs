//! RUN.

use super::config_step::argv;
use super::error::Fault;
use super::execute::{Deed, Executor, Step};
use super::history;
use super::key::KeyMaker;
use super::state::State;
use crate::dockerfile::{Network, Run, Script, Security};
use crate::fakeroot::{Command, Prepared};
use crate::report::Activity;
use crate::rootfs;
use crate::run;
use crate::sandbox::{Mount, Output, What};
use crate::store::Snapshot;

pub(super) fn plan<'d>(
    executor: &'d Executor<'_>,
    run: &Run,
    step: &mut Step<'_>,
) -> Result<Deed<'d>, Fault> {
    let Run { command: _, heredocs: _, mounts, network, security, devices } = run;
    let unsupported =
        |what: &str, remedy| Err(Fault::Unsupported { what: what.to_owned(), remedy });
    if !mounts.is_empty() {
        return unsupported("RUN --mount", "COPY what it needs, and remove it in the same stage");
    }
    if !devices.is_empty() {
        return unsupported("RUN --device", "leave it out");
    }
    if *network == Network::None {
        return unsupported("RUN --network=none", "leave it out: the host's network is used");
    }
    if *security == Security::Insecure {
        return unsupported("RUN --security=insecure", "leave it out: nothing runs with privilege");
    }
    let shell = step.state.shell();
    let in_shell = |text: String| shell.iter().cloned().chain([text]).collect();
    let (words, script): (Vec<String>, _) = match run.script() {
        None => (argv(&run.command, &shell).0, None),
        Some(Script::Text(text)) => (in_shell(text), None),
        Some(Script::File { path, content }) => (in_shell(path.clone()), Some((path, content))),
    };
    if words.is_empty() {
        return Err(Fault::NoCommand);
    }
    let (script_path, script) = script.unzip();
    let prepared = prepare(executor, Command { argv: words.clone(), script }, step.state)?;
    let state = &*step.state;
    let Prepared { mode, command, injection } = &prepared;
    let environment: Vec<String> =
        state.scope.environment().iter().map(|(name, value)| format!("{name}={value}")).collect();
    let key = KeyMaker::new("run", state.chain_id().as_ref())
        .list("argv", &command.argv)
        .list("scripts", &command.script)
        .list("environment", sorted(&environment))
        .field("directory", state.directory())
        .field("user", &state.config.runtime.user)
        .field("root emulation", mode.name())
        .optional("profile", injection.as_ref().map(|found| found.profile.digest.to_string()))
        .optional("set up", injection.as_ref().map(|found| found.set_up.to_string()))
        .finish();
    let said = history::run(state.scope.arguments(), &words);
    let proxies = executor.given.proxies();
    let absent = proxies.iter().filter(|(name, _)| state.scope.get(name).is_none());
    let environment: Vec<String> = environment
        .iter()
        .cloned()
        .chain(absent.map(|(name, value)| format!("{name}={value}")))
        .collect();
    let mounts = script_path.zip(command.script.clone()).map(|(path, content)| {
        let what = What::File { content: content.into_bytes(), executable: true };
        Mount::new(path, what)
    });
    let mounts = mounts.into_iter().collect();
    let options = run::Options { env: environment, mounts, ..run::Options::default() };
    let runtime = state.config.runtime.clone();
    let activity: Activity = step.activity;
    let act = move |snapshot: &mut Snapshot<'_>| {
        let unwritten = snapshot.unwritten()?;
        let (root, upper) = (snapshot.root(), snapshot.upper());
        let image = run::Image { root, upper, config: &runtime, unwritten: &unwritten };
        let (output, help) = (Output::Report(activity), &executor.help);
        let ended = run::run(image, &options, &prepared, help, output, executor.reporter).map_err(
            |error| match error {
                run::Error::Image(rootfs::Error::NoUser(name)) => Fault::NoUser(name),
                other => other.into(),
            },
        )?;
        if ended.exit.success() {
            if let Some(unwritten) = &ended.unwritten {
                snapshot.note(unwritten)?;
            }
            return Ok(());
        }
        let (command, code) = (words.join(" "), ended.exit.code());
        Err(Fault::Command { command, code, advice: help.advice(prepared.mode) })
    };
    Ok(Deed { key, said, act: Box::new(act) })
}

/// What is executed in place of a command. A stage's image is looked at, and set up, only once.
fn prepare(
    executor: &Executor<'_>,
    command: Command,
    state: &mut State,
) -> Result<Prepared, Fault> {
    let help = &executor.help;
    help.announce(executor.reporter)?;
    if state.fakeroot.profile.is_none() && help.wants_profile()? {
        let snapshot = executor.store.snapshot(&executor.trees(state)?)?;
        state.fakeroot.profile = Some(help.detect(snapshot.root())?);
    }
    let profile = state.fakeroot.profile.as_ref().and_then(Option::as_ref);
    let mut prepared = help.prepare(command, profile)?;
    if let Some(injection) = &mut prepared.injection {
        injection.set_up = !std::mem::replace(&mut state.fakeroot.is_set_up, true);
    }
    Ok(prepared)
}

/// The order in which variables were set does not matter to a command.
fn sorted(environment: &[String]) -> Vec<&String> {
    let mut sorted: Vec<&String> = environment.iter().collect();
    sorted.sort();
    sorted
}
