//! Descriptors: handed over a Unix socket, kept from the next program.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

use super::{Error, Result};

/// How many descriptors one message carries at most.
const MOST: usize = 4;

/// Sends `bytes` (at least one, few enough to go at once) with `descriptors` (at most four).
pub fn send(socket: &UnixStream, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        let fits = control.push(SendAncillaryMessage::ScmRights(descriptors));
        assert!(fits, "no message carries more than {MOST} descriptors");
    }
    let call = || format!("sendmsg({} bytes, {} descriptors)", bytes.len(), descriptors.len());
    let sent =
        rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
            .map_err(|e| Error::new(call(), e))?;
    if sent == bytes.len() { Ok(()) } else { Err(Error::new(call(), io::ErrorKind::WriteZero)) }
}

/// Receives what one [`send`] sent: how many bytes came (none at the end of the stream), and the
/// descriptors, closed on exec.
pub fn receive(socket: &UnixStream, bytes: &mut [u8]) -> Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, flags)
        .map_err(|e| Error::new("recvmsg()", e))?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            descriptors.extend(fds);
        }
    }
    Ok((received.bytes, descriptors))
}

/// Makes `descriptor` the process's standard input.
pub fn become_stdin(descriptor: impl AsFd) -> Result<()> {
    nix::unistd::dup2_stdin(descriptor).map_err(|e| Error::new("dup2(…, 0)", e))
}

/// Lets no descriptor from `first` on reach the next program.
///
/// close_range(2) with `CLOSE_RANGE_CLOEXEC` (Linux 5.11), else each one that `/proc` shows.
pub fn close_on_exec_from(first: RawFd) -> Result<()> {
    // SAFETY: the call takes numbers only and closes nothing now.
    let result = unsafe {
        libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
    };
    if result == 0 {
        return Ok(());
    }
    let directory = "/proc/self/fd";
    let failed = |e| Error::new(format!("readdir({directory:?})"), e);
    for entry in fs::read_dir(directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let Some(number) = name.to_str().and_then(|n| n.parse::<RawFd>().ok()) else { continue };
        if number >= first {
            // SAFETY: the call takes numbers only; a descriptor that is gone by now, such as that
            // of this very directory, is answered `EBADF`.
            unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn descriptors_travel() {
        let (here, there) = UnixStream::pair().expect("a pair");
        let (mut reader, writer) = io::pipe().expect("a pipe");
        send(&here, b"x", &[writer.as_fd()]).expect("sent");
        drop((here, writer));
        let mut byte = [0];
        let (count, descriptors) = receive(&there, &mut byte).expect("received");
        assert_eq!((count, byte, descriptors.len()), (1, *b"x", 1));
        for descriptor in descriptors {
            fs::File::from(descriptor).write_all(b"through").expect("written");
        }
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("read");
        assert_eq!(text, "through");
        assert_eq!(receive(&there, &mut byte).expect("the end").0, 0);
    }
}
