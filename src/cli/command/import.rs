//! `bryo import`.

use std::io;
use std::path::Path;

use crate::build;
use crate::cli::args;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::image::{Manifest, Platform, Reference};
use crate::store::{Name, RefEntry, Store};
use crate::transfer::source::tree::{self, Making};
use crate::transfer::source::{host, reconfigured};

/// Make an image of plain files
///
/// SOURCE is a directory, a tar (compressed or not; the files of a root directory, or one directory
/// that has them, whose name is then left out, unless it is one of a root directory, such as usr, or
/// the tar has an entry for `.`), `-` for a tar on stdin, or host:PROGRAM,… for programs of this machine with the
/// shared libraries that they need. What ch-image has noted in the directory `/ch` (variables,
/// working directory, labels, machine) is kept. Prints the digest of the image.
///
/// The same files make the same image. With $SOURCE_DATE_EPOCH no file is younger than that, and the
/// image is as old.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo import debian.tar debian:12
  bryo import -c 'ENV LANG=C.UTF-8' -c 'CMD [\"bash\"]' rootfs/ base
  bryo import host:bash,ls,cat,id base")]
pub(crate) struct Import {
    /// Change how the image is run, by an instruction of a Dockerfile: CMD, ENTRYPOINT, ENV, EXPOSE,
    /// HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR; may be repeated
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// What the history says of it
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// The machine that the files are for [default: this one]
    #[arg(long, value_name = "OS/ARCH", value_parser = args::platform)]
    platform: Option<Platform>,
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
        let latest = invocation.config.source_date_epoch()?;
        let making = Making { platform: self.platform.clone(), latest };
        let manifest = match (self.source.as_str(), self.source.strip_prefix("host:")) {
            (_, Some(_)) if self.platform.is_some() => {
                let text = "programs of this machine are for this machine".to_owned();
                return Err(Error::Usage { text, hint: Some("leave --platform out".to_owned()) });
            }
            (_, Some(programs)) => {
                let programs: Vec<String> = programs.split(',').map(str::to_owned).collect();
                host::image(&store, &programs, &invocation.config.path, reporter)
            }
            ("-", None) => tree::from_stream(&store, io::stdin(), "stdin", &making, reporter),
            (path, None) => tree::image(&store, Path::new(path), &making, reporter),
        };
        let manifest = manifest.map_err(Error::inside(Path::new(&self.source)))?;
        let descriptor = self.changed(&store, manifest)?.descriptor;
        let name = Name::Tagged(self.name.clone());
        invocation.print(&format!("{}\n", descriptor.digest))?;
        store.set_ref(&RefEntry { name, descriptor, index: None })?;
        Ok(())
    }

    /// The image with the configuration that was asked for.
    fn changed(&self, store: &Store, manifest: Manifest) -> Result<Manifest, Error> {
        if self.change.is_empty() && self.message.is_none() {
            return Ok(manifest);
        }
        let mut config = build::change(store.config(&manifest)?, &self.change)?;
        if let Some(last) = config.history.last_mut() {
            last.comment = self.message.clone().or(last.comment.take());
        }
        Ok(reconfigured(store, &manifest, &config)?)
    }
}
