//! An honest registry: everything there and back.

use super::docker::{Certificates, Door};
use super::faults::{Fault, Rule, before};
use super::http::{Answer, Server};
use super::*;
use crate::http::Settings;
use crate::registry::Kind;

#[test]
fn what_is_pushed_is_pulled() {
    let Some(docker) = Docker::start(&Door::Open) else { return };
    let guest = Guest::new(&docker.address);
    guest.registry.check().expect("it is there");
    let layer = noise(1, 3_000_000);
    let pushed = guest.push("team/app", "1.0", &layer).expect("pushed");
    let digest = pushed.descriptor().digest.to_string();
    for target in ["1.0", &digest] {
        let pulled = guest.registry.manifest("team/app", target).expect(target);
        assert_eq!(pulled.bytes(), pushed.bytes());
        let head = guest.registry.head_manifest("team/app", target).expect(target);
        assert_eq!(head.as_ref(), Some(pushed.descriptor()));
    }
    assert!(guest.download("team/app", &layer).expect("downloaded") == layer);
    assert_eq!(guest.retries(), 0);
}

#[test]
fn a_blob_is_sent_once() {
    let Some(docker) = Docker::start(&Door::Open) else { return };
    let guest = Guest::new(&docker.address);
    let layer = noise(2, 1000);
    assert_eq!(guest.upload("a", &layer).expect("new"), Uploaded::Sent);
    assert_eq!(guest.upload("a", &layer).expect("there"), Uploaded::Existed);
    let mounted = guest.upload_from("b", &layer, Some("a")).expect("next door");
    assert_eq!(mounted, Uploaded::Mounted);
    let sent = guest.upload_from("c", &layer, Some("nowhere")).expect("not next door");
    assert_eq!(sent, Uploaded::Sent);
    assert_eq!(guest.upload("d", b"").expect("empty"), Uploaded::Sent);
    for repository in ["a", "b", "c"] {
        assert!(guest.download(repository, &layer).expect(repository) == layer);
    }
    assert_eq!(guest.download("d", b"").expect("empty"), b"");
    let descriptor = Descriptor::of("", &layer);
    assert!(guest.registry.has_blob("a", &descriptor).expect("asked"));
    assert!(!guest.registry.has_blob("e", &descriptor).expect("asked"));
}

#[test]
fn an_index_and_docker_types_pass_unchanged() {
    let Some(docker) = Docker::start(&Door::Open) else { return };
    let guest = Guest::new(&docker.address);
    let image = guest.push("a", "amd64", b"layer").expect("pushed");
    let entry = Descriptor {
        platform: Some("linux/amd64".parse().expect("a platform")),
        ..image.descriptor().clone()
    };
    for (kind, tag) in [(media_type::OCI_INDEX, "oci"), (media_type::DOCKER_INDEX, "docker")] {
        // Spaces, unknown fields and nulls are part of what the digest covers.
        let json = format!(
            r#"{{ "schemaVersion":2, "mediaType":"{kind}", "manifests":[{}], "x":null }}"#,
            serde_json::to_string(&entry).expect("JSON")
        );
        let index = Content::parse(json.into_bytes(), None).expect("an index");
        guest.registry.put_manifest("a", tag, &index).expect(tag);
        let pulled = guest.registry.manifest("a", tag).expect(tag);
        assert!(matches!(&pulled, Content::Index(index) if index.manifests == [entry.clone()]));
        assert_eq!(pulled.bytes(), index.bytes());
        assert_eq!(pulled.descriptor().media_type, kind);
    }
}

#[test]
fn tags_are_listed_in_order() {
    let Some(docker) = Docker::start(&Door::Open) else { return };
    let guest = Guest::new(&docker.address);
    for tag in ["b", "latest", "a", "10", "9"] {
        guest.push("team/app", tag, b"layer").expect(tag);
    }
    let tags = guest.registry.tags("team/app").expect("listed");
    assert_eq!(tags, ["10", "9", "a", "b", "latest"]);
    let error = guest.registry.tags("team/other").expect_err("not there");
    assert_eq!(error.kind(), Kind::NotFound);
}

