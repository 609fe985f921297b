//! Logical lines to instructions.

use super::{Diagnostic, Dockerfile, Instruction, Located};

/// Reads a Dockerfile. It never fails: what is wrong is in the diagnostics, and the file can be
/// built when none of them [is an error](Diagnostic::is_error).
pub fn parse(text: &str) -> (Dockerfile, Vec<Diagnostic>) {
    let _ = text;
    (Dockerfile::default(), Vec::new())
}

/// Reads an ONBUILD trigger as an image's configuration keeps it.
pub fn parse_trigger(text: &str) -> Result<Located<Instruction>, Diagnostic> {
    Err(Diagnostic::error(super::Span::default(), text))
}
