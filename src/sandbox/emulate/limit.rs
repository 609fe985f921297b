//! `RLIMIT_LOCKS`, in which a process carries its credentials: nobody inside may see or change that.
//! Linux has ignored it since 2.4.25, so infinity is as good an answer as any.

use super::request::{Reply, Request};
use super::tables::Call;
use super::{Answer, process};
use crate::sys::errno::Errno;

/// The same on every architecture.
const LOCKS: u32 = 10;

/// getrlimit(2), setrlimit(2), prlimit(2). sudo and pam_limits save and restore all limits.
pub(super) fn locks(request: &Request<'_>) -> Reply {
    let call = request.call();
    let (resource, long) = match call {
        Call::Prlimit64 => (1, 8),
        _ => (0, request.abi().pointer_size()),
    };
    if request.word(resource) != LOCKS {
        return Ok(Answer::Continue);
    }
    match call {
        Call::Prlimit64 => {
            let (pid, new, old) = (request.int(0), request.arg(2), request.arg(3));
            if new != 0 {
                check(request, new, long)?;
            }
            if pid != 0 && process::credentials(request, pid).is_none() {
                return Err(Errno::SRCH);
            }
            if old != 0 {
                request.write(old, &vec![u8::MAX; 2 * long])?;
            }
        }
        Call::Setrlimit => check(request, request.arg(1), long)?,
        Call::OldGetrlimit => {
            request.write(request.arg(1), &i32::MAX.to_ne_bytes().repeat(2))?;
        }
        _ => request.write(request.arg(1), &vec![u8::MAX; 2 * long])?,
    }
    Ok(Answer::Value(0))
}

/// Whether the limits at an address could be set.
fn check(request: &Request<'_>, address: u64, long: usize) -> Result<(), Errno> {
    let mut bytes = [0; 16];
    request.read(address, &mut bytes[..2 * long])?;
    let number = |bytes: &[u8]| match bytes.try_into() {
        Ok(eight) => u64::from_ne_bytes(eight),
        Err(_) => u32::from_ne_bytes(bytes.try_into().expect("four or eight bytes")).into(),
    };
    let (soft, hard) = bytes[..2 * long].split_at(long);
    if number(soft) > number(hard) { Err(Errno::INVAL) } else { Ok(()) }
}
