//! An image that is changed by commands, with no Dockerfile: `bryo modify`.

use super::commit::pack;
use super::error::Fault;
use super::history;
use super::state::SHELL;
use crate::fakeroot::{Command, Help};
use crate::image::{Config, Descriptor, Digest, Manifest, Reference, edit};
use crate::layer::compress::Compression;
use crate::report::{Outcome, Reporter, start};
use crate::run::{self, Options};
use crate::sandbox::{Mount, Output};
use crate::store::{Name, RefEntry, Store};

/// Where a script is while it runs; no trace of it stays.
const SCRIPT: &str = "/dev/bryo-script";

/// A command that makes a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// A text for the image's shell.
    Text(String),
    /// A file of this machine, with its name. One that begins with `#!` says itself what reads it.
    Script { name: String, content: String },
    /// The image's shell, with somebody at it. How it ends does not matter.
    Shell,
}

/// Does one deed after the other in the image of `manifest`, whose layers are unpacked, and names what
/// comes of it; gives its descriptor. `created` is the time of the steps.
///
/// # Errors
///
/// [`Fault::Command`] when a deed fails: then nothing is named.
#[allow(clippy::too_many_arguments, reason = "each of another kind")]
pub fn modify(
    store: &Store,
    manifest: &Manifest,
    deeds: &[Deed],
    name: &Reference,
    options: &Options,
    help: &Help,
    created: &str,
    reporter: &dyn Reporter,
) -> Result<Descriptor, Fault> {
    let mut config = store.config(manifest)?;
    let mut layers = manifest.layers.clone();
    for deed in deeds {
        let (layer, diff_id) = perform(store, &config, deed, options, help, reporter)?;
        layers.push(layer);
        config.rootfs.diff_ids.push(diff_id);
        config.history.push(history::entry(said(&config, deed), false, created));
    }
    config.created = Some(created.to_owned());
    let bytes = config.to_bytes();
    store.put_blob(&bytes)?;
    let config = Descriptor::of(manifest.config.media_type.as_str(), &bytes);
    let made = edit::rebuilt(manifest, &config, &layers).map_err(Fault::Image)?;
    store.put_blob(&made.bytes)?;
    let name = Name::Tagged(name.clone());
    store.set_ref(&RefEntry { name, descriptor: made.descriptor.clone(), index: None })?;
    Ok(made.descriptor)
}

fn perform(
    store: &Store,
    config: &Config,
    deed: &Deed,
    options: &Options,
    help: &Help,
    reporter: &dyn Reporter,
) -> Result<(Descriptor, Digest), Fault> {
    let trees = store.trees(config).ok_or(Fault::NotUnpacked)?;
    let mut snapshot = store.snapshot(&trees)?;
    let unwritten = snapshot.unwritten()?;
    let command = command(config, deed);
    help.announce(reporter)?;
    let profile = if help.wants_profile()? { help.detect(snapshot.root())? } else { None };
    let prepared = help.prepare(command, profile.as_ref())?;
    let title = prepared.command.argv.join(" ");
    let mut options = options.clone();
    let script = prepared.command.script.clone();
    options.mounts.extend(script.map(|script| Mount::file(SCRIPT, script, 0o755)));
    let (root, upper) = (snapshot.root(), snapshot.upper());
    let (runtime, architecture, unwritten) = (&config.runtime, &*config.architecture, &unwritten);
    let image = run::Image { root, upper, config: runtime, architecture, unwritten };
    // stdout is for the digest.
    let running = start(reporter, &title, None);
    let output = match deed {
        Deed::Shell => Output::Inherit,
        _ => Output::Report(running.activity()),
    };
    let ended = run::run(image, &options, &prepared, help, output, reporter)?;
    if !ended.exit.success() && *deed != Deed::Shell {
        let (code, advice) = (ended.exit.code(), help.advice(prepared.mode));
        return Err(Fault::Command { command: title, code, written: None, advice });
    }
    running.finish(Outcome::Done);
    if let Some(unwritten) = &ended.unwritten {
        snapshot.note(unwritten)?;
    }
    pack(store, Compression::default(), snapshot)
}

fn shell(config: &Config) -> Vec<String> {
    match &config.runtime.shell {
        Some(shell) if !shell.is_empty() => shell.clone(),
        _ => SHELL.map(str::to_owned).to_vec(),
    }
}

/// What is executed.
fn command(config: &Config, deed: &Deed) -> Command {
    let mut shell = shell(config);
    match deed {
        Deed::Text(text) => {
            shell.push(text.clone());
            Command::new(shell)
        }
        Deed::Script { content, .. } => {
            // Of `sh -c` only the program reads files.
            let mut argv =
                if content.starts_with("#!") { Vec::new() } else { vec![shell.remove(0)] };
            argv.push(SCRIPT.to_owned());
            Command { argv, script: Some(content.clone()) }
        }
        Deed::Shell => {
            shell.truncate(1);
            Command::new(shell)
        }
    }
}

/// What the history says.
fn said(config: &Config, deed: &Deed) -> String {
    match deed {
        Deed::Text(_) => history::run(std::iter::empty(), &command(config, deed).argv),
        Deed::Script { name, .. } => format!("MODIFY {name}"),
        Deed::Shell => "MODIFY interactive".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deeds_become_commands() {
        let mut config = Config::default();
        let script = |content: &str| Deed::Script { name: "s".into(), content: content.into() };
        for (shell, deed, argv, told) in [
            (None, Deed::Text("a b".into()), "/bin/sh|-c|a b", "RUN /bin/sh -c a b # buildkit"),
            (
                Some("/bin/bash -ec"),
                Deed::Text("x".into()),
                "/bin/bash|-ec|x",
                "RUN /bin/bash -ec x # buildkit",
            ),
            (None, script("echo"), "/bin/sh|/dev/bryo-script", "MODIFY s"),
            (None, script("#!/bin/awk"), "/dev/bryo-script", "MODIFY s"),
            (Some("/bin/bash -ec"), Deed::Shell, "/bin/bash", "MODIFY interactive"),
        ] {
            config.runtime.shell = shell.map(|shell| shell.split(' ').map(str::to_owned).collect());
            assert_eq!(command(&config, &deed).argv.join("|"), argv, "{deed:?}");
            assert_eq!(said(&config, &deed), told);
        }
    }
}
