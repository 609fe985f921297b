//! Asking whoever sits at the terminal who they are.

use std::io::{self, BufRead as _, IsTerminal as _};

use super::error::Error;
use crate::registry::Credential;

/// Nobody was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unasked {
    #[error("stdin is no terminal to ask for credentials at")]
    NoTerminal,
    #[error("reading from the terminal")]
    Read(#[source] io::Error),
}

impl From<Unasked> for Error {
    fn from(error: Unasked) -> Self {
        match error {
            Unasked::NoTerminal => {
                let hint = Some("use --username NAME --password-stdin".to_owned());
                Self::Usage { text: error.to_string(), hint }
            }
            Unasked::Read(source) => Self::Stdin(source),
        }
    }
}

impl From<Unasked> for io::Error {
    fn from(error: Unasked) -> Self {
        match error {
            Unasked::NoTerminal => Self::other(error),
            Unasked::Read(source) => source,
        }
    }
}

/// Name and password for a registry.
pub(crate) fn credential(host: &str) -> Result<Credential, Unasked> {
    let user = name(host)?;
    let secret = password(&format!("{user} at {host}"))?;
    Ok(Credential::new(&user, &secret))
}

pub(crate) fn name(host: &str) -> Result<String, Unasked> {
    terminal()?;
    super::ui::ask(&format!("username at {host}: "));
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(Unasked::Read)?;
    Ok(line.trim().to_owned())
}

/// A password, which is not shown while it is typed.
pub(crate) fn password(whose: &str) -> Result<String, Unasked> {
    terminal()?;
    rpassword::prompt_password(format!("password of {whose}: ")).map_err(Unasked::Read)
}

fn terminal() -> Result<(), Unasked> {
    if io::stdin().is_terminal() { Ok(()) } else { Err(Unasked::NoTerminal) }
}
