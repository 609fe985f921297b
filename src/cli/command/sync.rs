//! `bryo sync`.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::copy::Errand;
use crate::cli::args::{self, Network};
use crate::cli::batch::{self, Outcomes};
use crate::cli::changes::Changes;
use crate::cli::credentials::Logins;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::network::Remote;
use crate::cli::sync::find::{self, Found, From};
use crate::cli::sync::list::{self, Form, List, RegistryAccess};
use crate::cli::sync::place::{Place, To};
use crate::cli::sync::titled::Titled;
use crate::image::{Digest, Platform};
use crate::registry::Credential;
use crate::store::Store;
use crate::transfer::sink::{self, replace};
use crate::transfer::{About, Endpoint, Sink, follow};

/// Copy many images: those that a pattern or a list names
///
/// Each is copied as `bryo copy` does it, whole and byte by byte. What is there already under the same
/// digest is not sent again; only what is said about it since (signatures, attestations) is. Prints a
/// line for each image, from where to where. The first failure ends it, unless --keep-going says
/// otherwise.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Sources:
  HOST/PATH/PATTERN[:PATTERN]       repositories of a registry, and their tags: all, unless one is
                                    named. Patterns are those of a shell; without one in the
                                    repository's name, the registry need not list its repositories
  FILE.toml                         a list: images = [\"debian:12\", { from = \"HOST/PATH/NAME\",
                                    tags = [\"1.*\"], platform = \"linux/arm64\" }]; instead of tags
                                    there may be tag-regex = \"^v1\" or semver = \">= 1.2, < 2\"
  FILE.yaml, FILE.yml               a list as skopeo sync reads it
  oci:DIR, oci-archive:FILE, docker-archive:FILE
                                    all images of a layout or an archive
  store:[PATTERN]                   images here

Destinations:
  [registry:]HOST[/PATH]            PATH/NAME:TAG there; NAME is the last part of the repository's
                                    name, or what a pattern stands for
  oci:DIR, oci-archive:FILE, docker-archive:FILE
                                    all in one, with their whole names
  store:                            here, with their whole names; store:PATH: below PATH
  dir:DIR                           the files of each in DIR/NAME-TAG, which is new or empty

Examples:
  bryo sync --dry-run 'registry.example/team/*:1.*' mirror.example/team
  bryo sync --keep-going images.toml mirror.example
  bryo sync 'debian:1[23]' oci:/media/stick && bryo sync oci:/media/stick registry.inside/debian")]
pub(crate) struct Sync {
    /// A pattern, a list, or a place with images
    source: String,
    /// Where they go
    destination: Place,
    /// Only print what would be copied, and where to
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Go on with the others when one fails; the status is 7 then
    #[arg(long)]
    keep_going: bool,
    /// Keep the registry and the whole path of the source in the name at the destination
    #[arg(long)]
    scoped: bool,
    /// Copy this platform's images alone
    #[arg(long, value_name = "OS/ARCH", value_parser = args::platform)]
    platform: Option<Platform>,
    /// Fail where only one platform's image has room
    #[arg(short, long, visible_alias = "all", conflicts_with = "platform")]
    all_platforms: bool,
    /// Add this to the end of each tag
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    append_suffix: Option<String>,
    /// Leave alone what has the name already, whatever it is
    #[arg(long)]
    no_clobber: bool,
    /// Only images that say they were made since then: 2026-01-31, or 30d for the last 30 days
    #[arg(long, value_name = "TIME", value_parser = args::moment)]
    since: Option<SystemTime>,
    /// Copy up to N images at once, each with --jobs layers, where the destination can
    #[arg(long, value_name = "N", default_value = "3")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    images_jobs: u16,
    /// Write the digests of what arrived to FILE, a line for each with its name
    #[arg(long, value_name = "FILE", alias = "digestfile")]
    digest_file: Option<PathBuf>,
    /// As a JSON array
    #[arg(long)]
    json: bool,
    /// Fail where signatures, attestations and what else refers to an image cannot be copied
    #[arg(long)]
    referrers: bool,
    /// Leave out what refers to the images
    #[arg(long, conflicts_with = "referrers")]
    no_referrers: bool,
    /// Copy layers, too, that registries do not keep, from where their manifest says they are
    #[arg(long)]
    allow_foreign: bool,
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    logins: Logins,
}

/// An image, and where it goes.
struct Job<'a> {
    found: Found<'a>,
    to: To,
}

impl fmt::Display for Job<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.found.fmt(f)
    }
}

