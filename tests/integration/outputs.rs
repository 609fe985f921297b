//! What `build --output` writes, and what others make of it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Judge, Place, Registry, busybox, free_port, has};

const DOCKERFILE: &str =
    "FROM base\nRUN echo x > /x && ln /x /y && chown 33:44 /x\nCOPY file /d/\n";

fn context(place: &Place) -> PathBuf {
    place.context("context", DOCKERFILE, &[("file", "f\n")])
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
}

fn blob(layout: &Path, digest: &Value) -> PathBuf {
    layout.join("blobs").join(digest.as_str().expect("a digest").replace(':', "/"))
}

/// The manifest of a layout's only image.
fn manifest(layout: &Path) -> Value {
    read(&blob(layout, &read(&layout.join("index.json"))["manifests"][0]["digest"]))
}

fn types(manifest: &Value) -> Vec<&str> {
    let types = manifest["layers"].as_array().expect("layers").iter();
    types.map(|layer| layer["mediaType"].as_str().expect("a type")).collect()
}

#[test]
fn files_go_into_a_directory_beside_what_is_there() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let out = place.folder("work/out");
    place.file("work/out/stays", "s");
    place.folder("work/out/x");
    place.file("work/out/x/in-the-way", "");
    place.file("work/out/d", "a file in the way");
    let elsewhere = place.file("work/elsewhere/etc/passwd", "not ours");
    symlink(place.path("work/elsewhere/etc"), out.join("etc")).expect("a link");
    let context = context(&place);
    // The forms that mean the same.
    for output in ["out", "type=local,dest=out"] {
        place.bryo("build -q -o").arg(output).arg(&context).succeeds();
        let text = |path: &str| fs::read_to_string(out.join(path)).expect(path);
        assert_eq!(
            (text("stays"), text("x"), text("d/file")),
            ("s".into(), "x\n".into(), "f\n".into())
        );
        assert_eq!(
            fs::read_to_string(&elsewhere).expect("it"),
            "not ours",
            "nothing is written outside"
        );
        assert!(!fs::symlink_metadata(out.join("etc")).expect("it").is_symlink());
        let inode = |path: &str| fs::metadata(out.join(path)).expect(path).ino();
        assert_eq!(inode("x"), inode("y"), "hard links stay");
    }
    // SOURCE_DATE_EPOCH is the time of all files.
    place.bryo("build -q --source-date-epoch 7 -o later").arg(&context).succeeds();
    let later = place.path("work/later");
    for path in ["x", "bin/busybox", "d"] {
        assert_eq!(fs::metadata(later.join(path)).expect(path).mtime(), 7, "{path}");
    }
}

#[test]
fn archives_go_to_files_and_to_stdout() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let context = context(&place);
    let digest = place.bryo("build -q").arg(&context).succeeds().text();
    for kind in ["tar", "oci", "docker"] {
        let file = format!("type={kind},dest={kind}.tar");
        let said = place.bryo("build -q -t app:1 -o").arg(file).arg(&context).succeeds();
        assert_eq!(said.text(), digest);
        let stream = format!("type={kind},dest=-");
        let said = place.bryo("build -q -t app:1 -o").arg(stream).arg(&context).succeeds();
        let path = place.path("work").join(format!("{kind}.tar"));
        assert!(
            said.bytes() == fs::read(path).expect("it"),
            "{kind}: stdout has the same, and nothing else"
        );
    }
    let said = place.bryo("build -q -o -").arg(&context).succeeds();
    assert!(said.bytes() == fs::read(place.path("work/tar.tar")).expect("it"), "-o - is a tar");
    let listed = place.run("tar").args(["--numeric-owner", "-tvf", "tar.tar"]).succeeds().text();
    assert!(
        listed.lines().any(|line| line.contains(" 33/44 ") && line.ends_with(" x")),
        "{listed}"
    );
    // Several at once, in any order.
    place
        .bryo("build -q -o type=tar,dest=a.tar -o b -o type=oci,dest=c.tar,name=c:1")
        .arg(&context)
        .succeeds();
    for path in ["a.tar", "b/x", "c.tar"] {
        assert!(place.path("work").join(path).exists(), "{path}");
    }
    let two = ["-o", "-", "-o", "type=oci,dest=-"];
    place.bryo("build -q").args(two).arg(&context).fails(2).mentions("stdout has room for one");
}

