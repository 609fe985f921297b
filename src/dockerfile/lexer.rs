//! Directives, comments, continuations: text to logical lines.

use super::{Diagnostic, Directives, Heredoc, Span, lint};

/// An instruction's text on one line.
#[derive(Debug)]
pub(super) struct Line {
    /// Continuations joined with nothing between, comments gone.
    pub(super) text: String,
    pub(super) span: Span,
    /// The comments right before it, without their `#`.
    pub(super) comments: Vec<String>,
    pieces: Vec<Piece>,
}

/// A part of a logical line that stands as it is in the file.
#[derive(Debug)]
struct Piece {
    /// Where it begins in the logical line, and in the file.
    at: usize,
    source: usize,
    line: usize,
}

impl Line {
    /// Where a part of [`Self::text`] stands in the file.
    pub(super) fn locate(&self, start: usize, end: usize) -> Span {
        let find = |at: usize| {
            let after = self.pieces.partition_point(|piece| piece.at <= at);
            let piece = &self.pieces[after.saturating_sub(1)];
            (piece.source + (at - piece.at), piece.line)
        };
        let (start, line) = find(start);
        // An end is exclusive: look for the character before it, which may be on an earlier line.
        let (end, end_line) = find(end.saturating_sub(1));
        Span { start, end: end + 1, line, end_line }
    }
}

/// A line of the file.
#[derive(Clone, Copy)]
struct Physical<'a> {
    text: &'a str,
    /// With its line ending.
    whole: &'a str,
    start: usize,
    number: usize,
}

impl Physical<'_> {
    fn span(&self) -> Span {
        let (start, line) = (self.start, self.number);
        Span { start, end: start + self.text.len(), line, end_line: line }
    }

    fn is_comment(&self) -> bool {
        self.text.trim_start().starts_with('#')
    }
}

pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    number: usize,
    pub(super) directives: Directives,
    stage: DirectiveStage,
    given: Vec<&'static str>,
    pub(super) diagnostics: Vec<Diagnostic>,
}

