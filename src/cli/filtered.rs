//! `build --filter`: the result goes through filters before it gets its names and goes anywhere.

use super::cache_exchange::CacheTo;
use super::changes::told;
use super::error::Error;
use super::exports::Exports;
use super::invocation::Invocation;
use crate::build::{Built, BuiltImage};
use crate::image::{Content, Manifest};
use crate::store::Store;
use crate::transfer::filter::{self, Filter, Kitchen};
use crate::transfer::{self, Source as _, sink, source, transfer};

/// A filter of a build, which makes images for the platforms that it was asked for.
pub(super) fn filter(text: &str) -> Result<Filter, String> {
    match text.parse()? {
        Filter::Platform(platform) => Err(format!("build for one platform: --platform {platform}")),
        filter => Ok(filter),
    }
}

/// What filters do not go with.
pub(super) fn check(
    filters: &[Filter],
    is_attested: bool,
    caches: &[CacheTo],
    exports: &Exports,
) -> Result<(), Error> {
    let usage = |text: &str, hint: &str| {
        Err(Error::Usage { text: text.to_owned(), hint: Some(hint.to_owned()) })
    };
    if filters.is_empty() {
        return Ok(());
    }
    if is_attested {
        return usage("--filter would change what the attestations are about", "leave one out");
    }
    if caches.iter().any(CacheTo::is_inline) {
        return usage(
            "--filter would change layers that type=inline says are those of the steps",
            "write the cache with type=registry or type=local",
        );
    }
    if exports.has_stdout() && filters.iter().any(Filter::speaks) {
        return usage(
            "stdout cannot have both the image and what find= finds",
            "name a file with dest=",
        );
    }
    Ok(())
}

/// What a build made, as filters leave it; kept here under its names, if it shall be.
pub(super) fn filtered(
    mut built: Built,
    filters: &[Filter],
    exports: &Exports,
    store: &Store,
    invocation: &Invocation,
) -> Result<Built, Error> {
    let reporter = &*invocation.reporter;
    let names = exports.names();
    let plain = source::Store::named(store, built.descriptor().clone(), names.to_vec());
    let kitchen = Kitchen { store, reporter, found: &told };
    let changed = filter::apply(Box::new(plain), filters, kitchen)?;
    let (sink, names) = match exports.is_named() {
        true => (sink::Store::new(store), names.to_vec()),
        false => (sink::Store::nameless(store), Vec::new()),
    };
    let jobs = invocation.jobs().layers;
    let options = transfer::Options { names, jobs, ..Default::default() };
    let arrived = transfer(&*changed, &sink.packed(), &options, reporter)?;
    built.root = source::Store::new(store, arrived).root()?;
    let manifests = match &built.root {
        Content::Index(index) => {
            let images = index.manifests.iter();
            images.map(|image| store.content(image)).collect::<Result<_, _>>()?
        }
        one => vec![one.clone()],
    };
    // An index keeps the order of its images, and nothing is said about them beside them.
    for (image, content) in built.images.iter_mut().zip(manifests) {
        if let Content::Image(manifest) = content {
            change(image, manifest, store)?;
        }
    }
    Ok(built)
}

/// Layers that became one are all the build's.
fn change(image: &mut BuiltImage, manifest: Manifest, store: &Store) -> Result<(), Error> {
    if manifest.layers.len() != image.manifest.layers.len() {
        image.base_layers = 0;
    }
    image.config = store.config(&manifest)?;
    image.manifest = manifest;
    Ok(())
}
