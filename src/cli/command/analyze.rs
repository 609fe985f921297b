//! `bryo analyze`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::anywhere::Anywhere;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::status::Status;
use crate::cli::table::{Table, bytes, plain};
use crate::inspect::{Analysis, list_all, page};
use crate::transfer::sink::replace;

/// Show how much of what an image's layers carry is of use
///
/// The score is that of dive: the smallest size that each path ever had against all sizes that it had.
/// What upper layers hide or delete is told beside it. The image may be anywhere, as for `bryo inspect`;
/// its layers are read as they come, and are not kept. Exits with 1 when a limit is not kept.
///
/// Layers count from 1, the lowest, here as everywhere; `index` in JSON, which is dive's, from 0.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo analyze app
  bryo analyze --html app.html app
  bryo analyze --fail-below 0.95 --max-wasted 20MB registry.example/team/app:1")]
pub(crate) struct Analyze {
    /// A name, the beginning of an ID, or a place
    image: String,
    /// Exit with 1 when the score is below this: 0 to 1
    #[arg(long, value_name = "SCORE", value_parser = share)]
    fail_below: Option<f64>,
    /// Exit with 1 when paths that are in several layers have more bytes in all of them
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_wasted: Option<u64>,
    /// Exit with 1 when that is a larger share of what the layers above the lowest carry: 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = share)]
    max_wasted_percent: Option<f64>,
    /// Take limits that are not given from FILE (dive's .dive-ci)
    #[arg(long, value_name = "FILE")]
    ci_config: Option<PathBuf>,
    /// Write a page with a map of the files too, which needs nothing but itself (- for stdout, and
    /// nothing else there)
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// As a JSON object, in the form of dive
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    anywhere: Anywhere,
}

/// What must be kept.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Rules {
    efficiency: Option<f64>,
    wasted: Option<u64>,
    user_wasted: Option<f64>,
}

/// So many paths are listed.
const LISTED: usize = 20;

impl Analyze {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<ExitCode, Error> {
        let rules = self.rules()?;
        let places = self.anywhere.places(invocation)?;
        let found = places.find(&self.image)?;
        let resolved = found.resolve(&places.options(), invocation)?;
        let layers = &resolved.manifest.layers;
        let listings = list_all(&*found.source, layers, invocation.jobs().layers)
            .map_err(|error| found.failed_to_inspect(error))?;
        let analysis = Analysis::of(&resolved.config, layers, listings);
        if let Some(path) = &self.html {
            let title = format!("{} ({})", self.image, resolved.config.platform());
            let page = page(&title, &analysis);
            match path.as_os_str() == "-" {
                true => invocation.print(&page)?,
                false => replace(path, page.as_bytes())?,
            }
        }
        match self.json {
            _ if self.html.as_deref() == Some(Path::new("-")) => {}
            true => invocation.print(&format!("{:#}\n", analysis.document(&resolved.config)))?,
            false => invocation.print(&text(&analysis))?,
        }
        let broken = rules.broken(&analysis);
        for rule in &broken {
            invocation.reporter.warn(rule.clone());
        }
        match broken.is_empty() {
            true => Ok(ExitCode::SUCCESS),
            false => Ok(Status::FAILED.into()),
        }
    }

    fn rules(&self) -> Result<Rules, Error> {
        let file = match &self.ci_config {
            Some(path) => {
                let text = fs::read_to_string(path).map_err(Error::reading(path))?;
                rules_of(&text).map_err(|problem| wrong(path, &problem))?
            }
            None => Rules::default(),
        };
        Ok(Rules {
            efficiency: self.fail_below.or(file.efficiency),
            wasted: self.max_wasted.or(file.wasted),
            user_wasted: self.max_wasted_percent.or(file.user_wasted),
        })
    }
}

fn wrong(path: &Path, problem: &str) -> Error {
    Error::Usage { text: format!("{}: {problem}", path.display()), hint: None }
}

