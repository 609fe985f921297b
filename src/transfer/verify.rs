//! Whether what was written is there.

use std::io;

use super::{Blob, Error, Role, Source, read_small};
use crate::concurrency::Cancel;
use crate::image::{Content, Descriptor, Digest, media_type};

/// Reads again what a place holds now: that it is what `expected` names, unless the place keeps no
/// manifests, and that everything is there that manifests name. Registries are asked for manifests
/// and configurations, and whether they have the layers; all else is read and hashed.
///
/// # Errors
///
/// [`Error::NotTaken`] when it is something else, and what reading says.
pub fn verify(place: &dyn Source, expected: Option<&Digest>) -> Result<(), Error> {
    let root = place.root()?;
    let found = &root.descriptor().digest;
    if let Some(expected) = expected.filter(|expected| *expected != found) {
        let problem = format!("it is {found} there, and not {expected}");
        return Err(Error::NotTaken { sink: place.name(), problem });
    }
    content(place, &root)
}

fn content(place: &dyn Source, content: &Content) -> Result<(), Error> {
    match content {
        Content::Index(index) => {
            for entry in &index.manifests {
                self::content(place, &place.manifest(entry)?)?;
            }
            Ok(())
        }
        Content::Image(manifest) => {
            read_small(place, &manifest.config)?;
            manifest.layers.iter().try_for_each(|layer| blob(place, layer))
        }
        Content::Artifact(manifest) => std::iter::once(&manifest.config)
            .chain(&manifest.layers)
            .try_for_each(|part| blob(place, part)),
    }
}

fn blob(place: &dyn Source, descriptor: &Descriptor) -> Result<(), Error> {
    if media_type::is_foreign(&descriptor.media_type) {
        return Ok(()); // nobody promises that it is there
    }
    match place.has_blob(descriptor)? {
        Some(true) => Ok(()),
        Some(false) => {
            let problem = format!("{} is not there", descriptor.digest);
            Err(Error::NotTaken { sink: place.name(), problem })
        }
        None => {
            let cancel = Cancel::default();
            Blob::new(descriptor, Role::Other, place, &cancel).copy_to(&mut io::sink(), "nowhere")
        }
    }
}
