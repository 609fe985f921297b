//! The hidden second stage, freshly executed as the first process of its pid namespace: namespaces,
//! mounts, `pivot_root`, signals, `execve`.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use serde::{Deserialize, Serialize};

use super::failure::{About, Failure, Reply};
use super::filter::{self, Filter};
use super::{Identity, Network, Sandbox, limits, mounts, probe};
use crate::sys::errno::EBUSY;
use crate::sys::ns::Namespace;
use crate::sys::seccomp::{Instruction, Listener};
use crate::sys::{self, fd, mount, ns, process, seccomp, signal};

/// What the second stage is asked to do. It comes over the socket that is its standard input, after
/// its length, which may carry the descriptor of the real standard input.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub sandbox: Sandbox,
    /// The process gets a session of its own, and so no controlling terminal.
    pub new_session: bool,
    /// The terminal that standard input is.
    pub console: Option<OsString>,
}

/// Obeys; returns only when it could not, and the reason has been told.
pub(super) fn run() {
    let Ok(socket) = io::stdin().as_fd().try_clone_to_owned() else {
        return;
    };
    let mut socket = UnixStream::from(socket);
    let Err(failure) = obey(&mut socket);
    tell(&mut socket, &Reply::Failure(failure));
}

fn obey(socket: &mut UnixStream) -> Result<Infallible, Failure> {
    // Before the order is read: if bryo dies earlier than this, the order never comes.
    process::die_with_parent()?;
    fd::close_on_exec_from(3)?;
    let (order, stdin) = receive(socket)?;
    let Order { mut sandbox, new_session, console } = order;

    ns::unshare(&[Namespace::Mount, Namespace::Ipc, Namespace::Uts])?;
    if sandbox.network == Network::None {
        ns::unshare(&[Namespace::Network])?;
        ns::raise_loopback()?;
    }
    ns::set_host_name(&sandbox.host_name)?;
    if new_session {
        process::new_session()?;
    }
    // Of the host: the sandbox's own is not there yet.
    let stdin = match stdin {
        Some(stdin) => stdin,
        None => open("/dev/null")?.into(),
    };
    process::set_umask(0o022);

    for mount in &mut sandbox.mounts {
        mount.follow_source()?;
    }
    // pivot_root asks for a mount point, which a plain directory is not.
    mount::bind(&sandbox.root, &sandbox.root, true)?;
    let roots = mount::straddle(&sandbox.root)?;
    for notice in mounts::make_all(&sandbox.mounts, console.as_deref().map(Path::new))? {
        tell(socket, &Reply::Notice(notice));
    }
    roots.pivot()?;

    begin_in(&sandbox.directory)
        .map_err(|e| Failure::file(About::Directory(sandbox.directory.clone()), &e))?;
    if sandbox.read_only {
        mount::make_alone_read_only(Path::new("/"))?;
    }
    process::write_no_core_files()?;
    signal::reset_all()?;
    emulate(&sandbox, socket)?;
    fd::become_stdin(stdin)?;
    // Last: whoever may open few files, or start no process, gets no further.
    limits::set(&sandbox.limits)?;
    execute(&sandbox)
}

/// Has calls answered from now on, and becomes who the process is to be.
fn emulate(sandbox: &Sandbox, socket: &mut UnixStream) -> Result<(), Failure> {
    let failed = |e| Failure::call(About::Emulation, e);
    let filter = match Filter::of(sandbox) {
        None => return Ok(()),
        Some(Filter::Fake) => return seccomp::load(&program(Filter::Fake)?).map_err(failed),
        Some(filter) => filter,
    };
    let mounts = open("/proc/self/ns/mnt")?;
    process::begin_as_root().map_err(failed)?;
    let filter = program(filter)?;
    let (loaded, hand_over) = mpsc::channel::<Listener>();
    let came = thread::scope(|scope| -> Result<bool, Failure> {
        // A thread without the filter, under which nobody could send a descriptor yet: that is one
        // of the calls that wait for an answer.
        let (mounts, sender) = (&mounts, &*socket);
        let messenger = thread::Builder::new().spawn_scoped(scope, move || {
            let Ok(listener) = hand_over.recv() else { return Ok(false) };
            let line = line(&Reply::Listening { killable: listener.is_killable() });
            fd::send(sender, &line, &[listener.as_fd(), mounts.as_fd()]).map(|()| true)
        });
        let messenger = messenger.map_err(|e| Failure::file(About::Emulation, &e))?;
        match seccomp::load_with_listener(&filter) {
            // In the container of another bryo that one answers, for our processes too.
            Err(e) if e.errno() == Some(EBUSY) && probe::is_emulated() => drop(loaded),
            listener => loaded.send(listener.map_err(failed)?).expect("the messenger waits"),
        }
        messenger.join().expect("the messenger does not panic").map_err(failed)
    });
    if came? {
        socket.read_exact(&mut [0]).map_err(|e| Failure::file(About::Emulation, &e))?;
    }
    if !sandbox.user.is_plain_root() {
        let Identity { uid, gid, groups } = &sandbox.user;
        process::take_identity(*uid, *gid, groups).map_err(failed)?;
    }
    Ok(())
}

