//! `bryo push`.

use crate::cli::args::{Login, Network};
use crate::cli::error::Error;
use crate::cli::session::Session;
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
    pub(crate) fn run(&self, session: &Session) -> Result<(), Error> {
        let destination = match &self.destination {
            Some(destination) => destination.clone(),
            None => self.image.parse()?,
        };
        let store = session.store()?;
        let remote = self.network.remote_as(session, self.login.given()?)?;
        let sent = remote.push(session, &store, &self.image, &destination)?;
        session.print(&format!("{}\n", sent.digest))
    }
}
