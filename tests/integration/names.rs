//! What names of images and registries mean: aliases, names with a scheme, lists that are cut; and
//! where images are kept.

use std::fs;

use serde_json::{Value, json};

use crate::support::served::sha256;
use crate::support::{Place, Registry, Web, busybox, has};

/// A registry with the test's image as `plants/moss:1` and `:2`.
fn scene(place: &Place) -> Option<Registry> {
    if !has("docker-registry", "docker-registry") || !busybox(place) {
        return None;
    }
    let registry = Registry::start(place);
    for tag in ["1", "2"] {
        place.bryo("push -q base").arg(registry.name(&format!("plants/moss:{tag}"))).succeeds();
    }
    Some(registry)
}

#[test]
fn an_alias_is_the_same_name_everywhere() {
    let place = Place::new();
    let Some(registry) = scene(&place) else { return };
    let full = registry.name("plants/moss");
    place.file(
        "home/.config/containers/registries.conf",
        "[aliases]\nmoss='nowhere.invalid/moss'\n",
    );
    let later = format!("[aliases]\nmoss='{full}'\n");
    place.file("home/.config/containers/registries.conf.d/1.conf", later);
    let bryo = |line: &str| place.bryo(line);
    let meaning = format!("moss:1 is {full}:1, by an alias");
    bryo("pull moss:1").succeeds().mentions(&meaning);
    assert!(bryo("pull --parse-only moss:3").succeeds().text().contains(&format!("{full}:3")));
    assert!(bryo("images").succeeds().text().contains(&full));
    // What is here under the full name is what is meant by the short one.
    assert_eq!(bryo("run -q moss:1 echo x").succeeds().text(), "x");
    bryo("inspect moss:1").succeeds();
    bryo("push -q moss:1").succeeds();
    bryo("push -q base moss:4").succeeds();
    assert_eq!(bryo("tags moss").succeeds().text(), "1\n2\n4");
    bryo("copy -q moss:2 registry:moss:5").succeeds();
    bryo("delete moss:5").succeeds().mentions("by an alias");
    assert_eq!(bryo(&format!("tags {full}")).succeeds().text(), "1\n2\n4");
    bryo("digest docker.io/library/moss --offline").fails(6);

    let context =
        place.context("c", "FROM moss:2\nCOPY --from=moss:1 /bin /other\nRUN ls /other\n", &[]);
    let said = place.bryo("build -t app").arg(&context).succeeds();
    said.mentions(&format!("moss:2 is {full}:2, by an alias"));
    place.bryo("build --pull -t app").arg(&context).succeeds();
    // A stage of that name hides it.
    let context =
        place.context("d", "FROM base AS moss\nRUN touch /mine\nFROM moss\nRUN ls /mine\n", &[]);
    let said = place.bryo("build -t app").arg(&context).succeeds();
    assert!(!said.errors().contains("alias"), "{said}");
}

