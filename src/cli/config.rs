//! [`Config`]: all that the environment says. The only reader of environment variables, of the
//! home directory and of the caller's identity.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::error::Error;
use super::settings::{Problem, Settings};
use crate::fakeroot::ProfileFile;
use crate::http::Proxies;
use crate::registry::Routes;
use crate::sandbox;

/// Where programs are when nobody says so.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

/// The program's name and its arguments.
pub(crate) fn words() -> Vec<OsString> {
    std::env::args_os().collect()
}

/// What files and environment say, as plain values.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The storage directory, unless `--storage` names another one.
    pub(crate) storage: PathBuf,
    /// It lies where everybody may write, for want of a home directory.
    pub(crate) storage_is_public: bool,
    /// uid and gid of who called `sudo`.
    pub(crate) sudo: Option<(u32, u32)>,
    /// What a first stage of bryo left for this one.
    pub(crate) marker: Option<OsString>,
    /// Files with credentials in docker's format, the first that knows a registry wins.
    pub(crate) auth_files: Vec<PathBuf>,
    /// Where `login` writes.
    pub(crate) login_file: Option<PathBuf>,
    pub(crate) proxies: Proxies,
    /// Certificate authorities of the environment (`SSL_CERT_FILE`, `REQUESTS_CA_BUNDLE`).
    pub(crate) certificates: Vec<PathBuf>,
    /// Folders with a folder for each host that has certificates of its own.
    pub(crate) certificate_folders: Vec<PathBuf>,
    /// What says where images are read from: files and folders of files, the later counts.
    registries_conf: Vec<PathBuf>,
    /// `NO_COLOR`.
    pub(crate) no_color: bool,
    /// What `TERM` says: a terminal, if there is one, can move its cursor and show colours.
    pub(crate) able_terminal: bool,
    /// The search path for programs of this machine.
    pub(crate) path: String,
    /// `CH_IMAGE_CACHE`.
    pub(crate) cache: Option<String>,
    /// What the configuration file and its variables say.
    pub(crate) settings: Settings,
    /// Where that file is, or would be.
    pub(crate) file: Option<PathBuf>,
    /// Why nothing of it is heeded.
    problem: Option<Problem>,
    /// `root-emulation`.
    pub(crate) root_emulation: Option<String>,
    /// `insecure`.
    pub(crate) insecure: Vec<String>,
    /// Where the user's own fakeroot profiles are.
    pub(crate) profiles: Option<PathBuf>,
    /// Where CDI specifications are.
    pub(crate) cdi_folders: Vec<PathBuf>,
    /// Where daemons listen that keep images: docker's and podman's, the likeliest first.
    pub(crate) sockets: Vec<PathBuf>,
    /// The socket of an SSH agent (`SSH_AUTH_SOCK`).
    pub(crate) agent: Option<PathBuf>,
    environment: Environment,
}

#[derive(Debug, Clone)]
struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    /// A variable that is set to something.
    fn get(&self, name: &str) -> Option<&OsStr> {
        let (_, value) = self.0.iter().find(|(key, _)| key == name)?;
        (!value.is_empty()).then_some(value)
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }

    fn text(&self, name: &str) -> Option<String> {
        self.get(name)?.to_str().map(str::to_owned)
    }

    /// The first of `names` that is set.
    fn any(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.text(name))
    }

    fn number(&self, name: &str) -> Option<u32> {
        self.text(name)?.parse().ok()
    }
}

impl Config {
    /// Reads everything once.
    pub(crate) fn read(file: Option<&Path>) -> Self {
        let environment = Environment(std::env::vars_os().collect());
        Self::from(environment, &Caller::now(), file)
    }

