//! Manifests and indexes: what is taken, what is given back, and what is removed.

use serde_json::json;

use super::{INDEX, MANIFEST, index, manifest, manifest_with};
use crate::support::Place;
use crate::support::served::{Served, sha256, sha512};

#[test]
fn bytes_come_back_as_they_came() {
    let place = Place::new();
    let served = Served::start(&place, "");
    let pushed = manifest(&served, "a", "one");
    // Unknown fields and white space are nobody's business.
    let text = pushed.text.replacen('{', "{ \"x-unknown\": [1, null],\n ", 1);
    let digest = sha256(text.as_bytes());
    let reply = served.push_manifest("a", "1", MANIFEST, &text).is(201);
    assert_eq!(reply.header("docker-content-digest"), digest);
    for target in ["1", &digest] {
        let path = format!("/v2/a/manifests/{target}");
        let reply = served.get(&path).is(200);
        assert_eq!(reply.body, text.as_bytes());
        assert_eq!(reply.header("content-type"), MANIFEST);
        assert_eq!(reply.header("docker-content-digest"), digest);
        let head = served.head(&path).is(200);
        assert_eq!(head.header("content-length"), text.len().to_string());
        assert_eq!(head.header("content-type"), MANIFEST);
        // Whatever is accepted: another form would have another digest.
        let accept = [("Accept", "application/vnd.docker.distribution.manifest.v1+prettyjws")];
        assert_eq!(served.ask("GET", &path, &accept, b"").is(200).body, text.as_bytes());
        served.ask("GET", &path, &[("If-None-Match", head.header("etag"))], b"").is(304);
    }
    // Docker's own types, and one that only the header tells.
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    let text = pushed.text.replace(MANIFEST, docker);
    served.push_manifest("a", "docker", docker, &text).is(201);
    assert_eq!(served.get("/v2/a/manifests/docker").header("content-type"), docker);
    let text = pushed.text.replace(&format!("\"mediaType\":\"{MANIFEST}\","), "");
    assert_ne!(text, pushed.text);
    served.push_manifest("a", "bare", &format!("{MANIFEST}; charset=utf-8"), &text).is(201);
    assert_eq!(served.get("/v2/a/manifests/bare").header("content-type"), MANIFEST);
}

#[test]
fn other_algorithms_and_several_tags_at_once() {
    let place = Place::new();
    let served = Served::start(&place, "");
    let pushed = manifest(&served, "a", "one");
    let long = sha512(pushed.text.as_bytes());
    let reply = served.push_manifest("a", &format!("{long}?tag=x&tag=y"), MANIFEST, &pushed.text);
    let reply = reply.is(201);
    assert_eq!(reply.header("docker-content-digest"), long);
    let tags: Vec<_> = reply.headers.iter().filter(|(name, _)| name == "oci-tag").collect();
    assert_eq!(tags.len(), 2, "{tags:?}");
    for target in ["x", "y", &long] {
        let reply = served.get(&format!("/v2/a/manifests/{target}")).is(200);
        assert_eq!(reply.header("docker-content-digest"), long);
        assert_eq!(reply.body, pushed.text.as_bytes());
    }
    // The same bytes by another name are another manifest, as far as anybody asked for one.
    served.get(&format!("/v2/a/manifests/{}", pushed.digest)).is(404);
    let parts = index(&[], &json!({}));
    let long_index = sha512(parts.text.as_bytes());
    served.push_manifest("a", &long_index, INDEX, &parts.text).is(201);
    served.get(&format!("/v2/a/manifests/{long_index}")).is(200);
    served
        .push_manifest("a", &format!("{long}?tag=-"), MANIFEST, &pushed.text)
        .refuses(400, "TAG_INVALID");
}

