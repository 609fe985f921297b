//! Keeping credentials, and forgetting them, where docker and podman find them too.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::Error;
use super::authfile::{File, absent, canonical};
use super::credential::Credential;
use super::keeper::Keeper;
use crate::report::Reporter;

/// Where credentials are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In clear text, readable for its owner alone.
    File(PathBuf),
    /// With a program that the file names.
    Helper(String),
}

/// Keeps credentials for `host` (which may have the beginning of a repository's path behind it) in
/// `file`, or with the helper that `file` names for it. All else in the file stays as it is.
pub fn remember(file: &Path, host: &str, credential: &Credential) -> Result<Place, Error> {
    let settings = File::read(file)?.unwrap_or_default();
    let keeper = settings.helper(host).map(Keeper::named).transpose()?;
    let (entry, place) = match (keeper, credential) {
        // An empty entry says that there is a secret elsewhere.
        (Some(keeper), _) => {
            keeper.store(host, credential)?;
            (json!({}), Place::Helper(keeper.shown()))
        }
        (None, Credential::Basic { user, secret }) => {
            let auth = STANDARD.encode(format!("{user}:{secret}"));
            (json!({ "auth": auth }), Place::File(file.to_owned()))
        }
        (None, Credential::IdentityToken(token)) => {
            (json!({ "identitytoken": token }), Place::File(file.to_owned()))
        }
        (None, Credential::RegistryToken(token)) => {
            (json!({ "registrytoken": token }), Place::File(file.to_owned()))
        }
    };
    edit(file, |auths| {
        auths.retain(|key, _| canonical(key) != canonical(host));
        auths.insert(key(host), entry);
        true
    })?;
    Ok(place)
}

/// Removes the credentials for `host` from each of `files` and their helpers; returns from where.
pub fn forget(files: &[PathBuf], host: &str) -> Result<Vec<Place>, Error> {
    let mut places = Vec::new();
    for file in files {
        let Some(settings) = File::read(file)? else { continue };
        if let Some(keeper) = settings.helper(host).map(Keeper::named).transpose()?
            && keeper.erase(host)?
        {
            places.push(Place::Helper(keeper.shown()));
        }
        let changed = edit(file, |auths| {
            let before = auths.len();
            auths.retain(|key, _| canonical(key) != canonical(host));
            auths.len() != before
        })?;
        if changed {
            places.push(Place::File(file.clone()));
        }
    }
    Ok(places)
}

/// Removes all credentials of each of `files` and of the programs that they name; returns whose they
/// were, and from where they are gone.
pub fn forget_all(
    files: &[PathBuf],
    reporter: &dyn Reporter,
) -> Result<Vec<(String, Place)>, Error> {
    let mut gone = Vec::new();
    for file in files {
        let Some(settings) = File::read(file)? else { continue };
        for host in settings.hosts(file, reporter) {
            let places = forget(std::slice::from_ref(file), &host)?;
            gone.extend(places.into_iter().map(|place| (host.clone(), place)));
        }
    }
    Ok(gone)
}

/// As docker writes it, which reads Docker Hub's only under the URL of its first API.
fn key(host: &str) -> String {
    match canonical(host) {
        hub if hub == "docker.io" => "https://index.docker.io/v1/".to_owned(),
        other => other,
    }
}

