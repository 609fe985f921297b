//! [`Error`]: why there is no answer.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;

use reqwest::Url;

use super::Method;
use super::engine::Stuck;
use super::redact::shown;

/// Why an exchange failed. URLs are shown without what may be secret in them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("certificates in {}", path.display())]
    Certificates {
        path: PathBuf,
        #[source]
        source: Cause,
    },
    #[error("proxy {shown:?}")]
    Proxy {
        shown: String,
        #[source]
        source: Cause,
    },
    #[error("setting up TLS")]
    Setup(#[source] Cause),
    #[error("{}", attempt(host, *what, through.as_deref()))]
    Connect {
        host: String,
        what: Connecting,
        /// The proxy between us.
        through: Option<String>,
        #[source]
        source: Cause,
    },
    #[error("{method} {url}")]
    Exchange {
        method: Method,
        url: String,
        #[source]
        source: Cause,
    },
    #[error("reading what is to be sent to {url}")]
    Body {
        url: String,
        #[source]
        source: io::Error,
    },
    #[error("{url} was not asked: nothing may be sent")]
    Offline { url: String },
    #[error("{url} redirects more than {limit} times")]
    Redirects { url: String, limit: usize },
    #[error("{url} redirects to {target:?}, {why}")]
    Redirect { url: String, target: String, why: &'static str },
}

/// Which part of connecting went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connecting {
    /// Nobody could be reached: no such name, no route, no listener.
    Reach,
    /// The other side's certificate does not convince us.
    Certificate,
    /// The other side does not speak TLS, or hung up in the middle of its beginning.
    Tls,
    /// The other side wants a certificate of ours that convinces it.
    OwnCertificate,
    /// The proxy does not answer, so that nobody else was asked.
    Proxy,
}

fn attempt(host: &str, what: Connecting, through: Option<&str>) -> String {
    match through {
        Some(proxy) if what == Connecting::Proxy => {
            format!("connecting to the proxy {proxy}, through which {host} is reached")
        }
        Some(proxy) => format!("connecting to {host} through the proxy {proxy}"),
        None => format!("connecting to {host}"),
    }
}

impl Error {
    /// `through` is the proxy that it went through.
    pub(super) fn exchange(
        method: Method,
        url: &Url,
        through: Option<String>,
        error: reqwest::Error,
    ) -> Self {
        let error = error.without_url();
        let source = Cause::of(&error);
        // What a server thinks of our certificate is told when the first answer is awaited.
        let what = match wants_certificate(&error) {
            true => Connecting::OwnCertificate,
            false if !error.is_connect() => {
                return Self::Exchange { method, url: shown(url), source };
            }
            false => connecting(&error, url, through.is_some()),
        };
        Self::Connect { host: super::redact::authority(url), what, through, source }
    }

    pub(super) fn stuck(method: Method, url: &Url, stuck: &Stuck) -> Self {
        Self::Exchange { method, url: shown(url), source: Cause::of(stuck) }
    }

    /// Whether the other side was never reached at all.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Connect { what: Connecting::Reach | Connecting::Proxy, .. })
    }

    /// Whether the other side may understand plain http where it did not understand TLS.
    pub fn is_no_tls(&self) -> bool {
        matches!(self, Self::Connect { what: Connecting::Tls, .. })
    }

    /// Whether the other side wants to know who we are, by a certificate.
    pub fn is_own_certificate(&self) -> bool {
        matches!(self, Self::Connect { what: Connecting::OwnCertificate, .. })
    }

    /// Whether another try may end better.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Connect { .. } => self.is_unreachable(),
            Self::Exchange { .. } => true,
            _ => false,
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Connect { what: Connecting::Certificate, host, .. } => Some(format!(
                "name its certificate authority with --cacert FILE, or use --insecure={host}"
            )),
            Self::Connect { what: Connecting::Tls, host, .. } => {
                Some(format!("--insecure={host} allows plain http"))
            }
            Self::Connect { what: Connecting::OwnCertificate, host, .. } => Some(format!(
                "it wants a certificate of yours: put it as NAME.cert, with its key as NAME.key, \
                 into ~/.config/containers/certs.d/{host}"
            )),
            Self::Connect { through: Some(_), host, .. } => Some(format!(
                "--proxy, $BRYO_PROXY, $HTTPS_PROXY or $HTTP_PROXY name the proxy; NO_PROXY={host} \
                 goes without one"
            )),
            Self::Offline { .. } => {
                Some("what is here already can be used; else leave out --offline".into())
            }
            Self::Proxy { .. } => Some("a proxy is written as http://HOST:PORT".into()),
            _ => None,
        }
    }
}

/// Whether the other side refuses our certificate, or that we have none (RFC 8446 §6.2).
fn wants_certificate(error: &reqwest::Error) -> bool {
    use rustls::AlertDescription as Alert;
    causes(error).filter_map(|cause| cause.downcast_ref::<rustls::Error>()).any(|error| {
        let rustls::Error::AlertReceived(alert) = error else { return false };
        matches!(
            alert,
            Alert::CertificateRequired
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied
        )
    })
}

fn connecting(error: &reqwest::Error, url: &Url, by_proxy: bool) -> Connecting {
    match causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        Some(
            rustls::Error::InvalidCertificate(_)
            | rustls::Error::NoCertificatesPresented
            | rustls::Error::UnsupportedNameType,
        ) => return Connecting::Certificate,
        Some(_) => return Connecting::Tls,
        None => {}
    }
    let hung_up =
        causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|error| {
            matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
        });
    match hung_up && url.scheme() == "https" {
        true => Connecting::Tls,
        // One that answers says why it does not let us through, which is no error of the system's.
        false if by_proxy && is_of_system(error) => Connecting::Proxy,
        false => Connecting::Reach,
    }
}

/// Whether the system could not connect: no such name, no route, nobody there.
fn is_of_system(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| {
        let io = cause.downcast_ref::<io::Error>();
        io.is_some_and(|error| error.raw_os_error().is_some())
            || cause.to_string().contains("dns error")
            || cause.to_string().contains("timed out")
    })
}

/// An error and its causes, the innermost last. An [`io::Error`] hides what it wraps from
/// `source`.
fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let hidden = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        hidden.map(|inner| inner as &(dyn StdError + 'static)).or_else(|| error.source())
    })
}

/// The innermost cause of a failure of the client's; what lies between says nothing to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause(String);

impl Cause {
    pub(super) fn say(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(super) fn of(error: &(dyn StdError + 'static)) -> Self {
        let deepest = causes(error).last().unwrap_or(error);
        Self(plain(&deepest.to_string()))
    }
}

/// In the house's own style: no full stop at the end.
fn plain(text: &str) -> String {
    text.trim_end_matches('.').to_owned()
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Cause {}
