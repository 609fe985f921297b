//! `bryo logout`.

use std::path::PathBuf;

use crate::cli::credentials::Account;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::registry::{Keyring, Place, forget, forget_all};
use crate::report::Reporter;

/// Forget the credentials for a registry
///
/// Removes them from every file that bryo reads, and from the helper programs that these name.
/// Credentials for HOST/PATH and for HOST are different ones: each is forgotten by its own name.
#[derive(Debug, clap::Args)]
pub(crate) struct Logout {
    /// The registry
    #[arg(default_value = "docker.io", value_name = "HOST[/PATH]")]
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
        let account = Account::read(&self.host)?;
        let whose = account.key();
        let gone = match self.all {
            true => forget_all(&files, reporter)?,
            false => {
                let places = forget(&files, &whose)?;
                places.into_iter().map(|place| (whose.clone(), place)).collect()
            }
        };
        if gone.is_empty() {
            let none = if self.all { "any registry" } else { &whose };
            reporter.note(format!("there were no credentials for {none}"));
        }
        if !self.all {
            tell_of_others(&files, &account, reporter)?;
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

/// Who logs out of a registry may still be logged in to a part of it, or the other way round.
fn tell_of_others(files: &[PathBuf], gone: &Account, reporter: &dyn Reporter) -> Result<(), Error> {
    let keyring = Keyring { files: files.to_vec(), ..Keyring::default() };
    let below = format!("{}/", gone.host);
    for other in keyring.hosts(reporter)? {
        if other != gone.key() && (other.starts_with(&below) || other == gone.host) {
            reporter.note(format!("there still are credentials for {other}"));
        }
    }
    Ok(())
}
