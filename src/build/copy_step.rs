//! COPY and ADD: what they read, what it hashes to, and where it goes.

use std::path::Path;

use super::attest::record::{self, Change, Copied, Operation, Told, VertexId};
use super::content::Witness;
use super::copy_words::{Input, Work};
use super::error::Fault;
use super::execute::{Deed, Executor, Step, Worth};
use super::files::{Files, Source};
use super::history;
use super::key::{CacheKey, KeyMaker};
use super::place::Destination;
use super::plan::Origin;
use super::remote::Fetched;
use super::state::State;
use crate::dockerfile::{Ignore, Instruction, Mode};
use crate::image::Digest;
use crate::rootfs::{Accounts, Choice, Copier, CopyOptions, Found, Meta, Taken};
use crate::store::Snapshot;

/// Whose files are read.
pub(super) enum Origins<'e> {
    Context(&'e Files),
    Image(Box<State>),
}

pub(super) fn plan<'d>(
    executor: &'d Executor<'_>,
    instruction: &Instruction,
    step: &Step<'_>,
) -> Result<Deed<'d>, Fault> {
    let work = Work::new(executor.plan, step.stage, instruction, step.state)?;
    let origins = match &work.from {
        None if work.needs_no_context() => None,
        None => Some(Origins::Context(executor.contexts.main(executor.store)?)),
        Some(Origin::Context(name)) => match executor.contexts.named(name, executor.fetcher()) {
            Some(files) => Some(Origins::Context(files?)),
            None => Some(executor.image(&Origin::Context(name.clone()), step.stage)?),
        },
        Some(origin) => Some(executor.image(origin, step.stage)?),
    };
    let exclude = Ignore::new(&work.exclude)?;
    let mut planned = Vec::new();
    let key = key(executor, &work, origins.as_ref(), &exclude, step.state, &mut planned)?;
    let said = work.said();
    let told = told(executor, &work, origins.as_ref());
    let seconds = executor.time_of_made();
    let act = move |snapshot: &mut Snapshot<'_>| {
        let source = origins.as_ref().map(|origins| executor.open(origins)).transpose()?;
        let files = source.as_ref().map(Opened::files);
        let items = items(executor, &work, files)?;
        let copied = perform(&work, &items, &exclude, seconds, snapshot)?;
        Ok(if copied == planned { Worth::Lasting } else { Worth::Once })
    };
    Ok(Deed { key, said, told, act: Box::new(act) })
}

/// What the record says of it.
fn told(executor: &Executor<'_>, work: &Work, origins: Option<&Origins<'_>>) -> Told {
    let (mut changes, mut inputs) = (Vec::new(), Vec::new());
    let from = match &work.from {
        Some(Origin::Context(name)) => Some(name.as_str()),
        _ => None,
    };
    let mut place = |vertex: VertexId| {
        let known = inputs.iter().position(|known| *known == vertex);
        known.unwrap_or_else(|| {
            inputs.push(vertex);
            inputs.len() - 1
        })
    };
    for input in &work.sources {
        let (vertex, source, unpacks) = match input {
            Input::Text(name, content) => {
                changes.push(Change::Write {
                    path: format!("{}/{name}", work.destination.trim_end_matches('/')),
                    content: content.clone(),
                    owner: work.chown.clone(),
                    mode: work.chmod.clone(),
                });
                continue;
            }
            Input::Path(word) => {
                let vertex = origins.and_then(|origins| origins.vertex(executor, from));
                (vertex, format!("/{}", word.trim_start_matches('/')), work.unpack)
            }
            Input::Remote(_, remote) => {
                let (source, name) = remote.told();
                let vertex = source.map(|source| executor.record.source(source, None, &[], None));
                (vertex, format!("/{name}"), work.unpack_remote)
            }
        };
        changes.push(Change::Copy(Copied {
            input: vertex.map(&mut place),
            source,
            destination: work.destination.clone(),
            owner: work.chown.clone(),
            mode: work.chmod.clone(),
            exclude: work.exclude.clone(),
            unpacks,
        }));
    }
    Told { operation: Operation::Files(changes), inputs }
}

