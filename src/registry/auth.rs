//! Challenges, and what answers them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::client::Connection;
use super::credential::{Credential, Found};
use super::error::Detail;
use super::token::{self, Realm, Token};
use super::{Access, Error};

/// What a call wants to do, in the words of token servers
/// (distribution docs, "Token Scope Documentation").
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    /// Empty for calls that concern no repository.
    pub(super) repository: String,
    actions: &'static str,
    /// Another repository to read from.
    from: Option<String>,
}

impl Scope {
    pub(super) fn pull(repository: &str) -> Self {
        Self { repository: repository.to_owned(), actions: "pull", from: None }
    }

    pub(super) fn push(repository: &str) -> Self {
        Self { repository: repository.to_owned(), actions: "pull,push", from: None }
    }

    /// Every action: some servers know none of the name `delete`, others want that one.
    pub(super) fn delete(repository: &str) -> Self {
        Self { repository: repository.to_owned(), actions: "*", from: None }
    }

    /// To list repositories; concerns none.
    pub(super) fn catalog() -> Self {
        Self { repository: String::new(), actions: "catalog", from: None }
    }

    pub(super) fn and_from(mut self, repository: Option<&str>) -> Self {
        self.from = repository.map(str::to_owned);
        self
    }

    /// What a token is asked for; the most needed first, since some servers look at one only.
    fn words(&self) -> Vec<String> {
        if self.repository.is_empty() {
            return match self.actions {
                "catalog" => vec!["registry:catalog:*".to_owned()],
                _ => Vec::new(),
            };
        }
        let own = format!("repository:{}:{}", self.repository, self.actions);
        let from = self.from.as_ref().map(|from| format!("repository:{from}:pull"));
        [own].into_iter().chain(from).collect()
    }

    /// The words, and those of a challenge that ask for more.
    fn with(&self, asked: Option<&str>) -> Vec<String> {
        let mut words = self.words();
        for word in asked.unwrap_or_default().split_ascii_whitespace() {
            if !words.iter().any(|own| covers(own, word)) {
                words.push(word.to_owned());
            }
        }
        words
    }
}

/// Whether one scope contains the other.
fn covers(scope: &str, other: &str) -> bool {
    let (Some((what, has)), Some((same, asked))) = (scope.rsplit_once(':'), other.rsplit_once(':'))
    else {
        return scope == other;
    };
    what == same && asked.split(',').all(|action| has.split(',').any(|own| own == action))
}

/// What one registry asked for, and was given.
#[derive(Debug)]
pub(super) struct Authenticator {
    host: String,
    access: Arc<Access>,
    // Held while a token is fetched: who needs the same one waits for it instead of asking too.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    method: Option<Method>,
    /// Credentials by repository, since their files may tell repositories apart.
    found: HashMap<String, Option<Found>>,
    tokens: HashMap<Scope, Token>,
}

#[derive(Debug, Clone)]
enum Method {
    Basic,
    Bearer(Realm),
}

impl Authenticator {
    pub(super) fn new(host: &str, access: Arc<Access>) -> Self {
        Self { host: host.to_owned(), access, state: Mutex::default() }
    }

    /// The value of `Authorization` for a call; None as long as nobody asked for one.
    pub(super) fn authorization(
        &self,
        connection: &Connection,
        scope: &Scope,
    ) -> Result<Option<String>, Error> {
        let mut state = self.state.lock().expect(UNPOISONED);
        match state.method.clone() {
            None => Ok(None),
            Some(Method::Basic) => {
                let found = self.look_up(&mut state, scope)?;
                Ok(found.and_then(|found| found.credential.basic()))
            }
            Some(Method::Bearer(realm)) => {
                if let Some(token) = state.tokens.get(scope).filter(|token| token.is_fresh()) {
                    return Ok(Some(token.bearer()));
                }
                self.fetch(&mut state, connection, &realm, scope, None).map(Some)
            }
        }
    }

