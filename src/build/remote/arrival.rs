//! [`Arrival`]: a build context that is no directory of this machine: what a stream, a URL or a
//! repository has.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{Elsewhere, Error, Fetched, Fetcher, Flags, git, web, without_password};
use crate::build::error::Fault;
use crate::build::{IgnoreFile, attest};
use crate::dockerfile::GitRef;
use crate::layer::{self, archive, compress};
use crate::report::{self, Outcome};
use crate::rootfs::{FileType, Root, SideTable};
use crate::store::Workspace;

/// So much of a stream is looked at to see whether it is an archive: more than the extended headers
/// of a first entry usually are.
const BEGINNING: u64 = 64 << 10;

/// How long a Dockerfile, or a file of patterns, may be.
const LONGEST: u64 = 16 << 20;

/// Where the files of an archive are, in the workspace.
const FILES: &str = "files";

/// Files that came from elsewhere. They are nobody's who can be trusted: whatever is read of them
/// is looked for inside. They go when this is dropped.
#[derive(Debug)]
pub struct Arrival {
    root: Root,
    name: String,
    text: Option<Vec<u8>>,
    /// None: it came from stdin.
    origin: Option<attest::Elsewhere>,
    _workspace: Workspace,
}

impl Arrival {
    /// Whether `word` names a build context on another machine.
    pub fn is_elsewhere(word: &str) -> bool {
        GitRef::parse(word).is_some() || Elsewhere::of(word).is_some()
    }

    /// Fetches what `word` names on another machine: a repository, or a file, which may be an
    /// archive.
    ///
    /// # Errors
    ///
    /// When it cannot be had, or makes no sense.
    pub fn fetch(fetcher: Fetcher<'_>, word: &str, keep_git_dir: bool) -> Result<Self, Fault> {
        if GitRef::parse(word).is_some() {
            let flags = Flags { keep_git_dir: keep_git_dir.then_some(true), checksum: None };
            let repository = git::Repository::new(word, &flags)?;
            let fetched = repository.fetch(fetcher)?;
            let digest = repository.commit().unwrap_or_default().to_owned();
            let origin = Some(attest::Elsewhere { url: repository.address(), digest });
            let Fetched { files, source, workspace } = fetched;
            let root = Root::open(&files.root.path().join(&source.path))?;
            return Ok(Self {
                root,
                name: without_password(word),
                text: None,
                origin,
                _workspace: workspace,
            });
        }
        let address = web::Address::new(word, None)?;
        let fetched = address.fetch(fetcher)?;
        let file = fetched.files.root.open_file(&fetched.source.path)?;
        let digest = fetched.files.content_digest(&fetched.source)?.to_string();
        let origin = Some(attest::Elsewhere { url: address.address(), digest });
        Ok(Self { origin, ..Self::open(fetcher, file, &address.shown())? })
    }

    /// What a stream holds: an archive, compressed or not, or a single text. `name` is for people.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or unpacked.
    pub fn read(fetcher: Fetcher<'_>, input: impl Read + Send, name: &str) -> Result<Self, Fault> {
        Self::open(fetcher, input, name)
    }

    fn open(fetcher: Fetcher<'_>, input: impl Read + Send, name: &str) -> Result<Self, Fault> {
        let failed = |source| Fault::Archive { path: name.into(), source };
        let unreadable = |source| failed(layer::Error::Read(source));
        let workspace = fetcher.store.workspace()?;
        let folder = workspace.path().join(FILES);
        fs::create_dir(&folder).map_err(|source| Error::Write { path: folder.clone(), source })?;
        let root = Root::open(&folder)?;
        let mut plain = compress::decompress(input).map_err(unreadable)?;
        let mut beginning = Vec::new();
        plain.by_ref().take(BEGINNING).read_to_end(&mut beginning).map_err(unreadable)?;
        let text = if is_archive(&beginning) {
            let running = report::start(fetcher.reporter, format!("unpacking {name}"), None);
            let whole = io::Cursor::new(beginning).chain(plain);
            // What it says of owners does not count: a context's files are root's.
            let records = &mut SideTable::default();
            match layer::extract(whole, &root, Path::new(""), Some((0, 0)), records) {
                Ok(_) => running.finish(Outcome::Done),
                Err(layer::Error::Files(error)) => return Err(Fault::in_image(error, &root)),
                Err(error) => return Err(failed(error)),
            }
            None
        } else {
            plain.take(LONGEST).read_to_end(&mut beginning).map_err(unreadable)?;
            Some(beginning)
        };
        Ok(Self { root, name: name.to_owned(), text, origin: None, _workspace: workspace })
    }

