//! [`Forward`]: the way from a container to an agent that signs with SSH keys. The keys stay where
//! they are.
//!
//! Only the two requests pass that change nothing (as in BuildKit): a command must not empty, lock or
//! fill somebody's agent. A request is a length, a kind and the rest (draft-ietf-sshm-ssh-agent).

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// `SSH_AGENTC_REQUEST_IDENTITIES` and `SSH_AGENTC_SIGN_REQUEST`.
const ALLOWED: [u8; 2] = [11, 13];

/// `SSH_AGENT_FAILURE`, with its length.
const REFUSED: [u8; 5] = [0, 0, 0, 1, 5];

/// As in OpenSSH.
const LONGEST: u32 = 256 * 1024;

/// How long a program of ours may take to begin.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sockets in the directory that a [`Forward`] is given: its own, and that of an agent of ours.
const OWN: &str = "ssh";
const AGENT: &str = "agent";

/// An agent that RUN may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    pub id: String,
    /// The socket of one that runs; or private keys, for one that is started.
    pub paths: Vec<PathBuf>,
}

/// Why there is no agent.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    #[error("{}, as an SSH agent or key", .0.display())]
    Open(PathBuf, #[source] io::Error),
    #[error("{program} is needed to sign with the keys of --ssh")]
    Program { program: &'static str, source: io::Error },
    #[error("ssh-agent does not begin")]
    Silent,
    #[error("ssh-add does not take {}: {said}", path.display())]
    Key { path: PathBuf, said: String },
    #[error("a socket for SSH")]
    Socket(#[source] io::Error),
}

impl AgentError {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Program { .. } => Some(
                "install openssh-client, or name the socket of an agent: --ssh ID=SOCKET".into(),
            ),
            Self::Key { .. } => Some(
                "a key with a passphrase needs an agent that has it: ssh-add, then --ssh default"
                    .into(),
            ),
            _ => None,
        }
    }
}

/// A socket that leads to an agent until it is dropped.
#[derive(Debug)]
pub struct Forward {
    path: PathBuf,
    /// Sockets have short names only; through this, the directory has one.
    short: PathBuf,
    ended: Arc<AtomicBool>,
    acceptor: Option<thread::JoinHandle<()>>,
    _started: Option<Started>,
    _folder: File,
}

impl Forward {
    /// Makes a socket in `folder`, an empty directory. `search` is the path for programs of this
    /// machine.
    pub fn new(agent: &Agent, folder: &Path, mode: u32, search: &str) -> Result<Self, AgentError> {
        let opened = File::open(folder).map_err(AgentError::Socket)?;
        let short = PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd()));
        let (started, destination) = match &agent.paths[..] {
            [path] if is_socket(path)? => (None, path.clone()),
            keys => (Some(Started::new(keys, folder, search)?), short.join(AGENT)),
        };
        let listener = UnixListener::bind(short.join(OWN)).map_err(AgentError::Socket)?;
        let path = folder.join(OWN);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(AgentError::Socket)?;
        let ended = Arc::new(AtomicBool::new(false));
        let acceptor = thread::spawn({
            let ended = Arc::clone(&ended);
            move || {
                for client in listener.incoming().flatten() {
                    if ended.load(Ordering::SeqCst) {
                        return;
                    }
                    let destination = destination.clone();
                    // It ends when its client does, or the agent.
                    thread::spawn(move || {
                        let agent = UnixStream::connect(&destination);
                        agent.and_then(|agent| serve(client, agent))
                    });
                }
            }
        });
        let (acceptor, _folder) = (Some(acceptor), opened);
        Ok(Self { path, short, ended, acceptor, _started: started, _folder })
    }

    /// Where the socket is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // One more client, for the acceptor to look up.
        if UnixStream::connect(self.short.join(OWN)).is_ok()
            && let Some(acceptor) = self.acceptor.take()
        {
            drop(acceptor.join());
        }
    }
}

/// Carries requests to the agent, and answers back.
fn serve(mut client: impl Read + Write, mut agent: impl Read + Write) -> io::Result<()> {
    while let Some(request) = message(&mut client)? {
        if request.get(4).is_none_or(|kind| !ALLOWED.contains(kind)) {
            client.write_all(&REFUSED)?;
            continue;
        }
        agent.write_all(&request)?;
        let Some(answer) = message(&mut agent)? else { return Ok(()) };
        client.write_all(&answer)?;
    }
    Ok(())
}

