//! What takes up room, and how it is freed: du, prune, rm, undelete, reset.

use serde_json::Value;

use crate::support::{Place, busybox};

fn names(place: &Place, line: &str) -> Vec<String> {
    let listed = place.bryo(line).succeeds().json();
    let mut names: Vec<String> = listed
        .as_array()
        .expect("a list")
        .iter()
        .map(|image| image["name"].as_str().unwrap_or("<none>").to_owned())
        .collect();
    names.sort();
    names
}

fn pieces(place: &Place, kind: &str) -> Vec<Value> {
    let all = place.bryo("du --json").succeeds().json();
    let all = all["pieces"].as_array().expect("a list").clone();
    all.into_iter().filter(|piece| piece["kind"] == kind).collect()
}

#[test]
fn what_was_removed_comes_back_until_it_is_pruned() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    for name in ["two", "test-a", "test-b", "other"] {
        place.bryo(&format!("tag base {name}")).succeeds();
    }
    let said = place.bryo("rm test-* oth* base").succeeds();
    assert_eq!(said.text(), "base:latest\nother:latest\ntest-a:latest\ntest-b:latest");
    said.mentions("bryo undelete");
    // The others go when some of them are not there.
    place.bryo("tag two three").succeeds();
    let said = place.bryo("rm no*such three none").fails(7).mentions("no*such");
    assert_eq!(said.text(), "three:latest");
    said.mentions("2 of 3 failed").mentions("none");
    place.bryo("rm --force none").succeeds();
    place.bryo("rm none no*such").fails(3).mentions("2 of 2 failed");
    assert_eq!(names(&place, "images --json"), ["two:latest"]);
    let gone = names(&place, "images --undeletable --json").join(" ");
    assert_eq!(gone, "base:latest other:latest test-a:latest test-b:latest three:latest");
    place.bryo("undelete three none").fails(7).mentions("none");
    place.bryo("rm three").succeeds();
    assert_eq!(place.bryo("undelete base").succeeds().text(), "base:latest");
    assert_eq!(place.bryo("run base echo x").succeeds().text(), "x");
    place.bryo("undelete base").fails(1).mentions("exists; it will not be overwritten");
    place.bryo("undelete nothing").fails(3).mentions("nothing");
    assert_eq!(place.bryo("undelete test-*").succeeds().text(), "test-a:latest\ntest-b:latest");
    place.bryo("undelete test-*").fails(3);
    place.bryo("rm test-*").succeeds();
    // The last name, too: its layers are still there.
    place.bryo("rm base two").succeeds();
    place.bryo("undelete two").succeeds();
    assert_eq!(place.bryo("run two echo x").succeeds().text(), "x");
    place.bryo("prune -f").succeeds();
    assert_eq!(names(&place, "images --undeletable --json"), [""; 0]);
    place.bryo("undelete base").fails(3);
    assert_eq!(place.bryo("run two echo x").succeeds().text(), "x");
    // At once, for good.
    place.bryo("rm --purge two").succeeds().mentions("freed ");
    place.bryo("undelete two").fails(3);
    let left =
        place.run("find").arg(place.storage()).args(["-type", "f", "-size", "+4k"]).succeeds();
    assert_eq!(left.text(), "");
}

