//! A command in an image: the image's configuration and the user's options become a [`Sandbox`].
//! RUN is this; so is `bryo run`.

mod agent;
mod cdi;
mod devices;
mod env;
mod volumes;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::concurrency::Cancel;
use crate::fakeroot::{self, Help, InitStep, Injection, Prepared};
use crate::image::Runtime;
use crate::report::{self, Activity, Outcome, Reporter, Silent};
use crate::rootfs::live::Unwritten;
use crate::rootfs::{self, Accounts, Root};
use crate::sandbox::{
    self, Ended, Exit, HOST_NAME, Host, Identity, Mount, Network, Output, Points, Refusal,
    ResourceLimit, RootEmulation, Sandbox, What,
};

pub use agent::{Agent, AgentError, Forward};
pub use cdi::Error as CdiError;
pub use devices::Device;
pub use volumes::Volume;

/// What a command finds.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a> {
    pub root: &'a Root,
    /// The directory that takes the changes of `root`, or `root` itself if no layer lies beneath.
    pub upper: &'a Root,
    pub config: &'a Runtime,
    /// What its programs are for, as its configuration says; empty when it does not.
    pub architecture: &'a str,
    /// What the files of `root` do not carry themselves.
    pub unwritten: &'a Unwritten,
}

/// What differs from the image's own configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// `NAME=value`, over the image's.
    pub env: Vec<String>,
    /// Replaces the image's USER.
    pub user: Option<String>,
    /// Replaces the image's WORKDIR.
    pub directory: Option<String>,
    pub volumes: Vec<Volume>,
    /// Made after all others.
    pub mounts: Vec<Mount>,
    pub network: Network,
    pub surroundings: Surroundings,
    /// The command's name for the machine, if not ours.
    pub host_name: Option<String>,
    /// Groups that the user is in beside the image's.
    pub groups: Vec<u32>,
    /// Nothing in the image can be changed, except where something is mounted.
    pub read_only: bool,
    /// How long the command may run; see [`Ended::is_late`].
    pub limit: Option<Duration>,
    /// Kills the command.
    pub cancel: Cancel,
    /// When the command fails, a shell takes its place on the terminal before anything is undone.
    pub shell_on_failure: bool,
}

/// What a command finds beside its image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Names that are looked up before those of the network.
    pub hosts: Vec<Host>,
    /// The size of `/dev/shm` in bytes, if not the kernel's default.
    pub shared_memory: Option<u64>,
    pub limits: Vec<ResourceLimit>,
    pub devices: Vec<Device>,
    /// Where CDI specifications are; of two with one name, that of the later folder counts.
    pub cdi_folders: Vec<PathBuf>,
}

/// Why a command could not be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no command: none was given, and the image has neither ENTRYPOINT nor CMD")]
    NoCommand,
    #[error(
        "user {user:?} is {uid}:{gid}, and with root emulation \"{mode}\" commands run as root only"
    )]
    NotRoot { user: String, uid: u32, gid: u32, mode: RootEmulation, advice: String },
    #[error("fakeroot profile {profile}: {why}, and what should help exited with {code}: {deed}")]
    SetUp { profile: String, why: String, deed: String, code: u8 },
    #[error("working directory {0:?} is not absolute")]
    Directory(String),
    #[error("volume {text:?}: {reason}")]
    Volume { text: String, reason: &'static str },
    #[error("device {text:?}: {reason}")]
    Device { text: String, reason: &'static str },
    #[error("{}, which a device needs", path.display())]
    Node { path: PathBuf, source: io::Error },
    #[error("{} is not a device", .0.display())]
    NoDevice(PathBuf),
    #[error(transparent)]
    Cdi(#[from] CdiError),
    #[error(transparent)]
    Image(#[from] rootfs::Error),
    #[error(transparent)]
    Fakeroot(#[from] fakeroot::Error),
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
}

impl Error {
    /// Whether the system, or bryo on it, cannot do what was asked.
    pub fn is_unsupported(&self) -> bool {
        match self {
            Self::NotRoot { .. } => true,
            Self::Cdi(error) => error.is_unsupported(),
            Self::Fakeroot(error) => error.is_unsupported(),
            Self::Sandbox(error) => error.is_unsupported(),
            _ => false,
        }
    }

    /// As of `docker run`: 126 or 127 when the program could not be executed, 125 when it did not
    /// come to that.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Sandbox(error) => error.exit_code().unwrap_or(125),
            _ => 125,
        }
    }

    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoCommand => Some("say what to run after the name of the image".to_owned()),
            Self::NotRoot { advice, .. } => Some(advice.clone()),
            Self::NoDevice(_) => Some("what is no device is shown with --volume".to_owned()),
            Self::Cdi(error) => error.hint(),
            Self::SetUp { .. } => Some(
                "--root-emulation full or fake needs nothing of the image; a profile of your own \
                 may know better how to install fakeroot(1): bryo-profile(5)"
                    .to_owned(),
            ),
            Self::Fakeroot(error) => error.hint(),
            Self::Sandbox(error) => error.hint(),
            _ => None,
        }
    }
}

