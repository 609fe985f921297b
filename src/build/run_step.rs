//! RUN.

use super::config_step::argv;
use super::error::Fault;
use super::execute::{Deed, Executor, Step};
use super::history;
use super::key::KeyMaker;
use crate::dockerfile::{Network, Run, Script, Security};
use crate::report::Activity;
use crate::rootfs;
use crate::run;
use crate::sandbox::{Mount, Output, What};
use crate::store::Snapshot;

/// Which way of emulating root the commands see. Part of a step's key, since results depend on it.
const ROOT_EMULATION: &str = "none";

pub(super) fn plan<'d>(
    executor: &'d Executor<'_>,
    run: &Run,
    step: &Step<'_>,
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
    let state = &*step.state;
    let shell = state.shell();
    let (words, mounts) = match run.script() {
        None => (argv(&run.command, &shell).0, Vec::new()),
        Some(Script::Text(text)) => (shell.iter().cloned().chain([text]).collect(), Vec::new()),
        Some(Script::File { path, content }) => {
            let what = What::File { content: content.into_bytes(), executable: true };
            let words = shell.iter().cloned().chain([path.clone()]).collect();
            (words, vec![Mount::new(path, what)])
        }
    };
    if words.is_empty() {
        return Err(Fault::NoCommand);
    }
    let environment: Vec<String> =
        state.scope.environment().iter().map(|(name, value)| format!("{name}={value}")).collect();
    let scripts = mounts.iter().filter_map(|mount| match &mount.what {
        What::File { content, .. } => Some(content),
        _ => None,
    });
    let key = KeyMaker::new("run", state.chain_id().as_ref())
        .list("argv", &words)
        .list("scripts", scripts)
        .list("environment", sorted(&environment))
        .field("directory", state.directory())
        .field("user", &state.config.runtime.user)
        .field("root emulation", ROOT_EMULATION)
        .finish();
    let said = history::run(state.scope.arguments(), &words);
    let proxies = executor.given.proxies();
    let absent = proxies.iter().filter(|(name, _)| state.scope.get(name).is_none());
    let environment: Vec<String> = environment
        .iter()
        .cloned()
        .chain(absent.map(|(name, value)| format!("{name}={value}")))
        .collect();
    let options = run::Options {
        entrypoint: Some(Vec::new()),
        command: Some(words.clone()),
        env: environment,
        mounts,
        ..run::Options::default()
    };
    let runtime = state.config.runtime.clone();
    let activity: Activity = step.activity;
    let act = move |snapshot: &mut Snapshot<'_>| {
        let ended = run::run(
            snapshot.root(),
            snapshot.upper(),
            &runtime,
            &options,
            Output::Report(activity),
            executor.reporter,
        )
        .map_err(|error| match error {
            run::Error::Image(rootfs::Error::NoUser(name)) => Fault::NoUser(name),
            other => other.into(),
        })?;
        match ended.exit.success() {
            true => Ok(()),
            false => Err(Fault::Command { command: words.join(" "), code: ended.exit.code() }),
        }
    };
    Ok(Deed { key, said, act: Box::new(act) })
}

/// The order in which variables were set does not matter to a command.
fn sorted(environment: &[String]) -> Vec<&String> {
    let mut sorted: Vec<&String> = environment.iter().collect();
    sorted.sort();
    sorted
}
