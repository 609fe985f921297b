//! Sockets of other processes, of which the caller has a copy: who is at the other end, names, and
//! messages with all that comes along.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::net::{AddressFamily, sockopt};

use super::errno::Errno;

type Result<T> = std::result::Result<T, Errno>;

/// Options of the level [`LEVEL`], with the numbers of this machine.
pub const LEVEL: i32 = libc::SOL_SOCKET;
pub const PASS_CREDENTIALS: i32 = libc::SO_PASSCRED;
pub const PEER_CREDENTIALS: i32 = libc::SO_PEERCRED;
pub const PEER_GROUPS: i32 = libc::SO_PEERGROUPS;

/// Control messages of the level [`LEVEL`].
pub const RIGHTS: i32 = libc::SCM_RIGHTS;
pub const CREDENTIALS: i32 = libc::SCM_CREDENTIALS;
/// A pidfd of the sender (Linux 6.5).
pub const PROCESS_HANDLE: i32 = 4;

/// Flags of messages.
pub const PEEK: u32 = libc::MSG_PEEK.cast_unsigned();
pub const CONTROL_TRUNCATED: u32 = libc::MSG_CTRUNC.cast_unsigned();
pub const DO_NOT_WAIT: u32 = libc::MSG_DONTWAIT.cast_unsigned();
pub const WAIT_FOR_ALL: u32 = libc::MSG_WAITALL.cast_unsigned();
pub const WAIT_FOR_ONE: u32 = libc::MSG_WAITFORONE.cast_unsigned();
pub const OUT_OF_BAND: u32 = libc::MSG_OOB.cast_unsigned();
pub const ERROR_QUEUE: u32 = libc::MSG_ERRQUEUE.cast_unsigned();
pub const CLOSE_ON_EXEC: u32 = libc::MSG_CMSG_CLOEXEC.cast_unsigned();

/// `AF_UNIX`.
pub const UNIX: u16 = libc::AF_UNIX as u16;

/// `sizeof(struct sockaddr_storage)`, more than which the kernel takes from nobody.
pub const LONGEST_NAME: usize = size_of::<libc::sockaddr_storage>();

/// Room for every control message that the kernel may have at once: 253 descriptors, and a few
/// others.
const LONGEST_CONTROL: usize = 2048;

/// Who is at the other end of a socket, or sent a message, as the caller's namespaces number it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// 0: nobody, or nobody whom the caller's pid namespace knows.
    pub process: i32,
    pub uid: u32,
    pub gid: u32,
}

impl Peer {
    /// `sizeof(struct ucred)`, the same on all architectures.
    pub const SIZE: usize = 12;

    pub fn encode(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        let fields = [self.process.cast_unsigned(), self.uid, self.gid];
        for (place, field) in bytes.chunks_exact_mut(4).zip(fields) {
            place.copy_from_slice(&field.to_ne_bytes());
        }
        bytes
    }

    pub fn decode(bytes: [u8; Self::SIZE]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
        Self {
            process: i32::from_ne_bytes([a, b, c, d]),
            uid: u32::from_ne_bytes([e, f, g, h]),
            gid: u32::from_ne_bytes([i, j, k, l]),
        }
    }
}

/// Whether it is a Unix socket; an error when it is none at all.
pub fn is_unix(socket: impl AsFd) -> Result<bool> {
    Ok(sockopt::socket_domain(socket)? == AddressFamily::UNIX)
}

/// Whether messages are read as a stream of bytes.
pub fn is_stream(socket: impl AsFd) -> Result<bool> {
    Ok(sockopt::socket_type(socket)? == rustix::net::SocketType::STREAM)
}

/// Whether what is received says who sent it (`SO_PASSCRED`).
pub fn passes_credentials(socket: impl AsFd) -> Result<bool> {
    sockopt::socket_passcred(socket)
}

/// How long a reader waits at most (`SO_RCVTIMEO`).
pub fn receive_timeout(socket: impl AsFd) -> Result<Option<Duration>> {
    sockopt::socket_timeout(socket, sockopt::Timeout::Recv)
}

/// Whether readers do not wait (`O_NONBLOCK`).
pub fn is_nonblocking(socket: impl AsFd) -> Result<bool> {
    Ok(rustix::fs::fcntl_getfl(socket)?.contains(OFlags::NONBLOCK))
}

/// Whether peeking moves on (`SO_PEEK_OFF`), so that it may not be done unasked.
pub fn peeking_moves(socket: impl AsFd) -> Result<bool> {
    let mut offset = [0; 4];
    let length = option(socket, libc::SO_PEEK_OFF, &mut offset)?;
    Ok(length == 4 && i32::from_ne_bytes(offset) >= 0)
}

/// Who connected, listened or made the pair (`SO_PEERCRED`).
pub fn peer(socket: impl AsFd) -> Result<Peer> {
    let mut bytes = [0; Peer::SIZE];
    match option(socket, PEER_CREDENTIALS, &mut bytes)? {
        Peer::SIZE => Ok(Peer::decode(bytes)),
        _ => Err(Errno::INVAL),
    }
}

