//! Raw system calls of 64 and of 32 bits, answered by the emulation as real root's are.
//!
//! `tests/data/emulation/calls.c` makes them; it is written for x86.

use std::path::{Path, PathBuf};

use crate::support::{Place, User, busybox, has, skip};

/// An image `calls` with the program in both widths; gives the folder that it was made of.
fn image(place: &Place) -> Option<PathBuf> {
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
            // The kernel's headers and no others; they are for both widths.
            .args(["-nostdinc", "-isystem", "/usr/include/x86_64-linux-gnu"])
            .args(["-isystem", "/usr/include", "-o"])
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
        // Real root's own file system in memory, as a sandbox has one.
        let script = format!(
            "mount -t tmpfs none /dev/shm; for folder; do {} $folder; done",
            root.join(&program).display()
        );
        let real = place
            .run_as(None, "unshare")
            .args(["--mount", "sh", "-ec", script.as_str(), "sh", "/dev/shm/made"])
            .arg(place.path(format!("made{width}")))
            .succeeds()
            .text();
        let mut emulated = String::new();
        for folder in ["/dev/shm/made", "/made"] {
            let run = place.bryo("run --root-emulation full calls").arg(format!("/{program}"));
            emulated += &(run.arg(folder).succeeds().text() + "\n");
        }
        compare(&program, &real, &emulated);
    }
}

/// The oldest calls cannot tell the inodes of a large file system, but they can of a fresh one.
fn compare(program: &str, real: &str, emulated: &str) {
    assert!(!real.contains("WRONG"), "{real}");
    let half = real.lines().count() / 2;
    assert!(half > 400, "{real}");
    let wanted = |(at, line): &(usize, &str)| *at < half || !line.starts_with("  old");
    let mut emulated = emulated.lines().enumerate().filter(wanted);
    for (at, line) in real.lines().enumerate().filter(wanted) {
        let (_, other) = emulated.next().expect("as many lines");
        assert_eq!(line, other, "{program}: real root and emulated root, line {}", at + 1);
    }
    assert_eq!(emulated.next(), None, "{program}");
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
