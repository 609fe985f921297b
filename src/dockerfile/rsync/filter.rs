//! Filter rules, as rsync(1) has them: what of a directory is copied, and what of the destination
//! `--delete` spares.

use crate::dockerfile::glob::{Progress, Token, class};

/// One line of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    Rule(Rule),
    /// `!`: the rules so far count no more.
    Clear,
    /// The rules of a file of the context.
    Merge {
        file: String,
        patterns: Option<bool>,
    },
    /// The rules of a file of this name in each directory, which count in it and beneath.
    PerDirectory(PerDirectory),
}

/// `dir-merge`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PerDirectory {
    pub file: String,
    /// Each line is a pattern, which includes or excludes.
    pub patterns: Option<bool>,
    /// They count beneath the directory, too.
    pub inherited: bool,
}

/// A pattern, and what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub include: bool,
    /// It says what is copied.
    pub sender: bool,
    /// It says what is removed.
    pub receiver: bool,
    negated: bool,
    pattern: Pattern,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    /// From the root of the transfer, or of the directory whose file it stands in.
    anchored: bool,
    directory: bool,
    tokens: Vec<Token>,
    /// How many names it has; 0: `**` is in it, and the whole path counts.
    names: usize,
    /// `/***`: what is in the directory, too.
    and_below: bool,
}

/// Which side asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Sender,
    Receiver,
}

impl Statement {
    /// `--include` and `--exclude`; and a line of a file of these, where another sign may come first.
    pub fn pattern(text: &str, include: bool) -> Result<Self, String> {
        match text {
            "!" => Ok(Self::Clear),
            text if text.starts_with("+ ") || text.starts_with("- ") => Self::parse(text),
            text => Ok(Self::Rule(Rule {
                include,
                sender: true,
                receiver: true,
                negated: false,
                pattern: Pattern::parse(text)?,
            })),
        }
    }

    /// A rule with its name: `- *.o`, `include,s /x`, `dir-merge .rules`.
    pub fn parse(text: &str) -> Result<Self, String> {
        const NAMES: [(&str, char); 9] = [
            ("exclude", '-'),
            ("include", '+'),
            ("merge", '.'),
            ("dir-merge", ':'),
            ("hide", 'H'),
            ("show", 'S'),
            ("protect", 'P'),
            ("risk", 'R'),
            ("clear", '!'),
        ];
        let wrong = |why: &str| format!("filter rule {text:?}: {why}");
        let end = text.find([' ', '_', ',']).unwrap_or(text.len());
        let long = NAMES.iter().find(|(name, _)| *name == &text[..end]);
        let (kind, rest) = match (long, text.chars().next()) {
            (Some((_, kind)), _) => (*kind, text[end..].strip_prefix(',').unwrap_or(&text[end..])),
            (None, Some(kind)) if NAMES.iter().any(|(_, known)| *known == kind) => {
                (kind, text[1..].strip_prefix(',').unwrap_or(&text[1..]))
            }
            _ => return Err(wrong("it begins with none of - + . : H S P R !, nor their names")),
        };
        let (modifiers, argument) = match rest.find([' ', '_']) {
            Some(at) => (&rest[..at], &rest[at + 1..]),
            None => (rest, ""),
        };
        if kind == '!' {
            return if rest.is_empty() { Ok(Self::Clear) } else { Err(wrong("! stands alone")) };
        }
        if argument.is_empty() {
            return Err(wrong("there is nothing behind its name"));
        }
        let merges = matches!(kind, '.' | ':');
        let (mut sender, mut receiver) = match kind {
            'H' | 'S' => (true, false),
            'P' | 'R' => (false, true),
            _ => (true, true),
        };
        let (mut negated, mut patterns, mut inherited) = (false, None, true);
        for modifier in modifiers.chars() {
            match modifier {
                's' if !merges => (sender, receiver) = (true, false),
                'r' if !merges => (sender, receiver) = (false, true),
                '!' if !merges => negated = true,
                '+' | '-' if merges => patterns = Some(modifier == '+'),
                'n' if merges => inherited = false,
                other => {
                    return Err(wrong(&format!("{other:?} is no modifier that is known here")));
                }
            }
        }
        match kind {
            '.' => Ok(Self::Merge { file: argument.to_owned(), patterns }),
            ':' => {
                let file = argument.trim_start_matches('/');
                if file.is_empty() || file.contains('/') {
                    return Err(wrong("a file in each directory is named without its path"));
                }
                let file = file.to_owned();
                Ok(Self::PerDirectory(PerDirectory { file, patterns, inherited }))
            }
            kind => {
                let include = matches!(kind, '+' | 'S' | 'R');
                let pattern = Pattern::parse(argument)?;
                Ok(Self::Rule(Rule { include, sender, receiver, negated, pattern }))
            }
        }
    }

    /// The rules of a file: one on each line, blank lines and comments aside.
    pub fn file(text: &str, patterns: Option<bool>) -> Result<Vec<Self>, String> {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', ';']));
        lines
            .map(|line| match patterns {
                Some(include) => Self::pattern(line, include),
                None => Self::parse(line),
            })
            .collect()
    }
}

