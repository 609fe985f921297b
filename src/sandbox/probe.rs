//! Which ways of root emulation work here, found by trying.
//!
//! A filter cannot be taken off again, so each is tried in a thread of its own, which ends with it:
//! a filter is a matter of threads, and no process has to be started.

use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::thread;
use std::{fmt, io};

use super::RootEmulation;
use super::emulate::tables::{self, Abi, Call};
use super::filter::{self, Filter};
use crate::sys::errno::{EACCES, EBUSY, EINVAL, ENOSYS, EPERM, Errno};
use crate::sys::seccomp::{self, Instruction, Listener};
use crate::sys::{self, native, probe, process, tracee};

/// What [`choose`] has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Never [`RootEmulation::Auto`].
    pub mode: RootEmulation,
    /// Why no better one, if it is not the best.
    pub why: Option<Obstacle>,
}

/// Why a way of root emulation does not work here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// bryo does not know the system calls of this architecture.
    Architecture,
    /// No seccomp notification: a kernel before 5.0, or one without seccomp.
    NoNotification,
    /// Notification, but nothing can be left to the kernel (before 5.5).
    NoContinue,
    /// Filters are refused, by another filter or a security module.
    FilterRefused(i32),
    /// Another program, which is no bryo, listens to the calls of all processes here.
    Taken,
    /// The memory of other processes cannot be reached.
    Memory { yama: bool },
    /// Something that no known cause fits.
    Other(String),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Architecture => f.write_str("the system calls of this architecture are unknown"),
            Self::NoNotification => {
                f.write_str("the kernel has no seccomp notification (it came with Linux 5.0)")
            }
            Self::NoContinue => f.write_str(
                "the kernel cannot be left to do a trapped call itself (it can since Linux 5.5)",
            ),
            Self::FilterRefused(errno) => {
                let errno = io::Error::from_raw_os_error(*errno);
                write!(f, "seccomp filters are refused here: {errno}")
            }
            Self::Taken => f.write_str(
                "another program already listens to the system calls of all processes here",
            ),
            Self::Memory { yama: true } => f.write_str(
                "the sysctl kernel.yama.ptrace_scope is 3: no process may look into another",
            ),
            Self::Memory { yama: false } => f.write_str(
                "the memory of other processes cannot be reached (process_vm_readv and \
                 /proc/PID/mem are refused)",
            ),
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// The best way of root emulation that works here.
pub fn choose() -> Chosen {
    let full = works(RootEmulation::Full);
    let Err(why) = full else { return Chosen { mode: RootEmulation::Full, why: None } };
    let mode = match works(RootEmulation::Fake) {
        Ok(()) => RootEmulation::Fake,
        Err(_) => RootEmulation::None,
    };
    Chosen { mode, why: Some(why) }
}

/// Whether a way of root emulation works here, as far as that is a matter of the system;
/// [`RootEmulation::Fakeroot`] is one of the image.
///
/// # Errors
///
/// Why it does not.
pub fn works(mode: RootEmulation) -> Result<(), Obstacle> {
    match mode {
        RootEmulation::Full | RootEmulation::Ids => notification(),
        RootEmulation::Fake => fake(),
        RootEmulation::Auto | RootEmulation::Fakeroot | RootEmulation::None => Ok(()),
    }
}

/// Whether an emulation is around this process: a bryo that runs in a container of another one has
/// its calls answered already, and those of its own containers.
pub(super) fn is_emulated() -> bool {
    process::may_take_file_identity(12345)
}

fn fake() -> Result<(), Obstacle> {
    let program = filter::program(Filter::Fake).ok_or(Obstacle::Architecture)?;
    let load = || seccomp::load(&program);
    thread::scope(|scope| {
        let trial = thread::Builder::new().spawn_scoped(scope, load);
        let trial = trial.map_err(|e| no_thread(&e))?;
        trial.join().expect("it does not panic").map_err(|e| obstacle(&e))
    })
}

