//! `bryo copy`, and options that change images on their way; skopeo, umoci and podman judge.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::{Judge, Place, Registry, busybox, has};

/// An image with owners, devices and a user, in the store as `app` and in a registry as `app:1`.
fn app(place: &Place, registry: &Registry) -> bool {
    if !busybox(place) {
        return false;
    }
    let dockerfile = "FROM base\nENV GREETING=moss\nWORKDIR /srv\nRUN mknod /null c 1 3; \
        echo hi > a.txt; echo x > b.pyc; chown www a.txt; ln a.txt /z\nLABEL l=1\n\
        ENTRYPOINT [\"/bin/sh\",\"-c\"]\nCMD [\"echo $GREETING $PWD $(id -u)\"]\n";
    let context = place.context("app", dockerfile, &[]);
    place.bryo("build -t app").arg(context).succeeds();
    place.bryo("push app").arg(registry.name("app:1")).succeeds();
    true
}

#[test]
fn copies_are_read_by_others() {
    let place = Place::new();
    let registry = Registry::start(&place);
    let Some(judge) = Judge::new(&place) else { return };
    if !app(&place, &registry) {
        return;
    }
    let name = registry.name("app:1");
    let digest = place.bryo("copy").args([&name, "oci:layout:one"]).succeeds().text();
    let said = |place: &str| {
        let words = ["inspect", "--tls-verify=false", place];
        judge.run("skopeo").args(words).succeeds().json()
    };
    let work = place.path("work");
    let file = |scheme: &str, rest: &str| format!("{scheme}:{}/{rest}", work.display());
    assert_eq!(said(&file("oci", "layout:one"))["Digest"], *digest);
    // Back again, with another tag, and what that says goes to a file.
    let words = ["--additional-tag", "3", "--digest-file", "d", "--verify", "--preserve-digests"];
    let to = registry.name("copy:2");
    let sent = place.bryo("copy oci:layout:one").args(words).arg(&to).succeeds().text();
    assert_eq!(sent, digest);
    assert_eq!(fs::read_to_string(work.join("d")).expect("written"), format!("{digest}\n"));
    for tag in ["2", "3"] {
        assert_eq!(
            said(&format!("docker://{}", registry.name(&format!("copy:{tag}"))))["Digest"],
            *digest
        );
    }
    place.bryo("copy").args([&name, "docker-archive:d.tar:localhost/app:2"]).succeeds();
    let layers = said(&file("docker-archive", "d.tar"))["Layers"].as_array().map(Vec::len);
    assert_eq!(layers, said(&file("oci", "layout:one"))["Layers"].as_array().map(Vec::len));
    // The same bytes each time, whatever way they go.
    for (first, second) in
        [("oci-archive:a:1", "oci-archive:b:1"), ("docker-archive:c", "docker-archive:e")]
    {
        place.bryo("copy").args([&name, first]).succeeds();
        place.bryo("copy oci:layout:one").arg(second).succeeds();
    }
    let bytes = |name: &str| fs::read(work.join(name)).expect("written");
    assert!(bytes("a") == bytes("b"));
    let stream = place.bryo("copy oci:layout:one -").succeeds();
    fs::write(place.path("stream"), stream.bytes()).expect("a file");
    assert_eq!(said(&format!("oci-archive:{}", place.path("stream").display()))["Digest"], *digest);
    place.bryo("copy - store:streamed").input(stream.bytes()).succeeds();
    place.bryo("inspect streamed").succeeds();
    let image = format!("{}:one", work.join("layout").display());
    let unpacked = place.path("judge/unpacked");
    judge.run("umoci").args(["unpack", "--rootless", "--image", &image]).arg(&unpacked).succeeds();
    assert_eq!(fs::read_to_string(unpacked.join("rootfs/srv/a.txt")).expect("there"), "hi\n");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let place = Place::new();
    place.file("work/d/f", "");
    for (line, code, said) in [
        ("copy store:none oci:l", 3, "no image is named"),
        ("copy store:none mount:m", 3, "none"),
        ("copy bundle:b oci:l", 2, "cannot be read, only written"),
        ("copy squashfs:b oci:l", 2, "unsquashfs"),
        ("copy store:none daemon:n?socket=/none", 6, "the daemon at /none"),
        ("copy --preserve-digests store:none docker-archive:f", 2, "keeps no manifests"),
        ("copy --preserve-digests -f squash store:none oci:f", 2, "cannot be used with"),
        ("copy --verify store:none dir:d", 2, "cannot be read again"),
        ("copy -f find=x store:none -", 2, "stdout cannot have both"),
        ("copy -f moss store:none oci:l", 2, "there is no filter"),
        ("copy ./a.tar store:x", 2, "oci-archive:./a.tar"),
        ("copy docker://debian oci:l", 2, "write registry:debian"),
    ] {
        // What is named first is opened first.
        let line = line.replace("store:none daemon", "dir:d daemon");
        place.bryo(&line).fails(code).mentions(said);
    }
}

