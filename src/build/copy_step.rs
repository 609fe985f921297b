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
    /// As written, absolute.
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
enum Origins<'e> {
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
    let unsupported = |what: &str| Err(Fault::Unsupported(what.to_owned()));
    let (name, from, sources, destination, chown, chmod, exclude, link, unpack);
    match instruction {
        Instruction::Copy(copy) => {
            if copy.parents {
                return unsupported("COPY --parents");
            }
            let origin = |from| executor.plan.origin(step.stage, from);
            from = copy.from.as_deref().map(origin).transpose()?;
            (name, unpack) = ("COPY", false);
            (sources, destination) = (&copy.sources, &copy.destination);
            (chown, chmod) = (&copy.chown, &copy.chmod);
            (exclude, link) = (&copy.exclude, copy.link);
        }
        Instruction::Add(add) => {
            if add.checksum.is_some() || add.keep_git_dir.is_some() {
                return unsupported("ADD of a URL or a git repository");
            }
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
                if is_remote(&path) {
                    return Err(match name {
                        "COPY" => Fault::RemoteCopy(path),
                        _ => Fault::Unsupported("ADD of a URL or a git repository".to_owned()),
                    });
                }
                Input::Path(path)
            }
            dockerfile::Source::Heredoc(text) => {
                let content = if text.expand { expander.body(&text.text())? } else { text.text() };
                Input::Text(text.name.clone(), content)
            }
        });
    }
    let destination = absolute(step.state.directory(), &expander.word(destination)?);
    let (chown, chmod, exclude) = (optional(chown)?, optional(chmod)?, exclude.clone());
    Ok(Work { name, from, sources: inputs, destination, chown, chmod, exclude, link, unpack })
}

fn is_remote(path: &str) -> bool {
    ["http://", "https://", "git://", "ssh://", "git@"].iter().any(|start| path.starts_with(start))
}

/// A path of the image as it was meant, with its trailing slash.
pub(super) fn absolute(directory: &str, path: &str) -> String {
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
    history::copy(work.name, &flags, &words, &work.destination)
}

/// Does it.
fn perform(
    work: &Work,
    files: Option<&Files>,
    exclude: &Ignore,
    seconds: i64,
    snapshot: &mut Snapshot<'_>,
) -> Result<(), Fault> {
    let accounts = Accounts::read(snapshot.root())?;
    let owner = work.chown.as_deref().map(|text| accounts.file_owner(text)).transpose()?;
    let owner = owner.map(|owner| (owner.uid, owner.gid));
    let mode = work.chmod.as_deref().map(Mode::parse).transpose()?;
    let mut found: Vec<(Source, bool)> = Vec::new();
    let mut texts = Vec::new();
    for input in &work.sources {
        match (input, files) {
            (Input::Text(name, content), _) => texts.push((name, content)),
            (Input::Path(word), Some(files)) => {
                for source in files.find(word)? {
                    let archive = work.unpack && files.is_archive(&source)?;
                    found.push((source, archive));
                }
            }
            (Input::Path(_), None) => {}
        }
    }
    let several = found.len() + texts.len() > 1 || work.sources.len() > 1;
    let made =
        |meta: &Meta| mode.as_ref().map_or(meta.mode, |mode| mode.apply(meta.mode, meta.is_dir()));
    let mut destination = Destination::new(&work.destination, several, snapshot.root())?;
    destination.set_attributes(owner.unwrap_or((0, 0)), mode.as_ref(), seconds);
    if work.link {
        destination.refuse_links(snapshot.root())?;
    }
    for (name, content) in texts {
        let path = destination.file(name.as_ref(), snapshot)?;
        destination.write(&path, content.as_bytes(), snapshot)?;
    }
    for (source, archive) in &found {
        let files = files.expect("something was found in it");
        if *archive {
            let folder = destination.folder(snapshot)?;
            super::archive::unpack(files.root.open_file(&source.path)?, &folder, owner, snapshot)?;
            continue;
        }
        let path = match source.meta.is_dir() {
            true => destination.folder(snapshot)?,
            false => destination.file(&source.name, snapshot)?,
        };
        let owner = owner.or(if files.keeps_owners { None } else { Some((0, 0)) });
        let choose =
            |path: &Path, meta: &Meta| -> Choice { files.choose(source, exclude, path, meta) };
        let options = CopyOptions {
            owner,
            mode: mode.is_some().then_some(&made),
            no_xattrs: true,
            choose: Some(&choose),
            ..CopyOptions::default()
        };
        copy(files, &source.path, &path, options, snapshot)?;
    }
    destination.finish(snapshot)
}

/// Copies one source to its place.
pub(super) fn copy(
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
    copied.map(|_| ()).map_err(|error| match error {
        crate::rootfs::Error::NotADirectory { path } => Fault::NotADirectory(path),
        crate::rootfs::Error::IsADirectory { path } => Fault::IsADirectory(path),
        other => other.into(),
    })
}

/// Files that can be read now.
enum Opened<'e> {
    Context(&'e Files),
    /// The snapshot keeps the mount for as long as its files are read.
    Image(Files, #[allow(dead_code, reason = "held for its drop")] Box<Snapshot<'e>>),
}

impl Opened<'_> {
    fn files(&self) -> &Files {
        match self {
            Self::Context(files) => files,
            Self::Image(files, _) => files,
        }
    }
}

impl Executor<'_> {
    /// The stage or image that `--from` names.
    fn image(&self, origin: &Origin, stage: usize) -> Result<Origins<'static>, Fault> {
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

    fn open<'e>(&'e self, origins: &Origins<'e>) -> Result<Opened<'e>, Fault> {
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
