//! Lint: what can be built, but hardly is what its author wants.
//!
//! The rules that need no variables are checked here, on the syntax, which has kept how everything
//! is written; those that do are checked by whoever knows the variables ([`warning`]).

mod rule;
mod settings;

use std::collections::BTreeMap;

pub use rule::{RULES, Rule};
pub use settings::Settings;

use super::syntax::{Node, Syntax};
use super::{Diagnostic, Span};

/// Stage names that mean something else where stages are named.
const RESERVED: [&str; 2] = ["context", "scratch"];

/// Instructions of which a stage heeds only the last.
const ONCE: [&str; 3] = ["CMD", "ENTRYPOINT", "HEALTHCHECK"];

/// A warning of the rule of this name, which is in the table.
pub fn warning(span: Span, rule: &'static str, message: impl Into<String>) -> Diagnostic {
    let help = Rule::named(rule).map(|rule| rule.help.to_owned());
    debug_assert!(help.is_some(), "{rule} is missing from the table");
    Diagnostic::warning(span, rule, message).with_hint(help)
}

/// What the rules that look only at how things are written say about a file.
pub fn syntax(syntax: &Syntax) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    instruction_casing(&syntax.nodes, &mut found);
    let mut stages: BTreeMap<String, ()> = BTreeMap::new();
    let mut last: BTreeMap<&str, Span> = BTreeMap::new();
    for node in &syntax.nodes {
        let mut warn = |rule, message: String| found.push(warning(node.span, rule, message));
        match node.keyword.to_ascii_uppercase().as_str() {
            "FROM" => {
                last.clear();
                stage_name(node, &mut stages, &mut warn);
            }
            "MAINTAINER" => warn(
                "MaintainerDeprecated",
                "Maintainer instruction is deprecated in favor of using label".to_owned(),
            ),
            "ENV" | "LABEL" if node.arguments.len() == 3 && node.arguments[2].is_empty() => {
                let name = &node.keyword;
                warn(
                    "LegacyKeyValueFormat",
                    format!(
                        "\"{name} key=value\" should be used instead of legacy \"{name} key \
                         value\" format"
                    ),
                );
            }
            _ => {}
        }
        description(node, &mut warn);
        if let Some(name) = ONCE.into_iter().find(|name| node.is(name))
            && let Some(earlier) = last.insert(name, node.span)
        {
            let message = format!(
                "Multiple {} instructions should not be used in the same stage because only the \
                 last one will be used",
                node.keyword
            );
            found.push(warning(earlier, "MultipleInstructionsDisallowed", message));
        }
    }
    found.sort_by_key(|diagnostic| diagnostic.span.start);
    found
}

/// Leaves the warnings that the settings, and a comment above their instruction, let through;
/// whatever comes of no rule stays.
pub fn filter(mut found: Vec<Diagnostic>, syntax: &Syntax, settings: &Settings) -> Vec<Diagnostic> {
    found.retain(|diagnostic| {
        let Some(rule) = diagnostic.rule else { return true };
        let above = settings_above(diagnostic.span, syntax);
        settings.and(above.as_ref()).allow(rule)
    });
    found.sort_by_key(|diagnostic| diagnostic.span.start);
    found
}

/// What the first comment `# check=…` right above the instruction says.
fn settings_above(span: Span, syntax: &Syntax) -> Option<Settings> {
    let inside = |node: &&Node| (node.span.line..=node.span.end_line).contains(&span.line);
    let mut comments = syntax.nodes.iter().find(inside)?.comments.iter();
    let text = comments.find_map(|comment| {
        let (name, text) = comment.split_once('=')?;
        name.trim().eq_ignore_ascii_case("check").then(|| text.trim())
    })?;
    Settings::of_comment(text).ok()
}

