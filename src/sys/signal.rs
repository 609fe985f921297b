//! Signals: caught as data, sent, and what another process does with them.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::{io, mem, ptr};

use nix::sys::signal::{SigSet, Signal};
use nix::unistd::Pid;

use super::{Error, Result};

pub const HANGUP: i32 = libc::SIGHUP;
pub const INTERRUPT: i32 = libc::SIGINT;
pub const QUIT: i32 = libc::SIGQUIT;
pub const KILL: i32 = libc::SIGKILL;
pub const TERMINATE: i32 = libc::SIGTERM;
pub const USER_1: i32 = libc::SIGUSR1;
pub const USER_2: i32 = libc::SIGUSR2;
pub const WINDOW_CHANGE: i32 = libc::SIGWINCH;

/// Where the handler writes; -1 while nobody catches.
static PIPE: AtomicI32 = AtomicI32::new(-1);

/// A signal that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caught {
    pub signal: i32,
    /// The kernel sent it (the terminal did: the whole foreground group has got it), no process.
    pub from_kernel: bool,
}

/// Signals are caught as long as this lives. One that is made later takes them over until it goes.
#[derive(Debug)]
pub struct Catcher {
    writer: OwnedFd,
    before: Vec<(i32, libc::sigaction)>,
    /// Where the handler wrote before.
    outer: i32,
}

/// The signals that came, until the [`Catcher`] is dropped.
#[derive(Debug)]
pub struct Signals(File);

impl Iterator for Signals {
    type Item = Caught;

    fn next(&mut self) -> Option<Caught> {
        let mut note = [0; 2];
        self.0.read_exact(&mut note).ok()?;
        Some(Caught { signal: i32::from(note[0]), from_kernel: note[1] != 0 })
    }
}

/// Catches `signals` from now on, except those that the process ignores (as under `nohup`).
pub fn catch(signals: &[i32]) -> Result<(Catcher, Signals)> {
    catch_even(signals, |_| false)
}

/// The same, and of those that the process ignores the ones that are `wanted` all the same.
pub fn catch_even(signals: &[i32], wanted: fn(i32) -> bool) -> Result<(Catcher, Signals)> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|e| Error::new("pipe2(O_CLOEXEC)", e))?;
    let outer = PIPE.swap(writer.as_raw_fd(), Ordering::AcqRel);
    let mut catcher = Catcher { writer, before: Vec::new(), outer };
    // SAFETY: all-zero bytes are a valid `sigaction`: the default action, an empty mask, no flags.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = note as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
    for &signal in signals {
        let before = exchange(signal, None)?;
        if before.sa_sigaction != libc::SIG_IGN || wanted(signal) {
            exchange(signal, Some(&action))?;
            catcher.before.push((signal, before));
        }
    }
    Ok((catcher, Signals(File::from(reader))))
}

impl Drop for Catcher {
    fn drop(&mut self) {
        for (signal, before) in &self.before {
            // It was valid before, so it is now.
            drop(exchange(*signal, Some(before)));
        }
        PIPE.compare_exchange(
            self.writer.as_raw_fd(),
            self.outer,
            Ordering::AcqRel,
            Ordering::Relaxed,
        )
        .ok();
    }
}

/// The handler: writes down what came. It calls nothing but write(2), and keeps `errno`.
extern "C" fn note(signal: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let pipe = PIPE.load(Ordering::Acquire);
    // SAFETY: the kernel hands a valid structure to a handler with SA_SIGINFO.
    let from_kernel = unsafe { (*info).si_code } > 0;
    let bytes = [u8::try_from(signal).unwrap_or(0), u8::from(from_kernel)];
    // SAFETY: points to this thread's own `errno`, which outlives the handler.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: see above; nobody else writes to it.
    let kept = unsafe { *errno };
    // SAFETY: two bytes are there; a pipe that is gone is answered `EBADF`.
    unsafe { libc::write(pipe, bytes.as_ptr().cast(), bytes.len()) };
    // SAFETY: see above.
    unsafe { *errno = kept };
}

