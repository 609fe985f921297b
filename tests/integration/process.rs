//! process: occystrap's URIs.

use std::fs;

use serde_json::json;

use crate::support::{Place, Registry, Web, busybox, has};

#[test]
fn places_of_occystrap_are_read_and_written() {
    let place = Place::new();
    if !has("docker-registry", "docker-registry") || !busybox(&place) {
        return;
    }
    let registry = Registry::start(&place);
    let host = registry.host();
    place.bryo("manifest create list base").succeeds();
    place.bryo(&format!("manifest push list {host}/team/app:1")).succeeds();
    let process = |line: &str| place.bryo(&format!("process {line}"));
    let id = |name: &str| place.bryo("inspect --format {{.Id}}").arg(name).succeeds().text();
    let base = id("base");

    // One platform's image, though an index was named.
    let said = process(&format!("registry://{host}/team/app:1 tar://a.tar")).succeeds();
    let digest = place.bryo("images --digests --format {{.Digest}} base").succeeds().text();
    assert_eq!(said.text(), digest);
    assert_eq!(id("./a.tar"), base);
    let there = process(&format!(
        "file://a.tar registry://{host}/x:1?compression=zstd -f normalize-timestamps:ts=0"
    ));
    let digest = there.succeeds().text();
    assert_eq!(place.bryo(&format!("digest {host}/x:1")).succeeds().text(), digest);
    let manifest = place.bryo(&format!("inspect --manifest {host}/x:1")).succeeds().json();
    let kind = manifest["layers"][0]["mediaType"].as_str().expect("a type");
    assert!(kind.ends_with("+zstd"), "{kind}");
    process(&format!("registry://{host}/team/app:1?arch=s390x tar://no.tar")).fails(3);
    process("tar://a.tar tar://- -f search:pattern=*sh").fails(2).mentions("stdout");

    // A directory that images share, and out of it again.
    process("tar://a.tar dir://d?unique_names=true&expand=true").succeeds();
    process(&format!("registry://{host}/x:1 directory:d?unique_names=yes")).succeeds();
    let read = |name: &str| -> serde_json::Value {
        let bytes = fs::read(place.path("work/d").join(name)).expect("it was written");
        serde_json::from_slice(&bytes).expect("JSON")
    };
    let own = "manifest-team_app-1.json";
    let catalog = json!({"team/app": {"1": own}, "x": {"1": "manifest-x-1.json"}});
    assert_eq!(read("catalog.json"), catalog);
    let listed = read(own);
    assert_eq!(listed[0]["ImageName"], json!("team/app"));
    let layer = listed[0]["Layers"][0].as_str().expect("a layer");
    assert!(place.path("work/d").join(layer).exists());
    assert!(place.path("work/d/manifest-team_app-1/bin/sh").exists());
    assert!(!place.path("work/d/manifest-x-1").exists());
    process(&format!("dir://d?image={host}/team/app:1 tar://b.tar")).succeeds();
    let bytes = |name: &str| fs::read(place.path("work").join(name)).expect("it was written");
    assert_eq!(bytes("a.tar"), bytes("b.tar"));
    process("dir://d?image=none:1 tar://c.tar").fails(3).mentions("none:1");
    process("tar://a.tar dir://plain").succeeds();
    process("dir://plain store:again").succeeds();
    assert_eq!(id("again"), base);

    process("tar://a.tar oci://bundle").succeeds();
    assert!(place.path("work/bundle/rootfs/bin/sh").exists());
    assert!(place.path("work/bundle/config.json").exists());

    for (line, status, told) in [
        (format!("registry://ann:s3cret@{host}/a tar://x"), 2, "--creds"),
        (format!("registry://{host}/a?password=s3cret tar://x"), 2, "--password-stdin"),
        ("quay://team/*?token=s3cret dir://x".to_owned(), 2, "bryo login"),
        ("quay://team/* oci://x".to_owned(), 2, "unique_names=true"),
        ("tar://none.tar tar://x".to_owned(), 3, "none.tar"),
        ("a.tar tar://x".to_owned(), 2, "no scheme"),
    ] {
        let said = process(&line).fails(status).mentions(told);
        assert!(!said.errors().contains("s3cret"), "{said}");
    }
}

#[test]
fn whole_organizations_are_copied() {
    let place = Place::new();
    if !has("docker-registry", "docker-registry") || !busybox(&place) {
        return;
    }
    let registry = Registry::start(&place);
    for name in ["org/a:1", "org/b:1", "org/c:2", "other/d:1"] {
        place.bryo(&format!("push -q base {}", registry.name(name))).succeeds();
    }
    // The list of repositories is asked of the registry itself, images of its mirror.
    let proxy = Web::start(|path, _| match path.contains("/v2/_catalog") {
        true => (200, "", br#"{"repositories":["org/a","org/b","org/c","other/d"]}"#.to_vec()),
        false => (200, "", b"{}".to_vec()),
    });
    let process = |line: &str| {
        let mirror = format!("--mirror quay.io={}", registry.host());
        let run = place.bryo(&format!("process --insecure=quay.io --retry 1 {mirror} {line}"));
        run.env("http_proxy", proxy.url("")).env("https_proxy", proxy.url(""))
    };
    process("quay://org/*:1 dir://d").fails(2).mentions("unique_names=true");
    let said = process("quay://org/*:1 dir://d?unique_names=true").succeeds();
    let mut lines: Vec<String> = said.text().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["quay.io/org/a:1 -> dir://d", "quay.io/org/b:1 -> dir://d"]);
    let catalog = fs::read_to_string(place.path("work/d/catalog.json")).expect("written");
    assert!(catalog.contains("manifest-org_b-1.json"), "{catalog}");
    let to = registry.name("m");
    process(&format!("-J 1 quay://org/*:1 registry://{to}")).succeeds();
    assert_eq!(place.bryo(&format!("tags {to}/b")).succeeds().text(), "1");
    process("quay://org/*:9 dir://d?unique_names=true").fails(3).mentions("no tag");
}
