//! What `FROM` and `--from` name: an image of the store, or one that is fetched into it.
//!
//! At first nothing but its configuration is asked for. Layers are fetched when something is to be
//! made of them, and unpacked when a step needs the files: a step that is cached needs neither.

use std::sync::{Arc, Mutex};

use super::attest::record;
use super::error::Fault;
use super::execute::Executor;
use super::plan::Origin;
use super::{NamedContext, Options};
use crate::image::{Config, Content, Descriptor, Digest, Manifest, Platform, Reference};
use crate::report::Outcome;
use crate::store::{self, Name, RefEntry, Store};
use crate::transfer::{self, Resolved, Source, sink, source};

/// An image to build on.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) config: Config,
    /// The layers' blobs, the lowest first.
    pub(super) layers: Vec<Descriptor>,
    /// Where it came from; None of `scratch`.
    pub(super) source: Option<record::Source>,
    /// The digest of the configuration, which is what docker calls an image's ID; None of `scratch`.
    pub(super) id: Option<Digest>,
    place: Place,
    /// How much of it is here; locked by who fetches it.
    here: Mutex<Form>,
}

/// In which form the layers of an image are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    Nothing,
    /// As blobs.
    Packed,
    /// As files, too.
    Unpacked,
}

/// Where layers come from that are not here.
#[derive(Debug)]
enum Place {
    Store,
    Registry(Reference, Platform, Box<Resolved>),
    Layout(NamedContext, Box<Resolved>),
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
    if let Ok(Some((_, config))) = local(store, &entry, platform) {
        return Some(config);
    }
    match store.content_for(&entry.descriptor, platform).ok()? {
        Content::Image(manifest) => store.config(&manifest).ok(),
        _ => None,
    }
}

/// The image for a platform under a name of the store: what it stands for, or another one of the
/// index that this was chosen from.
fn local(
    store: &Store,
    entry: &RefEntry,
    platform: &Platform,
) -> Result<Option<(Manifest, Config)>, store::Error> {
    for descriptor in [Some(&entry.descriptor), entry.index.as_ref()].into_iter().flatten() {
        let content = match store.content_for(descriptor, platform) {
            Ok(content) => content,
            // It can be fetched again.
            Err(
                store::Error::Missing(_) | store::Error::Damaged { .. } | store::Error::Image(_),
            ) => continue,
            Err(error) => return Err(error),
        };
        let Content::Image(manifest) = content else { continue };
        if let Ok(config) = store.config(&manifest)
            && suits(&config, platform)
        {
            return Ok(Some((manifest, config)));
        }
    }
    Ok(None)
}

/// Old images say nothing about the machine that they are for.
fn suits(config: &Config, platform: &Platform) -> bool {
    config.architecture.is_empty() || platform.distance(&config.platform()).is_some()
}

impl Base {
    /// Finds an image; says whether it was here already.
    pub(super) fn find(
        executor: &Executor<'_>,
        origin: &Origin,
        platform: &Platform,
    ) -> Result<(Arc<Self>, Outcome), Fault> {
        let key = (origin.clone(), platform.to_string());
        let mut outcome = Outcome::Cached;
        let (base, _) = executor.bases.run(&key, || {
            let (base, found) = match origin {
                Origin::Scratch => (Self::scratch(platform), outcome),
                Origin::Stage(_) => unreachable!("stages are built, not found"),
                Origin::Image(reference) => Self::image(executor, reference, platform)?,
                Origin::Context(name) => Self::context(executor, name, platform)?,
            };
            outcome = found;
            Ok::<_, Fault>(Arc::new(base))
        })?;
        Ok((base, outcome))
    }

    fn scratch(platform: &Platform) -> Self {
        let (config, layers, here) = (Config::scratch(platform), Vec::new(), Form::Packed);
        Self { config, layers, source: None, id: None, place: Place::Store, here: Mutex::new(here) }
    }

    fn of_store(config: Config, manifest: Manifest, source: record::Source) -> Self {
        let (id, source) = (Some(manifest.config.digest), Some(source));
        let (place, here) = (Place::Store, Mutex::new(Form::Packed));
        Self { config, layers: manifest.layers, source, id, place, here }
    }

