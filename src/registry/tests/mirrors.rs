//! What is read from elsewhere, and what is not.

use super::docker::Door;
use super::http::{Answer, Server};
use super::*;
use crate::http::Settings;
use crate::registry::Kind;

fn guest(host: &str, routes: &str) -> Guest {
    visitor(host, routes, None)
}

fn visitor(host: &str, text: &str, given: Option<Credential>) -> Guest {
    let mut routes = Routes::default();
    routes.read(text).expect("a file of registries");
    let keyring = Keyring { given, ..Keyring::default() };
    Guest::made_of(host, Settings::default(), Access { routes, keyring, ..Access::default() })
}

/// An address that nobody listens at.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").to_string()
}

fn with_mirrors(host: &str, mirrors: &[&str]) -> String {
    let mirrors = mirrors.iter().map(|at| format!("[[registry.mirror]]\nlocation='{at}'\n"));
    format!("[[registry]]\nlocation='{host}'\n{}", mirrors.collect::<String>())
}

#[test]
fn mirrors_are_asked_in_turn_and_the_registry_last() {
    let (Some(origin), Some(empty)) = (Docker::start(&Door::Open), Docker::start(&Door::Open))
    else {
        return;
    };
    let layer = noise(1, 100_000);
    let image = Guest::new(&origin.address).push("a", "x", &layer).expect("pushed");
    let gone = nobody();
    let guest = guest(&origin.address, &with_mirrors(&origin.address, &[&gone, &empty.address]));
    assert_eq!(guest.registry.manifest("a", "x").expect("found").bytes(), image.bytes());
    assert!(guest.download("a", &layer).expect("found") == layer);
    assert_eq!(guest.registry.tags("a").expect("listed"), ["x"]);
    assert_eq!(guest.registry.head_manifest("a", "y").expect("asked"), None);
    // The one that is not there was called twice, and then no more.
    assert_eq!(guest.retries(), 1);
    // What is sent goes to the registry itself.
    guest.push("b", "y", b"layer").expect("pushed");
    assert_eq!(Guest::new(&origin.address).registry.tags("b").expect("listed"), ["y"]);
    Guest::new(&empty.address).registry.tags("b").expect_err("nothing is there");
}

#[test]
fn a_mirror_does_for_a_registry_that_is_gone() {
    let Some(mirror) = Docker::start(&Door::Open) else { return };
    let layer = noise(2, 100_000);
    Guest::new(&mirror.address).push("copy/a", "x", &layer).expect("pushed");
    let gone = nobody();
    let guest = guest(&gone, &with_mirrors(&gone, &[&format!("{}/copy", mirror.address)]));
    let found = guest.registry.manifest("a", "x").expect("found");
    let digest = found.descriptor().digest.to_string();
    guest.registry.manifest("a", &digest).expect("found");
    assert!(guest.download("a", &layer).expect("found") == layer);
    guest.push("a", "y", b"layer").expect_err("nobody is there to take it");
}

#[test]
fn a_mirror_that_lies_is_passed_over() {
    let Some(origin) = Docker::start(&Door::Open) else { return };
    let image = Guest::new(&origin.address).push("a", "x", b"layer").expect("pushed");
    let liar = Server::start(|_| {
        let other = r#"{"schemaVersion":2,"manifests":[]}"#;
        Ok(Answer::new(200, other).header("Content-Type", media_type::OCI_INDEX))
    });
    let guest = guest(&origin.address, &with_mirrors(&origin.address, &[&liar.address]));
    let digest = image.descriptor().digest.to_string();
    let found = guest.registry.manifest("a", &digest).expect("the right one");
    assert_eq!(found.bytes(), image.bytes());
}

#[test]
fn a_mirror_gets_no_credentials_of_others() {
    let Some(origin) = Docker::start(&Door::Basic) else { return };
    let image = Guest::user(&origin.address, "user", "wonder:land").push("a", "x", b"layer");
    let image = image.expect("pushed");
    let curious = Server::start(|_| {
        Ok(Answer::new(401, "").header("WWW-Authenticate", "Basic realm=\"tell me\""))
    });
    let routes = with_mirrors(&origin.address, &[&curious.address]);
    let given = Some(Credential::new("user", "wonder:land"));
    let guest = visitor(&origin.address, &routes, given.clone());
    assert_eq!(guest.registry.manifest("a", "x").expect("found").bytes(), image.bytes());
    assert!(curious.asked().iter().any(|asked| asked.path.contains("/manifests/")));
    // Nor does what stands in a registry's place.
    let moved =
        format!("[[registry]]\nprefix='{}'\nlocation='{}'\n", origin.address, curious.address);
    let guest = visitor(&origin.address, &moved, given);
    let error = guest.registry.manifest("a", "x").expect_err("it wants credentials");
    assert_eq!(error.kind(), Kind::Denied);
    assert!(curious.asked().iter().all(|asked| asked.header("authorization").is_none()));
}

#[test]
fn a_blocked_registry_is_not_asked() {
    let server = Server::start(|_| Ok(Answer::new(200, "{}")));
    let text = format!("[[registry]]\nprefix='{}/team'\nblocked=true\n", server.address);
    let guest = guest(&server.address, &text);
    for error in [
        guest.registry.manifest("team/a", "x").expect_err("blocked"),
        guest.registry.tags("team/a").expect_err("blocked"),
        guest.upload("team/a", b"layer").expect_err("blocked"),
    ] {
        assert_eq!(error.kind(), Kind::Denied);
        assert!(error.to_string().contains("/team/a is blocked"), "{error}");
    }
    assert!(server.asked().is_empty());
}