#[test]
fn images_are_read_by_others() {
    let tools = [("skopeo", "skopeo"), ("umoci", "umoci"), ("podman", "podman")];
    let place = Place::new();
    if !tools[..2].iter().all(|(program, package)| has(program, package)) || !busybox(&place) {
        return;
    }
    let Some(judge) = Judge::new(&place) else { return };
    let context = context(&place);
    let digest = place
        .bryo("build -q -t app:1 -o type=oci,dest=oci.tar -o type=oci,tar=false,dest=oci")
        .args(["-o", "type=docker,dest=docker.tar", "-o", "type=docker,tar=false,dest=docker"])
        .arg(&context)
        .succeeds()
        .text();
    let work = place.path("work");
    let at = |path: &str| work.join(path).display().to_string();
    for image in [
        format!("oci-archive:{}:1", at("oci.tar")),
        format!("oci:{}:1", at("oci")),
        format!("docker-archive:{}", at("docker.tar")),
        format!("docker-archive:{}:app:1", at("docker.tar")),
        format!("oci:{}:1", at("docker")),
    ] {
        let said = judge.run("skopeo").args(["inspect", &image]).succeeds().json();
        assert_eq!(said["Layers"].as_array().map(Vec::len), Some(3), "{image}: {said:#}");
        if image.starts_with("oci") {
            assert_eq!(said["Digest"], digest, "{image}");
        }
    }
    // A layout of docker's is what docker loads, too: its manifest.json says where.
    let listed = read(&work.join("docker/manifest.json"));
    assert_eq!(listed[0]["RepoTags"], json!(["app:1"]));
    for layer in listed[0]["Layers"].as_array().expect("layers") {
        assert!(work.join("docker").join(layer.as_str().expect("a path")).exists());
    }
    place.run("tar").args(["-C", "docker", "-cf", "again.tar", "."]).succeeds();
    let again = format!("docker-archive:{}:app:1", at("again.tar"));
    judge.run("skopeo").args(["inspect", &again]).succeeds();
    let unpacked = ["umoci", "unpack", "--image", &format!("{}:1", at("oci")), "bundle"];
    judge.run("buildah").arg("unshare").args(unpacked).succeeds();
    let found = judge
        .run("buildah")
        .args(["unshare", "stat", "-c", "%u:%g %h", "bundle/rootfs/x"])
        .succeeds()
        .text();
    assert_eq!(found, "33:44 2");
    for archive in ["oci.tar", "docker.tar", "again.tar"] {
        if !has("podman", "podman") {
            break;
        }
        let said = judge.run("podman").args(["load", "-i", &at(archive)]).succeeds().text();
        assert!(said.contains("app:1") || said.contains("sha256:"), "{archive}: {said}");
        judge.run("podman").args(["rmi", "--all", "--force"]).succeeds();
    }
    // And back into another store.
    place.bryo("--storage other load -i docker.tar").succeeds();
    place.bryo("--storage other run app:1 cat /x").succeeds();
}

