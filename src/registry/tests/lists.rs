//! Repositories, referrers, and what is deleted.

use std::fs;
use std::sync::Mutex;

use serde_json::json;

use super::docker::Door;
use super::faults::{Fault, Rule, before};
use super::http::{Answer, Server};
use super::*;
use crate::registry::Kind;

const ALWAYS: usize = usize::MAX;

/// An artifact about `subject`.
fn artifact(guest: &Guest, repository: &str, subject: &Content, kind: &str) -> Content {
    guest.upload(repository, b"{}").expect("an empty configuration");
    let json = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "artifactType": kind,
        "config": Descriptor::of("application/vnd.oci.empty.v1+json", b"{}"),
        "layers": [Descriptor::of("application/vnd.oci.empty.v1+json", b"{}")],
        "subject": subject.descriptor(),
        "annotations": {"kind": kind},
    });
    Content::parse(json.to_string().into_bytes(), None).expect("an artifact")
}

fn put(guest: &Guest, repository: &str, content: &Content) {
    let digest = content.descriptor().digest.to_string();
    guest.registry.put_manifest(repository, &digest, content).expect("sent");
}

#[test]
fn repositories_come_in_pages() {
    let Some(docker) = Docker::start(&Door::Open) else { return };
    let guest = Guest::new(&docker.address);
    guest.push("team/app", "x", b"layer").expect("pushed");
    // As many as it takes for a second page, which is asked for with a name with a slash.
    let folder = docker.folder.path().join("data/docker/registry/v2/repositories");
    for number in 0..1200 {
        fs::create_dir_all(folder.join(format!("many/a-{number:04}/_layers"))).expect("made");
    }
    let found = guest.registry.repositories().expect("listed");
    assert_eq!(found.len(), 1201);
    assert_eq!((&*found[0], &*found[1200]), ("many/a-0000", "team/app"));
}

