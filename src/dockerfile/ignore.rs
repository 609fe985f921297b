//! `.dockerignore`: which files of a context are left out.
//!
//! The patterns are Go's `filepath.Match` ones, with `**` for any depth and `!` for exceptions.
//! The last that matches a path, or a directory above it, decides.

use super::Error;
use super::glob::{Glob, Progress, Token, class};

/// The patterns of an ignore file, or of `--exclude`. Paths are relative to the context, clean,
/// and have `/` between their names; what of them is not UTF-8 is given lossily.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    text: String,
    tokens: Vec<Token>,
    exception: bool,
}

impl Ignore {
    /// Reads an ignore file.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::new(Self::lines(text))
    }

    /// The patterns of an ignore file, a line each, cleaned but not yet judged; `#` in the first
    /// column begins a comment, a leading `/` is the context itself.
    pub fn lines(text: &str) -> Vec<String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().filter(|line| !line.starts_with('#')).map(str::trim);
        let pattern = |line: &str| {
            let (mark, path) = match line.strip_prefix('!') {
                Some(path) => ("!", path.trim()),
                None => ("", line),
            };
            let path = if path.is_empty() { String::new() } else { clean(path) };
            let path = path.strip_prefix('/').filter(|rest| !rest.is_empty()).unwrap_or(&path);
            format!("{mark}{path}")
        };
        lines.filter(|line| !line.is_empty()).map(pattern).collect()
    }

    /// From patterns alone, which are taken as they are but for blanks around them: unlike in an
    /// ignore file, `/a` never matches.
    pub fn new(patterns: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, Error> {
        let mut read = Vec::new();
        for pattern in patterns {
            read.extend(Pattern::new(pattern.as_ref())?);
        }
        Ok(Self { patterns: read })
    }

    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The patterns as they were understood.
    pub fn patterns(&self) -> impl Iterator<Item = String> {
        self.patterns.iter().map(|pattern| {
            let mark = if pattern.exception { "!" } else { "" };
            format!("{mark}{}", pattern.text)
        })
    }

    /// Whether some pattern begins with `!`.
    pub fn has_exceptions(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.exception)
    }

    /// Whether a path is left out. The context itself (`.`) never is.
    pub fn is_ignored(&self, path: &str) -> bool {
        self.deciding(path).is_some_and(|index| !self.patterns[index].exception)
    }

    /// Whether something below an ignored directory may be wanted after all: if not, the directory
    /// need not be read.
    pub fn may_reinclude_below(&self, directory: &str) -> bool {
        // What decides about the directory decides about everything below it, unless an exception
        // comes later.
        let later = self.deciding(directory).map_or(0, |index| index + 1);
        self.patterns[later..].iter().any(|pattern| pattern.exception && pattern.reaches(directory))
    }

    /// The last pattern that matches the path or one of its parents.
    fn deciding(&self, path: &str) -> Option<usize> {
        if matches!(path, "" | ".") {
            return None;
        }
        self.patterns.iter().rposition(|pattern| pattern.covers(path))
    }
}

impl Pattern {
    /// `None` for a blank one.
    fn new(text: &str) -> Result<Option<Self>, Error> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let text = clean(text);
        let (exception, text) = match text.strip_prefix('!') {
            Some("") => return Err(Error::Exclusion),
            Some(rest) => (true, rest.to_owned()),
            None => (false, text),
        };
        // Go checks the syntax this way, so what it calls wrong is wrong here.
        Glob::new(&text)?;
        Ok(Some(Self { tokens: tokens(&text), text, exception }))
    }

    /// Whether the path or a directory above it matches.
    fn covers(&self, path: &str) -> bool {
        let mut progress = Progress::new(&self.tokens);
        for (i, name) in path.split('/').enumerate() {
            if i > 0 {
                progress.advance("/");
            }
            progress.advance(name);
            if progress.is_match() {
                return true;
            }
        }
        false
    }

    /// Whether some path below the directory may match.
    fn reaches(&self, directory: &str) -> bool {
        let mut progress = Progress::new(&self.tokens);
        if !matches!(directory, "" | ".") {
            progress.advance(directory);
            progress.advance("/");
        }
        progress.may_go_on()
    }
}

