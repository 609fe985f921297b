//! Places to test in, programs to run there, and what they said.

mod base;
pub(crate) mod broken;
mod git;
mod judge;
mod registry;
pub(crate) mod served;
mod web;

pub(crate) use base::{busybox, busybox_root, debian, foreign_busybox};
pub(crate) use git::repository;
pub(crate) use judge::Judge;
pub(crate) use registry::{Registry, free_port};
pub(crate) use web::Web;

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Somebody to run programs as.
#[derive(Debug, Clone, Copy)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl User {
    /// A user of this machine.
    pub(crate) fn named(name: &str) -> Self {
        let passwd = fs::read_to_string("/etc/passwd").expect("accounts");
        let fields: Vec<&str> = passwd
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields[0] == name)
            .unwrap_or_else(|| panic!("tests/run makes the user {name}"));
        let number = |at: usize| fields[at].parse().expect("a number");
        Self { uid: number(2), gid: number(3) }
    }

    /// Who runs bryo: named by `tests/run` when it is root, else who runs the tests.
    pub(crate) fn of_bryo() -> Option<Self> {
        let name = std::env::var("BRYO_TEST_USER").ok().filter(|name| !name.is_empty())?;
        Some(Self::named(&name))
    }
}

/// A directory that everything of one test lies in; removed at its end.
#[derive(Debug)]
pub(crate) struct Place {
    folder: tempfile::TempDir,
    user: Option<User>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("bryo-test-")
            .tempdir_in("/var/tmp")
            .expect("a temporary directory");
        let place = Self { folder, user: User::of_bryo() };
        fs::set_permissions(place.path(""), fs::Permissions::from_mode(0o755)).expect("chmod");
        for name in ["home", "work"] {
            place.folder(name);
        }
        place
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where bryo keeps its images here.
    pub(crate) fn storage(&self) -> PathBuf {
        self.path("home/.local/share/bryo")
    }

    /// A directory that bryo may write in.
    pub(crate) fn folder(&self, name: impl AsRef<Path>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("a directory");
        self.give(&path);
        path
    }

    /// A file that bryo may read.
    pub(crate) fn file(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file lies somewhere")).expect("a directory");
        fs::write(&path, content).expect("a file");
        self.give(&path);
        path
    }

    fn give(&self, path: &Path) {
        if let Some(user) = self.user {
            chown(path, Some(user.uid), Some(user.gid)).expect("root may chown");
        }
    }

    /// bryo, with the words of `line` (none of them has a space).
    pub(crate) fn bryo(&self, line: &str) -> Run {
        self.run(env!("CARGO_BIN_EXE_bryo")).args(line.split_whitespace())
    }

    /// Any program, as the user whom bryo runs as, in an environment of its own.
    pub(crate) fn run(&self, program: impl AsRef<OsStr>) -> Run {
        self.run_as(self.user, program)
    }

    pub(crate) fn run_as(&self, user: Option<User>, program: impl AsRef<OsStr>) -> Run {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.path("home"))
            .env("LC_ALL", "C.UTF-8")
            .current_dir(self.path("work"));
        if let Some(user) = user {
            command.uid(user.uid).gid(user.gid);
        }
        Run { command, input: Vec::new() }
    }

    /// Writes a Dockerfile into a context of its own, with `files`, and gives its folder.
    pub(crate) fn context(&self, name: &str, dockerfile: &str, files: &[(&str, &str)]) -> PathBuf {
        let folder = self.folder(name);
        self.file(folder.join("Dockerfile"), dockerfile);
        for (path, content) in files {
            self.file(folder.join(path), content);
        }
        folder
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.user.is_none() {
            // An image's directories may forbid even their owner to remove what is in them.
            let chmod = ["-R", "u+rwX"];
            drop(
                Command::new("chmod").args(chmod).arg(self.path("")).stderr(Stdio::null()).status(),
            );
        }
    }
}

/// A program that is about to run.
#[derive(Debug)]
#[must_use = "say what comes of it: .succeeds() or .fails(status)"]
pub(crate) struct Run {
    command: Command,
    input: Vec<u8>,
}

impl Run {
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn env_remove(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub(crate) fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    pub(crate) fn in_folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Starts it and does not wait.
    pub(crate) fn spawn(mut self) -> std::process::Child {
        let line = format!("{:?}", self.command);
        self.command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// Its end, whatever that is.
    pub(crate) fn output(mut self) -> Said {
        let line = format!("{:?}", self.command);
        let mut child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        let mut stdin = child.stdin.take().expect("a pipe");
        let input = self.input;
        let writer = std::thread::spawn(move || {
            // Who does not read its input is free to close it.
            drop(stdin.write_all(&input));
        });
        let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
        writer.join().expect("the writer ends");
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Said { line, code, stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() }
    }

    /// It must exit 0.
    #[track_caller]
    pub(crate) fn succeeds(self) -> Said {
        self.exits(0)
    }

    /// It must exit so, and (if that is a failure of bryo's own) name an error.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> Said {
        let said = self.exits(code);
        assert!(said.stderr.contains("error: "), "{said}\nnames no error");
        said
    }

    #[track_caller]
    pub(crate) fn exits_with_any(self, codes: &[i32]) -> Said {
        let said = self.output();
        assert!(codes.contains(&said.code), "{said}");
        said
    }

    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Said {
        let said = self.output();
        assert_eq!(said.code, code, "{said}");
        said
    }
}

/// What a program said.
#[derive(Debug)]
pub(crate) struct Said {
    line: String,
    code: i32,
    stdout: Vec<u8>,
    stderr: String,
}

impl Said {
    pub(crate) fn code(&self) -> i32 {
        self.code
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.stdout
    }

    /// What it wrote to stdout, without the last line's end.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end_matches('\n').to_owned()
    }

    pub(crate) fn errors(&self) -> &str {
        &self.stderr
    }

    /// `needle` must be in stderr.
    #[track_caller]
    pub(crate) fn mentions(self, needle: &str) -> Self {
        assert!(self.stderr.contains(needle), "{self}\ndoes not mention {needle:?}");
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{self}\n{error}"))
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { line, code, stderr, .. } = self;
        write!(f, "{line}\nexited with {code}\nstdout: {}\nstderr: {stderr}", self.text())
    }
}

/// Whether a test can run here; says to `tests/run` what is missing where it cannot.
pub(crate) fn has(program: &str, package: &str) -> bool {
    let paths = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"];
    let found = paths.iter().any(|folder| Path::new(folder).join(program).exists());
    if !found {
        skip(&format!("tests that need {program} (sudo apt-get install {package})"));
    }
    found
}

/// Notes that a test does not run. With CI=true that fails it.
pub(crate) fn skip(what: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "skipped in CI: {what}");
    let notes = std::env::var_os("BRYO_TEST_SKIPPED");
    if let Some(mut file) =
        notes.and_then(|path| fs::OpenOptions::new().append(true).open(path).ok())
    {
        writeln!(file, "{what}").expect("the notes can be written");
    }
}
