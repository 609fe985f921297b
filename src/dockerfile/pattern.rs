//! Patterns inside `${name#pattern}` and its relatives: `*`, `?`, and `\` before either.
//!
//! One backward pass over the value answers for all starts at once, so no pattern takes more than
//! its length times the value's.

/// Which of several matches from one start.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Shortest,
    Longest,
}

enum Token {
    Literal(char),
    One,
    Many,
}

pub(super) struct Pattern(Vec<Token>);

impl Pattern {
    /// An error is the reason, in BuildKit's words.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let mut tokens = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(char) = chars.next() {
            tokens.push(match char {
                '*' => Token::Many,
                '?' => Token::One,
                '\\' => match chars.peek() {
                    // These end the parts of `${…}`, where they had to be escaped: the escape is
                    // no part of the pattern.
                    Some('}' | '/') => continue,
                    Some(&escaped @ ('*' | '?' | '\\')) => {
                        chars.next();
                        Token::Literal(escaped)
                    }
                    other => {
                        let shown = other.map_or_else(String::new, char::to_string);
                        return Err(format!(
                            "invalid pattern ({text}) in substitution: invalid escape '\\{shown}'"
                        ));
                    }
                },
                literal => Token::Literal(literal),
            });
        }
        Ok(Self(tokens))
    }

    /// The value without what the pattern matches at its start.
    pub(super) fn trim_start(&self, value: &str, reach: Reach) -> String {
        let value: Vec<char> = value.chars().collect();
        let end = ends(self.0.iter(), &value, reach)[0].unwrap_or(0);
        value[end..].iter().collect()
    }

    /// The value without what the pattern matches at its end.
    pub(super) fn trim_end(&self, value: &str, reach: Reach) -> String {
        let mut value: Vec<char> = value.chars().rev().collect();
        let end = ends(self.0.iter().rev(), &value, reach)[0].unwrap_or(0);
        value.drain(..end);
        value.iter().rev().collect()
    }

    /// The value with the first match replaced.
    pub(super) fn replace_first(&self, value: &str, replacement: &str) -> String {
        let value: Vec<char> = value.chars().collect();
        let ends = ends(self.0.iter(), &value, Reach::Longest);
        let Some((start, end)) = ends.iter().enumerate().find_map(|(i, end)| Some((i, (*end)?)))
        else {
            return value.iter().collect();
        };
        let mut out: String = value[..start].iter().collect();
        out.push_str(replacement);
        out.extend(&value[end..]);
        out
    }

    /// The value with every match replaced; an empty match counts unless it touches the one
    /// before it.
    pub(super) fn replace_all(&self, value: &str, replacement: &str) -> String {
        let value: Vec<char> = value.chars().collect();
        let ends = ends(self.0.iter(), &value, Reach::Longest);
        let mut out = String::new();
        let mut at = 0;
        let mut last_end = None;
        while at <= value.len() {
            match ends[at] {
                Some(end) if end > at => {
                    out.push_str(replacement);
                    at = end;
                    last_end = Some(end);
                    continue;
                }
                Some(_) if last_end != Some(at) => out.push_str(replacement),
                _ => {}
            }
            out.extend(value.get(at));
            at += 1;
        }
        out
    }
}

/// For each start (the end of the value is one), where the match from there ends.
fn ends<'a>(
    tokens: impl DoubleEndedIterator<Item = &'a Token>,
    value: &[char],
    reach: Reach,
) -> Vec<Option<usize>> {
    let mut ends: Vec<Option<usize>> = (0..=value.len()).map(Some).collect();
    for token in tokens.rev() {
        match token {
            Token::Literal(_) | Token::One => {
                for (i, char) in value.iter().enumerate() {
                    let fits = match token {
                        Token::Literal(literal) => literal == char,
                        // The reference's regular expressions stop at the end of a line.
                        _ => *char != '\n',
                    };
                    ends[i] = if fits { ends[i + 1] } else { None };
                }
                ends[value.len()] = None;
            }
            Token::Many => {
                for (i, _) in value.iter().enumerate().rev().filter(|(_, char)| **char != '\n') {
                    ends[i] = match (ends[i], ends[i + 1]) {
                        (Some(a), Some(b)) if reach == Reach::Shortest => Some(a.min(b)),
                        (Some(a), Some(b)) => Some(a.max(b)),
                        (a, b) => a.or(b),
                    };
                }
            }
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trims_and_replaces() {
        use Reach::{Longest, Shortest};
        let pattern = |text: &str| Pattern::new(text).unwrap_or_else(|why| panic!("{why}"));
        for (text, value, reach, start, end) in [
            ("", "abc", Shortest, "abc", "abc"),
            ("*", "abc", Shortest, "abc", "abc"),
            ("*", "abc", Longest, "", ""),
            ("a*", "abab", Shortest, "bab", "ab"),
            ("a*", "abab", Longest, "", ""),
            ("*b", "abab", Shortest, "ab", "aba"),
            ("*b", "abab", Longest, "", ""),
            ("?", "äöü", Shortest, "öü", "äö"),
            ("\\*", "*a*", Shortest, "a*", "*a"),
            ("*x*y", "xxyy", Shortest, "y", "x"),
            ("z", "abc", Longest, "abc", "abc"),
            ("abcd", "abc", Longest, "abc", "abc"),
        ] {
            assert_eq!(pattern(text).trim_start(value, reach), start, "{text} # {value}");
            assert_eq!(pattern(text).trim_end(value, reach), end, "{text} % {value}");
        }
        for (text, value, first, all) in [
            ("b", "abab", "a_ab", "a_a_"),
            ("", "ab", "_ab", "_a_b_"),
            ("*", "ab", "_", "_"),
            ("?", "ab", "_b", "__"),
            ("/*/", "a/b/c/d", "a_d", "a_d"),
            ("\\*/", "x*/*/", "x_*/", "x__"),
            ("z", "ab", "ab", "ab"),
        ] {
            assert_eq!(pattern(text).replace_first(value, "_"), first, "{text} / {value}");
            assert_eq!(pattern(text).replace_all(value, "_"), all, "{text} // {value}");
        }
        for bad in ["\\", "\\x", "\\\\\\"] {
            assert!(Pattern::new(bad).is_err(), "{bad} was accepted");
        }
    }
}