    fn from(environment: Environment, caller: &Caller, file: Option<&Path>) -> Self {
        // Under `sudo` images and credentials are those of who typed it. The second stage sees the
        // same variables, but has that person's identity already.
        let sudo = environment
            .number("SUDO_UID")
            .zip(environment.number("SUDO_GID"))
            .filter(|(uid, _)| *uid != 0 && (caller.uid == 0 || caller.uid == *uid));
        let uid = sudo.map_or(caller.uid, |(uid, _)| uid);
        let own = match sudo {
            Some((uid, _)) => home_of(uid, &(caller.passwd)()),
            None => environment.path("HOME").or_else(|| home_of(uid, &(caller.passwd)())),
        };
        // A uid without an account has `/` as its home: nothing can be kept there.
        let home = own.filter(|home| home.is_absolute() && home != Path::new("/"));
        let personal = |name| if sudo.is_some() { None } else { environment.path(name) };
        // What is not absolute is ignored there (XDG base directory specification).
        let data = personal("XDG_DATA_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| Some(home.as_deref()?.join(".local/share")));
        let folder = personal("XDG_CONFIG_HOME").or_else(|| Some(home.as_deref()?.join(".config")));
        let file = file.map(Path::to_owned).or_else(|| environment.path("BRYO_CONFIG"));
        let is_named = file.is_some();
        let file = file.or_else(|| Some(folder.as_ref()?.join("bryo/config.toml")));
        let read = text_of(file.as_deref(), is_named)
            .and_then(|text| Settings::read(&text, &|name| environment.text(name)));
        let (settings, problem) = match read {
            Ok(settings) => (settings, None),
            Err(problem) => (Settings::default(), Some(problem)),
        };
        // With all its bytes, which need not be text.
        let storage = environment.path("BRYO_STORAGE");
        let storage = storage.or_else(|| settings.text("storage").map(PathBuf::from));
        let storage = storage.or_else(|| Some(data?.join("bryo")));
        let storage_is_public = storage.is_none();
        let storage = storage.unwrap_or_else(|| format!("/var/tmp/bryo-{uid}").into());
        let docker = environment.path("DOCKER_CONFIG").or_else(|| Some(home?.join(".docker")));
        let docker = docker.map(|folder| folder.join("config.json"));
        let auth_files = [
            environment.path("REGISTRY_AUTH_FILE"),
            personal("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json")),
            folder.as_ref().map(|folder| folder.join("containers/auth.json")),
            docker.clone(),
        ];
        let auth_file = settings.text("authfile").map(PathBuf::from);
        Self {
            storage,
            storage_is_public,
            sudo,
            marker: environment.get(sandbox::MARKER).map(OsStr::to_owned),
            auth_files: match &auth_file {
                Some(file) => vec![file.clone()],
                None => auth_files.into_iter().flatten().collect(),
            },
            login_file: auth_file
                .or_else(|| environment.path("REGISTRY_AUTH_FILE"))
                .or(docker.clone()),
            proxies: Proxies {
                http: environment.any(&["http_proxy", "all_proxy", "ALL_PROXY"]),
                https: environment.any(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
                none: environment.any(&["no_proxy", "NO_PROXY"]),
                even_loopback: false,
            },
            certificates: ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"]
                .iter()
                .filter_map(|name| environment.path(name))
                .chain(settings.list("cacert").into_iter().map(PathBuf::from))
                .collect(),
            certificate_folders: folder
                .iter()
                .map(|folder| folder.join("containers/certs.d"))
                .chain(["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from))
                .chain(docker.as_ref().map(|file| file.with_file_name("certs.d")))
                .collect(),
            registries_conf: registries_conf(&environment, folder.as_deref()),
            no_color: environment.get("NO_COLOR").is_some(),
            able_terminal: environment.get("TERM").is_some_and(|term| term != "dumb"),
            path: environment.text("PATH").unwrap_or_else(|| DEFAULT_PATH.to_owned()),
            cache: environment.text("CH_IMAGE_CACHE"),
            root_emulation: settings.text("root-emulation"),
            insecure: settings.list("insecure"),
            cdi_folders: ["/etc/cdi", "/var/run/cdi"]
                .map(PathBuf::from)
                .into_iter()
                .chain(folder.as_ref().map(|folder| folder.join("cdi")))
                .collect(),
            profiles: folder.map(|folder| folder.join("bryo/fakeroot-profiles")),
            settings,
            file,
            problem,
            sockets: sockets(&environment, personal("XDG_RUNTIME_DIR")),
            agent: environment.path("SSH_AUTH_SOCK"),
            environment,
        }
    }

    /// Settings that are wrong are heeded by nobody, and so have to be told.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match (&self.problem, &self.file) {
            (None, _) => Ok(()),
            (Some(problem), file) => Err(Error::Settings {
                file: file.clone().unwrap_or_default(),
                source: problem.clone(),
            }),
        }
    }

    /// The configuration file, as it is.
    pub(crate) fn file_text(&self) -> Result<String, Error> {
        match self.file.as_deref().map(fs::read_to_string) {
            None => Ok(String::new()),
            Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Some(text) => {
                text.map_err(Error::reading(self.file.as_deref().unwrap_or(Path::new(""))))
            }
        }
    }

    /// `SOURCE_DATE_EPOCH`: seconds since 1970 (reproducible-builds.org/specs).
    pub(crate) fn source_date_epoch(&self) -> Result<Option<i64>, Error> {
        let Some(text) = self.environment.text("SOURCE_DATE_EPOCH") else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Error::Usage {
            text: format!("SOURCE_DATE_EPOCH is {text:?}, and not a number of seconds"),
            hint: None,
        })
    }

