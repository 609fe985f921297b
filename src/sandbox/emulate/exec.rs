//! execve(2): who a process is afterwards, and whether it may at all.
//!
//! The kernel does the call; what it would do to the credentials is done before, from outside, so
//! that the new program finds them from its first instruction on. When the kernel refuses the call
//! after all (no such interpreter, not a program), that is noticed at the process's next trapped
//! call and taken back: it still has the memory that it had ([`Attempt`]). Only a child that it
//! forked between the two keeps what is not its own.
//!
//! Not emulated: `AT_SECURE` and the secure-execution mode of the C library, that a setuid program
//! cannot be traced or dump core, and the permission to search the directories of a path.

use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Answer;
use super::credentials::{Capability, Credentials, Executable, FileCapabilities, Unsafe};
use super::request::{CURRENT_DIRECTORY, Reply, Request};
use super::tables::Call;
use super::target::{self, Target};
use crate::rootfs;
use crate::sys::errno::Errno;
use crate::sys::native::{self, Attributes};
use crate::sys::{tracee, xattr};

const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
const AT_EMPTY_PATH: u32 = 0x1000;
/// Asks whether a file may be executed, and does no more (Linux 6.14).
const AT_EXECVE_CHECK: u32 = 0x10000;

/// Set-id bits.
const SET_ID: u32 = 0o6000;

/// How much of a file the kernel looks at to tell what it is (`BINPRM_BUF_SIZE`).
const HEAD: usize = 256;

/// How many interpreters of interpreters the kernel puts up with.
const DEEPEST: usize = 5;

pub(super) fn execute(request: &Request<'_>) -> Reply {
    let (target, flags) = match request.call() {
        Call::Execve => (request.target(None, 0, true), 0),
        _ => (at(request), request.word(4)),
    };
    // What cannot be found the kernel does not find either, and knows the right error.
    let Ok(target) = target else { return Ok(Answer::Continue) };
    let old = request.credentials()?;
    let Some(file) = program(request, &old, target)? else { return Ok(Answer::Continue) };
    if flags & AT_EXECVE_CHECK != 0 {
        return Ok(Answer::Continue);
    }
    if old.execute(&file, Unsafe::default()).as_ref() != Ok(&old) {
        let new = old.execute(&file, hazard(request)?)?;
        if new != *old {
            let before = Attempt::begin(request, &old);
            request.set_credentials(new)?;
            request.shared().attempts.keep(request.thread(), before);
        }
    }
    Ok(Answer::Continue)
}

/// The file that execveat(2) means.
fn at(request: &Request<'_>) -> Result<Target, Errno> {
    let flags = request.word(4);
    if flags & AT_EMPTY_PATH != 0 && request.text(1)?.is_empty() {
        return request.target_descriptor(request.int(0));
    }
    request.target(Some(0), 1, flags & AT_SYMLINK_NOFOLLOW == 0)
}

/// The program that decides about credentials: that of a script is its interpreter, whose own bits
/// count, not the script's. `None` when the kernel is going to refuse the call.
///
/// # Errors
///
/// `EACCES` when the process may not execute the file, or an interpreter on the way.
fn program(
    request: &Request<'_>,
    who: &Credentials,
    mut target: Target,
) -> Result<Option<Executable>, Errno> {
    for _ in 0..=DEEPEST {
        let Some(native) = target.native().ok().filter(Attributes::is_file) else {
            return Ok(None);
        };
        let file = executable(request, who, &target, native);
        if request.knows_creators() && !who.may_execute(&file) {
            return Err(Errno::ACCESS);
        }
        let mut head = [0; HEAD];
        // What cannot be read, though it can be executed, is no script: its interpreter would have
        // to read it.
        let length = native::read_head(target.path(), target.follow(), &mut head).unwrap_or(0);
        match interpreter(&head[..length]) {
            Head::Program => return Ok(Some(file)),
            Head::Broken => return Ok(None),
            Head::Script(path) => match request.target_of(CURRENT_DIRECTORY, &path, true) {
                Ok(next) => target = next,
                Err(_) => return Ok(None),
            },
        }
    }
    Ok(None)
}

/// What the kernel would know about a file if its owner were real.
fn executable(
    request: &Request<'_>,
    who: &Credentials,
    target: &Target,
    native: Attributes,
) -> Executable {
    let mut seen = native;
    let record = target.record(request.shared(), &native);
    target::apply(&mut seen, record.as_ref());
    let mut file = Executable {
        mode: seen.mode,
        uid: seen.uid,
        gid: seen.gid,
        capabilities: None,
        no_suid: false,
    };
    // Plain root gains nothing by capabilities, and loses nothing.
    if *who != Credentials::root() {
        let carried = xattr::look(
            target.path(),
            target.follow(),
            rootfs::CAPABILITY,
            FileCapabilities::decode,
        );
        let recorded = || record.as_ref()?.xattrs.get(OsStr::new(rootfs::CAPABILITY));
        file.capabilities =
            carried.ok().flatten().flatten().or_else(|| FileCapabilities::decode(recorded()?));
    }
    if file.mode & SET_ID != 0 || file.capabilities.is_some() {
        // The root may lie on a disk that is mounted so; the image knows nothing of that.
        let is_root = native::stat(c"/", true).is_ok_and(|root| root.dev == native.dev);
        file.no_suid = !is_root && native::is_no_suid(target.path()).unwrap_or(false);
    }
    file
}

