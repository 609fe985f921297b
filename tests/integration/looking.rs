//! Looking at an image wherever it is: inspect, history, find, cat, blob, diff, analyze.

use std::fs;

use serde_json::{Value, json};

use crate::support::broken::{self, Image, Tar};
use crate::support::{Place, Registry, busybox, debian, has};

/// Two layers: links, a deletion, a file that is replaced, and names that could confuse somebody.
fn layers() -> Vec<Tar> {
    vec![
        broken::plain()
            .dir("usr/")
            .dir("usr/bin/")
            .file("usr/bin/tool", "#!/bin/sh\necho old\n")
            .symlink("bin", "usr/bin")
            .symlink("etc/mtab", "../proc/mounts")
            .symlink("up", "../../../etc/passwd")
            .symlink("round", "round")
            .file("gone", "gone"),
        Tar::default()
            .file("usr/bin/tool", "#!/bin/sh\necho new\n")
            .hard_link("tool2", "usr/bin/tool")
            .hard_link("passwd2", "etc/passwd")
            .file(".wh.gone", "")
            .file("<b>x\"'&", "<script>alert(1)</script>"),
    ]
}

fn layout(place: &Place, folder: &str) -> String {
    let path = place.path(folder);
    Image::of(layers()).write(&path);
    format!("oci:{}:v1", path.display())
}

#[test]
fn a_file_is_what_a_container_would_see() {
    let place = Place::new();
    let name = layout(&place, "image");
    let cat = |path: &str| place.bryo("cat").arg(&name).arg(path);
    for (path, expected) in [
        ("/bin/tool", "#!/bin/sh\necho new"),
        ("usr/bin/../bin/tool", "#!/bin/sh\necho new"),
        ("/tool2", "#!/bin/sh\necho new"),
        ("/passwd2", "root:x:0:0:root:/root:/bin/sh"),
        // Inside, however far a link wants to get out.
        ("/up", "root:x:0:0:root:/root:/bin/sh"),
        ("../../../../etc/passwd", "root:x:0:0:root:/root:/bin/sh"),
    ] {
        assert_eq!(cat(path).succeeds().text(), expected, "{path}");
    }
    cat("/gone").fails(3).mentions("/gone");
    cat("/etc/mtab").fails(3);
    cat("/usr/bin").fails(1).mentions("directory");
    cat("/round").fails(1).mentions("symbolic links");
    // Two at once, and nothing of what cannot be had.
    let said = place.bryo("cat").arg(&name).args(["/tool2", "/none"]).fails(3);
    assert_eq!(said.text(), "#!/bin/sh\necho new");
}

#[test]
fn files_are_found_by_name() {
    let place = Place::new();
    let name = layout(&place, "image");
    let find = |line: &str, pattern: &str| {
        place.bryo("find").args(line.split_whitespace()).arg(&name).arg(pattern)
    };
    let said = find("", "tool").succeeds();
    assert_eq!(said.text().matches("Layer: ").count(), 2, "{said}");
    assert_eq!(said.text().matches("  usr/bin/tool (file, 19 bytes)").count(), 2, "{said}");
    let hits = find("--json", "*").succeeds().json();
    let whiteouts: Vec<&Value> =
        hits.as_array().expect("a list").iter().filter(|hit| hit["type"] == "whiteout").collect();
    assert_eq!(whiteouts.len(), 1, "{hits:#}");
    assert_eq!((&whiteouts[0]["path"], &whiteouts[0]["index"]), (&json!("gone"), &json!(1)));
    let merged = find("--merged --json", "*").succeeds().json();
    let paths: Vec<&str> = merged
        .as_array()
        .expect("a list")
        .iter()
        .map(|hit| hit["path"].as_str().expect("text"))
        .collect();
    assert!(!paths.contains(&"gone") && paths.contains(&"tool2"), "{paths:?}");
    assert_eq!(paths.iter().filter(|path| **path == "usr/bin/tool").count(), 1);
    let said = find("--merged --regex", "^usr/.*l$").succeeds();
    assert_eq!(said.text(), "usr/bin/tool (file, 19 bytes)");
    assert_eq!(find("--merged", "/etc/pass??").succeeds().text(), "etc/passwd (file, 30 bytes)");
    let said = place.bryo("search --script-friendly").arg(&name).arg("passwd").succeeds();
    assert!(said.text().ends_with(":etc/passwd") && said.text().lines().count() == 1, "{said}");
    let said = place.bryo("search --script-friendly").arg(&name).arg("gone").succeeds().text();
    assert!(said.lines().any(|line| line.ends_with(":.wh.gone")), "{said}");
    // As grep ends.
    assert_eq!(find("", "nothing").exits(1).text(), "");
    assert_eq!(find("--json", "nothing").exits(1).json(), json!([]));
    find("--regex", "a(").fails(2).mentions("unclosed group");
}