    /// Where images are read from, by registries.conf(5) and by ch-image's variables.
    pub(crate) fn routes(&self) -> Result<Routes, Error> {
        let mut routes = Routes::default();
        for path in &self.registries_conf {
            for file in files_of(path)? {
                let text = fs::read_to_string(&file).map_err(Error::reading(&file))?;
                routes.read(&text).map_err(|why| Error::Usage {
                    text: format!("{}: {}", file.display(), why.trim_end()),
                    hint: Some("containers-registries.conf(5) tells its format".to_owned()),
                })?;
            }
        }
        if let Some(host) = self.setting("CH_REGY_DEFAULT_HOST") {
            let port = self.setting("CH_REGY_DEFAULT_PORT").map(|port| format!(":{port}"));
            let path = self.setting("CH_REGY_PATH_PREFIX").map(|path| format!("/{path}"));
            let location = host + &port.unwrap_or_default() + &path.unwrap_or_default();
            for prefix in ["docker.io", "docker.io/library"] {
                routes.move_to(prefix, &location);
            }
        }
        Ok(routes)
    }

    /// Lets `--storage` name the storage directory. Whoever types a path means it from here, once; a
    /// relative one among the settings, which is refused, would be another directory in each directory.
    pub(crate) fn keep_in(&mut self, storage: &Path) {
        self.storage = std::path::absolute(storage).unwrap_or_else(|_| storage.to_owned());
        self.storage_is_public = false;
    }

    /// A variable of the environment that is set to something.
    pub(crate) fn setting(&self, name: &str) -> Option<String> {
        self.environment.text(name)
    }

    /// The user's own fakeroot profiles, in the order of their files' names.
    pub(crate) fn profile_files(&self) -> Result<Vec<ProfileFile>, Error> {
        let Some(folder) = &self.profiles else { return Ok(Vec::new()) };
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(Error::reading(folder))?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(Error::reading(folder))?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let bytes = fs::read(&path).map_err(Error::reading(&path))?;
                let text = String::from_utf8_lossy(&bytes).into_owned();
                files.push(ProfileFile { path, text });
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// A variable of the environment, with all its bytes.
    pub(crate) fn raw_variable(&self, name: &str) -> Option<Vec<u8>> {
        let (_, value) = self.environment.0.iter().find(|(key, _)| key == name)?;
        Some(value.as_bytes().to_vec())
    }

    /// A variable of the environment, for `--build-arg NAME` and `--env NAME`.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        let (_, value) = self.environment.0.iter().find(|(key, _)| key == name)?;
        value.to_str().map(str::to_owned)
    }
}

