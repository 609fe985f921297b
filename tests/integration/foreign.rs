//! Programs for other machines, by qemu's emulators.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Place, busybox_root, foreign_busybox, has, skip};

/// A context with a root for amd64 or arm64 each, named so.
fn roots(place: &Place, dockerfile: &str) -> Option<PathBuf> {
    if !has("busybox", "busybox-static") || !has("qemu-aarch64-static", "qemu-user-static") {
        return None;
    }
    if cfg!(not(target_arch = "x86_64")) {
        skip("tests of foreign programs: they begin on x86-64");
        return None;
    }
    let busybox = foreign_busybox()?;
    let root = busybox_root(place);
    let context = place.context("c", dockerfile, &[]);
    let script = "cp -a \"$0\" \"$1/amd64\" && cp -a \"$0\" \"$1/arm64\" && \
        tar -xOf \"$2\" ./bin/busybox > \"$1/arm64/bin/busybox\"";
    place.run("sh").args(["-c", script]).arg(root).arg(&context).arg(busybox).succeeds();
    Some(context)
}

#[test]
fn foreign_commands_are_root_too() {
    let place = Place::new();
    let dockerfile = "FROM scratch
COPY arm64 /
RUN uname -m > /machine && id -u > /me && echo x > /file && chown 33:44 /file && \\
    chmod 4750 /file && stat -c '%u:%g %a' /file > /stat && mkdir /dir && chown 33 /dir && \\
    busybox mknod /node c 1 3 && ( : < /node ) && ln -s file /link && chown -h 7:8 /link
RUN busybox su -s /bin/sh www -c 'id -u; touch /dir/own; touch /none' > /other 2>&1 || true
USER 33:44
RUN id -u > /tmp/user; (chown 0 /file || echo refused) 2>/dev/null >> /tmp/user
";
    let Some(context) = roots(&place, dockerfile) else { return };
    let tar = place.path("work/files.tar");
    place
        .bryo("build --platform linux/arm64 -t app -o")
        .arg(format!("type=tar,dest={}", tar.display()))
        .arg(&context)
        .succeeds();
    let read = |name: &str| place.run("tar").arg("-xOf").arg(&tar).arg(name).succeeds().text();
    assert_eq!(read("machine"), "aarch64");
    assert_eq!((read("me"), read("stat")), ("0".to_owned(), "33:44 4750".to_owned()));
    assert_eq!(read("tmp/user"), "33\nrefused");
    let other = read("other");
    assert!(other.starts_with("33\n") && other.contains("none"), "{other}");
    let listed = place.run("tar").args(["--numeric-owner", "-tvf"]).arg(&tar).succeeds().text();
    let line = |name: &str| {
        let found = listed.lines().find(|line| line.split(' ').any(|word| word == name));
        found.unwrap_or_else(|| panic!("{name}: {listed}")).split_whitespace().collect::<Vec<_>>()
    };
    assert_eq!(line("file")[..2], ["-rwsr-x---", "33/44"]);
    assert_eq!(line("dir/own")[1], "33/33");
    assert_eq!(line("link")[1], "7/8");
    assert_eq!((&line("node")[0][..1], line("node")[2]), ("c", "1,3"));
}

#[test]
fn platforms_are_built_side_by_side_and_run() {
    let place = Place::new();
    // They wait for each other.
    let dockerfile = "FROM scratch
ARG TARGETARCH
COPY $TARGETARCH /
RUN --mount=type=cache,id=both,target=/m touch /m/$TARGETARCH && n=0 && \\
    until [ -e /m/amd64 ] && [ -e /m/arm64 ]; do n=$((n+1)); [ $n -lt 600 ] || exit 9; sleep 0.05; done && \\
    echo is $(uname -m) && uname -m > /machine
CMD uname -m
";
    let Some(context) = roots(&place, dockerfile) else { return };
    let said = place
        .bryo("build --jobs 2 --progress plain --platform linux/amd64,linux/arm64 -t app -o files")
        .arg(&context)
        .succeeds();
    for (platform, machine) in [("linux/amd64", "x86_64"), ("linux/arm64", "aarch64")] {
        let folder = place.path("work/files").join(platform.replace('/', "_"));
        let found = fs::read_to_string(folder.join("machine")).expect(platform);
        assert_eq!(found.trim(), machine);
        let line = format!("[{platform} 4/5] is {machine}");
        assert!(said.errors().lines().any(|found| found == line), "{line}: {said}");
        let run = place.bryo("run --platform").arg(platform).arg("app").succeeds();
        assert_eq!(run.text(), machine);
    }
    assert_eq!(place.bryo("run app").succeeds().text(), "x86_64");
}

#[test]
fn what_cannot_be_executed_is_explained() {
    let place = Place::new();
    let dockerfile = "FROM scratch\nCOPY arm64 /\nRUN true\n";
    let Some(context) = roots(&place, dockerfile) else { return };
    if Path::new("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists() {
        return; // root has registered it for everybody
    }
    let hidden = |line: &str| {
        let script = format!(
            "mount --bind /dev/null /usr/bin/qemu-aarch64-static && exec {} {line} \"$0\"",
            env!("CARGO_BIN_EXE_bryo")
        );
        place.run("unshare").args(["-rm", "sh", "-c"]).arg(script)
    };
    hidden("build --platform linux/arm64 -t app")
        .arg(&context)
        .fails(8)
        .mentions("/bin/sh is a program for arm64")
        .mentions("qemu-user-static")
        .mentions("Dockerfile:3");
    let dockerfile = "FROM scratch\nCOPY arm64 /\nCMD [\"/bin/busybox\", \"true\"]\n";
    place.file(context.join("Dockerfile"), dockerfile);
    place.bryo("build --platform linux/arm64 -t app").arg(&context).succeeds();
    hidden("run").arg("app").fails(8).mentions("qemu-user-static");
}
