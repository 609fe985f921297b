//! Processes that get another root than the sandbox's: from then on, workers look from each
//! process's own.

use std::sync::atomic::Ordering;

use super::credentials::Capability;
use super::request::{CURRENT_DIRECTORY, Reply, Request};
use super::{Answer, device};
use crate::sys::errno::Errno;

/// chroot(2).
pub(super) fn chroot(request: &Request<'_>) -> Reply {
    change(request, Capability::SysChroot)
}

/// pivot_root(2).
pub(super) fn pivot_root(request: &Request<'_>) -> Reply {
    change(request, Capability::SysAdmin)
}

/// setns(2), and unshare(2) of the mount namespace: mounts that others do not see are as good as
/// another root.
pub(super) fn leave_namespace(request: &Request<'_>) -> Reply {
    request.shared().has_other_roots.store(true, Ordering::Release);
    Ok(Answer::Continue)
}

fn change(request: &Request<'_>, capability: Capability) -> Reply {
    let path = request.text(0)?;
    let Ok(target) = request.target_of(CURRENT_DIRECTORY, &path, true) else {
        return Ok(Answer::Continue);
    };
    if !target.native().is_ok_and(|native| native.is_dir()) {
        return Ok(Answer::Continue);
    }
    if !request.credentials()?.may(capability) {
        return Err(Errno::PERM);
    }
    request.shared().has_other_roots.store(true, Ordering::Release);
    // Without its devices the root is as good as it was.
    device::equip(request, &target).ok();
    Ok(Answer::Continue)
}
