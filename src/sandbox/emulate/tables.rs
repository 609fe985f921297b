//! The system calls that emulation takes from the kernel, on every architecture, as plain data:
//! [`numbers`] knows what they are called and numbered, [`Call`] what they mean.
//!
//! Nothing here depends on the machine that compiles it, and all of it is compiled everywhere.
//! `tests/system_calls` compares it with the kernel's headers.

mod numbers;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use super::layout::Layout;

/// How programs call the kernel: the numbers, the widths and the structures.
///
/// A kernel of 64 bits runs programs of 32 bits too, so one process may change between two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Abi {
    X86_64,
    I386,
    Aarch64,
    /// EABI, little-endian.
    Arm,
    Riscv64,
    Ppc64le,
    /// Of 64 bits; programs of 31 bits are foreign.
    S390x,
    /// n64, little-endian.
    Mips64el,
    Loongarch64,
}

impl Abi {
    /// In the order of the columns in [`numbers`].
    pub(crate) const ALL: [Self; 9] = [
        Self::X86_64,
        Self::I386,
        Self::Aarch64,
        Self::Arm,
        Self::Riscv64,
        Self::Ppc64le,
        Self::S390x,
        Self::Mips64el,
        Self::Loongarch64,
    ];

    /// `AUDIT_ARCH_…` of linux/audit.h, which is the ELF machine with a mark for 64 bits (the
    /// highest) and one for little-endian (the second).
    pub(crate) fn audit(self) -> u32 {
        match self {
            Self::X86_64 => 0xc000_003e,
            Self::I386 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
            Self::Riscv64 => 0xc000_00f3,
            Self::Ppc64le => 0xc000_0015,
            Self::S390x => 0x8000_0016,
            Self::Mips64el => 0xc000_0008,
            Self::Loongarch64 => 0xc000_0102,
        }
    }

    pub(crate) fn of_audit(audit: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|abi| abi.audit() == audit)
    }

    /// The one that bryo itself was compiled for; `None` where emulation knows no numbers.
    pub(crate) fn native() -> Option<Self> {
        let little = cfg!(target_endian = "little");
        let wide = cfg!(target_pointer_width = "64");
        if cfg!(target_arch = "x86_64") && wide {
            Some(Self::X86_64)
        } else if cfg!(target_arch = "x86") {
            Some(Self::I386)
        } else if cfg!(target_arch = "aarch64") && wide && little {
            Some(Self::Aarch64)
        } else if cfg!(target_arch = "arm") && little {
            Some(Self::Arm)
        } else if cfg!(target_arch = "riscv64") {
            Some(Self::Riscv64)
        } else if cfg!(target_arch = "powerpc64") && little {
            Some(Self::Ppc64le)
        } else if cfg!(target_arch = "s390x") {
            Some(Self::S390x)
        } else if cfg!(target_arch = "mips64") && wide && little {
            Some(Self::Mips64el)
        } else if cfg!(target_arch = "loongarch64") {
            Some(Self::Loongarch64)
        } else {
            None
        }
    }

    /// What the kernel under a program of this kind may run.
    pub(crate) fn runs(self) -> &'static [Self] {
        match self {
            Self::X86_64 | Self::I386 => &[Self::X86_64, Self::I386],
            Self::Aarch64 | Self::Arm => &[Self::Aarch64, Self::Arm],
            Self::Riscv64 => &[Self::Riscv64],
            Self::Ppc64le => &[Self::Ppc64le],
            Self::S390x => &[Self::S390x],
            Self::Mips64el => &[Self::Mips64el],
            Self::Loongarch64 => &[Self::Loongarch64],
        }
    }

    /// The size of a pointer, and of C's `long`.
    pub(crate) fn pointer_size(self) -> usize {
        if matches!(self, Self::I386 | Self::Arm) { 4 } else { 8 }
    }

    pub(crate) fn big_endian(self) -> bool {
        self == Self::S390x
    }

    /// The values that some architectures have of their own.
    pub(crate) fn constants(self) -> &'static Constants {
        match self {
            Self::Mips64el => &Constants {
                enosys: 89,
                o_creat: 0x100,
                sol_socket: 0xffff,
                so_passcred: 17,
                so_peercred: 18,
                ..GENERIC
            },
            Self::Ppc64le => &Constants { so_passcred: 20, so_peercred: 21, ..GENERIC },
            _ => &GENERIC,
        }
    }
}

