//! Variables: which `ARG`s and `ENV`s an instruction sees.

use std::collections::BTreeMap;

use crate::image::Platform;

/// Arguments that need no declaration to reach a `RUN`'s environment and that are in neither the
/// history nor a step's key, so that a proxy changes no image.
const PROXIES: [&str; 10] = [
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

/// What `--build-arg` gave, and the platform's own arguments: values that an `ARG` can declare.
#[derive(Debug, Clone, Default)]
pub(super) struct Given {
    arguments: BTreeMap<String, String>,
    platform: BTreeMap<&'static str, String>,
}

impl Given {
    pub(super) fn new(arguments: &[(String, String)], build: &Platform, target: &Platform) -> Self {
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
        Self { arguments: arguments.iter().cloned().collect(), platform }
    }

    /// Sets the argument that names the stage to build.
    pub(super) fn set_target_stage(&mut self, name: &str) {
        self.platform.insert("TARGETSTAGE", name.to_owned());
    }

    fn argument(&self, name: &str) -> Option<&str> {
        self.arguments.get(name).map(String::as_str)
    }

    /// Proxies as `RUN` sees them, in both spellings.
    pub(super) fn proxies(&self) -> Vec<(String, String)> {
        let mut found = BTreeMap::new();
        for name in PROXIES {
            if let Some(value) = self.argument(name) {
                for spelling in [name.to_ascii_uppercase(), name.to_ascii_lowercase()] {
                    found.entry(spelling).or_insert_with(|| value.to_owned());
                }
            }
        }
        found.into_iter().collect()
    }

    /// The names that `declared` leaves over: given, but asked for by nobody.
    pub(super) fn unused<'a>(&'a self, declared: &'a [String]) -> impl Iterator<Item = &'a str> {
        let names = self.arguments.keys().map(String::as_str);
        names.filter(|name| {
            !PROXIES.contains(name)
                && *name != "SOURCE_DATE_EPOCH"
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

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// The variables of a stage, as they stand before an instruction.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    /// Name and value, in the order in which they came; what was set last wins, `ENV` or `ARG`.
    variables: Vec<(String, String)>,
    /// Declared by `ARG`, with the value at this point; a later `ARG` of the name keeps its place.
    arguments: Vec<(String, Option<String>)>,
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
    /// same name from before the first `FROM`.
    pub(super) fn declare<E>(
        &mut self,
        given: &Given,
        globals: &Globals,
        name: &str,
        default: Option<impl FnOnce(&Self) -> Result<String, E>>,
    ) -> Result<(), E> {
        let value = match (given.argument(name), default) {
            (Some(value), _) => Some(value.to_owned()),
            (None, Some(default)) => Some(default(self)?),
            (None, None) => globals.get(name).map(str::to_owned),
        };
        if let Some(value) = &value {
            self.set(name, value);
        }
        match self.arguments.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.arguments.push((name.to_owned(), value)),
        }
        Ok(())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All variables, as a `RUN` gets them.
    pub(super) fn environment(&self) -> &[(String, String)] {
        &self.variables
    }

    /// Declared arguments that have a value, as the history shows them (`|N k=v …`).
    pub(super) fn arguments(&self) -> impl Iterator<Item = (&str, &str)> {
        self.arguments.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?)))
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
        )
    }

    fn text<T>(value: &str) -> Option<impl FnOnce(&T) -> Result<String, Infallible> + use<T>> {
        let value = value.to_owned();
        Some(move |_: &T| Ok(value))
    }

    type No<T> = fn(&T) -> Result<String, Infallible>;

    #[test]
    fn the_last_of_arg_and_env_wins() -> Result<(), Infallible> {
        let (given, globals) = (given(&[]), Globals::default());
        let mut scope = Scope::of_environment(&["A=base".into()]);
        scope.declare(&given, &globals, "A", text("arg"))?;
        assert_eq!(scope.get("A"), Some("arg"));
        scope.set("A", "env");
        assert_eq!(scope.get("A"), Some("env"));
        scope.declare(&given, &globals, "A", None::<No<Scope>>)?;
        assert_eq!(scope.get("A"), Some("env"));
        Ok(())
    }

    #[test]
    fn build_arguments_beat_defaults_and_globals_are_imported() -> Result<(), Infallible> {
        let given = given(&[("G", "given")]);
        let mut globals = Globals::predeclared(&given);
        globals.declare(&given, "G", text("default"))?;
        globals.declare(&given, "H", text("global"))?;
        assert_eq!(
            (globals.get("G"), globals.get("TARGETPLATFORM")),
            (Some("given"), Some("linux/arm/v7"))
        );
        let mut scope = Scope::default();
        assert_eq!(scope.get("H"), None);
        scope.declare(&given, &globals, "H", None::<No<Scope>>)?;
        scope.declare(&given, &globals, "TARGETARCH", None::<No<Scope>>)?;
        scope.declare(&given, &globals, "UNSET", None::<No<Scope>>)?;
        let arguments: Vec<_> = scope.arguments().collect();
        assert_eq!(arguments, [("H", "global"), ("TARGETARCH", "arm")]);
        Ok(())
    }

    #[test]
    fn proxies_come_in_both_spellings() {
        let given = given(&[("https_proxy", "p"), ("X", "1")]);
        let expected = [("HTTPS_PROXY", "p"), ("https_proxy", "p")];
        assert_eq!(given.proxies(), expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert_eq!(given.unused(&[]).collect::<Vec<_>>(), ["X"]);
    }
}
