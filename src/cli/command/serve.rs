//! `bryo serve`.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::args::{Login, Network};
use crate::cli::changes::{Changes, told as found};
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::table::bytes;
use crate::cli::ui;
use crate::http::server::{self, Generated, Identity, Listen, Server};
use crate::image::{Digest, Reference};
use crate::serve::{Access, Downstream, Filters, Registry, Settings, Summary, Upstream};

/// The variable that holds the password of --user.
const PASSWORD: &str = "BRYO_SERVE_PASSWORD";

/// Serve the images here as a registry
///
/// Whatever is here can be pulled, and whatever is pushed is an image here, under the name that
/// people type: HOST:PORT/team/app:1 is team/app:1, HOST:PORT/registry.example/team/app:1 is
/// registry.example/team/app:1. A port in a name is written behind an underscore
/// (HOST:PORT/127.0.0.1_5000/app:1 is 127.0.0.1:5000/app:1).
///
/// Prints the address that it listens on, and serves until it gets SIGINT or SIGTERM: then it
/// finishes what is under way, and at a second one ends at once. An upload that goes on in another
/// request must then be begun anew. Other bryos may work with the same images meanwhile.
///
/// It speaks the OCI distribution protocol: blobs with ranges, uploads in one piece or several,
/// mounts, referrers, and deletes. Deleting a tag removes that tag alone; deleting a digest removes
/// the manifest with its tags, and what an index lists with the index. The bytes go as soon as no
/// other bryo uses the storage directory.
///
/// With -f images change on their way to --downstream and from --upstream, and get digests of their
/// own. What is pushed stays here as it came; --downstream gets the changed image under the same tag,
/// and what is pushed by its digest alone under the new digest, which a line on stderr tells. A tag
/// of --upstream names the changed image here; the original can still be pulled by its digest. Who
/// is the first to pull such a tag waits until its layers have been read.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo serve
  bryo serve --readonly --listen 0.0.0.0:5050 --tls --cert cert.pem --key key.pem
  bryo serve --listen unix:/run/user/1000/bryo.sock
  bryo serve --upstream docker.io
  bryo serve --downstream registry.example/mirror -f timestamps=0 -f exclude=*.pyc
  htpasswd -cB people ann && bryo serve --htpasswd people")]
pub(crate) struct Serve {
    /// Listen there: ADDRESS:PORT (port 0 is any that is free), or unix:PATH
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5050")]
    listen: Listen,
    /// Nobody may push or delete
    #[arg(long)]
    readonly: bool,
    /// Take manifests though blobs that they name are not here, and may never be
    #[arg(long, conflicts_with_all = ["readonly", "downstream"])]
    sparse: bool,
    /// Serve https, with a certificate that is made for this run and that nobody knows, unless
    /// --cert and --key name one
    #[arg(long)]
    tls: bool,
    /// The certificate (PEM, with those that lead to its authority); made when neither FILE is there
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Let in only those whom FILE names with their passwords (`htpasswd -B` writes it)
    #[arg(long, value_name = "FILE", conflicts_with = "user")]
    htpasswd: Option<PathBuf>,
    /// Let in this user only; the password is $BRYO_SERVE_PASSWORD, or on stdin
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Read the password of --user from stdin
    #[arg(long, requires = "user")]
    password_stdin: bool,
    /// Fetch what is not here from this registry, and keep it: a pull-through cache
    ///
    /// Names without a registry then mean this one, as they mean Docker Hub otherwise. Tags are asked
    /// for each time; when the registry does not answer, what they named last is served.
    #[arg(long, value_name = "HOST")]
    upstream: Option<String>,
    /// Pass on what is pushed to this registry, before the push succeeds
    #[arg(long, value_name = "HOST[/PREFIX]", conflicts_with = "readonly")]
    downstream: Option<String>,
    /// Write a line for each request to stderr
    #[arg(long)]
    log: bool,
    /// Serve up to N connections at once; others wait
    #[arg(long, value_name = "N", default_value_t = 256)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=4096))]
    connections: u16,
    /// Give up who sends nothing of what was begun, or takes nothing of what is sent, for so long
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=86_400))]
    idle_timeout: u32,
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    network: Network,
    /// Log in upstream and downstream with these credentials; a password that is left out is asked for
    /// ($BRYO_CREDS)
    #[arg(long, value_name = "USER[:PASSWORD]", help_heading = "Registry options")]
    creds: Option<String>,
}

