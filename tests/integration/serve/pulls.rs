//! Getting blobs, parts of them, and what is not there.

use crate::support::Place;
use crate::support::served::{Served, sha256, sha512};

#[test]
fn the_base_says_who_answers() {
    let place = Place::new();
    let served = Served::start(&place, "");
    for path in ["/v2/", "/v2"] {
        let reply = served.get(path).is(200);
        assert_eq!(reply.header("docker-distribution-api-version"), "registry/2.0");
        served.head(path).is(200);
    }
    for path in ["/", "/v1/", "/v2/a", "/v2/a/tags", "/v2/a/b/c", "/index.html"] {
        served.get(path).refuses(404, "UNSUPPORTED");
    }
    for (method, path, allowed) in [
        ("POST", "/v2/", "GET, HEAD"),
        ("OPTIONS", "/v2/", "GET, HEAD"),
        ("DELETE", "/v2/_catalog", "GET, HEAD"),
        ("PUT", "/v2/a/tags/list", "GET, HEAD"),
        ("POST", "/v2/a/manifests/1", "GET, HEAD, PUT, DELETE"),
        ("PUT", "/v2/a/blobs/sha256:0", "GET, HEAD, DELETE"),
        ("GET", "/v2/a/blobs/uploads/", "POST"),
        ("POST", "/v2/a/blobs/uploads/1", "GET, PATCH, PUT, DELETE"),
        ("DELETE", "/v2/a/referrers/sha256:0", "GET, HEAD"),
    ] {
        let reply = served.ask(method, path, &[], b"").refuses(405, "UNSUPPORTED");
        assert_eq!(reply.header("allow"), allowed, "{method} {path}");
    }
    for name in ["A", "a//b", "-a", "a_", "a..b"] {
        served.get(&format!("/v2/{name}/tags/list")).refuses(400, "NAME_INVALID");
    }
}

#[test]
fn blobs_are_sent_whole_and_in_parts() {
    let place = Place::new();
    let served = Served::start(&place, "");
    let blob: Vec<u8> = (0..2048_u32).map(|at| (at * 7 % 251) as u8).collect();
    let digest = served.push_blob("a/b", &blob);
    let path = format!("/v2/a/b/blobs/{digest}");

    let reply = served.get(&path).is(200);
    assert_eq!(reply.body, blob);
    assert_eq!(reply.header("docker-content-digest"), digest);
    assert_eq!(reply.header("accept-ranges"), "bytes");
    let head = served.head(&path).is(200);
    assert_eq!(head.header("content-length"), "2048");
    assert_eq!(head.header("docker-content-digest"), digest);
    // Some write the colon so.
    served.get(&path.replace(':', "%3A")).is(200);

    let part = |range: &str| served.ask("GET", &path, &[("Range", range)], b"");
    for (range, first, last) in [
        ("bytes=500-1499", 500, 1499),
        ("bytes=500-", 500, 2047),
        ("bytes=-500", 1548, 2047),
        ("bytes=2000-5000", 2000, 2047),
        ("bytes=0-0", 0, 0),
    ] {
        let reply = part(range).is(206);
        assert_eq!(reply.body, blob[first..=last], "{range}");
        assert_eq!(reply.header("content-range"), format!("bytes {first}-{last}/2048"));
    }
    for range in ["bytes=500-0", "bytes=5000-10000", "bytes=2048-"] {
        assert_eq!(
            part(range).refuses(416, "SIZE_INVALID").header("content-range"),
            "bytes */2048"
        );
    }
    part("bytes=0-1,5-6").is(200);

    // What is known is not sent again; what is resumed must be the same.
    let tag = head.header("etag");
    served.ask("GET", &path, &[("If-None-Match", tag)], b"").is(304);
    let headers = [("Range", "bytes=9-"), ("If-Range", tag)];
    served.ask("GET", &path, &headers, b"").is(206);
    let headers = [("Range", "bytes=9-"), ("If-Range", "\"other\"")];
    served.ask("GET", &path, &headers, b"").is(200);
}

#[test]
fn what_is_not_there_is_not_found() {
    let place = Place::new();
    let served = Served::start(&place, "");
    let digest = served.push_blob("a", b"moss");
    for (name, digest) in [
        ("a", sha256(b"other")),
        ("a", sha512(b"moss")),
        // Another repository's blob is none of this one.
        ("b", digest.clone()),
    ] {
        let path = format!("/v2/{name}/blobs/{digest}");
        served.get(&path).refuses(404, "BLOB_UNKNOWN");
        served.head(&path).is(404);
        served.delete(&path).refuses(404, "BLOB_UNKNOWN");
    }
    for digest in ["sha256:0", "md5:d41d8cd98f00b204e9800998ecf8427e", "moss"] {
        served.get(&format!("/v2/a/blobs/{digest}")).refuses(400, "DIGEST_INVALID");
    }
    for target in ["1", &digest] {
        served.get(&format!("/v2/a/manifests/{target}")).refuses(404, "MANIFEST_UNKNOWN");
        served.head(&format!("/v2/a/manifests/{target}")).is(404);
        served.delete(&format!("/v2/a/manifests/{target}")).refuses(404, "MANIFEST_UNKNOWN");
    }
    served.get("/v2/a/manifests/sha256:baddigeststring").refuses(400, "DIGEST_INVALID");
    served.get("/v2/none/tags/list").refuses(404, "NAME_UNKNOWN");
}
