//! Messages that tell their reader who sent them (`SO_PASSCRED`, unix(7)).
//!
//! Once a socket asks for that, each message is peeked at. If root sent it, the kernel delivers it.
//! Otherwise it is received here and delivered with the sender's ids: those that it has named
//! ([`super::message`]), else those that it has, else, if it has ended, those that it had when it
//! last sent something by sendmsg(2).
//!
//! The worker waits in the place of the process, and looks now and then whether that one still does,
//! and whether a signal has come for it, which the kernel holds back meanwhile.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use super::Answer;
use super::control::{self, Filling, Header, MOST_PARTS};
use super::message::Claim;
use super::request::{Reply, Request};
use super::socket::{self as sockets, Party};
use super::tables::Call;
use crate::sys::errno::Errno;
use crate::sys::socket::{self, Along, Peer, Received};
use crate::sys::tracee;

/// As much of a stream as is received at once; a message is received whole.
const MOST_OF_STREAM: u64 = 256 << 10;
const LONGEST_MESSAGE: u64 = 64 << 20;

/// How long to wait for a message before looking at its reader.
const FIRST_WAIT: Duration = Duration::from_millis(1);
const LONGEST_WAIT: Duration = Duration::from_millis(50);

/// How often a signal that any thread of the process may take is seen before it is this one's.
const SIGHTINGS: u32 = 3;

/// `ERESTARTSYS`: the kernel runs the handler of a signal that has come, and then repeats the call
/// or says `EINTR`, as the handler was installed.
const RESTART: Errno = Errno::from_raw_os_error(512);

/// recvmsg(2) and recvmmsg(2).
pub(super) fn receive(request: &Request<'_>) -> Reply {
    if !request.shared().sockets.tells_senders() {
        return Ok(Answer::Continue);
    }
    let is_single = request.call() == Call::Recvmsg;
    let flags = request.word(if is_single { 2 } else { 3 });
    let Some(reader) = Reader::new(request, flags & !socket::WAIT_FOR_ONE) else {
        return Ok(Answer::Continue);
    };
    if is_single {
        let received = reader.receive(request.arg(1), false)?;
        return Ok(received.map_or(Answer::Continue, |length| Answer::Value(signed(length))));
    }
    // As with MSG_WAITFORONE: a reader must expect fewer messages than it asked for anyway.
    let (count, mut received) = (u64::from(request.word(2)).min(MOST_PARTS), 0);
    while received < count {
        let address = request.arg(1).wrapping_add(received * Header::step(reader.word) as u64);
        let length = match reader.receive(address, received > 0) {
            Ok(Some(length)) => u32::try_from(length).unwrap_or(u32::MAX),
            Ok(None) | Err(_) if received > 0 => break,
            Ok(None) => return Ok(Answer::Continue),
            Err(errno) => return Err(errno),
        };
        let behind = address.wrapping_add(Header::size(reader.word) as u64);
        request.write(behind, &length.to_ne_bytes())?;
        received += 1;
    }
    Ok(Answer::Value(received.cast_signed()))
}

fn signed(length: usize) -> i64 {
    i64::try_from(length).expect("no message is that long")
}

/// Who sent a message.
#[derive(Debug, PartialEq, Eq)]
struct Sender {
    uid: u32,
    gid: u32,
    /// Its number in each pid namespace, from ours on; empty if nobody knows any more.
    numbers: Vec<i32>,
}

impl Sender {
    /// By what a process is, if it still is, and what it has said.
    fn of(now: Option<Party>, claim: Option<Claim>) -> Option<Self> {
        let (uid, gid) = match (&now, &claim) {
            (_, Some(claim)) if now.is_none() || claim.is_said() => (claim.uid, claim.gid),
            (Some(now), _) => (now.credentials.uid.real, now.credentials.gid.real),
            (None, _) => return None,
        };
        let numbers = now.map(|now| now.numbers).or(claim.map(|claim| claim.numbers));
        Some(Self { uid, gid, numbers: numbers.unwrap_or_default() })
    }

    fn is_root(&self) -> bool {
        (self.uid, self.gid) == (0, 0)
    }
}