    /// Learns from a 401 what the next try must have. `sent` is the value that was refused.
    pub(super) fn answer(
        &self,
        connection: &Connection,
        scope: &Scope,
        challenges: &[String],
        sent: Option<&str>,
        what: impl Fn() -> String,
        detail: Detail,
    ) -> Result<(), Error> {
        let mut state = self.state.lock().expect(UNPOISONED);
        if state.tokens.get(scope).is_some_and(|token| Some(&*token.bearer()) != sent) {
            return Ok(()); // another thread was faster
        }
        state.tokens.remove(scope);
        let challenges: Vec<Challenge> =
            challenges.iter().flat_map(|header| parse_challenges(header)).collect();
        let of = |scheme| challenges.iter().find(|challenge| challenge.scheme == scheme);
        let bearer = of("bearer").filter(|challenge| challenge.get("realm").is_some());
        let found = self.look_up(&mut state, scope)?;
        let denied = |detail| Err(Error::denied(&self.host, what(), detail, found.as_ref()));
        if let Some(challenge) = bearer {
            let realm = Realm::new(
                &self.host,
                &connection.base()?,
                connection.trust(),
                challenge.get("realm").unwrap_or_default(),
                challenge.get("service"),
            )?;
            state.method = Some(Method::Bearer(realm.clone()));
            let asked = challenge.get("scope");
            return self.fetch(&mut state, connection, &realm, scope, asked).map(drop);
        }
        if of("basic").is_some() {
            state.method = Some(Method::Basic);
            let basic = found.as_ref().and_then(|found| found.credential.basic());
            return match basic {
                Some(basic) if Some(&*basic) != sent => Ok(()),
                _ => denied(detail),
            };
        }
        let schemes: Vec<&str> = challenges.iter().map(|c| c.scheme.as_str()).collect();
        match schemes.is_empty() {
            true => denied(detail),
            false => {
                let why = format!(
                    "it asks for {}, but only Basic and Bearer are known",
                    schemes.join(", ")
                );
                Err(Error::Protocol { what: what(), why })
            }
        }
    }

    fn fetch(
        &self,
        state: &mut State,
        connection: &Connection,
        realm: &Realm,
        scope: &Scope,
        asked: Option<&str>,
    ) -> Result<String, Error> {
        let found = self.look_up(state, scope)?;
        let token = match found.as_ref().map(|found| &found.credential) {
            Some(Credential::RegistryToken(token)) => Token::lasting(token.clone()),
            _ => token::fetch(connection, realm, &scope.with(asked), found.as_ref())?,
        };
        // A server may hand out a new identity token for the old one.
        if let (Some(new), Some(Some(found))) =
            (token.identity(), state.found.get_mut(&scope.repository))
        {
            found.credential = Credential::IdentityToken(new.to_owned());
        }
        let bearer = token.bearer();
        state.tokens.insert(scope.clone(), token);
        if found.is_some_and(|found| found.once) {
            state.found.remove(&scope.repository);
        }
        Ok(bearer)
    }

    fn look_up(&self, state: &mut State, scope: &Scope) -> Result<Option<Found>, Error> {
        if let Some(found) = state.found.get(&scope.repository) {
            return Ok(found.clone());
        }
        let found =
            self.access.keyring.find(&self.host, &scope.repository, &*self.access.reporter)?;
        if let Some(found) = &found {
            let whose = match scope.repository.is_empty() {
                true => self.host.clone(),
                false => format!("{}/{}", self.host, scope.repository),
            };
            self.access.reporter.detail(format!("{whose}: {}", found.shown()));
        }
        state.found.insert(scope.repository.clone(), found.clone());
        Ok(found)
    }

    /// The credentials that were used for a repository.
    pub(super) fn found(&self, scope: &Scope) -> Option<Found> {
        self.state.lock().expect(UNPOISONED).found.get(&scope.repository).cloned().flatten()
    }
}

const UNPOISONED: &str = "no thread panics while it authenticates";

/// One way in which a server lets itself be convinced (RFC 9110 §11.6.1).
#[derive(Debug, PartialEq, Eq)]
struct Challenge {
    /// In lower case, as are the names of its parameters.
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.parameters.iter().find(|(key, _)| key == name)?;
        Some(value)
    }
}

