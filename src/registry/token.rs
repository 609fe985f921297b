//! Asking a token server (distribution docs, "Token Authentication Specification" and "OAuth2").

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::Error;
use super::answer::{busy, detail};
use super::client::{Connection, is_loopback};
use super::credential::{Credential, Found};
use crate::http::{self, Body, Method, Request, Trust, Url};

/// A token's answer is small; a longer one is none.
const LONGEST: u64 = 1024 * 1024;
/// How long a token lasts whose server does not say it (the specification's default).
const DEFAULT_LIFE: u64 = 60;

/// Where tokens are had, after it was looked at.
#[derive(Debug, Clone)]
pub(super) struct Realm {
    url: Url,
    service: Option<String>,
}

impl Realm {
    /// `base` is the registry, which names the realm; a registry that does not belong there could
    /// have credentials sent wherever it likes.
    pub(super) fn new(
        host: &str,
        base: &Url,
        trust: Trust,
        realm: &str,
        service: Option<&str>,
    ) -> Result<Self, Error> {
        let wrong = |why| Error::Realm { host: host.to_owned(), realm: brief(realm), why };
        let url: Url = realm.parse().map_err(|_| wrong("which is no URL"))?;
        match url.scheme() {
            "https" => {}
            "http" if base.scheme() == "http" || trust == Trust::Unchecked => {}
            "http" => return Err(wrong("which is not encrypted")),
            _ => return Err(wrong("which is neither http nor https")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("which names a user"));
        }
        let same = url.host_str() == base.host_str();
        let neighbours = is_loopback(&url) && is_loopback(base);
        if is_private(&url) && !same && !neighbours {
            return Err(wrong("which is an address of this machine or its network"));
        }
        Ok(Self { url, service: service.map(str::to_owned) })
    }
}

fn brief(realm: &str) -> String {
    realm.split('?').next().unwrap_or_default().to_owned()
}

/// Whether a URL leads to this machine or, by a bare address, into its own network.
fn is_private(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let local = match host.trim_start_matches('[').trim_end_matches(']').parse() {
        Ok(IpAddr::V4(v4)) => v4.is_private() || v4.is_link_local() || v4.is_unspecified(),
        Ok(IpAddr::V6(v6)) => {
            let mapped = v6.to_ipv4_mapped();
            mapped.is_some_and(|v4| v4.is_private() || v4.is_link_local() || v4.is_loopback())
                || is_local_v6(v6)
        }
        Err(_) => host.ends_with(".localhost"),
    };
    local || is_loopback(url)
}

fn is_local_v6(address: Ipv6Addr) -> bool {
    address.is_unspecified() || address.is_unique_local() || address.is_unicast_link_local()
}

/// Permission for a while.
pub(super) struct Token {
    secret: String,
    fresh_until: Option<Instant>,
    identity: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    /// As OAuth 2 calls it; some servers send this one alone.
    access_token: Option<String>,
    expires_in: Option<u64>,
    refresh_token: Option<String>,
}

impl Token {
    /// One that somebody handed to us, of unknown life.
    pub(super) fn lasting(secret: String) -> Self {
        Self { secret, fresh_until: None, identity: None }
    }

    fn read(body: &[u8], asked_at: Instant) -> Result<Self, String> {
        let answer: Answer =
            serde_json::from_slice(body).map_err(|error| format!("not valid JSON: {error}"))?;
        let secret = [answer.token, answer.access_token].into_iter().flatten();
        let secret = secret.into_iter().find(|token| !token.is_empty());
        let secret = secret.ok_or("the answer has no token")?;
        let life = answer.expires_in.filter(|seconds| *seconds > 0).unwrap_or(DEFAULT_LIFE);
        // Renewed a little early: a request takes its time, too.
        let life = Duration::from_secs(life).min(Duration::from_secs(365 * 24 * 3600));
        let early = (life / 4).min(Duration::from_secs(10));
        let fresh_until = Some(asked_at + life - early);
        Ok(Self { secret, fresh_until, identity: answer.refresh_token })
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.fresh_until.is_none_or(|until| Instant::now() < until)
    }

    /// The value of `Authorization`.
    pub(super) fn bearer(&self) -> String {
        format!("Bearer {}", self.secret)
    }

    /// A new identity token that replaces the one that was used.
    pub(super) fn identity(&self) -> Option<&str> {
        self.identity.as_deref().filter(|token| !token.is_empty())
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("fresh", &self.is_fresh()).finish_non_exhaustive()
    }
}

/// Asks for a token for `scopes`.
pub(super) fn fetch(
    connection: &Connection,
    realm: &Realm,
    scopes: &[String],
    found: Option<&Found>,
) -> Result<Token, Error> {
    let credential = found.map(|found| &found.credential);
    let asked_at = Instant::now();
    let what = || http::shown(&realm.url);
    let send =
        |request: &Request<'_>| {
            connection.patiently(|| {
                let response = connection.http().send(request).map_err(|source| {
                    Error::Exchange { what: connection.host().to_owned(), tries: 1, source }
                })?;
                busy(response, what)
            })
        };
    let mut response = None;
    if let Some(Credential::IdentityToken(token)) = credential {
        let form = form(realm, scopes, token);
        let request = Request::new(Method::Post, realm.url.clone())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::Bytes(form.as_bytes()));
        let answer = send(&Request { trust: connection.trust(), ..request })?;
        // A server that knows nothing of OAuth 2 may still give a token to anybody.
        response = Some(answer).filter(|answer| !matches!(answer.status(), 404 | 405));
    }
    let response = match response {
        Some(response) => response,
        None => {
            let authorization = credential.and_then(Credential::basic);
            let url = with_query(realm, scopes, credential);
            let request = Request::new(Method::Get, url);
            send(&Request { authorization, trust: connection.trust(), ..request })?
        }
    };
    match response.status() {
        200..=299 => {}
        status @ (400 | 401 | 403) if status != 400 || credential.is_some() => {
            return Err(Error::denied(connection.host(), what(), detail(response), found));
        }
        status => return Err(Error::Refused { what: what(), status, detail: detail(response) }),
    }
    let body =
        response.bytes(LONGEST).map_err(|source| Error::Cut { what: what(), tries: 1, source })?;
    Token::read(&body, asked_at).map_err(|why| Error::Protocol { what: what(), why })
}