fn option(socket: impl AsFd, name: i32, buffer: &mut [u8]) -> Result<usize> {
    let socket = socket.as_fd().as_raw_fd();
    let mut length = libc::socklen_t::try_from(buffer.len()).unwrap_or(libc::socklen_t::MAX);
    let place = buffer.as_mut_ptr().cast();
    // SAFETY: the kernel writes no more than `length` bytes at `place`, which `buffer` has.
    let result = unsafe { libc::getsockopt(socket, LEVEL, name, place, &raw mut length) };
    if result == 0 { Ok(length as usize) } else { Err(last_errno()) }
}

/// The name of a socket, and that of its peer, as `struct sockaddr`; `None` without one.
pub fn names(socket: impl AsFd) -> [Option<Vec<u8>>; 2] {
    let socket = socket.as_fd().as_raw_fd();
    [libc::getsockname, libc::getpeername].map(|ask| {
        let mut buffer = [0_u8; LONGEST_NAME];
        let mut length = LONGEST_NAME as libc::socklen_t;
        // SAFETY: the kernel writes no more than `length` bytes into `buffer`.
        let result = unsafe { ask(socket, buffer.as_mut_ptr().cast(), &raw mut length) };
        let length = (length as usize).min(LONGEST_NAME);
        // The family alone is no name.
        (result == 0 && length > size_of::<libc::sa_family_t>()).then(|| buffer[..length].to_vec())
    })
}

/// Gives a Unix socket a path, relative to the calling thread's working directory.
///
/// # Errors
///
/// Those of bind(2).
pub fn bind(socket: impl AsFd, path: &[u8]) -> Result<()> {
    let address = rustix::net::SocketAddrUnix::new(path)?;
    rustix::net::bind(socket, &address)
}