/// Arguments from before the first stage do not count.
fn instruction_casing(nodes: &[Node], found: &mut Vec<Diagnostic>) {
    let first = nodes.iter().position(|node| node.is("FROM")).unwrap_or(nodes.len());
    let nodes = &nodes[first..];
    let is_lower = |node: &&Node| node.keyword == node.keyword.to_lowercase();
    let is_upper = |node: &&Node| node.keyword == node.keyword.to_uppercase();
    let lower = nodes.iter().filter(is_lower).count() > nodes.iter().filter(is_upper).count();
    let name = if lower { "lowercase" } else { "uppercase" };
    for node in nodes {
        if !(if lower { is_lower(&node) } else { is_upper(&node) }) {
            let message = format!(
                "Command '{}' should match the case of the command majority ({name})",
                node.keyword
            );
            found.push(warning(node.keyword_span, "ConsistentInstructionCasing", message));
        }
    }
}

fn stage_name(
    node: &Node,
    stages: &mut BTreeMap<String, ()>,
    warn: &mut impl FnMut(&'static str, String),
) {
    let [_, keyword, name] = &node.arguments[..] else { return };
    let lower = name.to_lowercase();
    if *name != lower {
        warn("StageNameCasing", format!("Stage name '{name}' should be lowercase"));
    }
    // How FROM itself is written is another rule's affair.
    let from = &node.keyword;
    let matches = match () {
        () if *from == from.to_lowercase() => *keyword == keyword.to_lowercase(),
        () if *from == from.to_uppercase() => *keyword == keyword.to_uppercase(),
        () => true,
    };
    if !matches {
        let message = format!("'{keyword}' and '{from}' keywords' casing do not match");
        warn("FromAsCasing", message);
    }
    if RESERVED.contains(&lower.as_str()) {
        let message =
            format!("Stage name should not use the same name as reserved stage {lower:?}");
        warn("ReservedStageName", message);
    }
    if stages.contains_key(&lower) {
        let message = format!("Duplicate stage name {lower:?}, stage names should be unique");
        warn("DuplicateStageName", message);
    }
    stages.insert(lower, ());
}

/// The comment above a stage or an argument describes it: `# NAME what it is`.
fn description(node: &Node, warn: &mut impl FnMut(&'static str, String)) {
    let names: Vec<String> = match &node.arguments[..] {
        [_, _, name] if node.is("FROM") => vec![name.to_lowercase()],
        arguments if node.is("ARG") => {
            let name = |word: &String| word.split('=').next().unwrap_or(word).to_owned();
            arguments.iter().map(name).collect()
        }
        _ => return,
    };
    let comment = node.comments.iter().rfind(|comment| !comment.starts_with("check="));
    let (Some(first), Some(comment)) = (names.first(), comment) else { return };
    if comment.split(' ').next().is_some_and(|word| names.iter().any(|name| name == word)) {
        return;
    }
    let shown = if names.len() > 1 { "<arg_key>" } else { first };
    let keyword = node.keyword.to_ascii_uppercase();
    let message =
        format!("Comment for {keyword} should follow the format: `# {shown} <description>`");
    warn("InvalidDefinitionDescription", message);
}

/// What the comment above an instruction says about something of this name (`# NAME text`).
pub fn described(node: &Node, name: &str) -> Option<String> {
    node.comments
        .iter()
        .find_map(|comment| comment.strip_prefix(name)?.strip_prefix(' '))
        .map(str::to_owned)
}

/// Whether a name says that its value is a secret: one of its words does, and none says that it is
/// something else.
pub fn is_secret(name: &str) -> bool {
    const SECRET: [&str; 10] = [
        "apikey",
        "auth",
        "credential",
        "credentials",
        "key",
        "password",
        "pword",
        "passwd",
        "secret",
        "token",
    ];
    const HARMLESS: [&str; 3] = ["public", "file", "version"];
    let name = name.to_ascii_lowercase();
    let mut words = name.split('_');
    words.clone().any(|word| SECRET.contains(&word)) && !words.any(|word| HARMLESS.contains(&word))
}