/// All of a context's files, for a stage that begins with them.
pub(super) fn all<'d>(
    executor: &Executor<'_>,
    name: &str,
    files: &'d Files,
) -> Result<Deed<'d>, Fault> {
    let source = files.exactly("")?;
    let exclude = Ignore::default();
    let digest = files.digest(&source, &exclude)?;
    let key = KeyMaker::new("base", None).field("digest", digest.to_string()).finish();
    let said = history::copy("COPY", &[], &[".".to_owned()], "/");
    let act = move |snapshot: &mut Snapshot<'_>| {
        let owner = Some((0, 0));
        let options = CopyOptions { owner, no_xattrs: true, sockets: true, ..Default::default() };
        let copied = copy(files, &source, &exclude, Path::new(""), options, snapshot)?;
        Ok(if copied.is_none_or(|copied| copied == digest) { Worth::Lasting } else { Worth::Once })
    };
    let vertex = Origins::Context(files).vertex(executor, Some(name));
    let copied = Copied {
        input: vertex.map(|_| 0),
        source: "/".to_owned(),
        destination: "/".to_owned(),
        owner: None,
        mode: None,
        exclude: Vec::new(),
        unpacks: false,
    };
    let operation = Operation::Files(vec![Change::Copy(copied)]);
    let told = Told { operation, inputs: vertex.into_iter().collect() };
    Ok(Deed { key, said, told, act: Box::new(act) })
}

/// Of a context, notes in `planned` what [`perform`] is to copy.
fn key(
    executor: &Executor<'_>,
    work: &Work,
    origins: Option<&Origins<'_>>,
    exclude: &Ignore,
    state: &State,
    planned: &mut Vec<Digest>,
) -> Result<CacheKey, Fault> {
    let below = state.chain_id();
    let mut key = KeyMaker::new(work.name, below.as_ref());
    for input in &work.sources {
        key = match (input, origins) {
            (Input::Text(name, content), _) => key.field("text", name).field("content", content),
            (Input::Remote(_, remote), _) => remote.describe(key, executor.fetcher())?,
            (Input::Path(word), Some(Origins::Context(files))) => {
                let parts = content(files, word, work, exclude)?;
                let digest = joined(&parts);
                if files.may_change() {
                    planned.extend(parts);
                }
                key.field("digest", digest.to_string())
            }
            (Input::Path(word), Some(Origins::Image(image))) => {
                let digest = executor.image_content(image, word, work, exclude)?;
                key.field("digest", digest.to_string())
            }
            (Input::Path(_), None) => key,
        };
    }
    // Of paths, the digest is of what is left.
    let excluded = work.exclude.iter().filter(|_| work.needs_no_context());
    Ok(key
        .field("destination", &work.destination)
        .optional("chown", work.chown.as_ref())
        .optional("chmod", work.chmod.as_ref())
        .list("exclude", excluded)
        .field("unpack", if work.unpack { "yes" } else { "no" })
        .field("unpack remote", if work.unpack_remote { "yes" } else { "no" })
        .field("link", if work.link { "yes" } else { "no" })
        .field("time", executor.time_of_made().to_string())
        .finish())
}

impl Origins<'_> {
    /// What made the files, in the record. `context` is the name of a context other than the main
    /// one.
    pub(super) fn vertex(
        &self,
        executor: &Executor<'_>,
        context: Option<&str>,
    ) -> Option<VertexId> {
        match self {
            Self::Image(state) => state.vertex,
            Self::Context(files) => {
                let main = || executor.options.origin.context.clone().filter(|_| context.is_none());
                let source = match files.elsewhere().or_else(main) {
                    Some(elsewhere) => elsewhere.source(),
                    None => record::Source::Local(context.unwrap_or("context").to_owned()),
                };
                Some(executor.record.source(source, None, &[], None))
            }
        }
    }
}

/// The digests of everything that a word of COPY or ADD means.
fn content(files: &Files, word: &str, work: &Work, exclude: &Ignore) -> Result<Vec<Digest>, Fault> {
    let digest = |source: Source| Ok(named(&source, &files.digest(&source, exclude)?));
    find(files, word, work)?.into_iter().map(digest).collect()
}

