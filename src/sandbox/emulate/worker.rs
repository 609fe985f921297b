//! [`Worker`]: a thread of bryo that answers calls, in the place of whoever made them.
//!
//! Each has a working directory, a root and a umask of its own. So paths are resolved by the kernel
//! itself, as the traced thread would see them: absolute ones as they stand, others after changing
//! to `/proc/PID/cwd` or `/proc/PID/fd/N`. It stays outside of the sandbox's mount namespace: see
//! [`super::device`].

use std::borrow::Cow;
use std::cell::Cell;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread::{self, Scope};
use std::{fmt, io};

use super::replay::Turn;
use super::request::{CURRENT_DIRECTORY, Reply, Request};
use super::tables::{self, Abi};
use super::target::Target;
use super::{Answer, Shared};
use crate::sys::errno::Errno;
use crate::sys::seccomp::Notification;
use crate::sys::{native, signal};

/// As many as are there from the start: one may wait for a slow file system.
pub(super) const FIRST: usize = 2;

/// A bound on how many work at once. A worker can wait for a traced process (a file system in user
/// space) whose own calls need another worker; those that wait for a message do not count.
const MOST: usize = 64;

/// More idle ones than that are not kept.
const SPARE: usize = 8;

/// How many links at the end of a path are followed by hand, on the way to `/proc/self`.
const MOST_LINKS: usize = 8;

pub(super) struct Worker<'w> {
    shared: &'w Shared,
    /// Makes one more.
    another: &'w dyn Fn() -> io::Result<()>,
    /// Whether the working directory is our own `/proc` now.
    in_proc: Cell<bool>,
    /// Whether the root may be another one than the sandbox's first.
    is_elsewhere: Cell<bool>,
}

impl fmt::Debug for Worker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("in_proc", &self.in_proc).finish_non_exhaustive()
    }
}

/// Makes a worker.
///
/// # Errors
///
/// When there are enough, or the system gives no more threads.
pub(super) fn start<'scope, 'env: 'scope>(
    shared: &'env Shared,
    scope: &'scope Scope<'scope, 'env>,
) -> io::Result<()> {
    if shared.workers.fetch_add(1, Ordering::AcqRel) >= MOST {
        shared.workers.fetch_sub(1, Ordering::AcqRel);
        return Err(io::ErrorKind::WouldBlock.into());
    }
    shared.alive.fetch_add(1, Ordering::AcqRel);
    let work = move || {
        let member = Member { shared, thread: signal::this_thread() };
        shared.threads().push(member.thread);
        if let Err(error) = live(shared, scope) {
            shared.fail(&error);
        }
    };
    let started = thread::Builder::new().spawn_scoped(scope, work);
    if started.is_err() {
        shared.workers.fetch_sub(1, Ordering::AcqRel);
        shared.alive.fetch_sub(1, Ordering::AcqRel);
    }
    started.map(drop)
}

/// A worker as one of all, until it ends in whatever way.
struct Member<'s> {
    shared: &'s Shared,
    thread: signal::Thread,
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        self.shared.workers.fetch_sub(1, Ordering::AcqRel);
        self.shared.threads().retain(|other| *other != self.thread);
        if thread::panicking() {
            self.shared.fail("a defect in a thread that answers calls");
        }
        self.shared.alive.fetch_sub(1, Ordering::AcqRel);
    }
}

fn live<'scope, 'env: 'scope>(
    shared: &'env Shared,
    scope: &'scope Scope<'scope, 'env>,
) -> Result<(), String> {
    let place = native::own_place()
        .and_then(|()| native::change_directory_to(&shared.root))
        .and_then(|()| native::change_root(c"."))
        .map_err(|e| format!("entering the sandbox's root: {e}"));
    place?;
    // A sandbox without /proc has no such files.
    let proc = native::stat(c"/proc", true).map_or(shared.our_proc, |proc| proc.dev);
    shared.their_proc.get_or_init(|| proc);
    let another = || start(shared, scope);
    let worker = Worker {
        shared,
        another: &another,
        in_proc: Cell::new(false),
        is_elsewhere: Cell::new(false),
    };
    loop {
        if shared.idle.fetch_add(1, Ordering::AcqRel) >= SPARE {
            shared.idle.fetch_sub(1, Ordering::AcqRel);
            return Ok(());
        }
        let received = shared.listener.receive();
        let idle = shared.idle.fetch_sub(1, Ordering::AcqRel);
        if shared.is_stopping() {
            return Ok(());
        }
        match received {
            Ok(None) => {}
            Ok(Some(notification)) => {
                if idle == 1 {
                    // Without it the next call waits for this one's end, which is the usual.
                    another().ok();
                }
                worker.serve(notification);
            }
            Err(errno) => return Err(format!("ioctl(SECCOMP_IOCTL_NOTIF_RECV): {errno}")),
        }
    }
}

