//! `bryo import`.

use std::io;
use std::path::Path;

use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::image::Reference;
use crate::store::{Name, RefEntry};
use crate::transfer::source::{host, tree};

/// Make an image of plain files
///
/// SOURCE is a directory, a tar (compressed or not; the files of a root directory, or one directory
/// that has them), `-` for a tar on stdin, or host:PROGRAM,… for programs of this machine with the
/// shared libraries that they need. Prints the digest of the image.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo import debian.tar debian:12
  bryo import host:bash,ls,cat,id base")]
pub(crate) struct Import {
    /// A directory, a tar, `-`, or host:PROGRAM,…
    #[arg(value_name = "SOURCE")]
    source: String,
    /// The image's name
    name: Reference,
}

impl Import {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let store = invocation.store()?;
        let reporter = &*invocation.reporter;
        let manifest = match (self.source.as_str(), self.source.strip_prefix("host:")) {
            (_, Some(programs)) => {
                let programs: Vec<String> = programs.split(',').map(str::to_owned).collect();
                host::image(&store, &programs, &invocation.config.path, reporter)
            }
            ("-", None) => tree::from_stream(&store, io::stdin(), "stdin", reporter),
            (path, None) => tree::image(&store, Path::new(path), reporter),
        };
        let manifest = manifest.map_err(Error::inside(Path::new(&self.source)))?;
        let (name, descriptor) = (Name::Tagged(self.name.clone()), manifest.descriptor);
        invocation.print(&format!("{}\n", descriptor.digest))?;
        store.set_ref(&RefEntry { name, descriptor, index: None })?;
        Ok(())
    }
}
