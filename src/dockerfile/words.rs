//! The ways in which an instruction's arguments are split.

use std::ops::Range;

/// At blanks and nothing else: quotes and escapes join nothing.
pub(super) fn blank_separated(text: &str) -> Vec<String> {
    text.split(is_blank).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The first word, and what follows the blanks after it, if there are any.
pub(super) fn first_word(text: &str) -> (&str, Option<&str>) {
    match text.split_once(is_blank) {
        Some((first, rest)) => (first, Some(rest.trim_start_matches(is_blank))),
        None => (text, None),
    }
}

/// What separates words: not the blanks of other scripts.
fn is_blank(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\u{b}' | '\u{c}' | '\r')
}

/// At blanks outside of quotes that no escape precedes. Quotes and escapes stay in the words.
pub(super) fn quoted(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if quote.is_none() && char.is_whitespace() {
            words.extend(word.take());
            continue;
        }
        if char == escape && quote != Some('\'') {
            // At the end of the text it is dropped.
            if let Some(escaped) = chars.next() {
                word.get_or_insert_default().extend([char, escaped]);
            }
            continue;
        }
        match quote {
            Some(open) if open == char => quote = None,
            None if matches!(char, '\'' | '"') => quote = Some(char),
            _ => {}
        }
        word.get_or_insert_default().push(char);
    }
    words.extend(word);
    words
}

/// A leading word that begins with `--`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flag {
    /// Without quotes and escapes.
    pub(super) text: String,
    /// Where it stands in the text that it was taken from.
    pub(super) range: Range<usize>,
}

/// The flags before the arguments, and where the arguments begin. A bare `--` ends them. The
/// escape here is always `\`.
pub(super) fn leading_flags(text: &str) -> (Vec<Flag>, usize) {
    let mut flags = Vec::new();
    let mut at = 0;
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        if !text[at..].starts_with("--") {
            return (flags, at);
        }
        let (word, length) = flag_word(&text[at..]);
        let range = at..at + length;
        at = range.end;
        if word == "--" {
            return (flags, at);
        }
        flags.push(Flag { text: word, range });
    }
}

/// The first word without its quotes and escapes, and how long it is with them.
fn flag_word(text: &str) -> (String, usize) {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match (char, quote) {
            ('\\', _) => word.extend(chars.next().map(|(_, escaped)| escaped)),
            (_, Some(open)) if char == open => quote = None,
            (_, Some(_)) => word.push(char),
            ('\'' | '"', None) => quote = Some(char),
            (_, None) if char.is_whitespace() => return (word, at),
            (_, None) => word.push(char),
        }
    }
    (word, text.len())
}

/// A text that begins with `[`.
pub(super) enum Json {
    Strings(Vec<String>),
    /// An array with something else in it.
    Other,
    /// Not JSON at all: the text means itself.
    No,
}

pub(super) fn json(text: &str) -> Json {
    if !text.trim_start().starts_with('[') {
        return Json::No;
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(text) else { return Json::No };
    let string = |value| match value {
        serde_json::Value::String(text) => Some(text),
        _ => None,
    };
    values.into_iter().map(string).collect::<Option<_>>().map_or(Json::Other, Json::Strings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_quoted_words() {
        for (text, expected) in [
            ("", &[][..]),
            ("a b\tc", &["a", "b", "c"]),
            ("a=\"b c\" d='e f'", &["a=\"b c\"", "d='e f'"]),
            ("a=b\\ c d", &["a=b\\ c", "d"]),
            ("a=\\\"b c", &["a=\\\"b", "c"]),
            ("a=\"b\\\" c\" d", &["a=\"b\\\" c\"", "d"]),
            ("a='b\\' c", &["a='b\\'", "c"]),
            ("\"\" b", &["\"\"", "b"]),
            ("a=b\\", &["a=b"]),
            ("a \\", &["a"]),
            ("a=\"b c", &["a=\"b c"]),
        ] {
            assert_eq!(quoted(text, '\\'), expected, "{text}");
        }
        assert_eq!(quoted("a=c:\\ b=x` y", '`'), ["a=c:\\", "b=x` y"]);
    }

    #[test]
    fn takes_flags_off() {
        for (text, expected, rest) in [
            ("a --b", &[][..], "a --b"),
            ("--a=b c", &["--a=b"], "c"),
            ("  --a --b=\"c d\" \t e", &["--a", "--b=c d"], "e"),
            ("--a='b\"c'\\ d e", &["--a=b\"c d"], "e"),
            ("--a -- --b", &["--a"], " --b"),
            ("--a", &["--a"], ""),
            ("- a", &[], "- a"),
            ("--a=\"b", &["--a=b"], ""),
            ("--ä=ö ü", &["--ä=ö"], "ü"),
        ] {
            let (flags, at) = leading_flags(text);
            let shown: Vec<&str> = flags.iter().map(|flag| flag.text.as_str()).collect();
            assert_eq!((&shown[..], &text[at..]), (expected, rest), "{text}");
        }
        assert_eq!(leading_flags(" --a='b c' d").0[0].range, 1..10);
    }

    #[test]
    fn knows_json() {
        for (text, expected) in [
            ("[\"a\", \"b c\"]", Some(&["a", "b c"][..])),
            (" [ ] ", Some(&[])),
            ("[\"\\u00e4\\n\"]", Some(&["ä\n"])),
            ("['a']", None),
            ("[\"a\"] b", None),
            ("[\"a\",]", None),
            ("{\"a\": 1}", None),
            ("a", None),
        ] {
            match (json(text), expected) {
                (Json::Strings(got), Some(expected)) => assert_eq!(got, expected, "{text}"),
                (Json::No, None) => {}
                _ => panic!("{text}"),
            }
        }
        for text in ["[1]", "[\"a\", null]", "[[\"a\"]]"] {
            assert!(matches!(json(text), Json::Other), "{text}");
        }
    }
}
