//! How a server begins and ends, whom it lets in, and that it bears with everybody.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use super::manifest;
use crate::support::served::{Served, eventually, send, sha256};
use crate::support::{Place, has};

#[test]
fn a_server_ends_when_it_is_asked_and_finishes_what_is_under_way() {
    let place = Place::new();
    let mut served = Served::start(&place, "--log");
    manifest(&served, "a", "one").put(&served, "a", "1");
    // A request whose body is not yet whole.
    let begun = served.ask("POST", "/v2/a/blobs/uploads/", &[], b"").is(202);
    let digest = sha256(b"moss");
    let path = format!("{}?digest={digest}", begun.header("location"));
    let mut stream = served.connect();
    send(&mut stream, "PUT", &path, &[("Content-Length", "4")], b"mo");
    // An idle connection keeps nobody waiting.
    let idle = served.connect();
    served.signal("TERM");
    eventually("that nobody is accepted", || std::net::TcpStream::connect(served.host()).is_err());
    stream.write_all(b"ss").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    let (status, said) = served.end();
    drop(idle);
    assert_eq!(status, Some(0), "{said}");
    for expected in ["PUT /v2/a/manifests/1 201", "manifests: 1 pushed", "0 failed here"] {
        assert!(said.contains(expected), "{said}\nlacks {expected:?}");
    }
}

#[test]
fn who_is_killed_leaves_a_good_store() {
    let place = Place::new();
    let mut served = Served::start(&place, "");
    manifest(&served, "a", "one").put(&served, "a", "1");
    let begun = served.ask("POST", "/v2/a/blobs/uploads/", &[], b"").is(202);
    let mut stream = served.connect();
    let length = [("Content-Length", "1000000")];
    send(&mut stream, "PATCH", begun.header("location"), &length, &[7; 500_000]);
    let tmp = place.storage().join("tmp");
    let written = || {
        let folders = fs::read_dir(&tmp).expect("a store").map(|entry| entry.expect("one").path());
        let files =
            folders.filter(|path| path.is_dir()).flat_map(|path| fs::read_dir(path).expect("it"));
        files.map(|file| file.expect("one").metadata().map_or(0, |meta| meta.len())).sum::<u64>()
    };
    eventually("half a blob", || written() >= 400_000);
    served.kill();

    let served = Served::start(&place, "");
    assert_eq!(fs::read_dir(&tmp).expect("a store").count(), 0, "what was left is gone");
    served.get("/v2/a/manifests/1").is(200);
    served.get(&format!("/v2/a/blobs/{}", sha256(b"one"))).is(200);
    // The client begins anew.
    served.get(begun.header("location")).refuses(404, "BLOB_UPLOAD_UNKNOWN");
    served.push_blob("a", &[7; 1_000_000]);
}

#[test]
fn fifty_clients_push_and_pull_at_once() {
    let place = Place::new();
    let served = Served::start(&place, "--connections 20");
    let shared = vec![5_u8; 300_000];
    thread::scope(|scope| {
        for number in 0..50 {
            let (served, shared) = (&served, &shared);
            scope.spawn(move || {
                let name = format!("r{}/app", number % 7);
                served.push_blob(&name, shared);
                let image = manifest(served, &name, &format!("layer {number}"));
                image.put(served, &name, &format!("t{number}")).put(served, &name, "latest");
                let digest = sha256(shared);
                assert_eq!(served.get(&format!("/v2/{name}/blobs/{digest}")).is(200).body, *shared);
                let reply = served.get(&format!("/v2/{name}/manifests/t{number}")).is(200);
                assert_eq!(reply.body, image.text.as_bytes());
            });
        }
    });
    let mut tags = 0;
    for number in 0..7 {
        let list = served.get(&format!("/v2/r{number}/app/tags/list")).is(200).json();
        tags += list["tags"].as_array().expect("an array").len();
    }
    assert_eq!(tags, 50 + 7);
    let (status, said) = served.stop();
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains(" 0 failed here; manifests: 100 pushed"), "{said}");
}