#[test]
fn what_is_in_a_directory_stays() {
    let place = Place::new();
    let registry = Registry::start(&place);
    if !app(&place, &registry) {
        return;
    }
    let kept = place.file("work/d/bin/mine", "precious");
    place.bryo("copy store:app dir:d").fails(1).mentions("no empty directory");
    assert_eq!(fs::read_to_string(kept).expect("it"), "precious");
    place.bryo("copy store:app dir:new").succeeds();
    assert!(place.path("work/new/srv/a.txt").exists());
    // Not every directory is a root directory.
    place.file("work/skopeos/version", "Directory Transport Version: 1.1\n");
    place.file("work/skopeos/manifest.json", "{}");
    place.bryo("copy dir:skopeos store:x").fails(2).mentions("skopeo");
}

#[test]
fn a_tag_of_a_layout_is_moved() {
    let place = Place::new();
    let registry = Registry::start(&place);
    if !app(&place, &registry) {
        return;
    }
    place.bryo("copy store:base oci:l:prod").succeeds();
    let digest = place.bryo("copy store:app oci:l:prod").succeeds().text();
    assert_eq!(place.bryo("digest oci:l:prod").succeeds().text(), digest);
    let index = fs::read(place.path("work/l/index.json")).expect("written");
    let index: serde_json::Value = serde_json::from_slice(&index).expect("JSON");
    assert_eq!(index["manifests"].as_array().map(Vec::len), Some(1), "{index}");
    // What is said about an image stays what it is while the image becomes Docker's.
    let context = place.context("said", "FROM base\nLABEL a=b\n", &[]);
    place.bryo("build -q -t said --provenance=true").arg(context).succeeds();
    place.bryo("copy -f format=docker store:said oci:d:1").succeeds();
    place.bryo("check oci:d:1").succeeds();
}

