//! One request: where it goes, what it is answered, and when it is tried again.

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::answer::{Headers, busy, detail, warning};
use super::auth::{Authenticator, Scope};
use super::error::Detail;
use super::{Access, Error, Uploaded};
use crate::concurrency::SingleFlight;
use crate::http::{self, Body, Client, Method, Request, Response, Trust, Url};
use crate::image::Digest;

/// A host, and what was learnt about it.
#[derive(Debug)]
pub(super) struct Connection {
    http: Arc<Client>,
    /// As references name it.
    host: String,
    /// Who answers for it.
    address: String,
    access: Arc<Access>,
    trust: Trust,
    /// Scheme and address, once known.
    base: Mutex<Option<Url>>,
    auth: Authenticator,
    /// Held while a list of referrers is changed that the registry does not keep itself.
    pub(super) referrers: Mutex<()>,
    /// What it said beside its answers.
    said: Mutex<HashSet<String>>,
    /// Blobs that were brought into a repository.
    pub(super) uploads: SingleFlight<(String, Digest), Uploaded>,
    /// Nobody was there.
    down: AtomicBool,
    /// Somebody was told that it is read from.
    told: AtomicBool,
    /// What somebody wants every request to have.
    headers: OnceLock<Vec<(String, String)>>,
}

/// What is asked of a registry.
#[derive(Debug)]
pub(super) struct Call<'a, 'b> {
    pub(super) method: Method,
    pub(super) place: Place<'a>,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Body<'b>,
    pub(super) scope: &'a Scope,
}

