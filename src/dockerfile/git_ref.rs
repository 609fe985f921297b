//! [`GitRef`]: what names a git repository, and what of it, in ADD and as a build context.

/// A git repository by its address, with what its query and its fragment say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GitRef {
    /// The address, without query and fragment.
    pub remote: String,
    /// The repository's last name, without `.git`.
    pub short_name: String,
    /// A branch, a tag, a whole reference (`refs/…`) or a commit; None: what the other side's HEAD
    /// is.
    pub reference: Option<String>,
    /// The directory of the repository that is meant; None: its root.
    pub subdir: Option<String>,
    /// What the commit's name must begin with.
    pub checksum: Option<String>,
    /// `github.com/…`: for ADD that is a path, and only as a build context a repository.
    pub local_looking: bool,
    /// Nobody knows who really answers.
    pub unencrypted: bool,
    pub keep_git_dir: Option<bool>,
    pub submodules: Option<bool>,
    /// `checkout` or `commit`.
    pub mtime: Option<String>,
    /// The commit is asked for by its name, whatever the reference says by then.
    pub fetch_by_commit: Option<bool>,
}

const HEADS: &str = "refs/heads/";
const TAGS: &str = "refs/tags/";

impl GitRef {
    /// None: `text` is something else. Otherwise the repository, or what is wrong with it.
    pub fn parse(text: &str) -> Option<Result<Self, String>> {
        if text.starts_with("./") || text.starts_with("../") {
            return None;
        }
        let (text, local_looking) = match text.starts_with("github.com/") {
            true => (format!("https://{text}"), true),
            false => (text.to_owned(), false),
        };
        let (before, fragment) = split(&text, '#');
        let (remote, query) = split(before, '?');
        let scheme = remote.split_once("://").map(|(scheme, _)| scheme.to_lowercase());
        let is_git = match scheme.as_deref() {
            Some("http" | "https") => local_looking || has_git_path(remote),
            Some("git" | "ssh") => true,
            Some(_) => false,
            None => is_scp_like(remote),
        };
        if !is_git {
            return None;
        }
        let shown = if local_looking { remote.trim_start_matches("https://") } else { remote };
        let last = shown.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default();
        let mut found = Self {
            remote: shown.to_owned(),
            short_name: last.strip_suffix(".git").unwrap_or(last).to_owned(),
            local_looking,
            unencrypted: matches!(scheme.as_deref(), Some("http" | "git")),
            ..Self::default()
        };
        if let Some(fragment) = fragment {
            let fragment = if scheme.is_some() { decoded(fragment) } else { fragment.to_owned() };
            let (reference, subdir) = split(&fragment, ':');
            found.reference = some(reference);
            found.subdir = subdir.and_then(|subdir| some(&inside(subdir)));
        }
        Some(found.query(query.unwrap_or_default()).map(|()| found))
    }

    fn query(&mut self, query: &str) -> Result<(), String> {
        let (mut tag, mut branch) = (None, None);
        let mut seen: Vec<String> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = split(pair, '=');
            let (key, value) = (decoded(key), decoded(value.unwrap_or_default()));
            if seen.contains(&key) {
                return Err(format!("query {key:?} has multiple values"));
            }
            let is_switch = ["keep-git-dir", "submodules", "fetch-by-commit"].contains(&&*key);
            if value.is_empty() && !is_switch {
                return Err(format!("query {key:?} has no value"));
            }
            match key.as_str() {
                "ref" => set("ref", &mut self.reference, &value)?,
                "subdir" => set("subdir", &mut self.subdir, &value)?,
                "checksum" | "commit" => self.checksum = Some(value),
                "tag" => tag = some(&value),
                "branch" => branch = some(&value),
                "keep-git-dir" => self.keep_git_dir = Some(switch(&key, &value)?),
                "submodules" => self.submodules = Some(switch(&key, &value)?),
                "fetch-by-commit" => self.fetch_by_commit = Some(switch(&key, &value)?),
                "mtime" if matches!(value.as_str(), "checkout" | "commit") => {
                    self.mtime = Some(value);
                }
                "mtime" => return Err(format!("invalid mtime value {value:?}")),
                _ => return Err(format!("unexpected query {key:?}")),
            }
            seen.push(key);
        }
        if tag.is_some() && branch.is_some() {
            return Err("branch conflicts with tag".to_owned());
        }
        for (value, prefix) in [(tag, TAGS), (branch, HEADS)] {
            let Some(value) = value else { continue };
            let whole = match value.starts_with(prefix) {
                true => value,
                false => format!("{prefix}{value}"),
            };
            set("ref", &mut self.reference, &whole)?;
        }
        // A whole commit alone says what is wanted, too.
        let is_whole = |text: &String| matches!(text.len(), 40 | 64);
        if self.reference.is_none() {
            self.reference = self.checksum.clone().filter(is_whole);
        }
        Ok(())
    }
}

/// A directory of the repository, cleaned: no `..` leads out of it.
fn inside(path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names.join("/")
}

/// Whether an address names a path (not only a host) that ends so.
fn has_git_path(address: &str) -> bool {
    let (_, rest) = address.split_once("://").unwrap_or_default();
    rest.split_once('/').is_some_and(|(_, path)| decoded(path).ends_with(".git"))
}

