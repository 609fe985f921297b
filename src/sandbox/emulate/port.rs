//! Ports below 1024, which the kernel gives to nobody who is not root on the host, as the network
//! is the host's.
//!
//! Whoever has the right to one here gets another port instead, which the kernel chooses, and it is
//! remembered for as long as the sandbox lives: who connects to the low port of this machine comes
//! to the other one. Every low port has one other port for each protocol, whatever the address. So
//! it is the kernel that says whether two sockets may have the same port; only, once all who had it
//! are gone, another program of the host may take the other port, and the low one is then in use.
//!
//! getsockname(2) and getpeername(2) show the other port, and datagrams reach it only from a socket
//! that is connected: the addresses of sendto(2) and sendmsg(2) stay as they are. The host's other
//! programs, and other sandboxes, do not see the low port at all.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Answer;
use super::credentials::Capability;
use super::request::{Reply, Request};
use crate::sys::errno::Errno;
use crate::sys::internet::{self, V4, V6};
use crate::sys::socket;

/// `PROT_SOCK`, from which on every user may have a port.
const FIRST_FREE: u16 = 1024;

/// The low ports of a sandbox.
#[derive(Debug, Default)]
pub(super) struct Ports {
    any: AtomicBool,
    others: Mutex<HashMap<Low, u16>>,
}

/// A port that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Low {
    /// A namespace that somebody has made in the sandbox has all ports.
    network: u64,
    protocol: u32,
    port: u16,
}

impl Ports {
    /// Whether any port has another one.
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    fn has(&self, port: u16) -> bool {
        self.any() && super::lock(&self.others).keys().any(|low| low.port == port)
    }
}

/// The address in a `struct sockaddr` if its port is a low one.
pub(super) fn low(name: &[u8]) -> Option<SocketAddr> {
    let (family, rest) = name.split_first_chunk()?;
    let (port, rest) = rest.split_first_chunk()?;
    let port = u16::from_be_bytes(*port);
    if !(1..FIRST_FREE).contains(&port) {
        return None;
    }
    match u16::from_ne_bytes(*family) {
        V4 => {
            let (address, rest) = rest.split_first_chunk::<4>()?;
            // `sin_zero`, without which it is too short.
            rest.first_chunk::<8>()?;
            Some(SocketAddrV4::new(Ipv4Addr::from(*address), port).into())
        }
        V6 => {
            let (flow, rest) = rest.split_first_chunk()?;
            let (address, rest) = rest.split_first_chunk::<16>()?;
            // Old programs have no scope (RFC 2133).
            let scope = rest.first_chunk().map_or(0, |scope| u32::from_ne_bytes(*scope));
            let (flow, address) = (u32::from_ne_bytes(*flow), Ipv6Addr::from(*address));
            Some(SocketAddrV6::new(address, port, flow, scope).into())
        }
        _ => None,
    }
}

/// bind(2) of a low port.
pub(super) fn bind(request: &Request<'_>, address: SocketAddr) -> Reply {
    if !request.credentials()?.may(Capability::NetBindService) {
        return Ok(Answer::Continue);
    }
    let Ok(socket) = request.steal(request.int(0)) else { return Ok(Answer::Continue) };
    match internet::bind(&socket, &address) {
        Err(Errno::ACCESS) => {}
        bound => return bound.map(|()| Answer::Value(0)),
    }
    let low = Low {
        network: internet::network(&socket),
        protocol: internet::protocol(&socket)?,
        port: address.port(),
    };
    let ports = &request.shared().ports;
    let mut others = super::lock(&ports.others);
    let mut other = address;
    other.set_port(others.get(&low).copied().unwrap_or(0));
    internet::bind(&socket, &other)?;
    if other.port() == 0 {
        others.insert(low, internet::port(&socket)?);
        ports.any.store(true, Ordering::Release);
    }
    Ok(Answer::Value(0))
}

/// connect(2) to a low port.
pub(super) fn connect(request: &Request<'_>, address: SocketAddr) -> Reply {
    let ports = &request.shared().ports;
    if !ports.has(address.port()) {
        return Ok(Answer::Continue);
    }
    let Ok(socket) = request.steal(request.int(0)) else { return Ok(Answer::Continue) };
    let low = Low {
        network: internet::network(&socket),
        protocol: internet::protocol(&socket)?,
        port: address.port(),
    };
    let Some(other) = super::lock(&ports.others).get(&low).copied() else {
        return Ok(Answer::Continue);
    };
    if !internet::is_here(&address) {
        return Ok(Answer::Continue);
    }
    let mut there = address;
    there.set_port(other);
    let connect = || internet::connect(&socket, &there);
    // It takes time only if the listener has more callers than it wants.
    let connected = match socket::is_nonblocking(&socket)? {
        true => connect(),
        false => request.step_aside(connect).unwrap_or_else(connect),
    };
    connected.map(|()| Answer::Value(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_ports_are_found_in_addresses() {
        let v4 = |port: u16, length: usize| {
            let mut name = V4.to_ne_bytes().to_vec();
            name.extend(port.to_be_bytes());
            name.extend([127, 0, 0, 1]);
            name.resize(length, 0);
            name
        };
        let v6 = |port: u16, scope: &[u8]| {
            let mut name = V6.to_ne_bytes().to_vec();
            name.extend(port.to_be_bytes());
            name.extend([0; 4]);
            name.extend(Ipv6Addr::LOCALHOST.octets());
            name.extend(scope);
            name
        };
        for (name, expected) in [
            (v4(80, 16), Some("127.0.0.1:80")),
            (v4(80, 128), Some("127.0.0.1:80")),
            (v4(1023, 16), Some("127.0.0.1:1023")),
            (v4(1, 16), Some("127.0.0.1:1")),
            (v4(0, 16), None),
            (v4(1024, 16), None),
            (v4(80, 15), None),
            (v6(80, &3_u32.to_ne_bytes()), Some("[::1%3]:80")),
            (v6(80, &[]), Some("[::1]:80")),
            (v6(8080, &[0; 4]), None),
            (b"\x01\0\0\x50/run/a-socket-of-unix".to_vec(), None),
            (vec![2], None),
        ] {
            assert_eq!(low(&name).map(|a| a.to_string()).as_deref(), expected, "{name:?}");
        }
    }
}
