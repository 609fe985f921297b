//! [`Invocation`]: what every command starts from.

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::Arc;
use std::{fmt, thread};

use super::config::{self, Config};
use super::error::Error;
use super::ui::{self, Ui};
use crate::build::Jobs;
use crate::report::Reporter;
use crate::store::Store;
use crate::transfer;
use crate::transfer::sink::Output;

/// So many steps of a build are executed at least, unless somebody says otherwise: many wait for the
/// network or the disk.
const STEPS: usize = 4;

/// The caller's settings, and how to talk to them.
pub(crate) struct Invocation {
    pub(crate) config: Config,
    pub(crate) ui: Ui,
    /// Who is told of what happens.
    pub(crate) reporter: Arc<dyn Reporter + Send + Sync>,
    /// Say as little as possible.
    pub(crate) quiet: bool,
    /// How many things may be done at once, if somebody said so.
    pub(crate) jobs: Option<u16>,
}

impl Invocation {
    /// Opens the storage directory.
    pub(crate) fn store(&self) -> Result<Store, Error> {
        Ok(Store::open(self.storage()?)?)
    }

    /// Where it is, or will be.
    pub(crate) fn storage(&self) -> Result<&Path, Error> {
        let config = &self.config;
        // Anybody may make a directory of that name where everybody may write.
        if config.storage_is_public && !config::is_ours(&config.storage) {
            return Err(Error::NotOurs(config.storage.clone()));
        }
        Ok(&config.storage)
    }

    /// Where an archive goes: a file, or stdout, which must not be a terminal.
    pub(crate) fn archive(&self, path: Option<&Path>) -> Result<Output, Error> {
        match path.filter(|path| *path != Path::new("-")) {
            Some(path) => Ok(Output::File(path.to_owned())),
            None if io::stdout().is_terminal() => {
                let hint = Some("name a file with --output, or redirect stdout".to_owned());
                let text = "an archive is nothing for a terminal".to_owned();
                Err(Error::Usage { text, hint })
            }
            None => Ok(Output::Stream("stdout", Box::new(io::stdout()))),
        }
    }

    /// How much is done at the same time.
    pub(crate) fn jobs(&self) -> Jobs {
        let given = self.jobs.map(usize::from);
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Jobs {
            steps: given.unwrap_or(processors.max(STEPS)),
            layers: given.unwrap_or(transfer::JOBS),
        }
    }

    /// Writes a command's data.
    pub(crate) fn print(&self, text: &str) -> Result<(), Error> {
        self.print_bytes(text.as_bytes())
    }

    pub(crate) fn print_bytes(&self, bytes: &[u8]) -> Result<(), Error> {
        ui::data(bytes).map_err(Error::Stdout)
    }
}

impl fmt::Debug for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invocation").field("config", &self.config).finish_non_exhaustive()
    }
}
