//! Root, as far as a process can tell: the calls that an ordinary user's namespace refuses, and
//! those that would tell, are taken by a seccomp listener and answered here.
//!
//! ```text
//! traced thread ── call ──▶ filter ──▶ listener ──▶ a worker ── look_up ──▶ a handler
//!       ▲                     │                        │                       │ real calls, in the
//!       └── untrapped calls ──┘                        │                       │ thread's place;
//!       └─────────────── value, error, descriptor or "do it yourself" ◀────────┘ records
//! ```
//!
//! Nothing is put into the image, so static programs and those of other libcs are no different.
//! Who a process believes to be is carried by the process itself ([`credentials`]); who owns a file
//! is recorded on the file ([`crate::rootfs::live`]). So bryo keeps no books about processes or
//! files, and forks, renames and hard links need no attention.
//!
//! # Speed
//!
//! A trapped call costs two changes of thread, about 3 µs, and the worker's own calls: about 4 µs for
//! a stat. What was tried to lower that, on Linux 6.18 with two busy processors:
//!
//! - waking the thread on the same processor (Linux 6.6): up to half the time of a call on a loaded
//!   machine, little on an idle one; done.
//! - one, two or four workers: no difference for one traced thread; there are two, so that one may
//!   wait, and more come when all are busy.
//! - reading only 256 bytes of a path, stating through `/proc/PID/cwd/…` instead of changing there,
//!   one system call for a record: done, each a few tenths of a microsecond.
//! - leaving files without a record to the kernel: saves nothing, for the look at the record is what
//!   costs, and the kernel's answer costs as much as writing ours.
//! - caching: nobody would say when a directory is changed or a descriptor reused.
//! - batching: a thread waits for each of its calls.
//! - a shim in the process, exempted by its address: 5 times as fast, for dynamic programs alone, and
//!   an injection; not done.
//! - a filter that knows who is root: filters see neither credentials nor paths.
//!
//! Permission to read is checked only where the sandbox begins as another user than root: each open
//! has to be trapped for that, 1 µs becomes 7, and root's commands, which are most, would pay for
//! what never concerns them ([`permission`]).
//!
//! Security is no matter of this room: a traced process has every right that a worker has, and may
//! change its own memory while it is looked at.

mod acl;
mod attribute;
mod change;
mod control;
mod create;
mod credentials;
mod device;
mod exec;
mod identity;
mod layout;
mod limit;
mod message;
mod node;
mod owner;
mod permission;
mod place;
mod port;
mod process;
mod receive;
mod replay;
mod request;
mod root;
mod socket;
pub(super) mod tables;
mod target;
mod worker;

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Scope};
use std::time::Duration;
use std::{fmt, io};

use serde::{Deserialize, Serialize};

use attribute::Acls;
use credentials::{Credentials, Table};
use device::Devices;
use exec::Attempts;
use port::Ports;
use replay::Lost;
use request::{Reply, Request};
use socket::Sockets;
use tables::Call;

use crate::rootfs::{Record, live};
use crate::sandbox::filter::Filter;
use crate::sys::errno::Errno;
use crate::sys::native::{self, Attributes};
use crate::sys::seccomp::Listener;
use crate::sys::{self, signal, tracee};

/// What a handler says.
#[derive(Debug)]
enum Answer {
    Value(i64),
    /// The kernel is to do the call.
    Continue,
    /// A new descriptor of the thread.
    Descriptor {
        descriptor: OwnedFd,
        close_on_exec: bool,
        /// The file that was made for it, in the worker's directory: without a descriptor, there is
        /// none.
        made: Option<CString>,
    },
}

