//! Images that change while they pass through.

use serde_json::{Value, json};

use super::{INDEX, MANIFEST, index, manifest};
use crate::support::served::{Served, sha256};
use crate::support::{Place, Registry, busybox, has};

/// An image of two layers over the base, with a file that is to go.
fn image(place: &Place, name: &str, more: &str) {
    let text =
        format!("FROM base\nRUN mkdir /opt && echo 1 > /opt/kept && touch /opt/x.pyc\n{more}");
    let context = place.context(name, &text, &[]);
    place.bryo(&format!("build -q -t {name}")).arg(context).succeeds();
}

fn layers(place: &Place, name: &str) -> Vec<Value> {
    let manifest = place.bryo(&format!("inspect --raw {name}")).succeeds().json();
    manifest["layers"].as_array().expect("an image").clone()
}

#[test]
fn what_goes_downstream_is_changed_and_what_was_pushed_is_not() {
    let (here, there) = (Place::new(), Place::new());
    if !has("docker-registry", "docker-registry") || !busybox(&there) {
        return;
    }
    image(&there, "app", "");
    let downstream = Registry::start(&there);
    let options =
        format!("--downstream {}/mirror -f timestamps=7 -f exclude=*.pyc", downstream.host());
    let served = Served::start(&here, &options);
    let pushed =
        there.bryo(&format!("push -q app {}", served.name("team/app:1"))).succeeds().text();
    let reply = served.get("/v2/team/app/manifests/1").is(200);
    assert_eq!(reply.header("docker-content-digest"), pushed);

    // The same as somebody gets who changes it on the way without us.
    let direct = downstream.name("direct:1");
    let expected = there
        .bryo(&format!("push -q -f timestamps=7 -f exclude=*.pyc app {direct}"))
        .succeeds()
        .text();
    let mirrored = downstream.name("mirror/team/app:1");
    assert_eq!(there.bryo(&format!("digest {mirrored}")).succeeds().text(), expected);
    assert_ne!(expected, pushed);
    there.bryo(&format!("check {mirrored}")).succeeds();
    let client = Place::new();
    assert_eq!(client.bryo(&format!("run -q {mirrored} ls /opt")).succeeds().text(), "kept");
    let list = format!("run -q {} ls /opt", served.name("team/app:1"));
    assert_eq!(client.bryo(&list).succeeds().text(), "kept\nx.pyc");

    // By its digest alone it goes on under the one that it gets.
    let by_digest = format!("push -q app {}", served.name(&format!("team/other@{pushed}")));
    assert_eq!(there.bryo(&by_digest).succeeds().text(), pushed);
    let pinned = downstream.name(&format!("mirror/team/other@{expected}"));
    there.bryo(&format!("digest {pinned}")).succeeds();
    let (status, said) = served.stop();
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains(&format!("{pushed} goes on as {mirrored}, {expected}")), "{said}");
    assert!(said.contains("; 2 manifests downstream"), "{said}");
    // Its layers were changed once, for the one name and for the other.
    assert_eq!(said.matches("filter ").count(), layers(&there, "app").len(), "{said}");
}

#[test]
fn indexes_and_artifacts_go_downstream_too() {
    let (here, there) = (Place::new(), Place::new());
    if !has("docker-registry", "docker-registry") || !busybox(&there) {
        return;
    }
    image(&there, "app", "");
    let downstream = Registry::start(&there);
    // A squash unpacks, and so needs more than the others.
    let served = Served::start(&here, &format!("--downstream {} -f squash", downstream.host()));
    assert!(layers(&there, "app").len() > 1);
    there.bryo(&format!("push -q app {}", served.name("app:1"))).succeeds();
    let one = served.get("/v2/app/manifests/1").is(200);
    let artifact = manifest(&served, "app", "something else");
    artifact.put(&served, "app", &artifact.digest);
    let mut parts = index(&[&artifact], &json!({}));
    let mut value: Value = serde_json::from_str(&parts.text).expect("JSON");
    value["manifests"].as_array_mut().expect("it").push(json!({
        "mediaType": MANIFEST, "digest": one.header("docker-content-digest"),
        "size": one.body.len(), "platform": {"os": "linux", "architecture": "amd64"},
    }));
    parts.text = value.to_string();
    served.push_manifest("app", "all", INDEX, &parts.text).is(201);
    let all = there.bryo(&format!("inspect --raw {}", downstream.name("app:all")));
    let all = all.succeeds().json();
    assert_eq!(all["manifests"][0]["digest"], artifact.digest);
    let image = all["manifests"][1]["digest"].as_str().expect("a digest");
    assert_ne!(image, one.header("docker-content-digest"));
    let name = downstream.name(&format!("app@{image}"));
    assert_eq!(layers(&there, &name).len(), 1);
    assert_eq!(there.bryo(&format!("run -q {name} cat /opt/kept")).succeeds().text(), "1");
}

