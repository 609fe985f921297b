//! `bryo endpoints`.

use std::net::{IpAddr, ToSocketAddrs as _};

use serde_json::{Value, json};

use crate::cli::args::{self, Login, Network};
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::network::Remote;
use crate::cli::table::Table;
use crate::http::{self, Trail, Url};
use crate::image::{Content, Manifest, Platform, Reference};

/// Show whom a pull of an image speaks to
///
/// These are the hosts that a firewall must let through: the registry, whoever gives permission, and
/// wherever the parts of the image really are. Each is asked for its part, of which no more than a
/// beginning is read.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo endpoints debian:12
  bryo endpoints -4 --json registry.example/team/app:1")]
pub(crate) struct Endpoints {
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Choose this platform from an index [default: this machine's]
    #[arg(long, value_name = "OS/ARCH", value_parser = args::platform)]
    platform: Option<Platform>,
    /// Only addresses of IPv4
    #[arg(short = '4', long = "ipv4", conflicts_with = "ipv6")]
    ipv4: bool,
    /// Only addresses of IPv6
    #[arg(short = '6', long = "ipv6")]
    ipv6: bool,
    /// As a JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    login: Login,
}

/// One party.
#[derive(Debug, PartialEq, Eq)]
struct Endpoint {
    role: String,
    redirected: bool,
    url: Url,
}

impl Endpoints {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let trail = Trail::default();
        let given = self.login.given(invocation)?;
        let remote = self.network.remote_watched(invocation, given, Some(trail.clone()))?;
        let name = remote.reference(&self.image)?;
        let mut found = Vec::new();
        let outcome = self.visit(&remote, &name, |role| note(&mut found, role, trail.take()));
        // Whoever was asked before something failed is worth knowing.
        note(&mut found, "registry", trail.take());
        invocation.print(&match self.json {
            true => {
                let rows: Vec<Value> = found.iter().map(|endpoint| self.row(endpoint)).collect();
                format!("{:#}\n", Value::Array(rows))
            }
            false => self.table(&found),
        })?;
        outcome
    }

    /// Asks for everything that a pull needs, and calls `done` after each part.
    fn visit(
        &self,
        remote: &Remote,
        name: &Reference,
        mut done: impl FnMut(&str),
    ) -> Result<(), Error> {
        let registry = remote.registry(name.registry());
        let repository = name.repository();
        let mut content = registry.manifest(repository, &name.target())?;
        let platform = self.platform.clone().unwrap_or_else(Platform::host);
        while let Content::Index(index) = &content {
            let chosen = index.select(&platform)?;
            content = registry.manifest(repository, &chosen.digest.to_string())?;
        }
        done("manifest");
        let (Content::Image(manifest) | Content::Artifact(manifest)) = content else {
            unreachable!("an index was resolved");
        };
        let Manifest { config, layers, .. } = manifest;
        drop(registry.blob(repository, &config)?);
        done("config");
        for (number, layer) in (1..).zip(&layers) {
            drop(registry.blob(repository, layer)?);
            done(&format!("layer-{number}"));
        }
        Ok(())
    }

    fn addresses(&self, url: &Url) -> Vec<IpAddr> {
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = url.port_or_known_default().unwrap_or(443);
        // A proxy may know names that this machine does not.
        let found = (host, port).to_socket_addrs();
        let found = found.map(Iterator::collect::<Vec<_>>).unwrap_or_default();
        let mut addresses: Vec<IpAddr> = found.iter().map(std::net::SocketAddr::ip).collect();
        addresses.retain(|address| match (self.ipv4, self.ipv6) {
            (true, _) => address.is_ipv4(),
            (_, true) => address.is_ipv6(),
            _ => true,
        });
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    fn row(&self, endpoint: &Endpoint) -> Value {
        let Endpoint { role, redirected, url } = endpoint;
        json!({
            "role": role,
            "redirected": redirected,
            "scheme": url.scheme(),
            "host": url.host_str(),
            "port": url.port_or_known_default(),
            "addresses": self.addresses(url),
            "url": http::shown(url),
        })
    }

    fn table(&self, found: &[Endpoint]) -> String {
        let mut table = Table::new(&["ROLE", "HOST", "PORT", "ADDRESSES", "URL"]);
        for endpoint in found {
            let Endpoint { role, redirected, url } = endpoint;
            let addresses: Vec<String> =
                self.addresses(url).iter().map(ToString::to_string).collect();
            table.row(vec![
                if *redirected { format!("{role} (redirect)") } else { role.clone() },
                url.host_str().unwrap_or_default().to_owned(),
                url.port_or_known_default().map(|port| port.to_string()).unwrap_or_default(),
                if addresses.is_empty() { "none".to_owned() } else { addresses.join(",") },
                http::shown(url),
            ]);
        }
        table.to_string()
    }
}

/// Keeps each party once in each of its roles. What is neither a registry's own path nor a redirect
/// gives permission.
fn note(found: &mut Vec<Endpoint>, role: &str, visits: Vec<http::Visit>) {
    for http::Visit { url, redirected } in visits {
        let role = match redirected || url.path().starts_with("/v2/") {
            true if url.path() == "/v2/" => "registry",
            true => role,
            false => "auth",
        };
        let same = |known: &&mut Endpoint| {
            known.role == role
                && known.redirected == redirected
                && known.url.host_str() == url.host_str()
                && known.url.port_or_known_default() == url.port_or_known_default()
        };
        match found.iter_mut().find(same) {
            // What was tried first may not have been the right scheme.
            Some(known) if known.url.scheme() != url.scheme() => known.url = url,
            Some(_) => {}
            None => found.push(Endpoint { role: role.to_owned(), redirected, url }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_told_by_what_was_asked() {
        let visit =
            |url: &str, redirected| http::Visit { url: url.parse().expect(url), redirected };
        let mut found = Vec::new();
        note(
            &mut found,
            "manifest",
            vec![
                visit("http://h:1/v2/", false),
                visit("http://h:1/v2/a/manifests/x", false),
                visit("http://t/token?service=s", false),
                visit("http://h:1/v2/a/manifests/x", false),
            ],
        );
        let blobs =
            vec![visit("http://h:1/v2/a/blobs/y", false), visit("http://cdn/y?sig=1", true)];
        note(&mut found, "layer-1", blobs);
        let shown: Vec<_> = found
            .iter()
            .map(|e| format!("{} {} {}", e.role, e.redirected, http::shown(&e.url)))
            .collect();
        let expected = [
            "registry false http://h:1/v2/",
            "manifest false http://h:1/v2/a/manifests/x",
            "auth false http://t/token",
            "layer-1 false http://h:1/v2/a/blobs/y",
            "layer-1 true http://cdn/y",
        ];
        assert_eq!(shown, expected);
    }
}