/// `user@host:path`
fn is_scp_like(text: &str) -> bool {
    let fits = |text: &str, more: &[char]| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(&c))
    };
    text.split_once('@').is_some_and(|(user, rest)| {
        fits(user, &['-', '_'])
            && rest.split_once(':').is_some_and(|(host, _)| fits(host, &['-', '.']))
    })
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn set(name: &str, slot: &mut Option<String>, value: &str) -> Result<(), String> {
    match slot {
        Some(before) if before != value => {
            Err(format!("{name} conflicts: {before:?} vs {value:?}"))
        }
        _ => {
            *slot = some(value);
            Ok(())
        }
    }
}

/// What Go's `strconv.ParseBool` takes; nothing means true.
fn switch(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("invalid {key} value: {value:?}")),
    }
}

/// The text that a part of a URL stands for: `%20` is a blank. What is no such form stays.
pub fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let code = hex.and_then(|two| u8::from_str_radix(two, 16).ok());
        match (first, code) {
            (b'%', Some(code)) => {
                bytes.push(code);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_a_repository_and_what_is_not() {
        for (text, expected) in [
            ("https://h/a/b.git", Some(("https://h/a/b.git", "b", None, None))),
            (
                "http://u:p@h:1/b.git#v1:x/y",
                Some(("http://u:p@h:1/b.git", "b", Some("v1"), Some("x/y"))),
            ),
            ("https://h/b.git#:x", Some(("https://h/b.git", "b", None, Some("x")))),
            (
                "https://h/b.git#a%20b:/x/../../y/",
                Some(("https://h/b.git", "b", Some("a b"), Some("y"))),
            ),
            ("https://h/b.git#", Some(("https://h/b.git", "b", None, None))),
            ("./git@h:c", None),
            ("../a.git", None),
            ("https://h/b.git/", None),
            ("https://b.git", None),
            ("https://h/b.git:#x", None),
            ("https://h/b.git#main", Some(("https://h/b.git", "b", Some("main"), None))),
            (
                "https://h/b.git?ref=v1&subdir=a%20b",
                Some(("https://h/b.git", "b", Some("v1"), Some("a b"))),
            ),
            ("https://h/b.git?tag=v1", Some(("https://h/b.git", "b", Some("refs/tags/v1"), None))),
            (
                "https://h/b.git?branch=x",
                Some(("https://h/b.git", "b", Some("refs/heads/x"), None)),
            ),
            ("git@h:a/b.git#x", Some(("git@h:a/b.git", "b", Some("x"), None))),
            ("ann@h.example:b", Some(("ann@h.example:b", "b", None, None))),
            ("ssh://git@h/b", Some(("ssh://git@h/b", "b", None, None))),
            ("git://h/b", Some(("git://h/b", "b", None, None))),
            ("github.com/a/b", Some(("github.com/a/b", "b", None, None))),
            ("https://h/b", None),
            ("https://h/b.tar.gz#x.git", None),
            ("ftp://h/b.git", None),
            ("./b.git", None),
            ("a/b.git", None),
            ("a b@h:c", None),
            ("@h:c", None),
        ] {
            let found = GitRef::parse(text).map(|found| found.expect(text));
            let found = found.as_ref().map(|found| {
                let (reference, subdir) = (found.reference.as_deref(), found.subdir.as_deref());
                (found.remote.as_str(), found.short_name.as_str(), reference, subdir)
            });
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn queries() {
        let parse = |query: &str| GitRef::parse(&format!("git://h/b?{query}")).expect("git");
        let found = parse("keep-git-dir=1&submodules=false&mtime=commit&fetch-by-commit&commit=ab")
            .expect("all of it is known");
        assert_eq!(found.keep_git_dir, Some(true));
        assert_eq!((found.submodules, found.fetch_by_commit), (Some(false), Some(true)));
        assert_eq!(
            (found.mtime.as_deref(), found.checksum.as_deref()),
            (Some("commit"), Some("ab"))
        );
        assert_eq!(found.reference, None);
        let commit = "a1".repeat(20);
        let found_whole = parse(&format!("checksum={commit}")).expect("a commit");
        assert_eq!(
            (found_whole.reference, found_whole.checksum),
            (Some(commit.clone()), Some(commit))
        );
        assert!(found.unencrypted && !found.local_looking);
        for (query, expected) in [
            ("x=1", "unexpected query \"x\""),
            ("ref=a&ref=b", "query \"ref\" has multiple values"),
            ("ref=a&tag=b", "ref conflicts: \"a\" vs \"refs/tags/b\""),
            ("tag=a&branch=b", "branch conflicts with tag"),
            ("ref=", "query \"ref\" has no value"),
            ("subdir=a#:b", "subdir conflicts: \"b\" vs \"a\""),
            ("ref=a#b", "ref conflicts: \"b\" vs \"a\""),
            ("mtime=now", "invalid mtime value \"now\""),
            ("submodules=maybe", "invalid submodules value: \"maybe\""),
        ] {
            assert_eq!(parse(query).expect_err(query), expected);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(
            text in "(https?://|ssh://|git@|github.com/|\\./)?[a-c:/.@#?&=%-]{0,20}(\\.git)?(#|[?](ref|tag)=)?[a-z:/%]{0,8}",
        ) {
            if let Some(Ok(found)) = GitRef::parse(&text) {
                prop_assert!(!found.remote.contains('#') && found.reference.as_deref() != Some(""));
                prop_assert!(found.subdir.as_deref() != Some(""));
            }
        }
    }

    #[test]
    fn percent_signs() {
        for (text, expected) in [("a%20b", "a b"), ("100%", "100%"), ("%zz%2F", "%zz/"), ("", "")] {
            assert_eq!(decoded(text), expected);
        }
    }
}
