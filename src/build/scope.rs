//! Variables: which `ARG`s and `ENV`s an instruction sees.

use std::collections::BTreeMap;

use crate::dockerfile::{self, Arg, Expander};
use crate::image::Platform;

/// Arguments that need no declaration to reach a `RUN`'s environment and that are in neither the
/// history nor a step's key, so that a proxy changes no image.
pub(super) const PROXIES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// Sets all times that a build would take from the clock; in a `RUN`'s environment only when it is
/// declared.
pub(super) const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";

/// What `--build-arg` gave, and the platform's own arguments: values that an `ARG` can declare.
#[derive(Debug, Clone, Default)]
pub(super) struct Given {
    arguments: BTreeMap<String, String>,
    platform: BTreeMap<&'static str, String>,
}

impl Given {
    /// `target_stage` is what `--target` says.
    pub(super) fn new(
        arguments: &[(String, String)],
        build: &Platform,
        target: &Platform,
        target_stage: Option<&str>,
    ) -> Self {
        let mut platform = BTreeMap::new();
        let names = [
            (build, ["BUILDPLATFORM", "BUILDOS", "BUILDARCH", "BUILDVARIANT"]),
            (target, ["TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT"]),
        ];
        for (value, [whole, os, architecture, variant]) in names {
            platform.insert(whole, value.to_string());
            platform.insert(os, value.os.clone());
            platform.insert(architecture, value.architecture.clone());
            platform.insert(variant, value.variant.clone().unwrap_or_default());
        }
        // Linux has no such version.
        platform.insert("BUILDOSVERSION", String::new());
        platform.insert("TARGETOSVERSION", String::new());
        platform.insert("TARGETSTAGE", target_stage.unwrap_or("default").to_owned());
        Self { arguments: arguments.iter().cloned().collect(), platform }
    }

    /// As if `--build-arg` had not been used at all.
    pub(super) fn without_arguments(&self) -> Self {
        Self { arguments: BTreeMap::new(), platform: self.platform.clone() }
    }

    /// As if `--build-arg` had given it, unless it did.
    pub(super) fn add(&mut self, name: &str, value: String) {
        self.arguments.entry(name.to_owned()).or_insert(value);
    }

    pub(super) fn argument(&self, name: &str) -> Option<&str> {
        self.arguments.get(name).map(String::as_str)
    }

    /// Proxies as `RUN` sees them, in both spellings.
    pub(super) fn proxies(&self) -> Vec<(String, String)> {
        PROXIES
            .iter()
            .filter_map(|name| {
                let other = match name.starts_with(char::is_lowercase) {
                    true => name.to_ascii_uppercase(),
                    false => name.to_ascii_lowercase(),
                };
                let value = self.argument(name).or_else(|| self.argument(&other))?;
                Some(((*name).to_owned(), value.to_owned()))
            })
            .collect()
    }

    /// The names that `declared` leaves over: given, but asked for by nobody.
    pub(super) fn unused<'a>(&'a self, declared: &'a [String]) -> impl Iterator<Item = &'a str> {
        let names = self.arguments.keys().map(String::as_str);
        names.filter(|name| {
            !PROXIES.contains(name)
                && *name != SOURCE_DATE_EPOCH
                // Platforms' own need no declaration where `FROM` uses them; the others are wishes
                // to the reference builder that people give to any.
                && !self.platform.contains_key(name)
                && !name.starts_with("BUILDKIT_")
                && !declared.iter().any(|d| d == name)
        })
    }
}

/// The arguments of before the first `FROM`, which `FROM` lines see.
#[derive(Debug, Clone, Default)]
pub(super) struct Globals(BTreeMap<String, String>);

impl Globals {
    /// Those that exist without being declared.
    pub(super) fn predeclared(given: &Given) -> Self {
        let own = given.platform.iter();
        Self(
            own.map(|(name, value)| {
                let value = given.argument(name).unwrap_or(value);
                ((*name).to_owned(), value.to_owned())
            })
            .collect(),
        )
    }

