//! Sandboxes for real: this program enters a namespace as bryo does, and is its own second stage.
//!
//! Started by root it becomes an ordinary user first (the way `sudo bryo` does). The roots are made
//! of Debian's `busybox-static`.

use std::error::Error as _;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;
use std::{env, fs, io, panic, thread};

use bryo::concurrency::Cancel;
use bryo::report::{Activity, Event, Recorder, Silent};
use bryo::rootfs::{Root, SideTable, Walk, remove_tree};
use bryo::sandbox::{self, Caller, Error, Exit, Mount, Network, Output, Points, Sandbox, What};
use tempfile::TempDir;

/// What root becomes: anybody without privilege.
const NOBODY_SPECIAL: (u32, u32) = (2001, 2001);

const TESTS: &[(&str, fn())] = &[
    ("the_process_is_alone_and_root", the_process_is_alone_and_root),
    ("the_world_is_complete", the_world_is_complete),
    ("exits_are_passed_on", exits_are_passed_on),
    ("a_program_that_does_not_run_says_why", a_program_that_does_not_run_says_why),
    ("nothing_outlives_the_process", nothing_outlives_the_process),
    ("both_streams_keep_their_order", both_streams_keep_their_order),
    ("a_process_ends_at_its_limit", a_process_ends_at_its_limit),
    ("processes_are_cancelled_together", processes_are_cancelled_together),
    (
        "without_a_network_there_is_the_loopback_device",
        without_a_network_there_is_the_loopback_device,
    ),
    ("volumes_show_what_they_should", volumes_show_what_they_should),
    ("the_image_cannot_lead_a_mount_outside", the_image_cannot_lead_a_mount_outside),
    ("long_output_arrives_whole", long_output_arrives_whole),
    ("mount_points_leave_no_trace", mount_points_leave_no_trace),
    ("refusals_are_explained", refusals_are_explained),
    ("a_masked_proc_is_shared", a_masked_proc_is_shared),
    ("what_bryo_gets_the_process_gets", what_bryo_gets_the_process_gets),
    ("the_process_dies_with_bryo", the_process_dies_with_bryo),
];

