//! What COPY and ADD read: the build context, named contexts, and other images' files; which of it
//! a pattern means, and the digest of that.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::error::Fault;
use super::key::KeyMaker;
use super::remote::{Arrival, Fetcher};
use super::{IgnoreFile, NamedContext, Options};
use crate::dockerfile::{Glob, Ignore};
use crate::image::{Digest, Hasher};
use crate::rootfs::{self, Choice, Dirs, FileType, Found, Meta, Root, SideTable, Walk, clean};
use crate::store::{Store, Workspace};

/// The contexts of a build; one is opened, or fetched, when a step first reads from it.
#[derive(Debug)]
pub(super) struct Contexts<'a> {
    options: &'a Options,
    main: OnceLock<Files>,
    named: Vec<Named<'a>>,
}

/// A named context that has files and is no image.
#[derive(Debug)]
struct Named<'a> {
    name: &'a str,
    place: Place<'a>,
    files: OnceLock<Files>,
    /// Held while they are fetched: several steps may want them at the same time.
    opening: Mutex<()>,
}

#[derive(Debug)]
enum Place<'a> {
    Directory(&'a Path),
    Elsewhere(&'a str),
}

impl<'a> Contexts<'a> {
    pub(super) fn new(options: &'a Options) -> Self {
        let named = |(name, context): &'a (String, NamedContext)| {
            let place = match context {
                NamedContext::Directory(path) => Place::Directory(path),
                NamedContext::Remote(url) => Place::Elsewhere(url),
                _ => return None,
            };
            Some(Named { name, place, files: OnceLock::new(), opening: Mutex::default() })
        };
        let named = options.contexts.iter().filter_map(named).collect();
        Self { options, main: OnceLock::new(), named }
    }

    /// The build context. Without one it is empty, as in the reference.
    pub(super) fn main(&self, store: &Store) -> Result<&Files, Fault> {
        if let Some(files) = self.main.get() {
            return Ok(files);
        }
        let files = match &self.options.context {
            Some(folder) => Files::open(folder, self.options.ignore_file.as_ref())?,
            None => Files::nothing(store.workspace()?)?,
        };
        Ok(self.main.get_or_init(|| files))
    }

    /// A named context that is a directory, or came from elsewhere; None when there is none of that
    /// name.
    pub(super) fn named(&self, name: &str, fetcher: Fetcher<'_>) -> Option<Result<&Files, Fault>> {
        let named = self.named.iter().find(|named| named.name == name)?;
        let _opening = named.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(files) = named.files.get() {
            return Some(Ok(files));
        }
        let files = match named.place {
            Place::Directory(folder) => Files::open(folder, None),
            Place::Elsewhere(url) => {
                Arrival::fetch(fetcher, url, false).and_then(Files::of_arrival)
            }
        };
        Some(files.map(|files| named.files.get_or_init(|| files)))
    }
}

/// A tree to copy from.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) root: Root,
    pub(super) records: SideTable,
    /// What is not there for COPY and ADD, though it is.
    ignore: Ignore,
    /// A context's files belong to whoever builds: in the image, to root.
    pub(super) keeps_owners: bool,
    /// Why there is nothing.
    is_nothing: bool,
    /// What goes when nobody reads from it any more.
    _held: Option<Held>,
}

#[derive(Debug)]
#[allow(dead_code, reason = "held for their drop")]
enum Held {
    Arrival(Arrival),
    Workspace(Workspace),
}

/// Something that a pattern names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// Free of links.
    pub(super) path: PathBuf,
    /// What it is called where it was asked for; a link's own name.
    pub(super) name: OsString,
    pub(super) meta: Meta,
    /// Of a directory: what of it is not meant, by path from there.
    pub(super) include: Option<Ignore>,
}

impl Files {
    /// What a plain path means, wildcards and all; it must be there.
    pub(super) fn exactly(&self, path: &str) -> Result<Source, Fault> {
        self.at(&clean(Path::new(path)))
    }

