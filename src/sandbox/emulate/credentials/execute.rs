//! What execve(2) does to credentials: set-id bits, file capabilities, root's special treatment
//! (the kernel's `bprm_fill_uid` and `cap_bprm_creds_from_file`).

use super::capability::securebits;
use super::{Capability, Credentials, Result};
use crate::sys::errno::Errno;

const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;
const GROUP_EXECUTE: u32 = 0o010;
const ANY_EXECUTE: u32 = 0o111;

/// A regular file that is about to be executed, as the process sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Executable {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub capabilities: Option<FileCapabilities>,
    /// It is on a file system that is mounted `nosuid`.
    pub no_suid: bool,
}

/// The attribute `security.capability`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileCapabilities {
    pub permitted: u64,
    pub inheritable: u64,
    pub effective: bool,
}

impl FileCapabilities {
    /// Reads revision 1, 2 or 3 (include/uapi/linux/capability.h); `None` for anything else.
    pub(crate) fn decode(value: &[u8]) -> Option<Self> {
        let words: Vec<u32> = value
            .chunks(4)
            .map(|word| word.try_into().map(u32::from_le_bytes))
            .collect::<std::result::Result<_, _>>()
            .ok()?;
        let (magic, words) = words.split_first()?;
        let (permitted, inheritable) = match (magic >> 24, words) {
            (1, &[permitted, inheritable]) => (u64::from(permitted), u64::from(inheritable)),
            (2, &[p0, i0, p1, i1]) | (3, &[p0, i0, p1, i1, _]) => {
                let wide = |low, high| u64::from(high) << 32 | u64::from(low);
                (wide(p0, p1), wide(i0, i1))
            }
            _ => return None,
        };
        Some(Self { permitted, inheritable, effective: magic & 1 != 0 })
    }
}

/// What keeps a process from gaining anything by execve(2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Unsafe {
    /// `PR_SET_NO_NEW_PRIVS`.
    pub no_new_privs: bool,
    /// Somebody without `CAP_SYS_PTRACE` traces it.
    pub traced: bool,
}

impl Credentials {
    /// Whether the mode bits let it execute a file (without regard to ACLs, which are not kept).
    pub(crate) fn may_execute(&self, file: &Executable) -> bool {
        let class = if self.uid.fs == file.uid {
            6
        } else if self.in_group(file.gid) {
            3
        } else {
            0
        };
        file.mode >> class & 1 != 0
            || (file.mode & ANY_EXECUTE != 0 && self.may(Capability::DacOverride))
    }

    /// The credentials that a process has after it has executed `file`, which is a script's
    /// interpreter and never the script.
    ///
    /// # Errors
    ///
    /// `EPERM` when the file demands capabilities (its effective flag is set) that are not in the
    /// bounding set.
    pub(crate) fn execute(&self, file: &Executable, hazard: Unsafe) -> Result<Self> {
        let old = self.capabilities;
        let mut new = self.clone();
        if !file.no_suid && !hazard.no_new_privs {
            if file.mode & SETUID != 0 {
                new.uid.effective = file.uid;
            }
            // Without the execute bit it once was a mark for mandatory locking.
            if file.mode & (SETGID | GROUP_EXECUTE) == SETGID | GROUP_EXECUTE {
                new.gid.effective = file.gid;
            }
        }

        let mut permitted = 0;
        let mut effective = false;
        let attached = file.capabilities.filter(|_| !file.no_suid);
        if let Some(attached) = attached {
            permitted =
                (old.bounding & attached.permitted) | (old.inheritable & attached.inheritable);
            effective = attached.effective;
            if effective && attached.permitted & !permitted != 0 {
                return Err(Errno::PERM);
            }
        }
        // A program that is both setuid root and has capabilities shall have only those.
        let only_attached = attached.is_some() && new.uid.real != 0 && new.uid.effective == 0;
        if self.securebits & securebits::NO_ROOT == 0 && !only_attached {
            if new.uid.effective == 0 || new.uid.real == 0 {
                permitted = old.bounding | old.inheritable;
            }
            effective |= new.uid.effective == 0;
        }

        let ids_change =
            new.uid.effective != self.uid.effective || !self.in_group(new.gid.effective);
        let gains = permitted & !old.permitted != 0;
        if (ids_change || gains) && (hazard.no_new_privs || hazard.traced) {
            if !self.may(Capability::SetUid) || hazard.no_new_privs {
                new.uid.effective = new.uid.real;
                new.gid.effective = new.gid.real;
            }
            permitted &= old.permitted;
        }
        for ids in [&mut new.uid, &mut new.gid] {
            ids.saved = ids.effective;
            ids.fs = ids.effective;
        }

        let ambient = if attached.is_some() || ids_change { 0 } else { old.ambient };
        new.capabilities.ambient = ambient;
        new.capabilities.permitted = permitted | ambient;
        new.capabilities.effective = if effective { new.capabilities.permitted } else { ambient };
        new.securebits &= !securebits::KEEP_CAPS;
        Ok(new)
    }
}