#[test]
fn a_name_may_have_a_scheme() {
    let place = Place::new();
    let Some(registry) = scene(&place) else { return };
    let (host, full) = (registry.host(), registry.name("plants/moss"));
    let say = |line: &str| place.bryo(line).succeeds().text();
    assert_eq!(say(&format!("repos http://{host}/")), "plants/moss");
    assert_eq!(say(&format!("tags http://{full}")), "1\n2");
    assert_eq!(say(&format!("tags --full-ref https://{full} --limit 1")), format!("{full}:1"));
    let digest = say(&format!("digest http://{full}:1"));
    assert_eq!(say(&format!("pull -q http://{full}@{digest}")), digest);
    assert_eq!(say(&format!("push -q base http://{full}:3")), digest);
    assert_eq!(say(&format!("copy -q http://{full}:3 http://{full}:4")), digest);
    for line in ["inspect --raw", "endpoints", "referrers", "check --fast", "delete"] {
        say(&format!("{line} http://{full}:4"));
    }
    assert_eq!(say(&format!("tags {full}")), "1\n2\n3");
    place.file("work/x", "x");
    say(&format!("attach --type a/b http://{full}:1 x"));
    // Elsewhere than on this machine it is permission to do without TLS, which is not there without.
    let proxy = Web::start(|path, _| match path.contains("/tags/list") {
        true => (200, "", br#"{"tags":["plain"]}"#.to_vec()),
        false => (200, "", b"{}".to_vec()),
    });
    let url = proxy.url("");
    let tags = |name: &str| place.bryo(&format!("tags --retry 1 {name}")).env("http_proxy", &url);
    assert_eq!(tags("http://registry.invalid/a").succeeds().text(), "plain");
    tags("registry.invalid/a").fails(6);
    tags("https://registry.invalid/a").fails(6);
    for wrong in ["ftp://registry.example/a", "http://ann:s3cret@registry.example/a"] {
        let said = tags(wrong).fails(2);
        assert!(!said.errors().contains("s3cret"), "{said}");
    }
    place.bryo("repos http://ann:s3cret@registry.example").fails(2).mentions("--creds");
}

#[test]
fn no_more_of_a_list_is_read_than_it_takes() {
    let place = Place::new();
    // Ten pages of ten tags, and one that is never to be asked for.
    let registry = Web::start(|path, _| {
        let page: usize = path.rsplit("last=").next().and_then(|n| n.parse().ok()).unwrap_or(0);
        let names: Vec<String> = (0..10).map(|n| format!("v{page}.{n}")).collect();
        let body = match path.contains("_catalog") {
            true => json!({ "repositories": names }),
            false => json!({ "tags": names }),
        };
        let link = match page {
            0 => "Link: <?last=1>; rel=\"next\"\r\n",
            1 => "Link: <?last=2>; rel=\"next\"\r\n",
            2 => "Link: <?last=3>; rel=\"next\"\r\n",
            _ => "",
        };
        (200, link, body.to_string().into_bytes())
    });
    let host = registry.url("").replace("http://", "");
    let say = |line: &str| place.bryo(line).succeeds().text();
    let lines = |text: String| text.lines().count();
    let later = |number: usize| registry.count(&format!("/v2/a/tags/list?last={number}"));
    assert_eq!(lines(say(&format!("tags --limit 3 {host}/a"))), 3);
    assert_eq!((registry.count("/v2/a/tags/list?n=3"), later(1)), (1, 0));
    assert_eq!(lines(say(&format!("tags --limit 12 {host}/a"))), 12);
    assert_eq!((later(1), later(2)), (1, 0));
    // Those that fit count.
    assert_eq!(say(&format!("tags --limit 2 --filter v*.5 {host}/a")), "v0.5\nv1.5");
    assert_eq!((later(1), later(2)), (2, 0));
    assert_eq!(lines(say(&format!("tags {host}/a"))), 40);
    assert_eq!(lines(say(&format!("repos --limit 1 {host}"))), 1);
    assert_eq!(registry.count("/v2/_catalog?last=1"), 0);
}

#[test]
fn layers_that_stay_where_they_are_go_along_by_permission() {
    let place = Place::new();
    let Some(registry) = scene(&place) else { return };
    place.bryo("copy -q store:base oci:layout").succeeds();
    // As Windows' base images have them.
    let blob = |digest: &str| place.path(format!("work/layout/blobs/{}", digest.replace(':', "/")));
    let read =
        |path| serde_json::from_slice::<Value>(&fs::read(path).expect("there")).expect("JSON");
    let mut index = read(place.path("work/layout/index.json"));
    let mut manifest = read(blob(index["manifests"][0]["digest"].as_str().expect("a digest")));
    let layer = manifest["layers"][0]["digest"].as_str().expect("a digest").to_owned();
    let kind = manifest["layers"][0]["mediaType"].as_str().expect("a type").to_owned();
    manifest["layers"][0]["mediaType"] =
        json!(kind.replace("layer.v1", "layer.nondistributable.v1"));
    let text = manifest.to_string();
    let digest = sha256(text.as_bytes());
    place.file(blob(&digest).strip_prefix(place.path("")).expect("inside"), &text);
    index["manifests"] = json!([{
        "mediaType": manifest["mediaType"], "digest": digest, "size": text.len(),
        "annotations": {"org.opencontainers.image.ref.name": "strange"},
    }]);
    place.file("work/layout/index.json", index.to_string());
    place.bryo("copy -q oci:layout store:strange").succeeds();
    let other = Registry::start(&place);
    // This registry wants even those.
    place.bryo("push -q --retry 1 strange").arg(other.name("a")).fails(6);
    assert!(!other.blob(&layer).exists());
    place.bryo("push -q --allow-foreign strange").arg(other.name("a")).succeeds();
    assert!(other.blob(&layer).exists());
    drop(registry);
}

#[test]
fn images_are_kept_in_one_place() {
    let place = Place::new();
    place.folder("work/other");
    let list = || place.bryo("images -q");
    list().env("BRYO_STORAGE", "other/s").fails(2).mentions("BRYO_STORAGE: it is no absolute");
    // Whoever types a path means it from here.
    place.bryo("--storage other/s images -q").succeeds();
    assert!(place.path("work/other/s").exists());
    list().env("BRYO_STORAGE", place.path("work/other/t")).succeeds();
    assert!(place.path("work/other/t").exists());
    // As the specification of that variable has it.
    list().env("XDG_DATA_HOME", "relative").succeeds();
    assert!(!place.path("work/relative").exists());
}
