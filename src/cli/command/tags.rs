//! `bryo tags`.

use serde_json::json;

use crate::cli::args::{Login, Network};
use crate::cli::choice::Wanted;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;

/// List the tags of a repository
///
/// One a line, sorted.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo tags debian
  bryo tags --filter '12*' debian
  bryo tags --filter '^v[0-9]+$' --regex registry.example/team/app")]
pub(crate) struct Tags {
    /// The repository, such as debian or registry.example/team/app
    repository: String,
    #[command(flatten)]
    wanted: Wanted,
    /// Print full names, as other commands take them
    #[arg(long, conflicts_with = "json")]
    full_ref: bool,
    /// As a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    login: Login,
}

impl Tags {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let remote = self.network.remote_as(invocation, self.login.given(invocation)?)?;
        let name = remote.repository(&self.repository)?;
        let registry = remote.registry(name.registry());
        let tags = self.wanted.of(|wanted| registry.some_tags(name.repository(), wanted))?;
        let full = format!("{}/{}", name.registry(), name.repository());
        if self.json {
            let document = json!({ "repository": full, "tags": tags });
            return invocation.print(&format!("{document:#}\n"));
        }
        let line = |tag: &String| match self.full_ref {
            true => format!("{full}:{tag}\n"),
            false => format!("{tag}\n"),
        };
        invocation.print(&tags.iter().map(line).collect::<String>())
    }
}
