//! From the options and the environment to registries that can be spoken to.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex};

use super::args::{Login, Network};
use super::config::Config;
use super::credentials::credential;
use super::error::Error;
use super::invocation::Invocation;
use super::prompt;
use crate::build::Web;
use crate::http::{self, Client, Proxies, Trail};
use crate::image::{self, Aliases, Content, Descriptor, Digest, Platform, Reference};
use crate::registry::{self, Access, Ask, Credential, Keyring, Patience, Registries, Registry};
use crate::report::Reporter;
use crate::store::{Name, Store};
use crate::transfer::{
    self, About, Endpoint, Options, Source, Surroundings, sink, source, transfer,
};

/// The registries of one command. Nothing is sent before somebody asks.
pub(crate) struct Remote {
    registries: Registries,
    aliases: Aliases,
    /// Names whose meaning was told.
    told: Mutex<HashSet<String>>,
    web: Web,
    jobs: usize,
    reporter: Arc<dyn Reporter + Send + Sync>,
    /// Where programs of this machine are.
    search: String,
    /// Where daemons listen.
    sockets: Vec<PathBuf>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("registries", &self.registries).finish_non_exhaustive()
    }
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
        self.remote_watched(invocation, given, None)
    }

    /// The same, with somebody who wants to know whom it speaks to.
    pub(crate) fn remote_watched(
        &self,
        invocation: &Invocation,
        given: Option<Credential>,
        trail: Option<Trail>,
    ) -> Result<Remote, Error> {
        let config = &invocation.config;
        let certificates = [&self.cacert[..], &config.certificates[..]].concat();
        let proxies = self.proxies(config);
        let settings = http::Settings {
            proxies: proxies.clone(),
            certificates: certificates.clone(),
            host_certificates: config.certificate_folders.clone(),
            own_certificates: self.own_certificates.clone(),
            rate: self.rate_limit.or_else(|| config.settings.text("rate-limit")?.parse().ok()),
            offline: self.offline || config.settings.text("offline").is_some_and(|text| yes(&text)),
            trail,
            socket: None,
        };
        let client = Arc::new(Client::new(settings));
        let everybody = self.tls_no_verify.then(|| "*".to_owned());
        let insecure = [&self.insecure[..], &config.insecure[..], everybody.as_slice()].concat();
        let patience = self.patience(config);
        let web = Web {
            client: client.clone(),
            insecure: insecure.clone(),
            patience: patience.clone(),
            proxies,
            certificates,
            home: config.variable("HOME").map(PathBuf::from),
            ssh_agent: config.variable("SSH_AUTH_SOCK").map(PathBuf::from),
        };
        let files = match &self.authfile {
            Some(file) => vec![file.clone()],
            None => config.auth_files.clone(),
        };
        let routes = self.routes(config)?;
        let access = Access {
            insecure,
            keyring: Keyring { given, files, ask: self.ask(invocation) },
            patience,
            allow_foreign: self.allow_foreign,
            routes: routes.clone(),
            reporter: invocation.reporter.clone(),
        };
        let registries = Registries::new(client, access);
        Ok(Remote {
            registries,
            aliases: routes.aliases().clone(),
            told: Mutex::default(),
            web,
            jobs: invocation.jobs().layers,
            reporter: invocation.reporter.clone(),
            search: config.path.clone(),
            sockets: config.sockets.clone(),
        })
    }

    fn proxies(&self, config: &Config) -> Proxies {
        let proxies = config.proxies.clone();
        match self.proxy.clone().or_else(|| config.settings.text("proxy")) {
            Some(url) => proxies.all(&url),
            None => proxies,
        }
    }

    fn patience(&self, config: &Config) -> Patience {
        let patience = Patience::default();
        let own = || config.settings.text("retry")?.parse().ok();
        Patience { tries: self.retry.or_else(own).unwrap_or(patience.tries), ..patience }
    }

    fn routes(&self, config: &Config) -> Result<registry::Routes, Error> {
        let mut routes = config.routes()?;
        let own = config.settings.list("mirror");
        let own = own.iter().filter_map(|text| text.split_once('='));
        let given = self.mirror.iter().map(|(host, mirror)| (host.as_str(), mirror.as_str()));
        // The last that is added is asked first.
        for (host, mirror) in given.chain(own).rev() {
            routes.mirror(host, mirror);
        }
        Ok(routes)
    }

    /// How a person is asked, if somebody wants that.
    fn ask(&self, invocation: &Invocation) -> Option<Ask> {
        if !self.auth && invocation.config.setting("CH_IMAGE_AUTH").as_deref() != Some("yes") {
            return None;
        }
        let (known, always) = (Mutex::new(HashMap::new()), self.password_many);
        let reporter = invocation.reporter.clone();
        let question = move |host: &str| -> io::Result<Credential> {
            let mut known = known.lock().expect("no thread panics while it asks a person");
            if let Some(credential) = known.get(host).filter(|_| !always) {
                return Ok(Credential::clone(credential));
            }
            let mut answer = None;
            reporter.pause(&mut || answer = Some(prompt::credential(host)));
            let credential = answer.expect("the work was done")?;
            known.insert(host.to_owned(), credential.clone());
            Ok(credential)
        };
        Some(Ask { always, question: Arc::new(question) })
    }
}

