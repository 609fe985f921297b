//! COPY and ADD: what they read, what it hashes to, and where it goes.

use std::path::Path;

use super::context::{Files, Source};
use super::error::Fault;
use super::execute::{Deed, Executor, Step};
use super::history;
use super::key::{CacheKey, KeyMaker};
use super::place::Destination;
use super::plan::Origin;
use super::state::State;
use crate::dockerfile::{self, Expander, Ignore, Instruction, Mode, Word};
use crate::image::Digest;
use crate::rootfs::{Accounts, Choice, Copier, CopyOptions, Meta};
use crate::store::{CacheEntry, Snapshot};

/// A COPY or an ADD, expanded.
#[derive(Debug)]
struct Work {
    name: &'static str,
    from: Option<Origin>,
    sources: Vec<Input>,
    /// As written, for the history.
    target: String,
    /// Absolute.
    destination: String,
    chown: Option<String>,
    chmod: Option<String>,
    exclude: Vec<String>,
    /// The destination's own links are not followed, the reference says, and are replaced instead.
    link: bool,
    /// ADD: whether archives are unpacked.
    unpack: bool,
}

#[derive(Debug)]
enum Input {
    Path(String),
    /// A here-document: a file's name and content.
    Text(String, String),
}

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
    let work = expand(executor, instruction, step)?;
    let origins = match &work.from {
        None if work.sources.iter().all(|input| matches!(input, Input::Text(..))) => None,
        None => Some(Origins::Context(executor.contexts.main()?)),
        Some(Origin::Context(name)) => match executor.contexts.named(name) {
            Some(files) => Some(Origins::Context(files?)),
            None => Some(executor.image(&Origin::Context(name.clone()), step.stage)?),
        },
        Some(origin) => Some(executor.image(origin, step.stage)?),
    };
    let exclude = Ignore::new(&work.exclude)?;
    let key = key(executor, &work, origins.as_ref(), &exclude, step.state)?;
    let said = said(&work);
    let seconds = executor.time_of_made();
    let act = move |snapshot: &mut Snapshot<'_>| {
        let source = origins.as_ref().map(|origins| executor.open(origins)).transpose()?;
        let files = source.as_ref().map(Opened::files);
        perform(&work, files, &exclude, seconds, snapshot)
    };
    Ok(Deed { key, said, act: Box::new(act) })
}

fn expand(
    executor: &Executor<'_>,
    instruction: &Instruction,
    step: &Step<'_>,
) -> Result<Work, Fault> {
    let get = |name: &str| step.state.scope.get(name).map(str::to_owned);
    let expander = Expander::new(executor.plan.escape, &get);
    let optional = |word: &Option<Word>| -> Result<Option<String>, Fault> {
        let text = word.as_ref().map(|word| expander.word(word)).transpose()?;
        Ok(text.filter(|text| !text.is_empty()))
    };
    let (mut remote, mut checksum) = (false, false);
    let (name, from, sources, destination, chown, chmod, exclude, link, unpack);
    match instruction {
        Instruction::Copy(copy) => {
            if copy.parents {
                let remedy = "name the directory at the destination, too";
                return Err(Fault::Unsupported { what: "COPY --parents".to_owned(), remedy });
            }
            let origin = |from| executor.plan.origin(step.stage, from);
            from = copy.from.as_deref().map(origin).transpose()?;
            (name, unpack) = ("COPY", false);
            (sources, destination) = (&copy.sources, &copy.destination);
            (chown, chmod) = (&copy.chown, &copy.chmod);
            (exclude, link) = (&copy.exclude, copy.link);
        }
        Instruction::Add(add) => {
            remote = add.keep_git_dir == Some(true);
            checksum = add.checksum.is_some();
            (name, from, unpack) = ("ADD", None, add.unpack.unwrap_or(true));
            (sources, destination) = (&add.sources, &add.destination);
            (chown, chmod) = (&add.chown, &add.chmod);
            (exclude, link) = (&add.exclude, add.link);
        }
        other => unreachable!("{} copies nothing", other.name()),
    }
    let mut inputs = Vec::new();
    for source in sources {
        inputs.push(match source {
            dockerfile::Source::Path(word) => {
                let path = expander.word(word)?;
                match Remote::of(&path) {
                    Some(Remote::Url) if name == "COPY" => return Err(Fault::UrlCopy(path)),
                    Some(Remote::Git) if name == "COPY" => return Err(Fault::GitCopy(path)),
                    found => remote |= found.is_some(),
                }
                Input::Path(path)
            }
            dockerfile::Source::Heredoc(text) => {
                let content = if text.expand { expander.body(&text.text())? } else { text.text() };
                Input::Text(text.name.clone(), content)
            }
        });
    }
    if remote {
        let what = "ADD of a URL or a git repository".to_owned();
        let remedy = "fetch it before the build, or in a RUN";
        return Err(Fault::Unsupported { what, remedy });
    }
    if checksum {
        return Err(Fault::LocalChecksum);
    }
    let target = expander.word(destination)?;
    let destination = absolute(step.state.directory(), &target);
    let (chown, chmod, exclude) = (optional(chown)?, optional(chmod)?, exclude.clone());
    let sources = inputs;
    Ok(Work { name, from, sources, target, destination, chown, chmod, exclude, link, unpack })
}