#[test]
fn what_is_no_manifest_is_refused() {
    let place = Place::new();
    let served = Served::start(&place, "");
    let pushed = manifest(&served, "a", "one");
    let put = |target: &str, kind: &str, text: &str| served.push_manifest("a", target, kind, text);
    for target in [sha256(b"other"), sha512(b"other"), "sha256:baddigeststring".to_owned()] {
        put(&target, MANIFEST, &pushed.text).refuses(400, "DIGEST_INVALID");
    }
    let long_tag = "x".repeat(129);
    for tag in ["-x", ".x", "a%20b", &long_tag] {
        put(tag, MANIFEST, &pushed.text).refuses(400, "TAG_INVALID");
    }
    for (kind, text) in [
        (INDEX, &*pushed.text),
        (MANIFEST, "no JSON"),
        (MANIFEST, "[]"),
        (MANIFEST, "{}"),
        (INDEX, "{\"schemaVersion\":2}"),
        ("application/json", "{}"),
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", "{\"schemaVersion\":1}"),
    ] {
        put("1", kind, text).refuses(400, "MANIFEST_INVALID");
    }
    let layer = sha256(b"never pushed");
    let text = pushed.text.replace(&sha256(b"one"), &layer);
    let reply = put("1", MANIFEST, &text).refuses(400, "MANIFEST_BLOB_UNKNOWN");
    assert!(String::from_utf8_lossy(&reply.body).contains(&layer));
    let text = pushed.text.replace("\"size\":3", "\"size\":4");
    put("1", MANIFEST, &text).refuses(400, "MANIFEST_INVALID");
    let text = format!("{{\"x\":\"{}\"}}", "a".repeat(9 << 20));
    put("1", MANIFEST, &text).refuses(413, "MANIFEST_INVALID");
    served.get("/v2/a/tags/list").refuses(404, "NAME_UNKNOWN");

    // So much must be taken.
    let large =
        manifest_with(&served, "a", "one", &json!({"annotations": {"x": "a".repeat(4_000_000)}}));
    large.put(&served, "a", "large");
}

#[test]
fn layers_that_registries_do_not_keep_may_be_missing() {
    let place = Place::new();
    let served = Served::start(&place, "");
    let foreign = json!({"layers": [{
        "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "digest": sha256(b"elsewhere"), "size": 9, "urls": ["https://store.example/x"],
    }]});
    manifest_with(&served, "a", "one", &foreign).put(&served, "a", "1");
    manifest_with(&served, "a", "one", &json!({"layers": []})).put(&served, "a", "2");
}

#[test]
fn a_manifest_may_lack_its_blobs_where_that_is_wanted() {
    let place = Place::new();
    let served = Served::start(&place, "--sparse");
    let missing = sha256(b"elsewhere");
    let layer = json!({"mediaType": "application/x", "digest": missing, "size": 9});
    let image = manifest_with(&served, "a", "one", &json!({"layers": [layer]}));
    image.put(&served, "a", "1");
    let blob = format!("/v2/a/blobs/{missing}");
    served.get(&blob).refuses(404, "BLOB_UNKNOWN");
    served.push_blob("a", b"elsewhere");
    served.get(&blob).is(200);
    // What is there must still be what the manifest says.
    let wrong = json!({"mediaType": "application/x", "digest": missing, "size": 8});
    let wrong = manifest_with(&served, "a", "one", &json!({"layers": [wrong]}));
    served.push_manifest("a", "2", MANIFEST, &wrong.text).refuses(400, "MANIFEST_INVALID");
    served.delete(&format!("/v2/a/manifests/{}", image.digest)).is(202);
    drop(served);
    // Others are told, and otherwise left alone.
    let served = Served::start(&place, "--sparse");
    image.put(&served, "b", "1");
    drop(served);
    assert!(place.bryo("images").succeeds().text().contains("\nb  "));
    place.bryo("rm b:1").succeeds();
    place.bryo("serve --sparse --downstream a.example").fails(2);
}

