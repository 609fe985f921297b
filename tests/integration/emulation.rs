//! Root emulation, judged by real root: the same scripts run once by root of this machine in a
//! root directory of its own ([`real_root`]) and once by an ordinary user in bryo, and what they
//! print and leave behind is the same.

mod calls;
mod faults;
mod image;
mod real_root;
mod scenarios;
mod side_by_side;
mod tree;

use std::path::{Path, PathBuf};

use crate::support::skip;

/// Scripts and programs of these tests.
fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/emulation")
}

/// A tar that `tests/run` made as root; where there is a tree beside it, root unpacked that.
fn prepared(variable: &str) -> Option<(PathBuf, PathBuf)> {
    let tar = std::env::var_os(variable).map(PathBuf::from).filter(|tar| tar.exists());
    let Some(tar) = tar else {
        skip("tests of root emulation against real root (sudo tests/run)");
        return None;
    };
    let tree = tar.with_extension("");
    Some((tar, tree))
}
