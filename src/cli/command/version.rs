//! `bryo version`.

use serde_json::json;

use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::image::Platform;

/// Show bryo's version
#[derive(Debug, clap::Args)]
pub(crate) struct Version {
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

impl Version {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let (version, platform) = (env!("CARGO_PKG_VERSION"), Platform::host().to_string());
        invocation.print(&match self.json {
            true => format!("{:#}\n", json!({ "version": version, "platform": platform })),
            false => format!("bryo {version} ({platform})\n"),
        })
    }
}
