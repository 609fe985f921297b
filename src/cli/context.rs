//! What a build begins with: the build context that CONTEXT names, and the Dockerfile.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::error::Error;
use super::invocation::Invocation;
use crate::build::{self, Arrival, Fetcher, IgnoreFile, Origin, fetch_text};
use crate::dockerfile;

/// The name that stands for stdin.
const STDIN: &str = "-";

/// What a Dockerfile is called, if nobody says so; the first that is there.
const USUAL: [&str; 2] = ["Dockerfile", "Containerfile"];

/// A Dockerfile as it was read.
#[derive(Clone)]
pub(crate) struct Dockerfile {
    /// For people.
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Dockerfile {
    /// Without the directories, or the host, that it is in.
    fn base_name(&self) -> String {
        let name = Path::new(&self.name).file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    pub(crate) fn failed(self, error: build::Error) -> Error {
        Error::Build { error: Box::new(error), name: self.name, text: self.text }
    }

    /// That of a file, or of stdin for `-`.
    pub(crate) fn of_file(path: &Path) -> Result<Self, Error> {
        let bytes = match path == Path::new("-") {
            true => {
                let mut bytes = Vec::new();
                io::stdin().read_to_end(&mut bytes).map_err(Error::Stdin)?;
                bytes
            }
            false => fs::read(path).map_err(Error::reading(path))?,
        };
        Self::new(path.display().to_string(), bytes)
    }

    /// Of what is not UTF-8, comments may be: they mean nothing to anybody but people.
    fn new(name: String, bytes: Vec<u8>) -> Result<Self, Error> {
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let bytes = error.into_bytes();
                let text = String::from_utf8_lossy(&bytes).into_owned();
                if let Some(line) = foreign_line(&bytes, &text) {
                    let hint = match bytes.starts_with(&[0xff, 0xfe])
                        || bytes.starts_with(&[0xfe, 0xff])
                    {
                        true => "it looks like UTF-16: save it as UTF-8".to_owned(),
                        false => format!("convert it: iconv -f ISO-8859-1 -t UTF-8 {name}"),
                    };
                    let text = format!("{name} is no Dockerfile: line {line} is not UTF-8");
                    return Err(Error::Usage { text, hint: Some(hint) });
                }
                text
            }
        };
        Ok(Self { name, text })
    }
}

/// The number of the first line that is not UTF-8 and no comment. `text` is the same with all that is
/// not UTF-8 replaced.
fn foreign_line(bytes: &[u8], text: &str) -> Option<usize> {
    let (syntax, _) = dockerfile::read(text);
    let is_content = |number: usize| {
        let mut nodes = syntax.nodes.iter().filter(|node| !node.heredocs.is_empty());
        nodes.any(|node| (node.span.line..=node.span.end_line).contains(&number))
    };
    let lines = (1..).zip(bytes.split(|byte| *byte == b'\n'));
    let mut foreign = lines.filter(|(_, line)| std::str::from_utf8(line).is_err());
    let (number, _) = foreign
        .find(|(number, line)| !line.trim_ascii_start().starts_with(b"#") || is_content(*number))?;
    Some(number)
}

/// Context and Dockerfile.
pub(crate) struct Given {
    pub(crate) dockerfile: Dockerfile,
    /// Replaces the context's own.
    pub(crate) ignore_file: Option<IgnoreFile>,
    context: Context,
}

/// Where the files are that COPY and ADD read.
enum Context {
    None,
    Directory(PathBuf),
    Arrival(Arrival),
}

impl Given {
    /// What is told of where both came from.
    pub(crate) fn origin(&self) -> Origin {
        let context = match &self.context {
            Context::Arrival(arrival) => arrival.origin(),
            Context::None | Context::Directory(_) => None,
        };
        Origin { dockerfile: self.dockerfile.base_name(), context }
    }

    /// The context's directory, as long as this lives.
    pub(crate) fn directory(&self) -> Option<&Path> {
        match &self.context {
            Context::None => None,
            Context::Directory(path) => Some(path),
            Context::Arrival(arrival) => Some(arrival.directory()),
        }
    }

    /// Whether it is a directory of the caller's.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self.context, Context::Directory(_))
    }
}

