//! Dockerfiles become images: plan, then do.
//!
//! [`build`] parses the file, makes a `Plan` of it (pure: stages, what each stands on, which the
//! target needs) and executes that: for each step a key is made of everything that the result
//! depends on, and the store is asked for it; only a miss does something. What a step changes in a
//! [`Snapshot`](crate::store::Snapshot) is packed into a layer and becomes the next step's lower
//! directory. Stages run side by side, for each platform; what they make is [`Built`].

mod archive;
mod attest;
mod base;
mod change;
mod commit;
mod config_step;
mod content;
mod context;
mod copy_step;
mod copy_words;
mod error;
mod exchange;
mod execute;
mod files;
mod finish;
mod hashing;
mod history;
mod keep;
mod key;
mod lint;
mod log;
mod modify;
mod mounts;
mod named;
mod outline;
mod parents;
mod place;
mod plan;
mod rehearse;
mod remote;
mod result;
mod rsync_step;
mod run_step;
mod scope;
mod shared;
mod state;
mod survey;
mod workdir_step;

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

pub use attest::{
    Attestations, Beside, Elsewhere, Mode, Origin, Predicate, Provenance, Sbom, Subject,
};
pub use change::change;
pub use error::{Error, Fault};
pub use exchange::{CacheOrigin, Carried, Extent, export as export_cache, import as import_cache};
pub use keep::FAILED;
pub use log::Written;
pub use modify::{Deed, modify};
pub use mounts::Secret;
pub use named::named_images;
pub use outline::{Argument, Asked, Cache, Outline, Target, outline, targets};
pub use rehearse::{Expected, Rehearsed, rehearse};
pub use remote::{Arrival, Error as RemoteError, Fetcher, Kind as RemoteKind, Web, fetch_text};
pub use result::{Built, BuiltImage};
pub use survey::{Survey, survey};

use crate::dockerfile;
use crate::fakeroot::Wish;
use crate::image::media_type::Family;
use crate::image::{Aliases, Annotations, Platform, Reference, Timestamp};
use crate::layer::compress::Compression;
use crate::report::Reporter;
use crate::run::{Agent, Surroundings, Volume};
use crate::sandbox::Network;
use crate::store::{Name, RefEntry, Store};
use crate::transfer;
use attest::Invocation;
use exchange::Imported;
use execute::Executor;
use log::Log;
use plan::{Plan, Wishes};
use shared::Shared;

/// What to build, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The Dockerfile's text.
    pub dockerfile: String,
    /// The directory that COPY and ADD read; None: there is none, and nothing in it.
    pub context: Option<PathBuf>,
    /// The context is a directory of the caller's: RSYNC may follow links that lead out of it.
    pub is_local: bool,
    /// Replaces the context's own ignore file.
    pub ignore_file: Option<IgnoreFile>,
    pub tags: Vec<Reference>,
    /// The stage to build; None: the last one.
    pub target: Option<String>,
    pub build_args: Vec<(String, String)>,
    /// Named contexts (`--build-context`).
    pub contexts: Vec<(String, NamedContext)>,
    /// What short names in FROM and --from mean.
    pub aliases: Aliases,
    /// What the image is for; several make an index. None: for this machine, or whatever else its
    /// base is for.
    pub platforms: Vec<Platform>,
    /// Beat those of LABEL.
    pub labels: Vec<(String, String)>,
    /// Ask the registries for newer bases.
    pub pull: bool,
    pub no_cache: bool,
    /// Names of stages that do without the cache.
    pub no_cache_filter: Vec<String>,
    /// Caches elsewhere, which are asked for what is not in this one.
    pub cache_from: Vec<CacheOrigin>,
    /// The result has its own cache in its configuration.
    pub inline_cache: bool,
    /// Seconds since 1970 for all times that the build would take from the clock; the same as a
    /// build argument `SOURCE_DATE_EPOCH`, which beats it.
    pub source_date_epoch: Option<i64>,
    pub compression: Compression,
    pub shape: Shape,
    /// Whether the result gets a name in the store: one of `tags`, or that of a nameless image.
    pub is_named: bool,
    /// How RUN steps are root.
    pub emulation: Wish,
    /// What RUN steps reach that do not say it themselves.
    pub network: Network,
    /// What RUN steps see of this machine (`--bind`); in no step's key.
    pub binds: Vec<Volume>,
    /// What RUN steps find beside their images.
    pub surroundings: Surroundings,
    /// What a step leaves that fails becomes an image ([`FAILED`]).
    pub keep_failed: bool,
    /// Where a RUN step fails, a shell of its own looks around, on the terminal.
    pub shell_on_error: bool,
    /// How long each RUN step may take.
    pub run_timeout: Option<Duration>,
    pub secrets: Vec<Secret>,
    pub agents: Vec<Agent>,
    pub jobs: Jobs,
    /// What is told of where the Dockerfile and the context came from.
    pub origin: Origin,
    /// What is to be said about the result.
    pub attestations: Attestations,
}

