//! Proxies, as values: nobody here reads the environment.

use std::fmt;
use std::net::IpAddr;

use super::{Cause, Error, Url};

/// Loopback is not reached through a proxy of the environment.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

/// What proxies can be spoken to by.
const SCHEMES: [&str; 6] = ["http", "https", "socks4", "socks4a", "socks5", "socks5h"];

/// Which proxy serves which scheme.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http` URLs: `http://`, `https://` or `socks5://`, with `user:password@` where needed.
    pub http: Option<String>,
    /// For `https` URLs.
    pub https: Option<String>,
    /// Hosts that are reached directly, as `NO_PROXY` lists them: names with all below them,
    /// addresses, networks as `10.0.0.0/8`, or `*`; each but the last perhaps with a port; between
    /// commas.
    pub none: Option<String>,
    /// Loopback is reached through them, too: somebody named one for this very run.
    pub even_loopback: bool,
}

impl Proxies {
    /// This proxy for everything but what `none` lists.
    #[must_use]
    pub fn all(self, url: &str) -> Self {
        let url = Some(url.to_owned());
        Self { http: url.clone(), https: url, none: self.none, even_loopback: true }
    }

    /// What the client is to be told; nothing where there are none.
    pub(super) fn build(&self) -> Result<Option<reqwest::Proxy>, Error> {
        for url in [&self.http, &self.https].into_iter().flatten() {
            // What it makes of the URL is of no use here, but whether it can make anything of it.
            reqwest::Proxy::all(complete(url)).map_err(|error| wrong(url, error))?;
            // Of a scheme that it does not know it makes no proxy at all.
            let full = complete(url);
            let scheme = full.split("://").next().unwrap_or_default();
            if !SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
                let problem = format!("there are proxies of {}", SCHEMES.join(", "));
                return Err(Error::Proxy { shown: hidden(url), source: Cause::say(&problem) });
            }
        }
        let proxies = self.clone();
        let any = self.http.is_some() || self.https.is_some();
        Ok(any.then(|| reqwest::Proxy::custom(move |url| proxies.of(url).map(complete))))
    }

    /// The proxy that a URL is reached through.
    fn of(&self, url: &Url) -> Option<&str> {
        let proxy = match url.scheme() {
            "http" => self.http.as_deref(),
            _ => self.https.as_deref(),
        };
        let loopback = (!self.even_loopback).then_some(LOOPBACK);
        let direct = self.none.as_deref().into_iter().chain(loopback);
        let mut direct = direct.flat_map(|list| list.split(',')).map(str::trim);
        proxy.filter(|_| !direct.any(|entry| covers(entry, url)))
    }

    /// The same, for people.
    pub(super) fn shown(&self, url: &Url) -> Option<String> {
        self.of(url).map(hidden)
    }
}

/// Whether an entry of `NO_PROXY` is about a URL: a name stands for all below it, too.
fn covers(entry: &str, url: &Url) -> bool {
    if entry == "*" {
        return true;
    }
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let (name, port) = split_port(entry);
    if port.is_some_and(|port| Some(port) != url.port_or_known_default()) || name.is_empty() {
        return false;
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return name.split_once('/').map_or_else(
            || name.parse() == Ok(address),
            |(net, bits)| is_inside(address, net, bits).unwrap_or(false),
        );
    }
    let name = name.trim_start_matches('*').trim_start_matches('.').to_ascii_lowercase();
    let host = host.to_ascii_lowercase();
    host.strip_suffix(&name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// An address of version 6 has colons of its own, and brackets where a port follows.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    if let Some((address, rest)) = entry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (address, rest.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match entry.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

/// Whether an address is in a network; None if that is none.
fn is_inside(address: IpAddr, net: &str, bits: &str) -> Option<bool> {
    let bits: u32 = bits.parse().ok()?;
    Some(match (address, net.parse().ok()?) {
        (IpAddr::V4(address), IpAddr::V4(net)) => {
            let differ = address.to_bits() ^ net.to_bits();
            bits == 0 || differ.checked_shr(32_u32.checked_sub(bits)?)? == 0
        }
        (IpAddr::V6(address), IpAddr::V6(net)) => {
            let differ = address.to_bits() ^ net.to_bits();
            bits == 0 || differ.checked_shr(128_u32.checked_sub(bits)?)? == 0
        }
        _ => false,
    })
}

fn wrong(url: &str, error: reqwest::Error) -> Error {
    Error::Proxy { shown: hidden(url), source: Cause::of(&error.without_url()) }
}

/// `host:port` alone means http, as in curl.
fn complete(url: &str) -> String {
    match url.contains("://") {
        true => url.to_owned(),
        false => format!("http://{url}"),
    }
}

/// Without user and password.
fn hidden(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
        (None, Some((_, rest))) => rest.to_owned(),
        _ => url.to_owned(),
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies")
            .field("http", &self.http.as_deref().map(hidden))
            .field("https", &self.https.as_deref().map(hidden))
            .field("none", &self.none)
            .field("even_loopback", &self.even_loopback)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_hosts_are_reached_directly() {
        let none = "corp.example, .dot.example,*.star.example,h:5000,10.0.0.0/8,192.0.2.7,2001:db8::/32,[::2]:81";
        let proxies = Proxies {
            http: Some("plain:1".into()),
            https: Some("proxy:1".into()),
            none: Some(none.into()),
            even_loopback: false,
        };
        for (url, through) in [
            ("https://registry.example/", Some("proxy:1")),
            ("http://registry.example/", Some("plain:1")),
            ("https://corp.example/", None),
            ("https://a.b.CORP.example/", None),
            ("https://notcorp.example/", Some("proxy:1")),
            ("https://a.dot.example/", None),
            ("https://a.star.example/", None),
            ("https://h:5000/", None),
            ("https://h/", Some("proxy:1")),
            ("http://10.255.0.1/", None),
            ("http://11.0.0.1/", Some("plain:1")),
            ("http://192.0.2.7:8080/", None),
            ("http://192.0.2.70/", Some("plain:1")),
            ("https://[2001:db8:1::1]/", None),
            ("https://[2001:db9::1]/", Some("proxy:1")),
            ("http://[::2]:81/", None),
            ("http://[::2]/", Some("plain:1")),
            ("http://localhost:5000/", None),
            ("http://127.3.2.1/", None),
            ("https://[::1]:5000/", None),
        ] {
            let url: Url = url.parse().expect(url);
            assert_eq!(proxies.of(&url), through, "{url}");
        }
        let given = proxies.clone().all("http://given:2");
        assert_eq!(given.of(&"http://127.0.0.1/".parse().expect("a URL")), Some("http://given:2"));
        assert_eq!(given.of(&"http://corp.example/".parse().expect("a URL")), None);
        let everything = Proxies { none: Some("*".into()), ..given };
        assert_eq!(everything.of(&"http://x/".parse().expect("a URL")), None);
    }

    #[test]
    fn proxies_are_completed_and_their_passwords_hidden() {
        for (url, full, shown) in [
            ("proxy:3128", "http://proxy:3128", "proxy:3128"),
            ("ann:p@ss@proxy:1", "http://ann:p@ss@proxy:1", "proxy:1"),
            ("socks5://ann:pass@h:1", "socks5://ann:pass@h:1", "socks5://h:1"),
        ] {
            assert_eq!((complete(url).as_str(), hidden(url).as_str()), (full, shown));
        }
        for url in ["http://a:secret@:::", "sock5://a:secret@h:1"] {
            let wrong = Proxies { https: Some(url.into()), ..Proxies::default() };
            let error = wrong.build().expect_err("no such URL").to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
