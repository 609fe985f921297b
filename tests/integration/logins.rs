//! Who somebody is, in all the ways in which that is said: login, logout, and --creds.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::support::{Place, Registry, busybox, has};

/// A registry that wants `ann` with `secret`, and has an image as `team/app:1`.
fn scene(place: &Place) -> Option<Registry> {
    let ready = has("docker-registry", "docker-registry") && has("htpasswd", "apache2-utils");
    if !ready || !busybox(place) {
        return None;
    }
    let registry = Registry::with_password(place);
    let name = registry.name("team/app:1");
    place.bryo(&format!("push -q base {name}")).env("BRYO_CREDS", "ann:secret").succeeds();
    Some(registry)
}

#[test]
fn a_password_need_not_be_seen() {
    let place = Place::new();
    let Some(registry) = scene(&place) else { return };
    let (host, app) = (registry.host(), registry.name("team/app"));
    let tags = |options: &str| place.bryo(&format!("tags {options} {app}"));
    let said = tags("--creds ann --password-stdin").input("secret\n").succeeds();
    assert_eq!((said.text().as_str(), said.errors()), ("1", ""));
    tags("--password-stdin").env("BRYO_CREDS", "ann").input("secret").succeeds();
    tags("--creds ann --password-stdin").input("wrong").fails(4);
    tags("--creds ann --password-stdin").input("\n").fails(2).mentions("no password on stdin");
    tags("--password-stdin").input("secret").fails(2).mentions("--creds USER");
    let said = tags("--creds ann:s3cret --password-stdin").input("secret").fails(2);
    assert!(!said.errors().contains("s3cret"), "{said}");
    // One that is seen works, and is told of once.
    let said = tags("--creds ann:secret").succeeds().mentions("--creds ann --password-stdin");
    assert_eq!(said.errors().matches("can be read by everybody").count(), 1, "{said}");
    assert_eq!(tags("").env("BRYO_CREDS", "ann:secret").succeeds().errors(), "");

    let copy = |options: &str| {
        place.bryo(&format!("copy -q {options} {app}:1 {}", registry.name("other:1")))
    };
    let said = copy("--src-creds ann:secret --dest-creds ann --password-stdin").input("secret");
    said.succeeds().mentions("--src-creds ann --password-stdin");
    copy("--src-creds ann --dest-creds ann --password-stdin").input("secret").fails(2);
    copy("--password-stdin").input("secret").fails(2).mentions("--dest-creds USER");

    let said = place.bryo(&format!("login -u ann -p secret {host}")).succeeds();
    said.mentions("--password-stdin").mentions("logged in");
    place.bryo(&format!("login -u ann -p secret --password-stdin {host}")).fails(2);
    tags("").succeeds();
}

#[test]
fn an_account_may_be_of_a_part_of_a_registry() {
    let place = Place::new();
    let Some(registry) = scene(&place) else { return };
    let (host, app) = (registry.host(), registry.name("team/app"));
    let team = format!("{host}/team");
    let login = |whose: &str| {
        place.bryo(&format!("login -u ann --password-stdin {whose}")).input("secret").succeeds()
    };
    let tags = |name: &str| place.bryo(&format!("tags {name}"));
    login(&format!("http://{team}/")).mentions(&format!("logged in to {team};"));
    tags(&app).succeeds();
    tags(&registry.name("other")).fails(4);
    let said = place.bryo(&format!("tags --verbose {app}")).succeeds();
    let file = place.path("home/.docker/config.json");
    let told = format!("credentials of ann from {}, kept there for {team}", file.display());
    said.mentions(&told);

    // The longest path counts, though all of the registry is known too.
    let text = fs::read_to_string(&file).expect("written");
    let mut kept: Value = serde_json::from_str(&text).expect("JSON");
    kept["auths"][&host] = json!({"auth": "YW5uOm9sZA=="}); // ann:old
    place.file("home/.docker/config.json", kept.to_string());
    tags(&app).succeeds();
    tags(&registry.name("other")).fails(4).mentions(&format!("bryo login {host}"));
    let told = place.bryo("login --list --json").succeeds().json();
    let hosts: Vec<&str> =
        told.as_array().into_iter().flatten().filter_map(|row| row["registry"].as_str()).collect();
    assert_eq!(hosts, [host.as_str(), &team]);

    let said = place.bryo(&format!("logout {host}")).succeeds();
    said.mentions("removed").mentions(&format!("still are credentials for {team}"));
    tags(&app).succeeds();
    place.bryo(&format!("logout {team}")).succeeds().mentions("removed");
    tags(&app).fails(4);
    place.bryo(&format!("logout {team}")).succeeds().mentions("no credentials");
    for wrong in [format!("{host}/Team"), format!("{host}/team:1"), format!("ann:secret@{host}")] {
        let said = place.bryo(&format!("login {wrong}")).fails(2);
        assert!(!said.errors().contains("secret@"), "{said}");
    }
}

#[test]
fn a_helper_keeps_what_it_is_given() {
    let place = Place::new();
    let Some(registry) = scene(&place) else { return };
    let (host, app) = (registry.host(), registry.name("team/app"));
    let kept = place.folder("kept");
    // One secret for each server, in a file of its name.
    let script = format!(
        r#"#!/bin/sh
cd {} || exit 1
case $1 in
store) cat > new; mv new "$(sed 's/.*"ServerURL":"\([^"]*\)".*/\1/; s,/,%,g' new)" ;;
get) cat "$(sed 's,/,%,g')" 2>/dev/null || {{ echo "credentials not found in native keychain"; exit 1; }} ;;
erase) rm "$(sed 's,/,%,g')" ;;
list) echo "{{}}" ;;
esac
"#,
        kept.display()
    );
    let helper = place.file("bin/docker-credential-moss", script);
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).expect("executable");
    let path = format!("{}:/usr/bin:/bin", place.path("bin").display());
    place.folder("home/.docker");
    place.file("home/.docker/config.json", r#"{"credsStore":"moss"}"#);
    let bryo = |line: &str| place.bryo(line).env("PATH", &path);
    for whose in [host.clone(), format!("{host}/team")] {
        let login = bryo(&format!("login -u ann --password-stdin {whose}"));
        login.input("secret").succeeds().mentions("docker-credential-moss");
        let text = fs::read_to_string(place.path("home/.docker/config.json")).expect("there");
        assert!(text.contains(&whose) && !text.contains("YW5uOnNlY3JldA"), "{text}");
        let said = bryo(&format!("tags --verbose {app}")).succeeds();
        said.mentions(&format!("from docker-credential-moss, kept there for {whose}"));
        bryo(&format!("logout {whose}")).succeeds().mentions("docker-credential-moss");
        bryo(&format!("tags {app}")).fails(4);
        assert_eq!(fs::read_dir(&kept).expect("there").count(), 0);
    }
    // One that is not there is told of, and passed over.
    place.file("home/.docker/config.json", r#"{"credsStore":"fern"}"#);
    bryo(&format!("tags {app}")).fails(4).mentions("docker-credential-fern");
}
