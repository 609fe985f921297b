//! bryo's side of a sandbox: starts the second stage, gives it its order, carries output and
//! signals, waits.

use std::ffi::OsString;
use std::io::{self, PipeReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Duration;

use super::emulate::Supervisor;
use super::failure::{Failure, Reply};
use super::filter::Filter;
use super::init::Order;
use super::{Ended, Error, Exit, Foreign, Output, SECOND_STAGE, Sandbox, binfmt};
use crate::report::{Activity, Event, Reporter};
use crate::sys::errno::ENOEXEC;
use crate::sys::ns::Namespace;
use crate::sys::process::{self, Foreground};
use crate::sys::seccomp::Listener;
use crate::sys::signal::{self, Caught};
use crate::sys::{self, fd, ns};

/// How often a process at its limit is killed, until it is dead: it may not have begun.
const KILL_AGAIN: Duration = Duration::from_millis(20);

/// What a sandboxed program gets when bryo does; true: its default action ends a process.
const PASSED_ON: [(i32, bool); 7] = [
    (signal::HANGUP, true),
    (signal::INTERRUPT, true),
    (signal::QUIT, true),
    (signal::TERMINATE, true),
    (signal::USER_1, true),
    (signal::USER_2, true),
    (signal::WINDOW_CHANGE, false),
];

pub(super) fn spawn(
    sandbox: &Sandbox,
    output: Output,
    reporter: &dyn Reporter,
) -> Result<Ended, Error> {
    run(sandbox, output, reporter).map_err(|source| Error::World { source })?
}

/// The outer error: the second stage could not be started; the inner one: what it answered.
fn run(
    sandbox: &Sandbox,
    output: Output,
    reporter: &dyn Reporter,
) -> sys::Result<Result<Ended, Error>> {
    let foreign = binfmt::prepare(&sandbox.architecture);
    let (ours, theirs) = UnixStream::pair().map_err(failed("socketpair()"))?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("bryo").arg(SECOND_STAGE).stdin(OwnedFd::from(theirs));
    let mut pipe = None;
    let (catcher, signals) = match output {
        Output::Inherit => signal::catch(&PASSED_ON.map(|(signal, _)| signal)).map(Some)?.unzip(),
        Output::Report(activity) => {
            // One for both streams: of two, nobody could tell afterwards what was written first.
            let (reader, writer) = io::pipe().map_err(failed("pipe2(O_CLOEXEC)"))?;
            command.stdout(writer.try_clone().map_err(failed("fcntl(F_DUPFD_CLOEXEC)"))?);
            command.stderr(writer);
            pipe = Some((reader, activity));
            (None, None)
        }
    };
    let foreground = signals.as_ref().and_then(|_| Foreground::of(io::stdin()));
    let process = Arc::new(Process::default());
    let killed = Arc::clone(&process);
    let watch = sandbox.cancel.watch(move || killed.kill());
    let supervisor = OnceLock::new();
    let is_late = AtomicBool::new(false);

    let (ended, answer) = thread::scope(|scope| {
        let (sender, started) = mpsc::channel();
        let (running, end) = mpsc::channel::<()>();
        let begun = (|| {
            if let Some((pipe, activity)) = pipe {
                begin(scope, move || carry(pipe, activity, reporter))?;
            }
            if let Some(signals) = signals {
                begin(scope, || signals.for_each(|caught| process.tell(caught)))?;
            }
            if let Some(limit) = sandbox.limit {
                let (process, is_late) = (&process, &is_late);
                begin(scope, move || {
                    let mut wait = limit;
                    while end.recv_timeout(wait) == Err(mpsc::RecvTimeoutError::Timeout) {
                        is_late.store(true, Ordering::Relaxed);
                        process.kill();
                        wait = KILL_AGAIN;
                    }
                })?;
            }
            // Not this thread: whatever else it starts would be born in the new pid namespace, too;
            // and the second stage dies with the thread that starts it, so that one has to wait for
            // it. The command goes with it, and its ends of the pipe.
            begin(scope, || live(command, &process, sender))
        })();
        let life = match begun {
            Ok(life) => life,
            Err(error) => return (Err(error), Ok(None)),
        };
        // If it did not start, its thread has the reason.
        let answer = started.recv().ok().map(|()| {
            converse(ours, sandbox, output, reporter, |listening| {
                let process = Arc::clone(&process);
                let supervisor = supervise(&supervisor, listening, sandbox, process)?;
                supervisor.start(scope)
            })
        });
        let ended = life.join().expect("the thread does not panic");
        drop(running);
        if let Some(supervisor) = supervisor.get() {
            supervisor.stop();
        }
        drop(catcher); // Ends the iteration over the signals.
        (ended, answer.transpose())
    });
    drop(watch);
    if let Some(foreground) = foreground {
        // Without it the terminal is only less convenient.
        foreground.restore(io::stdin()).ok();
    }
    let exit = process.exit(ended?);
    let is_late = is_late.into_inner() && !exit.success();
    if is_late || (sandbox.cancel.is_set() && !exit.success()) {
        // Whatever else went wrong then is a consequence.
        return Ok(Ok(Ended { exit, is_late, refusals: Vec::new(), unwritten: None }));
    }
    if let Some(failure) = answer.map_err(failed("second stage"))?.flatten() {
        return Ok(Err(explained(failure.into_error(), foreign, sandbox)));
    }
    let supervisor = supervisor.get();
    if let Some(why) = supervisor.and_then(Supervisor::failure) {
        return Ok(Err(Error::Supervisor { why }));
    }
    let refusals = supervisor.map(Supervisor::refusals).unwrap_or_default();
    let unwritten = supervisor.map(Supervisor::unwritten);
    Ok(Ok(Ended { exit, is_late, refusals, unwritten }))
}

/// What the kernel calls no program may be one for another machine.
fn explained(error: Error, foreign: Option<Foreign>, sandbox: &Sandbox) -> Error {
    match (error, foreign) {
        (Error::Execute { program, source }, Some(why))
            if source.raw_os_error() == Some(ENOEXEC) =>
        {
            Error::Foreign { program, architecture: sandbox.architecture.clone(), why }
        }
        (error, _) => error,
    }
}

/// The supervisor of the processes whose listener has come.
fn supervise<'s>(
    place: &'s OnceLock<Supervisor>,
    Listening { listener, mounts }: Listening,
    sandbox: &Sandbox,
    process: Arc<Process>,
) -> io::Result<&'s Supervisor> {
    let end = move || process.kill();
    let filter = Filter::of(sandbox).ok_or(io::ErrorKind::InvalidData)?;
    let unwritten = sandbox.unwritten.clone();
    let supervisor = Supervisor::new(listener, mounts, unwritten, filter, Box::new(end));
    let supervisor = supervisor.map_err(|e| e.source)?;
    Ok(place.get_or_init(|| supervisor))
}

