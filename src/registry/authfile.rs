//! The files of docker and podman that credentials are kept in.
//!
//! Both keep an object `auths`. Its keys are hosts (`quay.io`), URLs of old
//! (`https://index.docker.io/v1/`), or, since podman, hosts with the beginning of a repository's
//! path (`quay.io/team`). `credHelpers` and `credsStore` name programs that keep secrets instead.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::GeneralPurpose;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use serde::Deserialize;

use super::Error;
use super::credential::{Credential, Found};
use super::keeper::Keeper;
use crate::report::Reporter;

/// The part of such a file that we read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct File {
    auths: Option<BTreeMap<String, Entry>>,
    cred_helpers: Option<BTreeMap<String, String>>,
    creds_store: Option<String>,
    #[serde(rename = "HttpHeaders")]
    http_headers: Option<BTreeMap<String, String>>,
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

    /// The helper that keeps the secrets of a host, and those of repositories there.
    pub(super) fn helper(&self, key: &str) -> Option<&str> {
        let key = canonical(key);
        let host = host_of(&key);
        let own = |wanted: &str| {
            let mut all = self.cred_helpers.iter().flatten();
            all.find(|(key, _)| canonical(key) == wanted).map(|(_, name)| name)
        };
        own(&key)
            .or_else(|| own(host))
            .or(self.creds_store.as_ref())
            .map(String::as_str)
            .filter(|name| !name.is_empty())
    }

    /// Headers that somebody wants to be sent with every request.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&String, &String)> {
        self.http_headers.iter().flatten()
    }

    /// Whether it has something that would be found for a repository.
    pub(super) fn knows(&self, host: &str, repository: &str) -> bool {
        let wanted = candidates(host, repository);
        let entries = self.auths.iter().flat_map(BTreeMap::keys);
        let own = self.cred_helpers.iter().flat_map(BTreeMap::keys);
        entries.chain(own).any(|key| wanted.contains(&canonical(key)))
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

    /// What the most specific key says that there is for a repository.
    pub(super) fn find(
        &self,
        path: &Path,
        host: &str,
        repository: &str,
        reporter: &dyn Reporter,
    ) -> Result<Option<Found>, Error> {
        for wanted in candidates(host, repository) {
            let (key, kept) = self.entry(path, &wanted)?.unzip();
            // A helper is asked for hosts; for a repository, if the file says that it has something.
            let is_marked = matches!(kept, Some(None));
            if (is_marked || !wanted.contains('/'))
                && let Some(name) = self.helper(&wanted)
            {
                let keeper = Keeper::named(name)?;
                match keeper.get(&wanted) {
                    Ok(Some(credential)) => {
                        let (place, key) = (keeper.shown(), wanted);
                        return Ok(Some(Found { credential, place, key, once: false }));
                    }
                    Ok(None) => {}
                    Err(error) => reporter.warn(told(&error, path)),
                }
            }
            if let (Some(key), Some(Some(credential))) = (key, kept) {
                let (place, key) = (path.display().to_string(), key.to_owned());
                return Ok(Some(Found { credential, place, key, once: false }));
            }
        }
        Ok(None)
    }

    /// The entry of a key, however that is spelt, and what it has: nothing where a helper keeps it.
    fn entry(
        &self,
        path: &Path,
        wanted: &str,
    ) -> Result<Option<(&str, Option<Credential>)>, Error> {
        let Some(auths) = &self.auths else { return Ok(None) };
        let exact = auths.get_key_value(wanted);
        let alike = || auths.iter().find(|(key, _)| canonical(key) == wanted);
        let Some((key, entry)) = exact.or_else(alike) else { return Ok(None) };
        let credential = entry.credential().map_err(|why| Error::CredentialEntry {
            path: path.to_owned(),
            key: key.clone(),
            why,
        })?;
        Ok(Some((key, credential)))
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
pub fn canonical(key: &str) -> String {
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

/// A key without the beginning of a repository's path.
fn host_of(key: &str) -> &str {
    key.split('/').next().unwrap_or_default()
}

pub(super) fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Silent;

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
    fn the_host_of_a_repository_says_who_keeps_its_secrets() {
        let json = r#"{"credHelpers":{"h":"one","h/x":"two"},"credsStore":"rest"}"#;
        let file: File = serde_json::from_str(json).expect(json);
        for (key, name) in [("h", "one"), ("https://h/v2/", "one"), ("h/y", "one"), ("h/x", "two")]
        {
            assert_eq!(file.helper(key), Some(name), "{key}");
        }
        assert_eq!((file.helper("k"), file.helper("h:1/x")), (Some("rest"), Some("rest")));
        for (host, repository, known) in
            [("h", "", true), ("h", "y/z", true), ("k", "", false), ("h:1", "x", false)]
        {
            assert_eq!(file.knows(host, repository), known, "{host}/{repository}");
        }
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
}
