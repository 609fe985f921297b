//! [`Credentials`]: who a process of the sandbox believes to be; every change of them is a pure
//! function with the kernel's rules (credentials(7), capabilities(7), kernel/sys.c,
//! security/commoncap.c).
//!
//! In fact each process has the one identity of the sandbox, the root of its user namespace. What it
//! is told instead is kept per process, not per thread: the C library changes all threads of a
//! process at once anyway (nptl(7)), and a change that is repeated is allowed and changes nothing
//! more. Only a thread that changes itself alone, by calls that go past the C library, takes the
//! others with it.
//!
//! Root has every capability that the kernel knows, not docker's fourteen: that is what it has in
//! fact, in its user namespace, and what it can do natively. For others `bounding` is as full, so
//! that sudo and setuid programs give what root has.
//!
//! To the kernel everyone is still root, so nobody is held back where it does the checks itself and
//! nobody else does them ([`super::permission`] is about files): kill(2), ptrace(2), prlimit(2) of others, new namespaces,
//! the texts in `/proc/PID`. A user who makes a user namespace cannot map an id into it: the one
//! that getuid(2) told does not exist outside.

mod capability;
mod execute;
mod table;
#[cfg(test)]
mod tests;

use crate::sys::errno::Errno;

pub(crate) use capability::{Ambient, Capabilities, Capability};
pub(crate) use execute::{Executable, FileCapabilities, Unsafe};
pub(crate) use table::Table;

use capability::securebits;

type Result<T> = std::result::Result<T, Errno>;

/// `(uid_t) -1`: leaves an id as it is, and is itself no id.
pub(crate) const UNCHANGED: u32 = u32::MAX;

/// `NGROUPS_MAX`.
pub(crate) const GROUPS_MAX: usize = 65_536;

/// The ids and the rights of a process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Credentials {
    pub uid: Ids,
    pub gid: Ids,
    /// The supplementary groups, in the order of their numbers, as the kernel keeps them.
    pub groups: Vec<u32>,
    pub capabilities: Capabilities,
    /// Flags that switch root's special treatment off (`PR_SET_SECUREBITS`, `PR_SET_KEEPCAPS`).
    pub securebits: u32,
}

/// The four user ids of a process, or its four group ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Ids {
    pub real: u32,
    pub effective: u32,
    pub saved: u32,
    /// For access to files, and the owner of new ones.
    pub fs: u32,
}

impl Credentials {
    /// Root as it is without any emulation: every id is 0, no group, all capabilities.
    pub(crate) fn root() -> Self {
        Self {
            uid: Ids::all(0),
            gid: Ids::all(0),
            groups: Vec::new(),
            capabilities: Capabilities::root(),
            securebits: 0,
        }
    }

    /// Whether the capability is effective, the kernel's test for nearly all privilege.
    pub(crate) fn may(&self, capability: Capability) -> bool {
        self.capabilities.effective & capability.bit() != 0
    }

    /// Whether files of this group are its own group's (the kernel's `in_group_p`).
    pub(crate) fn in_group(&self, gid: u32) -> bool {
        self.gid.fs == gid || self.groups.binary_search(&gid).is_ok()
    }

    /// # Errors
    ///
    /// `EINVAL` for -1, `EPERM` without `CAP_SETUID` unless it is the real or the saved id.
    pub(crate) fn setuid(&self, uid: u32) -> Result<Self> {
        Ok(self.with_uid(self.uid.set(uid, self.may(Capability::SetUid))?))
    }

    pub(crate) fn setgid(&self, gid: u32) -> Result<Self> {
        Ok(Self { gid: self.gid.set(gid, self.may(Capability::SetGid))?, ..self.clone() })
    }

    /// # Errors
    ///
    /// `EPERM` without `CAP_SETUID` for an id that the process does not have already.
    pub(crate) fn setreuid(&self, real: u32, effective: u32) -> Result<Self> {
        Ok(self.with_uid(self.uid.set_re(real, effective, self.may(Capability::SetUid))?))
    }

    pub(crate) fn setregid(&self, real: u32, effective: u32) -> Result<Self> {
        let gid = self.gid.set_re(real, effective, self.may(Capability::SetGid))?;
        Ok(Self { gid, ..self.clone() })
    }

    /// # Errors
    ///
    /// `EPERM` without `CAP_SETUID` for an id that the process does not have already.
    pub(crate) fn setresuid(&self, real: u32, effective: u32, saved: u32) -> Result<Self> {
        let privileged = self.may(Capability::SetUid);
        Ok(self.with_uid(self.uid.set_res(real, effective, saved, privileged)?))
    }