/// Constants of C by which a call is seen to concern emulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Constants {
    pub(crate) enosys: u32,
    pub(crate) o_creat: u32,
    /// `__O_TMPFILE`, the bit that `O_TMPFILE` adds to `O_DIRECTORY`.
    pub(crate) o_tmpfile: u32,
    pub(crate) sol_socket: u32,
    pub(crate) so_passcred: u32,
    pub(crate) so_peercred: u32,
    pub(crate) so_peergroups: u32,
}

/// Of `asm-generic/{errno,fcntl,socket}.h`.
const GENERIC: Constants = Constants {
    enosys: 38,
    o_creat: 0o100,
    o_tmpfile: 0o20_000_000,
    sol_socket: 1,
    so_passcred: 16,
    so_peercred: 17,
    so_peergroups: 59,
};

/// The limit that nothing in Linux looks at any more, so that it can carry an identity.
pub(crate) const RLIMIT_LOCKS: u32 = 10;
pub(crate) const CLONE_NEWNS: u32 = 0x2_0000;
/// All but reading.
pub(crate) const O_ACCMODE: u32 = 0o3;
pub(crate) const O_TRUNC: u32 = 0o1000;
pub(crate) const S_IFMT: u32 = 0o170_000;
pub(crate) const S_IFCHR: u32 = 0o020_000;
pub(crate) const S_IFBLK: u32 = 0o060_000;
pub(crate) const PR_GET_KEEPCAPS: u32 = 7;
pub(crate) const PR_SET_KEEPCAPS: u32 = 8;
pub(crate) const PR_CAPBSET_READ: u32 = 23;
pub(crate) const PR_CAPBSET_DROP: u32 = 24;
pub(crate) const PR_GET_SECUREBITS: u32 = 27;
pub(crate) const PR_SET_SECUREBITS: u32 = 28;
pub(crate) const PR_CAP_AMBIENT: u32 = 47;

/// What a system call means. Two calls that mean the same have the same arguments, save for the
/// widths that [`Trapped`] tells: i386's `chown` and `chown32` are both [`Call::Chown`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    // Owners.
    Chown,
    Lchown,
    Fchown,
    Fchownat,
    // Nodes.
    Mknod,
    Mknodat,
    // Identities.
    Setuid,
    Setgid,
    Setreuid,
    Setregid,
    Setresuid,
    Setresgid,
    Setfsuid,
    Setfsgid,
    Setgroups,
    Getuid,
    Geteuid,
    Getgid,
    Getegid,
    Getresuid,
    Getresgid,
    Getgroups,
    Capget,
    Capset,
    Prctl,
    Execve,
    Execveat,
    Prlimit64,
    /// `struct rlimit` has two of C's `unsigned long`.
    Getrlimit,
    /// The one that knows no number above `0x7fff_ffff`, which means infinity.
    OldGetrlimit,
    Setrlimit,
    // Other roots.
    Chroot,
    PivotRoot,
    Setns,
    Unshare,
    // Extended attributes.
    Setxattr,
    Lsetxattr,
    Fsetxattr,
    Setxattrat,
    Removexattr,
    Lremovexattr,
    Fremovexattr,
    Removexattrat,
    Getxattr,
    Lgetxattr,
    Fgetxattr,
    Listxattr,
    Llistxattr,
    Flistxattr,
    Listxattrat,
    // Sockets.
    Getsockopt,
    Setsockopt,
    Sendmsg,
    Sendmmsg,
    Recvmsg,
    Recvmmsg,
    /// [`Call::Recvmmsg`] with a time of 64 bits in a program of 32 bits.
    RecvmmsgTime64,
    Bind,
    Connect,
    Listen,
    /// One of the others, see [`of_socketcall`]; its arguments are `unsigned long`s behind a
    /// pointer.
    Socketcall,
    // The state of files.
    Stat,
    Lstat,
    Fstat,
    Newfstatat,
    Statx,
    // Creation.
    Open,
    Openat,
    Openat2,
    Creat,
    Mkdir,
    Mkdirat,
    Symlink,
    Symlinkat,
    // Permissions.
    Access,
    Faccessat,
    Faccessat2,
    Chdir,
    Truncate,
    Readlink,
    Readlinkat,
    // What devices that are bound into place cannot stand.
    Unlink,
    Rmdir,
    Unlinkat,
    Rename,
    Renameat,
    Renameat2,
    Link,
    Linkat,
    /// Seconds alone.
    Utime,
    /// Seconds and microseconds.
    Utimes,
    Futimesat,
    /// Seconds and nanoseconds.
    Utimensat,
    /// The same with a time of 64 bits in a program of 32 bits.
    UtimensatTime64,
    Chmod,
    Fchmod,
    Fchmodat,
    Fchmodat2,
}

