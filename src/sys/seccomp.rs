//! seccomp(2): loading a filter, and answering the calls that it notifies about
//! (seccomp_unotify(2)).
//!
//! The filter may be loaded without `NO_NEW_PRIVS`, because the process is root of its user
//! namespace.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{mem, ptr};

use super::errno::Errno;
use super::{Error, Result};

/// An instruction of classic BPF, as the kernel's `struct sock_filter` has it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    pub code: u16,
    /// How many instructions to skip if the test holds, and if not.
    pub jt: u8,
    pub jf: u8,
    pub k: u32,
}

/// The codes that filters use.
impl Instruction {
    /// `BPF_LD | BPF_W | BPF_ABS`: the word at offset `k` of `struct seccomp_data`.
    pub const LOAD: u16 = 0x20;
    /// `BPF_ALU | BPF_AND | BPF_K`.
    pub const AND: u16 = 0x54;
    /// `BPF_JMP | BPF_JA`: skips `k` instructions, more than `jt` could.
    pub const SKIP: u16 = 0x05;
    /// `BPF_JMP | BPF_JEQ | BPF_K`.
    pub const EQUAL: u16 = 0x15;
    /// `BPF_JMP | BPF_JGE | BPF_K`.
    pub const AT_LEAST: u16 = 0x35;
    /// `BPF_JMP | BPF_JSET | BPF_K`: whether any of the bits is set.
    pub const ANY_OF: u16 = 0x45;
    /// `BPF_RET | BPF_K`.
    pub const RETURN: u16 = 0x06;
}

/// What a filter returns.
impl Instruction {
    /// `SECCOMP_RET_ALLOW`.
    pub const ALLOW: u32 = 0x7fff_0000;
    /// `SECCOMP_RET_USER_NOTIF`.
    pub const NOTIFY: u32 = 0x7fc0_0000;
    /// `SECCOMP_RET_ERRNO`, to be joined with the number, which may be 0.
    pub const ERRNO: u32 = 0x0005_0000;
}

/// Offsets in `struct seccomp_data`.
impl Instruction {
    pub const NUMBER: u32 = 0;
    pub const ARCH: u32 = 4;
    /// Six words of 64 bits.
    pub const ARGS: u32 = 16;
    /// The length of it all.
    pub const DATA: u32 = 64;
}

/// A trapped call, as the kernel describes it (`struct seccomp_notif`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notification {
    /// Names the call as long as the thread waits for its answer.
    pub id: u64,
    /// The thread, as the reader's pid namespace numbers it; 0 if it has no number there.
    pub thread: u32,
    flags: u32,
    pub number: i32,
    /// `AUDIT_ARCH_…`.
    pub arch: u32,
    pub instruction_pointer: u64,
    pub args: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// `struct seccomp_notif_addfd`.
#[repr(C)]
struct AddDescriptor {
    id: u64,
    flags: u32,
    source: u32,
    target: u32,
    target_flags: u32,
}

/// `struct seccomp_notif_sizes`.
#[repr(C)]
#[derive(Default)]
struct Sizes {
    notification: u16,
    response: u16,
    data: u16,
}

/// `struct sock_fprog`.
#[repr(C)]
struct Program {
    length: u16,
    instructions: *const Instruction,
}

const SET_MODE_FILTER: libc::c_uint = 1;
const GET_NOTIF_SIZES: libc::c_uint = 3;

const NEW_LISTENER: libc::c_ulong = 1 << 3;
/// Linux 5.19.
const WAIT_KILLABLE_RECV: libc::c_ulong = 1 << 5;

/// Linux 5.5.
const CONTINUE: u32 = 1;
/// Add the descriptor and answer with it, in one: Linux 5.14.
const ADD_AND_SEND: u32 = 1 << 1;
/// Linux 6.6.
const SYNC_WAKE_UP: u64 = 1;

/// `SECCOMP_IOCTL_NOTIF_…`: `_IOC(direction, '!', number, size)`.
const RECV: u64 = 0xc050_2100;
const SEND: u64 = 0xc018_2101;
const ID_VALID: u64 = 0x4008_2102;
const ADDFD: u64 = 0x4018_2103;
const SET_FLAGS: u64 = 0x4008_2104;