/// How much is done at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jobs {
    /// So many steps are executed.
    pub steps: usize,
    /// So many layers move.
    pub layers: usize,
}

/// What the result looks like, whatever the Dockerfile makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// All layers of the build become one (`docker build --squash`).
    pub squash: bool,
    /// Times in new layers that are later than `SOURCE_DATE_EPOCH` become that.
    pub rewrite_timestamp: bool,
    /// Layers of the base are compressed as the new ones are.
    pub force_compression: bool,
    /// Whose media types manifests have.
    pub family: Family,
    pub annotations: Annotations,
}

impl Default for Shape {
    fn default() -> Self {
        let (annotations, family) = (Annotations::default(), Family::Oci);
        let (squash, rewrite_timestamp, force_compression) = (false, false, false);
        Self { squash, rewrite_timestamp, force_compression, family, annotations }
    }
}

impl Options {
    /// Whether a named context is a directory here.
    fn has_directory(&self, name: &str) -> bool {
        let named = self.contexts.iter().find(|(known, _)| known == name);
        matches!(named, Some((_, NamedContext::Directory(_))))
    }

    /// Tells of names that no stage has: most often, of a stage whose cache is used after all.
    fn warn_of_filter(&self, plan: &Plan, reporter: &dyn Reporter) {
        let has = |name: &String| {
            let mut names = plan.stages.iter().filter_map(|stage| stage.name.as_deref());
            names.any(|known| known.eq_ignore_ascii_case(name))
        };
        for name in self.no_cache_filter.iter().filter(|name| !has(name)) {
            reporter.warn(format!("--no-cache-filter: there is no stage {name:?}"));
        }
    }

    /// What is built for: what was asked for, each once, or this machine.
    fn targets(&self) -> Vec<Platform> {
        let mut targets: Vec<Platform> = Vec::new();
        for platform in self.platforms.iter().map(Platform::normalized) {
            if !targets.contains(&platform) {
                targets.push(platform);
            }
        }
        if targets.is_empty() {
            targets.push(Platform::host());
        }
        targets
    }

    /// Annotations need something to stand on.
    fn check_shape(&self) -> Result<(), Error> {
        let (annotations, targets) = (&self.shape.annotations, self.targets());
        let is_index = targets.len() > 1 || self.attestations != Attestations::default();
        if annotations.need_an_index() && !is_index {
            return Err(Error::NoIndex);
        }
        match annotations.about_none_of(&targets).and_then(|one| one.platform.as_ref()) {
            Some(platform) => Err(Error::NoPlatform(platform.to_string())),
            None => Ok(()),
        }
    }

    /// Whether the result is an index of images.
    pub fn has_several_platforms(&self) -> bool {
        self.targets().len() > 1
    }

    /// The one whose Dockerfile is looked at, where one look is enough.
    fn first_target(&self) -> Platform {
        self.targets().swap_remove(0)
    }
}

/// Patterns of what is in a build context and is not to be seen, as they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoreFile {
    /// For people.
    pub path: PathBuf,
    pub text: Vec<u8>,
}

/// What `--build-context` gives a name to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedContext {
    Directory(PathBuf),
    /// A repository, or a file that may be an archive, on another machine: its URL.
    Remote(String),
    Image(Reference),
    /// An OCI image layout (`oci-layout://`).
    Layout {
        directory: PathBuf,
        /// A tag, a name or a digest.
        tag: Option<String>,
    },
    /// Programs of this machine (`host:`).
    Host(Vec<String>),
}