fn program(filter: Filter) -> Result<Vec<Instruction>, Failure> {
    let none = || Failure::file(About::Emulation, &io::ErrorKind::Unsupported.into());
    filter::program(filter).ok_or_else(none)
}

/// A directory that is missing is made, as container runtimes do.
fn begin_in(directory: &Path) -> io::Result<()> {
    if !directory.exists() {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
    }
    std::env::set_current_dir(directory)
}

fn receive(socket: &mut UnixStream) -> Result<(Order, Option<OwnedFd>), Failure> {
    let mut length = [0; size_of::<u64>()];
    let (count, mut descriptors) = fd::receive(socket, &mut length)?;
    let mut text = Vec::new();
    let read = match count {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => socket.take(u64::from_ne_bytes(length)).read_to_end(&mut text),
    };
    let read = read.and_then(|_| Ok(serde_json::from_slice(&text)?));
    let order = read.map_err(|e| Failure::file(About::World, &e))?;
    Ok((order, descriptors.pop()))
}

fn open(path: &str) -> Result<File, Failure> {
    File::open(path)
        .map_err(|source| Failure::from(sys::Error { call: format!("open({path:?})"), source }))
}

fn tell(socket: &mut UnixStream, reply: &Reply) {
    // If bryo is gone, so is this process.
    drop(socket.write_all(&line(reply)));
}

fn line(reply: &Reply) -> Vec<u8> {
    let mut line = serde_json::to_vec(reply).expect("a reply has no failing types");
    line.push(b'\n');
    line
}

fn execute(sandbox: &Sandbox) -> Result<Infallible, Failure> {
    let name = sandbox.argv.first().map_or(OsStr::new(""), OsString::as_os_str);
    let program = find(name, &sandbox.env)?;
    process::execute(&program, &sandbox.argv, &sandbox.env).map_err(|e| {
        // The kernel says so, too, when it is the interpreter that does not exist.
        let about = match e.source.kind() {
            io::ErrorKind::NotFound if !program.exists() => About::NotFound,
            _ => About::Program,
        };
        Failure::file(about(program), &e.source)
    })
}

/// Finds a program as execvp(3) does. Runs inside the image, so no path can lead out of it.
fn find(name: &OsStr, env: &[OsString]) -> Result<PathBuf, Failure> {
    let not_found = || Failure::file(About::NotFound(name.into()), &io::ErrorKind::NotFound.into());
    if name.is_empty() {
        return Err(not_found());
    }
    if name.as_bytes().contains(&b'/') {
        return Ok(name.into());
    }
    let path = env.iter().find_map(|entry| entry.as_bytes().strip_prefix(b"PATH=")).unwrap_or(b"");
    let mut forbidden = None;
    for directory in path.split(|&byte| byte == b':') {
        let directory = if directory.is_empty() { b"." } else { directory };
        let candidate = Path::new(OsStr::from_bytes(directory)).join(name);
        match fs::metadata(&candidate) {
            Ok(found) if found.is_file() && process::may_execute(&candidate) => {
                return Ok(candidate);
            }
            Ok(found) if found.is_file() => forbidden = forbidden.or(Some(candidate)),
            _ => {}
        }
    }
    // Executing it says why not.
    forbidden.ok_or_else(not_found)
}