/// Answers a call.
fn answer(request: &Request<'_>) -> Reply {
    request.shared().attempts.settle(request);
    permission::check(request)?;
    match request.call() {
        Call::Chown | Call::Lchown | Call::Fchown | Call::Fchownat => owner::chown(request),
        Call::Stat | Call::Lstat | Call::Fstat | Call::Newfstatat => owner::stat(request),
        Call::Statx => owner::statx(request),
        Call::Setxattr | Call::Lsetxattr | Call::Fsetxattr | Call::Setxattrat => {
            attribute::set(request)
        }
        Call::Removexattr | Call::Lremovexattr | Call::Fremovexattr | Call::Removexattrat => {
            attribute::remove(request)
        }
        Call::Getxattr | Call::Lgetxattr | Call::Fgetxattr => attribute::get(request),
        Call::Listxattr | Call::Llistxattr | Call::Flistxattr | Call::Listxattrat => {
            attribute::list(request)
        }
        Call::Setuid
        | Call::Setgid
        | Call::Setreuid
        | Call::Setregid
        | Call::Setresuid
        | Call::Setresgid
        | Call::Setfsuid
        | Call::Setfsgid
        | Call::Setgroups => identity::change(request),
        Call::Getuid
        | Call::Geteuid
        | Call::Getgid
        | Call::Getegid
        | Call::Getresuid
        | Call::Getresgid
        | Call::Getgroups => identity::tell(request),
        Call::Execve | Call::Execveat => exec::execute(request),
        Call::Capget => identity::capget(request),
        Call::Capset => identity::capset(request),
        Call::Prctl => identity::prctl(request),
        Call::Prlimit64 | Call::Getrlimit | Call::OldGetrlimit | Call::Setrlimit => {
            limit::locks(request)
        }
        Call::Bind => socket::bind(request),
        Call::Connect => socket::connect(request),
        Call::Listen => socket::listen(request),
        Call::Getsockopt => socket::peer(request),
        Call::Setsockopt => socket::pass_credentials(request),
        Call::Sendmsg | Call::Sendmmsg => message::send(request),
        Call::Recvmsg | Call::Recvmmsg | Call::RecvmmsgTime64 => receive::receive(request),
        Call::Socketcall => match request.unfolded()? {
            Some(request) => answer(&request),
            None => Ok(Answer::Continue),
        },
        Call::Open | Call::Openat | Call::Openat2 | Call::Creat => create::open(request),
        Call::Mkdir | Call::Mkdirat => create::mkdir(request),
        Call::Symlink | Call::Symlinkat => create::symlink(request),
        Call::Mknod | Call::Mknodat => node::mknod(request),
        // Who may not was refused above.
        Call::Access | Call::Faccessat | Call::Faccessat2 | Call::Chdir | Call::Truncate => {
            Ok(Answer::Continue)
        }
        Call::Readlink | Call::Readlinkat => Ok(Answer::Continue),
        Call::Chroot => root::chroot(request),
        Call::PivotRoot => root::pivot_root(request),
        Call::Setns | Call::Unshare => root::leave_namespace(request),
        Call::Unlink | Call::Rmdir | Call::Unlinkat => change::unlink(request),
        Call::Rename | Call::Renameat | Call::Renameat2 => change::rename(request),
        Call::Link | Call::Linkat => change::link(request),
        Call::Chmod | Call::Fchmodat | Call::Fchmodat2 => change::chmod(request),
        Call::Fchmod => change::chmod_open(request),
        Call::Utime | Call::Utimes | Call::Futimesat | Call::Utimensat | Call::UtimensatTime64 => {
            change::set_times(request)
        }
    }
}

/// Something that the emulation could not do for a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// As strace would show it, with the path.
    pub call: String,
    pub errno: i32,
    /// How often.
    pub count: u32,
}

/// The supervisor of one sandbox.
#[derive(Debug)]
pub(super) struct Supervisor {
    shared: Shared,
}

/// What the workers have in common.
#[derive(Debug)]
struct Shared {
    listener: Listener,
    /// Our own `/proc`, which shows the threads by the numbers that the listener gives.
    proc: OwnedFd,
    /// The sandbox's root.
    root: OwnedFd,
    /// The device number of our own `/proc`, and of the sandbox's: there each process's files are
    /// its own.
    our_proc: u64,
    their_proc: OnceLock<u64>,
    credentials: Table,
    devices: Devices,
    attempts: Attempts,
    lost: Lost,
    unwritten: Unwritten,
    sockets: Sockets,
    ports: Ports,
    /// Whether creation is trapped.
    knows_creators: bool,
    /// Whether all is trapped that only looks at files.
    checks_reading: bool,
    acls: Acls,
    /// Whether a process may have another root than the first one.
    has_other_roots: AtomicBool,
    refusals: Mutex<BTreeMap<(String, i32), u32>>,
    /// Threads that answer, or will in a moment; without those that wait for a message.
    workers: AtomicUsize,
    /// All threads that have not ended, with those that are about to begin.
    alive: AtomicUsize,
    idle: AtomicUsize,
    threads: Mutex<Vec<signal::Thread>>,
    stopping: AtomicBool,
    failure: Mutex<Option<String>>,
    end: End,
}

/// Ends the processes, when nobody is left to answer them.
struct End(Box<dyn Fn() + Send + Sync>);

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("End")
    }
}