/// A source that is on another machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remote {
    Url,
    Git,
}

impl Remote {
    fn of(path: &str) -> Option<Self> {
        let begins = |starts: &[&str]| starts.iter().any(|start| path.starts_with(start));
        let is_http = begins(&["http://", "https://"]);
        let name = path.split(['?', '#']).next().unwrap_or(path);
        match is_http {
            _ if begins(&["git://", "ssh://", "git@"]) => Some(Self::Git),
            true if name.ends_with(".git") => Some(Self::Git),
            true => Some(Self::Url),
            false => None,
        }
    }
}

/// A path of the image as it was meant, with its trailing slash.
fn absolute(directory: &str, path: &str) -> String {
    match path {
        _ if path.starts_with('/') => path.to_owned(),
        "" | "." => format!("{}/", directory.trim_end_matches('/')),
        _ => format!("{}/{path}", directory.trim_end_matches('/')),
    }
}

fn key(
    executor: &Executor<'_>,
    work: &Work,
    origins: Option<&Origins<'_>>,
    exclude: &Ignore,
    state: &State,
) -> Result<CacheKey, Fault> {
    let below = state.chain_id();
    let mut key = KeyMaker::new(work.name, below.as_ref());
    for input in &work.sources {
        key = match (input, origins) {
            (Input::Text(name, content), _) => key.field("text", name).field("content", content),
            (Input::Path(word), Some(Origins::Context(files))) => {
                key.field("digest", content(files, word, exclude)?.to_string())
            }
            (Input::Path(word), Some(Origins::Image(image))) => {
                let digest = executor.image_content(image, word, &work.exclude, exclude)?;
                key.field("digest", digest.to_string())
            }
            (Input::Path(_), None) => key,
        };
    }
    Ok(key
        .field("destination", &work.destination)
        .optional("chown", work.chown.as_ref())
        .optional("chmod", work.chmod.as_ref())
        .field("unpack", if work.unpack { "yes" } else { "no" })
        .field("link", if work.link { "yes" } else { "no" })
        .field("time", executor.time_of_made().to_string())
        .finish())
}

/// The digest of everything that a word of COPY or ADD means, with the names it has at its
/// destination.
fn content(files: &Files, word: &str, exclude: &Ignore) -> Result<Digest, Fault> {
    let mut key = KeyMaker::new("files", None);
    for source in files.find(word)? {
        let name = source.name.as_encoded_bytes();
        key = key.field(if source.meta.is_dir() { "directory" } else { "file" }, name);
        key = key.field("digest", files.digest(&source, exclude)?.to_string());
    }
    Ok(key.finish().digest().clone())
}

fn said(work: &Work) -> String {
    let mut flags = Vec::new();
    for (name, value) in [("chown", &work.chown), ("chmod", &work.chmod)] {
        flags.extend(value.as_deref().map(|value| (name, value)));
    }
    let words: Vec<String> = work
        .sources
        .iter()
        .map(|input| match input {
            Input::Path(path) => path.clone(),
            Input::Text(name, _) => format!("<<{name}"),
        })
        .collect();
    history::copy(work.name, &flags, &words, &work.target)
}

/// Something to be put at the destination.
enum Item<'w> {
    /// A file's name and content.
    Text(&'w str, &'w str),
    Path(Source),
    /// To be unpacked.
    Archive(Source),
}

impl Item<'_> {
    /// Whether the destination is a directory that takes what is in it.
    fn is_tree(&self) -> bool {
        match self {
            Self::Text(..) => false,
            Self::Path(source) => source.meta.is_dir(),
            Self::Archive(_) => true,
        }
    }
}

/// What the words of COPY or ADD mean now.
fn items<'w>(work: &'w Work, files: Option<&Files>) -> Result<Vec<Item<'w>>, Fault> {
    let mut items = Vec::new();
    for input in &work.sources {
        match (input, files) {
            (Input::Text(name, content), _) => items.push(Item::Text(name, content)),
            (Input::Path(word), Some(files)) => {
                for source in files.find(word)? {
                    items.push(match work.unpack && files.is_archive(&source)? {
                        true => Item::Archive(source),
                        false => Item::Path(source),
                    });
                }
            }
            (Input::Path(_), None) => {}
        }
    }
    Ok(items)
}

