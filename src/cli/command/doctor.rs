//! `bryo doctor`.

use std::fmt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::status::Status;
use crate::cli::table::bytes;
use crate::fakeroot::{Known, ProfileError, Profiles};
use crate::image::Platform;
use crate::report::Silent;
use crate::sandbox::{self, Output, RootEmulation, Sandbox};
use crate::store::Store;
use crate::sys::{probe, storage};

/// Say what this system lets bryo do
///
/// Everything is tried, nothing guessed. Exits with 8 if a build could not run commands here. Also
/// lists the fakeroot profiles, those of your own with what is wrong with them.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo doctor
  bryo doctor apparmor | sudo tee /etc/apparmor.d/bryo")]
pub(crate) struct Doctor {
    /// Print the AppArmor profile that lets this bryo make user namespaces, and nothing else
    #[arg(value_enum)]
    about: Option<About>,
    /// As a JSON object
    #[arg(long)]
    json: bool,
    /// The part that runs inside of the namespace.
    #[arg(long, hide = true)]
    inside: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum About {
    Apparmor,
}

/// Something that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Trial {
    name: String,
    /// Why it failed, if it did.
    error: Option<String>,
    hints: Vec<String>,
    /// No build can run commands without it.
    needed: bool,
}

/// A fakeroot profile, or a file that should have been one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Row {
    name: Option<String>,
    description: Option<String>,
    /// None: it came with bryo.
    file: Option<PathBuf>,
    error: Option<String>,
}

impl From<&Known> for Row {
    fn from(Known { profile, path }: &Known) -> Self {
        let (name, description) = (profile.name.clone(), profile.description.clone());
        Self { name: Some(name), description: Some(description), file: path.clone(), error: None }
    }
}

impl From<&ProfileError> for Row {
    fn from(error: &ProfileError) -> Self {
        let (file, error) = (Some(error.file.clone()), Some(error.to_string()));
        Self { name: None, description: None, file, error }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, description, file, error } = self;
        if let Some(error) = error {
            return write!(f, "unusable: {error}");
        }
        let (name, description) = (name.as_deref(), description.as_deref());
        write!(f, "{:8} {}", name.unwrap_or_default(), description.unwrap_or_default())?;
        file.as_ref().map_or(Ok(()), |file| write!(f, " ({})", file.display()))
    }
}

impl Trial {
    fn new(name: &str, outcome: Result<(), Error>) -> Self {
        let (error, hints) = match outcome {
            Ok(()) => (None, Vec::new()),
            Err(error) => (Some(error.message()), error.hint().into_iter().collect()),
        };
        Self { name: name.to_owned(), error, hints, needed: true }
    }

    /// A way of root emulation.
    fn emulation(mode: RootEmulation) -> Self {
        let error = sandbox::works(mode).err().map(|why| why.to_string());
        Self { name: format!("{EMULATION}{mode}"), error, hints: Vec::new(), needed: false }
    }
}

/// How names of trials begin that are about root emulation.
const EMULATION: &str = "root emulation ";

impl Doctor {
    pub(crate) fn is_inside(&self) -> bool {
        self.inside
    }