impl Rule {
    /// Whether it speaks of a path (from the root that its anchor means).
    pub fn matches(&self, path: &str, is_dir: bool, side: Side) -> bool {
        let concerned = match side {
            Side::Sender => self.sender,
            Side::Receiver => self.receiver,
        };
        concerned && self.pattern.matches(path, is_dir) != self.negated
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        let anchored = text.starts_with('/');
        let rest = text.trim_start_matches('/');
        let (rest, and_below) = match rest.strip_suffix("/***") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let (rest, directory) = match rest.strip_suffix('/') {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let mut tokens = Vec::new();
        let mut chars = rest.chars().peekable();
        let wrong = || format!("pattern {text:?}: it ends within [ ] or behind \\");
        while let Some(char) = chars.next() {
            tokens.push(match char {
                '*' if chars.next_if_eq(&'*').is_some() => {
                    while chars.next_if_eq(&'*').is_some() {}
                    Token::Anything
                }
                '*' => Token::Many,
                '?' => Token::One,
                '[' => {
                    // Here `!` is the same as `^`.
                    let negated = chars.next_if_eq(&'!').is_some();
                    match class(&mut chars).ok_or_else(wrong)? {
                        Token::Class { ranges, negated: false } => Token::Class { ranges, negated },
                        other => other,
                    }
                }
                '\\' => Token::Literal(chars.next().ok_or_else(wrong)?),
                literal => Token::Literal(literal),
            });
        }
        let names = match tokens.contains(&Token::Anything) {
            true => 0,
            false => rest.split('/').count(),
        };
        Ok(Self { anchored, directory, tokens, names, and_below })
    }

    fn matches(&self, path: &str, is_dir: bool) -> bool {
        if self.fits(path) && (is_dir || !(self.directory || self.and_below)) {
            return true;
        }
        // Something in a directory that matches.
        let above = || path.match_indices('/').map(|(at, _)| &path[..at]);
        self.and_below && above().any(|above| self.fits(above))
    }

    fn fits(&self, path: &str) -> bool {
        let whole = |text: &str| {
            let mut progress = Progress::new(&self.tokens);
            progress.advance(text);
            progress.is_match()
        };
        if self.anchored {
            return whole(path);
        }
        if self.names == 0 {
            // `**/x` finds x at the top, too.
            return whole(path) || whole(&format!("/{path}"));
        }
        let starts = std::iter::once(0).chain(path.match_indices('/').map(|(at, _)| at + 1));
        let starts: Vec<usize> = starts.collect();
        starts.len() >= self.names && whole(&path[starts[starts.len() - self.names]..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_rsync() {
        for (pattern, path, is_dir, expected) in [
            ("*.o", "a.o", false, true),
            ("*.o", "d/a.o", false, true),
            ("*.o", "d/a.c", false, false),
            ("/a", "a", false, true),
            ("/a", "d/a", false, false),
            ("d/a", "x/d/a", false, true),
            ("d/a", "x/d/b", false, false),
            ("/d/a", "x/d/a", false, false),
            ("d/", "d", true, true),
            ("d/", "d", false, false),
            ("d*e", "d/e", false, false),
            ("d**e", "d/x/e", false, true),
            ("**/e", "e", false, true),
            ("/d/***", "d", true, true),
            ("/d/***", "d/a/b", false, true),
            ("/d/**", "d", true, false),
            ("/d/**", "d/a/b", false, true),
            ("a?", "ab", false, true),
            ("[!a]", "b", false, true),
            ("[^a]", "a", false, false),
            ("\\*", "*", false, true),
            ("\\*", "a", false, false),
        ] {
            let Ok(Statement::Rule(rule)) = Statement::pattern(pattern, false) else {
                panic!("{pattern}");
            };
            let found = rule.matches(path, is_dir, Side::Sender);
            assert_eq!(found, expected, "{pattern} {path}");
        }
    }

    #[test]
    fn rules_have_names_and_modifiers() {
        let rule = |text: &str| match Statement::parse(text) {
            Ok(Statement::Rule(rule)) => (rule.include, rule.sender, rule.receiver, rule.negated),
            other => panic!("{text}: {other:?}"),
        };
        for (text, expected) in [
            ("- *.o", (false, true, true, false)),
            ("-_*.o", (false, true, true, false)),
            ("exclude *.o", (false, true, true, false)),
            ("+s x", (true, true, false, false)),
            ("+,r x", (true, false, true, false)),
            ("include,! x", (true, true, true, true)),
            ("H x", (false, true, false, false)),
            ("protect x", (false, false, true, false)),
            ("R x", (true, false, true, false)),
        ] {
            assert_eq!(rule(text), expected, "{text}");
        }
        assert_eq!(Statement::parse("!"), Ok(Statement::Clear));
        let per_directory = Statement::parse("dir-merge,-n /.rules");
        assert_eq!(
            per_directory,
            Ok(Statement::PerDirectory(PerDirectory {
                file: ".rules".to_owned(),
                patterns: Some(false),
                inherited: false,
            }))
        );
        for bad in ["", "x y", "-", "- ", "-C x", "-/ x", ": a/b", "clear x", "- [a"] {
            assert!(Statement::parse(bad).is_err(), "{bad}");
        }
        let file = Statement::file("# no\n\n; no\n*.o\n+ keep\n!\n", Some(false)).expect("rules");
        assert_eq!(file.len(), 3);
        assert!(Statement::file("*.o\n", None).is_err());
    }
}
