//! Proxies that lead to a registry with TLS.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;

use super::docker::{Certificates, Door};
use super::*;
use crate::http::Proxies;

/// A proxy that connects whomever it is told to, and keeps what it was told. `greet` speaks its
/// language: it gives the address that is wanted.
fn proxy(greet: fn(&mut TcpStream) -> io::Result<String>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
    let address = listener.local_addr().expect("it is bound").to_string();
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = told.clone();
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let log = log.clone();
            std::thread::spawn(move || -> io::Result<()> {
                let wanted = greet(&mut client)?;
                let mut server = TcpStream::connect(&wanted)?;
                log.lock().expect("no thread panics").push(wanted);
                let (mut up, mut down) = (client.try_clone()?, server.try_clone()?);
                std::thread::spawn(move || io::copy(&mut up, &mut down));
                io::copy(&mut server, &mut client).map(drop)
            });
        }
    });
    (address, told)
}

/// RFC 9110 §9.3.6.
fn connect(client: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let is_ann = head.to_lowercase().contains("proxy-authorization: basic yw5uonnly3jlda==");
    let wanted = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
    match wanted.filter(|_| is_ann) {
        Some(wanted) => {
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            Ok(wanted.to_owned())
        }
        None => {
            client.write_all(b"HTTP/1.1 407 Who?\r\n\r\n")?;
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }
}

/// RFC 1928, without passwords; addresses of version 4 alone.
fn socks(client: &mut TcpStream) -> io::Result<String> {
    let mut head = [0; 2];
    client.read_exact(&mut head)?;
    client.read_exact(&mut vec![0; head[1].into()])?;
    client.write_all(&[5, 0])?;
    let mut request = [0; 10];
    client.read_exact(&mut request)?;
    let [5, 1, 0, 1, a, b, c, d, high, low] = request else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    Ok(format!("{a}.{b}.{c}.{d}:{}", u16::from_be_bytes([high, low])))
}

#[test]
fn a_registry_with_tls_is_reached_through_proxies() {
    let all = Certificates::new();
    let door = Door::Tls { certificate: &all.certificate, key: &all.key, clients: None };
    let Some(docker) = Docker::start(&door) else { return };
    let layer = noise(1, 300_000);
    for (number, (scheme, (address, told))) in
        [("http://ann:secret@", proxy(connect)), ("socks5://", proxy(socks))]
            .into_iter()
            .enumerate()
    {
        let proxies = Proxies::default().all(&format!("{scheme}{address}"));
        let certificates = vec![all.authority.clone()];
        let settings = Settings { proxies, certificates, ..Settings::default() };
        let guest = Guest::made_of(&docker.address, settings, Access::default());
        let repository = format!("r{number}");
        guest.push(&repository, "x", &layer).expect("pushed");
        assert!(guest.download(&repository, &layer).expect("downloaded") == layer, "{scheme}");
        let told = told.lock().expect("no thread panics");
        assert!(
            !told.is_empty() && told.iter().all(|wanted| *wanted == docker.address),
            "{told:?}"
        );
    }
    // One that wants a password, and gets none.
    let (address, told) = proxy(connect);
    let proxies = Proxies::default().all(&format!("http://{address}"));
    let settings = Settings { proxies, ..Settings::default() };
    let guest = Guest::made_of(&docker.address, settings, Access::default());
    let error = guest.registry.check().expect_err("who?");
    let text = chain(&error);
    assert!(text.contains(&format!("through the proxy http://{address}")), "{text}");
    assert!(text.contains("proxy auth"), "{text}");
    assert!(told.lock().expect("no thread panics").is_empty());
}