/// Starts a thread.
fn begin<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> sys::Result<ScopedJoinHandle<'scope, T>> {
    thread::Builder::new().spawn_scoped(scope, work).map_err(failed("clone(CLONE_THREAD)"))
}

/// Starts the second stage in a new pid namespace, and waits for its end.
fn live(
    mut command: Command,
    process: &Process,
    started: mpsc::Sender<()>,
) -> sys::Result<ExitStatus> {
    ns::unshare(&[Namespace::Pid])?;
    let mut child = command.spawn().map_err(failed("execve(\"/proc/self/exe\")"))?;
    drop(command); // It holds the writing ends of the pipe.
    let pid = i32::try_from(child.id()).expect("the kernel's pids are positive ints");
    process.begins(pid);
    // The receiver waits for this, or for the sender's end.
    started.send(()).ok();
    drop(started);
    process::wait_without_reaping(pid)?;
    process.ends();
    child.wait().map_err(failed("wait4()"))
}

/// What came with [`Reply::Listening`].
struct Listening {
    listener: Listener,
    mounts: OwnedFd,
}

/// Gives the second stage its order, and listens until it executes the program or gives up.
fn converse(
    mut socket: UnixStream,
    sandbox: &Sandbox,
    output: Output,
    reporter: &dyn Reporter,
    supervise: impl Fn(Listening) -> io::Result<()>,
) -> io::Result<Option<Failure>> {
    let stdin = io::stdin();
    let inherit = matches!(output, Output::Inherit);
    let order = Order {
        sandbox: sandbox.clone(),
        new_session: !inherit,
        console: process::terminal_name(&stdin).filter(|_| inherit).map(OsString::from),
    };
    let descriptors = if inherit { &[stdin.as_fd()][..] } else { &[] };
    let order = serde_json::to_vec(&order)?;
    let length = (order.len() as u64).to_ne_bytes();
    fd::send(&socket, &length, descriptors).map_err(|e| e.source)?;
    socket.write_all(&order)?;

    let mut failure = None;
    let mut answers = Answers { socket: &socket, text: Vec::new(), descriptors: Vec::new() };
    while let Some(line) = answers.line()? {
        match serde_json::from_slice(&line)? {
            Reply::Notice(notice) => reporter.warn(notice.text()),
            Reply::Failure(reason) => failure = Some(reason),
            Reply::Listening { killable } => {
                let mut came = answers.descriptors.drain(..);
                let (Some(listener), Some(mounts)) = (came.next(), came.next()) else {
                    return Err(io::ErrorKind::InvalidData.into());
                };
                supervise(Listening { listener: Listener::new(listener, killable), mounts })?;
                drop(came);
                (&socket).write_all(b"!")?;
            }
        }
    }
    Ok(failure)
}

