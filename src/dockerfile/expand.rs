//! `${VAR:-word}` and its relatives: quotes, escapes and variables, as a shell reads them.

use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

use super::{Error, Word};

/// How deep `${a:-${b:-…}}` may be nested: each level is a few stack frames.
const DEPTH: usize = 64;

/// Reads [`Word`]s in the light of some variables.
pub struct Expander<'a> {
    escape: char,
    lookup: &'a dyn Fn(&str) -> Option<String>,
}

impl fmt::Debug for Expander<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expander").field("escape", &self.escape).finish_non_exhaustive()
    }
}

impl<'a> Expander<'a> {
    /// `escape` is the file's ([`Directives::escape`](super::Directives::escape)); `lookup` gives
    /// a variable's value, `None` when it is unset, and so also sees which ones are used.
    pub fn new(escape: char, lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { escape, lookup }
    }

    /// Variables in, quotes and escapes out.
    pub fn word(&self, word: &Word) -> Result<String, Error> {
        self.text(word.raw())
    }

    /// [`Self::word`] for a text that is part of something larger.
    pub fn text(&self, text: &str) -> Result<String, Error> {
        let rules = Rules { escape: self.escape, ..Rules::default() };
        Ok(expand(text, rules, self.lookup)?.0)
    }

    /// The same, then split at blanks that were not quoted.
    pub fn words(&self, word: &Word) -> Result<Vec<String>, Error> {
        let rules = Rules { escape: self.escape, ..Rules::default() };
        Ok(expand(word.raw(), rules, self.lookup)?.1)
    }

    /// The variables that a text uses, whether set or not, as far as it can be read.
    pub fn uses(&self, text: &str) -> Vec<String> {
        self.used(text, Rules { escape: self.escape, ..Rules::default() })
    }

    /// [`Self::uses`] for what [`Self::body`] reads.
    pub fn uses_of_body(&self, text: &str) -> Vec<String> {
        self.used(text, Rules { quotes_are_literal: true, ..Rules::default() })
    }

    fn used(&self, text: &str, rules: Rules) -> Vec<String> {
        let mut reader = Reader::new(text, rules, self.lookup);
        drop(reader.until(None, false));
        reader.uses
    }

    /// A here-document's body for COPY and ADD: quotes are literal, and the escape is `\` whatever
    /// the file's is.
    pub fn body(&self, text: &str) -> Result<String, Error> {
        let rules = Rules { quotes_are_literal: true, ..Rules::default() };
        Ok(expand(text, rules, self.lookup)?.0)
    }
}

/// How a text is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) escape: char,
    /// Quotes mean nothing.
    pub(super) quotes_are_literal: bool,
    /// Quotes do their work and stay.
    pub(super) keep_quotes: bool,
    /// Escapes do their work and stay.
    pub(super) keep_escapes: bool,
    /// Variables that are not set stay as they are written.
    pub(super) keep_unset: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            escape: '\\',
            quotes_are_literal: false,
            keep_quotes: false,
            keep_escapes: false,
            keep_unset: false,
        }
    }
}

