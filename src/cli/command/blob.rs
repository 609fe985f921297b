//! `bryo blob`.

use std::fs;
use std::io::{self, Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::cli::anywhere::Anywhere;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::ui;
use crate::image::{Descriptor, Verified};
use crate::inspect::{self, pick};
use crate::layer::compress::decompress;
use crate::transfer::Source;

/// Print a layer of an image, as it is or decompressed
///
/// The image may be anywhere, as for `bryo inspect`. What is printed was not verified yet; when it
/// turns out to be wrong, bryo exits with 5. A file is there only when it is right.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo blob app 1 --decompress | tar -t
  bryo blob registry.example/team/app:1 sha256:0a1b -o layer.tar.gz
  bryo blob app config")]
pub(crate) struct Blob {
    /// A name, the beginning of an ID, or a place
    image: String,
    /// The layer's number (1 is the lowest), the beginning of its digest, or `config`
    #[arg(value_name = "N|DIGEST")]
    blob: String,
    /// What it was before it was compressed
    #[arg(long)]
    decompress: bool,
    /// Write here [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    anywhere: Anywhere,
}

impl Blob {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let places = self.anywhere.places(invocation)?;
        let found = places.find(&self.image)?;
        let resolved = found.resolve(&places.options(), invocation)?;
        let manifest = &resolved.manifest;
        let blob = pick(&found.source.name(), &manifest.config, &manifest.layers, &self.blob)?;
        let failed = |error| found.failed_to_inspect(error);
        match self.output.as_deref().filter(|path| path.as_os_str() != "-") {
            None => self.copy(&*found.source, blob, &mut ui::data).map_err(failed),
            Some(path) => {
                let folder = match path.parent() {
                    Some(parent) if !parent.as_os_str().is_empty() => parent,
                    _ => Path::new("."),
                };
                let mut file =
                    tempfile::NamedTempFile::new_in(folder).map_err(Error::writing(path))?;
                self.copy(&*found.source, blob, &mut |bytes| file.write_all(bytes))
                    .map_err(failed)?;
                let permissions = fs::Permissions::from_mode(0o644);
                file.as_file().set_permissions(permissions).map_err(Error::writing(path))?;
                file.persist(path).map_err(|error| Error::writing(path)(error.error))?;
                Ok(())
            }
        }
    }

    fn copy(
        &self,
        source: &dyn Source,
        blob: &Descriptor,
        output: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), inspect::Error> {
        let unreadable = |error: io::Error| inspect::unreadable(source, blob, error);
        let mut verified = Verified::new(source.open(blob)?, blob.digest.clone(), Some(blob.size));
        {
            let mut input: Box<dyn Read + Send + '_> = match self.decompress {
                true => decompress(&mut verified).map_err(unreadable)?,
                false => Box::new(&mut verified),
            };
            let mut buffer = vec![0; 128 << 10];
            loop {
                match input.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => output(&buffer[..count]).map_err(inspect::Error::Write)?,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(unreadable(error)),
                }
            }
        }
        // What lies behind the end of the compressed data is part of the blob.
        io::copy(&mut verified, &mut io::sink()).map_err(unreadable)?;
        Ok(())
    }
}