/// The digest of a source with the name that it has at its destination.
fn named(source: &Source, digest: &Digest) -> Digest {
    let kind = if source.meta.is_dir() { "directory" } else { "file" };
    let key = KeyMaker::new("source", None).field(kind, source.name.as_encoded_bytes());
    key.field("digest", digest.to_string()).finish().digest().clone()
}

fn joined(digests: &[Digest]) -> Digest {
    let digests = digests.iter().map(ToString::to_string);
    KeyMaker::new("files", None).list("source", digests).finish().digest().clone()
}

/// What a word means.
fn find(files: &Files, word: &str, work: &Work) -> Result<Vec<Source>, Fault> {
    match work.parents {
        true => files.find_with_parents(word),
        false => files.find(word),
    }
}

/// Something to be put at the destination.
enum Item<'w> {
    /// A file's name and content.
    Text(&'w str, &'w str),
    Path(&'w Files, Source),
    Fetched(&'w Fetched),
    /// To be unpacked.
    Archive(&'w Files, Source),
}

impl Item<'_> {
    /// Whether the destination is a directory that takes what is in it.
    fn is_tree(&self) -> bool {
        match self {
            Self::Text(..) => false,
            Self::Path(_, source) => source.meta.is_dir(),
            Self::Fetched(fetched) => fetched.source.meta.is_dir(),
            Self::Archive(..) => true,
        }
    }
}

/// What the words of COPY or ADD mean now.
fn items<'w>(
    executor: &Executor<'_>,
    work: &'w Work,
    files: Option<&'w Files>,
) -> Result<Vec<Item<'w>>, Fault> {
    let mut items = Vec::new();
    for input in &work.sources {
        match (input, files) {
            (Input::Text(name, content), _) => items.push(Item::Text(name, content)),
            (Input::Remote(_, remote), _) => {
                let fetched = remote.fetched(executor.fetcher())?;
                let Fetched { files, source, .. } = fetched;
                items.push(match work.unpack_remote && files.is_archive(source)? {
                    true => Item::Archive(files, source.clone()),
                    false => Item::Fetched(fetched),
                });
            }
            (Input::Path(word), Some(files)) => {
                for source in find(files, word, work)? {
                    items.push(match work.unpack && files.is_archive(&source)? {
                        true => Item::Archive(files, source),
                        false => Item::Path(files, source),
                    });
                }
            }
            (Input::Path(_), None) => {}
        }
    }
    Ok(items)
}

