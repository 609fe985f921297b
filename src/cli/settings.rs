//! [`Settings`]: the configuration file, a TOML file of one level, and the variables that beat it.
//!
//! Each key `some-key` has a variable `BRYO_SOME_KEY`; options of the command line beat both. Lists
//! are separated by commas in a variable.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

use super::args;
use crate::layer::compress::Compression;
use crate::sandbox::RootEmulation;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Number,
    List,
}

/// Something that can be set.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) help: &'static str,
    /// Whether a value makes sense; of a list, one of it.
    check: fn(&str) -> Result<(), String>,
}

const fn key(
    name: &'static str,
    kind: Kind,
    help: &'static str,
    check: fn(&str) -> Result<(), String>,
) -> Key {
    Key { name, kind, help, check }
}

/// All keys, in the order of the alphabet.
pub(crate) const KEYS: [Key; 15] = [
    key("authfile", Kind::Text, "read and write credentials in this file alone", is_absolute),
    key("cacert", Kind::List, "trust the certificate authorities in these files too", is_absolute),
    key("color", Kind::Text, "whether to use colours: auto, always, never", |text| {
        one_of(text, &["auto", "always", "never"])
    }),
    key("compress", Kind::Text, "how builds compress layers: gzip, zstd:19, none", |text| {
        text.parse::<Compression>().map(drop).map_err(|error| error.to_string())
    }),
    key("insecure", Kind::List, "hosts that may speak plain http, or have any certificate", |_| {
        Ok(())
    }),
    key("jobs", Kind::Number, "do so many things at once", |text| match text.parse::<u16>() {
        Ok(1..) => Ok(()),
        _ => Err("it is a number from 1 to 65535".to_owned()),
    }),
    key("mirror", Kind::List, "ask MIRROR first for images of HOST: HOST=MIRROR", |text| {
        args::full_pair(text).map(drop)
    }),
    key("offline", Kind::Text, "send nothing to anybody: yes, no", |text| {
        one_of(text, &["yes", "no"])
    }),
    key("progress", Kind::Text, "how progress is shown: auto, tty, plain, json, none", |text| {
        one_of(text, &["auto", "tty", "plain", "json", "none"])
    }),
    key("proxy", Kind::Text, "go through this proxy", |text| match text.contains('@') {
        true => Err("it has credentials; they belong into --proxy or $HTTPS_PROXY".to_owned()),
        false => Ok(()),
    }),
    key("rate-limit", Kind::Text, "send at most so many requests per second: 5, 0.5", |text| {
        args::rate(text).map(drop)
    }),
    key("retry", Kind::Number, "try what fails up to so many times", |text| {
        match text.parse::<u32>() {
            Ok(1..) => Ok(()),
            _ => Err("it is a number above 0".to_owned()),
        }
    }),
    key("root-emulation", Kind::Text, "how commands are root: auto, full, ids, fake, …", |text| {
        text.parse::<RootEmulation>().map(drop).map_err(|error| error.to_string())
    }),
    key("run-timeout", Kind::Text, "end a RUN that takes longer: 90s, 1h30m", |text| {
        args::limit(text).map(drop)
    }),
    key("storage", Kind::Text, "where images are kept", is_absolute),
];

fn is_absolute(text: &str) -> Result<(), String> {
    match text.starts_with('/') {
        true => Ok(()),
        false => Err("it is no absolute path".to_owned()),
    }
}

fn one_of(text: &str, known: &[&str]) -> Result<(), String> {
    match known.contains(&text) {
        true => Ok(()),
        false => Err(format!("it is one of {}", known.join(", "))),
    }
}

