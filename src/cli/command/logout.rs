//! `bryo logout`.

use std::path::PathBuf;

use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::registry::{Place, forget};

/// Forget the credentials for a registry
///
/// Removes them from every file that bryo reads, and from the helper programs that these name.
#[derive(Debug, clap::Args)]
pub(crate) struct Logout {
    /// The registry
    #[arg(default_value = "docker.io")]
    host: String,
    /// Remove them from FILE alone
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,
}

impl Logout {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let files = match &self.authfile {
            Some(file) => vec![file.clone()],
            None => invocation.config.auth_files.clone(),
        };
        let places = forget(&files, &self.host)?;
        if places.is_empty() {
            invocation.reporter.note(format!("there were no credentials for {}", self.host));
        }
        for place in places {
            let place = match place {
                Place::File(path) => path.display().to_string(),
                Place::Helper(program) => program,
            };
            invocation
                .reporter
                .note(format!("removed the credentials for {} from {place}", self.host));
        }
        Ok(())
    }
}