/// What a configuration file says; nothing when there is none, unless somebody named it.
fn text_of(file: Option<&Path>, is_named: bool) -> Result<String, Problem> {
    match file.map(fs::read_to_string) {
        None => Ok(String::new()),
        Some(Err(error)) if error.kind() == io::ErrorKind::NotFound && !is_named => {
            Ok(String::new())
        }
        Some(text) => text.map_err(|error| Problem::Toml(error.to_string())),
    }
}

/// As podman looks for them: one file, the user's or else the system's, and what folders add.
fn registries_conf(environment: &Environment, settings: Option<&Path>) -> Vec<PathBuf> {
    let system = Path::new("/etc/containers");
    let own = settings.map(|folder| folder.join("containers"));
    let usual = |folder: &Path| folder.join("registries.conf");
    let personal = own.as_deref().map(usual).filter(|path| path.exists());
    let file = environment.path("CONTAINERS_REGISTRIES_CONF").or(personal);
    let file = file.unwrap_or_else(|| usual(system));
    let folders = [Some(system), own.as_deref()].into_iter().flatten();
    let folders = folders.map(|folder| folder.join("registries.conf.d"));
    [file].into_iter().chain(folders).collect()
}

/// A file, or the files `*.conf` of a folder by their names; nothing where there is none.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, Error> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let Ok(entries) = fs::read_dir(path) else { return Ok(Vec::new()) };
    let mut files = Vec::new();
    for entry in entries {
        files.push(entry.map_err(Error::reading(path))?.path());
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "conf"));
    files.sort();
    Ok(files)
}

/// Who runs us.
#[derive(Debug, Clone)]
struct Caller {
    /// As the namespace outside of ours counts.
    uid: u32,
    /// The accounts of this machine; seldom asked for.
    passwd: fn() -> String,
}

impl Caller {
    fn now() -> Self {
        let seen = fs::metadata("/proc/self").map_or(0, |meta| meta.uid());
        let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let passwd = || {
            let passwd = fs::read("/etc/passwd").unwrap_or_default();
            String::from_utf8_lossy(&passwd).into_owned()
        };
        Self { uid: outside(&map, seen), passwd }
    }
}

/// `DOCKER_HOST` alone if it names a socket, else the usual places.
fn sockets(environment: &Environment, run: Option<PathBuf>) -> Vec<PathBuf> {
    let named = environment.text("DOCKER_HOST");
    if let Some(path) = named.as_deref().and_then(|host| host.strip_prefix("unix://")) {
        return vec![path.into()];
    }
    let own =
        run.into_iter().flat_map(|run| ["docker.sock", "podman/podman.sock"].map(|p| run.join(p)));
    own.chain(["/run/docker.sock", "/run/podman/podman.sock"].map(PathBuf::from)).collect()
}

/// Whether a path belongs to us, or nothing is there yet.
pub(crate) fn is_ours(path: &Path) -> bool {
    let owner = |path: &Path| fs::symlink_metadata(path).map(|found| (found.uid(), found.is_dir()));
    match (owner(path), owner(Path::new("/proc/self/task"))) {
        (Ok((owner, is_dir)), Ok((own, _))) => is_dir && owner == own,
        (found, _) => found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound),
    }
}

/// What `uid` is called outside, where `map` (`/proc/self/uid_map`) maps it alone, as
/// `sandbox::enter` does. A container's wider map is none of ours.
fn outside(map: &str, uid: u32) -> u32 {
    let mut lines = map.lines();
    let (Some(only), None) = (lines.next(), lines.next()) else { return uid };
    let numbers: Vec<u32> = only.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers[..] {
        [inside, outside, 1] if inside == uid => outside,
        _ => uid,
    }
}

