//! `bryo save`.

use std::io;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::cli::changes::Changes;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::store::Name;
use crate::transfer::sink::{self, Output};
use crate::transfer::{About, Options, Sink, source, transfer};

/// Write images to an archive
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo save -o app.tar app:1
  bryo save app:1 | docker load
  bryo save --format oci-dir -o layout app:1 app:2")]
pub(crate) struct Save {
    /// Write here [default: stdout]
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "docker")]
    format: Format,
    /// Names, or the beginnings of IDs
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    #[command(flatten)]
    changes: Changes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// As `docker save` writes it
    Docker,
    /// An OCI image layout in a tar
    Oci,
    /// An OCI image layout in a directory
    OciDir,
}

impl Save {
    pub(crate) fn needs_namespace(&self) -> bool {
        self.changes.needs_namespace()
    }

    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        if self.changes.speaks() && self.output.as_deref().is_none_or(|path| path == Path::new("-"))
        {
            let text = "stdout cannot have both the images and what find= finds".to_owned();
            let hint = Some("name a file with --output".to_owned());
            return Err(Error::Usage { text, hint });
        }
        if self.format != Format::OciDir {
            invocation.archive(self.output.as_deref())?;
        }
        let store = invocation.store()?;
        let entries: Result<Vec<_>, _> =
            self.images.iter().map(|image| store.find(image)).collect();
        let output = || match &self.output {
            Some(path) if path.as_os_str() != "-" => Output::File(path.clone()),
            _ => Output::Stream("stdout", Box::new(io::stdout())),
        };
        let entries = entries?;
        let sink: Box<dyn Sink> = match (self.format, &self.output) {
            (Format::Docker, _) => Box::new(sink::Docker::archive(output(), &store)?),
            (Format::Oci, _) => Box::new(sink::Oci::archive(output(), None)?),
            (Format::OciDir, Some(path)) => Box::new(sink::Oci::directory(path, None)?),
            (Format::OciDir, None) => {
                let hint = Some("name a directory with --output".to_owned());
                let text = "a directory cannot be written to stdout".to_owned();
                return Err(Error::Usage { text, hint });
            }
        };
        for entry in entries {
            let names = match entry.name {
                Name::Tagged(name) => vec![name],
                Name::Anonymous(_) => Vec::new(),
            };
            let source = source::Store::named(&store, entry.descriptor, names.clone());
            let source = self.changes.apply(Box::new(source), invocation, &store)?;
            let jobs = invocation.jobs().layers;
            let about = About::Moved;
            let options = Options { names, jobs, about, ..Options::default() };
            transfer(&*source, &*sink, &options, &*invocation.reporter)?;
        }
        Ok(sink.finish()?)
    }
}