#[test]
fn what_is_missing_is_named() {
    let Some(docker) = Docker::start(&Door::Open) else { return };
    let guest = Guest::new(&docker.address);
    guest.push("a", "x", b"layer").expect("pushed");
    let error = guest.registry.manifest("a", "y").expect_err("no such tag");
    assert_eq!(error.kind(), Kind::NotFound);
    let text = error.to_string();
    assert!(text.starts_with(&format!("{}/a:y does not exist", docker.address)), "{text}");
    let digest = Digest::of(b"nothing").to_string();
    let error = guest.registry.manifest("a", &digest).expect_err("no such digest");
    assert!(error.to_string().starts_with(&format!("{}/a@{digest} ", docker.address)), "{error}");
    assert_eq!(guest.registry.head_manifest("a", "y").expect("asked"), None);
    let error = guest.registry.blob("a", &Descriptor::of("", b"nothing")).expect_err("no blob");
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().contains(&digest), "{error}");
    assert_eq!(guest.retries(), 0);
}

#[test]
fn a_manifest_before_its_blobs_is_refused() {
    let Some(docker) = Docker::start(&Door::Open) else { return };
    let guest = Guest::new(&docker.address);
    let manifest = manifest(b"{}", b"never sent");
    let error = guest.registry.put_manifest("a", "x", &manifest).expect_err("no blobs");
    assert!(matches!(error, Error::Refused { status: 400, .. }), "{error:?}");
    assert!(error.to_string().contains("MANIFEST_BLOB_UNKNOWN"), "{error}");
}

#[test]
fn content_that_is_not_its_digest_is_refused_by_the_registry() {
    let Some(docker) = Docker::start(&Door::Open) else { return };
    let guest = Guest::new(&docker.address);
    let descriptor = Descriptor::of("", b"moss");
    let other = || {
        let reader: Box<dyn Read + Send> = Box::new(&b"mess"[..]);
        Ok(reader)
    };
    let error = guest.registry.upload_blob("a", &descriptor, &other, None).expect_err("wrong");
    assert!(error.to_string().contains("DIGEST_INVALID"), "{error}");
    let short = || {
        let reader: Box<dyn Read + Send> = Box::new(&b"mos"[..]);
        Ok(reader)
    };
    let error = guest.registry.upload_blob("a", &descriptor, &short, None).expect_err("short");
    assert_eq!(error.kind(), Kind::Local);
    assert!(chain(&error).ends_with("it ends 1 bytes early"), "{}", chain(&error));
    let broken = || Err(io::Error::other("no disk"));
    let error = guest.registry.upload_blob("a", &descriptor, &broken, None).expect_err("broken");
    assert!(chain(&error).ends_with("no disk"), "{}", chain(&error));
    assert_eq!(guest.retries(), 0, "what is wrong here is not the network");
}

#[test]
fn tls_needs_an_authority_or_permission() {
    let certificates = Certificates::new();
    let (certificate, key) = (&*certificates.certificate, &*certificates.key);
    let Some(docker) = Docker::start(&Door::Tls { certificate, key, clients: None }) else {
        return;
    };
    let stranger = Guest::new(&docker.address);
    let error = stranger.registry.check().expect_err("nobody vouches for it");
    assert_eq!(error.kind(), Kind::Network);
    assert!(chain(&error).contains("UnknownIssuer"), "{}", chain(&error));
    assert!(error.hint().is_some_and(|hint| hint.contains("--cacert")), "{:?}", error.hint());

    let settings =
        Settings { certificates: vec![certificates.authority.clone()], ..Settings::default() };
    let friend = Guest::made_of(&docker.address, settings, Access::default());
    let layer = noise(3, 200_000);
    friend.push("a", "x", &layer).expect("pushed");
    assert!(friend.download("a", &layer).expect("downloaded") == layer);

    for insecure in ["*", &docker.address] {
        let access = Access { insecure: vec![insecure.to_owned()], ..Access::default() };
        let careless = Guest::made_of(&docker.address, Settings::default(), access);
        assert!(careless.download("a", &layer).expect(insecure) == layer);
    }
    let access = Access { insecure: vec!["other".to_owned()], ..Access::default() };
    let strict = Guest::made_of(&docker.address, Settings::default(), access);
    strict.registry.check().expect_err("another host is insecure");
}

