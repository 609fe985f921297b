//! `bryo tag`.

use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::image::Reference;
use crate::store::{Name, RefEntry};

/// Give an image another name
///
/// If the new name stood for another image, that one loses it.
#[derive(Debug, clap::Args)]
pub(crate) struct Tag {
    /// A name, or the beginning of an ID
    image: String,
    /// The new name
    name: Reference,
}

impl Tag {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        if self.name.digest().is_some() {
            let hint = Some("leave out what follows the `@`".to_owned());
            let text = format!("{} pins a digest, and a tag cannot", self.name);
            return Err(Error::Usage { text, hint });
        }
        let store = invocation.store()?;
        let found = store.find(&self.image)?;
        store.set_ref(&RefEntry { name: Name::Tagged(self.name.clone()), ..found })?;
        Ok(())
    }
}