fn with_query(realm: &Realm, scopes: &[String], credential: Option<&Credential>) -> Url {
    let mut url = realm.url.clone();
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = &realm.service {
            query.append_pair("service", service);
        }
        for scope in scopes {
            query.append_pair("scope", scope);
        }
        if let Some(Credential::Basic { user, .. }) = credential {
            query.append_pair("account", user);
        }
    }
    if url.query() == Some("") {
        url.set_query(None);
    }
    url
}

fn form(realm: &Realm, scopes: &[String], refresh_token: &str) -> String {
    // A URL's query is the form's encoding.
    let mut url: Url = "http://localhost/".parse().expect("a URL");
    url.query_pairs_mut()
        .append_pair("grant_type", "refresh_token")
        .append_pair("service", realm.service.as_deref().unwrap_or_default())
        .append_pair("client_id", "bryo")
        .append_pair("scope", &scopes.join(" "))
        .append_pair("refresh_token", refresh_token);
    url.query().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn realms_that_would_leak_credentials_are_refused() {
        use Trust::{Checked, Unchecked};
        for (base, trust, realm, fine) in [
            ("https://r.example/", Checked, "https://auth.example/token", true),
            ("https://r.example/", Checked, "http://auth.example/token", false),
            ("https://r.example/", Unchecked, "http://auth.example/token", true),
            ("http://127.0.0.1:5000/", Checked, "http://127.0.0.1:5001/token", true),
            ("http://127.0.0.1:5000/", Checked, "http://localhost:5001/token", true),
            ("https://r.example/", Checked, "https://127.0.0.1/token", false),
            ("https://r.example/", Checked, "https://localhost/token", false),
            ("https://r.example/", Checked, "https://10.1.2.3/token", false),
            ("https://10.1.2.3/", Checked, "https://10.1.2.3/token", true),
            ("https://r.example/", Checked, "https://169.254.169.254/latest", false),
            ("https://r.example/", Checked, "https://[::1]/token", false),
            ("https://r.example/", Checked, "https://[::ffff:10.0.0.1]/token", false),
            ("https://r.example/", Checked, "https://[fe80::1]/token", false),
            ("https://r.example/", Checked, "https://ann@auth.example/", false),
            ("https://r.example/", Checked, "file:///etc/passwd", false),
            ("https://r.example/", Checked, "", false),
        ] {
            let base = base.parse().expect(base);
            let found = Realm::new("r", &base, trust, realm, None);
            assert_eq!(found.is_ok(), fine, "{base} {realm}: {found:?}");
        }
    }

    #[test]
    fn answers_of_token_servers_differ() {
        let now = Instant::now();
        let read = |text: &str| Token::read(text.as_bytes(), now);
        for (text, expected) in [
            (r#"{"token":"a"}"#, Some("Bearer a")),
            (r#"{"access_token":"b","expires_in":300}"#, Some("Bearer b")),
            (r#"{"token":"","access_token":"b"}"#, Some("Bearer b")),
            (r#"{"token":"a","access_token":"b","expires_in":0}"#, Some("Bearer a")),
            (r#"{"token":""}"#, None),
            ("{}", None),
            ("<html>", None),
        ] {
            let found = read(text).ok();
            assert!(found.as_ref().is_none_or(Token::is_fresh));
            assert_eq!(found.map(|token| token.bearer()).as_deref(), expected, "{text}");
        }
        let long = read(r#"{"token":"a","expires_in":300}"#).expect("a token");
        assert_eq!(long.fresh_until, Some(now + Duration::from_secs(290)));
        let short = read(r#"{"token":"a","expires_in":4}"#).expect("a token");
        assert_eq!(short.fresh_until, Some(now + Duration::from_secs(3)));
        assert!(read(r#"{"token":"a","expires_in":18446744073709551615}"#).is_ok());
    }

    #[test]
    fn queries_and_forms_are_encoded() {
        let base = "https://r.example/".parse().expect("a URL");
        let realm = "https://auth.example/token?x=1";
        let realm = Realm::new("r", &base, Trust::Checked, realm, Some("a b")).expect("a realm");
        let scopes = ["repository:a:pull,push".to_owned(), "repository:b:pull".to_owned()];
        let url = with_query(&realm, &scopes, None);
        assert_eq!(
            url.query(),
            Some("x=1&service=a+b&scope=repository%3Aa%3Apull%2Cpush&scope=repository%3Ab%3Apull")
        );
        assert!(form(&realm, &scopes, "t&=").ends_with("&refresh_token=t%26%3D"));
        let bare = Realm::new("r", &base, Trust::Checked, "https://a.example/t", None);
        assert_eq!(with_query(&bare.expect("a realm"), &[], None).query(), None);
    }
}