/// The three rules of a `.dive-ci`, which is YAML of one level below `rules:`.
fn rules_of(text: &str) -> Result<Rules, String> {
    let mut rules = Rules::default();
    for line in text.lines() {
        let line = line.split(" #").next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with('#') || line == "---" || line == "rules:" {
            continue;
        }
        let (key, value) =
            line.split_once(':').ok_or_else(|| format!("{line:?} is not KEY: VALUE"))?;
        let value = value.trim().trim_matches(['"', '\'']);
        if matches!(value, "" | "disabled" | "off" | "false") {
            continue;
        }
        let said = |problem| format!("{key}: {problem}");
        match key.trim() {
            "lowestEfficiency" => rules.efficiency = Some(share(value).map_err(said)?),
            "highestWastedBytes" => rules.wasted = Some(size(value).map_err(said)?),
            "highestUserWastedPercent" => rules.user_wasted = Some(share(value).map_err(said)?),
            other => return Err(format!("there is no rule {other:?}")),
        }
    }
    Ok(rules)
}

impl Rules {
    /// What is not kept, in words.
    fn broken(&self, analysis: &Analysis) -> Vec<String> {
        let mut broken = Vec::new();
        if let Some(least) = self.efficiency.filter(|least| analysis.efficiency < *least) {
            broken.push(format!("the score is {:.4}, below {least}", analysis.efficiency));
        }
        if let Some(most) = self.wasted.filter(|most| analysis.wasted > *most) {
            broken.push(format!(
                "{} are wasted, more than {}",
                bytes(analysis.wasted),
                bytes(most)
            ));
        }
        if let Some(most) = self.user_wasted.filter(|most| analysis.user_wasted > *most) {
            let share = analysis.user_wasted;
            broken.push(format!("{share:.4} of what was added is wasted, more than {most}"));
        }
        broken
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(format!("{text:?} is not from 0 to 1")),
    }
}

/// Decimal units, as dive reads them: `20MB`; `20MiB` are a little more.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let wrong = || format!("{text:?} is no size, such as 20MB");
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "ki" | "kib" => 1024.0,
        "mi" | "mib" => 1024.0 * 1024.0,
        "gi" | "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(wrong()),
    };
    Ok((number * factor) as u64)
}

fn text(analysis: &Analysis) -> String {
    let percent = analysis.efficiency * 100.0;
    let mut text = format!(
        "score    {percent:.2} %\nfiles    {}\nwasted   {} in paths that are in several layers\nhidden   {} that upper layers hide or delete\n\n",
        bytes(analysis.size),
        bytes(analysis.wasted),
        bytes(analysis.hidden),
    );
    let mut table = Table::new(&["LAYER", "SIZE", "HIDDEN", "MADE BY"]);
    for (at, share) in analysis.layers.iter().enumerate() {
        table.row(vec![
            format!("{} {}", at + 1, share.descriptor.digest.short()),
            bytes(share.size),
            bytes(share.hidden),
            cut(&share.command.split_whitespace().collect::<Vec<_>>().join(" "), 60),
        ]);
    }
    text += &table.to_string();
    if !analysis.references.is_empty() {
        let mut table = Table::new(&["LAYERS", "SIZE", "PATH"]);
        for found in analysis.references.iter().take(LISTED) {
            let path = format!("/{}", found.path.to_string_lossy());
            table.row(vec![found.count.to_string(), bytes(found.size), cut(&path, 200)]);
        }
        text += &format!("\n{table}");
    }
    text
}

/// So many characters.
fn cut(text: &str, most: usize) -> String {
    let mut cut: String = text.chars().take(most).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    plain(&cut).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_dive_are_read() {
        let text = "# limits\nrules:\n  lowestEfficiency: 0.9 # or so\n  highestWastedBytes: \"20MB\"\n  highestUserWastedPercent: disabled\n";
        let expected = Rules { efficiency: Some(0.9), wasted: Some(20_000_000), user_wasted: None };
        assert_eq!(rules_of(text), Ok(expected));
        for (text, part) in [
            ("lowestEfficiency: 2", "not from 0 to 1"),
            ("highestWastedBytes: much", "no size"),
            ("other: 1", "no rule \"other\""),
            ("x", "not KEY: VALUE"),
        ] {
            assert!(rules_of(text).is_err_and(|error| error.contains(part)), "{text}");
        }
        assert_eq!((size("1.5kB"), size("2MiB")), (Ok(1500), Ok(2 << 20)));
    }
}
