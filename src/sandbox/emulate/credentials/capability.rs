//! Capability sets, the flags that govern them, and how both change (capabilities(7)).

use std::sync::LazyLock;

use super::{Credentials, Ids, Result};
use crate::sys;
use crate::sys::errno::Errno;

/// The capabilities that the kernel knows. The tests replay what one with 41 did.
static ALL: LazyLock<u64> =
    LazyLock::new(|| if cfg!(test) { (1 << 41) - 1 } else { sys::process::all_capabilities() });

/// The capabilities that emulation itself asks for or takes away, with the kernel's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Capability {
    Chown = 0,
    DacOverride = 1,
    DacReadSearch = 2,
    FOwner = 3,
    FSetId = 4,
    SetGid = 6,
    SetUid = 7,
    SetPCap = 8,
    LinuxImmutable = 9,
    NetBindService = 10,
    SysChroot = 18,
    SysPtrace = 19,
    SysAdmin = 21,
    MkNod = 27,
    SetFCap = 31,
    MacOverride = 32,
}

impl Capability {
    pub(crate) const fn bit(self) -> u64 {
        1 << self as u32
    }
}

/// What goes with the user id for files (`CAP_FS_SET` of the kernel).
const OF_FILES: u64 = Capability::Chown.bit()
    | Capability::DacOverride.bit()
    | Capability::DacReadSearch.bit()
    | Capability::FOwner.bit()
    | Capability::FSetId.bit()
    | Capability::LinuxImmutable.bit()
    | Capability::MkNod.bit()
    | Capability::MacOverride.bit();

/// include/uapi/linux/securebits.h: each flag's lock is the bit above it.
pub(super) mod securebits {
    pub(crate) const NO_ROOT: u32 = 1;
    pub(crate) const NO_SETUID_FIXUP: u32 = 1 << 2;
    pub(crate) const KEEP_CAPS: u32 = 1 << 4;
    pub(crate) const KEEP_CAPS_LOCKED: u32 = 1 << 5;
    pub(crate) const NO_AMBIENT_RAISE: u32 = 1 << 6;
    /// `EXEC_RESTRICT_FILE` and `EXEC_DENY_INTERACTIVE` (Linux 6.14): nobody needs a right to set
    /// them, and only interpreters heed them.
    pub(crate) const UNPRIVILEGED: u32 = 1 << 8 | 1 << 10;
    pub(crate) const FLAGS: u32 =
        NO_ROOT | NO_SETUID_FIXUP | KEEP_CAPS | NO_AMBIENT_RAISE | UNPRIVILEGED;
    pub(crate) const LOCKS: u32 = FLAGS << 1;
}

/// The capability sets of a process, a bit for each capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Capabilities {
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
    pub bounding: u64,
    pub ambient: u64,
}

impl Capabilities {
    /// Root's: all that the kernel knows.
    pub(super) fn root() -> Self {
        Self { effective: *ALL, permitted: *ALL, inheritable: 0, bounding: *ALL, ambient: 0 }
    }

    /// After a change of user ids (the kernel's `cap_emulate_setxuid`).
    pub(super) fn follow(&mut self, old: Ids, new: Ids, keep: bool) {
        if old.any_is_root() && !new.any_is_root() {
            if !keep {
                self.permitted = 0;
                self.effective = 0;
            }
            self.ambient = 0;
        }
        if old.effective == 0 && new.effective != 0 {
            self.effective = 0;
        }
        if old.effective != 0 && new.effective == 0 {
            self.effective = self.permitted;
        }
    }

    /// After setfsuid(2).
    pub(super) fn follow_fs(&mut self, old: Ids, new: Ids) {
        if old.fs == 0 && new.fs != 0 {
            self.effective &= !OF_FILES;
        }
        if old.fs != 0 && new.fs == 0 {
            self.effective |= OF_FILES & self.permitted;
        }
    }
}

/// What `PR_CAP_AMBIENT` is asked to do with one capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ambient {
    Raise,
    Lower,
}

impl Credentials {
    /// capset(2). Capabilities that the kernel does not know are left out, as it does.
    ///
    /// # Errors
    ///
    /// `EPERM` for what the rules for threads in capabilities(7) forbid.
    pub(crate) fn capset(&self, effective: u64, permitted: u64, inheritable: u64) -> Result<Self> {
        let own = self.capabilities;
        let [effective, permitted, inheritable] =
            [effective, permitted, inheritable].map(|set| set & *ALL);
        let within = |set: u64, bound: u64| set & !bound == 0;
        let inheritable_allowed =
            self.may(Capability::SetPCap) || within(inheritable, own.inheritable | own.permitted);
        if !inheritable_allowed
            || !within(inheritable, own.inheritable | own.bounding)
            || !within(permitted, own.permitted)
            || !within(effective, permitted)
        {
            return Err(Errno::PERM);
        }
        let ambient = own.ambient & permitted & inheritable;
        let capabilities = Capabilities { effective, permitted, inheritable, ambient, ..own };
        Ok(Self { capabilities, ..self.clone() })
    }

