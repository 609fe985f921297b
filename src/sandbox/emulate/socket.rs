//! Unix sockets: who is at the other end, and whose the file is that a socket is bound to.
//!
//! The kernel keeps who a peer was when it connected, listened or made the pair (`SO_PEERCRED`,
//! unix(7)). To it that is root each time, and a number of a process. So who connects and listens is
//! remembered here, from the moment on in which there is anybody but root; what is not remembered
//! was root's. Who made a pair is who that process is now.

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::credentials::Credentials;
use super::message::Claims;
use super::request::{CURRENT_DIRECTORY, Reply, Request};
use super::{Answer, Shared, control, create, port};
use crate::sys::errno::Errno;
use crate::sys::native;
use crate::sys::socket::{self, Peer};
use crate::sys::tracee;

/// More than that many parties are not remembered; a build has a few.
const MOST_PARTIES: usize = 4096;

/// `sizeof(struct sockaddr_un)`.
const LONGEST_ADDRESS: usize = 110;

/// What is known about the sockets of a sandbox.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    /// Whether any socket tells who sent a message (`SO_PASSCRED`).
    tells_senders: AtomicBool,
    memory: Mutex<Memory>,
    claims: Mutex<Claims>,
}

impl Sockets {
    pub(super) fn tells_senders(&self) -> bool {
        self.tells_senders.load(Ordering::Acquire)
    }

    pub(super) fn claims(&self) -> MutexGuard<'_, Claims> {
        super::lock(&self.claims)
    }
}

/// A process at one end of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Party {
    pub credentials: Arc<Credentials>,
    /// Its number in each pid namespace, from ours to its own.
    pub numbers: Vec<i32>,
}

impl Party {
    /// A process as it is now.
    ///
    /// # Errors
    ///
    /// `ESRCH` when it has ended.
    pub(super) fn now(shared: &Shared, process: i32) -> Result<Self, Errno> {
        let credentials = shared.credentials_of(process)?;
        Ok(Self { credentials, numbers: numbers(shared, process)? })
    }

    /// Its number as the thread of a request knows it; 0 if it does not.
    pub(super) fn number_for(&self, request: &Request<'_>) -> Result<i32, Errno> {
        let depth = numbers(request.shared(), request.thread())?.len();
        Ok(self.numbers.get(depth.saturating_sub(1)).copied().unwrap_or(0))
    }
}

/// The numbers of a thread's process in each pid namespace, from ours to its own.
pub(super) fn numbers(shared: &Shared, thread: i32) -> Result<Vec<i32>, Errno> {
    let text = tracee::status(&shared.proc, thread, "NStgid:")?;
    Ok(text.split_whitespace().filter_map(|number| number.parse().ok()).collect())
}

/// What a process did to be somebody's peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Connected,
    Listened,
}

/// A process in a role, at an address; who it was then, `None` for root.
type Deed = (Role, Vec<u8>, Option<Party>);

/// Who connected and listened, the latest last, by the process's number.
#[derive(Debug, Default)]
struct Memory {
    deeds: HashMap<i32, Vec<Deed>>,
    count: usize,
    /// Something had to be forgotten.
    has_gaps: bool,
}

/// What [`Memory`] knows.
#[derive(Debug, PartialEq, Eq)]
enum Found<'m> {
    Party(&'m Party),
    Root,
    Unknown,
}

impl Memory {
    /// That somebody was root needs no memory, unless something else would be remembered.
    fn keep(&mut self, process: i32, role: Role, address: Vec<u8>, party: Option<Party>) {
        if party.is_none() && !self.deeds.contains_key(&process) {
            return;
        }
        if self.count >= MOST_PARTIES {
            *self = Self { has_gaps: true, ..Self::default() };
        }
        let deeds = self.deeds.entry(process).or_default();
        let before = deeds.len();
        deeds.retain(|(its_role, its_address, _)| (*its_role, its_address) != (role, &address));
        deeds.push((role, address, party));
        self.count = self.count + deeds.len() - before;
    }

