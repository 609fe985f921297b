//! The first command that a newcomer types works.

use std::fs;
use std::path::Path;

use crate::support::{Place, has};

#[test]
fn the_first_command_builds_and_runs_an_image() {
    if !has("cat", "coreutils") {
        return;
    }
    let place = Place::new();
    let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(tree.join("README.md")).expect("README.md");
    let line = readme
        .lines()
        .find(|line| line.starts_with("cargo build --release && "))
        .expect("README.md shows the first command");
    let line = line
        .replace("cargo build --release && ", "")
        .replace("./target/release/bryo", env!("CARGO_BIN_EXE_bryo"));
    let said = place.run("sh").args(["-ec", &line]).in_folder(tree).succeeds();
    assert!(said.text().contains("Hello from an image"), "{said}");
    assert!(said.text().contains("(uid 0) on Linux"), "{said}");
    let (digest, _) =
        said.text().split_once('\n').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("lines");
    assert!(digest.starts_with("sha256:"), "{said}");
}