/// The next message with its length; none at the end.
fn message(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    if let Err(error) = from.read_exact(&mut length) {
        let over = error.kind() == io::ErrorKind::UnexpectedEof;
        return if over { Ok(None) } else { Err(error) };
    }
    let size = u32::from_be_bytes(length);
    if size > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = length.to_vec();
    from.take(size.into()).read_to_end(&mut message)?;
    Ok((message.len() == 4 + size as usize).then_some(message))
}

fn is_socket(path: &Path) -> Result<bool, AgentError> {
    let metadata = fs::metadata(path).map_err(|e| AgentError::Open(path.to_owned(), e))?;
    Ok(metadata.file_type().is_socket())
}

/// An `ssh-agent` of our own. It ends soon after the program that it stands by, which ends when
/// nobody holds the other end of its stdin: even when we are killed.
#[derive(Debug)]
struct Started(Child);

impl Started {
    fn new(keys: &[PathBuf], folder: &Path, search: &str) -> Result<Self, AgentError> {
        let command = |program: &str| {
            let mut command = Command::new(program);
            command.env_clear().env("PATH", search).current_dir(folder).stdout(Stdio::null());
            command
        };
        let missing = |program| move |source| AgentError::Program { program, source };
        let mut agent = command("ssh-agent");
        agent.args(["-a", AGENT, "cat"]).stdin(Stdio::piped()).stderr(Stdio::null());
        let mut started = Self(agent.spawn().map_err(missing("ssh-agent"))?);
        let began = Instant::now();
        while !folder.join(AGENT).exists() {
            let has_ended = started.0.try_wait().is_ok_and(|status| status.is_some());
            if has_ended || began.elapsed() > PATIENCE {
                return Err(AgentError::Silent);
            }
            thread::sleep(Duration::from_millis(5));
        }
        for path in keys {
            let key = File::open(path).map_err(|e| AgentError::Open(path.clone(), e))?;
            // Nobody is asked for a passphrase.
            let added = command("ssh-add")
                .args(["-q", "-"])
                .env("SSH_AUTH_SOCK", AGENT)
                .env("SSH_ASKPASS", "false")
                .env("SSH_ASKPASS_REQUIRE", "force")
                .stdin(key)
                .output()
                .map_err(missing("ssh-add"))?;
            if !added.status.success() {
                let said = String::from_utf8_lossy(&added.stderr).trim().to_owned();
                return Err(AgentError::Key { path: path.clone(), said });
            }
        }
        Ok(started)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // Fails only when it has ended.
        drop(self.0.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each request that arrives is answered with what it is.
    fn echo(mut agent: UnixStream) {
        while let Ok(Some(request)) = message(&mut agent) {
            agent.write_all(&request).expect("somebody waits for it");
        }
    }

    #[test]
    fn only_harmless_requests_pass() {
        let folder = tempfile::tempdir().expect("a directory");
        let socket = folder.path().join("host");
        let listener = UnixListener::bind(&socket).expect("a socket");
        thread::spawn(move || listener.incoming().flatten().for_each(echo));
        let own = folder.path().join("own");
        fs::create_dir(&own).expect("a directory");
        let agent = Agent { id: "default".to_owned(), paths: vec![socket] };
        let forward = Forward::new(&agent, &own, 0o640, "").expect("a socket");
        let mode = fs::metadata(forward.path()).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o7777, 0o640);
        let mut client = UnixStream::connect(forward.path()).expect("it listens");
        // list, sign, add, remove all, lock, extension, nothing at all
        for (request, passes) in [
            (vec![11], true),
            (vec![13, 1, 2, 3], true),
            (vec![17, 1], false),
            (vec![19], false),
            (vec![22, 0], false),
            (vec![27], false),
            (vec![], false),
            (vec![13], true),
        ] {
            let length = u32::try_from(request.len()).expect("it is short").to_be_bytes();
            let bytes = [&length[..], &request].concat();
            client.write_all(&bytes).expect("it reads");
            let answer = message(&mut client).expect("it answers").expect("something");
            assert_eq!(answer, if passes { bytes } else { REFUSED.to_vec() }, "{request:?}");
        }
        client.write_all(&u32::MAX.to_be_bytes()).expect("it reads");
        assert_eq!(message(&mut client).expect("it ends"), None);
        let path = forward.path().to_owned();
        drop(forward);
        assert!(UnixStream::connect(path).is_err(), "nobody listens any more");
    }
}