/// The words of a command: those of the image, where others do not replace them. `command` replaces
/// its CMD, as the words after the image of `docker run`; `entrypoint` replaces its ENTRYPOINT, and
/// drops its CMD.
///
/// # Errors
///
/// [`Error::NoCommand`] when nothing says what to run.
pub fn words(
    config: &Runtime,
    entrypoint: Option<&[String]>,
    command: Option<&[String]>,
) -> Result<Vec<String>, Error> {
    env::command(config, entrypoint, command).ok_or(Error::NoCommand)
}

/// Runs a command in an image until it ends; before it, what its fakeroot profile wants to be set
/// up. Nothing is left in the image but what these did.
///
/// # Errors
///
/// When the command could not be run; one that fails is no error.
pub fn run(
    image: Image<'_>,
    options: &Options,
    prepared: &Prepared,
    help: &Help,
    output: Output,
    reporter: &dyn Reporter,
) -> Result<Ended, Error> {
    let options = &with_devices(image, options, reporter)?;
    let sandbox = prepare(image, options, prepared, help)?;
    // For all processes at once: to remove them makes the mounted root unreliable.
    let points = Points::make(image.root, image.upper, &sandbox.mounts)?;
    let set_up = match &prepared.injection {
        Some(injection) if injection.set_up => set_up(image, options, injection, reporter),
        _ => Ok(()),
    };
    let ended = set_up.and_then(|()| {
        if let Some(Injection { profile, word, .. }) = &prepared.injection {
            let (name, argv) = (&profile.name, &prepared.command.argv);
            reporter.note(format!("fakeroot profile {name}, for {word}: running {argv:?}"));
        }
        let mut ended = sandbox.spawn(output, reporter)?;
        if options.shell_on_failure && !ended.exit.success() && !options.cancel.is_set() {
            look_around(image.root, sandbox, &mut ended, reporter)?;
        }
        Ok(ended)
    });
    points.remove(image.upper)?;
    let ended = ended?;
    if !ended.exit.success() {
        tell(&ended.refusals, reporter);
    }
    Ok(ended)
}

/// Shells that people prefer, the best first.
const SHELLS: [&str; 2] = ["/bin/bash", "/bin/sh"];