impl Key {
    pub(crate) fn named(name: &str) -> Result<&'static Self, Problem> {
        let found = KEYS.iter().find(|key| key.name == name);
        found.ok_or_else(|| Problem::Key(name.to_owned()))
    }

    /// `BRYO_SOME_KEY`
    pub(crate) fn variable(&self) -> String {
        format!("BRYO_{}", self.name.to_uppercase().replace('-', "_"))
    }

    /// What texts mean; of one that is no list there is one.
    pub(crate) fn value(&self, texts: &[String]) -> Result<Value, Problem> {
        let wrong = |why: String| Problem::Value { key: self.name, why };
        texts.iter().try_for_each(|text| (self.check)(text)).map_err(wrong)?;
        match (self.kind, texts) {
            (Kind::List, texts) => Ok(json!(texts)),
            (Kind::Text, [text]) => Ok(json!(text)),
            (Kind::Number, [text]) => text
                .parse::<u64>()
                .map(|number| json!(number))
                .map_err(|_| wrong("it is a number".to_owned())),
            _ => Err(wrong("it has one value".to_owned())),
        }
    }

    fn of_toml(&self, value: &Value) -> Result<Value, Problem> {
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) if self.kind == Kind::Number => Some(number.to_string()),
            _ => None,
        };
        let texts: Option<Vec<String>> = match value {
            Value::Array(items) if self.kind == Kind::List => items.iter().map(text).collect(),
            other => text(other).map(|text| vec![text]),
        };
        let kind = match self.kind {
            Kind::Text => "a string",
            Kind::Number => "a number",
            Kind::List => "a list of strings",
        };
        let wrong = || Problem::Value { key: self.name, why: format!("it is {kind}") };
        self.value(&texts.ok_or_else(wrong)?)
    }
}

/// Why settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("there is no setting {0:?}")]
    Key(String),
    #[error("{key}: {why}")]
    Value { key: &'static str, why: String },
    #[error("{0}")]
    Toml(String),
    #[error("the file says more than bryo can change without harm; edit it by hand")]
    Beyond,
}

impl Problem {
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Key(_) => {
                let names: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
                Some(format!("there are {}", names.join(", ")))
            }
            _ => None,
        }
    }
}

/// Who set a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    File,
    Environment,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Environment => "environment",
        })
    }
}

/// What is set.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Settings(BTreeMap<&'static str, (Value, Origin)>);

