//! A registry behind somebody who makes trouble.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::docker::Door;
use super::faults::{Fault, Rule, before};
use super::http::{Answer, Server};
use super::*;
use crate::registry::Kind;

const ALWAYS: usize = usize::MAX;

/// A registry with an image in it, and a guest who knows only the troublemaker before it.
struct Scene {
    // Held for its life.
    _docker: Docker,
    trouble: Server,
    guest: Guest,
    layer: Vec<u8>,
}

/// What is in the registry, as `a:x`.
fn scene(rules: Vec<Rule>) -> Option<Scene> {
    let docker = Docker::start(&Door::Open)?;
    let layer = noise(7, 400_000);
    Guest::new(&docker.address).push("a", "x", &layer).expect("pushed");
    let trouble = before(&docker.address, rules);
    let guest = Guest::new(&trouble.address);
    Some(Scene { _docker: docker, trouble, guest, layer })
}

impl Scene {
    /// How many requests of a kind were made.
    fn count(&self, method: &str, path: &str) -> usize {
        let asked = self.trouble.asked();
        asked.iter().filter(|a| a.method == method && a.path.contains(path)).count()
    }
}

#[test]
fn what_passes_is_waited_for() {
    for (status, headers) in [
        (503, &[][..]),
        (500, &[]),
        (502, &[]),
        (504, &[]),
        (408, &[]),
        (429, &[("Retry-After", "0")]),
        (429, &[("Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT")]),
    ] {
        let fault = || Fault::Status(status, headers);
        let rules = vec![
            Rule::new("GET", "/manifests/", 2, fault()),
            Rule::new("GET", "/blobs/", 2, fault()),
            Rule::new("POST", "/uploads/", 2, fault()),
            Rule::new("PUT", "/uploads/", 2, fault()),
            Rule::new("PUT", "/manifests/", 2, fault()),
        ];
        let Some(scene) = scene(rules) else { return };
        scene.guest.registry.manifest("a", "x").expect("a manifest");
        assert!(scene.guest.download("a", &scene.layer).expect("a blob") == scene.layer);
        scene.guest.push("b", "y", b"another layer").expect("pushed");
        assert_eq!(scene.guest.retries(), 10, "{status}");
    }
}

#[test]
fn patience_ends() {
    let rules = vec![
        Rule::new("GET", "/manifests/", ALWAYS, Fault::Status(503, &[])),
        Rule::new("GET", "/blobs/", ALWAYS, Fault::Silence),
        Rule::new("PUT", "/uploads/", ALWAYS, Fault::Silence),
    ];
    let Some(scene) = scene(rules) else { return };
    let error = scene.guest.registry.manifest("a", "x").expect_err("always busy");
    assert!(matches!(error, Error::Busy { status: 503, tries: 5, .. }), "{error:?}");
    let error =
        scene.guest.registry.blob("a", &Descriptor::of("", &scene.layer)).expect_err("mute");
    assert!(matches!(error, Error::Exchange { tries: 5, .. }), "{error:?}");
    assert_eq!(error.kind(), Kind::Network);
    assert!(error.to_string().contains(&scene.trouble.address), "{error}");
    let error = scene.guest.upload("b", b"layer").expect_err("mute");
    assert!(matches!(error, Error::Exchange { tries: 5, .. }), "{error:?}");
    assert_eq!(scene.count("PUT", "/uploads/"), 5);
}

#[test]
fn a_cut_blob_goes_on_where_it_stopped() {
    let rules = vec![Rule::new("GET", "/blobs/", 2, Fault::Cut(100_000))];
    let Some(scene) = scene(rules) else { return };
    assert!(scene.guest.download("a", &scene.layer).expect("whole") == scene.layer);
    let asked = scene.trouble.asked();
    let ranges: Vec<_> = asked.iter().filter_map(|asked| asked.header("range")).collect();
    assert_eq!(ranges, ["bytes=100000-", "bytes=200000-"]);
}

#[test]
fn a_blob_that_is_cut_each_time_still_arrives() {
    let rules = vec![Rule::new("GET", "/blobs/", ALWAYS, Fault::Cut(70_000))];
    let Some(scene) = scene(rules) else { return };
    assert!(scene.guest.download("a", &scene.layer).expect("whole") == scene.layer);
    assert_eq!(scene.count("GET", "/blobs/"), 6, "400,000 bytes in pieces of 70,000");
}

