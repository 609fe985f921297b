//! [`Span`] and [`Diagnostic`]: where something stands in a Dockerfile, and what is wrong there.

use std::ops::Range;

use serde::Serialize;

/// A part of a Dockerfile's text: half-open in bytes, inclusive in lines, which count from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub struct Span {
    pub start: usize,
    pub end: usize,
    pub line: usize,
    pub end_line: usize,
}

impl Span {
    /// The bytes, as an annotated snippet wants them.
    pub fn bytes(&self) -> Range<usize> {
        self.start..self.end
    }
}

/// How bad a [`Diagnostic`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// A person should know, though the file can be built.
    Warning,
    /// The file cannot be built.
    Error,
}

/// Something to say about a place in a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    pub severity: Severity,
    /// The lint rule (`NoEmptyContinuation`) that a warning comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'static str>,
    /// What is wrong, in BuildKit's words where it has some.
    pub message: String,
    pub span: Span,
    /// What to write instead, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Diagnostic {
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, rule: None, message: message.into(), span, hint: None }
    }

    pub fn warning(span: Span, rule: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { severity: Severity::Warning, rule: Some(rule), message, span, hint: None }
    }

    #[must_use]
    pub fn with_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}
