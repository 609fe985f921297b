//! `bryo pull`.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::build;
use crate::cli::args::{self, Login, Network};
use crate::cli::batch::Outcomes;
use crate::cli::context::Dockerfile;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::network::Remote;
use crate::image::{Content, Descriptor, Platform, Reference};
use crate::store::Store;
use crate::transfer::filter::{self, Filter, Kitchen};
use crate::transfer::{Options, Source, sink, source, transfer};

/// Fetch images from a registry
///
/// Prints the digest of each. Layers that are here already are not fetched again.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo pull debian:12
  bryo pull --platform linux/arm64 registry.example/team/app:1
  bryo pull --tag base debian:12
  bryo pull --all-from Dockerfile")]
pub(crate) struct Pull {
    /// Images to fetch, such as debian:12 or registry.example/team/app@sha256:…
    #[arg(required_unless_present = "all_from", value_name = "IMAGE")]
    images: Vec<String>,
    /// Fetch all images that a Dockerfile names, in FROM, COPY --from and RUN --mount=from=…, each for
    /// the platform that it is needed for; - is stdin
    #[arg(long, value_name = "DOCKERFILE", conflicts_with = "tag")]
    all_from: Option<PathBuf>,
    /// With --all-from: what an ARG of the Dockerfile is; may be repeated
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = args::pair, requires = "all_from")]
    build_arg: Vec<(String, Option<String>)>,
    /// Call the image so here; may be repeated [default: what it is called there]
    #[arg(short, long, value_name = "NAME")]
    tag: Vec<Reference>,
    /// Choose this platform from an index [default: this machine's]
    #[arg(long, value_name = "OS/ARCH", value_parser = args::platform)]
    platform: Option<Platform>,
    /// Fetch layers that registries do not keep from wherever the image says
    #[arg(long)]
    allow_foreign: bool,
    /// Keep the index with the images of all platforms; layers are unpacked when they are needed
    #[arg(long, conflicts_with_all = ["platform", "arch", "last_layer"])]
    all_platforms: bool,
    /// An architecture of Linux; `host` is this machine's, and `yolo` whatever there is, this
    /// machine's if that is there
    #[arg(long, value_name = "ARCH", conflicts_with = "platform")]
    arch: Option<String>,
    /// Fetch everything again, whatever is here
    #[arg(long)]
    always_download: bool,
    /// Keep the lowest N layers alone: an image that is not whole, to look into
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    last_layer: Option<u16>,
    /// Print what the names mean, and fetch nothing
    #[arg(long)]
    parse_only: bool,
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    login: Login,
}

