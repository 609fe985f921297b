//! save, load and import.

use std::fs;

use crate::support::{Place, busybox, busybox_root, has};

#[test]
fn what_is_saved_is_loaded() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    place.bryo("tag base other:2").succeeds();
    let id = place.bryo("images --json base").succeeds().json()[0]["id"].clone();
    for format in ["docker", "oci", "oci-dir"] {
        let file = format!("{format}.saved");
        place.bryo(&format!("save --format {format} -o {file} base other:2")).succeeds();
        place.bryo("rm base other:2").succeeds();
        let said = place.bryo(&format!("load -q -i {file}")).succeeds();
        assert!(said.text().contains("other:2"), "{format}: {said}");
        for name in ["base", "other:2"] {
            assert_eq!(
                place.bryo("images --json").arg(name).succeeds().json()[0]["id"],
                id,
                "{format}"
            );
        }
        assert_eq!(place.bryo("run base echo x").succeeds().text(), "x");
    }
    // Through a pipe, compressed.
    let saved = place.bryo("save base").succeeds();
    for program in ["gzip", "zstd"] {
        if !has(program, program) {
            continue;
        }
        let packed = place.run(program).arg("-c").input(saved.bytes()).succeeds();
        place.bryo("rm base").succeeds();
        place.bryo("load -q").input(packed.bytes()).succeeds();
        assert_eq!(place.bryo("run base echo x").succeeds().text(), "x");
    }
}

#[test]
fn others_read_what_we_save_and_we_what_they_write() {
    let place = Place::new();
    if !has("skopeo", "skopeo") || !busybox(&place) {
        return;
    }
    place.bryo("save --format docker -o ours.tar base").succeeds();
    place.bryo("save --format oci-dir -o ours base").succeeds();
    let policy = place.file("policy.json", r#"{"default":[{"type":"insecureAcceptAnything"}]}"#);
    let copy = |from: &str, to: &str| {
        place.run("skopeo").arg("--policy").arg(&policy).args(["copy", "-q", from, to]).succeeds();
    };
    copy("docker-archive:ours.tar", "oci:theirs:x");
    copy("oci:ours:latest", "docker-archive:theirs.tar:library/theirs:1");
    copy("oci:ours:latest", "oci-archive:theirs-oci.tar:theirs:2");
    let id = place.bryo("images --json").succeeds().json()[0]["id"].clone();
    for (file, name) in [("theirs.tar", "theirs:1"), ("theirs-oci.tar", "theirs:2")] {
        place.bryo(&format!("load -q -i {file}")).succeeds();
        let listed = place.bryo("images --json").arg(name).succeeds().json();
        assert_eq!(listed[0]["id"], id, "{file}: {listed:#}");
    }
    let said = place.bryo("load -q -i theirs").succeeds();
    assert!(said.text().contains("sha256:") || said.text().contains('x'), "{said}");
}

#[test]
fn trees_of_any_kind_are_imported() {
    let place = Place::new();
    if !has("busybox", "busybox-static") {
        return;
    }
    busybox_root(&place);
    place.run("tar").args(["-cf", "bomb.tar", "-C", "root", "."]).succeeds();
    let top = ["--transform", "s,^root,system,", "-czf", "one-top.tgz", "root"];
    place.run("tar").args(top).succeeds();
    for (at, source) in ["root", "bomb.tar", "one-top.tgz"].iter().enumerate() {
        place.bryo(&format!("import -q {source} i{at}")).succeeds();
        assert_eq!(
            place.bryo(&format!("run i{at} cat /etc/group")).succeeds().text(),
            "root:x:0:\nwww:x:33:"
        );
    }
    let bomb = fs::read(place.path("work/bomb.tar")).expect("a file");
    place.bryo("import -q - piped").input(bomb).succeeds();
    assert_eq!(place.bryo("run piped echo x").succeeds().text(), "x");
    place.bryo("import -q host:sh,ls,env hosted").succeeds();
    assert_eq!(
        place.bryo("run hosted sh -c").arg("echo from the host").succeeds().text(),
        "from the host"
    );
}

#[test]
fn owners_and_devices_survive_from_tar_to_tar() {
    let place = Place::new();
    // A tar that only root could unpack as it is meant.
    let script = "mkdir -p r/d && echo f > r/d/f && ln -s f r/d/l && mkfifo r/d/p && touch r/beside && chmod u+s r/d r/d/f &&
        tar --format=pax --sort=name --mtime=@1000000000 --owner=www:33 --group=other:1234567 -cf in.tar -C r d beside";
    place.run("sh").args(["-ec", script]).succeeds();
    place.bryo("import -q in.tar owned").succeeds();
    let context = place.context("c", "FROM owned\n", &[]);
    place.bryo("build -q -o type=tar,dest=out.tar").arg(context).succeeds();
    let list = |file: &str| {
        let said = place
            .run("tar")
            .args(["--numeric-owner", "--full-time", "-tvf", file])
            .env("TZ", "UTC")
            .succeeds();
        let mut lines: Vec<String> = said
            .text()
            .lines()
            .map(|line| line.replace(" ./", " "))
            .filter(|line| line.contains(" d"))
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(list("in.tar"), list("out.tar"));
}
