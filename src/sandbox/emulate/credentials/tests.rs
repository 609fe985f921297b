//! Replays what the kernel did with real root's credentials, call by call.
//!
//! `credentials.transcript` is the output of `tests/data/emulation/calls/credentials.c` (a comment
//! there says how it is run) for the seed 1 and 20 sequences, on Linux 6.18 by a root without
//! `CAP_SYS_RESOURCE`. The integration test `calls_answer_as_they_do_for_real_root` runs it again,
//! longer, and compares with what emulation answers.

use super::*;

const TRANSCRIPT: &str = include_str!("../../../../tests/data/emulation/credentials.transcript");

const NET_RAW: u64 = 1 << 13;
const NET_BIND_SERVICE: u64 = 1 << 10;
const SYS_TIME: u64 = 1 << 25;

/// The programs of `credentials.c`: name, owner, group, mode, permitted capabilities, whether they
/// become effective.
const PROGRAMS: [(&str, u32, u32, u32, u64, bool); 20] = [
    ("plain", 0, 0, 0o755, 0, false),
    ("setuid-root", 0, 0, 0o4755, 0, false),
    ("setuid-1000", 1000, 1000, 0o4755, 0, false),
    ("setgid-33", 0, 33, 0o2755, 0, false),
    ("setgid-unexecutable", 0, 33, 0o2745, 0, false),
    ("set-both", 1001, 33, 0o6755, 0, false),
    ("for-the-owner", 1000, 0, 0o700, 0, false),
    ("for-the-group", 0, 33, 0o750, 0, false),
    ("not-for-the-group", 0, 33, 0o705, 0, false),
    ("not-for-the-owner", 1001, 0, 0o655, 0, false),
    ("for-nobody", 0, 0, 0o644, 0, false),
    ("permitted", 0, 0, 0o755, NET_RAW, false),
    ("effective", 0, 0, 0o755, NET_RAW | Capability::Chown.bit(), true),
    ("setuid-and-effective", 0, 0, 0o4755, NET_BIND_SERVICE, true),
    ("setuid-1000-and-effective", 1000, 0, 0o4755, Capability::SetUid.bit(), true),
    ("script", 0, 0, 0o6755, 0, false),
    ("script-of-setuid", 0, 0, 0o755, 0, false),
    ("script-of-script", 0, 0, 0o755, 0, false),
    ("script-of-owner", 0, 0, 0o755, 0, false),
    ("missing-interpreter", 0, 0, 0o755, 0, false),
];

const INTERPRETERS: [(&str, &str); 4] = [
    ("script", "plain"),
    ("script-of-setuid", "set-both"),
    ("script-of-script", "script-of-setuid"),
    ("script-of-owner", "for-the-owner"),
];

#[test]
fn each_step_is_the_kernels() {
    let mut counts = [0, 0];
    let (mut first, mut last) = (String::new(), String::new());
    let mut model = Credentials::root();
    let mut lines = TRANSCRIPT.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let (what, state) = line.split_once(": ").unwrap_or((line, ""));
        let words: Vec<&str> = what.split(' ').collect();
        if words[0] == "at" {
            model.capabilities = capabilities_in(state);
            first = state.to_owned();
        } else if words[0] == "--" {
            model = Credentials { capabilities: capabilities_in(&first), ..Credentials::root() };
            last.clone_from(&first);
        } else if words[0] == "exec" {
            counts[1] += 1;
            let mut seen = last.clone();
            while let Some((number, line)) = lines.next_if(|(_, line)| line.starts_with("  ")) {
                let (what, state) = line.split_once(": ").expect("a state");
                if state != "the same" {
                    state.clone_into(&mut seen);
                }
                let expected = match what {
                    "  broken 8" | "  missing interpreter 2" | "  broken 13" => Ok(model.clone()),
                    _ => execute(&model, &words),
                };
                let failed = what.strip_prefix("  not executed ");
                assert_eq!(
                    expected.as_ref().err().map(|e| e.raw_os_error().to_string()).as_deref(),
                    failed,
                    "line {}: {line}: {model:?}",
                    number + 1
                );
                let expected = expected.unwrap_or_else(|_| model.clone());
                assert_eq!(text(&expected), seen, "line {}: {line}", number + 1);
            }
        } else if words[0] != "questions" {
            counts[0] += 1;
            let answer: i64 = words.last().expect("an answer").parse().expect("a number");
            let expected = step(&model, &words);
            if let Some(expected) = expected {
                let value = match &expected {
                    Ok((value, _)) => *value,
                    Err(e) => -i64::from(e.raw_os_error()),
                };
                assert_eq!(value, answer, "line {}: {line}: {model:?}", number + 1);
                model = expected.map_or(model, |(_, new)| new);
            }
            if state != "the same" {
                state.clone_into(&mut last);
            }
            assert_eq!(text(&model), last, "line {}: {line}", number + 1);
        }
    }
    assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
}