/// What may keep the process from gaining anything.
fn hazard(request: &Request<'_>) -> Result<Unsafe, Errno> {
    let shared = request.shared();
    let status = |field| tracee::status(&shared.proc, request.thread(), field);
    // Linux 4.10 has the field; who asks for a listener has it.
    let no_new_privs = status("NoNewPrivs:")?.trim() == "1";
    let tracer: i32 = status("TracerPid:")?.trim().parse().map_err(|_| Errno::SRCH)?;
    let traced = tracer != 0
        && shared.credentials_of(tracer).is_ok_and(|tracer| !tracer.may(Capability::SysPtrace));
    Ok(Unsafe { no_new_privs, traced })
}

/// What the first bytes of a file say.
#[derive(Debug, PartialEq, Eq)]
enum Head {
    /// Something that the kernel or one of its registered formats (binfmt_misc) may know. A program
    /// for another processor is taken for one that keeps its own credentials, the flag `C`.
    Program,
    /// To be interpreted by the program at that path.
    Script(CString),
    /// `#!` and nothing useful.
    Broken,
}

/// As the kernel's fs/binfmt_script.c.
fn interpreter(head: &[u8]) -> Head {
    let Some(line) = head.strip_prefix(b"#!") else { return Head::Program };
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let (line, whole) = match line.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&line[..end], true),
        None => (line, head.len() < HEAD),
    };
    let start = line.iter().position(|byte| !is_blank(byte)).unwrap_or(line.len());
    let rest = &line[start..];
    let end = rest.iter().position(|byte| is_blank(byte) || *byte == 0);
    // A name that may go on where nobody looks is not the name.
    if end.is_none() && !whole {
        return Head::Broken;
    }
    match &rest[..end.unwrap_or(rest.len())] {
        [] => Head::Broken,
        name => CString::new(name).map_or(Head::Broken, Head::Script),
    }
}

/// The executions whose outcome is not known yet, by thread.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// Whether there is any, so that the usual case costs nothing.
    any: AtomicBool,
    by_thread: Mutex<HashMap<i32, Attempt>>,
}

/// What a thread was when it called execve(2).
#[derive(Debug)]
struct Attempt {
    process: i32,
    credentials: Credentials,
    image: Vec<u8>,
}

impl Attempt {
    /// `None` when the program cannot be told from the next one; then nothing can be taken back.
    fn begin(request: &Request<'_>, credentials: &Credentials) -> Option<Self> {
        let (proc, thread) = (&request.shared().proc, request.thread());
        Some(Self {
            process: tracee::process_of(proc, thread).ok()?,
            credentials: credentials.clone(),
            image: tracee::image(proc, thread).ok()?,
        })
    }

    /// Whether it has failed, now that `request` is made; `None` as long as that is not known.
    fn failed(&self, thread: i32, request: &Request<'_>) -> Option<bool> {
        let proc = &request.shared().proc;
        let is_old = |thread| tracee::image(proc, thread).map(|image| image == self.image);
        match is_old(thread) {
            Ok(false) => Some(false),
            Ok(true) if thread == request.thread() => Some(true),
            Ok(true) => None,
            // Either it has failed and the thread has ended, or the kernel is about to give the new
            // program the number of the process; then no other thread is left that could ask.
            Err(_) if is_old(self.process) == Ok(true) => {
                let own = tracee::process_of(proc, request.thread());
                (own == Ok(self.process)).then_some(true)
            }
            Err(_) => Some(false),
        }
    }
}

impl Attempts {
    fn keep(&self, thread: i32, attempt: Option<Attempt>) {
        if let Some(attempt) = attempt {
            self.by_thread().insert(thread, attempt);
            self.any.store(true, Ordering::Release);
        }
    }

    /// Takes back what an execution that failed did to the calling thread's process. To be called
    /// before anything is answered.
    pub(super) fn settle(&self, request: &Request<'_>) {
        if !self.any.load(Ordering::Acquire) {
            return;
        }
        let mut attempts = self.by_thread();
        attempts.retain(|thread, attempt| match attempt.failed(*thread, request) {
            None => true,
            Some(false) => false,
            Some(true) => {
                let before = attempt.credentials.clone();
                // It fails only when the process is gone.
                request.shared().set_credentials_of(attempt.process, before).ok();
                false
            }
        });
        self.any.store(!attempts.is_empty(), Ordering::Release);
    }

    fn by_thread(&self) -> MutexGuard<'_, HashMap<i32, Attempt>> {
        self.by_thread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_are_found_as_the_kernel_finds_them() {
        let script = |path: &str| Head::Script(CString::new(path).expect("a path"));
        let long = |length: usize, tail: &str| format!("#!/{}{tail}", "x".repeat(length));
        let rows: [(Vec<u8>, Head); 14] = [
            (b"\x7fELF".to_vec(), Head::Program),
            (b"".to_vec(), Head::Program),
            (b"# !/bin/sh\n".to_vec(), Head::Program),
            (b"#!/bin/sh\n".to_vec(), script("/bin/sh")),
            (b"#!/bin/sh".to_vec(), script("/bin/sh")),
            (b"#! \t bin/sh -e x\nmore".to_vec(), script("bin/sh")),
            (b"#!/bin/sh\t-e\n".to_vec(), script("/bin/sh")),
            (b"#!/bin/sh\0more\n".to_vec(), script("/bin/sh")),
            (b"#!\n/bin/sh\n".to_vec(), Head::Broken),
            (b"#! \t\n".to_vec(), Head::Broken),
            (b"#!".to_vec(), Head::Broken),
            (long(252, "\n").into_bytes(), script(&long(252, "")[2..])),
            (long(252, " -e").into_bytes()[..HEAD].to_vec(), script(&long(252, "")[2..])),
            (long(253, "").into_bytes(), Head::Broken),
        ];
        for (head, expected) in rows {
            assert!(head.len() <= HEAD);
            assert_eq!(interpreter(&head), expected, "{:?}", String::from_utf8_lossy(&head));
        }
    }
}