#[test]
fn a_blob_that_never_gets_further_does_not() {
    let rules = vec![
        Rule::new("GET", "/blobs/", 1, Fault::Cut(100_000)),
        Rule::new("GET", "/blobs/", ALWAYS, Fault::Cut(0)),
    ];
    let Some(scene) = scene(rules) else { return };
    let error = scene.guest.download("a", &scene.layer).expect_err("cut for ever");
    let error = inner(&error);
    assert!(matches!(error, Error::Cut { tries: 5, .. }), "{error:?}");
    assert_eq!(error.kind(), Kind::Network);
}

#[test]
fn a_registry_without_ranges_is_asked_for_all() {
    let rules = vec![
        Rule::new("GET", "/blobs/", 1, Fault::Cut(100_000)),
        Rule::new("GET", "/blobs/", 1, Fault::NoRange),
    ];
    let Some(scene) = scene(rules) else { return };
    assert!(scene.guest.download("a", &scene.layer).expect("whole") == scene.layer);
    let rules = vec![
        Rule::new("GET", "/blobs/", 1, Fault::Cut(100_000)),
        Rule::new("GET", "/blobs/", 1, Fault::Status(416, &[])),
    ];
    let Some(scene) = self::scene(rules) else { return };
    assert!(scene.guest.download("a", &scene.layer).expect("whole") == scene.layer);
}

#[test]
fn the_rest_of_something_else_is_seen() {
    let rules = vec![
        Rule::new("GET", "/blobs/", 1, Fault::Cut(100_000)),
        Rule::new("GET", "/blobs/", 1, Fault::Corrupt),
    ];
    let Some(scene) = scene(rules) else { return };
    let error = scene.guest.download("a", &scene.layer).expect_err("not the rest of it");
    assert_eq!(inner(&error).kind(), Kind::Invalid);
    assert_eq!(scene.count("GET", "/blobs/"), 2);
}

#[test]
fn a_wrong_bit_is_seen() {
    let rules = vec![
        Rule::new("GET", "/blobs/", ALWAYS, Fault::Corrupt),
        Rule::new("GET", "/manifests/", ALWAYS, Fault::Corrupt),
    ];
    let Some(scene) = scene(rules) else { return };
    let error = scene.guest.download("a", &scene.layer).expect_err("corrupt");
    assert_eq!(inner(&error).kind(), Kind::Invalid);
    let what = format!("{}/a@{}", scene.trouble.address, Digest::of(&scene.layer));
    assert!(inner(&error).to_string().contains(&what), "{error}");
    let error = scene.guest.registry.manifest("a", "x").expect_err("corrupt");
    assert!(matches!(error, Error::Mismatch { .. }), "{error:?}");
}

#[test]
fn headers_that_are_missing_or_lie() {
    let digest = Digest::of(b"another").to_string();
    for (fault, fine) in [
        (Fault::Without("Docker-Content-Digest"), true),
        (Fault::With("Docker-Content-Digest", "nonsense".into()), true),
        (Fault::With("Docker-Content-Digest", digest), false),
        (Fault::Without("Content-Type"), true),
        (Fault::With("Content-Type", "application/json; charset=utf-8".into()), true),
        (Fault::With("Content-Type", "text/plain".into()), true),
    ] {
        let rules = vec![Rule::new("*", "/manifests/", ALWAYS, fault)];
        let Some(scene) = scene(rules) else { return };
        let found = scene.guest.registry.manifest("a", "x");
        assert_eq!(found.is_ok(), fine, "{found:?}");
        if let Ok(content) = found {
            let head = scene.guest.registry.head_manifest("a", "x").expect("a head");
            assert_eq!(head.as_ref(), Some(content.descriptor()));
        }
    }
}

#[test]
fn who_does_not_know_head_is_asked_with_get() {
    for status in [403, 404, 405] {
        let rules = vec![Rule::new("HEAD", "", ALWAYS, Fault::Status(status, &[]))];
        let Some(scene) = scene(rules) else { return };
        let head = scene.guest.registry.head_manifest("a", "x").expect("a head");
        let content = scene.guest.registry.manifest("a", "x").expect("a manifest");
        assert_eq!(head.as_ref(), Some(content.descriptor()), "{status}");
        assert_eq!(scene.guest.upload("a", &scene.layer).expect("sent"), Uploaded::Sent);
    }
}

