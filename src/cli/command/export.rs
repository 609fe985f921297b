//! `bryo export`.

use std::path::PathBuf;

use crate::cli::anywhere::Anywhere;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::transfer::{Sink as _, sink, transfer};

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
    #[command(flatten)]
    anywhere: Anywhere,
    /// A name or the beginning of an ID here, a name in a registry, or a place such as oci:DIR
    image: String,
}

impl Export {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let places = self.anywhere.places(invocation)?;
        let store = &places.store;
        let reporter = &*invocation.reporter;
        let found = places.find(&self.image)?;
        let output = invocation.archive(self.output.as_deref())?;
        let sink = sink::Tree::tar(store, output, reporter)?;
        let sent = transfer(&*found.source, &sink, &places.options(), reporter);
        sent.map_err(|error| found.failed(error))?;
        Ok(Box::new(sink).finish()?)
    }
}
