//! [`Profile`]: what one family of images needs, so that fakeroot(1) can run in them.
//! The format is described in bryo-profile(5).

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::image::Digest;
use crate::pattern::Pattern;
use crate::sandbox::RootEmulation;

/// One family of images.
#[derive(Debug)]
pub struct Profile {
    pub name: String,
    pub description: String,
    pub(super) rules: Vec<Rule>,
    /// Commands that need to believe that they are root.
    pub words: Vec<String>,
    /// Runs a command under fakeroot(1).
    pub prefix: Vec<String>,
    /// Variables of set-up steps and of commands that run under fakeroot(1).
    pub environment: BTreeMap<String, String>,
    pub init: Vec<InitStep>,
    pub insert: Vec<Insertion>,
    /// What `auto` takes where only these two are possible: `fake`, or `fakeroot`.
    pub prefer: RootEmulation,
    /// Of its text.
    pub digest: Digest,
}

/// A line of a file of the image that gives its family away.
#[derive(Debug)]
pub(super) struct Rule {
    /// Absolute, in the image.
    pub(super) file: PathBuf,
    pub(super) pattern: Pattern,
}

/// Something to be done once, before the first command that runs under fakeroot(1).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitStep {
    pub why: String,
    /// Shell commands that succeed when nothing is to be done, and change nothing.
    pub test: String,
    /// Shell commands that do it.
    #[serde(rename = "do")]
    pub deed: String,
}

/// Arguments that make a command content with a root that is only faked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Insertion {
    pub command: String,
    /// These come directly after the command's name.
    pub arguments: Vec<String>,
    #[serde(default)]
    pub why: String,
}

/// What is wrong with a profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}: {reason}", file.display())]
pub struct ProfileError {
    pub file: PathBuf,
    pub line: usize,
    pub reason: String,
}

/// As it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Spanned<String>,
    description: String,
    #[serde(rename = "match")]
    rules: Spanned<Vec<WrittenRule>>,
    words: Spanned<Vec<String>>,
    prefix: Spanned<Vec<String>>,
    prefer: Option<Spanned<String>>,
    #[serde(default)]
    environment: BTreeMap<Spanned<String>, String>,
    #[serde(default)]
    init: Vec<Spanned<InitStep>>,
    #[serde(default)]
    insert: Vec<Spanned<Insertion>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    file: Spanned<String>,
    pattern: Spanned<String>,
}

/// What is wrong, and where in the text.
type Fault = (Range<usize>, String);

impl Profile {
    /// Reads a profile; `file` is its name in messages.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it: no TOML, a key that is unknown or missing, a value
    /// that makes no sense.
    pub fn parse(file: &Path, text: &str) -> Result<Self, ProfileError> {
        let written = toml::from_str::<Written>(text).map_err(|error| {
            let at = error.span().unwrap_or(0..0);
            // A missing key is reported with the whole table as its place.
            (at, error.message().to_owned())
        });
        written.and_then(|written| written.check(text)).map_err(|(at, reason)| {
            let before = &text.as_bytes()[..at.start.min(text.len())];
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            ProfileError { file: file.to_owned(), line, reason }
        })
    }
}

impl Written {
    fn check(self, text: &str) -> Result<Profile, Fault> {
        let Self { name, description, rules, words, prefix, prefer, environment, init, insert } =
            self;
        let fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.get_ref().is_empty() || !name.get_ref().chars().all(fit) {
            let reason = "a name has lower-case letters, digits and hyphens".to_owned();
            return Err((name.span(), reason));
        }
        if rules.get_ref().is_empty() {
            return Err((rules.span(), "no rule: it would never match".to_owned()));
        }
        let rules = rules.into_inner().into_iter().map(WrittenRule::check);
        let rules = rules.collect::<Result<_, Fault>>()?;
        for (list, what) in [(&words, "words"), (&prefix, "prefix")] {
            if list.get_ref().is_empty() || list.get_ref().iter().any(String::is_empty) {
                return Err((list.span(), format!("{what} are empty, or one of them is")));
            }
        }
        if let Some(word) = words.get_ref().iter().find(|word| !is_command(word)) {
            return Err((words.span(), format!("{word:?} is no command's name without its path")));
        }
        let prefer = match prefer {
            None => RootEmulation::Fake,
            Some(prefer) => match prefer.get_ref().parse() {
                Ok(mode @ (RootEmulation::Fake | RootEmulation::Fakeroot)) => mode,
                _ => return Err((prefer.span(), "it is \"fake\" or \"fakeroot\"".to_owned())),
            },
        };
        for variable in environment.keys() {
            if variable.get_ref().is_empty() || variable.get_ref().contains(['=', '\0']) {
                return Err((variable.span(), "no name for a variable".to_owned()));
            }
        }
        for step in &init {
            let InitStep { why, test, deed } = step.get_ref();
            if [why, test, deed].iter().any(|text| text.trim().is_empty()) {
                return Err((step.span(), "why, test or do is empty".to_owned()));
            }
        }
        for row in &insert {
            let Insertion { command, arguments, why } = row.get_ref();
            if !is_command(command) || arguments.is_empty() || why.trim().is_empty() {
                let reason = "it has a command's name without its path, arguments, and why";
                return Err((row.span(), reason.to_owned()));
            }
        }
        let environment = environment.into_iter().map(|(k, v)| (k.into_inner(), v)).collect();
        Ok(Profile {
            name: name.into_inner(),
            description,
            rules,
            words: words.into_inner(),
            prefix: prefix.into_inner(),
            environment,
            init: init.into_iter().map(Spanned::into_inner).collect(),
            insert: insert.into_iter().map(Spanned::into_inner).collect(),
            prefer,
            digest: Digest::of(text.as_bytes()),
        })
    }
}

