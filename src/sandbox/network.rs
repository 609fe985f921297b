//! The network that a process sees: the host's with `resolv.conf` and `hosts`, or none.

use std::fs;

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

/// Names for the loopback addresses; sudo and others look up the host's own name.
pub(super) fn hosts(host_name: &str) -> Vec<u8> {
    format!("127.0.0.1\tlocalhost {host_name}\n::1\tlocalhost ip6-localhost ip6-loopback\n")
        .into_bytes()
}
