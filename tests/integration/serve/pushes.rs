//! Sending blobs: in one request, in two, in pieces, by mounting; and giving up.

use std::fs;
use std::io::Write as _;

use crate::support::Place;
use crate::support::served::{Reply, Served, eventually, read, sha256, sha512};

fn begin(served: &Served, name: &str) -> String {
    let reply = served.ask("POST", &format!("/v2/{name}/blobs/uploads/"), &[], b"").is(202);
    assert_eq!(reply.header("range"), "0-0");
    assert!(reply.header("location").ends_with(reply.header("docker-upload-uuid")));
    reply.header("location").to_owned()
}

fn patch(served: &Served, location: &str, range: Option<&str>, bytes: &[u8]) -> Reply {
    let headers: Vec<_> = range.map(|range| ("Content-Range", range)).into_iter().collect();
    served.ask("PATCH", location, &headers, bytes)
}

/// The blob is there, at the place that was named.
fn is_at(served: &Served, reply: &Reply, digest: &str, bytes: &[u8]) {
    assert_eq!(reply.header("docker-content-digest"), digest);
    assert_eq!(served.get(reply.header("location")).is(200).body, bytes);
}

/// Files of work in progress.
fn drafts(place: &Place) -> usize {
    let folders = fs::read_dir(place.storage().join("tmp")).expect("a store");
    let folders = folders.map(|entry| entry.expect("readable").path());
    folders
        .filter(|path| path.is_dir())
        .map(|path| fs::read_dir(path).expect("a folder").count())
        .sum()
}

#[test]
fn a_blob_comes_in_one_request_or_in_two() {
    let place = Place::new();
    let served = Served::start(&place, "");
    for digest_of in [sha256, sha512] {
        for bytes in [&b"moss"[..], b"", b"{}", &[7; 300_000]] {
            let digest = digest_of(bytes);
            let path = format!("/v2/one/blobs/uploads/?digest={digest}");
            let reply = served.ask("POST", &path, &[], bytes).is(201);
            is_at(&served, &reply, &digest, bytes);

            let path = format!("{}?digest={digest}", begin(&served, "two"));
            let reply = served.ask("PUT", &path, &[], bytes).is(201);
            is_at(&served, &reply, &digest, bytes);
            served.get(&path).refuses(404, "BLOB_UPLOAD_UNKNOWN");
        }
    }
    // Who says the digest too early and sends nothing wants to begin.
    let path = format!("/v2/one/blobs/uploads/?digest={}", sha256(b"later"));
    served.ask("POST", &path, &[], b"").is(202);
}

#[test]
fn a_blob_comes_in_pieces() {
    let place = Place::new();
    let served = Served::start(&place, "");
    let bytes: Vec<u8> = (0..3000_u32).map(|at| at as u8).collect();
    for digest in [sha256(&bytes), sha512(&bytes)] {
        // Pieces that say where they belong; the last one with the digest, or before it.
        for last_is_put in [false, true] {
            let location = begin(&served, "a");
            let reply = patch(&served, &location, Some("0-999"), &bytes[..1000]).is(202);
            assert_eq!(reply.header("range"), "0-999");
            patch(&served, reply.header("location"), Some("1000-1999"), &bytes[1000..2000]).is(202);
            let path = format!("{location}?digest={digest}");
            let reply = if last_is_put {
                let range = [("Content-Range", "2000-2999")];
                served.ask("PUT", &path, &range, &bytes[2000..])
            } else {
                patch(&served, &location, Some("2000-2999"), &bytes[2000..]).is(202);
                served.ask("PUT", &path, &[], b"")
            };
            is_at(&served, &reply.is(201), &digest, &bytes);
        }
        // One stream.
        let location = begin(&served, "b");
        patch(&served, &location, None, &bytes).is(202);
        let reply = served.ask("PUT", &format!("{location}?digest={digest}"), &[], b"").is(201);
        is_at(&served, &reply, &digest, &bytes);
    }
    assert_eq!(drafts(&place), 0);
}

