//! Debian's `docker-registry`, one for each test that wants one.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;

/// A registry that lives as long as this.
pub(super) struct Docker {
    child: Child,
    /// `127.0.0.1:PORT`
    pub(super) address: String,
    pub(super) folder: TempDir,
}

/// Whom it lets in.
pub(super) enum Door<'a> {
    Open,
    /// `user` with `wonder:land`.
    Basic,
    /// Who has a token of this realm, signed by the certificate in the file.
    Token {
        realm: &'a str,
        certificate: &'a Path,
    },
    /// Everybody, through TLS; or whoever has a certificate that `clients` signed.
    Tls {
        certificate: &'a Path,
        key: &'a Path,
        clients: Option<&'a Path>,
    },
}

impl Docker {
    /// None, with a word about it, where there is no such program; in CI that is a failure.
    pub(super) fn start(door: &Door<'_>) -> Option<Self> {
        if Command::new("docker-registry").arg("--version").output().is_err() {
            let reason = "docker-registry is not installed (apt-get install docker-registry)";
            assert!(option_env!("CI").is_none(), "{reason}");
            let told = writeln!(std::io::stderr(), "skipped: {reason}");
            told.expect("stderr takes a line");
            return None;
        }
        // The port may be taken between our look and the registry's.
        (0..5)
            .find_map(|_| Self::try_start(door))
            .or_else(|| panic!("docker-registry did not start"))
    }

    fn try_start(door: &Door<'_>) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a directory");
        let address = free_address();
        let config = folder.path().join("config.yml");
        fs::write(&config, configuration(door, &address, folder.path())).expect("written");
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it is installed");
        for _ in 0..1000 {
            if child.try_wait().expect("it is our child").is_some() {
                return None;
            }
            if TcpStream::connect(&address).is_ok() {
                return Some(Self { child, address, folder });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill().expect("it is our child");
        None
    }
}

/// An address that nobody listens at. Its port is below those that the kernel gives to who asks for
/// any: else another test might get it before the registry has it.
fn free_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id().wrapping_mul(64) + NEXT.fetch_add(1, Ordering::Relaxed);
        let address = format!("127.0.0.1:{}", 16000 + number % 16000);
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn configuration(door: &Door<'_>, address: &str, folder: &Path) -> String {
    let (mut auth, mut tls) = (String::new(), String::new());
    match door {
        Door::Open => {}
        Door::Basic => {
            let file = folder.join("htpasswd");
            let made = Command::new("htpasswd").args(["-Bbn", "user", "wonder:land"]).output();
            let made = made.expect("htpasswd is installed (apache2-utils)");
            fs::write(&file, made.stdout).expect("written");
            auth = format!("auth:\n  htpasswd:\n    realm: moss\n    path: {}\n", file.display());
        }
        Door::Token { realm, certificate } => {
            auth = format!(
                "auth:\n  token:\n    realm: {realm}\n    service: moss\n    issuer: gardener\n    \
                 rootcertbundle: {}\n",
                certificate.display()
            );
        }
        Door::Tls { certificate, key, clients } => {
            tls = format!(
                "  tls:\n    certificate: {}\n    key: {}\n",
                certificate.display(),
                key.display()
            );
            if let Some(clients) = clients {
                tls.push_str(&format!("    clientcas:\n      - {}\n", clients.display()));
            }
        }
    }
    let data = folder.join("data");
    format!(
        "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\n  \
         delete:\n    enabled: true\nhttp:\n  addr: {address}\n{tls}{auth}",
        data.display()
    )
}

/// An authority and a certificate of 127.0.0.1 that it signed, in files.
pub(super) struct Certificates {
    pub(super) authority: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    /// Of somebody who wants to come in, with its key beside it.
    pub(super) client: PathBuf,
    _folder: TempDir,
}

impl Certificates {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let make = |name: &str, words: &str| {
            let common = "req -x509 -newkey rsa:2048 -nodes -days 2 -keyout";
            let words = format!("{common} {name}.key -out {name}.pem {words}");
            let made = Command::new("openssl")
                .args(words.split(' '))
                .current_dir(folder.path())
                .output()
                .expect("openssl is installed");
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        };
        make("authority", "-subj /CN=moss-authority");
        make(
            "server",
            "-subj /CN=moss -CA authority.pem -CAkey authority.key \
             -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE",
        );
        make(
            "client",
            "-subj /CN=ann -CA authority.pem -CAkey authority.key \
             -addext basicConstraints=critical,CA:FALSE -addext extendedKeyUsage=clientAuth",
        );
        let path = |name: &str| folder.path().join(name);
        Self {
            authority: path("authority.pem"),
            certificate: path("server.pem"),
            key: path("server.key"),
            client: path("client.pem"),
            _folder: folder,
        }
    }
}