#[test]
fn compression_and_media_types_are_chosen_by_output() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let context = context(&place);
    let plain = place.bryo("build -q").arg(&context).succeeds().text();
    let oci = |kind: &str| format!("application/vnd.oci.image.layer.v1.tar{kind}");
    let docker = |kind: &str| format!("application/vnd.docker.image.rootfs.diff.tar{kind}");
    let rows = [
        ("", [oci("+gzip"), oci("+gzip"), oci("+gzip")]),
        (",compression=zstd", [oci("+gzip"), oci("+zstd"), oci("+zstd")]),
        (",compression=zstd,force-compression=true", [oci("+zstd"), oci("+zstd"), oci("+zstd")]),
        (",compression=uncompressed", [oci("+gzip"), oci(""), oci("")]),
        (",compression=gzip,compression-level=9", [oci("+gzip"), oci("+gzip"), oci("+gzip")]),
        (",oci-mediatypes=false", [docker(".gzip"), docker(".gzip"), docker(".gzip")]),
        (
            ",oci-mediatypes=false,compression=zstd",
            [docker(".gzip"), docker(".zstd"), docker(".zstd")],
        ),
    ];
    // Each alone; and all in one build, which makes the same of them.
    let mut all = place.bryo("build -q");
    for (at, (fields, expected)) in rows.iter().enumerate() {
        let output = |folder: &str| format!("type=oci,tar=false,dest={folder}{at}{fields}");
        let said = place.bryo("build -q -o").arg(output("one")).arg(&context).succeeds();
        let made = manifest(&place.path(format!("work/one{at}")));
        assert_eq!(types(&made), expected.each_ref(), "{fields}");
        assert_eq!(said.text() == plain, at == 0, "{fields}");
        all = all.arg("-o").arg(output("all"));
    }
    all.arg(&context).succeeds();
    for (at, (fields, _)) in rows.iter().enumerate() {
        let index = |folder: &str| read(&place.path(format!("work/{folder}{at}/index.json")));
        assert_eq!(index("one"), index("all"), "{fields}");
        let (one, all) = (place.path(format!("work/one{at}")), place.path(format!("work/all{at}")));
        for layer in manifest(&one)["layers"].as_array().expect("layers") {
            let blob = blob(&all, &layer["digest"]);
            place.run("sha256sum").arg(&blob).succeeds();
            let sum = place.run("sha256sum").arg(&blob).succeeds().text();
            assert!(
                layer["digest"].as_str().is_some_and(|digest| digest[7..] == sum[..64]),
                "{fields}"
            );
        }
    }
    let docker = manifest(&place.path("work/one5"));
    assert_eq!(docker["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
    assert_eq!(docker["config"]["mediaType"], "application/vnd.docker.container.image.v1+json");
    // The option says it for the image that stays here.
    place.bryo("build -q -t z --compress zstd:19").arg(&context).succeeds();
    let stored = place.bryo("inspect --manifest z").succeeds().json();
    assert_eq!(types(&stored)[1], oci("+zstd"));
    assert_eq!(place.bryo("run z cat /x").succeeds().text(), "x");
}

#[test]
fn images_are_kept_or_pushed() {
    let place = Place::new();
    if !has("docker-registry", "docker-registry") || !has("skopeo", "skopeo") || !busybox(&place) {
        return;
    }
    let registry = Registry::start(&place);
    let context = context(&place);
    let raw = |name: &str| {
        let name = format!("docker://{name}");
        place.run("skopeo").args(["inspect", "--raw", "--tls-verify=false", &name]).succeeds()
    };
    let (a, b, c) = (registry.name("a:1"), registry.name("b:2"), registry.name("c:3"));
    let digest = place
        .bryo("build -q --push --metadata-file m.json --iidfile iid --digest-file digest -t")
        .args([&a, "-t", &b])
        .arg(&context)
        .succeeds()
        .text();
    for name in [&a, &b] {
        let said = place
            .run("skopeo")
            .args(["inspect", "--tls-verify=false"])
            .arg(format!("docker://{name}"));
        assert_eq!(said.succeeds().json()["Digest"], digest);
    }
    let metadata = read(&place.path("work/m.json"));
    assert_eq!(metadata["containerimage.digest"], digest);
    assert_eq!(metadata["containerimage.descriptor"]["digest"], digest);
    assert_eq!(
        metadata["containerimage.descriptor"]["mediaType"],
        "application/vnd.oci.image.manifest.v1+json"
    );
    assert_eq!(metadata["image.name"], format!("{a},{b}"));
    let reference = metadata["buildx.build.ref"].as_str().expect("a reference");
    assert_eq!(reference.split('/').count(), 3, "{reference}");
    let text = |name: &str| fs::read_to_string(place.path("work").join(name)).expect(name);
    assert_eq!(text("digest"), digest);
    let config = raw(&a).json()["config"]["digest"].clone();
    assert_eq!(json!(text("iid")), config);
    assert_eq!(metadata["containerimage.config.digest"], config);
    // The same as an output, in another look, and with no name here.
    let output =
        format!("type=registry,name={c},compression=zstd,force-compression=true,store=false");
    place.bryo("build -q -o").arg(&output).arg(&context).succeeds();
    let pushed = raw(&c).json();
    assert!(types(&pushed).iter().all(|kind| kind.ends_with("zstd")), "{pushed}");
    place.bryo("inspect").arg(format!("store:{c}")).fails(3);
    place.bryo(&format!("pull -q {c}")).succeeds();
    assert_eq!(place.bryo(&format!("run {c} cat /x")).succeeds().text(), "x");
    // By digest alone.
    let name = registry.name("by/digest");
    let output = format!("type=image,name={name},push-by-digest=true");
    let digest = place.bryo("build -q -o").arg(output).arg(&context).succeeds().text();
    raw(&format!("{name}@{digest}"));
    let tagged = format!("docker://{name}:latest");
    place.run("skopeo").args(["inspect", "--tls-verify=false", &tagged]).exits_with_any(&[1, 2]);
    // Nothing is kept of what is wanted nowhere.
    place.bryo("build -q -t nowhere -o type=cacheonly").arg(&context).succeeds();
    place.bryo("inspect nowhere").fails(3);
    place.bryo("build -q -t here -o type=cacheonly --load").arg(&context).succeeds();
    place.bryo("inspect here").succeeds();
    let two = ["-o", "type=image,name=one", "-o", "type=image,name=two,oci-mediatypes=false"];
    place.bryo("build -q").args(two).arg(&context).succeeds();
    let kind = |name: &str| {
        let manifest = place.bryo("inspect --manifest").arg(name).succeeds().json();
        manifest["mediaType"].as_str().expect("a type").to_owned()
    };
    assert!(kind("one").contains("oci") && kind("two").contains("docker"));
    assert_eq!(place.bryo("run two cat /x").succeeds().text(), "x");
    place.bryo("build -q --push").arg(&context).fails(2).mentions("tag is needed");
}

#[test]
fn what_fails_leaves_nothing_behind() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let context = context(&place);
    let files = ["--iidfile", "iid", "--metadata-file", "m.json", "--digest-file", "digest"];
    let is_there = |name: &str| place.path("work").join(name).exists();
    place.bryo("build -q -t app").args(files).arg(&context).succeeds();
    assert!(is_there("iid") && is_there("m.json") && is_there("digest"));
    let failing = place.context("failing", "FROM base\nRUN exit 3\n", &[]);
    place.bryo("build -q").args(files).args(["-o", "type=oci,dest=o.tar"]).arg(failing).fails(1);
    for name in ["iid", "m.json", "digest", "o.tar"] {
        assert!(!is_there(name), "{name} is of no build that there was");
    }
    // What cannot be written is said before anything is built.
    place.file("work/plain", "");
    let slow = place.context("slow", "FROM base\nRUN echo was built\n", &[]);
    for (output, code, needle) in [
        ("/usr/closed/sub", 9, "/usr/closed/sub: Permission denied"),
        ("type=oci,dest=/usr/o.tar", 9, "/usr/o.tar: Permission denied"),
        ("type=oci,dest=none/o.tar", 9, "none/o.tar: No such file"),
        ("plain", 2, "plain is no directory"),
        ("type=tar,dest=/usr", 2, "/usr is a directory"),
        ("type=oci,tar=false,dest=.", 5, "it is a directory with other files"),
    ] {
        let said = place.bryo("build -o").arg(output).arg(&slow).fails(code).mentions(needle);
        let is_layout = output.contains("tar=false");
        assert!(is_layout || !said.errors().contains("was built"), "{output}: {said}");
    }
    // A disk that is full: what was begun goes, and what was there stays.
    place.file("work/old.tar", "old");
    for output in
        ["type=oci,dest=/dev/full", "type=tar,dest=/dev/full", "type=docker,dest=/dev/full"]
    {
        place.bryo("build -q -o").arg(output).arg(&context).fails(9).mentions("No space left");
    }
    place
        .bryo("build -q --metadata-file /usr/m.json")
        .arg(&context)
        .fails(9)
        .mentions("/usr/m.json");
    let folder = fs::read_dir(place.path("work")).expect("it");
    let left: Vec<_> = folder.map(|entry| entry.expect("it").file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with(".bryo")), "{left:?}");
    // A registry that is not there: the image is here nevertheless.
    let name = format!("127.0.0.1:{}/x:1", free_port());
    place.bryo("build -q --push --iidfile iid -t").arg(&name).arg(&context).fails(6);
    place.bryo("inspect").arg(&name).succeeds();
    assert!(!is_there("iid"));
    for (output, needle) in [
        ("type=floppy", "no type \"floppy\""),
        ("type=oci,compresion=zstd,dest=x", "did you mean compression?"),
        ("type=local", "dest=PATH"),
    ] {
        place.bryo("build -q -o").arg(output).arg(&context).fails(2).mentions(needle);
    }
}