    /// `ARG name[=default]` before the first `FROM`. The default is evaluated only when it counts.
    pub(super) fn declare<E>(
        &mut self,
        given: &Given,
        name: &str,
        default: Option<impl FnOnce(&Self) -> Result<String, E>>,
    ) -> Result<(), E> {
        let value = match (given.argument(name), default) {
            (Some(value), _) => Some(value.to_owned()),
            (None, Some(default)) => Some(default(self)?),
            (None, None) => None,
        };
        if let Some(value) = value {
            self.0.insert(name.to_owned(), value);
        }
        Ok(())
    }

    /// What a `FROM` line sees: these, and what its own `--arg` declares, each of which sees those
    /// before it.
    pub(super) fn seen_by(
        &self,
        from: &dockerfile::From,
        given: &Given,
        escape: char,
    ) -> Result<Self, dockerfile::Error> {
        let mut seen = self.clone();
        for argument in &from.arguments {
            let expand = |seen: &Self, word: &dockerfile::Word| {
                let get = |name: &str| seen.get(name).map(str::to_owned);
                Expander::new(escape, &get).word(word)
            };
            let name = expand(&seen, &argument.name)?;
            let default =
                argument.default.as_ref().map(|word| move |seen: &Self| expand(seen, word));
            seen.declare(given, &name, default)?;
        }
        Ok(seen)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// The variables of a stage, as they stand before an instruction.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    /// Name and value, in the order in which they came; what was set last wins, `ENV` or `ARG`.
    variables: Vec<(String, String)>,
    /// Declared by `ARG`, each once, in the order of the first declarations.
    arguments: Vec<String>,
}

impl Scope {
    /// Takes over the environment of a base image (`NAME=value` each).
    pub(super) fn of_environment(environment: &[String]) -> Self {
        let mut scope = Self::default();
        for entry in environment {
            let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
            scope.set(name, value);
        }
        scope
    }

