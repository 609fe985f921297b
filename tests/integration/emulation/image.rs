//! A whole image, installed by packages' scripts and changed by many hands: what we push is, path
//! by path, what real root makes.

use std::path::Path;
use std::thread;

use super::real_root::RealRoot;
use super::tree::{self, Tree};
use super::{data, prepared};
use crate::support::{Place, Registry, Said, has};

/// Run one after the other, each a step of its own in the Dockerfile.
const SCRIPTS: [&str; 3] = ["1-packages.sh", "2-people.sh", "3-changes.sh"];

/// The longest that all scripts may take.
const SECONDS: u32 = 900;

#[test]
fn an_image_is_what_real_root_makes() {
    let tools = [("skopeo", "skopeo"), ("umoci", "umoci"), ("docker-registry", "docker-registry")];
    let there = tools.iter().all(|(program, package)| has(program, package));
    let (true, Some((tar, _))) = (there, prepared("BRYO_TEST_PACKAGES")) else { return };
    let place = Place::new();
    let (real, (ours, inside)) = thread::scope(|scope| {
        let real = scope.spawn(|| by_real_root(&place, "real", &tar));
        let ours = by_bryo(&place, &tar);
        (real.join().expect("real root succeeds"), ours)
    });
    assert!(real.0.len() > 10_000, "only {} paths", real.0.len());
    assert_same("pushed, pulled by skopeo, unpacked by umoci", &tree::differences(&real.0, &ours));
    assert_same("seen by a later command", &listing_differences(&real.1, &inside));
}

/// What the test above relies on; also the way to find what `differences.txt` must name.
#[test]
#[ignore = "proves the oracle, not bryo"]
fn two_real_roots_agree() {
    let Some((tar, _)) = prepared("BRYO_TEST_PACKAGES") else { return };
    let place = Place::new();
    let (first, second) = thread::scope(|scope| {
        let first = scope.spawn(|| by_real_root(&place, "first", &tar));
        let second = by_real_root(&place, "second", &tar);
        (first.join().expect("real root succeeds"), second)
    });
    assert_same("unpacked", &tree::differences(&first.0, &second.0));
    assert_same("seen from inside", &listing_differences(&first.1, &second.1));
}

/// The tree from outside, and a listing of it from inside.
fn by_real_root(place: &Place, name: &str, tar: &Path) -> (Tree, String) {
    let root = RealRoot::unpacked(place, name, tar);
    let scripts = root.path().join("image");
    place.run_as(None, "cp").arg("-r").arg(data().join("image")).arg(&scripts).succeeds();
    place.run_as(None, "chown").args(["-R", "0:0"]).arg(&scripts).succeeds();
    for script in SCRIPTS {
        root.run("", SECONDS).args(["sh", "-eu", &format!("/image/{script}")]).succeeds();
    }
    let listing = root.run("", SECONDS).args(["sh", "-eu", "/image/list.sh"]).succeeds();
    (tree::read(root.path()), listing.text())
}

/// The same from what was pushed, and from inside.
fn by_bryo(place: &Place, tar: &Path) -> (Tree, String) {
    let registry = Registry::start(place);
    place.bryo("import -q").arg(tar).arg("packages").succeeds();
    let mut dockerfile = "FROM packages\nCOPY image /image\n".to_owned();
    for script in SCRIPTS {
        dockerfile += &format!("RUN sh -eu /image/{script}\n");
    }
    let context = place.context("context", &dockerfile, &[]);
    place.run("cp").arg("-r").arg(data().join("image")).arg(&context).succeeds();
    let name = registry.name("image");
    place
        .run("timeout")
        .args(["--kill-after=5", &SECONDS.to_string(), env!("CARGO_BIN_EXE_bryo")])
        .args(["build", "--progress", "plain", "-t", &name])
        .arg(&context)
        .succeeds();
    let listing: Said = place.bryo(&format!("run --rm {name} sh -eu /image/list.sh")).succeeds();
    place.bryo(&format!("push -q {name}")).succeeds();

    let policy = place.file("policy.json", r#"{"default":[{"type":"insecureAcceptAnything"}]}"#);
    place
        .run_as(None, "skopeo")
        .arg("--policy")
        .arg(&policy)
        .args(["copy", "-q", "--src-tls-verify=false"])
        .arg(format!("docker://{name}"))
        .arg("oci:layout:image")
        .succeeds();
    place.run_as(None, "umoci").args(["unpack", "--image", "layout:image", "bundle"]).succeeds();
    (tree::read(&place.path("work/bundle/rootfs")), listing.text())
}

/// The lines in which two listings differ, without paths that may differ.
fn listing_differences(real: &str, ours: &str) -> Vec<String> {
    let tree = |text: &str| -> Tree {
        text.lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(path, what)| (path.to_owned(), (what.to_owned(), String::new())))
            .collect()
    };
    tree::differences(&tree(real), &tree(ours))
}

#[track_caller]
fn assert_same(what: &str, differences: &[String]) {
    let shown = &differences[..differences.len().min(40)];
    assert!(differences.is_empty(), "{what}: {} paths:\n{}", differences.len(), shown.join("\n"));
}
