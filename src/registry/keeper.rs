//! Programs that keep secrets (docker-credential-helpers' protocol): `docker-credential-NAME get`,
//! the server on stdin, JSON on stdout.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Error;
use super::authfile::canonical;
use super::credential::{Credential, IDENTITY_USER};

/// One may have to ask its user for a passphrase.
const PATIENCE: Duration = Duration::from_secs(120);
const LONGEST: u64 = 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct Message {
    #[serde(rename = "ServerURL", default)]
    server: String,
    #[serde(rename = "Username")]
    user: String,
    #[serde(rename = "Secret")]
    secret: String,
}

/// Such a program.
#[derive(Debug)]
pub(super) struct Keeper {
    program: PathBuf,
}

impl Keeper {
    /// The one that configuration files call `name`, found as any program.
    pub(super) fn named(name: &str) -> Result<Self, Error> {
        let keeper = Self { program: format!("docker-credential-{name}").into() };
        match name.contains('/') {
            true => Err(keeper.wrong("a name with a slash is no name of a helper".into())),
            false => Ok(keeper),
        }
    }

    /// As people see it.
    pub(super) fn shown(&self) -> String {
        self.program.display().to_string()
    }

    /// The secret of a host; None if it has none.
    pub(super) fn get(&self, host: &str) -> Result<Option<Credential>, Error> {
        let answer = match self.talk("get", server(host).as_bytes())? {
            Ok(answer) => answer,
            Err(complaint) if complaint.contains("credentials not found") => return Ok(None),
            Err(complaint) => return Err(self.wrong(complaint)),
        };
        let message: Message = serde_json::from_str(&answer)
            .map_err(|error| self.wrong(format!("its answer is not valid JSON: {error}")))?;
        Ok(Some(Credential::new(&message.user, &message.secret)))
    }

    /// The servers that it has secrets of.
    pub(super) fn list(&self) -> Result<Vec<String>, Error> {
        let answer = self.talk("list", b"")?.map_err(|complaint| self.wrong(complaint))?;
        let users: BTreeMap<String, String> = serde_json::from_str(&answer)
            .map_err(|error| self.wrong(format!("its answer is not valid JSON: {error}")))?;
        Ok(users.into_keys().collect())
    }

    pub(super) fn store(&self, host: &str, credential: &Credential) -> Result<(), Error> {
        let (user, secret) = match credential {
            Credential::Basic { user, secret } => (user.as_str(), secret),
            Credential::IdentityToken(token) | Credential::RegistryToken(token) => {
                (IDENTITY_USER, token)
            }
        };
        let (server, user, secret) = (server(host), user.to_owned(), secret.to_owned());
        let message = serde_json::to_vec(&Message { server, user, secret });
        let message = message.expect("strings are valid JSON");
        self.talk("store", &message)?.map(drop).map_err(|complaint| self.wrong(complaint))
    }

    /// Whether there was something to remove.
    pub(super) fn erase(&self, host: &str) -> Result<bool, Error> {
        let had = self.get(host)?.is_some();
        self.talk("erase", server(host).as_bytes())?.map_err(|complaint| self.wrong(complaint))?;
        Ok(had)
    }

    fn wrong(&self, why: String) -> Error {
        Error::Helper { program: self.shown(), why }
    }

    /// What it printed; the inner error is what it complained of.
    fn talk(&self, verb: &str, input: &[u8]) -> Result<Result<String, String>, Error> {
        let start = |source| Error::HelperStart { program: self.shown(), source };
        let mut child = Command::new(&self.program)
            .arg(verb)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(start)?;
        let mut stdin = child.stdin.take().expect("it was piped");
        // A helper that does not read its input says why on its output.
        drop(stdin.write_all(input));
        drop(stdin);
        let stdout = child.stdout.take().expect("it was piped");
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let outcome = stdout.take(LONGEST).read_to_end(&mut text).map(|_| text);
            // Nobody listens any more when it took too long.
            drop(sender.send(outcome));
        });
        let Ok(output) = receiver.recv_timeout(PATIENCE) else {
            // It may have ended this very moment.
            drop(child.kill());
            drop(child.wait());
            return Err(self.wrong(format!("no answer in {} seconds", PATIENCE.as_secs())));
        };
        let output = output.map_err(start)?;
        let status = child.wait().map_err(start)?;
        let text = String::from_utf8_lossy(&output).trim().to_owned();
        Ok(match status.success() {
            true => Ok(text),
            false if text.is_empty() => Err(format!("it ended with {status}")),
            false => Err(text),
        })
    }
}

/// The server as helpers know it: docker stores Docker Hub under a URL of its past.
fn server(host: &str) -> String {
    match canonical(host) {
        hub if hub == "docker.io" => "https://index.docker.io/v1/".to_owned(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn keeper(folder: &tempfile::TempDir, script: &str) -> Keeper {
        let program = folder.path().join("docker-credential-moss");
        // Beside it first: a thread that forks just now would keep it open for writing.
        let written = fs::write(folder.path().join("script"), format!("#!/bin/sh\n{script}"));
        written.expect("written");
        let copied = Command::new("cp").arg("script").arg(&program).current_dir(folder).status();
        assert!(copied.expect("cp runs").success());
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&program, mode).expect("executable");
        Keeper { program }
    }

    #[test]
    fn secrets_are_kept_told_and_forgotten() {
        let folder = tempfile::tempdir().expect("a directory");
        let script = r#"cd "$(dirname "$0")" || exit 1
case $1 in
store) cat > kept ;;
get) read -r server; grep -q "\"$server\"" kept 2>/dev/null && cat kept && exit
     echo "credentials not found in native keychain"; exit 1 ;;
erase) read -r server; rm kept ;;
list) sed 's/.*"ServerURL":\("[^"]*"\),"Username":\("[^"]*"\).*/{\1:\2}/' kept ;;
esac
"#;
        let keeper = keeper(&folder, script);
        for (host, credential) in [
            ("127.0.0.1:5000", Credential::new("ann", "p\"a:ss")),
            ("docker.io", Credential::IdentityToken("t".into())),
        ] {
            assert_eq!(keeper.get(host).expect("asked"), None);
            keeper.store(host, &credential).expect("kept");
            assert_eq!(keeper.get(host).expect("asked"), Some(credential));
            let text = fs::read_to_string(folder.path().join("kept")).expect("kept");
            let server = if host == "docker.io" { "https://index.docker.io/v1/" } else { host };
            assert_eq!(keeper.list().expect("listed"), [server]);
            assert!(text.contains(&format!(r#""ServerURL":"{server}""#)), "{text}");
            assert!(keeper.erase(host).expect("forgotten"));
        }
    }

    #[test]
    fn what_does_not_work_is_said() {
        let folder = tempfile::tempdir().expect("a directory");
        for (script, expected) in [
            ("cat >/dev/null; echo 'the vault is locked'; exit 1", "the vault is locked"),
            ("exit 3", "it ended with exit status: 3"),
            ("echo '<html>'", "its answer is not valid JSON"),
        ] {
            let error = keeper(&folder, script).get("h").expect_err(script);
            assert!(error.to_string().contains(expected), "{error}");
        }
        let error = Keeper::named("bryo-test-missing").and_then(|keeper| keeper.get("h"));
        let error = error.expect_err("there is no such program");
        assert_eq!(error.to_string(), "docker-credential-bryo-test-missing");
        assert!(Keeper::named("../moss").is_err());
    }
}