    /// `ENV name=value`.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        match self.variables.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.variables.push((name.to_owned(), value.to_owned())),
        }
    }

    /// `ARG name[=default]`: --build-arg beats the default, the default beats the argument of the
    /// same name from before the first `FROM`. The default is evaluated only when it counts.
    /// Returns the value, if there is one now: an argument without any leaves a variable of its
    /// name alone.
    pub(super) fn declare<E>(
        &mut self,
        given: &Given,
        globals: &Globals,
        name: &str,
        default: Option<impl FnOnce() -> Result<String, E>>,
    ) -> Result<Option<String>, E> {
        let value = match (given.argument(name), default) {
            (Some(value), _) => Some(value.to_owned()),
            (None, Some(default)) => Some(default()?),
            (None, None) => globals.get(name).map(str::to_owned),
        };
        if let Some(value) = &value {
            self.set(name, value);
        }
        if !self.arguments.iter().any(|known| known == name) {
            self.arguments.push(name.to_owned());
        }
        Ok(value)
    }

    /// A whole `ARG`, each of whose words sees those before it; names are taken as they are. Returns
    /// what the history says.
    pub(super) fn declare_all(
        &mut self,
        arg: &Arg,
        given: &Given,
        globals: &Globals,
        escape: char,
    ) -> Result<String, dockerfile::Error> {
        let mut said = "ARG".to_owned();
        for argument in &arg.arguments {
            let name = argument.name.raw();
            let before = self.clone();
            let get = |name: &str| before.get(name).map(str::to_owned);
            let expander = Expander::new(escape, &get);
            let default = argument.default.as_ref().map(|word| || expander.word(word));
            let value = self.declare(given, globals, name, default)?;
            let value = value.map(|value| format!("={value}")).unwrap_or_default();
            said += &format!(" {name}{value}");
        }
        Ok(said)
    }

    /// Whether an `ARG` declared it, with or without a value.
    pub(super) fn is_declared(&self, name: &str) -> bool {
        self.arguments.iter().any(|known| known == name)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All variables, as a `RUN` gets them.
    pub(super) fn environment(&self) -> &[(String, String)] {
        &self.variables
    }

    /// Declared arguments with their present values, as the history shows them (`|N k=v …`).
    pub(super) fn arguments(&self) -> impl Iterator<Item = (&str, &str)> {
        self.arguments.iter().map(|name| (name.as_str(), self.get(name).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn given(arguments: &[(&str, &str)]) -> Given {
        let arguments: Vec<_> =
            arguments.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Given::new(
            &arguments,
            &Platform::new("linux", "amd64", None),
            &Platform::new("linux", "arm", Some("v7")),
            None,
        )
    }

    type Default = fn() -> Result<String, Infallible>;
    type GlobalDefault = fn(&Globals) -> Result<String, Infallible>;

    #[test]
    fn the_last_of_arg_and_env_wins() -> Result<(), Infallible> {
        let (given, globals) = (given(&[]), Globals::default());
        let mut scope = Scope::of_environment(&["A=base".into()]);
        scope.declare(&given, &globals, "A", Some(|| Ok::<_, Infallible>("arg".into())))?;
        assert_eq!(scope.get("A"), Some("arg"));
        scope.set("A", "env");
        assert_eq!(scope.get("A"), Some("env"));
        let value = scope.declare(&given, &globals, "A", None::<Default>)?;
        assert_eq!((value, scope.get("A")), (None, Some("env")));
        assert_eq!(scope.arguments().collect::<Vec<_>>(), [("A", "env")]);
        Ok(())
    }

    #[test]
    fn build_arguments_beat_defaults_and_globals_are_imported() -> Result<(), Infallible> {
        let given = given(&[("G", "given")]);
        let mut globals = Globals::predeclared(&given);
        let wrong: GlobalDefault = |_| unreachable!("a default that does not count");
        globals.declare(&given, "G", Some(wrong))?;
        let global: GlobalDefault = |_| Ok("global".into());
        globals.declare(&given, "H", Some(global))?;
        assert_eq!(
            (globals.get("G"), globals.get("TARGETPLATFORM")),
            (Some("given"), Some("linux/arm/v7"))
        );
        let mut scope = Scope::default();
        assert_eq!(scope.get("H"), None);
        for (name, value) in [
            ("UNSET", None),
            ("H", Some("global")),
            ("TARGETARCH", Some("arm")),
            ("TARGETSTAGE", Some("default")),
        ] {
            let declared = scope.declare(&given, &globals, name, None::<Default>)?;
            assert_eq!((declared.as_deref(), scope.get(name)), (value, value), "{name}");
        }
        let own =
            scope.declare(&given, &globals, "H", Some(|| Ok::<_, Infallible>("own".into())))?;
        assert_eq!(own.as_deref(), Some("own"));
        let arguments: Vec<_> = scope.arguments().collect();
        assert_eq!(
            arguments,
            [("UNSET", ""), ("H", "own"), ("TARGETARCH", "arm"), ("TARGETSTAGE", "default")]
        );
        Ok(())
    }

    #[test]
    fn proxies_come_in_both_spellings() {
        let given = given(&[
            ("https_proxy", "p"),
            ("NO_PROXY", "a"),
            ("no_proxy", "b"),
            ("X", "1"),
            ("Y", "2"),
            ("TARGETARCH", "x"),
            ("SOURCE_DATE_EPOCH", "1"),
            ("BUILDKIT_INLINE_CACHE", "1"),
        ]);
        let expected =
            [("HTTPS_PROXY", "p"), ("https_proxy", "p"), ("NO_PROXY", "a"), ("no_proxy", "b")];
        assert_eq!(given.proxies(), expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert_eq!(given.unused(&["Y".to_owned()]).collect::<Vec<_>>(), ["X"]);
    }
}
