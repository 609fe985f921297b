//! The host's `git`: started with nothing of the caller's configuration, and never asking anybody.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Error, Web};

/// What every git is told, whatever a user or a distribution sets.
const SETTINGS: [&str; 10] = [
    "advice.detachedHead=false",
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.logAllRefUpdates=false",
    "gc.auto=0",
    "init.defaultBranch=main",
    "init.templateDir=",
    "maintenance.auto=false",
    // Whoever sends nothing for a minute is gone.
    "http.lowSpeedLimit=1",
    "http.lowSpeedTime=60",
];

/// Where distributions keep the authorities that everybody trusts: git knows one file alone, which
/// must hold these beside the caller's own.
const AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Runs git in one directory, for one remote.
#[derive(Debug)]
pub(super) struct Git<'e> {
    program: PathBuf,
    folder: &'e Path,
    remote: &'e str,
    environment: Vec<(&'static str, String)>,
}

impl<'e> Git<'e> {
    /// `folder` is a directory of ours; `path` the search path for programs.
    pub(super) fn new(
        web: &Web,
        path: &str,
        folder: &'e Path,
        remote: &'e str,
    ) -> Result<Self, Error> {
        let program = find("git", path).ok_or(Error::NoGit)?;
        let mut environment = vec![
            ("PATH", path.to_owned()),
            ("HOME", "/dev/null".to_owned()),
            ("LC_ALL", "C".to_owned()),
            ("GIT_ALLOW_PROTOCOL", "http:https:ssh:git".to_owned()),
            ("GIT_CONFIG_GLOBAL", "/dev/null".to_owned()),
            ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
            ("GIT_TERMINAL_PROMPT", "0".to_owned()),
            ("GIT_SSH_COMMAND", ssh(web)),
        ];
        let proxies = &web.proxies;
        for (name, value) in [
            ("http_proxy", &proxies.http),
            ("https_proxy", &proxies.https),
            ("no_proxy", &proxies.none),
        ] {
            environment.extend(value.clone().map(|value| (name, value)));
        }
        if let Some(agent) = &web.ssh_agent {
            environment.push(("SSH_AUTH_SOCK", agent.display().to_string()));
        }
        if !web.certificates.is_empty() {
            let file = authorities(web, folder)?;
            environment.push(("GIT_SSL_CAINFO", file.display().to_string()));
        }
        if let Ok(url) = remote.parse()
            && web.trust(&url) == crate::http::Trust::Unchecked
        {
            environment.push(("GIT_SSL_NO_VERIFY", "1".to_owned()));
        }
        Ok(Self { program, folder, remote, environment })
    }

    /// What git writes to stdout.
    pub(super) fn run(&self, verb: &'static str, arguments: &[&str]) -> Result<String, Error> {
        let mut command = Command::new(&self.program);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command.arg(verb).args(arguments).current_dir(self.folder).stdin(Stdio::null());
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        let path = self.program.clone();
        let output = command.output().map_err(|source| Error::Start { path, source })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let remote = super::without_password(self.remote);
        // git itself repeats the address as it was given.
        let lines: Vec<&str> =
            said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let said = lines.join("; ").replace(self.remote, &remote);
        Err(Error::Git { verb, remote, said })
    }
}

/// Keys and known hosts are the caller's, by their paths: inside the namespace ssh takes us for
/// root and would look in root's home, and what belongs to the real root looks like nobody's, which
/// ssh refuses in its own configuration.
fn ssh(web: &Web) -> String {
    let mut words = vec!["ssh -F none -o BatchMode=yes -o ConnectTimeout=30".to_owned()];
    words.push("-o ServerAliveInterval=15 -o ServerAliveCountMax=4".to_owned());
    if let Some(home) = &web.home {
        let folder = home.join(".ssh");
        let known = folder.join("known_hosts");
        words.push(quoted(&format!("UserKnownHostsFile=\"{}\"", known.display())));
        for name in ["id_ed25519", "id_ecdsa", "id_rsa"] {
            let key = folder.join(name);
            if key.exists() {
                words.push(quoted(&format!("IdentityFile=\"{}\"", key.display())));
            }
        }
    }
    words.join(" ")
}

/// An option of ssh as a shell's word.
fn quoted(option: &str) -> String {
    format!("-o '{}'", option.replace('\'', "'\\''"))
}

/// One file of the caller's authorities and everybody's.
fn authorities(web: &Web, folder: &Path) -> Result<PathBuf, Error> {
    let path = folder.join("authorities.pem");
    let write = |source| Error::Write { path: path.clone(), source };
    let mut all = Vec::new();
    for file in &web.certificates {
        all.extend(fs::read(file).map_err(write)?);
        all.push(b'\n');
    }
    for file in AUTHORITIES {
        match fs::read(file) {
            Ok(bytes) => {
                all.extend(bytes);
                break;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(write(error)),
        }
    }
    fs::write(&path, all).map_err(write)?;
    Ok(path)
}

/// A program of the search path.
fn find(name: &str, path: &str) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    path.split(':')
        .filter(|folder| !folder.is_empty())
        .map(|f| Path::new(f).join(name))
        .find(is_program)
}
