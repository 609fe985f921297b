//! The command line: parse, enter the namespace, dispatch, exit code.
//!
//! A command is a file of `command/`; what it may know of the world outside is a
//! `config::Config`, how it talks a `ui::Ui`.

mod anywhere;
mod args;
mod attest;
mod batch;
mod cache_exchange;
mod call;
mod changes;
mod choice;
mod command;
mod config;
mod context;
mod credentials;
mod emulation;
mod error;
mod excerpt;
mod exports;
mod filtered;
mod invocation;
mod listing;
#[cfg(test)]
mod manual;
mod mounting;
mod named_context;
mod naming;
mod network;
mod order;
mod output;
mod parsed;
mod prompt;
mod refused;
mod result_files;
mod secret;
mod settings;
mod status;
mod steps;
mod surroundings;
mod sync;
mod table;
mod template;
mod ui;
mod uri;

use std::ffi::OsString;
use std::panic;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _, ValueEnum as _};

use args::{Args, Global};
use command::Command;
use config::Config;
use error::Error;
use invocation::Invocation;
use status::Status;
use ui::{Color, Progress, Ui};

use crate::sandbox::{self, Caller};

/// The whole program.
pub fn main() -> ExitCode {
    let words = config::words();
    if let Some(status) = sandbox::second_stage(&words) {
        return status;
    }
    let parsed = parsed(&words).or_else(|error| match order::verbose(&words, &error) {
        Some(words) => parsed(&words),
        None => Err(error),
    });
    let Args { global, command } = match parsed {
        Ok(args) => args,
        Err(error) => {
            if let Some(error) = refused::explained(&error, &words) {
                return error.tell(Ui::new(
                    Progress::Auto,
                    Color::Auto,
                    false,
                    &Config::read(None),
                ));
            }
            let status = if error.use_stderr() { Status::USAGE.into() } else { ExitCode::SUCCESS };
            // Nobody is left to be told that stderr is closed.
            drop(error.print());
            return status;
        }
    };
    let invocation = invocation(global);
    match panic::catch_unwind(panic::AssertUnwindSafe(|| perform(command, &invocation, words))) {
        Ok(Ok(status)) => status,
        Ok(Err(error)) if error.is_closed_stdout() => ExitCode::SUCCESS,
        Ok(Err(error)) => error.tell(invocation.ui),
        // The hook has said what and where.
        Err(_) => {
            ui::say(&format!(
                "{}: this is a mistake of bryo {}, not yours; please report it with the lines above",
                invocation.ui.paint(ui::Style::Error, "error"),
                env!("CARGO_PKG_VERSION"),
            ));
            Status::BUG.into()
        }
    }
}

fn parsed(words: &[OsString]) -> Result<Args, clap::Error> {
    match words.get(1).is_some_and(|word| word.as_encoded_bytes().starts_with(b"-")) {
        true => Args::try_parse_from(order::ordered(words, &Args::command())),
        false => Args::try_parse_from(words),
    }
}

fn perform(
    command: Command,
    invocation: &Invocation,
    words: Vec<OsString>,
) -> Result<ExitCode, Error> {
    let config = &invocation.config;
    if !command.mends_settings() {
        config.check()?;
    }
    let runs_a_program = matches!(command, Command::Run(_));
    // Under sudo, whatever is written must be its caller's: entering takes over that identity.
    let entered = match command.needs_namespace()
        || (config.sudo.is_some() && command.keeps_anything())
    {
        true => {
            let caller = Caller { args: words, marker: config.marker.clone(), sudo: config.sudo };
            sandbox::enter(&caller).map_err(Error::from)
        }
        false => Ok(()),
    };
    entered.and_then(|()| command.run(invocation)).map_err(|error| match runs_a_program {
        true => Error::NotRun(Box::new(error)),
        false => error,
    })
}

fn invocation(global: Global) -> Invocation {
    let Global { storage, config_file, progress, color, quiet, verbose, jobs } = global;
    let mut config = Config::read(config_file.as_deref());
    if let Some(storage) = storage {
        config.keep_in(&storage);
    }
    let set = |name: &str| config.settings.text(name);
    let progress = match (quiet, progress) {
        (true, _) => Progress::None,
        (false, Progress::Auto) => set("progress")
            .and_then(|text| Progress::from_str(&text, true).ok())
            .unwrap_or(progress),
        (false, chosen) => chosen,
    };
    let color = match color {
        Color::Auto => {
            set("color").and_then(|text| Color::from_str(&text, true).ok()).unwrap_or(color)
        }
        chosen => chosen,
    };
    let jobs = jobs.or_else(|| set("jobs")?.parse().ok());
    let ui = Ui::new(progress, color, verbose, &config);
    Invocation { config, ui, reporter: ui.reporter(), quiet, jobs }
}
