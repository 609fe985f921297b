//! Other people's clients: skopeo, podman and buildah.

use std::path::Path;

use crate::support::served::Served;
use crate::support::{Judge, Place, busybox, has};

/// A place with an image, its server, and somebody with other tools.
fn ready(place: &Place, program: &str) -> Option<Served> {
    if !has(program, program) || !busybox(place) {
        return None;
    }
    let context = place.context("app", "FROM base\nRUN echo moss > /moss\n", &[]);
    place.bryo("build -q -t team/app:1").arg(context).succeeds();
    Some(Served::start(place, ""))
}

#[test]
fn skopeo_copies_lists_and_deletes() {
    let place = Place::new();
    let Some(served) = ready(&place, "skopeo") else { return };
    let Some(judge) = Judge::new(&place) else { return };
    let skopeo = |line: &str| judge.run("skopeo").args(line.split_whitespace());
    let app = format!("docker://{}", served.name("team/app"));
    skopeo(&format!("copy --src-tls-verify=false {app}:1 oci:layout:1")).succeeds();
    // Docker's format, other compressions, and back under another name.
    for (options, tag) in [
        ("--format oci", "oci"),
        ("--format v2s2", "v2s2"),
        ("--dest-compress-format zstd", "zstd"),
    ] {
        skopeo(&format!("copy {options} --dest-tls-verify=false oci:layout:1 {app}:{tag}"))
            .succeeds();
        let said = place.bryo(&format!("run -q team/app:{tag} cat /moss")).succeeds();
        assert_eq!(said.text(), "moss", "{tag}");
    }
    let listed = skopeo(&format!("list-tags --tls-verify=false {app}")).succeeds().json();
    assert_eq!(listed["Tags"], serde_json::json!(["1", "oci", "v2s2", "zstd"]));
    let inspected = skopeo(&format!("inspect --tls-verify=false {app}:1")).succeeds().json();
    let digest = inspected["Digest"].as_str().expect("a digest");
    // All tags of a digest go with it, as skopeo wants it; others stay.
    skopeo(&format!("delete --tls-verify=false {app}@{digest}")).succeeds();
    let listed = skopeo(&format!("list-tags --tls-verify=false {app}")).succeeds().json();
    let left = listed["Tags"].as_array().expect("tags").clone();
    assert!(left.contains(&"v2s2".into()) && !left.contains(&"1".into()), "{left:?}");
}

#[test]
fn podman_pulls_and_pushes() {
    let place = Place::new();
    let Some(served) = ready(&place, "podman") else { return };
    let Some(judge) = Judge::new(&place) else { return };
    let podman = |line: &str| judge.run("podman").args(line.split_whitespace());
    let name = served.name("team/app");
    podman(&format!("pull -q --tls-verify=false {name}:1")).succeeds();
    podman(&format!("tag {name}:1 {name}:podman")).succeeds();
    podman(&format!("push -q --tls-verify=false {name}:podman")).succeeds();
    assert_eq!(place.bryo("run -q team/app:podman cat /moss").succeeds().text(), "moss");
    // A list.
    podman("manifest create list").succeeds();
    podman(&format!("manifest add --tls-verify=false list docker://{name}:1")).succeeds();
    podman(&format!("manifest push --all --tls-verify=false list docker://{name}:list")).succeeds();
    assert_eq!(place.bryo("run -q team/app:list cat /moss").succeeds().text(), "moss");
}

#[test]
fn buildah_builds_on_what_is_served() {
    let place = Place::new();
    let Some(served) = ready(&place, "buildah") else { return };
    let Some(judge) = Judge::new(&place) else { return };
    let name = served.name("team/app");
    let text = format!("FROM {name}:1\nCOPY moss-2 /\n");
    let folder = place.path("judge/context");
    let write =
        format!("mkdir {0} && cd {0} && echo more > moss-2 && cat > Dockerfile", shown(&folder));
    judge.run("sh").arg("-ec").arg(write).input(text).succeeds();
    let buildah = |line: &str| judge.run("buildah").args(line.split_whitespace());
    buildah(&format!("bud -q --tls-verify=false -t {name}:2")).arg(&folder).succeeds();
    buildah(&format!("push -q --tls-verify=false {name}:2")).succeeds();
    assert_eq!(place.bryo("run -q team/app:2 cat /moss /moss-2").succeeds().text(), "moss\nmore");
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
