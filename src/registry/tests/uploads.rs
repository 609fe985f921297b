//! Uploads to registries with ways of their own.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::docker::Door;
use super::faults::{Fault, Rule, before};
use super::http::{Answer, Asked, Server};
use super::*;

const ALWAYS: usize = usize::MAX;

fn count(server: &Server, method: &str, path: &str) -> usize {
    let asked = server.asked();
    asked.iter().filter(|asked| asked.method == method && asked.path.contains(path)).count()
}

#[test]
fn a_registry_that_knows_pieces_alone_gets_them() {
    let Some(docker) = Docker::start(&Door::Open) else { return };
    let layer = noise(1, 5_000_000);
    for (number, status) in [400, 405, 411, 501].into_iter().enumerate() {
        let least = Fault::With("OCI-Chunk-Min-Length", "2000000".to_owned());
        let trouble = before(
            &docker.address,
            vec![
                Rule::new("PUT", "/uploads/", ALWAYS, Fault::NoBody(status)),
                Rule::new("POST", "/uploads/", ALWAYS, least),
            ],
        );
        let guest = Guest::new(&trouble.address);
        let repository = format!("r{number}");
        assert_eq!(guest.upload(&repository, &layer).expect("sent"), Uploaded::Sent, "{status}");
        assert_eq!(count(&trouble, "PATCH", "/uploads/"), 3, "in pieces of 2,000,000 bytes");
        assert!(guest.download(&repository, &layer).expect("there") == layer);
    }
}

/// A registry of one upload. It reads `cuts` bytes of the first bodies and hangs up.
fn forgetful(cuts: &'static [usize], knows: bool) -> (Server, Arc<Mutex<Vec<u8>>>) {
    let stored = Arc::new(Mutex::new(Vec::new()));
    let (kept, bodies) = (Arc::clone(&stored), AtomicUsize::new(0));
    let server = Server::start(move |asked: &Asked| {
        let mut kept = kept.lock().expect("no handler panics");
        let going_on = |status, size: usize| {
            let range = format!("0-{}", size.saturating_sub(1));
            Answer::new(status, "")
                .header("Location", "/v2/a/blobs/uploads/1")
                .header("Range", range)
        };
        Ok(match (asked.method.as_str(), asked.path.contains("/uploads/")) {
            ("HEAD", _) => Answer::new(404, ""),
            ("POST", true) => {
                kept.clear();
                going_on(202, 0)
            }
            ("GET", true) if knows => going_on(204, kept.len()),
            ("PUT" | "PATCH", true) => {
                let number = bodies.fetch_add(1, Ordering::Relaxed);
                if let Some(cut) = cuts.get(number) {
                    kept.extend_from_slice(&asked.body[..*cut]);
                    return Ok(Answer { silent: true, ..Answer::default() });
                }
                if let Some(range) = asked.header("content-range") {
                    assert_eq!(range.split('-').next(), Some(&*kept.len().to_string()));
                }
                kept.extend_from_slice(&asked.body);
                match asked.method == "PUT" {
                    true => Answer::new(201, ""),
                    false => going_on(202, kept.len()),
                }
            }
            _ => Answer::new(404, "{}"),
        })
    });
    (server, stored)
}

#[test]
fn an_upload_that_was_cut_goes_on_where_it_was() {
    let layer = noise(2, 5_000_000);
    let (server, stored) = forgetful(&[3_000_000, 500_000, 100], true);
    let guest = Guest::new(&server.address);
    assert_eq!(guest.upload("a", &layer).expect("sent"), Uploaded::Sent);
    assert!(*stored.lock().expect("ended") == layer);
    assert_eq!((count(&server, "POST", ""), count(&server, "GET", "/uploads/")), (1, 3));
    let sent: usize = server
        .asked()
        .iter()
        .filter(|asked| asked.method == "PATCH" && asked.header("content-range").is_some())
        .map(|asked| asked.body.len())
        .sum();
    assert!(sent < 5_000_000, "{sent} bytes were sent again");
}

#[test]
fn a_registry_that_does_not_tell_gets_all_again() {
    let layer = noise(3, 2_000_000);
    let (server, stored) = forgetful(&[1_500_000], false);
    let guest = Guest::new(&server.address);
    assert_eq!(guest.upload("a", &layer).expect("sent"), Uploaded::Sent);
    assert!(*stored.lock().expect("ended") == layer);
    assert_eq!(count(&server, "POST", ""), 2);
}

