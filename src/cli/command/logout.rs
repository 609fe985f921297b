//! `bryo logout`.

use std::path::PathBuf;

use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::registry::{Place, forget, forget_all};

/// Forget the credentials for a registry
///
/// Removes them from every file that bryo reads, and from the helper programs that these name.
#[derive(Debug, clap::Args)]
pub(crate) struct Logout {
    /// The registry
    #[arg(default_value = "docker.io")]
    host: String,
    /// Forget the credentials for every registry
    #[arg(long, conflicts_with = "host")]
    all: bool,
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
        let reporter = &*invocation.reporter;
        let gone = match self.all {
            true => forget_all(&files, reporter)?,
            false => {
                let places = forget(&files, &self.host)?;
                places.into_iter().map(|place| (self.host.clone(), place)).collect()
            }
        };
        if gone.is_empty() {
            let whose = if self.all { "any registry" } else { &self.host };
            reporter.note(format!("there were no credentials for {whose}"));
        }
        for (host, place) in gone {
            let place = match place {
                Place::File(path) => path.display().to_string(),
                Place::Helper(program) => program,
            };
            reporter.note(format!("removed the credentials for {host} from {place}"));
        }
        Ok(())
    }
}