    pub(crate) fn run(&self, invocation: &Invocation) -> Result<ExitCode, Error> {
        if self.inside {
            let trials = inside(invocation);
            let text = serde_json::to_string(&trials).expect("trials have string keys");
            invocation.print(&text)?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.about == Some(About::Apparmor) {
            let program = probe::own_program().unwrap_or_else(|| PathBuf::from("/usr/bin/bryo"));
            invocation.print(&sandbox::apparmor_profile(&program))?;
            return Ok(ExitCode::SUCCESS);
        }
        let trials = trials(invocation)?;
        let (profiles, faults) = Profiles::new(&invocation.config.profile_files()?);
        let profiles = profiles.iter().map(Row::from).chain(faults.iter().map(Row::from));
        let profiles: Vec<Row> = profiles.collect();
        invocation.print(&if self.json {
            document(invocation, &trials, &profiles)
        } else {
            text(invocation, &trials, &profiles)
        })?;
        let fine = trials.iter().all(|trial| trial.error.is_none() || !trial.needed);
        Ok(if fine { ExitCode::SUCCESS } else { Status::SYSTEM.into() })
    }
}

/// Has another bryo try everything, whose namespaces end with it.
fn trials(invocation: &Invocation) -> Result<Vec<Trial>, Error> {
    let program = PathBuf::from("/proc/self/exe");
    let output = Command::new(&program)
        .args(["doctor", "--inside", "--progress", "json", "--storage"])
        .arg(&invocation.config.storage)
        .stdin(Stdio::null())
        .output()
        .map_err(Error::reading(&program))?;
    let namespaces = |error: Option<String>, hints| Trial {
        name: "namespaces".into(),
        error,
        hints,
        needed: true,
    };
    if let Ok(mut found) = serde_json::from_slice::<Vec<Trial>>(&output.stdout) {
        found.insert(0, namespaces(None, Vec::new()));
        return Ok(found);
    }
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let last: Value =
        told.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
    let error = last["text"].as_str().map_or(told, str::to_owned);
    let hints = last["hints"].as_array().cloned().unwrap_or_default();
    let hints = hints.iter().filter_map(|hint| hint.as_str().map(str::to_owned)).collect();
    Ok(vec![namespaces(Some(error), hints)])
}

/// What a build needs, tried inside of the namespace.
fn inside(invocation: &Invocation) -> Vec<Trial> {
    let store = match invocation.store() {
        Ok(store) => store,
        Err(error) => return vec![Trial::new("storage", Err(error))],
    };
    vec![
        Trial::new("storage", Ok(())),
        Trial::new("layers", store.snapshot(&[]).map(drop).map_err(Error::from)),
        Trial::new("commands", command(&store)),
        Trial::emulation(RootEmulation::Full),
        Trial::emulation(RootEmulation::Ids),
        Trial::emulation(RootEmulation::Fake),
    ]
}

/// Makes the world that a command runs in; that the command is missing is all right.
fn command(store: &Store) -> Result<(), Error> {
    let snapshot = store.snapshot(&[])?;
    let sandbox = Sandbox::new(snapshot.root().path(), ["/no/command".into()]);
    let points = sandbox::Points::make(snapshot.root(), snapshot.upper(), &sandbox.mounts)?;
    let activity = crate::report::Activity::new();
    let outcome = sandbox.spawn(Output::Report(activity), &Silent);
    points.remove(snapshot.upper())?;
    match outcome {
        Err(sandbox::Error::NotFound { .. }) => Ok(()),
        outcome => Ok(outcome.map(drop)?),
    }
}

fn room(invocation: &Invocation) -> Option<u64> {
    let existing = invocation.config.storage.ancestors().find(|path| path.exists())?;
    Some(storage::space(existing).ok()?.free)
}

fn kernel() -> String {
    probe::kernel_release().unwrap_or_else(|| "unknown".to_owned())
}

fn text(invocation: &Invocation, trials: &[Trial], profiles: &[Row]) -> String {
    let room = room(invocation).map_or_else(String::new, |free| format!(" ({} free)", bytes(free)));
    let mut lines = vec![
        ("bryo", format!("{} ({})", env!("CARGO_PKG_VERSION"), Platform::host())),
        ("kernel", kernel()),
        ("storage", format!("{}{room}", invocation.config.storage.display())),
        ("subuids", "not needed".to_owned()),
    ];
    let (emulation, other): (Vec<&Trial>, _) =
        trials.iter().partition(|trial| trial.name.starts_with(EMULATION));
    for Trial { name, error, hints, needed: _ } in
        other.into_iter().filter(|trial| trial.name != "storage" || trial.error.is_some())
    {
        let mut said = match error {
            None => "work".to_owned(),
            Some(error) => format!("fail: {error}"),
        };
        for hint in hints {
            said.push_str(&format!("\nhint: {hint}"));
        }
        lines.push((name, said));
    }
    let mut text: String = lines.iter().map(|(name, said)| format!("{name:12}{said}\n")).collect();
    if !emulation.is_empty() {
        text.push_str("\nroot emulation\n");
    }
    for Trial { name, error, .. } in emulation {
        let mode = name.strip_prefix(EMULATION).unwrap_or(name);
        let said = error.as_ref().map_or("works".to_owned(), |why| format!("fails: {why}"));
        text.push_str(&format!("  {mode:10}{said}\n"));
    }
    text.push_str("\nfakeroot profiles\n");
    text.extend(profiles.iter().map(|row| format!("  {row}\n")));
    text
}

fn document(invocation: &Invocation, trials: &[Trial], profiles: &[Row]) -> String {
    let document = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "platform": Platform::host().to_string(),
        "kernel": kernel(),
        "storage": { "path": invocation.config.storage, "free": room(invocation) },
        "trials": trials,
        "fakeroot_profiles": profiles,
    });
    format!("{document:#}\n")
}
