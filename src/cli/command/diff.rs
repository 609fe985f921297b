//! `bryo diff`.

use std::fmt::Display;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::anywhere::Anywhere;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::status::Status;
use crate::cli::table::{bytes, plain};
use crate::inspect::{self, Changes, Difference, Shown, Side, diff};
use crate::transfer::{Resolved, Source};

/// Show in what two images differ
///
/// Configuration, environment, labels, packages (dpkg, apk, rpm) and files, by their content. The images
/// may be anywhere, as for `bryo inspect`; a layer that both have is read once. Lines begin with `+` for
/// what B alone has, with `-` for what A alone has, and with `~` for what both have in different ways.
/// Exits with 1 when there is any difference.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo diff app:1 app:2
  bryo diff --ignore-timestamps --json app registry.example/team/app | jq .packages")]
pub(crate) struct Diff {
    /// A name, the beginning of an ID, or a place
    a: String,
    /// Another one
    b: String,
    /// No time makes a difference: neither a file's nor the image's
    #[arg(long)]
    ignore_timestamps: bool,
    /// As a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    anywhere: Anywhere,
}

impl Diff {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<ExitCode, Error> {
        let places = self.anywhere.places(invocation)?;
        let options = places.options();
        let found = (places.find(&self.a)?, places.find(&self.b)?);
        let a = found.0.resolve(&options, invocation)?;
        let b = found.1.resolve(&options, invocation)?;
        let mut note = |text| invocation.reporter.warn(text);
        let difference = diff(
            &side(&*found.0.source, &a),
            &side(&*found.1.source, &b),
            self.ignore_timestamps,
            &places.store,
            invocation.jobs().layers,
            &mut note,
        )
        .map_err(|error| match error {
            inspect::Error::Transfer(error) => found.1.failed(*error),
            error => error.into(),
        })?;
        match self.json {
            true => {
                let mut document =
                    json!({ "a": self.a, "b": self.b, "equal": difference.is_empty() });
                if let (Value::Object(document), Value::Object(own)) =
                    (&mut document, json!(difference))
                {
                    document.extend(own);
                }
                invocation.print(&format!("{document:#}\n"))?;
            }
            false => invocation.print(&text(&difference))?,
        }
        match difference.is_empty() {
            true => Ok(ExitCode::SUCCESS),
            false => Ok(Status::FAILED.into()),
        }
    }
}

fn side<'a>(source: &'a dyn Source, resolved: &'a Resolved) -> Side<'a> {
    Side { source, manifest: &resolved.manifest, config: &resolved.config }
}

fn text(difference: &Difference) -> String {
    let Difference { config, env, labels, packages, files } = difference;
    let mut text = String::new();
    section(&mut text, "config", config, ": ");
    section(&mut text, "env", env, "=");
    section(&mut text, "labels", labels, "=");
    section(&mut text, "packages", packages, " ");
    if !(files.added.is_empty() && files.removed.is_empty() && files.changed.is_empty()) {
        text += "files\n";
        let mut lines = Vec::new();
        for (mark, all) in [('+', &files.added), ('-', &files.removed)] {
            lines.extend(
                all.iter().map(|(path, file)| (path, format!("{mark} {}", one(path, file)))),
            );
        }
        for (path, changed) in &files.changed {
            let what = changed.what.join(", ");
            let sizes = match changed.a.size == changed.b.size {
                true => bytes(changed.a.size),
                false => format!("{} -> {}", bytes(changed.a.size), bytes(changed.b.size)),
            };
            lines.push((path, format!("~ {} ({sizes}: {what})", plain(path))));
        }
        lines.sort();
        lines.iter().for_each(|(_, line)| text += &format!("  {line}\n"));
    }
    text
}

fn one(path: &str, file: &Shown) -> String {
    match (&file.link, file.kind) {
        (Some(link), _) => format!("{} -> {}", plain(path), plain(link)),
        (None, "file") => format!("{} ({})", plain(path), bytes(file.size)),
        (None, kind) => format!("{} ({kind})", plain(path)),
    }
}

fn section<T>(text: &mut String, title: &str, changes: &Changes<T>, between: &str)
where
    T: Display + PartialEq + Serialize,
{
    if changes.is_empty() {
        return;
    }
    *text += &format!("{title}\n");
    let line = |mark: char, name: &str, value: String| {
        format!("  {mark} {}{between}{}\n", plain(name), plain(&value))
    };
    for (name, value) in &changes.added {
        *text += &line('+', name, value.to_string());
    }
    for (name, value) in &changes.removed {
        *text += &line('-', name, value.to_string());
    }
    for (name, (old, new)) in &changes.changed {
        *text += &line('~', name, format!("{old} -> {new}"));
    }
}
