//! [`Session`]: what every command starts from.

use super::config::Config;
use super::error::Error;
use super::ui::{self, Ui};
use crate::report::Reporter;
use crate::store::Store;

/// The caller's settings, and how to talk to them.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) config: Config,
    pub(crate) ui: Ui,
    /// Say as little as possible.
    pub(crate) quiet: bool,
}

impl Session {
    /// Opens the storage directory.
    pub(crate) fn store(&self) -> Result<Store, Error> {
        let path = self.config.storage.as_deref().ok_or(Error::NoStorage)?;
        Ok(Store::open(path)?)
    }

    /// Who is told of what happens.
    pub(crate) fn reporter(&self) -> Box<dyn Reporter> {
        self.ui.reporter()
    }

    /// Writes a command's data.
    pub(crate) fn print(&self, text: &str) -> Result<(), Error> {
        self.print_bytes(text.as_bytes())
    }

    pub(crate) fn print_bytes(&self, bytes: &[u8]) -> Result<(), Error> {
        ui::data(bytes).map_err(Error::Stdout)
    }
}