#[test]
fn who_says_nothing_makes_room() {
    let place = Place::new();
    let served = Served::start(&place, "--connections 2");
    let idle: Vec<_> = (0..6).map(|_| served.connect()).collect();
    let begun = served.ask("POST", "/v2/a/blobs/uploads/", &[], b"").is(202);
    let path = format!("{}?digest={}", begun.header("location"), sha256(b"moss"));
    let mut busy = served.connect();
    send(&mut busy, "PUT", &path, &[("Content-Length", "4")], b"mo");
    let more: Vec<_> = (0..6).map(|_| served.connect()).collect();
    served.get("/v2/").is(200);
    // Who is being answered is not cut off.
    busy.write_all(b"ss").expect("sent");
    let mut answer = String::new();
    busy.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    drop((idle, more));
    let (status, said) = served.stop();
    assert_eq!(status, Some(0), "{said}");
}

#[test]
fn large_blobs_need_little_memory() {
    let place = Place::new();
    let served = Served::start(&place, "");
    let size: u64 = 500 << 20;
    let begun = served.ask("POST", "/v2/a/blobs/uploads/", &[], b"").is(202);
    let mut hasher = bryo::image::Hasher::sha256();
    let piece: Vec<u8> = (0..1 << 20).map(|at: u32| (at % 253) as u8).collect();
    let mut stream = served.connect();
    let length = size.to_string();
    send(&mut stream, "PATCH", begun.header("location"), &[("Content-Length", &length)], b"");
    for _ in 0..size >> 20 {
        hasher.update(&piece);
        stream.write_all(&piece).expect("sent");
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    let digest = hasher.finish().to_string();
    let path = format!("{}?digest={digest}", begun.header("location"));
    served.ask("PUT", &path, &[], b"").is(201);
    // Four who read at once, and one who reads nothing.
    let path = format!("/v2/a/blobs/{digest}");
    let mut lazy = served.connect();
    send(&mut lazy, "GET", &path, &[], b"");
    thread::scope(|scope| {
        for _ in 0..4 {
            let (served, path) = (&served, &path);
            scope.spawn(move || {
                let mut stream = served.connect();
                send(&mut stream, "GET", path, &[], b"");
                let read = std::io::copy(&mut stream, &mut std::io::sink()).expect("read");
                assert!(read > size, "{read}");
            });
        }
    });
    let most = served.most_memory();
    assert!(most < 60_000, "{most} kB");
}

#[test]
fn a_password_is_wanted() {
    let place = Place::new();
    if !has("htpasswd", "apache2-utils") {
        return;
    }
    let text = place.run("htpasswd").args(["-nbB", "-C", "5", "ann", "se:cret"]).succeeds();
    let file = place.file("people", text.bytes());
    let by_file = Served::run(place.bryo("serve --listen 127.0.0.1:0 --htpasswd").arg(file));
    let by_name = Served::run(
        place.bryo("serve --listen 127.0.0.1:0 --user ann").env("BRYO_SERVE_PASSWORD", "se:cret"),
    );
    for served in [by_file, by_name] {
        for path in ["/v2/", "/v2/_catalog", "/v2/a/tags/list", "/"] {
            let reply = served.get(path).refuses(401, "UNAUTHORIZED");
            assert!(reply.header("www-authenticate").starts_with("Basic realm="));
            // ann:wrong
            let wrong = [("Authorization", "Basic YW5uOndyb25n")];
            served.ask("GET", path, &wrong, b"").is(401);
        }
        // ann:se:cret
        let right = [("Authorization", "Basic YW5uOnNlOmNyZXQ=")];
        for _ in 0..3 {
            served.ask("GET", "/v2/", &right, b"").is(200);
        }
        let name = served.host().to_owned();
        place.bryo(&format!("login -u ann --password-stdin {name}")).input("wrong").fails(4);
        place.bryo(&format!("login -u ann --password-stdin {name}")).input("se:cret").succeeds();
    }
    let bad = place.file("bad", "ann:$apr1$x$y\n");
    place.bryo("serve --htpasswd").arg(bad).fails(2).mentions("line 1").mentions("htpasswd -cB");
    place.bryo("serve --user ann").fails(2).mentions("BRYO_SERVE_PASSWORD");
}

#[test]
fn nobody_changes_what_is_only_to_be_read() {
    let place = Place::new();
    let served = Served::start(&place, "");
    let image = manifest(&served, "a", "one");
    image.put(&served, "a", "1");
    drop(served);
    let served = Served::start(&place, "--readonly");
    served.get("/v2/a/manifests/1").is(200);
    served.head(&format!("/v2/a/blobs/{}", sha256(b"one"))).is(200);
    served.get("/v2/a/tags/list").is(200);
    for (method, path) in [
        ("POST", "/v2/a/blobs/uploads/"),
        ("PUT", "/v2/a/manifests/2"),
        ("PATCH", "/v2/a/blobs/uploads/1"),
        ("DELETE", "/v2/a/manifests/1"),
        ("DELETE", &format!("/v2/a/blobs/{}", sha256(b"one"))),
    ] {
        let reply = served.ask(method, path, &[], b"").refuses(405, "UNSUPPORTED");
        assert_eq!(reply.header("allow"), "GET, HEAD");
    }
    place.bryo("delete").arg(served.name("a:1")).fails(4).mentions("405");
}

#[test]
fn https_has_a_certificate_that_is_given_or_made() {
    let place = Place::new();
    if !has("openssl", "openssl") || !has("curl", "curl") {
        return;
    }
    let folder = place.folder("identity");
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let start = || {
        let run =
            place.bryo("serve --listen 127.0.0.1:0 --tls --cert").arg(&cert).arg("--key").arg(&key);
        Served::run(run)
    };
    let served = start();
    let curl = |served: &Served| {
        let url = format!("https://{}/v2/", served.host());
        place.run("curl").args(["-fsS", "--cacert"]).arg(&cert).arg(url).succeeds();
    };
    curl(&served);
    let (status, said) = served.stop();
    assert_eq!(status, Some(0), "{said}");
    let shown = place.run("openssl").args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]);
    let shown = shown.arg(&cert).succeeds().text();
    let fingerprint = shown.split_once('=').expect("a fingerprint").1;
    assert!(said.contains(&format!("certificate SHA256 {fingerprint}")), "{said}");
    // The second time it is the same one.
    let made = fs::read(&cert).expect("written");
    let served = start();
    curl(&served);
    assert_eq!(fs::read(&cert).expect("there"), made);
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&key).expect("it").permissions());
    assert_eq!(mode & 0o777, 0o600);
    // bryo itself believes it when it is told to.
    let name = format!("{}/none", served.host());
    place.bryo(&format!("pull {name}")).fails(6).mentions("certificate");
    place.bryo(&format!("pull {name} --cacert")).arg(&cert).fails(3);
    // One of them alone is none.
    fs::remove_file(&key).expect("removed");
    place.bryo("serve --cert").arg(&cert).arg("--key").arg(&key).fails(2).mentions("key.pem");
}

#[test]
fn a_socket_in_a_folder_serves_too() {
    let place = Place::new();
    let path = place.folder("s").join("socket");
    let run = place.bryo("serve --listen").arg(format!("unix:{}", path.display()));
    let served = Served::run(run);
    assert_eq!(served.host(), format!("unix:{}", path.display()));
    let mut stream = UnixStream::connect(&path).expect("it listens");
    stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let (status, said) = served.stop();
    assert_eq!((status, path.exists()), (Some(0), false), "{said}");
}

#[test]
fn ports_that_are_taken_and_heads_that_are_too_long() {
    let place = Place::new();
    let served = Served::start(&place, "");
    let taken = format!("serve --listen {}", served.host());
    place.bryo(&taken).fails(8).mentions("--listen");
    place.bryo("serve --listen 5050").fails(2);
    // Headers without end, and a line that is none.
    let mut stream = served.connect();
    let head = format!("GET /v2/ HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "a".repeat(200_000));
    drop(stream.write_all(head.as_bytes()));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"));
    let mut stream = served.connect();
    stream.write_all(b"\x16\x03\x01 nonsense\r\n\r\n").expect("sent");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time");
    drop(stream.read_to_end(&mut Vec::new()));
    served.get("/v2/").is(200);
}