/// A socket that tells who sent, and who reads from it.
struct Reader<'r> {
    request: &'r Request<'r>,
    socket: OwnedFd,
    flags: u32,
    word: usize,
    is_stream: bool,
    waits: bool,
}

impl<'r> Reader<'r> {
    /// `None` when the kernel can do it.
    fn new(request: &'r Request<'r>, flags: u32) -> Option<Self> {
        if flags & (socket::OUT_OF_BAND | socket::ERROR_QUEUE) != 0 {
            return None;
        }
        let socket = request.steal(request.int(0)).ok()?;
        let is_concerned = socket::is_unix(&socket).ok()?
            && socket::passes_credentials(&socket).ok()?
            && !socket::peeking_moves(&socket).ok()?;
        if !is_concerned {
            return None;
        }
        let is_stream = socket::is_stream(&socket).ok()?;
        let waits = flags & socket::DO_NOT_WAIT == 0 && !socket::is_nonblocking(&socket).ok()?;
        let word = request.abi().pointer_size();
        Some(Self { request, socket, flags, word, is_stream, waits })
    }

    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Receives as the message header at `address` says; `None` when the kernel is to do it.
    /// `at_once`: without waiting.
    fn receive(&self, address: u64, at_once: bool) -> Result<Option<usize>, Errno> {
        let Ok(header) = Header::of(self.request, address) else { return Ok(None) };
        let Some(parts) = self.parts(&header) else { return Ok(None) };
        let wanted = parts.iter().fold(0_u64, |sum, (_, length)| sum.saturating_add(*length));
        let in_parts = self.is_stream && !self.has(socket::WAIT_FOR_ALL);
        let most = if in_parts { MOST_OF_STREAM } else { LONGEST_MESSAGE };
        let mut buffer = vec![0; usize::try_from(wanted.min(most)).unwrap_or_default()];
        let mut received = loop {
            if !self.wait(self.waits && !at_once)? || self.next_is_natives() {
                return Ok(None);
            }
            match socket::receive(&self.socket, &mut buffer, self.flags | socket::DO_NOT_WAIT) {
                Ok(received) => break received,
                // Somebody else was faster.
                Err(Errno::AGAIN) => {}
                Err(errno) => return Err(errno),
            }
        };
        self.fill(&mut buffer, &mut received);
        let length = received.length;
        let data = &buffer[..length.min(buffer.len())];
        self.write_parts(&parts, data)?;
        self.write_header(address, &header, received)?;
        Ok(Some(length))
    }

    fn parts(&self, header: &Header) -> Option<Vec<(u64, u64)>> {
        if header.vector_count > MOST_PARTS || header.name_length.cast_signed() < 0 {
            return None;
        }
        let size = usize::try_from(header.vector_count).ok()? * 2 * self.word;
        let mut bytes = vec![0; size];
        self.request.read(header.vectors, &mut bytes).ok()?;
        Some(control::vectors(&bytes, self.word))
    }

    /// Waits for a message; false: there is none, and the kernel is to say so.
    ///
    /// # Errors
    ///
    /// What ends the call without one: its own time limit, a signal, the end of the process.
    fn wait(&self, waits: bool) -> Result<bool, Errno> {
        if !waits {
            return socket::wait_readable(&self.socket, Duration::ZERO);
        }
        let limit = socket::receive_timeout(&self.socket)?;
        let (start, mut pause, mut sightings) = (Instant::now(), FIRST_WAIT, 0);
        loop {
            let left = limit.map_or(pause, |limit| limit.saturating_sub(start.elapsed()));
            let wait = || socket::wait_readable(&self.socket, pause.min(left));
            let Some(is_there) = self.request.step_aside(wait).transpose()? else {
                return Ok(false);
            };
            // A process that has been killed meanwhile must not take a message with it.
            if !self.request.is_waiting() || self.request.shared().is_stopping() {
                return Err(Errno::INTR);
            }
            if is_there {
                return Ok(true);
            }
            if left.is_zero() {
                return Err(Errno::AGAIN);
            }
            let interrupted = if limit.is_some() { Errno::INTR } else { RESTART };
            match self.signal()? {
                Signal::None => sightings = 0,
                Signal::Threads => return Err(interrupted),
                // If another thread took it after all, there would be no handler to run here, and
                // the process would see a number that is no error's.
                Signal::Processes if sightings >= SIGHTINGS => return Err(Errno::INTR),
                Signal::Processes => sightings += 1,
            }
            pause = (pause * 2).min(LONGEST_WAIT);
        }
    }

