//! The tables of system calls, compared with the kernel's headers of each architecture.
//!
//! Debian's `linux-libc-dev-*-cross` have them; `tests/run` installs them.

#[allow(dead_code)] // What emulation alone uses.
#[path = "../../src/sandbox/emulate"]
mod emulate {
    pub(crate) mod layout;
    pub(crate) mod tables;
}
mod headers;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write as _;

// As the tables name it.
use bryo::sys;

use emulate::layout::{Field, statx};
use emulate::tables::{self, Abi, Trapped};
use headers::{HOMES, Headers, Home};

/// What the headers number although the kernel has only `ENOSYS` behind it.
const ENOSYS: [(Abi, &str); 4] = [
    (Abi::Ppc64le, "getrlimit"),
    (Abi::Ppc64le, "oldfstat"),
    (Abi::Ppc64le, "oldlstat"),
    (Abi::Ppc64le, "oldstat"),
];

#[test]
fn numbers_are_the_kernels() {
    let asked: Vec<_> = all_names().into_iter().map(|name| format!("__NR_{name}")).collect();
    let mut newer = BTreeMap::<&str, Vec<Abi>>::new();
    for (home, headers) in installed(&asked) {
        let (abi, theirs, ours) = (home.abi, headers.values(), numbers(home.abi));
        for name in all_names() {
            let found = theirs.get(format!("__NR_{name}").as_str()).copied();
            match (ours.get(name).copied(), found) {
                (Some(number), None) if counted(abi, number) > headers.newest() => {
                    newer.entry(name).or_default().push(abi);
                }
                (None, Some(_)) if ENOSYS.contains(&(abi, name)) => {}
                (number, found) => assert_eq!(number.map(u64::from), found, "{abi:?} {name}"),
            }
        }
    }
    for (name, abis) in newer {
        let mut stdout = std::io::stdout();
        writeln!(stdout, "{name} is newer than the headers of {abis:?}").expect("stdout");
    }
}

/// So what is newer than the headers of all of them can be wrong only everywhere.
#[test]
fn new_numbers_are_the_same_everywhere() {
    let mut new = BTreeMap::<u32, BTreeSet<&str>>::new();
    for abi in Abi::ALL {
        for (name, number) in numbers(abi) {
            if counted(abi, number) >= 424 {
                new.entry(counted(abi, number)).or_default().insert(name);
            }
        }
    }
    assert!(new.len() > 7, "{new:?}");
    for (number, names) in new {
        assert_eq!(names.len(), 1, "{number}: {names:?}");
        let name = names.first().expect("one");
        for abi in Abi::ALL {
            let ours = numbers(abi).get(name).copied();
            assert_eq!(ours.map(|ours| counted(abi, ours)), Some(number), "{abi:?} {name}");
        }
    }
}

/// `chown32` beside `chown`, `fchmodat2` beside `fchmodat`: a program can choose any of them.
#[test]
fn no_form_of_a_call_is_forgotten() {
    let known: BTreeSet<_> = all_names().into_iter().map(stem).collect();
    for (home, headers) in installed(&[]) {
        let ours = numbers(home.abi);
        for name in headers.calls() {
            let fine = ours.contains_key(name)
                || !known.contains(stem(name))
                || ENOSYS.contains(&(home.abi, name));
            assert!(fine, "{:?} has {name}", home.abi);
        }
    }
}

#[test]
fn constants_are_the_kernels() {
    let machine = |abi| match abi {
        Abi::Mips64el => "AUDIT_ARCH_MIPSEL64".to_owned(),
        _ => format!("AUDIT_ARCH_{abi:?}").to_uppercase(),
    };
    let same = [
        ("RLIMIT_LOCKS", tables::RLIMIT_LOCKS),
        ("CLONE_NEWNS", tables::CLONE_NEWNS),
        ("O_ACCMODE", tables::O_ACCMODE),
        ("O_TRUNC", tables::O_TRUNC),
        ("S_IFMT", tables::S_IFMT),
        ("S_IFCHR", tables::S_IFCHR),
        ("S_IFBLK", tables::S_IFBLK),
        ("PR_GET_KEEPCAPS", tables::PR_GET_KEEPCAPS),
        ("PR_SET_KEEPCAPS", tables::PR_SET_KEEPCAPS),
        ("PR_CAPBSET_READ", tables::PR_CAPBSET_READ),
        ("PR_CAPBSET_DROP", tables::PR_CAPBSET_DROP),
        ("PR_GET_SECUREBITS", tables::PR_GET_SECUREBITS),
        ("PR_SET_SECUREBITS", tables::PR_SET_SECUREBITS),
        ("PR_CAP_AMBIENT", tables::PR_CAP_AMBIENT),
    ];
    let own = |abi: Abi| {
        let of = abi.constants();
        [
            ("ENOSYS", of.enosys),
            ("O_CREAT", of.o_creat),
            ("__O_TMPFILE", of.o_tmpfile),
            ("SOL_SOCKET", of.sol_socket),
            ("SO_PASSCRED", of.so_passcred),
            ("SO_PEERCRED", of.so_peercred),
            ("SO_PEERGROUPS", of.so_peergroups),
        ]
    };
    let socketcalls =
        tables::SOCKETCALLS.map(|(code, call)| (format!("SYS_{call:?}").to_uppercase(), code));
    let asked = same.into_iter().chain(own(Abi::X86_64)).map(|(name, _)| name.to_owned());
    let asked = asked.chain(socketcalls.iter().map(|(name, _)| name.clone()));
    let asked: Vec<_> = asked.chain(Abi::ALL.map(machine)).collect();
    for (home, headers) in installed(&asked) {
        let theirs = headers.values();
        let check = |name: &str, ours: u32| {
            assert_eq!(theirs.get(name), Some(&u64::from(ours)), "{:?} {name}", home.abi);
        };
        same.iter().chain(&own(home.abi)).for_each(|(name, ours)| check(name, *ours));
        socketcalls.iter().for_each(|(name, ours)| check(name, *ours));
        check(&machine(home.abi), home.abi.audit());
    }
}