/// CONTEXT and `--file`, as they were given.
pub(crate) struct Wish<'a> {
    pub(crate) context: &'a Path,
    pub(crate) file: Option<&'a Path>,
    /// `.git` stays in a context that is a repository.
    pub(crate) keeps_git: bool,
}

impl Wish<'_> {
    /// Reads, fetches and unpacks what is needed. `fetcher` is asked for where something is not just
    /// a file.
    pub(crate) fn read<'f>(
        &self,
        fetcher: impl Fn() -> Result<Fetcher<'f>, Error>,
        invocation: &Invocation,
    ) -> Result<Given, Error> {
        let word = self.context.to_string_lossy();
        if self.is_stdin() {
            if self.file == Some(Path::new(STDIN)) {
                let text = "stdin cannot be both the Dockerfile and the context".to_owned();
                return Err(Error::Usage { text, hint: None });
            }
            let stdin = io::stdin();
            return self.arrived(Arrival::read(fetcher()?, stdin, "stdin")?, &fetcher, invocation);
        }
        if self.context.is_dir() {
            return self.directory(&fetcher, invocation);
        }
        if !self.context.exists() && Arrival::is_elsewhere(&word) {
            let arrival = Arrival::fetch(fetcher()?, &word, self.keeps_git)?;
            return self.arrived(arrival, &fetcher, invocation);
        }
        Err(self.missing())
    }

    fn is_stdin(&self) -> bool {
        self.context == Path::new(STDIN)
    }

    fn missing(&self) -> Error {
        let path = self.context.display();
        let (what, hint) = match self.context.exists() {
            true => (
                "is not a directory",
                Some(format!("an archive is read from stdin: bryo build - < {path}")),
            ),
            false => ("not found", None),
        };
        let text = format!("unable to prepare context: path {:?} {what}", self.context);
        Error::NoContext { text, hint }
    }

    fn directory<'f>(
        &self,
        fetcher: &impl Fn() -> Result<Fetcher<'f>, Error>,
        invocation: &Invocation,
    ) -> Result<Given, Error> {
        let context = Context::Directory(self.context.to_owned());
        if let Some(dockerfile) = self.outside(fetcher)? {
            return Ok(Given { dockerfile, ignore_file: None, context });
        }
        let path = match self.file {
            Some(file) => file.to_owned(),
            None => {
                let paths = USUAL.map(|name| self.context.join(name));
                let found = paths.iter().find(|path| path.is_file());
                announce(found.map(PathBuf::as_path), &paths[0], invocation);
                found.unwrap_or(&paths[0]).clone()
            }
        };
        let bytes = fs::read(&path).map_err(|error| self.unreadable(&path, error))?;
        let dockerfile = Dockerfile::new(path.display().to_string(), bytes)?;
        Ok(Given { dockerfile, ignore_file: beside(&path)?, context })
    }

    /// A Dockerfile that is neither in the context nor in a file.
    fn outside<'f>(
        &self,
        fetcher: &impl Fn() -> Result<Fetcher<'f>, Error>,
    ) -> Result<Option<Dockerfile>, Error> {
        let Some(file) = self.file else { return Ok(None) };
        if file == Path::new(STDIN) {
            let mut bytes = Vec::new();
            io::stdin().read_to_end(&mut bytes).map_err(Error::Stdin)?;
            return Dockerfile::new("Dockerfile".to_owned(), bytes).map(Some);
        }
        let word = file.to_string_lossy();
        if !word.starts_with("http://") && !word.starts_with("https://") {
            return Ok(None);
        }
        let (name, bytes) = fetch_text(fetcher()?, &word)?;
        Dockerfile::new(name, bytes).map(Some)
    }

    /// With what came from elsewhere, and may be a Dockerfile itself.
    fn arrived<'f>(
        &self,
        arrival: Arrival,
        fetcher: &impl Fn() -> Result<Fetcher<'f>, Error>,
        invocation: &Invocation,
    ) -> Result<Given, Error> {
        if let Some(text) = arrival.text() {
            if self.file.is_some() && self.is_stdin() {
                let text = "ambiguous Dockerfile source: both stdin and --file are one".to_owned();
                let hint = "leave out --file, or name a directory in place of -".to_owned();
                return Err(Error::Usage { text, hint: Some(hint) });
            }
            let name = match self.is_stdin() {
                true => "Dockerfile".to_owned(),
                false => arrival.name().to_owned(),
            };
            let dockerfile = Dockerfile::new(name, text.to_owned())?;
            return Ok(Given { dockerfile, ignore_file: None, context: Context::None });
        }
        if let Some(dockerfile) = self.outside(fetcher)? {
            let ignore_file = Some(arrival.ignore_file(None)?);
            return Ok(Given { dockerfile, ignore_file, context: Context::Arrival(arrival) });
        }
        // As in the reference: of another machine's context, an absolute path is one of ours.
        if let Some(path) = self.file.filter(|path| path.is_absolute() && !self.is_stdin()) {
            let bytes = fs::read(path).map_err(Error::reading(path))?;
            let dockerfile = Dockerfile::new(path.display().to_string(), bytes)?;
            let ignore_file = match beside(path)? {
                Some(own) => own,
                None => arrival.ignore_file(None)?,
            };
            let context = Context::Arrival(arrival);
            return Ok(Given { dockerfile, ignore_file: Some(ignore_file), context });
        }
        let names: Vec<&Path> = match self.file {
            Some(file) => vec![file],
            None => USUAL.map(Path::new).to_vec(),
        };
        for name in &names {
            let Some(bytes) = arrival.file(name)? else { continue };
            announce(Some(name), names[0], invocation);
            let dockerfile = Dockerfile::new(name.display().to_string(), bytes)?;
            let ignore_file = Some(arrival.ignore_file(Some(name))?);
            return Ok(Given { dockerfile, ignore_file, context: Context::Arrival(arrival) });
        }
        let (file, name) = (names[0].display(), arrival.name());
        let text = format!("failed to read dockerfile: there is no {file} in {name}");
        let hint = self.file.is_none().then(|| "name it with --file".to_owned());
        Err(Error::NoContext { text, hint })
    }

    fn unreadable(&self, path: &Path, error: io::Error) -> Error {
        let hint = match self.file {
            Some(file) if file.is_relative() && self.context.join(file).exists() => {
                let there = self.context.join(file);
                Some(format!("--file counts from here; did you mean {}?", there.display()))
            }
            Some(_) => None,
            None => Some("name it with --file".to_owned()),
        };
        match error.kind() {
            io::ErrorKind::NotFound => {
                let text =
                    format!("failed to read dockerfile: {}: there is no such file", path.display());
                Error::NoContext { text, hint }
            }
            _ => Error::reading(path)(error),
        }
    }
}