#[test]
fn a_host_may_have_certificates_of_its_own() {
    let all = Certificates::new();
    let clients = Some(&*all.authority);
    let door = Door::Tls { certificate: &all.certificate, key: &all.key, clients };
    let Some(docker) = Docker::start(&door) else { return };
    let folder = tempfile::tempdir().expect("a directory");
    let own = folder.path().join(&docker.address);
    std::fs::create_dir(&own).expect("made");
    let copy = |from: &std::path::Path, name: &str| {
        std::fs::copy(from, own.join(name)).expect(name);
    };
    let guest = || {
        let host_certificates = vec![folder.path().join("missing"), folder.path().to_owned()];
        let settings = Settings { host_certificates, ..Settings::default() };
        Guest::made_of(&docker.address, settings, Access::default())
    };
    let error = guest().registry.check().expect_err("nobody vouches for it");
    assert!(chain(&error).contains("UnknownIssuer"), "{}", chain(&error));
    copy(&all.authority, "ca.crt");
    let stranger = guest();
    let error = stranger.registry.tags("a").expect_err("it wants to know who we are");
    assert_eq!(error.kind(), Kind::Denied, "{}", chain(&error));
    let hint = error.hint().expect("what to do");
    assert!(hint.contains(&format!("certs.d/{}", docker.address)), "{hint}");
    copy(&all.client, "ann.cert");
    let error = guest().registry.check().expect_err("a certificate alone proves nothing");
    assert!(chain(&error).contains("ann.key is missing beside it"), "{}", chain(&error));
    assert_eq!(error.kind(), Kind::Local);
    copy(&all.client.with_extension("key"), "ann.key");
    guest().push("a", "x", b"layer").expect("let in");
    copy(&all.authority, "ann.key");
    let error = guest().registry.check().expect_err("that is no key");
    assert!(chain(&error).contains("ann.key"), "{}", chain(&error));
}

