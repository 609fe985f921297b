//! `bryo doctor`.

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::status::Status;
use crate::cli::table::bytes;
use crate::image::Platform;
use crate::report::Silent;
use crate::sandbox::{self, Output, Sandbox};
use crate::store::Store;
use crate::sys::{probe, storage};

/// Say what this system lets bryo do
///
/// Everything is tried, nothing guessed. Exits with 8 if a build could not run commands here.
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
}

impl Trial {
    fn new(name: &str, outcome: Result<(), Error>) -> Self {
        let (error, hints) = match outcome {
            Ok(()) => (None, Vec::new()),
            Err(error) => (Some(error.message()), error.hint().into_iter().collect()),
        };
        Self { name: name.to_owned(), error, hints }
    }
}

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
        invocation.print(&if self.json {
            document(invocation, &trials)
        } else {
            text(invocation, &trials)
        })?;
        let fine = trials.iter().all(|trial| trial.error.is_none());
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
    let namespaces =
        |error: Option<String>, hints| Trial { name: "namespaces".into(), error, hints };
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

fn text(invocation: &Invocation, trials: &[Trial]) -> String {
    let room = room(invocation).map_or_else(String::new, |free| format!(" ({} free)", bytes(free)));
    let mut lines = vec![
        ("bryo", format!("{} ({})", env!("CARGO_PKG_VERSION"), Platform::host())),
        ("kernel", kernel()),
        ("storage", format!("{}{room}", invocation.config.storage.display())),
        ("subuids", "not needed".to_owned()),
    ];
    for Trial { name, error, hints } in
        trials.iter().filter(|trial| trial.name != "storage" || trial.error.is_some())
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
    lines.iter().map(|(name, said)| format!("{name:12}{said}\n")).collect()
}

fn document(invocation: &Invocation, trials: &[Trial]) -> String {
    let document = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "platform": Platform::host().to_string(),
        "kernel": kernel(),
        "storage": { "path": invocation.config.storage, "free": room(invocation) },
        "trials": trials,
    });
    format!("{document:#}\n")
}