impl Serve {
    pub(crate) fn needs_namespace(&self) -> bool {
        self.changes.needs_namespace()
    }

    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let reporter = &invocation.reporter;
        let filters = self.changes.filters();
        if !filters.is_empty() && self.upstream.is_none() && self.downstream.is_none() {
            let text = "nothing passes through that could be filtered".to_owned();
            let hint = Some("give --upstream, --downstream or both".to_owned());
            return Err(Error::Usage { text, hint });
        }
        let access = self.access(invocation)?;
        let identity = self.identity()?;
        let store = invocation.store()?;
        let server = Server::bind(&self.listen)?;
        if !self.listen.is_local() {
            if access.is_none() && !self.readonly {
                let address = server.address();
                reporter.warn(format!(
                    "whoever reaches {address} may push and delete (--readonly, --htpasswd)"
                ));
            }
            if access.is_some() && identity.is_none() {
                reporter.warn("passwords are sent in the clear (--tls)".to_owned());
            }
        }
        if let Some(identity) = &identity {
            let digest = Digest::of(identity.certificate());
            reporter.note(format!("certificate SHA256 {}", fingerprint(digest.hex())));
        }
        let (upstream, downstream) = self.others(invocation)?;
        let rules = Settings {
            read_only: self.readonly,
            sparse: self.sparse,
            access,
            log: self.log,
            upstream,
            downstream,
            filters: Filters::new(filters, found),
        };
        let registry = Registry::new(store, rules, reporter.clone());
        invocation.print(&format!("{}\n", server.address()))?;
        let stop = server.stop();
        let _catcher = ui::stop_when_interrupted(reporter.clone(), move || stop.now());
        let connections = usize::from(self.connections);
        let patience = Duration::from_secs(self.idle_timeout.into());
        let settings = server::Settings { identity, connections, patience };
        let summary = registry.serve(server, &settings)?;
        reporter.note(told(&summary));
        Ok(())
    }

    /// The registries behind this one.
    fn others(
        &self,
        invocation: &Invocation,
    ) -> Result<(Option<Upstream>, Option<Downstream>), Error> {
        if self.upstream.is_none() && self.downstream.is_none() {
            return Ok((None, None));
        }
        // Clients wait, and try again themselves.
        let mut network = self.network.clone();
        network.retry = network.retry.or(Some(2));
        // Its own --password-stdin is of whoever comes in.
        let login = Login { creds: self.creds.clone(), password_stdin: false };
        let remote = network.remote_as(invocation, login.given(invocation)?)?;
        let registry = |host: &str| match format!("{host}/x").parse::<Reference>() {
            Ok(name) if name.registry() == host => Ok(remote.registry(host)),
            _ => Err(Error::Usage { text: format!("{host:?} is no registry"), hint: None }),
        };
        let upstream = self.upstream.as_deref().map(registry).transpose()?.map(Upstream::new);
        let downstream = match &self.downstream {
            Some(text) => {
                let (host, prefix) = match text.split_once('/') {
                    Some((host, prefix)) => (host, Some(prefix.trim_end_matches('/').to_owned())),
                    None => (text.as_str(), None),
                };
                let jobs = invocation.jobs().layers;
                Some(Downstream { registry: registry(host)?, prefix, jobs })
            }
            None => None,
        };
        Ok((upstream, downstream))
    }

    fn access(&self, invocation: &Invocation) -> Result<Option<Access>, Error> {
        if let Some(path) = &self.htpasswd {
            let text = fs::read_to_string(path).map_err(Error::reading(path))?;
            let access = Access::htpasswd(&text).map_err(|error| Error::Usage {
                text: format!("{}: {error}", path.display()),
                hint: Some(format!("htpasswd -cB {} USER", path.display())),
            })?;
            return Ok(Some(access));
        }
        let Some(user) = &self.user else { return Ok(None) };
        let password = match (self.password_stdin, invocation.config.variable(PASSWORD)) {
            (true, _) => {
                let mut text = String::new();
                io::stdin().read_to_string(&mut text).map_err(Error::Stdin)?;
                text.trim_end_matches(['\r', '\n']).to_owned()
            }
            (false, Some(password)) => password,
            (false, None) => {
                let hint = Some(format!("set {PASSWORD}, or give --password-stdin"));
                return Err(Error::Usage { text: format!("{user} has no password"), hint });
            }
        };
        if password.is_empty() {
            return Err(Error::Usage { text: "the password is empty".to_owned(), hint: None });
        }
        Ok(Some(Access::single(user, &password)))
    }

    fn identity(&self) -> Result<Option<Identity>, Error> {
        let (Some(certificate), Some(key)) = (&self.cert, &self.key) else {
            return match self.tls {
                true => Ok(Some(self.generated()?.identity()?)),
                false => Ok(None),
            };
        };
        if !certificate.exists() && !key.exists() {
            let made = self.generated()?;
            write_new(key, &made.key, 0o600)?;
            write_new(certificate, &made.certificate, 0o644)?;
        }
        Ok(Some(Identity::read(certificate, key)?))
    }

    /// For the names by which this machine may be called.
    fn generated(&self) -> Result<Generated, Error> {
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        if let Listen::Tcp(address) = &self.listen {
            let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
            names.push(host.trim_matches(['[', ']']).to_owned());
        }
        names.extend(crate::sys::ns::host_name());
        names.sort_unstable();
        names.dedup();
        Ok(Generated::new(&names)?)
    }
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let mut options = fs::OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).mode(mode).open(path).map_err(Error::writing(path))?;
    file.write_all(text.as_bytes()).map_err(Error::writing(path))
}

/// `AB:CD:…`, as browsers and openssl show it.
fn fingerprint(hex: &str) -> String {
    let hex = hex.to_uppercase();
    let pairs: Vec<&str> = (0..hex.len()).step_by(2).map(|at| &hex[at..at + 2]).collect();
    pairs.join(":")
}

fn told(summary: &Summary) -> String {
    let Summary { requests, failures, pushed, pulled, received, sent, fetched, passed_on } =
        *summary;
    let mut text = format!(
        "requests: {requests}, {failures} failed here; manifests: {pushed} pushed, {pulled} pulled; \
         {} received, {} sent",
        bytes(received),
        bytes(sent),
    );
    for (count, what) in [(fetched, "blobs from upstream"), (passed_on, "manifests downstream")] {
        if count > 0 {
            text.push_str(&format!("; {count} {what}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_shown_as_others_show_them() {
        assert_eq!(fingerprint("00ab7f"), "00:AB:7F");
    }
}
