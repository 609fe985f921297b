//! What `FROM` and `--from` name: an image of the store, or one that is fetched into it.

use super::attest::record::Source;
use super::error::Fault;
use super::execute::Executor;
use super::plan::Origin;
use super::{NamedContext, Options};
use crate::image::{Config, Content, Descriptor, Platform, Reference};
use crate::report::Outcome;
use crate::store::{Name, RefEntry, Store};
use crate::transfer::{self, sink, source};

/// An image to build on.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) config: Config,
    /// The layers' blobs, the lowest first.
    pub(super) layers: Vec<Descriptor>,
    /// Where it came from; None of `scratch`.
    pub(super) source: Option<Source>,
}

/// The configuration of a base that the store has; None too when something is wrong with it.
pub(super) fn local_config(
    store: &Store,
    options: &Options,
    origin: &Origin,
    platform: &Platform,
) -> Option<Config> {
    let reference = match origin {
        Origin::Image(reference) => reference,
        Origin::Context(name) => match options.contexts.iter().find(|(known, _)| known == name)? {
            (_, NamedContext::Image(reference)) => reference,
            _ => return None,
        },
        Origin::Scratch | Origin::Stage(_) => return None,
    };
    let entry = store.find_reference(reference).ok()??;
    match store.content_for(&entry.descriptor, platform).ok()? {
        Content::Image(manifest) => store.config(&manifest).ok(),
        _ => None,
    }
}

impl Base {
    /// Finds an image; says whether it was here already.
    pub(super) fn find(
        executor: &Executor<'_>,
        origin: &Origin,
        platform: &Platform,
    ) -> Result<(Self, Outcome), Fault> {
        match origin {
            Origin::Scratch => {
                let config = Config::scratch(platform);
                Ok((Self { config, layers: Vec::new(), source: None }, Outcome::Cached))
            }
            Origin::Stage(_) => unreachable!("stages are built, not found"),
            Origin::Image(reference) => Self::image(executor, reference, platform),
            Origin::Context(name) => Self::context(executor, name, platform),
        }
    }

    fn context(
        executor: &Executor<'_>,
        name: &str,
        platform: &Platform,
    ) -> Result<(Self, Outcome), Fault> {
        let context = executor.options.contexts.iter().find(|(known, _)| known == name);
        let (_, context) = context.expect("the plan names contexts that there are");
        match context {
            NamedContext::Image(reference) => Self::image(executor, reference, platform),
            NamedContext::Host(programs) => {
                let (store, services) = (executor.store, executor.services);
                let manifest =
                    source::host::image(store, programs, services.path, executor.reporter)?;
                let config = store.config(&manifest)?;
                let source = Some(Source::Host(programs.clone()));
                Ok((Self { config, layers: manifest.layers, source }, Outcome::Done))
            }
            NamedContext::Layout { directory, tag } => {
                let files = source::Files::open(directory, executor.store)?;
                let source = source::Oci::find(files, tag.as_deref())?;
                let sink = sink::Store::new(executor.store);
                let options = executor.transfer_options(platform, Vec::new());
                let descriptor = transfer::transfer(&source, &sink, &options, executor.reporter)?;
                let told =
                    Source::Layout { name: name.to_owned(), digest: descriptor.digest.clone() };
                let name = Name::Anonymous(descriptor.digest.clone());
                let entry = RefEntry { name, descriptor, index: None };
                let base = Self::of_store(executor, &entry, platform)?;
                Ok((Self { source: Some(told), ..base }, Outcome::Done))
            }
            NamedContext::Directory(_) | NamedContext::Remote(_) => {
                unreachable!("a stage on files is made, not found")
            }
        }
    }

    /// An image by its name: the one in the store unless `--pull` asks for the registry's.
    fn image(
        executor: &Executor<'_>,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<(Self, Outcome), Fault> {
        if !executor.options.pull
            && let Some(entry) = executor.store.find_reference(reference)?
            && let Ok(base) = Self::of_store(executor, &entry, platform)
            && base.suits(platform)
            && executor.store.trees(&base.config).is_some()
        {
            return Ok((base.called(reference, &entry), Outcome::Cached));
        }
        let source = executor.services.images.source(reference)?;
        let sink = sink::Store::new(executor.store);
        let options = executor.transfer_options(platform, vec![reference.clone()]);
        let descriptor = transfer::transfer(&*source, &sink, &options, executor.reporter)
            .map_err(|error| executor.plan.misnamed(reference, error.into()))?;
        let fetched = RefEntry { name: Name::Tagged(reference.clone()), descriptor, index: None };
        let base = Self::of_store(executor, &fetched, platform)?;
        // It knows the index that the image was chosen from.
        let entry = executor.store.find_reference(reference)?.unwrap_or(fetched);
        Ok((base.called(reference, &entry), Outcome::Done))
    }

    /// With the name that it was asked for by, and what that stands for.
    fn called(self, reference: &Reference, entry: &RefEntry) -> Self {
        let digest = entry.index.as_ref().unwrap_or(&entry.descriptor).digest.clone();
        Self { source: Some(Source::Image { reference: reference.clone(), digest }), ..self }
    }

    fn of_store(
        executor: &Executor<'_>,
        entry: &RefEntry,
        platform: &Platform,
    ) -> Result<Self, Fault> {
        match executor.store.content_for(&entry.descriptor, platform)? {
            Content::Image(manifest) => {
                let config = executor.store.config(&manifest)?;
                Ok(Self { config, layers: manifest.layers, source: None })
            }
            _ => Err(Fault::NotAnImage { reference: entry.name.to_string() }),
        }
    }

    /// Old images say nothing about the machine that they are for.
    fn suits(&self, platform: &Platform) -> bool {
        self.config.architecture.is_empty() || platform.distance(&self.config.platform()).is_some()
    }
}
