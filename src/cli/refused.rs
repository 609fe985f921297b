//! Options of docker that make no sense here, or cannot be had without privilege: scripts that use
//! them are told which one, and why.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::error::Error;
use crate::image::{self, Reference};

/// What `--allow` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entitlement {
    /// Steps have no more than their caller, who need not be asked.
    Granted,
    Insecure,
}

/// As docker's default has it; the other way round nobody would check what was asked for.
pub(crate) fn no_trust(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" => Ok(true),
        _ => Err("signatures are not checked here; name images by their digests".to_owned()),
    }
}

pub(crate) fn entitlement(text: &str) -> Result<Entitlement, String> {
    match text.split_once('=').map_or(text, |(kind, _)| kind) {
        "network.host" | "device" => Ok(Entitlement::Granted),
        "security.insecure" => Ok(Entitlement::Insecure),
        _ => Err("network.host, device and security.insecure are known".to_owned()),
    }
}

/// Why an option is refused, and what to do instead.
struct Refusal {
    options: &'static [&'static str],
    why: &'static str,
    hint: &'static str,
    /// Whether it is for want of privilege.
    by_system: bool,
}

const fn by_system(
    options: &'static [&'static str],
    why: &'static str,
    hint: &'static str,
) -> Refusal {
    Refusal { options, why, hint, by_system: true }
}

const fn no_use(
    options: &'static [&'static str],
    why: &'static str,
    hint: &'static str,
) -> Refusal {
    Refusal { options, why, hint, by_system: false }
}

const OF_BOTH: [Refusal; 4] = [
    by_system(
        &[
            "--memory",
            "-m",
            "--memory-swap",
            "--memory-reservation",
            "--memory-swappiness",
            "--cpu-shares",
            "-c",
            "--cpu-period",
            "--cpu-quota",
            "--cpus",
            "--cgroup-parent",
            "--pids-limit",
            "--blkio-weight",
            "--oom-kill-disable",
            "--cgroupns",
        ],
        "limits belong to a control group, and bryo has none that it may set any in",
        "start bryo in one: systemd-run --user --scope -p MemoryMax=2G -p CPUQuota=150% bryo …",
    ),
    by_system(
        &["--cpuset-cpus", "--cpuset-mems"],
        "sets of processors belong to a control group, and bryo has none that it may set any in",
        "start bryo on some processors alone: taskset -c 0-3 bryo …",
    ),
    by_system(
        &[
            "--security-opt",
            "--privileged",
            "--cap-add",
            "--cap-drop",
            "--oom-score-adj",
            "--sysctl",
        ],
        "commands have your own rights, and bryo has no more to give or to take",
        "leave it out: with root emulation most of what needs privilege works anyway",
    ),
    no_use(&["--isolation"], "there is one way of isolation", "leave it out"),
];

const OF_BUILD: [Refusal; 2] = [
    no_use(&["--builder"], "there are no builders: bryo itself builds", "leave it out"),
    no_use(
        &["--stream", "--credential-spec", "--policy"],
        "it means nothing without docker's daemon",
        "leave it out",
    ),
];

const OF_RUN: [Refusal; 9] = [
    no_use(
        &["--name", "--cidfile", "--label", "-l", "--label-file", "--restart", "--health-cmd"],
        "nothing of a command stays that would have a name, and there is no daemon to know it",
        "leave it out",
    ),
    no_use(
        &["--detach", "-d", "--detach-keys", "--sig-proxy", "--attach", "-a"],
        "there is no daemon that would keep the command",
        "let the shell or systemd-run --user start bryo in the background",
    ),
    no_use(
        &["--publish", "-p", "--publish-all", "-P", "--expose"],
        "the network is this machine's own: what listens is reached under its own port",
        "leave it out, and reach the command at its own port",
    ),
    by_system(
        &[
            "--ip",
            "--ip6",
            "--link",
            "--mac-address",
            "--network-alias",
            "--dns",
            "--dns-option",
            "--dns-search",
        ],
        "the network is this machine's own, or none at all",
        "name other machines with --add-host",
    ),
    no_use(
        &["--gpus", "--runtime"],
        "devices are given as CDI specifications describe them",
        "say --device nvidia.com/gpu=all; nvidia-ctk cdi generate writes the specification",
    ),
    no_use(
        &["--init"],
        "the command is the first process of its own namespace, and all ends with it",
        "let the image's entry point be an init",
    ),
    no_use(
        &["--ipc", "--pid", "--uts", "--userns"],
        "a command always has namespaces of its own",
        "leave it out",
    ),
    no_use(
        &["--volumes-from", "--volume-driver", "--storage-opt", "--mount"],
        "there are no named volumes",
        "show a directory with --volume /DIR:/DIR, or give an empty one with --tmpfs",
    ),
    no_use(
        &["--log-driver", "--log-opt", "--stop-signal", "--stop-timeout", "--no-healthcheck"],
        "it means nothing without docker's daemon",
        "leave it out",
    ),
];

