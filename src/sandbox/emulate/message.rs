//! Messages whose sender says who it is (`SCM_CREDENTIALS`, unix(7)); [`super::receive`] passes it
//! on.
//!
//! A process may name itself, and a privileged one anybody. The kernel knows no other user here than
//! root, so the ids are checked by its rules, kept in mind and replaced by 0 in the process's own
//! buffer, before the kernel looks at it. They stay replaced: when the kernel has read them is not
//! to be known. So a process that sends the same buffer again, or whose call the kernel repeats
//! after a signal, seems to say 0; a mark in the header of the message, in a field that the kernel
//! does not read there, tells it from one that means it.
//!
//! What a process said last counts for all its messages that are still to be received.

use std::collections::VecDeque;

use super::Answer;
use super::control::{self, Header};
use super::credentials::{Capability, Credentials};
use super::request::{Reply, Request};
use super::socket as sockets;
use super::tables::Call;
use crate::sys::errno::Errno;
use crate::sys::socket::{self, Peer};

/// Claims that are kept in mind; the oldest is forgotten first.
const MOST_CLAIMS: usize = 256;

/// Stands in `msg_flags`, which sendmsg(2) ignores; sendmmsg(2) reads `MSG_EOR` there, 0x80.
const MARK: u32 = 0x6272_796f & !0x80;

/// Longer control messages are no credentials.
const LONGEST_CONTROL: u64 = 64 << 10;

/// What a process has said about who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    /// Its number for us, if it has spoken of itself.
    process: Option<i32>,
    /// The number that was named, and the depth of the pid namespace where it has that.
    named: (usize, i32),
    pub uid: u32,
    pub gid: u32,
    /// Its number in each pid namespace from ours on, if it has spoken of itself.
    pub numbers: Vec<i32>,
    /// Where in its memory it was said; `None` where it was not said, and is only what it was.
    said_at: Option<u64>,
}

impl Claim {
    #[cfg(test)]
    pub(super) fn of(uid: u32, is_said: bool) -> Self {
        let said_at = is_said.then_some(16);
        Self { process: Some(1), named: (0, 1), uid, gid: 0, numbers: Vec::new(), said_at }
    }

    /// Whether it was put into words, and so counts more than what the process is.
    pub(super) fn is_said(&self) -> bool {
        self.said_at.is_some()
    }

    fn is_about(&self, process: i32, numbers: Option<&[i32]>) -> bool {
        let (depth, number) = self.named;
        self.process == Some(process)
            || self.process.is_none()
                && numbers.is_some_and(|numbers| numbers.get(depth) == Some(&number))
    }
}

/// What was said lately about who sent messages.
#[derive(Debug, Default)]
pub(super) struct Claims(VecDeque<Claim>);

impl Claims {
    fn keep(&mut self, claim: Claim) {
        self.0.retain(|old| (old.process, old.named) != (claim.process, claim.named));
        if self.0.len() >= MOST_CLAIMS {
            self.0.pop_front();
        }
        self.0.push_back(claim);
    }

    fn forget(&mut self, named: (usize, i32)) {
        self.0.retain(|old| old.named != named);
    }

    /// What was said about a process, the number of which in each pid namespace is known if it lives.
    pub(super) fn about(&self, process: i32, numbers: Option<&[i32]>) -> Option<&Claim> {
        self.0.iter().rfind(|claim| claim.is_about(process, numbers))
    }

    fn said_at(&self, process: i32, address: u64) -> Option<&Claim> {
        self.0
            .iter()
            .rfind(|claim| claim.process == Some(process) && claim.said_at == Some(address))
    }
}

