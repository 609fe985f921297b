//! [`Session`]: what every command starts from.

use super::config::Config;
use super::error::Error;
use super::ui::Ui;

/// The caller's settings, and how to talk to them.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) config: Config,
    pub(crate) ui: Ui,
}

impl Session {
    /// Writes a command's data.
    pub(crate) fn print(&self, text: &str) -> Result<(), Error> {
        super::ui::data(text.as_bytes()).map_err(Error::Stdout)
    }
}