impl NamedContext {
    /// Whether it has layers; else, files alone.
    fn is_image(&self) -> bool {
        match self {
            Self::Image(_) | Self::Layout { .. } | Self::Host(_) => true,
            Self::Directory(_) | Self::Remote(_) => false,
        }
    }
}

/// What a build needs from outside.
#[derive(Clone, Copy)]
pub struct Services<'a> {
    pub images: &'a dyn Images,
    /// Where ADD gets files from that are on other machines.
    pub web: &'a Web,
    /// The search path for programs of this machine (`host:`).
    pub path: &'a str,
}

impl fmt::Debug for Services<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Where images come from that the store does not have.
pub trait Images: Sync {
    /// An image by its name, most often in a registry.
    fn source(
        &self,
        reference: &Reference,
    ) -> Result<Box<dyn transfer::Source + '_>, transfer::Error>;
}

/// Builds an image for each platform, and names what they make.
///
/// # Errors
///
/// [`Error::span`] tells where in the Dockerfile. What was built until then stays in the cache.
pub fn build(
    store: &Store,
    services: Services<'_>,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Built, Error> {
    let (dockerfile, diagnostics) = dockerfile::parse(&options.dockerfile);
    if diagnostics.iter().any(dockerfile::Diagnostic::is_error) {
        return Err(Error::Dockerfile(diagnostics));
    }
    options.check_shape()?;
    let started = Timestamp::from(SystemTime::now());
    attest::warn_of_scans(options, &dockerfile, reporter);
    let declared = Plan::declared(&dockerfile);
    let log = Log::new(store, reporter, &options.secrets);
    let mut shared = Shared::new(store, services, options, &log);
    shared.imported = Imported::read(store, services, options, &log);
    let shared = shared;
    let (mut planned, mut steps) = (Vec::new(), 0);
    for platform in options.targets() {
        let given = survey::given(options, &platform);
        let plan = Plan::new(dockerfile.clone(), Wishes::new(options, &given, &platform))?;
        steps += plan.steps()?;
        planned.push((platform, given, plan));
    }
    options.warn_of_filter(&planned[0].2, reporter);
    for (short, full) in planned[0].2.by_alias() {
        reporter.note(format!("{short} is {full}, by an alias of registries.conf"));
    }
    let executors = planned
        .iter()
        .map(|(platform, given, plan)| Executor::new(&shared, plan, given, platform.clone()))
        .collect::<Result<Vec<_>, _>>()?;
    let done = execute::execute(&executors, options.jobs.steps);
    if let Err(error) = shared.keep_hashes() {
        reporter.warn(format!("the next build reads the whole context again: {error}"));
    }
    // Not before: triggers of base images may declare arguments too.
    let triggered = executors.iter().flat_map(Executor::triggered).collect();
    let declared = [declared, triggered].concat();
    let unused: Vec<&str> = planned[0].1.unused(&declared).collect();
    if !unused.is_empty() {
        reporter.warn(format!("one or more build-args {unused:?} were not consumed"));
    }
    if done.is_err() {
        drop(executors);
        return Err(shared.failure().expect("who stops has noted why"));
    }
    let finish = |executor: &Executor<'_>| {
        executor.finish(&Invocation::new(options, started, executor.epoch))
    };
    let images = executors.iter().map(finish).collect::<Result<_, _>>()?;
    let failed = |fault: Fault| Error::Result(Box::new(fault));
    let epoch = executors[0].epoch;
    let mut built = Built::new(store, images, &options.shape, epoch).map_err(failed)?;
    built.made = exchange::made(&shared);
    built.mounted = shared.mounted();
    if !options.is_named {
        return Ok(built);
    }
    let descriptor = built.descriptor();
    let names = match &options.tags[..] {
        [] => vec![Name::Anonymous(descriptor.digest.clone())],
        tags => tags.iter().cloned().map(Name::Tagged).collect(),
    };
    let shown = match &names[0] {
        Name::Tagged(name) => name.familiar(),
        Name::Anonymous(digest) => digest.to_string(),
    };
    reporter.note(format!("grown in {steps} instructions: {shown}"));
    for name in names {
        let entry = RefEntry { name, descriptor: descriptor.clone(), index: None };
        store.set_ref(&entry).map_err(|error| failed(error.into()))?;
    }
    Ok(built)
}