/// Gives every signal its default action and blocks none, whatever the caller did with them.
pub fn reset_all() -> Result<()> {
    // The kernel's structure, not the C library's, which keeps two signals to itself: a handler, a
    // restorer, flags and a mask; all-zero bytes are the default action.
    let (default, mask_size) = ([0u64; 4], size_of::<u64>());
    for signal in 1..=64 {
        // SAFETY: the structure is at least as long as the kernel's, which only reads it. Without a
        // handler no code of ours runs.
        let result = unsafe {
            let (new, no_old) = (default.as_ptr(), ptr::null_mut::<u64>());
            libc::syscall(libc::SYS_rt_sigaction, signal, new, no_old, mask_size)
        };
        // Nobody changes what KILL and STOP do.
        if result != 0 && !matches!(signal, libc::SIGKILL | libc::SIGSTOP) {
            let call = format!("rt_sigaction({signal}, SIG_DFL)");
            return Err(Error::new(call, io::Error::last_os_error()));
        }
    }
    SigSet::empty().thread_set_mask().map_err(|e| Error::new("pthread_sigmask(SIG_SETMASK, [])", e))
}

/// Sends a signal to a process.
pub fn send(process: i32, signal: i32) -> Result<()> {
    let call = || format!("kill({process}, {signal})");
    let signal = Signal::try_from(signal).map_err(|e| Error::new(call(), e))?;
    nix::sys::signal::kill(Pid::from_raw(process), signal).map_err(|e| Error::new(call(), e))
}

/// Whether a process leaves a signal to its default action (neither ignores nor catches it).
///
/// The first process of a pid namespace is not killed by such a signal, though any other would be
/// (pid_namespaces(7)).
pub fn is_default(process: i32, signal: i32) -> Result<bool> {
    let path = format!("/proc/{process}/status");
    let failed = |e| Error::new(format!("read({path:?})"), e);
    let text = std::fs::read_to_string(&path).map_err(failed)?;
    let mask = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(line.trim(), 16).ok()
    };
    let (Some(ignored), Some(caught)) = (mask("SigIgn:"), mask("SigCgt:")) else {
        return Err(failed(io::ErrorKind::InvalidData.into()));
    };
    Ok((ignored | caught) >> (signal - 1) & 1 == 0)
}

/// A thread of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thread(rustix::thread::Pid);

pub fn this_thread() -> Thread {
    Thread(rustix::thread::gettid())
}

/// Lets [`interrupt`] end a system call in which a thread waits, with `EINTR`; nothing else happens.
pub fn allow_interruptions() -> Result<()> {
    extern "C" fn nothing(_: i32) {}
    // SAFETY: all-zero bytes are a valid `sigaction`: an empty mask, no flags, so no restart.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = nothing as *const () as usize;
    exchange(INTERRUPTION, Some(&action)).map(drop)
}

/// Interrupts what a thread waits for; nothing happens when it waits for nothing, or is gone.
pub fn interrupt(Thread(thread): Thread) {
    let (process, thread) = (std::process::id(), thread.as_raw_nonzero().get());
    // SAFETY: takes numbers only; the signal's handler does nothing.
    unsafe { libc::syscall(libc::SYS_tgkill, process, thread, INTERRUPTION) };
}

/// A signal that nobody uses (it tells of urgent data, if one asks for that) and that is ignored by
/// default.
const INTERRUPTION: i32 = libc::SIGURG;

/// Sets an action if there is a new one; gives the old one.
fn exchange(signal: i32, new: Option<&libc::sigaction>) -> Result<libc::sigaction> {
    // SAFETY: all-zero bytes are a valid `sigaction`.
    let mut old: libc::sigaction = unsafe { mem::zeroed() };
    let new = new.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: both pointers are null or point to structures that outlive the call; the only handler
    // that is ever set keeps to what is allowed in one.
    let result = unsafe { libc::sigaction(signal, new, &raw mut old) };
    if result == 0 {
        return Ok(old);
    }
    Err(Error::new(format!("sigaction({signal})"), io::Error::last_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_caught_and_given_back() {
        let own = i32::try_from(std::process::id()).expect("a pid");
        let signal = libc::SIGCHLD; // ignored by default: harmless in a test process
        assert!(is_default(own, signal).expect("own status"));
        let (catcher, mut signals) = catch(&[signal]).expect("caught");
        assert!(!is_default(own, signal).expect("own status"));
        send(own, signal).expect("sent");
        assert_eq!(signals.next(), Some(Caught { signal, from_kernel: false }));
        drop(catcher);
        assert_eq!(signals.next(), None);
        assert!(is_default(own, signal).expect("own status"));
    }
}