    /// Who the peer of a socket was. A socket that was accepted has the name of the listening one;
    /// the other end has it as its peer's. A path can be spelt in several ways, so that what was
    /// done last in that role is the best answer when no name fits.
    fn find(&self, process: i32, own: Option<&[u8]>, peer: Option<&[u8]>) -> Found<'_> {
        let deeds = self.deeds.get(&process).map_or(&[][..], Vec::as_slice);
        let roles = [(Role::Listened, peer), (Role::Connected, own), (Role::Listened, own)];
        let roles = roles.iter().filter_map(|(role, address)| Some((*role, (*address)?)));
        let exact = |(role, address): (Role, &[u8])| {
            deeds.iter().rfind(|deed| (deed.0, &deed.1[..]) == (role, address))
        };
        let alike = |(role, _): (Role, &[u8])| deeds.iter().rfind(|deed| deed.0 == role);
        match roles.clone().find_map(exact).or_else(|| roles.clone().find_map(alike)) {
            Some((_, _, Some(party))) => Found::Party(party),
            Some((_, _, None)) => Found::Root,
            None if self.has_gaps => Found::Unknown,
            None => Found::Root,
        }
    }
}

/// An address without what may follow a path.
fn trimmed(mut address: Vec<u8>) -> Vec<u8> {
    const FAMILY: usize = 2;
    match address.get(FAMILY..).and_then(|path| path.iter().position(|byte| *byte == 0)) {
        // An abstract name begins with NUL and ends where it ends.
        None | Some(0) => {}
        Some(end) => address.truncate(FAMILY + end),
    }
    address
}

/// The `struct sockaddr` that arguments 1 and 2 are; `None` when it is too short or too long.
fn name(request: &Request<'_>) -> Result<Option<Vec<u8>>, Errno> {
    let length = usize::try_from(request.word(2)).unwrap_or(usize::MAX);
    if !(3..=socket::LONGEST_NAME).contains(&length) {
        return Ok(None);
    }
    let mut name = vec![0; length];
    request.read(request.arg(1), &mut name)?;
    Ok(Some(name))
}

/// A name that is a Unix socket's address, [`trimmed`].
fn address(name: Vec<u8>) -> Option<Vec<u8>> {
    let is_unix = name.starts_with(&socket::UNIX.to_ne_bytes()) && name.len() <= LONGEST_ADDRESS;
    is_unix.then(|| trimmed(name))
}

/// bind(2): the file belongs to who makes it; ports are [`port`]'s.
pub(super) fn bind(request: &Request<'_>) -> Reply {
    let Some(name) = name(request)? else { return Ok(Answer::Continue) };
    if let Some(address) = port::low(&name) {
        return port::bind(request, address);
    }
    if !request.shared().knows_creators {
        return Ok(Answer::Continue);
    }
    let path = address(name).and_then(|address| path(&address));
    let Some((path, Ok(socket))) = path.map(|path| (path, request.steal(request.int(0)))) else {
        return Ok(Answer::Continue);
    };
    if !socket::is_unix(&socket)? {
        return Ok(Answer::Continue);
    }
    create::make(request, CURRENT_DIRECTORY, &path, |_, name| {
        // The path as it was spelt is the name of the socket from now on.
        let spelt = path.to_bytes();
        if spelt.starts_with(b"/proc/") {
            socket::bind(&socket, name.to_bytes())
        } else if spelt.starts_with(b"/") || !spelt.contains(&b'/') {
            socket::bind(&socket, spelt)
        } else {
            let here = native::handle(c".", true)?;
            request.topmost_of(CURRENT_DIRECTORY, &path, false)?;
            let bound = socket::bind(&socket, spelt);
            request.stand_in(&here)?;
            bound
        }
    })
}

/// The path in the address that a call passes.
pub(super) fn path_argument(request: &Request<'_>) -> Result<Option<CString>, Errno> {
    Ok(name(request)?.and_then(address).and_then(|address| path(&address)))
}

