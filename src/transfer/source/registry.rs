//! From a registry.

use std::io::Read;

use crate::image::{Content, Descriptor, Digest, Reference};
use crate::registry;
use crate::transfer::{Error, Source};

#[derive(Debug)]
pub struct Registry {
    registry: registry::Registry,
    reference: Reference,
}

impl Registry {
    pub fn new(registry: registry::Registry, reference: Reference) -> Self {
        Self { registry, reference }
    }
}

impl Source for Registry {
    fn name(&self) -> String {
        self.reference.familiar()
    }

    fn root(&self) -> Result<Content, Error> {
        Ok(self.registry.manifest(self.reference.repository(), &self.reference.target())?)
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Content, Error> {
        let target = descriptor.digest.to_string();
        Ok(self.registry.manifest(self.reference.repository(), &target)?)
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error> {
        Ok(Box::new(self.registry.blob(self.reference.repository(), descriptor)?))
    }

    fn can_resume(&self) -> bool {
        true
    }

    fn open_at(
        &self,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<Box<dyn Read + Send + '_>, Error> {
        let repository = self.reference.repository();
        Ok(Box::new(self.registry.rest_of_blob(repository, descriptor, offset)?))
    }

    fn size(&self, descriptor: &Descriptor) -> Result<Option<u64>, Error> {
        Ok(self.registry.blob_size(self.reference.repository(), descriptor)?)
    }

    fn announced(&self) -> Result<Option<Descriptor>, Error> {
        let repository = self.reference.repository();
        Ok(self.registry.head_manifest(repository, &self.reference.target())?)
    }

    fn names(&self) -> Vec<Reference> {
        vec![self.reference.clone()]
    }

    fn has_blob(&self, descriptor: &Descriptor) -> Result<Option<bool>, Error> {
        Ok(Some(self.registry.has_blob(self.reference.repository(), descriptor)?))
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        Ok(self.registry.referrers(self.reference.repository(), subject, None)?)
    }

    fn tagged(&self, tag: &str) -> Result<Option<Content>, Error> {
        match self.registry.manifest(self.reference.repository(), tag) {
            Ok(content) => Ok(Some(content)),
            Err(registry::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