#[test]
fn tags_of_upstream_name_what_was_made_of_them() {
    let (here, there) = (Place::new(), Place::new());
    if !has("docker-registry", "docker-registry") || !busybox(&there) {
        return;
    }
    image(&there, "app", "");
    let upstream = Registry::start(&there);
    let original = there.bryo(&format!("push -q app {}", upstream.name("team/app:1"))).succeeds();
    let original = original.text();
    let options = format!("--upstream {} -f exclude=*.pyc", upstream.host());
    let served = Served::start(&here, &options);
    let digest = |served: &Served, target: &str| {
        let reply = served.get(&format!("/v2/team/app/manifests/{target}")).is(200);
        reply.header("docker-content-digest").to_owned()
    };
    let changed = digest(&served, "1");
    assert_ne!(changed, original);
    let client = Place::new();
    let list = |served: &Served, target: &str| {
        let name = served.name(&format!("team/app{target}"));
        client.bryo(&format!("check {name}")).succeeds();
        client.bryo(&format!("run -q {name} ls /opt")).succeeds().text()
    };
    assert_eq!(list(&served, ":1"), "kept");
    // Both can be had by their digests, whichever was asked for first.
    assert_eq!(digest(&served, &changed), changed);
    assert_eq!(digest(&served, &original), original);
    assert_eq!(list(&served, &format!("@{original}")), "kept\nx.pyc");
    assert_eq!(list(&served, &format!("@{changed}")), "kept");

    // Another day nothing is done again, and a tag that moves is followed.
    drop(served);
    let served = Served::start(&here, &options);
    assert_eq!(digest(&served, "1"), changed);
    image(&there, "two", "RUN echo 2 > /opt/two");
    there.bryo(&format!("push -q two {}", upstream.name("team/app:1"))).succeeds();
    let moved = digest(&served, "1");
    assert_ne!(moved, changed);
    assert_eq!(list(&served, ":1"), "kept\ntwo");
    drop(upstream);
    let reply = served.get("/v2/team/app/manifests/1").is(200);
    assert_eq!(reply.header("docker-content-digest"), moved);
    assert!(reply.header("warning").starts_with("299 - \""), "{:?}", reply.headers);
    let (status, said) = served.stop();
    assert_eq!(status, Some(0), "{said}");
    // The one layer that `two` has more.
    assert_eq!(said.matches("filter ").count(), 1, "{said}");
}

#[test]
fn filters_want_something_that_passes_through() {
    let place = Place::new();
    place.bryo("serve -f squash").fails(2).mentions("--upstream").mentions("--downstream");
    place.bryo("serve --upstream a.example -f moss").fails(2).mentions("no filter \"moss\"");
}

#[test]
fn an_image_that_is_wrong_is_not_taken_where_it_must_be_changed() {
    let (here, there) = (Place::new(), Place::new());
    if !has("docker-registry", "docker-registry") {
        return;
    }
    let downstream = Registry::start(&there);
    let options = format!("--downstream {} -f timestamps=0", downstream.host());
    let served = Served::start(&here, &options);
    // A layer that is none, and a configuration that tells of another one.
    let layer = served.push_blob("a", b"moss");
    let config = json!({
        "os": "linux", "architecture": "amd64",
        "rootfs": {"type": "layers", "diff_ids": [sha256(b"mess")]},
    });
    let config = config.to_string();
    let kind = "application/vnd.oci.image.";
    let text = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": format!("{kind}config.v1+json"),
            "digest": served.push_blob("a", config.as_bytes()),
            "size": config.len(),
        },
        "layers": [{"mediaType": format!("{kind}layer.v1.tar"), "digest": layer, "size": 4}],
    });
    let reply = served.push_manifest("a", "1", MANIFEST, &text.to_string());
    reply.refuses(400, "MANIFEST_INVALID");
    served.get("/v2/a/manifests/1").refuses(404, "MANIFEST_UNKNOWN");
    let (status, said) = served.stop();
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains(" 0 failed here"), "{said}");
}