#[test]
fn filters_change_the_result_before_it_goes_anywhere() {
    let place = Place::new();
    let registry = Registry::start(&place);
    if !busybox(&place) {
        return;
    }
    let context = context(&place);
    let name = registry.name("filtered:1");
    let filters = ["--filter", "timestamps=7", "--filter", "exclude=d/file", "--filter", "squash"];
    let built = |more: &[&str]| {
        let run = place.bryo("build -q --iidfile iid -t").arg(&name).args(filters).args(more);
        run.arg(&context).succeeds().text().trim().to_owned()
    };
    let digest = built(&["-o", "type=oci,tar=false,dest=layout", "-o", "tree", "--push"]);
    // Everywhere the same image.
    let layout = place.path("work/layout");
    assert_eq!(read(&layout.join("index.json"))["manifests"][0]["digest"], *digest);
    let inspected = place.bryo("inspect").arg(&name).succeeds().json();
    let iid = fs::read_to_string(place.path("work/iid")).expect("written");
    assert_eq!(inspected[0]["Id"], *iid.trim(), "{inspected}");
    assert_eq!(place.bryo("digest").arg(&name).succeeds().text().trim(), digest);
    let manifest = manifest(&layout);
    assert_eq!(types(&manifest).len(), 1);
    let config = read(&blob(&layout, &manifest["config"]["digest"]));
    assert_eq!(config["created"], "1970-01-01T00:00:07Z", "{config}");
    let tree = place.path("work/tree");
    assert!(!tree.join("d/file").exists());
    assert_eq!(fs::metadata(tree.join("x")).expect("it").mtime(), 7);
    // Steps are the same as ever, and so is the image.
    assert_eq!(built(&[]), digest);
    let plain = place.bryo("build -q -t plain").arg(&context).succeeds().text();
    assert_ne!(plain.trim(), digest);
    place.bryo("check").arg(&name).succeeds();

    let refused = |more: &[&str], said: &str| {
        place.bryo("build -t app").args(more).arg(&context).fails(2).mentions(said);
    };
    refused(&["--filter", "platform=linux/arm64"], "--platform linux/arm64");
    refused(&["--filter", "squash", "--provenance=true"], "attestations");
    refused(&["--filter", "squash", "--cache-to", "type=inline"], "type=registry");
    refused(&["--filter", "find=*", "-o", "-"], "stdout");
}