/// Loads a filter into the calling thread, which keeps it for good, as do its children.
pub fn load(program: &[Instruction]) -> Result<()> {
    set_filter(program, 0).map(drop)
}

/// Loads a filter with a listener. A thread whose call was taken by the listener can only be
/// killed while it waits, where the kernel knows how (Linux 5.19); before, any signal makes it
/// begin the call anew.
///
/// # Errors
///
/// `EINVAL` before Linux 5.0; `EBUSY` when the process has a listener already, as inside of
/// another emulation.
pub fn load_with_listener(program: &[Instruction]) -> Result<Listener> {
    let (descriptor, killable) = match set_filter(program, NEW_LISTENER | WAIT_KILLABLE_RECV) {
        Err(e) if e.errno() == Some(libc::EINVAL) => (set_filter(program, NEW_LISTENER)?, false),
        descriptor => (descriptor?, true),
    };
    // SAFETY: the kernel has just made it, and nobody else knows it.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    Ok(Listener { descriptor, killable })
}

fn set_filter(program: &[Instruction], flags: libc::c_ulong) -> Result<RawFd> {
    let call = || format!("seccomp(SECCOMP_SET_MODE_FILTER, {flags:#x}, {} lines)", program.len());
    let length = u16::try_from(program.len())
        .map_err(|_| Error::new(call(), io::Error::from_raw_os_error(libc::EINVAL)))?;
    let filter = Program { length, instructions: program.as_ptr() };
    // SAFETY: `filter` describes memory that lives through the call, which only reads it.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, &filter) };
    RawFd::try_from(result)
        .ok()
        .filter(|descriptor| *descriptor >= 0)
        .ok_or_else(|| Error::new(call(), io::Error::last_os_error()))
}

/// Where trapped calls come out and their answers go in.
#[derive(Debug)]
pub struct Listener {
    descriptor: OwnedFd,
    killable: bool,
}

impl Listener {
    /// A listener that came from another process; `killable` is what that one said.
    pub fn new(descriptor: OwnedFd, killable: bool) -> Self {
        Self { descriptor, killable }
    }

    /// Whether signals leave a thread alone that waits for an answer.
    pub fn is_killable(&self) -> bool {
        self.killable
    }

    /// Lets an answer wake the thread on this very processor, if the kernel can (Linux 6.6).
    pub fn wake_on_the_same_processor(&self) {
        // Without it answers only come a little later.
        self.ioctl(SET_FLAGS, SYNC_WAKE_UP as usize).ok();
    }

