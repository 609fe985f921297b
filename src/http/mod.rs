//! One blocking client for everything that fetches or sends: TLS, proxies, redirects, retries,
//! redaction.
//!
//! [`Client::send`] is one exchange, redirects followed. Trying again is the caller's business,
//! who knows what may be repeated; [`Patience`] tells how often and after which pause.
//!
//! The client underneath is made by the first exchange and not before: it starts a thread, and
//! `sandbox::enter` must find none. It speaks HTTP/1.1 alone, which is faster than HTTP/2 for large
//! bodies in every client that was measured.

mod engine;
mod error;
mod pace;
mod proxy;
mod redact;
mod redirect;
mod retry;
pub mod server;
mod tls;
mod trail;

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use error::{Cause, Error};
pub use proxy::Proxies;
pub use redact::{shown, without_credentials};
pub use reqwest::Url;
pub use retry::{Attempts, Patience, date, retry_after};
pub use trail::{Trail, Visit};

use engine::{Engine, Failure, Incoming};
use pace::Pace;

/// How long the other side may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(30);
/// How long it may be silent before it answers, and between two parts of its answer; or not take
/// what it is sent.
const SILENCE: Duration = Duration::from_secs(60);
/// What it may take to check and store what it was sent, before it answers.
const DIGESTION: Duration = Duration::from_secs(600);

/// What a client is made of.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub proxies: Proxies,
    /// Files of PEM certificates: authorities that are trusted beside the system's.
    pub certificates: Vec<PathBuf>,
    /// Folders that may have one for a host (`host` or `host:port`), with its authorities and what
    /// proves who we are (containers-certs.d(5)). The first that has it counts.
    pub host_certificates: Vec<PathBuf>,
    /// Such folders of single hosts, which count before those.
    pub own_certificates: Vec<(String, PathBuf)>,
    /// So many requests per second at most, to all hosts together.
    pub rate: Option<f64>,
    /// Nothing is sent to anybody.
    pub offline: bool,
    /// Hears of every request.
    pub trail: Option<Trail>,
    /// A socket of this machine that all connections go to, whatever their URLs say.
    pub socket: Option<PathBuf>,
}

/// Sends requests; shared by all threads.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    engine: Mutex<Option<Arc<Engine>>>,
    /// By how the other side is trusted, and by the folder with what concerns it alone.
    clients: Mutex<HashMap<(Trust, Option<PathBuf>), reqwest::Client>>,
    pace: Option<Pace>,
}

/// Whether the other side must prove who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trust {
    /// By a certificate that a known authority signed.
    Checked,
    /// It need not; redirects may leave TLS, too.
    Unchecked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

/// What is to be sent.
#[derive(Debug)]
pub struct Request<'a> {
    pub method: Method,
    pub url: Url,
    pub headers: Vec<(&'static str, String)>,
    /// The value of `Authorization`, told to the origin of `url` alone, whatever it redirects to.
    pub authorization: Option<String>,
    /// More headers that are for that origin alone.
    pub own_headers: Vec<(String, String)>,
    pub body: Body<'a>,
    pub trust: Trust,
}

impl<'a> Request<'a> {
    pub fn new(method: Method, url: Url) -> Self {
        let (headers, body) = (Vec::new(), Body::Empty);
        let (authorization, own_headers, trust) = (None, Vec::new(), Trust::Checked);
        Self { method, url, headers, authorization, own_headers, body, trust }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn body(mut self, body: Body<'a>) -> Self {
        self.body = body;
        self
    }
}

/// What follows a request's headers.
#[derive(Clone, Copy)]
pub enum Body<'a> {
    Empty,
    Bytes(&'a [u8]),
    /// `size` bytes, read anew each time that they have to be sent.
    Stream {
        size: u64,
        open: Open<'a>,
    },
}

/// Opens a body at its beginning.
pub type Open<'a> = &'a dyn Fn() -> io::Result<Box<dyn Read + Send + 'a>>;

impl fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Stream { size, .. } => write!(f, "Stream({size})"),
        }
    }
}

/// The answer: reads as its body.
pub struct Response {
    inner: Incoming,
    engine: Arc<Engine>,
}

impl Client {
    /// Nothing happens before the first [`Client::send`].
    pub fn new(settings: Settings) -> Self {
        let pace = settings.rate.map(Pace::new);
        Self { settings, engine: Mutex::new(None), clients: Mutex::default(), pace }
    }

    /// Sends a request and waits for the head of the answer, following redirects. Any status is a
    /// success here.
    pub fn send(&self, request: &Request<'_>) -> Result<Response, Error> {
        if self.settings.offline {
            return Err(Error::Offline { url: shown(&request.url) });
        }
        let engine = self.engine()?;
        let mut redirected = false;
        redirect::follow(request, |url, is_home| {
            let client = self.client(request.trust, url)?;
            if let Some(trail) = &self.settings.trail {
                trail.add(url, std::mem::replace(&mut redirected, true));
            }
            if let Some(pace) = &self.pace {
                pace.wait();
            }
            let inner = exchange(&engine, &client, request, url, is_home, self.silence());
            let inner = inner.map_err(|failure| self.explain(request.method, url, failure))?;
            Ok(Response { inner: Incoming::new(inner), engine: engine.clone() })
        })
    }