#[test]
fn a_blob_that_many_want_is_sent_once() {
    let Some(docker) = Docker::start(&Door::Open) else { return };
    let trouble = before(&docker.address, Vec::new());
    let guest = Guest::new(&trouble.address);
    let layer = noise(4, 500_000);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| guest.upload("a", &layer).expect("sent"));
        }
    });
    assert_eq!(count(&trouble, "PUT", "/uploads/"), 1);
    assert_eq!(count(&trouble, "HEAD", "/blobs/"), 1);
}

#[test]
fn a_registry_may_need_a_moment_to_know_a_blob() {
    let Some(docker) = Docker::start(&Door::Open) else { return };
    for says in [
        Fault::Says(400, r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}"#),
        Fault::Says(404, r#"{"errors":[{"code":"UNKNOWN","message":"unknown blob"}]}"#),
    ] {
        let trouble = before(&docker.address, vec![Rule::new("PUT", "/manifests/", 2, says)]);
        let guest = Guest::new(&trouble.address);
        guest.push("a", "x", b"layer").expect("pushed at last");
        assert_eq!((count(&trouble, "PUT", "/manifests/"), guest.retries()), (3, 2));
    }
}

#[test]
fn a_mount_that_is_refused_is_an_upload() {
    let Some(docker) = Docker::start(&Door::Open) else { return };
    let layer = noise(5, 300_000);
    let guest = Guest::new(&docker.address);
    guest.upload("from", &layer).expect("sent");
    // The registry itself says 202 to what it cannot mount.
    assert_eq!(guest.upload_from("r", &layer, Some("nowhere")).expect("sent"), Uploaded::Sent);
    for status in [400, 401, 403, 404, 405] {
        let refuse = Fault::Status(status, &[]);
        let trouble = before(&docker.address, vec![Rule::new("POST", "mount=", ALWAYS, refuse)]);
        let guest = Guest::new(&trouble.address);
        let repository = format!("r{status}");
        let how = guest.upload_from(&repository, &layer, Some("from")).expect("sent all the same");
        assert_eq!((how, guest.retries()), (Uploaded::Sent, 0), "{status}");
        assert!(guest.download(&repository, &layer).expect("there") == layer);
    }
}

#[test]
fn pieces_are_sent_whatever_is_answered_to_one() {
    let Some(docker) = Docker::start(&Door::Open) else { return };
    let layer = noise(6, 3_500_000);
    let fine = || Rule::new("PATCH", "", 1, Fault::With("X-Nothing", String::new()));
    for (number, (rules, begun)) in [
        // As Amazon's registry answers.
        (vec![Rule::new("PATCH", "", ALWAYS, Fault::Answers(201))], 1),
        // It has another opinion of what it has: then it is asked.
        (vec![fine(), Rule::new("PATCH", "", 1, Fault::Status(416, &[]))], 1),
        // It took the piece, and we do not know: docker's does not tell by an old location.
        (vec![fine(), Rule::new("PATCH", "", 1, Fault::Swallow)], 2),
        (vec![fine(), Rule::new("PATCH", "", 1, Fault::Status(503, &[]))], 1),
        // It forgot the upload.
        (
            vec![
                fine(),
                Rule::new(
                    "PATCH",
                    "",
                    1,
                    Fault::Says(404, r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#),
                ),
                Rule::new("GET", "/uploads/", 1, Fault::Status(404, &[])),
            ],
            2,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let whole = Rule::new("PUT", "/uploads/", ALWAYS, Fault::NoBody(405));
        let trouble = before(&docker.address, [vec![whole], rules].into_iter().flatten().collect());
        let guest = Guest::new(&trouble.address);
        let repository = format!("r{number}");
        assert_eq!(guest.upload(&repository, &layer).expect("sent"), Uploaded::Sent, "{number}");
        assert!(guest.download(&repository, &layer).expect("there") == layer);
        // One more for the attempt to send all at once.
        assert_eq!(count(&trouble, "POST", "/uploads/"), begun + 1, "{number}");
    }
}