#[test]
fn pieces_out_of_order_are_refused_and_forgotten() {
    let place = Place::new();
    let served = Served::start(&place, "");
    let bytes = [3_u8; 300];
    let digest = sha256(&bytes);
    let location = begin(&served, "a");
    let path = format!("{location}?digest={digest}");
    let refused = |reply: Reply, range: &str| {
        let reply = reply.refuses(416, "BLOB_UPLOAD_INVALID");
        assert_eq!((reply.header("range"), reply.header("location")), (range, &*location));
        let state = served.get(&location).is(204);
        assert_eq!((state.header("range"), state.header("location")), (range, &*location));
    };
    refused(patch(&served, &location, Some("100-199"), &bytes[..100]), "0-0");
    patch(&served, &location, Some("0-99"), &bytes[..100]).is(202);
    refused(patch(&served, &location, Some("200-299"), &bytes[..100]), "0-99");
    refused(patch(&served, &location, Some("0-99"), &bytes[..100]), "0-99");
    refused(served.ask("PUT", &path, &[("Content-Range", "200-299")], &bytes[..100]), "0-99");
    for range in ["99", "100-99", "a-b", "-5", "0-18446744073709551615"] {
        patch(&served, &location, Some(range), &bytes[..1]).refuses(400, "BLOB_UPLOAD_INVALID");
    }
    patch(&served, &location, Some("100-199"), &bytes[..50]).refuses(400, "SIZE_INVALID");
    patch(&served, &location, Some("100-299"), &bytes[100..]).is(202);
    is_at(&served, &served.ask("PUT", &path, &[], b"").is(201), &digest, &bytes);
}

#[test]
fn a_wrong_digest_stores_nothing() {
    let place = Place::new();
    let served = Served::start(&place, "");
    for digest in [sha256(b"moss"), sha512(b"moss")] {
        let path = format!("/v2/a/blobs/uploads/?digest={digest}");
        served.ask("POST", &path, &[], b"mess").refuses(400, "DIGEST_INVALID");
        let path = format!("{}?digest={digest}", begin(&served, "a"));
        served.ask("PUT", &path, &[], b"mess").refuses(400, "DIGEST_INVALID");
        let location = begin(&served, "a");
        patch(&served, &location, Some("0-3"), b"mess").is(202);
        let path = format!("{location}?digest={digest}");
        served.ask("PUT", &path, &[], b"").refuses(400, "DIGEST_INVALID");
        served.get(&format!("/v2/a/blobs/{digest}")).refuses(404, "BLOB_UNKNOWN");
    }
    served.get(&format!("/v2/a/blobs/{}", sha256(b"mess"))).refuses(404, "BLOB_UNKNOWN");
    let location = begin(&served, "a");
    for query in ["", "?digest=", "?digest=md5:0", "?digest=sha256:0"] {
        let path = format!("{location}{query}");
        served.ask("PUT", &path, &[], b"moss").refuses(400, "DIGEST_INVALID");
    }
    served.ask("POST", "/v2/a/blobs/uploads/?digest=x", &[], b"").refuses(400, "DIGEST_INVALID");
    let path = "/v2/a/blobs/uploads/?digest-algorithm=md5";
    served.ask("POST", path, &[], b"").refuses(400, "DIGEST_INVALID");
    served.delete(&location).is(204);
    assert_eq!(drafts(&place), 0);
}

