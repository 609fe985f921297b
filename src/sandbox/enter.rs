//! bryo's own first step: one user and one mount namespace, before any thread exists.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::{Cause, Error, Evidence, Step};
use crate::sys::ns::{self, Namespace};
use crate::sys::{self, mount, probe, process};

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
pub fn enter(caller: &Caller) -> Result<(), Error> {
    if is_inside(caller) {
        return Ok(());
    }
    let explain = Explain::now();
    if let (0, Some((uid @ 1.., gid))) = (explain.user, caller.sudo) {
        explain.step(Step::Caller, process::become_user(uid, gid))?;
    }
    let explain = Explain::now();
    let (uid, gid) = (explain.user, process::group());
    // One after the other, so that an error tells which of them is refused.
    explain.step(Step::UserNamespace, ns::unshare(&[Namespace::User]))?;
    explain.step(Step::IdentityMap, ns::deny_setgroups())?;
    explain.step(Step::IdentityMap, ns::map_user_to_root(uid))?;
    explain.step(Step::IdentityMap, ns::map_group_to_root(gid))?;
    explain.step(Step::MountNamespace, ns::unshare(&[Namespace::Mount]))?;
    explain.step(Step::PrivateMounts, mount::make_all_private())?;
    let marker = explain.step(Step::Again, ns::user_namespace())?;
    // A fresh image of the program: capabilities, auxiliary vector and files in /proc are those of
    // root from its first instruction on.
    explain.step(Step::Again, Err(execute_again(&caller.args, marker)))
}

/// Returns only when it could not.
fn execute_again(args: &[OsString], marker: u64) -> sys::Error {
    let name = args.first().cloned().unwrap_or_else(|| "bryo".into());
    let execute = |program: &OsStr| {
        let mut command = Command::new(program);
        command.arg0(&name).args(args.iter().skip(1)).env(MARKER, marker.to_string());
        sys::Error { call: format!("execve({program:?})"), source: command.exec() }
    };
    let error = execute(OsStr::new("/proc/self/exe"));
    // Where /proc is not what it should be, the name may do.
    execute(&name);
    error
}

/// Whether the marker names the user namespace that the process is in.
fn is_inside(caller: &Caller) -> bool {
    let marker = caller.marker.as_ref().and_then(|marker| marker.to_str()?.parse().ok());
    marker.is_some() && marker == ns::user_namespace().ok()
}

/// What explains a refusal and is no longer to be seen after it: in a new user namespace everybody
/// is nobody first, and has every capability.
struct Explain {
    user: u32,
    setfcap: bool,
}

impl Explain {
    fn now() -> Self {
        Self { user: process::user(), setfcap: probe::may_set_file_capabilities() }
    }

    fn step<T>(&self, step: Step, result: sys::Result<T>) -> Result<T, Error> {
        result.map_err(|source| {
            let seen = Evidence::gather(self.user, self.setfcap);
            let cause = Cause::of(step, source.errno().unwrap_or(0), &seen);
            Error::Enter { step, cause, source }
        })
    }
}