    /// What a failure was about.
    fn explain(&self, method: Method, url: &Url, failure: Failure) -> Error {
        let through =
            || self.settings.proxies.shown(url).filter(|_| self.settings.socket.is_none());
        match failure {
            Failure::Body(source) => Error::Body { url: redact::shown(url), source },
            Failure::Stuck(stuck) => Error::stuck(method, url, &stuck),
            Failure::Client(error) => Error::exchange(method, url, through(), error),
        }
    }

    /// How long the other side may think before it answers. Programs of this machine make what they
    /// are asked for first.
    fn silence(&self) -> Duration {
        if self.settings.socket.is_some() { DIGESTION } else { SILENCE }
    }

    fn engine(&self) -> Result<Arc<Engine>, Error> {
        let mut slot = self.engine.lock().expect("no thread panics while it starts the engine");
        if let Some(engine) = &*slot {
            return Ok(engine.clone());
        }
        let engine = Engine::start().map_err(|error| Error::Setup(Cause::of(&error)))?;
        Ok(slot.insert(Arc::new(engine)).clone())
    }

    fn client(&self, trust: Trust, url: &Url) -> Result<reqwest::Client, Error> {
        let given = tls::given_for(&self.settings.own_certificates, url);
        let own = given.or_else(|| tls::folder_of(&self.settings.host_certificates, url));
        let certificates = &self.settings.certificates;
        let mut clients = self.clients.lock().expect("no thread panics while it makes a client");
        if let Some(client) = clients.get(&(trust, own.clone())) {
            return Ok(client.clone());
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("bryo/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(tls::configuration(trust, certificates, own.as_deref())?)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(CONNECT)
            .tcp_keepalive(SILENCE)
            .tcp_user_timeout(SILENCE)
            .no_proxy();
        if let Some(proxy) = self.settings.proxies.build()? {
            builder = builder.proxy(proxy);
        }
        if let Some(socket) = &self.settings.socket {
            builder = builder.unix_socket(socket.clone());
        }
        let client = builder.build().map_err(|error| Error::Setup(Cause::of(&error)))?;
        clients.insert((trust, own), client.clone());
        Ok(client)
    }
}

fn exchange(
    engine: &Engine,
    client: &reqwest::Client,
    request: &Request<'_>,
    url: &Url,
    is_home: bool,
    silence: Duration,
) -> Result<reqwest::Response, Failure> {
    let mut builder = client.request(request.method.into(), url.clone());
    for (name, value) in &request.headers {
        builder = builder.header(*name, value);
    }
    if is_home {
        for (name, value) in &request.own_headers {
            builder = builder.header(name, value);
        }
        if let Some(value) = &request.authorization {
            builder = builder.header("authorization", value);
        }
    }
    match request.body {
        Body::Empty if matches!(request.method, Method::Get | Method::Head) => {
            engine.send(builder, silence)
        }
        // A length of 0 is said aloud: the distribution specification asks for it.
        Body::Empty => engine.send(builder.header("content-length", "0"), silence),
        Body::Bytes(bytes) => engine.send(builder.body(bytes.to_vec()), silence),
        Body::Stream { size, open } => {
            let body = open().map_err(Failure::Body)?;
            engine.send_stream(builder, (body, size), SILENCE, DIGESTION)
        }
    }
}

/// Whether a header can be added to any request without changing what that is.
pub fn is_extra_header(name: &str, value: &str) -> bool {
    const OURS: [&str; 12] = [
        "accept",
        "authorization",
        "connection",
        "content-length",
        "content-range",
        "content-type",
        "host",
        "proxy-authorization",
        "range",
        "te",
        "transfer-encoding",
        "user-agent",
    ];
    let name = reqwest::header::HeaderName::try_from(name);
    name.is_ok_and(|name| !OURS.contains(&name.as_str()))
        && reqwest::header::HeaderValue::try_from(value).is_ok()
}

impl Response {
    pub fn status(&self) -> u16 {
        self.inner.response.status().as_u16()
    }

    pub fn is_success(&self) -> bool {
        self.inner.response.status().is_success()
    }

    /// Where the answer came from in the end.
    pub fn url(&self) -> &Url {
        self.inner.response.url()
    }

    /// A header's first value; None also where it is no text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.inner.response.headers().get(name)?.to_str().ok()
    }

    /// All values of a header that may come several times.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.inner.response.headers().get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    /// The size of the body in bytes, where the other side tells it.
    pub fn length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    /// The body, which must not be longer than `limit` bytes.
    pub fn bytes(self, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            let text = format!("the answer is longer than {limit} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        Ok(bytes)
    }
}

impl Read for Response {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(&self.engine, SILENCE, buffer).map_err(|failure| match failure {
            Failure::Body(error) => error,
            Failure::Stuck(stuck) => io::Error::new(io::ErrorKind::TimedOut, Cause::of(&stuck)),
            Failure::Client(error) => io::Error::other(Cause::of(&error)),
        })
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({} {})", self.status(), redact::shown(self.url()))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(reqwest::Method::from(*self).as_str())
    }
}

impl From<Method> for reqwest::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => Self::GET,
            Method::Head => Self::HEAD,
            Method::Post => Self::POST,
            Method::Put => Self::PUT,
            Method::Patch => Self::PATCH,
            Method::Delete => Self::DELETE,
        }
    }
}