#[test]
fn a_manifest_without_end_is_not_read() {
    let server = Server::start(|_| Ok(Answer::new(200, &"x".repeat(9 * 1024 * 1024))));
    let error = Guest::new(&server.address).registry.manifest("a", "x").expect_err("too long");
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.to_string().contains("longer than 8388608 bytes"), "{error}");
}

#[test]
fn a_location_may_be_relative() {
    let rules = vec![Rule::new("POST", "/uploads/", ALWAYS, Fault::RelativeLocation)];
    let Some(scene) = scene(rules) else { return };
    assert_eq!(scene.guest.upload("b", b"layer").expect("sent"), Uploaded::Sent);
    assert_eq!(scene.guest.retries(), 0);
}

#[test]
fn an_upload_begins_anew() {
    for fault in [Fault::Silence, Fault::Status(503, &[]), Fault::Status(500, &[])] {
        let rules = vec![Rule::new("PUT", "/uploads/", 2, fault)];
        let Some(scene) = scene(rules) else { return };
        assert_eq!(scene.guest.upload("b", &noise(8, 300_000)).expect("sent"), Uploaded::Sent);
        assert_eq!(scene.count("POST", "/uploads/"), 3, "an upload is never used again");
        let locations: std::collections::HashSet<_> = scene
            .trouble
            .asked()
            .into_iter()
            .filter(|a| a.method == "PUT")
            .map(|a| a.path)
            .collect();
        assert_eq!(locations.len(), 3);
    }
}

#[test]
fn an_answer_that_was_lost_is_asked_for() {
    let rules = vec![Rule::new("PUT", "/uploads/", 1, Fault::Swallow)];
    let Some(scene) = scene(rules) else { return };
    assert_eq!(scene.guest.upload("b", b"layer").expect("sent"), Uploaded::Sent);
    assert_eq!(scene.count("PUT", "/uploads/"), 1, "it had arrived the first time");
}

#[test]
fn what_is_too_large_goes_in_pieces() {
    let rules = vec![Rule::new("*", "/uploads/", ALWAYS, Fault::TooLarge(1024 * 1024))];
    let Some(scene) = scene(rules) else { return };
    let layer = noise(9, 2_500_000);
    assert_eq!(scene.guest.upload("b", &layer).expect("sent"), Uploaded::Sent);
    assert_eq!(scene.count("PATCH", "/uploads/"), 3);
    assert!(scene.guest.download("b", &layer).expect("downloaded") == layer);
}

#[test]
fn a_redirect_gets_no_credentials() {
    let Some(docker) = Docker::start(&Door::Basic) else { return };
    let layer = noise(10, 300_000);
    Guest::user(&docker.address, "user", "wonder:land").push("a", "x", &layer).expect("pushed");
    let (stored, visits) = (layer.clone(), Arc::new(AtomicUsize::new(0)));
    let count = visits.clone();
    let elsewhere = Server::start(move |asked| {
        count.fetch_add(1, Ordering::Relaxed);
        if asked.header("authorization").is_some() {
            return Ok(Answer::new(400, "only one auth mechanism allowed"));
        }
        let range = asked.header("range").and_then(|range| range.strip_prefix("bytes="));
        let first = range.and_then(|range| range.strip_suffix('-')?.parse().ok());
        let body = stored[first.unwrap_or(0)..].to_vec();
        Ok(match first {
            None => Answer { status: 200, cut: Some(100_000), body, ..Answer::default() },
            Some(first) => {
                let range = format!("bytes {first}-{}/{}", stored.len() - 1, stored.len());
                let answer = Answer { status: 206, body, ..Answer::default() };
                answer.header("Content-Range", range)
            }
        })
    });
    for (number, status) in (1..).zip([301, 302, 303, 307, 308]) {
        let to = elsewhere.address.clone();
        let rules = vec![Rule::new("GET", "/blobs/", ALWAYS, Fault::Redirect(status, to))];
        let trouble = before(&docker.address, rules);
        let guest = Guest::user(&trouble.address, "user", "wonder:land");
        // The first request is not yet authenticated.
        guest.registry.check().expect("let in");
        assert!(guest.download("a", &layer).expect("downloaded") == layer, "{status}");
        assert_eq!(visits.load(Ordering::Relaxed), 2 * number);
        let told = |a: &&super::http::Asked| a.path.contains("/blobs/");
        assert!(trouble.asked().iter().filter(told).all(|a| a.header("authorization").is_some()));
    }
}