impl Settings {
    /// What the file's text says, and variables.
    pub(crate) fn read(
        text: &str,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Problem> {
        let mut settings = BTreeMap::new();
        for (key, value) in parse(text)? {
            settings.insert(key.name, (value, Origin::File));
        }
        for key in &KEYS {
            let Some(text) = variable(&key.variable()) else { continue };
            let texts: Vec<String> = match key.kind {
                Kind::List => text.split(',').map(|text| text.trim().to_owned()).collect(),
                Kind::Text | Kind::Number => vec![text],
            };
            let value = key.value(&texts).map_err(|problem| match problem {
                Problem::Value { why, .. } => Problem::Toml(format!("{}: {why}", key.variable())),
                other => other,
            })?;
            settings.insert(key.name, (value, Origin::Environment));
        }
        Ok(Self(settings))
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&(Value, Origin)> {
        self.0.get(key.name)
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let (value, _) = self.0.get(name)?;
        Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }

    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let items = self.0.get(name).and_then(|(value, _)| value.as_array()).into_iter().flatten();
        items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
    }
}

fn parse(text: &str) -> Result<Vec<(&'static Key, Value)>, Problem> {
    table(text)?
        .iter()
        .map(|(name, value)| {
            let key = Key::named(name)?;
            Ok((key, key.of_toml(value)?))
        })
        .collect()
}

/// The file's text with a key set to a value, or to nothing. Comments and all else stay, what is wrong
/// there too.
pub(crate) fn changed(text: &str, name: &str, value: Option<&Value>) -> Result<String, Problem> {
    // JSON's strings, numbers and lists are TOML's too.
    let line = value.map(|value| format!("{name} = {value}\n"));
    let mut after = String::new();
    let mut is_done = false;
    let mut lines = text.lines().peekable();
    while let Some(old) = lines.next() {
        let old_name = old.split('=').next().unwrap_or_default().trim().trim_matches('"');
        if is_done || old_name != name || !old.contains('=') {
            after += old;
            after.push('\n');
            continue;
        }
        is_done = true;
        after += line.as_deref().unwrap_or_default();
        // A list may go over several lines.
        let mut depth = brackets(old);
        while depth > 0 {
            let Some(next) = lines.next() else { break };
            depth += brackets(next);
        }
    }
    if !is_done {
        after += line.as_deref().unwrap_or_default();
    }
    // Whatever was there: nothing else has changed.
    let mut expected = table(text)?;
    expected.remove(name);
    if let Some(line) = line {
        expected.extend(table(&line)?);
    }
    match table(&after) {
        Ok(now) if now == expected => Ok(after),
        _ => Err(Problem::Beyond),
    }
}

fn table(text: &str) -> Result<BTreeMap<String, Value>, Problem> {
    toml::from_str(text).map_err(|error| Problem::Toml(error.to_string()))
}

fn brackets(line: &str) -> i64 {
    line.chars().map(|c| i64::from(c == '[') - i64::from(c == ']')).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_variables_are_read() {
        let text = "storage = \"/s\" # ours\njobs = 3\ninsecure = [\"a:5000\", 'b']\n";
        let variable = |name: &str| match name {
            "BRYO_STORAGE" => Some("/other".to_owned()),
            "BRYO_CACERT" => Some("/a, /b".to_owned()),
            _ => None,
        };
        let settings = Settings::read(text, &variable).expect("valid");
        assert_eq!(settings.text("storage").as_deref(), Some("/other"));
        assert_eq!(settings.text("jobs").as_deref(), Some("3"));
        assert_eq!(settings.list("insecure"), ["a:5000", "b"]);
        assert_eq!(settings.list("cacert"), ["/a", "/b"]);
        let origin = |name| settings.get(Key::named(name).expect(name)).map(|(_, origin)| *origin);
        assert_eq!(
            (origin("jobs"), origin("cacert")),
            (Some(Origin::File), Some(Origin::Environment))
        );
        for (text, part) in [
            ("x = 1", "no setting \"x\""),
            ("jobs = 0", "jobs: it is a number"),
            ("jobs = [1]", "jobs: it is a number"),
            ("storage = \"s\"", "storage: it is no absolute path"),
            ("color = \"red\"", "it is one of auto, always, never"),
            ("insecure = \"a", "insecure"),
            ("insecure = [1]", "a list of strings"),
        ] {
            let problem = Settings::read(text, &|_| None).expect_err(text).to_string();
            assert!(problem.contains(part), "{text}: {problem}");
        }
        let wrong = Settings::read("", &|name| (name == "BRYO_JOBS").then(|| "x".to_owned()));
        assert_eq!(
            wrong.expect_err("no number").to_string(),
            "BRYO_JOBS: it is a number from 1 to 65535"
        );
    }

    #[test]
    fn keys_are_sorted_and_have_variables() {
        assert!(KEYS.iter().map(|key| key.name).is_sorted());
        assert_eq!(Key::named("root-emulation").expect("it").variable(), "BRYO_ROOT_EMULATION");
    }

    #[test]
    fn a_line_changes_and_the_others_stay() {
        let text = "# mine\njobs=3\ninsecure = [ # two\n  \"a\",\n  \"b\",\n]\nstorage = \"/s\"";
        let change =
            |text: &str, name: &str, value: Option<Value>| changed(text, name, value.as_ref());
        let after = change(text, "insecure", Some(json!(["c"]))).expect("changed");
        assert_eq!(after, "# mine\njobs=3\ninsecure = [\"c\"]\nstorage = \"/s\"\n");
        let after = change(&after, "jobs", None).expect("changed");
        assert_eq!(after, "# mine\ninsecure = [\"c\"]\nstorage = \"/s\"\n");
        let after = change(&after, "color", Some(json!("never"))).expect("changed");
        assert!(after.ends_with("storage = \"/s\"\ncolor = \"never\"\n"), "{after}");
        let awkward = json!("/a\"b\\c\u{1}ü");
        let after = change(&after, "storage", Some(awkward.clone())).expect("changed");
        let read = Settings::read(&after, &|_| None).expect("valid");
        assert_eq!(read.text("storage").as_deref(), awkward.as_str());
        assert_eq!(change("jobs = 1 jobs", "jobs", None).expect_err("no TOML").hint(), None);
        assert_eq!(change("x = 1\njobs = 0\n", "x", None).expect("mended"), "jobs = 0\n");
        let inside = "jobs = 1\n[other]\njobs = 2\n";
        assert_eq!(change(inside, "color", Some(json!("never"))), Err(Problem::Beyond));
    }
}
