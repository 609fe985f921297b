//! `bryo login`.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use crate::cli::args::Network;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::registry::{Credential, Place, remember};

/// Log in to a registry
///
/// Asks the registry whether it takes the credentials, and then keeps them where docker and podman
/// find them too: in $REGISTRY_AUTH_FILE, or in ~/.docker/config.json, or with the helper program
/// that this file names.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo login registry.example
  bryo login -u ann --password-stdin registry.example < password")]
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
    #[command(flatten)]
    network: Network,
}

impl Login {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let file = self.network.authfile.as_ref().or(invocation.config.login_file.as_ref());
        let file = file.ok_or(Error::NoPlaceForCredentials)?;
        let credential = self.credential()?;
        let remote = self.network.remote_as(invocation, Some(credential.clone()))?;
        remote.registry(&self.host).check()?;
        let kept = match remember(file, &self.host, &credential)? {
            Place::File(path) => format!("credentials are kept in {}, unencrypted", path.display()),
            Place::Helper(program) => format!("credentials are kept by {program}"),
        };
        invocation.reporter.note(format!("logged in to {}; {kept}", self.host));
        Ok(())
    }

    fn credential(&self) -> Result<Credential, Error> {
        let user = match &self.username {
            Some(user) => user.clone(),
            None => ask("username")?,
        };
        if self.password_stdin {
            let mut secret = String::new();
            io::stdin().read_to_string(&mut secret).map_err(Error::Stdin)?;
            return Ok(Credential::new(&user, secret.trim_end_matches(['\r', '\n'])));
        }
        terminal()?;
        let secret = rpassword::prompt_password(format!("password of {user} at {}: ", self.host));
        Ok(Credential::new(&user, &secret.map_err(Error::Stdin)?))
    }
}

/// One line from whoever sits at the terminal.
fn ask(what: &str) -> Result<String, Error> {
    terminal()?;
    crate::cli::ui::ask(&format!("{what}: "));
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(Error::Stdin)?;
    Ok(line.trim().to_owned())
}

fn terminal() -> Result<(), Error> {
    if io::stdin().is_terminal() {
        return Ok(());
    }
    let hint = Some("use --username NAME --password-stdin".to_owned());
    Err(Error::Usage { text: "stdin is no terminal to ask for credentials at".to_owned(), hint })
}
