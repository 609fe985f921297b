//! Another process, seen from a supervisor of the same user namespace: its memory, its descriptors,
//! its limits.
//!
//! `thread` is always a thread's number in the caller's own pid namespace; `proc` an open procfs of
//! that namespace.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags};

use super::errno::Errno;

type Result<T> = std::result::Result<T, Errno>;

/// Some filters refuse process_vm_readv(2) and its twin (podman's does); `/proc/PID/mem` does the
/// same, though slower.
static VM_CALLS: AtomicBool = AtomicBool::new(true);

/// Reads memory; how many bytes there were. Memory that ends early gives less.
///
/// # Errors
///
/// `EFAULT` when nothing is there.
pub fn read(proc: impl AsFd, thread: i32, address: u64, buffer: &mut [u8]) -> Result<usize> {
    if VM_CALLS.load(Ordering::Relaxed) {
        let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        let remote = remote(address, buffer.len());
        // SAFETY: the kernel writes into `buffer` alone, whose length it is told.
        match moved(unsafe {
            libc::process_vm_readv(thread, &raw const local, 1, &raw const remote, 1, 0)
        }) {
            Err(Errno::PERM | Errno::NOSYS) => VM_CALLS.store(false, Ordering::Relaxed),
            result => return result,
        }
    }
    let memory = memory(proc, thread, OFlags::RDONLY)?;
    memory.read_at(buffer, address).map_err(|e| fault(&e))
}

/// Writes memory; how many bytes it took.
///
/// # Errors
///
/// `EFAULT` when nothing is there, or it may not be written to.
pub fn write(proc: impl AsFd, thread: i32, address: u64, bytes: &[u8]) -> Result<usize> {
    if VM_CALLS.load(Ordering::Relaxed) {
        let local =
            libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let remote = remote(address, bytes.len());
        // SAFETY: the kernel only reads `bytes`; what it writes is another process's.
        match moved(unsafe {
            libc::process_vm_writev(thread, &raw const local, 1, &raw const remote, 1, 0)
        }) {
            Err(Errno::PERM | Errno::NOSYS) => VM_CALLS.store(false, Ordering::Relaxed),
            result => return result,
        }
    }
    let memory = memory(proc, thread, OFlags::RDWR)?;
    memory.write_at(bytes, address).map_err(|e| fault(&e))
}

fn remote(address: u64, length: usize) -> libc::iovec {
    let address = usize::try_from(address).unwrap_or(usize::MAX);
    libc::iovec { iov_base: std::ptr::without_provenance_mut(address), iov_len: length }
}

fn moved(result: isize) -> Result<usize> {
    usize::try_from(result).map_err(|_| last_errno())
}

fn memory(proc: impl AsFd, thread: i32, flags: OFlags) -> Result<File> {
    let path = format!("{thread}/mem");
    rustix::fs::openat(proc, path, flags | OFlags::CLOEXEC, Mode::empty()).map(File::from)
}

/// `/proc/PID/mem` says `EIO` where the calls say `EFAULT`.
fn fault(error: &io::Error) -> Errno {
    match Errno::from_io_error(error) {
        None | Some(Errno::IO) => Errno::FAULT,
        Some(errno) => errno,
    }
}

/// A copy of one of its descriptors (pidfd_getfd, Linux 5.6).
pub fn descriptor(proc: impl AsFd, thread: i32, number: RawFd) -> Result<OwnedFd> {
    let process = process_of(proc, thread)?;
    // SAFETY: takes numbers only.
    let handle = made(unsafe { libc::syscall(libc::SYS_pidfd_open, process, 0) })?;
    // SAFETY: takes numbers only; the handle is open.
    made(unsafe { libc::syscall(libc::SYS_pidfd_getfd, handle.as_raw_fd(), number, 0) })
}

fn made(result: libc::c_long) -> Result<OwnedFd> {
    let descriptor = RawFd::try_from(result).ok().filter(|number| *number >= 0);
    // SAFETY: the kernel has just made it, and nobody else knows it.
    descriptor.map(|number| unsafe { OwnedFd::from_raw_fd(number) }).ok_or_else(last_errno)
}

/// The process (thread group) that a thread belongs to.
pub fn process_of(proc: impl AsFd, thread: i32) -> Result<i32> {
    status(proc, thread, "Tgid:")?.trim().parse().map_err(|_| Errno::SRCH)
}

/// The mode bits that its new files do not get.
pub fn umask(proc: impl AsFd, thread: i32) -> Result<u32> {
    u32::from_str_radix(status(proc, thread, "Umask:")?.trim(), 8).map_err(|_| Errno::SRCH)
}

/// A field of `/proc/PID/status`, such as `NSpid:`.
///
/// # Errors
///
/// `ESRCH` when there is no such thread or no such field.
pub fn status(proc: impl AsFd, thread: i32, field: &str) -> Result<String> {
    let path = format!("{thread}/status");
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(proc, path, flags, Mode::empty()).map_err(|_| Errno::SRCH)?;
    let mut text = String::new();
    File::from(file).read_to_string(&mut text).map_err(|_| Errno::SRCH)?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.map(str::to_owned).ok_or(Errno::SRCH)
}