/// Runs a shell where a command has just failed, with all that it had. What the shell changes stays
/// like what the command did.
fn look_around(
    root: &Root,
    mut sandbox: Sandbox,
    ended: &mut Ended,
    reporter: &dyn Reporter,
) -> Result<(), Error> {
    let is_there = |shell: &&&str| {
        let found = root.stat(shell.as_ref());
        found.is_ok_and(|meta| meta.is_some_and(|meta| meta.kind == rootfs::FileType::File))
    };
    let Some(shell) = SHELLS.iter().find(is_there) else {
        reporter.warn("there is no shell in the image to look around with".to_owned());
        return Ok(());
    };
    tell(&ended.refusals, reporter);
    let code = ended.exit.code();
    let command: Vec<_> = sandbox.argv.iter().map(|word| word.to_string_lossy()).collect();
    reporter.note(format!(
        "{:?} failed with exit code {code}: this is {shell} in its place; exit ends the build",
        command.join(" ")
    ));
    sandbox.argv = vec![OsString::from(shell)];
    (sandbox.limit, sandbox.cancel) = (None, Cancel::default());
    if let Some(unwritten) = &ended.unwritten {
        sandbox.unwritten = unwritten.clone();
    }
    let mut looked = None;
    // The same notices as before would need the terminal.
    reporter.pause(&mut || looked = Some(sandbox.spawn(Output::Inherit, &Silent)));
    match looked {
        Some(Ok(after)) => {
            ended.unwritten = after.unwritten.or(ended.unwritten.take());
            ended.refusals.clear();
            Ok(())
        }
        Some(Err(error)) => Err(error.into()),
        None => Ok(()),
    }
}

/// The sandbox that a command runs in.
fn prepare(
    image: Image<'_>,
    options: &Options,
    prepared: &Prepared,
    help: &Help,
) -> Result<Sandbox, Error> {
    let Image { root, config, architecture, unwritten, .. } = image;
    let mode = prepared.mode;
    let user = options.user.as_deref().unwrap_or(&config.user);
    let owner = Accounts::read(root)?.process_owner(user)?;
    let user = match (mode, owner.uid, owner.gid) {
        (RootEmulation::Full | RootEmulation::Ids, uid, gid) => {
            // A user's own group is among them, as in Docker: to drop it gains nobody anything.
            let own = (uid != 0 && !owner.groups.contains(&gid)).then_some(gid);
            let mut groups: Vec<u32> = own.into_iter().chain(owner.groups).collect();
            groups.extend(options.groups.iter().filter(|group| **group != gid));
            Identity { uid, gid, groups }
        }
        // To be in other groups, too, makes no difference to root.
        (_, 0, 0) => Identity::default(),
        (mode, uid, gid) => {
            let (user, advice) = (user.to_owned(), help.advice_for_users());
            return Err(Error::NotRoot { user, uid, gid, mode, advice });
        }
    };
    let profile = prepared.injection.as_ref().map(|injection| &*injection.profile);
    let argv = prepared.command.argv.iter().map(OsString::from);
    let mut sandbox = world(image, options, argv);
    sandbox.emulation = mode;
    sandbox.user = user;
    sandbox.read_only = options.read_only;
    sandbox.limits.clone_from(&options.surroundings.limits);
    architecture.clone_into(&mut sandbox.architecture);
    sandbox.limit = options.limit;
    sandbox.cancel = options.cancel.clone();
    sandbox.unwritten = unwritten.clone();
    sandbox.env = env::environment(config, options, profile, owner.home.as_deref());
    sandbox.directory = env::directory(config, options)?;
    sandbox.mounts.extend(options.volumes.iter().map(|volume| {
        let (source, read_only) = (volume.source.clone(), volume.read_only);
        Mount::new(&volume.target, What::Bind { source, read_only })
    }));
    sandbox.mounts.extend(options.mounts.iter().cloned());
    Ok(sandbox)
}

