//! `bryo completion`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::args::Args;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;

/// Print a completion script for a shell
///
/// For bash: `bryo completion bash > ~/.local/share/bash-completion/completions/bryo`
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Completion {
    shell: Shell,
}

impl Completion {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Args::command(), "bryo", &mut script);
        invocation.print(&String::from_utf8_lossy(&script))
    }
}
