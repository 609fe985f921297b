//! A git repository: one commit, without its history.
//!
//! The commit is the key. Its files get its own time and the modes 755 and 644, so that the same
//! commit always makes the same layer.

use std::cell::OnceCell;
use std::fs;
use std::path::Path;

use super::program::Git;
use super::{Error, Fetched, Fetcher, Flags};
use crate::build::error::Fault;
use crate::build::files::Files;
use crate::build::key::KeyMaker;
use crate::dockerfile::GitRef;
use crate::report;
use crate::rootfs::{FileType, Meta, Root, SideTable, Walk, remove_tree};
use crate::store::Workspace;

/// The work tree, in a workspace.
const TREE: &str = "tree";

/// A repository, and what is wanted of it.
#[derive(Debug)]
pub(super) struct Repository {
    wanted: GitRef,
    keeps_git: bool,
    resolved: OnceCell<Resolved>,
}

/// What a reference says now.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Resolved {
    commit: String,
    /// The whole name of the branch or tag; None: it was a commit.
    name: Option<String>,
    /// An annotated tag's own object.
    tag: Option<String>,
}

impl Repository {
    pub(super) fn new(word: &str, flags: &Flags) -> Result<Self, Error> {
        let reference = super::without_password(word);
        let wrong = |why| Error::GitRef { reference: reference.clone(), why };
        let mut wanted = match GitRef::parse(word) {
            Some(found) => found.map_err(wrong)?,
            None => return Err(wrong("it is none".to_owned())),
        };
        if wanted.remote.starts_with('-') {
            return Err(wrong("it begins with a dash".to_owned()));
        }
        if let Some(name) = &wanted.reference
            && (name.starts_with('-') || name.contains([':', '*', '?', '[', '\\', '^', '~', ' ']))
        {
            return Err(wrong(format!("{name:?} is no name of a branch, a tag or a commit")));
        }
        if let Some(checksum) = &flags.checksum {
            let before = wanted.checksum.replace(checksum.clone());
            if let Some(before) = before.filter(|before| before != checksum) {
                let why = format!("checksum conflicts: {before:?} vs {checksum:?}");
                return Err(wrong(why));
            }
        }
        if let Some(checksum) = &mut wanted.checksum {
            checksum.make_ascii_lowercase();
            if !(7..=64).contains(&checksum.len()) || !is_hex(checksum) {
                let why = "a commit is 7 to 64 hexadecimal digits".to_owned();
                return Err(Error::BadChecksum { checksum: checksum.clone(), why });
            }
        }
        let keeps_git = flags.keep_git_dir.or(wanted.keep_git_dir).unwrap_or(false);
        Ok(Self { wanted, keeps_git, resolved: OnceCell::new() })
    }

    fn shown(&self) -> String {
        super::without_password(&self.wanted.remote)
    }

    /// Which commit it is, once that is known.
    pub(super) fn commit(&self) -> Option<&str> {
        self.resolved.get().map(|resolved| resolved.commit.as_str())
    }

    /// The address with the branch, the tag or the commit that was asked for.
    pub(super) fn address(&self) -> String {
        match &self.wanted.reference {
            Some(reference) => format!("{}#{reference}", self.shown()),
            None => self.shown(),
        }
    }

    /// `github.com/…` is a repository of a build's context only.
    fn remote(&self) -> String {
        match self.wanted.local_looking {
            true => format!("https://{}", self.wanted.remote),
            false => self.wanted.remote.clone(),
        }
    }

    pub(super) fn describe(&self, key: KeyMaker, fetcher: Fetcher<'_>) -> Result<KeyMaker, Fault> {
        let commit = &self.resolved(fetcher)?.commit;
        let with = self.wanted.submodules != Some(false);
        let key = key
            .field("commit", commit)
            .optional("subdir", self.wanted.subdir.as_ref())
            .field("submodules", if with { "yes" } else { "no" });
        Ok(match self.keeps_git {
            false => key,
            // Its configuration names it, and a tag is in it.
            true => key
                .field("repository", self.shown())
                .optional("reference", self.wanted.reference.as_ref()),
        })
    }

