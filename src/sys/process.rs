//! The process itself: identity, death with its parent, limits, `execve`; and waiting for others.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus};
use nix::unistd::{Gid, Pid, Uid};
use rustix::process::Resource;

use super::{Error, Result};

/// The effective user, as the process's own user namespace numbers it.
pub fn user() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// The effective group.
pub fn group() -> u32 {
    nix::unistd::getegid().as_raw()
}

/// Becomes an ordinary user for good: no other group, no saved id to go back to.
///
/// A process that changes its user is no longer "dumpable", and its files in `/proc` belong to the
/// old one, `uid_map` too; this makes it dumpable again.
pub fn become_user(uid: u32, gid: u32) -> Result<()> {
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
    nix::unistd::setgroups(&[group]).map_err(|e| Error::new(format!("setgroups([{gid}])"), e))?;
    nix::unistd::setresgid(group, group, group)
        .map_err(|e| Error::new(format!("setresgid({gid}, {gid}, {gid})"), e))?;
    nix::unistd::setresuid(user, user, user)
        .map_err(|e| Error::new(format!("setresuid({uid}, {uid}, {uid})"), e))?;
    nix::sys::prctl::set_dumpable(true).map_err(|e| Error::new("prctl(PR_SET_DUMPABLE, 1)", e))
}

/// A bit for each capability that the kernel knows.
pub fn all_capabilities() -> u64 {
    let known = |number: &u64| {
        // SAFETY: takes numbers only.
        unsafe { libc::prctl(libc::PR_CAPBSET_READ, *number, 0_u64, 0_u64, 0_u64) >= 0 }
    };
    (0..64).take_while(known).fold(0, |set, number| set | 1 << number)
}

/// Puts the soft limit on file locks (`RLIMIT_LOCKS`) to the hard one. Linux has no use for it since
/// 2.4.25; under root emulation the distance says who a process is, and none means root.
pub fn begin_as_root() -> Result<()> {
    let locks = rustix::process::getrlimit(Resource::Locks);
    let limit = rustix::process::Rlimit { current: locks.maximum, maximum: locks.maximum };
    rustix::process::setrlimit(Resource::Locks, limit)
        .map_err(|e| Error::new("setrlimit(RLIMIT_LOCKS)", e))
}

/// Becomes a user, with what else root emulation is to know: the group and the other groups.
pub fn take_identity(uid: u32, gid: u32, groups: &[u32]) -> Result<()> {
    let all: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
    nix::unistd::setgroups(&all).map_err(|e| Error::new(format!("setgroups({groups:?})"), e))?;
    nix::unistd::setresgid(group, group, group)
        .map_err(|e| Error::new(format!("setresgid({gid}, {gid}, {gid})"), e))?;
    nix::unistd::setresuid(user, user, user)
        .map_err(|e| Error::new(format!("setresuid({uid}, {uid}, {uid})"), e))
}

/// The real user id, if the system says.
pub fn real_user() -> Option<u32> {
    nix::unistd::getresuid().ok().map(|ids| ids.real.as_raw())
}

/// Whether the process could become this user as far as files go. Without privilege, and without an
/// emulation around it, it could not. It is who it was before when this returns.
pub fn may_take_file_identity(uid: u32) -> bool {
    // Each call tells who it was before, and does nothing when it may not (setfsuid(2)).
    let before = nix::unistd::setfsuid(Uid::from_raw(uid));
    let after = nix::unistd::setfsuid(before);
    after.as_raw() == uid && before.as_raw() != uid
}

/// Asks the kernel to kill the process when the thread that made it ends.
pub fn die_with_parent() -> Result<()> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)
        .map_err(|e| Error::new("prctl(PR_SET_PDEATHSIG, SIGKILL)", e))
}

/// Makes the process the leader of a new session, with no controlling terminal.
pub fn new_session() -> Result<()> {
    nix::unistd::setsid().map(|_| ()).map_err(|e| Error::new("setsid()", e))
}

/// Sets the mode bits that new files do not get.
pub fn set_umask(mask: u32) {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
}

/// Lets no crash leave a core file behind; the process may raise the limit again.
pub fn write_no_core_files() -> Result<()> {
    let limit = rustix::process::Rlimit {
        current: Some(0),
        maximum: rustix::process::getrlimit(Resource::Core).maximum,
    };
    rustix::process::setrlimit(Resource::Core, limit)
        .map_err(|e| Error::new("setrlimit(RLIMIT_CORE, 0)", e))
}

