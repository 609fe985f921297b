//! The files of `/proc/PID`: each belongs to whom its process believes to be.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;

use super::credentials::{Credentials, Table};
use super::request::Request;
use super::target::Target;
use crate::sys::native::{self, Attributes};
use crate::sys::tracee;

/// The owner of a file in `/proc/PID`; `None` for all other files.
///
/// The files' content, such as the `Uid:` line of `status`, is the kernel's and says root.
pub(super) fn owner(
    request: &Request<'_>,
    target: &Target,
    native: &Attributes,
) -> Option<(u32, u32)> {
    let shared = request.shared();
    let credentials = if native.dev == shared.our_proc && is_of_caller(target.path().to_bytes()) {
        // Only paths below /proc/self are looked at from our own /proc.
        shared.credentials_of(request.thread()).ok()?
    } else if Some(&native.dev) == shared.their_proc.get() {
        let handle = target.handle().ok()?;
        // Its path, as this thread sees it: from the sandbox's root.
        let link = format!("self/fd/{}", handle.as_raw_fd());
        let path = String::from_utf8(native::read_link_at(&shared.proc, link).ok()?).ok()?;
        let pid = path.strip_prefix("/proc/")?.split('/').next()?.parse::<u32>().ok()?;
        shared.credentials.get(carried_by(pid)?)
    } else {
        return None;
    };
    Some((credentials.uid.effective, credentials.gid.effective))
}

/// Whether a path, as a worker names files, lies below `/proc/self`: it begins with the thread's
/// number, and is not that of another file which is reached through its directory or descriptor.
fn is_of_caller(path: &[u8]) -> bool {
    let mut parts = path.split(|byte| *byte == b'/');
    let number = parts.next().is_some_and(|part| !part.is_empty());
    let further = match parts.next() {
        Some(b"cwd") => parts.next().is_some(),
        Some(b"fd") => parts.nth(1).is_some(),
        _ => false,
    };
    number && !further
}

/// Who a process believes to be, by its number in the caller's pid namespace; `None` when there is
/// none.
pub(super) fn credentials(request: &Request<'_>, pid: i32) -> Option<Arc<Credentials>> {
    let proc = &request.shared().proc;
    let own = numbers(proc, request.thread())?;
    if own.last() == Some(&pid) {
        return request.credentials().ok();
    }
    let namespace = |process| native::read_link_at(proc, format!("{process}/ns/pid")).ok();
    let theirs = namespace(request.thread())?;
    let is_it = |process: &i32| {
        let found = numbers(proc, *process);
        found.is_some_and(|found| found.len() == own.len() && found.last() == Some(&pid))
            && namespace(*process).as_ref() == Some(&theirs)
    };
    let process = native::numbers_in(proc).ok()?.into_iter().find(is_it)?;
    request.shared().credentials_of(process).ok()
}

/// A process's number in each pid namespace that it is in, ours first.
fn numbers(proc: &OwnedFd, thread: i32) -> Option<Vec<i32>> {
    let text = tracee::status(proc, thread, "NStgid:").ok()?;
    text.split_whitespace().map(|number| number.parse().ok()).collect()
}

/// The credentials' number that a process carries, as the `/proc` tells it by which it was named: our
/// pid namespace has another number for it.
fn carried_by(pid: u32) -> Option<u64> {
    let text = native::read_text(&format!("/proc/{pid}/limits")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max file locks"))?;
    let mut limits = line.split_whitespace().map(|word| match word {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    });
    let (soft, hard) = (limits.next()??, limits.next()??);
    Some(Table::number(soft, hard))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_caller_are_told_from_those_it_reaches() {
        for (path, own) in [
            ("12", true),
            ("12/status", true),
            ("12/fd", true),
            ("12/fd/3", true),
            ("12/cwd", true),
            ("12/cwd/self/status", false),
            ("12/fd/3/status", false),
            ("/proc/12/status", false),
        ] {
            assert_eq!(is_of_caller(path.as_bytes()), own, "{path}");
        }
    }
}
