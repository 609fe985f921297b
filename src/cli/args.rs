//! What people type: the options that all or several commands share.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;

use super::command::Command;
use super::ui::{Color, Progress};
use crate::image::{Platform, Timestamp};
use crate::{dockerfile, sandbox};

/// Builds OCI container images with no privilege and no set-up
///
/// One program, no daemon, no root, no setuid helper, no subordinate ids: images are pulled, built
/// from Dockerfiles, run and pushed as the user that you are, and files keep the owners that they
/// have in the image.
#[derive(Debug, Parser)]
#[command(
    name = "bryo",
    version,
    infer_subcommands = false,
    max_term_width = 100,
    propagate_version = false,
    args_override_self = true,
    after_help = "Data goes to stdout, all else to stderr. `bryo COMMAND --help` says more."
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes, before or after its name.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Where images are kept [default: $BRYO_STORAGE, which must be absolute, or ~/.local/share/bryo]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) storage: Option<PathBuf>,
    /// Read settings from FILE [default: $BRYO_CONFIG, or ~/.config/bryo/config.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config_file: Option<PathBuf>,
    /// How progress is shown
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "STYLE")]
    pub(crate) progress: Progress,
    /// Whether to use colours
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "WHEN")]
    pub(crate) color: Color,
    /// Say nothing but warnings and errors (the same as --progress none)
    #[arg(short, long, global = true, conflicts_with = "progress")]
    pub(crate) quiet: bool,
    /// Say more
    #[arg(long, global = true, alias = "debug", short_alias = 'D')]
    pub(crate) verbose: bool,
    /// Do up to N things at once: execute steps of a build, move layers [default: a step for each
    /// processor, at least 4, and 4 layers]
    #[arg(long, global = true, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
}

/// Options of the commands that speak with a registry. Each has a variable of the environment.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Registry options")]
pub(crate) struct Network {
    /// Read credentials from FILE alone (docker's and podman's format; $BRYO_AUTHFILE)
    #[arg(long, value_name = "FILE")]
    pub(crate) authfile: Option<PathBuf>,
    /// Trust the certificate authorities in FILE (PEM) too; may be repeated ($BRYO_CACERT)
    #[arg(long, value_name = "FILE")]
    pub(crate) cacert: Vec<PathBuf>,
    /// Allow plain http and unverified certificates, for HOST or for all; may be repeated
    /// ($BRYO_INSECURE)
    #[arg(long, value_name = "HOST", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "*")]
    pub(crate) insecure: Vec<String>,
    /// The same as --insecure, as ch-image calls it
    #[arg(long, hide = true)]
    pub(crate) tls_no_verify: bool,
    /// Ask HOST's images of MIRROR first; may be repeated ($BRYO_MIRROR)
    #[arg(long, value_name = "HOST=MIRROR", value_parser = full_pair)]
    pub(crate) mirror: Vec<(String, String)>,
    /// Go through this proxy, whatever the environment says ($BRYO_PROXY)
    #[arg(long, value_name = "URL")]
    pub(crate) proxy: Option<String>,
    /// Try what fails up to N times [default: 5] ($BRYO_RETRY)
    #[arg(long, alias = "retries", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) retry: Option<u32>,
    /// Send at most N requests per second, such as 0.5 ($BRYO_RATE_LIMIT)
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) rate_limit: Option<f64>,
    /// Send nothing to anybody: what is here has to do ($BRYO_OFFLINE)
    #[arg(long)]
    pub(crate) offline: bool,
    /// Ask for name and password where a registry wants them and there are none
    #[arg(long)]
    pub(crate) auth: bool,
    /// Ask for the password each time that one is needed (with --auth; for one-time passwords)
    #[arg(long, requires = "auth")]
    pub(crate) password_many: bool,
    /// Set by the commands that have such an option.
    #[arg(skip)]
    pub(crate) allow_foreign: bool,
    /// Folders with certificates for a host, from a list of images.
    #[arg(skip)]
    pub(crate) own_certificates: Vec<(String, PathBuf)>,
}

