//! Where images come from.

mod ch_image;
mod docker;
mod edited;
mod files;
pub mod host;
mod make;
mod oci;
mod registry;
mod rewritten;
mod store;
pub mod tree;

pub use docker::Docker;
pub use edited::{Edit, Edited, NewLayer, One, Rebase, edited};
pub use files::Files;
pub use make::reconfigured;
pub use oci::Oci;
pub use registry::Registry;
pub use rewritten::{Rewrite, Rewritten};
pub use store::Store;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::{Error, Source};

/// `size` bytes of a file from its beginning, read without moving anybody else's position.
pub(super) fn section(file: File, size: u64) -> impl Read + Send {
    files::Section::new(Arc::new(file), 0, size)
}

/// The only image of an archive or a directory, whatever form it has.
pub fn only(path: &Path, store: &crate::store::Store) -> Result<Box<dyn Source>, Error> {
    only_of(Files::open(path, store)?)
}

/// The same of what is open already.
pub fn only_of(files: Files) -> Result<Box<dyn Source>, Error> {
    let path = files.label().to_owned();
    let mut images = detect(files)?;
    match images.len() {
        0 => Err(Error::Missing { path, what: "image".to_owned() }),
        1 => Ok(images.remove(0)),
        _ => {
            let names = images.iter().map(|image| match &image.names()[..] {
                [] => image.name(),
                names => names.iter().map(|name| name.familiar()).collect::<Vec<_>>().join(", "),
            });
            Err(Error::Several { names: names.collect::<Vec<_>>().join(", "), path })
        }
    }
}

/// All images of an archive or a directory, whatever form it has.
pub fn detect(files: Files) -> Result<Vec<Box<dyn Source>>, Error> {
    let files = Arc::new(files);
    // docker save writes both forms into one archive since version 25. The layout's manifests are
    // the ones that a registry gets to see, so it goes first.
    if Oci::fits(&files)? {
        let images = Oci::all(&files)?;
        return Ok(images.into_iter().map(|image| Box::new(image) as Box<dyn Source>).collect());
    }
    let images = Docker::all(&files)?;
    Ok(images.into_iter().map(|image| Box::new(image) as Box<dyn Source>).collect())
}