impl WrittenRule {
    fn check(self) -> Result<Rule, Fault> {
        let Self { file, pattern } = self;
        if !file.get_ref().starts_with('/') {
            return Err((file.span(), "a file's path in the image begins with a /".to_owned()));
        }
        let pattern = Pattern::regex(pattern.get_ref())
            .map_err(|what| (pattern.span(), format!("invalid pattern: {what}")))?;
        Ok(Rule { file: file.into_inner().into(), pattern })
    }
}

fn is_command(word: &str) -> bool {
    !word.is_empty() && !word.contains(|c: char| c == '/' || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"# A comment
name = "toy"
description = "Toy Linux"
words = ["toy-get"]
prefix = ["fakeroot", "--"]

[[match]]
file = "/etc/toy-release"
pattern = '^Toy [0-9]+$'

[environment]
A = "1"

[[init]]
why = "there is no fakeroot"
test = "command -v fakeroot"
do = "toy-get fakeroot"

[[insert]]
command = "toy-get"
arguments = ["--trust-me"]
why = "it looks twice"
"#;

    fn read(text: &str) -> Result<Profile, String> {
        Profile::parse(Path::new("toy.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_profile_is_read() {
        let profile = read(GOOD).expect("it is good");
        assert_eq!((profile.name.as_str(), profile.words.len()), ("toy", 1));
        assert_eq!(profile.prefix, ["fakeroot", "--"]);
        assert_eq!(profile.environment["A"], "1");
        assert_eq!(profile.init[0].deed, "toy-get fakeroot");
        assert_eq!(profile.insert[0].arguments, ["--trust-me"]);
        assert_eq!(profile.prefer, RootEmulation::Fake);
        let other = read(&GOOD.replace("name =", "prefer = \"fakeroot\"\nname =")).expect("good");
        assert_eq!(other.prefer, RootEmulation::Fakeroot);
        assert_ne!(other.digest, profile.digest);
    }

    /// The message of an unknown key lists the known ones; each has its place in the manual.
    #[test]
    fn the_manual_knows_every_key() {
        let page = include_str!("../../man/bryo-profile.5");
        let mut keys = 0;
        for (table, heading) in [
            ("", "KEYS"),
            ("[[match]]\n", "[[match]]"),
            ("[[init]]\n", "[[init]]"),
            ("[[insert]]\n", "[[insert]]"),
        ] {
            let told = read(&format!("{table}x = 1\n")).expect_err("no such key");
            let (_, known) = told.split_once("expected ").expect(&told);
            let start = page.find(&format!(" {heading}\n")).expect(heading);
            for key in known.split('`').skip(1).step_by(2) {
                let named = match key {
                    "match" | "init" | "insert" => format!(".SS [[{key}]]\n"),
                    "environment" => ".SS [environment]\n".to_owned(),
                    key => format!("\\fB{key}\\fR = "),
                };
                assert!(page[start..].contains(&named), "{heading}: {key} is not in the manual");
                keys += 1;
            }
        }
        assert_eq!(keys, 9 + 2 + 3 + 3);
        let (_, example) = page.split_once(".SH EXAMPLE\n.nf\n").expect("an example");
        let (example, _) = example.split_once(".fi").expect("its end");
        let profile = read(&example.replace("\\-", "-")).expect("the example is good");
        assert_eq!((profile.name.as_str(), profile.init.len()), ("mine", 1));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (from, to, said) in [
            ("name = \"toy\"", "name = ", "2: string values must be quoted"),
            ("name = \"toy\"", "name = \"Toy\"", "2: a name has lower-case letters"),
            ("name = \"toy\"\n", "", "1: missing field `name`"),
            ("words = ", "wrods = ", "4: unknown field `wrods`, expected one of `name`, `desc"),
            ("words = ", "prefer = \"full\"\nwords = ", "4: it is \"fake\" or \"fakeroot\""),
            ("[\"toy-get\"]\np", "[]\np", "4: words are empty"),
            ("\"toy-get\"]\np", "\"/bin/toy\"]\np", "4: \"/bin/toy\" is no command's name"),
            ("words = [\"toy-get\"]", "words = 1", "4: invalid type: integer `1`, expected"),
            ("file = \"/", "file = \"", "8: a file's path in the image begins with a /"),
            ("'^Toy [0-9]+$'", "'^Toy (?!1)'", "9: invalid pattern: look-around"),
            ("'^Toy [0-9]+$'", "'['", "9: invalid pattern: unclosed character class"),
            ("pattern =", "regex =", "9: unknown field `regex`, expected `file` or `pattern`"),
            ("A = \"1\"", "\"A=\" = \"1\"", "12: no name for a variable"),
            ("test = \"command -v fakeroot\"", "test = ''", "14: why, test or do is empty"),
            ("why = \"it looks twice\"", "", "19: it has a command's name"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let error = read(&GOOD.replacen(from, to, 1)).expect_err(to);
            assert!(error.starts_with(&format!("toy.toml:{said}")), "{to}\n{error}");
        }
    }
}