/// Credentials on the command line: for commands that speak with one registry alone, since any that
/// asks would get them.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Registry options")]
pub(crate) struct Login {
    /// Log in with these credentials ($BRYO_CREDS)
    ///
    /// A password that is left out is asked for. One that is not is seen by everybody on this
    /// machine: better use --password-stdin, the variable, or `bryo login`.
    #[arg(long, value_name = "USER[:PASSWORD]")]
    pub(crate) creds: Option<String>,
    /// Read the password for --creds from stdin
    #[arg(long)]
    pub(crate) password_stdin: bool,
}

/// A number of requests per second.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("it is no number above 0".to_owned()),
    }
}

/// `K=V`, the value left out where the environment knows it.
pub(crate) fn pair(text: &str) -> Result<(String, Option<String>), String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    match name.is_empty() {
        true => Err("there is no name before the '='".to_owned()),
        false => Ok((name.to_owned(), value)),
    }
}

/// `K=V`, with a value.
pub(crate) fn full_pair(text: &str) -> Result<(String, String), String> {
    match pair(text)? {
        (name, Some(value)) => Ok((name, value)),
        (name, None) => Err(format!("say {name}=VALUE")),
    }
}

/// What commands of images reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Reach {
    /// The same as host
    #[default]
    Default,
    /// What this machine reaches
    Host,
    /// Nothing but themselves
    None,
}

impl From<Reach> for sandbox::Network {
    fn from(reach: Reach) -> Self {
        match reach {
            Reach::Default | Reach::Host => Self::Host,
            Reach::None => Self::None,
        }
    }
}

/// A limit, in the form of Go and Docker: `90s`, `1h30m`.
pub(crate) fn limit(text: &str) -> Result<Duration, String> {
    let nanoseconds = dockerfile::value::duration(text).map_err(|error| error.to_string())?;
    match u64::try_from(nanoseconds) {
        Ok(nanoseconds @ 1..) => Ok(Duration::from_nanos(nanoseconds)),
        _ => Err("it is not longer than nothing".to_owned()),
    }
}

/// How long ago: a limit as in [`limit`], or days and weeks: `30d`, `2w`.
pub(crate) fn age(text: &str) -> Result<Duration, String> {
    const DAY: u64 = 24 * 3600;
    let days = |text: &str, length: u64| {
        text.parse::<u64>().ok().and_then(|count| count.checked_mul(length))
    };
    let known = text.strip_suffix('d').and_then(|text| days(text, DAY));
    match known.or_else(|| text.strip_suffix('w').and_then(|text| days(text, 7 * DAY))) {
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => limit(text).map_err(|why| format!("{why}; an age is 90m, 36h, 30d or 2w")),
    }
}

/// A moment, as docker's filters have it: RFC 3339, a day, seconds since 1970, or an age.
pub(crate) fn moment(text: &str) -> Result<SystemTime, String> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(UNIX_EPOCH + Duration::from_secs(seconds));
    }
    let day = || format!("{text}T00:00:00Z").parse::<Timestamp>();
    if let Ok(time) = text.parse::<Timestamp>().or_else(|_| day()) {
        return Ok(time.into());
    }
    let age = age(text).map_err(|_| {
        "it is no time: 2026-01-31, 2026-01-31T12:00:00Z, seconds since 1970, or an age: 36h, 30d"
            .to_owned()
    })?;
    SystemTime::now().checked_sub(age).ok_or_else(|| "that was before all times".to_owned())
}

/// `OS/ARCH[/VARIANT]`, or `local` for this machine's.
pub(crate) fn platform(text: &str) -> Result<Platform, String> {
    if text == "local" {
        return Ok(Platform::host());
    }
    text.parse().map_err(|error: crate::image::Error| error.to_string())
}