/// What tells the program that a thread runs from the one before and the one after execve(2), even
/// without address space randomization: the auxiliary vector, and the random bytes that it leads to.
pub fn image(proc: impl AsFd, thread: i32) -> Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&proc, format!("{thread}/auxv"), flags, Mode::empty())?;
    let mut image = Vec::new();
    File::from(file).read_to_end(&mut image).map_err(|_| Errno::SRCH)?;
    let address = random_bytes(&image, 8).or_else(|| random_bytes(&image, 4));
    let mut random = [0; 16];
    read(proc, thread, address.ok_or(Errno::NOENT)?, &mut random)?;
    image.extend_from_slice(&random);
    Ok(image)
}

/// The value of `AT_RANDOM`, in a vector of words of that width.
fn random_bytes(auxv: &[u8], width: usize) -> Option<u64> {
    let word = |bytes: &[u8]| match bytes.try_into() {
        Ok(eight) => Some(u64::from_ne_bytes(eight)),
        Err(_) => Some(u32::from_ne_bytes(bytes.try_into().ok()?).into()),
    };
    let pairs = auxv.chunks_exact(2 * width).map(|pair| pair.split_at(width));
    let mut pairs = pairs.filter_map(|(kind, value)| Some((word(kind)?, word(value)?)));
    pairs.find(|(kind, _)| *kind == libc::AT_RANDOM).map(|(_, value)| value)
}

/// The soft and the hard limit on file locks (`RLIMIT_LOCKS`), which Linux ignores since 2.4.25.
///
/// # Errors
///
/// `ESRCH` when there is no such thread.
pub fn lock_limits(thread: i32) -> Result<(u64, u64)> {
    let mut limits = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one structure, which is there.
    let result =
        unsafe { libc::prlimit64(thread, libc::RLIMIT_LOCKS, std::ptr::null(), &raw mut limits) };
    if result == 0 { Ok((limits.rlim_cur, limits.rlim_max)) } else { Err(last_errno()) }
}

/// Sets both; the hard one cannot be raised.
pub fn set_lock_limits(thread: i32, soft: u64, hard: u64) -> Result<()> {
    let limits = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the kernel reads one structure, which is there.
    let result = unsafe {
        libc::prlimit64(thread, libc::RLIMIT_LOCKS, &raw const limits, std::ptr::null_mut())
    };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_oneself() {
        let proc = File::open("/proc").expect("procfs");
        let (pid, text) =
            (i32::try_from(std::process::id()).expect("a pid"), b"here it is".to_vec());
        let address = text.as_ptr().expose_provenance() as u64;
        for vm in [true, false] {
            VM_CALLS.store(vm, Ordering::Relaxed);
            let mut copy = [0; 10];
            assert_eq!(read(&proc, pid, address, &mut copy), Ok(10), "{vm}");
            assert_eq!(&copy, b"here it is", "{vm}");
            assert_eq!(read(&proc, pid, 8, &mut copy), Err(Errno::FAULT), "{vm}");
            assert_eq!(write(&proc, pid, 8, b"x"), Err(Errno::FAULT), "{vm}");
        }
        VM_CALLS.store(true, Ordering::Relaxed);
    }

    #[test]
    fn the_same_program_has_the_same_image() {
        let proc = File::open("/proc").expect("procfs");
        let of = |pid: u32| image(&proc, i32::try_from(pid).expect("a pid"));
        let own = of(std::process::id()).expect("an image");
        assert_eq!(of(std::process::id()).as_ref(), Ok(&own));
        let (mut word, mut command) = ([0; 3], std::process::Command::new("sh"));
        command
            .args(["-c", "echo yes; read line"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped());
        let mut other = command.spawn().expect("sh");
        // Its vector is not there as soon as its memory is.
        other.stdout.take().expect("a pipe").read_exact(&mut word).expect("a word");
        assert_ne!(of(other.id()).expect("an image"), own);
        other.kill().expect("a child");
        other.wait().expect("a child");
        let narrow: Vec<u8> =
            [6_u32, 4096, 25, 0x1234, 0, 0].into_iter().flat_map(u32::to_ne_bytes).collect();
        assert_eq!(random_bytes(&narrow, 8), None);
        assert_eq!(random_bytes(&narrow, 4), Some(0x1234));
    }

    #[test]
    fn a_process_has_a_status() {
        let proc = File::open("/proc").expect("procfs");
        let pid = i32::try_from(std::process::id()).expect("a pid");
        assert_eq!(process_of(&proc, pid), Ok(pid));
        assert!(umask(&proc, pid).expect("a umask") <= 0o777);
        assert_eq!(status(&proc, pid, "Nothing:"), Err(Errno::SRCH));
        let (soft, hard) = lock_limits(pid).expect("limits");
        assert!(soft <= hard);
        let copy = descriptor(&proc, pid, proc.as_raw_fd()).expect("a descriptor");
        assert_ne!(copy.as_raw_fd(), proc.as_raw_fd());
    }
}
