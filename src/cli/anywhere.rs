//! An image wherever it is: here, in a registry, in an archive or a directory. All commands that
//! read one take it from here, so that a name means the same to each.

use std::path::Path;

use super::args::{self, Login, Network};
use super::error::Error;
use super::invocation::Invocation;
use super::network::Remote;
use crate::image::{Content, Platform, Reference};
use crate::inspect;
use crate::store::{self, RefEntry, Store};
use crate::transfer::{self, Endpoint, Options, Resolved, Source, source};

/// The registry of names that never leave this machine: what podman and buildah call images that
/// nobody gave a registry.
const HERE: &str = "localhost";

/// Options of the commands that read an image wherever it is.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Anywhere {
    /// Ask the registry at once, whatever is here under that name
    #[arg(long)]
    remote: bool,
    /// Choose this platform from an index [default: this machine's]
    #[arg(long, value_name = "OS/ARCH", value_parser = args::platform)]
    platform: Option<Platform>,
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    login: Login,
}

impl Anywhere {
    /// What images are looked for with.
    pub(crate) fn places(&self, invocation: &Invocation) -> Result<Places, Error> {
        Ok(Places {
            store: invocation.store()?,
            remote: self.network.remote_as(invocation, self.login.given(invocation)?)?,
            asks_registry: self.remote,
            platform: self.platform.clone(),
        })
    }
}

/// Everywhere that an image can be.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) store: Store,
    pub(crate) remote: Remote,
    asks_registry: bool,
    /// As it was asked for.
    pub(crate) platform: Option<Platform>,
}

impl Places {
    /// Options for a transfer of the image of the platform that was asked for, or of this machine's.
    pub(crate) fn options(&self) -> Options {
        self.remote.options(self.platform.as_ref(), Vec::new())
    }

    /// See [`find`].
    pub(crate) fn find(&self, text: &str) -> Result<Found<'_>, Error> {
        find(&self.store, &self.remote, text, self.asks_registry)
    }
}

/// Finds what `text` names: a place with its word (`oci:DIR`, see [`Endpoint`]); a path with a slash
/// or a dot in front, of an archive or a layout with one image; a name or an ID here, unless
/// `asks_registry`; or else a name in a registry. Registries are not asked yet.
pub(crate) fn find<'a>(
    store: &'a Store,
    remote: &'a Remote,
    text: &str,
    asks_registry: bool,
) -> Result<Found<'a>, Error> {
    let around = remote.surroundings(store);
    let here = |entry: RefEntry| {
        let source = Box::new(source::Store::of(store, &entry));
        Found { entry: Some(entry), ..Found::new(source) }
    };
    if text.starts_with("http://") || text.starts_with("https://") {
        return Ok(Found::new(Endpoint::Registry(remote.reference(text)?).source(around)?));
    }
    if let Some(endpoint) = Endpoint::with_scheme(text)? {
        if let Endpoint::Store(name) = &endpoint {
            return Ok(here(store.find(name)?));
        }
        let inside = Error::inside(Path::new(text));
        return Ok(Found::new(endpoint.source(around).map_err(inside)?));
    }
    if ["/", "./", "../"].iter().any(|start| text.starts_with(start)) {
        let path = Path::new(text);
        return Ok(Found::new(source::only(path, store).map_err(Error::inside(path))?));
    }
    if asks_registry {
        return Ok(Found::new(Endpoint::Registry(remote.reference(text)?).source(around)?));
    }
    match store.find(text) {
        Ok(entry) => Ok(here(entry)),
        Err(missing @ store::Error::NotFound(_)) => {
            if !is_elsewhere(text) {
                return Err(missing.into());
            }
            let reference = remote.reference(text)?;
            // An alias may mean what is here.
            if let Some(entry) = store.find_reference(&reference)? {
                return Ok(here(entry));
            }
            let path = Path::new(text);
            if path.is_file() || path.join("oci-layout").is_file() {
                let hint = Some(format!("for what is at that path, write ./{text}"));
                let text = format!("no image is named {} here", reference.familiar());
                return Err(Error::Usage { text, hint });
            }
            let source = Endpoint::Registry(reference.clone()).source(around)?;
            Ok(Found { guess: Some(reference), ..Found::new(source) })
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether a registry is asked for what is not here.
fn is_elsewhere(text: &str) -> bool {
    // The beginning of an ID could be a name with a tag as well.
    !text.starts_with("sha256:")
        && text.parse().is_ok_and(|name: Reference| name.registry() != HERE)
}

/// An image, an index or an artifact that was found.
pub(crate) struct Found<'a> {
    pub(crate) source: Box<dyn Source + 'a>,
    /// What the storage directory knows of it, if it is here.
    pub(crate) entry: Option<RefEntry>,
    /// A name that was not found here: perhaps nobody meant a registry at all.
    guess: Option<Reference>,
}

impl<'a> Found<'a> {
    fn new(source: Box<dyn Source + 'a>) -> Self {
        Self { source, entry: None, guess: None }
    }

    /// What was asked for: an index is not narrowed.
    pub(crate) fn root(&self) -> Result<Content, Error> {
        self.source.root().map_err(|error| self.failed(error))
    }

    /// The image of [`Options::platform`], without its layers.
    pub(crate) fn resolve(
        &self,
        options: &Options,
        invocation: &Invocation,
    ) -> Result<Resolved, Error> {
        Resolved::of(&*self.source, options, &*invocation.reporter)
            .map_err(|error| self.failed(error))
    }

    /// The same while it was looked into.
    pub(crate) fn failed_to_inspect(&self, error: inspect::Error) -> Error {
        match error {
            inspect::Error::Transfer(error) => self.failed(*error),
            error => error.into(),
        }
    }

    /// What it means that the source failed. A short name that is not here was most likely meant
    /// to be: what Docker Hub says of it is not the whole story then.
    pub(crate) fn failed(&self, error: transfer::Error) -> Error {
        match (&self.guess, error) {
            (Some(name), transfer::Error::Registry(source)) => {
                let name = Box::new(name.clone());
                Error::Nowhere { name, source: Box::new(source) }
            }
            (_, error) => error.into(),
        }
    }
}

impl std::fmt::Debug for Found<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Found({})", self.source.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_names_are_never_looked_for_elsewhere() {
        for (text, expected) in [
            ("app", true),
            ("host.example/app:1", true),
            ("localhost:5000/app", true),
            ("localhost/app", false),
            ("sha256:0123", false),
            ("Not A Name", false),
        ] {
            assert_eq!(is_elsewhere(text), expected, "{text}");
        }
    }
}
