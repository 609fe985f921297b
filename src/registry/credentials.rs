//! [`Keyring`]: credentials in the files of docker and podman, from paths handed in.
//!
//! Both keep an object `auths`. Its keys are hosts (`quay.io`), URLs of old
//! (`https://index.docker.io/v1/`), or, since podman, hosts with the beginning of a repository's
//! path (`quay.io/team`). `credHelpers` and `credsStore` name programs that keep secrets instead.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD};
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use serde::Deserialize;

use super::Error;
use super::keeper::Keeper;
use crate::report::Reporter;

/// Where credentials were that nobody keeps.
pub(super) const GIVEN: &str = "the caller";

/// The user name that stands for "the secret is an identity token".
pub(super) const IDENTITY_USER: &str = "<token>";

/// What proves who we are.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    Basic {
        user: String,
        secret: String,
    },
    /// Exchanged for tokens (`docker login` with some providers).
    IdentityToken(String),
    /// A token by itself.
    RegistryToken(String),
}

impl Credential {
    /// From a user's name and password, as people and helpers give them.
    pub fn new(user: &str, secret: &str) -> Self {
        match user {
            IDENTITY_USER => Self::IdentityToken(secret.to_owned()),
            _ => Self::Basic { user: user.to_owned(), secret: secret.to_owned() },
        }
    }

    /// From the value of `Authorization` for the scheme `Basic`, as a server gets it.
    pub fn from_basic(header: &str) -> Option<(String, String)> {
        let (scheme, encoded) = header.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
        let (user, secret) = text.split_once(':')?;
        Some((user.to_owned(), secret.to_owned()))
    }

    /// The value of `Authorization` for the scheme `Basic`.
    pub(super) fn basic(&self) -> Option<String> {
        let Self::Basic { user, secret } = self else { return None };
        Some(format!("Basic {}", STANDARD.encode(format!("{user}:{secret}"))))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic { user, .. } => write!(f, "Basic({user})"),
            Self::IdentityToken(_) => f.write_str("IdentityToken"),
            Self::RegistryToken(_) => f.write_str("RegistryToken"),
        }
    }
}

/// A credential, and where it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub credential: Credential,
    /// For people: a file or a program.
    pub place: String,
    /// It is good for one use.
    pub once: bool,
}

/// Credentials that are kept somewhere, as they are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The registry, with the beginning of a repository's path where they are for that alone.
    pub host: String,
    pub credential: Credential,
    /// For people: a file or a program.
    pub place: String,
}

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

    /// The first file that has something about a host.
    pub fn place(&self, host: &str) -> Result<Option<PathBuf>, Error> {
        for path in &self.files {
            if File::read(path)?.is_some_and(|file| file.knows(host)) {
                return Ok(Some(path.clone()));
            }
        }
        Ok(None)
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
            let place = GIVEN.into();
            return Ok(Some(Found { credential, place, once: false }));
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
        Ok(Some(Found { credential, place: "the terminal".into(), once: *always }))
    }
}

/// The part of such a file that we read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct File {
    auths: Option<BTreeMap<String, Entry>>,
    cred_helpers: Option<BTreeMap<String, String>>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entry")
    }
}

