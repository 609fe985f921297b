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
pub use edited::{Edit, Edited, NewLayer, One, Rebase, edited, squashed};
pub use files::Files;
pub use make::reconfigured;
pub use oci::Oci;
pub use registry::Registry;
pub use rewritten::{Rewrite, Rewritten};
pub use store::Store;

use std::sync::Arc;

use super::{Error, Source};

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
