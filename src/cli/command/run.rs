//! `bryo run`.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::args::{self, Network, Reach};
use crate::cli::emulation::Emulation;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::surroundings::Surroundings;
use crate::dockerfile::value;
use crate::fakeroot::{Command, Help};
use crate::image::{self, Content, Platform, Runtime};
use crate::run::{self, Options, Volume};
use crate::sandbox::{Mount, Output, What};
use crate::store::{self, Store};
use crate::transfer;

/// Run a command in an image
///
/// What the command changes is thrown away at its end. bryo exits as the command does; with 125
/// when it did not come to that, 126 or 127 when the command could not be executed or found.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo run debian:12 cat /etc/os-release
  bryo run -v $PWD:/src -w /src golang:1.24 go build
  bryo run --entrypoint sh app -c 'echo $PATH'")]
pub(crate) struct Run {
    /// Set a variable; without a value: to what it is here
    #[arg(short, long, value_name = "NAME[=VALUE]", value_parser = args::pair)]
    env: Vec<(String, Option<String>)>,
    /// Set the variables in FILE, one NAME[=VALUE] a line
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Show a directory or a file of this machine there; with `:ro` it cannot be written to
    #[arg(short, long, value_name = "SOURCE:TARGET[:ro]")]
    volume: Vec<Volume>,
    /// Begin in this directory
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Run as this user of the image
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// What the command reaches
    #[arg(long = "network", alias = "net", value_enum, default_value = "default")]
    #[arg(value_name = "REACH")]
    reach: Reach,
    #[command(flatten)]
    surroundings: Surroundings,
    /// The command's name for the machine
    #[arg(long, value_name = "NAME", value_parser = host_name)]
    hostname: Option<String>,
    /// Let nothing in the image be changed
    #[arg(long)]
    read_only: bool,
    /// Give the command an empty directory in memory; may be repeated
    #[arg(long, value_name = "DIR[:size=SIZE,mode=MODE]", value_parser = tmpfs)]
    tmpfs: Vec<Mount>,
    /// Run this program instead of the image's own entry point
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Remove what the command changed, which bryo does anyway
    #[arg(long)]
    rm: bool,
    /// Let the command read stdin, which bryo does anyway
    #[arg(short, long)]
    interactive: bool,
    /// Give the command a terminal, which bryo does anyway where it has one itself
    #[arg(short, long)]
    tty: bool,
    /// Choose this platform from an index [default: this machine's]
    #[arg(long, value_name = "OS/ARCH", value_parser = args::platform)]
    platform: Option<Platform>,
    #[command(flatten)]
    emulation: Emulation,
    #[command(flatten)]
    network: Network,
    /// A name, or the beginning of an ID; fetched if it is not here
    image: String,
    /// The command and its arguments [default: what the image says]
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

impl Run {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<ExitCode, Error> {
        let run_options = self.options(invocation)?;
        let help = Help::new(self.emulation.wish(&invocation.config)?);
        let store = invocation.store()?;
        let content = self.content(invocation, &store)?;
        let Content::Image(manifest) = &content else {
            return Err(Error::NotAnImage(self.image.clone()));
        };
        let reporter = &*invocation.reporter;
        let options = transfer::Options { jobs: invocation.jobs().layers, ..Default::default() };
        transfer::unpack(&store, &content, &options, reporter)?;
        let config = store.config(manifest)?;
        let trees = store.trees(&config).ok_or_else(|| Error::NotAnImage(self.image.clone()))?;
        let snapshot = store.snapshot(&trees)?;
        let (root, upper) = (snapshot.root(), snapshot.upper());
        let unwritten = snapshot.unwritten()?;
        let (architecture, unwritten) = (&*config.architecture, &unwritten);
        let image = run::Image { root, upper, config: &config.runtime, architecture, unwritten };
        let command = Command::new(self.words(&config.runtime)?);
        help.announce(reporter)?;
        let profile = if help.wants_profile()? { help.detect(root)? } else { None };
        let prepared = help.prepare(command, profile.as_ref())?;
        let ended = run::run(image, &run_options, &prepared, &help, Output::Inherit, reporter)?;
        Ok(ExitCode::from(ended.exit.code()))
    }

