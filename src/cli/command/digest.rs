//! `bryo digest`.

use serde_json::{Value, json};

use crate::cli::args::{self, Login, Network};
use crate::cli::batch;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::network::Remote;
use crate::image::{Content, Descriptor, Platform, Reference};

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
    /// As a JSON array, with full names, sizes and media types
    #[arg(long, conflicts_with = "full_ref")]
    json: bool,
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    login: Login,
}

impl Digest {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let remote = self.network.remote_as(invocation, self.login.given(invocation)?)?;
        let mut rows = Vec::new();
        let outcome = batch::each(&self.images, |text| {
            let name = remote.reference(text)?;
            let descriptor = self.find(&remote, &name)?;
            let digest = &descriptor.digest;
            if self.json {
                rows.push(json!({
                    "name": name.to_string(),
                    "digest": digest,
                    "mediaType": descriptor.media_type,
                    "size": descriptor.size,
                }));
                return Ok(());
            }
            invocation.print(&match self.full_ref {
                true => format!("{}/{}@{digest}\n", name.registry(), name.repository()),
                false => format!("{digest}\n"),
            })
        });
        if self.json {
            invocation.print(&format!("{:#}\n", Value::Array(rows)))?;
        }
        outcome
    }

    /// What the name means just now.
    fn find(&self, remote: &Remote, name: &Reference) -> Result<Descriptor, Error> {
        let Some(platform) = &self.platform else { return remote.head(name) };
        let registry = remote.registry(name.registry());
        Ok(match registry.manifest(name.repository(), &name.target())? {
            Content::Index(index) => index.select(platform)?.clone(),
            other => other.descriptor().clone(),
        })
    }
}
