//! A place in a Dockerfile, drawn under what is wrong with it.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::ui::Ui;
use crate::dockerfile::{Diagnostic, Severity, Span};

/// How much of a line is marked at most, in bytes.
const LONGEST: usize = 120;

/// A Dockerfile as its author knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    /// Its name, as it was given.
    pub(crate) name: &'a str,
    pub(crate) text: &'a str,
}

impl Source<'_> {
    /// What is wrong, and where.
    pub(crate) fn diagnostic(self, diagnostic: &Diagnostic, ui: Ui) -> String {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = match diagnostic.rule {
            Some(rule) => format!("{} [{rule}]", diagnostic.message),
            None => diagnostic.message.clone(),
        };
        self.draw(level, &title, diagnostic.span, diagnostic.hint.as_deref(), ui)
    }

    /// What a warning says, and where, for who puts the word `warning` before it.
    pub(crate) fn warning(self, found: &Diagnostic, ui: Ui) -> String {
        let rule = found.rule.map(|rule| format!("{rule}: ")).unwrap_or_default();
        let marked = AnnotationKind::Primary.span(self.visible(found.span));
        let snippet = Snippet::source(self.text).path(self.name).annotation(marked);
        let mut group = Group::with_level(Level::WARNING).element(snippet);
        if let Some(hint) = &found.hint {
            group = group.element(Level::HELP.with_name("hint").message(hint.as_str()));
        }
        let renderer = if ui.color { Renderer::styled() } else { Renderer::plain() };
        format!("{rule}{}\n{}", found.message, renderer.render(&[group]))
    }

    /// An error whose cause lies elsewhere: the instruction that it happened in.
    pub(crate) fn error(self, message: &str, span: Span, ui: Ui) -> String {
        self.draw(Level::ERROR, message, span, None, ui)
    }

    fn draw(self, level: Level<'_>, title: &str, span: Span, hint: Option<&str>, ui: Ui) -> String {
        let marked = AnnotationKind::Primary.span(self.visible(span));
        let snippet = Snippet::source(self.text).path(self.name).annotation(marked);
        let mut group = level.primary_title(title).element(snippet);
        if let Some(hint) = hint {
            group = group.element(Level::HELP.with_name("hint").message(hint));
        }
        let renderer = if ui.color { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }

    /// The span without line ends at its end, and within the text whatever it says. Of one with a line
    /// that is too long to be marked, the beginning.
    fn visible(self, span: Span) -> std::ops::Range<usize> {
        let boundary = |at: usize| {
            let at = at.min(self.text.len());
            (0..=at).rev().find(|at| self.text.is_char_boundary(*at)).unwrap_or(0)
        };
        let start = boundary(span.start);
        let end = boundary(span.end).max(start);
        let marked = self.text[start..end].trim_end();
        if marked.lines().all(|line| line.len() <= LONGEST) {
            return start..start + marked.len();
        }
        let first = marked.lines().next().unwrap_or_default();
        let end = (0..=first.len().min(LONGEST)).rev().find(|at| first.is_char_boundary(*at));
        start..start + end.unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_with_its_number() {
        let text = "FROM a\nRUM x\n";
        let ui = Ui::mute();
        let span = Span { start: 7, end: 13, line: 2, end_line: 2 };
        let hint = Some("RUN".to_owned());
        let drawn = Source { name: "Dockerfile", text }
            .diagnostic(&Diagnostic::error(span, "unknown instruction: RUM").with_hint(hint), ui);
        let expected = "error: unknown instruction: RUM
 --> Dockerfile:2:1
  |
2 | RUM x
  | ^^^^^
  |
  = hint: RUN";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn a_warning_names_its_rule_and_line() {
        let text = "FROM a\nWORKDIR x\n";
        let span = Span { start: 7, end: 16, line: 2, end_line: 2 };
        let found = Diagnostic::warning(span, "Rule", "relative").with_hint(Some("/".to_owned()));
        let drawn = Source { name: "Dockerfile", text }.warning(&found, Ui::mute());
        let expected = "Rule: relative
 --> Dockerfile:2:1
  |
2 | WORKDIR x
  | ^^^^^^^^^
  |
  = hint: /";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn only_the_beginning_of_a_long_line_is_marked() {
        let ui = Ui::mute();
        let long = "x".repeat(5000);
        for text in [format!("RUN {long}"), format!("RUN a \\\n {long}"), format!("RUN é{long}")] {
            let span = Span { start: 0, end: text.len(), line: 1, end_line: 2 };
            let drawn = Source { name: "D", text: &text }.error("e", span, ui);
            let marks = drawn.matches(['^', '_']).count();
            assert!((5..=LONGEST).contains(&marks) && drawn.len() < 1000, "{drawn}");
        }
    }

    #[test]
    fn a_span_beyond_the_text_is_no_bug_of_its_reader() {
        let ui = Ui::mute();
        for text in ["", "é", "x\n\n"] {
            let span = Span { start: 1, end: 99, line: 1, end_line: 1 };
            assert!(Source { name: "D", text }.error("e", span, ui).contains("error: e"));
        }
    }
}