#[test]
fn names_by_sha512_are_kept() {
    let place = Place::new();
    let registry = Registry::start(&place);
    if !app(&place, &registry) {
        return;
    }
    place.bryo("copy store:app oci:l:app").succeeds();
    // The same image by a longer digest, and an index that names it so.
    let layout = place.path("work/l");
    let read = |path: &str| fs::read(layout.join(path)).expect("a file");
    let index: serde_json::Value = serde_json::from_slice(&read("index.json")).expect("JSON");
    let digest = index["manifests"][0]["digest"].as_str().expect("text").to_owned();
    let manifest = read(&format!("blobs/{}", digest.replace(':', "/")));
    let long = |bytes: &[u8]| {
        let hex = place.run("sha512sum").input(bytes).succeeds().text();
        hex.split_whitespace().next().expect("a digest").to_owned()
    };
    let hex = long(&manifest);
    place.file(format!("work/l/blobs/sha512/{hex}"), &manifest);
    let kind = "application/vnd.oci.image.";
    let child = serde_json::json!({"mediaType": format!("{kind}manifest.v1+json"),
        "digest": format!("sha512:{hex}"), "size": manifest.len(),
        "platform": {"os": "linux", "architecture": "amd64"}});
    let list = serde_json::json!({"schemaVersion": 2, "mediaType": format!("{kind}index.v1+json"),
        "manifests": [child]});
    let list = list.to_string();
    let name = long(list.as_bytes());
    place.file(format!("work/l/blobs/sha512/{name}"), &list);
    let entry = |digest: &str, size: usize, kind: &str, tag: &str| {
        serde_json::json!({"mediaType": kind, "digest": format!("sha512:{digest}"), "size": size,
            "annotations": {"org.opencontainers.image.ref.name": tag}})
    };
    let entries = [
        entry(&hex, manifest.len(), &format!("{kind}manifest.v1+json"), "one"),
        entry(&name, list.len(), &format!("{kind}index.v1+json"), "list"),
    ];
    place.file(
        "work/l/index.json",
        serde_json::json!({"schemaVersion": 2, "manifests": entries}).to_string(),
    );
    for (tag, hex) in [("one", &hex), ("list", &name)] {
        let whole = format!("sha512:{hex}");
        for to in ["oci:o", "oci-archive:a.tar", "store:s"] {
            let to = format!("{to}{}", if to.starts_with("store") { "" } else { ":x" });
            let copy = place.bryo("copy --preserve-digests").arg(format!("oci:l:{tag}"));
            assert_eq!(copy.arg(&to).succeeds().text(), whole, "{tag} {to}");
            place.bryo("check").arg(&to).succeeds();
            assert_eq!(place.bryo("digest").arg(&to).succeeds().text(), whole, "{tag} {to}");
        }
        // docker-registry names by sha256 what gets a tag.
        let name = registry.name(tag);
        let copy = |line: &str| place.bryo(line).args([&format!("oci:l:{tag}"), &name]);
        if tag == "one" {
            copy("copy").succeeds();
            copy("copy --preserve-digests").fails(1).mentions(&whole);
        }
    }
}

#[test]
fn a_bundle_is_what_the_image_says() {
    let place = Place::new();
    let registry = Registry::start(&place);
    if !app(&place, &registry) {
        return;
    }
    place.bryo("copy").args([&registry.name("app:1"), "bundle:b"]).succeeds().mentions("device");
    let config = fs::read(place.path("work/b/config.json")).expect("written");
    let config: serde_json::Value = serde_json::from_slice(&config).expect("JSON");
    assert_eq!(config["process"]["cwd"], "/srv");
    assert_eq!(config["annotations"]["l"], "1");
    place.bryo("copy store:app bundle:b").fails(1).mentions("is there already");
    let context = place.context("user", "FROM base\nUSER nobody-known\n", &[]);
    place.bryo("build -t user").arg(context).succeeds();
    place.bryo("copy store:user bundle:c").fails(3).mentions("no user \"nobody-known\"");
    // It is there whole, or not at all.
    let left = fs::read_dir(place.path("work")).expect("listed").flatten();
    let names: Vec<_> = left.map(|entry| entry.file_name()).collect();
    assert!(!names.iter().any(|name| name == "c" || name.to_string_lossy().starts_with(".bryo")));
}

#[test]
fn a_runtime_starts_a_bundle() {
    let place = Place::new();
    if !busybox(&place) || !has("runc", "runc") {
        return;
    }
    let context =
        place.context("c", "FROM base\nWORKDIR /srv\nCMD [\"sh\", \"-c\", \"pwd; id -u\"]\n", &[]);
    place.bryo("build -q -t app").arg(context).succeeds();
    place.bryo("unpack --bundle app b").succeeds();
    // The caller, who has no range of subordinate ids, is its root.
    let run = place.run("runc").args(["--root", "run", "run", "-b", "b"]);
    let name = format!("bryo-test-{}", std::process::id());
    assert_eq!(run.arg(name).succeeds().text(), "/srv\n0");
}

