//! `bryo build`.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use crate::build::{
    self, Attestations, Fault, Fetcher, NamedContext, Options, Services, Shape, Survey,
};
use crate::cli::args::{self, Network, Reach};
use crate::cli::attest::Attest;
use crate::cli::cache_exchange::{self, CacheFrom, CacheTo};
use crate::cli::call::{self, Call, Format, Method};
use crate::cli::context::{Dockerfile, Given, Wish};
use crate::cli::emulation::Emulation;
use crate::cli::error::Error;
use crate::cli::excerpt::Source;
use crate::cli::exports::{self, Exports};
use crate::cli::filtered;
use crate::cli::invocation::Invocation;
use crate::cli::named_context;
use crate::cli::naming;
use crate::cli::output::Output;
use crate::cli::parsed;
use crate::cli::refused::{self, Entitlement};
use crate::cli::result_files::ResultFiles;
use crate::cli::secret::{self, Secret};
use crate::cli::status::Status;
use crate::cli::steps::{self, Steps};
use crate::cli::surroundings::Surroundings;
use crate::cli::ui;
use crate::dockerfile::{Diagnostic, parse, read};
use crate::image::{Platform, Reference};
use crate::layer::compress::Compression;
use crate::store::Store;
use crate::transfer::filter::Filter;

/// Variables that `RUN` gets without being asked for, so that it reaches the network as bryo does.
/// They are in no image and in no step's key.
const PROXIES: [&str; 8] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// Build argument of the reference: `.git` stays in a context that is a repository.
const KEEP_GIT_DIR: &str = "BUILDKIT_CONTEXT_KEEP_GIT_DIR";

/// Build argument of the reference: the same as `--cache-to type=inline`.
const INLINE_CACHE: &str = "BUILDKIT_INLINE_CACHE";

/// Build an image from a Dockerfile
///
/// CONTEXT is what COPY and ADD take files from: a directory, an archive of one on stdin or behind
/// a URL, or a git repository. Prints the digest of the image. A step whose inputs did not change
/// since an earlier build is taken from the cache.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo build -t app .
  bryo build -f Dockerfile.dev --target test --build-arg VERSION=2 -t app:dev .
  bryo build -t hello --build-context base=host:sh,cat,id,uname examples/hello
  bryo build -o type=oci,dest=app.tar .
  bryo build - < Dockerfile
  bryo build -f app/Dockerfile - < context.tar.gz
  bryo build https://git.example/team/app.git#v1:docker")]
