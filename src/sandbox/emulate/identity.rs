//! Who a process is: the calls that ask for ids, groups and capabilities, and those that change
//! them. The rules are those of [`Credentials`]; here is how they travel.

use super::credentials::{Ambient, Capabilities, Credentials, GROUPS_MAX, UNCHANGED};
use super::request::{Reply, Request};
use super::tables::Call;
use super::{Answer, process};
use crate::sys::errno::Errno;
use crate::sys::tracee;

/// What a call with 16-bit ids says of those that do not fit (`overflowuid`).
const OVERFLOW: u16 = 65534;

/// setuid(2) and its kin.
pub(super) fn change(request: &Request<'_>) -> Reply {
    let old = request.credentials()?;
    let id = |index| request.id(index);
    let mut value = 0;
    let new = match request.call() {
        Call::Setuid => old.setuid(id(0))?,
        Call::Setgid => old.setgid(id(0))?,
        Call::Setreuid => old.setreuid(id(0), id(1))?,
        Call::Setregid => old.setregid(id(0), id(1))?,
        Call::Setresuid => old.setresuid(id(0), id(1), id(2))?,
        Call::Setresgid => old.setresgid(id(0), id(1), id(2))?,
        Call::Setfsuid => {
            value = old.uid.fs.into();
            old.setfsuid(id(0))
        }
        Call::Setfsgid => {
            value = old.gid.fs.into();
            old.setfsgid(id(0))
        }
        _ => {
            let count = usize::try_from(request.word(0)).unwrap_or(usize::MAX);
            old.may_set_groups(count)?;
            old.setgroups(read_groups(request, count)?)?
        }
    };
    become_other(request, &old, new)?;
    Ok(Answer::Value(value))
}

/// getuid(2) and its kin.
pub(super) fn tell(request: &Request<'_>) -> Reply {
    let own = request.credentials()?;
    let one = |id| Ok(Answer::Value(shown(request, id).into()));
    match request.call() {
        Call::Getuid => one(own.uid.real),
        Call::Geteuid => one(own.uid.effective),
        Call::Getgid => one(own.gid.real),
        Call::Getegid => one(own.gid.effective),
        Call::Getgroups => tell_groups(request, &own.groups),
        call => {
            let ids = if call == Call::Getresuid { own.uid } else { own.gid };
            for (index, id) in [ids.real, ids.effective, ids.saved].into_iter().enumerate() {
                request.write(request.arg(index), &encode(request, id))?;
            }
            Ok(Answer::Value(0))
        }
    }
}

fn tell_groups(request: &Request<'_>, groups: &[u32]) -> Reply {
    let room = usize::try_from(request.int(0)).map_err(|_| Errno::INVAL)?;
    if room > 0 {
        if groups.len() > room {
            return Err(Errno::INVAL);
        }
        let bytes: Vec<u8> = groups.iter().flat_map(|group| encode(request, *group)).collect();
        if !bytes.is_empty() {
            request.write(request.arg(1), &bytes)?;
        }
    }
    Ok(Answer::Value(groups.len().try_into().expect("no more than 65536")))
}

fn read_groups(request: &Request<'_>, count: usize) -> Result<Vec<u32>, Errno> {
    debug_assert!(count <= GROUPS_MAX);
    let short = request.trapped().short_ids;
    let mut bytes = vec![0; count * if short { 2 } else { 4 }];
    if count > 0 {
        request.read(request.arg(1), &mut bytes)?;
    }
    let narrow = |pair: &[u8]| match u16::from_ne_bytes(pair.try_into().expect("two bytes")) {
        u16::MAX => UNCHANGED,
        group => group.into(),
    };
    let wide = |four: &[u8]| u32::from_ne_bytes(four.try_into().expect("four bytes"));
    Ok(if short {
        bytes.chunks(2).map(narrow).collect()
    } else {
        bytes.chunks(4).map(wide).collect()
    })
}

/// An id as this call can express it.
fn shown(request: &Request<'_>, id: u32) -> u32 {
    if request.trapped().short_ids { u16::try_from(id).unwrap_or(OVERFLOW).into() } else { id }
}

/// An id as this call writes it to memory.
fn encode(request: &Request<'_>, id: u32) -> Vec<u8> {
    if request.trapped().short_ids {
        u16::try_from(id).unwrap_or(OVERFLOW).to_ne_bytes().to_vec()
    } else {
        id.to_ne_bytes().to_vec()
    }
}

fn become_other(request: &Request<'_>, old: &Credentials, new: Credentials) -> Result<(), Errno> {
    if *old == new { Ok(()) } else { request.set_credentials(new) }
}

/// `struct __user_cap_header_struct`: a version, which tells how many 32-bit words a set has, and
/// whose capabilities are meant.
struct Header {
    words: usize,
    pid: Result<i32, Errno>,
}

const PREFERRED_VERSION: u32 = 0x2008_0522;
const VERSIONS: [(u32, usize); 3] = [(0x1998_0330, 1), (0x2007_1026, 2), (PREFERRED_VERSION, 2)];

impl Header {
    /// The inner error is for after the version.
    fn read(request: &Request<'_>) -> Result<Self, Errno> {
        let mut bytes = [0; 4];
        request.read(request.arg(0), &mut bytes)?;
        let version = u32::from_ne_bytes(bytes);
        let Some((_, words)) = VERSIONS.iter().find(|(known, _)| *known == version) else {
            request.write(request.arg(0), &PREFERRED_VERSION.to_ne_bytes())?;
            return Err(Errno::INVAL);
        };
        let pid = request.read(request.arg(0).wrapping_add(4), &mut bytes);
        Ok(Self { words: *words, pid: pid.map(|()| i32::from_ne_bytes(bytes)) })
    }
}