#[test]
fn pruning_frees_what_is_not_in_use_and_says_so_before() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let build = |number: u32| {
        let text = format!(
            "FROM base\nLABEL number={number}\n\
             RUN --mount=type=cache,target=/c echo {number} > /c/f && head -c 300000 /bin/busybox > /x{number}\n"
        );
        let context = place.context("c", &text, &[]);
        place.bryo("build -q -t app").arg(context).succeeds();
    };
    build(1);
    build(2);
    let of_steps = pieces(&place, "step");
    assert!(
        of_steps.iter().any(|step| step["description"].as_str().expect("text").contains("/x2")),
        "{of_steps:#?}"
    );
    // The first one lost its name.
    let idle =
        |kind: &str| pieces(&place, kind).iter().filter(|p| p["reclaimable"] == true).count();
    assert_eq!((idle("image"), idle("cache-mount")), (1, 1));
    let table = place.bryo("du").succeeds().text();
    assert!(table.starts_with("TYPE  "), "{table}");
    assert!(table.contains("\nReclaimable: ") && table.contains("\nTotal: "), "{table}");
    assert!(place.bryo("du -v").succeeds().text().contains("cache mount /c"));

    let planned = place.bryo("prune --dry-run --json").succeeds().json();
    let before = place.bryo("du --json").succeeds().json();
    assert_eq!(planned["images"].as_array().map(Vec::len), Some(1));
    assert_eq!(planned["cacheMounts"].as_array().map(Vec::len), Some(1));
    assert_eq!(before["reclaimable"], planned["reclaimed"]);
    let done = place.bryo("prune --json -f").succeeds().json();
    assert_eq!(done["images"], planned["images"]);
    let after = place.bryo("du --json").succeeds().json();
    assert_eq!(after["reclaimable"], 0, "{after:#}");
    let freed = |usage: &Value| usage["total"].as_u64().expect("a number");
    let difference = freed(&before) - freed(&after);
    assert_eq!(done["reclaimed"], planned["reclaimed"]);
    assert_eq!(planned["reclaimed"].as_u64(), Some(difference));
    assert!(difference > 300_000, "{difference}");
    // What is in use was left alone: the cached step, too.
    let said = place.bryo("build --progress plain -t app").arg(place.path("c")).succeeds();
    said.mentions("* RUN --mount");
    assert_eq!(place.bryo("run app sh -c").arg("ls /x*").succeeds().text(), "/x2");
}

#[test]
fn filters_spare_images() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    for (name, label) in [("a", "keep=yes"), ("b", "keep=no"), ("c", "other=1")] {
        let context = place.context(name, &format!("FROM base\nLABEL {label}\n"), &[]);
        place.bryo(&format!("build -q -t {name}")).arg(context).succeeds();
    }
    let chosen = |line: &str| {
        let said = place.bryo(&format!("prune --all --dry-run {line}")).succeeds().text();
        let lines = said.lines().filter_map(|line| line.strip_prefix("untagged: "));
        lines.map(|name| name.trim_end_matches(":latest")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(chosen("--filter label=keep"), "a b");
    assert_eq!(chosen("--filter label=keep=no"), "b");
    assert_eq!(chosen("--filter label!=keep"), "base c");
    assert_eq!(chosen("--filter until=1h"), "");
    assert_eq!(chosen("--filter until=2100-01-01"), "a b base c");
    assert_eq!(chosen("--unused-for 1d"), "");
    assert_eq!(chosen(""), "a b base c");
    place.bryo("prune --filter size=1").exits(2);
    assert!(
        place.bryo("prune --all --keep 1GB -n --json").succeeds().json()["cache"]
            .as_array()
            .is_some_and(Vec::is_empty)
    );
    let said = place.bryo("prune --all -f").succeeds().text();
    assert!(said.contains("\nTotal reclaimed space: "), "{said}");
    assert_eq!(place.bryo("du --json").succeeds().json()["total"], 0);
}

#[test]
fn everything_goes_at_once() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    place.bryo("reset").fails(2).mentions("--force");
    place.bryo("prune --all").fails(2).mentions("--force");
    place.bryo("reset -f").succeeds();
    assert_eq!(names(&place, "images --json"), [""; 0]);
    let files = place.run("find").arg(place.storage()).args(["-type", "f"]).succeeds().text();
    assert_eq!(files.lines().count(), 2, "{files}");
    // It works as a new one does; and nobody is robbed of it.
    assert!(busybox(&place));
    let mut other = place.bryo("run base sleep 30").spawn();
    let running = || place.bryo("reset -f").output();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let mut said = running();
    while said.code() == 0 && std::time::Instant::now() < deadline {
        // It had not begun.
        drop(other.wait());
        assert!(busybox(&place));
        other = place.bryo("run base sleep 30").spawn();
        std::thread::sleep(std::time::Duration::from_millis(300));
        said = running();
    }
    assert_eq!(said.code(), 9, "{said}");
    assert!(said.errors().contains("another bryo is at work"), "{said}");
    drop(other.kill());
    drop(other.wait());
    assert_eq!(names(&place, "images --json"), ["base:latest"]);
    // What is no storage directory is left alone.
    let precious = place.folder("precious");
    place.file(precious.join("f"), "x");
    place.bryo("reset -f --storage").arg(&precious).exits(9);
    assert!(precious.join("f").exists());
}

