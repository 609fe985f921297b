//! Following redirects, and watching the bodies that are sent.

use std::io::{self, Read};
use std::sync::{Arc, Mutex};

use super::redact::shown;
use super::{Body, Error, Method, Request, Response, Trust, Url};

const LIMIT: usize = 10;

/// Calls `exchange` with one URL after the other until the answer is no redirect. `Authorization`
/// goes to the first URL's origin alone (distribution-spec, "Pulling blobs": it must not be
/// forwarded to another host).
pub(super) fn follow(
    request: &Request<'_>,
    mut exchange: impl FnMut(&Url, Option<&str>) -> Result<Response, Error>,
) -> Result<Response, Error> {
    let home = request.url.origin();
    let mut url = request.url.clone();
    for _ in 0..=LIMIT {
        let authorization = request.authorization.as_deref().filter(|_| url.origin() == home);
        let response = exchange(&url, authorization)?;
        match target(request, &url, response.status(), response.header("location")) {
            Ok(None) => return Ok(response),
            Ok(Some(next)) => url = next,
            Err((target, why)) => {
                return Err(Error::Redirect { url: shown(&url), target: target.to_owned(), why });
            }
        }
    }
    Err(Error::Redirects { url: shown(&request.url), limit: LIMIT })
}

/// Where an answer sends us; None if it is one.
fn target<'a>(
    request: &Request<'_>,
    url: &Url,
    status: u16,
    location: Option<&'a str>,
) -> Result<Option<Url>, (&'a str, &'static str)> {
    let same_method = matches!(status, 307 | 308);
    if !same_method && !matches!(status, 301..=303) {
        return Ok(None);
    }
    let Some(location) = location else { return Ok(None) };
    // The query may hold a signature.
    let brief = location.split('?').next().unwrap_or_default();
    // 301 to 303 turn anything else into a GET in practice, which would not do what was asked for.
    if !same_method && !matches!(request.method, Method::Get | Method::Head) {
        return Err((brief, "which loses the method of the request"));
    }
    let next = url.join(location).map_err(|_| (brief, "which is no URL"))?;
    if !matches!(next.scheme(), "http" | "https") {
        return Err((brief, "which is neither http nor https"));
    }
    if url.scheme() == "https" && next.scheme() == "http" && request.trust == Trust::Checked {
        return Err((brief, "which is not encrypted"));
    }
    // Only what was meant for this origin may be in a body in memory (a form with a token).
    if matches!(request.body, Body::Bytes(_)) && next.origin() != request.url.origin() {
        return Err((brief, "which is another host"));
    }
    Ok(Some(next))
}

/// A body on its way out. Remembers why it could not be read, since the client tells only that it
/// could not be sent.
pub(super) struct Watched {
    inner: Box<dyn Read + Send>,
    left: u64,
    fault: Fault,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Fault(Arc<Mutex<Option<io::Error>>>);

impl Fault {
    pub(super) fn take(&self) -> Option<io::Error> {
        self.0.lock().expect("nothing panics while the fault is set").take()
    }

    fn set(&self, error: io::Error) -> io::Error {
        let kind = error.kind();
        *self.0.lock().expect("nothing panics while the fault is set") = Some(error);
        kind.into()
    }
}

impl Watched {
    pub(super) fn new(inner: Box<dyn Read + Send>, size: u64) -> Self {
        Self { inner, left: size, fault: Fault::default() }
    }

    pub(super) fn fault(&self) -> Fault {
        self.fault.clone()
    }
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = match self.inner.read(&mut buffer[..most]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            outcome => outcome.map_err(|error| self.fault.set(error))?,
        };
        if count == 0 && most > 0 {
            let text = format!("it ends {} bytes early", self.left);
            return Err(self.fault.set(io::Error::new(io::ErrorKind::UnexpectedEof, text)));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_of_redirects() {
        let url: Url = "https://h/v2/a?x=1".parse().expect("a URL");
        for (method, trust, status, location, expected) in [
            (Method::Get, Trust::Checked, 200, Some("/b"), Ok(None)),
            (Method::Get, Trust::Checked, 307, None, Ok(None)),
            (Method::Get, Trust::Checked, 307, Some("b?y=2"), Ok(Some("https://h/v2/b?y=2"))),
            (Method::Get, Trust::Checked, 302, Some("//c:1/b"), Ok(Some("https://c:1/b"))),
            (Method::Get, Trust::Checked, 302, Some("http://c/?s=1"), Err("http://c/")),
            (Method::Get, Trust::Unchecked, 302, Some("http://c/"), Ok(Some("http://c/"))),
            (Method::Get, Trust::Unchecked, 302, Some("file:///etc"), Err("file:///etc")),
            (Method::Put, Trust::Checked, 301, Some("/b"), Err("/b")),
            (Method::Put, Trust::Checked, 308, Some("/b"), Ok(Some("https://h/b"))),
        ] {
            let request = Request { trust, ..Request::new(method, url.clone()) };
            let found = target(&request, &url, status, location).map_err(|(brief, _)| brief);
            let found = found.map(|url| url.map(String::from));
            assert_eq!(found, expected.map(|url| url.map(str::to_owned)), "{status} {location:?}");
        }
    }

    #[test]
    fn a_form_stays_with_its_host() {
        let url: Url = "https://h/token".parse().expect("a URL");
        let request = Request::new(Method::Post, url.clone()).body(Body::Bytes(b"secret"));
        assert!(target(&request, &url, 307, Some("https://other/")).is_err());
        assert!(target(&request, &url, 307, Some("/elsewhere")).is_ok());
    }

    #[test]
    fn a_body_that_ends_early_is_remembered() {
        let mut watched = Watched::new(Box::new(&b"mos"[..]), 4);
        let fault = watched.fault();
        assert!(io::copy(&mut watched, &mut io::sink()).is_err());
        assert_eq!(fault.take().expect("remembered").to_string(), "it ends 1 bytes early");
        let mut watched = Watched::new(Box::new(&b"mossy"[..]), 4);
        let mut text = String::new();
        watched.read_to_string(&mut text).expect("whole");
        assert_eq!(text, "moss");
    }
}
