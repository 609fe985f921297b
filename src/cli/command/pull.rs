//! `bryo pull`.

/// Fetch images from a registry
///
/// Prints the digest of each image. Layers that are here already are not fetched again.
#[derive(Debug, clap::Args)]
pub(crate) struct Pull {
    /// Images to fetch, such as debian:12 or registry.example/team/app@sha256:…
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Choose this platform from an index [default: this machine's]
    #[arg(long, value_name = "OS/ARCH", value_parser = args::platform)]
    platform: Option<Platform>,
    #[command(flatten)]
    network: Network,
}