    /// Asks the other side which commit is meant, unless that was said.
    fn resolved(&self, fetcher: Fetcher<'_>) -> Result<&Resolved, Fault> {
        if let Some(resolved) = self.resolved.get() {
            return Ok(resolved);
        }
        let resolved = match self.said() {
            Some(commit) => Resolved { commit, name: None, tag: None },
            None => {
                let workspace = fetcher.store.workspace()?;
                let remote = self.remote();
                let services = fetcher.services;
                let git = Git::new(services.web, services.path, workspace.path(), &remote)?;
                let name = self.wanted.reference.as_deref().unwrap_or("HEAD");
                let peeled = format!("{name}^{{}}");
                let listed = git.run("ls-remote", &["--", &remote, name, &peeled])?;
                let missing =
                    || Error::NoReference { remote: self.shown(), reference: name.to_owned() };
                choose(&listed, name).ok_or_else(missing)?
            }
        };
        if let Some(expected) = &self.wanted.checksum
            && ![Some(&resolved.commit), resolved.tag.as_ref()]
                .iter()
                .flatten()
                .any(|hash| hash.starts_with(expected.as_str()))
        {
            let (expected, actual) = (expected.clone(), resolved.commit.clone());
            return Err(Error::Commit { remote: self.shown(), expected, actual }.into());
        }
        Ok(self.resolved.get_or_init(|| resolved))
    }

    /// The commit, where it is known without asking.
    fn said(&self) -> Option<String> {
        let wanted = &self.wanted;
        let by_checksum = wanted.reference.is_none() || wanted.fetch_by_commit == Some(true);
        let checksum = wanted.checksum.as_ref().filter(|text| by_checksum && is_commit(text));
        let reference = wanted.reference.as_ref().filter(|text| is_commit(text));
        reference.or(checksum).map(|text| text.to_ascii_lowercase())
    }

    pub(super) fn fetch(&self, fetcher: Fetcher<'_>) -> Result<Fetched, Fault> {
        let resolved = self.resolved(fetcher)?;
        let title = format!("fetching {} {}", self.shown(), &resolved.commit[..12]);
        let running = report::start(fetcher.reporter, title, None);
        let workspace = fetcher.store.workspace()?;
        let tree = workspace.path().join(TREE);
        fs::create_dir(&tree).map_err(|source| Error::Write { path: tree.clone(), source })?;
        let remote = self.remote();
        let services = fetcher.services;
        let git = Git::new(services.web, services.path, &tree, &remote)?;
        git.run("init", &["-q"])?;
        self.get(&git, resolved)?;
        git.run("checkout", &["-q", "--detach", &resolved.commit])?;
        let mut modules = String::new();
        if self.wanted.submodules != Some(false) && tree.join(".gitmodules").exists() {
            let all = ["update", "-q", "--init", "--recursive", "--depth=1"];
            git.run("submodule", &all)?;
            let each = ["foreach", "-q", "--recursive", "echo \"$displaypath\""];
            modules = git.run("submodule", &each)?;
        }
        let seconds = git.run("show", &["-s", "--format=%ct", &resolved.commit])?;
        if self.keeps_git {
            self.tidy(&git, &tree)?;
        } else {
            for folder in modules.lines().chain([""]) {
                remove_tree(&tree.join(folder).join(".git"))?;
            }
        }
        settle(&tree, seconds.trim().parse().unwrap_or(0))?;
        let fetched = self.fetched(workspace, &tree)?;
        running.finish(report::Outcome::Done);
        Ok(fetched)
    }

    /// Fetches the commit alone where the other side can do that, else all that it has.
    fn get(&self, git: &Git<'_>, resolved: &Resolved) -> Result<(), Error> {
        let remote = self.remote();
        let commit = &resolved.commit;
        let has = || git.run("cat-file", &["-e", &format!("{commit}^{{commit}}")]).is_ok();
        let shallow = ["-q", "--no-tags", "--depth=1", "--", remote.as_str()];
        // By name first: not every server hands out commits that are asked for by theirs. Of a tag,
        // the name is what `git describe` finds.
        let by_name = resolved.name.as_deref().map(|name| match name.starts_with("refs/tags/") {
            true => format!("{name}:{name}"),
            false => name.to_owned(),
        });
        for want in by_name.iter().chain([commit]) {
            if git.run("fetch", &[&shallow[..], &[want.as_str()]].concat()).is_ok() && has() {
                return Ok(());
            }
        }
        let all = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"];
        git.run("fetch", &[&["-q", "--", remote.as_str()][..], &all].concat())?;
        let missing = || Error::NoCommit { remote: self.shown(), commit: commit.clone() };
        has().then_some(()).ok_or_else(missing)
    }

    /// Leaves in `.git` only what depends on the commit: neither what tells of this machine's files
    /// nor how it was fetched.
    fn tidy(&self, git: &Git<'_>, tree: &Path) -> Result<(), Fault> {
        git.run("config", &["remote.origin.url", &self.shown()])?;
        let fetch = "+refs/heads/*:refs/remotes/origin/*";
        git.run("config", &["remote.origin.fetch", fetch])?;
        for name in ["index", "FETCH_HEAD", "ORIG_HEAD", "logs"] {
            remove_tree(&tree.join(".git").join(name))?;
        }
        git.run("read-tree", &["HEAD"])?;
        Ok(())
    }

