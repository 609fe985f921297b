//! `bryo check`: what is wrong is found, by its name, and nothing else is.

use std::fs;

use serde_json::Value;

use crate::support::broken::{self, Image, Tar};
use crate::support::{Judge, Place, Registry, busybox, has};

/// The checks of one severity that found something.
fn found<'a>(report: &'a Value, severity: &str) -> Vec<&'a str> {
    let results = report["results"].as_array().expect("a list").iter();
    let mut found: Vec<&str> = results
        .filter(|finding| finding["severity"] == severity)
        .map(|finding| finding["check"].as_str().expect("a name"))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[test]
fn a_sound_image_has_nothing() {
    let place = Place::new();
    Image::of(vec![broken::plain()]).write(&place.path("sound"));
    let name = format!("oci:{}", place.path("sound").display());
    let said = place.bryo("check --strict --json").arg(&name).succeeds();
    let report = said.json();
    assert_eq!((&report["errors"], &report["warnings"]), (&0.into(), &0.into()), "{said}");
    assert_eq!((&report["mode"], &report["images"]), (&"full".into(), &1.into()));
    let said = place.bryo("check --fast").arg(&name).succeeds();
    assert!(said.errors().contains("1 image checked: 0 errors, 0 warnings"), "{said}");
    assert!(said.text().starts_with("info     oci-media-type: "), "{said}");
}

#[test]
fn whatever_is_wrong_is_found_by_its_name() {
    let place = Place::new();
    for (at, (wrong, check, severity, image)) in broken::all().into_iter().enumerate() {
        let folder = place.path(format!("broken-{at}"));
        image.write(&folder);
        let name = format!("oci:{}", folder.display());
        let said = place.bryo("check --json").arg(&name).output();
        assert_eq!(said.code(), i32::from(severity == "error"), "{wrong}: {said}");
        let report = said.json();
        assert!(found(&report, severity).contains(&check), "{wrong}: {report:#}");
        // One fault is not told as several.
        let errors = found(&report, "error");
        let expected = if severity == "error" { vec![check] } else { Vec::new() };
        assert_eq!(errors, expected, "{wrong}: {report:#}");
        assert!(!said.errors().contains("panicked"), "{wrong}: {said}");
        let strict = place.bryo("check --strict").arg(&name).output();
        assert_eq!(strict.code(), i32::from(severity != "info"), "{wrong}: {strict}");
        // Nothing of the image got anywhere.
        assert!(!place.path("ESCAPED").exists() && !place.path("work/ESCAPED").exists());
    }
}

#[test]
fn blobs_that_are_missing_or_other_are_found() {
    let place = Place::new();
    let write = |folder: &str| {
        let digests = Image::of(vec![broken::plain()]).write(&place.path(folder));
        let hex = |digest: &String| digest.trim_start_matches("sha256:").to_owned();
        digests.iter().map(hex).collect::<Vec<_>>()
    };
    for (at, missing, other) in [
        (0, "missing-blob", "manifest-digest"),
        (1, "missing-blob", "config-digest"),
        (2, "missing-blob", "layer-digest"),
    ] {
        for (what, check) in [("missing", missing), ("other", other)] {
            let folder = format!("{what}-{at}");
            let digests = write(&folder);
            let blob = place.path(&folder).join("blobs/sha256").join(&digests[at]);
            let mut bytes = fs::read(&blob).expect("a blob");
            fs::remove_file(&blob).expect("a blob");
            if what == "other" {
                // In a gzip's header, where no checksum notices: the time.
                let at = if at == 2 { 5 } else { bytes.len() - 4 };
                bytes[at] ^= 1;
                fs::write(&blob, bytes).expect("a blob");
            }
            let name = format!("oci:{}", place.path(&folder).display());
            let report = place.bryo("check --json").arg(name).exits(1).json();
            let errors = found(&report, "error");
            assert!(errors.contains(&check), "{folder}: {report:#}");
        }
    }
    // What is not there at all is no finding.
    place.bryo("check oci:nowhere").fails(3);
    place.bryo("check localhost/nowhere").fails(3);
}

#[test]
fn layers_meet_each_other() {
    let place = Place::new();
    let check = |folder: &str, layers: Vec<Tar>| {
        Image::of(layers).write(&place.path(folder));
        let name = format!("oci:{}", place.path(folder).display());
        place.bryo("check --json").arg(name).output().json()
    };
    // A hard link to a lower layer's file, through a link of a third one; a deletion that hits.
    let report = check(
        "good",
        vec![
            broken::plain().dir("usr/").dir("usr/bin/").file("usr/bin/a", "x"),
            Tar::default().symlink("bin", "usr/bin"),
            Tar::default().hard_link("b", "bin/a").file("etc/.wh.passwd", ""),
        ],
    );
    assert_eq!(found(&report, "error"), Vec::<&str>::new(), "{report:#}");
    assert_eq!(found(&report, "warning"), Vec::<&str>::new(), "{report:#}");
    assert!(!found(&report, "info").contains(&"whiteout-target"), "{report:#}");
    // What was deleted is no target any more.
    let report = check(
        "gone",
        vec![
            broken::plain(),
            Tar::default().file("etc/.wh.passwd", ""),
            Tar::default().hard_link("b", "etc/passwd").file("etc/.wh.passwd", ""),
        ],
    );
    assert_eq!(found(&report, "error"), ["hard-link"], "{report:#}");
    assert!(found(&report, "info").contains(&"whiteout-target"), "{report:#}");
}