    /// Where it came from, without what may be secret.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it came from, as far as others can have it from there.
    pub fn origin(&self) -> Option<attest::Elsewhere> {
        self.origin.clone()
    }

    /// What came, if it was no archive. There are no files then.
    pub fn text(&self) -> Option<&[u8]> {
        self.text.as_deref()
    }

    /// The directory of its files.
    pub fn directory(&self) -> &Path {
        self.root.path()
    }

    /// The content of a file of it; None when there is none of that name.
    ///
    /// # Errors
    ///
    /// When it is too long for a Dockerfile, or no file.
    pub fn file(&self, path: &Path) -> Result<Option<Vec<u8>>, Fault> {
        match self.root.stat(path)? {
            None => Ok(None),
            Some(meta) if meta.kind == FileType::File => Ok(self.root.read_file(path, LONGEST)?),
            Some(_) => Err(Fault::NoFile(Path::new("/").join(path))),
        }
    }

    /// The patterns of the ignore file that belongs to a Dockerfile of it, or else of its own one.
    /// There are always some, if only none, so that nobody looks for others.
    ///
    /// # Errors
    ///
    /// As [`Self::file`].
    pub fn ignore_file(&self, dockerfile: Option<&Path>) -> Result<IgnoreFile, Fault> {
        let own = dockerfile.map(|path| {
            let mut path = path.as_os_str().to_owned();
            path.push(".dockerignore");
            PathBuf::from(path)
        });
        let general = PathBuf::from(".dockerignore");
        for path in own.into_iter().chain([general.clone()]) {
            if let Some(text) = self.file(&path)? {
                return Ok(IgnoreFile { path, text });
            }
        }
        Ok(IgnoreFile { path: general, text: Vec::new() })
    }
}

/// The content of a file on another machine, and what to call it.
///
/// # Errors
///
/// When it cannot be had, or is an archive.
pub fn fetch_text(fetcher: Fetcher<'_>, word: &str) -> Result<(String, Vec<u8>), Fault> {
    let address = web::Address::new(word, None)?;
    let fetched = address.fetch(fetcher)?;
    let mut text = Vec::new();
    let failed = |source| Fault::Read(fetched.source.path.clone(), source);
    let file: File = fetched.files.root.open_file(&fetched.source.path)?;
    file.take(LONGEST).read_to_end(&mut text).map_err(failed)?;
    Ok((address.shown(), text))
}

/// Whether a tar begins so.
fn is_archive(beginning: &[u8]) -> bool {
    let first = archive::Reader::new(beginning).next_entry();
    // A header may be longer than what we looked at, but a text has none.
    matches!(first, Ok(Some(_)) | Err(layer::Error::Truncated { offset: 512.. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::archive::{Entry, EntryKind, Writer};

    fn tar(entries: &[Entry]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        for entry in entries {
            writer.append(entry, io::empty()).expect("written");
        }
        writer.finish().expect("written")
    }

    #[test]
    fn archives_are_known_by_their_beginning() {
        let long = "x".repeat(2000);
        for (what, bytes, expected) in [
            ("an archive", tar(&[Entry::new("a", EntryKind::File)]), true),
            ("one with extended headers", tar(&[Entry::new(&long, EntryKind::File)]), true),
            ("none", tar(&[]), false),
            ("nothing", Vec::new(), false),
            ("a text", b"FROM scratch\n".to_vec(), false),
            ("a long text", format!("FROM scratch\n#{long}\n").into_bytes(), false),
            ("zeros", vec![0; 4096], false),
        ] {
            assert_eq!(is_archive(&bytes), expected, "{what}");
        }
        let whole = tar(&[Entry::new(&long, EntryKind::File)]);
        assert!(is_archive(&whole[..1024]));
    }

    #[test]
    fn words_that_name_contexts_elsewhere() {
        for (word, expected) in [
            ("https://h/x.git#main:dir", true),
            ("https://h/x.tar.gz", true),
            ("http://h", true),
            ("git@h:x", true),
            ("ssh://git@h/x", true),
            ("git://h/x", true),
            ("github.com/a/b", true),
            (".", false),
            ("/a/b", false),
            ("dir", false),
            ("a:b", false),
            ("ftp://h/x", false),
        ] {
            assert_eq!(Arrival::is_elsewhere(word), expected, "{word}");
        }
    }
}
