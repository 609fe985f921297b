//! sync, between Debian's `docker-registry`, layouts, archives and what is here.

use serde_json::{Value, json};

use crate::support::{Place, Registry, Said, busybox, has};

/// A registry with the test's image under some names.
fn scene(place: &Place, names: &[&str]) -> Option<Registry> {
    if !has("docker-registry", "docker-registry") || !busybox(place) {
        return None;
    }
    let registry = Registry::start(place);
    for name in names {
        place.bryo(&format!("push -q base {}", registry.name(name))).succeeds();
    }
    Some(registry)
}

/// The lines that were told, which come in any order.
fn lines(said: &Said) -> Vec<String> {
    let mut lines: Vec<String> = said.text().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn tags(place: &Place, repository: &str) -> String {
    place.bryo(&format!("tags {repository}")).output().text().replace('\n', " ")
}

#[test]
fn patterns_are_mirrored_and_nothing_is_sent_twice() {
    let place = Place::new();
    let names = ["team/app:1.0", "team/app:1.1", "team/app:2", "team/web:1.0", "a/b/app:1.0"];
    let Some(from) = scene(&place, &names) else { return };
    let to = Registry::start(&place);
    let (host, mirror) = (from.host(), to.name("m"));
    let pattern = format!("{host}/team/*:1.*");
    let expected = ["app:1.0", "app:1.1", "web:1.0"]
        .map(|name| format!("{host}/team/{name} -> {mirror}/{name}"));
    let plan = place.bryo("sync --dry-run").args([&pattern, &mirror]).succeeds();
    assert_eq!(lines(&plan), expected);
    let plan = place.bryo("sync --dry-run --json").args([&pattern, &mirror]).succeeds().json();
    let first = format!("{host}/team/app:1.0");
    assert_eq!(plan[0], json!({"source": first, "destination": format!("{mirror}/app:1.0")}));
    place.bryo(&format!("tags {mirror}/app")).fails(3);

    let said = place.bryo("sync --digest-file d").args([&pattern, &mirror]).succeeds();
    assert_eq!(lines(&said), expected);
    said.mentions("3 copied, 0 there already").mentions("app:1.0: layer 1/1");
    assert_eq!(tags(&place, &format!("{mirror}/app")), "1.0 1.1");
    let digest = place.bryo(&format!("digest {first}")).succeeds().text();
    assert_eq!(place.bryo(&format!("digest {mirror}/web:1.0")).succeeds().text(), digest);
    let written = std::fs::read_to_string(place.path("work/d")).expect("it was written");
    let file = ["app:1.0", "app:1.1", "web:1.0"].map(|name| format!("{digest} {mirror}/{name}\n"));
    assert_eq!(written, file.concat());
    let said = place.bryo("sync").args([&pattern, &mirror]).succeeds();
    said.mentions("0 copied, 3 there already").mentions("web:1.0 is there already");

    // What is said about an image later follows it.
    place.file("work/sbom.json", "{}");
    place.bryo(&format!("attach --type application/spdx+json {first} sbom.json")).succeeds();
    place.bryo("sync").args([&pattern, &mirror]).succeeds().mentions("0 copied, 3 there already");
    let tree = place.bryo(&format!("referrers {mirror}/app:1.0")).succeeds().text();
    assert!(tree.contains("application/spdx+json"), "{tree}");
    // Its list is no image, and no tag that anybody asked for.
    let said = place.bryo("sync --dry-run").args([format!("{host}/team/app"), mirror]).succeeds();
    assert_eq!(lines(&said).len(), 3, "{said}");

    // Names that would be one are not mixed up.
    let both = format!("images = ['{first}', '{host}/a/b/app:1.0']\n");
    place.file("work/both.toml", both);
    place.bryo("sync both.toml").arg(to.name("n")).fails(2).mentions("--scoped");
    let said = place.bryo("sync --scoped --append-suffix -x both.toml").arg(to.name("n"));
    let dashed = host.replace(':', "-");
    let scoped = ["a/b/app:1.0", "team/app:1.0"]
        .map(|name| format!("{host}/{name} -> {}/{dashed}/{name}-x", to.name("n")));
    assert_eq!(lines(&said.succeeds()), scoped);
    // What a pattern stands for is kept of a path.
    let said = place.bryo("sync --dry-run").args([format!("{host}/*/b/app"), to.host()]);
    let line = format!("{host}/a/b/app:1.0 -> {}/a/b/app:1.0", to.host());
    assert_eq!(said.succeeds().text(), line);
    for (source, status, told) in [
        (format!("{host}/none/*"), 3, "no repository"),
        (format!("{host}/team/app:9*"), 3, "no tag"),
        (format!("{host}/team/none"), 3, "none"),
        ("*.example/a".to_owned(), 2, "no pattern"),
        ("none.toml".to_owned(), 3, "none.toml"),
        ("bundle:x".to_owned(), 2, "bryo copy"),
        ("docker://x".to_owned(), 2, "registry:x"),
    ] {
        place.bryo("sync -n").args([&source, "oci:x"]).fails(status).mentions(told);
    }
}

#[test]
fn part_of_a_batch_may_fail() {
    let place = Place::new();
    let Some(from) = scene(&place, &["app:1", "app:2"]) else { return };
    let to = Registry::start(&place);
    let (app, there) = (from.name("app"), to.name("m"));
    place.file("work/list.toml", format!("[[images]]\nfrom='{app}'\ntags=['0', '1', '2']\n"));
    let sync = |options: &str| place.bryo(&format!("sync {options} list.toml {there}"));
    let said = sync("--images-jobs 1").fails(3).mentions("1 of 3 failed (2 not begun)");
    assert_eq!(said.text(), "");
    said.mentions("--keep-going").mentions("app:0");
    let said = sync("--keep-going --json").fails(7).mentions("1 of 3 failed");
    let rows = said.json();
    let outcomes: Vec<_> = (0..3).map(|at| rows[at]["outcome"].as_str().expect("text")).collect();
    assert_eq!(outcomes, ["failed", "copied", "copied"]);
    assert!(rows[0]["error"].is_string() && rows[1]["error"].is_null(), "{rows}");
    assert_eq!(tags(&place, &format!("{there}/app")), "1 2");

    // An archive is whole, or not there; or has those that could be had.
    place.bryo("sync list.toml oci-archive:a.tar").fails(3);
    assert!(!place.path("work/a.tar").exists());
    place.bryo("sync --keep-going list.toml oci-archive:a.tar").fails(2).mentions("oci:DIR");
    place.bryo("sync --keep-going list.toml docker-archive:d.tar").fails(7);
    place.bryo("rm --purge base").succeeds();
    let loaded = place.bryo("load -i d.tar").succeeds();
    assert_eq!(lines(&loaded), [format!("{app}:1"), format!("{app}:2")]);

    // What has a name may be left alone.
    let context = place.context("c", &format!("FROM {app}:1\nLABEL a=b\n"), &[]);
    place.bryo(&format!("build -q -t {app}:2")).arg(context).succeeds();
    place.bryo(&format!("push -q {app}:2")).succeeds();
    let old = place.bryo(&format!("digest {there}/app:2")).succeeds().text();
    let said = place.bryo(&format!("sync --no-clobber {app} {there}")).succeeds();
    said.mentions("0 copied, 1 there already, 1 left as they are");
    assert_eq!(place.bryo(&format!("digest {there}/app:2")).succeeds().text(), old);
    let since = |time: &str| {
        place.bryo(&format!("sync --dry-run --since {time} {app} {there}")).succeeds().text()
    };
    let line = |tag: u32| format!("{app}:{tag} -> {there}/app:{tag}");
    // The other one does not say when it was made.
    assert_eq!((since("1h"), since("2100-01-01")), (line(2), String::new()));
    place.bryo(&format!("sync {app} {there}")).succeeds().mentions("1 copied, 1 there already");
    assert_ne!(place.bryo(&format!("digest {there}/app:2")).succeeds().text(), old);
}

#[test]
fn layouts_and_what_is_here_hold_many() {
    let place = Place::new();
    let Some(from) = scene(&place, &["team/app:1", "web:1"]) else { return };
    let (host, to) = (from.host(), Registry::start(&place));
    let app = from.name("team/app:1");
    let digest = place.bryo(&format!("digest {app}")).succeeds().text();
    place.file("work/all.toml", format!("images = ['{host}/*/*', '{host}/web']\n"));
    for form in ["oci:layout", "oci-archive:layout.tar", "docker-archive:docker.tar"] {
        let said = place.bryo(&format!("sync all.toml {form}")).succeeds();
        let expected = [&app, &from.name("web:1")].map(|name| format!("{name} -> {form}:{name}"));
        assert_eq!(lines(&said), expected);
        // And out of it again.
        let path = to.name(&form.replace([':', '.'], "-"));
        place.bryo(&format!("sync {form} {path}")).succeeds().mentions("2 copied");
        let arrived = place.bryo(&format!("digest {path}/app:1")).succeeds().text();
        // Archives of docker keep no manifests.
        assert_eq!(arrived == digest, !form.starts_with("docker"), "{form}");
    }
    place.bryo("check --fast oci:layout:").arg(&app).exits(2);
    place.bryo("check --fast").arg(format!("oci:layout:{app}")).succeeds();
    let rows: Value = place.bryo("sync --no-referrers --json oci:layout store:").succeeds().json();
    assert_eq!(rows[0]["destination"], json!(format!("store:{app}")));
    assert_eq!(
        place.bryo("sync oci:layout store:h.example/m").succeeds().text().lines().count(),
        2
    );
    place.bryo("run -q h.example/m/web:1 true").succeeds();
    let said = place.bryo(&format!("sync store:{host}/*/* {}", to.name("s"))).succeeds();
    assert_eq!(said.text(), format!("{app} -> {}/app:1", to.name("s")));
    place.bryo("sync store:h.example/m/web:1 dir:trees/a").succeeds();
    assert!(place.path("work/trees/a/web-1/bin/sh").exists());
    place.bryo("sync --scoped oci:layout store:").fails(2).mentions("--scoped");
    place.bryo("sync store:no*such oci:x").fails(3).mentions("no*such");
}

#[test]
fn lists_say_how_registries_are_spoken_to() {
    let place = Place::new();
    if !has("htpasswd", "apache2-utils") || !has("openssl", "openssl") {
        return;
    }
    let Some(open) = scene(&place, &["nginx:1.13.1", "nginx:1.14", "nginx:latest"]) else { return };
    let locked = Registry::with_password(&place);
    let (sealed, authority) = Registry::with_tls(&place);
    place.bryo(&format!("push -q --insecure base {}", sealed.name("a/x:010"))).succeeds();
    place.bryo("tag base").arg(locked.name("y:1")).succeeds();
    let creds = |line: String| place.bryo(&line).env("BRYO_CREDS", "ann:secret");
    creds(format!("push -q {}", locked.name("y:1"))).succeeds();
    let folder = place.folder("certs");
    std::fs::copy(authority, folder.join("own.crt")).expect("made before");
    let list = |folder: &str| {
        format!(
            "{}:\n  images-by-semver:\n    nginx: \">= 1.13, < 1.14\"\n{}:\n  cert-dir: {folder}\n  \
             images:\n    a/x: [010]\n{}:\n  images-by-tag-regex:\n    y: ^1$\n  credentials:\n    \
             username: ann\n    password: secret\n",
            open.host(),
            sealed.host(),
            locked.host()
        )
    };
    place.file("work/list.yaml", list(&folder.display().to_string()));
    let said = place.bryo("sync list.yaml oci:layout").succeeds();
    let names = [open.name("nginx:1.13.1"), sealed.name("a/x:010"), locked.name("y:1")];
    let mut expected = names.map(|name| format!("{name} -> oci:layout:{name}"));
    expected.sort();
    assert_eq!(lines(&said), expected);
    // Without what the list says it would not do.
    place.file("work/list.yml", list("/nonexistent").replace("secret", "wrong"));
    let said = place.bryo("sync --retry 1 --keep-going list.yml oci:other").fails(7);
    said.mentions("2 of 3 failed");
    let skopeo = place.bryo(&format!("sync --src docker --dest dir {} x", open.host()));
    skopeo.fails(2).mentions("--src");
}