#[test]
fn a_base_is_compared() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let context = place.context("c", "FROM base\nRUN echo x > /x\n", &[]);
    place.bryo("build -q -t child").arg(&context).succeeds();
    place.bryo("check --base base child").exits(0);
    let report = place.bryo("check --json --base child base").exits(1).json();
    assert_eq!(found(&report, "error"), ["base"], "{report:#}");
    // Names that the storage directory has stand for something whole.
    let report = place.bryo("check --store --json").succeeds().json();
    assert_eq!((&report["errors"], &report["images"]), (&0.into(), &2.into()), "{report:#}");
    let layer = place.bryo("inspect base").succeeds().json()[0]["Layers"][0]["digest"].clone();
    let hex = layer.as_str().expect("a digest").trim_start_matches("sha256:").to_owned();
    let blob = place.storage().join("blobs/sha256").join(hex);
    let mut bytes = fs::read(&blob).expect("a blob");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&blob, bytes).expect("a blob");
    let report = place.bryo("check --store --json").exits(1).json();
    assert_eq!(found(&report, "error"), ["store-blob", "store-reference"], "{report:#}");
    fs::remove_file(&blob).expect("a blob");
    let report = place.bryo("check --store --json").exits(1).json();
    assert_eq!(found(&report, "error"), ["store-reference"], "{report:#}");
}

#[test]
fn images_of_others_and_in_registries_are_read() {
    let place = Place::new();
    if !has("docker-registry", "docker-registry") || !has("skopeo", "skopeo") || !busybox(&place) {
        return;
    }
    let registry = Registry::start(&place);
    let name = registry.name("app:1");
    place.bryo(&format!("push -q base {name}")).succeeds();
    let report = place.bryo(&format!("check --json {name}")).succeeds().json();
    assert_eq!(report["tag"], "1");
    assert_eq!(report["image"], registry.name("app").as_str());
    let archive = place.path("work/docker.tar");
    let (from, to) =
        (format!("docker://{name}"), format!("docker-archive:{}:app:1", archive.display()));
    place.run("skopeo").args(["copy", "--src-tls-verify=false", &from, &to]).succeeds();
    let said = place.bryo("check --json").arg(&archive).succeeds();
    assert_eq!(said.json()["errors"], 0, "{said}");
    if let (Some(judge), true) = (Judge::new(&place), has("umoci", "umoci")) {
        let umoci = |line: &str| judge.run("umoci").args(line.split_whitespace()).succeeds();
        umoci("init --layout u");
        umoci("new --image u:v1");
        judge.run("sh").args(["-c", "echo hello > hello; chmod 644 hello"]).succeeds();
        umoci("insert --rootless --image u:v1 hello /hello");
        judge.run("chmod").args(["-R", "a+rX", "."]).succeeds();
        let there = format!("oci:{}:v1", place.path("judge/u").display());
        let said = place.bryo("check --json").arg(&there).succeeds();
        assert_eq!(said.json()["errors"], 0, "{said}");
        assert_eq!(place.bryo("cat").arg(&there).arg("/hello").succeeds().text(), "hello");
    }
    // A bit that turned over in the registry, and a blob that is gone.
    let manifest = place.bryo(&format!("inspect --remote --manifest {name}")).succeeds().json();
    let layer = manifest["layers"][0]["digest"].as_str().expect("a digest");
    let blob = registry.blob(layer);
    let mut bytes = fs::read(&blob).expect("a blob");
    bytes[5] ^= 1;
    fs::write(&blob, &bytes).expect("a blob");
    let report = place.bryo(&format!("check --json {name}")).exits(1).json();
    assert_eq!(found(&report, "error"), ["layer-digest"], "{report:#}");
    bytes.truncate(bytes.len() / 2);
    fs::write(&blob, &bytes).expect("a blob");
    let report = place.bryo(&format!("check --fast --json {name}")).exits(1).json();
    assert_eq!(found(&report, "error"), ["layer-size"], "{report:#}");
    fs::remove_file(&blob).expect("a blob");
    let report = place.bryo(&format!("check --json {name}")).exits(1).json();
    assert_eq!(found(&report, "error"), ["missing-blob"], "{report:#}");
}

#[test]
fn very_many_entries_are_borne() {
    let place = Place::new();
    let mut tar = Tar::default();
    for n in 0..40_000 {
        tar = tar.file(&format!("f{}/{n}", n % 100), "");
    }
    Image::of(vec![tar]).write(&place.path("many"));
    let name = format!("oci:{}", place.path("many").display());
    let said = place.bryo("check --json").arg(&name).succeeds();
    assert_eq!(said.json()["errors"], 0, "{said}");
}