/// What became of an image.
enum Fate {
    Copied(Digest),
    /// It was there.
    Unchanged(Digest),
    /// Something was there.
    Kept,
}

/// What all jobs share.
struct Round<'a> {
    invocation: &'a Invocation,
    store: &'a Store,
    to: &'a Remote,
    /// Where all go, if they share it.
    sink: Option<&'a dyn Sink>,
}

impl Sync {
    pub(crate) fn needs_namespace(&self) -> bool {
        matches!(self.destination, Place::Trees(_)) || self.changes.needs_namespace()
    }

    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        self.check()?;
        let store = invocation.store()?;
        let held = find::held(&store, &self.source)?;
        let list = if held.is_some() { List::default() } else { self.list()? };
        let (given, there) = self.logins.given(invocation)?;
        let remotes = self.remotes(invocation, &list, given.as_ref())?;
        let to = self.network.remote_as(invocation, there)?;
        let (found, lost) = match &held {
            Some(held) => (find::named(held), Outcomes::default()),
            None => self.find(&list, &remotes),
        };
        if lost.has_failed() && !self.keep_going {
            return lost.end();
        }
        let (jobs, lost) = self.recent(invocation, &store, self.placed(found)?, lost);
        if lost.has_failed() && !self.keep_going {
            return lost.end();
        }
        if self.dry_run {
            self.tell_plan(invocation, &jobs)?;
            return lost.end();
        }
        let sink = match jobs.is_empty() {
            true => None,
            false => self.sink(invocation, &store)?,
        };
        let round = Round { invocation, store: &store, to: &to, sink: sink.as_deref() };
        let outcomes = self.copy(&round, &jobs)?;
        // An archive is there when it is whole, or not at all.
        if let Some(sink) = sink
            && (!outcomes.has_failed() || self.keep_going && outcomes.done() > 0)
        {
            sink.finish()?;
        }
        lost.and(outcomes).end()
    }

    /// What can be known before anything is asked for.
    fn check(&self) -> Result<(), Error> {
        let to = &self.destination;
        let usage = |text: &str, hint: &str| {
            Err(Error::Usage { text: text.to_owned(), hint: Some(hint.to_owned()) })
        };
        if self.scoped && to.keeps_names() {
            return usage("whole names are kept there in any case", "leave out --scoped");
        }
        if self.no_clobber && matches!(to, Place::Shared(_)) {
            let hint = "leave out --no-clobber: images of other names stay in a layout";
            return usage("a layout or an archive gets what there is", hint);
        }
        if self.keep_going && matches!(to, Place::Shared(Endpoint::OciArchive { .. })) {
            let text = "an image that fails leaves half a layer in an archive of a layout";
            return usage(text, "leave out --keep-going, or write oci:DIR and pack that");
        }
        if to.is_stream() && (self.json || self.changes.speaks()) {
            let text = "stdout cannot have both the images and what is said about them";
            return usage(text, "name a file");
        }
        if self.json && self.changes.speaks() {
            return usage("stdout cannot have both JSON and what find= finds", "leave out one");
        }
        Ok(())
    }

    /// What is wanted from registries.
    fn list(&self) -> Result<List, Error> {
        let path = Path::new(&self.source);
        let wrong = |why: String, hint: &str| Error::Usage {
            text: format!("{}: {why}", self.source),
            hint: Some(hint.to_owned()),
        };
        match Form::of(path) {
            Some(form) => {
                let text = fs::read_to_string(path).map_err(Error::reading(path))?;
                let hint = "`bryo sync --help` shows what such a list looks like";
                List::parse(&text, form).map_err(|why| wrong(why.trim_end().to_owned(), hint))
            }
            None => {
                let hint = "write HOST/PATH/PATTERN:PATTERN, or the name of a list: FILE.toml";
                let selection = list::pattern(&self.source).map_err(|why| wrong(why, hint))?;
                Ok(List { selections: vec![selection], ..List::default() })
            }
        }
    }

    /// One for each registry that the list says how to speak to, and one for all others.
    fn remotes(
        &self,
        invocation: &Invocation,
        list: &List,
        given: Option<&Credential>,
    ) -> Result<Vec<Remote>, Error> {
        let network = Network { allow_foreign: self.allow_foreign, ..self.network.clone() };
        let of = |access: &RegistryAccess| {
            let mut network = network.clone();
            if access.without_tls {
                network.insecure.push(access.host.clone());
            }
            let folder = access.certificates.iter().cloned();
            network.own_certificates = folder.map(|folder| (access.host.clone(), folder)).collect();
            let own = access.login.as_ref();
            let own = own.map(|(user, password)| Credential::new(user, password));
            network.remote_as(invocation, own.or_else(|| given.cloned()))
        };
        let mut remotes: Vec<Remote> = list.accesses.iter().map(of).collect::<Result<_, _>>()?;
        remotes.push(network.remote_as(invocation, given.cloned())?);
        Ok(remotes)
    }

    /// The images that there are, and what could not be looked for.
    fn find<'a>(&self, list: &List, remotes: &'a [Remote]) -> (Vec<Found<'a>>, Outcomes) {
        let (mut all, mut lost) = (Vec::new(), Outcomes::default());
        for selection in &list.selections {
            let remote = &remotes[selection.access.unwrap_or(remotes.len() - 1)];
            match find::in_registry(remote, selection) {
                Ok(found) => all.extend(found),
                Err(error) => {
                    lost.note(&selection.repository, Err(error));
                    if !self.keep_going {
                        break;
                    }
                }
            }
        }
        (all, lost)
    }

    /// Where each of them goes.
    fn placed<'a>(&self, found: Vec<Found<'a>>) -> Result<Vec<Job<'a>>, Error> {
        let suffix = self.append_suffix.as_deref().unwrap_or_default();
        let mut taken: BTreeMap<String, String> = BTreeMap::new();
        let mut jobs = Vec::new();
        for found in found {
            let (registry, repository) = (found.name.registry(), found.name.repository());
            let below = match self.scoped {
                // No path of a registry has a colon.
                true => format!("{}/{repository}", registry.replace(':', "-")),
                false => found.below.clone(),
            };
            let to = self.destination.of(&found.name, &below, suffix)?;
            match taken.insert(to.to_string(), found.to_string()) {
                None => jobs.push(Job { found, to }),
                Some(other) if other == found.to_string() => {}
                Some(other) => {
                    let text = format!("{other} and {found} would both become {to}");
                    let hint = "--scoped keeps their whole names apart".to_owned();
                    return Err(Error::Usage { text, hint: Some(hint) });
                }
            }
        }
        Ok(jobs)
    }

    /// Those that are new enough.
    fn recent<'a>(
        &self,
        invocation: &Invocation,
        store: &Store,
        jobs: Vec<Job<'a>>,
        lost: Outcomes,
    ) -> (Vec<Job<'a>>, Outcomes) {
        let Some(since) = self.since else { return (jobs, lost) };
        let old = Mutex::new(Vec::new());
        let all = usize::from(self.images_jobs);
        let asked = batch::side_by_side(&jobs, all, self.keep_going, |at, job| {
            let platform = self.platform.as_ref();
            let is_recent = job.found.is_recent(store, platform, since, &*invocation.reporter);
            if !matches!(is_recent, Ok(true)) {
                old.lock().expect("keeping a number cannot panic").push(at);
            }
            is_recent.map(drop)
        });
        let old = old.into_inner().expect("keeping a number cannot panic");
        let left = jobs.into_iter().enumerate().filter(|(at, _)| !old.contains(at));
        (left.map(|(_, job)| job).collect(), lost.and(asked.failures_alone()))
    }

    fn tell_plan(&self, invocation: &Invocation, jobs: &[Job<'_>]) -> Result<(), Error> {
        if self.json {
            let row = |Job { found, to }: &Job<'_>| json!({ "source": found.to_string(), "destination": to.to_string() });
            let rows: Vec<Value> = jobs.iter().map(row).collect();
            return invocation.print(&format!("{:#}\n", Value::Array(rows)));
        }
        invocation.print(&jobs.iter().map(line).collect::<String>())
    }

    /// Where all go, if they share it.
    fn sink<'a>(
        &self,
        invocation: &Invocation,
        store: &'a Store,
    ) -> Result<Option<Box<dyn Sink + 'a>>, Error> {
        let Place::Shared(endpoint) = &self.destination else { return Ok(None) };
        Ok(Some(match endpoint {
            Endpoint::Oci { dir, .. } => {
                Box::new(sink::Oci::directory(dir, None)?.with_whole_names())
            }
            Endpoint::OciArchive { file, .. } => {
                let output = invocation.archive(Some(file))?;
                Box::new(sink::Oci::archive(output, None)?.with_whole_names())
            }
            Endpoint::DockerArchive { file, .. } => {
                Box::new(sink::Docker::archive(invocation.archive(Some(file))?, store)?)
            }
            other => unreachable!("{other} is no place for several images"),
        }))
    }

    /// Copies them, tells of each, and counts.
    fn copy(&self, round: &Round<'_>, jobs: &[Job<'_>]) -> Result<Outcomes, Error> {
        let reporter = &round.invocation.reporter;
        let rows: Mutex<BTreeMap<usize, (Value, String)>> = Mutex::default();
        let counts = Mutex::new([0; 3]);
        // In one place, one at a time.
        let at_once = if round.sink.is_some() { 1 } else { usize::from(self.images_jobs) };
        let outcomes = batch::side_by_side(jobs, at_once, self.keep_going, |at, job| {
            let fate = self.one(round, job);
            let (what, digest, which) = match &fate {
                Ok(Fate::Copied(digest)) => ("copied", Some(digest), Some(0)),
                Ok(Fate::Unchanged(digest)) => ("unchanged", Some(digest), Some(1)),
                Ok(Fate::Kept) => ("kept", None, Some(2)),
                Err(_) => ("failed", None, None),
            };
            if let Some(which) = which {
                counts.lock().expect("counting cannot panic")[which] += 1;
            }
            let error = fate.as_ref().err().map(Error::message);
            match &fate {
                Ok(Fate::Copied(_)) => {}
                Ok(Fate::Unchanged(_)) => reporter.note(format!("{} is there already", job.to)),
                Ok(Fate::Kept) => reporter.note(format!("{} is left as it is", job.to)),
                Err(error) => reporter.warn(batch::line(&job.to_string(), error)),
            }
            let row = json!({
                "source": job.to_string(),
                "destination": job.to.to_string(),
                "outcome": what,
                "digest": digest,
                "error": error,
            });
            let arrived =
                digest.map_or_else(String::new, |digest| format!("{digest} {}\n", job.to));
            rows.lock().expect("keeping a row cannot panic").insert(at, (row, arrived));
            if fate.is_ok() && !self.json && !self.destination.is_stream() {
                round.invocation.print(&line(job))?;
            }
            fate.map(drop)
        });
        let rows = rows.into_inner().expect("keeping a row cannot panic");
        let (rows, arrived): (Vec<Value>, Vec<String>) = rows.into_values().unzip();
        if self.json {
            round.invocation.print(&format!("{:#}\n", Value::Array(rows)))?;
        }
        if let Some(file) = &self.digest_file {
            replace(file, arrived.concat().as_bytes())?;
        }
        let [copied, unchanged, kept] = counts.into_inner().expect("counting cannot panic");
        let mut text = format!("{copied} copied, {unchanged} there already");
        if kept > 0 {
            write!(text, ", {kept} left as they are").expect("a string can be written");
        }
        reporter.note(text);
        Ok(outcomes)
    }

    fn one(&self, round: &Round<'_>, job: &Job<'_>) -> Result<Fate, Error> {
        let Round { invocation, store, to, sink } = *round;
        let Job { found, to: place } = job;
        let title = found.name.familiar();
        let title = title.rsplit('/').next().unwrap_or(&title).to_owned();
        let reporter = Titled { reporter: &*invocation.reporter, title };
        let from = match found.from {
            From::Registry(remote) => remote,
            From::Held(_) => to,
        };
        let errand = Errand {
            invocation,
            reporter: &reporter,
            store,
            from,
            to,
            changes: &self.changes,
            platform: found.platform.as_ref().or(self.platform.as_ref()),
            all_platforms: self.all_platforms,
            about: match (self.referrers, self.no_referrers) {
                (true, _) => About::Required,
                (_, true) => About::Ignored,
                _ => About::Moved,
            },
            foreign: self.allow_foreign,
            tags: &[],
            jobs: invocation.jobs().layers,
        };
        let endpoint = match (place, sink) {
            (To::Shared(_, name), Some(sink)) => {
                if sink.takes_one_image() && self.all_platforms {
                    let text = format!("{} has room for one platform's image", sink.name());
                    let hint = Some("name one with --platform".to_owned());
                    return Err(Error::Usage { text, hint });
                }
                let image = found.source(store)?;
                let arrived = errand.carry_into(image, sink, vec![name.clone()])?;
                return Ok(Fate::Copied(arrived.digest));
            }
            (To::Own(endpoint) | To::Shared(endpoint, _), _) => endpoint,
        };
        if let Some(there) = there(round, endpoint)? {
            let stays = self.changes.are_none() && errand.platform.is_none();
            if let Some(there) = there.filter(|_| stays)
                && there == found.digest()?
            {
                Self::follow(round, &errand, found, endpoint)?;
                return Ok(Fate::Unchanged(there));
            }
            if self.no_clobber {
                return Ok(Fate::Kept);
            }
        }
        let arrived = match found.from {
            From::Registry(_) => errand.carry(&Endpoint::Registry(found.name.clone()), endpoint)?,
            From::Held(_) => errand.carry_image(found.source(store)?, None, endpoint)?,
        };
        Ok(Fate::Copied(arrived.digest))
    }

    /// Brings along what is said about an image since it was copied.
    fn follow(
        round: &Round<'_>,
        errand: &Errand<'_>,
        found: &Found<'_>,
        endpoint: &Endpoint,
    ) -> Result<(), Error> {
        let Endpoint::Registry(_) = endpoint else { return Ok(()) };
        let source = found.source(round.store)?;
        let (sink, _) = endpoint.sink(round.to.surroundings(round.store), &Default::default())?;
        follow(&*source, &*sink, &errand.options(Vec::new()), errand.reporter)?;
        Ok(sink.finish()?)
    }
}

/// What has the name of an image already where it goes: its digest, where that can be told.
fn there(round: &Round<'_>, endpoint: &Endpoint) -> Result<Option<Option<Digest>>, Error> {
    Ok(match endpoint {
        Endpoint::Registry(name) => {
            let registry = round.to.registry(name.registry());
            let found = registry.head_manifest(name.repository(), &name.target())?;
            found.map(|found| Some(found.digest))
        }
        Endpoint::Store(name) => {
            let found = round.store.find_reference(&name.parse()?)?;
            found.map(|entry| Some(entry.descriptor.digest))
        }
        Endpoint::Dir(dir) => dir.exists().then_some(None),
        _ => None,
    })
}

fn line(Job { found, to }: &Job<'_>) -> String {
    format!("{found} -> {to}\n")
}