    /// The signal that waits for the end of the call.
    fn signal(&self) -> Result<Signal, Errno> {
        let request = self.request;
        let status = |field, radix| {
            let text = tracee::status(&request.shared().proc, request.thread(), field)?;
            u64::from_str_radix(text.trim(), radix).map_err(|_| Errno::SRCH)
        };
        let heard = !status("SigBlk:", 16)?;
        if status("SigPnd:", 16)? & heard != 0 {
            Ok(Signal::Threads)
        } else if status("ShdPnd:", 16)? & heard == 0 {
            Ok(Signal::None)
        } else if status("Threads:", 10)? == 1 {
            Ok(Signal::Threads)
        } else {
            Ok(Signal::Processes)
        }
    }

    /// Whether the kernel can deliver what comes next: it is nothing, or root sent it, or nobody
    /// knows who did.
    fn next_is_natives(&self) -> bool {
        let flags = socket::PEEK | socket::DO_NOT_WAIT;
        let Ok(peeked) = socket::receive(&self.socket, &mut [0], flags) else { return true };
        // The end of a stream is from nobody, whom the kernel calls root, of all users; and root
        // outside is a stranger to it here.
        let is_end = self.is_stream && peeked.length == 0;
        if is_end && peer(&peeked).is_some_and(|peer| peer.process == 0 && peer.uid != 0) {
            return false;
        }
        self.sender(&peeked).is_none_or(|sender| sender.is_root())
    }

    fn sender(&self, received: &Received) -> Option<Sender> {
        let peer = peer(received)?;
        // Others are no processes of the sandbox.
        if peer.process == 0 || (peer.uid, peer.gid) != (0, 0) {
            return None;
        }
        let shared = self.request.shared();
        let now = Party::now(shared, peer.process).ok();
        let numbers = now.as_ref().map(|party| &party.numbers[..]);
        let claim = shared.sockets.claims().about(peer.process, numbers).cloned();
        Sender::of(now, claim)
    }

    /// Goes on until a stream has filled the buffer (`MSG_WAITALL`), or what follows is of another
    /// sender or has descriptors with it.
    fn fill(&self, buffer: &mut [u8], received: &mut Received) {
        if !self.is_stream || !self.has(socket::WAIT_FOR_ALL) || self.has(socket::PEEK) {
            return;
        }
        let flags = socket::DO_NOT_WAIT;
        while (1..buffer.len()).contains(&received.length)
            && self.wait(self.waits) == Ok(true)
            && let Ok(next) = socket::receive(&self.socket, &mut [0], socket::PEEK | flags)
            && peer(&next) == peer(received)
            && next.along.len() == 1
            && let Ok(more) = socket::receive(&self.socket, &mut buffer[received.length..], flags)
            && more.length > 0
        {
            received.length += more.length;
        }
    }

    fn write_parts(&self, parts: &[(u64, u64)], data: &[u8]) -> Result<(), Errno> {
        let mut rest = data;
        for (address, length) in parts {
            let length = usize::try_from(*length).unwrap_or(usize::MAX).min(rest.len());
            let (part, behind) = rest.split_at(length);
            if !part.is_empty() {
                self.request.write(*address, part)?;
            }
            rest = behind;
        }
        Ok(())
    }