impl Login {
    pub(crate) fn given(&self, invocation: &Invocation) -> Result<Option<Credential>, Error> {
        let config = &invocation.config;
        let (text, option) = match &self.creds {
            Some(text) => (Some(text.clone()), Some("--creds")),
            None => (config.setting("BRYO_CREDS"), None),
        };
        if let Some(text) = text {
            return credential(&text, option, self.password_stdin, invocation).map(Some);
        }
        if self.password_stdin {
            let text = "--password-stdin is the password of nobody".to_owned();
            return Err(Error::Usage {
                text,
                hint: Some("name the user: --creds USER".to_owned()),
            });
        }
        // As ch-image has them.
        let user = config.setting("CH_IMAGE_USERNAME");
        let both = user.zip(config.variable("CH_IMAGE_PASSWORD"));
        Ok(both.map(|(user, password)| Credential::new(&user, &password)))
    }
}

/// A place of an image as it was typed.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    text: String,
    /// What it is by its form alone.
    pub(crate) endpoint: Endpoint,
}

impl Written {
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

impl FromStr for Written {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let endpoint = match without_scheme(text) {
            Some((bare, _)) => Endpoint::Registry(of_url(text, bare)?),
            None => text.parse()?,
        };
        Ok(Self { text: text.to_owned(), endpoint })
    }
}

/// The name that follows a scheme, which begins with a host in any case: what is short elsewhere is
/// none here.
fn of_url(text: &str, bare: &str) -> Result<Reference, image::Error> {
    let name: Reference = bare.parse()?;
    let host = bare.split('/').next().unwrap_or_default();
    match registry::canonical(host) == name.registry() {
        true => Ok(name),
        false => {
            let why = "what follows the scheme is no HOST or HOST:PORT of a registry";
            Err(image::Error::Reference(text.to_owned(), why))
        }
    }
}

/// What follows `http://` or `https://`, and whether it was the former.
fn without_scheme(text: &str) -> Option<(&str, bool)> {
    let plain = text.strip_prefix("http://").map(|bare| (bare, true));
    plain.or_else(|| text.strip_prefix("https://").map(|bare| (bare, false)))
}

/// What a switch among the settings says.
fn yes(text: &str) -> bool {
    text == "yes"
}

impl Remote {
    pub(crate) fn registry(&self, host: &str) -> Registry {
        self.registries.get(host)
    }

    /// What places of images are opened with.
    pub(crate) fn surroundings<'a>(&'a self, store: &'a Store) -> Surroundings<'a> {
        Surroundings {
            store,
            registries: &self.registries,
            reporter: &*self.reporter,
            search: &self.search,
            sockets: &self.sockets,
        }
    }

    /// What a name means, with the aliases of registries.conf for short ones, which are told.
    /// `http://` before it allows its registry to do without TLS; `https://` says what is usual.
    pub(crate) fn reference(&self, text: &str) -> Result<Reference, Error> {
        if let Some((bare, plain)) = without_scheme(text) {
            let name = of_url(text, bare)?;
            if plain {
                self.registries.allow_plain(name.registry());
            }
            return Ok(name);
        }
        match Endpoint::with_scheme(text)? {
            Some(Endpoint::Registry(name)) => return Ok(name),
            Some(place) => {
                let text = format!("{place} is in no registry");
                let hint = Some("`bryo copy` brings it to one; `bryo inspect` shows it".to_owned());
                return Err(Error::Usage { text, hint });
            }
            None => {}
        }
        let (name, is_alias) = self.aliases.reference(text)?;
        let mut told = self.told.lock().expect("telling cannot panic");
        if is_alias && told.insert(text.to_owned()) {
            self.reporter.note(format!("{text} is {name}, by an alias of registries.conf"));
        }
        Ok(name)
    }

