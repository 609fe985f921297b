//! `bryo login`.

use std::io::{self, Read as _};

use serde_json::{Value, json};

use crate::cli::args::Network;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::prompt;
use crate::cli::table::Table;
use crate::registry::{Credential, Kept, Keyring, Place, remember};

/// Log in to a registry
///
/// Asks the registry whether it takes the credentials, and only then keeps them where docker and
/// podman find them too: where there were some for this registry before, or else in $BRYO_AUTHFILE,
/// $REGISTRY_AUTH_FILE or ~/.docker/config.json, or with the helper program that this file names.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo login registry.example
  bryo login -u ann --password-stdin registry.example < password
  bryo login --list")]
pub(crate) struct Login {
    /// The registry
    #[arg(default_value = "docker.io")]
    host: String,
    /// The user's name; asked for if it is not given
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,
    /// Read the password from stdin instead of asking for it
    #[arg(long, requires = "username")]
    password_stdin: bool,
    /// Show who is logged in where, and what keeps it, instead
    #[arg(long, conflicts_with_all = ["host", "username"])]
    list: bool,
    /// Show passwords and tokens, too
    #[arg(long, requires = "list")]
    show_secrets: bool,
    /// As a JSON array
    #[arg(long, requires = "list")]
    json: bool,
    #[command(flatten)]
    network: Network,
}

impl Login {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        if self.list {
            return self.show(invocation);
        }
        if self.host.contains('@') || self.host.contains("://") {
            let text = "the registry is HOST or HOST:PORT, without anything before it".to_owned();
            let hint = Some("name the user with --username".to_owned());
            return Err(Error::Usage { text, hint });
        }
        let known = self.keyring(invocation).place(&self.host)?;
        let file = self.network.authfile.clone().or(known);
        let file = file.or_else(|| invocation.config.login_file.clone());
        let file = file.ok_or(Error::NoPlaceForCredentials)?;
        let credential = self.credential()?;
        let remote = self.network.remote_as(invocation, Some(credential.clone()))?;
        // The beginning of a repository's path may follow.
        let name = self.host.split('/').next().unwrap_or_default();
        remote.registry(name).check()?;
        let kept = match remember(&file, &self.host, &credential)? {
            Place::File(path) => format!("credentials are kept in {}, unencrypted", path.display()),
            Place::Helper(program) => format!("credentials are kept by {program}"),
        };
        invocation.reporter.note(format!("logged in to {}; {kept}", self.host));
        Ok(())
    }

    fn keyring(&self, invocation: &Invocation) -> Keyring {
        let files = match &self.network.authfile {
            Some(file) => vec![file.clone()],
            None => invocation.config.auth_files.clone(),
        };
        Keyring { files, ..Keyring::default() }
    }

    fn credential(&self) -> Result<Credential, Error> {
        let user = match &self.username {
            Some(user) => user.clone(),
            None => prompt::name(&self.host)?,
        };
        if self.password_stdin {
            let mut secret = String::new();
            io::stdin().read_to_string(&mut secret).map_err(Error::Stdin)?;
            return Ok(Credential::new(&user, secret.trim_end_matches(['\r', '\n'])));
        }
        let secret = prompt::password(&format!("{user} at {}", self.host))?;
        Ok(Credential::new(&user, &secret))
    }

    fn show(&self, invocation: &Invocation) -> Result<(), Error> {
        let all = self.keyring(invocation).list(&*invocation.reporter)?;
        if self.json {
            let rows: Vec<Value> = all.iter().map(|kept| self.row(kept)).collect();
            return invocation.print(&format!("{:#}\n", Value::Array(rows)));
        }
        let mut table = Table::new(match self.show_secrets {
            true => &["REGISTRY", "USERNAME", "SECRET", "KEPT IN"],
            false => &["REGISTRY", "USERNAME", "KEPT IN"],
        });
        for Kept { host, credential, place } in all {
            let (user, secret) = parts(&credential);
            let mut cells = vec![host, user.to_owned(), secret.to_owned(), place];
            if !self.show_secrets {
                cells.remove(2);
            }
            table.row(cells);
        }
        invocation.print(&table.to_string())
    }

    fn row(&self, kept: &Kept) -> Value {
        let (user, secret) = parts(&kept.credential);
        let mut row = json!({ "registry": kept.host, "username": user, "place": kept.place });
        if self.show_secrets {
            row["secret"] = json!(secret);
        }
        row
    }
}

fn parts(credential: &Credential) -> (&str, &str) {
    match credential {
        Credential::Basic { user, secret } => (user, secret),
        Credential::IdentityToken(token) => ("(identity token)", token),
        Credential::RegistryToken(token) => ("(registry token)", token),
    }
}
