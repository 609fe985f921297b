//! Root, and root by sudo: no other result, and nothing that the caller does not own.

use std::os::unix::fs::MetadataExt as _;

use crate::support::{Place, User, busybox_root, has, skip};

/// Who bryo runs as in the other tests; None where this process is not root.
fn ordinary() -> Option<User> {
    let user = User::of_bryo();
    if user.is_none() {
        skip("tests as root and under sudo (sudo tests/run)");
    }
    user
}

const DOCKERFILE: &str = "FROM base\nRUN echo $(id -u) > /who\n";

#[test]
fn root_builds_as_everybody_does() {
    let (Some(_), true) = (ordinary(), has("busybox", "busybox-static")) else { return };
    let place = Place::new();
    let storage = place.path("of-root");
    let bryo = |line: &str| {
        let program = place.run_as(None, env!("CARGO_BIN_EXE_bryo")).args(line.split_whitespace());
        program.env("BRYO_STORAGE", &storage)
    };
    busybox_root(&place);
    bryo("import -q root base").succeeds();
    bryo("build -q -t app").arg(place.context("c", DOCKERFILE, &[])).succeeds();
    assert_eq!(bryo("run app cat /who").succeeds().text(), "0");
    bryo("rm --purge app base").succeeds();
}

#[test]
fn under_sudo_everything_is_the_callers() {
    let (Some(user), true) = (ordinary(), has("busybox", "busybox-static")) else { return };
    let place = Place::new();
    let bryo = |line: &str| {
        place
            .run_as(None, env!("CARGO_BIN_EXE_bryo"))
            .args(line.split_whitespace())
            .env("BRYO_STORAGE", place.storage())
            .env("SUDO_UID", user.uid.to_string())
            .env("SUDO_GID", user.gid.to_string())
    };
    busybox_root(&place);
    bryo("import -q root base").succeeds();
    bryo("tag base other").succeeds();
    bryo("build -q -t app").arg(place.context("c", DOCKERFILE, &[])).succeeds();
    assert_eq!(bryo("run app cat /who").succeeds().text(), "0");
    let others = place
        .run_as(None, "find")
        .arg(place.storage())
        .args(["!", "-uid", &user.uid.to_string()])
        .succeeds();
    assert_eq!(others.text(), "", "not the caller's");
    assert_eq!(std::fs::metadata(place.storage()).expect("it is there").uid(), user.uid);
    // Without sudo the same images are there.
    assert_eq!(place.bryo("run app cat /who").succeeds().text(), "0");
}
