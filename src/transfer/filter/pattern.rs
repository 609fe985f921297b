//! Which paths of a layer are meant: by the rules of an ignore file, or by a shell's wildcards.

use std::fmt;
use std::path::Path;

use crate::dockerfile::Ignore;
use crate::layer::archive::{Entry, EntryKind};
use crate::pattern::Pattern;
use crate::rootfs::clean;

/// What is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    /// As it was written.
    text: String,
    matcher: Matcher,
    /// It keeps what an earlier one leaves out.
    negated: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Matcher {
    /// As in `.gitignore`; some mean directories alone.
    Ignore { ignore: Ignore, only_dirs: bool },
    /// `*` stands for slashes, too.
    Wildcard(Wildcard),
}

impl Rules {
    /// A line of a `.gitignore`: without a slash it means any depth, with one the image's root; with
    /// one at its end directories alone.
    pub fn ignore(text: &str) -> Result<Self, String> {
        let (negated, pattern) = match text.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (pattern, only_dirs) = match pattern.strip_suffix('/') {
            Some(rest) => (rest, true),
            None => (pattern, false),
        };
        if pattern.is_empty() {
            return Err(format!("{text:?} means nothing"));
        }
        let pattern = match pattern.strip_prefix('/') {
            Some(rest) => rest.to_owned(),
            None if pattern.contains('/') => pattern.to_owned(),
            None => format!("**/{pattern}"),
        };
        // Git's sign for "none of these" is `!`, Go's is `^`.
        let pattern = pattern.replace("[!", "[^");
        let ignore = Ignore::new([pattern]).map_err(|error| error.to_string())?;
        let matcher = Matcher::Ignore { ignore, only_dirs };
        Ok(Self(vec![Rule { text: text.to_owned(), matcher, negated }]))
    }

    /// Wildcards for the whole path, as occystrap has them.
    pub fn wildcard(text: &str) -> Result<Self, String> {
        let matcher = Matcher::Wildcard(Wildcard::new(text)?);
        Ok(Self(vec![Rule { text: format!("pattern:{text}"), matcher, negated: false }]))
    }

    /// Rules that come after these.
    pub fn extend(&mut self, later: Self) {
        self.0.extend(later.0);
    }

    /// Whether an entry of an archive is left out. A deletion is, where what it deletes is.
    pub fn exclude(&self, entry: &Entry) -> bool {
        let path = clean(&entry.path);
        let path = match path.file_name().map(|name| name.to_string_lossy()) {
            Some(name) if name == ".wh..wh..opq" => path.parent().unwrap_or(Path::new("")).into(),
            Some(name) => match name.strip_prefix(".wh.") {
                Some(deleted) => path.with_file_name(deleted),
                None => path,
            },
            None => return false, // the root itself
        };
        let path = path.to_string_lossy();
        !path.is_empty() && self.excludes(&path, entry.kind == EntryKind::Dir)
    }

    fn excludes(&self, path: &str, is_dir: bool) -> bool {
        let decisive = self.0.iter().rev().find(|rule| rule.covers(path, is_dir));
        decisive.is_some_and(|rule| !rule.negated)
    }
}

impl Rule {
    fn covers(&self, path: &str, is_dir: bool) -> bool {
        match &self.matcher {
            Matcher::Wildcard(wildcard) => wildcard.fits(path),
            Matcher::Ignore { ignore, only_dirs: false } => ignore.is_ignored(path),
            // What has something below it is a directory.
            Matcher::Ignore { ignore, only_dirs: true } => {
                let above = path.rsplit_once('/').map(|(above, _)| above);
                (is_dir && ignore.is_ignored(path))
                    || above.is_some_and(|above| ignore.is_ignored(above))
            }
        }
    }
}

/// As many words as there are rules, for what depends on them.
impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<&str> = self.0.iter().map(|rule| &*rule.text).collect();
        write!(f, "{texts:?}")
    }
}

/// A pattern as fnmatch has it (see [`Pattern::fnmatch`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wildcard(Pattern);

impl Wildcard {
    pub fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("the pattern is empty".to_owned());
        }
        Pattern::fnmatch(text).map(Self)
    }

    /// Whether it fits the whole text.
    pub fn fits(&self, text: &str) -> bool {
        self.0.matches(text)
    }

    /// Whether it fits a path, or its last name.
    pub fn finds(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        self.fits(path) || self.fits(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_those_of_gitignore() {
        let dir = |path: &str| Entry::new(path, EntryKind::Dir);
        let file = |path: &str| Entry::new(path, EntryKind::File);
        for (rules, entry, expected) in [
            (&["*.pyc"][..], file("usr/lib/a.pyc"), true),
            (&["*.pyc"], file("./a.pyc"), true),
            (&["/*.pyc"], file("usr/a.pyc"), false),
            (&["/*.pyc"], file("/a.pyc"), true),
            (&["var/cache"], file("var/cache/apt/x"), true),
            (&["var/cache"], file("home/var/cache"), false),
            (&["var/cache/"], file("var/cache"), false),
            (&["var/cache/"], dir("var/cache"), true),
            (&["cache/"], file("var/cache/x"), true),
            (&["var/*"], dir("var"), false),
            (&["doc", "!doc/copyright"], file("usr/doc/copyright"), true),
            (&["doc", "!copyright"], file("usr/doc/copyright"), false),
            (&["!a", "a"], file("a"), true),
            (&["a[!b]"], file("ac"), true),
            (&["a[!b]"], file("ab"), false),
            (&["**/x/**"], file("a/x/b"), true),
            (&["gone"], file("d/.wh.gone"), true),
            (&["gone/"], file("d/.wh.gone"), false),
            (&["d"], file("d/.wh..wh..opq"), true),
            (&["*"], dir("."), false),
        ] {
            let mut all = Rules::default();
            rules.iter().for_each(|rule| all.extend(Rules::ignore(rule).expect(rule)));
            assert_eq!(all.exclude(&entry), expected, "{rules:?} {entry:?}");
        }
        for text in ["", "!", "/", "a["] {
            assert!(Rules::ignore(text).is_err(), "{text}");
        }
    }

    #[test]
    fn wildcards_are_those_of_fnmatch() {
        for (pattern, text, expected) in [
            ("etc/*", "etc/a/b", true),
            ("*.pyc", "usr/a.pyc", true),
            ("a?c", "a/c", true),
            ("*a*b*c", "xxaxxbxxbc", true),
            ("*a*b*c", "xxaxxcxx", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]x", "]x", true),
            ("[x", "[x", true),
            (r"a\*", r"a\b", true),
            ("[^a]", "^", true),
            ("**", "", true),
            ("a", "ab", false),
        ] {
            assert_eq!(
                Wildcard::new(pattern).expect(pattern).fits(text),
                expected,
                "{pattern} {text}"
            );
        }
        assert!(Wildcard::new("sh").expect("plain").finds("bin/sh"));
        assert!(Wildcard::new("").is_err());
    }
}
