//! A process and its world, as data; [`Sandbox::spawn`] makes it true.
//!
//! ```text
//! bryo ── enter ──▶ bryo, re-executed in a user and a mount namespace of its own
//!                    │  a thread: unshare(NEWPID), then executes bryo once more
//!                    ├──────────────▶ second stage, pid 1 of a new pid namespace:
//!                    │ description ▶    mount, ipc and uts namespaces, mounts, pivot_root,
//!                    │ ◀ what failed    signals, descriptors, execve of the program
//!                    ▼
//!                  waits, reports the output, passes signals on
//! ```
//!
//! Both sides share the user namespace, and bryo stays in the parent pid namespace: so it has every
//! capability over the processes of the sandbox. They talk over a Unix socket, which can carry
//! descriptors either way: standard input goes in, and a seccomp listener may come out.
//!
//! The process dies with bryo (its parent-death signal is `SIGKILL`), and whatever it leaves behind
//! dies with it (it is the pid namespace's first).
//!
//! Absent on purpose: any code between fork and exec, any privilege beyond the caller's own, and
//! `NO_NEW_PRIVS` (sudo would refuse to run).

mod binfmt;
mod cause;
mod emulate;
mod enter;
mod error;
mod failure;
mod filter;
mod init;
mod limits;
mod mode;
mod mounts;
mod network;
mod points;
mod probe;
mod spawn;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::concurrency::Cancel;
use crate::report::{Activity, Reporter};
use crate::rootfs::live::Unwritten;

pub use binfmt::Foreign;
pub use cause::{Cause, Evidence, Step, apparmor_profile};
pub use emulate::Refusal;
pub use enter::{Caller, MARKER, enter};
pub use error::Error;
pub use limits::ResourceLimit;
pub use mode::{RootEmulation, UnknownRootEmulation};
pub use mounts::{Content, Mount, What};
pub use network::{Host, Network};
pub use points::Points;
pub use probe::{Chosen, Obstacle, choose, works};

/// The name that the process finds as its own host's, and in `/etc/hosts`.
pub const HOST_NAME: &str = "bryo";

/// The word by which bryo executes itself as the second stage.
const SECOND_STAGE: &str = "__sandbox";

/// A process and the world that it sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// The directory that becomes `/`.
    #[serde(with = "any_path")]
    pub root: PathBuf,
    /// Made in this order; each target is a path of the image.
    pub mounts: Vec<Mount>,
    /// The program and its arguments. A program without a slash is looked for in the `PATH` of
    /// `env`.
    pub argv: Vec<OsString>,
    /// The whole environment, `NAME=value`.
    pub env: Vec<OsString>,
    /// Where the process begins, a path of the image; made if it is missing.
    #[serde(with = "any_path")]
    pub directory: PathBuf,
    pub host_name: String,
    /// Who answers what the kernel would refuse; not [`RootEmulation::Auto`]. Under
    /// [`RootEmulation::Fakeroot`] nobody does: the command itself has to begin with it.
    pub emulation: RootEmulation,
    /// Who the process is. All but root needs [`RootEmulation::Full`] or [`RootEmulation::Ids`].
    pub user: Identity,
    pub network: Network,
    /// Nothing of the root can be changed; what is mounted in it may be.
    pub read_only: bool,
    /// Those of bryo, but for these.
    pub limits: Vec<ResourceLimit>,
    /// What its programs are for, as images name it (`arm64`); empty where nobody knows. Those for
    /// other machines are emulated.
    #[serde(skip)]
    pub architecture: String,
    /// How long the process may run; then it is killed, and all that it started.
    #[serde(skip)]
    pub limit: Option<Duration>,
    /// Kills the process, and all that it started.
    #[serde(skip)]
    pub cancel: Cancel,
    /// What files of the root do not carry themselves, for the emulation to begin with.
    #[serde(skip)]
    pub unwritten: Unwritten,
}

/// A user, as a process is one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// The other groups.
    pub groups: Vec<u32>,
}

impl Identity {
    /// Whether it is root, and in no other group.
    pub fn is_plain_root(&self) -> bool {
        *self == Self::default()
    }
}

/// Where a process's standard streams lead.
#[derive(Debug, Clone, Copy)]
pub enum Output {
    /// To those of bryo, standard input too; signals that reach bryo are passed on.
    Inherit,
    /// To the reporter, as output of this activity; standard input is empty, and there is no
    /// controlling terminal.
    Report(Activity),
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    Code(u8),
    Signal(i32),
}

impl Exit {
    /// The number that a shell would see: a signal is 128 + its number.
    pub fn code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }

    pub fn success(self) -> bool {
        self == Self::Code(0)
    }
}

/// What is left of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub exit: Exit,
    /// It was killed at its limit.
    pub is_late: bool,
    /// What the emulation could not do for it; a reason, perhaps, for its failure.
    pub refusals: Vec<Refusal>,
    /// What files do not carry now, if owners were emulated.
    pub unwritten: Option<Unwritten>,
}

impl Sandbox {
    /// `argv` in `root`, with the mounts that every process needs, an empty environment, `/` as its
    /// directory, as root without emulation.
    pub fn new(root: impl Into<PathBuf>, argv: impl IntoIterator<Item = OsString>) -> Self {
        Self {
            root: root.into(),
            mounts: Mount::usual(HOST_NAME, &[], None),
            argv: argv.into_iter().collect(),
            env: Vec::new(),
            directory: PathBuf::from("/"),
            host_name: HOST_NAME.to_owned(),
            emulation: RootEmulation::None,
            user: Identity::default(),
            network: Network::Host,
            read_only: false,
            limits: Vec::new(),
            architecture: String::new(),
            limit: None,
            cancel: Cancel::default(),
            unwritten: Unwritten::new(),
        }
    }

    /// Runs the process until its end.
    ///
    /// # Errors
    ///
    /// When the world cannot be made, or the program cannot be executed ([`Error::exit_code`] is
    /// 126 or 127 then, as of `docker run`). A program that fails is no error.
    pub fn spawn(&self, output: Output, reporter: &dyn Reporter) -> Result<Ended, Error> {
        limits::check(&self.limits)?;
        spawn::spawn(self, output, reporter)
    }
}

/// Runs the second stage if `args` (those of the program, its own name first) ask for it.
///
/// To be called before anything else in `main`, even before the command line is parsed.
pub fn second_stage(args: &[OsString]) -> Option<ExitCode> {
    if args.get(1).is_none_or(|word| word != SECOND_STAGE) {
        return None;
    }
    init::run();
    Some(ExitCode::FAILURE)
}

/// Paths in JSON: any bytes, where serde's own form takes only UTF-8.
mod any_path {
    use std::ffi::{OsStr, OsString};
    use std::path::{Path, PathBuf};

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        OsStr::serialize(path.as_os_str(), serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(reader: D) -> Result<PathBuf, D::Error> {
        OsString::deserialize(reader).map(PathBuf::from)
    }
}