/// Has a thread ask who it is, twice: once it is told, and once the kernel is to.
fn notification() -> Result<(), Obstacle> {
    let number = Abi::native().and_then(|abi| tables::number(abi, Call::Getresuid));
    let number = number.ok_or(Obstacle::Architecture)?;
    if let Err(error) = seccomp::check_sizes() {
        return Err(obstacle(&error));
    }
    if probe::sysctl("kernel.yama.ptrace_scope").as_deref() == Some("3") {
        return Err(Obstacle::Memory { yama: true });
    }
    let proc = native::handle(c"/proc", true).map_err(|e| Obstacle::Other(e.to_string()))?;
    let (sender, receiver) = mpsc::channel();
    let told = thread::scope(|scope| {
        let asker = thread::Builder::new().spawn_scoped(scope, move || {
            let listener = seccomp::load_with_listener(&trap(number));
            let loaded = listener.is_ok();
            sender.send(listener).ok();
            loaded.then(|| (process::real_user(), process::real_user()))
        });
        let asker = asker.map_err(|e| no_thread(&e))?;
        let listener = match receiver.recv() {
            Ok(Err(e)) if e.errno() == Some(EBUSY) && is_emulated() => return Ok(None),
            Ok(listener) => listener.map_err(|e| obstacle(&e))?,
            Err(_) => return Err(Obstacle::Other("the trial did not begin".into())),
        };
        // Dropped, it lets the calls that it did not answer fail.
        let answered = tell(&listener, &proc);
        drop(listener);
        let told = asker.join().expect("it does not panic");
        answered.map(|()| told)
    })?;
    match told {
        None | Some((Some(TOLD), Some(_))) => Ok(()),
        Some((Some(TOLD), None)) => Err(Obstacle::NoContinue),
        Some(_) => Err(Obstacle::Memory { yama: false }),
    }
}

/// Whom the trial's thread is told to be.
const TOLD: u32 = 4711;

fn tell(listener: &Listener, proc: &OwnedFd) -> Result<(), Obstacle> {
    let failed = |e: Errno| Obstacle::Other(format!("ioctl(SECCOMP_IOCTL_NOTIF_SEND): {e}"));
    let receive = || loop {
        match listener.receive() {
            Ok(Some(call)) => return Ok(call),
            Ok(None) => {}
            Err(e) => return Err(Obstacle::Other(format!("ioctl(SECCOMP_IOCTL_NOTIF_RECV): {e}"))),
        }
    };
    let call = receive()?;
    for address in &call.args[..3] {
        let thread = call.thread.cast_signed();
        if tracee::write(proc, thread, *address, &TOLD.to_ne_bytes()).is_err() {
            return Err(Obstacle::Memory { yama: false });
        }
    }
    listener.answer(call.id, 0).map_err(failed)?;
    let call = receive()?;
    listener.proceed(call.id).map_err(|e| match e {
        Errno::INVAL => Obstacle::NoContinue,
        e => failed(e),
    })
}

/// A filter that traps one call.
fn trap(number: u32) -> [Instruction; 4] {
    let line = |code, jf, k| Instruction { code, jt: 0, jf, k };
    [
        line(Instruction::LOAD, 0, Instruction::NUMBER),
        line(Instruction::EQUAL, 1, number),
        line(Instruction::RETURN, 0, Instruction::NOTIFY),
        line(Instruction::RETURN, 0, Instruction::ALLOW),
    ]
}

fn no_thread(error: &io::Error) -> Obstacle {
    Obstacle::Other(format!("no thread can be started to try it: {error}"))
}

fn obstacle(error: &sys::Error) -> Obstacle {
    match error.errno() {
        Some(EBUSY) => Obstacle::Taken,
        Some(EINVAL | ENOSYS) => Obstacle::NoNotification,
        Some(errno @ (EPERM | EACCES)) => Obstacle::FilterRefused(errno),
        _ => Obstacle::Other(format!("{error}: {}", error.source)),
    }
}
