//! `mount:DIR`: what bryo itself mounts ends with its namespace, so that an image's files are packed
//! inside, by a bryo of its own, and mounted outside.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};

use super::config;
use super::error::Error;
use super::invocation::Invocation;
use super::ui::say;
use crate::transfer::{self, Mounter};

/// Does what the command line says, with `squashfs:FILE` for `word`, and mounts that file at `dir`.
pub(super) fn mount(dir: &Path, word: &str, invocation: &Invocation) -> Result<ExitCode, Error> {
    if invocation.config.marker.is_some() {
        return Err(transfer::Error::Mount(dir.to_owned()).into());
    }
    let mounter = Mounter::new(dir, &invocation.config.path)?;
    let folder = match dir.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Beside it, where there is room for an image's files as anybody would expect.
    let folder = tempfile::Builder::new().prefix(".bryo-").tempdir_in(folder);
    let folder = folder.map_err(Error::writing(dir))?;
    let file = folder.path().join("squashfs");
    let mut packed = OsString::from("squashfs:");
    packed.push(&file);
    let words = config::words();
    // Else the other bryo would do as this one does.
    if !words.iter().skip(1).any(|given| given == word) {
        return Err(transfer::Error::Mount(dir.to_owned()).into());
    }
    let words = words.iter().skip(1).map(|given| if given == word { &packed } else { given });
    let program = env::current_exe().map_err(Error::writing(dir))?;
    let status = Command::new(program).args(words).status().map_err(Error::writing(dir))?;
    // It has said what went wrong.
    if !status.success() {
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        return Ok(code.map_or(ExitCode::FAILURE, ExitCode::from));
    }
    let end = mounter.mount(&file)?;
    if !invocation.quiet {
        say(&format!("mounted at {}, until {end}", dir.display()));
    }
    Ok(ExitCode::SUCCESS)
}