/// Does it.
fn perform(
    work: &Work,
    files: Option<&Files>,
    exclude: &Ignore,
    seconds: i64,
    snapshot: &mut Snapshot<'_>,
) -> Result<(), Fault> {
    let mode = work.chmod.as_deref().map(Mode::parse).transpose()?;
    let owner = match &work.chown {
        Some(text) => Some(Accounts::read(snapshot.root())?.file_owner(text)?),
        None => None,
    };
    let owner = owner.map(|owner| (owner.uid, owner.gid));
    let items = items(work, files)?;
    if items.is_empty() {
        return Ok(()); // patterns that nothing matches
    }
    let several = items.len().max(work.sources.len()) > 1;
    let into_directory = several && !items.iter().all(Item::is_tree);
    let mut destination = Destination::new(&work.destination, into_directory, snapshot.root())?;
    destination.set_attributes(owner.unwrap_or((0, 0)), mode.as_ref(), seconds);
    if work.link {
        destination.refuse_links(snapshot.root())?;
    }
    let changed =
        |meta: &Meta| mode.as_ref().map_or(meta.mode, |mode| mode.apply(meta.mode, meta.is_dir()));
    for item in &items {
        let source = match item {
            Item::Text(name, content) => {
                let path = destination.file(name.as_ref(), snapshot)?;
                destination.write(&path, content.as_bytes(), snapshot)?;
                continue;
            }
            Item::Path(source) | Item::Archive(source) => source,
        };
        let files = files.expect("something was found in it");
        if let Item::Archive(_) = item {
            let folder = destination.folder(snapshot)?;
            files.unpack(source, &folder, owner, snapshot)?;
            continue;
        }
        let path = match source.meta.is_dir() {
            true => destination.folder(snapshot)?,
            false => destination.file(&source.name, snapshot)?,
        };
        let choose =
            |path: &Path, meta: &Meta| -> Choice { files.choose(source, exclude, path, meta) };
        let options = CopyOptions {
            owner: owner.or(if files.keeps_owners { None } else { Some((0, 0)) }),
            mode: mode.is_some().then_some(&changed),
            no_xattrs: true,
            choose: Some(&choose),
            ..CopyOptions::default()
        };
        copy(files, &source.path, &path, options, snapshot)?;
    }
    destination.finish(snapshot)
}

/// Copies one source to its place.
fn copy(
    files: &Files,
    source: &Path,
    target: &Path,
    options: CopyOptions<'_>,
    snapshot: &mut Snapshot<'_>,
) -> Result<(), Fault> {
    let mut records = std::mem::take(snapshot.new_records());
    let copied = Copier::new(&files.root, &files.records, snapshot.root(), &mut records, options)
        .and_then(|mut copier| copier.copy(source, target));
    *snapshot.new_records() = records;
    match copied {
        Ok(_) => Ok(()),
        Err(error) => Err(Fault::in_image(error, snapshot.root())),
    }
}

/// Files that can be read now.
pub(super) enum Opened<'e> {
    Context(&'e Files),
    /// The snapshot keeps the mount for as long as its files are read.
    Image(Files, #[allow(dead_code, reason = "held for its drop")] Box<Snapshot<'e>>),
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
            Origin::Stage(number) => self.built(*number).clone(),
            other => {
                let platform = &self.plan.stages[stage].platform;
                let (base, _) = super::base::Base::find(self, other, platform)?;
                State::new(base.config, &base.layers)
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
                Ok(Opened::Image(files, Box::new(snapshot)))
            }
        }
    }

    /// As [`content`], remembered: an image's files under one chain ID never change.
    fn image_content(
        &self,
        image: &State,
        word: &str,
        patterns: &[String],
        exclude: &Ignore,
    ) -> Result<Digest, Fault> {
        let chain_id = image.chain_id();
        let key = KeyMaker::new("content", chain_id.as_ref())
            .field("word", word)
            .list("exclude", patterns)
            .finish();
        if let Some(digest) = self.store.cache_get(key.digest())?.and_then(|entry| entry.content) {
            return Ok(digest);
        }
        let opened = self.open(&Origins::Image(Box::new(image.clone())))?;
        let digest = content(opened.files(), word, exclude)?;
        let created = String::new();
        let entry = CacheEntry { layer: None, created, content: Some(digest.clone()) };
        self.store.cache_put(key.digest(), &entry)?;
        Ok(digest)
    }
}