    /// `PR_CAPBSET_READ`.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an unknown capability.
    pub(crate) fn bounding_has(&self, number: u64) -> Result<bool> {
        Ok(self.capabilities.bounding & known(number)? != 0)
    }

    /// `PR_CAPBSET_DROP`, for a capability that the kernel knows.
    ///
    /// # Errors
    ///
    /// `EPERM` without `CAP_SETPCAP`; it comes before `EINVAL` for an unknown one.
    pub(crate) fn drop_bounding(&self, number: u64) -> Result<Self> {
        if !self.may(Capability::SetPCap) {
            return Err(Errno::PERM);
        }
        let bit = known(number)?;
        let mut new = self.clone();
        new.capabilities.bounding &= !bit;
        Ok(new)
    }

    /// `PR_SET_KEEPCAPS`.
    ///
    /// # Errors
    ///
    /// `EINVAL` for anything but 0 and 1, `EPERM` when the flag is locked.
    pub(crate) fn set_keep_caps(&self, keep: u64) -> Result<Self> {
        if keep > 1 {
            return Err(Errno::INVAL);
        }
        if self.securebits & securebits::KEEP_CAPS_LOCKED != 0 {
            return Err(Errno::PERM);
        }
        let others = self.securebits & !securebits::KEEP_CAPS;
        let flag = if keep == 1 { securebits::KEEP_CAPS } else { 0 };
        Ok(Self { securebits: others | flag, ..self.clone() })
    }

    pub(crate) fn keeps_caps(&self) -> bool {
        self.securebits & securebits::KEEP_CAPS != 0
    }

    /// `PR_SET_SECUREBITS`.
    ///
    /// # Errors
    ///
    /// `EPERM` for an unknown or a locked flag, for a lock that would be undone, and, except for
    /// the flags that are for interpreters only, without `CAP_SETPCAP`.
    pub(crate) fn set_securebits(&self, bits: u64) -> Result<Self> {
        let bits = u32::try_from(bits).map_err(|_| Errno::PERM)?;
        let old = self.securebits;
        let changed = old ^ bits;
        let unprivileged = securebits::UNPRIVILEGED | securebits::UNPRIVILEGED << 1;
        let locked = (old & securebits::LOCKS) >> 1 & changed != 0;
        let unlocks = old & securebits::LOCKS & !bits != 0;
        let unknown = bits & !(securebits::FLAGS | securebits::LOCKS) != 0;
        let allowed =
            self.may(Capability::SetPCap) || (changed != 0 && changed & !unprivileged == 0);
        if locked || unlocks || unknown || !allowed {
            return Err(Errno::PERM);
        }
        Ok(Self { securebits: bits, ..self.clone() })
    }

    /// `PR_CAP_AMBIENT_IS_SET`.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an unknown capability.
    pub(crate) fn ambient_has(&self, number: u64) -> Result<bool> {
        Ok(self.capabilities.ambient & known(number)? != 0)
    }

    /// `PR_CAP_AMBIENT_RAISE` and `PR_CAP_AMBIENT_LOWER`.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an unknown capability, `EPERM` when it is not both permitted and inheritable,
    /// or a flag forbids to raise any.
    pub(crate) fn set_ambient(&self, what: Ambient, number: u64) -> Result<Self> {
        let bit = known(number)?;
        let own = self.capabilities;
        let mut new = self.clone();
        match what {
            Ambient::Lower => new.capabilities.ambient &= !bit,
            Ambient::Raise => {
                let forbidden = self.securebits & securebits::NO_AMBIENT_RAISE != 0;
                if own.permitted & own.inheritable & bit == 0 || forbidden {
                    return Err(Errno::PERM);
                }
                new.capabilities.ambient |= bit;
            }
        }
        Ok(new)
    }

    /// `PR_CAP_AMBIENT_CLEAR_ALL`.
    pub(crate) fn clear_ambient(&self) -> Self {
        let capabilities = Capabilities { ambient: 0, ..self.capabilities };
        Self { capabilities, ..self.clone() }
    }
}

/// The bit of a capability.
///
/// # Errors
///
/// `EINVAL` when the kernel does not know it.
fn known(number: u64) -> Result<u64> {
    let bit = u32::try_from(number).ok().and_then(|number| 1_u64.checked_shl(number));
    bit.filter(|bit| *ALL & bit != 0).ok_or(Errno::INVAL)
}
