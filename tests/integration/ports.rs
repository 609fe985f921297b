//! Ports below 1024 in the host's network.

use std::net::TcpListener;
use std::path::Path;

use crate::support::{Place, busybox, has, skip};

/// The program `ports`, in a folder that is to be mounted.
fn program(place: &Place) -> Option<String> {
    if !has("cc", "gcc") {
        return None;
    }
    let folder = place.folder("programs");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/emulation/ports.c");
    let words = ["-O1", "-D_GNU_SOURCE", "-Wall", "-Werror", "-static", "-o"];
    place.run("cc").args(words).arg(folder.join("ports")).arg(source).succeeds();
    Some(format!("{}:/programs", folder.display()))
}

/// The first port that any user of the host may have.
fn first_free() -> u16 {
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    first.expect("a network").trim().parse().expect("a port")
}

const STREAM: &str =
    "bind ok again EADDRINUSE listen ok connect ok data later ECONNREFUSED free ok";
const DATAGRAMS: &str = "bind ok again EADDRINUSE connect ok data free ok";

#[test]
fn root_serves_low_ports_and_is_found_there() {
    let place = Place::new();
    if !busybox(&place) || first_free() <= 80 {
        return;
    }
    let Some(volume) = program(&place) else { return };
    let has_v6 = TcpListener::bind("[::1]:0").is_ok();
    let waiting = STREAM.replace("connect ok", "connect EINPROGRESS then ok");
    for (words, expected) in [
        ("stream 80 0.0.0.0 127.0.0.1", STREAM),
        ("stream 1 127.0.0.2 127.0.0.2", STREAM),
        ("stream 1023 0.0.0.0 0.0.0.0", STREAM),
        ("stream 80 127.0.0.1 127.0.0.1 nonblocking", &waiting),
        ("stream 80 :: ::1", STREAM),
        ("stream 80 ::1 ::1", STREAM),
        ("stream 80 :: 127.0.0.1", STREAM),
        ("stream 80 0.0.0.0 ::ffff:127.0.0.1", STREAM),
        ("datagrams 53 127.0.0.1 127.0.0.1", DATAGRAMS),
        ("datagrams 53 :: ::1", DATAGRAMS),
        ("stream 8 127.0.0.1 127.0.0.1 folded", STREAM),
    ] {
        if words.contains("::") && !has_v6 {
            skip(words);
            continue;
        }
        if words.contains("folded") && cfg!(not(target_arch = "x86_64")) {
            continue;
        }
        for (mode, network) in [("full", "host"), ("ids", "host"), ("full", "none")] {
            let options = format!("run --root-emulation {mode} --network {network} -v");
            let said = place
                .bryo(&options)
                .arg(&volume)
                .args(["base", "/programs/ports"])
                .args(words.split(' '))
                .succeeds();
            let said = said.text().split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(said, expected, "{words}, {mode}, {network}");
        }
    }
}

#[test]
fn one_process_finds_what_another_serves() {
    let place = Place::new();
    if !busybox(&place) || first_free() <= 80 {
        return;
    }
    let script = "echo page > /index.html; busybox httpd -p 80 -h /; busybox httpd -p 80 -h / 2>&1 || true
        busybox wget -q -O - http://127.0.0.1/index.html; busybox nc -w 5 127.0.0.1 81 || echo nobody";
    let said = place.bryo("run base sh -c").arg(script).succeeds();
    assert_eq!(said.text(), "httpd: bind: Address already in use\npage\nnobody");
}

#[test]
fn others_than_root_get_no_low_port() {
    let place = Place::new();
    if !busybox(&place) || first_free() <= 80 {
        return;
    }
    let Some(volume) = program(&place) else { return };
    for (user, words, expected) in [
        ("1000:1000", "stream 80 127.0.0.1 127.0.0.1", "bind EACCES"),
        ("1000:1000", "datagrams 80 127.0.0.1 127.0.0.1", "bind EACCES"),
        ("0:0", "stream 80 192.0.2.1 127.0.0.1", "bind EADDRNOTAVAIL"),
    ] {
        let said = place
            .bryo("run --user")
            .args([user, "-v", &volume, "base", "/programs/ports"])
            .args(words.split(' '))
            .succeeds();
        assert_eq!(said.text(), expected, "{user} {words}");
    }
}
