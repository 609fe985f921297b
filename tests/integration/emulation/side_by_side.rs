//! The same commands by real root and in bryo, and the lines in which they differ.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use super::data;
use super::real_root::RealRoot;
use crate::support::{Place, Run};

/// The longest that one command may take.
const SECONDS: u32 = 400;

/// A command that prints what it finds.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    /// Who runs it, by the image's accounts; empty: root.
    pub(super) user: String,
    pub(super) command: Vec<String>,
}

/// How bryo runs: options of `bryo run`.
pub(super) type Options<'a> = &'a [&'a str];

/// Runs all cases on both sides; every difference fails the test.
#[track_caller]
pub(super) fn compare(
    place: &Place,
    (tar, tree): &(impl AsRef<Path>, impl AsRef<Path>),
    cases: &[Case],
) {
    let (tar, tree) = (tar.as_ref(), tree.as_ref());
    let (real, ours) = thread::scope(|scope| {
        let real = scope.spawn(|| two_at_a_time(cases, |case| by_real_root(place, tree, case)));
        place.bryo("import -q").arg(tar).arg("image").succeeds();
        let ours = two_at_a_time(cases, |case| by_bryo(place, &[], case));
        (real.join().expect("no panic"), ours)
    });
    let mut wrong = Vec::new();
    for (name, real) in &real {
        assert!(real.starts_with("exit 0\n"), "{name} must succeed as real root: {real}");
        if let Some(difference) = difference(place, name, real, &ours[name]) {
            wrong.push(format!("== {name}\n{difference}\n"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), real.len(), wrong.join("\n"));
}

/// What commands may read at `/shared`, as root's files: the data of these tests, and bryo.
pub(super) fn share(place: &Place) {
    let shared = place.path("shared");
    place.run_as(None, "cp").arg("-r").arg(data()).arg(&shared).succeeds();
    place.run_as(None, "cp").arg(env!("CARGO_BIN_EXE_bryo")).arg(shared.join("bryo")).succeeds();
    place.run_as(None, "chmod").args(["-R", "a+rX"]).arg(&shared).succeeds();
}

pub(super) fn by_real_root(place: &Place, tree: &Path, case: &Case) -> String {
    let folder = format!("real-{}", case.name);
    let root = RealRoot::over(place, &folder, tree).with_shared(&place.path("shared"));
    said(root.run(&case.user, SECONDS).args(&case.command))
}

/// The same in bryo, from an image `image`.
pub(super) fn by_bryo(place: &Place, options: Options<'_>, case: &Case) -> String {
    let mut run = place
        .run("timeout")
        .args(["--kill-after=5", &SECONDS.to_string(), env!("CARGO_BIN_EXE_bryo"), "run", "-v"])
        .arg(format!("{}:/shared:ro", place.path("shared").display()))
        .args(options);
    if !case.user.is_empty() {
        run = run.args(["-u", &case.user]);
    }
    said(run.arg("image").args(&case.command))
}

fn said(run: Run) -> String {
    let said = run.output();
    format!("exit {}\n{}\n{}", said.code(), said.text(), said.errors())
}

fn two_at_a_time(cases: &[Case], run: impl Fn(&Case) -> String + Sync) -> BTreeMap<String, String> {
    let queue = Mutex::new(cases.iter());
    let results = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no panic").next();
                    let Some(case) = next else { break };
                    let result = run(case);
                    results.lock().expect("no panic").insert(case.name.clone(), result);
                }
            });
        }
    });
    results.into_inner().expect("no panic")
}

/// What diff(1) says of two texts; none if they are the same.
pub(super) fn difference(place: &Place, name: &str, real: &str, ours: &str) -> Option<String> {
    if real == ours {
        return None;
    }
    let file = |side: &str, text: &str| place.file(format!("work/{name}.{side}"), text);
    let (real, ours) = (file("real", real), file("bryo", ours));
    let said = place
        .run("diff")
        .args(["-U2", "--label", "real root", "--label", "bryo"])
        .args([real, ours])
        .output();
    Some(said.text().lines().take(80).collect::<Vec<_>>().join("\n"))
}