#[test]
fn blobs_are_the_bytes_that_their_digests_are_of() {
    let place = Place::new();
    let name = layout(&place, "image");
    let manifest =
        place.bryo("inspect --manifest --platform linux/amd64").arg(&name).succeeds().json();
    let digest = |at: usize| manifest["layers"][at]["digest"].as_str().expect("text").to_owned();
    let sum = |bytes: &[u8]| {
        let said = place.run("sha256sum").input(bytes).succeeds().text();
        format!("sha256:{}", &said[..64])
    };
    let blob = |line: &str| {
        place.bryo("blob --platform linux/amd64").arg(&name).args(line.split_whitespace())
    };
    assert_eq!(sum(blob("2").succeeds().bytes()), digest(1));
    assert_eq!(sum(blob(&digest(0)[7..15]).succeeds().bytes()), digest(0));
    let config = blob("config").succeeds();
    let diff_id = config.json()["rootfs"]["diff_ids"][1].clone();
    assert_eq!(sum(blob("2 --decompress").succeeds().bytes()), diff_id);
    let listed =
        place.run("tar").arg("-t").input(blob("2 --decompress").succeeds().bytes()).succeeds();
    assert!(listed.text().lines().any(|line| line == "tool2"), "{listed}");
    blob("1 -o layer.tar.gz").succeeds();
    assert_eq!(sum(&fs::read(place.path("work/layer.tar.gz")).expect("a file")), digest(0));
    blob("3").fails(3).mentions("layers 1 to 2");
    blob("0").fails(3).mentions("layers 1 to 2");
    let said = blob("1 -o none/x").fails(9).mentions("none/x");
    assert!(!said.errors().contains(".tmp"), "{said}");
    // What is not right is no file.
    let path = place.path("image/blobs/sha256").join(&digest(0)[7..]);
    let mut bytes = fs::read(&path).expect("a blob");
    bytes[5] ^= 1;
    fs::write(&path, bytes).expect("a blob");
    blob("1 -o wrong").fails(5);
    assert!(!place.path("work/wrong").exists());
    blob("1").fails(5);
    place.bryo("cat").arg(&name).arg("/etc/passwd").fails(5);
    place.bryo("find").arg(&name).arg("passwd").fails(5);
}

#[test]
fn nothing_is_kept_of_an_image_in_a_registry() {
    let place = Place::new();
    if !has("docker-registry", "docker-registry") || !busybox(&place) {
        return;
    }
    let registry = Registry::start(&place);
    let name = registry.name("team/app:1");
    let context =
        place.context("c", "FROM base\nENV A=1\nLABEL l=\"two words\"\nRUN echo x > /x\n", &[]);
    place.bryo("build -q -t app").arg(&context).succeeds();
    let digest = place.bryo(&format!("push -q app {name}")).succeeds().text();
    let here = place.bryo("inspect app").succeeds().json()[0].clone();
    place.bryo("rm --purge app base").succeeds();
    let blobs = || fs::read_dir(place.storage().join("blobs/sha256")).expect("a folder").count();
    let before = blobs();
    let there = place.bryo(&format!("inspect {name}")).succeeds().json()[0].clone();
    for field in ["Id", "Config", "RootFS", "Layers", "Architecture", "Size"] {
        assert_eq!(there[field], here[field], "{field}");
    }
    assert_eq!(there["RepoTags"], json!([name]));
    assert_eq!(there["RepoDigests"], json!([registry.name(&format!("team/app@{digest}"))]));
    let format =
        |template: &str| place.bryo("inspect --format").arg(template).arg(&name).succeeds().text();
    assert_eq!(format("{{.Os}} {{json .Config.Labels}}"), "linux {\"l\":\"two words\"}");
    assert_eq!(format("{{range .Config.Env}}{{.}};{{end}}").matches("A=1;").count(), 1);
    place.bryo("inspect --format {{.Nothing}}").arg(&name).fails(2).mentions(".Nothing");
    place.bryo("inspect --format {{printf}}").arg(&name).exits(2);
    let summary =
        place.bryo(&format!("inspect --summary --json {name}")).succeeds().json()[0].clone();
    assert_eq!(summary["tag"], "1");
    assert_eq!(summary["layer_count"], 2);
    assert!(summary["layers"][1]["created_by"].as_str().expect("text").contains("echo x"));
    let text = place.bryo(&format!("inspect --summary {name}")).succeeds().text();
    assert!(text.contains("architecture") && text.contains("two words"), "{text}");
    let steps = place.bryo(&format!("history --json {name}")).succeeds().json();
    assert!(steps[0]["createdBy"].as_str().expect("text").contains("echo x"), "{steps:#}");
    assert_eq!(place.bryo(&format!("cat {name} /x")).succeeds().text(), "x");
    place.bryo(&format!("find --merged {name} busybox")).succeeds();
    assert_eq!(blobs(), before, "something of it was kept");
    // What is here has precedence, unless the registry is asked for.
    let other = place.context("d", "FROM scratch\nCOPY f /\n", &[("f", "here")]);
    place.bryo(&format!("build -q -t {name}")).arg(&other).succeeds();
    assert_eq!(place.bryo(&format!("cat {name} /f")).succeeds().text(), "here");
    assert_eq!(place.bryo(&format!("cat --remote {name} /x")).succeeds().text(), "x");
    assert_eq!(place.bryo(&format!("cat registry:{name} /x")).succeeds().text(), "x");
    place.bryo(&format!("cat store:{name} /x")).fails(3);
    place.bryo(&format!("inspect {}", registry.name("team/none"))).fails(3).mentions("team/none");
    place.bryo("inspect docker://x").fails(2).mentions("registry:x");
}