pub(crate) struct Build {
    /// Read the Dockerfile from FILE, a URL, or `-` for stdin [default: CONTEXT/Dockerfile]; in an
    /// archive or a repository it is a path inside
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Name the image; may be repeated
    #[arg(short, long, value_name = "NAME")]
    tag: Vec<Reference>,
    /// Build this stage and what it needs [default: the last one]
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Set an ARG; without a value: to what the environment says
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = args::pair)]
    build_arg: Vec<(String, Option<String>)>,
    /// Let NAME in FROM and COPY --from mean this: a directory, the URL of an archive or of a git
    /// repository, `docker-image://REF`, `oci-layout://DIR[:TAG|@DIGEST]`, or `host:PROGRAM,…`
    /// (programs of this machine, with libraries)
    #[arg(long, value_name = "NAME=SOURCE", value_parser = named_context::parse)]
    build_context: Vec<(String, NamedContext)>,
    /// Label the image; without a value, with an empty one
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = args::pair)]
    label: Vec<(String, Option<String>)>,
    /// Build for these platforms; several make an index, with an image for each; may be repeated
    /// [default: this machine's]
    #[arg(long, value_name = "OS/ARCH[,OS/ARCH]...", value_delimiter = ',')]
    #[arg(value_parser = args::platform)]
    platform: Vec<Platform>,
    /// Ask the registries for newer base images
    #[arg(long)]
    pull: bool,
    /// Execute every step
    #[arg(long)]
    no_cache: bool,
    #[command(flatten)]
    steps: Steps,
    /// Execute every step of these stages; may be repeated
    #[arg(long, value_name = "STAGE[,STAGE]...", value_delimiter = ',')]
    no_cache_filter: Vec<String>,
    /// Let RUN --mount=type=secret show a file or a variable of this machine, which no layer and no
    /// history contains; may be repeated
    #[arg(long, value_name = "id=ID[,src=FILE|,env=NAME]", value_parser = secret::secret)]
    secret: Vec<Secret>,
    /// Let RUN --mount=type=ssh use an agent: that of $SSH_AUTH_SOCK, that of a socket, or one with
    /// these private keys; may be repeated
    #[arg(long, value_name = "ID[=SOCKET|=KEY[,KEY]...]", value_parser = secret::agent)]
    ssh: Vec<secret::Agent>,
    /// What RUN reaches that does not say it itself
    #[arg(long = "network", value_enum, default_value = "default", value_name = "REACH")]
    reach: Reach,
    #[command(flatten)]
    surroundings: Surroundings,
    /// Allow steps what docker asks about: network.host and device, which they may anyway;
    /// security.insecure is not to be had
    #[arg(long, value_name = "ENTITLEMENT", value_delimiter = ',', value_parser = refused::entitlement)]
    allow: Vec<Entitlement>,
    /// Remove what steps leave behind, which bryo does anyway
    #[arg(long, hide = true, alias = "force-rm", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", overrides_with = "rm")]
    rm: Option<bool>,
    /// Docker's signatures, which the registries do not keep any more
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", value_parser = refused::no_trust)]
    disable_content_trust: Option<bool>,
    /// End a RUN that takes longer, as failed: 90s, 1h30m
    #[arg(long, value_name = "DURATION", value_parser = args::limit)]
    run_timeout: Option<Duration>,
    /// Make of the build's layers one, on top of the base's, as `docker build --squash` does
    #[arg(long)]
    squash: bool,
    /// Annotate the manifest; before the name may stand what else: manifest, manifest-descriptor,
    /// index, index-descriptor, each but the latter two with [OS/ARCH]; may be repeated
    #[arg(long, value_name = "[KIND:]NAME=VALUE", allow_hyphen_values = true)]
    annotation: Vec<String>,
    /// Take this for all times that would come from the clock, in seconds since 1970
    /// [default: $SOURCE_DATE_EPOCH]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    source_date_epoch: Option<i64>,
    /// Set times in new layers that are later than SOURCE_DATE_EPOCH to that, so that builds at
    /// different times make the same image
    #[arg(long)]
    rewrite_timestamp: bool,
    /// Also write the image: type=local|tar|squashfs|sif|oci|docker|image|registry|cacheonly,dest=PATH;
    /// a directory alone means local, `-` a tar on stdout; may be repeated
    ///
    /// local, tar and squashfs (by mksquashfs) are the files alone, sif is what Apptainer runs; oci is an
    /// image layout and docker what `docker load` takes, in a tar or, with tar=false, in a directory;
    /// image is kept here and, with push=true or as registry, pushed; cacheonly keeps no image at all.
    /// dest=- is stdout. Images take name=, compression=gzip|zstd|uncompressed, compression-level=, force-compression=true (the
    /// base's layers too), oci-mediatypes=false (Docker's manifests), rewrite-timestamp=true,
    /// annotation.NAME=VALUE; image and registry also push-by-digest=, registry.insecure=, store=.
    #[arg(short, long, value_name = "type=TYPE[,KEY=VALUE]...")]
    output: Vec<Output>,
    /// Push the image under all its names; the same as --output type=registry
    #[arg(long)]
    push: bool,
    /// Keep the image here, as is done anyway; the same as --output type=image
    #[arg(long)]
    load: bool,
    /// Take what steps made from a cache elsewhere: of `--cache-to`, or an image that has one in it;
    /// type=registry,ref=NAME (or NAME alone) or type=local,src=DIR; may be repeated
    #[arg(long, value_name = "type=TYPE[,KEY=VALUE]...")]
    cache_from: Vec<CacheFrom>,
    /// Write what the steps made for other machines: type=registry,ref=NAME (or NAME alone),
    /// type=local,dest=DIR, type=inline (into the image); may be repeated
    ///
    /// mode=min has the steps of the stages that became the result, mode=max those of all stages.
    /// Of what RUN mounts as type=cache, mounts=all takes all along and mounts=ID one, which may be
    /// said several times; a machine that has none yet begins with it. With ignore-error=true a cache
    /// that cannot be written fails no build.
    #[arg(long, value_name = "type=TYPE[,KEY=VALUE]...")]
    cache_to: Vec<CacheTo>,
    /// Change the result before it goes anywhere: what `bryo copy --filter` takes, except platform=;
    /// may be repeated, and the order counts
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = filtered::filter)]
    filter: Vec<Filter>,
    #[command(flatten)]
    files: ResultFiles,
    /// How layers are compressed: gzip[:1-9], zstd[:1-22] or none [default: $BRYO_COMPRESS, or gzip]
    #[arg(long, value_name = "METHOD")]
    compress: Option<Compression>,
    #[command(flatten)]
    attest: Attest,
    #[command(flatten)]
    call: Call,
    #[command(flatten)]
    emulation: Emulation,
    #[command(flatten)]
    network: Network,
    /// A directory; the URL of an archive, of a Dockerfile or of a git repository
    /// (`URL[#REF[:DIR]]`); or `-` for an archive or a Dockerfile on stdin
    context: PathBuf,
}