impl<'w> Worker<'w> {
    pub(super) fn shared(&self) -> &'w Shared {
        self.shared
    }

    /// Waits for something that can take any time. `None`: nobody would be left for the calls of
    /// others, so it was not waited for.
    pub(super) fn step_aside<T>(&self, wait: impl FnOnce() -> T) -> Option<T> {
        self.shared.workers.fetch_sub(1, Ordering::AcqRel);
        let others = self.shared.idle.load(Ordering::Acquire) > 0 || (self.another)().is_ok();
        let waited = others.then(wait);
        self.shared.workers.fetch_add(1, Ordering::AcqRel);
        waited
    }

    fn serve(&self, notification: Notification) {
        let found = Abi::of_audit(notification.arch).and_then(|abi| {
            let number = notification.number.cast_unsigned();
            tables::look_up(abi, number).map(|trapped| (abi, trapped))
        });
        let Some((abi, trapped)) = found else {
            // The filter and the tables are made of the same rows; whatever it is, it is native.
            self.shared.listener.proceed(notification.id).ok();
            return;
        };
        let request = Request::new(self, notification, abi, trapped);
        let lost = &self.shared.lost;
        let killable = self.shared.listener.is_killable();
        let reply = match if killable { Turn::New } else { lost.begin(&request) } {
            Turn::Gone => return,
            Turn::Again(reply) => reply,
            // A bug of ours must not leave the thread waiting for ever.
            Turn::New => panic::catch_unwind(AssertUnwindSafe(|| super::answer(&request)))
                .unwrap_or_else(|_| {
                    self.shared.fail(&format!("a defect in the answer to {}()", request.name()));
                    Err(Errno::NOSYS)
                }),
        };
        // Before the thread goes on, and perhaps unmounts what this one stands in.
        if let Err(errno) = self.leave() {
            self.shared.fail(&format!("leaving a process's directory: {errno}"));
        }
        self.send(&request, reply);
    }

    fn send(&self, request: &Request<'_>, reply: Reply) {
        let (id, listener) = (request.notification().id, &self.shared.listener);
        let sent = match &reply {
            Ok(Answer::Value(value)) => listener.answer(id, *value),
            Ok(Answer::Continue) => listener.proceed(id),
            Ok(Answer::Descriptor { descriptor, close_on_exec, made }) => {
                match listener.answer_with(id, descriptor.as_fd(), *close_on_exec) {
                    // A signal took it out of its wait, which is what the others call `ENOENT`.
                    Err(Errno::SRCH) => Err(Errno::NOENT),
                    // Its table of descriptors is full, or cannot be reached at all.
                    Err(errno) if errno != Errno::NOENT => {
                        if let Some(name) = made {
                            self.take_back(descriptor, name);
                        }
                        listener.fail(id, errno)
                    }
                    sent => sent,
                }
            }
            Err(errno) => listener.fail(id, *errno),
        };
        if !listener.is_killable() {
            self.shared.lost.end(request, reply, sent == Err(Errno::NOENT));
        }
    }

    /// Removes a file that was just made as `name`, and that its maker cannot get.
    fn take_back(&self, file: &OwnedFd, name: &CStr) {
        let found =
            self.enter_proc().and_then(|()| native::read_link(&native::own_descriptor(file)));
        // It may have been renamed or removed meanwhile.
        let path = found.ok().and_then(|path| CString::new(path).ok());
        let Some(path) = path.filter(|path| path.to_bytes().ends_with(name.to_bytes())) else {
            return;
        };
        native::unlink(&path).ok();
    }

    /// The file that `path` names to a thread, relative to one of its descriptors.
    pub(super) fn locate(
        &self,
        thread: i32,
        directory: i32,
        path: &CStr,
        follow: bool,
    ) -> Result<Target, Errno> {
        self.take_root(thread)?;
        let path = &*without_own_root(path);
        if let Some(own) = self.own_proc(thread, path, follow)? {
            return Ok(own);
        }
        if !path.to_bytes().starts_with(b"/") {
            self.enter_directory(thread, directory)?;
        }
        if follow && self.ends_in_own_proc(path) {
            return self.through_links(thread, path);
        }
        Ok(Target::new(path.to_owned(), follow))
    }

    /// As [`Self::locate`], of a relative path that is only looked at: through the links of `/proc`,
    /// without going anywhere. What is not found may be there all the same.
    pub(super) fn glimpse(
        &self,
        thread: i32,
        directory: i32,
        path: &CStr,
        follow: bool,
    ) -> Result<Target, Errno> {
        let (through, _) = self.way(thread, directory, path)?;
        Ok(Target::new(through, follow))
    }

    /// A path that leads where `path` leads a thread, and how much of it is where that one begins: a
    /// directory.
    pub(super) fn way(
        &self,
        thread: i32,
        directory: i32,
        path: &CStr,
    ) -> Result<(CString, usize), Errno> {
        self.take_root(thread)?;
        if path.to_bytes().starts_with(b"/") {
            return Ok((path.to_owned(), 1));
        }
        self.enter_proc()?;
        let mut through = match directory {
            CURRENT_DIRECTORY => format!("{thread}/cwd"),
            descriptor => format!("{thread}/fd/{descriptor}"),
        }
        .into_bytes();
        let start = through.len();
        through.push(b'/');
        through.extend_from_slice(path.to_bytes());
        Ok((text(through), start))
    }

    /// Makes a directory the working directory, from which the next paths lead.
    pub(super) fn stand_in(&self, directory: &OwnedFd) -> Result<(), Errno> {
        self.in_proc.set(false);
        native::change_directory_to(directory)
    }

    /// The file behind a descriptor of our own.
    pub(super) fn own_descriptor(&self, descriptor: &OwnedFd) -> Result<Target, Errno> {
        self.enter_proc()?;
        Ok(Target::new(native::own_descriptor(descriptor), true))
    }

    /// The file behind a descriptor of a thread.
    pub(super) fn descriptor(&self, thread: i32, descriptor: i32) -> Result<Target, Errno> {
        if descriptor == CURRENT_DIRECTORY {
            self.take_root(thread)?;
            self.enter_directory(thread, descriptor)?;
            return Ok(Target::new(c".".to_owned(), true));
        }
        if descriptor < 0 {
            return Err(Errno::BADF);
        }
        self.enter_proc()?;
        Ok(Target::of_descriptor(text(format!("{thread}/fd/{descriptor}"))))
    }

    /// Paths below `/proc/self` mean the traced thread, not this one.
    fn own_proc(&self, thread: i32, path: &CStr, follow: bool) -> Result<Option<Target>, Errno> {
        let Some(rest) = own_proc_rest(path.to_bytes()) else { return Ok(None) };
        // The link itself is the same for everyone.
        if rest.is_empty() && !follow {
            return Ok(None);
        }
        self.enter_proc()?;
        let mut own = thread.to_string().into_bytes();
        own.extend_from_slice(rest);
        Ok(Some(Target::new(text(own), follow)))
    }

    /// Whether a path is one of those that usually lead to `/proc/self`; asking the file system each
    /// time would cost more than what it finds.
    fn ends_in_own_proc(&self, path: &CStr) -> bool {
        path.to_bytes().starts_with(b"/dev/")
    }

    /// Follows links in a path by hand, in case they lead to `/proc/self`, which is another process's
    /// to the kernel: those at its end, and the directory `/dev/fd`.
    fn through_links(&self, thread: i32, path: &CStr) -> Result<Target, Errno> {
        let mut path = path.to_owned();
        for _ in 0..MOST_LINKS {
            let (link, rest) = match path.to_bytes().strip_prefix(b"/dev/fd/") {
                Some(rest) => (c"/dev/fd".to_owned(), rest.to_owned()),
                None => (path.clone(), Vec::new()),
            };
            let Ok(leads_to) = native::read_link(&link) else { break };
            let parent = Path::new(OsStr::from_bytes(link.to_bytes())).parent();
            let parent = parent.unwrap_or(Path::new("/"));
            let mut leads_to = parent.join(OsStr::from_bytes(&leads_to));
            if !rest.is_empty() {
                leads_to.push(OsStr::from_bytes(&rest));
            }
            path = text(leads_to.into_os_string().into_vec());
            if let Some(own) = self.own_proc(thread, &path, true)? {
                return Ok(own);
            }
        }
        Ok(Target::new(path, true))
    }

    /// Has the thread's root, if there are several in the sandbox.
    fn take_root(&self, thread: i32) -> Result<(), Errno> {
        if self.shared.has_other_roots.load(Ordering::Acquire) {
            self.enter_proc()?;
            native::change_directory(&text(format!("{thread}/root")))?;
            self.in_proc.set(false);
            self.is_elsewhere.set(true);
            native::change_root(c".")?;
        }
        Ok(())
    }

    /// Goes where it stands in nobody's way: the file system on which a process's directory lies
    /// could not be unmounted.
    fn leave(&self) -> Result<(), Errno> {
        if self.is_elsewhere.replace(false) {
            self.in_proc.set(false);
            native::change_directory_to(&self.shared.root)?;
            native::change_root(c".")?;
        }
        self.enter_proc()
    }

    fn enter_directory(&self, thread: i32, directory: i32) -> Result<(), Errno> {
        self.enter_proc()?;
        let path = match directory {
            CURRENT_DIRECTORY => format!("{thread}/cwd"),
            descriptor => format!("{thread}/fd/{descriptor}"),
        };
        self.in_proc.set(false);
        native::change_directory(&text(path)).map_err(|errno| match errno {
            Errno::NOENT => Errno::BADF,
            errno => errno,
        })
    }

    fn enter_proc(&self) -> Result<(), Errno> {
        if !self.in_proc.replace(true) {
            native::change_directory_to(&self.shared.proc)?;
        }
        Ok(())
    }
}

