//! To a registry: blobs first, the manifest that names them last, every byte as it was.

use std::io::{self, Read};
use std::sync::mpsc;
use std::thread;

use crate::image::{Content, Descriptor, Reference};
use crate::registry::{self, Uploaded};
use crate::report::Outcome;
use crate::transfer::chunks::{ChunkSender, chunks};
use crate::transfer::{Blob, Error, Root, Sink};

#[derive(Debug)]
pub struct Registry {
    registry: registry::Registry,
    reference: Reference,
    /// Another repository of the same registry that probably has the layers.
    neighbour: Option<String>,
    /// More tags that the image gets.
    more: Vec<String>,
}

impl Registry {
    pub fn new(registry: registry::Registry, reference: Reference) -> Self {
        Self { registry, reference, neighbour: None, more: Vec::new() }
    }

    /// Gives the image these tags too.
    #[must_use]
    pub fn tagged(self, more: Vec<String>) -> Self {
        Self { more, ..self }
    }

    /// Lets the registry take layers over from another repository of its own instead of having them
    /// sent, where they are there.
    pub fn near(self, repository: impl Into<String>) -> Self {
        Self { neighbour: Some(repository.into()), ..self }
    }
}

impl Sink for Registry {
    fn name(&self) -> String {
        self.reference.familiar()
    }

    fn put_blob(&self, blob: &Blob<'_>) -> Result<Outcome, Error> {
        let (ask, asked) = mpsc::channel::<ChunkSender>();
        let (uploaded, trouble) = thread::scope(|scope| {
            // The client wants a body that borrows nothing, as often as it tries: so one thread
            // reads, and what the client gets is the end of a channel.
            let reading = scope
                .spawn(move || asked.into_iter().map(|to| send(blob, to)).find_map(Result::err));
            let open = || {
                let (sender, reader) = chunks();
                ask.send(sender).map_err(|_| io::Error::other("the source cannot be read"))?;
                Ok(Box::new(reader) as Box<dyn Read + Send>)
            };
            let repository = self.reference.repository();
            let from = self.neighbour.as_deref();
            let uploaded = self.registry.upload_blob(repository, blob.descriptor, &open, from);
            drop(ask);
            (uploaded, reading.join().expect("the reading thread has no bug"))
        });
        match (uploaded, trouble) {
            (Ok(Uploaded::Sent), _) => Ok(Outcome::Done),
            (Ok(_), _) => Ok(Outcome::Cached),
            (Err(_), Some(trouble)) => Err(trouble),
            (Err(error), None) => Err(error.into()),
        }
    }

    fn put_manifest(&self, content: &Content) -> Result<(), Error> {
        let target = content.descriptor().digest.to_string();
        Ok(self.registry.put_manifest(self.reference.repository(), &target, content)?)
    }

    fn put_root(&self, root: &Root<'_>) -> Result<(), Error> {
        let repository = self.reference.repository();
        for target in std::iter::once(&self.reference.target()).chain(&self.more) {
            self.registry.put_manifest(repository, target, root.content)?;
        }
        Ok(())
    }

    fn has(&self, descriptor: &Descriptor) -> Result<bool, Error> {
        let target = descriptor.digest.to_string();
        Ok(self.registry.head_manifest(self.reference.repository(), &target)?.is_some())
    }

    fn takes_referrers(&self) -> bool {
        true
    }

    fn put_tagged(&self, content: &Content, tag: &str) -> Result<(), Error> {
        Ok(self.registry.put_manifest(self.reference.repository(), tag, content)?)
    }
}

/// Reads a blob once, into a channel.
fn send(blob: &Blob<'_>, to: ChunkSender) -> Result<(), Error> {
    let mut input = blob.open()?;
    loop {
        let mut buffer = to.buffer();
        match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                buffer.truncate(count);
                if !to.send(buffer) {
                    return Ok(()); // the registry had enough, and says why itself
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(blob.unreadable(error)),
        }
    }
    to.end();
    Ok(())
}
