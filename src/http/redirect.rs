//! Following redirects.

use super::redact::shown;
use super::{Body, Error, Method, Request, Response, Trust, Url};

const LIMIT: usize = 10;

/// Calls `exchange` with one URL after the other until the answer is no redirect, and says whether it
/// is of the first one's origin: `Authorization` goes to that alone (distribution-spec, "Pulling
/// blobs": it must not be forwarded to another host).
pub(super) fn follow(
    request: &Request<'_>,
    mut exchange: impl FnMut(&Url, bool) -> Result<Response, Error>,
) -> Result<Response, Error> {
    let home = request.url.origin();
    let mut url = request.url.clone();
    for _ in 0..=LIMIT {
        let response = exchange(&url, url.origin() == home)?;
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
}
