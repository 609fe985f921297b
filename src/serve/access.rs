//! [`Access`]: who may come in.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Mutex, PoisonError};

use super::refusal::{Refusal, Result};
use crate::image::Digest;
use crate::registry::Credential;

/// A password costs much to compare; so many that were right are remembered.
const REMEMBERED: usize = 1000;

/// People and their passwords.
pub struct Access {
    users: HashMap<String, Secret>,
    /// Makes what is remembered useless to anybody else.
    salt: u64,
    right: Mutex<HashSet<Digest>>,
}

enum Secret {
    Bcrypt(String),
    /// The digest of the password itself, which never leaves this process.
    Own(Digest),
}

/// What is wrong with a file of `htpasswd`.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    #[error("line {0} is not USER:HASH")]
    Line(usize),
    #[error("line {0} has no hash of bcrypt, which `htpasswd -B` makes")]
    Hash(usize),
    #[error("there is no user in it")]
    Nobody,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("users", &self.users.keys()).finish_non_exhaustive()
    }
}

impl Access {
    /// Everybody whom a file of `htpasswd -B` names.
    pub fn htpasswd(text: &str) -> std::result::Result<Self, Invalid> {
        let mut users = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            let (number, line) = (number + 1, line.trim());
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (user, hash) = line.split_once(':').ok_or(Invalid::Line(number))?;
            let is_bcrypt = ["$2a$", "$2b$", "$2y$"].iter().any(|kind| hash.starts_with(kind));
            if !is_bcrypt || hash.parse::<bcrypt::HashParts>().is_err() {
                return Err(Invalid::Hash(number));
            }
            users.insert(user.to_owned(), Secret::Bcrypt(hash.to_owned()));
        }
        match users.is_empty() {
            true => Err(Invalid::Nobody),
            false => Ok(Self::new(users)),
        }
    }

    /// One person.
    pub fn single(user: &str, password: &str) -> Self {
        let secret = Secret::Own(Digest::of(password.as_bytes()));
        Self::new(HashMap::from([(user.to_owned(), secret)]))
    }

    fn new(users: HashMap<String, Secret>) -> Self {
        let salt = RandomState::new().build_hasher().finish();
        Self { users, salt, right: Mutex::default() }
    }

    /// Lets in who has a password, by the value of `Authorization`.
    pub(super) fn check(&self, header: Option<&str>) -> Result<()> {
        let refused = || {
            let message = "a user name and a password are wanted";
            Refusal::new(401, "UNAUTHORIZED", message)
                .header("www-authenticate", "Basic realm=\"bryo\", charset=\"UTF-8\"")
        };
        let (user, password) = header.and_then(Credential::from_basic).ok_or_else(refused)?;
        match self.is_right(&user, &password) {
            true => Ok(()),
            false => Err(refused()),
        }
    }

    fn is_right(&self, user: &str, password: &str) -> bool {
        let hash = match self.users.get(user) {
            Some(Secret::Own(digest)) => return Digest::of(password.as_bytes()) == *digest,
            Some(Secret::Bcrypt(hash)) => hash,
            // Takes as long as for somebody who is known.
            None => {
                if let Some(Secret::Bcrypt(hash)) = self.users.values().next() {
                    drop(bcrypt::verify(password, hash));
                }
                return false;
            }
        };
        let key = Digest::of(format!("{}\0{user}\0{password}", self.salt).as_bytes());
        let right = || self.right.lock().unwrap_or_else(PoisonError::into_inner);
        if right().contains(&key) {
            return true;
        }
        let is_right = bcrypt::verify(password, hash).unwrap_or(false);
        if is_right {
            let mut right = right();
            if right.len() >= REMEMBERED {
                right.clear();
            }
            right.insert(key);
        }
        is_right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(password: &str) -> String {
        bcrypt::hash_with_result(password, 4)
            .expect("a hash")
            .format_for_version(bcrypt::Version::TwoY)
    }

    #[test]
    fn who_is_in_the_file_comes_in() {
        let text = format!("# people\n\nann:{}\nbob:{}\n", hash("a:b"), hash("c"));
        let access = Access::htpasswd(&text).expect("valid");
        for (user, password, expected) in [
            ("ann", "a:b", true),
            ("ann", "a:b", true), // remembered
            ("bob", "c", true),
            ("ann", "c", false),
            ("bob", "", false),
            ("eve", "a:b", false),
        ] {
            assert_eq!(access.is_right(user, password), expected, "{user}:{password}");
        }
        let single = Access::single("ann", "x");
        assert!(single.is_right("ann", "x"));
        assert!(!single.is_right("ann", "y") && !single.is_right("bob", "x"));
        assert!(!format!("{single:?} {access:?}").contains("$2y$"));
    }

    #[test]
    fn nothing_comes_in_without_a_password() {
        let access = Access::single("ann", "x");
        assert!(access.check(Some("Basic YW5uOng=")).is_ok());
        for header in [None, Some("Basic YW5uOnk="), Some("Bearer x"), Some("Basic"), Some("")] {
            let refusal = access.check(header).expect_err("refused").answer();
            assert_eq!(refusal.status, 401);
            assert!(refusal.headers.iter().any(|(name, _)| *name == "www-authenticate"));
        }
    }

    #[test]
    fn other_hashes_are_refused() {
        for (text, number) in [
            ("ann", 1),
            ("\nann:$apr1$x$y", 2),
            ("ann:{SHA}x", 1),
            ("ann:plain", 1),
            ("ann:$2y$05$short", 1),
        ] {
            let error = Access::htpasswd(text).expect_err(text).to_string();
            assert!(error.contains(&format!("line {number} ")), "{text}: {error}");
        }
        assert!(matches!(Access::htpasswd("# nobody\n"), Err(Invalid::Nobody)));
    }
}
