//! Go's `filepath.Match`, by which COPY and ADD find their sources; and the matcher that ignore
//! patterns share with it.

use super::Error;

/// One step of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Literal(char),
    /// `?`
    One,
    /// `*`
    Many,
    /// `[…]`: the ranges, and whether what is outside of them matches instead.
    Class {
        ranges: Vec<(char, char)>,
        negated: bool,
    },
    /// `**/`: any directories, or none.
    Directories,
    /// `**` at the end: whatever follows.
    Anything,
}

impl Token {
    fn fits(&self, char: char) -> bool {
        match self {
            Self::Literal(literal) => *literal == char,
            Self::One => char != '/',
            Self::Class { ranges, negated } => {
                char != '/'
                    && ranges.iter().any(|(from, to)| (*from..=*to).contains(&char)) != *negated
            }
            Self::Many | Self::Directories | Self::Anything => false,
        }
    }
}

/// Where in a pattern a match may be after some text: all places at once, so that no pattern takes
/// more than its length times the text's.
pub(super) struct Progress<'a> {
    tokens: &'a [Token],
    /// One for each token: the match may stand before it. The last: the pattern is used up.
    places: Vec<bool>,
    /// One for each token: a [`Token::Directories`] that has swallowed part of a name.
    within: Vec<bool>,
    /// The next `places`, kept so that a character costs no allocation.
    next: Vec<bool>,
}

impl<'a> Progress<'a> {
    pub(super) fn new(tokens: &'a [Token]) -> Self {
        let mut places = vec![false; tokens.len() + 1];
        places[0] = true;
        let (within, next) = (vec![false; tokens.len()], vec![false; tokens.len() + 1]);
        let mut progress = Self { tokens, places, within, next };
        progress.skip_optional();
        progress
    }

    pub(super) fn advance(&mut self, text: &str) {
        for char in text.chars() {
            let next = &mut self.next;
            next.fill(false);
            for (i, token) in self.tokens.iter().enumerate() {
                if self.within[i] || (self.places[i] && *token == Token::Directories) {
                    self.within[i] = true;
                    next[i + 1] |= char == '/';
                }
                if !self.places[i] {
                    continue;
                }
                match token {
                    Token::Many => next[i] |= char != '/',
                    Token::Anything => next[i] = true,
                    Token::Directories => {}
                    token => next[i + 1] |= token.fits(char),
                }
            }
            std::mem::swap(&mut self.places, next);
            self.skip_optional();
        }
    }

    fn skip_optional(&mut self) {
        for (i, token) in self.tokens.iter().enumerate() {
            if self.places[i] && matches!(token, Token::Many | Token::Directories | Token::Anything)
            {
                self.places[i + 1] = true;
            }
        }
    }

    /// Whether the text so far is all that the pattern asks for.
    pub(super) fn is_match(&self) -> bool {
        self.places[self.tokens.len()]
    }

    /// Whether a longer text may match.
    pub(super) fn may_go_on(&self) -> bool {
        self.places[..self.tokens.len()].contains(&true) || self.within.contains(&true)
    }
}

/// The characters of a pattern behind its `[`, up to and over the `]`.
pub(super) fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    while ranges.is_empty() || chars.next_if_eq(&']').is_none() {
        let from = class_member(chars)?;
        let to = if chars.next_if_eq(&'-').is_some() { class_member(chars)? } else { from };
        ranges.push((from, to));
    }
    Some(Token::Class { ranges, negated })
}

fn class_member(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match chars.next()? {
        '-' | ']' => None,
        '\\' => chars.next(),
        char => Some(char),
    }
}

/// A pattern, component by component: only directories that match need to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    components: Vec<Vec<Token>>,
}