    /// Waits for a call. `None`: a signal came, or the thread is gone again.
    pub fn receive(&self) -> std::result::Result<Option<Notification>, Errno> {
        // Longer than the structure of any kernel so far, which fills what it knows.
        #[repr(C, align(8))]
        struct Buffer([u8; 512]);
        let mut buffer = Buffer([0; 512]);
        match self.ioctl(RECV, ptr::from_mut(&mut buffer).expose_provenance()) {
            // SAFETY: the kernel has written the structure at the beginning of the buffer, which is
            // aligned for it; any bytes are a valid one.
            Ok(_) => Ok(Some(unsafe { ptr::from_ref(&buffer).cast::<Notification>().read() })),
            Err(Errno::INTR | Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Whether the call still waits for its answer: its thread is the one that made it, and its
    /// memory is that thread's.
    pub fn is_waiting(&self, id: u64) -> bool {
        self.ioctl(ID_VALID, ptr::from_ref(&id).expose_provenance()).is_ok()
    }

    /// Lets the call return a value.
    ///
    /// # Errors
    ///
    /// `ENOENT` when the thread does not wait any more.
    pub fn answer(&self, id: u64, value: i64) -> std::result::Result<(), Errno> {
        self.send(&Response { id, value, error: 0, flags: 0 })
    }

    /// Lets the call fail. See [`Self::answer`].
    pub fn fail(&self, id: u64, errno: Errno) -> std::result::Result<(), Errno> {
        self.send(&Response { id, value: 0, error: -errno.raw_os_error(), flags: 0 })
    }

    /// Lets the kernel do the call (Linux 5.5). See [`Self::answer`].
    pub fn proceed(&self, id: u64) -> std::result::Result<(), Errno> {
        self.send(&Response { id, value: 0, error: 0, flags: CONTINUE })
    }

    /// Gives the thread a descriptor and lets the call return its number. See [`Self::answer`].
    ///
    /// # Errors
    ///
    /// `EINVAL` before Linux 5.9.
    pub fn answer_with(
        &self,
        id: u64,
        descriptor: BorrowedFd<'_>,
        close_on_exec: bool,
    ) -> std::result::Result<(), Errno> {
        /// Whether the kernel answers in the same step.
        static IN_ONE: AtomicBool = AtomicBool::new(true);
        if IN_ONE.load(Ordering::Relaxed) {
            match self.add(id, descriptor, close_on_exec, ADD_AND_SEND) {
                Err(Errno::INVAL) => IN_ONE.store(false, Ordering::Relaxed),
                result => return result.map(drop),
            }
        }
        let number = self.add(id, descriptor, close_on_exec, 0)?;
        self.answer(id, i64::from(number))
    }

    /// Gives the thread a descriptor, and goes on without an answer; its number there.
    pub fn give(
        &self,
        id: u64,
        descriptor: BorrowedFd<'_>,
        close_on_exec: bool,
    ) -> std::result::Result<RawFd, Errno> {
        self.add(id, descriptor, close_on_exec, 0)
    }

    /// Whether the kernel can do that at all (Linux 5.9).
    pub fn can_give(&self) -> bool {
        // No call has this number: who knows the request, says that.
        self.add(u64::MAX, self.as_fd(), true, 0) == Err(Errno::NOENT)
    }

    fn add(
        &self,
        id: u64,
        descriptor: BorrowedFd<'_>,
        close_on_exec: bool,
        flags: u32,
    ) -> std::result::Result<RawFd, Errno> {
        let source = descriptor.as_raw_fd().cast_unsigned();
        let target_flags = if close_on_exec { libc::O_CLOEXEC.cast_unsigned() } else { 0 };
        let order = AddDescriptor { id, flags, source, target: 0, target_flags };
        self.ioctl(ADDFD, ptr::from_ref(&order).expose_provenance())
    }

    fn send(&self, response: &Response) -> std::result::Result<(), Errno> {
        self.ioctl(SEND, ptr::from_ref(response).expose_provenance()).map(drop)
    }

    /// `argument` is a number, or the address of what the request asks for.
    fn ioctl(&self, request: u64, argument: usize) -> std::result::Result<RawFd, Errno> {
        let descriptor = self.descriptor.as_raw_fd();
        // SAFETY: each request is called above with the address of a structure of its own size, or
        // a larger one, that lives through the call and may be written to where the kernel does.
        let result = unsafe { libc::ioctl(descriptor, request as _, argument) };
        if result < 0 { Err(last_errno()) } else { Ok(result) }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// How long the kernel's structures are, against ours.
///
/// # Errors
///
/// `EINVAL` or `ENOSYS` before Linux 5.0; `EFBIG` when a newer kernel's would not fit.
pub fn check_sizes() -> Result<()> {
    let mut sizes = Sizes::default();
    let call = "seccomp(SECCOMP_GET_NOTIF_SIZES)";
    // SAFETY: the kernel writes three numbers of 16 bits, which is what is there.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, GET_NOTIF_SIZES, 0, &raw mut sizes) };
    if result != 0 {
        return Err(Error::new(call, io::Error::last_os_error()));
    }
    let fits = usize::from(sizes.notification) <= 512
        && usize::from(sizes.response) == mem::size_of::<Response>()
        && usize::from(sizes.notification) >= mem::size_of::<Notification>();
    if fits { Ok(()) } else { Err(Error::new(call, io::Error::from_raw_os_error(libc::EFBIG))) }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}
