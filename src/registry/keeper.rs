//! Programs that keep secrets (docker-credential-helpers' protocol): `docker-credential-NAME get`,
//! the server on stdin, JSON on stdout.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Error;
use super::credentials::{Credential, IDENTITY_USER, canonical};

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

/// The name of the program, as people see it.
pub(super) fn program(name: &str) -> String {
    format!("docker-credential-{name}")
}

/// The server as helpers know it: docker stores Docker Hub under a URL of its past.
fn server(host: &str) -> String {
    match canonical(host) {
        hub if hub == "docker.io" => "https://index.docker.io/v1/".to_owned(),
        other => other,
    }
}

/// The secret of a host; None if the helper has none.
pub(super) fn get(name: &str, host: &str) -> Result<Option<Credential>, Error> {
    let answer = match talk(name, "get", server(host).as_bytes())? {
        Ok(answer) => answer,
        Err(complaint) if complaint.contains("credentials not found") => return Ok(None),
        Err(complaint) => return Err(wrong(name, &complaint)),
    };
    let message: Message = serde_json::from_str(&answer)
        .map_err(|error| wrong(name, &format!("its answer is not valid JSON: {error}")))?;
    Ok(Some(Credential::new(&message.user, &message.secret)))
}

pub(super) fn store(name: &str, host: &str, credential: &Credential) -> Result<(), Error> {
    let (user, secret) = match credential {
        Credential::Basic { user, secret } => (user.as_str(), secret),
        Credential::IdentityToken(token) | Credential::RegistryToken(token) => {
            (IDENTITY_USER, token)
        }
    };
    let message =
        Message { server: server(host), user: user.to_owned(), secret: secret.to_owned() };
    let text = serde_json::to_vec(&message).expect("strings are valid JSON");
    talk(name, "store", &text)?.map(drop).map_err(|complaint| wrong(name, &complaint))
}

/// Whether there was something to remove.
pub(super) fn erase(name: &str, host: &str) -> Result<bool, Error> {
    let had = get(name, host)?.is_some();
    talk(name, "erase", server(host).as_bytes())?.map_err(|complaint| wrong(name, &complaint))?;
    Ok(had)
}

fn wrong(name: &str, why: &str) -> Error {
    Error::Helper { program: program(name), why: why.to_owned() }
}

/// What the helper printed; the inner error is what it complained of.
fn talk(name: &str, verb: &str, input: &[u8]) -> Result<Result<String, String>, Error> {
    let program = program(name);
    if name.contains('/') {
        return Err(wrong(name, "a name with a slash is no name of a helper"));
    }
    let start = |source| Error::HelperStart { program: program.clone(), source };
    let mut child = Command::new(&program)
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
    let mut stdout = child.stdout.take().expect("it was piped");
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let outcome = stdout.by_ref().take(LONGEST).read_to_end(&mut text).map(|_| text);
        // Nobody listens any more when it took too long.
        drop(sender.send(outcome));
    });
    let Ok(output) = receiver.recv_timeout(PATIENCE) else {
        // It may have ended this very moment.
        drop(child.kill());
        drop(child.wait());
        return Err(wrong(name, &format!("no answer in {} seconds", PATIENCE.as_secs())));
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