/// Does it. Gives what was copied of a context, as [`key`] notes it.
fn perform(
    work: &Work,
    items: &[Item<'_>],
    exclude: &Ignore,
    seconds: i64,
    snapshot: &mut Snapshot<'_>,
) -> Result<Vec<Digest>, Fault> {
    let mode = work.chmod.as_deref().map(Mode::parse).transpose()?;
    let owner = match &work.chown {
        Some(text) => Some(Accounts::read(snapshot.root())?.file_owner(text)?),
        None => None,
    };
    let owner = owner.map(|owner| (owner.uid, owner.gid));
    let Some(first) = items.first() else {
        return Ok(Vec::new()); // patterns that nothing matches
    };
    // A tree makes its destination a directory, for all that comes after it.
    let into_directory = items.len().max(work.sources.len()) > 1 && !first.is_tree();
    let mut destination =
        Destination::new(&work.destination, into_directory, work.link, snapshot.root())?;
    destination.set_attributes(owner.unwrap_or((0, 0)), mode.as_ref(), seconds);
    let mut copied = Vec::new();
    for item in items {
        let (files, source) = match item {
            Item::Text(name, content) => {
                let path = destination.file(name.as_ref(), snapshot)?;
                destination.write(&path, content.as_bytes(), snapshot)?;
                continue;
            }
            Item::Archive(files, source) => {
                let folder = destination.archive_folder(snapshot)?;
                files.unpack(source, &folder, owner, snapshot)?;
                if files.may_change() {
                    copied.push(named(source, &files.digest_if_same(source, exclude)?));
                }
                continue;
            }
            Item::Path(files, source) => (*files, source),
            Item::Fetched(Fetched { files, source, .. }) => (files, source),
        };
        let path = match source.meta.is_dir() {
            true => destination.folder(snapshot)?,
            false => destination.file(&source.name, snapshot)?,
        };
        let changed = |meta: &Meta| {
            mode.as_ref().map_or(meta.mode, |mode| mode.apply(meta.mode, meta.is_dir()))
        };
        let options = CopyOptions {
            owner: owner.or(if files.keeps_owners { None } else { Some((0, 0)) }),
            mode: mode.is_some().then_some(&changed),
            no_xattrs: true,
            replace: work.link,
            modes_alone: work.parents,
            sockets: true,
            ..CopyOptions::default()
        };
        let digest = copy(files, source, exclude, &path, options, snapshot)?;
        copied.extend(digest.map(|digest| named(source, &digest)));
    }
    destination.finish(snapshot)?;
    Ok(copied)
}

/// Copies one source to its place; of a context, gives the digest of what was copied.
fn copy(
    files: &Files,
    source: &Source,
    exclude: &Ignore,
    target: &Path,
    options: CopyOptions<'_>,
    snapshot: &mut Snapshot<'_>,
) -> Result<Option<Digest>, Fault> {
    let witness = files.may_change().then(|| Witness::new(files, source, exclude));
    let choose = |path: &Path, meta: &Meta| -> Choice {
        match &witness {
            Some(witness) => witness.choose(path, meta),
            None => files.choose(source, exclude, path, meta),
        }
    };
    let look = |found: &Found, taken: &Taken<'_>| match &witness {
        Some(witness) => witness.look(found, taken),
        None => Ok(()),
    };
    let mut records = std::mem::take(snapshot.new_records());
    let upper = Some(snapshot.upper());
    let options = CopyOptions { choose: Some(&choose), watch: Some(&look), upper, ..options };
    let copied = Copier::new(&files.root, &files.records, snapshot.root(), &mut records, options)
        .and_then(|mut copier| copier.copy(&source.path, target));
    *snapshot.new_records() = records;
    match copied.map_err(|error| files.fault(error)) {
        Ok(_) => Ok(witness.map(Witness::finish)),
        Err(Fault::Rootfs(error)) => Err(Fault::in_image(error, snapshot.root())),
        Err(fault) => Err(fault),
    }
}

/// Files that can be read now.
pub(super) enum Opened<'e> {
    Context(&'e Files),
    /// The snapshot keeps the mount for as long as its files are read.
    Image(Box<Files>, #[allow(dead_code, reason = "held for its drop")] Box<Snapshot<'e>>),
}

impl Opened<'_> {
    pub(super) fn files(&self) -> &Files {
        match self {
            Self::Context(files) => files,
            Self::Image(files, _) => files,
        }
    }
}

impl Executor<'_> {
    /// The stage or image that `--from` names.
    pub(super) fn image(&self, origin: &Origin, stage: usize) -> Result<Origins<'static>, Fault> {
        let state = match origin {
            Origin::Stage(number) => (*self.built(*number)).clone(),
            other => {
                let platform = &self.plan.stages[stage].platform;
                let (base, _) = super::base::Base::find(self, other, platform)?;
                self.begin(base, platform, None)
            }
        };
        Ok(Origins::Image(Box::new(state)))
    }

    pub(super) fn open<'e>(&'e self, origins: &Origins<'e>) -> Result<Opened<'e>, Fault> {
        match origins {
            Origins::Context(files) => Ok(Opened::Context(files)),
            Origins::Image(state) => {
                let snapshot = self.store.snapshot(&self.trees(state)?)?;
                let root = crate::rootfs::Root::open(snapshot.root().path())?;
                let files = Files::of_image(root, snapshot.records()?);
                Ok(Opened::Image(Box::new(files), Box::new(snapshot)))
            }
        }
    }

    /// As [`content`], remembered: an image's files under one chain ID never change.
    fn image_content(
        &self,
        image: &State,
        word: &str,
        work: &Work,
        exclude: &Ignore,
    ) -> Result<Digest, Fault> {
        let chain_id = image.chain_id();
        let key = KeyMaker::new("content", chain_id.as_ref())
            .field("word", word)
            .list("exclude", &work.exclude)
            .field("parents", if work.parents { "yes" } else { "no" })
            .finish();
        self.content(&key, || {
            let opened = self.open(&Origins::Image(Box::new(image.clone())))?;
            Ok(joined(&content(opened.files(), word, work, exclude)?))
        })
    }
}