    fn elsewhere(resolved: &Resolved, place: Place, source: record::Source) -> Self {
        let base = Self::of_store(resolved.config.clone(), resolved.manifest.clone(), source);
        Self { place, here: Mutex::new(Form::Nothing), ..base }
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
                let told = record::Source::Host(programs.clone());
                Ok((Self::of_store(store.config(&manifest)?, manifest, told), Outcome::Done))
            }
            NamedContext::Layout { .. } => {
                let source = layout(executor, context)?;
                let options = executor.transfer_options(Some(platform));
                let resolved = Resolved::of(&*source, &options, executor.reporter)?;
                let place = Place::Layout(context.clone(), Box::new(resolved.clone()));
                let digest = resolved.manifest.descriptor.digest.clone();
                let told = record::Source::Layout { name: name.to_owned(), digest };
                Ok((Self::elsewhere(&resolved, place, told), Outcome::Done))
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
        let store = executor.store;
        if !executor.options.pull
            && let Some(entry) = store.find_reference(reference)?
            && let Some((manifest, config)) = local(store, &entry, platform)?
        {
            let told = of_image(reference, entry.index.as_ref().unwrap_or(&entry.descriptor));
            let base = Self::of_store(config, manifest, told);
            if base.is_whole(store) {
                return Ok((base, Outcome::Cached));
            }
        }
        let source = executor.services.images.source(reference)?;
        let options = executor.transfer_options(Some(platform));
        let resolved = Resolved::of(&*source, &options, executor.reporter)
            .map_err(|error| executor.plan.misnamed(reference, error.into()))?;
        let place =
            Place::Registry(reference.clone(), platform.clone(), Box::new(resolved.clone()));
        let index = resolved.index.as_ref().map(|index| &index.descriptor);
        let told = of_image(reference, index.unwrap_or(&resolved.manifest.descriptor));
        let base = Self::elsewhere(&resolved, place, told);
        if base.is_whole(store) {
            // Whoever asked for newer ones finds this one next time, though nothing was fetched.
            base.fetch(executor, Form::Packed)?;
        }
        Ok((base, Outcome::Done))
    }

    /// Whether nothing has to be fetched.
    fn is_whole(&self, store: &Store) -> bool {
        let mut below = None;
        self.layers.iter().zip(&self.config.rootfs.diff_ids).all(|(layer, diff_id)| {
            let is_here = store.has_blob(&layer.digest)
                || store.layer_tree(below.as_ref(), diff_id).is_some();
            below = Some(Digest::chain(below.as_ref(), diff_id));
            is_here
        })
    }

    /// Fetches what is not here yet, and names it. Whoever asks meanwhile waits.
    pub(super) fn fetch(&self, executor: &Executor<'_>, wanted: Form) -> Result<(), Fault> {
        let mut here = self.here.lock().expect("nobody panics who fetches");
        if *here >= wanted {
            return Ok(());
        }
        let sink = sink::Store::nameless(executor.store).telling(executor.reporter);
        let sink = if wanted == Form::Packed { sink.packed() } else { sink };
        let options = executor.transfer_options(None);
        match &self.place {
            Place::Store => executor.unpack(&self.config, &self.layers)?,
            Place::Registry(reference, platform, resolved) => {
                let source = executor.services.images.source(reference)?;
                resolved.transfer(&*source, &sink, &options, executor.reporter)?;
                name(executor.store, reference, platform, resolved)?;
            }
            Place::Layout(context, resolved) => {
                let source = layout(executor, context)?;
                resolved.transfer(&*source, &sink, &options, executor.reporter)?;
            }
        }
        *here = wanted;
        Ok(())
    }
}

/// An image by the name that it was asked for by, and what that stands for.
fn of_image(reference: &Reference, descriptor: &Descriptor) -> record::Source {
    record::Source::Image { reference: reference.clone(), digest: descriptor.digest.clone() }
}

/// Names what was fetched. An image for another machine does not take the name away from one that was
/// chosen from the same index.
fn name(
    store: &Store,
    reference: &Reference,
    platform: &Platform,
    resolved: &Resolved,
) -> Result<(), store::Error> {
    let index = match &resolved.index {
        Some(index) => {
            store.put_blob(&index.bytes)?;
            Some(index.descriptor.clone())
        }
        None => None,
    };
    let descriptor = resolved.manifest.descriptor.clone();
    let mut name = Name::Tagged(reference.clone());
    let is_foreign = Platform::host().distance(platform).is_none();
    if is_foreign
        && index.is_some()
        && store.get_ref(&name)?.is_some_and(|entry| entry.index == index)
    {
        name = Name::Anonymous(descriptor.digest.clone());
    }
    store.set_ref(&RefEntry { name, descriptor, index })
}

fn layout<'e>(
    executor: &Executor<'e>,
    context: &NamedContext,
) -> Result<Box<dyn Source + 'e>, transfer::Error> {
    let NamedContext::Layout { directory, tag } = context else {
        unreachable!("only layouts are kept so")
    };
    let files = source::Files::open(directory, executor.store)?;
    Ok(Box::new(source::Oci::find(files, tag.as_deref())?))
}