    pub(crate) fn setresgid(&self, real: u32, effective: u32, saved: u32) -> Result<Self> {
        let gid = self.gid.set_res(real, effective, saved, self.may(Capability::SetGid))?;
        Ok(Self { gid, ..self.clone() })
    }

    /// Never fails: what is not allowed changes nothing (setfsuid(2)). The old id is what the call
    /// returns either way.
    pub(crate) fn setfsuid(&self, uid: u32) -> Self {
        let new = self.uid.set_fs(uid, self.may(Capability::SetUid));
        let mut changed = Self { uid: new, ..self.clone() };
        if self.securebits & securebits::NO_SETUID_FIXUP == 0 {
            changed.capabilities.follow_fs(self.uid, new);
        }
        changed
    }

    pub(crate) fn setfsgid(&self, gid: u32) -> Self {
        Self { gid: self.gid.set_fs(gid, self.may(Capability::SetGid)), ..self.clone() }
    }

    /// # Errors
    ///
    /// `EPERM` without `CAP_SETGID`; `EINVAL` for more than [`GROUPS_MAX`] or for -1.
    pub(crate) fn setgroups(&self, mut groups: Vec<u32>) -> Result<Self> {
        self.may_set_groups(groups.len())?;
        if groups.contains(&UNCHANGED) {
            return Err(Errno::INVAL);
        }
        groups.sort_unstable();
        Ok(Self { groups, ..self.clone() })
    }

    /// What [`Self::setgroups`] asks before it looks at the groups themselves.
    pub(crate) fn may_set_groups(&self, count: usize) -> Result<()> {
        if !self.may(Capability::SetGid) {
            Err(Errno::PERM)
        } else if count > GROUPS_MAX {
            Err(Errno::INVAL)
        } else {
            Ok(())
        }
    }

    /// New user ids, and what they do to the capabilities.
    fn with_uid(&self, uid: Ids) -> Self {
        let mut new = Self { uid, ..self.clone() };
        if self.securebits & securebits::NO_SETUID_FIXUP == 0 {
            let keep = self.securebits & securebits::KEEP_CAPS != 0;
            new.capabilities.follow(self.uid, uid, keep);
        }
        new
    }
}

impl Ids {
    pub(crate) fn all(id: u32) -> Self {
        Self { real: id, effective: id, saved: id, fs: id }
    }

    fn any_is_root(self) -> bool {
        [self.real, self.effective, self.saved].contains(&0)
    }

    fn set(self, id: u32, privileged: bool) -> Result<Self> {
        if id == UNCHANGED {
            Err(Errno::INVAL)
        } else if privileged {
            Ok(Self::all(id))
        } else if id == self.real || id == self.saved {
            Ok(Self { effective: id, fs: id, ..self })
        } else {
            Err(Errno::PERM)
        }
    }

    fn set_re(self, real: u32, effective: u32, privileged: bool) -> Result<Self> {
        let mut new = self;
        if real != UNCHANGED {
            if !privileged && ![self.real, self.effective].contains(&real) {
                return Err(Errno::PERM);
            }
            new.real = real;
        }
        if effective != UNCHANGED {
            let own = [self.real, self.effective, self.saved];
            if !privileged && !own.contains(&effective) {
                return Err(Errno::PERM);
            }
            new.effective = effective;
        }
        if real != UNCHANGED || (effective != UNCHANGED && effective != self.real) {
            new.saved = new.effective;
        }
        new.fs = new.effective;
        Ok(new)
    }

    fn set_res(self, real: u32, effective: u32, saved: u32, privileged: bool) -> Result<Self> {
        let own = [self.real, self.effective, self.saved];
        let foreign = |id| id != UNCHANGED && !own.contains(&id);
        // Nothing at all changes then, not even the id for files.
        let same = |id, own| id == UNCHANGED || id == own;
        if same(real, self.real)
            && (effective == UNCHANGED || (effective == self.effective && effective == self.fs))
            && same(saved, self.saved)
        {
            return Ok(self);
        }
        if !privileged && [real, effective, saved].into_iter().any(foreign) {
            return Err(Errno::PERM);
        }
        let or = |id, own| if id == UNCHANGED { own } else { id };
        let effective = or(effective, self.effective);
        Ok(Self {
            real: or(real, self.real),
            effective,
            saved: or(saved, self.saved),
            fs: effective,
        })
    }

    fn set_fs(self, id: u32, privileged: bool) -> Self {
        let own = [self.real, self.effective, self.saved, self.fs];
        if id != UNCHANGED && (privileged || own.contains(&id)) {
            Self { fs: id, ..self }
        } else {
            self
        }
    }
}
