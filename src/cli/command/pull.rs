//! `bryo pull`.

use crate::cli::args::{self, Login, Network};
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::image::{Platform, Reference};

/// Fetch images from a registry
///
/// Prints the digest of each. Layers that are here already are not fetched again.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo pull debian:12
  bryo pull --platform linux/arm64 registry.example/team/app:1")]
pub(crate) struct Pull {
    /// Images to fetch, such as debian:12 or registry.example/team/app@sha256:…
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<Reference>,
    /// Choose this platform from an index [default: this machine's]
    #[arg(long, value_name = "OS/ARCH", value_parser = args::platform)]
    platform: Option<Platform>,
    /// Fetch layers that registries do not keep from wherever the image says
    #[arg(long)]
    allow_foreign: bool,
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    login: Login,
}

impl Pull {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let store = invocation.store()?;
        let network = Network { allow_foreign: self.allow_foreign, ..self.network.clone() };
        let remote = network.remote_as(invocation, self.login.given(invocation)?)?;
        for name in &self.images {
            let descriptor = remote.pull(invocation, &store, name, self.platform.as_ref())?;
            invocation.print(&format!("{}\n", descriptor.digest))?;
        }
        Ok(())
    }
}
