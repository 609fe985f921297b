//! A token server whose tokens `docker-registry` believes, since it has the certificate.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

use super::docker::{Certificates, Docker, Door};
use super::http::{Answer, Asked, Server};
use crate::http::Url;

/// How this server is.
#[derive(Clone)]
pub(super) struct Manner {
    /// The name of the field that has the token.
    pub(super) field: &'static str,
    /// What it claims about the life of a token.
    pub(super) expires_in: Option<u64>,
    /// Tokens with these numbers, from 0, are over before they are given.
    pub(super) stale: &'static [usize],
    /// Requests with these numbers, from 0, are answered by 503.
    pub(super) busy: &'static [usize],
    /// What it says to who comes with an identity token, if it does not know those.
    pub(super) no_identity: Option<u16>,
    /// An identity token that it gives for the old one.
    pub(super) new_identity: Option<&'static str>,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            field: "token",
            expires_in: Some(300),
            stale: &[],
            busy: &[],
            no_identity: None,
            new_identity: None,
        }
    }
}

/// A registry and the server of its tokens.
pub(super) struct Garden {
    pub(super) docker: Docker,
    pub(super) tokens: Server,
    _certificates: Arc<Certificates>,
}

/// Everybody may read below `pub/`; `alice` with `wonder:land`, or with the identity token
/// `idtok-alice`, may do everything.
pub(super) fn garden(manner: Manner) -> Option<Garden> {
    let certificates = Arc::new(Certificates::new());
    let (keys, given) = (Arc::clone(&certificates), AtomicUsize::new(0));
    let tokens = Server::start(move |asked| {
        let number = given.fetch_add(1, Ordering::Relaxed);
        Ok(answer(&keys, &manner, number, asked))
    });
    let realm = format!("http://{}/token", tokens.address);
    let door = Door::Token { realm: &realm, certificate: &certificates.authority };
    let docker = Docker::start(&door)?;
    Some(Garden { docker, tokens, _certificates: certificates })
}

fn answer(keys: &Certificates, manner: &Manner, number: usize, asked: &Asked) -> Answer {
    if manner.busy.contains(&number) {
        return Answer::new(503, "");
    }
    if let Some(status) = manner.no_identity.filter(|_| asked.method == "POST") {
        return Answer::new(status, "");
    }
    let form = String::from_utf8_lossy(&asked.body);
    let query = match asked.method.as_str() {
        "POST" => form.into_owned(),
        _ => asked.path.split_once('?').map_or("", |(_, query)| query).to_owned(),
    };
    let url: Url = format!("http://h/?{query}").parse().expect("a query");
    let pairs: Vec<(String, String)> =
        url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    let get = |wanted: &str| pairs.iter().find(|(name, _)| name == wanted).map(|(_, v)| v.as_str());
    if get("service") != Some("moss") {
        return Answer::new(400, r#"{"details":"which service?"}"#);
    }
    let alice = format!("Basic {}", STANDARD.encode("alice:wonder:land"));
    let user = match (asked.method.as_str(), asked.header("authorization")) {
        ("POST", _) if get("refresh_token") == Some("idtok-alice") => "alice",
        ("POST", _) if get("refresh_token") == manner.new_identity => "alice",
        ("GET", None) => "",
        ("GET", Some(value)) if value == alice => "alice",
        _ => return Answer::new(401, r#"{"details":"incorrect username or password"}"#),
    };
    let access: Vec<_> = pairs
        .iter()
        .filter(|(name, _)| name == "scope")
        .flat_map(|(_, scopes)| scopes.split(' '))
        .filter_map(|scope| {
            let mut words = scope.splitn(3, ':');
            let (kind, name, actions) = (words.next()?, words.next()?, words.next()?);
            let granted = actions
                .split(',')
                .filter(|action| user == "alice" || name.starts_with("pub/") && *action == "pull");
            Some(json!({"type": kind, "name": name, "actions": granted.collect::<Vec<_>>()}))
        })
        .collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    // The registry allows clocks to differ by a minute.
    let end = if manner.stale.contains(&number) { now - 120 } else { now + 300 };
    let claims = json!({
        "iss": "gardener", "sub": user, "aud": "moss", "jti": number.to_string(),
        "iat": now - 400, "nbf": now - 400, "exp": end, "access": access,
    });
    let mut body = json!({ manner.field: sign(keys, &claims) });
    if let Some(seconds) = manner.expires_in {
        body["expires_in"] = seconds.into();
    }
    if let Some(token) = manner.new_identity {
        body["refresh_token"] = token.into();
    }
    Answer::new(200, &body.to_string())
}

/// A JSON web token (RFC 7519), signed with RS256.
fn sign(keys: &Certificates, claims: &serde_json::Value) -> String {
    let header = json!({"typ": "JWT", "alg": "RS256", "x5c": [der(&keys.authority)]});
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(&header), part(claims));
    let key: PathBuf = keys.authority.with_extension("key");
    let mut child = Command::new("openssl")
        .args(["dgst", "-sha256", "-sign"])
        .arg(key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl is installed");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(text.as_bytes()).expect("openssl reads");
    drop(stdin);
    let signature = child.wait_with_output().expect("openssl ends").stdout;
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A certificate in base64, as PEM has it between its lines.
fn der(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("made before");
    text.lines().filter(|line| !line.starts_with("-----")).collect()
}
