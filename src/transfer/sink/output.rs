//! [`Output`]: a file that is not seen before it is whole, or a stream.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use crate::transfer::Error;

/// Where an archive is written.
pub enum Output {
    /// Replaced when the archive is complete.
    File(PathBuf),
    /// A name for messages, and stdout most often.
    Stream(&'static str, Box<dyn Write + Send>),
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Output").field(&self.name()).finish()
    }
}

impl Output {
    pub(super) fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Stream(name, _) => (*name).to_owned(),
        }
    }

    pub(super) fn open(self) -> Result<Opened, Error> {
        let name = self.name();
        let (inner, place): (Box<dyn Write + Send>, _) = match self {
            Self::Stream(_, inner) => (inner, None),
            // A pipe or a device must not be replaced by a file.
            Self::File(path) if fs::metadata(&path).is_ok_and(|found| !found.is_file()) => {
                let file = File::options().write(true).open(&path);
                (Box::new(file.map_err(Error::writing(&name))?), None)
            }
            Self::File(path) => {
                let (file, temporary) = beside(&path).map_err(Error::writing(&name))?;
                (Box::new(file), Some((temporary, path)))
            }
        };
        Ok(Opened { inner: BufWriter::with_capacity(128 << 10, inner), place, name })
    }
}

/// A file that will replace `path`, with the mode that a new file gets.
fn beside(path: &Path) -> io::Result<(File, TempPath)> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    tempfile::Builder::new()
        .prefix(".bryo-")
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map(tempfile::NamedTempFile::into_parts)
}

pub(super) struct Opened {
    inner: BufWriter<Box<dyn Write + Send>>,
    place: Option<(TempPath, PathBuf)>,
    name: String,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Opened").field(&self.name).finish()
    }
}

impl Opened {
    /// Makes it be seen.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        self.inner.flush().map_err(Error::writing(&self.name))?;
        let Some((temporary, path)) = self.place else { return Ok(()) };
        temporary.persist(path).map_err(|error| Error::writing(self.name)(error.error))
    }
}

impl Write for Opened {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Writes a small file so that others see the old or the new content, never a part. What is no plain
/// file, a pipe say, is written to.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), Error> {
    let mut opened = Output::File(path.to_owned()).open()?;
    opened.write_all(content).map_err(Error::writing(path.display().to_string()))?;
    opened.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_seen_when_it_is_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("out");
        let mut opened = Output::File(path.clone()).open().expect("opened");
        opened.write_all(b"part").expect("written");
        assert!(!path.exists());
        drop(opened);
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 0);
        replace(&path, b"whole").expect("written");
        assert_eq!(fs::read(&path).expect("read"), b"whole");
        replace(Path::new("/dev/null"), b"gone").expect("written");
        assert!(!fs::metadata("/dev/null").expect("there").is_file());
    }
}