/// Says so when a Dockerfile is called differently than most.
fn announce(found: Option<&Path>, usual: &Path, invocation: &Invocation) {
    if let Some(found) = found.filter(|found| *found != usual) {
        let note = format!("there is no Dockerfile: building from {}", found.display());
        invocation.reporter.note(note);
    }
}

/// The ignore file that belongs to a Dockerfile.
fn beside(dockerfile: &Path) -> Result<Option<IgnoreFile>, Error> {
    let mut path = dockerfile.as_os_str().to_owned();
    path.push(".dockerignore");
    let path = PathBuf::from(path);
    match fs::read(&path) {
        Ok(text) => Ok(Some(IgnoreFile { path, text })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::reading(&path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_comments_may_be_something_else_than_utf8() {
        for (bytes, expected) in [
            (&b"# caf\xe9\nFROM a\nRUN a \\\n # \xe9\n b\n"[..], Ok("# caf\u{fffd}")),
            (b"\xff\xfeF\0R\0", Err("line 1 is not UTF-8")),
            (b"FROM a\nRUN caf\xe9\n", Err("line 2 is not UTF-8")),
            // What looks like a comment there is content.
            (b"FROM a\nCOPY <<E /\n# \xe9\nE\n", Err("line 3 is not UTF-8")),
        ] {
            let got = Dockerfile::new("D".to_owned(), bytes.to_vec());
            match (got, expected) {
                (Ok(got), Ok(start)) => assert!(got.text.starts_with(start), "{}", got.text),
                (Err(error), Err(part)) => assert!(error.message().contains(part), "{error:?}"),
                (got, _) => panic!("{:?} instead of {expected:?}", got.map(|got| got.text)),
            }
        }
    }
}
