//! The network that a process sees: the host's with `resolv.conf` and `hosts`, or none.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// What a process can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Network {
    /// All that the host can.
    #[default]
    Host,
    /// Only itself and those beside it, over the loopback device.
    None,
}

/// The host's resolver configuration; empty where it has none.
pub(super) fn resolver() -> Vec<u8> {
    fs::read("/etc/resolv.conf").unwrap_or_default()
}

/// A name that is looked up in `/etc/hosts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    pub name: String,
    pub address: IpAddr,
}

/// Names for the loopback addresses, and others; sudo and others look up the host's own name.
pub(super) fn hosts(host_name: &str, others: &[Host]) -> Vec<u8> {
    let mut text =
        format!("127.0.0.1\tlocalhost {host_name}\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    for Host { name, address } in others {
        writeln!(text, "{address}\t{name}").expect("a string takes all that is written");
    }
    text.into_bytes()
}
