//! Raw system calls of 64 and of 32 bits, answered by the emulation as real root's are.
//!
//! `tests/data/emulation/calls.c` makes them; it is written for x86.

use std::path::Path;

use crate::support::{Place, User, busybox, has, skip};

/// An image `calls` with the program in both widths; gives the folder that it was made of.
fn image(place: &Place) -> Option<std::path::PathBuf> {
    if !has("cc", "gcc") {
        return None;
    }
    let root = place.folder("calls");
    place.folder("calls/bin");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/emulation/calls.c");
    for width in ["64", "32"] {
        place
            .run("cc")
            .arg(format!("-m{width}"))
            .args(["-O1", "-Wall", "-Werror", "-static", "-nostdlib", "-ffreestanding"])
            .args(["-fno-stack-protector", "-fno-pic", "-no-pie"])
            // Where Debian has what both widths share.
            .args(["-idirafter", "/usr/include/x86_64-linux-gnu", "-o"])
            .arg(root.join(format!("bin/calls{width}")))
            .arg(&source)
            .succeeds();
    }
    place.bryo("import").arg(&root).arg("calls").succeeds();
    Some(root)
}

#[test]
fn every_form_of_a_call_answers_as_for_real_root() {
    let place = Place::new();
    if User::of_bryo().is_none() {
        return skip("what real root's system calls answer (sudo tests/run)");
    }
    let Some(root) = image(&place) else { return };
    for width in ["64", "32"] {
        let program = format!("bin/calls{width}");
        let real = place
            .run_as(None, root.join(&program))
            .arg(place.path(format!("real{width}")))
            .succeeds()
            .text();
        assert!(real.lines().count() > 400, "{real}");
        assert!(!real.contains("WRONG"), "{real}");
        let emulated = place
            .bryo("run --root-emulation full calls")
            .args([&format!("/{program}"), "/made"])
            .succeeds()
            .text();
        let mut lines = real.lines().zip(emulated.lines()).enumerate();
        if let Some((at, (real, emulated))) = lines.find(|(_, (real, emulated))| real != emulated) {
            panic!("{program}, line {}: {real}\nbut emulated: {emulated}", at + 1);
        }
        assert_eq!(real.lines().count(), emulated.lines().count(), "{program}");
    }
}

#[test]
fn no_call_goes_past_the_filter() {
    let place = Place::new();
    if image(&place).is_none() {
        return;
    }
    for mode in ["full", "ids", "fake"] {
        for (width, calls) in [("64", 5), ("32", 3)] {
            let line = format!("run --root-emulation {mode} calls /bin/calls{width} --refused");
            let said = place.bryo(&line).succeeds().text();
            let refused = said.lines().filter(|line| line.ends_with(" = -38"));
            assert_eq!((refused.count(), said.lines().count()), (calls, calls), "{mode}: {said}");
        }
    }
}

#[test]
fn fake_says_yes_and_does_nothing() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let script = "cd /tmp; echo > f; chmod 4755 f; chown 33:33 f; stat -c %u:%g:%a f
        busybox mknod n c 1 3; test -e n || echo no device
        busybox mknod p p; test -p p && echo a pipe
        busybox su -s /bin/sh www -c 'id -u'";
    let line = "run --root-emulation fake base sh -ec";
    let said = place.bryo(line).arg(script).succeeds().text();
    assert_eq!(said, "0:0:4755\nno device\na pipe\n0");
}