impl Supervisor {
    /// For the process that has sent `listener` and its mount namespace; `end` kills it.
    ///
    /// # Errors
    ///
    /// When `/proc` cannot be opened.
    pub(super) fn new(
        listener: Listener,
        mounts: OwnedFd,
        unwritten: live::Unwritten,
        filter: Filter,
        end: Box<dyn Fn() + Send + Sync>,
    ) -> sys::Result<Self> {
        listener.wake_on_the_same_processor();
        signal::allow_interruptions()?;
        let failed =
            |source: Errno| sys::Error { call: "open(\"/proc\")".into(), source: source.into() };
        let proc = native::handle(c"/proc", true).map_err(failed)?;
        let our_proc = native::stat(c"/proc", true).map_err(failed)?.dev;
        let root = root_of(mounts).map_err(|source| sys::Error {
            call: "setns(CLONE_NEWNS)".into(),
            source: source.into(),
        })?;
        Ok(Self {
            shared: Shared {
                listener,
                proc,
                root,
                our_proc,
                their_proc: OnceLock::new(),
                credentials: Table::new(),
                devices: Devices::default(),
                attempts: Attempts::default(),
                lost: Lost::default(),
                unwritten: Unwritten::new(unwritten),
                sockets: Sockets::default(),
                ports: Ports::default(),
                knows_creators: matches!(filter, Filter::Full | Filter::Strict),
                checks_reading: filter == Filter::Strict,
                acls: Acls::default(),
                has_other_roots: AtomicBool::new(false),
                refusals: Mutex::default(),
                workers: AtomicUsize::new(0),
                alive: AtomicUsize::new(0),
                idle: AtomicUsize::new(0),
                threads: Mutex::default(),
                stopping: AtomicBool::new(false),
                failure: Mutex::default(),
                end: End(end),
            },
        })
    }

    /// Answers calls from now on, on threads of `scope`.
    ///
    /// # Errors
    ///
    /// When the system gives no threads.
    pub(super) fn start<'scope, 'env: 'scope>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
    ) -> io::Result<()> {
        for _ in 0..worker::FIRST {
            worker::start(&self.shared, scope)?;
        }
        Ok(())
    }

    /// Ends the workers. To be called when the last traced process is gone: its calls wait for ever
    /// from now on.
    pub(super) fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        loop {
            // Each one that waits for a call; it may just have begun to, and is told again.
            for thread in self.shared.threads().iter() {
                signal::interrupt(*thread);
            }
            if self.shared.alive.load(Ordering::Acquire) == 0 {
                return;
            }
            thread::sleep(Duration::from_micros(100));
        }
    }

    /// Why it could not go on, if that is so.
    pub(super) fn failure(&self) -> Option<String> {
        lock(&self.shared.failure).clone()
    }

    /// The records that stand on no file.
    pub(super) fn unwritten(&self) -> live::Unwritten {
        lock(&self.shared.unwritten.records).clone()
    }

    /// What it could not do for the processes.
    pub(super) fn refusals(&self) -> Vec<Refusal> {
        let refusals = lock(&self.shared.refusals);
        let refusal = |((call, errno), count): (&(String, i32), &u32)| Refusal {
            call: call.clone(),
            errno: *errno,
            count: *count,
        };
        refusals.iter().map(refusal).collect()
    }
}

/// The root of a mount namespace, seen from outside.
fn root_of(mounts: OwnedFd) -> Result<OwnedFd, Errno> {
    // A thread that moves to a mount namespace does so for good.
    let looking = thread::Builder::new().spawn(move || {
        native::own_place()?;
        native::enter_mount_namespace(mounts)?;
        native::handle(c"/", true)
    });
    looking.map_err(|_| Errno::AGAIN)?.join().unwrap_or(Err(Errno::IO))
}

impl Shared {
    fn credentials_of(&self, thread: i32) -> Result<Arc<Credentials>, Errno> {
        let (soft, hard) = tracee::lock_limits(thread)?;
        Ok(self.credentials.get(Table::number(soft, hard)))
    }

    fn set_credentials_of(&self, thread: i32, credentials: Credentials) -> Result<(), Errno> {
        let (_, hard) = tracee::lock_limits(thread)?;
        let number = self.credentials.intern(credentials, hard)?;
        tracee::set_lock_limits(thread, Table::soft(number, hard), hard)
    }

    fn refuse(&self, call: String, errno: Errno) {
        *lock(&self.refusals).entry((call, errno.raw_os_error())).or_default() += 1;
    }

    /// Gives up: nobody would answer any more, so the processes have to end.
    fn fail(&self, why: &str) {
        lock(&self.failure).get_or_insert_with(|| why.to_owned());
        (self.end.0)();
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn threads(&self) -> MutexGuard<'_, Vec<signal::Thread>> {
        lock(&self.threads)
    }
}

/// Records that could not be written on their files, for as long as the sandbox lives.
#[derive(Debug, Default)]
struct Unwritten {
    any: AtomicBool,
    records: Mutex<live::Unwritten>,
}

impl Unwritten {
    fn new(records: live::Unwritten) -> Self {
        Self { any: AtomicBool::new(!records.is_empty()), records: Mutex::new(records) }
    }

    fn get(&self, file: &Attributes) -> Option<Record> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        lock(&self.records).get(&(file.dev, file.ino)).cloned()
    }

    fn set(&self, file: &Attributes, record: Record) {
        let mut records = lock(&self.records);
        if record.is_plain() {
            records.remove(&(file.dev, file.ino));
        } else {
            records.insert((file.dev, file.ino), record);
        }
        self.any.store(!records.is_empty(), Ordering::Release);
    }

    fn forget(&self, file: &Attributes) {
        if self.any.load(Ordering::Acquire) {
            lock(&self.records).remove(&(file.dev, file.ino));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
