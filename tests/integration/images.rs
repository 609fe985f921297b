//! What is here: images, inspect, history, tag, rm.

use serde_json::json;

use crate::support::{Place, busybox};

#[test]
fn an_image_is_listed_named_and_removed() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let listed = place.bryo("images --json").succeeds().json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    assert_eq!(listed[0]["name"], "base:latest");
    let id = listed[0]["id"].as_str().expect("an ID").to_owned();
    let short = &id["sha256:".len()..][..12];

    let table = place.bryo("images").succeeds().text();
    assert!(table.starts_with("REPOSITORY   TAG      IMAGE ID"), "{table}");
    assert!(table.contains(short), "{table}");

    place.bryo("tag base registry.example/team/app:1").succeeds();
    place.bryo(&format!("tag {short} two")).succeeds();
    let said = place.bryo("inspect two").succeeds().json();
    assert_eq!(said[0]["Id"], id.as_str());
    assert_eq!(
        said[0]["RepoTags"],
        json!(["base:latest", "two:latest", "registry.example/team/app:1"])
    );
    for (filter, count) in [("base", 1), ("registry.example/team/*", 1), ("nothing", 0)] {
        let listed = place.bryo("images --json").arg(filter).succeeds().json();
        assert_eq!(listed.as_array().map(Vec::len), Some(count), "{filter}");
    }

    assert_eq!(place.bryo("rm two").succeeds().text(), "two:latest");
    place.bryo("rm two").fails(3).mentions("two");
    place.bryo("rm registry.example/team/*").succeeds();
    // By ID: all names.
    place.bryo("tag base again").succeeds();
    place.bryo(&format!("rmi --purge {short}")).succeeds();
    assert_eq!(place.bryo("ls --json").succeeds().json(), json!([]));
    // Nothing of it is left on the disk.
    let left =
        place.run("find").arg(place.storage()).args(["-type", "f", "-size", "+4k"]).succeeds();
    assert_eq!(left.text(), "");
}

#[test]
fn removal_spares_what_another_name_needs() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let context = place.context("c", "FROM base\nRUN echo x > /x\n", &[]);
    place.bryo("build -q -t child").arg(context).succeeds();
    place.bryo("rm base").succeeds();
    assert_eq!(place.bryo("run child cat /x").succeeds().text(), "x");
}

#[test]
fn inspect_shows_the_bytes_that_the_digests_are_of() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let manifest = place.bryo("inspect --manifest base").succeeds();
    let digest = place.run("sha256sum").input(manifest.bytes()).succeeds().text();
    let listed = place.bryo("images --json").succeeds().json();
    assert_eq!(format!("sha256:{}", &digest[..64]), listed[0]["digest"]);
    let config = place.bryo("inspect --config base").succeeds();
    let digest = place.run("sha256sum").input(config.bytes()).succeeds().text();
    assert_eq!(format!("sha256:{}", &digest[..64]), listed[0]["id"]);
}

#[test]
fn history_tells_each_step() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let context = place.context("c", "FROM base\nENV A=1\nRUN echo x > /x\n", &[]);
    place.bryo("build -q -t child").arg(context).succeeds();
    let steps = place.bryo("history --json child").succeeds().json();
    let by = |at: usize| steps[at]["createdBy"].as_str().expect("text").to_owned();
    assert!(by(0).contains("RUN") && by(0).contains("echo x > /x"), "{steps:#}");
    assert!(by(1).contains("ENV A=1"), "{steps:#}");
    assert_eq!(steps[1]["size"], 0);
    assert!(steps[0]["size"].as_u64().expect("a number") > 0);
    place.bryo("history child").succeeds();
}
