//! A server of a few lines, whose answers may be wrong in every way.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// What was asked.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) method: String,
    /// Path and query.
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    /// Reads one request; None if nobody asks any more.
    fn read(reader: &mut impl io::BufRead) -> io::Result<Option<Self>> {
        let (line, headers) = head(reader)?;
        let mut words = line.split(' ').map(str::to_owned);
        let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(None) };
        let mut asked = Self { method, path, headers, body: Vec::new() };
        let length = asked.header("content-length").and_then(|text| text.parse().ok());
        reader.take(length.unwrap_or(0)).read_to_end(&mut asked.body)?;
        Ok(Some(asked))
    }
}

/// What is answered.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// Hang up after so many bytes of the body; before the head if None is written at all.
    pub(super) cut: Option<usize>,
    pub(super) silent: bool,
}

impl Answer {
    pub(super) fn new(status: u16, body: &str) -> Self {
        Self { status, body: body.as_bytes().to_vec(), ..Self::default() }
    }

    pub(super) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Asks another server.
    pub(super) fn from(address: &str, asked: &Asked) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        let mut text = format!("{} {} HTTP/1.1\r\nConnection: close\r\n", asked.method, asked.path);
        for (name, value) in &asked.headers {
            if !name.eq_ignore_ascii_case("connection") {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        stream.write_all(text.as_bytes())?;
        stream.write_all(b"\r\n")?;
        stream.write_all(&asked.body)?;
        let mut reader = BufReader::new(stream);
        let (line, headers) = head(&mut reader)?;
        let status = line.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        let mut answer = Self { status, headers, ..Self::default() };
        reader.read_to_end(&mut answer.body)?;
        Ok(answer)
    }

    fn write(&self, method: &str, stream: &mut impl io::Write) -> io::Result<()> {
        if self.silent {
            return Ok(());
        }
        let mut text = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", self.status);
        let own = |name: &str| {
            let framing = ["connection", "content-length", "transfer-encoding"];
            framing.iter().any(|known| name.eq_ignore_ascii_case(known))
        };
        for (name, value) in self.headers.iter().filter(|(name, _)| !own(name)) {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let said =
            self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length = match said {
            Some((_, length)) if method == "HEAD" => length.clone(),
            _ => self.body.len().to_string(),
        };
        text.push_str(&format!("Content-Length: {length}\r\n\r\n"));
        stream.write_all(text.as_bytes())?;
        if method != "HEAD" {
            stream.write_all(&self.body[..self.cut.unwrap_or(self.body.len())])?;
        }
        stream.flush()
    }
}

fn head(reader: &mut impl io::BufRead) -> io::Result<(String, Vec<(String, String)>)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim_end().is_empty() {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let mut lines = lines.into_iter();
    let first = lines.next().unwrap_or_default();
    let headers = lines
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_owned(), value.trim().to_owned()))
        })
        .collect();
    Ok((first, headers))
}

/// Answers each request on a thread of its own until it is dropped, and keeps what was asked.
pub(super) struct Server {
    pub(super) address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    ended: Arc<AtomicBool>,
}

impl Server {
    pub(super) fn start(
        answer: impl Fn(&Asked) -> io::Result<Answer> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        let address = listener.local_addr().expect("it is bound").to_string();
        let (asked, ended) = (Arc::new(Mutex::default()), Arc::new(AtomicBool::new(false)));
        let (answer, log, stop) = (Arc::new(answer), Arc::clone(&asked), Arc::clone(&ended));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                // A client that hangs up is no fault of a test.
                std::thread::spawn(move || serve(&stream, &*answer, &log).ok());
            }
        });
        Self { address, asked, ended }
    }

    /// Everything that was asked so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no handler panics").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the listener, which may be gone already.
        drop(TcpStream::connect(&self.address));
    }
}

fn serve(
    stream: &TcpStream,
    answer: &(dyn Fn(&Asked) -> io::Result<Answer> + Send + Sync),
    log: &Mutex<Vec<Asked>>,
) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    // TLS begins with a byte that no method has.
    if reader.fill_buf()?.first() == Some(&0x16) {
        return (&*stream).write_all(b"HTTP/1.0 400 Bad Request\r\n\r\nplain http here");
    }
    let Some(asked) = Asked::read(&mut reader)? else { return Ok(()) };
    log.lock().expect("no handler panics").push(asked.clone());
    let mut writer = stream;
    answer(&asked)?.write(&asked.method, &mut writer)
}