#[test]
fn an_upload_is_given_up() {
    let place = Place::new();
    let served = Served::start(&place, "");
    let location = begin(&served, "a");
    patch(&served, &location, None, b"mo").is(202);
    assert_eq!(served.get(&location).is(204).header("range"), "0-1");
    assert_eq!(drafts(&place), 1);
    // It belongs to its repository.
    let other = location.replace("/v2/a/", "/v2/b/");
    served.get(&other).refuses(404, "BLOB_UPLOAD_UNKNOWN");
    served.delete(&other).refuses(404, "BLOB_UPLOAD_UNKNOWN");
    served.delete(&location).is(204);
    assert_eq!(drafts(&place), 0);
    for (method, path) in [("GET", &location), ("PATCH", &location), ("DELETE", &location)] {
        served.ask(method, path, &[], b"").refuses(404, "BLOB_UPLOAD_UNKNOWN");
    }
    let path = format!("{location}?digest={}", sha256(b"mo"));
    served.ask("PUT", &path, &[], b"").refuses(404, "BLOB_UPLOAD_UNKNOWN");
}

#[test]
fn a_client_that_breaks_off_goes_on_where_it_was() {
    let place = Place::new();
    let served = Served::start(&place, "");
    let location = begin(&served, "a");
    let bytes = [9_u8; 100_000];
    // Says 100000 bytes and sends 60000.
    let mut stream = served.connect();
    let head = format!("PATCH {location} HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("sent");
    stream.write_all(&bytes[..60_000]).expect("sent");
    drop(stream);
    eventually("the rest", || served.get(&location).is(204).header("range") == "0-59999");
    eventually("that the first request ends", || {
        patch(&served, &location, Some("60000-99999"), &bytes[60_000..]).status == 202
    });
    let digest = sha256(&bytes);
    let reply = served.ask("PUT", &format!("{location}?digest={digest}"), &[], b"").is(201);
    is_at(&served, &reply, &digest, &bytes);
}

#[test]
fn a_body_may_have_chunks_and_wait_for_a_word() {
    let place = Place::new();
    let served = Served::start(&place, "");
    let location = begin(&served, "a");
    let mut stream = served.connect();
    let head = format!(
        "PATCH {location} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let body = "2\r\nmo\r\n2\r\nss\r\n0\r\n\r\n";
    stream.write_all(format!("{head}{body}").as_bytes()).expect("sent");
    assert_eq!(read(stream, "PATCH").is(202).header("range"), "0-3");

    // Who waits to be told that the body is wanted is refused before they send it.
    let mut stream = served.connect();
    let head = "PUT /v2/a/blobs/uploads/none?digest=sha256:0 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\
                Expect: 100-continue\r\nContent-Length: 1000000000\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("sent");
    read(stream, "PUT").refuses(404, "BLOB_UPLOAD_UNKNOWN");
}

#[test]
fn blobs_are_mounted_from_other_repositories() {
    let place = Place::new();
    let served = Served::start(&place, "");
    let digest = served.push_blob("a/b", b"moss");
    let mount =
        |query: &str| served.ask("POST", &format!("/v2/c/blobs/uploads/?{query}"), &[], b"");
    // Not there, not to be told, not yet: an upload begins instead.
    let missing = mount(&format!("mount={}&from=a/b", sha256(b"other"))).is(202);
    assert!(missing.header("location").starts_with("/v2/c/blobs/uploads/"));
    mount(&format!("mount={digest}&from=d")).is(202);
    served.get(&format!("/v2/c/blobs/{digest}")).is(404);

    is_at(&served, &mount(&format!("mount={digest}&from=a%2Fb")).is(201), &digest, b"moss");
    // Without `from`: wherever it is.
    let reply = served.ask("POST", &format!("/v2/e/blobs/uploads/?mount={digest}"), &[], b"");
    is_at(&served, &reply.is(201), &digest, b"moss");
    // Each has it for itself.
    served.delete(&format!("/v2/c/blobs/{digest}")).is(202);
    served.get(&format!("/v2/c/blobs/{digest}")).is(404);
    served.get(&format!("/v2/a/b/blobs/{digest}")).is(200);
    served.delete(&format!("/v2/a/b/blobs/{digest}")).is(202);
    served.delete(&format!("/v2/e/blobs/{digest}")).is(202);
    mount(&format!("mount={digest}")).is(202);
}
