//! From the options and the environment to registries that can be spoken to.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::args::{Login, Network};
use super::error::Error;
use super::invocation::Invocation;
use crate::build::Web;
use crate::http::{self, Client};
use crate::image::{Content, Descriptor, Digest, Platform, Reference};
use crate::registry::{Access, Credential, Keyring, Patience, Registries, Registry};
use crate::store::{self, Name, Store};
use crate::transfer::{self, Endpoint, Options, Source, Surroundings, sink, source, transfer};

/// The registries of one command. Nothing is sent before somebody asks.
#[derive(Debug)]
pub(crate) struct Remote {
    registries: Registries,
    web: Web,
    jobs: usize,
}

impl Network {
    pub(crate) fn remote(&self, invocation: &Invocation) -> Result<Remote, Error> {
        self.remote_as(invocation, None)
    }

    /// The same, with credentials for whichever registry asks.
    pub(crate) fn remote_as(
        &self,
        invocation: &Invocation,
        given: Option<Credential>,
    ) -> Result<Remote, Error> {
        let config = &invocation.config;
        let certificates = [&self.cacert[..], &config.certificates[..]].concat();
        let insecure = [&self.insecure[..], &config.insecure[..]].concat();
        let proxies = config.proxies.clone();
        let settings =
            http::Settings { proxies: proxies.clone(), certificates: certificates.clone() };
        let client = Arc::new(Client::new(settings));
        let web = Web {
            client: client.clone(),
            insecure: insecure.clone(),
            patience: Patience::default(),
            proxies,
            certificates,
            home: config.variable("HOME").map(PathBuf::from),
            ssh_agent: config.variable("SSH_AUTH_SOCK").map(PathBuf::from),
        };
        let files = match &self.authfile {
            Some(file) => vec![file.clone()],
            None => config.auth_files.clone(),
        };
        let access = Access {
            insecure,
            keyring: Keyring { given, files },
            patience: Patience::default(),
            reporter: invocation.reporter.clone(),
        };
        let registries = Registries::new(client, access);
        Ok(Remote { registries, web, jobs: invocation.jobs().layers })
    }
}

impl Login {
    pub(crate) fn given(&self) -> Result<Option<Credential>, Error> {
        let Some(text) = &self.creds else { return Ok(None) };
        let Some((user, secret)) = text.split_once(':') else {
            let hint = Some("give both, or use `bryo login`".to_owned());
            return Err(Error::Usage { text: "--creds is USER:PASSWORD".to_owned(), hint });
        };
        Ok(Some(Credential::new(user, secret)))
    }
}

impl Remote {
    pub(crate) fn registry(&self, host: &str) -> Registry {
        self.registries.get(host)
    }

    /// Other machines than registries.
    pub(crate) fn web(&self) -> &Web {
        &self.web
    }

    /// Options for a transfer of one platform's image, called `names` where it arrives.
    pub(crate) fn options(&self, platform: Option<&Platform>, names: Vec<Reference>) -> Options {
        let platform = platform.cloned().unwrap_or_else(Platform::host);
        Options { platform: Some(platform), jobs: self.jobs, names, ..Options::default() }
    }

    /// Fetches an image, unpacks it and names it; gives its manifest's descriptor.
    pub(crate) fn pull(
        &self,
        invocation: &Invocation,
        store: &Store,
        name: &Reference,
        platform: Option<&Platform>,
    ) -> Result<Descriptor, Error> {
        let source = source::Registry::new(self.registry(name.registry()), name.clone());
        let options = self.options(platform, vec![name.clone()]);
        Ok(transfer(&source, &sink::Store::new(store), &options, &*invocation.reporter)?)
    }

    /// What places of images are opened with.
    pub(crate) fn surroundings<'a>(&'a self, store: &'a Store) -> Surroundings<'a> {
        Surroundings { store, registries: &self.registries }
    }

