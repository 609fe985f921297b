//! `bryo repos`.

use serde_json::json;

use crate::cli::args::{Login, Network};
use crate::cli::choice::Wanted;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;

/// List the repositories of a registry
///
/// One a line, sorted. Public registries mostly tell nobody, or only those that are yours.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo repos registry.example
  bryo repos --filter 'team/*' registry.example")]
pub(crate) struct Repos {
    /// The registry
    host: String,
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

impl Repos {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let remote = self.network.remote_as(invocation, self.login.given(invocation)?)?;
        let (registry, host) = remote.host(&self.host)?;
        let names = self.wanted.of(|wanted| registry.some_repositories(wanted))?;
        if self.json {
            let document = json!({ "registry": host, "repositories": names });
            return invocation.print(&format!("{document:#}\n"));
        }
        let line = |name: &String| match self.full_ref {
            true => format!("{host}/{name}\n"),
            false => format!("{name}\n"),
        };
        invocation.print(&names.iter().map(line).collect::<String>())
    }
}