#[test]
fn redirects_end() {
    let server = Server::start(|asked| {
        Ok(Answer::new(302, "").header("Location", format!("{}x", asked.path)))
    });
    let error = Guest::new(&server.address).registry.manifest("a", "x").expect_err("for ever");
    assert!(chain(&error).contains("redirects more than 10 times"), "{}", chain(&error));
}

#[test]
fn tags_come_in_pages() {
    for absolute in [false, true] {
        let server = Server::start(move |asked| {
            let (body, next) = match asked.path.split_once("last=") {
                None => (r#"{"tags":["c","a"]}"#, Some("a%2F1")),
                Some((_, "a%2F1&n=2")) => (r#"{"tags":["b"]}"#, Some("z")),
                // Round in a circle.
                Some((_, "z&n=2")) => (r#"{"tags":null}"#, Some("z")),
                other => panic!("{other:?}"),
            };
            let host = asked.header("host").expect("a host");
            let origin = if absolute { format!("http://{host}") } else { String::new() };
            let answer = Answer::new(200, body);
            Ok(match next.filter(|_| asked.path.contains("/tags/")) {
                Some(last) => answer.header(
                    "Link",
                    format!("<{origin}/v2/a/tags/list?last={last}&n=2>; rel=\"next\""),
                ),
                None => answer,
            })
        });
        let tags = Guest::new(&server.address).registry.tags("a").expect("listed");
        assert_eq!(tags, ["a", "b", "c"]);
    }
}

#[test]
fn a_proxy_stands_between_us_and_all_but_loopback() {
    use crate::http::{Proxies, Settings};
    // Answers for everybody, but opens no tunnel: https has to fail, http goes through.
    let proxy = Server::start(|asked| {
        Ok(match asked.method.as_str() {
            "CONNECT" => Answer::new(502, ""),
            _ => Answer::new(200, r#"{"tags":["x"]}"#),
        })
    });
    let url = Some(format!("ann:secret@{}", proxy.address));
    let proxies =
        |none| Proxies { http: url.clone(), https: url.clone(), none, even_loopback: false };
    let guest = |host: &str, none| {
        let settings = Settings { proxies: proxies(none), ..Settings::default() };
        let insecure = vec!["registry.invalid".to_owned()];
        Guest::made_of(host, settings, Access { insecure, ..Access::default() })
    };
    let tags = guest("registry.invalid", None).registry.tags("a").expect("by proxy");
    assert_eq!(tags, ["x"]);
    let asked = proxy.asked();
    let paths: Vec<_> = asked.iter().map(|asked| asked.path.as_str()).collect();
    let expected = [
        "registry.invalid:443",
        "http://registry.invalid/v2/",
        "http://registry.invalid/v2/a/tags/list?n=1000",
    ];
    assert_eq!(paths, expected);
    for asked in &asked {
        let login = asked.header("proxy-authorization");
        assert_eq!(login, Some("Basic YW5uOnNlY3JldA=="), "{}", asked.path);
    }
    let excepted = guest("registry.invalid", Some(".invalid".to_owned()));
    excepted.registry.tags("a").expect_err("there is no such host");
    let honest = Server::start(|_| Ok(Answer::new(200, r#"{"tags":["y"]}"#)));
    let tags = guest(&honest.address, None).registry.tags("a").expect("directly");
    assert_eq!((tags, proxy.asked().len()), (vec!["y".to_owned()], 3));
}

#[test]
fn a_proxy_that_is_dead_or_refuses_is_named() {
    use crate::http::{Proxies, Settings};
    let refuses = Server::start(|_| Ok(Answer::new(403, "")));
    // Nobody listens at the first port, ever.
    for (proxy, expected) in [
        ("127.0.0.1:1", "connecting to the proxy 127.0.0.1:1, through which registry.invalid"),
        (&refuses.address, "connecting to registry.invalid through the proxy 127.0.0.1:"),
    ] {
        let url = Some(format!("http://ann:s3cret@{proxy}"));
        let proxies = Proxies { https: url.clone(), http: url, ..Proxies::default() };
        let settings = Settings { proxies, ..Settings::default() };
        let guest = Guest::made_of("registry.invalid", settings, Access::default());
        let error = guest.registry.tags("a").expect_err("no way");
        let text = chain(&error).replace("http://", "");
        assert!(text.contains(expected) && !text.contains("s3cret"), "{text}");
        assert!(error.hint().is_some_and(|hint| hint.contains("NO_PROXY=registry.invalid")));
        assert_eq!((error.kind(), guest.retries()), (Kind::Network, 2));
    }
}
