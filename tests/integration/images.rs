//! What is here: images, inspect, history, tag, rm.

use serde_json::json;

use crate::support::{Place, Registry, busybox, has};

#[test]
fn an_image_is_listed_named_and_removed() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let listed = place.bryo("images --json").succeeds().json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    assert_eq!(listed[0]["name"], "base:latest");
    let id = listed[0]["id"].as_str().expect("an ID").to_owned();
    let short = &id["sha256:".len()..][..12];

    let table = place.bryo("images").succeeds().text();
    assert!(table.starts_with("REPOSITORY   TAG      IMAGE ID"), "{table}");
    assert!(table.contains(short), "{table}");

    place.bryo("tag base registry.example/team/app:1").succeeds();
    place.bryo(&format!("tag {short} two")).succeeds();
    let said = place.bryo("inspect two").succeeds().json();
    assert_eq!(said[0]["Id"], id.as_str());
    assert_eq!(
        said[0]["RepoTags"],
        json!(["base:latest", "two:latest", "registry.example/team/app:1"])
    );
    for (filter, count) in [("base", 1), ("registry.example/team/*", 1), ("nothing", 0)] {
        let listed = place.bryo("images --json").arg(filter).succeeds().json();
        assert_eq!(listed.as_array().map(Vec::len), Some(count), "{filter}");
    }

    assert_eq!(place.bryo("rm two").succeeds().text(), "two:latest");
    place.bryo("rm two").fails(3).mentions("two");
    place.bryo("rm registry.example/team/*").succeeds();
    // By ID: all names, if somebody says so.
    place.bryo("tag base again").succeeds();
    let held = place.bryo(&format!("rmi {short}")).fails(1).mentions("again:latest, base:latest");
    held.mentions("--force");
    let some = place.bryo("inspect --offline --format {{.RepoTags}} base none again").fails(7);
    assert_eq!(some.text(), "[again:latest base:latest]\n[again:latest base:latest]");
    some.mentions("1 of 3 failed").mentions("none");
    place.bryo("inspect --offline one two").fails(3).mentions("2 of 2 failed");
    place.bryo(&format!("rmi --force --purge {short}")).succeeds();
    assert_eq!(place.bryo("ls --json").succeeds().json(), json!([]));
    // Nothing of it is left on the disk.
    let left =
        place.run("find").arg(place.storage()).args(["-type", "f", "-size", "+4k"]).succeeds();
    assert_eq!(left.text(), "");
}

#[test]
fn removal_spares_what_another_name_needs() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let context = place.context("c", "FROM base\nRUN echo x > /x\n", &[]);
    place.bryo("build -q -t child").arg(context).succeeds();
    place.bryo("rm base").succeeds();
    assert_eq!(place.bryo("run child cat /x").succeeds().text(), "x");
}

#[test]
fn inspect_shows_the_bytes_that_the_digests_are_of() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let manifest = place.bryo("inspect --manifest base").succeeds();
    let digest = place.run("sha256sum").input(manifest.bytes()).succeeds().text();
    let listed = place.bryo("images --json").succeeds().json();
    assert_eq!(format!("sha256:{}", &digest[..64]), listed[0]["digest"]);
    let config = place.bryo("inspect --config base").succeeds();
    let digest = place.run("sha256sum").input(config.bytes()).succeeds().text();
    assert_eq!(format!("sha256:{}", &digest[..64]), listed[0]["id"]);
}

#[test]
fn history_tells_each_step() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let context = place.context("c", "FROM base\nENV A=1\nRUN echo x > /x\n", &[]);
    place.bryo("build -q -t child").arg(context).succeeds();
    let steps = place.bryo("history --json child").succeeds().json();
    let by = |at: usize| steps[at]["createdBy"].as_str().expect("text").to_owned();
    assert!(by(0).contains("RUN") && by(0).contains("echo x > /x"), "{steps:#}");
    assert!(by(1).contains("ENV A=1"), "{steps:#}");
    assert_eq!(steps[1]["size"], 0);
    assert!(steps[0]["size"].as_u64().expect("a number") > 0);
    place.bryo("history child").succeeds();
    let id = place.bryo("images -q child").succeeds().text();
    let ids = place.bryo("history -q child").succeeds().text();
    let lines: Vec<&str> = ids.lines().collect();
    assert_eq!(lines[0], &id["sha256:".len()..][..12]);
    assert!(lines.len() > 1 && lines[1..].iter().all(|line| *line == "<missing>"), "{ids}");
    let said = place.bryo("history --no-trunc --format").arg("{{.ID}} {{.Size}} {{.CreatedBy}}");
    let text = said.arg("child").succeeds().text();
    assert!(
        text.starts_with(&format!("{id} ")) && text.contains("<missing> 0 B ENV A=1"),
        "{text}"
    );
    place.bryo("history --format {{.Nothing}} child").fails(2).mentions("CreatedBy");
}