    /// An image here, by its name, its ID, or an alias of its name.
    pub(crate) fn here<'a>(
        &self,
        store: &'a Store,
        text: &str,
    ) -> Result<source::Store<'a>, Error> {
        let bare = without_scheme(text).map_or(text, |(bare, _)| bare);
        source::Store::find(store, bare).or_else(|error| match self.aliases.reference(bare) {
            Ok((name, true)) if store.find_reference(&name)?.is_some() => {
                Ok(source::Store::find(store, &name.to_string())?)
            }
            _ => Err(error.into()),
        })
    }

    /// What `text`, which was read as `endpoint`, means as a place of an image: see
    /// [`Remote::reference`].
    pub(crate) fn place(&self, written: &Written) -> Result<Endpoint, Error> {
        match &written.endpoint {
            Endpoint::Registry(_) => {
                let text = written.text.strip_prefix("registry:").unwrap_or(&written.text);
                self.reference(text).map(Endpoint::Registry)
            }
            other => Ok(other.clone()),
        }
    }

    /// The registry that somebody wrote as `HOST` or `http://HOST`, and its name.
    pub(crate) fn host(&self, text: &str) -> Result<(Registry, String), Error> {
        let (bare, plain) = without_scheme(text).unwrap_or((text, false));
        let host = bare.trim_end_matches('/');
        if host.contains('@') {
            let text = "the registry is HOST or HOST:PORT, without anything before it".to_owned();
            let hint = Some("name the user with --creds".to_owned());
            return Err(Error::Usage { text, hint });
        }
        if plain {
            self.registries.allow_plain(host);
        }
        Ok((self.registries.get(host), host.to_owned()))
    }

    /// A name that has neither a tag nor a digest.
    pub(crate) fn repository(&self, text: &str) -> Result<Reference, Error> {
        let name = self.reference(text)?;
        match self.reference(&format!("{text}:latest")) {
            Ok(_) => Ok(name),
            Err(_) => {
                let hint = format!("write {}/{}", name.registry(), name.repository());
                let text = format!("{text} is one image of a repository");
                Err(Error::Usage { text, hint: Some(hint) })
            }
        }
    }

    /// What a name means in its registry just now.
    pub(crate) fn head(&self, name: &Reference) -> Result<Descriptor, Error> {
        let registry = self.registry(name.registry());
        let found = registry.head_manifest(name.repository(), &name.target())?;
        found.ok_or_else(|| registry::Error::missing(name.to_string()).into())
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
        Ok(transfer(
            &source,
            &sink::Store::new(store).telling(&*invocation.reporter),
            &options,
            &*invocation.reporter,
        )?)
    }

    /// Sends what `text` names in the store; gives its descriptor.
    pub(crate) fn push(
        &self,
        invocation: &Invocation,
        store: &Store,
        text: &str,
        destination: &Reference,
    ) -> Result<Descriptor, Error> {
        let source = source::Store::find(store, text)?;
        self.send(invocation, store, &source, destination, false)
    }

    /// Sends an image, or an index with all its images; gives its descriptor. `foreign` says whether
    /// layers are sent, too, that registries are not to keep.
    pub(crate) fn send(
        &self,
        invocation: &Invocation,
        store: &Store,
        source: &dyn Source,
        destination: &Reference,
        foreign: bool,
    ) -> Result<Descriptor, Error> {
        let registry = self.registry(destination.registry());
        let mut sink = sink::Registry::new(registry, destination.clone());
        if let Some(repository) = near(store, &source.root()?, destination)? {
            sink = sink.near(repository);
        }
        let options = Options { foreign, ..self.whole() };
        Ok(transfer(source, &sink, &options, &*invocation.reporter)?)
    }

    /// Whatever was named is sent whole, and with it what is said about it.
    fn whole(&self) -> Options {
        Options { jobs: self.jobs, about: About::Moved, ..Options::default() }
    }
}

/// Another repository of the same registry that has most of the layers, by what was pulled from it
/// or pushed to it: the registry can take them over from there.
pub(crate) fn near(
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