/// A system call of one ABI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trapped {
    pub(crate) call: Call,
    /// The kernel's name for it on that ABI.
    pub(crate) name: &'static str,
    /// Its user and group ids have 16 bits.
    pub(crate) short_ids: bool,
    /// Of the `struct stat` that it fills.
    pub(crate) layout: Option<&'static Layout>,
}

/// The call with that number, if emulation takes it in any mode.
pub(crate) fn look_up(abi: Abi, number: u32) -> Option<Trapped> {
    static CALLS: OnceLock<[Vec<(u32, Trapped)>; Abi::ALL.len()]> = OnceLock::new();
    let calls = &CALLS.get_or_init(|| Abi::ALL.map(sorted_calls))[abi as usize];
    let at = calls.binary_search_by_key(&number, |(number, _)| *number).ok()?;
    Some(calls[at].1)
}

/// The number of a call.
pub(crate) fn number(abi: Abi, call: Call) -> Option<u32> {
    sorted_calls(abi).into_iter().find_map(|(number, row)| (row.call == call).then_some(number))
}

/// All calls of an ABI with their numbers, in the numbers' order.
pub(crate) fn sorted_calls(abi: Abi) -> Vec<(u32, Trapped)> {
    let mut calls: Vec<_> = numbers::CALLS
        .iter()
        .filter_map(|row| {
            let trapped = Trapped {
                call: row.call,
                name: row.name,
                short_ids: has_short_ids(abi, row.name),
                layout: Layout::of(abi, row.name),
            };
            Some((row.number(abi)?, trapped))
        })
        .collect();
    calls.sort_unstable_by_key(|(number, _)| *number);
    calls
}

/// The numbers of the calls that get `ENOSYS` in every mode: io_uring does what other calls do
/// where no filter sees it. Programs have to live without it anyway, on older kernels.
pub(crate) fn refused(abi: Abi) -> impl Iterator<Item = (u32, &'static str)> {
    numbers::REFUSED.iter().filter_map(move |row| Some((row.number(abi)?, row.name)))
}

/// What a `socketcall` with that first argument means (`SYS_…` of linux/net.h).
pub(crate) fn of_socketcall(code: u32) -> Option<Call> {
    SOCKETCALLS.iter().find(|(known, _)| *known == code).map(|(_, call)| *call)
}

/// How many arguments a `socketcall` points to.
pub(crate) fn socketcall_arguments(call: Call) -> usize {
    match call {
        Call::Listen => 2,
        Call::Bind | Call::Connect | Call::Sendmsg | Call::Recvmsg => 3,
        Call::Sendmmsg => 4,
        _ => 5,
    }
}

pub(crate) const SOCKETCALLS: [(u32, Call); 9] = [
    (2, Call::Bind),
    (3, Call::Connect),
    (4, Call::Listen),
    (14, Call::Setsockopt),
    (15, Call::Getsockopt),
    (16, Call::Sendmsg),
    (17, Call::Recvmsg),
    (19, Call::Recvmmsg),
    (20, Call::Sendmmsg),
];

/// The calls whose ids once had 16 bits got a number and a name (`chown32`) for wider ones. The
/// architectures that came later have only those, under the plain name.
fn has_short_ids(abi: Abi, name: &str) -> bool {
    numbers::CALLS
        .iter()
        .any(|row| row.name.strip_suffix("32") == Some(name) && row.number(abi).is_some())
}
