//! [`Way`]: one transfer, under way.

use super::{Blob, Error, Options, Role, Sink, Source, read_small, short, side_by_side};
use crate::concurrency::Cancel;
use crate::image::{Config, Content, Descriptor, Digest, Manifest, media_type};
use crate::report::{Reporter, start};

/// From where to where, and how.
pub(super) struct Way<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) sink: &'a dyn Sink,
    pub(super) options: &'a Options,
    pub(super) reporter: &'a dyn Reporter,
}

impl Way<'_> {
    /// Copies all that a manifest or an index points to. Returns an image's configuration.
    pub(super) fn copy_parts(&self, content: &Content) -> Result<Option<Config>, Error> {
        match content {
            Content::Image(manifest) => self.copy_image(manifest).map(Some),
            Content::Artifact(manifest) => self.copy_artifact(manifest).map(|()| None),
            Content::Index(index) => {
                for descriptor in &index.manifests {
                    if self.sink.has(descriptor)? {
                        continue;
                    }
                    let child = self.source.manifest(descriptor)?;
                    self.copy_parts(&child)?;
                    self.sink.put_manifest(&child)?;
                }
                Ok(None)
            }
        }
    }

    fn copy_image(&self, manifest: &Manifest) -> Result<Config, Error> {
        let bytes = read_small(self.source, &manifest.config)?;
        let config = Config::parse(&bytes)?;
        let diff_ids = &config.rootfs.diff_ids;
        if diff_ids.len() != manifest.layers.len() {
            let (diff_ids, layers) = (diff_ids.len(), manifest.layers.len());
            return Err(Error::LayerCount { image: self.source.name(), diff_ids, layers });
        }
        let cancel = self.options.cancel.child();
        self.sink.put_blob(&Blob::kept(&manifest.config, Role::Config, &bytes))?;

        let mut below: Option<Digest> = None;
        let mut seen: Vec<&Descriptor> = Vec::new();
        let mut blobs = Vec::new();
        let count = manifest.layers.len();
        for (at, (descriptor, diff_id)) in manifest.layers.iter().zip(diff_ids).enumerate() {
            let stays = media_type::is_foreign(&descriptor.media_type)
                && !self.options.foreign
                && !self.sink.needs_foreign();
            // Many images have the same empty layer several times.
            if !stays && !seen.iter().any(|other| other.digest == descriptor.digest) {
                let role = Role::Layer { diff_id: diff_id.clone(), below: below.clone() };
                let title = format!("layer {}/{count} {}", at + 1, short(&descriptor.digest));
                blobs.push((title, Blob::new(descriptor, role, self.source, &cancel)));
                seen.push(descriptor);
            }
            below = Some(Digest::chain(below.as_ref(), diff_id));
        }
        self.copy_blobs(blobs, &cancel)?;
        Ok(config)
    }

    fn copy_artifact(&self, manifest: &Manifest) -> Result<(), Error> {
        let cancel = self.options.cancel.child();
        let mut seen: Vec<&Digest> = Vec::new();
        let mut blobs = Vec::new();
        for descriptor in std::iter::once(&manifest.config).chain(&manifest.layers) {
            if !seen.contains(&&descriptor.digest) {
                let title = format!("blob {}", short(&descriptor.digest));
                blobs.push((title, Blob::new(descriptor, Role::Other, self.source, &cancel)));
                seen.push(&descriptor.digest);
            }
        }
        self.copy_blobs(blobs, &cancel)
    }

    fn copy_blobs(&self, blobs: Vec<(String, Blob<'_>)>, cancel: &Cancel) -> Result<(), Error> {
        let jobs = self.options.jobs.min(self.sink.jobs());
        let semaphore = self.options.semaphore.as_deref();
        side_by_side::each(blobs, jobs, semaphore, cancel, |(title, blob)| {
            let running = start(self.reporter, title, Some(blob.descriptor.size));
            let outcome = self.sink.put_blob(&blob.watched(&running))?;
            running.finish(outcome);
            Ok(())
        })
    }
}
