//! Sockets of IP, of other processes, of which the caller has a copy.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd as _};

use rustix::net::{SocketAddrAny, sockopt};

use super::errno::Errno;

type Result<T> = std::result::Result<T, Errno>;

/// `AF_INET` and `AF_INET6`.
pub const V4: u16 = libc::AF_INET as u16;
pub const V6: u16 = libc::AF_INET6 as u16;

/// `SO_NETNS_COOKIE` (Linux 5.14), the same number on all architectures that bryo knows.
const NETWORK_COOKIE: i32 = 71;

/// Gives a socket an address.
///
/// # Errors
///
/// Those of bind(2).
pub fn bind(socket: impl AsFd, address: &SocketAddr) -> Result<()> {
    rustix::net::bind(socket, address)
}

/// Connects a socket; waits unless it is one that does not.
///
/// # Errors
///
/// Those of connect(2), `EINPROGRESS` among them.
pub fn connect(socket: impl AsFd, address: &SocketAddr) -> Result<()> {
    rustix::net::connect(socket, address)
}

/// The port that a socket has.
///
/// # Errors
///
/// Those of getsockname(2); `EAFNOSUPPORT` for a socket without ports.
pub fn port(socket: impl AsFd) -> Result<u16> {
    let name: SocketAddrAny = rustix::net::getsockname(socket)?;
    SocketAddr::try_from(name).map(|name| name.port()).map_err(|_| Errno::AFNOSUPPORT)
}

/// The protocol whose ports a socket has, as the kernel numbers it.
///
/// # Errors
///
/// Those of getsockopt(2).
pub fn protocol(socket: impl AsFd) -> Result<u32> {
    const MULTIPATH: u32 = libc::IPPROTO_MPTCP.cast_unsigned();
    const SINGLE_PATH: u32 = libc::IPPROTO_TCP.cast_unsigned();
    let protocol = sockopt::socket_protocol(socket)?;
    Ok(match protocol.map_or(0, |protocol| protocol.as_raw().get()) {
        MULTIPATH => SINGLE_PATH,
        protocol => protocol,
    })
}

/// What tells the socket's network namespace from all others; 0 where the kernel does not say.
pub fn network(socket: impl AsFd) -> u64 {
    let mut cookie = 0_u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    let socket = socket.as_fd().as_raw_fd();
    let (level, place) = (libc::SOL_SOCKET, (&raw mut cookie).cast());
    // SAFETY: the kernel writes no more than `length` bytes at `place`, which is as long.
    let told = unsafe { libc::getsockopt(socket, level, NETWORK_COOKIE, place, &raw mut length) };
    if told == 0 { cookie } else { 0 }
}

/// Whether what is sent there arrives at this machine, in the caller's network namespace.
pub fn is_here(address: &SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    if ip.is_loopback() || ip.is_unspecified() {
        return true;
    }
    let mut nowhere = *address;
    nowhere.set_ip(ip);
    nowhere.set_port(0);
    // Only an address of this machine, or that of a group, can be a socket's own.
    !ip.is_multicast() && UdpSocket::bind(nowhere).is_ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_machine_knows_its_addresses() {
        for (address, here) in [
            ("127.0.0.1:80", true),
            ("127.1.2.3:80", true),
            ("0.0.0.0:80", true),
            ("[::1]:80", true),
            ("[::]:80", true),
            ("[::ffff:127.0.0.1]:80", true),
            ("[::ffff:192.0.2.1]:80", false),
            ("192.0.2.1:80", false),
            ("224.0.0.1:80", false),
            ("[2001:db8::1]:80", false),
            ("[ff02::1]:80", false),
        ] {
            assert_eq!(is_here(&address.parse().expect("an address")), here, "{address}");
        }
    }

    #[test]
    fn sockets_tell_what_they_are() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("an address");
        assert_eq!(port(&listener), Ok(address.port()));
        assert_eq!(protocol(&listener), Ok(6));
        let datagrams = UdpSocket::bind("127.0.0.1:0").expect("bound");
        assert_eq!(protocol(&datagrams), Ok(17));
        assert_eq!(network(&datagrams), network(&listener));
        assert_eq!(bind(&datagrams, &address), Err(Errno::INVAL), "only once");
        let own = datagrams.local_addr().expect("an address");
        assert_eq!(connect(&datagrams, &own), Ok(()));
        let file = std::fs::File::open("/dev/null").expect("a file");
        assert_eq!(protocol(&file), Err(Errno::NOTSOCK));
        assert_eq!(network(&file), 0);
    }
}
