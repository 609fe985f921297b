//! The programs, run by an interpreter of classic BPF on calls of every ABI.

use super::*;

const FILTERS: [Filter; 4] = [Filter::Full, Filter::Strict, Filter::Ids, Filter::Fake];

/// `BPF_MAXINSNS`.
const MOST: usize = 4096;

/// `struct seccomp_data`.
#[derive(Debug, Clone, Copy)]
struct Data {
    arch: u32,
    number: u32,
    args: [u64; 6],
    big_endian: bool,
}

impl Data {
    fn new(abi: Abi, number: u32, args: &[u64]) -> Self {
        let mut all = [0; 6];
        all[..args.len()].copy_from_slice(args);
        Self { arch: abi.audit(), number, args: all, big_endian: abi.big_endian() }
    }

    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.arch,
            16..64 => {
                let argument = self.args[(offset as usize - 16) / 8];
                let low = offset.is_multiple_of(8) != self.big_endian;
                (if low { argument } else { argument >> 32 }) as u32
            }
            _ => panic!("no filter of ours loads from {offset}"),
        }
    }
}

/// Runs a filter as the kernel does, and counts the instructions.
fn run(program: &[Instruction], data: &Data) -> (u32, usize) {
    let (mut at, mut word, mut steps) = (0, 0, 0);
    loop {
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        steps += 1;
        let mut branch = |holds: bool| at += usize::from(if holds { jt } else { jf });
        match code {
            0x20 => word = data.word(k),
            0x54 => word &= k,
            0x05 => at += k as usize,
            0x15 => branch(word == k),
            0x35 => branch(word >= k),
            0x45 => branch(word & k != 0),
            0x06 => return (k, steps),
            _ => panic!("{code:#x} is not of seccomp"),
        }
    }
}

fn verdict(filter: Filter, host: Abi, data: &Data) -> Verdict {
    as_verdict(run(&compile(filter, host), data).0)
}

fn as_verdict(returned: u32) -> Verdict {
    match (returned & 0xffff_0000, returned & 0xffff) {
        (0x7fff_0000, 0) => Verdict::Allow,
        (0x7fc0_0000, 0) => Verdict::Notify,
        (0x0005_0000, number) => Verdict::Errno(number),
        _ => panic!("{returned:#x} is no answer of ours"),
    }
}

/// What the rules say, without BPF.
fn by_rules(filter: Filter, abi: Abi, number: u32, args: &[u64; 6]) -> Verdict {
    let refusal = Verdict::Errno(abi.constants().enosys);
    if tables::refused(abi).any(|(refused, _)| refused == number)
        || (abi == Abi::X86_64 && number >= 0x4000_0000)
    {
        return refusal;
    }
    let known = tables::look_up(abi, number);
    let action = known.and_then(|trapped| rules::action(filter, abi, trapped.call));
    let Some(action) = action else { return Verdict::Allow };
    let holds = action.conditions.iter().all(|condition| {
        let value = args[condition.argument as usize] as u32 & condition.mask;
        if condition.values.is_empty() { value != 0 } else { condition.values.contains(&value) }
    });
    if holds { action.verdict } else { Verdict::Allow }
}

/// Arguments around everything that a condition compares with.
fn arguments(conditions: &[Condition]) -> Vec<[u64; 6]> {
    let mut all = vec![[0; 6], [u64::MAX; 6], [u64::MAX << 32; 6]];
    for condition in conditions {
        let values = condition.values.iter().chain([&condition.mask]);
        let edges: Vec<u64> = values
            .flat_map(|value| [value.wrapping_sub(1), *value, value.wrapping_add(1)])
            .flat_map(|value| [u64::from(value), u64::from(value) | u64::MAX << 32])
            .chain((0..32).map(|bit| 1 << bit))
            .collect();
        let at = condition.argument as usize;
        let others: Vec<_> = all.iter().step_by(7).copied().collect();
        for (args, edge) in others.iter().flat_map(|args| edges.iter().map(move |e| (args, e))) {
            let mut args = *args;
            args[at] = *edge;
            all.push(args);
        }
    }
    // All conditions at once, which the above meets only by chance.
    let mut met = [0; 6];
    for condition in conditions {
        met[condition.argument as usize] =
            (*condition.values.first().unwrap_or(&condition.mask)).into();
    }
    all.push(met);
    all
}