impl Glob {
    /// `*`, `?`, `[a-z]`, `[^a]`, and `\` before any character; `**` is no more than `*`.
    pub fn new(pattern: &str) -> Result<Self, Error> {
        let wrong = || Error::Pattern(pattern.to_owned());
        let mut components = vec![Vec::new()];
        let mut chars = pattern.chars().peekable();
        while let Some(char) = chars.next() {
            let token = match char {
                '/' => {
                    components.push(Vec::new());
                    continue;
                }
                '*' => Token::Many,
                '?' => Token::One,
                '[' => class(&mut chars).ok_or_else(wrong)?,
                '\\' => Token::Literal(chars.next().ok_or_else(wrong)?),
                literal => Token::Literal(literal),
            };
            components.last_mut().expect("there is always one").push(token);
        }
        Ok(Self { components })
    }

    /// Whether the text has any character that means something in a pattern.
    pub fn is_pattern(text: &str) -> bool {
        text.contains(['*', '?', '[', '\\'])
    }

    /// Whether the whole of a path matches.
    pub fn matches(&self, path: &str) -> bool {
        self.depth() == path.split('/').count()
            && path.split('/').enumerate().all(|(depth, name)| self.matches_component(depth, name))
    }

    /// How many names a path that matches has.
    pub fn depth(&self) -> usize {
        self.components.len()
    }

    /// Whether the name at this depth (0 is the first) can be that of a path that matches.
    pub fn matches_component(&self, depth: usize, name: &str) -> bool {
        self.components.get(depth).is_some_and(|tokens| {
            let mut progress = Progress::new(tokens);
            progress.advance(name);
            progress.is_match()
        })
    }

    /// The name at this depth, when only one matches there: it need not be searched for.
    pub fn literal(&self, depth: usize) -> Option<String> {
        let literal = |token: &Token| match token {
            Token::Literal(char) => Some(*char),
            _ => None,
        };
        self.components.get(depth)?.iter().map(literal).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn matches_as_go_does() {
        for (pattern, name, expected) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*", "abc", true),
            ("a*", "ab/c", false),
            ("a*/b", "abc/b", true),
            ("a*/b", "a/c/b", false),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("a???b", "a☺b", false),
            ("[a-ζ]*", "α", true),
            ("*[a-ζ]", "A", false),
            ("a?b", "a/b", false),
            ("a*b", "a/b", false),
            ("[\\]a]", "]", true),
            ("[\\-]", "-", true),
            ("[x\\-]", "-", true),
            ("[!a]", "b", false),
            ("*x", "xxx", true),
            ("**", "abc", true),
            ("**", "a/b", false),
            (".*", ".env", true),
            ("*", ".env", true),
            ("", "", true),
            ("", "a", false),
        ] {
            let glob = Glob::new(pattern).expect(pattern);
            assert_eq!(glob.matches(name), expected, "{pattern} {name}");
        }
        for bad in ["[]a]", "[-]", "[x-]", "[-x]", "[", "[^", "[^bc", "a[", "a\\", "[a-b-c]", "[\\"]
        {
            assert_eq!(Glob::new(bad), Err(Error::Pattern(bad.to_owned())), "{bad}");
        }
    }

    #[test]
    fn knows_names_without_wildcards() {
        let glob = Glob::new("a\\*b/*/c").expect("a pattern");
        assert_eq!(
            (0..4).map(|i| glob.literal(i)).collect::<Vec<_>>(),
            [Some("a*b".to_owned()), None, Some("c".to_owned()), None]
        );
        assert!(glob.matches_component(1, "anything") && !glob.matches_component(2, "d"));
    }

    proptest! {
        #[test]
        fn never_panics(pattern in r"[a-c*?\[\]^\\/-]{0,20}", name in "[a-c/]{0,20}") {
            if let Ok(glob) = Glob::new(&pattern) {
                glob.matches(&name);
            }
        }

        #[test]
        fn escaping_makes_literal(name in r"[a-z*?\[\]^\\/-]{0,20}") {
            let escaped: String = name.chars().flat_map(|char| match char {
                '/' => vec!['/'],
                char => vec!['\\', char],
            }).collect();
            prop_assert!(Glob::new(&escaped).is_ok_and(|glob| glob.matches(&name)));
        }
    }
}
