//! [`Downstream`]: another registry, which gets what is pushed here.
//!
//! A push is done when it is done there: a client that hears of success knows that both registries
//! have the same bytes, or, with filters, that the other one has what they made of them.

use super::Registry;
use super::manifest::Arrived;
use super::names::Repository;
use super::refusal::{Refusal, Result};
use crate::image::Reference;
use crate::registry;
use crate::transfer::{self, Options, Source, sink, source};

/// A registry that pushes are passed on to.
#[derive(Debug)]
pub struct Downstream {
    pub registry: registry::Registry,
    /// What goes before the repositories' names there.
    pub prefix: Option<String>,
    /// So many blobs are sent at the same time.
    pub jobs: usize,
}

impl Downstream {
    /// What a tag or a digest of a repository is called there.
    fn name(&self, repository: &Repository, target: &str) -> Option<Reference> {
        let separator = if target.contains(':') { '@' } else { ':' };
        let host = self.registry.host();
        let prefix = self.prefix.as_ref().map_or_else(String::new, |prefix| format!("{prefix}/"));
        format!("{host}/{prefix}{}{separator}{target}", repository.wire).parse().ok()
    }
}

impl Registry {
    /// Sends a manifest on with all that it needs, under each of its names.
    pub(super) fn pass_on(
        &self,
        repository: &Repository,
        arrived: &Arrived,
        tags: &[String],
    ) -> Result<()> {
        let Some(downstream) = &self.settings.downstream else { return Ok(()) };
        {
            let _gate = self.gate();
            self.store.put_blob_as(arrived.content.bytes(), &arrived.descriptor.digest)?;
            // Nobody names it before it is there.
            self.links.add(&repository.key(), &arrived.descriptor.digest);
        }
        let _busy = self.busy();
        let names = tags.iter().filter_map(|tag| repository.tagged(tag)).collect();
        let original = &arrived.descriptor.digest;
        let source = source::Store::named(&self.store, arrived.descriptor.clone(), names);
        let source = self.filtered(Box::new(source)).map_err(blamed)?;
        let digest = source.root()?.descriptor().digest.to_string();
        let targets = if tags.is_empty() { std::slice::from_ref(&digest) } else { tags };
        for target in targets {
            let name = downstream.name(repository, target).ok_or_else(|| {
                let message = format!("{} has no name for that", downstream.registry.host());
                Refusal::new(400, "NAME_INVALID", message)
            })?;
            if !self.settings.filters.are_none() {
                self.reporter.note(match tags {
                    [] => format!("{original} goes on as {name}"),
                    _ => format!("{original} goes on as {name}, {digest}"),
                });
            }
            self.send_on(downstream, &*source, name)?;
        }
        self.counts.passed_on();
        Ok(())
    }

    fn send_on(&self, downstream: &Downstream, source: &dyn Source, name: Reference) -> Result<()> {
        let sink = sink::Registry::new(downstream.registry.clone(), name);
        let options = Options { jobs: downstream.jobs, ..Options::default() };
        transfer::transfer(source, &sink, &options, &*self.reporter).map_err(blamed)?;
        Ok(())
    }
}

/// What is wrong with an image that was pushed is its client's business.
fn blamed(error: transfer::Error) -> Refusal {
    use transfer::Error;
    match error {
        Error::Image(_)
        | Error::Layer(_)
        | Error::Read { .. }
        | Error::Unpack { .. }
        | Error::LayerCount { .. }
        | Error::DiffId { .. }
        | Error::TooLarge { .. } => Refusal::manifest_invalid(Refusal::from(error).story()),
        error => error.into(),
    }
}
