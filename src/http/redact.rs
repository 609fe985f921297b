//! URLs as people may see them: without what opens doors.

use reqwest::Url;

/// Scheme, host, port and path. User, password and query are left out: a query may carry a
/// signature or a token.
pub fn shown(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), authority(url), url.path())
}

/// `host` or `host:port`.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out() {
        for (url, expected) in [
            ("https://ann:pass@h:5000/v2/a?sig=1#x", "https://h:5000/v2/a"),
            ("http://[::1]:80/", "http://[::1]/"),
        ] {
            assert_eq!(shown(&url.parse().expect(url)), expected);
        }
    }
}