#[test]
fn the_cache_is_a_tree() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    for name in ["bar", "qux"] {
        let text = format!("FROM base\nRUN echo foo > /foo\nENV A=1\nRUN echo {name} > /{name}\n");
        let context = place.context(name, &text, &[]);
        place.bryo(&format!("build -q -t {name}")).arg(context).succeeds();
    }
    let tree = place.bryo("cache tree").succeeds().text();
    let lines: Vec<&str> = tree.lines().collect();
    assert_eq!(lines.len(), 5, "{tree}");
    assert!(lines[1].starts_with("└── RUN ") && lines[1].contains("echo foo"), "{tree}");
    assert!(lines[2].starts_with("    └── ENV A=1"), "{tree}");
    assert!(lines[3].starts_with("        ├── (bar:latest) RUN"), "{tree}");
    assert!(lines[4].starts_with("        └── (qux:latest) RUN"), "{tree}");
    assert_eq!(place.bryo("build-cache --tree").succeeds().text(), tree);
    place.bryo("cache --dot cache.dot").succeeds();
    let dot = std::fs::read_to_string(place.path("work/cache.dot")).expect("a file");
    assert_eq!(dot.matches(" -> ").count(), 4, "{dot}");
    let summary = || place.bryo("cache --json").succeeds().json();
    assert_eq!((&summary()["steps"], &summary()["layers"]), (&4.into(), &3.into()));
    assert_eq!(place.bryo("cache ls --json").succeeds().json().as_array().map(Vec::len), Some(4));
    place.bryo("cache gc").succeeds();
    assert_eq!(summary()["steps"], 4);
    place.bryo("rm --purge qux").succeeds();
    assert_eq!(summary()["steps"], 3, "its own step went with it");
    place.bryo("cache reset").succeeds();
    assert_eq!((&summary()["steps"], &summary()["reclaimable"]), (&0.into(), &0.into()));
    assert_eq!(place.bryo("run bar cat /bar").succeeds().text(), "bar");
}

#[test]
fn the_nameless_of_an_id_goes_first() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    // The same configuration over other bytes: one ID, two manifests.
    place.bryo("save base -o base.tar").succeeds();
    place.bryo("copy store:base store:base --compress zstd").succeeds();
    let nameless = place.bryo("images -q --filter dangling=true").succeeds().text();
    let named = place.bryo("images -q base").succeeds().text();
    assert!(!nameless.is_empty() && nameless == named, "{nameless} {named}");
    place.bryo("rm").arg(&nameless).succeeds();
    assert_eq!(place.bryo("images -q --filter dangling=true").succeeds().text(), "");
    assert_eq!(place.bryo("images -q base").succeeds().text(), named);
}

#[test]
fn a_damaged_name_is_found_and_replaced() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    place.bryo("tag base app").succeeds();
    let file = place.storage().join("refs/docker.io%2Flibrary%2Fapp%3Alatest");
    for (content, line) in [("", "tag base app"), ("{bad", "rm app")] {
        std::fs::write(&file, content).expect("there before");
        place.bryo("images").succeeds().mentions("library/app:latest is damaged");
        let said = place.bryo("check --store").exits(1);
        assert!(said.text().contains("library/app:latest"), "{said}");
        place.bryo("prune -f").fails(9).mentions("damaged");
        place.bryo(line).succeeds();
        assert_eq!(place.bryo("images").succeeds().errors(), "");
        place.bryo("check --store").succeeds();
        place.bryo("prune -f").succeeds();
    }
    assert_eq!(place.bryo("run base echo x").succeeds().text(), "x");
}