/// sendmsg(2) and sendmmsg(2).
pub(super) fn send(request: &Request<'_>) -> Reply {
    let count = match request.call() {
        Call::Sendmsg => 1,
        _ => u64::from(request.word(2)).min(control::MOST_PARTS),
    };
    let mut speaks = false;
    for index in 0..count {
        let step = index * Header::step(request.abi().pointer_size()) as u64;
        // What cannot be read the kernel cannot read either.
        let address = request.arg(1).wrapping_add(step);
        let Ok(header) = Header::of(request, address) else { break };
        match claim(request, address, &header) {
            Ok(claimed) => speaks |= claimed,
            // The kernel sends those before it, and stops here.
            Err(_) if index > 0 => break,
            Err(errno) => return Err(errno),
        }
    }
    if !speaks && request.shared().sockets.tells_senders() {
        // It fails only for a thread that has ended, and that sends nothing.
        remember_sender(request).ok();
    }
    Ok(Answer::Continue)
}

/// In case it has ended when the message is received.
fn remember_sender(request: &Request<'_>) -> Result<(), Errno> {
    let shared = request.shared();
    let credentials = request.credentials()?;
    let (uid, gid) = (credentials.uid.real, credentials.gid.real);
    let numbers = sockets::numbers(shared, request.thread())?;
    let own = own_number(&numbers);
    let mut claims = shared.sockets.claims();
    if (uid, gid) == (0, 0) {
        claims.forget(own);
    } else {
        let process = numbers.first().copied();
        claims.keep(Claim { process, named: own, uid, gid, numbers, said_at: None });
    }
    Ok(())
}

/// The number by which a process calls itself, and how deep its pid namespace lies.
fn own_number(numbers: &[i32]) -> (usize, i32) {
    (numbers.len().saturating_sub(1), numbers.last().copied().unwrap_or(0))
}

/// Checks and replaces what one message, with its header at `address`, says about its sender;
/// whether it says anything.
fn claim(request: &Request<'_>, address: u64, header: &Header) -> Result<bool, Errno> {
    let word = request.abi().pointer_size();
    if header.control == 0 || header.control_length > LONGEST_CONTROL {
        return Ok(false);
    }
    let mut buffer = vec![0; usize::try_from(header.control_length).unwrap_or_default()];
    if request.read(header.control, &mut buffer).is_err() {
        return Ok(false);
    }
    // An invalid buffer the kernel refuses.
    let controls = control::controls(&buffer, word).unwrap_or_default();
    let said = controls.iter().filter_map(|one| {
        let is_said = (one.level, one.kind) == (socket::LEVEL, socket::CREDENTIALS);
        Some((Peer::decode(one.data.try_into().ok()?), one.offset)).filter(|_| is_said)
    });
    let mut speaks = false;
    for (said, offset) in said {
        speaks = true;
        if replace(request, said, header.control + offset as u64, header.flags == MARK)? {
            let [.., flags] = Header::outputs(word);
            request.write(address.wrapping_add(flags as u64), &MARK.to_ne_bytes())?;
        }
    }
    Ok(speaks)
}

/// Checks one `struct ucred` at `address`; whether its ids had to be replaced.
fn replace(
    request: &Request<'_>,
    mut said: Peer,
    address: u64,
    is_marked: bool,
) -> Result<bool, Errno> {
    const IDS: u64 = 4;
    let shared = request.shared();
    let credentials = request.credentials()?;
    let numbers = sockets::numbers(shared, request.thread())?;
    let own = own_number(&numbers);
    let process = numbers.first().copied().filter(|_| said.process == own.1);
    if is_marked && (said.uid, said.gid) == (0, 0) {
        let claims = shared.sockets.claims();
        if let Some(before) = process.and_then(|process| claims.said_at(process, address)) {
            (said.uid, said.gid) = (before.uid, before.gid);
        }
    }
    may_claim(&credentials, said, own.1)?;
    let named = (own.0, said.process);
    if (said.uid, said.gid) == (0, 0) {
        shared.sockets.claims().forget(named);
        return Ok(false);
    }
    request.write(address + IDS, &[0; 8])?;
    let (uid, gid, said_at) = (said.uid, said.gid, Some(address));
    let numbers = if process.is_some() { numbers } else { Vec::new() };
    shared.sockets.claims().keep(Claim { process, named, uid, gid, numbers, said_at });
    Ok(true)
}