#[test]
fn a_list_without_end_is_left() {
    let server = Server::start(|asked| {
        if !asked.path.starts_with("/v2/_catalog") {
            return Ok(Answer::new(200, "{}"));
        }
        let last = asked.path.rsplit('=').next().and_then(|last| last.parse().ok()).unwrap_or(0);
        Ok(match asked.path.contains("n=1000&") || !asked.path.contains("n=1000") {
            // A smaller page, then: three of them, and the third leads to the first.
            true => {
                let next = format!("<?last={}>; rel=next", if last == 3 { 1 } else { last + 1 });
                Answer::new(200, &format!(r#"{{"repositories":["r{last}"]}}"#)).header("Link", next)
            }
            false => Answer::new(400, r#"{"errors":[{"code":"PAGINATION_NUMBER_INVALID"}]}"#),
        })
    });
    let found = Guest::new(&server.address).registry.repositories().expect("listed");
    assert_eq!(found, ["r0", "r1", "r2", "r3"]);
}

#[test]
fn referrers_are_kept_where_the_registry_does_not() {
    let Some(docker) = Docker::start(&Door::Open) else { return };
    let guest = Guest::new(&docker.address);
    let image = guest.push("a", "x", b"layer").expect("pushed");
    let digest = &image.descriptor().digest;
    let list = |kind: Option<&str>| guest.registry.referrers("a", digest, kind).expect("listed");
    assert_eq!(list(None), []);
    let (one, two) = (artifact(&guest, "a", &image, "t/1"), artifact(&guest, "a", &image, "t/2"));
    for content in [&one, &two, &one] {
        put(&guest, "a", content);
    }
    assert_eq!(list(None), [one.as_referrer(), two.as_referrer()]);
    assert_eq!(list(Some("t/2")), [two.as_referrer()]);
    assert_eq!(list(None)[0].annotations, Some([("kind".into(), "t/1".into())].into()));
    let tag = format!("sha256-{}", digest.hex());
    assert_eq!(guest.registry.tags("a").expect("listed"), [tag.as_str(), "x"]);

    guest.registry.delete_manifest("a", &one.descriptor().digest).expect("deleted");
    assert_eq!(list(None), [two.as_referrer()]);
    // What is about an index is listed as well.
    let index = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "artifactType": "t/3",
        "manifests": [], "subject": image.descriptor(),
    });
    let index = Content::parse(index.to_string().into_bytes(), None).expect("an index");
    put(&guest, "a", &index);
    assert_eq!(list(Some("t/3")), [index.as_referrer()]);
}

#[test]
fn many_at_once_do_not_forget_each_other() {
    let Some(docker) = Docker::start(&Door::Open) else { return };
    let guest = Guest::new(&docker.address);
    let image = guest.push("a", "x", b"layer").expect("pushed");
    let all: Vec<Content> =
        (0..8).map(|number| artifact(&guest, "a", &image, &format!("t/{number}"))).collect();
    std::thread::scope(|scope| {
        for content in &all {
            scope.spawn(|| put(&guest, "a", content));
        }
    });
    let digest = &image.descriptor().digest;
    assert_eq!(guest.registry.referrers("a", digest, None).expect("listed").len(), 8);
}

#[test]
fn clients_that_know_nothing_of_each_other_forget_nothing() {
    let Some(docker) = Docker::start(&Door::Open) else { return };
    let image = Guest::new(&docker.address).push("a", "x", b"layer").expect("pushed");
    let digest = &image.descriptor().digest;
    for round in 1..=4 {
        std::thread::scope(|scope| {
            for number in 0..3 {
                let image = &image;
                let address = &docker.address;
                scope.spawn(move || {
                    // Each has a connection of its own, as each process has.
                    let guest = Guest::in_no_hurry(address);
                    let kind = format!("t/{round}-{number}");
                    put(&guest, "a", &artifact(&guest, "a", image, &kind));
                });
            }
        });
        let list = Guest::new(&docker.address).registry.referrers("a", digest, None);
        assert_eq!(list.expect("listed").len(), 3 * round);
    }
}

#[test]
fn a_list_that_others_change_is_changed_anew() {
    for knows_conditions in [true, false] {
        let subject = Descriptor::of(media_type::OCI_MANIFEST, b"subject");
        let other = Descriptor::of(media_type::OCI_MANIFEST, b"another's");
        let index = |entries: &[Descriptor]| {
            let text = json!({"schemaVersion": 2, "manifests": entries}).to_string();
            text.into_bytes()
        };
        let (mine, theirs) = (index(&[]), index(std::slice::from_ref(&other)));
        let list = Arc::new(Mutex::new((1, mine)));
        let kept = list.clone();
        let server = Server::start(move |asked| {
            let (path, method) = (asked.path.as_str(), asked.method.as_str());
            if path.contains("/referrers/") {
                return Ok(Answer::new(404, ""));
            }
            if !path.contains("/manifests/sha256-") {
                return Ok(Answer::new(201, ""));
            }
            let mut list = kept.lock().expect("no handler panics");
            if method == "GET" {
                let answer = Answer { status: 200, body: list.1.clone(), ..Answer::default() };
                let answer = answer.header("Content-Type", media_type::OCI_INDEX);
                return Ok(answer.header("ETag", format!("\"{}\"", list.0)));
            }
            // Somebody else writes what he read before we did anything.
            let is_first = list.0 == 1;
            let condition = asked.header("if-match").expect("a condition").to_owned();
            if is_first && knows_conditions {
                *list = (2, theirs.clone());
            }
            if knows_conditions && condition != format!("\"{}\"", list.0) {
                return Ok(Answer::new(412, ""));
            }
            let body = if is_first { theirs.clone() } else { asked.body.clone() };
            *list = (list.0 + 1, body);
            Ok(Answer::new(201, ""))
        });
        let guest = Guest::new(&server.address);
        let content = json!({
            "schemaVersion": 2, "config": Descriptor::of("c/d", b"{}"), "subject": subject,
        });
        let content = Content::parse(content.to_string().into_bytes(), None).expect("an artifact");
        put(&guest, "a", &content);
        let found = guest.registry.referrers("a", &subject.digest, None).expect("listed");
        assert_eq!(found, [other, content.as_referrer()], "{knows_conditions}");
    }
}

#[test]
fn a_registry_that_knows_referrers_is_believed() {
    for applies in [false, true] {
        let subject = Descriptor::of(media_type::OCI_MANIFEST, b"subject");
        let of = |kind: &str, bytes: &[u8]| Descriptor {
            artifact_type: Some(kind.to_owned()),
            ..Descriptor::of(media_type::OCI_MANIFEST, bytes)
        };
        let (one, two) = (of("t/1", b"1"), of("t/2", b"2"));
        let (first, second) = (json!([one]), json!([two]));
        let server = Server::start(move |asked| {
            let index = |manifests: &serde_json::Value| {
                let text = json!({"schemaVersion": 2, "manifests": manifests}).to_string();
                Answer::new(200, &text).header("Content-Type", media_type::OCI_INDEX)
            };
            let Some((_, rest)) = asked.path.split_once("/referrers/") else {
                return Ok(match asked.method.as_str() {
                    "PUT" => Answer::new(201, "").header("OCI-Subject", "sha256:x"),
                    _ => Answer::new(404, ""),
                });
            };
            let answer = match rest.contains("page=2") {
                true => index(&second),
                false => index(&first).header("Link", "<?page=2>; rel=\"next\""),
            };
            Ok(match applies && rest.contains("artifactType=t%2F1") {
                true => index(&first).header("OCI-Filters-Applied", "artifactType"),
                false => answer,
            })
        });
        let guest = Guest::new(&server.address);
        let list = |kind| guest.registry.referrers("a", &subject.digest, kind).expect("listed");
        assert_eq!(list(None), [one.clone(), two.clone()]);
        assert_eq!(list(Some("t/1")), [one]);
        assert_eq!(list(Some("t/3")), []);
        // Nobody writes a list where the registry does.
        let before = server.asked().len();
        let content = json!({
            "schemaVersion": 2, "config": Descriptor::of("c/d", b"{}"), "subject": subject,
        });
        let content = Content::parse(content.to_string().into_bytes(), None).expect("an artifact");
        put(&guest, "a", &content);
        assert_eq!(server.asked().len(), before + 1);
    }
}

#[test]
fn a_tag_is_deleted_alone() {
    let Some(docker) = Docker::start(&Door::Open) else { return };
    let guest = Guest::new(&docker.address);
    let image = guest.push("a", "x", b"layer").expect("pushed");
    for tag in ["y", "z"] {
        guest.registry.put_manifest("a", tag, &image).expect("tagged");
    }
    guest.registry.delete_tag("a", "y").expect("deleted");
    assert_eq!(guest.registry.tags("a").expect("listed"), ["x", "z"]);
    assert_eq!(guest.registry.manifest("a", "x").expect("there").bytes(), image.bytes());
    let error = guest.registry.delete_tag("a", "y").expect_err("gone already");
    assert_eq!(error.kind(), Kind::NotFound);
    guest.registry.delete_manifest("a", &image.descriptor().digest).expect("deleted");
    assert_eq!(guest.registry.tags("a").unwrap_or_default(), [""; 0]);
    let error = guest.registry.delete_manifest("a", &image.descriptor().digest);
    assert_eq!(error.expect_err("gone already").kind(), Kind::NotFound);
}

#[test]
fn a_registry_that_takes_and_deletes_nothing_says_so() {
    let Some(docker) = Docker::start(&Door::Open) else { return };
    let image = Guest::new(&docker.address).push("a", "x", b"layer").expect("pushed");
    let refuse = |method| {
        Rule::new(method, "", ALWAYS, Fault::Says(405, r#"{"errors":[{"code":"UNSUPPORTED"}]}"#))
    };
    let trouble = before(&docker.address, vec![refuse("DELETE"), refuse("POST"), refuse("PUT")]);
    let guest = Guest::new(&trouble.address);
    let error = guest.registry.delete_tag("a", "x").expect_err("read-only");
    let told = error.to_string();
    let address = &trouble.address;
    assert!(told.starts_with(&format!("{address}/a:x cannot be deleted: DELETE ")), "{told}");
    assert!(told.contains("status 405 (UNSUPPORTED); nor can"), "{told}");
    assert!(error.hint().is_some_and(|hint| hint.contains("read-only")));
    assert_eq!((error.kind(), guest.retries()), (Kind::Denied, 0));
    let error = guest.registry.delete_manifest("a", &image.descriptor().digest);
    let error = error.expect_err("read-only");
    assert!(error.hint().is_some_and(|hint| hint.contains("read-only")));
    assert_eq!(error.kind(), Kind::Denied);
    guest.registry.manifest("a", "x").expect("still there");
}

#[test]
fn a_tag_stays_where_nothing_may_be_deleted() {
    let Some(docker) = Docker::start(&Door::Open) else { return };
    let image = Guest::new(&docker.address).push("a", "x", b"layer").expect("pushed");
    let refuse = |path, times| Rule::new("DELETE", path, times, Fault::Status(405, &[]));
    let pass = Rule::new("DELETE", "/sha256:", 1, Fault::With("X-Nothing", String::new()));
    for (rules, fine) in [
        // Not even by digest, so that the tag is not touched; or only when it counts.
        (vec![refuse("", ALWAYS)], false),
        (vec![refuse("/manifests/x", 1), pass, refuse("/sha256:", 1)], false),
        (vec![refuse("/manifests/x", 1)], true),
    ] {
        let trouble = before(&docker.address, rules);
        let guest = Guest::new(&trouble.address);
        let outcome = guest.registry.delete_tag("a", "x");
        assert_eq!(outcome.is_ok(), fine, "{outcome:?}");
        let found = guest.registry.manifest("a", "x");
        assert_eq!(found.is_ok_and(|found| found.bytes() == image.bytes()), !fine);
    }
    // A registry that deletes tags is asked once.
    let server = Server::start(|_| Ok(Answer::new(202, "")));
    Guest::new(&server.address).registry.delete_tag("a", "x").expect("deleted");
    let asked: Vec<_> = server.asked().iter().map(|a| a.method.clone()).collect();
    assert_eq!(asked, ["GET", "DELETE"]);
}