/// The whole text, and its words.
pub(super) fn expand(
    text: &str,
    rules: Rules,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<(String, Vec<String>), Error> {
    let mut reader = Reader::new(text, rules, lookup);
    reader
        .until(None, rules.keep_escapes)
        .map(|(text, words)| (text, words.finish()))
        .map_err(|why| Error::Expand { word: text.to_owned(), why })
}

/// Collects words; only what was neither quoted nor escaped separates them.
#[derive(Default)]
pub(super) struct Words {
    done: Vec<String>,
    current: String,
    inside: bool,
}

impl Words {
    fn push(&mut self, char: char) {
        if !char.is_whitespace() {
            self.push_quoted(char);
        } else if self.inside && !self.current.is_empty() {
            self.done.push(std::mem::take(&mut self.current));
            self.inside = false;
        }
    }

    fn push_quoted(&mut self, char: char) {
        self.current.push(char);
        self.inside = true;
    }

    fn push_quoted_text(&mut self, text: &str) {
        self.current.push_str(text);
        self.inside = true;
    }

    fn finish(mut self) -> Vec<String> {
        if !self.current.is_empty() {
            self.done.push(self.current);
        }
        self.done
    }
}

/// Reads a text from its beginning; [`substitution`](super::substitution) has what begins with `$`.
pub(super) struct Reader<'a> {
    pub(super) chars: Peekable<Chars<'a>>,
    pub(super) rules: Rules,
    pub(super) lookup: &'a dyn Fn(&str) -> Option<String>,
    depth: usize,
    pub(super) uses: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, rules: Rules, lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { chars: text.chars().peekable(), rules, lookup, depth: 0, uses: Vec::new() }
    }

    /// Reads up to and over `stop`, or to the end. Errors are the reason.
    pub(super) fn until(
        &mut self,
        stop: Option<char>,
        keep_escapes: bool,
    ) -> Result<(String, Words), String> {
        let outside = std::mem::replace(&mut self.rules.keep_escapes, keep_escapes);
        self.depth += 1;
        let read = if self.depth > DEPTH {
            Err("syntax error: bad substitution (nested too deeply)".to_owned())
        } else {
            self.until_unguarded(stop)
        };
        self.depth -= 1;
        self.rules.keep_escapes = outside;
        read
    }

    fn until_unguarded(&mut self, stop: Option<char>) -> Result<(String, Words), String> {
        let mut text = String::new();
        let mut words = Words::default();
        while let Some(&char) = self.chars.peek() {
            match char {
                _ if Some(char) == stop => {
                    self.chars.next();
                    return Ok((text, words));
                }
                '$' => {
                    let value = self.dollar()?;
                    text.push_str(&value);
                    value.chars().for_each(|char| words.push(char));
                }
                '\'' | '"' if !self.rules.quotes_are_literal => {
                    let quoted = if char == '"' { self.double()? } else { self.single()? };
                    text.push_str(&quoted);
                    words.push_quoted_text(&quoted);
                }
                '<' => {
                    let opening = self.heredoc_opening();
                    text.push_str(&opening);
                    words.push_quoted_text(&opening);
                }
                _ if char == self.rules.escape => {
                    self.chars.next();
                    if self.rules.keep_escapes {
                        text.push(char);
                        words.push_quoted(char);
                    }
                    // At the end it escapes nothing and is dropped.
                    if let Some(escaped) = self.chars.next() {
                        text.push(escaped);
                        words.push_quoted(escaped);
                    }
                }
                _ => {
                    self.chars.next();
                    text.push(char);
                    words.push(char);
                }
            }
        }
        match stop {
            None => Ok((text, words)),
            Some(stop) => {
                Err(format!("unexpected end of statement while looking for matching {stop}"))
            }
        }
    }

    /// `<`, or `<<` with the blanks behind it: they belong to the word, as in `<< EOF`.
    fn heredoc_opening(&mut self) -> String {
        self.chars.next();
        let mut opening = "<".to_owned();
        if self.chars.next_if_eq(&'<').is_some() {
            opening.push('<');
            while let Some(blank) = self.chars.next_if(|char| char.is_whitespace()) {
                opening.push(blank);
            }
        }
        opening
    }

    fn single(&mut self) -> Result<String, String> {
        let mut text = String::new();
        self.quote(&mut text);
        while let Some(&char) = self.chars.peek() {
            if char == '\'' {
                self.quote(&mut text);
                return Ok(text);
            }
            self.chars.next();
            text.push(char);
        }
        Err("unexpected end of statement while looking for matching single-quote".to_owned())
    }

    fn double(&mut self) -> Result<String, String> {
        let mut text = String::new();
        self.quote(&mut text);
        while let Some(&char) = self.chars.peek() {
            match char {
                '"' => {
                    self.quote(&mut text);
                    return Ok(text);
                }
                '$' => text.push_str(&self.dollar()?),
                _ if char == self.rules.escape => {
                    self.chars.next();
                    if self.rules.keep_escapes {
                        text.push(char);
                    }
                    let escape = self.rules.escape;
                    let escapable = |next: &char| matches!(next, '"' | '$') || *next == escape;
                    match self.chars.next_if(escapable) {
                        Some(escaped) => text.push(escaped),
                        // Before anything else it stands for itself.
                        None if self.chars.peek().is_some() => text.push(char),
                        None => {}
                    }
                }
                _ => {
                    self.chars.next();
                    text.push(char);
                }
            }
        }
        Err("unexpected end of statement while looking for matching double-quote".to_owned())
    }

    /// Reads a quotation mark.
    fn quote(&mut self, text: &mut String) {
        let quote = self.chars.next();
        if self.rules.keep_quotes {
            text.extend(quote);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn environment(name: &str) -> Option<String> {
        let value = match name {
            "PWD" => "/home",
            "SHELL" => "bash",
            "NULL" => "",
            "KOREAN" => "한국어",
            "FILE" => "a.tar.gz",
            "URL" => "http://a/b",
            "STARS" => "/foo*/*/*.txt",
            "STAR" => "\\*/",
            "SPACED" => " two  words ",
            "Q" => "a'b\"c",
            "1" => "one",
            _ => return None,
        };
        Some(value.to_owned())
    }

    /// Rows `text | result`; `!!part` as a result is an error that contains the part.
    fn check(rows: &str, read: impl Fn(&Expander<'_>, &str) -> Result<String, Error>) {
        let expander = Expander::new('\\', &environment);
        for row in rows.lines().filter(|row| !row.starts_with("# ")) {
            let (text, expected) =
                row.rsplit_once(" | ").unwrap_or((row.trim_end_matches(" |"), ""));
            let (text, expected) = (text.trim(), expected.trim());
            match (read(&expander, text), expected.strip_prefix("!!")) {
                (Ok(got), None) => assert_eq!(got, expected, "{text}"),
                (Err(error), Some(part)) => {
                    assert!(error.to_string().contains(part), "{text}: {error}");
                }
                (got, _) => panic!("{text}: {got:?} instead of {expected}"),
            }
        }
    }

    #[test]
    fn expands_words() {
        let rows = include_str!("../../tests/data/dockerfile/expansions.txt");
        check(rows, |expander, text| expander.word(&Word::new(text)));
    }

    #[test]
    fn splits_words() {
        let rows = include_str!("../../tests/data/dockerfile/splits.txt");
        check(rows, |expander, text| {
            let words = expander.words(&Word::new(text))?;
            Ok(words.iter().map(|word| word.trim_end()).collect::<Vec<_>>().join(","))
        });
    }

    #[test]
    fn bodies_keep_their_quotes() {
        let expander = Expander::new('`', &environment);
        for (text, expected) in [
            ("it's \"$PWD\"\n", "it's \"/home\"\n"),
            ("\\$PWD \\\\ \\x `$PWD`\n", "$PWD \\ x `/home`\n"),
            ("${hi:-\"a\"}\n", "\"a\"\n"),
        ] {
            assert_eq!(expander.body(text).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn the_escape_is_the_files() {
        let expander = Expander::new('`', &environment);
        for (text, expected) in
            [("`$PWD", "$PWD"), ("c:\\$PWD", "c:\\/home"), ("\"`\"a``\"", "\"a`")]
        {
            assert_eq!(expander.text(text).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn uses_are_seen() {
        let expander = Expander::new('\\', &environment);
        for (text, expected) in [
            ("$a ${b}/\"$c\" '$d' \\$e", "a b c"),
            ("${a:-$b} ${c+d} ${e?}", "b a c e"),
            ("${a#b} ${c/d/$e}", "a e c"),
            ("${a", ""),
        ] {
            assert_eq!(expander.uses(text).join(" "), expected, "{text}");
        }
        assert_eq!(expander.uses_of_body("it's $a \\$b \"'$c'"), ["a", "c"]);
    }

    #[test]
    fn deep_nesting_is_refused() {
        let text = "${a:-".repeat(100_000);
        let error = Expander::new('\\', &|_| None).text(&text).expect_err("accepted");
        assert!(error.to_string().contains("nested too deeply"), "{error}");
    }

    proptest! {
        #[test]
        fn never_panics(text in r#"[a-c$\{\}:\-+?#%/*\\"'`< \n\PC]{0,40}"#) {
            let expander = Expander::new('\\', &environment);
            let word = Word::new(text.clone());
            prop_assert_eq!(expander.word(&word).is_ok(), expander.words(&word).is_ok());
            drop(expander.body(&text));
        }

        #[test]
        fn quoting_is_undone(text in "[^']{0,20}") {
            let expander = Expander::new('\\', &environment);
            prop_assert_eq!(expander.text(&format!("'{text}'")), Ok(text));
        }
    }
}