#[test]
fn requests_keep_their_distance() {
    let server = Server::start(|_| Ok(Answer::new(200, r#"{"tags":[]}"#)));
    let settings = Settings { rate: Some(20.0), ..Settings::default() };
    let guest = Guest::made_of(&server.address, settings, Access::default());
    let begun = std::time::Instant::now();
    for _ in 0..4 {
        guest.registry.tags("a").expect("listed");
    }
    // One more looked for https, one for http.
    assert_eq!(server.asked().len(), 5);
    assert!(begun.elapsed() >= Duration::from_millis(250), "{:?}", begun.elapsed());
}

#[test]
fn nothing_is_sent_to_anybody() {
    let server = Server::start(|_| Ok(Answer::new(200, "{}")));
    let settings = Settings { offline: true, ..Settings::default() };
    let guest = Guest::made_of(&server.address, settings, Access::default());
    let error = guest.registry.manifest("a", "x").expect_err("offline");
    assert_eq!((error.kind(), guest.retries()), (Kind::Network, 0));
    assert!(error.hint().is_some_and(|hint| hint.contains("--offline")), "{error:?}");
    assert!(server.asked().is_empty());
}

#[test]
fn what_a_registry_says_beside_its_answers_is_told_once() {
    let server = Server::start(|asked| {
        let answer = match asked.path.contains("/b/") {
            true => Answer::new(429, "").header("Retry-After", "3600"),
            false => Answer::new(200, r#"{"tags":[]}"#),
        };
        let answer = answer.header("Warning", r#"299 - "moves in May""#);
        Ok(answer.header("ratelimit-limit", "100;w=21600").header("ratelimit-remaining", "76"))
    });
    let guest = Guest::new(&server.address);
    for _ in 0..2 {
        guest.registry.tags("a").expect("listed");
    }
    let error = guest.registry.tags("b").expect_err("too often");
    assert!(error.to_string().contains("it asks to come back in 60 min"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("--rate-limit")), "{error:?}");
    let events = guest.recorder.events();
    let told = |wanted: &str| {
        let text = |event: &&Event| match event {
            Event::Warning { text } | Event::Detail { text } => text.contains(wanted),
            _ => false,
        };
        events.iter().filter(text).count()
    };
    assert_eq!((told("moves in May"), told("76 of 100 requests are left")), (1, 1), "{events:?}");
}

#[test]
fn a_manifest_of_another_age_is_explained() {
    let old = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let server = Server::start(move |_| {
        Ok(Answer::new(200, r#"{"schemaVersion":1,"name":"a"}"#).header("Content-Type", old))
    });
    let error = Guest::new(&server.address).registry.manifest("a", "x").expect_err("schema 1");
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.hint().is_some_and(|hint| hint.contains("push the image again")), "{error:?}");
}

#[test]
fn a_foreign_layer_is_fetched_by_permission() {
    let Some(docker) = Docker::start(&Door::Open) else { return };
    Guest::new(&docker.address).upload("a", b"something").expect("sent");
    let layer = noise(9, 300_000);
    let bytes = layer.clone();
    let elsewhere = Server::start(move |asked| {
        Ok(match (asked.path.as_str(), asked.header("range")) {
            ("/gone", _) => Answer::new(404, ""),
            (_, None) => {
                Answer { status: 200, cut: Some(100_000), body: bytes.clone(), ..Answer::default() }
            }
            (_, Some(range)) => {
                assert_eq!(range, "bytes=100000-");
                let body = bytes[100_000..].to_vec();
                let answer = Answer { status: 206, body, ..Answer::default() };
                answer.header("Content-Range", "bytes 100000-299999/300000")
            }
        })
    });
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let mut descriptor = Descriptor::of(foreign, &layer);
    let url = |path: &str| format!("http://{}{path}", elsewhere.address);
    descriptor.urls = Some(vec!["file:///etc/passwd".into(), url("/gone"), url("/layer?sig=x")]);
    let guest = |allow_foreign| {
        let access = Access { allow_foreign, ..Access::default() };
        Guest::made_of(&docker.address, Settings::default(), access)
    };
    let error = guest(false).registry.blob("a", &descriptor).expect_err("not asked for");
    assert_eq!(error.kind(), Kind::NotFound);
    let told = error.to_string();
    assert!(told.contains("/layer") && !told.contains("sig=x"), "{told}");
    assert!(error.hint().is_some_and(|hint| hint.contains("--allow-foreign")));
    assert!(elsewhere.asked().is_empty());
    let mut found = Vec::new();
    let mut blob = guest(true).registry.blob("a", &descriptor).expect("there");
    blob.read_to_end(&mut found).expect("read");
    assert!(found == layer);
    // A layer that is no foreign one is nowhere else.
    descriptor.media_type = media_type::OCI_LAYER_GZIP.to_owned();
    let error = guest(true).registry.blob("a", &descriptor).expect_err("not there");
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
}

#[test]
fn a_longer_digest_is_verified_too() {
    let layer = noise(5, 100_000);
    let mut hasher = Hasher::new(crate::image::Algorithm::Sha512);
    hasher.update(&layer);
    let descriptor = Descriptor::new("x/y", hasher.finish(), 100_000);
    for fault in [false, true] {
        let mut bytes = layer.clone();
        bytes[50_000] ^= u8::from(fault);
        let server = Server::start(move |_| {
            Ok(Answer { status: 200, body: bytes.clone(), ..Answer::default() })
        });
        let guest = Guest::new(&server.address);
        let mut found = Vec::new();
        let outcome = guest.registry.blob("a", &descriptor).expect("open").read_to_end(&mut found);
        assert_eq!(outcome.is_err(), fault);
    }
}

#[test]
fn the_rest_of_a_blob_begins_where_it_should() {
    let layer = noise(6, 300_000);
    let descriptor = Descriptor::of("x/y", &layer);
    let Some(docker) = Docker::start(&Door::Open) else { return };
    Guest::new(&docker.address).upload("a", &layer).expect("sent");
    for rules in [
        vec![],
        vec![Rule::new("GET", "/blobs/", 9, Fault::NoRange)],
        vec![Rule::new("GET", "/blobs/", 1, Fault::Status(416, &[]))],
        vec![Rule::new("GET", "/blobs/", 1, Fault::Cut(50_000))],
    ] {
        let trouble = before(&docker.address, rules);
        let guest = Guest::new(&trouble.address);
        let mut rest = guest.registry.rest_of_blob("a", &descriptor, 100_000).expect("open");
        let mut found = Vec::new();
        rest.read_to_end(&mut found).expect("read");
        assert!(found == layer[100_000..]);
    }
}

#[test]
fn files_of_certificates_are_named_when_they_are_none() {
    let folder = tempfile::tempdir().expect("a directory");
    for (name, text) in
        [("missing.pem", None), ("broken.pem", Some("-----BEGIN CERTIFICATE-----\nx"))]
    {
        let path = folder.path().join(name);
        if let Some(text) = text {
            std::fs::write(&path, text).expect("written");
        }
        let settings = Settings { certificates: vec![path], ..Settings::default() };
        let guest = Guest::made_of("registry.invalid", settings, Access::default());
        let error = guest.registry.check().expect_err(name);
        assert_eq!(error.kind(), Kind::Local);
        assert!(chain(&error).contains(name), "{}", chain(&error));
    }
}

#[test]
fn nobody_there_is_told_soon() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    drop(listener);
    let guest = Guest::new(&address);
    let error = guest.registry.manifest("a", "x").expect_err("nobody there");
    assert_eq!(error.kind(), Kind::Network);
    assert_eq!(guest.retries(), 2);
    let text = chain(&error);
    assert!(text.contains(&address) && text.contains("after 3 tries"), "{text}");
    assert!(text.to_lowercase().contains("connection refused"), "{text}");
}
