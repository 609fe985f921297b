//! System calls one by one, with odd arguments: programs of `tests/data/emulation/calls` print what
//! each call gives, and what files are then. For 64 and for 32 bits, linked statically.

use std::fs;

use super::real_root::RealRoot;
use super::side_by_side::{Case, compare, share};
use super::{data, prepared};
use crate::support::Place;

#[test]
fn calls_answer_as_they_do_for_real_root() {
    let (Some(tools), Some(base)) = (prepared("BRYO_TEST_TOOLS"), prepared("BRYO_TEST_BASE"))
    else {
        return;
    };
    let place = Place::new();
    share(&place);
    let names = compile(&place, &tools);
    let tree = RealRoot::unpacked(&place, "base", &base.0).path().to_owned();
    let cases: Vec<Case> = names
        .iter()
        .map(|name| {
            let script = format!("mkdir /work; cd /work; exec /shared/bin/{name} 2>&1");
            let command = ["sh".into(), "-euc".into(), script].into();
            Case { name: name.clone(), user: String::new(), command }
        })
        .collect();
    compare(&place, &(base.0, tree), &cases);
}

/// Compiles all programs into `bin` of the shared folder, and gives their names.
fn compile(place: &Place, tools: &(std::path::PathBuf, std::path::PathBuf)) -> Vec<String> {
    let wanted = std::env::var("BRYO_TEST_SCENARIO").unwrap_or_default();
    let mut names = Vec::new();
    let mut script = "mkdir /out; cd /shared/calls\n".to_owned();
    for entry in fs::read_dir(data().join("calls")).expect("programs") {
        let path = entry.expect("a program").path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_none_or(|extension| extension != "c") || !name.contains(&wanted) {
            continue;
        }
        for bits in ["64", "32"] {
            script += &format!("gcc -m{bits} -O1 -w -static -o /out/{name}-{bits} {name}.c &\n");
            names.push(format!("{name}-{bits}"));
        }
        script += "wait\n";
    }
    names.sort();
    let root = RealRoot::over(place, "compiled", &tools.1).with_shared(&place.path("shared"));
    root.run("", 120).args(["sh", "-euc", &script]).succeeds();
    let made = root.path().join("upper/out");
    place.run_as(None, "cp").arg("-r").arg(made).arg(place.path("shared/bin")).succeeds();
    for name in &names {
        assert!(place.path("shared/bin").join(name).exists(), "{name} does not compile");
    }
    names
}