#[test]
fn files_become_a_squashfs() {
    let place = Place::new();
    if !busybox(&place) || !has("mksquashfs", "squashfs-tools") {
        return;
    }
    let context = context(&place);
    place.bryo("build -q -o type=squashfs,dest=a.sqfs").arg(&context).succeeds();
    let listed = place.run("unsquashfs").args(["-lln", "a.sqfs"]).succeeds().text();
    let root = listed.lines().next().unwrap_or_default();
    assert!(root.starts_with("drwxr-xr-x 0/0"), "{root}");
    let line = listed.lines().find(|line| line.ends_with("root/x")).unwrap_or_default();
    assert!(line.starts_with("-rw-r--r-- 33/44"), "{listed}");
    // The same with what Apptainer reads before it, in a file that is always the same.
    let sif = |name: &str| {
        let output = format!("type=sif,dest={name}");
        place.bryo("build -q -o").arg(output).arg(&context).succeeds();
        fs::read(place.path("work").join(name)).expect("written")
    };
    let file = sif("a.sif");
    assert!(file == sif("b.sif"));
    assert_eq!(&file[32..48], b"SIF_MAGIC\x0001\x0002\0");
    assert_eq!(&file[32768..32772], b"hsqs");
    let packed = place.run("unsquashfs").args(["-o", "32768", "-lln", "a.sif"]).succeeds().text();
    for line in ["-rwxr-xr-x 0/0", "-rw-r--r-- 33/44"] {
        assert!(packed.contains(line), "{packed}");
    }
    let shown = ["-o", "32768", "-cat", "a.sif", ".singularity.d/runscript"];
    let script = place.run("unsquashfs").args(shown).succeeds().text();
    assert_eq!(script, "#!/bin/sh\n[ \"$#\" -gt 0 ] || set -- /bin/sh\nexec  \"$@\"");
    let two = ["--platform", "linux/amd64,linux/arm64"];
    let several = place.bryo("build -o type=squashfs,dest=b.sqfs").args(two).arg(&context);
    several.fails(2).mentions("several platforms");
}