/// Where a call goes.
#[derive(Debug)]
pub(super) enum Place<'a> {
    /// Path and query, below the host.
    Path(&'a str),
    /// What the registry itself named (`Location`, `Link`).
    Url(&'a Url),
}

impl<'a, 'b> Call<'a, 'b> {
    pub(super) fn new(method: Method, path: &'a str, scope: &'a Scope) -> Self {
        let (place, headers, body) = (Place::Path(path), Vec::new(), Body::Empty);
        Self { method, place, headers, body, scope }
    }

    pub(super) fn to(method: Method, url: &'a Url, scope: &'a Scope) -> Self {
        Self { place: Place::Url(url), ..Self::new(method, "", scope) }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn body(self, body: Body<'b>) -> Self {
        Self { body, ..self }
    }
}

impl Connection {
    pub(super) fn new(http: Arc<Client>, host: &str, insecure: bool, access: Arc<Access>) -> Self {
        let address = match host {
            "docker.io" | "index.docker.io" => "registry-1.docker.io",
            other => other,
        };
        let insecure = insecure || access.insecure.iter().any(|name| name == "*" || name == host);
        Self {
            http,
            host: host.to_owned(),
            address: address.to_owned(),
            trust: if insecure { Trust::Unchecked } else { Trust::Checked },
            base: Mutex::new(None),
            referrers: Mutex::new(()),
            said: Mutex::default(),
            uploads: SingleFlight::default(),
            down: AtomicBool::new(false),
            told: AtomicBool::new(false),
            headers: OnceLock::new(),
            auth: Authenticator::new(host, access.clone()),
            access,
        }
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Whether it is known that nobody answers.
    pub(super) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// Whether nobody was told yet that it is read from.
    pub(super) fn is_news(&self) -> bool {
        !self.told.swap(true, Ordering::Relaxed)
    }

    pub(super) fn note_failure(&self, error: &Error) {
        let gone = matches!(error, Error::Exchange { source, .. } if source.is_unreachable());
        self.down.fetch_or(gone, Ordering::Relaxed);
    }

    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    pub(super) fn http(&self) -> &Client {
        &self.http
    }

    pub(super) fn trust(&self) -> Trust {
        self.trust
    }

    /// What is called `text` in messages.
    pub(super) fn what(&self, repository: &str, target: &str) -> String {
        let separator = if target.contains(':') { '@' } else { ':' };
        format!("{}/{repository}{separator}{target}", self.host)
    }

    /// Sends a call until it is answered or patience runs out. Any status that is final counts as
    /// an answer.
    pub(super) fn call(&self, call: &Call<'_, '_>) -> Result<Response, Error> {
        self.patiently(|| self.once(call))
    }

    /// A call and the whole body of its answer, at most `limit` bytes if it is a success.
    pub(super) fn fetch(
        &self,
        call: &Call<'_, '_>,
        limit: u64,
    ) -> Result<(Headers, Vec<u8>), Error> {
        self.patiently(|| {
            let response = self.once(call)?;
            if !response.is_success() {
                return Err(self.refusal(call, response));
            }
            let headers = Headers::of(&response);
            let bytes = response.bytes(limit).map_err(|source| match source.kind() {
                io::ErrorKind::FileTooLarge => {
                    Error::Protocol { what: self.shown(call), why: source.to_string() }
                }
                _ => Error::Cut { what: self.shown(call), tries: 1, source },
            })?;
            Ok((headers, bytes))
        })
    }

    /// Repeats what may end better another time.
    pub(super) fn patiently<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut attempts = self.access.patience.begin();
        loop {
            match attempt() {
                Ok(answer) => return Ok(answer),
                Err(error) => self.pause(&mut attempts, error)?,
            }
        }
    }

    /// Waits if another try may end better than with `error`; else returns it.
    pub(super) fn pause(&self, attempts: &mut http::Attempts, error: Error) -> Result<(), Error> {
        if !error.is_passing() {
            return Err(error);
        }
        let made = attempts.made();
        let pause = match &error {
            Error::Exchange { source, .. } if source.is_unreachable() => attempts.next_call(),
            Error::Busy { pause, .. } => attempts.next(*pause),
            _ => attempts.next(None),
        };
        let Some(pause) = pause else { return Err(error.after(made)) };
        let seconds = pause.as_secs_f32();
        let mut cause = error.to_string();
        if let Some(source) = std::error::Error::source(&error) {
            cause.push_str(&format!(": {source}"));
        }
        self.access.reporter.note(format!("{cause}; next try in {seconds:.1} s"));
        std::thread::sleep(pause);
        Ok(())
    }

    /// One try, once more with a new token if the registry asks for one.
    pub(super) fn once(&self, call: &Call<'_, '_>) -> Result<Response, Error> {
        let sent = self.auth.authorization(self, call.scope)?;
        let response = self.exchange(call, sent.clone())?;
        if response.status() != 401 {
            return Ok(response);
        }
        self.renew(call, response, sent.as_deref())?;
        let sent = self.auth.authorization(self, call.scope)?;
        let response = self.exchange(call, sent)?;
        match response.status() {
            401 => Err(self.refusal(call, response)),
            _ => Ok(response),
        }
    }

    /// One try whose 401 is for the caller, who needs to begin anew: the next try has another
    /// token. None stands for such a 401.
    pub(super) fn once_or_renew(&self, call: &Call<'_, '_>) -> Result<Option<Response>, Error> {
        let sent = self.auth.authorization(self, call.scope)?;
        let response = self.exchange(call, sent.clone())?;
        if response.status() != 401 {
            return Ok(Some(response));
        }
        self.renew(call, response, sent.as_deref())?;
        Ok(None)
    }

    fn renew(
        &self,
        call: &Call<'_, '_>,
        response: Response,
        sent: Option<&str>,
    ) -> Result<(), Error> {
        let challenges: Vec<String> =
            response.headers("www-authenticate").map(str::to_owned).collect();
        let detail = detail(response);
        self.auth.answer(self, call.scope, &challenges, sent, || self.shown(call), detail)
    }

    fn exchange(
        &self,
        call: &Call<'_, '_>,
        authorization: Option<String>,
    ) -> Result<Response, Error> {
        let base = self.base()?;
        let url = match call.place {
            Place::Path(path) => base.join(path).map_err(|_| self.no_host())?,
            Place::Url(url) => url.clone(),
        };
        if url.scheme() == "http" && base.scheme() == "https" && self.trust == Trust::Checked {
            let why = format!("it sends us on to {}", http::shown(&url));
            return Err(Error::Protocol { what: self.shown(call), why });
        }
        let is_own = url.origin() == base.origin();
        let request = Request {
            headers: call.headers.clone(),
            // A registry may send us elsewhere for an upload; its token stays with it.
            authorization: authorization.filter(|_| is_own),
            own_headers: if is_own { self.headers().to_vec() } else { Vec::new() },
            body: call.body,
            trust: self.trust,
            ..Request::new(call.method, url)
        };
        let response = self.http.send(&request).map_err(|source| Error::Exchange {
            what: self.shown(call),
            tries: 1,
            source,
        })?;
        self.listen(&response);
        busy(response, || self.shown(call))
    }

    /// The headers of the first file of credentials that has some. What is wrong with them is told,
    /// and no reason not to ask.
    fn headers(&self) -> &[(String, String)] {
        self.headers.get_or_init(|| {
            let reporter = &self.access.reporter;
            let found = self.access.keyring.headers().unwrap_or_else(|error| {
                reporter.warn(format!("{error}: no headers are taken from there"));
                Vec::new()
            });
            let (fine, wrong): (Vec<_>, Vec<_>) =
                found.into_iter().partition(|(name, value)| http::is_extra_header(name, value));
            for (name, _) in wrong {
                reporter
                    .warn(format!("HttpHeaders: {name:?} is not sent: it is none, or ours to say"));
            }
            fine
        })
    }

    /// Tells what a registry says beside its answers: warnings (distribution-spec, "Warnings") and
    /// how much it still allows (`RateLimit-*`, of Docker Hub and others). Each once.
    fn listen(&self, response: &Response) {
        let mut said = self.said.lock().expect("telling cannot panic");
        for text in response.headers("warning").filter_map(warning) {
            if said.insert(text.clone()) {
                self.access.reporter.warn(format!("{}: {text}", self.host));
            }
        }
        let limit = |name| {
            let value = response.header(name)?;
            Some(value.split(';').next().unwrap_or(value).trim().to_owned())
        };
        let Some(left) = limit("ratelimit-remaining") else { return };
        let of = limit("ratelimit-limit").map(|all| format!(" of {all}")).unwrap_or_default();
        let text = format!("{}: {left}{of} requests are left", self.host);
        if said.insert(text.clone()) {
            self.access.reporter.detail(text);
        }
    }

    /// Scheme and address. Who must do without TLS, or may, is asked for it first.
    pub(super) fn base(&self) -> Result<Url, Error> {
        let mut base = self.base.lock().expect("no thread panics while it asks for the scheme");
        if let Some(base) = &*base {
            return Ok(base.clone());
        }
        let url = |scheme| format!("{scheme}://{}/", self.address).parse::<Url>();
        let https = url("https").map_err(|_| self.no_host())?;
        if https.host_str().is_none_or(str::is_empty) || https.path() != "/" {
            return Err(self.no_host());
        }
        let found = match self.trust == Trust::Unchecked || is_loopback(&https) {
            false => https,
            true => self.probe(https, url("http").map_err(|_| self.no_host())?)?,
        };
        Ok(base.insert(found).clone())
    }

    fn probe(&self, https: Url, http: Url) -> Result<Url, Error> {
        let ask = |base: &Url| {
            let url = base.join("v2/").expect("a path below a host");
            let trust = self.trust;
            self.http.send(&Request { trust, ..Request::new(Method::Get, url) })
        };
        // Whatever else happens, somebody at the other end understood us.
        let mute = |outcome: Result<Response, http::Error>| match outcome {
            Err(error @ http::Error::Connect { .. }) => Some(error),
            _ => None,
        };
        let Some(error) = mute(ask(&https)) else { return Ok(https) };
        // With a port the same listener was asked; without one, http has another port.
        let maybe = error.is_no_tls() || error.is_unreachable() && https.port().is_none();
        if maybe && mute(ask(&http)).is_none() {
            return Ok(http);
        }
        Err(Error::Exchange { what: self.host.clone(), tries: 1, source: error })
    }

    fn no_host(&self) -> Error {
        Error::Host { host: self.host.clone() }
    }

    /// The error that an answer stands for which is no success.
    pub(super) fn refusal(&self, call: &Call<'_, '_>, response: Response) -> Error {
        let status = response.status();
        let (what, detail) = (self.shown(call), detail(response));
        match status {
            404 => Error::NotFound { what, detail },
            401 | 403 => self.denied(what, detail, call.scope),
            _ => Error::Refused { what, status, detail },
        }
    }

    pub(super) fn denied(&self, what: String, detail: Detail, scope: &Scope) -> Error {
        Error::denied(&self.host, what, detail, self.auth.found(scope).as_ref())
    }

    /// Names a call in messages.
    pub(super) fn shown(&self, call: &Call<'_, '_>) -> String {
        let path = match call.place {
            Place::Path(path) => path.split('?').next().unwrap_or_default(),
            Place::Url(url) => url.path(),
        };
        format!("{} {}{path}", call.method, self.host)
    }
}

/// Whether a URL's host is this machine by its very name: what leaves no machine may do without
/// TLS. A name that merely resolves to loopback does not count.
pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_by_name_alone() {
        for (host, expected) in [
            ("localhost:5000", true),
            ("LOCALHOST", true),
            ("127.0.0.1", true),
            ("127.8.9.10:1", true),
            ("[::1]:5000", true),
            ("[::ffff:127.0.0.1]", false),
            ("128.0.0.1", false),
            ("10.0.0.1", false),
            ("localhost.example", false),
            ("127.0.0.1.example", false),
            ("registry.local", false),
        ] {
            let url = format!("https://{host}/").parse().expect(host);
            assert_eq!(is_loopback(&url), expected, "{host}");
        }
    }

    #[test]
    fn a_host_is_nothing_else() {
        for host in ["", "a/b", "a b", "user@", ":5000", "h:99999"] {
            let connection = Connection::new(
                Arc::new(Client::new(http::Settings::default())),
                host,
                false,
                Arc::default(),
            );
            assert!(matches!(connection.base(), Err(Error::Host { .. })), "{host:?}");
        }
    }

    #[test]
    fn docker_hub_has_another_address() {
        let connection = Connection::new(
            Arc::new(Client::new(http::Settings::default())),
            "docker.io",
            false,
            Arc::default(),
        );
        assert_eq!(connection.base().expect("a host").as_str(), "https://registry-1.docker.io/");
    }
}