fn home_of(uid: u32, passwd: &str) -> Option<PathBuf> {
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let found = fields.get(2)?.parse() == Ok(uid);
        found.then(|| fields.get(5).map(PathBuf::from))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(uid: u32, variables: &[(&str, &str)]) -> Config {
        let environment = variables.iter().map(|(k, v)| (k.into(), v.into())).collect();
        let passwd =
            || "root:x:0:0::/root:/bin/sh\nann:x:1000:1000:,,,:/home/ann:/bin/sh\n".to_owned();
        Config::from(Environment(environment), &Caller { uid, passwd }, None)
    }

    #[test]
    fn storage_is_the_callers() {
        for (uid, variables, storage) in [
            (1000, &[("HOME", "/h")][..], "/h/.local/share/bryo"),
            (1000, &[("HOME", "/h"), ("XDG_DATA_HOME", "/d")], "/d/bryo"),
            (1000, &[("HOME", "/h"), ("BRYO_STORAGE", "/s")], "/s"),
            (1000, &[("HOME", "/h"), ("BRYO_STORAGE", "")], "/h/.local/share/bryo"),
            (1000, &[], "/home/ann/.local/share/bryo"),
            (4711, &[], "/var/tmp/bryo-4711"),
            (4711, &[("HOME", "/")], "/var/tmp/bryo-4711"),
            (0, &[("HOME", "/root")], "/root/.local/share/bryo"),
            // sudo keeps root's home, or ours; both stages must agree.
            (
                0,
                &[("HOME", "/root"), ("SUDO_UID", "1000"), ("SUDO_GID", "1000")],
                "/home/ann/.local/share/bryo",
            ),
            (
                1000,
                &[("HOME", "/root"), ("SUDO_UID", "1000"), ("SUDO_GID", "1000")],
                "/home/ann/.local/share/bryo",
            ),
            // `sudo -u bob`: bob's.
            (
                2000,
                &[("HOME", "/home/bob"), ("SUDO_UID", "1000"), ("SUDO_GID", "1000")],
                "/home/bob/.local/share/bryo",
            ),
        ] {
            let found = config(uid, variables);
            assert_eq!(found.storage, Path::new(storage), "{uid} {variables:?}");
            assert_eq!(found.storage_is_public, storage.starts_with("/var/tmp"));
        }
    }

    #[test]
    fn only_our_own_map_is_seen_through() {
        for (map, uid, expected) in [
            ("         0       1001          1\n", 0, 1001),
            ("         0          0 4294967295\n", 0, 0),
            ("         0     100000      65536\n", 0, 0),
            ("0 1000 1\n1 100000 65536\n", 0, 0),
            ("", 5, 5),
        ] {
            assert_eq!(outside(map, uid), expected, "{map:?}");
        }
    }

    #[test]
    fn credentials_are_looked_for_where_others_put_them() {
        let found = config(1000, &[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/run/user/1000")]);
        let expected = [
            "/run/user/1000/containers/auth.json",
            "/h/.config/containers/auth.json",
            "/h/.docker/config.json",
        ];
        assert_eq!(found.auth_files, expected.map(PathBuf::from));
        assert_eq!(found.login_file, Some("/h/.docker/config.json".into()));
    }

    #[test]
    fn registries_and_certificates_are_described_where_podman_has_it() {
        let folder = tempfile::tempdir().expect("a directory");
        let home = folder.path().to_str().expect("a plain path");
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, text).expect("written");
        };
        let read = || config(1000, &[("HOME", home)]);
        let settings = folder.path().join(".config/containers");
        assert_eq!(read().certificate_folders[0], settings.join("certs.d"));
        assert_eq!(read().certificate_folders[3], folder.path().join(".docker/certs.d"));
        write(".config/containers/registries.conf", "[aliases]\na='h/a'\nb='h/b'\n");
        write(".config/containers/registries.conf.d/1.conf", "[aliases]\nb='h/c'\n");
        write(".config/containers/registries.conf.d/README", "not one of them");
        let routes = read().routes().expect("valid");
        let meaning = |text| routes.aliases().reference(text).expect("a name").0.to_string();
        assert_eq!(
            (meaning("a").as_str(), meaning("b:1").as_str()),
            ("docker.io/h/a:latest", "docker.io/h/c:1")
        );
        write(".config/containers/registries.conf.d/2.conf", "[[registry]]\n");
        let error = read().routes().expect_err("no prefix").to_string();
        assert!(error.contains("2.conf: a [[registry]] has neither"), "{error}");
    }
}