#[test]
fn every_number_gets_what_the_rules_say() {
    for host in Abi::ALL {
        for filter in FILTERS {
            let program = compile(filter, host);
            for &abi in host.runs() {
                let many = [0x3fff_ffff, 0x4000_0000, 0x4000_0001, 0x7fff_ffff, u32::MAX];
                for number in (0..6000).chain(many) {
                    let known = tables::look_up(abi, number);
                    let action = known.and_then(|known| rules::action(filter, abi, known.call));
                    let conditions = action.map(|action| action.conditions).unwrap_or_default();
                    for args in arguments(&conditions) {
                        let data = Data::new(abi, number, &args);
                        let found = as_verdict(run(&program, &data).0);
                        let right = by_rules(filter, abi, number, &args);
                        assert_eq!(found, right, "{filter:?} on {host:?}: {abi:?} {data:x?}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_kernel_takes_every_program() {
    for host in Abi::ALL {
        for filter in FILTERS {
            let program = compile(filter, host);
            assert!(program.len() < MOST, "{filter:?} on {host:?}: {}", program.len());
            assert_eq!(program.last().expect("instructions").code, Instruction::RETURN);
            for (at, line) in program.iter().enumerate() {
                let next = at + 1;
                let targets = match line.code {
                    Instruction::SKIP => vec![next + line.k as usize],
                    Instruction::RETURN => Vec::new(),
                    Instruction::LOAD => {
                        assert!(line.k < Instruction::DATA && line.k.is_multiple_of(4), "{line:?}");
                        vec![next]
                    }
                    _ => vec![next + usize::from(line.jt), next + usize::from(line.jf)],
                };
                for target in targets {
                    assert!(target < program.len(), "{filter:?} on {host:?}: {at} {line:?}");
                }
            }
        }
    }
}

#[test]
fn foreign_architectures_are_refused() {
    for host in Abi::ALL {
        for filter in FILTERS {
            for abi in Abi::ALL.into_iter().filter(|abi| !host.runs().contains(abi)) {
                let refusal = Verdict::Errno(host.constants().enosys);
                assert_eq!(verdict(filter, host, &Data::new(abi, 1, &[])), refusal);
            }
        }
    }
}

/// A few comparisons more than the logarithm, also for the second ABI.
#[test]
fn the_search_is_short() {
    for host in Abi::ALL {
        let program = compile(Filter::Full, host);
        for &abi in host.runs() {
            for number in 0..6000 {
                let (_, steps) = run(&program, &Data::new(abi, number, &[0; 6]));
                assert!(steps <= 24, "{host:?}: {steps} instructions for {number} of {abi:?}");
            }
        }
    }
}

/// A call and what becomes of it in each filter: `n`otified, allowed (`-`), a `0`.
type Case = (Abi, &'static str, &'static [u64], &'static str);

#[test]
fn what_filters_decide() {
    use crate::sandbox::emulate::tables::Abi::*;
    const HIGH: u64 = 0xdead_beef_0000_0000;
    let cases: &[Case] = &[
        (X86_64, "chown", &[], "nnn0"),
        (X86_64, "setresgid", &[], "nnn0"),
        (X86_64, "capset", &[], "nnn0"),
        (X86_64, "capget", &[], "nnn-"),
        (X86_64, "getuid", &[], "nnn-"),
        (X86_64, "stat", &[], "nn--"),
        (X86_64, "statx", &[], "nn--"),
        (X86_64, "mkdirat", &[], "nn--"),
        (X86_64, "unlink", &[], "nnn-"),
        (X86_64, "execve", &[], "nnn-"),
        (X86_64, "listxattr", &[], "nnn-"),
        (X86_64, "getxattr", &[0, 0, 0, 24], "nnn-"),
        (X86_64, "lgetxattr", &[0, 0, 0, 20 | HIGH], "nnn-"),
        (X86_64, "fgetxattr", &[0, 0, 24, 132], "----"),
        (I386, "chown", &[], "nnn0"),
        (I386, "chown32", &[], "nnn0"),
        (I386, "setgroups32", &[], "nnn0"),
        (I386, "fstatat64", &[], "nn--"),
        (Arm, "stat64", &[], "nn--"),
        (Arm, "getuid32", &[], "nnn-"),
        // Devices alone are not made in `Fake`: a fifo is.
        (X86_64, "mknod", &[0, 0o020_644], "nnn0"),
        (X86_64, "mknod", &[0, 0o060_644 | HIGH], "nnn0"),
        (X86_64, "mknod", &[0, 0o010_644], "nnn-"),
        (X86_64, "mknod", &[0, 0o100_644, 0o020_000], "nnn-"),
        (S390x, "mknodat", &[0, 0, HIGH | 0o020_644], "nnn0"),
        (S390x, "mknodat", &[0, 0, 0o020_644 << 32], "nnn-"),
        // What creates: O_CREAT, O_TMPFILE, but not O_DIRECTORY, which is a part of that. What writes.
        // What reads, too, in `Strict`.
        (X86_64, "open", &[0, 0o2], "nn--"),
        (X86_64, "open", &[0, 0o101], "nn--"),
        (X86_64, "open", &[0, 0o100 | HIGH], "nn--"),
        (X86_64, "openat", &[0, 0, 0o20_200_002], "nn--"),
        (X86_64, "openat", &[0, 0, 0o200_000], "-n--"),
        (X86_64, "openat", &[0o100, 0o100, HIGH], "-n--"),
        (Aarch64, "openat", &[0, 0, 0o40_000], "-n--"),
        (Aarch64, "openat", &[0, 0, 0o20_040_002], "nn--"),
        (Mips64el, "openat", &[0, 0, 0x100], "nn--"),
        (Mips64el, "openat", &[0, 0, 0o100], "-n--"),
        (S390x, "openat", &[0, 0, 0o100], "nn--"),
        (S390x, "openat", &[0, 0, 0o100 << 32], "-n--"),
        (X86_64, "openat", &[0, 0, 0o1], "nn--"),
        (X86_64, "openat", &[0, 0, 0o1000], "nn--"),
        (X86_64, "access", &[], "nn--"),
        (Aarch64, "faccessat2", &[], "nn--"),
        (Arm, "truncate64", &[], "nn--"),
        (X86_64, "chdir", &[], "nn--"),
        (X86_64, "readlink", &[], "-n--"),
        (X86_64, "prctl", &[8, 1], "nnn-"),
        (X86_64, "prctl", &[22, 2], "----"),
        (X86_64, "prlimit64", &[0, 10], "nnn-"),
        (X86_64, "prlimit64", &[10, 7], "----"),
        (X86_64, "setrlimit", &[10], "nnn-"),
        (X86_64, "setrlimit", &[7], "----"),
        (I386, "getrlimit", &[10], "nnn-"),
        (I386, "ugetrlimit", &[3], "----"),
        (Ppc64le, "ugetrlimit", &[10], "nnn-"),
        (X86_64, "unshare", &[0x1002_0000], "nnn-"),
        (X86_64, "unshare", &[0x1000_0000], "----"),
        (X86_64, "getsockopt", &[3, 1, 17], "nnn-"),
        (X86_64, "getsockopt", &[3, 1, 59], "nnn-"),
        (X86_64, "getsockopt", &[3, 1, 18], "----"),
        (X86_64, "getsockopt", &[3, 6, 17], "----"),
        (Mips64el, "getsockopt", &[3, 0xffff, 18], "nnn-"),
        (Mips64el, "getsockopt", &[3, 0xffff, 17], "----"),
        (Mips64el, "setsockopt", &[3, 0xffff, 17], "nnn-"),
        (Ppc64le, "getsockopt", &[3, 1, 21], "nnn-"),
        (Ppc64le, "setsockopt", &[3, 1, 20], "nnn-"),
        (X86_64, "setsockopt", &[3, 1, 16], "nnn-"),
        (X86_64, "setsockopt", &[3, 1, 17], "----"),
        (X86_64, "bind", &[], "nnn-"),
        (I386, "socketcall", &[2], "nnn-"),
        (I386, "socketcall", &[16], "nnn-"),
        (I386, "socketcall", &[3], "nnn-"),
        (I386, "socketcall", &[1], "----"),
        (S390x, "socketcall", &[15], "nnn-"),
    ];
    for (abi, name, args, right) in cases {
        let calls = tables::sorted_calls(*abi);
        let named = calls.iter().find(|(_, trapped)| trapped.name == *name);
        let number = named.unwrap_or_else(|| panic!("{abi:?} has no {name}")).0;
        let data = Data::new(*abi, number, args);
        let found: String = FILTERS
            .iter()
            .map(|filter| match verdict(*filter, *abi, &data) {
                Verdict::Allow => '-',
                Verdict::Notify => 'n',
                Verdict::Errno(0) => '0',
                Verdict::Errno(number) => panic!("{abi:?} {name}: {number}"),
            })
            .collect();
        assert_eq!(&found, right, "{abi:?} {name} {args:x?}");
    }
}

#[test]
fn ways_past_the_filter_are_closed() {
    let cases = [
        (Abi::X86_64, 425, 38),
        (Abi::X86_64, 427, 38),
        (Abi::I386, 426, 38),
        // stat, of x32; and what has no number at all.
        (Abi::X86_64, 0x4000_0004, 38),
        (Abi::X86_64, u32::MAX, 38),
        (Abi::Mips64el, 5425, 89),
    ];
    for (abi, number, errno) in cases {
        for filter in FILTERS {
            let data = Data::new(abi, number, &[0; 6]);
            assert_eq!(verdict(filter, abi, &data), Verdict::Errno(errno), "{abi:?} {number:#x}");
        }
    }
}

/// A programme of 32 bits under a host of 64 is looked at with its own numbers, and the other way.
#[test]
fn both_widths_have_their_own_numbers() {
    for host in [Abi::X86_64, Abi::I386] {
        // 102 is x86_64's getuid and i386's socketcall, 24 the other way sched_yield and getuid.
        let notified = |abi, number| {
            verdict(Filter::Ids, host, &Data::new(abi, number, &[0; 6])) == Verdict::Notify
        };
        assert!(notified(Abi::X86_64, 102) && !notified(Abi::I386, 102));
        assert!(notified(Abi::I386, 24) && !notified(Abi::X86_64, 24));
    }
}
