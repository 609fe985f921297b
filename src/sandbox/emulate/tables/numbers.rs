//! The kernel's names and numbers of system calls, one row a name, one column an ABI.
//!
//! Taken from the kernel's `arch/*/…/syscall*.tbl` and `asm-generic/unistd.h`. Since number 424
//! (`pidfd_send_signal`) all architectures count alike; mips n64 counts from 5000.

use super::{Abi, Call};
use Call::*;

/// One name.
#[derive(Debug)]
pub(crate) struct Row<M> {
    pub(crate) name: &'static str,
    pub(crate) call: M,
    numbers: [i16; Abi::ALL.len()],
}

impl<M> Row<M> {
    pub(crate) fn number(&self, abi: Abi) -> Option<u32> {
        u32::try_from(self.numbers[abi as usize]).ok()
    }
}

const fn row<M>(name: &'static str, call: M, numbers: [i16; Abi::ALL.len()]) -> Row<M> {
    Row { name, call, numbers }
}

/// The ABI does not have the call, or has only a number for it that gives `ENOSYS`.
const NO: i16 = -1;

#[rustfmt::skip]
pub(crate) const CALLS: &[Row<Call>] = &[
    //                                         x86_64        aarch64       riscv64        s390x       loongarch64
    //                                                i386           arm       ppc64le       mips64el
    // Owners.
    row("chown",            Chown,           [  92,  182,   NO,  182,   NO,  181,  212, 5090,   NO]),
    row("lchown",           Lchown,          [  94,   16,   NO,   16,   NO,   16,  198, 5092,   NO]),
    row("fchown",           Fchown,          [  93,   95,   55,   95,   55,   95,  207, 5091,   55]),
    row("chown32",          Chown,           [  NO,  212,   NO,  212,   NO,   NO,   NO,   NO,   NO]),
    row("lchown32",         Lchown,          [  NO,  198,   NO,  198,   NO,   NO,   NO,   NO,   NO]),
    row("fchown32",         Fchown,          [  NO,  207,   NO,  207,   NO,   NO,   NO,   NO,   NO]),
    row("fchownat",         Fchownat,        [ 260,  298,   54,  325,   54,  289,  291, 5250,   54]),
    // Nodes.
    row("mknod",            Mknod,           [ 133,   14,   NO,   14,   NO,   14,   14, 5131,   NO]),
    row("mknodat",          Mknodat,         [ 259,  297,   33,  324,   33,  288,  290, 5249,   33]),
    // Identities.
    row("setuid",           Setuid,          [ 105,   23,  146,   23,  146,   23,  213, 5103,  146]),
    row("setgid",           Setgid,          [ 106,   46,  144,   46,  144,   46,  214, 5104,  144]),
    row("setreuid",         Setreuid,        [ 113,   70,  145,   70,  145,   70,  203, 5111,  145]),
    row("setregid",         Setregid,        [ 114,   71,  143,   71,  143,   71,  204, 5112,  143]),
    row("setresuid",        Setresuid,       [ 117,  164,  147,  164,  147,  164,  208, 5115,  147]),
    row("setresgid",        Setresgid,       [ 119,  170,  149,  170,  149,  169,  210, 5117,  149]),
    row("setfsuid",         Setfsuid,        [ 122,  138,  151,  138,  151,  138,  215, 5120,  151]),
    row("setfsgid",         Setfsgid,        [ 123,  139,  152,  139,  152,  139,  216, 5121,  152]),
    row("setgroups",        Setgroups,       [ 116,   81,  159,   81,  159,   81,  206, 5114,  159]),
    row("setuid32",         Setuid,          [  NO,  213,   NO,  213,   NO,   NO,   NO,   NO,   NO]),
    row("setgid32",         Setgid,          [  NO,  214,   NO,  214,   NO,   NO,   NO,   NO,   NO]),
    row("setreuid32",       Setreuid,        [  NO,  203,   NO,  203,   NO,   NO,   NO,   NO,   NO]),
    row("setregid32",       Setregid,        [  NO,  204,   NO,  204,   NO,   NO,   NO,   NO,   NO]),
    row("setresuid32",      Setresuid,       [  NO,  208,   NO,  208,   NO,   NO,   NO,   NO,   NO]),
    row("setresgid32",      Setresgid,       [  NO,  210,   NO,  210,   NO,   NO,   NO,   NO,   NO]),
    row("setfsuid32",       Setfsuid,        [  NO,  215,   NO,  215,   NO,   NO,   NO,   NO,   NO]),
    row("setfsgid32",       Setfsgid,        [  NO,  216,   NO,  216,   NO,   NO,   NO,   NO,   NO]),
    row("setgroups32",      Setgroups,       [  NO,  206,   NO,  206,   NO,   NO,   NO,   NO,   NO]),
    row("getuid",           Getuid,          [ 102,   24,  174,   24,  174,   24,  199, 5100,  174]),
    row("geteuid",          Geteuid,         [ 107,   49,  175,   49,  175,   49,  201, 5105,  175]),
    row("getgid",           Getgid,          [ 104,   47,  176,   47,  176,   47,  200, 5102,  176]),
    row("getegid",          Getegid,         [ 108,   50,  177,   50,  177,   50,  202, 5106,  177]),
    row("getresuid",        Getresuid,       [ 118,  165,  148,  165,  148,  165,  209, 5116,  148]),
    row("getresgid",        Getresgid,       [ 120,  171,  150,  171,  150,  170,  211, 5118,  150]),
    row("getgroups",        Getgroups,       [ 115,   80,  158,   80,  158,   80,  205, 5113,  158]),
    row("getuid32",         Getuid,          [  NO,  199,   NO,  199,   NO,   NO,   NO,   NO,   NO]),
    row("geteuid32",        Geteuid,         [  NO,  201,   NO,  201,   NO,   NO,   NO,   NO,   NO]),
    row("getgid32",         Getgid,          [  NO,  200,   NO,  200,   NO,   NO,   NO,   NO,   NO]),
    row("getegid32",        Getegid,         [  NO,  202,   NO,  202,   NO,   NO,   NO,   NO,   NO]),
    row("getresuid32",      Getresuid,       [  NO,  209,   NO,  209,   NO,   NO,   NO,   NO,   NO]),
    row("getresgid32",      Getresgid,       [  NO,  211,   NO,  211,   NO,   NO,   NO,   NO,   NO]),
    row("getgroups32",      Getgroups,       [  NO,  205,   NO,  205,   NO,   NO,   NO,   NO,   NO]),
    row("capget",           Capget,          [ 125,  184,   90,  184,   90,  183,  184, 5123,   90]),
    row("capset",           Capset,          [ 126,  185,   91,  185,   91,  184,  185, 5124,   91]),
    row("prctl",            Prctl,           [ 157,  172,  167,  172,  167,  171,  172, 5153,  167]),
    row("execve",           Execve,          [  59,   11,  221,   11,  221,   11,   11, 5057,  221]),
    row("execveat",         Execveat,        [ 322,  358,  281,  387,  281,  362,  354, 5316,  281]),
    row("prlimit64",        Prlimit64,       [ 302,  340,  261,  369,  261,  325,  334, 5297,  261]),
    row("getrlimit",        Getrlimit,       [  97,   NO,  163,   NO,  163,   NO,  191, 5095,   NO]),
    row("ugetrlimit",       Getrlimit,       [  NO,  191,   NO,  191,   NO,  190,   NO,   NO,   NO]),
    row("getrlimit",        OldGetrlimit,    [  NO,   76,   NO,   NO,   NO,   NO,   NO,   NO,   NO]),
    row("setrlimit",        Setrlimit,       [ 160,   75,  164,   75,  164,   75,   75, 5155,   NO]),
    // Other roots.
    row("chroot",           Chroot,          [ 161,   61,   51,   61,   51,   61,   61, 5156,   51]),
    row("pivot_root",       PivotRoot,       [ 155,  217,   41,  218,   41,  203,  217, 5151,   41]),
    row("setns",            Setns,           [ 308,  346,  268,  375,  268,  350,  339, 5303,  268]),
    row("unshare",          Unshare,         [ 272,  310,   97,  337,   97,  282,  303, 5262,   97]),
    // Extended attributes.
    row("setxattr",         Setxattr,        [ 188,  226,    5,  226,    5,  209,  224, 5180,    5]),
    row("lsetxattr",        Lsetxattr,       [ 189,  227,    6,  227,    6,  210,  225, 5181,    6]),
    row("fsetxattr",        Fsetxattr,       [ 190,  228,    7,  228,    7,  211,  226, 5182,    7]),
    row("setxattrat",       Setxattrat,      [ 463,  463,  463,  463,  463,  463,  463, 5463,  463]),
    row("removexattr",      Removexattr,     [ 197,  235,   14,  235,   14,  218,  233, 5189,   14]),
    row("lremovexattr",     Lremovexattr,    [ 198,  236,   15,  236,   15,  219,  234, 5190,   15]),
    row("fremovexattr",     Fremovexattr,    [ 199,  237,   16,  237,   16,  220,  235, 5191,   16]),
    row("removexattrat",    Removexattrat,   [ 466,  466,  466,  466,  466,  466,  466, 5466,  466]),
    row("getxattr",         Getxattr,        [ 191,  229,    8,  229,    8,  212,  227, 5183,    8]),
    row("lgetxattr",        Lgetxattr,       [ 192,  230,    9,  230,    9,  213,  228, 5184,    9]),
    row("fgetxattr",        Fgetxattr,       [ 193,  231,   10,  231,   10,  214,  229, 5185,   10]),
    row("listxattr",        Listxattr,       [ 194,  232,   11,  232,   11,  215,  230, 5186,   11]),
    row("llistxattr",       Llistxattr,      [ 195,  233,   12,  233,   12,  216,  231, 5187,   12]),
    row("flistxattr",       Flistxattr,      [ 196,  234,   13,  234,   13,  217,  232, 5188,   13]),
    row("listxattrat",      Listxattrat,     [ 465,  465,  465,  465,  465,  465,  465, 5465,  465]),
    // Sockets.
    row("getsockopt",       Getsockopt,      [  55,  365,  209,  295,  209,  340,  365, 5054,  209]),
    row("setsockopt",       Setsockopt,      [  54,  366,  208,  294,  208,  339,  366, 5053,  208]),
    row("sendmsg",          Sendmsg,         [  46,  370,  211,  296,  211,  341,  370, 5045,  211]),
    row("sendmmsg",         Sendmmsg,        [ 307,  345,  269,  374,  269,  349,  358, 5302,  269]),
    row("recvmsg",          Recvmsg,         [  47,  372,  212,  297,  212,  342,  372, 5046,  212]),
    row("recvmmsg",         Recvmmsg,        [ 299,  337,  243,  365,  243,  343,  357, 5294,  243]),
    row("recvmmsg_time64",  RecvmmsgTime64,  [  NO,  417,   NO,  417,   NO,   NO,   NO,   NO,   NO]),
    row("bind",             Bind,            [  49,  361,  200,  282,  200,  327,  361, 5048,  200]),
    row("connect",          Connect,         [  42,  362,  203,  283,  203,  328,  362, 5041,  203]),
    row("listen",           Listen,          [  50,  363,  201,  284,  201,  329,  363, 5049,  201]),
    row("socketcall",       Socketcall,      [  NO,  102,   NO,   NO,   NO,  102,  102,   NO,   NO]),
    // The state of files.
    row("oldstat",          Stat,            [  NO,   18,   NO,   NO,   NO,   NO,   NO,   NO,   NO]),
    row("oldlstat",         Lstat,           [  NO,   84,   NO,   NO,   NO,   NO,   NO,   NO,   NO]),
    row("oldfstat",         Fstat,           [  NO,   28,   NO,   NO,   NO,   NO,   NO,   NO,   NO]),
    row("stat",             Stat,            [   4,  106,   NO,  106,   NO,  106,  106, 5004,   NO]),
    row("lstat",            Lstat,           [   6,  107,   NO,  107,   NO,  107,  107, 5006,   NO]),
    row("fstat",            Fstat,           [   5,  108,   80,  108,   80,  108,  108, 5005,   80]),
    row("stat64",           Stat,            [  NO,  195,   NO,  195,   NO,   NO,   NO,   NO,   NO]),
    row("lstat64",          Lstat,           [  NO,  196,   NO,  196,   NO,   NO,   NO,   NO,   NO]),
    row("fstat64",          Fstat,           [  NO,  197,   NO,  197,   NO,   NO,   NO,   NO,   NO]),
    row("newfstatat",       Newfstatat,      [ 262,   NO,   79,   NO,   79,  291,  293, 5252,   79]),
    row("fstatat64",        Newfstatat,      [  NO,  300,   NO,  327,   NO,   NO,   NO,   NO,   NO]),
    row("statx",            Statx,           [ 332,  383,  291,  397,  291,  383,  379, 5326,  291]),
    // Creation.
    row("open",             Open,            [   2,    5,   NO,    5,   NO,    5,    5, 5002,   NO]),
    row("openat",           Openat,          [ 257,  295,   56,  322,   56,  286,  288, 5247,   56]),
    row("openat2",          Openat2,         [ 437,  437,  437,  437,  437,  437,  437, 5437,  437]),
    row("creat",            Creat,           [  85,    8,   NO,    8,   NO,    8,    8, 5083,   NO]),
    row("mkdir",            Mkdir,           [  83,   39,   NO,   39,   NO,   39,   39, 5081,   NO]),
    row("mkdirat",          Mkdirat,         [ 258,  296,   34,  323,   34,  287,  289, 5248,   34]),
    row("symlink",          Symlink,         [  88,   83,   NO,   83,   NO,   83,   83, 5086,   NO]),
    row("symlinkat",        Symlinkat,       [ 266,  304,   36,  331,   36,  295,  297, 5256,   36]),
    // Permissions.
    row("access",           Access,          [  21,   33,   NO,   33,   NO,   33,   33, 5020,   NO]),
    row("faccessat",        Faccessat,       [ 269,  307,   48,  334,   48,  298,  300, 5259,   48]),
    row("faccessat2",       Faccessat2,      [ 439,  439,  439,  439,  439,  439,  439, 5439,  439]),
    row("chdir",            Chdir,           [  80,   12,   49,   12,   49,   12,   12, 5078,   49]),
    row("truncate",         Truncate,        [  76,   92,   45,   92,   45,   92,   92, 5074,   45]),
    row("truncate64",       Truncate,        [  NO,  193,   NO,  193,   NO,   NO,   NO,   NO,   NO]),
    row("readlink",         Readlink,        [  89,   85,   NO,   85,   NO,   85,   85, 5087,   NO]),
    row("readlinkat",       Readlinkat,      [ 267,  305,   78,  332,   78,  296,  298, 5257,   78]),
    // What devices that are bound into place cannot stand.
    row("unlink",           Unlink,          [  87,   10,   NO,   10,   NO,   10,   10, 5085,   NO]),
    row("rmdir",            Rmdir,           [  84,   40,   NO,   40,   NO,   40,   40, 5082,   NO]),
    row("unlinkat",         Unlinkat,        [ 263,  301,   35,  328,   35,  292,  294, 5253,   35]),
    row("rename",           Rename,          [  82,   38,   NO,   38,   NO,   38,   38, 5080,   NO]),
    row("renameat",         Renameat,        [ 264,  302,   38,  329,   NO,  293,  295, 5254,   NO]),
    row("renameat2",        Renameat2,       [ 316,  353,  276,  382,  276,  357,  347, 5311,  276]),
    row("link",             Link,            [  86,    9,   NO,    9,   NO,    9,    9, 5084,   NO]),
    row("linkat",           Linkat,          [ 265,  303,   37,  330,   37,  294,  296, 5255,   37]),
    row("utime",            Utime,           [ 132,   30,   NO,   NO,   NO,   30,   30, 5130,   NO]),
    row("utimes",           Utimes,          [ 235,  271,   NO,  269,   NO,  251,  313, 5226,   NO]),
    row("futimesat",        Futimesat,       [ 261,  299,   NO,  326,   NO,  290,  292, 5251,   NO]),
    row("utimensat",        Utimensat,       [ 280,  320,   88,  348,   88,  304,  315, 5275,   88]),
    row("utimensat_time64", UtimensatTime64, [  NO,  412,   NO,  412,   NO,   NO,   NO,   NO,   NO]),
    row("chmod",            Chmod,           [  90,   15,   NO,   15,   NO,   15,   15, 5088,   NO]),
    row("fchmod",           Fchmod,          [  91,   94,   52,   94,   52,   94,   94, 5089,   52]),
    row("fchmodat",         Fchmodat,        [ 268,  306,   53,  333,   53,  297,  299, 5258,   53]),
    row("fchmodat2",        Fchmodat2,       [ 452,  452,  452,  452,  452,  452,  452, 5452,  452]),
];

/// See [`super::refused`].
#[rustfmt::skip]
pub(crate) const REFUSED: &[Row<()>] = &[
    row("io_uring_setup",   (), [ 425,  425,  425,  425,  425,  425,  425, 5425,  425]),
    row("io_uring_enter",   (), [ 426,  426,  426,  426,  426,  426,  426, 5426,  426]),
    row("io_uring_register",(), [ 427,  427,  427,  427,  427,  427,  427, 5427,  427]),
];
