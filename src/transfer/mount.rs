//! [`Mounter`]: makes a SquashFS file a directory that all of the caller's programs see.
//!
//! An ordinary user's own mounts are in a namespace of their own and end with it. What outlives the
//! program that made it is a FUSE mount, which needs two programs that bryo asks for nowhere else:
//! `squashfuse`, and the setuid `fusermount3` that it calls.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Error;
use super::tool::Tool;

const SQUASHFUSE: Tool = Tool { program: "squashfuse", package: "squashfuse" };
/// Of FUSE 3, or of FUSE 2.
const FUSERMOUNT: [Tool; 2] = [
    Tool { program: "fusermount3", package: "fuse3" },
    Tool { program: "fusermount", package: "fuse" },
];

/// Who can mount, and where.
#[derive(Debug)]
pub struct Mounter {
    squashfuse: PathBuf,
    fusermount: PathBuf,
    dir: PathBuf,
}

impl Mounter {
    /// Looks for the programs in `search`, as `PATH` has it, and makes `dir` if it is not there.
    ///
    /// # Errors
    ///
    /// [`Error::NotEmpty`] when there is something in `dir`, [`Error::NoTool`] without the programs.
    pub fn new(dir: &Path, search: &str) -> Result<Self, Error> {
        let squashfuse = SQUASHFUSE.find(search)?;
        let [new, old] = FUSERMOUNT;
        let fusermount = new.find(search).or_else(|error| old.find(search).map_err(|_| error))?;
        let failed = || Error::writing(dir.display().to_string());
        match fs::read_dir(dir).map(|mut entries| entries.next().is_none()) {
            Ok(true) => {}
            Ok(false) => return Err(Error::NotEmpty(dir.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(dir).map_err(failed())?;
            }
            Err(error) => return Err(failed()(error)),
        }
        Ok(Self { squashfuse, fusermount, dir: dir.to_owned() })
    }

    /// Mounts `file`, which may be removed afterwards: who serves the mount has it open. Returns
    /// what ends the mount, as one would type it.
    ///
    /// # Errors
    ///
    /// [`Error::NotTaken`] with what the program said.
    pub fn mount(&self, file: &Path) -> Result<String, Error> {
        let Self { squashfuse, fusermount, dir } = self;
        let name = || format!("mount:{}", dir.display());
        let failed = |problem| Error::NotTaken { sink: name(), problem };
        // Its errors come before it goes into the background and leaves stderr.
        let ran = Command::new(squashfuse)
            .args([file, dir])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .and_then(std::process::Child::wait_with_output)
            .map_err(Error::writing(name()))?;
        if !ran.status.success() {
            let said = String::from_utf8_lossy(&ran.stderr);
            let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            return Err(failed(format!("squashfuse ended with {}: {last}", ran.status)));
        }
        Ok(format!("{} -u {}", fusermount.display(), dir.display()))
    }
}
