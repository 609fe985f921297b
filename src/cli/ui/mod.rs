//! What a person sees: progress and talk on stderr; stdout carries data only.

mod json;
mod lines;
mod plain;
mod progress;
mod quiet;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use serde_json::json;

pub(crate) use lines::Lines;

use super::config::Config;
use crate::report::{Outcome, Reporter};
use crate::sys::signal::{self, Catcher};

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    /// Bars on a terminal, lines elsewhere
    Auto,
    /// Bars that are drawn again and again
    Tty,
    /// One line for each thing that happened
    Plain,
    /// One JSON object for each event
    #[value(alias = "rawjson")]
    Json,
    /// Nothing but warnings and what failed
    #[value(alias = "quiet")]
    None,
}

/// Whether words are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    Always,
    Never,
}

/// How bryo talks during one command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ui {
    pub(crate) progress: Progress,
    pub(crate) verbose: bool,
    pub(crate) color: bool,
}

impl Ui {
    /// Settles what is automatic.
    pub(crate) fn new(progress: Progress, color: Color, verbose: bool, config: &Config) -> Self {
        let terminal = config.able_terminal && io::stderr().is_terminal();
        let progress = match progress {
            Progress::Auto if terminal => Progress::Tty,
            Progress::Auto => Progress::Plain,
            chosen => chosen,
        };
        let color = match color {
            Color::Auto => terminal && !config.no_color,
            Color::Always => true,
            Color::Never => false,
        };
        Self { progress, verbose, color }
    }

    /// Without colours, without anything.
    #[cfg(test)]
    pub(crate) fn mute() -> Self {
        Self { progress: Progress::None, verbose: false, color: false }
    }

    /// Draws events as they come. Some ways start threads: only after `sandbox::enter`.
    pub(crate) fn reporter(self) -> Arc<dyn Reporter + Send + Sync> {
        match self.progress {
            Progress::Tty => Arc::new(progress::Bars::new(self)),
            Progress::Auto | Progress::Plain => Arc::new(plain::Plain::new(self)),
            Progress::Json => Arc::new(json::Json::new(self)),
            Progress::None => Arc::new(quiet::Quiet::new(self)),
        }
    }

    /// A word such as `error`, in `style` where colours are wished.
    pub(crate) fn paint(self, style: Style, word: &str) -> String {
        match self.color {
            true => format!("\x1b[{}m{word}\x1b[0m", style.code()),
            false => word.to_owned(),
        }
    }

    /// Tells of the failure that ends the command.
    pub(crate) fn fail(self, text: &str, hints: &[String], status: u8) {
        self.fail_with(text, hints, status, None);
    }

    /// The same, for programs with what the command has written that failed: all of it is in a file,
    /// and its last lines.
    pub(crate) fn fail_with(
        self,
        text: &str,
        hints: &[String],
        status: u8,
        written: Option<(&Path, Vec<String>)>,
    ) {
        if self.progress == Progress::Json {
            let mut event =
                json!({ "event": "error", "text": text, "hints": hints, "status": status });
            if let Some((log, last)) = written {
                event["log"] = json!(log);
                event["last"] = json!(last);
            }
            return say(&event.to_string());
        }
        say(&format!("{}: {text}", self.paint(Style::Error, "error")));
        self.hint(hints);
    }

    /// Repeats the end of what the command has written that failed.
    pub(crate) fn repeat(self, log: &Path, last: &[String]) {
        let log = log.display();
        // Without progress, the lines have been shown for the first time just now.
        if self.progress == Progress::None {
            return say(&format!("all that it wrote: {log}"));
        }
        say(&format!("the last lines of what it wrote (all of it: {log}):"));
        for line in last {
            say(&format!("  {} {line}", self.paint(Style::Dim, "|")));
        }
    }

    /// Tells what can be done about it.
    pub(crate) fn hint(self, hints: &[String]) {
        for hint in hints {
            say(&format!("{}: {hint}", self.paint(Style::Hint, "hint")));
        }
    }

    fn warning(self, text: &str) -> String {
        format!("{}: {text}", self.paint(Style::Warning, "warning"))
    }