/// Shows warnings that were not `told` before, each with its lines.
fn warn(survey: &Survey, told: &[Diagnostic], dockerfile: &Dockerfile, invocation: &Invocation) {
    let source = Source { name: &dockerfile.name, text: &dockerfile.text };
    // The same may be said with another hint once more is known.
    let is_told = |found: &Diagnostic| {
        told.iter().any(|old| (old.span, &old.message) == (found.span, &found.message))
    };
    for found in survey.distinct().into_iter().filter(|found| !is_told(found)) {
        invocation.reporter.warn(source.warning(found, invocation.ui));
    }
}

/// `error=true`: warnings end the build.
fn refuse(survey: &Survey) -> Result<(), Error> {
    let rules = survey.rules();
    match survey.is_strict && !rules.is_empty() {
        true => Err(Error::Lint(rules.join(", "))),
        false => Ok(()),
    }
}

impl Build {
    /// Whether it only looks at the Dockerfile.
    pub(crate) fn only_reads(&self) -> bool {
        self.call.method() != Method::Build || self.call.parse_only
    }

    pub(crate) fn run(&self, invocation: &Invocation) -> Result<ExitCode, Error> {
        if self.allow.contains(&Entitlement::Insecure) {
            return Err(Fault::Insecure.into());
        }
        let settings = &invocation.config.settings;
        let compression = self.compress.or_else(|| settings.text("compress")?.parse().ok());
        let compression = compression.unwrap_or_default();
        let exports = Exports::new(&self.output, self.push, self.load, &self.tag, compression)?;
        self.cache_to.iter().try_for_each(CacheTo::check)?;
        let mut network = self.network.clone();
        network.insecure.extend(exports::insecure(&self.output, &self.tag));
        network.insecure.extend(cache_exchange::insecure(&self.cache_from, &self.cache_to));
        let (wish, remote) = (self.wish(invocation), network.remote(invocation)?);
        let services =
            Services { images: &remote, web: remote.web(), path: &invocation.config.path };
        let reporter = &*invocation.reporter;
        // Who only looks at a Dockerfile leaves no trace.
        let opened = OnceCell::new();
        let open = || -> Result<&Store, Error> {
            match opened.get() {
                Some(store) => Ok(store),
                None => invocation.store().map(|store| opened.get_or_init(|| store)),
            }
        };
        let fetcher = || Ok(Fetcher { store: open()?, services, reporter });
        let given = wish.read(fetcher, invocation)?;
        let dockerfile = &given.dockerfile;
        if self.call.parse_only {
            return self.parse_only(dockerfile.clone(), invocation);
        }
        let exports = exports.called(self.names(invocation, dockerfile));
        let options = self.options(invocation, &given, &exports)?;
        if options.has_several_platforms() {
            exports.refuse_several()?;
        }
        let is_json = self.call.format() == Format::Json;
        let answer = match self.call.method() {
            Method::Outline => build::outline(&options).map(|outline| match is_json {
                true => format!("{:#}\n", json!(outline)),
                false => call::outline_text(&outline),
            }),
            Method::Targets => build::targets(&options).map(|targets| match is_json {
                true => format!("{:#}\n", json!({ "targets": targets })),
                false => call::targets_text(&targets),
            }),
            Method::Build | Method::Check => Ok(String::new()),
        };
        let answer = answer.map_err(|error| dockerfile.clone().failed(error))?;
        if matches!(self.call.method(), Method::Outline | Method::Targets) {
            invocation.print(&answer)?;
            return Ok(ExitCode::SUCCESS);
        }
        let store = open()?;
        let is_check = self.call.method() == Method::Check;
        let mut survey = build::survey(store, &options, is_check);
        if is_check {
            return self.check(survey, dockerfile, invocation);
        }
        warn(&survey, &[], dockerfile, invocation);
        if let Some(error) = survey.error.take() {
            return Err(dockerfile.clone().failed(error));
        }
        refuse(&survey)?;
        if self.steps.dry_run {
            if !self.cache_from.is_empty() {
                reporter.note("--dry-run fetches nothing, and asks no cache elsewhere".to_owned());
            }
            let plan = build::rehearse(store, services, &options, reporter)
                .map_err(|error| dockerfile.clone().failed(error))?;
            invocation.print(&match self.call.format() {
                Format::Json => format!("{:#}\n", json!({ "steps": plan })),
                Format::Text => steps::plan_text(&plan),
            })?;
            return Ok(ExitCode::SUCCESS);
        }
        self.files.clear()?;
        let _interruption = ui::end_when_interrupted(invocation.ui);
        let built = build::build(store, services, &options, reporter);
        if !survey.is_complete {
            // By now there are bases of which nothing was known before.
            let again = build::survey(store, &options, false);
            warn(&again, &survey.warnings, dockerfile, invocation);
            refuse(&again)?;
        }
        if built.is_err() && self.steps.keep_failed {
            // What was kept the last time has lost its name.
            store.sweep(&|name, _| name.to_string() == build::FAILED)?;
        }
        let built = built.map_err(|error| dockerfile.clone().failed(error))?;
        let built = match &self.filter[..] {
            [] => built,
            filters => filtered::filtered(built, filters, &exports, store, invocation)?,
        };
        exports.write(&built, store, &remote, invocation)?;
        for cache in &self.cache_to {
            cache.write(&built, store, &remote, invocation)?;
        }
        self.files.write(&built, exports.names(), &options, &invocation.config)?;
        // stdout has room for one thing.
        if !exports.has_stdout() {
            invocation.print(&format!("{}\n", built.descriptor().digest))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// `--parse-only`: says what it reads.
    fn parse_only(
        &self,
        dockerfile: Dockerfile,
        invocation: &Invocation,
    ) -> Result<ExitCode, Error> {
        let (syntax, mut diagnostics) = read(&dockerfile.text);
        if self.call.validate || syntax.nodes.is_empty() {
            diagnostics = parse(&dockerfile.text).1;
        }
        if diagnostics.iter().any(Diagnostic::is_error) {
            return Err(dockerfile.failed(build::Error::Dockerfile(diagnostics)));
        }
        invocation.print(&match self.call.format() {
            Format::Text => parsed::text(&syntax),
            Format::Json => format!("{:#}\n", parsed::json(&syntax, &diagnostics)),
        })?;
        Ok(ExitCode::SUCCESS)
    }

    /// `--check`: says what the linter found.
    fn check(
        &self,
        mut survey: Survey,
        dockerfile: &Dockerfile,
        invocation: &Invocation,
    ) -> Result<ExitCode, Error> {
        let span = survey.error.as_ref().and_then(build::Error::first_span);
        let error = survey.error.take().map(|error| dockerfile.clone().failed(error));
        let error = error.or_else(|| refuse(&survey).err());
        let source = Source { name: &dockerfile.name, text: &dockerfile.text };
        let message = error.as_ref().map(Error::message);
        match self.call.format() {
            Format::Json => {
                let error = message.as_deref().map(|message| (message, span));
                let value = call::check_json(&survey, error, source);
                invocation.print(&format!("{value:#}\n"))?;
            }
            // What is wrong is told by who called; nothing is complete then.
            Format::Text if error.is_some() && survey.warnings.is_empty() => {}
            Format::Text => invocation.print(&call::check_text(&survey, source))?,
        }
        match error {
            Some(error) => Err(error),
            None if survey.warnings.is_empty() => Ok(ExitCode::SUCCESS),
            None => Ok(Status::FAILED.into()),
        }
    }

    /// Where context and Dockerfile are.
    fn wish(&self, invocation: &Invocation) -> Wish<'_> {
        let keeps_git = self.says(KEEP_GIT_DIR, invocation);
        Wish { context: &self.context, file: self.file.as_deref(), keeps_git }
    }

    /// Whether a build argument of this name says yes.
    fn says(&self, name: &str, invocation: &Invocation) -> bool {
        let argument = self.build_arg.iter().rfind(|(known, _)| known == name);
        let value = argument
            .and_then(|(name, value)| value.clone().or_else(|| invocation.config.variable(name)));
        matches!(value.as_deref(), Some("1" | "t" | "T" | "true" | "TRUE" | "True"))
    }

    /// What the image is to be called: without --tag, what its files are called.
    fn names(&self, invocation: &Invocation, dockerfile: &Dockerfile) -> Vec<Reference> {
        let is_named = self.output.iter().any(|output| !output.names.is_empty());
        if !self.tag.is_empty() || is_named || self.only_reads() {
            return self.tag.clone();
        }
        let reporter = &invocation.reporter;
        let Some(name) = naming::inferred(self.file.as_deref(), &self.context) else {
            return Vec::new();
        };
        if naming::is_a_base(&name, &dockerfile.text) {
            let name = name.familiar();
            reporter.note(format!("not named {name}, as the image that it stands on: see --tag"));
            return Vec::new();
        }
        let shown = name.familiar();
        reporter.note(format!("inferred image name: {}", shown.trim_end_matches(":latest")));
        vec![name]
    }

    fn labels(&self) -> Vec<(String, String)> {
        let labels = self.label.iter().cloned();
        labels.map(|(name, value)| (name, value.unwrap_or_default())).collect()
    }

    fn options(
        &self,
        invocation: &Invocation,
        given: &Given,
        exports: &Exports,
    ) -> Result<Options, Error> {
        let config = &invocation.config;
        let mut shape = Shape {
            squash: self.squash,
            rewrite_timestamp: self.rewrite_timestamp,
            ..Shape::default()
        };
        for text in &self.annotation {
            shape.annotations.add(text)?;
        }
        let attestations = self.attest.wish()?;
        let is_attested = attestations != Attestations::default();
        filtered::check(&self.filter, is_attested, &self.cache_to, exports)?;
        let compression = exports.apply(&mut shape, is_attested, &*invocation.reporter);
        let mut build_args: Vec<(String, String)> = PROXIES
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), config.variable(name)?)))
            .collect();
        build_args.extend(self.build_arg.iter().filter_map(|(name, value)| {
            let value = value.clone().or_else(|| config.variable(name))?;
            Some((name.clone(), value))
        }));
        for (name, context) in &self.build_context {
            if let NamedContext::Directory(path) = context {
                fs::read_dir(path).map_err(|error| Error::NoContext {
                    text: format!("named context {name:?}: path {path:?}: {error}"),
                    hint: None,
                })?;
            }
        }
        let mut secrets = Vec::new();
        for secret in &self.secret {
            secrets.extend(secret.read(config, &*invocation.reporter)?);
        }
        let agents = self.ssh.iter().map(|agent| agent.find(config)).collect::<Result<_, _>>()?;
        Ok(Options {
            dockerfile: given.dockerfile.text.clone(),
            context: given.directory().map(Path::to_owned),
            is_local: given.is_local(),
            ignore_file: given.ignore_file.clone(),
            tags: exports.names().to_vec(),
            target: self.target.clone(),
            build_args,
            contexts: self.build_context.clone(),
            aliases: config.routes()?.aliases().clone(),
            platforms: self.steps.platforms(&self.platform),
            labels: self.labels(),
            pull: self.pull,
            no_cache: self.steps.executes_all(self.no_cache, config)?,
            no_cache_filter: self.no_cache_filter.clone(),
            cache_from: self.cache_from.iter().map(|from| from.origin.clone()).collect(),
            inline_cache: self.cache_to.iter().any(CacheTo::is_inline)
                || self.says(INLINE_CACHE, invocation),
            binds: self.steps.binds()?,
            keep_failed: self.steps.keep_failed,
            shell_on_error: self.steps.has_shell(invocation.ui.progress)?,
            source_date_epoch: match self.source_date_epoch {
                Some(seconds) => Some(seconds),
                None => config.source_date_epoch()?,
            },
            compression,
            shape,
            // What filters make of it gets the names.
            is_named: exports.is_named() && self.filter.is_empty(),
            emulation: self.emulation.wish(config)?,
            network: self.reach.into(),
            surroundings: self.surroundings.read(config),
            run_timeout: self.run_timeout.or_else(|| {
                config.settings.text("run-timeout").and_then(|text| args::limit(&text).ok())
            }),
            secrets,
            agents,
            jobs: invocation.jobs(),
            origin: given.origin(),
            attestations,
        })
    }
}