/// The names that `--ulimit` knows.
const LIMITS: [(&str, Resource); 15] = [
    ("core", Resource::Core),
    ("cpu", Resource::Cpu),
    ("data", Resource::Data),
    ("fsize", Resource::Fsize),
    ("locks", Resource::Locks),
    ("memlock", Resource::Memlock),
    ("msgqueue", Resource::Msgqueue),
    ("nice", Resource::Nice),
    ("nofile", Resource::Nofile),
    ("nproc", Resource::Nproc),
    ("rss", Resource::Rss),
    ("rtprio", Resource::Rtprio),
    ("rttime", Resource::Rttime),
    ("sigpending", Resource::Sigpending),
    ("stack", Resource::Stack),
];

fn resource(name: &str) -> Option<Resource> {
    LIMITS.iter().find(|(known, _)| *known == name).map(|(_, resource)| *resource)
}

/// The highest value that the process may give a limit; None: any, or there is no such limit.
pub fn hard_limit(name: &str) -> Option<u64> {
    rustix::process::getrlimit(resource(name)?).maximum
}

/// Limits the process; None is no limit.
///
/// # Errors
///
/// `EPERM` for a hard limit above the present one, `EINVAL` for an unknown name.
pub fn set_limit(name: &str, soft: Option<u64>, hard: Option<u64>) -> Result<()> {
    let set = |resource| {
        let limit = rustix::process::Rlimit { current: soft, maximum: hard };
        rustix::process::setrlimit(resource, limit)
    };
    resource(name)
        .map_or(Err(rustix::io::Errno::INVAL), set)
        .map_err(|e| Error::new(format!("setrlimit({name}, {soft:?}, {hard:?})"), e))
}

/// Replaces the process's program; returns only when that could not be done.
///
/// # Errors
///
/// Those of execve(2): `ENOENT` also for an interpreter that does not exist. A word that contains
/// NUL is none.
pub fn execute(program: &Path, args: &[OsString], env: &[OsString]) -> Result<Infallible> {
    let call = || format!("execve({program:?})");
    let text = |word: &OsStr| {
        CString::new(word.as_bytes()).map_err(|e| Error::new(call(), io::Error::from(e)))
    };
    let texts =
        |words: &[OsString]| words.iter().map(|word| text(word)).collect::<Result<Vec<_>>>();
    let (path, args, env) = (text(program.as_os_str())?, texts(args)?, texts(env)?);
    nix::unistd::execve(&path, &args, &env).map_err(|e| Error::new(call(), e))
}

/// Whether the process may execute `path`, as access(2) answers.
pub fn may_execute(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

/// Waits until a child ends, and leaves it to be waited for once more: so long its number is not
/// given to anybody else.
pub fn wait_without_reaping(child: i32) -> Result<()> {
    let call = || format!("waitid(P_PID, {child}, WEXITED|WNOWAIT)");
    loop {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        match nix::sys::wait::waitid(Id::Pid(Pid::from_raw(child)), flags) {
            Ok(WaitStatus::StillAlive) | Err(nix::errno::Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(e) => return Err(Error::new(call(), e)),
        }
    }
}

/// The name of the terminal behind a descriptor, if it is one.
pub fn terminal_name(descriptor: impl AsFd) -> Option<PathBuf> {
    nix::unistd::ttyname(descriptor).ok()
}

/// The process group in the foreground of a terminal.
#[derive(Debug, Clone, Copy)]
pub struct Foreground(Pid);

impl Foreground {
    /// The process's own group, if it is in the foreground of the terminal `descriptor`.
    pub fn of(descriptor: impl AsFd) -> Option<Self> {
        let group = nix::unistd::tcgetpgrp(descriptor).ok()?;
        (group == nix::unistd::getpgrp()).then_some(Self(group))
    }

    /// Puts the group back where it was.
    ///
    /// A shell that makes itself the foreground group of its terminal does not give that up when it
    /// ends as the first process of its pid namespace.
    pub fn restore(self, descriptor: impl AsFd) -> Result<()> {
        use nix::sys::signal::{SigSet, Signal};
        // Who is in the background and does this is stopped, unless it blocks the signal.
        let mut stop = SigSet::empty();
        stop.add(Signal::SIGTTOU);
        stop.thread_block().map_err(|e| Error::new("pthread_sigmask(SIG_BLOCK, [TTOU])", e))?;
        let result = nix::unistd::tcsetpgrp(descriptor, self.0);
        stop.thread_unblock().map_err(|e| Error::new("pthread_sigmask(SIG_UNBLOCK, [TTOU])", e))?;
        result.map_err(|e| Error::new(format!("tcsetpgrp({})", self.0), e))
    }
}