pub(super) fn capget(request: &Request<'_>) -> Reply {
    let nowhere = request.arg(1) == 0;
    let header = match Header::read(request) {
        // Only the version is asked for.
        Err(Errno::INVAL) if nowhere => return Ok(Answer::Value(0)),
        Ok(_) if nowhere => return Ok(Answer::Value(0)),
        header => header?,
    };
    let sets = match header.pid? {
        0 => request.credentials()?.capabilities,
        ..0 => return Err(Errno::INVAL),
        pid => process::credentials(request, pid).ok_or(Errno::SRCH)?.capabilities,
    };
    request.write(request.arg(1), &encode_sets(sets, header.words))?;
    Ok(Answer::Value(0))
}

pub(super) fn capset(request: &Request<'_>) -> Reply {
    let header = Header::read(request)?;
    let pid = header.pid?;
    if pid != 0 && pid != own_number(request)? {
        return Err(Errno::PERM);
    }
    let mut bytes = vec![0; header.words * 12];
    request.read(request.arg(1), &mut bytes)?;
    let [effective, permitted, inheritable] = decode_sets(&bytes);
    let old = request.credentials()?;
    become_other(request, &old, old.capset(effective, permitted, inheritable)?)?;
    Ok(Answer::Value(0))
}

/// `struct __user_cap_data_struct`, once or twice: effective, permitted, inheritable; lower words
/// first.
#[expect(clippy::cast_possible_truncation, reason = "a set is split into its halves")]
fn encode_sets(sets: Capabilities, words: usize) -> Vec<u8> {
    (0..words)
        .flat_map(|word| {
            [sets.effective, sets.permitted, sets.inheritable]
                .map(|set| ((set >> (32 * word)) as u32).to_ne_bytes())
        })
        .flatten()
        .collect()
}

fn decode_sets(bytes: &[u8]) -> [u64; 3] {
    let mut sets = [0; 3];
    for (index, word) in bytes.chunks(4).enumerate() {
        let word = u32::from_ne_bytes(word.try_into().expect("four bytes"));
        sets[index % 3] |= u64::from(word) << (index / 3 * 32);
    }
    sets
}

/// The thread's number in its own pid namespace.
fn own_number(request: &Request<'_>) -> Result<i32, Errno> {
    let numbers = tracee::status(&request.shared().proc, request.thread(), "NSpid:")?;
    let own = numbers.split_whitespace().next_back().and_then(|number| number.parse().ok());
    own.ok_or(Errno::SRCH)
}

/// The options of prctl(2) that are about credentials; the filter passes no others.
mod option {
    pub(super) const GET_KEEPCAPS: i32 = 7;
    pub(super) const SET_KEEPCAPS: i32 = 8;
    pub(super) const CAPBSET_READ: i32 = 23;
    pub(super) const CAPBSET_DROP: i32 = 24;
    pub(super) const GET_SECUREBITS: i32 = 27;
    pub(super) const SET_SECUREBITS: i32 = 28;
    pub(super) const CAP_AMBIENT: i32 = 47;
}

pub(super) fn prctl(request: &Request<'_>) -> Reply {
    let old = request.credentials()?;
    let new = match request.int(0) {
        option::GET_KEEPCAPS => return yes_or_no(old.keeps_caps()),
        option::GET_SECUREBITS => return Ok(Answer::Value(old.securebits.into())),
        option::CAPBSET_READ => return yes_or_no(old.bounding_has(request.arg(1))?),
        option::CAP_AMBIENT => return ambient(request, &old),
        option::SET_KEEPCAPS => old.set_keep_caps(request.arg(1))?,
        option::SET_SECUREBITS => old.set_securebits(request.arg(1))?,
        option::CAPBSET_DROP => old.drop_bounding(request.arg(1))?,
        _ => return Ok(Answer::Continue),
    };
    become_other(request, &old, new)?;
    Ok(Answer::Value(0))
}

/// `PR_CAP_AMBIENT`: 1 asks, 2 raises, 3 lowers, 4 clears all.
fn ambient(request: &Request<'_>, old: &Credentials) -> Reply {
    let (what, capability) = (request.arg(1), request.arg(2));
    if request.arg(3) | request.arg(4) != 0 {
        return Err(Errno::INVAL);
    }
    let new = match what {
        1 => return yes_or_no(old.ambient_has(capability)?),
        2 => old.set_ambient(Ambient::Raise, capability)?,
        3 => old.set_ambient(Ambient::Lower, capability)?,
        4 if capability == 0 => old.clear_ambient(),
        _ => return Err(Errno::INVAL),
    };
    become_other(request, old, new)?;
    Ok(Answer::Value(0))
}

fn yes_or_no(yes: bool) -> Reply {
    Ok(Answer::Value(yes.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_have_the_kernels_order() {
        let sets = Capabilities {
            effective: 0x1_0000_0002,
            permitted: 0x3_0000_0004,
            inheritable: 0x5_0000_0006,
            bounding: 7,
            ambient: 8,
        };
        let words: Vec<u32> = encode_sets(sets, 2)
            .chunks(4)
            .map(|word| u32::from_ne_bytes(word.try_into().expect("four bytes")))
            .collect();
        assert_eq!(words, [2, 4, 6, 1, 3, 5]);
        let all = [sets.effective, sets.permitted, sets.inheritable];
        assert_eq!(decode_sets(&encode_sets(sets, 2)), all);
        assert_eq!(decode_sets(&encode_sets(sets, 1)), all.map(|set| set & 0xffff_ffff));
    }
}
