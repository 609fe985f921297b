//! tags, repos, digest, delete, endpoints, referrers, attach, login --list, and the options that all
//! who speak with registries take, against Debian's `docker-registry`.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::support::{Place, Registry, Web, busybox, has};

fn ready() -> bool {
    has("docker-registry", "docker-registry")
}

/// A registry with the test's image under some names.
fn scene(place: &Place, names: &[&str]) -> Option<Registry> {
    if !ready() || !busybox(place) {
        return None;
    }
    let registry = Registry::start(place);
    for name in names {
        place.bryo(&format!("push -q base {}", registry.name(name))).succeeds();
    }
    Some(registry)
}

#[test]
fn repositories_and_tags_are_listed() {
    let place = Place::new();
    let names = ["team/app:1.0", "team/app:1.1", "team/app:latest", "team/web", "other"];
    let Some(registry) = scene(&place, &names) else { return };
    let say = |line: &str| place.bryo(line).succeeds().text();
    let (host, app) = (registry.host(), registry.name("team/app"));
    assert_eq!(say(&format!("repos {host}")), "other\nteam/app\nteam/web");
    assert_eq!(say(&format!("repos {host} --filter team/*")), "team/app\nteam/web");
    assert_eq!(say(&format!("tags {app}")), "1.0\n1.1\nlatest");
    assert_eq!(say(&format!("tags {app} --filter 1.*")), "1.0\n1.1");
    assert_eq!(say(&format!("tags {app} --filter 1$ --regex --full-ref")), format!("{app}:1.1"));
    assert_eq!(say(&format!("tags {app} --limit 1")), "1.0");
    let told = place.bryo(&format!("tags --json {app}")).succeeds().json();
    assert_eq!(told, json!({"repository": app, "tags": ["1.0", "1.1", "latest"]}));
    let told = place.bryo(&format!("repos --json --limit 1 {host}")).succeeds().json();
    assert_eq!(told, json!({"registry": host, "repositories": ["other"]}));
    place.bryo(&format!("tags {app}:1.0")).fails(2).mentions(&app);
    place.bryo(&format!("tags {}", registry.name("none"))).fails(3).mentions("none");
}

#[test]
fn a_tag_is_deleted_alone_and_an_image_with_care() {
    let place = Place::new();
    let Some(registry) = scene(&place, &["app:1", "app:2", "app:3"]) else { return };
    let app = registry.name("app");
    let tags = || place.bryo(&format!("tags {app}")).output().text();
    let digest = place.bryo(&format!("digest {app}:1")).succeeds().text();
    let pinned = format!("{app}@{digest}");
    assert_eq!(place.bryo(&format!("digest --full-ref {app}:2")).succeeds().text(), pinned);
    place.bryo(&format!("digest {app}:4")).fails(3).mentions("app:4");

    let said = place.bryo(&format!("delete --dry-run {app}:1")).succeeds();
    assert_eq!((said.text(), tags()), (format!("{app}:1"), "1\n2\n3".to_owned()));
    // The others go all the same.
    let said = place.bryo(&format!("delete {app}:0 {app}:1")).fails(7).mentions("1 of 2 failed");
    assert_eq!(said.text(), format!("{app}:1"));
    assert_eq!(tags(), "2\n3");
    let said = place.bryo(&format!("digest --json {app}:1 {app}:2")).fails(7);
    let told = said.json();
    assert_eq!(told.as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&told[0]["name"], &told[0]["digest"]),
        (&json!(format!("{app}:2")), &json!(digest))
    );
    assert!(told[0]["size"].as_u64().is_some_and(|size| size > 100), "{told}");
    place.bryo(&format!("digest {app}:0 {app}:1")).fails(3).mentions("app:0").mentions("app:1");
    place.bryo(&format!("pull -q {app}:0 {app}:2")).fails(7).mentions("app:0");
    place.bryo(&format!("delete {app}:1")).fails(3);
    place.bryo(&format!("delete {app}")).fails(2).mentions("neither a tag nor a digest");

    place.bryo(&format!("delete {pinned}")).fails(1).mentions("app:2").mentions("--force");
    assert_eq!(tags(), "2\n3");
    let said = place.bryo(&format!("delete --force {pinned}")).succeeds();
    assert_eq!(said.text(), format!("{app}:2\n{app}:3\n{pinned}"));
    assert_eq!(tags(), "");
    place.bryo(&format!("pull -q {pinned}")).fails(3);
}

