//! `bryo load`.

use std::io;
use std::path::{Path, PathBuf};

use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::image::{Platform, Reference};
use crate::transfer::{Options, sink, source, transfer};

/// Read images from an archive
///
/// From what docker, podman, skopeo or `bryo save` wrote: a docker archive, an OCI image layout in
/// a tar or in a directory; compressed by gzip or zstd or not at all. Prints the names of the
/// images, or their digests where they have no name.
#[derive(Debug, clap::Args)]
pub(crate) struct Load {
    /// The archive or directory [default: stdin]
    #[arg(short, long, value_name = "PATH")]
    input: Option<PathBuf>,
}

impl Load {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let store = invocation.store()?;
        let input = self.input.as_deref().filter(|path| *path != Path::new("-"));
        let named = || Error::inside(input.unwrap_or(Path::new("stdin")));
        let files = match input {
            Some(path) => source::Files::open(path, &store),
            None => source::Files::stream(io::stdin(), "stdin", &store),
        };
        for image in source::detect(files.map_err(named())?).map_err(named())? {
            let names = image.names();
            let platform = Some(Platform::host());
            let jobs = invocation.jobs().layers;
            let options = Options { platform, jobs, names: names.clone(), ..Options::default() };
            let loaded = transfer(
                &*image,
                &sink::Store::new(&store).telling(&*invocation.reporter),
                &options,
                &*invocation.reporter,
            )?;
            let lines: Vec<String> = match &names[..] {
                [] => vec![format!("{}\n", loaded.digest)],
                names => names.iter().map(Reference::familiar).map(|name| name + "\n").collect(),
            };
            invocation.print(&lines.concat())?;
        }
        Ok(())
    }
}
