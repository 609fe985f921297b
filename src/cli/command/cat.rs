//! `bryo cat`.

use std::path::PathBuf;

use crate::cli::anywhere::Anywhere;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::ui;
use crate::inspect::cat;

/// Print a file of an image
///
/// As a container of the image would see it: the layers applied, symbolic links followed inside the
/// image. The image may be anywhere, as for `bryo inspect`. Nothing is printed before all of it was
/// verified.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo cat app /etc/os-release
  bryo cat registry.example/team/app:1 /usr/bin/tool > tool")]
pub(crate) struct Cat {
    /// A name, the beginning of an ID, or a place
    image: String,
    /// Where the file is, from the root of the image
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    anywhere: Anywhere,
}

impl Cat {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let places = self.anywhere.places(invocation)?;
        let found = places.find(&self.image)?;
        let resolved = found.resolve(&places.options(), invocation)?;
        let (layers, jobs) = (&resolved.manifest.layers, invocation.jobs().layers);
        for path in &self.paths {
            cat(&*found.source, layers, path, &places.store, jobs, &mut ui::data)
                .map_err(|error| found.failed_to_inspect(error))?;
        }
        Ok(())
    }
}