#[test]
fn images_are_filtered_in_dockers_words() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    for (name, label) in [("one", "a=1"), ("two", "a=2"), ("two", "b=3")] {
        let context = place.context(name, &format!("FROM base\nLABEL {label}\n"), &[]);
        place.bryo(&format!("build -q -t {name}")).arg(context).succeeds();
    }
    let found = |line: &str| {
        let listed = place.bryo(&format!("images --json {line}")).succeeds().json();
        let names = listed.as_array().expect("a list").iter();
        let names = names.map(|image| image["name"].as_str().unwrap_or("<none>").to_owned());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(found("--filter label=a"), "one:latest");
    assert_eq!(found("-a --filter label=a"), "<none> one:latest");
    assert_eq!(found("-a --filter label=a=2"), "<none>");
    assert_eq!(found("-f dangling=true"), "<none>");
    assert_eq!(found("--filter dangling=false --filter reference=t*"), "two:latest");
    assert_eq!(found("--filter since=one"), "two:latest");
    assert_eq!(found("--filter before=two --filter label=a"), "one:latest");
    place.bryo("images --filter size=3").exits(2);
    let run = place.bryo("images").args(["--format", "{{.Repository}}:{{.Tag}}", "one"]);
    assert_eq!(run.succeeds().text(), "one:latest");
    let run = place.bryo("images").args(["--format", "table {{.Tag}}\\t{{.Repository}}", "one"]);
    assert_eq!(run.succeeds().text(), "TAG      REPOSITORY\nlatest   one");
    let line = place.bryo("images --format json one").succeeds().json();
    assert_eq!((&line["Repository"], &line["Containers"]), (&"one".into(), &"N/A".into()));
    place.bryo("images").args(["--format", "{{.Nonsense}}"]).exits(2);
    let id = place.bryo("images --no-trunc one").succeeds().text();
    assert!(id.contains("sha256:"), "{id}");
}

#[test]
fn an_image_is_told_in_ch_images_words() {
    let place = Place::new();
    if !busybox(&place) || !has("docker-registry", "docker-registry") {
        return;
    }
    let registry = Registry::start(&place);
    let name = registry.name("app:1");
    for arch in ["amd64", "arm64/v8"] {
        let context = place.context("c", "FROM base\nRUN echo x > /x\n", &[]);
        let tag = arch.replace('/', "");
        place.bryo("build -q -t app").arg(context).succeeds();
        place.bryo(&format!("edit --platform-set linux/{arch} app app:{tag}")).succeeds();
    }
    place.bryo("manifest create list app:amd64 app:arm64v8").succeeds();
    place.bryo("manifest push list").arg(&name).succeeds();
    place.bryo("tag app").arg(&name).succeeds();
    let told = |words: &str| place.bryo(words).succeeds().text();
    let block = told(&format!("list {name}"));
    let line = |title: &str| {
        let found = block.lines().find_map(|line| line.strip_prefix(&format!("{title}:")));
        found.unwrap_or_else(|| panic!("{title}: {block}")).trim().to_owned()
    };
    assert_eq!(line("details of image"), name);
    assert!(line("in local storage").starts_with("yes (amd64), modified: 2"), "{block}");
    assert_eq!(line("in build cache"), "yes (1 of 2 layers)");
    assert_eq!((line("full remote ref"), line("available remotely")), (name.clone(), "yes".into()));
    assert_eq!(
        (line("remote arch-aware"), line("host architecture")),
        ("yes".into(), "amd64".into())
    );
    assert!(block.contains("\n  amd64      ") && block.contains("\n  arm64/v8   "), "{block}");
    let other = registry.name("other");
    let block = told(&format!("images --details {other}"));
    assert!(block.contains("in local storage:     no\n"), "{block}");
    assert!(block.contains("available remotely:   no (or you are not authorized)\n"), "{block}");
    assert_eq!(told("list --json"), told("images --json"));
}
