//! URLs as people may see them: without what opens doors.

use reqwest::Url;

/// Scheme, host, port and path. User, password and query are left out: a query may carry a
/// signature or a token.
pub fn shown(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), authority(url), url.path())
}

/// A text for people, with `***` in place of whatever stands before an `@` in its URLs: what somebody
/// typed is repeated in messages.
pub fn without_credentials(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        let end = after.find(|c: char| c.is_whitespace() || "/?#\"'".contains(c));
        let (authority, tail) = after.split_at(end.unwrap_or(after.len()));
        shown.push_str(before);
        match authority.rsplit_once('@') {
            Some((_, host)) => shown.extend(["***@", host]),
            None => shown.push_str(authority),
        }
        rest = tail;
    }
    shown + rest
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
    fn messages_repeat_no_passwords() {
        for (text, expected) in [
            ("no \"registry://a:s@cret@h:5/x\" here", "no \"registry://***@h:5/x\" here"),
            ("http://u:p@h and x://t@k?q=@", "http://***@h and x://***@k?q=@"),
            ("http://h/a@sha256:0 a@b", "http://h/a@sha256:0 a@b"),
            ("://", "://"),
            ("", ""),
        ] {
            assert_eq!(without_credentials(text), expected);
        }
    }

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
