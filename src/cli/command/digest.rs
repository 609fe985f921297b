//! `bryo digest`.

use serde_json::{Value, json};

use crate::cli::args::{self, Login, Network};
use crate::cli::batch;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::network::Remote;
use crate::image::{Content, Descriptor, Platform, Reference};
use crate::transfer::Endpoint;

/// Print the digests of images in a registry, or in any other place
///
/// What a name means in its registry just now, without fetching it; what is in another place that
/// `bryo copy` knows (store:NAME, oci:DIR, docker-archive:FILE, …). Of an image for several platforms
/// it is the digest of the index, unless --platform chooses one of its images.
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
            let (name, descriptor) = self.find(&remote, text, invocation)?;
            let digest = &descriptor.digest;
            if self.json {
                rows.push(json!({
                    "name": name.as_ref().map_or_else(|| text.to_string(), Reference::to_string),
                    "digest": digest,
                    "mediaType": descriptor.media_type,
                    "size": descriptor.size,
                }));
                return Ok(());
            }
            invocation.print(&match name.filter(|_| self.full_ref) {
                Some(name) => format!("{}/{}@{digest}\n", name.registry(), name.repository()),
                None => format!("{digest}\n"),
            })
        });
        if self.json {
            invocation.print(&format!("{:#}\n", Value::Array(rows)))?;
        }
        outcome
    }

    /// What is there, and its name if it is in a registry.
    fn find(
        &self,
        remote: &Remote,
        text: &str,
        invocation: &Invocation,
    ) -> Result<(Option<Reference>, Descriptor), Error> {
        // A URL is a registry's.
        let place = if text.contains("://") { None } else { Endpoint::with_scheme(text)? };
        match place {
            None | Some(Endpoint::Registry(_)) => {
                let name = remote.reference(text)?;
                let descriptor = match &self.platform {
                    None => remote.head(&name)?,
                    Some(_) => {
                        let registry = remote.registry(name.registry());
                        self.choose(registry.manifest(name.repository(), &name.target())?)?
                    }
                };
                Ok((Some(name), descriptor))
            }
            Some(place) => {
                let store = invocation.store()?;
                let source = place.source(remote.surroundings(&store))?;
                Ok((None, self.choose(source.root()?)?))
            }
        }
    }

    fn choose(&self, content: Content) -> Result<Descriptor, Error> {
        Ok(match (content, &self.platform) {
            (Content::Index(index), Some(platform)) => index.select(platform)?.clone(),
            (other, _) => other.descriptor().clone(),
        })
    }
}