/// Lets `change` edit `auths`, and writes the file if it says that something is new.
fn edit(file: &Path, change: impl FnOnce(&mut Map<String, Value>) -> bool) -> Result<bool, Error> {
    let io = |source| Error::CredentialFile { path: file.to_owned(), source };
    let json = |source| Error::CredentialFormat { path: file.to_owned(), source };
    // A link (to a folder under version control, say) stays one.
    let target = match fs::canonicalize(file) {
        Ok(target) => target,
        Err(error) if absent(&error) => file.to_owned(),
        Err(error) => return Err(io(error)),
    };
    let text = match fs::read(&target) {
        Ok(text) => text,
        Err(error) if absent(&error) => Vec::new(),
        Err(error) => return Err(io(error)),
    };
    let mut whole: Map<String, Value> = match text.trim_ascii() {
        [] => Map::new(),
        text => serde_json::from_slice(text).map_err(json)?,
    };
    let auths = whole.entry("auths").or_insert(Value::Null);
    if auths.is_null() {
        *auths = Value::Object(Map::new());
    }
    let Some(auths) = auths.as_object_mut() else {
        let (path, why) = (file.to_owned(), "it is no object");
        return Err(Error::CredentialEntry { path, key: "auths".into(), why });
    };
    if !change(auths) {
        return Ok(false);
    }
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
    let mut text = serde_json::to_vec_pretty(&whole).map_err(json)?;
    text.push(b'\n');
    let mut new = tempfile::Builder::new()
        .prefix(".auth-")
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(folder)
        .map_err(io)?;
    new.write_all(&text).map_err(io)?;
    new.as_file().sync_all().map_err(io)?;
    new.persist(&target).map_err(|error| io(error.error))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Keyring;
    use crate::report::Silent;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    #[test]
    fn what_is_remembered_is_found_and_forgotten() {
        let folder = tempfile::tempdir().expect("a directory");
        let file = folder.path().join("docker/config.json");
        let keyring = Keyring { files: vec![file.clone()], ..Keyring::default() };
        for (host, credential) in [
            ("127.0.0.1:5000", Credential::new("user", "wonder:land")),
            ("docker.io", Credential::IdentityToken("t".into())),
            ("quay.io/team", Credential::new("robot$x", "s")),
        ] {
            let place = remember(&file, host, &credential).expect(host);
            assert_eq!(place, Place::File(file.clone()));
            let (name, path) = host.split_once('/').unwrap_or((host, ""));
            let found = keyring.find(name, path, &Silent).expect(host).expect(host);
            assert_eq!(found.credential, credential);
        }
        assert_eq!(mode(&file), 0o600);
        assert_eq!(mode(file.parent().expect("a parent")), 0o700);
        let text = fs::read_to_string(&file).expect("written");
        assert!(text.contains("https://index.docker.io/v1/"), "{text}");
        let files = [file.clone(), folder.path().join("missing.json")];
        assert_eq!(forget(&files, "docker.io").expect("known"), [Place::File(file.clone())]);
        assert_eq!(forget(&files, "docker.io").expect("unknown"), []);
        assert!(keyring.find("docker.io", "", &Silent).expect("valid").is_none());
        assert!(keyring.find("127.0.0.1:5000", "", &Silent).expect("valid").is_some());
        let gone = forget_all(&files, &Silent).expect("known");
        let hosts: Vec<&str> = gone.iter().map(|(host, _)| host.as_str()).collect();
        assert_eq!(hosts, ["127.0.0.1:5000", "quay.io/team"]);
        assert_eq!(keyring.list(&Silent).expect("valid"), []);
    }

    #[test]
    fn all_else_in_a_file_stays() {
        let folder = tempfile::tempdir().expect("a directory");
        let (file, link) = (folder.path().join("real.json"), folder.path().join("config.json"));
        let before = r#"{"detachKeys":"ctrl-e","auths":{"https://h/v1/":{"auth":"YTpi"},"k":{"auth":"YTpi","x":1}},"HttpHeaders":{"A":"b"}}"#;
        fs::write(&file, before).expect("written");
        fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("changed");
        std::os::unix::fs::symlink("real.json", &link).expect("linked");
        remember(&link, "h", &Credential::new("c", "d")).expect("kept");
        let text: Value = serde_json::from_slice(&fs::read(&file).expect("there")).expect("JSON");
        let expected = json!({
            "detachKeys": "ctrl-e",
            "auths": {"k": {"auth": "YTpi", "x": 1}, "h": {"auth": "Yzpk"}},
            "HttpHeaders": {"A": "b"},
        });
        assert_eq!(text, expected);
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(mode(&file), 0o600);
        assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 2, "a file was left over");
    }

    #[test]
    fn a_file_that_makes_no_sense_is_left_alone() {
        let folder = tempfile::tempdir().expect("a directory");
        let file = folder.path().join("config.json");
        for text in ["{", "[]", r#"{"auths":[]}"#] {
            fs::write(&file, text).expect("written");
            remember(&file, "h", &Credential::new("a", "b")).expect_err(text);
            assert_eq!(fs::read_to_string(&file).expect("there"), text);
        }
    }
}