#[test]
fn archives_are_taken_by_their_paths() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    place.bryo("save -o docker.tar base").succeeds();
    place.bryo("save --format oci -o oci.tar base").succeeds();
    place.bryo("save --format oci-dir -o layout base").succeeds();
    let id = place.bryo("inspect --format {{.Id}} base").succeeds().text();
    for name in [
        "./docker.tar",
        "docker-archive:docker.tar",
        "./oci.tar",
        "oci-archive:oci.tar",
        "./layout",
        "oci:layout",
    ] {
        assert_eq!(
            place.bryo("inspect --format {{.Id}}").arg(name).succeeds().text(),
            id,
            "{name}"
        );
    }
    place.bryo("inspect ./none.tar").fails(3);
    let plain = place.file("work/plain", "no image");
    place.bryo("inspect").arg(plain).fails(5);
}

#[test]
fn all_images_of_an_index_are_shown() {
    let place = Place::new();
    let name = layout(&place, "image");
    let all = place.bryo("inspect --all-platforms").arg(&name).succeeds().json();
    assert_eq!(all.as_array().map(Vec::len), Some(1));
    assert_eq!((&all[0]["Kind"], &all[0]["Architecture"]), (&json!("image"), &json!("amd64")));
    let index = place.bryo("inspect --raw").arg(&name).succeeds().json();
    assert!(index["manifests"].is_array(), "{index:#}");
    place.bryo("inspect --platform linux/s390x").arg(&name).fails(3).mentions("linux/amd64");
}

#[test]
fn differences_are_told() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let build = |name: &str, text: &str, files: &[(&str, &str)]| {
        let context = place.context(name, text, files);
        place.bryo("build -q -t").arg(name).arg(context).succeeds();
    };
    build(
        "one",
        "FROM base\nENV A=1 B=2\nLABEL x=1\nCOPY a b /d/\nCMD [\"a\"]\n",
        &[("a", "1"), ("b", "2")],
    );
    build(
        "two",
        "FROM base\nENV A=1 B=3\nCOPY a c /d/\nUSER www\nCMD [\"b\"]\n",
        &[("a", "9"), ("c", "3")],
    );
    place.bryo("diff one one").exits(0);
    let said = place.bryo("diff --ignore-timestamps one two").exits(1);
    let text = said.text();
    for line in [
        "  ~ B=2 -> 3",
        "  - x=1",
        "  + config.User: \"www\"",
        "  ~ config.Cmd: [\"a\"] -> [\"b\"]",
        "  ~ d/a (1 B: content)",
        "  - d/b (1 B)",
        "  + d/c (1 B)",
    ] {
        assert!(text.lines().any(|known| known == line), "{line}\n{text}");
    }
    assert!(!text.contains("bin/busybox"), "{text}");
    let found = place.bryo("diff --json --ignore-timestamps one two").exits(1).json();
    assert_eq!(found["equal"], false);
    assert_eq!(found["env"]["changed"], json!({ "B": ["2", "3"] }));
    assert_eq!(found["files"]["changed"]["d/a"]["what"], json!(["content"]));
    assert_eq!(found["files"]["added"]["d/c"]["size"], 1);
    // The same files in other layers, of another place.
    build("flat", "FROM one\n", &[]);
    place.bryo("save --format oci-dir -o layout flat").succeeds();
    let found = place.bryo("diff --json --ignore-timestamps one oci:layout").output().json();
    assert_eq!(found["files"], json!({ "added": {}, "removed": {}, "changed": {} }));
    place.bryo("diff one localhost/none").fails(3);
}