/// The options with what devices need.
fn with_devices(
    image: Image<'_>,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Options, Error> {
    let mut options = options.clone();
    let Surroundings { devices, cdi_folders, .. } = &options.surroundings;
    if devices.is_empty() {
        return Ok(options);
    }
    let is_cdi = |device: &Device| matches!(device, Device::Cdi { .. });
    let registry = match devices.iter().any(is_cdi) {
        true => cdi::Registry::read(cdi_folders, reporter),
        false => cdi::Registry::default(),
    };
    let edits = devices::edits(devices, &registry, reporter)?;
    options.mounts.splice(..0, edits.mounts);
    options.env.extend(edits.env);
    options.groups.extend(edits.groups);
    if !edits.libraries.is_empty() {
        let set = |entry: &String| entry.strip_prefix("LD_LIBRARY_PATH=").map(str::to_owned);
        let own = options.env.iter().rev().chain(image.config.env.iter().rev()).find_map(set);
        let own = own.filter(|own| !own.is_empty());
        let folders: Vec<String> = edits.libraries.into_iter().chain(own).collect();
        options.env.push(format!("LD_LIBRARY_PATH={}", folders.join(":")));
    }
    Ok(options)
}

/// What commands of all kinds see.
fn world(image: Image<'_>, options: &Options, argv: impl IntoIterator<Item = OsString>) -> Sandbox {
    let mut sandbox = Sandbox::new(image.root.path(), argv);
    let host_name = options.host_name.as_deref().unwrap_or(HOST_NAME);
    host_name.clone_into(&mut sandbox.host_name);
    let Surroundings { hosts, shared_memory, .. } = &options.surroundings;
    sandbox.mounts = Mount::usual(host_name, hosts, *shared_memory);
    sandbox.network = options.network;
    sandbox
}

/// Does what a profile wants to be done before the first command that runs by it, as root.
fn set_up(
    image: Image<'_>,
    options: &Options,
    injection: &Injection,
    reporter: &dyn Reporter,
) -> Result<(), Error> {
    let profile = &*injection.profile;
    let home = Accounts::read(image.root)?.process_owner("0")?.home;
    // What they say is no data of the command's, even where that has our stdout.
    let run = |script: &str, activity, reporter: &dyn Reporter| -> Result<Exit, Error> {
        let argv = ["/bin/sh", "-c", script].map(OsString::from);
        // Packages may have to be fetched, whatever the command itself may reach.
        let network = Network::Host;
        let mut sandbox = world(image, &Options { network, ..options.clone() }, argv);
        sandbox.env = env::environment(image.config, options, Some(profile), home.as_deref());
        sandbox.cancel = options.cancel.clone();
        image.architecture.clone_into(&mut sandbox.architecture);
        Ok(sandbox.spawn(Output::Report(activity), reporter)?.exit)
    };
    for InitStep { why, test, deed } in &profile.init {
        let name = format!("fakeroot profile {}: {why}", profile.name);
        if run(test, Activity::new(), &Silent)?.success() {
            reporter.detail(format!("{name}: no, so nothing is to be done"));
            continue;
        }
        let deed = deed.trim();
        reporter.note(format!("{name}: running {deed}"));
        let running = report::start(reporter, name, None);
        let exit = run(deed, running.activity(), reporter)?;
        if !exit.success() {
            let (profile, why, deed) = (profile.name.clone(), why.clone(), deed.to_owned());
            return Err(Error::SetUp { profile, why, deed, code: exit.code() });
        }
        running.finish(Outcome::Done);
    }
    Ok(())
}

/// So many refusals are told; a program that insists has the same reason each time.
const TOLD: usize = 10;

/// Tells what the emulation refused to a command that failed then.
fn tell(refusals: &[Refusal], reporter: &dyn Reporter) {
    for Refusal { call, errno, count } in refusals.iter().take(TOLD) {
        let reason = io::Error::from_raw_os_error(*errno).to_string();
        let reason = reason.split(" (os error").next().unwrap_or_default();
        let often = if *count > 1 { format!(" ({count} times)") } else { String::new() };
        reporter.warn(format!("emulation refused {call}: {reason}{often}"));
    }
    if let Some(more) = refusals.len().checked_sub(TOLD).filter(|more| *more > 0) {
        reporter.warn(format!("emulation refused {more} other calls"));
    }
}

#[cfg(test)]
mod tests;
