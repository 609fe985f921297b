//! Registries behind this one: what is fetched from upstream, and what is passed on downstream.

use std::io::Read as _;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::{MANIFEST, manifest};
use crate::support::served::{Served, send, sha256};
use crate::support::{Place, Registry, Web, busybox, has};

#[test]
fn what_is_not_here_is_fetched_and_kept() {
    let (here, there) = (Place::new(), Place::new());
    if !has("docker-registry", "docker-registry") || !busybox(&there) {
        return;
    }
    let upstream = Registry::start(&there);
    let name = upstream.name("team/app:1");
    let digest = there.bryo(&format!("push -q base {name}")).succeeds().text();
    let served = Served::start(&here, &format!("--upstream {}", upstream.host()));
    let path = |target: &str| format!("/v2/team/app/manifests/{target}");

    let client = Place::new();
    let cached = served.name("team/app:1");
    assert_eq!(client.bryo(&format!("pull -q {cached}")).succeeds().text(), digest);
    assert_eq!(client.bryo(&format!("run -q {cached} echo x")).succeeds().text(), "x");
    // Here it has the name that it has there.
    assert_eq!(here.bryo(&format!("run -q {name} echo y")).succeeds().text(), "y");
    served.get(&path("none")).refuses(404, "MANIFEST_UNKNOWN");
    served.get("/v2/none/manifests/1").refuses(404, "MANIFEST_UNKNOWN");
    served.get("/v2/none/tags/list").refuses(404, "NAME_UNKNOWN");
    served.get(&format!("/v2/team/app/blobs/{}", sha256(b"x"))).refuses(404, "BLOB_UNKNOWN");
    served.ask("POST", "/v2/team/app/blobs/uploads/", &[], b"").refuses(405, "UNSUPPORTED");

    // A tag that moves there moves here.
    let context = there.context("c", "FROM base\nRUN echo 2 > /2\n", &[]);
    there.bryo("build -q -t two").arg(context).succeeds();
    let moved = there.bryo(&format!("push -q two {name}")).succeeds().text();
    let reply = served.get(&path("1")).is(200);
    assert_eq!(reply.header("docker-content-digest"), moved);
    there.bryo(&format!("push -q two {}", upstream.name("team/app:2"))).succeeds();
    assert_eq!(served.get("/v2/team/app/tags/list").json()["tags"], json!(["1", "2"]));
    let client = Place::new();
    assert_eq!(client.bryo(&format!("run -q {cached} cat /2")).succeeds().text(), "2");

    // Without upstream there is what is here, and it is said that it may be old.
    drop(upstream);
    let reply = served.get(&path("1")).is(200);
    assert_eq!(reply.header("docker-content-digest"), moved);
    assert!(reply.header("warning").starts_with("299 - \""), "{:?}", reply.headers);
    served.get(&path(&moved)).is(200);
    let client = Place::new();
    assert_eq!(client.bryo(&format!("run -q {cached} cat /2")).succeeds().text(), "2");
    served.get(&path("other")).refuses(502, "UNKNOWN");
    assert_eq!(served.get("/v2/team/app/tags/list").json()["tags"], json!(["1"]));
}

/// A registry with one image of one layer, whose bytes are `sent`; slow enough to be asked by several.
fn slow(layer: &'static [u8], sent: &'static [u8]) -> (Web, String, String) {
    let config = sha256(b"{}");
    let text = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2},
        "layers": [{"mediaType": "application/x", "digest": sha256(layer), "size": layer.len()}],
    });
    let text = text.to_string();
    let (digest, body) = (sha256(text.as_bytes()), text.clone());
    let blob = format!("/v2/a/blobs/{}", sha256(layer));
    let (layer_path, by_digest) = (blob.clone(), format!("/v2/a/manifests/{digest}"));
    let web = Web::start(move |path, _| {
        let kind = "Content-Type: application/vnd.oci.image.manifest.v1+json\r\n";
        if path == layer_path {
            thread::sleep(Duration::from_millis(500));
            return (200, "", sent.to_vec());
        }
        match path {
            "/v2/" => (200, "", b"{}".to_vec()),
            "/v2/a/manifests/1" => (200, kind, body.clone().into_bytes()),
            path if path == by_digest => (200, kind, body.clone().into_bytes()),
            _ => (404, "", Vec::new()),
        }
    });
    (web, digest, blob)
}

#[test]
fn many_who_ask_at_once_cost_one_request() {
    static LAYER: [u8; 400_000] = [6; 400_000];
    let place = Place::new();
    let (web, digest, blob) = slow(&LAYER, &LAYER);
    let host = web.url("").trim_start_matches("http://").to_owned();
    let served = Served::start(&place, &format!("--upstream {host}"));
    assert_eq!(served.get("/v2/a/manifests/1").is(200).header("docker-content-digest"), digest);
    thread::scope(|scope| {
        for number in 0..8 {
            let (served, blob) = (&served, &blob);
            scope.spawn(move || {
                if number % 2 == 0 {
                    assert_eq!(served.get(blob).is(200).body, LAYER);
                } else {
                    let range = [("Range", "bytes=399000-")];
                    let reply = served.ask("GET", blob, &range, b"").is(206);
                    assert_eq!(reply.body, LAYER[399_000..]);
                    assert_eq!(reply.header("content-range"), "bytes 399000-399999/400000");
                }
            });
        }
    });
    assert_eq!(web.count(&blob), 1);
    assert_eq!(served.get(&blob).is(200).body, LAYER);
    assert_eq!(web.count(&blob), 1);
}

#[test]
fn what_upstream_corrupts_nobody_gets_whole() {
    static LAYER: [u8; 400_000] = [6; 400_000];
    static OTHER: [u8; 400_000] = [7; 400_000];
    let place = Place::new();
    let (web, _, blob) = slow(&LAYER, &OTHER);
    let host = web.url("").trim_start_matches("http://").to_owned();
    let served = Served::start(&place, &format!("--upstream {host}"));
    served.get("/v2/a/manifests/1").is(200);
    let mut stream = served.connect();
    send(&mut stream, "GET", &blob, &[], b"");
    let mut all = Vec::new();
    drop(stream.read_to_end(&mut all));
    assert!(all.starts_with(b"HTTP/1.1 200 ") && all.len() < 400_000, "{}", all.len());
    let hex = &sha256(&LAYER)[7..];
    assert!(!place.storage().join("blobs/sha256").join(hex).exists());
}

#[test]
fn what_is_pushed_is_passed_on_or_not_taken() {
    let (here, there) = (Place::new(), Place::new());
    if !has("docker-registry", "docker-registry") {
        return;
    }
    let downstream = Registry::start(&there);
    let served = Served::start(&here, &format!("--downstream {}/mirror", downstream.host()));
    let image = manifest(&served, "team/app", "one");
    image.put(&served, "team/app", "1");
    image.put(&served, "team/app", &image.digest);
    let name = downstream.name("mirror/team/app:1");
    assert_eq!(there.bryo(&format!("digest {name}")).succeeds().text(), image.digest);
    let pinned = downstream.name(&format!("mirror/team/app@{}", image.digest));
    there.bryo(&format!("digest {pinned}")).succeeds();

    drop(downstream);
    let image = manifest(&served, "team/app", "two");
    served.push_manifest("team/app", "2", MANIFEST, &image.text).refuses(502, "UNKNOWN");
    served.get("/v2/team/app/manifests/2").is(404);
    served.get("/v2/team/app/manifests/1").is(200);
}