impl File {
    /// None if there is no such file; an empty one says nothing.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Error> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if absent(&error) => return Ok(None),
            Err(source) => return Err(Error::CredentialFile { path: path.to_owned(), source }),
        };
        if bytes.trim_ascii().is_empty() {
            return Ok(Some(Self::default()));
        }
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| Error::CredentialFormat { path: path.to_owned(), source })
    }

    /// The helper that keeps the secrets of a host.
    pub(super) fn helper(&self, host: &str) -> Option<&str> {
        let host = canonical(host);
        let own = self.cred_helpers.iter().flatten().find(|(key, _)| canonical(key) == host);
        own.map(|(_, name)| name)
            .or(self.creds_store.as_ref())
            .map(String::as_str)
            .filter(|name| !name.is_empty())
    }

    fn knows(&self, host: &str) -> bool {
        let entries = self.auths.iter().flat_map(BTreeMap::keys);
        let own = self.cred_helpers.iter().flat_map(BTreeMap::keys);
        entries.chain(own).any(|key| canonical(key) == canonical(host))
    }

    /// Whose credentials it has, sorted. Helpers that do not work are reported.
    pub(super) fn hosts(&self, path: &Path, reporter: &dyn Reporter) -> BTreeSet<String> {
        let entries = self.auths.iter().flat_map(BTreeMap::keys);
        let own = self.cred_helpers.iter().flat_map(BTreeMap::keys);
        let mut hosts: BTreeSet<String> = entries.chain(own).map(|key| canonical(key)).collect();
        let store = self.creds_store.as_deref().filter(|name| !name.is_empty());
        let listed = store.map(|name| Keeper::named(name).and_then(|keeper| keeper.list()));
        match listed.transpose() {
            Ok(listed) => hosts.extend(listed.iter().flatten().map(|key| canonical(key))),
            Err(error) => reporter.warn(told(&error, path)),
        }
        hosts
    }

    fn find(
        &self,
        path: &Path,
        host: &str,
        repository: &str,
        reporter: &dyn Reporter,
    ) -> Result<Option<Found>, Error> {
        if let Some(name) = self.helper(host) {
            let keeper = Keeper::named(name)?;
            match keeper.get(host) {
                Ok(Some(credential)) => {
                    return Ok(Some(Found { credential, place: keeper.shown(), once: false }));
                }
                Ok(None) => {}
                Err(error) => reporter.warn(told(&error, path)),
            }
        }
        let Some(auths) = &self.auths else { return Ok(None) };
        for wanted in candidates(host, repository) {
            let exact = auths.get_key_value(&wanted);
            let alike = || auths.iter().find(|(key, _)| canonical(key) == wanted);
            let Some((key, entry)) = exact.or_else(alike) else { continue };
            let credential = entry.credential().map_err(|why| Error::CredentialEntry {
                path: path.to_owned(),
                key: key.clone(),
                why,
            })?;
            // An empty entry marks that a helper has the secret.
            if let Some(credential) = credential {
                let place = path.display().to_string();
                return Ok(Some(Found { credential, place, once: false }));
            }
        }
        Ok(None)
    }
}

/// What is wrong with a helper that a file names.
fn told(error: &Error, path: &Path) -> String {
    let cause = std::error::Error::source(error);
    let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause} (named in {})", path.display())
}

impl Entry {
    fn credential(&self) -> Result<Option<Credential>, &'static str> {
        let set = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
        if let Some(token) = set(&self.identitytoken) {
            return Ok(Some(Credential::IdentityToken(token)));
        }
        if let Some(token) = set(&self.registrytoken) {
            return Ok(Some(Credential::RegistryToken(token)));
        }
        if let Some(user) = set(&self.username) {
            return Ok(Some(Credential::new(&user, &self.password.clone().unwrap_or_default())));
        }
        let Some(auth) = set(&self.auth) else { return Ok(None) };
        // Padding is left out by some writers.
        let lenient = GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true);
        let engine = GeneralPurpose::new(&base64::alphabet::STANDARD, lenient);
        let bytes = engine.decode(auth.trim()).map_err(|_| "\"auth\" is not base64")?;
        let text = String::from_utf8(bytes).map_err(|_| "\"auth\" is no text")?;
        // A password may have colons, and docker pads it with zeros.
        let (user, secret) = text.split_once(':').ok_or("\"auth\" has no colon")?;
        Ok(Some(Credential::new(user, secret.trim_matches('\0'))))
    }
}

/// The keys under which a repository's credentials may be, the most specific first.
fn candidates(host: &str, repository: &str) -> Vec<String> {
    let full = canonical(&format!("{host}/{repository}"));
    let slashes = full.match_indices('/').map(|(at, _)| full[..at].to_owned());
    let mut keys: Vec<String> = slashes.collect();
    keys.push(full);
    keys.reverse();
    keys
}

/// A key without scheme and API version, Docker Hub under one name.
pub(super) fn canonical(key: &str) -> String {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let bare = bare.trim_end_matches('/');
    let bare = bare.strip_suffix("/v1").or_else(|| bare.strip_suffix("/v2")).unwrap_or(bare);
    let (host, path) = match bare.split_once('/') {
        Some((host, path)) => (host, Some(path)),
        None => (bare, None),
    };
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        other => other,
    };
    match path {
        Some(path) => format!("{host}/{path}"),
        None => host.to_owned(),
    }
}