/// Directives stand only on the first lines.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DirectiveStage {
    Open,
    /// After a `#!` line, where `escape` is no longer one.
    AfterShebang,
    Closed,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self {
            text,
            at,
            number: 0,
            directives: Directives::default(),
            stage: DirectiveStage::Open,
            given: Vec::new(),
            diagnostics: Vec::new(),
        }
    }

    /// The next instruction's line.
    pub(super) fn line(&mut self) -> Option<Line> {
        let mut comments = Vec::new();
        while let Some(physical) = self.physical() {
            if self.directive(physical) {
                continue;
            }
            if physical.is_comment() {
                match physical.text.trim_start()[1..].trim() {
                    "" => comments.clear(),
                    comment => comments.push(comment.to_owned()),
                }
                continue;
            }
            if physical.text.trim().is_empty() {
                continue;
            }
            let line = self.continued(physical, comments);
            if !line.text.trim().is_empty() {
                return Some(line);
            }
            comments = line.comments;
        }
        None
    }

    fn continued(&mut self, first: Physical<'_>, comments: Vec<String>) -> Line {
        let indent = first.text.len() - first.text.trim_start().len();
        let span = Span {
            start: first.start + indent,
            end: first.start + first.text.trim_end().len(),
            line: first.number,
            end_line: first.number,
        };
        let mut line = Line { text: String::new(), span, comments, pieces: Vec::new() };
        let mut has_empty = false;
        let mut next = Some((first, indent));
        while let Some((physical, skip)) = next.take() {
            let (piece, continues) = self.without_continuation(&physical.text[skip..]);
            line.pieces.push(Piece {
                at: line.text.len(),
                source: physical.start + skip,
                line: physical.number,
            });
            line.text.push_str(piece);
            line.span.end = physical.start + physical.text.trim_end().len();
            line.span.end_line = physical.number;
            while continues && next.is_none() {
                let Some(physical) = self.physical() else { break };
                // What is skipped belongs to the instruction too.
                line.span.end_line = physical.number;
                if physical.is_comment() {
                    continue;
                }
                if physical.text.trim().is_empty() {
                    has_empty = true;
                } else {
                    next = Some((physical, 0));
                }
            }
        }
        if has_empty {
            // As in the reference, the instruction's last line is to blame.
            let (end, end_line) = (line.span.end, line.span.end_line);
            let start = self.text[..end].rfind('\n').map_or(0, |at| at + 1).max(line.span.start);
            let last = Span { start, end, line: end_line, end_line };
            let warning = lint::warning(last, "NoEmptyContinuation", "Empty continuation line");
            self.diagnostics.push(warning);
        }
        line
    }

    /// The text before an escape that ends the line, and whether there was one. An escaped escape
    /// does not count.
    fn without_continuation<'t>(&self, text: &'t str) -> (&'t str, bool) {
        let escape = self.directives.escape;
        match text.trim_end_matches([' ', '\t']).strip_suffix(escape) {
            Some(before) if !before.ends_with(escape) => (before, true),
            _ => (text, false),
        }
    }

    /// Takes a here-document's body from the lines that follow; `None` when it has no end.
    pub(super) fn heredoc(&mut self, mut heredoc: Heredoc) -> Option<Heredoc> {
        while let Some(physical) = self.physical() {
            let text = match heredoc.strip_tabs {
                true => physical.text.trim_start_matches('\t'),
                false => physical.text,
            };
            if text == heredoc.name {
                return Some(heredoc);
            }
            heredoc.content.push_str(physical.whole);
        }
        None
    }

    /// The end of what has been read: byte and line.
    pub(super) fn end(&self) -> (usize, usize) {
        (self.text[..self.at].trim_end_matches(['\r', '\n']).len(), self.number)
    }

    fn physical(&mut self) -> Option<Physical<'a>> {
        let rest = &self.text[self.at..];
        let whole = rest.split_inclusive('\n').next()?;
        let physical = Physical {
            text: whole.trim_end_matches(['\r', '\n']),
            whole,
            start: self.at,
            number: self.number + 1,
        };
        self.at += whole.len();
        self.number += 1;
        Some(physical)
    }

    /// Whether the line is a directive.
    fn directive(&mut self, physical: Physical<'a>) -> bool {
        if self.stage == DirectiveStage::Closed {
            return false;
        }
        if physical.number == 1 && physical.text.starts_with("#!") {
            self.stage = DirectiveStage::AfterShebang;
            return false;
        }
        let known = |(name, value): (&str, &'a str)| {
            let known = DIRECTIVES.into_iter().find(|known| known.eq_ignore_ascii_case(name))?;
            let closed = known == "escape" && self.stage == DirectiveStage::AfterShebang;
            (!closed).then_some((known, value))
        };
        let Some((name, value)) = directive_parts(physical.text).and_then(known) else {
            self.stage = DirectiveStage::Closed;
            return false;
        };
        if self.given.contains(&name) {
            self.error(physical, format!("only one {name} parser directive can be used"));
            return true;
        }
        self.given.push(name);
        match name {
            "escape" => match value {
                "\\" | "`" => self.directives.escape = value.chars().next().unwrap_or('\\'),
                _ => self.error(
                    physical,
                    format!("invalid escape token '{value}' does not match ` or \\"),
                ),
            },
            "check" => self.directives.check = Some(value.to_owned()),
            _ => {
                let frontend = value.split(' ').next().unwrap_or(value);
                if !is_our_syntax(frontend) {
                    let message = format!("unsupported frontend: {frontend}");
                    let hint = "only docker/dockerfile can be read, whatever its version";
                    let error = Diagnostic::error(physical.span(), message);
                    self.diagnostics.push(error.with_hint(Some(hint.to_owned())));
                }
                self.directives.syntax = Some(frontend.to_owned());
            }
        }
        true
    }

    fn error(&mut self, physical: Physical<'_>, message: String) {
        self.diagnostics.push(Diagnostic::error(physical.span(), message));
    }
}

const DIRECTIVES: [&str; 3] = ["syntax", "escape", "check"];

/// `# name = value`
fn directive_parts(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.trim_start().strip_prefix('#')?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let letters = |name: &str| name.chars().all(|char| char.is_ascii_alphanumeric());
    let good = name.starts_with(|first: char| first.is_ascii_alphabetic()) && letters(name);
    (good && !value.is_empty()).then_some((name, value))
}