fn tokens(pattern: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(char) = chars.next() {
        tokens.push(match char {
            '*' if chars.next_if_eq(&'*').is_some() => {
                chars.next_if_eq(&'/');
                if chars.peek().is_some() { Token::Directories } else { Token::Anything }
            }
            '*' => Token::Many,
            '?' => Token::One,
            '[' => class(&mut chars).expect("the syntax was checked"),
            '\\' => Token::Literal(chars.next().expect("the syntax was checked")),
            literal => Token::Literal(literal),
        });
    }
    // The reference takes `**name`, with nothing else special in it, for any path that ends so.
    let plain = |token: &Token| matches!(token, Token::Literal(_));
    if !pattern.starts_with("**/")
        && !pattern.contains('\\')
        && matches!(&tokens[..], [Token::Directories, rest @ ..] if rest.iter().all(plain))
    {
        tokens[0] = Token::Anything;
    }
    tokens
}

/// Go's `filepath.Clean`.
fn clean(path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." if names.last().is_some_and(|last| *last != "..") => {
                names.pop();
            }
            ".." if path.starts_with('/') => {}
            name => names.push(name),
        }
    }
    match (names.is_empty(), path.starts_with('/')) {
        (true, false) => ".".to_owned(),
        (_, true) => format!("/{}", names.join("/")),
        (false, false) => names.join("/"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn single_patterns_match_as_the_reference_does() {
        for (pattern, path, expected) in [
            ("**", "file", true),
            ("**", "dir/file", true),
            ("**/", "file", true),
            ("**/**", "dir/file", true),
            ("dir/**", "dir/file", true),
            ("dir/**", "dir", false),
            ("dir/**", "dir/dir2/file", true),
            ("**/dir", "dir", true),
            ("**/dir", "dir/file", true),
            ("**/dir2/*", "dir/dir2/file", true),
            ("**/dir2/**", "dir/dir2/dir2/file", true),
            ("**file", "file", true),
            ("**file", "dir/file", true),
            ("**file", "dir/afile", true),
            ("**/file", "dir/afile", false),
            ("**/file", "dir/dir/file", true),
            ("**/file*", "dir/dir/file.txt", true),
            ("**/file*txt", "dir/dir/file.txt", true),
            ("**/**/*.txt", "dir/dir/file.txt", true),
            ("**/**/*.txt2", "dir/dir/file.txt", false),
            ("a**/*.txt", "a/file.txt", true),
            ("a**/*.txt", "a/dir/dir/file.txt", true),
            ("a/*.txt", "a/dir/file.txt", false),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "ab", false),
            ("a[b-d]e", "ace", true),
            ("a[^b-d]e", "aze", true),
            ("a[^b-d]e", "ace", false),
            ("a[^/]b", "a/b", false),
            ("a\\*b", "a*b", true),
            ("a\\*b", "aab", false),
            ("abc.def", "abcdef", false),
            ("abc?def", "abc/def", false),
            ("abc.def", "abc.def/below", true),
            ("*", "a/b/c", true),
            ("*/c", "a/c/d", true),
            ("/a/", "a", false),
            ("a/./b/../c", "a/c", true),
            ("../a", "a", false),
            (".", "a", false),
            ("*", ".", false),
            ("a b", "a b", true),
            ("ä?", "äö", true),
        ] {
            let ignore = Ignore::new([pattern]).expect(pattern);
            assert_eq!(ignore.is_ignored(path), expected, "{pattern} {path}");
        }
    }

    /// `tests/data/dockerfile/ignored.txt`
    #[test]
    fn lists_match_as_in_the_reference() {
        let rows = include_str!("../../tests/data/dockerfile/ignored.txt");
        let mut count = 0;
        for row in rows.lines().filter(|row| !row.starts_with("# ")) {
            let (patterns, paths) = row.split_once(" : ").expect("patterns and paths");
            let ignore = Ignore::new(patterns.split(' ')).expect(patterns);
            for marked in paths.split(' ') {
                let (path, mark) = marked.split_at(marked.len() - 1);
                assert_eq!(ignore.is_ignored(path), mark == "+", "{patterns} : {path}");
                count += 1;
            }
        }
        assert!(count > 120, "only {count} paths were found");
    }

    #[test]
    fn the_last_match_decides() {
        for (patterns, path, expected) in [
            (&["*", "!src"][..], "src/a", false),
            (&["*", "!src", "src/a"], "src/a", true),
            (&["!src", "*"], "src", true),
            (&["a", "!a/b", "a"], "a/b", true),
            (&["**", "!a/b"], "a", true),
            (&["**", "!a/b"], "a/b/c", false),
            (&["a", "!a/b/c"], "a/b", true),
            (&["*.md", "!README*.md", "README-secret.md"], "README.md", false),
            (&["*.md", "!README*.md", "README-secret.md"], "README-secret.md", true),
            (&["*", "! b", "c"], "b", true),
        ] {
            let ignore = Ignore::new(patterns).expect("patterns");
            assert_eq!(ignore.is_ignored(path), expected, "{patterns:?} {path}");
        }
    }

    #[test]
    fn says_which_directories_to_read() {
        for (patterns, directory, expected) in [
            (&["a"][..], "a", false),
            (&["a", "!a/b"], "a", true),
            (&["a", "!a/b"], "ab", false),
            (&["a", "!a/b", "a"], "a", false),
            (&["*", "!src/**/*.rs"], "src", true),
            (&["*", "!src/**/*.rs"], "src/deep/er", true),
            (&["*", "!src/**/*.rs"], "target", false),
            (&["*", "!src/*.rs"], "src/deep", false),
            (&["*", "!**/keep"], "anything/at/all", true),
            (&["node_modules", "!b*"], "node_modules", false),
        ] {
            let ignore = Ignore::new(patterns).expect("patterns");
            assert_eq!(ignore.may_reinclude_below(directory), expected, "{patterns:?} {directory}");
        }
    }

    #[test]
    fn reads_files() {
        let text = "\u{feff}# comment\n #no comment\r\n\n  /a/../b/  \n! /c\n//d\n";
        let ignore = Ignore::parse(text).expect("patterns");
        assert_eq!(ignore.patterns().collect::<Vec<_>>(), ["#no comment", "b", "!c", "d"]);
        assert!(ignore.has_exceptions() && !ignore.is_ignored("c") && ignore.is_ignored("b/x"));
        assert_eq!(Ignore::lines("!\n/\n!/ \n..\n./!a\n"), ["!", "/", "!/", "..", "!a"]);
        for alone in ["a\n!\n", "! \n", "./!"] {
            assert_eq!(Ignore::parse(alone), Err(Error::Exclusion), "{alone}");
        }
        assert_eq!(Ignore::parse("a[\n"), Err(Error::Pattern("a[".to_owned())));
        assert!(Ignore::parse("#a\n\n").is_ok_and(|ignore| ignore.is_empty()));
    }

    proptest! {
        #[test]
        fn never_panics(text in r"[ab*?\[\]^\\/!. \n-]{0,30}", path in "[ab/]{0,12}") {
            if let Ok(ignore) = Ignore::parse(&text) {
                ignore.is_ignored(&path);
                ignore.may_reinclude_below(&path);
            }
        }

        /// No wanted file is lost by not reading a directory.
        #[test]
        fn pruning_loses_nothing(
            patterns in prop::collection::vec(r"!?(\*\*/|[ab*?]{1,2}/){0,2}(\*\*|[ab*?]{1,2})", 1..5),
            path in "[ab]{1,2}(/[ab]{1,2}){1,3}",
        ) {
            let ignore = Ignore::new(&patterns).expect("patterns");
            if !ignore.is_ignored(&path) {
                for (i, _) in path.match_indices('/') {
                    let above = &path[..i];
                    prop_assert!(!ignore.is_ignored(above) || ignore.may_reinclude_below(above));
                }
            }
        }
    }
}
