//! Options of `build` and `run` for what commands find beside their image.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use super::config::Config;
use crate::dockerfile::value;
use crate::run::{self, Device};
use crate::sandbox::{Host, ResourceLimit};

#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Surroundings {
    /// Let NAME be looked up as this address; `host-gateway` is this machine; may be repeated
    #[arg(long, value_name = "NAME:ADDRESS", value_parser = host)]
    add_host: Vec<Host>,
    /// The size of /dev/shm: 64m, 1g [default: the kernel's, half of the memory]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    shm_size: Option<u64>,
    /// Limit a resource: nofile=1024:4096, core=0, …, and -1 for no limit; may be repeated
    #[arg(long, value_name = "NAME=SOFT[:HARD]", value_parser = limit)]
    ulimit: Vec<ResourceLimit>,
    /// Give commands a device of this machine, or one that a CDI specification describes; may be
    /// repeated
    #[arg(long, value_name = "PATH[:PATH]|VENDOR/CLASS=NAME")]
    device: Vec<Device>,
    /// Look for CDI specifications in DIR; may be repeated [default: /etc/cdi, /var/run/cdi and
    /// ~/.config/cdi]
    #[arg(long, value_name = "DIR", alias = "cdi-spec-dir")]
    cdi_dir: Vec<PathBuf>,
}

impl Surroundings {
    pub(crate) fn read(&self, config: &Config) -> run::Surroundings {
        run::Surroundings {
            hosts: self.add_host.clone(),
            shared_memory: self.shm_size,
            limits: self.ulimit.clone(),
            devices: self.device.clone(),
            cdi_folders: match &self.cdi_dir[..] {
                [] => config.cdi_folders.clone(),
                folders => folders.to_owned(),
            },
        }
    }
}

/// `NAME:ADDRESS` or `NAME=ADDRESS`; an IPv6 address may stand in brackets.
fn host(text: &str) -> Result<Host, String> {
    let at = text.find('=').or_else(|| text.find(':'));
    let (name, address) = at.map_or((text, ""), |at| (&text[..at], &text[at + 1..]));
    if name.is_empty() || address.is_empty() {
        return Err("it is NAME:ADDRESS".to_owned());
    }
    if name.chars().any(|char| char.is_whitespace() || char == '#') {
        return Err(format!("{name:?} is no name of a host"));
    }
    if address == "host-gateway" {
        // The network is the host's own.
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        return Ok(Host { name: name.to_owned(), address });
    }
    let plain = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = plain.unwrap_or(address).parse();
    let address = address.map_err(|_| format!("invalid IP address in {text:?}"))?;
    Ok(Host { name: name.to_owned(), address })
}

fn size(text: &str) -> Result<u64, String> {
    match value::size(text) {
        Ok(0) => Err("it is no size".to_owned()),
        size => size.map_err(|error| error.to_string()),
    }
}

fn limit(text: &str) -> Result<ResourceLimit, String> {
    let (name, soft, hard) = value::ulimit(text).map_err(|error| error.to_string())?;
    let number = |limit: i64| match limit {
        -1 => Ok(None),
        limit => u64::try_from(limit).map(Some).map_err(|_| format!("{limit} is no limit")),
    };
    Ok(ResourceLimit { name, soft: number(soft)?, hard: number(hard)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_a_name_and_an_address() {
        for (text, expected) in [
            ("a:1.2.3.4", Some("a 1.2.3.4")),
            ("a.b=1.2.3.4", Some("a.b 1.2.3.4")),
            ("a:host-gateway", Some("a 127.0.0.1")),
            ("a:::1", Some("a ::1")),
            ("a=[fe80::1]", Some("a fe80::1")),
            ("a:[::1]", Some("a ::1")),
            ("a", None),
            ("a:", None),
            (":1.2.3.4", None),
            ("a:b", None),
            ("a b:1.2.3.4", None),
            ("a:1.2.3", None),
        ] {
            let found = host(text).ok().map(|Host { name, address }| format!("{name} {address}"));
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn limits_are_those_of_docker() {
        for (text, expected) in [
            ("nofile=1024", Some((Some(1024), Some(1024)))),
            ("nofile=1:2", Some((Some(1), Some(2)))),
            ("core=-1", Some((None, None))),
            ("core=0:-1", Some((Some(0), None))),
            ("core=-2", None),
            ("files=1", None),
            ("nofile=2:1", None),
            ("nofile", None),
        ] {
            assert_eq!(limit(text).ok().map(|limit| (limit.soft, limit.hard)), expected, "{text}");
        }
    }
}