#[test]
fn an_index_is_taken_whether_or_not_its_parts_are_there() {
    let place = Place::new();
    let served = Served::start(&place, "");
    let (one, two) = (manifest(&served, "a", "one"), manifest(&served, "a", "two"));
    one.put(&served, "a", &one.digest);
    let both = index(&[&one, &two], &json!({}));
    served.push_manifest("a", "all", INDEX, &both.text).is(201);
    served.get(&format!("/v2/a/manifests/{}", one.digest)).is(200);
    served.get(&format!("/v2/a/manifests/{}", two.digest)).is(404);
    two.put(&served, "a", &two.digest);
    served.get(&format!("/v2/a/manifests/{}", two.digest)).is(200);
    // An index of an index, and one of nothing.
    let nested = json!({"manifests": [{"mediaType": INDEX, "digest": both.digest, "size": both.text.len()}]});
    let nested = index(&[], &nested);
    served.push_manifest("a", "nested", INDEX, &nested.text).is(201);
    served.push_manifest("a", "none", INDEX, &index(&[], &json!({})).text).is(201);

    // What an index lists is part of it, and goes with it.
    served.delete(&format!("/v2/a/manifests/{}", nested.digest)).is(202);
    let paths = [&one, &two].map(|part| format!("/v2/a/manifests/{}", part.digest));
    for path in &paths {
        served.delete(path).refuses(405, "UNSUPPORTED");
    }
    served.delete(&format!("/v2/a/manifests/{}", both.digest)).is(202);
    for path in &paths {
        served.get(path).is(404);
    }
}

#[test]
fn a_tag_goes_alone_and_a_manifest_with_its_tags() {
    let place = Place::new();
    let served = Served::start(&place, "");
    let (one, two) = (manifest(&served, "a", "one"), manifest(&served, "a", "two"));
    one.put(&served, "a", "1").put(&served, "a", "latest").put(&served, "b", "1");
    let get = |path: &str| served.get(&format!("/v2/{path}")).status;
    served.delete("/v2/a/manifests/latest").is(202);
    served.delete("/v2/a/manifests/latest").refuses(404, "MANIFEST_UNKNOWN");
    assert_eq!((get("a/manifests/latest"), get("a/manifests/1")), (404, 200));
    // The last tag leaves what people know by its digest.
    served.delete("/v2/a/manifests/1").is(202);
    let by_digest = format!("a/manifests/{}", one.digest);
    assert_eq!((get("a/manifests/1"), get(&by_digest)), (404, 200));
    // A tag that moves leaves it too.
    one.put(&served, "a", "1");
    two.put(&served, "a", "1");
    assert_eq!(
        (served.get("/v2/a/manifests/1").body, get(&by_digest)),
        (two.text.into_bytes(), 200)
    );

    one.put(&served, "a", "x").put(&served, "a", "y");
    served.delete(&format!("/v2/{by_digest}")).is(202);
    let gone = [get("a/manifests/x"), get("a/manifests/y"), get(&by_digest)];
    assert_eq!(gone, [404; 3]);
    served.delete(&format!("/v2/{by_digest}")).refuses(404, "MANIFEST_UNKNOWN");
    // Other repositories and other tags have theirs.
    assert_eq!((get("b/manifests/1"), get("a/manifests/1")), (200, 200));
}

#[test]
fn blobs_of_an_image_stay_as_long_as_it_does() {
    let place = Place::new();
    let served = Served::start(&place, "");
    let one = manifest(&served, "a", "one");
    one.put(&served, "a", "1");
    let path = format!("/v2/a/blobs/{}", sha256(b"one"));
    served.delete(&path).refuses(405, "UNSUPPORTED");
    served.delete(&format!("/v2/a/manifests/{}", one.digest)).is(202);
    served.delete(&path).is(202);
    served.head(&path).is(404);
    // Nobody else is here: the bytes go when the server ends.
    let blob = place.storage().join("blobs/sha256").join(&sha256(b"one")[7..]);
    assert!(blob.exists());
    let (status, said) = served.stop();
    assert_eq!(status, Some(0), "{said}");
    assert!(!blob.exists(), "{said}");
}