/// The path in a trimmed address; abstract names have none.
fn path(address: &[u8]) -> Option<CString> {
    let path = address.get(2..).filter(|path| !path.is_empty())?;
    CString::new(path).ok()
}

/// connect(2): remembers who does it; ports are [`port`]'s.
pub(super) fn connect(request: &Request<'_>) -> Reply {
    let shared = request.shared();
    let remembers = !shared.credentials.is_roots_alone();
    if (remembers || shared.ports.any())
        && let Ok(Some(name)) = name(request)
    {
        if let Some(address) = port::low(&name) {
            return port::connect(request, address);
        }
        if remembers && let Some(address) = address(name) {
            // It fails only for a thread that has ended; so below.
            remember(request, Role::Connected, address).ok();
        }
    }
    Ok(Answer::Continue)
}

/// listen(2): remembers who does it.
pub(super) fn listen(request: &Request<'_>) -> Reply {
    if !request.shared().credentials.is_roots_alone()
        && let Ok(socket) = request.steal(request.int(0))
        && let [Some(address), _] = socket::names(&socket)
        && address.starts_with(&socket::UNIX.to_ne_bytes())
    {
        remember(request, Role::Listened, trimmed(address)).ok();
    }
    Ok(Answer::Continue)
}

fn remember(request: &Request<'_>, role: Role, address: Vec<u8>) -> Result<(), Errno> {
    let shared = request.shared();
    let process = tracee::process_of(&shared.proc, request.thread())?;
    let credentials = request.credentials()?;
    let party = match *credentials == Credentials::root() {
        true => None,
        false => Some(Party { credentials, numbers: numbers(shared, process)? }),
    };
    super::lock(&shared.sockets.memory).keep(process, role, address, party);
    Ok(())
}

/// getsockopt(2) of `SO_PEERCRED` and `SO_PEERGROUPS`.
pub(super) fn peer(request: &Request<'_>) -> Reply {
    let wants_groups = request.int(2) == socket::PEER_GROUPS;
    if request.shared().credentials.is_roots_alone() && !wants_groups {
        return Ok(Answer::Continue);
    }
    let Some(party) = request.steal(request.int(0)).ok().and_then(|s| party(request.shared(), &s))
    else {
        return Ok(Answer::Continue);
    };
    let mut room = [0; 4];
    request.read(request.arg(4), &mut room)?;
    let room =
        usize::try_from(control::narrow(&room, 0).cast_signed()).map_err(|_| Errno::INVAL)?;
    let told = if wants_groups {
        let groups: Vec<u8> =
            party.credentials.groups.iter().flat_map(|gid| gid.to_ne_bytes()).collect();
        if room < groups.len() {
            write_length(request, groups.len())?;
            return Err(Errno::RANGE);
        }
        groups
    } else {
        let (uid, gid) = (party.credentials.uid.effective, party.credentials.gid.effective);
        if (uid, gid) == (0, 0) {
            return Ok(Answer::Continue);
        }
        let process = party.number_for(request)?;
        let told = Peer { process, uid, gid }.encode();
        told[..room.min(told.len())].to_vec()
    };
    request.write(request.arg(3), &told)?;
    write_length(request, told.len())?;
    Ok(Answer::Value(0))
}

fn write_length(request: &Request<'_>, length: usize) -> Result<(), Errno> {
    let length = u32::try_from(length).expect("a list of groups is short");
    request.write(request.arg(4), &length.to_ne_bytes())
}

/// Who is at the other end; `None` when there is nobody, nobody whom we know, or nobody any more.
fn party(shared: &Shared, socket: &OwnedFd) -> Option<Party> {
    let native = socket::peer(socket).ok()?;
    // Another user's process outside, or one of no pid namespace that we see.
    if native.process == 0 || native.uid != 0 {
        return None;
    }
    let [own, peer] = socket::names(socket).map(|name| name.map(trimmed));
    if own.is_some() || peer.is_some() {
        match super::lock(&shared.sockets.memory).find(
            native.process,
            own.as_deref(),
            peer.as_deref(),
        ) {
            Found::Party(party) => return Some(party.clone()),
            Found::Root => {
                let credentials = Arc::new(Credentials::root());
                return Some(Party { credentials, numbers: Vec::new() });
            }
            Found::Unknown => {}
        }
    }
    Party::now(shared, native.process).ok()
}

