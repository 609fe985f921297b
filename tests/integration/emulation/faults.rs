//! What goes wrong: kernels that lack parts, a supervisor that is killed, calls that are refused.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::data;
use super::side_by_side::{Case, by_bryo, share};
use crate::support::{Place, Run, Said, User, debian, has};

/// bryo on a kernel that lacks something.
struct Lacking<'a> {
    place: &'a Place,
    program: PathBuf,
}

impl<'a> Lacking<'a> {
    /// None where there is no C compiler.
    fn new(place: &'a Place) -> Option<Self> {
        if !has("gcc", "gcc") {
            return None;
        }
        let program = place.path("work/deny");
        let compile = place.run("gcc").arg("-o").arg(&program).arg(data().join("deny.c"));
        compile.succeeds();
        Some(Self { place, program })
    }

    fn bryo(&self, lacks: &[&str], line: &str) -> Run {
        let user = User::of_bryo().unwrap_or(User { uid: 0, gid: 0 });
        self.place
            .run_as(None, &self.program)
            .args([user.uid.to_string(), user.gid.to_string()])
            .args(lacks)
            .args(["--", env!("CARGO_BIN_EXE_bryo")])
            .args(line.split_whitespace())
    }
}

/// Owners by root, by another user and across his change, and who is at the other end of a socket.
const OWNERS: &str = "umask 022; touch /a; chown 33:44 /a; ln -s a /l; chown -h 55:66 /l; mkfifo /p; chown 7 /p
    install -d -o daemon -g staff -m 2777 /d
    setpriv --reuid=1 --regid=1 --clear-groups sh -c 'touch /d/f; mkdir /d/d; ln -s x /d/l; mkfifo /d/p; id -u'
    perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0); $) = $> = 1; bind(S, pack_sockaddr_un(\"/d/s\")) or die $!;
        socketpair(A, B, AF_UNIX, SOCK_STREAM, 0); (undef, $u) = unpack \"iii\", getsockopt(A, SOL_SOCKET, SO_PEERCRED); print \"$u\\n\"'
    stat -c '%u:%g %a %n' /a /l /p /d/*";

const OWNED: &str = "1\n1\n33:44 644 /a\n55:66 777 /l\n7:0 644 /p\n1:50 2755 /d/d\n1:50 644 /d/f\n\
                     1:50 777 /d/l\n1:50 644 /d/p\n1:50 755 /d/s";

#[test]
fn kernels_that_lack_parts_get_what_they_can() {
    let place = Place::new();
    let (Some(base), Some(lacking)) = (debian(), Lacking::new(&place)) else { return };
    place.bryo("import -q").arg(base).arg("base").succeeds();
    let run = |lacks: &[&str], options: &str, script: &str| {
        lacking.bryo(lacks, &format!("run {options} base sh -euc")).arg(script)
    };
    // Everything, and not a word.
    for lacks in
        [&[][..], &["killable"], &["memory"], &["wake-up"], &["addfd"], &["addfd", "killable"]]
    {
        let said = run(lacks, "", OWNERS).succeeds();
        assert_eq!((said.text().as_str(), said.errors()), (OWNED, ""), "without {lacks:?}");
    }
    // All but the sockets' peers, which nobody can look at.
    let said = run(&["getfd"], "", OWNERS).output();
    assert_eq!(said.code(), 0, "without getfd: {said}");
    assert!(said.text().contains("33:44 644 /a\n55:66 777 /l"), "{said}");

    // Success is faked, and one line says why.
    let faked = "touch /a; chown 33:44 /a; stat -c %u:%g /a";
    let said = run(&["listener"], "", faked).succeeds();
    assert_eq!(said.text(), "0:0");
    assert_eq!(one_line(&said, "notification"), 1, "{said}");
    // Who insists is told that it cannot be.
    for mode in ["full", "ids"] {
        let said = run(&["listener"], &format!("--root-emulation {mode}"), faked).exits(125);
        said.mentions("error: ").mentions("notification");
    }
    // Nothing works at all: commands run, and their own errors are seen.
    let said = run(&["seccomp"], "", "chown 33:44 /etc/passwd").exits(1);
    assert!(said.errors().contains("Invalid argument"), "{said}");
    assert!(said.errors().lines().count() >= 2, "no word of why: {said}");
}

fn one_line(said: &Said, word: &str) -> usize {
    said.errors().lines().filter(|line| line.contains(word)).count()
}

/// Kernels before 5.19 take a call back when a signal comes, though it was done already.
#[test]
fn no_result_is_lost_to_signals_on_older_kernels() {
    let place = Place::new();
    let (Some(base), Some(lacking)) = (debian(), Lacking::new(&place)) else { return };
    share(&place);
    place
        .run_as(None, "gcc")
        .args(["-w", "-O1", "-static", "-o"])
        .arg(place.path("shared/signals"))
        .arg(data().join("calls/signals.c"))
        .succeeds();
    place.bryo("import -q").arg(base).arg("base").succeeds();
    let shared = format!("{}:/shared:ro", place.path("shared").display());
    let said = lacking
        .bryo(&["killable"], "run -v")
        .args([&shared, "base", "sh", "-c", "mkdir /work; cd /work; exec /shared/signals 2>&1"])
        .succeeds();
    let expected = "root: 0 wrong\nticks: many\nuser: 0 wrong\nticks: many\n".repeat(2);
    assert_eq!(said.text(), expected.trim_end(), "{said}");
}

#[test]
fn all_processes_end_with_the_supervisor() {
    let place = Place::new();
    let Some(base) = debian() else { return };
    place.bryo("import -q").arg(base).arg("base").succeeds();
    // Processes that sleep, that work, that wait for an answer, that left their session.
    let mark = format!("mark-{}", std::process::id());
    let script = format!(
        "exec 2>&1; sleep 1000 {mark} & setsid sh -c 'while :; do stat /etc/passwd >/dev/null; done; : {mark}' &
         su nobody -s /bin/sh -c 'while :; do : >/tmp/x; done; : {mark}' &
         perl -e 'while (1) {{ chown 1, 2, \"/etc/motd\" }} # {mark}' &
         sh -c 'sleep 0.5; echo ready; : {mark}'; wait"
    );
    let script = script.replace("sleep 1000", "perl -e 'sleep 1000'");
    for signal in ["KILL", "TERM"] {
        let mut child = place.bryo("run base sh -c").arg(&script).spawn();
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        assert!(lines.any(|line| line.expect("text") == "ready"), "it begins");
        let marked = processes(&mark);
        assert!(marked.len() >= 5, "bryo and the processes: {marked:?}");
        place.run_as(None, "kill").args(["-s", signal, &child.id().to_string()]).succeeds();
        child.wait().expect("it ends");
        // At once: a kill is delivered before the parent is told, and takes a moment to be obeyed.
        let deadline = Instant::now() + Duration::from_secs(5);
        while !processes(&mark).is_empty() {
            assert!(Instant::now() < deadline, "left by SIG{signal}: {:?}", processes(&mark));
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Processes, but those that have ended and wait for their parent, with a word in their commands.
fn processes(word: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("procfs").flatten();
    entries
        .filter_map(|entry| {
            let command = fs::read(entry.path().join("cmdline")).ok()?;
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            let pid = entry.file_name().to_string_lossy().into_owned();
            command.contains(word).then(|| format!("{pid}: {command}"))
        })
        .collect()
}

/// A step that fails names what emulation refused to it: the call, its path, and the errno.
#[test]
fn refused_calls_are_named_when_the_step_fails() {
    let place = Place::new();
    let Some(base) = debian() else { return };
    place.bryo("import -q").arg(base).arg("base").succeeds();
    let number = match std::env::consts::ARCH {
        "x86_64" => 189,
        "aarch64" | "riscv64" => 6,
        arch => panic!("what is lsetxattr on {arch}?"),
    };
    // A link has no place for capabilities: it keeps its owner there.
    let call = format!(
        "ln -s x /link; perl -e 'my ($file, $name) = (\"/link\", \"security.capability\"); \
         my $value = pack \"V5\", 0x2000001, 0x2000, 0, 0, 0; \
         syscall({number}, $file, $name, $value, 20, 0)'"
    );
    let build = |end: &str| {
        let dockerfile = format!("FROM base\nRUN {call}; {end}\n");
        place.bryo("build --progress plain").arg(place.context("c", &dockerfile, &[]))
    };
    let said = build("exit 3").fails(1).mentions("Dockerfile:2");
    let line = said.errors().lines().find(|line| line.contains("refused")).unwrap_or_default();
    for part in ["lsetxattr", "/link", "Operation not supported"] {
        assert!(line.contains(part), "{part} is not named in {line:?} of {said}");
    }
    // One that succeeds did not need it.
    let said = build("true").succeeds();
    assert!(!said.errors().contains("refused"), "{said}");
}

#[test]
fn a_mode_that_is_asked_for_is_taken() {
    let place = Place::new();
    let Some(base) = debian() else { return };
    share(&place);
    place.bryo("import -q").arg(base).arg("image").succeeds();
    let script = "touch /a; chown 33:44 /a && echo done; stat -c %u:%g /a; id -u";
    for (mode, expected) in [
        ("auto", "exit 0\ndone\n33:44\n0\n"),
        ("full", "exit 0\ndone\n33:44\n0\n"),
        ("ids", "exit 0\ndone\n0:0\n0\n"),
        ("fake", "exit 0\ndone\n0:0\n0\n"),
        ("none", "exit 0\n0:0\n0\nchown: changing ownership of '/a': Invalid argument\n"),
    ] {
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        let case = Case { name: mode.to_owned(), user: String::new(), command };
        assert_eq!(by_bryo(&place, &["--root-emulation", mode], &case), expected, "{mode}");
    }
}