#[test]
fn squashfs_keeps_owners() {
    let place = Place::new();
    let registry = Registry::start(&place);
    if !app(&place, &registry) || !has("mksquashfs", "squashfs-tools") {
        return;
    }
    for file in ["a.sqfs", "b.sqfs"] {
        place.bryo("copy store:app").arg(format!("squashfs:{file}")).succeeds();
    }
    let bytes = |name: &str| fs::read(place.path("work").join(name)).expect("written");
    assert!(bytes("a.sqfs") == bytes("b.sqfs"));
    let listed = place.run("unsquashfs").args(["-lln", "a.sqfs"]).succeeds().text();
    let line = |name: &str| {
        let line = listed.lines().find(|line| line.ends_with(name)).unwrap_or_default();
        line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("/srv/a.txt"), "-rw-r--r-- 33/0", "{listed}");
    assert_eq!(line("/null"), "crw-r--r-- 0/0", "{listed}");
    place
        .bryo("copy store:app squashfs:c")
        .env("PATH", "/nowhere")
        .fails(8)
        .mentions("squashfs-tools");
}

#[test]
fn an_image_is_mounted_with_its_owners() {
    let place = Place::new();
    let registry = Registry::start(&place);
    if !app(&place, &registry)
        || !has("mksquashfs", "squashfs-tools")
        || !has("squashfuse", "squashfuse")
        || !has("fusermount3", "fuse3")
    {
        return;
    }
    let mounted = place.bryo("copy store:app mount:m").succeeds();
    let digest = mounted.mentions("fusermount3 -u m").text();
    assert!(digest.starts_with("sha256:"), "{digest}");
    let is_mounted = || {
        let table = fs::read_to_string("/proc/self/mounts").expect("mounts");
        table.contains(&*place.path("work/m").to_string_lossy())
    };
    assert!(is_mounted());
    let owner = place.run("stat").args(["-c", "%u:%g %F", "m/srv/a.txt", "m/null"]).succeeds();
    assert_eq!(owner.text(), "33:0 regular file\n0:0 character special file");
    let names = fs::read_dir(place.path("work")).expect("a directory").flatten();
    let left = names.filter(|entry| entry.file_name().to_string_lossy().starts_with('.'));
    assert_eq!(left.count(), 0, "what was mounted is no file any more");
    place.bryo("copy store:app mount:m").fails(1).mentions("no empty directory");
    place.run("fusermount3").args(["-u", "m"]).succeeds();
    assert!(!is_mounted());
    place.bryo("copy store:nothing mount:m").fails(3).mentions("nothing");
    place.bryo("copy store:app mount:m").env("PATH", "/nowhere").fails(8).mentions("squashfuse");
    place.bryo("copy mount:m oci:l").fails(2).mentions("dir:DIR");
}

#[test]
fn a_daemon_gives_and_takes() {
    let place = Place::new();
    let registry = Registry::start(&place);
    let Some(judge) = Judge::new(&place) else { return };
    if !app(&place, &registry) || !has("podman", "podman") {
        return;
    }
    let socket = place.path("judge/podman.sock");
    let address = format!("unix://{}", socket.display());
    let mut service =
        judge.run("podman").args(["system", "service", "--time=60", &address]).spawn();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !socket.exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).expect("it listens");
    let at = |name: &str| format!("daemon:{name}?socket={}", socket.display());
    // The name that was asked for is the name that it gets.
    place.bryo("copy").args([&registry.name("app:1"), &at("localhost/other/app:v9")]).succeeds();
    let names =
        judge.run("podman").args(["images", "--format", "{{.Repository}}:{{.Tag}}"]).succeeds();
    assert_eq!(names.text(), "localhost/other/app:v9");
    place.bryo("copy").args([&at("localhost/other/app:v9"), "store:back"]).succeeds();
    let config = |name: &str| place.bryo("inspect").arg(name).succeeds().json()[0]["Id"].clone();
    assert_eq!(config("back"), config("app"));
    place
        .bryo("copy")
        .args([&at("localhost/none:1"), "store:x"])
        .fails(3)
        .mentions("no image localhost/none:1");
    drop(service.kill());
    drop(service.wait());
    assert!(Path::new(&socket).exists());
}