    /// What `text` names: a place with its word (`oci:DIR`), a name or an ID here, or else a name in
    /// a registry.
    pub(crate) fn find<'a>(
        &'a self,
        store: &'a Store,
        text: &str,
    ) -> Result<Box<dyn Source + 'a>, Error> {
        if let Some(endpoint) = Endpoint::with_scheme(text)? {
            return Ok(endpoint.source(self.surroundings(store))?);
        }
        match store.find(text) {
            Ok(_) => Ok(Box::new(source::Store::find(store, text)?)),
            Err(missing @ store::Error::NotFound(_)) => match text.parse() {
                Ok(name) => Ok(Endpoint::Registry(name).source(self.surroundings(store))?),
                Err(_) => Err(missing.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Sends what `text` names in the store; gives its descriptor.
    pub(crate) fn push(
        &self,
        invocation: &Invocation,
        store: &Store,
        text: &str,
        destination: &Reference,
    ) -> Result<Descriptor, Error> {
        self.send(invocation, store, &source::Store::find(store, text)?, destination)
    }

    /// Sends an image, or an index with all its images; gives its descriptor.
    pub(crate) fn send(
        &self,
        invocation: &Invocation,
        store: &Store,
        source: &dyn Source,
        destination: &Reference,
    ) -> Result<Descriptor, Error> {
        let registry = self.registry(destination.registry());
        let mut sink = sink::Registry::new(registry, destination.clone());
        if let Some(repository) = near(store, &source.root()?, destination)? {
            sink = sink.near(repository);
        }
        Ok(transfer(source, &sink, &self.whole(), &*invocation.reporter)?)
    }

    /// The same, with root as the owner of everything.
    pub(crate) fn push_flattened(
        &self,
        invocation: &Invocation,
        store: &Store,
        text: &str,
        destination: &Reference,
    ) -> Result<Descriptor, Error> {
        let reporter = &*invocation.reporter;
        let source = source::Store::find(store, text)?;
        let rewrite = source::Rewrite { flat: true, ..source::Rewrite::default() };
        let source = source::Rewritten::new(&source, &rewrite, store, reporter)?;
        let registry = self.registry(destination.registry());
        let sink = sink::Registry::new(registry, destination.clone());
        Ok(transfer(&source, &sink, &self.whole(), reporter)?)
    }

    /// Whatever was named is sent whole.
    fn whole(&self) -> Options {
        Options { jobs: self.jobs, ..Options::default() }
    }
}

/// Another repository of the same registry that has most of the layers, by what was pulled from it
/// or pushed to it: the registry can take them over from there.
fn near(
    store: &Store,
    content: &Content,
    destination: &Reference,
) -> Result<Option<String>, Error> {
    let layers = layers(store, content);
    let mut best = None;
    for entry in store.list_refs()? {
        let Name::Tagged(name) = &entry.name else { continue };
        if name.registry() != destination.registry()
            || name.repository() == destination.repository()
        {
            continue;
        }
        // What cannot be read helps nobody here, and is no reason to fail.
        let Ok(other) = store.content(&entry.descriptor) else { continue };
        let count = self::layers(store, &other).intersection(&layers).count();
        best = best.max((count > 0).then(|| (count, name.repository().to_owned())));
    }
    Ok(best.map(|(_, repository)| repository))
}

/// The layers of an image, or of all images of an index, as far as they are known here.
fn layers(store: &Store, content: &Content) -> HashSet<Digest> {
    match content {
        Content::Image(manifest) => {
            manifest.layers.iter().map(|layer| layer.digest.clone()).collect()
        }
        Content::Index(index) => index
            .manifests
            .iter()
            .filter_map(|descriptor| store.content(descriptor).ok())
            .flat_map(|content| match content {
                Content::Image(manifest) => manifest.layers,
                _ => Vec::new(),
            })
            .map(|layer| layer.digest)
            .collect(),
        Content::Artifact(_) => HashSet::new(),
    }
}

/// Names that a build does not find in the store are looked for in registries.
impl crate::build::Images for Remote {
    fn source(&self, reference: &Reference) -> Result<Box<dyn Source + '_>, transfer::Error> {
        let registry = self.registry(reference.registry());
        Ok(Box::new(source::Registry::new(registry, reference.clone())))
    }
}
