//! Who somebody is, and for which registry, as it is said on the command line.

use std::io::{self, Read as _};

use super::error::Error;
use super::invocation::Invocation;
use super::prompt;
use crate::image::Reference;
use crate::registry::{Credential, canonical};

/// Credentials for both ends of a way.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Registry options")]
pub(crate) struct Logins {
    /// Log in with these credentials where images come from
    #[arg(long, value_name = "USER[:PASSWORD]")]
    src_creds: Option<String>,
    /// Log in with these credentials where they go
    #[arg(long, value_name = "USER[:PASSWORD]")]
    dest_creds: Option<String>,
    /// Read the password for --src-creds or --dest-creds from stdin: for the one that has none
    #[arg(long)]
    password_stdin: bool,
}

impl Logins {
    /// Who we are where the image comes from, and where it goes.
    pub(crate) fn given(
        &self,
        invocation: &Invocation,
    ) -> Result<(Option<Credential>, Option<Credential>), Error> {
        let bare = |text: &&String| !text.contains(':');
        let both = [self.src_creds.as_ref(), self.dest_creds.as_ref()];
        let waiting = both.iter().flatten().filter(|text| bare(text)).count();
        if self.password_stdin && waiting != 1 {
            let text = format!("stdin has one password, and {waiting} are left out");
            let hint = "--password-stdin goes with one of --src-creds USER and --dest-creds USER";
            return Err(Error::Usage { text, hint: Some(hint.to_owned()) });
        }
        let given = |text: &Option<String>, option| {
            let Some(text) = text else { return Ok(None) };
            let stdin = self.password_stdin && bare(&text);
            credential(text, Some(option), stdin, invocation).map(Some)
        };
        Ok((given(&self.src_creds, "--src-creds")?, given(&self.dest_creds, "--dest-creds")?))
    }
}

/// Reads `USER[:PASSWORD]`. A password that is left out is read from stdin if `stdin` says so, or
/// else asked for. `option` is what it stood behind on the command line, where everybody on the
/// machine can read it; a person is told.
pub(crate) fn credential(
    text: &str,
    option: Option<&str>,
    stdin: bool,
    invocation: &Invocation,
) -> Result<Credential, Error> {
    let (user, given) = match text.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (text, None),
    };
    if user.is_empty() {
        let text = "credentials have no name before their colon".to_owned();
        return Err(Error::Usage { text, hint: Some("write USER:PASSWORD".to_owned()) });
    }
    let password = match (given, stdin) {
        (Some(_), true) => {
            let text = "there is a password, and --password-stdin for another one".to_owned();
            let hint = Some(format!("leave out \":PASSWORD\" behind {user}, or --password-stdin"));
            return Err(Error::Usage { text, hint });
        }
        (Some(password), false) => {
            if let Some(option) = option {
                warn(option, &format!("{option} {user} --password-stdin"), invocation);
            }
            password.to_owned()
        }
        (None, true) => password_from_stdin()?,
        (None, false) => prompt::password(user)?,
    };
    Ok(Credential::new(user, &password))
}

/// What is said to who gives a password away.
pub(crate) fn warn(option: &str, better: &str, invocation: &Invocation) {
    let text = format!(
        "the password behind {option} can be read by everybody on this machine as long as bryo runs, \
         and shells remember it; use {better}, or `bryo login`"
    );
    invocation.reporter.warn(text);
}

/// All of stdin, without the end of its line.
pub(crate) fn password_from_stdin() -> Result<String, Error> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).map_err(Error::Stdin)?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        let text = "there is no password on stdin".to_owned();
        let hint = Some("such as: --password-stdin < FILE".to_owned());
        return Err(Error::Usage { text, hint });
    }
    Ok(password.to_owned())
}

/// What can be logged in to: a registry, or the repositories of one whose paths begin so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) host: String,
    /// Empty for the whole registry.
    pub(crate) path: String,
    /// Somebody wrote `http://` before it.
    pub(crate) plain: bool,
}

impl Account {
    /// As it is kept, and said to people.
    pub(crate) fn key(&self) -> String {
        match self.path.is_empty() {
            true => self.host.clone(),
            false => format!("{}/{}", self.host, self.path),
        }
    }

    /// Reads `[http[s]://]HOST[:PORT][/PATH]`; Docker Hub under any of its names.
    pub(crate) fn read(text: &str) -> Result<Self, Error> {
        let usage = |text: &str, hint: &str| {
            Err(Error::Usage { text: text.to_owned(), hint: Some(hint.to_owned()) })
        };
        let plain = text.starts_with("http://");
        let bare = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let bare = bare.unwrap_or(text);
        if bare.contains('@') || bare.contains("://") {
            return usage(
                "the registry is HOST or HOST:PORT, without anything before it",
                "name the user with --username",
            );
        }
        let key = canonical(bare);
        let (host, path) = key.split_once('/').unwrap_or((&key, ""));
        // As a name's host and path are, so that some name can have it.
        let inside = format!("registry.example/{path}x");
        let is_path = inside.parse().is_ok_and(|name: Reference| name.tag() == Some("latest"));
        if host.is_empty() || host.contains(char::is_whitespace) || !is_path {
            return usage(
                &format!("{text:?} is no registry, and no part of one"),
                "write HOST, HOST:PORT, or HOST/PATH for the repositories below PATH",
            );
        }
        Ok(Self { host: host.to_owned(), path: path.to_owned(), plain })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_of_hosts_and_of_paths() {
        for (text, key, plain) in [
            ("h.example", "h.example", false),
            ("h:5000/team/app/", "h:5000/team/app", false),
            ("http://h:5000", "h:5000", true),
            ("https://index.docker.io/v1/", "docker.io", false),
            ("docker.io/team", "docker.io/team", false),
        ] {
            let account = Account::read(text).expect(text);
            assert_eq!((account.key().as_str(), account.plain), (key, plain), "{text}");
        }
        for text in ["", "ann:secret@h", "h/Team", "h/a:1", "h/a//b", "ftp://h", "a b"] {
            let why = Account::read(text).expect_err(text).message();
            assert!(!why.contains("secret"), "{why}");
        }
    }
}