#[test]
fn images_change_on_their_way() {
    let place = Place::new();
    let registry = Registry::start(&place);
    if !app(&place, &registry) {
        return;
    }
    let name = registry.name("app:1");
    let filters = ["-f", "timestamps=0", "-f", "exclude=*.pyc", "-f", "exclude=/srv/a.txt"];
    let to = |tag: &str| registry.name(&format!("f:{tag}"));
    let first = place.bryo("copy").args(filters).args([&name, &to("1")]).succeeds();
    let second = place.bryo("copy").args(filters).args([&name, &to("2")]).succeeds();
    assert_eq!(first.text(), second.text());
    assert!(first.errors().contains("filter") && !second.errors().contains("filter"), "{second}");
    // The same by another command, and by the other names.
    let pushed = place.bryo("push").args(filters).args(["app", &to("3")]).succeeds();
    assert_eq!(pushed.text(), first.text());
    place.bryo("pull").arg(to("2")).succeeds();
    let run = |words: &[&str]| {
        place.bryo("run").arg("--entrypoint=").arg(to("2")).args(words).succeeds().text()
    };
    assert_eq!(run(&["find", "/srv", "/z"]), "/srv\n/z");
    assert_eq!(run(&["stat", "-c", "%Y %u", "/z"]), "0 33");
    // Looking changes nothing, and neither does writing down.
    let looked = place
        .bryo("copy -f find=*.txt -f search:pattern=null,script_friendly=true -f record=r store:app oci:l")
        .succeeds();
    let text = looked.text();
    // The digest is the last line, as of every copy.
    let (found, _) = text.rsplit_once('\n').expect("several lines");
    let mut lines: Vec<&str> = found.lines().collect();
    lines.sort_unstable();
    let [null, file] = lines[..] else { panic!("two files: {looked}") };
    assert!(null.starts_with("app:latest:") && null.ends_with(":null"), "{looked}");
    assert!(file.starts_with("sha256:") && file.ends_with(" srv/a.txt"), "{looked}");
    let record = fs::read_to_string(place.path("work/r")).expect("written");
    let record: serde_json::Value = serde_json::from_str(&record).expect("a line");
    assert_eq!(record["name"], "app:latest");
    assert_eq!(record["layers"][0]["Tags"][0], "app:latest");
    assert!(
        record["layers"][0]["CreatedBy"].as_str().is_some_and(|by| by.contains("CMD")),
        "{record}"
    );
    place.bryo("copy -f squash store:app store:one").succeeds();
    let layers = &place.bryo("inspect one").succeeds().json()[0]["RootFS"]["Layers"];
    assert_eq!(layers.as_array().map(Vec::len), Some(1));
    assert_eq!(place.bryo("run one").succeeds().text(), "moss /srv 0");
    place.bryo("save -f recompress=zstd --format oci -o s.tar app").succeeds();
    place.bryo("pull --tag part --last-layer 1").arg(&name).succeeds();
    place.bryo("run --entrypoint= part true").succeeds();
    place.bryo("run --entrypoint= part cat /srv/a.txt").exits(1);
    place.bryo("pull --always-download").arg(&name).succeeds().mentions("done");
    let parts = place.bryo("pull --parse-only debian@sha256:").exits(2);
    assert!(parts.text().is_empty());
    let parts = place.bryo("pull --parse-only h:5/a/b:c").succeeds().text();
    assert!(
        parts.contains("registry:    h:5\nrepository:  a/b\ntag:         c\ndigest:      none"),
        "{parts}"
    );
    let root = place.path("work/root");
    place.bryo("push --image").arg(root).arg(to("4")).succeeds();
    place.bryo("pull --arch yolo").arg(to("4")).succeeds();
    place.bryo("run").arg(to("4")).arg("true").succeeds();
}
