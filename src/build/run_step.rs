//! RUN.

use std::os::unix::ffi::OsStrExt as _;

use super::attest;
use super::attest::record::{Operation, Told};
use super::config_step::argv;
use super::error::Fault;
use super::execute::{Deed, Executor, Step, Worth};
use super::history;
use super::key::KeyMaker;
use super::mounts::Mounts;
use super::state::State;
use crate::dockerfile::{self, Network, Run, Script, Security};
use crate::fakeroot::{Command, Prepared};
use crate::report::Activity;
use crate::rootfs;
use crate::run::{self, Device, Surroundings};
use crate::sandbox::{self, Host, Mount, Output, ResourceLimit};
use crate::store::Snapshot;

pub(super) fn plan<'d>(
    executor: &'d Executor<'_>,
    run: &Run,
    step: &mut Step<'_>,
) -> Result<Deed<'d>, Fault> {
    let Run { command: _, heredocs: _, mounts, network, security, devices } = run;
    if *security == Security::Insecure {
        return Err(Fault::Insecure);
    }
    let network = match network {
        Network::Default => executor.options.network,
        Network::Host => sandbox::Network::Host,
        Network::None => sandbox::Network::None,
    };
    let planned = Mounts::plan(executor, mounts, step)?;
    let shell = step.state.shell();
    let in_shell = |text: String| shell.iter().cloned().chain([text]).collect();
    let (words, script): (Vec<String>, _) = match run.script() {
        None => (argv(&run.command, &shell), None),
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
        .optional("network", (network == sandbox::Network::None).then_some("none"))
        .field("root emulation", mode.name())
        .optional("profile", injection.as_ref().map(|found| found.profile.digest.to_string()))
        .optional("set up", injection.as_ref().map(|found| found.set_up.to_string()));
    let surroundings = surroundings(executor, devices);
    let key = planned.add_to(add(&surroundings, key)).finish();
    let said = history::run(state.scope.arguments(), &words);
    let (mounted, inputs) = planned.told(executor);
    let operation = Operation::Run(attest::record::Command {
        argv: words.clone(),
        environment: environment.clone(),
        directory: state.directory().to_owned(),
        user: state.config.runtime.user.clone(),
        network,
        mounts: mounted,
    });
    let told = Told { operation, inputs };
    let proxies = executor.given.proxies();
    let absent = proxies.iter().filter(|(name, _)| state.scope.get(name).is_none());
    let environment: Vec<String> = environment
        .iter()
        .cloned()
        .chain(absent.map(|(name, value)| format!("{name}={value}")))
        .collect();
    let mounts = script_path
        .zip(command.script.clone())
        .map(|(path, content)| Mount::file(path, content, 0o755));
    let mounts = mounts.into_iter().collect();
    let (limit, cancel) = (executor.options.run_timeout, executor.cancel.clone());
    let volumes = executor.options.binds.clone();
    let (env, rest) = (environment, run::Options::default());
    let mut options =
        run::Options { env, volumes, mounts, network, surroundings, limit, cancel, ..rest };
    options.shell_on_failure = executor.options.shell_on_error;
    let runtime = state.config.runtime.clone();
    let architecture = state.config.architecture.clone();
    let activity: Activity = step.activity;
    let act = move |snapshot: &mut Snapshot<'_>| {
        let made = planned.make(executor)?;
        options.mounts.extend(made.mounts.iter().cloned());
        options.env.extend(made.environment.iter().cloned());
        let mut unwritten = snapshot.unwritten()?;
        unwritten.extend(made.unwritten.clone());
        let (root, upper) = (snapshot.root(), snapshot.upper());
        let (config, architecture, unwritten) = (&runtime, &*architecture, &unwritten);
        let image = run::Image { root, upper, config, architecture, unwritten };
        let (output, help) = (Output::Report(activity), &executor.help);
        let ended = run::run(image, &options, &prepared, help, output, executor.reporter).map_err(
            |error| match error {
                run::Error::Image(rootfs::Error::NoUser(name)) => Fault::NoUser(name),
                other => other.into(),
            },
        )?;
        // Of one that failed, too: its root may be kept.
        if let Some(unwritten) = &ended.unwritten {
            snapshot.note(unwritten)?;
        }
        if ended.exit.success() {
            return Ok(Worth::Lasting);
        }
        let (command, written) = (words.join(" "), executor.log.written(activity));
        if let (true, Some(limit)) = (ended.is_late, limit) {
            return Err(Fault::Late { command, limit, written });
        }
        let (code, advice) = (ended.exit.code(), help.advice(prepared.mode));
        Err(Fault::Command { command, code, written, advice })
    };
    Ok(Deed { key, said, told, act: Box::new(act) })
}

/// What the step finds beside its image.
fn surroundings(executor: &Executor<'_>, devices: &[dockerfile::Device]) -> Surroundings {
    let mut surroundings = executor.options.surroundings.clone();
    let wanted = devices.iter().map(|dockerfile::Device { name, required }| Device::Cdi {
        name: name.clone(),
        required: *required,
    });
    surroundings.devices.extend(wanted);
    surroundings
}

/// Adds them to a step's key: all that it could tell apart, by the words that were used.
fn add(surroundings: &Surroundings, mut key: KeyMaker) -> KeyMaker {
    let Surroundings { hosts, shared_memory, limits, devices, cdi_folders: _ } = surroundings;
    for Host { name, address } in hosts {
        key = key.field("host", format!("{name} {address}"));
    }
    if let Some(size) = shared_memory {
        key = key.field("shared memory", size.to_string());
    }
    for ResourceLimit { name, soft, hard } in limits {
        key = key.field("limit", format!("{name} {soft:?} {hard:?}"));
    }
    for device in devices {
        key = match device {
            Device::Node { source, target } => key
                .field("device", source.as_os_str().as_bytes())
                .field("at", target.as_os_str().as_bytes()),
            Device::Cdi { name, required } => key.field("device", format!("{name} {required}")),
        };
    }
    key
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