/// setsockopt(2) of `SO_PASSCRED`.
pub(super) fn pass_credentials(request: &Request<'_>) -> Reply {
    request.shared().sockets.tells_senders.store(true, Ordering::Release);
    Ok(Answer::Continue)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(uid: u32) -> Party {
        let credentials = Credentials::root().setuid(uid).expect("root may");
        Party { credentials: Arc::new(credentials), numbers: vec![100, 5] }
    }

    fn uid(found: &Found<'_>) -> Option<u32> {
        match found {
            Found::Party(party) => Some(party.credentials.uid.effective),
            Found::Root => Some(0),
            Found::Unknown => None,
        }
    }

    #[test]
    fn peers_are_who_they_were() {
        let mut memory = Memory::default();
        let keep = |memory: &mut Memory, process, role, address: &str, party| {
            memory.keep(process, role, address.into(), party);
        };
        keep(&mut memory, 1, Role::Connected, "/root", None);
        assert_eq!(memory.count, 0, "root needs no memory");
        keep(&mut memory, 1, Role::Connected, "/a", Some(app(7)));
        keep(&mut memory, 1, Role::Connected, "/b", Some(app(8)));
        keep(&mut memory, 1, Role::Listened, "/server", Some(app(9)));
        let rows = [
            // The process, the socket's own name, its peer's name, whose the peer is
            (1, Some("/a"), None, Some(7)),
            (1, Some("/b"), None, Some(8)),
            (1, None, Some("/server"), Some(9)),
            (1, Some("/own"), Some("/server"), Some(9)),
            (1, Some("/server"), None, Some(9)),
            // Another path to the same file: what came last.
            (1, Some("/c"), None, Some(8)),
            (1, None, Some("/var/server"), Some(9)),
            (2, Some("/a"), None, Some(0)),
        ];
        for (process, own, peer, expected) in rows {
            let found = memory.find(process, own.map(str::as_bytes), peer.map(str::as_bytes));
            assert_eq!(uid(&found), expected, "{process} {own:?} {peer:?}");
        }
        keep(&mut memory, 1, Role::Connected, "/a", None);
        assert_eq!(uid(&memory.find(1, Some(b"/a"), None)), Some(0), "root again");
        assert_eq!(memory.count, 3, "one for each role and address");
    }

    #[test]
    fn memory_has_a_bound() {
        let mut memory = Memory::default();
        for process in 0..i32::try_from(MOST_PARTIES).expect("few") + 1 {
            memory.keep(process, Role::Connected, b"/a".to_vec(), Some(app(7)));
        }
        assert_eq!(memory.count, 1);
        assert_eq!(memory.find(1, Some(b"/a"), None), Found::Unknown);
    }

    #[test]
    fn addresses_end_with_their_path() {
        for (address, expected) in [
            (&b"\x01\0/run/x\0"[..], &b"\x01\0/run/x"[..]),
            (b"\x01\0/run/x\0rest", b"\x01\0/run/x"),
            (b"\x01\0/run/x", b"\x01\0/run/x"),
            (b"\x01\0\0abstract\0", b"\x01\0\0abstract\0"),
            (b"\x01\0", b"\x01\0"),
        ] {
            assert_eq!(trimmed(address.to_vec()), expected, "{address:?}");
        }
        assert_eq!(path(b"\x01\0/run/x").as_deref(), Some(c"/run/x"));
        assert_eq!(path(b"\x01\0\0abstract"), None);
        assert_eq!(path(b"\x01\0"), None);
    }
}
