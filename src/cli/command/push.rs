//! `bryo push`.

use crate::cli::args::{Login, Network};
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::image::Reference;

/// Send an image to a registry
///
/// Prints the digest of what was sent. Layers that the registry has already are not sent again.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo push registry.example/team/app:1
  bryo push app registry.example/team/app:2")]
pub(crate) struct Push {
    /// The image here: a name, or the beginning of an ID
    image: String,
    /// Its name there [default: the same]
    destination: Option<Reference>,
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    login: Login,
}

impl Push {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let destination = match &self.destination {
            Some(destination) => destination.clone(),
            None => self.image.parse()?,
        };
        let store = invocation.store()?;
        let remote = self.network.remote_as(invocation, self.login.given()?)?;
        let sent = remote.push(invocation, &store, &self.image, &destination)?;
        invocation.print(&format!("{}\n", sent.digest))
    }
}