    /// The image here, if it is for the platform that is wanted, else the registry's.
    fn content(&self, invocation: &Invocation, store: &Store) -> Result<Content, Error> {
        let remote = self.network.remote(invocation)?;
        let found = match store.find(&self.image) {
            // An alias may mean what is here.
            Err(missing @ store::Error::NotFound(_)) => match remote.reference(&self.image) {
                Ok(name) => store.find(&name.to_string()),
                Err(_) => Err(missing),
            },
            found => found,
        };
        let here = match found {
            Ok(entry) => match store.content_for(&entry.descriptor, &self.platform()) {
                Ok(content) => Some(content),
                Err(store::Error::Image(image::Error::NoPlatform { .. })) => None,
                Err(error) => return Err(error.into()),
            },
            Err(store::Error::NotFound(_)) => None,
            Err(error) => return Err(error.into()),
        };
        if let Some(content) = here
            && self.suits(store, &content)?
        {
            return Ok(content);
        }
        let name = remote.reference(&self.image)?;
        let descriptor = remote.pull(invocation, store, &name, self.platform.as_ref())?;
        Ok(store.content(&descriptor)?)
    }

    fn platform(&self) -> Platform {
        self.platform.clone().unwrap_or_else(Platform::host)
    }

    fn suits(&self, store: &Store, content: &Content) -> Result<bool, Error> {
        match (&self.platform, content) {
            (Some(wanted), Content::Image(manifest)) => {
                Ok(wanted.distance(&store.config(manifest)?.platform()).is_some())
            }
            _ => Ok(true),
        }
    }

    /// What is executed.
    fn words(&self, config: &Runtime) -> Result<Vec<String>, Error> {
        let text = |word: &OsString| {
            word.to_str().map(str::to_owned).ok_or_else(|| Error::Usage {
                text: format!("{} is not UTF-8", word.display()),
                hint: None,
            })
        };
        let command: Vec<String> = self.command.iter().map(text).collect::<Result<_, _>>()?;
        let command = Some(&command[..]).filter(|words| !words.is_empty());
        let entrypoint = self.entrypoint.as_ref().map(|program| match program.as_str() {
            "" => Vec::new(),
            program => vec![program.to_owned()],
        });
        Ok(run::words(config, entrypoint.as_deref(), command)?)
    }

    fn options(&self, invocation: &Invocation) -> Result<Options, Error> {
        let mut env = Vec::new();
        for file in &self.env_file {
            env.extend(variables(file)?);
        }
        env.extend(self.env.iter().cloned());
        let env = env.into_iter().filter_map(|(name, value)| {
            let value = value.or_else(|| invocation.config.variable(&name))?;
            Some(format!("{name}={value}"))
        });
        Ok(Options {
            env: env.collect(),
            user: self.user.clone(),
            directory: self.workdir.clone(),
            volumes: self.volume.clone(),
            network: self.reach.into(),
            surroundings: self.surroundings.read(&invocation.config),
            host_name: self.hostname.clone(),
            read_only: self.read_only,
            mounts: self.tmpfs.clone(),
            ..Options::default()
        })
    }
}

/// At most what the kernel takes, and nothing that would be two names in `/etc/hosts`.
fn host_name(text: &str) -> Result<String, String> {
    let is_name = |char: char| char.is_ascii_alphanumeric() || "-_.".contains(char);
    match !text.is_empty() && text.len() <= 64 && text.chars().all(is_name) {
        true => Ok(text.to_owned()),
        false => Err("it is no name of a host".to_owned()),
    }
}

/// `DIR[:OPTION,…]`
fn tmpfs(text: &str) -> Result<Mount, String> {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    if !target.starts_with('/') {
        return Err("the path in the image is not absolute".to_owned());
    }
    let (mut mode, mut size, mut read_only) = (0o1777, None, false);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let wrong = |_| format!("invalid value in {option:?}");
        match option.split_once('=') {
            Some(("size", value)) => size = Some(value::size(value).map_err(|e| e.to_string())?),
            Some(("mode", value)) => mode = u32::from_str_radix(value, 8).map_err(wrong)?,
            None if option == "ro" => read_only = true,
            None if ["rw", "exec", "nosuid", "nodev"].contains(&option) => {}
            _ => return Err(format!("of the options, {option:?} is not supported")),
        }
    }
    let mut mount = Mount::new(target, What::Tmpfs { mode, size });
    mount.read_only = read_only;
    Ok(mount)
}

/// The lines of a file that are neither empty nor comments.
fn variables(file: &Path) -> Result<Vec<(String, Option<String>)>, Error> {
    let text = fs::read_to_string(file).map_err(Error::reading(file))?;
    let lines = text.lines().map(str::trim_start);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            args::pair(line).map_err(|why| Error::Usage {
                text: format!("{}: {line:?}: {why}", file.display()),
                hint: None,
            })
        })
        .collect()
}
