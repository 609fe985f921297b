//! `bryo reset`.

use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::ui;
use crate::store::Store;

/// Remove everything: all images, the build cache, cache mounts, logs
///
/// What is left is an empty storage directory. Refuses while another bryo works in it. Credentials
/// and settings stay.
#[derive(Debug, clap::Args)]
pub(crate) struct Reset {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

impl Reset {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let path = invocation.storage()?;
        if !path.exists() {
            return Ok(());
        }
        if !self.force && !ui::can_ask() {
            let text = "nobody is there to be asked whether all that is meant".to_owned();
            let hint = Some("say so with --force".to_owned());
            return Err(Error::Usage { text, hint });
        }
        let question = format!(
            "WARNING! This removes all images and all caches in {}.\nAre you sure?",
            path.display()
        );
        if !self.force && !ui::confirm(&question).map_err(Error::Stdin)? {
            invocation.reporter.note("nothing was removed".to_owned());
            return Ok(());
        }
        Store::reset(path)?;
        invocation.reporter.note(format!("{} is empty now", path.display()));
        Ok(())
    }
}
