//! Signals, a disk that is full, and clients that are slow.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;

use super::{MANIFEST, manifest};
use crate::support::served::{Served, eventually, send, sha256};
use crate::support::{Place, has};

/// What comes back, though the connection may be closed before all was sent.
fn refusal(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_second_signal_ends_a_server_at_once() {
    let place = Place::new();
    let mut served = Served::start(&place, "");
    manifest(&served, "a", "one").put(&served, "a", "1");
    let begun = served.ask("POST", "/v2/a/blobs/uploads/", &[], b"").is(202);
    let mut stream = served.connect();
    let length = [("Content-Length", "1000000")];
    send(&mut stream, "PATCH", begun.header("location"), &length, &[7; 500_000]);
    served.signal("TERM");
    eventually("that nobody is accepted", || TcpStream::connect(served.host()).is_err());
    served.signal("TERM");
    let (status, said) = served.end();
    assert_eq!(status, Some(128 + 15), "{said}");
    drop(stream);

    let tmp = place.storage().join("tmp");
    let served = Served::start(&place, "");
    assert_eq!(fs::read_dir(&tmp).expect("a store").count(), 0, "what was left is gone");
    served.get("/v2/a/manifests/1").is(200);
    served.get(begun.header("location")).refuses(404, "BLOB_UPLOAD_UNKNOWN");
    let (status, said) = served.stop();
    assert_eq!(status, Some(0), "{said}");
}

#[test]
fn an_interrupt_is_heard_where_the_shell_ignores_it() {
    let place = Place::new();
    let bryo = env!("CARGO_BIN_EXE_bryo");
    // As a shell without job control does with what ends in `&`.
    let script = format!(
        "trap '' INT; exec {bryo} --storage {} serve --listen 127.0.0.1:0",
        place.storage().display()
    );
    let mut served = Served::run(place.run("sh").args(["-c", &script]));
    served.get("/v2/").is(200);
    served.signal("INT");
    let (status, said) = served.end();
    assert_eq!(status, Some(0), "{said}");
}

#[test]
fn a_full_disk_is_told_and_nothing_is_lost() {
    let place = Place::new();
    if !has("unshare", "util-linux") {
        return;
    }
    let disk = place.folder("disk");
    let script = format!(
        "mount -t tmpfs -o size=6m none {disk}
         exec {bryo} --storage {disk}/bryo serve --listen 127.0.0.1:0",
        disk = disk.display(),
        bryo = env!("CARGO_BIN_EXE_bryo"),
    );
    let served = Served::run(place.run("unshare").args(["-rm", "sh", "-ec", &script]));
    let image = manifest(&served, "a", "one");
    image.put(&served, "a", "1");
    let large = vec![7; 10 << 20];
    let begin = || {
        let begun = served.ask("POST", "/v2/a/blobs/uploads/", &[], b"").is(202);
        begun.header("location").to_owned()
    };
    // Who says how much it is hears of it before anything is written.
    let location = begin();
    let whole = |method, path: &str| {
        let mut stream = served.connect();
        send(&mut stream, method, &format!("{path}?digest={}", sha256(&large)), &[], &large);
        refusal(stream)
    };
    for answer in [whole("PUT", &location), whole("POST", "/v2/a/blobs/uploads/")] {
        assert!(answer.starts_with("HTTP/1.1 507 ") && answer.contains("UNKNOWN"), "{answer}");
    }
    served.delete(&location).is(204);
    // Who does not, when the disk is full; and what was written is gone.
    let location = begin();
    let mut stream = served.connect();
    let head = format!(
        "PATCH {location} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("sent");
    for piece in large.chunks(1 << 16) {
        let size = format!("{:x}\r\n", piece.len());
        let parts = [size.as_bytes(), piece, b"\r\n"];
        if parts.iter().any(|part| stream.write_all(part).is_err()) {
            break;
        }
    }
    let answer = refusal(stream);
    assert!(answer.starts_with("HTTP/1.1 507 ") && answer.contains("full"), "{answer}");
    assert!(!answer.contains("/tmp/"), "{answer}");
    served.get(&location).refuses(404, "BLOB_UPLOAD_UNKNOWN");
    // Until it is full of blobs; then there is no room for a manifest either.
    let blob = |number: u8| {
        let bytes = vec![number; 512 << 10];
        let path = format!("/v2/a/blobs/uploads/?digest={}", sha256(&bytes));
        served.ask("POST", &path, &[], &bytes).status
    };
    let taken = (0..20).take_while(|number| blob(*number) == 201).count();
    assert!((5..12).contains(&taken), "{taken}");
    let text = image.text.replacen('{', &format!("{{{}", " ".repeat(4 << 20)), 1);
    served.push_manifest("a", "2", MANIFEST, &text).refuses(507, "UNKNOWN");
    served.get("/v2/a/manifests/2").refuses(404, "MANIFEST_UNKNOWN");

    // What was there still is, and what is removed makes room.
    let reply = served.get("/v2/a/manifests/1").is(200);
    assert_eq!(reply.body, image.text.as_bytes());
    served.get(&format!("/v2/a/blobs/{}", sha256(b"one"))).is(200);
    served.delete("/v2/a/manifests/1").is(202);
    for number in 0..2 {
        let digest = sha256(&vec![number; 512 << 10]);
        served.delete(&format!("/v2/a/blobs/{digest}")).is(202);
    }
    assert_eq!(blob(99), 201);
    let (status, said) = served.stop();
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("No space left") || said.contains("disk is full"), "{said}");
}

#[test]
fn who_is_slow_keeps_nobody_waiting() {
    let place = Place::new();
    let served = Served::start(&place, "");
    let image = manifest(&served, "a", "one");
    image.put(&served, "a", "1");
    let large = served.push_blob("a", &vec![7; 20 << 20]);
    let slow: Vec<_> = (0..40)
        .map(|number| {
            let mut stream = served.connect();
            if number % 2 == 0 {
                send(&mut stream, "GET", &format!("/v2/a/blobs/{large}"), &[], b"");
            } else {
                let begun = served.ask("POST", "/v2/a/blobs/uploads/", &[], b"").is(202);
                let length = [("Content-Length", "1000")];
                send(&mut stream, "PATCH", begun.header("location"), &length, b"moss");
            }
            stream
        })
        .collect();
    thread::scope(|scope| {
        for number in 0..8 {
            let served = &served;
            scope.spawn(move || {
                let name = format!("b{number}");
                manifest(served, &name, "two").put(served, &name, "1");
                served.get(&format!("/v2/{name}/manifests/1")).is(200);
            });
        }
    });
    drop(slow);
    let (status, said) = served.stop();
    assert_eq!(status, Some(0), "{said}");
}

#[test]
fn who_is_idle_for_too_long_is_given_up() {
    let place = Place::new();
    // There is room for one: the next one is served when that one has been given up.
    let served = Served::start(&place, "--connections 1 --idle-timeout 1");
    let large = served.push_blob("a", &vec![7; 20 << 20]);
    let begun = served.ask("POST", "/v2/a/blobs/uploads/", &[], b"").is(202);

    let mut reader = served.connect();
    send(&mut reader, "GET", &format!("/v2/a/blobs/{large}"), &[], b"");
    served.get("/v2/").is(200);
    let mut taken = Vec::new();
    drop(reader.read_to_end(&mut taken));
    assert!(taken.len() < 20 << 20, "{}", taken.len());

    let mut writer = served.connect();
    let location = begun.header("location");
    send(&mut writer, "PATCH", location, &[("Content-Length", "1000")], b"moss");
    served.get("/v2/").is(200);
    let mut answer = String::new();
    drop(writer.read_to_string(&mut answer));
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    // It may go on where it was cut off.
    let state = served.get(location).is(204);
    assert_eq!(state.header("range"), "0-3");
    let path = format!("{location}?digest={}", sha256(b"moss, more moss"));
    served.ask("PUT", &path, &[], b", more moss").is(201);

    let mut mute = served.connect();
    mute.write_all(b"GET /v2/ HT").expect("sent");
    served.get("/v2/").is(200);
    drop(mute);
    let (status, said) = served.stop();
    assert_eq!(status, Some(0), "{said}");
}

#[test]
fn what_is_refused_is_told_in_few_words() {
    let place = Place::new();
    let served = Served::start(&place, "");
    let long = "x".repeat(3 << 20);
    let refused = [
        served.push_manifest("a", "1", MANIFEST, &format!("{{\"mediaType\":\"{long}\"}}")),
        served.get(&format!("/v2/{}/tags/list", &long[..60_000])),
        served.get(&format!("/v2/a/manifests/{}", &long[..60_000])),
        served.ask(&"X".repeat(2000), "/v2/a/manifests/1", &[], b""),
    ];
    for reply in refused {
        assert!((400..500).contains(&reply.status), "{}", reply.status);
        assert!(reply.body.len() < 4000, "{}", reply.body.len());
        assert!(!reply.json()["errors"][0]["message"].as_str().expect("a text").is_empty());
    }
}
