//! `bryo push`.

use std::path::PathBuf;

use crate::cli::args::{Login, Network};
use crate::cli::changes::Changes;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::transfer::filter::{Change, Filter};
use crate::transfer::sink::replace;
use crate::transfer::source::tree::Making;
use crate::transfer::{Source, source};

/// Send an image to a registry
///
/// Prints the digest of what was sent. Layers that the registry has already are not sent again.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo push registry.example/team/app:1
  bryo push app registry.example/team/app:2
  bryo push -f timestamps=0 -f exclude=*.pyc app registry.example/team/app:3
  bryo push --image rootfs registry.example/team/app:4
  bryo push --flatten-owners app registry.example/team/app:2-flat")]
pub(crate) struct Push {
    /// The image here: a name, or the beginning of an ID
    image: String,
    /// Its name there [default: the same]
    destination: Option<String>,
    /// Send the files of DIR as an image of one layer, and nothing that is here; DESTINATION, or
    /// IMAGE, is its name there
    #[arg(long = "image", value_name = "DIR")]
    from: Option<PathBuf>,
    /// Send a copy in which root owns everything
    ///
    /// For places that cannot have other owners: user and group of every file become 0:0, and
    /// setuid and setgid bits and file capabilities, which a change of owner takes away, are gone.
    /// All else stays: the other permissions, devices, the number of layers and how each is
    /// compressed. Layers and image get digests of their own; the image here is not touched.
    #[arg(long)]
    flatten_owners: bool,
    /// Write the digest of what was sent to FILE
    #[arg(long, value_name = "FILE", alias = "digestfile")]
    digest_file: Option<PathBuf>,
    /// Send layers, too, that registries are not to keep, if they are here (`pull --allow-foreign`)
    #[arg(long)]
    allow_foreign: bool,
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    login: Login,
}

impl Push {
    pub(crate) fn needs_namespace(&self) -> bool {
        self.from.is_some() || self.changes.needs_namespace()
    }

    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let store = invocation.store()?;
        let remote = self.network.remote_as(invocation, self.login.given(invocation)?)?;
        let destination = remote.reference(self.destination.as_ref().unwrap_or(&self.image))?;
        let image: Box<dyn Source> = match &self.from {
            None => Box::new(remote.here(&store, &self.image)?),
            Some(dir) => {
                let made =
                    source::tree::image(&store, dir, &Making::default(), &*invocation.reporter)?;
                Box::new(source::Store::new(&store, made.descriptor))
            }
        };
        let disown = self.flatten_owners.then_some(Filter::Layer(Change::Disown));
        let image = self.changes.after(disown).apply(image, invocation, &store)?;
        let sent = remote.send(invocation, &store, &*image, &destination, self.allow_foreign)?;
        if let Some(file) = &self.digest_file {
            replace(file, format!("{}\n", sent.digest).as_bytes())?;
        }
        invocation.print(&format!("{}\n", sent.digest))
    }
}