type Task = (&'static str, fn() -> ExitCode);

/// What this program does instead when a test starts it again.
const TASKS: &[Task] = &[
    ("--nothing", || ExitCode::SUCCESS),
    ("--proc", || {
        let (image, recorder) = (image(), Recorder::default());
        let script = sandbox(image.path(), &["sh", "-c", "exec test -e /proc/self/status"]);
        let exit =
            script.spawn(Output::Report(Activity::new()), &recorder).expect("a sandbox").exit;
        let warned = |event: &Event| matches!(event, Event::Warning { .. });
        writeln!(io::stdout(), "{exit:?} {}", recorder.events().iter().any(warned))
            .expect("stdout");
        ExitCode::SUCCESS
    }),
    ("--inherit", || {
        let image = image();
        let script = env::var("SCRIPT").expect("a script");
        let exit = sandbox(image.path(), &["sh", "-c", &script]).spawn(Output::Inherit, &Silent);
        ExitCode::from(exit.expect("a sandbox").exit.code())
    }),
];

fn main() -> ExitCode {
    let args: Vec<OsString> = env::args_os().collect();
    if let Some(code) = sandbox::second_stage(&args) {
        return code;
    }
    let words: Vec<_> =
        args.iter().skip(1).filter_map(|word| word.clone().into_string().ok()).collect();
    let marker = env::var_os(sandbox::MARKER);
    let mut out = io::stdout();
    // Root of a user namespace may have nobody else to become.
    let map = fs::read_to_string("/proc/self/uid_map").expect("procfs");
    let sudo = map.contains("4294967295").then_some(NOBODY_SPECIAL);
    if let Err(error) = sandbox::enter(&Caller { args, marker, sudo }) {
        let cause = error.source().map(ToString::to_string);
        let hint = error.hint().unwrap_or_default();
        writeln!(out, "{error}: {}\n{hint}", cause.unwrap_or_default()).expect("stdout");
        return ExitCode::from(8);
    }

    if let Some(task) = TASKS.iter().find(|(name, _)| words.iter().any(|word| word == name)) {
        return task.1();
    }
    let mut failed = 0;
    // Options are meant for the usual harness.
    let filters: Vec<_> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|word| name.contains(*word));
    for (name, test) in TESTS.iter().filter(|(name, _)| wanted(name)) {
        let result = panic::catch_unwind(test);
        failed += usize::from(result.is_err());
        let word = if result.is_ok() { "ok" } else { "FAILED" };
        writeln!(out, "test {name} ... {word}").expect("stdout");
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A root with busybox's programs in `/bin`.
fn image() -> TempDir {
    let image = tempfile::tempdir().expect("a directory");
    let bin = image.path().join("bin");
    fs::create_dir(&bin).expect("bin");
    fs::copy("/bin/busybox", bin.join("busybox")).expect("busybox-static is installed");
    for name in [
        "sh", "cat", "ls", "id", "sleep", "hostname", "stat", "true", "head", "touch", "rm",
        "chmod",
    ] {
        symlink("busybox", bin.join(name)).expect("a link");
    }
    image
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

fn sandbox(image: &Path, argv: &[&str]) -> Sandbox {
    let mut sandbox = Sandbox::new(image, words(argv));
    sandbox.env = words(&["PATH=/bin", "GREETING=hello"]);
    sandbox
}

/// Runs to the end; gives what was written, to stdout and to stderr.
fn run(sandbox: &Sandbox) -> (Result<Exit, Error>, String) {
    let recorder = Recorder::default();
    let exit = sandbox.spawn(Output::Report(Activity::new()), &recorder).map(|ended| ended.exit);
    let mut written = Vec::new();
    for event in recorder.events() {
        match event {
            Event::Output { bytes, .. } => written.extend(bytes),
            other => panic!("{other:?}"),
        }
    }
    (exit, String::from_utf8(written).expect("text"))
}

/// What a shell script writes that succeeds.
#[track_caller]
fn shell(image: &Path, script: &str) -> String {
    succeed(&sandbox(image, &["sh", "-c", script]))
}

#[track_caller]
fn succeed(sandbox: &Sandbox) -> String {
    let (exit, written) = run(sandbox);
    assert_eq!(exit.expect("a sandbox"), Exit::Code(0), "{written}");
    written
}

fn the_process_is_alone_and_root() {
    let image = image();
    let script = "echo $$; id -u; id -g; hostname; umask; echo $GREETING; pwd; cat | head -c1; \
                  ls -d /proc/[0-9]* | cat";
    assert_eq!(
        shell(image.path(), script).lines().take(8).collect::<Vec<_>>(),
        ["1", "0", "0", "bryo", "0022", "hello", "/", "/proc/1"]
    );
    // All of them, in spite of the lost ones outside.
    let status = succeed(&sandbox(image.path(), &["cat", "/proc/self/status"]));
    let field = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
    let own = fs::read_to_string("/proc/self/status").expect("procfs");
    let own = own.lines().find_map(|line| line.strip_prefix("NoNewPrivs:")).map(str::trim);
    assert_eq!(field("NoNewPrivs:"), own);
    assert_eq!(field("CapEff:"), field("CapBnd:"));
    assert_eq!(field("SigIgn:"), Some("0000000000000000"));
    assert_eq!(field("SigBlk:"), Some("0000000000000000"));
    // As outside, it may make namespaces of its own.
    shell(image.path(), "busybox unshare -Urm true");
    // No descriptor but the three, and that of the listing itself.
    assert_eq!(shell(image.path(), "ls /proc/self/fd | cat").lines().count(), 4);
}

fn the_world_is_complete() {
    let image = image();
    let script = "(: <>/dev/ptmx) && echo terminals && echo x >/dev/null && head -c4 /dev/zero >/dev/shm/z && cat /etc/hosts && \
                  stat -c %F /dev/full /dev/pts/ptmx /dev/ptmx /dev/fd /sys/kernel && \
                  touch /sys/x 2>/dev/null || echo read-only; (cat </dev/tty) 2>/dev/null || echo no tty";
    assert_eq!(
        shell(image.path(), script),
        "terminals\n\
         127.0.0.1\tlocalhost bryo\n::1\tlocalhost ip6-localhost ip6-loopback\n\
         character special file\ncharacter special file\nsymbolic link\nsymbolic link\n\
         directory\nread-only\nno tty\n"
    );
    assert_eq!(
        shell(image.path(), "cat /etc/resolv.conf"),
        fs::read_to_string("/etc/resolv.conf").unwrap_or_default()
    );
    // Nothing of the host is mounted, but what was asked for.
    let mounted = shell(image.path(), "cat /proc/self/mountinfo");
    for line in mounted.lines() {
        let point = line.split(' ').nth(4).unwrap_or_default();
        let known = ["/proc", "/sys", "/dev", "/etc/resolv.conf", "/etc/hosts"];
        assert!(point == "/" || known.iter().any(|k| point.starts_with(k)), "{line}");
    }
}

fn exits_are_passed_on() {
    let image = image();
    let exit = |script| run(&sandbox(image.path(), &["sh", "-c", script])).0.expect("a sandbox");
    assert_eq!(exit("exit 0"), Exit::Code(0));
    assert_eq!(exit("exit 77"), Exit::Code(77));
    assert_eq!(exit("sh -c 'kill -TERM $$'; exit $?"), Exit::Code(143));
    assert_eq!(Exit::Signal(9).code(), 137);
}

fn a_program_that_does_not_run_says_why() {
    let image = image();
    let write = |name: &str, text: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt as _;
        let path = image.path().join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode");
    };
    write("script", "#!/no/such/interpreter\n", 0o755);
    write("data", "x", 0o644);
    for (program, code, text) in [
        ("nothing", 127, "nothing: no such program in the image"),
        ("/bin/nothing", 127, "/bin/nothing: no such program in the image"),
        ("", 127, ": no such program in the image"),
        ("/script", 126, "/script cannot be executed"),
        ("/data", 126, "/data cannot be executed"),
        ("/bin", 126, "/bin cannot be executed"),
    ] {
        let error = run(&sandbox(image.path(), &[program])).0.expect_err(program);
        assert_eq!((error.exit_code(), error.to_string()), (Some(code), text.to_owned()));
        assert_eq!(error.hint().is_some(), program == "/script", "{program}");
        assert!(!error.is_unsupported());
    }
    let mut lost = sandbox(image.path(), &["true"]);
    lost.directory = "/data/x".into();
    assert_eq!(run(&lost).0.expect_err("no directory").to_string(), "working directory /data/x");
    lost.directory = "/new/directory".into();
    assert_eq!(run(&lost).0.expect("made"), Exit::Code(0));
    let mut no_root = sandbox(image.path(), &["true"]);
    no_root.root = "/no/where".into();
    assert!(run(&no_root).0.expect_err("no root").is_unsupported());
}

fn nothing_outlives_the_process() {
    let image = image();
    // A daemon that holds stdout: `spawn` returns all the same, because it is killed.
    assert_eq!(shell(image.path(), "(sleep 1000 &) ; echo done"), "done\n");
}

fn both_streams_keep_their_order() {
    let image = image();
    let script = "for i in 1 2 3 4 5 6 7 8; do echo $i; echo $i >&2; done; echo x > /dev/stderr";
    let expected: String = (1..=8).map(|i| format!("{i}\n{i}\n")).collect();
    assert_eq!(shell(image.path(), script), expected + "x\n");
}

fn a_process_ends_at_its_limit() {
    let image = image();
    // Whether the limit comes before the process begins, or after.
    for (limit, command, is_late) in [
        (1, "sleep 1000", true),
        (500_000, "sleep 1000 & sleep 1000", true),
        (60_000_000, "exit 3", false),
    ] {
        let mut sandbox = sandbox(image.path(), &["sh", "-c", command]);
        sandbox.limit = Some(Duration::from_micros(limit));
        let output = Output::Report(Activity::new());
        let ended = sandbox.spawn(output, &Silent).expect("a sandbox");
        assert_eq!(ended.is_late, is_late, "{limit}");
        assert_eq!(ended.exit, if is_late { Exit::Signal(9) } else { Exit::Code(3) }, "{limit}");
    }
}

fn processes_are_cancelled_together() {
    let (image, shown) = (image(), tempfile::tempdir().expect("a directory"));
    let cancel = Cancel::default();
    let start = |name: &'static str| {
        let script = format!("touch /shown/{name}; sleep 1000 & sleep 1000");
        let mut sandbox = sandbox(image.path(), &["sh", "-c", &script]);
        let what = What::Bind { source: shown.path().to_owned(), read_only: false };
        sandbox.mounts.push(Mount::new("/shown", what));
        sandbox.cancel = cancel.child();
        sandbox.spawn(Output::Report(Activity::new()), &Silent).expect("a sandbox").exit
    };
    thread::scope(|scope| {
        let both = ["a", "b"].map(|name| {
            let start = &start;
            scope.spawn(move || start(name))
        });
        while !["a", "b"].iter().all(|name| shown.path().join(name).exists()) {
            thread::yield_now();
        }
        cancel.set();
        for one in both {
            assert_eq!(one.join().expect("no panic"), Exit::Signal(9));
        }
    });
    // Who comes too late does not even begin.
    assert_eq!(start("c"), Exit::Signal(9));
    assert!(!shown.path().join("c").exists());
}

fn without_a_network_there_is_the_loopback_device() {
    let image = image();
    let script = "busybox ip -o link | busybox cut -d: -f2,3";
    let mut sandbox = sandbox(image.path(), &["sh", "-c", script]);
    sandbox.network = Network::None;
    let said = succeed(&sandbox);
    assert!(said.starts_with(" lo: <LOOPBACK,UP") && said.lines().count() == 1, "{said}");
}

fn volumes_show_what_they_should() {
    let (image, given) = (image(), tempfile::tempdir().expect("a directory"));
    fs::write(given.path().join("file"), "from the host\n").expect("written");
    let bind = |target: &str, source: &Path, read_only| {
        Mount::new(target, What::Bind { source: source.to_owned(), read_only })
    };
    let script = "cat /a/file /b; touch /a/new; touch /ro/new 2>&1; (echo y >/b) 2>/dev/null || echo no; stat -c %a /t";
    let mut sandbox = sandbox(image.path(), &["sh", "-c", script]);
    sandbox.mounts.extend([
        bind("/a", given.path(), false),
        bind("/b", &given.path().join("file"), true),
        bind("/ro", given.path(), true),
        Mount::new("/t", What::Tmpfs { mode: 0o1777, size: Some(1 << 20) }),
    ]);
    assert_eq!(
        succeed(&sandbox),
        "from the host\nfrom the host\ntouch: /ro/new: Read-only file system\nno\n1777\n"
    );
    assert!(given.path().join("new").exists());
    sandbox.mounts = vec![bind("/a", Path::new("/no/such/thing"), false)];
    let error = run(&sandbox).0.expect_err("no source");
    assert_eq!(error.to_string(), "/no/such/thing, which is to be mounted");
}

fn the_image_cannot_lead_a_mount_outside() {
    let (image, outside) = (image(), tempfile::tempdir().expect("a directory"));
    let name = outside.path().file_name().expect("a name");
    symlink(outside.path(), image.path().join("absolute")).expect("a link");
    symlink(Path::new("../../../../../tmp").join(name), image.path().join("relative"))
        .expect("a link");
    for target in ["/absolute/made", "/relative/made", "/../../../../made"] {
        let mut sandbox = sandbox(image.path(), &["true"]);
        sandbox.mounts.push(Mount::new(target, What::Tmpfs { mode: 0o755, size: None }));
        // A link that leads nowhere inside the image is an error; leading outside would be none.
        assert_eq!(run(&sandbox).0.is_ok(), target.contains(".."), "{target}");
        assert_eq!(fs::read_dir(outside.path()).expect("a directory").count(), 0, "{target}");
    }
    assert!(image.path().join("made").is_dir() && !Path::new("/made").exists());
}

fn long_output_arrives_whole() {
    let image = image();
    let text = shell(image.path(), "head -c 3000000 /dev/zero");
    assert_eq!(text.len(), 3_000_000);
    assert!(text.bytes().all(|byte| byte == 0));
}

/// An overlay of `lower` and an empty upper directory, mounted.
struct Overlay {
    directory: TempDir,
}

impl Overlay {
    fn new(lower: &Path) -> Self {
        let directory = tempfile::tempdir_in("/var/tmp").expect("a directory");
        for name in ["upper", "work", "merged"] {
            fs::create_dir(directory.path().join(name)).expect("a directory");
        }
        let options = format!(
            "lowerdir={},upperdir={d}/upper,workdir={d}/work,userxattr",
            lower.display(),
            d = directory.path().display()
        );
        let mount = Command::new("mount")
            .args(["-t", "overlay", "overlay", "-o", &options])
            .arg(directory.path().join("merged"))
            .status();
        assert!(mount.expect("mount").success());
        Self { directory }
    }

    fn root(&self, name: &str) -> Root {
        Root::open(&self.directory.path().join(name)).expect("a root")
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        let merged = self.directory.path().join("merged");
        drop(Command::new("umount").arg(merged).status());
        drop(remove_tree(&self.directory.path().join("work")));
    }
}

fn mount_points_leave_no_trace() {
    let image = image();
    fs::create_dir_all(image.path().join("etc/deep")).expect("etc");
    symlink("../run/here/stub.conf", image.path().join("etc/resolv.conf")).expect("a link");
    for (script, trace) in [
        ("true", ""),
        ("cat /etc/hosts", ""),
        ("touch /etc/new", "etc etc/new"),
        ("touch /run/here/new", "run run/here run/here/new"),
        ("rm -r /etc/deep", "etc etc/deep"),
        ("touch /etc/new; rm /etc/new", "etc"),
        ("chmod 700 /run/here", "run run/here"),
    ] {
        let overlay = Overlay::new(image.path());
        let (merged, upper) = (overlay.root("merged"), overlay.root("upper"));
        let mut sandbox = sandbox(merged.path(), &["sh", "-c", script]);
        sandbox.mounts.push(Mount::new("/etc/x/y", What::Tmpfs { mode: 0o755, size: None }));
        let points = Points::make(&merged, &upper, &sandbox.mounts).expect("made");
        succeed(&sandbox);
        points.remove(&upper).expect("removed");
        let none = SideTable::default();
        let left: Vec<String> = Walk::new(&upper, Path::new(""), &none)
            .map(|found| found.expect("walked").path.to_string_lossy().into_owned())
            .filter(|path| !path.is_empty())
            .collect();
        assert_eq!(left.join(" "), trace, "{script}");
    }
}

/// This program again, for one of [`TASKS`], after some preparation by a shell in a namespace of
/// its own.
fn again(preparation: &str, task: &str) -> String {
    let own = env::current_exe().expect("a program");
    let output = Command::new("unshare")
        .args(["-Urm", "sh", "-c", &format!("{preparation} \"$0\" {task}")])
        .arg(own)
        .env_remove(sandbox::MARKER)
        .output()
        .expect("unshare");
    String::from_utf8(output.stdout).expect("text")
}

fn refusals_are_explained() {
    for (preparation, message, remedy) in [
        ("", "", ""),
        (
            "echo 0 >/proc/sys/user/max_user_namespaces;",
            "cannot make a user namespace: user.max_user_namespaces is 0: unshare(CLONE_NEWUSER)",
            "an administrator allows them with `sysctl -w user.max_user_namespaces=15000`",
        ),
        (
            "setpriv --bounding-set=-setfcap",
            "cannot map the caller to root in a new user namespace: root without CAP_SETFCAP may \
             not be mapped: write(\"/proc/self/uid_map\", \"0 0 1\")",
            "run as any user that is not root",
        ),
        (
            "mount --rbind / /mnt; mount -t tmpfs none /mnt/tmp; mkdir /mnt/tmp/root; \
             mount --rbind / /mnt/tmp/root; mkdir /mnt/tmp/d; cd /mnt/tmp; \
             for d in /usr /lib /lib64 /proc \"${0%/*}\"; do mkdir -p d$d; mount --rbind $d d$d; \
             done; \
             chroot d",
            "cannot make a user namespace: the kernel refuses them inside a chroot: \
             unshare(CLONE_NEWUSER)",
            "run bryo outside of the chroot",
        ),
    ] {
        let text = again(preparation, "--nothing");
        let (first, rest) = text.split_once('\n').unwrap_or_default();
        assert_eq!(first, message);
        assert!(rest.starts_with(remedy), "{rest}");
    }
}

fn a_masked_proc_is_shared() {
    assert_eq!(again("", "--proc"), "Code(0) false\n");
    assert_eq!(again("mount --bind /dev/null /proc/cpuinfo;", "--proc"), "Code(0) true\n");
}

/// This program again, running a script with the streams it has.
fn inherit(script: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("a program"));
    command.arg("--inherit").env("SCRIPT", script).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// Starts a script, waits for its first line, and sends `signal` to the bryo that runs it.
fn signalled(script: &str, signal: &str) -> (Option<i32>, String) {
    let mut child = inherit(script).spawn().expect("started");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a line");
    assert_eq!(line, "ready\n");
    let kill = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(kill.expect("kill").success());
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("text");
    (child.wait().expect("its end").code(), rest)
}

fn what_bryo_gets_the_process_gets() {
    let mut child = inherit("cat; exit 5").spawn().expect("started");
    child.stdin.take().expect("a pipe").write_all(b"through\n").expect("written");
    let output = child.wait_with_output().expect("its end");
    assert_eq!((output.status.code(), &*output.stdout), (Some(5), &b"through\n"[..]));
    for signal in ["HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "WINCH"] {
        let script =
            format!("trap 'echo {signal}; exit 3' {signal}; echo ready; sleep 1000 & wait");
        assert_eq!(signalled(&script, &format!("-{signal}")), (Some(3), format!("{signal}\n")));
    }
    // The first process of a pid namespace would survive it.
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        assert_eq!(signalled("echo ready; exec sleep 1000", signal), (Some(code), String::new()));
    }
}

fn the_process_dies_with_bryo() {
    // Its end closes the pipe; nobody else could, since it is in a session of its own.
    assert_eq!(signalled("echo ready; exec sleep 1000", "-KILL"), (None, String::new()));
}