pub(super) fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Silent;

    #[test]
    fn a_server_reads_what_a_client_sends() {
        let credential = Credential::new("ann", "a:b");
        let header = credential.basic().expect("a header");
        let read = Credential::from_basic(&header);
        assert_eq!(read, Some(("ann".to_owned(), "a:b".to_owned())));
        for bad in ["", "Basic", "Bearer YTpi", "Basic %", "Basic YWI="] {
            assert_eq!(Credential::from_basic(bad), None, "{bad}");
        }
    }

    fn find(json: &str, host: &str, repository: &str) -> Result<Option<Credential>, Error> {
        let file: File = serde_json::from_str(json).expect(json);
        let found = file.find(Path::new("auth.json"), host, repository, &Silent)?;
        Ok(found.map(|found| found.credential))
    }

    #[test]
    fn keys_are_found_in_every_spelling() {
        let entry = r#"{"auth":"YW5uOnBhOnNz"}"#; // ann:pa:ss
        let ann = Some(Credential::new("ann", "pa:ss"));
        for (key, host, repository, fits) in [
            ("quay.io", "quay.io", "team/app", true),
            ("https://quay.io", "quay.io", "team/app", true),
            ("http://quay.io/v2/", "quay.io", "", true),
            ("quay.io/team", "quay.io", "team/app", true),
            ("quay.io/team/app", "quay.io", "team/app", true),
            ("quay.io/team", "quay.io", "teamwork/app", false),
            ("quay.io/team", "quay.io", "", false),
            ("quay.io", "quay.io:443", "a", false),
            ("127.0.0.1:5000", "127.0.0.1:5000", "a", true),
            ("https://index.docker.io/v1/", "docker.io", "library/a", true),
            ("index.docker.io", "docker.io", "library/a", true),
            ("docker.io", "docker.io", "library/a", true),
            ("docker.io/library", "docker.io", "library/a", true),
            ("registry-1.docker.io", "docker.io", "library/a", true),
            ("quay.io", "docker.io", "library/a", false),
        ] {
            let json = format!(r#"{{"auths":{{"{key}":{entry}}}}}"#);
            let found = find(&json, host, repository).expect(key);
            assert_eq!(found, ann.clone().filter(|_| fits), "{key} for {host}/{repository}");
        }
    }

    #[test]
    fn the_longest_key_wins() {
        let json = r#"{"auths":{"h":{"username":"a"},"h/x":{"username":"b"},"h/x/y":{"username":"c"},"https://h/x/":{"username":"d"}}}"#;
        for (repository, user) in [("z", "a"), ("x/z", "b"), ("x/y", "c"), ("x/y/z", "c")] {
            let found = find(json, "h", repository).expect("valid");
            assert_eq!(found, Some(Credential::new(user, "")), "{repository}");
        }
    }

    #[test]
    fn entries_come_in_several_forms() {
        for (entry, expected) in [
            (r#"{"auth":"YW5uOnBhc3M="}"#, Some(Credential::new("ann", "pass"))),
            (r#"{"auth":"YW5uOnBhc3M"}"#, Some(Credential::new("ann", "pass"))),
            (r#"{"username":"ann","password":"p"}"#, Some(Credential::new("ann", "p"))),
            (
                r#"{"auth":"YW5uOg==","identitytoken":"t"}"#,
                Some(Credential::IdentityToken("t".into())),
            ),
            (r#"{"auth":"PHRva2VuPjp0"}"#, Some(Credential::IdentityToken("t".into()))),
            (r#"{"registrytoken":"r"}"#, Some(Credential::RegistryToken("r".into()))),
            (r#"{"email":"x@y","auth":""}"#, None),
            ("{}", None),
        ] {
            let found =
                find(&format!(r#"{{"auths":{{"h":{entry}}},"HttpHeaders":{{}}}}"#), "h", "");
            assert_eq!(found.expect(entry), expected, "{entry}");
        }
        for entry in [r#"{"auth":"%%"}"#, r#"{"auth":"YW5u"}"#] {
            let error = find(&format!(r#"{{"auths":{{"h":{entry}}}}}"#), "h", "").expect_err(entry);
            assert!(error.to_string().starts_with("credentials in auth.json for h: "), "{error}");
        }
    }

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

    #[test]
    fn a_missing_helper_is_told_and_passed_over() {
        let recorder = crate::report::Recorder::default();
        for json in [
            r#"{"credsStore":"bryo-test-missing","auths":{"h":{"username":"a"}}}"#,
            r#"{"credHelpers":{"https://h/v1/":"bryo-test-missing"},"auths":{"h":{"username":"a"}}}"#,
        ] {
            let file: File = serde_json::from_str(json).expect(json);
            let found = file.find(Path::new("auth.json"), "h", "x", &recorder).expect(json);
            assert_eq!(found.expect("in the file").credential, Credential::new("a", ""));
        }
        let text = format!("{:?}", recorder.events());
        assert_eq!(text.matches("docker-credential-bryo-test-missing: ").count(), 2, "{text}");
    }

    #[test]
    fn secrets_are_not_printed() {
        let text =
            format!("{:?}", [Credential::new("u", "s3cret"), Credential::new("<token>", "s3cret")]);
        assert!(!text.contains("s3cret"), "{text}");
    }
}
