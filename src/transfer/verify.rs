//! Whether what was written is there.

use std::io;

use super::{Blob, Error, Role, Source, read_small};
use crate::concurrency::Cancel;
use crate::image::{Content, Descriptor, Digest, media_type};

/// Reads again what a place holds now: that it is what `expected` names, unless the place keeps no
/// manifests, and that everything is there that manifests name. Manifests and configurations are
/// read and hashed; a registry is asked for the size of each layer, and of those that it does not
/// tell, and everywhere else, layers are read and hashed, too.
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
    // Not every registry that says no means it: some do not know the question.
    if place.has_blob(descriptor)? == Some(true) {
        return Ok(());
    }
    let cancel = Cancel::default();
    let read = Blob::new(descriptor, Role::Other, place, &cancel);
    read.copy_to(&mut io::sink(), "nowhere").map_err(|error| match error.is_missing() {
        true => {
            let problem = format!("{} is not there", descriptor.digest);
            Error::NotTaken { sink: place.name(), problem }
        }
        false => error,
    })
}