    /// Writes the name, what came along, and how much of both there is.
    fn write_header(&self, address: u64, header: &Header, received: Received) -> Result<(), Errno> {
        let request = self.request;
        let [name_length, control_length, flags] =
            Header::outputs(self.word).map(|offset| address.wrapping_add(offset as u64));
        if header.name != 0 {
            let name = &received.name;
            let fits = name.len().min(header.name_length as usize);
            if fits > 0 {
                request.write(header.name, &name[..fits])?;
            }
            let length = u32::try_from(name.len()).expect("a short name");
            request.write(name_length, &length.to_ne_bytes())?;
        }
        let size = if header.control == 0 { 0 } else { header.control_length };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let mut filling = Filling::new(size, self.word);
        let sender = self.sender(&received);
        let mut told = received.flags;
        for along in received.along {
            self.put(&mut filling, along, sender.as_ref())?;
        }
        if !self.has(socket::CLOSE_ON_EXEC) {
            told &= !socket::CLOSE_ON_EXEC;
        }
        if filling.truncated {
            told |= socket::CONTROL_TRUNCATED;
        }
        if !filling.bytes().is_empty() {
            request.write(header.control, filling.bytes())?;
        }
        let length = control::encode(filling.bytes().len() as u64, self.word);
        request.write(control_length, &length)?;
        request.write(flags, &told.to_ne_bytes())
    }

    fn put(
        &self,
        filling: &mut Filling,
        along: Along,
        sender: Option<&Sender>,
    ) -> Result<(), Errno> {
        match along {
            Along::Credentials(_) => {
                let depth = sockets::numbers(self.request.shared(), self.request.thread())?.len();
                let number = |sender: &Sender| sender.numbers.get(depth.checked_sub(1)?).copied();
                let told = Peer {
                    process: sender.and_then(number).unwrap_or(0),
                    uid: sender.map_or(0, |sender| sender.uid),
                    gid: sender.map_or(0, |sender| sender.gid),
                };
                filling.put(socket::LEVEL, socket::CREDENTIALS, &told.encode());
            }
            Along::Descriptors(descriptors) => {
                let close_on_exec = self.has(socket::CLOSE_ON_EXEC);
                let given: Vec<i32> = descriptors
                    .iter()
                    .take(filling.descriptors())
                    .map_while(|descriptor| self.request.give(descriptor, close_on_exec).ok())
                    .collect();
                filling.truncated |= given.len() < descriptors.len();
                if !given.is_empty() {
                    let data: Vec<u8> = given.iter().flat_map(|n| n.to_ne_bytes()).collect();
                    filling.put(socket::LEVEL, socket::RIGHTS, &data);
                }
            }
            Along::ProcessHandle(_) if filling.descriptors() == 0 => filling.truncated = true,
            Along::ProcessHandle(handle) => {
                let number = match handle {
                    Ok(handle) => self.request.give(&handle, true)?,
                    Err(number) => number,
                };
                filling.put(socket::LEVEL, socket::PROCESS_HANDLE, &number.to_ne_bytes());
            }
            Along::Other { level, kind, data } => filling.put(level, kind, &data),
        }
        Ok(())
    }
}

/// A signal that is pending and not blocked.
enum Signal {
    None,
    /// This thread is the one to take it.
    Threads,
    /// Any thread of the process may take it.
    Processes,
}

fn peer(received: &Received) -> Option<Peer> {
    received.along.iter().find_map(|along| match along {
        Along::Credentials(peer) => Some(*peer),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::sandbox::emulate::credentials::Credentials;

    #[test]
    fn senders_are_who_they_say_or_else_who_they_are() {
        let party = |uid| {
            let credentials = Credentials::root().setuid(uid).expect("root may");
            Party { credentials: Arc::new(credentials), numbers: vec![100, 5] }
        };
        let (said, was) = (Claim::of(1, true), Claim::of(2, false));
        let rows = [
            (Some(party(7)), None, Some((7, 2))),
            (Some(party(7)), Some(&said), Some((1, 2))),
            (Some(party(7)), Some(&was), Some((7, 2))),
            (None, Some(&said), Some((1, 0))),
            (None, Some(&was), Some((2, 0))),
            (None, None, None),
        ];
        for (now, claim, expected) in rows {
            let found = Sender::of(now.clone(), claim.cloned());
            let found = found.map(|sender| (sender.uid, sender.numbers.len()));
            assert_eq!(found, expected, "{now:?} {claim:?}");
        }
    }
}
