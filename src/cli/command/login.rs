//! `bryo login`.

use serde_json::{Value, json};

use crate::cli::args::Network;
use crate::cli::credentials::{Account, password_from_stdin, warn};
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
/// Credentials for HOST/PATH serve the repositories below PATH; of several that fit a repository,
/// those with the longest path are used.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo login registry.example
  bryo login registry.example/team
  bryo login -u ann --password-stdin registry.example < password
  bryo login --list")]
pub(crate) struct Login {
    /// The registry
    #[arg(default_value = "docker.io", value_name = "HOST[/PATH]")]
    host: String,
    /// The user's name; asked for if it is not given
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,
    /// The password, for everybody on this machine to see; better use --password-stdin
    #[arg(short, long, value_name = "PASSWORD", conflicts_with = "password_stdin")]
    password: Option<String>,
    /// Read the password from stdin instead of asking for it
    #[arg(long, requires = "username")]
    password_stdin: bool,
    /// Show who is logged in where, and what keeps it, instead
    #[arg(long, conflicts_with_all = ["host", "username", "password"])]
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
        let account = Account::read(&self.host)?;
        let Account { host, path, plain } = &account;
        let known = self.keyring(invocation).place(host, path)?;
        let file = self.network.authfile.clone().or(known);
        let file = file.or_else(|| invocation.config.login_file.clone());
        let file = file.ok_or(Error::NoPlaceForCredentials)?;
        let credential = self.credential(&account.key(), invocation)?;
        let mut network = self.network.clone();
        network.insecure.extend(plain.then(|| host.clone()));
        let remote = network.remote_as(invocation, Some(credential.clone()))?;
        remote.registry(host).check()?;
        let kept = match remember(&file, &account.key(), &credential)? {
            Place::File(path) => format!("credentials are kept in {}, unencrypted", path.display()),
            Place::Helper(program) => format!("credentials are kept by {program}"),
        };
        invocation.reporter.note(format!("logged in to {}; {kept}", account.key()));
        Ok(())
    }

    fn keyring(&self, invocation: &Invocation) -> Keyring {
        let files = match &self.network.authfile {
            Some(file) => vec![file.clone()],
            None => invocation.config.auth_files.clone(),
        };
        Keyring { files, ..Keyring::default() }
    }

    fn credential(&self, whose: &str, invocation: &Invocation) -> Result<Credential, Error> {
        if self.password.is_some() {
            warn("--password", "--password-stdin", invocation);
        }
        let user = match &self.username {
            Some(user) => user.clone(),
            None => prompt::name(whose)?,
        };
        let secret = match &self.password {
            Some(secret) => secret.clone(),
            None if self.password_stdin => password_from_stdin()?,
            None => prompt::password(&format!("{user} at {whose}"))?,
        };
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
