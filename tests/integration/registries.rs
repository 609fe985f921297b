//! pull, push, login and logout against Debian's `docker-registry`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::support::{Place, Registry, busybox, has};

fn ready() -> bool {
    has("docker-registry", "docker-registry")
}

/// The test's image in the registry, under `name`, and nowhere else.
fn push_and_forget(place: &Place, name: &str, options: &str) -> String {
    let digest = place.bryo(&format!("push -q {options} base {name}")).succeeds().text();
    place.bryo("rm --purge base").succeeds();
    digest
}

#[test]
fn what_was_pushed_is_pulled() {
    let place = Place::new();
    if !ready() || !busybox(&place) {
        return;
    }
    let registry = Registry::start(&place);
    let name = registry.name("team/app:1");
    let digest = push_and_forget(&place, &name, "");
    assert!(digest.starts_with("sha256:") && digest.len() == 71, "{digest}");

    let said = place.bryo(&format!("pull --progress plain {name}")).succeeds();
    assert_eq!(said.text(), digest);
    assert_eq!(place.bryo(&format!("run {name} echo x")).succeeds().text(), "x");
    // A second pull fetches nothing.
    let blobs = || {
        let files = place.run("find").arg(place.storage().join("blobs")).args([
            "-type",
            "f",
            "-printf",
            "%p %T@\\n",
        ]);
        files.succeeds().text()
    };
    let before = blobs();
    assert_eq!(place.bryo(&format!("pull -q {name}")).succeeds().text(), digest);
    assert_eq!(blobs(), before);

    // By digest, and as a base that is fetched when it is needed.
    let pinned = registry.name(&format!("team/app@{digest}"));
    place.bryo(&format!("pull -q {pinned}")).succeeds();
    place.bryo(&format!("rm --purge {name} {pinned}")).succeeds();
    let context = place.context("c", &format!("FROM {name}\nRUN echo y > /y\n"), &[]);
    place.bryo("build -q -t child").arg(context).succeeds();
    assert_eq!(place.bryo("run child cat /y").succeeds().text(), "y");
    place.bryo(&format!("run -q {name} true")).succeeds();

    // What is there already is not sent again.
    let said = place
        .bryo(&format!("push --progress plain child {}", registry.name("team/child")))
        .succeeds();
    assert_eq!(said.errors().matches(": cached").count(), 1, "{said}");
    place.bryo(&format!("pull {}", registry.name("team/none"))).fails(3).mentions("team/none");
}

#[test]
fn a_platform_is_chosen_from_an_index() {
    let place = Place::new();
    if !ready() || !has("skopeo", "skopeo") || !busybox(&place) {
        return;
    }
    let registry = Registry::start(&place);
    // An index of two images that say what they are for.
    let mut manifests = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let dockerfile = format!("FROM base\nRUN echo {architecture} > /made-for\n");
        let context = place.context(architecture, &dockerfile, &[]);
        let name = registry.name(&format!("multi:{architecture}"));
        place.bryo("build -q -t x").arg(context).succeeds();
        let digest = place.bryo(&format!("push -q x {name}")).succeeds().text();
        let size = place.bryo("inspect --manifest x").succeeds().bytes().len();
        manifests.push(json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest, "size": size,
            "platform": {"os": "linux", "architecture": architecture},
        }));
    }
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests, "annotations": {"kept": "yes"},
    });
    let index = place.file("work/index.json", index.to_string());
    let url = format!("http://{}/v2/multi/manifests/latest", registry.host());
    if !has("curl", "curl") {
        return;
    }
    let header = "Content-Type: application/vnd.oci.image.index.v1+json";
    place
        .run("curl")
        .args(["-fsS", "-X", "PUT", "-H", header, "--data-binary"])
        .arg(format!("@{}", index.display()))
        .arg(&url)
        .succeeds();

    let name = registry.name("multi");
    for architecture in ["arm64", "amd64"] {
        place.bryo(&format!("pull -q --platform linux/{architecture} {name}")).succeeds();
        let said = place.bryo(&format!("run {name} cat /made-for"));
        assert_eq!(said.succeeds().text(), architecture);
    }
    place
        .bryo(&format!("pull --platform linux/s390x {name}"))
        .fails(3)
        .mentions("linux/amd64")
        .mentions("linux/arm64");
}