/// The reason, if a command line was not understood because of one of these.
pub(crate) fn explained(error: &clap::Error, words: &[std::ffi::OsString]) -> Option<Error> {
    // The parser would repeat a password that stands in a URL.
    if let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue)
        && value.contains('@')
        && let Err(error @ image::Error::Reference(..)) = value.parse::<Reference>()
    {
        return Some(error.into());
    }
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let command = words.iter().filter_map(|word| word.to_str());
    let command = command.skip(1).find(|word| matches!(*word, "build" | "run"))?;
    let own: &[Refusal] = if command == "build" { &OF_BUILD } else { &OF_RUN };
    let name = option.split('=').next().unwrap_or(option);
    let refusal = own.iter().chain(&OF_BOTH).find(|refusal| refusal.options.contains(&name))?;
    let text = format!("bryo {command} has no {name}: {}", refusal.why);
    let hint = refusal.hint.to_owned();
    Some(match refusal.by_system {
        true => Error::Impossible { text, hint },
        false => Error::Usage { text, hint: Some(hint) },
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::args::Args;

    fn told(line: &str) -> Option<String> {
        let words: Vec<std::ffi::OsString> = line.split(' ').map(Into::into).collect();
        let error = Args::try_parse_from(&words).err()?;
        Some(explained(&error, &words).map_or_else(|| "?".to_owned(), |error| error.to_string()))
    }

    #[test]
    fn what_is_refused_has_a_reason() {
        for (line, expected) in [
            ("bryo build --memory 1g .", Some("bryo build has no --memory: limits belong")),
            ("bryo build -m 1g .", Some("bryo build has no -m: limits belong")),
            ("bryo build --cpuset-cpus=0 .", Some("bryo build has no --cpuset-cpus: sets")),
            ("bryo build --builder x .", Some("bryo build has no --builder")),
            ("bryo run -d x", Some("bryo run has no -d: there is no daemon")),
            ("bryo run --name y x", Some("bryo run has no --name")),
            ("bryo run -p 80:80 x", Some("bryo run has no -p")),
            ("bryo run x -p 80:80", None),
            ("bryo build --nonsense .", Some("?")),
            ("bryo images --memory", Some("?")),
            (
                "bryo tag app https://ann:s3cret@h/a",
                Some("invalid image reference \"https://***@h/a\""),
            ),
        ] {
            let told = told(line);
            match expected {
                Some(expected) => {
                    assert!(
                        told.as_deref().is_some_and(|text| text.starts_with(expected)),
                        "{line}: {told:?}"
                    );
                }
                None => assert_eq!(told, None, "{line}"),
            }
        }
    }

    /// An option that there is needs no reason why there is none.
    #[test]
    fn nothing_is_refused_that_there_is() {
        use clap::CommandFactory as _;
        for (name, own) in [("build", &OF_BUILD[..]), ("run", &OF_RUN[..])] {
            let whole = Args::command();
            let command = whole.find_subcommand(name).expect("it is there");
            for option in own.iter().chain(&OF_BOTH).flat_map(|refusal| refusal.options) {
                let is_there = command.get_arguments().any(|argument| {
                    let long = argument.get_long().map(|long| format!("--{long}"));
                    let short = argument.get_short().map(|short| format!("-{short}"));
                    long.as_deref() == Some(*option) || short.as_deref() == Some(*option)
                });
                assert!(!is_there, "{name} {option}");
            }
        }
    }
}
