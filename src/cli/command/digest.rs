//! `bryo digest`.

use crate::cli::args::{self, Login, Network};
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::image::{Content, Platform};

/// Print the digests of images in a registry
///
/// What a name means just now, without fetching it. Of an image for several platforms it is the
/// digest of the index, unless --platform chooses one of its images.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo digest debian:12
  bryo digest --platform linux/arm64 --full-ref debian:12")]
pub(crate) struct Digest {
    /// Names of images
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Choose this platform from an index
    #[arg(long, value_name = "OS/ARCH", value_parser = args::platform)]
    platform: Option<Platform>,
    /// Print full names with digests, as other commands take them
    #[arg(long)]
    full_ref: bool,
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    login: Login,
}

impl Digest {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let remote = self.network.remote_as(invocation, self.login.given(invocation)?)?;
        for text in &self.images {
            let name = remote.reference(text)?;
            let descriptor = match &self.platform {
                None => remote.head(&name)?,
                Some(platform) => {
                    let registry = remote.registry(name.registry());
                    match registry.manifest(name.repository(), &name.target())? {
                        Content::Index(index) => index.select(platform)?.clone(),
                        other => other.descriptor().clone(),
                    }
                }
            };
            let digest = descriptor.digest;
            invocation.print(&match self.full_ref {
                true => format!("{}/{}@{digest}\n", name.registry(), name.repository()),
                false => format!("{digest}\n"),
            })?;
        }
        Ok(())
    }
}