/// Whether a `# syntax=` image is one that other tools fetch to read the language that we read
/// ourselves, in any version of it.
fn is_our_syntax(frontend: &str) -> bool {
    frontend.strip_prefix("docker.io/").unwrap_or(frontend).starts_with("docker/dockerfile")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(text: &str) -> (Vec<Line>, Lexer<'_>) {
        let mut lexer = Lexer::new(text);
        let lines = std::iter::from_fn(|| lexer.line()).collect();
        (lines, lexer)
    }

    #[test]
    fn joins_lines() {
        for (text, expected) in [
            ("", &[][..]),
            ("# only\n\n", &[]),
            ("RUN a", &["RUN a"]),
            ("\u{feff}  RUN a\r\nRUN b  \r\n", &["RUN a", "RUN b  "]),
            ("RUN a \\\n  b", &["RUN a   b"]),
            ("RUN a\\  \t\nb", &["RUN ab"]),
            ("RUN a \\\r\n b\r\n", &["RUN a  b"]),
            ("RUN a\\\\\nRUN b", &["RUN a\\\\", "RUN b"]),
            ("RUN a \\\n# gone\n  # too \\\nb # stays", &["RUN a b # stays"]),
            ("RUN a \\\n\n  \nb", &["RUN a b"]),
            ("RUN a \\", &["RUN a "]),
            ("RUN a \\\n", &["RUN a "]),
            ("\\\nRUN a", &["RUN a"]),
            ("\\\n", &[]),
            ("RUN a\n\\\n", &["RUN a"]),
            ("#escape=`\nRUN a\\\nRUN b`\nc", &["RUN a\\", "RUN bc"]),
        ] {
            let got: Vec<String> = lines(text).0.into_iter().map(|line| line.text).collect();
            assert_eq!(got, expected, "{text:?}");
        }
    }

    #[test]
    fn reads_directives() {
        for (text, escape, syntax, check, error) in [
            ("FROM a", '\\', None, None, None),
            ("# escape = `\nFROM a", '`', None, None, None),
            ("#ESCAPE=`\nFROM a", '`', None, None, None),
            ("\u{feff}# escape=`\nFROM a", '`', None, None, None),
            ("\n# escape=`\nFROM a", '\\', None, None, None),
            ("# text\n# escape=`\nFROM a", '\\', None, None, None),
            ("# other=x\n# escape=`\nFROM a", '\\', None, None, None),
            ("FROM a\n# escape=`\n", '\\', None, None, None),
            (
                "#syntax=docker/dockerfile:1 x\n#check=skip=all;error=true\n#escape=`\n",
                '`',
                Some("docker/dockerfile:1"),
                Some("skip=all;error=true"),
                None,
            ),
            ("#!/x\n#check=a\n#escape=`\n", '\\', None, Some("a"), None),
            ("#escape=`\n#escape=`\n", '`', None, None, Some("only one escape parser directive")),
            (
                "#escape=x\n",
                '\\',
                None,
                None,
                Some("invalid escape token 'x' does not match ` or \\"),
            ),
            (
                "#syntax=me/front\n",
                '\\',
                Some("me/front"),
                None,
                Some("unsupported frontend: me/front"),
            ),
            (
                "#syntax=docker.io/docker/dockerfile\n",
                '\\',
                Some("docker.io/docker/dockerfile"),
                None,
                None,
            ),
        ] {
            let (_, lexer) = lines(text);
            let got = &lexer.directives;
            assert_eq!(
                (got.escape, got.syntax.as_deref(), got.check.as_deref()),
                (escape, syntax, check),
                "{text:?}"
            );
            let message = lexer.diagnostics.first().map(|diagnostic| diagnostic.message.as_str());
            assert_eq!(message.is_some(), error.is_some(), "{text:?}: {message:?}");
            assert!(message.unwrap_or("").contains(error.unwrap_or("")), "{text:?}: {message:?}");
        }
    }

    #[test]
    fn keeps_comments_and_places() {
        let text = "# a\n#\n# b\n\n# c\n  RUN one \\\n# x\n\n two\nRUN three\n";
        let (lines, lexer) = lines(text);
        assert_eq!(lines[0].comments, ["b", "c"]);
        assert_eq!(lines[1].comments, [""; 0]);
        let span = lines[0].span;
        assert_eq!(&text[span.bytes()], "RUN one \\\n# x\n\n two");
        assert_eq!((span.line, span.end_line), (6, 9));
        let two = lines[0].text.find("two").expect("it is there");
        let span = lines[0].locate(two, two + 3);
        assert_eq!((&text[span.bytes()], span.line), ("two", 9));
        let span = lines[0].locate(0, 3);
        assert_eq!((&text[span.bytes()], span.line), ("RUN", 6));
        let [warning] = &lexer.diagnostics[..] else { panic!("{:?}", lexer.diagnostics) };
        assert_eq!((warning.rule, warning.span.line), (Some("NoEmptyContinuation"), 9));
        assert_eq!(&text[warning.span.bytes()], " two");
    }

    proptest! {
        #[test]
        fn spans_lie_in_the_text(text in r"[a-c# \\\n\r\t`=é]{0,40}") {
            let (lines, _) = lines(&text);
            for line in lines {
                prop_assert!(text.get(line.span.bytes()).is_some());
                for (at, char) in line.text.char_indices() {
                    let span = line.locate(at, at + char.len_utf8());
                    prop_assert_eq!(&text[span.bytes()], char.to_string());
                }
            }
        }
    }
}
