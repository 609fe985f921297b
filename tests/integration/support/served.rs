//! `bryo serve`, and a client that sends exactly what a test writes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::{Place, Run};

/// A registry that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Served {
    child: Child,
    address: String,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Served {
    /// On any free port, over the place's store, with these options.
    pub(crate) fn start(place: &Place, options: &str) -> Self {
        Self::run(place.bryo(&format!("serve --listen 127.0.0.1:0 {options}")))
    }

    pub(crate) fn run(run: Run) -> Self {
        let mut child = run.spawn();
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("readable");
        if line.is_empty() {
            let mut said = String::new();
            drop(child.stderr.take().expect("a pipe").read_to_string(&mut said));
            panic!("it does not serve: {said}");
        }
        // Nobody may be kept waiting by a pipe that is full.
        let mut stderr = child.stderr.take().expect("a pipe");
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut said = String::new();
            drop(stderr.read_to_string(&mut said));
            drop(sender.send(said));
        });
        SAID.lock().expect("nobody panics").push((child.id(), receiver));
        Self { child, address: line.trim().to_owned() }
    }

    /// `127.0.0.1:PORT`
    pub(crate) fn host(&self) -> &str {
        &self.address
    }

    /// An image's name there.
    pub(crate) fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Sends SIGTERM, waits for its end; gives its status and what it wrote to stderr.
    pub(crate) fn stop(mut self) -> (Option<i32>, String) {
        self.signal("TERM");
        self.end()
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().expect("kill").success());
    }

    pub(crate) fn end(&mut self) -> (Option<i32>, String) {
        let status = self.child.wait().expect("it ends");
        let mut all = SAID.lock().expect("nobody panics");
        let at = all.iter().position(|(id, _)| *id == self.child.id()).expect("it is known");
        let (_, receiver) = all.swap_remove(at);
        drop(all);
        (status.code(), receiver.recv().expect("the reader ends"))
    }

    /// The most memory that it ever had, in kB.
    pub(crate) fn most_memory(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(120))).expect("a time");
        stream
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let mut stream = self.connect();
        send(&mut stream, method, path, headers, body);
        read(stream, method)
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[], b"")
    }

    pub(crate) fn head(&self, path: &str) -> Reply {
        self.ask("HEAD", path, &[], b"")
    }

    pub(crate) fn delete(&self, path: &str) -> Reply {
        self.ask("DELETE", path, &[], b"")
    }

    /// Pushes a blob in one request after the first.
    pub(crate) fn push_blob(&self, name: &str, bytes: &[u8]) -> String {
        let digest = sha256(bytes);
        let begun = self.ask("POST", &format!("/v2/{name}/blobs/uploads/"), &[], b"").is(202);
        let path = format!("{}?digest={digest}", begun.header("location"));
        let put = self.ask("PUT", &path, &[], bytes).is(201);
        assert_eq!(put.header("docker-content-digest"), digest);
        digest
    }

    pub(crate) fn push_manifest(&self, name: &str, target: &str, kind: &str, text: &str) -> Reply {
        let path = format!("/v2/{name}/manifests/{target}");
        self.ask("PUT", &path, &[("Content-Type", kind)], text.as_bytes())
    }
}

/// What servers write to stderr, by their process.
static SAID: std::sync::Mutex<Vec<(u32, std::sync::mpsc::Receiver<String>)>> =
    std::sync::Mutex::new(Vec::new());

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Reply {
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        let body = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{:?}\n{}", self.headers, &body[..body.len().min(2000)]);
        self
    }

    /// A refusal, with this code.
    #[track_caller]
    pub(crate) fn refuses(self, status: u16, code: &str) -> Self {
        let reply = self.is(status);
        let error = &reply.json()["errors"][0];
        assert_eq!(error["code"], code, "{error}");
        assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()));
        reply
    }

    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        self.find(name).unwrap_or_else(|| panic!("{name} is missing: {:?}", self.headers))
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// Sends a request's head and body.
pub(crate) fn send(
    stream: &mut TcpStream,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    // Who is refused may find the connection closed before it has sent everything.
    drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)));
}

/// Reads an answer up to the end of the connection.
pub(crate) fn read(stream: TcpStream, method: &str) -> Reply {
    let mut reader = BufReader::new(stream);
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).expect("an answer");
        line.trim_end().to_owned()
    };
    let first = line();
    let status = first.split(' ').nth(1).and_then(|text| text.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no answer: {first:?}"));
    let mut headers = Vec::new();
    loop {
        let line = line();
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut body = Vec::new();
    reader.read_to_end(&mut body).expect("a body");
    let reply = Reply { status, headers, body };
    if method != "HEAD" && status != 204 && status != 304 {
        let length: usize = reply.header("content-length").parse().expect("a number");
        assert_eq!(reply.body.len(), length, "the body is not as long as it should be");
    } else {
        assert!(reply.body.is_empty(), "{status} has a body");
    }
    reply
}

/// `sha256:HEX`
pub(crate) fn sha256(bytes: &[u8]) -> String {
    bryo::image::Digest::of(bytes).to_string()
}

/// `sha512:HEX`
pub(crate) fn sha512(bytes: &[u8]) -> String {
    let mut hasher = bryo::image::Hasher::new(bryo::image::Algorithm::Sha512);
    hasher.update(bytes);
    hasher.finish().to_string()
}

/// Waits for something that must come soon.
#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} does not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}
