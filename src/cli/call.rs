//! What `bryo build` can be asked about a Dockerfile instead of building it.

use std::fmt::Write as _;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::excerpt::Source;
use crate::build::{Outline, Survey, Target};
use crate::dockerfile::lint::Rule;
use crate::dockerfile::{Diagnostic, Span};

/// Options that ask instead of build.
#[derive(Debug, clap::Args)]
pub(crate) struct Call {
    /// Look for mistakes in the Dockerfile instead of building it; exits with 1 when there are any
    #[arg(long)]
    pub(crate) check: bool,
    /// What to do: build, check, or list the targets or the arguments, secrets and caches
    /// (outline); `,format=json` may follow
    #[arg(long, value_name = "METHOD", value_parser = method, conflicts_with = "check")]
    call: Option<(Method, Option<Format>)>,
    /// Print the Dockerfile's instructions as they are read, and do nothing
    #[arg(long, conflicts_with_all = ["check", "call"])]
    pub(crate) parse_only: bool,
    /// With --parse-only: check the instructions too, not their syntax alone
    #[arg(long, requires = "parse_only")]
    pub(crate) validate: bool,
    /// The form of what --check, --call and --parse-only print
    #[arg(long, value_name = "FORM", value_enum)]
    format: Option<Format>,
}

/// What is done with a Dockerfile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Method {
    Build,
    Check,
    Outline,
    Targets,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

impl Call {
    pub(crate) fn method(&self) -> Method {
        match (self.check, &self.call) {
            (true, _) => Method::Check,
            (false, Some((method, _))) => *method,
            (false, None) => Method::Build,
        }
    }

    pub(crate) fn format(&self) -> Format {
        let own = self.call.and_then(|(_, format)| format);
        self.format.or(own).unwrap_or(Format::Text)
    }
}

/// `check`, `check,format=json`
fn method(text: &str) -> Result<(Method, Option<Format>), String> {
    let (name, options) = match text.split_once(',') {
        Some((name, options)) => (name, Some(options)),
        None => (text, None),
    };
    // buildx's older names.
    let name = match name.strip_prefix("subrequests.").unwrap_or(name) {
        "lint" => "check",
        name => name,
    };
    let known = || Method::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let names = || known().map(|value| value.get_name().to_owned()).collect::<Vec<_>>().join(", ");
    let method = Method::from_str(name, false).map_err(|_| format!("there are {}", names()))?;
    let format = options.map(|option| match option.split_once('=') {
        Some(("format", value)) => {
            Format::from_str(value, false).map_err(|_| "formats are text and json".to_owned())
        }
        _ => Err(format!("{option:?} is not format=text or format=json")),
    });
    Ok((method, format.transpose()?))
}

/// What the linter found, as the reference's tools print it.
pub(crate) fn check_text(survey: &Survey, source: Source<'_>) -> String {
    let mut text = String::new();
    let warnings = survey.distinct();
    for found in &warnings {
        match found.rule.and_then(Rule::named) {
            Some(rule) => {
                writeln!(text, "WARNING: {} - {}", rule.name, rule.url()).expect("a String");
            }
            None => text += "WARNING:\n",
        }
        writeln!(text, "{}", found.message).expect("a String");
        if let Some(hint) = &found.hint {
            writeln!(text, "help: {hint}").expect("a String");
        }
        text += &lines(source, found.span);
        text += "\n";
    }
    text + &match warnings.len() {
        0 => "Check complete, no warnings found.\n".to_owned(),
        1 => "Check complete, 1 warning has been found!\n".to_owned(),
        count => format!("Check complete, {count} warnings have been found!\n"),
    }
}

/// The lines of a span and a few around them.
fn lines(source: Source<'_>, span: Span) -> String {
    let lines: Vec<&str> = source.text.lines().collect();
    let around = if span.line == span.end_line { 2 } else { 1 };
    let first = span.line.saturating_sub(around).max(1);
    let last = (span.end_line + around).min(lines.len());
    let mut text = format!("{}:{}\n--------------------\n", source.name, span.line);
    for number in first..=last {
        let mark = if (span.line..=span.end_line).contains(&number) { ">>>" } else { "   " };
        let line = lines[number - 1];
        writeln!(text, "{}", format!(" {number:3} | {mark} {line}").trim_end()).expect("a String");
    }
    text + "--------------------\n"
}

/// The stages, as the reference's tools list them.
pub(crate) fn targets_text(targets: &[Target]) -> String {
    let rows = targets.iter().map(|target| {
        let name = target.name.as_deref().unwrap_or("(unnamed)");
        let default = if target.default { " (default)" } else { "" };
        [format!("{name}{default}"), target.description.clone().unwrap_or_default()]
    });
    columns(&["TARGET", "DESCRIPTION"], rows)
}