/// The kernel's `scm_check_creds()`. `own` is the process's number in its own pid namespace.
fn may_claim(credentials: &Credentials, said: Peer, own: i32) -> Result<(), Errno> {
    if said.uid == u32::MAX || said.gid == u32::MAX {
        return Err(Errno::INVAL);
    }
    let (uid, gid) = (credentials.uid, credentials.gid);
    let allowed = (said.process == own || credentials.may(Capability::SysAdmin))
        && ([uid.real, uid.effective, uid.saved].contains(&said.uid)
            || credentials.may(Capability::SetUid))
        && ([gid.real, gid.effective, gid.saved].contains(&said.gid)
            || credentials.may(Capability::SetGid));
    if allowed { Ok(()) } else { Err(Errno::PERM) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> Credentials {
        let root = Credentials::root().setresgid(7, 8, 9);
        root.and_then(|c| c.setresuid(1, 2, 3)).expect("root may")
    }

    #[test]
    fn claims_follow_the_kernels_rules() {
        let rows = [
            // Whose, number, uid, gid; the process's own number is 5.
            (Credentials::root(), 5, 0, 0, Ok(())),
            (Credentials::root(), 6, 1000, 1000, Ok(())),
            (Credentials::root(), 5, u32::MAX, 0, Err(Errno::INVAL)),
            (Credentials::root(), 5, 0, u32::MAX, Err(Errno::INVAL)),
            (app(), 5, 1, 7, Ok(())),
            (app(), 5, 2, 8, Ok(())),
            (app(), 5, 3, 9, Ok(())),
            (app(), 6, 1, 7, Err(Errno::PERM)),
            (app(), 5, 0, 7, Err(Errno::PERM)),
            (app(), 5, 1, 0, Err(Errno::PERM)),
            (app(), 5, 7, 1, Err(Errno::PERM)),
        ];
        for (credentials, process, uid, gid, expected) in rows {
            let found = may_claim(&credentials, Peer { process, uid, gid }, 5);
            assert_eq!(found, expected, "{process} {uid}:{gid}");
        }
    }

    fn claim(process: Option<i32>, number: i32, uid: u32, said_at: Option<u64>) -> Claim {
        Claim { process, named: (1, number), uid, gid: 0, numbers: Vec::new(), said_at }
    }

    #[test]
    fn the_last_claim_counts() {
        let mut claims = Claims::default();
        claims.keep(claim(Some(100), 5, 1, Some(16)));
        claims.keep(claim(None, 6, 2, Some(16)));
        let uid = |claims: &Claims, process, numbers| claims.about(process, numbers).map(|c| c.uid);
        assert_eq!(uid(&claims, 100, None), Some(1), "it may have ended");
        assert_eq!(uid(&claims, 101, Some(&[101, 6])), Some(2));
        assert_eq!(uid(&claims, 101, Some(&[101, 7])), None);
        assert_eq!(uid(&claims, 101, None), None);
        assert_eq!(claims.said_at(100, 16).map(|c| c.uid), Some(1));
        assert_eq!(claims.said_at(100, 17), None);

        claims.keep(claim(Some(100), 5, 3, None));
        assert_eq!(uid(&claims, 100, Some(&[100, 5])), Some(3));
        assert_eq!(claims.0.len(), 2, "one for each process");
        claims.forget((1, 5));
        assert_eq!(uid(&claims, 100, Some(&[100, 5])), None);

        for number in 0..1000 {
            claims.keep(claim(Some(number), number, 4, None));
        }
        assert_eq!(claims.0.len(), MOST_CLAIMS);
        assert_eq!(uid(&claims, 999, None), Some(4));
    }
}