#[test]
fn packages_are_compared() {
    let place = Place::new();
    let Some(base) = debian() else { return };
    place.bryo("import").arg(base).arg("base").succeeds();
    let text = "FROM base\nRUN sed -i '/^Package: bash$/,/^$/s/^Version: .*/Version: 9:9-9/' /var/lib/dpkg/status\n";
    let context = place.context("c", text, &[]);
    place.bryo("build -q -t other").arg(context).succeeds();
    let found = place.bryo("diff --json base other").exits(1).json();
    let changed = found["packages"]["changed"].as_object().expect("an object");
    assert_eq!(changed.keys().collect::<Vec<_>>(), ["dpkg bash"], "{found:#}");
    assert_eq!(changed["dpkg bash"][1], "9:9-9");
    assert_eq!(found["packages"]["added"], json!({}));
    let what = &found["files"]["changed"]["var/lib/dpkg/status"]["what"];
    assert!(what.as_array().expect("a list").contains(&json!("content")), "{what}");
}

#[test]
fn waste_is_measured_and_drawn() {
    let place = Place::new();
    let name = layout(&place, "image");
    let document = place.bryo("analyze --json").arg(&name).succeeds().json();
    let image = &document["image"];
    // tool twice (19 and 19), gone (4, deleted), passwd once, and the odd name's 25.
    let sizes = (&image["sizeBytes"], &image["inefficientBytes"], &image["hiddenBytes"]);
    assert_eq!(sizes, (&json!(97), &json!(42), &json!(23)), "{image:#}");
    let score = image["efficiencyScore"].as_f64().expect("a number");
    assert!((score - (19.0 + 30.0 + 25.0) / 97.0).abs() < 1e-6, "{score}");
    let files: Vec<(&Value, &Value)> = image["fileReference"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|file| (&file["file"], &file["count"]))
        .collect();
    assert_eq!(files, [(&json!("/usr/bin/tool"), &json!(2)), (&json!("/gone"), &json!(2))]);
    assert_eq!(document["layer"][0]["index"], 0);
    assert!(document["layer"][1]["fileList"].as_array().expect("a list").len() > 3);
    // Limits.
    for (line, code) in [
        ("--fail-below 0.5", 0),
        ("--fail-below 0.99", 1),
        ("--max-wasted 42B", 0),
        ("--max-wasted 41", 1),
        ("--max-wasted-percent 0.1", 1),
        ("--fail-below 1.5", 2),
    ] {
        place.bryo("analyze").args(line.split_whitespace()).arg(&name).exits(code);
    }
    place.file("work/.dive-ci", "rules:\n  lowestEfficiency: 0.99\n");
    place.bryo("analyze --ci-config .dive-ci").arg(&name).exits(1).mentions("below 0.99");
    place.bryo("analyze --ci-config .dive-ci --fail-below 0.1").arg(&name).exits(0);
    let said = place.bryo("analyze --html none/map.html").arg(&name).fails(9);
    assert!(said.errors().contains("none/map.html") && !said.errors().contains(".bryo-"), "{said}");
    let listed = place.bryo("analyze").arg(&name).succeeds().text();
    let numbers: Vec<&str> = listed
        .lines()
        .skip_while(|line| !line.starts_with("LAYER"))
        .skip(1)
        .take(2)
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(numbers, ["1", "2"], "{listed}");
    let page = place.bryo("analyze --html -").arg(&name).succeeds().text();
    assert!(page.starts_with("<!") && page.ends_with("</html>"), "{page}");
    // One page, whose names are names.
    place.bryo("analyze -q --html map.html").arg(&name).succeeds();
    let page = fs::read_to_string(place.path("work/map.html")).expect("a page");
    assert_eq!(page.matches("<script").count(), 2, "a name became markup");
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("src="));
    let start = page.find(r#"type="application/json">"#).expect("the data") + 24;
    let data = &page[start..start + page[start..].find("</script>").expect("its end")];
    let data: Value = serde_json::from_str(data).expect("JSON");
    assert_eq!(data["root"][1], 97);
    assert!(data["root"].to_string().contains(r#"<b>x\"'&"#), "{data:#}");
}
