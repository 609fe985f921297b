//! [`Route`]: which of the specification's endpoints a path is ("Endpoints").

use crate::http::Url;

/// An endpoint, with what its path names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// `/v2/`
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/NAME/tags/list`
    Tags(&'a str),
    /// `/v2/NAME/manifests/TAG|DIGEST`
    Manifest(&'a str, &'a str),
    /// `/v2/NAME/blobs/DIGEST`
    Blob(&'a str, &'a str),
    /// `/v2/NAME/blobs/uploads/`
    Uploads(&'a str),
    /// `/v2/NAME/blobs/uploads/ID`
    Upload(&'a str, &'a str),
    /// `/v2/NAME/referrers/DIGEST`
    Referrers(&'a str, &'a str),
}

impl<'a> Route<'a> {
    /// Of a path that is decoded. Names have slashes and may have words of ours in them, so paths
    /// are read from their end.
    pub(super) fn of(path: &'a str) -> Option<Self> {
        let rest = match path.strip_prefix("/v2")? {
            "" | "/" => return Some(Self::Base),
            rest => rest.strip_prefix('/')?,
        };
        if rest == "_catalog" {
            return Some(Self::Catalog);
        }
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return Some(Self::Tags(name));
        }
        if let Some(name) =
            rest.strip_suffix("/blobs/uploads/").or_else(|| rest.strip_suffix("/blobs/uploads"))
        {
            return Some(Self::Uploads(name));
        }
        let (rest, last) = rest.rsplit_once('/')?;
        if let Some(name) = rest.strip_suffix("/blobs/uploads") {
            return Some(Self::Upload(name, last));
        }
        let (name, kind) = rest.rsplit_once('/')?;
        match kind {
            "manifests" => Some(Self::Manifest(name, last)),
            "blobs" => Some(Self::Blob(name, last)),
            "referrers" => Some(Self::Referrers(name, last)),
            _ => None,
        }
    }

    /// The repository that it is about.
    pub(super) fn repository(&self) -> Option<&'a str> {
        match self {
            Self::Base | Self::Catalog => None,
            Self::Tags(name)
            | Self::Manifest(name, _)
            | Self::Blob(name, _)
            | Self::Uploads(name)
            | Self::Upload(name, _)
            | Self::Referrers(name, _) => Some(name),
        }
    }
}

/// Undoes `%3A` and its like; None where that is no text.
pub(super) fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// The parameters of a request.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn of(query: &str) -> Self {
        let url = Url::parse(&format!("http://h/?{query}"));
        let pairs = url.iter().flat_map(Url::query_pairs);
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// The first value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A text as it may stand in a query.
pub(super) fn encoded(text: &str) -> String {
    let mut url = Url::parse("http://h/").expect("a URL");
    url.query_pairs_mut().append_pair("x", text);
    url.query().and_then(|query| query.strip_prefix("x=")).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_from_their_end() {
        for (path, route) in [
            ("/v2", Some(Route::Base)),
            ("/v2/", Some(Route::Base)),
            ("/v2/_catalog", Some(Route::Catalog)),
            ("/v2/a/b/tags/list", Some(Route::Tags("a/b"))),
            ("/v2/a/manifests/1", Some(Route::Manifest("a", "1"))),
            ("/v2/a/manifests/manifests/1", Some(Route::Manifest("a/manifests", "1"))),
            ("/v2/a/b/blobs/sha256:00", Some(Route::Blob("a/b", "sha256:00"))),
            ("/v2/blobs/uploads/blobs/uploads/", Some(Route::Uploads("blobs/uploads"))),
            ("/v2/a/blobs/uploads", Some(Route::Uploads("a"))),
            ("/v2/a/blobs/uploads/7", Some(Route::Upload("a", "7"))),
            ("/v2/a/referrers/sha256:00", Some(Route::Referrers("a", "sha256:00"))),
            ("/v2/a/tags", None),
            ("/v2/a", None),
            ("/v2x/", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }

    #[test]
    fn texts_are_encoded_and_decoded() {
        assert_eq!(decoded("/v2/a/blobs/sha256%3a0").as_deref(), Some("/v2/a/blobs/sha256:0"));
        for bad in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(decoded(bad), None, "{bad}");
        }
        let query = Query::of("a=x%2Fy&b&a=2&tag=");
        assert_eq!(query.all("a").collect::<Vec<_>>(), ["x/y", "2"]);
        assert_eq!((query.get("b"), query.get("tag"), query.get("c")), (Some(""), Some(""), None));
        let text = "a/b+c d&e=é";
        assert_eq!(Query::of(&format!("x={}", encoded(text))).get("x"), Some(text));
    }
}
