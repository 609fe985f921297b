//! What each filter does with each call: the policy, apart from BPF and from numbers.
//!
//! Not taken, on purpose: what changes the times of an open file, which the root of a user namespace
//! does well natively; and `clone`, whose new mount namespace is seen when it is used (`pivot_root`,
//! `chroot`). `getxattr` is taken only from who asks for a capability.

use super::{Action, Filter};
use crate::sandbox::emulate::tables::{
    self, Abi, CLONE_NEWNS, Call, O_ACCMODE, O_TRUNC, RLIMIT_LOCKS, S_IFBLK, S_IFCHR, S_IFMT,
    SOCKETCALLS,
};

/// A filter's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Allow,
    Notify,
    /// The call is not done, and fails with that number; with 0 it succeeds.
    Errno(u32),
}

/// Something that the lower 32 bits of an argument must fulfil.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) argument: u32,
    /// What is looked at.
    pub(super) mask: u32,
    /// That must be one of these; none: any bit must be set.
    pub(super) values: Vec<u32>,
}

impl Condition {
    fn is(argument: u32, values: &[u32]) -> Self {
        Self { argument, mask: u32::MAX, values: values.to_vec() }
    }

    fn masked(argument: u32, mask: u32, values: &[u32]) -> Self {
        Self { argument, mask, values: values.to_vec() }
    }

    fn has(argument: u32, bits: u32) -> Self {
        Self { argument, mask: bits, values: Vec::new() }
    }
}

/// What the filter does with a call; `None`: it does not care.
pub(super) fn action(filter: Filter, abi: Abi, call: Call) -> Option<Action> {
    let topic = topic(call);
    let (conditions, verdict) = match filter {
        Filter::Ids if matches!(topic, Topic::Stat | Topic::Creation | Topic::Permission) => {
            return None;
        }
        Filter::Full | Filter::Ids if topic == Topic::Look => return None,
        Filter::Strict if matches!(call, Call::Open | Call::Openat) => {
            (Vec::new(), Verdict::Notify)
        }
        Filter::Full | Filter::Strict | Filter::Ids => (conditions(abi, call), Verdict::Notify),
        Filter::Fake if topic == Topic::Privileged => (Vec::new(), Verdict::Errno(0)),
        Filter::Fake if topic == Topic::Node => (vec![device(call)], Verdict::Errno(0)),
        Filter::Fake => return None,
    };
    Some(Action { conditions, verdict })
}

/// Why a call is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Topic {
    /// It does what only root may, and nobody needs to see that it was done.
    Privileged,
    /// It makes devices, among others.
    Node,
    /// It tells or changes an identity or what hangs on it.
    Identity,
    /// It would remove, replace or change a device that is bound into place.
    Device,
    /// It tells a file's owner.
    Stat,
    /// The new file belongs to somebody.
    Creation,
    /// It uses a file, and not everybody may.
    Permission,
    /// It tells that a file is there, which not everybody may know.
    Look,
}

fn topic(call: Call) -> Topic {
    use crate::sandbox::emulate::tables::Call::*;
    match call {
        Chown | Lchown | Fchown | Fchownat => Topic::Privileged,
        Setuid | Setgid | Setreuid | Setregid | Setresuid | Setresgid => Topic::Privileged,
        Setfsuid | Setfsgid | Setgroups | Capset => Topic::Privileged,
        Mknod | Mknodat => Topic::Node,
        Getuid | Geteuid | Getgid | Getegid | Getresuid | Getresgid => Topic::Identity,
        Getgroups | Capget | Prctl | Execve | Execveat => Topic::Identity,
        Prlimit64 | Getrlimit | OldGetrlimit | Setrlimit => Topic::Identity,
        Chroot | PivotRoot | Setns | Unshare => Topic::Identity,
        Setxattr | Lsetxattr | Fsetxattr | Setxattrat => Topic::Identity,
        Removexattr | Lremovexattr | Fremovexattr | Removexattrat => Topic::Identity,
        Getxattr | Lgetxattr | Fgetxattr => Topic::Identity,
        Listxattr | Llistxattr | Flistxattr | Listxattrat => Topic::Identity,
        Getsockopt | Setsockopt | Sendmsg | Sendmmsg | Recvmsg => Topic::Identity,
        Recvmmsg | RecvmmsgTime64 | Listen | Socketcall => Topic::Identity,
        // Low ports, and who is at the other end.
        Bind | Connect => Topic::Identity,
        Unlink | Rmdir | Unlinkat | Rename | Renameat | Renameat2 => Topic::Device,
        Link | Linkat | Chmod | Fchmod | Fchmodat | Fchmodat2 => Topic::Device,
        Utime | Utimes | Futimesat | Utimensat | UtimensatTime64 => Topic::Device,
        Stat | Lstat | Fstat | Newfstatat | Statx => Topic::Stat,
        Open | Openat | Openat2 | Creat | Mkdir | Mkdirat => Topic::Creation,
        Symlink | Symlinkat => Topic::Creation,
        Access | Faccessat | Faccessat2 | Chdir | Truncate => Topic::Permission,
        Readlink | Readlinkat => Topic::Look,
    }
}

/// When a call concerns emulation, by its arguments; none: always.
fn conditions(abi: Abi, call: Call) -> Vec<Condition> {
    let of = abi.constants();
    let changes = of.o_creat | of.o_tmpfile | O_ACCMODE | O_TRUNC;
    match call {
        Call::Open => vec![Condition::has(1, changes)],
        Call::Openat => vec![Condition::has(2, changes)],
        Call::Prctl => vec![Condition::is(0, PRCTL)],
        Call::Getrlimit | Call::OldGetrlimit | Call::Setrlimit => {
            vec![Condition::is(0, &[RLIMIT_LOCKS])]
        }
        Call::Prlimit64 => vec![Condition::is(1, &[RLIMIT_LOCKS])],
        Call::Getxattr | Call::Lgetxattr | Call::Fgetxattr => {
            vec![Condition::is(3, CAPABILITY_SIZES)]
        }
        Call::Unshare => vec![Condition::has(0, CLONE_NEWNS)],
        Call::Getsockopt => vec![
            Condition::is(1, &[of.sol_socket]),
            Condition::is(2, &[of.so_peercred, of.so_peergroups]),
        ],
        Call::Setsockopt => {
            vec![Condition::is(1, &[of.sol_socket]), Condition::is(2, &[of.so_passcred])]
        }
        Call::Socketcall => vec![Condition::is(0, &SOCKETCALLS.map(|(code, _)| code))],
        _ => Vec::new(),
    }
}

/// The node to be made is a device.
fn device(call: Call) -> Condition {
    Condition::masked(if call == Call::Mknodat { 2 } else { 1 }, S_IFMT, &[S_IFCHR, S_IFBLK])
}

/// The buffers that a `security.capability` is read into, by libcap and whoever else knows its
/// format: `XATTR_CAPS_SZ_2` and `XATTR_CAPS_SZ_3` of linux/capability.h. A filter does not see names.
const CAPABILITY_SIZES: &[u32] = &[20, 24];

/// What prctl(2) tells and changes of capabilities.
const PRCTL: &[u32] = &[
    tables::PR_GET_KEEPCAPS,
    tables::PR_SET_KEEPCAPS,
    tables::PR_CAPBSET_READ,
    tables::PR_CAPBSET_DROP,
    tables::PR_GET_SECUREBITS,
    tables::PR_SET_SECUREBITS,
    tables::PR_CAP_AMBIENT,
];