#[test]
fn a_password_is_wanted_kept_and_forgotten() {
    let place = Place::new();
    if !ready() || !has("htpasswd", "apache2-utils") || !busybox(&place) {
        return;
    }
    let registry = Registry::with_password(&place);
    let (host, name) = (registry.host(), registry.name("a"));
    place.bryo(&format!("push base {name}")).fails(4).mentions(&host).mentions("bryo login");
    place.bryo(&format!("push --creds ann:wrong base {name}")).fails(4);
    place.bryo(&format!("login -u ann --password-stdin {host}")).input("wrong\n").fails(4);
    assert!(!place.path("home/.docker/config.json").exists());

    place.bryo(&format!("login -u ann --password-stdin {host}")).input("secret\n").succeeds();
    let kept = place.path("home/.docker/config.json");
    let mode = fs::metadata(&kept).expect("it was written").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    place.bryo(&format!("push -q base {name}")).succeeds();
    // Others read it too.
    if has("skopeo", "skopeo") {
        place
            .run("skopeo")
            .args(["inspect", "--tls-verify=false", "--authfile"])
            .arg(&kept)
            .arg(format!("docker://{name}"))
            .succeeds();
    }
    place.bryo(&format!("logout {host}")).succeeds();
    place.bryo(&format!("pull {name}")).fails(4);
    place.bryo(&format!("pull -q --creds ann:secret {name}")).succeeds();
    // A file of somebody's own.
    let auth = place
        .file("auth.json", json!({"auths": {&host: {"auth": "YW5uOnNlY3JldA=="}}}).to_string());
    place.bryo(&format!("pull -q {name}")).arg("--authfile").arg(&auth).succeeds();
    place.bryo(&format!("pull -q {name}")).env("REGISTRY_AUTH_FILE", &auth).succeeds();
}

#[test]
fn https_is_verified() {
    let place = Place::new();
    if !ready() || !has("openssl", "openssl") || !busybox(&place) {
        return;
    }
    let (registry, authority) = Registry::with_tls(&place);
    let name = registry.name("a");
    let push = |options: &str| place.bryo(&format!("push -q {options} base {name}"));
    push("").fails(6).mentions(&registry.host()).mentions("certificate");
    push(&format!("--cacert {}", authority.display())).succeeds();
    place.bryo(&format!("pull -q {name}")).env("SSL_CERT_FILE", &authority).succeeds();
    push("--insecure").succeeds();
    push(&format!("--insecure={}", registry.host())).succeeds();
    push("--insecure=other.example").fails(6);
}

#[test]
fn a_certificate_may_vouch_for_itself() {
    let place = Place::new();
    if !ready() || !has("openssl", "openssl") || !busybox(&place) {
        return;
    }
    let (registry, certificate) = Registry::self_signed(&place, "IP:127.0.0.1");
    let push = |registry: &Registry| place.bryo(&format!("push -q base {}", registry.name("a")));
    push(&registry).fails(6).mentions("certificate");
    push(&registry).arg("--cacert").arg(&certificate).succeeds();
    let folder = format!("home/.config/containers/certs.d/{}", registry.host());
    let bytes = fs::read(&certificate).expect("made before");
    place.file(format!("{folder}/ca.crt"), &bytes);
    push(&registry).succeeds();
    // Another one of the same name is not that one, and it vouches for no other name.
    let (other, new) = Registry::self_signed(&place, "IP:127.0.0.1");
    push(&other).arg("--cacert").arg(place.file("old.pem", &bytes)).fails(6);
    push(&other).arg("--cacert").arg(&new).succeeds();
    let (elsewhere, certificate) = Registry::self_signed(&place, "DNS:elsewhere.example");
    push(&elsewhere).arg("--cacert").arg(&certificate).fails(6).mentions("certificate");
}
