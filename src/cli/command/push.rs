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
  bryo push app registry.example/team/app:2
  bryo push --flatten-owners app registry.example/team/app:2-flat")]
pub(crate) struct Push {
    /// The image here: a name, or the beginning of an ID
    image: String,
    /// Its name there [default: the same]
    destination: Option<Reference>,
    /// Send a copy in which root owns everything
    ///
    /// For places that cannot have other owners: user and group of every file become 0:0, and
    /// setuid and setgid bits and file capabilities, which a change of owner takes away, are gone.
    /// All else stays: the other permissions, devices, the number of layers and how each is
    /// compressed. Layers and image get digests of their own; the image here is not touched.
    #[arg(long)]
    flatten_owners: bool,
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
        let remote = self.network.remote_as(invocation, self.login.given(invocation)?)?;
        let sent = match self.flatten_owners {
            false => remote.push(invocation, &store, &self.image, &destination)?,
            true => remote.push_flattened(invocation, &store, &self.image, &destination)?,
        };
        invocation.print(&format!("{}\n", sent.digest))
    }
}