#[test]
fn structures_are_the_kernels() {
    for (home, headers) in installed(&[]) {
        for (_, call) in tables::sorted_calls(home.abi) {
            let Trapped { name, layout: Some(layout), .. } = call else { continue };
            let structure = match name {
                "oldstat" | "oldlstat" | "oldfstat" => "__old_kernel_stat",
                "stat64" | "lstat64" | "fstat64" | "fstatat64" => "stat64",
                _ => "stat",
            };
            let (mut members, size) = headers.structure(structure);
            members.retain(|name, _| !name.contains("pad") && !name.contains("unused"));
            let ours = layout
                .fields
                .iter()
                .map(|(field, offset, width)| (member(*field).to_owned(), (*offset, *width)));
            assert_eq!(ours.collect::<BTreeMap<_, _>>(), members, "{:?} {name}", home.abi);
            assert_eq!(layout.size, size, "{:?} {name}", home.abi);
        }
        let (members, size) = headers.structure("statx");
        assert_eq!(size, statx::SIZE);
        for (name, ours) in [
            ("stx_uid", (statx::UID, 4)),
            ("stx_gid", (statx::GID, 4)),
            ("stx_mode", (statx::MODE, 2)),
            ("stx_ino", (statx::INO, 8)),
            ("stx_size", (statx::LENGTH, 8)),
            ("stx_blocks", (statx::BLOCKS, 8)),
            ("stx_rdev_major", (statx::RDEV_MAJOR, 4)),
            ("stx_rdev_minor", (statx::RDEV_MINOR, 4)),
            ("stx_dev_major", (statx::DEV_MAJOR, 4)),
            ("stx_dev_minor", (statx::DEV_MINOR, 4)),
        ] {
            assert_eq!(members[name], ours, "{:?} {name}", home.abi);
        }
    }
}

fn member(field: Field) -> &'static str {
    match field {
        Field::Dev => "st_dev",
        Field::Ino => "st_ino",
        Field::BrokenIno => "__st_ino",
        Field::Mode => "st_mode",
        Field::Nlink => "st_nlink",
        Field::Uid => "st_uid",
        Field::Gid => "st_gid",
        Field::Rdev => "st_rdev",
        Field::Size => "st_size",
        Field::Blksize => "st_blksize",
        Field::Blocks => "st_blocks",
        Field::Atime => "st_atime",
        Field::AtimeNsec => "st_atime_nsec",
        Field::Mtime => "st_mtime",
        Field::MtimeNsec => "st_mtime_nsec",
        Field::Ctime => "st_ctime",
        Field::CtimeNsec => "st_ctime_nsec",
    }
}

/// All that the tables know of an ABI, trapped or refused.
fn numbers(abi: Abi) -> BTreeMap<&'static str, u32> {
    let trapped = tables::sorted_calls(abi).into_iter().map(|(number, call)| (call.name, number));
    trapped.chain(tables::refused(abi).map(|(number, name)| (name, number))).collect()
}

fn all_names() -> BTreeSet<&'static str> {
    Abi::ALL.into_iter().flat_map(|abi| numbers(abi).into_keys()).collect()
}

/// A number as all architectures would count it: mips has one range for each of its ABIs.
fn counted(abi: Abi, number: u32) -> u32 {
    if abi == Abi::Mips64el { number - 5000 } else { number }
}

/// A call's name without what makes it a newer or an older form of another.
fn stem(name: &str) -> &str {
    let name = ["old", "new", "l"].iter().find_map(|old| name.strip_prefix(old)).unwrap_or(name);
    let name = name.trim_end_matches("_time64").trim_end_matches(|c: char| c.is_ascii_digit());
    name.strip_suffix("at").filter(|stem| !stem.ends_with("st")).unwrap_or(name)
}

/// The headers that this machine has, and what they say of the names asked for.
fn installed(asked: &[String]) -> Vec<(&'static Home, Headers)> {
    let asked: Vec<_> = asked.iter().map(String::as_str).collect();
    let found = HOMES.iter().filter_map(|home| {
        let headers = Headers::of(home, &asked);
        if headers.is_none() {
            skip(&format!(
                "system calls of {:?} (sudo apt-get install {})",
                home.abi, home.package
            ));
        }
        Some((home, headers?))
    });
    found.collect()
}

/// Notes for `tests/run` what was not compared. With CI=true that fails.
fn skip(what: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "skipped in CI: {what}");
    let notes = std::env::var_os("BRYO_TEST_SKIPPED");
    if let Some(mut file) = notes.and_then(|path| OpenOptions::new().append(true).open(path).ok()) {
        writeln!(file, "{what}").expect("the notes can be written");
    }
}
