//! [`Credential`]: what proves who we are.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Where credentials were that nobody keeps.
pub(super) const GIVEN: &str = "the caller";

/// The user name that stands for "the secret is an identity token".
pub(super) const IDENTITY_USER: &str = "<token>";

/// What proves who we are.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    Basic {
        user: String,
        secret: String,
    },
    /// Exchanged for tokens (`docker login` with some providers).
    IdentityToken(String),
    /// A token by itself.
    RegistryToken(String),
}

impl Credential {
    /// From a user's name and password, as people and helpers give them.
    pub fn new(user: &str, secret: &str) -> Self {
        match user {
            IDENTITY_USER => Self::IdentityToken(secret.to_owned()),
            _ => Self::Basic { user: user.to_owned(), secret: secret.to_owned() },
        }
    }

    /// From the value of `Authorization` for the scheme `Basic`, as a server gets it.
    pub fn from_basic(header: &str) -> Option<(String, String)> {
        let (scheme, encoded) = header.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
        let (user, secret) = text.split_once(':')?;
        Some((user.to_owned(), secret.to_owned()))
    }

    /// The value of `Authorization` for the scheme `Basic`.
    pub(super) fn basic(&self) -> Option<String> {
        let Self::Basic { user, secret } = self else { return None };
        Some(format!("Basic {}", STANDARD.encode(format!("{user}:{secret}"))))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic { user, .. } => write!(f, "Basic({user})"),
            Self::IdentityToken(_) => f.write_str("IdentityToken"),
            Self::RegistryToken(_) => f.write_str("RegistryToken"),
        }
    }
}

/// A credential, and where it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub credential: Credential,
    /// For people: a file or a program.
    pub place: String,
    /// What it is kept under there: a host, perhaps with the beginning of a repository's path, as
    /// the file spells it. Empty where nobody keeps it.
    pub key: String,
    /// It is good for one use.
    pub once: bool,
}

impl Found {
    /// For who asked for more.
    pub(super) fn shown(&self) -> String {
        let whose = match &self.credential {
            Credential::Basic { user, .. } => format!("credentials of {user}"),
            Credential::IdentityToken(_) => "an identity token".to_owned(),
            Credential::RegistryToken(_) => "a registry token".to_owned(),
        };
        match self.key.is_empty() {
            true => format!("{whose} from {}", self.place),
            false => format!("{whose} from {}, kept there for {}", self.place, self.key),
        }
    }
}

/// Credentials that are kept somewhere, as they are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The registry, with the beginning of a repository's path where they are for that alone.
    pub host: String,
    pub credential: Credential,
    /// For people: a file or a program.
    pub place: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_reads_what_a_client_sends() {
        let credential = Credential::new("ann", "a:b");
        let header = credential.basic().expect("a header");
        let read = Credential::from_basic(&header);
        assert_eq!(read, Some(("ann".to_owned(), "a:b".to_owned())));
        for bad in ["", "Basic", "Bearer YTpi", "Basic %", "Basic YWI="] {
            assert_eq!(Credential::from_basic(bad), None, "{bad}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let text =
            format!("{:?}", [Credential::new("u", "s3cret"), Credential::new("<token>", "s3cret")]);
        assert!(!text.contains("s3cret"), "{text}");
    }
}