/// `None`: not a matter of credentials (a pointer that leads nowhere, another process).
fn step(model: &Credentials, words: &[&str]) -> Option<Result<(i64, Credentials)>> {
    let arg = |i: usize| words[i].parse::<u32>().expect("a number");
    let long = |i: usize| words[i].parse::<u64>().expect("a number");
    let hex = |i: usize| u64::from_str_radix(words[i], 16).expect("a number");
    let answer: i64 = words.last().expect("an answer").parse().expect("a number");
    let new = match words[0] {
        "setuid" => model.setuid(arg(1)),
        "setgid" => model.setgid(arg(1)),
        "setreuid" => model.setreuid(arg(1), arg(2)),
        "setregid" => model.setregid(arg(1), arg(2)),
        "setresuid" => model.setresuid(arg(1), arg(2), arg(3)),
        "setresgid" => model.setresgid(arg(1), arg(2), arg(3)),
        "setfsuid" => return Some(Ok((model.uid.fs.into(), model.setfsuid(arg(1))))),
        "setfsgid" => return Some(Ok((model.gid.fs.into(), model.setfsgid(arg(1))))),
        "setgroups" if answer == -14 => return None,
        "setgroups" if long(1) > 4 => model.setgroups(vec![0; 65_537]),
        "setgroups" => model.setgroups((2..words.len() - 2).map(arg).collect()),
        "capset" if [-14, -22].contains(&answer) || !words[2].starts_with("m") => {
            return None;
        }
        "capset" => {
            let mask = if words[1] == "19980330" { u64::from(u32::MAX) } else { u64::MAX };
            model.capset(hex(3) & mask, hex(4) & mask, hex(5) & mask)
        }
        "keepcaps" => model.set_keep_caps(long(1)),
        "securebits" => model.set_securebits(hex(1)),
        "drop-bounding" => model.drop_bounding(long(1)),
        "ambient" if words[3] == "1" => Err(Errno::INVAL),
        "ambient" => match (long(1), long(2)) {
            (4, 0) => Ok(model.clear_ambient()),
            (2, number) => model.set_ambient(Ambient::Raise, number),
            (3, number) => model.set_ambient(Ambient::Lower, number),
            (1, number) => {
                return Some(model.ambient_has(number).map(|is| (is.into(), model.clone())));
            }
            _ => Err(Errno::INVAL),
        },
        word => panic!("unknown call {word}"),
    };
    Some(new.map(|new| (0, new)))
}

fn execute(model: &Credentials, words: &[&str]) -> Result<Credentials> {
    let mut name = words[1];
    loop {
        let (_, uid, gid, mode, permitted, effective) =
            *PROGRAMS.iter().find(|(program, ..)| *program == name).expect("a program");
        let attached = FileCapabilities { permitted, inheritable: SYS_TIME, effective };
        let capabilities = (permitted != 0).then_some(attached);
        let file = Executable { mode, uid, gid, capabilities, no_suid: false };
        if !model.may_execute(&file) {
            return Err(Errno::ACCESS);
        }
        match INTERPRETERS.iter().find(|(script, _)| *script == name) {
            Some((_, interpreter)) => name = interpreter,
            None => {
                let no_new_privs = words.contains(&"no_new_privs");
                return model.execute(&file, Unsafe { no_new_privs, traced: false });
            }
        }
    }
}

fn capabilities_in(state: &str) -> Capabilities {
    let words: Vec<&str> = state.split(' ').collect();
    let sets = words.iter().position(|word| *word == "caps").expect("capabilities") + 1;
    let set = |i: usize| u64::from_str_radix(words[sets + i], 16).expect("a set");
    Capabilities {
        effective: set(0),
        permitted: set(1),
        inheritable: set(2),
        bounding: set(3),
        ambient: set(4),
    }
}

/// As `credentials.c` prints it.
fn text(who: &Credentials) -> String {
    let ids = |ids: Ids| {
        let Ids { real, effective, saved, fs } = ids;
        format!("{real} {effective} {saved} {fs} ({real} {effective})")
    };
    let groups: Vec<String> = who.groups.iter().map(|group| format!(" {group}")).collect();
    let Capabilities { effective, permitted, inheritable, bounding, ambient } = who.capabilities;
    format!(
        "uid {} gid {} groups {}{} caps {effective:09x} {permitted:09x} {inheritable:09x} \
         {bounding:x} {ambient:x} bits {:x} {}",
        ids(who.uid),
        ids(who.gid),
        groups.len(),
        groups.concat(),
        who.securebits,
        i32::from(who.keeps_caps()),
    )
}

#[test]
fn attached_capabilities_are_read_in_each_revision() {
    let attached = |permitted, inheritable, effective| {
        Some(FileCapabilities { permitted, inheritable, effective })
    };
    let rows: [(&[u8], Option<FileCapabilities>); 6] = [
        (
            &[1, 0, 0, 2, 0, 0x20, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0],
            attached(0x2_0000_2000, 0x4_0000_0001, true),
        ),
        (
            &[0, 0, 0, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 9, 0, 0],
            attached(1, 0, false),
        ),
        (&[0, 0, 0, 1, 1, 0, 0, 0, 2, 0, 0, 0], attached(1, 2, false)),
        (&[0, 0, 0, 2, 1, 0, 0, 0, 2, 0, 0, 0], None),
        (&[0, 0, 0, 4], None),
        (&[], None),
    ];
    for (value, expected) in rows {
        assert_eq!(FileCapabilities::decode(value), expected, "{value:x?}");
    }
}
