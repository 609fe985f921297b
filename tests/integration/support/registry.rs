//! Debian's `docker-registry`, on a free port.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::Place;

/// A registry that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Registry {
    child: Child,
    port: u16,
    data: PathBuf,
}

impl Registry {
    /// Plain http, no password.
    pub(crate) fn start(place: &Place) -> Self {
        Self::with(place, "")
    }

    /// Plain http; wants the user `ann` with the password `secret`.
    pub(crate) fn with_password(place: &Place) -> Self {
        let file = place.path("htpasswd");
        let said = place.run("htpasswd").args(["-nbB", "ann", "secret"]).succeeds();
        fs::write(&file, said.bytes()).expect("a file");
        Self::with(
            place,
            &format!("auth:\n  htpasswd:\n    realm: r\n    path: {}\n", file.display()),
        )
    }

    /// https with a certificate that a made-up authority signed; gives the authority's file.
    pub(crate) fn with_tls(place: &Place) -> (Self, PathBuf) {
        let folder = place.folder("tls");
        let run = |line: &str| {
            let words = line.split_whitespace();
            place.run("openssl").args(words).exits(0);
        };
        let at = folder.display();
        place.file("tls/san", "subjectAltName=IP:127.0.0.1,DNS:localhost\n");
        run(&format!(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=bryo-test-authority -keyout {at}/ca.key -out {at}/ca.pem"
        ));
        run(&format!(
            "req -new -newkey rsa:2048 -nodes -subj /CN=localhost -keyout {at}/key.pem -out {at}/request.pem"
        ));
        run(&format!(
            "x509 -req -in {at}/request.pem -CA {at}/ca.pem -CAkey {at}/ca.key -CAcreateserial -days 2 -extfile {at}/san -out {at}/cert.pem"
        ));
        let tls = format!("  tls:\n    certificate: {at}/cert.pem\n    key: {at}/key.pem\n");
        (Self::serve(place, &tls, ""), folder.join("ca.pem"))
    }

    /// https with a certificate that vouches for itself, as an authority does; gives its file.
    pub(crate) fn self_signed(place: &Place, names: &str) -> (Self, PathBuf) {
        let folder = place.folder("tls");
        let at = folder.display();
        let line = format!(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName={names} -keyout {at}/key.pem -out {at}/cert.pem"
        );
        place.run("openssl").args(line.split_whitespace()).exits(0);
        let tls = format!("  tls:\n    certificate: {at}/cert.pem\n    key: {at}/key.pem\n");
        (Self::serve(place, &tls, ""), folder.join("cert.pem"))
    }

    /// The same, for those who show a certificate of that authority; gives the folder with `ca.pem`,
    /// `client.pem` and `client.key`.
    pub(crate) fn with_client_certificates(place: &Place) -> (Self, PathBuf) {
        let (open, authority) = Self::with_tls(place);
        drop(open);
        let folder = authority.parent().expect("it lies in a folder").to_owned();
        let at = folder.display();
        for line in [
            format!(
                "req -new -newkey rsa:2048 -nodes -subj /CN=ann -keyout {at}/client.key -out {at}/client.csr"
            ),
            format!(
                "x509 -req -in {at}/client.csr -CA {at}/ca.pem -CAkey {at}/ca.key -CAcreateserial -days 2 -extfile {at}/san -out {at}/client.pem"
            ),
        ] {
            place.run("openssl").args(line.split_whitespace()).exits(0);
        }
        let tls = format!(
            "  tls:\n    certificate: {at}/cert.pem\n    key: {at}/key.pem\n    clientcas:\n      - {at}/ca.pem\n"
        );
        (Self::serve(place, &tls, ""), folder)
    }

    fn with(place: &Place, more: &str) -> Self {
        Self::serve(place, "", more)
    }

    fn serve(place: &Place, in_http: &str, more: &str) -> Self {
        // Another process may take the port before the registry does: then it tries another one.
        for _ in 0..5 {
            if let Some(registry) = Self::try_serve(place, in_http, more) {
                return registry;
            }
        }
        panic!("docker-registry does not start");
    }

    fn try_serve(place: &Place, in_http: &str, more: &str) -> Option<Self> {
        let port = free_port();
        let data = place.path(format!("registry-{port}"));
        let config = place.path(format!("registry-{port}.yml"));
        let text = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\n  \
             delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:{port}\n{in_http}{more}",
            data.display()
        );
        fs::write(&config, text).expect("a file");
        Self::begin(place, port)
    }

    /// Starts what a file says that was written for this port.
    fn begin(place: &Place, port: u16) -> Option<Self> {
        let data = place.path(format!("registry-{port}"));
        let config = place.path(format!("registry-{port}.yml"));
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry is installed");
        // From here on dropping it ends the process.
        let mut registry = Self { child, port, data };
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(registry);
            }
            if registry.child.try_wait().expect("it is our child").is_some() {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    /// The same, started again so that it takes nothing any more.
    pub(crate) fn read_only(self, place: &Place) -> Self {
        let port = self.port;
        let config = place.path(format!("registry-{port}.yml"));
        drop(self);
        let text = fs::read_to_string(&config).expect("written before").replace(
            "  delete:\n",
            "  maintenance:\n    readonly:\n      enabled: true\n  delete:\n",
        );
        fs::write(&config, text).expect("a file");
        Self::begin(place, port).expect("the port was free a moment ago")
    }

    /// `127.0.0.1:PORT`
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// An image's name there.
    pub(crate) fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.host())
    }

    /// The file that a blob is kept in.
    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").expect("a sha256 digest");
        self.data.join("docker/registry/v2/blobs/sha256").join(&hex[..2]).join(hex).join("data")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A port that nobody listens on. It is below those that the kernel gives to who asks for any: else
/// another test might get it before the registry has it.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id().wrapping_mul(64) + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 16000 + u16::try_from(number % 16000).expect("it is small");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
