//! What emulation asks the tables.

use super::*;

#[test]
fn look_up_tells_widths_and_structures() {
    let cases = [
        (Abi::X86_64, 92, Some((Call::Chown, "chown", false, false))),
        (Abi::I386, 182, Some((Call::Chown, "chown", true, false))),
        (Abi::I386, 212, Some((Call::Chown, "chown32", false, false))),
        (Abi::I386, 298, Some((Call::Fchownat, "fchownat", false, false))),
        (Abi::Arm, 24, Some((Call::Getuid, "getuid", true, false))),
        (Abi::S390x, 212, Some((Call::Chown, "chown", false, false))),
        (Abi::I386, 28, Some((Call::Fstat, "oldfstat", false, true))),
        (Abi::I386, 76, Some((Call::OldGetrlimit, "getrlimit", false, false))),
        (Abi::Mips64el, 5252, Some((Call::Newfstatat, "newfstatat", false, true))),
        (Abi::X86_64, 332, Some((Call::Statx, "statx", false, false))),
        (Abi::X86_64, 425, None),
        (Abi::X86_64, 0, None),
        (Abi::Mips64el, 4, None),
    ];
    for (abi, number, right) in cases {
        let found = look_up(abi, number)
            .map(|found| (found.call, found.name, found.short_ids, found.layout.is_some()));
        assert_eq!(found, right, "{abi:?} {number}");
    }
}

#[test]
fn a_number_has_one_meaning() {
    for abi in Abi::ALL {
        let calls = sorted_calls(abi);
        assert!(calls.len() >= 60, "{abi:?}: {}", calls.len());
        assert!(calls.windows(2).all(|pair| pair[0].0 < pair[1].0), "{abi:?}");
        for (number, call) in calls {
            assert_eq!(look_up(abi, number), Some(call), "{abi:?} {number}");
        }
    }
}

#[test]
fn every_stat_but_statx_has_a_structure() {
    for abi in Abi::ALL {
        for (_, call) in sorted_calls(abi) {
            let fills =
                matches!(call.call, Call::Stat | Call::Lstat | Call::Fstat | Call::Newfstatat);
            assert_eq!(call.layout.is_some(), fills, "{abi:?} {}", call.name);
        }
    }
}

#[test]
fn only_what_has_a_wider_form_has_short_ids() {
    let short = |abi| sorted_calls(abi).into_iter().filter(|(_, call)| call.short_ids).count();
    // As many as there are names that end in 32.
    let wide = sorted_calls(Abi::Arm).into_iter().filter(|(_, call)| call.name.ends_with("32"));
    assert_eq!((short(Abi::I386), short(Abi::Arm), wide.count()), (19, 19, 19));
    let others = Abi::ALL.into_iter().filter(|abi| !matches!(abi, Abi::I386 | Abi::Arm));
    assert_eq!(others.map(short).sum::<usize>(), 0);
}
