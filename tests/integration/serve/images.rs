//! What is here can be pulled, and what is pushed is here.

use super::manifest;
use crate::support::served::{Served, sha256};
use crate::support::{Place, busybox};

#[test]
fn what_is_pushed_can_be_run_and_what_is_here_can_be_pulled() {
    let (here, there) = (Place::new(), Place::new());
    if !busybox(&here) || !busybox(&there) {
        return;
    }
    let served = Served::start(&here, "");
    // From another store to this one, under the name that people type.
    let name = served.name("team/app:1");
    let digest = there.bryo(&format!("push -q base {name}")).succeeds().text();
    assert_eq!(here.bryo("run -q team/app:1 echo x").succeeds().text(), "x");
    let context = here.context("c", "FROM team/app:1\nRUN echo y > /y\n", &[]);
    here.bryo("build -q -t child").arg(context).succeeds();

    // And back: what was built, and what was pushed, by tag and by digest.
    for (name, said) in [("child", "y"), ("team/app:1", ""), (&format!("team/app@{digest}"), "")] {
        let name = served.name(name);
        there.bryo(&format!("pull -q {name}")).succeeds();
        let command =
            format!("run -q {name} cat {}", if said.is_empty() { "/dev/null" } else { "/y" });
        assert_eq!(there.bryo(&command).succeeds().text(), said);
    }
    // The layer that both have is not sent again.
    let said = there.bryo(&format!("push {}", served.name("child"))).succeeds();
    assert_eq!(said.errors().matches(": cached").count(), 2, "{said}");
    // Names of other registries, with their ports.
    here.bryo("tag base 127.0.0.1:9/x:2").succeeds();
    there.bryo(&format!("pull -q {}", served.name("127.0.0.1_9/x:2"))).succeeds();
    // What is removed here is not served any more.
    here.bryo("rm team/app:1").succeeds();
    there.bryo(&format!("pull {name}")).fails(3);
}

#[test]
fn a_multi_platform_image_is_one_image_here() {
    let place = Place::new();
    let served = Served::start(&place, "");
    let (one, two) = (manifest(&served, "m", "one"), manifest(&served, "m", "two"));
    one.put(&served, "m", &one.digest);
    two.put(&served, "m", &two.digest);
    let both = super::index(&[&one, &two], &serde_json::json!({}));
    served.push_manifest("m", "1", super::INDEX, &both.text).is(201);
    let names = || std::fs::read_dir(place.storage().join("refs")).expect("a store").count();
    assert_eq!(names(), 1, "what an index lists has no names of its own");
    // Another bryo that removes things meanwhile spares what is being served.
    place.bryo("rm m:1").succeeds();
    served.get("/v2/m/manifests/1").is(404);
    let blob = served.push_blob("m", b"three");
    assert_eq!(blob, sha256(b"three"));
    place.bryo("rm --force none").output();
    served.get(&format!("/v2/m/blobs/{blob}")).is(200);
}