    fn fetched(&self, workspace: Workspace, tree: &Path) -> Result<Fetched, Fault> {
        let files = Files::of_folder(Root::open(tree)?);
        let missing = || Error::NoSubdir {
            remote: self.shown(),
            subdir: self.wanted.subdir.clone().unwrap_or_default(),
        };
        let path = Path::new(self.wanted.subdir.as_deref().unwrap_or_default());
        let source = files.at(path).map_err(|_| missing())?;
        if !source.meta.is_dir() {
            return Err(missing().into());
        }
        Ok(Fetched { files, source, workspace })
    }
}

/// Gives a checked-out tree the commit's time, and what git keeps of modes: whether a file may be
/// executed. The caller's umask and the clock reach no layer.
fn settle(tree: &Path, seconds: i64) -> Result<(), Fault> {
    let (root, records) = (Root::open(tree)?, SideTable::default());
    for found in Walk::new(&root, Path::new(""), &records) {
        let found = found?;
        if found.meta.kind != FileType::Symlink {
            root.set_mode(&found.path, plain_mode(&found.meta))?;
        }
        root.set_time(&found.path, (seconds, 0))?;
    }
    Ok(())
}

fn plain_mode(meta: &Meta) -> u32 {
    if meta.is_dir() || meta.mode & 0o100 != 0 { 0o755 } else { 0o644 }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A whole name: sha1 or sha256.
fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && is_hex(text)
}

/// What `name` means among the lines of `git ls-remote`: a branch before a tag before anything else,
/// as git itself understands it.
fn choose(listed: &str, name: &str) -> Option<Resolved> {
    let find = |wanted: &str| {
        let line = listed.lines().filter_map(|line| line.split_once('\t'));
        line.clone().find(|(_, found)| *found == wanted).map(|(hash, _)| hash.to_owned())
    };
    let branch = format!("refs/heads/{}", name.trim_start_matches("refs/heads/"));
    let tag = format!("refs/tags/{}", name.trim_start_matches("refs/tags/"));
    let other = format!("refs/{}", name.trim_start_matches("refs/"));
    for whole in [branch, tag, other, name.to_owned()] {
        let Some(hash) = find(&whole) else { continue };
        let name = Some(whole.clone());
        return Some(match find(&format!("{whole}^{{}}")) {
            Some(commit) => Resolved { commit, name, tag: Some(hash) },
            None => Resolved { commit: hash, name, tag: None },
        });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_comes_before_a_tag() {
        let listed = "1\tHEAD\n2\trefs/heads/a\n3\trefs/heads/x/a\n4\trefs/tags/a\n5\trefs/tags/b\n\
                      6\trefs/tags/b^{}\n7\trefs/pull/1/head\n";
        for (name, expected) in [
            ("HEAD", Some(("1", "HEAD", None))),
            ("a", Some(("2", "refs/heads/a", None))),
            ("refs/tags/a", Some(("4", "refs/tags/a", None))),
            ("x/a", Some(("3", "refs/heads/x/a", None))),
            ("b", Some(("6", "refs/tags/b", Some("5")))),
            ("pull/1/head", Some(("7", "refs/pull/1/head", None))),
            ("c", None),
            ("", None),
        ] {
            let expected =
                expected.map(|(commit, name, tag): (&str, &str, Option<&str>)| Resolved {
                    commit: commit.to_owned(),
                    name: Some(name.to_owned()),
                    tag: tag.map(str::to_owned),
                });
            assert_eq!(choose(listed, name), expected, "{name:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let commit = "0123456789012345678901234567890123456789";
        let flags = |checksum: &str| Flags {
            checksum: Some(checksum.to_owned()).filter(|text| !text.is_empty()),
            keep_git_dir: None,
        };
        for (word, checksum, expected) in [
            ("git://h/a#-x", "", "is no name of a branch"),
            ("git://h/a#ab", "abcdef", "a commit is 7 to 64"),
            ("git://h/a?checksum=abcdef0", "abcdef1", "checksum conflicts"),
            ("git://h/a?x=1", "", "unexpected query"),
        ] {
            let error = Repository::new(word, &flags(checksum)).expect_err(word).to_string();
            assert!(error.contains(expected), "{error}");
        }
        let said = |word: &str, checksum: &str| {
            Repository::new(word, &flags(checksum)).expect(word).said().is_some()
        };
        assert!(said(&format!("git://h/a#{commit}"), ""));
        assert!(said("git://h/a", commit) && !said("git://h/a#main", commit));
        assert!(said("git://h/a?ref=main&fetch-by-commit=true", commit));
        assert!(!said("git://h/a", "0123456"));
    }
}
