//! To docker, or to podman's service: an archive as `docker save` writes it, loaded.

use std::fs::File;
use std::io;
use std::sync::Mutex;

use super::{Docker, Output};
use crate::image::{Content, Digest, Reference};
use crate::report::Outcome;
use crate::store;
use crate::transfer::daemon;
use crate::transfer::{Blob, Error, Root, Sink};

/// A daemon that gets one image, under the name that was asked for.
#[derive(Debug)]
pub struct Daemon {
    daemon: daemon::Daemon,
    name: Reference,
    archive: Docker,
    file: File,
    /// What the image's configuration is.
    id: Mutex<Option<Digest>>,
}

impl Daemon {
    pub(in crate::transfer) fn new(
        daemon: daemon::Daemon,
        name: Reference,
        store: &store::Store,
    ) -> Result<Self, Error> {
        let failed =
            |error: io::Error| Error::writing("a temporary file in the storage directory")(error);
        let workspace = store.workspace()?;
        let file = tempfile::tempfile_in(workspace.path()).map_err(failed)?;
        let output = Box::new(file.try_clone().map_err(failed)?);
        let archive = Docker::archive(Output::Stream("a temporary file", output), store)?;
        Ok(Self { daemon, name, archive, file, id: Mutex::default() })
    }
}

impl Sink for Daemon {
    fn name(&self) -> String {
        self.daemon.name(&self.name.familiar())
    }

    fn takes_one_image(&self) -> bool {
        true
    }

    fn needs_foreign(&self) -> bool {
        true
    }

    fn put_blob(&self, blob: &Blob<'_>) -> Result<Outcome, Error> {
        self.archive.put_blob(blob)
    }

    fn put_manifest(&self, content: &Content) -> Result<(), Error> {
        self.archive.put_manifest(content)
    }

    fn put_root(&self, root: &Root<'_>) -> Result<(), Error> {
        if let Content::Image(manifest) = root.content {
            let mut id = self.id.lock().expect("keeping a digest cannot panic");
            *id = Some(manifest.config.digest.clone());
        }
        let names = std::slice::from_ref(&self.name);
        self.archive.put_root(&Root { names, ..*root })
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        let Self { daemon, name, archive, file, id } = *self;
        Box::new(archive).finish()?;
        daemon.load(&file)?;
        // Some load an image and give it no name, or another one.
        let id = id.into_inner().expect("keeping a digest cannot panic");
        let (found, expected) = (daemon.id(&name.familiar())?, id.map(|id| id.to_string()));
        match expected {
            Some(expected) if expected != found => Err(Error::NotTaken {
                sink: daemon.name(&name.familiar()),
                problem: format!("it is {found} there, and not {expected}"),
            }),
            _ => Ok(()),
        }
    }
}
