//! `bryo unpack`.

use std::path::PathBuf;

use crate::cli::anywhere::Anywhere;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::transfer::{sink, transfer};

/// Unpack the files of an image into a directory
///
/// All layers in one, as an ordinary user can have them: everything belongs to you, devices are left
/// out, and setuid and setgid bits, which would make programs run as you for everybody else, are
/// taken away. The directory is seen when it is whole; what a run that was killed left beside it
/// (`.bryo-DIR.…`) goes with the next one to the same place.
///
/// A bundle maps one user, root, to you. So it cannot carry other owners (they are recorded with
/// files and directories in `user.rootlesscontainers`, as umoci does it, for who knows that), setuid
/// and setgid bits, devices, and extended attributes; a command that becomes another user fails in
/// it. `bryo run` has all of these.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo unpack app rootfs
  bryo unpack --bundle app bundle && runc run -b bundle app")]
pub(crate) struct Unpack {
    /// Make a runtime bundle: the files in `rootfs`, and a config.json made of the image's
    /// configuration, by which runc or crun starts it without root
    #[arg(long)]
    bundle: bool,
    #[command(flatten)]
    anywhere: Anywhere,
    /// A name or the beginning of an ID here, a name in a registry, or a place such as oci:DIR
    image: String,
    /// A directory that is not there yet, or is empty
    #[arg(value_name = "DIR", default_value = "rootfs")]
    directory: PathBuf,
    /// The same, as img has it
    #[arg(short, long, value_name = "DIR", hide = true, conflicts_with = "directory")]
    output: Option<PathBuf>,
}

impl Unpack {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let places = self.anywhere.places(invocation)?;
        let store = &places.store;
        let reporter = &*invocation.reporter;
        let found = places.find(&self.image)?;
        let directory = self.output.as_ref().unwrap_or(&self.directory);
        let sink = match self.bundle {
            true => sink::Unpacked::bundle(store, directory, reporter)?,
            false => sink::Unpacked::tree(store, directory, reporter)?,
        };
        let sent = transfer(&*found.source, &sink, &places.options(), reporter);
        sent.map_err(|error| found.failed(error))?;
        Ok(())
    }
}
