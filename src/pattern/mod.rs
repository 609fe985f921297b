//! [`Pattern`]: by which people pick some out of many names.

use regex::{Regex, RegexBuilder};

/// The compiled form of a pattern may take so many bytes: no pattern of a person needs more.
const LARGEST: usize = 10 << 20;

/// A regular expression, or a shell's pattern.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl Pattern {
    /// A regular expression, which matches where it likes.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in a line.
    pub fn regex(text: &str) -> Result<Self, String> {
        RegexBuilder::new(text).size_limit(LARGEST).build().map(Self).map_err(|error| {
            // The last line says what; those before it draw where, which needs a terminal.
            let text = error.to_string();
            text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        })
    }

    /// A shell's pattern, which matches the whole of a name: `*` for anything, slashes too; `?` for
    /// one character; `[a-z]` and `[!a-z]` for one of some; `\` takes a character's meaning away.
    ///
    /// # Errors
    ///
    /// As [`Self::regex`]: a class that makes no sense.
    pub fn shell(text: &str) -> Result<Self, String> {
        Self::wildcards(text, true)
    }

    /// The same as fnmatch of Python has it: nothing takes a character's meaning away, only `!` means
    /// others, and a `[` that is never closed is one.
    ///
    /// # Errors
    ///
    /// As [`Self::shell`].
    pub fn fnmatch(text: &str) -> Result<Self, String> {
        Self::wildcards(text, false)
    }

    fn wildcards(text: &str, is_shell: bool) -> Result<Self, String> {
        let mut regex = String::from(r"(?s)\A(?:");
        let mut chars = text.chars().peekable();
        while let Some(char) = chars.next() {
            match char {
                '*' => regex.push_str(".*"),
                '?' => regex.push('.'),
                '\\' if is_shell => {
                    regex.push_str(&regex::escape(&chars.next().unwrap_or('\\').to_string()));
                }
                '[' => {
                    let mut ahead = chars.clone();
                    match class(&mut ahead, is_shell) {
                        Some(class) => {
                            chars = ahead;
                            regex.push_str(&class);
                        }
                        None if is_shell => return Err("a [ is never closed".to_owned()),
                        None => regex.push_str(r"\["),
                    }
                }
                other => regex.push_str(&regex::escape(&other.to_string())),
            }
        }
        regex.push_str(r")\z");
        Self::regex(&regex)
    }

    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

/// What stands in brackets; the first is taken already.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, is_shell: bool) -> Option<String> {
    let mut class = String::from("[");
    if chars.next_if(|c| *c == '!' || (is_shell && *c == '^')).is_some() {
        class.push('^');
    }
    let mut first = true;
    loop {
        match chars.next()? {
            ']' if !first => return Some(class + "]"),
            '-' => class.push('-'),
            '\\' if is_shell => class.push_str(&regex::escape(&chars.next()?.to_string())),
            // These mean more to a regular expression than to a shell.
            c @ ('[' | ']' | '&' | '~' | '^' | '\\') => class.extend(['\\', c]),
            c => class.push(c),
        }
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells_patterns_are_understood() {
        for (pattern, text, expected) in [
            ("*.py", "a.py", true),
            ("*.py", "a.pyc", false),
            ("etc/*", "etc/a/b", true),
            ("?c", "ac", true),
            ("?c", "abc", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]x]", "]", true),
            ("[[&&a]", "&", true),
            (r"\*", "*", true),
            (r"\*", "a", false),
            ("a+b(c)", "a+b(c)", true),
            ("*", "a\nb", true),
        ] {
            let found = Pattern::shell(pattern).expect(pattern).matches(text);
            assert_eq!(found, expected, "{pattern} {text:?}");
        }
        assert!(Pattern::shell("[a").is_err() && Pattern::shell("[z-a]").is_err());
    }

    #[test]
    fn regular_expressions_match_anywhere() {
        assert!(Pattern::regex("b+$").expect("valid").matches("abb"));
        let error = Pattern::regex("a(b").expect_err("it is not closed");
        assert!(error.contains("unclosed group"), "{error}");
        Pattern::regex("(a{9999}){9999}").expect_err("it is too large");
    }
}