/// What the second stage says, line by line, and the descriptors that have come with it.
struct Answers<'s> {
    socket: &'s UnixStream,
    text: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl Answers<'_> {
    /// The next line; none when the second stage has ended or become the program.
    fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
                return Ok(Some(self.text.drain(..=end).collect()));
            }
            let mut bytes = [0; 4096];
            let (count, descriptors) =
                fd::receive(self.socket, &mut bytes).map_err(|e| e.source)?;
            if count == 0 {
                return Ok(None);
            }
            self.text.extend_from_slice(&bytes[..count]);
            self.descriptors.extend(descriptors);
        }
    }
}

/// Reports what comes out of a pipe, until nobody holds its other end.
fn carry(mut pipe: PipeReader, activity: Activity, reporter: &dyn Reporter) {
    let mut buffer = vec![0; 64 << 10];
    // A pipe has no other failure than being interrupted, which `read` of a pipe tells as such.
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                let bytes = buffer[..count].to_vec();
                reporter.report(Event::Output { activity, bytes });
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// The sandbox's first process, as long as it lives.
#[derive(Debug, Default)]
struct Process(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    pid: Option<i32>,
    /// Signals that came before the process.
    early: Vec<Caught>,
    /// It is to be killed as soon as it is there.
    is_doomed: bool,
    /// The signal that ended it in effect, though SIGKILL did in fact.
    ended_by: Option<i32>,
}

impl Process {
    fn begins(&self, pid: i32) {
        let mut state = self.state();
        state.pid = Some(pid);
        if state.is_doomed {
            // Fails only when it has ended.
            signal::send(pid, signal::KILL).ok();
        }
        for caught in std::mem::take(&mut state.early) {
            state.tell(pid, caught);
        }
    }

    /// From now on its number may be somebody else's.
    fn ends(&self) {
        self.state().pid = None;
    }

    /// Ends it at once, and all others of its pid namespace with it.
    fn kill(&self) {
        let mut state = self.state();
        state.is_doomed = true;
        if let Some(pid) = state.pid {
            // Fails only when it has ended.
            signal::send(pid, signal::KILL).ok();
        }
    }

    fn tell(&self, caught: Caught) {
        let mut state = self.state();
        match state.pid {
            Some(pid) => state.tell(pid, caught),
            None => state.early.push(caught),
        }
    }

    fn exit(&self, status: ExitStatus) -> Exit {
        match (status.code(), status.signal(), self.state().ended_by) {
            (Some(code), ..) => Exit::Code(u8::try_from(code).unwrap_or(u8::MAX)),
            (None, Some(signal::KILL), Some(signal)) | (None, Some(signal), _) => {
                Exit::Signal(signal)
            }
            (None, None, _) => Exit::Code(u8::MAX), // Neither: it has not ended; wait does not do that.
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Passes a signal on, with the effect that it would have outside.
    ///
    /// The first process of a pid namespace is spared from the default action of signals
    /// (pid_namespaces(7)); so SIGTERM would not end a plain `sleep`. What the terminal sends goes
    /// to its whole foreground group, the sandbox included, and is not sent twice.
    fn tell(&mut self, pid: i32, Caught { signal, from_kernel }: Caught) {
        let deadly = PASSED_ON.contains(&(signal, true));
        // Either call fails only when the process has ended.
        if deadly && signal::is_default(pid, signal).unwrap_or(false) {
            self.ended_by = Some(signal);
            signal::send(pid, signal::KILL).ok();
        } else if !from_kernel {
            signal::send(pid, signal).ok();
        }
    }
}

fn failed(call: &str) -> impl Fn(io::Error) -> sys::Error {
    let call = call.to_owned();
    move |source| sys::Error { call: call.clone(), source }
}
