//! `bryo export`.

use std::path::PathBuf;

use crate::cli::args;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::image::Platform;
use crate::transfer::{Options, Sink as _, sink, source, transfer};

/// Write the files of an image to a tar
///
/// All layers in one, as a container of the image would see them: with the owners, modes, devices,
/// extended attributes and hard links that the image says, whoever runs bryo. The same image makes
/// the same bytes each time. What the image says beside its files (variables, command) is not in the
/// tar; `bryo save` keeps it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo export app -o app.tar
  bryo export app | tar -tv")]
pub(crate) struct Export {
    /// Write here [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Choose this platform from an index [default: this machine's]
    #[arg(long, value_name = "OS/ARCH", value_parser = args::platform)]
    platform: Option<Platform>,
    /// A name, or the beginning of an ID
    image: String,
}

impl Export {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let store = invocation.store()?;
        let reporter = &*invocation.reporter;
        let source = source::Store::find(&store, &self.image)?;
        let output = invocation.archive(self.output.as_deref())?;
        let sink = sink::Tree::tar(&store, output, reporter)?;
        let (platform, jobs) = (self.platform.clone(), invocation.jobs().layers);
        let options = Options { platform, jobs, ..Options::default() };
        transfer(&source, &sink, &options, reporter)?;
        Ok(Box::new(sink).finish()?)
    }
}