/// Waits until there is something to receive, the other end is closed, or a signal comes; whether
/// there is.
pub fn wait_readable(socket: impl AsFd, at_most: Duration) -> Result<bool> {
    let mut poll =
        libc::pollfd { fd: socket.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let milliseconds = i32::try_from(at_most.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the kernel reads and writes the one structure that it is given.
    match unsafe { libc::poll(&raw mut poll, 1, milliseconds) } {
        0 => Ok(false),
        -1 if last_errno() == Errno::INTR => Ok(false),
        -1 => Err(last_errno()),
        _ => Ok(true),
    }
}

/// What came along with a message.
#[derive(Debug)]
pub enum Along {
    Credentials(Peer),
    /// Closed on exec, here.
    Descriptors(Vec<OwnedFd>),
    /// Closed on exec. `Err`: the number that the kernel gave instead of one.
    ProcessHandle(std::result::Result<OwnedFd, i32>),
    Other {
        level: i32,
        kind: i32,
        data: Vec<u8>,
    },
}

#[derive(Debug)]
pub struct Received {
    /// What recvmsg(2) returns: with `MSG_TRUNC`, it may be more than the buffer has.
    pub length: usize,
    /// The name of the sender, as `struct sockaddr`.
    pub name: Vec<u8>,
    pub along: Vec<Along>,
    /// Of the message, without [`CONTROL_TRUNCATED`] unless even this had no room for all.
    pub flags: u32,
}

/// Control messages begin where a `size_t` may stand.
#[repr(align(8))]
struct ControlBuffer([u8; LONGEST_CONTROL]);

/// Receives a message, or a part of a stream, into `buffer`.
///
/// # Errors
///
/// Those of recvmsg(2); `EAGAIN` when there is nothing and the flags or the socket forbid waiting.
pub fn receive(socket: impl AsFd, buffer: &mut [u8], flags: u32) -> Result<Received> {
    let mut name = [0_u8; LONGEST_NAME];
    let mut control = ControlBuffer([0; LONGEST_CONTROL]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: zero is a value of each of its fields, and there may be others for padding.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_name = name.as_mut_ptr().cast();
    message.msg_namelen = LONGEST_NAME as libc::socklen_t;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = LONGEST_CONTROL as _;
    let flags = (flags | CLOSE_ON_EXEC).cast_signed();
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: every pointer in `message` leads to a buffer that is as long as `message` says.
    let length = unsafe { libc::recvmsg(socket, &raw mut message, flags) };
    let length = usize::try_from(length).map_err(|_| last_errno())?;
    let named = (message.msg_namelen as usize).min(LONGEST_NAME);
    let (along, flags) = (along(&message), message.msg_flags.cast_unsigned());
    Ok(Received { length, name: name[..named].to_vec(), along, flags })
}

// The type of the lengths differs between C libraries.
#[allow(clippy::unnecessary_cast)]
fn along(message: &libc::msghdr) -> Vec<Along> {
    let mut found = Vec::new();
    // SAFETY: `message` and its control buffer are as the kernel has just filled them.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !next.is_null() {
        // SAFETY: the macros give nothing but pointers to whole headers, in a buffer that is aligned
        // for them.
        let header = unsafe { next.read() };
        // SAFETY: a pointer into the buffer, behind the header.
        let data = unsafe { libc::CMSG_DATA(next) };
        // SAFETY: takes a number only.
        let head = unsafe { libc::CMSG_LEN(0) } as usize;
        let length = (header.cmsg_len as usize).saturating_sub(head);
        // SAFETY: so many bytes are there, as the kernel says.
        let data = unsafe { std::slice::from_raw_parts(data, length) };
        found.push(one_along(header.cmsg_level, header.cmsg_type, data));
        // SAFETY: as above.
        next = unsafe { libc::CMSG_NXTHDR(message, next) };
    }
    found
}

fn one_along(level: i32, kind: i32, data: &[u8]) -> Along {
    let numbers = || data.chunks_exact(4).map(|n| RawFd::from_ne_bytes([n[0], n[1], n[2], n[3]]));
    // SAFETY: the kernel has just made it, and nobody else knows it.
    let own = |number| unsafe { OwnedFd::from_raw_fd(number) };
    match (level, kind, data.len()) {
        (LEVEL, RIGHTS, _) => Along::Descriptors(numbers().map(own).collect()),
        (LEVEL, PROCESS_HANDLE, 4) => {
            let number = numbers().next().unwrap_or(-1);
            Along::ProcessHandle(if number < 0 { Err(number) } else { Ok(own(number)) })
        }
        (LEVEL, CREDENTIALS, Peer::SIZE) => {
            let mut bytes = [0; Peer::SIZE];
            bytes.copy_from_slice(data);
            Along::Credentials(Peer::decode(bytes))
        }
        _ => Along::Other { level, kind, data: data.to_vec() },
    }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    use super::*;
    use crate::sys::{fd, process};

    fn own() -> Peer {
        let process = i32::try_from(std::process::id()).expect("a pid");
        Peer { process, uid: process::user(), gid: process::group() }
    }

    #[test]
    fn a_pair_knows_its_maker() {
        let (here, _there) = UnixStream::pair().expect("a pair");
        assert_eq!(peer(&here), Ok(own()));
        assert_eq!(Peer::decode(own().encode()), own());
        assert_eq!(names(&here), [None, None]);
        assert_eq!(is_unix(&here), Ok(true));
        assert_eq!(is_stream(&here), Ok(true));
        assert_eq!(is_nonblocking(&here), Ok(false));
        assert_eq!(peeking_moves(&here), Ok(false));
        assert_eq!(receive_timeout(&here), Ok(None));
        assert_eq!(is_unix(std::fs::File::open("/dev/null").expect("a file")), Err(Errno::NOTSOCK));
    }

    #[test]
    fn a_message_comes_with_everything() {
        let (mut here, there) = UnixStream::pair().expect("a pair");
        sockopt::set_socket_passcred(&there, true).expect("SO_PASSCRED");
        assert_eq!(passes_credentials(&there), Ok(true));
        assert_eq!(wait_readable(&there, Duration::from_millis(1)), Ok(false));
        let mut buffer = [0; 8];
        assert_eq!(receive(&there, &mut buffer, DO_NOT_WAIT).err(), Some(Errno::AGAIN));
        fd::send(&here, b"with", &[here.as_fd(), there.as_fd()]).expect("sent");
        here.write_all(b"more").expect("sent");
        assert_eq!(wait_readable(&there, Duration::from_secs(10)), Ok(true));
        for flags in [PEEK, 0] {
            let received = receive(&there, &mut buffer, flags).expect("received");
            assert_eq!(&buffer[..received.length], b"with");
            let [Along::Credentials(peer), Along::Descriptors(both)] = &received.along[..] else {
                panic!("{:?}", received.along)
            };
            assert_eq!((*peer, both.len()), (own(), 2));
            assert_eq!(received.flags & CONTROL_TRUNCATED, 0);
        }
    }

    #[test]
    fn names_and_senders_are_told() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name);
        let listener = UnixListener::bind(path("listener")).expect("bound");
        let [own, peer] = names(&listener);
        assert!(own.expect("a name").ends_with(b"/listener\0"));
        assert_eq!(peer, None);

        let sender = UnixDatagram::unbound().expect("a socket");
        bind(&sender, path("sender").as_os_str().as_bytes()).expect("bound");
        let again = bind(&sender, path("again").as_os_str().as_bytes());
        assert_eq!(again.err(), Some(Errno::INVAL), "only once");
        let receiver = UnixDatagram::bind(path("receiver")).expect("bound");
        sender.send_to(b"datagram", path("receiver")).expect("sent");
        let received = receive(&receiver, &mut [0; 3], libc::MSG_TRUNC.cast_unsigned());
        let received = received.expect("received");
        assert_eq!(received.length, 8);
        assert!(received.name.ends_with(b"/sender\0"), "{:?}", received.name);
        assert!(received.along.is_empty());
    }
}
