//! save, load and import.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

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
        place.bryo("rm --purge base other:2").succeeds();
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
    // Whoever reads it may have enough of it.
    let shell = "set -o pipefail; \"$0\" save base | head -c 10 | wc -c";
    let run = place.run("bash").args(["-c", shell, env!("CARGO_BIN_EXE_bryo")]);
    assert_eq!(run.succeeds().text(), "10");
    // Through a pipe, compressed.
    let saved = place.bryo("save base").succeeds();
    for program in ["gzip", "zstd"] {
        if !has(program, program) {
            continue;
        }
        let packed = place.run(program).arg("-c").input(saved.bytes()).succeeds();
        place.bryo("rm --purge base").succeeds();
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
    // A root directory that is described is one, even if it has one directory only.
    place.run("tar").args(["-cf", "dot.tar", "--no-recursion", ".", "./root"]).succeeds();
    place.run("tar").args(["-rf", "dot.tar", "root/bin"]).succeeds();
    place.bryo("import -q dot.tar dot").succeeds();
    assert!(place.bryo("find --merged dot busybox").succeeds().text().starts_with("root/bin/"));
    let said = place.bryo("import one-top.tgz told").succeeds();
    assert!(said.errors().contains("its one directory system is the root directory"), "{said}");
    // Nobody means bryo's own files.
    let above = place.storage().parent().expect("a directory").to_owned();
    place.bryo("import").arg(above).arg("all").fails(2).mentions("has the storage directory in it");
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

/// Puts a blob into a layout, and gives its descriptor's digest and size.
fn put(place: &Place, layout: &Path, bytes: &[u8]) -> (String, usize) {
    let sum = place.run("sha256sum").input(bytes).succeeds().text();
    fs::write(layout.join("blobs/sha256").join(&sum[..64]), bytes).expect("a blob");
    (format!("sha256:{}", &sum[..64]), bytes.len())
}

#[test]
fn a_blob_is_not_believed_for_the_diff_id_that_it_claims() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    place.bryo("save --format oci-dir -o layout base").succeeds();
    let layout = place.path("work/layout");
    let read = |path: &str| -> Value {
        serde_json::from_slice(&fs::read(layout.join(path)).expect("a file")).expect("JSON")
    };
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().expect("text");
        format!("blobs/sha256/{}", digest.trim_start_matches("sha256:"))
    };
    let index = read("index.json");
    let manifest = read(&blob(&index["manifests"][0]));
    let layer = fs::read(layout.join(blob(&manifest["layers"][0]))).expect("a file");
    let config = read(&blob(&manifest["config"]));
    let broken = |layer: &[u8], config: &Value| {
        let mut manifest = manifest.clone();
        let (digest, size) = put(&place, &layout, layer);
        manifest["layers"][0]["digest"] = json!(digest);
        manifest["layers"][0]["size"] = json!(size);
        let (digest, size) = put(&place, &layout, config.to_string().as_bytes());
        manifest["config"]["digest"] = json!(digest);
        manifest["config"]["size"] = json!(size);
        let (digest, size) = put(&place, &layout, manifest.to_string().as_bytes());
        let mut index = index.clone();
        index["manifests"][0]["digest"] = json!(digest);
        index["manifests"][0]["size"] = json!(size);
        index["manifests"][0]["annotations"] = json!({"org.opencontainers.image.ref.name": "b:1"});
        fs::write(layout.join("index.json"), index.to_string()).expect("a file");
    };
    // The tree of that diff ID is here, so nobody would have to look.
    broken(&layer[..layer.len() / 2], &config);
    for _ in 0..2 {
        place.bryo("load -q -i layout").fails(5);
        assert_eq!(place.bryo("images --json b:1").succeeds().json(), json!([]));
    }
    // And so if the blob is here, too, but another one's.
    let other = place.file("work/other/f", "x");
    place.bryo("import -q other o").succeeds();
    let theirs = place.bryo("inspect --config o").succeeds().json();
    let mut lying = config.clone();
    lying["rootfs"]["diff_ids"][0] = theirs["rootfs"]["diff_ids"][0].clone();
    broken(&layer, &lying);
    place.bryo("load -q -i layout").fails(5);
    drop(other);
    let mut weird = config.clone();
    weird["rootfs"]["type"] = json!("weird");
    broken(&layer, &weird);
    place.bryo("load -q -i layout").fails(5).mentions("rootfs.type");
    broken(&layer, &config);
    place.bryo("load -q -i layout").succeeds();
}
