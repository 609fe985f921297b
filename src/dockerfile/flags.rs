//! The table of `--flag`s that each instruction takes.

use super::syntax::Node;
use super::{Diagnostic, suggest};

/// What a flag is given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `true`, `false`, or nothing, which means true.
    Switch,
    Text,
    /// May be given several times.
    Texts,
}

use Kind::{Switch, Text, Texts};

type Row = (&'static str, &'static [(&'static str, Kind)]);

const TABLE: &[Row] = &[
    (
        "ADD",
        &[
            ("checksum", Text),
            ("chmod", Text),
            ("chown", Text),
            ("exclude", Texts),
            ("keep-git-dir", Switch),
            ("link", Switch),
            ("unpack", Switch),
        ],
    ),
    (
        "COPY",
        &[
            ("chmod", Text),
            ("chown", Text),
            ("exclude", Texts),
            ("from", Text),
            ("link", Switch),
            ("parents", Switch),
        ],
    ),
    ("FROM", &[("arg", Texts), ("platform", Text)]),
    (
        "HEALTHCHECK",
        &[
            ("interval", Text),
            ("retries", Text),
            ("start-interval", Text),
            ("start-period", Text),
            ("timeout", Text),
        ],
    ),
    ("RUN", &[("device", Texts), ("mount", Texts), ("network", Text), ("security", Text)]),
];

/// All flags, for the manual.
#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = &'static str> {
    TABLE.iter().flat_map(|(_, row)| row.iter().map(|(name, _)| *name))
}

/// The flags of one instruction, each known to be its own. What is taken twice is a bug, so the
/// accessors consume.
pub(super) struct Flags(Vec<(&'static str, String)>);

impl Flags {
    pub(super) fn parse(node: &Node) -> Result<Self, Diagnostic> {
        let known = TABLE.iter().find(|(name, _)| node.is(name)).map_or(&[][..], |(_, row)| row);
        let mut flags = Vec::new();
        for (text, span) in &node.flags {
            let wrong = |message: String| Diagnostic::error(*span, message);
            let text = text.trim_start_matches("--");
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (text, None),
            };
            let Some((name, kind)) = known.iter().find(|(known, _)| *known == name) else {
                let names = known.iter().map(|(name, _)| *name);
                let meant = suggest(name, names)
                    .map_or_else(String::new, |name| format!(" (did you mean {name}?)"));
                return Err(wrong(format!("unknown flag: --{name}{meant}")));
            };
            if *kind != Texts && flags.iter().any(|(given, _)| given == name) {
                return Err(wrong(format!("duplicate flag specified: --{name}")));
            }
            let value = match (kind, value) {
                (Switch, None) => "true".to_owned(),
                (Switch, Some("")) | (_, None) => {
                    return Err(wrong(format!("missing a value on flag: --{name}")));
                }
                (Switch, Some(value)) => {
                    let lower = value.to_ascii_lowercase();
                    if !matches!(lower.as_str(), "true" | "false") {
                        return Err(wrong(format!(
                            "expecting boolean value for flag --{name}, not: {value}"
                        )));
                    }
                    lower
                }
                (_, Some(value)) => value.to_owned(),
            };
            flags.push((*name, value));
        }
        Ok(Self(flags))
    }

    /// A flag's value. An empty one counts as absent.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.texts(name).into_iter().next().filter(|value| !value.is_empty())
    }

    pub(super) fn texts(&mut self, name: &str) -> Vec<String> {
        debug_assert!(
            TABLE.iter().any(|(_, row)| row.iter().any(|(known, _)| *known == name)),
            "--{name} is missing from the table"
        );
        self.0.extract_if(.., |(given, _)| *given == name).map(|(_, value)| value).collect()
    }

    pub(super) fn switch(&mut self, name: &str) -> Option<bool> {
        self.text(name).map(|value| value == "true")
    }
}
