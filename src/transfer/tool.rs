//! [`Tool`]: a program of this machine that does a part of the work.

use std::env::split_paths;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::Error;

/// A program, and the package of most distributions that has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tool {
    pub(super) program: &'static str,
    pub(super) package: &'static str,
}

impl Tool {
    /// Where it is; `search` is as `PATH` has it.
    pub(super) fn find(self, search: &str) -> Result<PathBuf, Error> {
        let Self { program, package } = self;
        split_paths(search)
            .map(|folder| folder.join(program))
            .find(|path| {
                fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o111 != 0)
            })
            .ok_or(Error::NoTool { program, package })
    }
}