/// What a target takes, as the reference's tools list it.
pub(crate) fn outline_text(outline: &Outline) -> String {
    let Outline { name, description, args, secrets, ssh, cache } = outline;
    let mut parts = Vec::new();
    if name.is_some() || description.is_some() {
        let mut head = format!("TARGET:      {}\n", name.as_deref().unwrap_or("(unnamed)"));
        if let Some(description) = description {
            writeln!(head, "DESCRIPTION: {description}").expect("a String");
        }
        parts.push(head);
    }
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    if !args.is_empty() {
        let rows =
            args.iter().map(|arg| [arg.name.clone(), text(&arg.value), text(&arg.description)]);
        parts.push(columns(&["BUILD ARG", "VALUE", "DESCRIPTION"], rows));
    }
    for (title, asked) in [("SECRET", secrets), ("SSH", ssh)] {
        let required = |required| if required { "true".to_owned() } else { String::new() };
        let rows = asked.iter().map(|one| [one.name.clone(), required(one.required)]);
        if !asked.is_empty() {
            parts.push(columns(&[title, "REQUIRED"], rows));
        }
    }
    if !cache.is_empty() {
        parts.push(columns(&["CACHE MOUNT"], cache.iter().map(|cache| [cache.id.clone()])));
    }
    parts.join("\n")
}

/// Rows under their titles, two blanks between the columns.
fn columns<const N: usize>(titles: &[&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = std::iter::once(titles.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = width(column).unwrap_or(0) + 2;
            write!(line, "{cell:width$}").expect("a String");
        }
        writeln!(text, "{}", line.trim_end()).expect("a String");
    }
    text
}

/// The same for programs: the keys of the reference's tools, and shorter ones.
pub(crate) fn check_json(
    survey: &Survey,
    error: Option<(&str, Option<Span>)>,
    source: Source<'_>,
) -> Value {
    let of_rules = survey.warnings.iter().filter(|found| found.rule.is_some());
    let warnings: Vec<Value> = of_rules.map(warning).collect();
    let source = json!({ "filename": source.name, "language": "Dockerfile" });
    let mut value = json!({ "warnings": warnings, "sources": [source] });
    if let Some((message, span)) = error {
        value["buildError"] = json!({ "message": message });
        if let Some(span) = span {
            value["buildError"]["location"] = location(span);
        }
    }
    value
}

fn warning(found: &Diagnostic) -> Value {
    let rule = found.rule.and_then(Rule::named);
    json!({
        "rule": found.rule,
        "line": found.span.line,
        "detail": found.message,
        "help": found.hint,
        "ruleName": found.rule,
        "description": rule.map(|rule| rule.description),
        "url": rule.map(Rule::url),
        "location": location(found.span),
    })
}

fn location(span: Span) -> Value {
    json!({ "ranges": [{ "start": { "line": span.line }, "end": { "line": span.end_line } }] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::{Argument, Asked, Cache};

    #[test]
    fn methods_are_told_apart() {
        for (text, expected) in [
            ("check", Ok((Method::Check, None))),
            ("lint", Ok((Method::Check, None))),
            ("check,format=json", Ok((Method::Check, Some(Format::Json)))),
            ("build", Ok((Method::Build, None))),
            ("chek", Err("there are build, check, outline, targets")),
            ("outline", Ok((Method::Outline, None))),
            ("subrequests.targets", Ok((Method::Targets, None))),
            ("check,format=xml", Err("formats are text and json")),
            ("check,json", Err("\"json\" is not format=text or format=json")),
        ] {
            let got = method(text);
            match expected {
                Ok(expected) => assert_eq!(got, Ok(expected), "{text}"),
                Err(part) => assert!(got.expect_err(text).starts_with(part), "{text}"),
            }
        }
    }

    #[test]
    fn outlines_are_tables() {
        let outline = Outline {
            name: Some("app".to_owned()),
            description: Some("is all".to_owned()),
            args: vec![
                Argument {
                    name: "VERSION".to_owned(),
                    value: Some("1.2".to_owned()),
                    description: Some("of app".to_owned()),
                },
                Argument { name: "X".to_owned(), value: None, description: None },
            ],
            secrets: vec![Asked { name: "key".to_owned(), required: true }],
            ssh: Vec::new(),
            cache: vec![Cache { id: "/c".to_owned() }],
        };
        let expected = "TARGET:      app\nDESCRIPTION: is all\n\n\
                        BUILD ARG  VALUE  DESCRIPTION\nVERSION    1.2    of app\nX\n\n\
                        SECRET  REQUIRED\nkey     true\n\n\
                        CACHE MOUNT\n/c\n";
        assert_eq!(outline_text(&outline), expected);
    }

    #[test]
    fn lines_are_shown_among_others() {
        let text = "one\ntwo\n\nfour\nfive\nsix\n";
        let span = |line, end_line| Span { line, end_line, ..Span::default() };
        let rule = "--------------------";
        for (span, expected) in [
            (span(1, 1), format!("D:1\n{rule}\n   1 | >>> one\n   2 |     two\n   3 |\n{rule}\n")),
            (
                span(4, 5),
                format!(
                    "D:4\n{rule}\n   3 |\n   4 | >>> four\n   5 | >>> five\n   6 |     six\n{rule}\n"
                ),
            ),
            (span(9, 9), format!("D:9\n{rule}\n{rule}\n")),
        ] {
            assert_eq!(lines(Source { name: "D", text }, span), expected);
        }
    }
}
