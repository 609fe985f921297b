//! The files of `/proc/PID`: each belongs to whom its process believes to be.

use std::os::fd::AsRawFd as _;
use std::sync::Arc;

use super::credentials::{Credentials, Table};
use super::request::Request;
use super::target::Target;
use crate::sys::native::{self, Attributes};

/// The owner of a file in `/proc/PID`; `None` for all other files.
///
/// The files' content, such as the `Uid:` line of `status`, is the kernel's and says root.
pub(super) fn owner(
    request: &Request<'_>,
    target: &Target,
    native: &Attributes,
) -> Option<(u32, u32)> {
    let shared = request.shared();
    let credentials =
        if native.dev == shared.our_proc && !target.path().to_bytes().starts_with(b"/") {
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

/// Who another process believes to be, by its number in the sandbox's own `/proc`; `None` when there
/// is none.
pub(super) fn credentials(request: &Request<'_>, pid: i32) -> Option<Arc<Credentials>> {
    let pid = u32::try_from(pid).ok()?;
    Some(request.shared().credentials.get(carried_by(pid)?))
}

/// The credentials' number that a process carries, as its own `/proc` tells it: our pid namespace
/// has another number for it.
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
