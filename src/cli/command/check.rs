//! `bryo check`.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::anywhere::Anywhere;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::status::Status;
use crate::cli::table::plain;
use crate::image::Reference;
use crate::inspect::{
    self, Base, CHECKS, CheckOptions, Finding, Report, Severity, check, check_store,
};

/// Look for all that is wrong with an image
///
/// The image may be anywhere, as for `bryo inspect`; of an index all images are looked at, unless
/// --platform chooses one. Layers are read as they come, several at once, and are not kept. Exits with
/// 1 when there are errors.
#[derive(Debug, clap::Args)]
#[command(after_long_help = more())]
pub(crate) struct Check {
    /// A name, the beginning of an ID, or a place
    #[arg(required_unless_present = "store")]
    image: Option<String>,
    /// Read no layers: manifests, configurations and the sizes of blobs alone
    #[arg(long)]
    fast: bool,
    /// Exit with 1 when there are warnings, too
    #[arg(long)]
    strict: bool,
    /// The image must stand on IMAGE as that is now
    #[arg(long, value_name = "IMAGE")]
    base: Option<String>,
    /// Check the storage directory instead: every blob, and what every name stands for
    #[arg(long, conflicts_with_all = ["image", "fast", "base", "remote", "platform"])]
    store: bool,
    /// As a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    anywhere: Anywhere,
}

/// Examples, and all that is looked for.
fn more() -> String {
    let examples = "Examples:
  bryo check registry.example/team/app:1
  bryo check --strict --base debian:12 app
  bryo check --json oci-archive:app.tar | jq '.results[] | select(.severity == \"error\")'
  bryo check --store

Checks:\n";
    let rows = CHECKS.iter().map(|check| {
        let inspect::Check { id, severity, meaning } = check;
        format!("  {id} ({}): {meaning}\n", severity.name())
    });
    let rows: String = rows.collect();
    format!("{examples}{}", rows.trim_end())
}

impl Check {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<ExitCode, Error> {
        let (report, name) = match &self.image {
            Some(image) => self.image(image, invocation)?,
            None => {
                let store = invocation.store()?;
                let jobs = invocation.jobs().layers;
                (check_store(&store, jobs, &*invocation.reporter)?, None)
            }
        };
        let (errors, warnings) = (report.count(Severity::Error), report.count(Severity::Warning));
        if self.json {
            let name = name.as_ref();
            let document = json!({
                "image": name.map_or(self.image.clone(), |name| Some(name.familiar_repository())),
                "tag": name.and_then(Reference::tag),
                "mode": match (self.store, self.fast) {
                    (true, _) => "store",
                    (false, true) => "fast",
                    (false, false) => "full",
                },
                "images": report.images,
                "errors": errors,
                "warnings": warnings,
                "results": report.results,
            });
            invocation.print(&format!("{document:#}\n"))?;
        } else {
            invocation.print(&lines(&report))?;
            invocation.reporter.note(told(&report, errors, warnings));
        }
        match errors > 0 || (self.strict && warnings > 0) {
            true => Ok(Status::FAILED.into()),
            false => Ok(ExitCode::SUCCESS),
        }
    }

    fn image(
        &self,
        image: &str,
        invocation: &Invocation,
    ) -> Result<(Report, Option<Reference>), Error> {
        let places = self.anywhere.places(invocation)?;
        let found = places.find(image)?;
        let base = match &self.base {
            Some(name) => {
                let resolved = places.find(name)?.resolve(&places.options(), invocation)?;
                Some(Base { name: name.clone(), diff_ids: resolved.config.rootfs.diff_ids })
            }
            None => None,
        };
        let options = CheckOptions {
            fast: self.fast,
            platform: places.platform.clone(),
            jobs: invocation.jobs().layers,
            base,
            ..CheckOptions::default()
        };
        let report = check(&*found.source, &options, &*invocation.reporter)
            .map_err(|error| found.failed_to_inspect(error))?;
        Ok((report, found.source.names().into_iter().next()))
    }
}

fn lines(report: &Report) -> String {
    let line = |finding: &Finding| {
        let Finding { severity, check, message } = finding;
        // Names in an image may be meant to confuse a terminal.
        let message = plain(message);
        format!("{:7}  {check}: {message}\n", severity.name())
    };
    report.results.iter().map(line).collect()
}

fn told(report: &Report, errors: usize, warnings: usize) -> String {
    let count = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    let (errors, warnings) = (count(errors, "error"), count(warnings, "warning"));
    match report.images {
        0 => format!("no image could be looked into: {errors}, {warnings}"),
        images => format!("{} checked: {errors}, {warnings}", count(images, "image")),
    }
}