/// Reads a `WWW-Authenticate`. Commas separate challenges as well as the parameters of one, and
/// may stand inside of quotes; what makes no sense is skipped.
fn parse_challenges(header: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let Some(end) = rest.find(|c: char| !is_token(c)).or(Some(rest.len())).filter(|n| *n > 0)
        else {
            let mut chars = rest.chars();
            if chars.next().is_none() {
                return challenges;
            }
            rest = chars.as_str();
            continue;
        };
        let (word, after) = rest.split_at(end);
        let spaced = after.trim_start_matches([' ', '\t']);
        let value = spaced.strip_prefix('=').filter(|value| !value.starts_with('='));
        match (value, challenges.last_mut()) {
            (Some(value), Some(challenge)) => {
                let (text, left) = parse_value(value.trim_start_matches([' ', '\t']));
                challenge.parameters.push((word.to_ascii_lowercase(), text));
                rest = left;
            }
            // A token68 (`Negotiate abc==`) is data of its scheme, no scheme.
            (None, Some(_)) if after.starts_with('=') || spaced.starts_with('=') => {
                rest = spaced.trim_start_matches('=');
            }
            _ => {
                let scheme = word.to_ascii_lowercase();
                challenges.push(Challenge { scheme, parameters: Vec::new() });
                rest = after;
            }
        }
    }
}

/// A quoted string or a token, and what follows it.
fn parse_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        // Not only token characters: some servers forget the quotes around a URL.
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

/// RFC 9110 §5.6.2, and `/`, which a token68 may have.
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_come_in_all_forms() {
        let docker = r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push""#;
        let bearer = "bearer realm=https://auth.example/token service=registry.example scope=repository:a/b:pull,push";
        for (header, expected) in [
            (docker, &[bearer][..]),
            ("Basic realm=\"Registry\"", &["basic realm=Registry"]),
            ("bAsIc", &["basic"]),
            ("Basic  ReAlM = \"a\\\"b\" ", &["basic realm=a\"b"]),
            (r#"Basic realm="a, b=c", charset="UTF-8""#, &["basic realm=a, b=c charset=UTF-8"]),
            (
                r#"Basic realm="x", Bearer scope="s",realm="y""#,
                &["basic realm=x", "bearer scope=s realm=y"],
            ),
            ("Negotiate, Basic realm=x", &["negotiate", "basic realm=x"]),
            ("Negotiate YWJj==, Bearer realm=\"y\"", &["negotiate", "bearer realm=y"]),
            ("Bearer realm=https://h/token,service=s", &["bearer realm=https://h/token service=s"]),
            (",, Basic realm=x ,", &["basic realm=x"]),
            ("Bearer realm=\"open", &["bearer realm=open"]),
            (
                "Bearer\trealm=\"\",error=\"insufficient_scope\"",
                &["bearer realm= error=insufficient_scope"],
            ),
            ("", &[]),
            ("\"\u{e9}\"@(;", &[]),
        ] {
            let found: Vec<String> = parse_challenges(header)
                .into_iter()
                .map(|challenge| {
                    let parameters = challenge.parameters.into_iter();
                    let words = parameters.map(|(name, value)| format!(" {name}={value}"));
                    challenge.scheme + &words.collect::<String>()
                })
                .collect();
            assert_eq!(found, expected, "{header}");
        }
    }

    #[test]
    fn scopes_are_completed_by_challenges() {
        let push = Scope::push("a/b");
        for (scope, asked, expected) in [
            (&push, None, "repository:a/b:pull,push"),
            (&push, Some("repository:a/b:push,pull"), "repository:a/b:pull,push"),
            (&push, Some("repository:a/b:pull"), "repository:a/b:pull,push"),
            (&push, Some("repository:c:pull"), "repository:a/b:pull,push repository:c:pull"),
            (
                &push,
                Some("repository:a/b:delete"),
                "repository:a/b:pull,push repository:a/b:delete",
            ),
            (&push.clone().and_from(Some("c")), None, "repository:a/b:pull,push repository:c:pull"),
            (&Scope::default(), Some("registry:catalog:*"), "registry:catalog:*"),
            (&Scope::default(), None, ""),
            (&Scope::catalog(), Some("registry:catalog:*"), "registry:catalog:*"),
            (
                &Scope::delete("a"),
                Some("repository:a:delete"),
                "repository:a:* repository:a:delete",
            ),
        ] {
            assert_eq!(scope.with(asked).join(" "), expected);
        }
    }
}