/// A path without `/proc/self/root`, which is the root that the path starts from anyway.
fn without_own_root(path: &CStr) -> Cow<'_, CStr> {
    match own_proc_rest(path.to_bytes()).and_then(|rest| rest.strip_prefix(b"/root")) {
        Some(rest) if rest.starts_with(b"/") => {
            Cow::Owned(without_own_root(&text(rest)).into_owned())
        }
        _ => Cow::Borrowed(path),
    }
}

/// What follows `/proc/self` or `/proc/thread-self`.
fn own_proc_rest(path: &[u8]) -> Option<&[u8]> {
    let rest = path.strip_prefix(b"/proc/")?;
    let rest = rest.strip_prefix(b"thread-").unwrap_or(rest).strip_prefix(b"self")?;
    (rest.is_empty() || rest.starts_with(b"/")).then_some(rest)
}

/// Text without NUL: it came from such, or is made of words and numbers.
fn text(bytes: impl Into<Vec<u8>>) -> CString {
    CString::new(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_oneself_are_known() {
        for (path, rest) in [
            ("/proc/self", Some("")),
            ("/proc/self/fd/1", Some("/fd/1")),
            ("/proc/thread-self/attr", Some("/attr")),
            ("/proc/selfish", None),
            ("/proc/1/fd", None),
            ("proc/self", None),
        ] {
            let found = own_proc_rest(path.as_bytes());
            assert_eq!(found, rest.map(str::as_bytes), "{path}");
        }
        for (path, short) in [
            (c"/proc/self/root/etc", c"/etc"),
            (c"/proc/self/root/proc/thread-self/root/proc/self/fd", c"/proc/self/fd"),
            (c"/proc/self/root", c"/proc/self/root"),
            (c"/proc/self/rooted", c"/proc/self/rooted"),
            (c"etc", c"etc"),
        ] {
            assert_eq!(&*without_own_root(path), short);
        }
    }
}
