//! A small web server, whose answers a test writes down.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

/// An answer: status, headers, body.
pub(crate) type Answer = (u16, &'static str, Vec<u8>);

/// Serves until the test's process ends.
#[derive(Debug)]
pub(crate) struct Web {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Web {
    /// `answer` gets the path that is asked for, and how often it was asked for before.
    pub(crate) fn start(answer: impl Fn(&str, usize) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let mut first = [0];
                // TLS begins with a byte that no method has.
                if stream.peek(&mut first).is_err() || first == [0x16] {
                    continue;
                }
                let mut lines = BufReader::new(stream.try_clone().expect("a socket")).lines();
                let head = lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty());
                let head: Vec<String> = head.collect();
                let Some(path) = head.first().and_then(|line| line.split(' ').nth(1)) else {
                    continue;
                };
                let before = {
                    let mut log = log.lock().expect("nobody panics with it");
                    log.push(path.to_owned());
                    log.iter().filter(|one| *one == path).count() - 1
                };
                let (status, headers, body) = answer(path, before);
                let length = match headers.contains("Content-Length") {
                    true => String::new(),
                    false => format!("Content-Length: {}\r\n", body.len()),
                };
                let head =
                    format!("HTTP/1.1 {status} x\r\n{length}Connection: close\r\n{headers}\r\n");
                // Who has read enough may go.
                drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)));
            }
        });
        Self { address, asked }
    }

    /// `http://127.0.0.1:PORT` and the path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How often a path was asked for.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.asked.lock().expect("nobody panics with it").iter().filter(|one| *one == path).count()
    }
}
