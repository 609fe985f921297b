//! [`Keyring`]: where credentials are looked for, and who is asked for them.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::Error;
use super::authfile::File;
use super::credential::{Credential, Found, GIVEN, Kept};
use crate::report::Reporter;

/// Asks for the credentials of a registry.
pub type Question = Arc<dyn Fn(&str) -> io::Result<Credential> + Send + Sync>;

/// Somebody who can be asked for credentials.
#[derive(Clone)]
pub struct Ask {
    /// Each time anew, since a password is good for one use.
    pub always: bool,
    pub question: Question,
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask").field("always", &self.always).finish_non_exhaustive()
    }
}

/// Where credentials are looked for.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    /// Given by the caller for all registries; goes before the files.
    pub given: Option<Credential>,
    /// In docker's or podman's format. The first that knows the registry wins; those that do not
    /// exist are skipped.
    pub files: Vec<PathBuf>,
    /// Asked when no file knows the registry.
    pub ask: Option<Ask>,
}

impl Keyring {
    /// Everything that the files and the programs that they name have.
    pub fn list(&self, reporter: &dyn Reporter) -> Result<Vec<Kept>, Error> {
        let mut all = Vec::new();
        for path in &self.files {
            let Some(file) = File::read(path)? else { continue };
            for host in file.hosts(path, reporter) {
                let (name, repository) = host.split_once('/').unwrap_or((&host, ""));
                let found = file.find(path, name, repository, reporter)?;
                if let Some(Found { credential, place, .. }) = found {
                    all.push(Kept { host, credential, place });
                }
            }
        }
        Ok(all)
    }

    /// Whose credentials there are, without looking at them.
    pub fn hosts(&self, reporter: &dyn Reporter) -> Result<BTreeSet<String>, Error> {
        let mut all = BTreeSet::new();
        for path in &self.files {
            let Some(file) = File::read(path)? else { continue };
            all.extend(file.hosts(path, reporter));
        }
        Ok(all)
    }

    /// The first file that has something about a host, or about `repository` there, which may be
    /// the beginning of a path, and may be empty.
    pub fn place(&self, host: &str, repository: &str) -> Result<Option<PathBuf>, Error> {
        for path in &self.files {
            if File::read(path)?.is_some_and(|file| file.knows(host, repository)) {
                return Ok(Some(path.clone()));
            }
        }
        Ok(None)
    }

    /// Headers that are sent with every request to a registry, as the first file has them that has
    /// any.
    pub fn headers(&self) -> Result<Vec<(String, String)>, Error> {
        for path in &self.files {
            let Some(file) = File::read(path)? else { continue };
            let headers: Vec<_> =
                file.headers().map(|(name, value)| (name.clone(), value.clone())).collect();
            if !headers.is_empty() {
                return Ok(headers);
            }
        }
        Ok(Vec::new())
    }

    /// Credentials for a repository of a host (`docker.io` for Docker Hub); `repository` may be
    /// empty. Helpers that do not work are reported and passed over.
    pub fn find(
        &self,
        host: &str,
        repository: &str,
        reporter: &dyn Reporter,
    ) -> Result<Option<Found>, Error> {
        if let Some(credential) = self.given.clone() {
            let (place, key) = (GIVEN.into(), String::new());
            return Ok(Some(Found { credential, place, key, once: false }));
        }
        for path in &self.files {
            let Some(file) = File::read(path)? else { continue };
            if let Some(found) = file.find(path, host, repository, reporter)? {
                return Ok(Some(found));
            }
        }
        let Some(Ask { always, question }) = &self.ask else { return Ok(None) };
        let credential =
            question(host).map_err(|source| Error::Unasked { host: host.to_owned(), source })?;
        let (place, key) = ("the terminal".into(), String::new());
        Ok(Some(Found { credential, place, key, once: *always }))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::report::Silent;

    #[test]
    fn the_first_file_that_knows_the_host_wins() {
        let folder = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect(name);
            path
        };
        let files = vec![
            folder.path().join("missing/auth.json"),
            write("empty.json", ""),
            write("other.json", r#"{"auths":{"other":{"username":"a"}}}"#),
            write("right.json", r#"{"auths":{"h":{"username":"b"}}}"#),
            write("late.json", r#"{"auths":{"h":{"username":"c"}}}"#),
        ];
        let mut keyring = Keyring { given: None, files, ask: None };
        let found = keyring.find("h", "x", &Silent).expect("valid").expect("found");
        assert_eq!(found.credential, Credential::new("b", ""));
        assert!(found.place.ends_with("right.json"));
        assert_eq!(keyring.find("nobody", "x", &Silent).expect("valid"), None);
        keyring.files.insert(0, write("broken.json", "{"));
        let error = keyring.find("h", "x", &Silent).expect_err("broken");
        assert!(error.to_string().contains("broken.json"), "{error}");
        keyring.given = Some(Credential::new("me", "p"));
        let found = keyring.find("h", "x", &Silent).expect("given").expect("given");
        assert_eq!(found.credential, Credential::new("me", "p"));
    }

    #[test]
    fn a_person_is_asked_last() {
        let folder = tempfile::tempdir().expect("a directory");
        let file = folder.path().join("auth.json");
        fs::write(&file, r#"{"auths":{"h":{"username":"a"}}}"#).expect("written");
        let question = Arc::new(|host: &str| match host {
            "shy" => Err(io::Error::other("nobody there")),
            _ => Ok(Credential::new("me", "p")),
        });
        let ask = Some(Ask { always: true, question });
        let keyring = Keyring { given: None, files: vec![file], ask };
        let find = |host| keyring.find(host, "x", &Silent);
        assert_eq!(find("h").expect("valid").expect("found").credential, Credential::new("a", ""));
        let found = find("k").expect("valid").expect("asked");
        assert_eq!((found.credential, found.once), (Credential::new("me", "p"), true));
        assert!(matches!(find("shy"), Err(Error::Unasked { .. })));
    }

    #[test]
    fn what_is_kept_is_listed() {
        let folder = tempfile::tempdir().expect("a directory");
        let file = folder.path().join("auth.json");
        let json = r#"{"auths":{"https://index.docker.io/v1/":{"username":"a","password":"p"},
            "h/team":{"identitytoken":"t"},"empty":{}},"credsStore":"bryo-test-missing"}"#;
        fs::write(&file, json).expect("written");
        let keyring = Keyring { files: vec![file.clone()], ..Keyring::default() };
        let recorder = crate::report::Recorder::default();
        let kept = keyring.list(&recorder).expect("valid");
        let place = file.display().to_string();
        let of =
            |host: &str, credential| Kept { host: host.into(), credential, place: place.clone() };
        assert_eq!(
            kept,
            [
                of("docker.io", Credential::new("a", "p")),
                of("h/team", Credential::IdentityToken("t".into())),
            ]
        );
        assert!(format!("{:?}", recorder.events()).contains("bryo-test-missing"));
    }
}
