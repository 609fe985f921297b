//! Proxies, as values: nobody here reads the environment.

use std::fmt;

use super::{Cause, Error};

/// Loopback is not reached through a proxy of the environment.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

/// Which proxy serves which scheme.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http` URLs: `http://`, `https://` or `socks5://`, with `user:password@` where needed.
    pub http: Option<String>,
    /// For `https` URLs.
    pub https: Option<String>,
    /// Hosts that are reached directly, as `NO_PROXY` lists them: names with all below them,
    /// addresses, networks as `10.0.0.0/8`, or `*`; between commas.
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

    pub(super) fn build(&self) -> Result<Vec<reqwest::Proxy>, Error> {
        let loopback = (!self.even_loopback).then_some(LOOPBACK);
        let none: Vec<&str> = self.none.as_deref().into_iter().chain(loopback).collect();
        let none = none.join(",");
        let mut proxies = Vec::new();
        if let Some(url) = &self.http {
            proxies.push(reqwest::Proxy::http(complete(url)).map_err(|error| wrong(url, error))?);
        }
        if let Some(url) = &self.https {
            proxies.push(reqwest::Proxy::https(complete(url)).map_err(|error| wrong(url, error))?);
        }
        let direct = |proxy: reqwest::Proxy| proxy.no_proxy(reqwest::NoProxy::from_string(&none));
        Ok(proxies.into_iter().map(direct).collect())
    }
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
    fn proxies_are_completed_and_their_passwords_hidden() {
        for (url, full, shown) in [
            ("proxy:3128", "http://proxy:3128", "proxy:3128"),
            ("ann:p@ss@proxy:1", "http://ann:p@ss@proxy:1", "proxy:1"),
            ("socks5://ann:pass@h:1", "socks5://ann:pass@h:1", "socks5://h:1"),
        ] {
            assert_eq!((complete(url).as_str(), hidden(url).as_str()), (full, shown));
        }
        let wrong = Proxies { https: Some("http://a:secret@:::".into()), ..Proxies::default() };
        let error = wrong.build().expect_err("no such URL").to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