impl Pull {
    /// Whether it fetches anything that is unpacked.
    pub(crate) fn needs_namespace(&self) -> bool {
        !self.parse_only && !self.all_platforms
    }

    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        if self.parse_only {
            let images = self.wanted(&self.network.remote(invocation)?, invocation)?;
            return images.iter().try_for_each(|(name, _)| invocation.print(&parts(name)));
        }
        if self.images.len() > 1 && !self.tag.is_empty() {
            let text = "several images cannot have one name".to_owned();
            let hint = Some("pull one at a time, or leave out --tag".to_owned());
            return Err(Error::Usage { text, hint });
        }
        let store = invocation.store()?;
        let network = Network { allow_foreign: self.allow_foreign, ..self.network.clone() };
        let remote = network.remote_as(invocation, self.login.given(invocation)?)?;
        let images = self.wanted(&remote, invocation)?;
        let mut outcomes = Outcomes::default();
        for (name, platform) in &images {
            let descriptor = self.fetch(invocation, &store, &remote, name, platform.as_ref());
            let print =
                |descriptor: Descriptor| invocation.print(&format!("{}\n", descriptor.digest));
            outcomes.note(name.familiar(), descriptor.and_then(print));
        }
        outcomes.end()
    }

    /// What was named, and what the Dockerfile names, which needs it for some platform.
    fn wanted(
        &self,
        remote: &Remote,
        invocation: &Invocation,
    ) -> Result<Vec<(Reference, Option<Platform>)>, Error> {
        let given = self.images.iter().map(|text| Ok((remote.reference(text)?, None)));
        let mut wanted = given.collect::<Result<Vec<_>, Error>>()?;
        let Some(file) = &self.all_from else { return Ok(wanted) };
        let dockerfile = Dockerfile::of_file(file)?;
        let value = |(name, value): &(String, Option<String>)| {
            let value = value.clone().or_else(|| invocation.config.variable(name))?;
            Some((name.clone(), value))
        };
        let arguments: Vec<_> = self.build_arg.iter().filter_map(value).collect();
        let arch = self.arch.as_deref().filter(|arch| *arch != "yolo");
        let platform = self.chosen(arch)?.unwrap_or_else(Platform::host);
        let aliases = invocation.config.routes()?.aliases().clone();
        let named = build::named_images(&dockerfile.text, &arguments, &platform, aliases);
        let named = named.map_err(|error| dockerfile.failed(error))?;
        wanted.extend(named.into_iter().map(|(name, platform)| (name, Some(platform))));
        Ok(wanted)
    }

    fn fetch(
        &self,
        invocation: &Invocation,
        store: &Store,
        remote: &Remote,
        name: &Reference,
        needed_for: Option<&Platform>,
    ) -> Result<Descriptor, Error> {
        let reporter = &*invocation.reporter;
        let source: Box<dyn Source> =
            Box::new(source::Registry::new(remote.registry(name.registry()), name.clone()));
        let names = if self.tag.is_empty() { vec![name.clone()] } else { self.tag.clone() };
        let options = match (self.all_platforms, self.arch.as_deref()) {
            (true, _) => Options { platform: None, ..remote.options(None, names) },
            (_, Some("yolo")) => {
                Options { platform: any(&*source)?, ..remote.options(None, names) }
            }
            (_, arch) => {
                let chosen = self.chosen(arch)?;
                remote.options(needed_for.or(chosen.as_ref()), names)
            }
        };
        let source = match self.last_layer {
            None => source,
            Some(count) => {
                let mut filters = vec![Filter::Lowest(count.into())];
                if let Some(platform) = options.platform.clone() {
                    filters.insert(0, Filter::Platform(platform));
                }
                let kitchen = Kitchen { store, reporter, found: &|_| Ok(()) };
                filter::apply(source, &filters, kitchen)?
            }
        };
        let mut sink = sink::Store::new(store).telling(&*invocation.reporter);
        if self.all_platforms {
            sink = sink.packed();
        }
        if self.always_download {
            sink = sink.anew();
        }
        Ok(transfer(&*source, &sink, &options, reporter)?)
    }

    fn chosen(&self, arch: Option<&str>) -> Result<Option<Platform>, Error> {
        match arch {
            None => Ok(self.platform.clone()),
            Some("host") => Ok(None),
            Some(arch) => Ok(Some(format!("linux/{arch}").parse()?)),
        }
    }
}

/// This machine's platform, or the first that there is; None where there is no choice.
fn any(source: &dyn Source) -> Result<Option<Platform>, Error> {
    let Content::Index(index) = source.root()? else { return Ok(None) };
    let host = Platform::host();
    if index.select(&host).is_ok() {
        return Ok(Some(host));
    }
    let mut platforms = index.manifests.into_iter().filter_map(|entry| entry.platform);
    Ok(platforms.find(|platform| platform.os != "unknown"))
}

/// What a name means, a line for each part.
fn parts(name: &Reference) -> String {
    let mut text = String::new();
    let none = "none".to_owned();
    for (part, value) in [
        ("as string", name.familiar()),
        ("in full", name.to_string()),
        ("registry", name.registry().to_owned()),
        ("repository", name.repository().to_owned()),
        ("tag", name.tag().map_or(none.clone(), str::to_owned)),
        ("digest", name.digest().map_or(none, ToString::to_string)),
    ] {
        let part = format!("{part}:");
        writeln!(text, "{part:<12} {value}").expect("a string can be written");
    }
    text
}
