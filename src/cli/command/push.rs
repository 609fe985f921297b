//! `bryo push`.

/// Send an image to a registry
///
/// Prints the digest of what was sent.
#[derive(Debug, clap::Args)]
pub(crate) struct Push {
    /// The image here
    image: String,
    /// Its name there [default: the same name]
    destination: Option<Reference>,
    #[command(flatten)]
    network: Network,
}