    /// Whether nothing in `source` is ignored.
    pub(super) fn is_whole(&self, source: &Source) -> Result<bool, Fault> {
        if self.ignore.is_empty() {
            return Ok(true);
        }
        for found in Walk::new(&self.root, &source.path, &self.records) {
            if self.is_ignored(&found?.path) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A context: a directory with its ignore file, or the one that belongs to the Dockerfile.
    fn open(folder: &Path, own: Option<&IgnoreFile>) -> Result<Self, Fault> {
        let root = match fs::metadata(folder) {
            Ok(metadata) if metadata.is_dir() => Root::open(folder)?,
            Ok(_) => {
                let error = io::Error::from(io::ErrorKind::NotADirectory);
                return Err(Fault::Context(folder.to_owned(), error));
            }
            Err(error) => return Err(Fault::Context(folder.to_owned(), error)),
        };
        let ignore = match own {
            Some(file) => patterns(file)?,
            None => {
                let path = folder.join(".dockerignore");
                match fs::read(&path) {
                    Ok(text) => patterns(&IgnoreFile { path, text })?,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ignore::default(),
                    Err(error) => return Err(Fault::Read(path, error)),
                }
            }
        };
        Ok(Self { ignore, ..Self::of_folder(root) })
    }

    /// An image's files.
    pub(super) fn of_image(root: Root, records: SideTable) -> Self {
        Self { records, keeps_owners: true, ..Self::of_folder(root) }
    }

    /// A directory of ours.
    pub(super) fn of_folder(root: Root) -> Self {
        let (records, ignore) = (SideTable::default(), Ignore::default());
        Self { root, records, ignore, keeps_owners: false, is_nothing: false, _held: None }
    }

    /// What came from elsewhere, with its own ignore file.
    fn of_arrival(arrival: Arrival) -> Result<Self, Fault> {
        let ignore = patterns(&arrival.ignore_file(None)?)?;
        let files = Self::of_folder(Root::open(arrival.directory())?);
        Ok(Self { ignore, _held: Some(Held::Arrival(arrival)), ..files })
    }

    /// The context of a build that has none.
    fn nothing(workspace: Workspace) -> Result<Self, Fault> {
        let files = Self::of_folder(Root::open(workspace.path())?);
        Ok(Self { is_nothing: true, _held: Some(Held::Workspace(workspace)), ..files })
    }

    /// What is left out.
    pub(super) fn ignore(&self) -> &Ignore {
        &self.ignore
    }

    /// Whether `path` is there for COPY and ADD.
    pub(super) fn is_ignored(&self, path: &Path) -> bool {
        !self.ignore.is_empty() && self.ignore.is_ignored(&path.to_string_lossy())
    }

    /// Whether something in the directory `path` is there, though it is itself ignored.
    fn holds_something(&self, path: &Path) -> Result<bool, Fault> {
        if !self.ignore.may_reinclude_below(&path.to_string_lossy()) {
            return Ok(false);
        }
        let mut walk = Walk::new(&self.root, path, &self.records);
        while let Some(found) = walk.next() {
            let path = found?.path;
            if !self.is_ignored(&path) {
                return Ok(true);
            }
            if !self.ignore.may_reinclude_below(&path.to_string_lossy()) {
                walk.leave_out();
            }
        }
        Ok(false)
    }

    /// What a word of COPY or ADD means. A pattern may mean nothing; a plain name must be there.
    pub(super) fn find(&self, word: &str) -> Result<Vec<Source>, Fault> {
        let path = clean(Path::new(word));
        if !Glob::is_pattern(word) {
            return Ok(vec![self.at(&path)?]);
        }
        let glob = Glob::new(&path.to_string_lossy())?;
        // Links are followed in what precedes the first wildcard, and nowhere behind it.
        let is_plain = |name: &OsStr| !Glob::is_pattern(&name.to_string_lossy());
        let folder: PathBuf = path.iter().take_while(|name| is_plain(name)).collect();
        let mut found = Vec::new();
        if self.root.stat(&folder)?.is_some_and(|meta| meta.is_dir()) {
            self.matching(&folder, &glob, folder.iter().count(), &mut found)?;
        }
        Ok(found)
    }

    /// What is at `path`, which is clean.
    pub(super) fn at(&self, path: &Path) -> Result<Source, Fault> {
        self.found(path)?.ok_or_else(|| self.missing(path))
    }

    pub(super) fn missing(&self, path: &Path) -> Fault {
        let ignored = self.is_ignored(path);
        let path = Path::new("/").join(path);
        match self.is_nothing {
            true => Fault::NoContext(path),
            false => Fault::NotFound { path, ignored },
        }
    }

    /// Goes down the directories that the pattern's leading parts match.
    fn matching(
        &self,
        folder: &Path,
        glob: &Glob,
        depth: usize,
        found: &mut Vec<Source>,
    ) -> Result<(), Fault> {
        for (name, meta) in self.root.read_dir(folder)? {
            if !glob.matches_component(depth, &name.to_string_lossy()) {
                continue;
            }
            let path = folder.join(&name);
            if depth + 1 < glob.depth() {
                if meta.is_dir() {
                    self.matching(&path, glob, depth + 1, found)?;
                }
                continue;
            }
            match self.found(&path)? {
                Some(source) => found.push(source),
                None if self.is_ignored(&path) => {}
                // A link that leads nowhere.
                None => return Err(self.missing(&path)),
            }
        }
        Ok(())
    }

    /// What is at `path`, a link there followed inside the tree; None when nothing is, or when it
    /// is ignored.
    fn found(&self, path: &Path) -> Result<Option<Source>, Fault> {
        let resolved = self.root.resolve(path)?;
        let Some(place) = self.root.place(&resolved)? else { return Ok(None) };
        let Some(meta) = place.meta(&self.records)? else { return Ok(None) };
        for path in [path, &resolved] {
            let is_folder = path == resolved && meta.is_dir();
            if self.is_ignored(path) && !(is_folder && self.holds_something(path)?) {
                return Ok(None);
            }
        }
        let name = path.file_name().map(ToOwned::to_owned).unwrap_or_default();
        Ok(Some(Source { path: resolved, name, meta, include: None }))
    }

    /// The digest of all that copying `source` depends on: names, kinds, modes, owners, contents,
    /// links and capabilities; no times. Of a directory it is what is in it, for its own
    /// attributes are not copied.
    pub(super) fn digest(&self, source: &Source, exclude: &Ignore) -> Result<Digest, Fault> {
        let mut key = KeyMaker::new("tree", None);
        let mut dirs = self.root.dirs()?;
        // Where the first name of a file with several is, among those that come along.
        let mut links: HashMap<(u64, u64), PathBuf> = HashMap::new();
        // Directories that count only if something in them does.
        let mut pending: Vec<Found> = Vec::new();
        let mut walk = Walk::new(&self.root, &source.path, &self.records);
        while let Some(found) = walk.next() {
            let found = found?;
            pending.retain(|folder| found.path.starts_with(&folder.path));
            match self.choose(source, exclude, &found.path, &found.meta) {
                Choice::Skip => walk.leave_out(),
                Choice::Search => pending.push(found),
                Choice::Take if found.meta.is_dir() && found.path == source.path => {}
                Choice::Take => {
                    for folder in pending.drain(..) {
                        key = self.described(key, &folder, source);
                    }
                    if found.meta.real_kind == FileType::Socket || found.meta.is_whiteout() {
                        continue; // not copied
                    }
                    key = self.described(key, &found, source);
                    let first = (found.meta.nlink > 1 && !found.meta.is_dir())
                        .then(|| links.entry(found.meta.identity()))
                        .map(|first| first.or_insert_with(|| found.path.clone()).clone());
                    key = match first.filter(|first| *first != found.path) {
                        Some(first) => key.field("hard link", bytes(inside(&first, source))),
                        None => self.content(key, &found, &mut dirs)?,
                    };
                }
            }
        }
        Ok(key.finish().digest().clone())
    }

    /// The digest of a file's content alone.
    pub(super) fn content_digest(&self, source: &Source) -> Result<Digest, Fault> {
        let file = self.root.open_file(&source.path)?;
        file_digest(file).map_err(|error| Fault::Read(source.path.clone(), error))
    }

    /// Adds what there is to say about a file beside its content.
    fn described(&self, key: KeyMaker, found: &Found, source: &Source) -> KeyMaker {
        let Meta { kind, mode, uid, gid, rdev, .. } = found.meta;
        let (uid, gid) = if self.keeps_owners { (uid, gid) } else { (0, 0) };
        key.field("path", bytes(inside(&found.path, source)))
            .field("is", format!("{kind:?} {mode:o} {uid} {gid} {rdev:?}"))
    }

    fn content(&self, key: KeyMaker, found: &Found, dirs: &mut Dirs) -> Result<KeyMaker, Fault> {
        if !matches!(found.meta.real_kind, FileType::File | FileType::Symlink) {
            return Ok(key);
        }
        let gone = || rootfs::Error::Missing { path: self.root.path().join(&found.path) };
        let place = dirs.place(&found.path)?.ok_or_else(gone)?;
        if found.meta.real_kind == FileType::Symlink {
            return Ok(key.field("leads to", bytes(&place.read_link()?)));
        }
        let (_, xattrs) = place.describe(&self.records)?.ok_or_else(gone)?;
        let digest =
            file_digest(place.open()?).map_err(|error| Fault::Read(place.shown(), error))?;
        Ok(key
            .optional("capability", xattrs.get(OsStr::new("security.capability")))
            .field("content", digest.to_string()))
    }

    /// Whether a file comes along when `source` is copied. `exclude` and what the source itself
    /// leaves out count from there; the ignore file's count from the context's root.
    pub(super) fn choose(
        &self,
        source: &Source,
        exclude: &Ignore,
        path: &Path,
        meta: &Meta,
    ) -> Choice {
        let inner = inside(path, source);
        if inner.as_os_str().is_empty() {
            // It was asked for by name, and found.
            return Choice::Take;
        }
        let mut choice = Choice::Take;
        let include = source.include.iter().map(|include| (include, inner));
        for (ignore, path) in [(&self.ignore, path), (exclude, inner)].into_iter().chain(include) {
            let text = path.to_string_lossy();
            if ignore.is_empty() || !ignore.is_ignored(&text) {
                continue;
            }
            if !meta.is_dir() || !ignore.may_reinclude_below(&text) {
                return Choice::Skip;
            }
            choice = Choice::Search;
        }
        choice
    }
}

fn patterns(file: &IgnoreFile) -> Result<Ignore, Fault> {
    Ignore::parse(&String::from_utf8_lossy(&file.text))
        .map_err(|source| Fault::Ignore { path: file.path.clone(), source })
}

fn file_digest(mut file: File) -> io::Result<Digest> {
    let mut hasher = Hasher::sha256();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// `path` from the source's own path; empty for the source itself.
fn inside<'p>(path: &'p Path, source: &Source) -> &'p Path {
    path.strip_prefix(&source.path).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    type Change = fn(&Path);

    fn tree(files: &[(&str, &str)], links: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a directory");
        for (path, content) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("inside")).expect("a directory");
            fs::write(path, content).expect("a file");
        }
        for (path, target) in links {
            symlink(target, folder.path().join(path)).expect("a link");
        }
        folder
    }

    fn open(folder: &tempfile::TempDir) -> Files {
        Files::open(folder.path(), None).expect("a context")
    }

    fn digest(files: &Files, word: &str) -> Digest {
        let source = files.find(word).expect(word).remove(0);
        files.digest(&source, &Ignore::default()).expect(word)
    }

    #[test]
    fn words_mean_files() {
        let folder = tree(
            &[("a.txt", ""), ("b.txt", ""), (".hidden", ""), ("d/x/f", ""), ("d/y/f", "")],
            &[("link", "d/x"), ("abs", "/a.txt"), ("out", "../../../a.txt"), ("z", "nowhere")],
        );
        let files = open(&folder);
        for (word, expected) in [
            ("a.txt", "a.txt"),
            ("../../a.txt", "a.txt"),
            ("/d/../a.txt", "a.txt"),
            (".", ""),
            ("", ""),
            ("*.txt", "a.txt b.txt"),
            ("?.txt", "a.txt b.txt"),
            ("[b-z].txt", "b.txt"),
            (".h*", ".hidden"),
            ("d/*/f", "d/x/f d/y/f"),
            ("link", "d/x"),
            ("link/f", "d/x/f"),
            ("link/*", "d/x/f"),
            ("l*k/f", ""),
            ("ab*", "a.txt"),
            ("out", "a.txt"),
            ("none*", ""),
            ("**/f", ""),
            ("z", "! \"/z\": not found"),
            ("z*", "! \"/z\": not found"),
            ("a.txt/x", "! \"/a.txt/x\": not found"),
        ] {
            let found = match files.find(word) {
                Ok(found) => {
                    found.iter().map(|source| source.path.display().to_string()).collect::<Vec<_>>()
                }
                Err(fault) => vec![format!("! {fault}")],
            };
            assert_eq!(found.join(" "), expected, "{word}");
        }
    }

    #[test]
    fn what_is_ignored_is_not_there() {
        let folder = tree(
            &[
                (".dockerignore", "skip\nsome/*\n!some/kept\n*.log\n**/deep\n!**/deep/kept\n"),
                ("skip/f", ""),
                ("some/kept/f", ""),
                ("some/gone/f", ""),
                ("a.log", ""),
                ("x/deep/f", ""),
                ("y/deep/kept", ""),
            ],
            &[("link", "a.log")],
        );
        let files = open(&folder);
        for (word, there) in [
            ("skip", false),
            ("skip/f", false),
            ("some", true),
            ("some/kept", true),
            ("some/gone", false),
            ("a.log", false),
            ("link", false),
            ("x/deep", false),
            ("y/deep", true),
            ("y/deep/kept", true),
        ] {
            match files.find(word) {
                Ok(_) => assert!(there, "{word} was found"),
                Err(Fault::NotFound { .. }) => assert!(!there, "{word} was not found"),
                Err(other) => panic!("{word}: {other}"),
            }
        }
        assert!(files.find("*.log").expect("a pattern").is_empty());
    }

    #[test]
    fn a_digest_is_of_what_is_copied() {
        let make = || tree(&[("d/a", "1"), ("d/s/b", "2"), (".dockerignore", "d/ignored")], &[]);
        let path = |folder: &tempfile::TempDir, name: &str| folder.path().join(name);
        let first = make();
        let expected = digest(&open(&first), "d");
        let same: [(&str, Change); 3] = [
            ("an ignored file", |root| fs::write(root.join("d/ignored"), "x").expect("a file")),
            ("the directory's own mode", |root| {
                fs::set_permissions(root.join("d"), fs::Permissions::from_mode(0o700))
                    .expect("chmod");
            }),
            ("a time", |root| fs::write(root.join("d/a"), "1").expect("a file")),
        ];
        for (what, change) in same {
            let folder = make();
            change(folder.path());
            assert_eq!(digest(&open(&folder), "d"), expected, "{what} counts");
        }
        let other: [(&str, Change); 5] = [
            ("content", |root| fs::write(root.join("d/a"), "2").expect("a file")),
            ("a name", |root| fs::rename(root.join("d/a"), root.join("d/c")).expect("rename")),
            ("a mode", |root| {
                fs::set_permissions(root.join("d/a"), fs::Permissions::from_mode(0o600))
                    .expect("chmod");
            }),
            ("an empty directory", |root| fs::create_dir(root.join("d/e")).expect("mkdir")),
            ("a link", |root| {
                fs::remove_file(root.join("d/a")).expect("remove");
                symlink("s/b", root.join("d/a")).expect("a link");
            }),
        ];
        for (what, change) in other {
            let folder = make();
            change(folder.path());
            assert_ne!(digest(&open(&folder), "d"), expected, "{what} does not count");
        }
        // A hard link to an ignored file is that file's content.
        let folder = make();
        let link = |content: &str| {
            drop(fs::remove_file(path(&folder, "d/z")));
            fs::write(path(&folder, "d/ignored"), content).expect("a file");
            fs::hard_link(path(&folder, "d/ignored"), path(&folder, "d/z")).expect("a link");
            digest(&open(&folder), "d")
        };
        assert_ne!(link("1"), link("2"));
    }
}
