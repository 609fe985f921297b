//! `bryo config`.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::settings::{KEYS, Key, changed};
use crate::cli::table::Table;
use crate::transfer::sink;

/// Show and change settings
///
/// Settings are kept in a TOML file: $BRYO_CONFIG, or ~/.config/bryo/config.toml. Each has a variable,
/// which beats the file: storage has $BRYO_STORAGE, run-timeout $BRYO_RUN_TIMEOUT. An option beats
/// both.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo config show
  bryo config set storage /scratch/me/bryo
  bryo config set insecure registry.lan:5000 other.lan
  bryo config unset insecure")]
pub(crate) struct Config {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List all settings
    Show {
        /// As a JSON object of what is set
        #[arg(long)]
        json: bool,
    },
    /// Print what a setting is, one value a line; exits with 1 when it is not set
    Get {
        /// The setting
        key: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Change a setting, in the file
    Set {
        /// The setting
        key: String,
        /// Several for a list
        #[arg(required = true, value_name = "VALUE")]
        values: Vec<String>,
    },
    /// Take a setting out of the file
    Unset {
        /// The setting
        key: String,
    },
}

impl Config {
    /// Whether wrong settings are in its way: who changes them can mend them.
    pub(crate) fn mends(&self) -> bool {
        matches!(self.verb, Verb::Set { .. } | Verb::Unset { .. })
    }

    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        match &self.verb {
            Verb::Show { json } => show(*json, invocation),
            Verb::Get { key, json } => get(Key::named(key)?, *json, invocation),
            Verb::Set { key, values } => {
                let key = Key::named(key)?;
                change(key.name, Some(&key.value(values)?), invocation)
            }
            Verb::Unset { key } => change(key, None, invocation),
        }
    }
}

fn show(json: bool, invocation: &Invocation) -> Result<(), Error> {
    let settings = &invocation.config.settings;
    if json {
        let set = KEYS.iter().filter_map(|key| {
            let (value, _) = settings.get(key)?;
            Some((key.name.to_owned(), value.clone()))
        });
        let all: Map<String, Value> = set.collect();
        return invocation.print(&format!("{:#}\n", json!(all)));
    }
    let mut table = Table::new(&["KEY", "VALUE", "FROM", "MEANING"]);
    for key in &KEYS {
        let (value, origin) = match settings.get(key) {
            Some((value, origin)) => (lines(value).join(", "), origin.to_string()),
            None => ("-".to_owned(), "-".to_owned()),
        };
        table.row(vec![key.name.to_owned(), value, origin, key.help.to_owned()]);
    }
    invocation.print(&table.to_string())
}

fn get(key: &Key, json: bool, invocation: &Invocation) -> Result<(), Error> {
    let Some((value, _)) = invocation.config.settings.get(key) else {
        return Err(Error::Refused { text: format!("{} is not set", key.name), hint: None });
    };
    let text = match json {
        true => format!("{value}\n"),
        false => lines(value).iter().map(|line| format!("{line}\n")).collect(),
    };
    invocation.print(&text)
}

fn lines(value: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value {
        Value::Array(items) => items.iter().map(text).collect(),
        other => vec![text(other)],
    }
}

fn change(name: &str, value: Option<&Value>, invocation: &Invocation) -> Result<(), Error> {
    let config = &invocation.config;
    let path = config.file.as_ref().ok_or(Error::NoPlaceForSettings)?;
    let text = config.file_text()?;
    let after = changed(&text, name, value)?;
    if after == text {
        // A wrong one that is there can be taken out.
        return Key::named(name).map(drop).map_err(Error::from);
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(Error::writing(folder))?;
    }
    sink::replace(path, after.as_bytes())?;
    if let Ok(key) = Key::named(name)
        && config.raw_variable(&key.variable()).is_some()
    {
        let note = format!("${} is set, and beats the file", key.variable());
        invocation.reporter.warn(note);
    }
    Ok(())
}