#[test]
fn all_images_of_a_dockerfile_are_fetched() {
    let place = Place::new();
    let Some(registry) = scene(&place, &["app:1", "app:2", "data:1", "tool:1"]) else { return };
    place.bryo("rm --purge base").succeeds();
    let host = registry.host();
    let text = format!(
        "ARG V=1\nARG HOST\nFROM {host}/app:$V AS a\nCOPY --from={host}/data:1 /x /x\nFROM scratch\n\
         COPY --from=a / /\nFROM a\nRUN --mount=from={host}/tool:1,target=/t true\n"
    );
    place.file("work/Dockerfile", &text);
    let names = |line: &str| {
        let said = place.bryo(&format!("pull --parse-only {line}")).succeeds().text();
        let lines = said.lines().filter_map(|line| line.strip_prefix("as string:"));
        lines.map(|line| line.trim().replace(&format!("{host}/"), "")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names("--all-from Dockerfile"), "app:1 data:1 tool:1");
    assert_eq!(names("--all-from Dockerfile --build-arg V=2"), "app:2 data:1 tool:1");
    let said = place.bryo("pull --all-from Dockerfile").succeeds();
    assert_eq!(said.text().lines().count(), 3);
    let listed = place.bryo("images --format {{.Repository}}:{{.Tag}}").succeeds().text();
    for name in ["app:1", "data:1", "tool:1"] {
        assert!(listed.contains(&format!("{host}/{name}")), "{listed}");
    }
    let some = text.replace("tool:1", "none:1");
    place.bryo("pull -q --all-from -").input(some).fails(7).mentions("1 of 3 failed");
    place.bryo("pull --all-from -").input("FORM x\n").fails(2).mentions("FROM");
    place.bryo("pull --all-from Dockerfile --tag x").fails(2);
    place.bryo("pull --build-arg V=1 x").fails(2);
}

#[test]
fn files_are_attached_and_found_again() {
    let place = Place::new();
    let Some(registry) = scene(&place, &["app:1"]) else { return };
    let app = registry.name("app");
    let digest = place.bryo(&format!("digest {app}:1")).succeeds().text();
    place.file("work/sbom.json", r#"{"spdx":1}"#);
    place.file("work/sig", "signed");
    let attach = |line: &str| place.bryo(&format!("attach {line}")).succeeds().text();
    let sbom =
        attach(&format!("--type application/spdx+json --annotation by=me {app}:1 sbom.json"));
    let signature = attach(&format!("--type text/x-signature {app}@{sbom} sig"));
    let said = place.bryo(&format!("referrers {app}:1")).succeeds();
    let tree = format!(
        "{app}@{digest}\n└─ application/spdx+json {sbom}\n   └─ text/x-signature {signature}"
    );
    assert_eq!(said.text(), tree);
    let told = place.bryo(&format!("referrers --json {app}:1")).succeeds().json();
    assert_eq!(told[0]["annotations"], json!({"by": "me"}));
    assert_eq!(told[0]["referrers"][0]["digest"], json!(signature));
    let none = format!("referrers --type x/y {app}:1");
    assert_eq!(place.bryo(&none).succeeds().text(), format!("{app}@{digest}"));
    // The file is a blob of the artifact, and the artifact says of what it is.
    let file = registry.blob(&sbom);
    let artifact: serde_json::Value =
        serde_json::from_slice(&fs::read(file).expect("kept")).expect("JSON");
    assert_eq!(artifact["subject"]["digest"], json!(digest));
    let layer = &artifact["layers"][0];
    assert_eq!(layer["annotations"]["org.opencontainers.image.title"], json!("sbom.json"));
    let blob = registry.blob(layer["digest"].as_str().expect("a digest"));
    assert_eq!(fs::read_to_string(blob).expect("kept"), r#"{"spdx":1}"#);

    // What something refers to is not deleted in passing.
    place.bryo(&format!("delete {app}@{sbom}")).fails(1).mentions("bryo referrers");
    place.bryo(&format!("delete --force {app}@{sbom}")).succeeds();
    let said = place.bryo(&format!("referrers {app}:1")).succeeds().text();
    assert_eq!(said, format!("{app}@{digest}"));
    place.bryo(&format!("attach --type nonsense {app}:1 sig")).fails(2).mentions("media type");
    place.bryo(&format!("attach --type x/y {app}:1 none")).fails(3).mentions("none");
}

#[test]
fn what_has_no_tag_is_pruned_and_what_is_said_is_no_image() {
    let place = Place::new();
    let Some(registry) = scene(&place, &["app:1"]) else { return };
    let name = registry.name("app:1");
    let digest = place.bryo(&format!("digest {name}")).succeeds().text();
    let pinned = format!("{}@{digest}", registry.name("app"));
    place.bryo(&format!("pull -q {pinned}")).succeeds();
    let said = format!("{}:{}", registry.name("app"), digest.replace(':', "-"));
    place.bryo(&format!("tag {pinned} {said}")).succeeds();
    place.bryo("rm --purge base").succeeds();
    let listed = |line: &str| {
        let form = "{{.Repository}}:{{.Tag}}";
        place.bryo(&format!("images {line} --format {form}")).succeeds().text()
    };
    let untagged = format!("{}:<none>", registry.name("app"));
    assert_eq!(listed(""), untagged);
    let all = listed("-a");
    assert!(all.contains(&untagged) && all.contains(&said), "{all}");
    // As long as a tag names it, too, it stays.
    place.bryo("prune -f").succeeds();
    assert_eq!(listed(""), untagged);
    place.bryo(&format!("rm {said}")).succeeds();
    place.bryo("prune -f").succeeds();
    assert_eq!(listed("-a"), "");
}

#[test]
fn processes_that_attach_at_once_forget_nothing() {
    let place = Place::new();
    let Some(registry) = scene(&place, &["app:1"]) else { return };
    let app = registry.name("app:1");
    for round in 1..=5 {
        // This registry keeps no lists: each process reads, changes and writes the same tag.
        let attach = |number: usize| {
            let file = format!("{round}-{number}");
            place.file(format!("work/{file}"), &file);
            place.bryo(&format!("attach --type a/b {app} {file}")).spawn()
        };
        for mut child in [0, 1, 2].map(attach) {
            assert!(child.wait().expect("it ends").success());
        }
        let told = place.bryo(&format!("referrers --json {app}")).succeeds().json();
        assert_eq!(told.as_array().map(Vec::len), Some(3 * round));
    }
}

#[test]
fn a_registry_that_only_reads_says_so() {
    let place = Place::new();
    let Some(registry) = scene(&place, &["app:1", "app:2"]) else { return };
    let registry = registry.read_only(&place);
    let app = registry.name("app");
    let digest = place.bryo(&format!("digest {app}:1")).succeeds().text();
    let said = place.bryo(&format!("delete {app}:1")).fails(4);
    said.mentions(&format!("{app}:1 cannot be deleted")).mentions("405").mentions("read-only");
    let said = place.bryo(&format!("delete --force {app}@{digest}")).fails(4);
    said.mentions("405").mentions("read-only");
    place.bryo(&format!("push -q base {app}:3")).fails(4).mentions("read-only");
    assert_eq!(place.bryo(&format!("tags {app}")).succeeds().text(), "1\n2");
}

#[test]
fn whom_a_pull_speaks_to_is_told() {
    let place = Place::new();
    let Some(registry) = scene(&place, &["app:1"]) else { return };
    let name = registry.name("app:1");
    let told = place.bryo(&format!("endpoints --json -4 {name}")).succeeds().json();
    let rows = told.as_array().expect("rows");
    let roles: Vec<_> = rows.iter().map(|row| row["role"].as_str().expect("a role")).collect();
    assert_eq!(roles, ["registry", "manifest", "config", "layer-1"]);
    for row in rows {
        assert_eq!(row["addresses"], json!(["127.0.0.1"]), "{row}");
        assert_eq!(json!(registry.host()), json!(format!("127.0.0.1:{}", row["port"])));
    }
    let said = place.bryo(&format!("endpoints -6 {name}")).succeeds().text();
    assert!(said.lines().nth(1).is_some_and(|line| line.contains("none")), "{said}");
    place.bryo(&format!("endpoints {name}0")).fails(3);
}

#[test]
fn logins_are_listed_and_forgotten() {
    let place = Place::new();
    if !ready() || !has("htpasswd", "apache2-utils") || !busybox(&place) {
        return;
    }
    let registry = Registry::with_password(&place);
    let (host, name) = (registry.host(), registry.name("a"));
    let login = |more: &str, secret: &str| {
        let line = format!("login -u ann --password-stdin {host} {more}");
        place.bryo(&line).input(secret.to_owned())
    };
    // Where there was something before, it is kept: else the old would be found first.
    let old = json!({"auths": {&host: {"auth": "YW5uOm9sZA=="}}}).to_string();
    place.folder("home/.config/containers");
    let podman = place.file("home/.config/containers/auth.json", old);
    login("", "secret").succeeds().mentions("containers/auth.json");
    assert!(!place.path("home/.docker/config.json").exists());
    place.bryo(&format!("push -q base {name}")).succeeds();

    let said = place.bryo("login --list").succeeds().text();
    assert!(said.contains(&host) && said.contains("ann") && !said.contains("secret"), "{said}");
    let said = place.bryo("login --list --show-secrets").succeeds().text();
    assert!(said.contains("secret") && said.contains("auth.json"), "{said}");
    let told = place.bryo("login --list --json").succeeds().json();
    let place_of = podman.to_str().expect("a plain path");
    assert_eq!(told, json!([{"registry": host, "username": "ann", "place": place_of}]));
    place.bryo(&format!("login ann:secret@{host}")).fails(2).mentions("--username");

    place.bryo("logout --all").succeeds().mentions(&host);
    assert_eq!(place.bryo("login --list --json").succeeds().json(), json!([]));
    place.bryo("logout --all").succeeds().mentions("no credentials");
    place.bryo(&format!("tags {name}")).fails(4);
    place.bryo(&format!("tags {name}")).env("BRYO_CREDS", "ann:secret").succeeds();
    let ch_image = |run: crate::support::Run| {
        run.env("CH_IMAGE_USERNAME", "ann").env("CH_IMAGE_PASSWORD", "secret")
    };
    ch_image(place.bryo(&format!("tags {name}"))).succeeds();
    // Nobody is there to be asked.
    place.bryo(&format!("tags --creds ann {name}")).fails(2).mentions("terminal");
    place.bryo(&format!("tags --auth {name}")).fails(2).mentions("terminal");
    // A password in a name is not repeated.
    let said = place.bryo(&format!("pull registry://ann:s3cret@{host}/a")).fails(2);
    assert!(!said.errors().contains("s3cret") && said.errors().contains("--creds"), "{said}");
}

#[test]
fn images_are_read_from_mirrors_and_sent_to_their_registry() {
    let place = Place::new();
    let Some(mirror) = scene(&place, &["hub/library/app:1"]) else { return };
    let origin = Registry::start(&place);
    place.bryo("tag base other").succeeds();
    place.bryo("rm --purge base").succeeds();
    let wanted = origin.name("library/app:1");
    place.bryo(&format!("pull {wanted}")).fails(3);
    let rule = format!("{}={}/hub", origin.host(), mirror.host());
    place.bryo(&format!("pull -q --mirror {rule} {wanted}")).succeeds();
    assert_eq!(place.bryo(&format!("run -q {wanted} echo x")).succeeds().text(), "x");
    place.bryo(&format!("push -q --mirror {rule} other {}", origin.name("library/new"))).succeeds();
    place.bryo(&format!("tags {}", origin.name("library/new"))).succeeds();
    place.bryo(&format!("tags {}", mirror.name("hub/library/new"))).fails(3);
    // A mirror with another image of that name has no say in what was sent.
    let name = origin.name("library/app:1");
    place.bryo(&format!("push -q -f timestamps=7 other {name}-made")).succeeds();
    let line = format!("copy -q --verify --mirror {rule} --additional-tag 2 {name}-made {name}");
    let digest = place.bryo(&line).succeeds().text();
    assert_eq!(
        place.bryo(&format!("digest {}", origin.name("library/app:2"))).succeeds().text(),
        digest
    );
    for tag in ["2", "1-made"] {
        place.bryo(&format!("delete {}", origin.name(&format!("library/app:{tag}")))).succeeds();
    }
    place.bryo(&format!("delete {name}")).succeeds();
    let app = origin.name("library/app");
    // The same by podman's file, and by ch-image's variable for what has no host.
    let conf = format!(
        "[[registry]]\nprefix='{}'\n[[registry.mirror]]\nlocation='{}/hub'\n[aliases]\nmoss='{app}'\n",
        origin.host(),
        mirror.host()
    );
    place.file("home/.config/containers/registries.conf", conf);
    assert_eq!(place.bryo("tags moss").succeeds().text(), "1");
    assert_eq!(place.bryo(&format!("tags {app}")).succeeds().text(), "1");
    let digest = place.bryo("digest app:1").env("CH_REGY_DEFAULT_HOST", "127.0.0.1");
    let port = mirror.host().replace("127.0.0.1:", "");
    let digest = digest.env("CH_REGY_DEFAULT_PORT", port);
    digest.env("CH_REGY_PATH_PREFIX", "hub/library").succeeds();
    let blocked = format!("[[registry]]\nprefix='{}'\nblocked=true\n", origin.host());
    place.file("home/.config/containers/registries.conf.d/1.conf", blocked);
    place.bryo(&format!("pull {wanted}")).fails(4).mentions("blocked");
    place.file("home/.config/containers/registries.conf.d/2.conf", "[[registry]]\n");
    place.bryo(&format!("tags {app}")).fails(2).mentions("2.conf");
}

#[test]
fn options_of_the_network_do_what_they_say() {
    let place = Place::new();
    let Some(registry) = scene(&place, &["app:1"]) else { return };
    let app = registry.name("app");
    // A proxy that answers for everybody.
    let proxy = Web::start(|path, _| match path.ends_with("/tags/list?n=1000") {
        true => (200, "", br#"{"tags":["by-proxy"]}"#.to_vec()),
        false => (200, "", b"{}".to_vec()),
    });
    let url = proxy.url("");
    for said in [
        place.bryo(&format!("tags --proxy {url} {app}")),
        place.bryo(&format!("tags {app}")).env("BRYO_PROXY", &url),
    ] {
        assert_eq!(said.succeeds().text(), "by-proxy");
    }
    let said = place.bryo(&format!("tags --retry 1 --proxy http://127.0.0.1:1 {app}")).fails(6);
    said.mentions("connecting to the proxy http://127.0.0.1:1").mentions("NO_PROXY");
    // That of the environment is not for this machine.
    let said = place.bryo(&format!("tags {app}")).env("http_proxy", &url);
    assert_eq!(said.succeeds().text(), "1");

    place.bryo(&format!("tags --offline {app}")).fails(6).mentions("--offline");
    place.bryo(&format!("tags {app}")).env("BRYO_OFFLINE", "yes").fails(6);
    place.bryo(&format!("tags {app}")).env("BRYO_OFFLINE", "perhaps").fails(2);
    place.bryo(&format!("tags --rate-limit 1000 {app}")).succeeds();
    place.bryo(&format!("tags --rate-limit 0 {app}")).fails(2);
    // A busy registry is asked as often as was said.
    let busy = Web::start(|_, _| (503, "Retry-After: 0\r\n", Vec::new()));
    let name = busy.url("/a").replace("http://", "");
    let path = "/v2/a/tags/list?n=1000";
    place.bryo(&format!("tags --retry 2 {name}")).fails(6).mentions("after 2 tries");
    assert_eq!(busy.count(path), 2);
    place.bryo(&format!("tags {name}")).env("BRYO_RETRY", "1").fails(6);
    assert_eq!(busy.count(path), 3);
}

#[test]
fn a_registry_may_want_a_certificate() {
    let place = Place::new();
    if !ready() || !has("openssl", "openssl") || !busybox(&place) {
        return;
    }
    let (registry, files) = Registry::with_client_certificates(&place);
    let name = registry.name("a");
    let push = || place.bryo(&format!("push -q base {name}"));
    push().fails(6).mentions("certificate");
    let copy = |from: PathBuf, to: &str| {
        let to = format!("home/.config/containers/certs.d/{}/{to}", registry.host());
        place.file(to, fs::read(from).expect("made before"));
    };
    copy(files.join("ca.pem"), "ca.crt");
    push().fails(4).mentions("certificate of yours").mentions("certs.d");
    copy(files.join("client.pem"), "client.cert");
    push().fails(2).mentions("client.key");
    copy(files.join("client.key"), "client.key");
    push().succeeds();
    place.bryo(&format!("pull -q {name}")).succeeds();
}

#[test]
fn a_download_goes_on_in_another_process() {
    let place = Place::new();
    let Some(registry) = scene(&place, &["app:1"]) else { return };
    let name = registry.name("app:1");
    let manifest = place.bryo("inspect --manifest base").succeeds().json();
    let layer = manifest["layers"][0]["digest"].as_str().expect("a digest").to_owned();
    let kept = registry.blob(&layer);
    let bytes = fs::read(&kept).expect("kept");
    let half = bytes.len() / 2;
    assert!(half > 100_000, "{half}");
    let partial = format!("home/.local/share/bryo/partial/{}", layer.replace(':', "-"));
    // Nothing is here but, perhaps, the beginning of the layer.
    let begin = |beginning: Option<&[u8]>| {
        place.bryo("reset --force").succeeds();
        place.folder("home/.local/share/bryo/partial");
        if let Some(bytes) = beginning {
            place.file(&partial, bytes);
        }
    };
    let pull = || place.bryo(&format!("pull -q --retry 1 {name}"));
    let only_rest = [&vec![0; half], &bytes[half..]].concat();

    // The registry's own beginning is nothing any more: only the rest may be asked for.
    begin(Some(&bytes[..half]));
    fs::write(&kept, &only_rest).expect("spoilt");
    pull().succeeds();
    assert_eq!(place.bryo(&format!("run -q {name} echo x")).succeeds().text(), "x");
    assert!(!place.path(&partial).exists());

    // What is not the beginning is not gone on with.
    begin(Some(&vec![7; half]));
    pull().fails(5);
    fs::write(&kept, &bytes).expect("mended");
    begin(Some(&vec![7; half]));
    pull().succeeds();
    assert!(!place.path(&partial).exists());

    // What did not verify is of no use; what was cut is.
    begin(None);
    fs::write(&kept, [&bytes[..half], &vec![0; bytes.len() - half]].concat()).expect("spoilt");
    pull().fails(5);
    assert!(!place.path(&partial).exists());
    fs::write(&kept, &bytes[..half]).expect("cut");
    pull().fails(6);
    assert!(place.path(&partial).exists());
    fs::write(&kept, &only_rest).expect("spoilt");
    pull().succeeds();
}