    fn outcome(self, outcome: Outcome, took: Duration) -> String {
        let took = took.as_secs_f64();
        match outcome {
            Outcome::Done => self.paint(Style::Good, &format!("done in {took:.1} s")),
            Outcome::Cached => self.paint(Style::Good, "cached"),
            Outcome::Cancelled => self.paint(Style::Dim, &format!("cancelled after {took:.1} s")),
            Outcome::Failed => self.paint(Style::Error, &format!("failed after {took:.1} s")),
        }
    }
}

/// What a word means, and so its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Error,
    Warning,
    Hint,
    Good,
    Dim,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Error => "1;31",
            Self::Warning => "1;33",
            Self::Hint => "1;36",
            Self::Good => "32",
            Self::Dim => "2",
        }
    }
}

/// Writes data to stdout. A reader that went away (`bryo images | head -1`) is no failure.
pub(crate) fn data(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes a whole line to stderr. Nobody is left to be told when that fails.
pub(crate) fn say(text: &str) {
    drop(io::stderr().lock().write_all(format!("{text}\n").as_bytes()));
}

/// Asks somebody at the terminal; the answer is theirs to type on the same line.
pub(crate) fn ask(question: &str) {
    let mut stderr = io::stderr().lock();
    drop(stderr.write_all(question.as_bytes()).and_then(|()| stderr.flush()));
}

/// Whether somebody can be asked.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal()
}

/// Asks somebody at a terminal whether to go on. Elsewhere nobody is asked, and the answer is yes.
pub(crate) fn confirm(question: &str) -> io::Result<bool> {
    if !can_ask() {
        return Ok(true);
    }
    ask(&format!("{question} [y/N] "));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Signals that end a command from outside, and their names.
const DEADLY: [(i32, &str); 3] =
    [(signal::INTERRUPT, "SIGINT"), (signal::TERMINATE, "SIGTERM"), (signal::HANGUP, "SIGHUP")];

/// From now on a signal that ends bryo is told of; as long as what is returned lives. All commands of
/// images die with bryo, and what was being made has not got its name yet.
///
/// Starts a thread: only after `sandbox::enter`.
pub(crate) fn end_when_interrupted(ui: Ui) -> Option<Catcher> {
    let (catcher, mut signals) = signal::catch(&DEADLY.map(|(signal, _)| signal)).ok()?;
    std::thread::spawn(move || {
        if let Some(caught) = signals.next() {
            let known = DEADLY.iter().find(|(signal, _)| *signal == caught.signal);
            let name = known.map_or("a signal", |(_, name)| name);
            let hint = "what was built until now is in the cache".to_owned();
            let status = u8::try_from(128 + caught.signal).unwrap_or(u8::MAX);
            ui.fail(&format!("ended by {name}"), &[hint], status);
            end(status);
        }
    });
    Some(catcher)
}

/// From now on the first signal that would end bryo calls `stop`, which lets what is under way be
/// finished, and the second one ends it; as long as what is returned lives.
///
/// A shell without job control (any script) starts what ends in `&` with SIGINT ignored. That is for
/// those who share its terminal; of a server that is asked to stop by name it makes a deaf one.
///
/// Starts a thread: only after `sandbox::enter`.
pub(crate) fn stop_when_interrupted(
    reporter: Arc<dyn Reporter + Send + Sync>,
    stop: impl FnOnce() + Send + 'static,
) -> Option<Catcher> {
    let signals = DEADLY.map(|(signal, _)| signal);
    let (catcher, mut signals) =
        signal::catch_even(&signals, |signal| signal == signal::INTERRUPT).ok()?;
    std::thread::spawn(move || {
        if signals.next().is_some() {
            reporter.note("stopping when what is under way is done; again: at once".to_owned());
            stop();
        }
        if let Some(caught) = signals.next() {
            end(u8::try_from(128 + caught.signal).unwrap_or(u8::MAX));
        }
    });
    Some(catcher)
}

#[allow(
    clippy::exit,
    reason = "no other thread can be made to stop, and nothing needs to be undone"
)]
fn end(status: u8) -> ! {
    std::process::exit(i32::from(status))
}
