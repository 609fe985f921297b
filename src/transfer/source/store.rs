//! From the storage directory.

use std::io::Read;

use crate::image::{Content, Descriptor, Digest, Reference};
use crate::store;
use crate::transfer::{Error, Source, about};

#[derive(Debug)]
pub struct Store<'a> {
    store: &'a store::Store,
    root: Descriptor,
    names: Vec<Reference>,
}

impl<'a> Store<'a> {
    /// Of what is there, whether it has a name or not.
    pub fn new(store: &'a store::Store, root: Descriptor) -> Self {
        Self { store, root, names: Vec::new() }
    }

    /// The same, called so.
    pub fn named(store: &'a store::Store, root: Descriptor, names: Vec<Reference>) -> Self {
        Self { store, root, names }
    }

    /// Of what a name, or the beginning of an id, stands for.
    pub fn find(store: &'a store::Store, text: &str) -> Result<Self, Error> {
        Ok(Self::of(store, &store.find(text)?))
    }

    /// Of what has been found.
    pub fn of(store: &'a store::Store, entry: &store::RefEntry) -> Self {
        let names = match &entry.name {
            store::Name::Tagged(name) => vec![name.clone()],
            store::Name::Anonymous(_) => Vec::new(),
        };
        Self { store, root: entry.descriptor.clone(), names }
    }
}

impl Source for Store<'_> {
    fn name(&self) -> String {
        match self.names.first() {
            Some(name) => name.familiar(),
            None => self.root.digest.to_string(),
        }
    }

    fn root(&self) -> Result<Content, Error> {
        let mut content = self.store.content(&self.root)?;
        content.descriptor_mut().annotations.clone_from(&self.root.annotations);
        Ok(content)
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Content, Error> {
        Ok(self.store.content(descriptor)?)
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error> {
        Ok(Box::new(self.store.open_blob(&descriptor.digest)?))
    }

    fn size(&self, descriptor: &Descriptor) -> Result<Option<u64>, Error> {
        Ok(self.store.blob_size(&descriptor.digest))
    }

    fn names(&self) -> Vec<Reference> {
        self.names.clone()
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        match self.tagged(&about::tag_of(subject))? {
            Some(Content::Index(index)) => Ok(index.manifests),
            _ => Ok(Vec::new()),
        }
    }

    fn tagged(&self, tag: &str) -> Result<Option<Content>, Error> {
        let name = self.names.first().and_then(|name| name.with_tag(tag));
        let Some(name) = name else { return Ok(None) };
        match self.store.get_ref(&store::Name::Tagged(name))? {
            Some(entry) => Ok(Some(self.store.content(&entry.descriptor)?)),
            None => Ok(None),
        }
    }
}
