//! What is said about a build, and goes with the image that it made: attestations, as the reference
//! builder attaches them.
//!
//! - [`record`]: what the build used and did, noted while it is at it
//! - [`provenance`]: how the image came to be (SLSA), in [`operations`] the steps
//! - [`sbom`]: what is in it (SPDX)
//! - [`statement`]: the form in which both go with an image

mod operations;
mod provenance;
mod purl;
pub(super) mod record;
mod sbom;
mod statement;

use serde_json::Value;

pub use statement::{Predicate, Subject};

use super::Options;
use super::error::Fault;
use super::execute::Executor;
use super::result::{Built, BuiltImage};
use super::state::State;
use crate::dockerfile::{Argument, Dockerfile, Instruction, Word};
use crate::image::{Config, Digest, Manifest, Platform, Reference, Timestamp};
use crate::packages::{self, Installed};
use crate::report::Reporter;
use crate::store::Store;
use crate::transfer::{self, sink};
use record::{Source, Vertex, VertexId};

/// What shall be said about the result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attestations {
    pub provenance: Option<Provenance>,
    pub sbom: Option<Sbom>,
}

/// How it came to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    pub mode: Mode,
    /// A URI that names who builds; empty: nobody says.
    pub builder_id: String,
    /// The caller says that the same build always makes the same bytes.
    pub reproducible: bool,
    /// Only with images, not beside files.
    pub inline_only: bool,
    /// What it is called beside files.
    pub file: String,
}

impl Default for Provenance {
    fn default() -> Self {
        Self {
            mode: Mode::Max,
            builder_id: String::new(),
            reproducible: false,
            inline_only: false,
            file: "provenance.json".to_owned(),
        }
    }
}

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What is safe to tell of any build.
    Min,
    /// Arguments, names of secrets, the Dockerfile and all steps too.
    Max,
}

/// What is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sbom {
    /// Only with images, not beside files.
    pub inline_only: bool,
}

/// What a build began with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The Dockerfile's name, without the directories of this machine.
    pub dockerfile: String,
    /// Where the build context came from, unless it is a directory of the caller's.
    pub context: Option<Elsewhere>,
}

/// A build context of another machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// Without passwords.
    pub url: String,
    /// A digest with its algorithm, or a commit.
    pub digest: String,
}

impl Elsewhere {
    pub(super) fn source(self) -> Source {
        let Self { url, digest } = self;
        match digest.parse() {
            Ok(digest) => Source::Url { url, digest },
            Err(_) => Source::Repository { url, commit: digest },
        }
    }
}

/// When a build was, and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Invocation {
    id: String,
    started: Timestamp,
    /// What `SOURCE_DATE_EPOCH` says counts for all times.
    epoch: Option<Timestamp>,
}

impl Invocation {
    /// Of a build that begins now. With `SOURCE_DATE_EPOCH`, the same build has the same times and
    /// the same name whenever it is done.
    pub(super) fn new(options: &Options, now: Timestamp, epoch: Option<i64>) -> Self {
        let epoch = epoch.map(Timestamp::from_seconds);
        let text = match epoch {
            Some(epoch) => {
                let Options { dockerfile, build_args, labels, target, tags, .. } = options;
                format!("{epoch} {dockerfile:?} {build_args:?} {labels:?} {target:?} {tags:?}")
            }
            None => format!("{now} {}", std::process::id()),
        };
        let id = Digest::of(text.as_bytes()).hex()[..25].to_owned();
        Self { id, started: epoch.unwrap_or(now), epoch }
    }
}

/// How one image came to be, whatever is to be said of it.
#[derive(Debug, Clone)]
pub(super) struct Story {
    graph: Vec<Vertex>,
    invocation: Invocation,
    finished: Timestamp,
}

impl Story {
    pub(super) fn new(
        executor: &Executor<'_>,
        result: Option<VertexId>,
        invocation: &Invocation,
    ) -> Self {
        let now = Timestamp::from(std::time::SystemTime::now());
        Self {
            graph: executor.record.graph(result),
            invocation: invocation.clone(),
            finished: invocation.epoch.unwrap_or(now),
        }
    }

    /// The predicate of SLSA provenance 1.0.
    pub(super) fn provenance(&self, options: &Options, wish: &Provenance) -> Value {
        let facts = provenance::Facts {
            options,
            graph: &self.graph,
            started: self.invocation.started,
            finished: self.finished,
            invocation: &self.invocation.id,
        };
        provenance::predicate(wish, &facts)
    }
}

/// Arguments that make the reference builder look at stages and at the context, too.
const SCANS: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// Says which wishes for more than the image's own packages are not fulfilled.
pub(super) fn warn_of_scans(options: &Options, dockerfile: &Dockerfile, reporter: &dyn Reporter) {
    if options.attestations.sbom.is_none() {
        return;
    }
    let steps = dockerfile.stages.iter().flat_map(|stage| &stage.steps);
    let in_stages = steps.filter_map(|step| match &step.value {
        Instruction::Arg(arg) => Some(arg),
        _ => None,
    });
    let all = dockerfile.arguments.iter().map(|located| &located.value).chain(in_stages);
    let arguments: Vec<&Argument> = all.flat_map(|arg| &arg.arguments).collect();
    for name in SCANS {
        let given = options.build_args.iter().rev().find(|(known, _)| known == name);
        let is_wanted = |argument: &&&Argument| {
            let default = argument.default.as_ref().map_or("", Word::raw);
            let value = given.map_or(default, |(_, value)| value.as_str());
            argument.name.raw() == name && !matches!(value, "" | "0" | "f" | "false" | "False")
        };
        if arguments.iter().any(|argument| is_wanted(&argument)) {
            reporter.warn(format!("{name} is not supported: the SBOM is that of the image alone"));
        }
    }
}

/// Looks at what is in an image, if that is to be said.
pub(super) fn look(executor: &Executor<'_>, state: &State) -> Result<Option<Installed>, Fault> {
    if executor.options.attestations.sbom.is_none() {
        return Ok(None);
    }
    let snapshot = executor.store.snapshot(&executor.trees(state)?)?;
    let installed = packages::installed(snapshot.root());
    for unread in &installed.unread {
        executor.reporter.warn(format!("the SBOM is not complete: {unread}"));
    }
    Ok(Some(installed))
}

/// Says of an image what is to be said, and keeps it in the store.
pub(super) fn attest(
    store: &Store,
    options: &Options,
    image: &mut BuiltImage,
    installed: Option<&Installed>,
) -> Result<(), Fault> {
    let Attestations { provenance, sbom } = &options.attestations;
    let mut predicates = Vec::new();
    if let (Some(sbom), Some(installed)) = (sbom, installed) {
        predicates.push(Predicate {
            kind: sbom::TYPE,
            value: document(options, image, installed),
            file: "sbom.spdx.json".to_owned(),
            inline_only: sbom.inline_only,
        });
    }
    if let Some(provenance) = provenance {
        predicates.push(Predicate {
            kind: provenance::TYPE,
            value: image.story.provenance(options, provenance),
            file: provenance.file.clone(),
            inline_only: provenance.inline_only,
        });
    }
    if predicates.is_empty() {
        return Ok(());
    }
    let subjects = subjects(&options.tags, &image.platform, &image.manifest);
    let digest = &image.manifest.descriptor.digest;
    let (entry, blobs) =
        statement::manifest(&predicates, &subjects, digest).map_err(Fault::Image)?;
    for blob in &blobs {
        store.put_blob(blob)?;
    }
    image.attestations = vec![entry];
    image.predicates = predicates;
    Ok(())
}

/// What is said about the images of a build, in the files beside theirs.
#[derive(Debug)]
pub struct Beside<'a> {
    pub built: &'a Built,
    /// Before the names of the files.
    pub prefix: String,
    /// Images of several platforms are in one directory: the names tell their platforms.
    pub together: bool,
}

impl Beside<'_> {
    fn predicates<'b>(&'b self, image: &'b BuiltImage) -> impl Iterator<Item = &'b Predicate> {
        image.predicates.iter().filter(|predicate| !predicate.inline_only)
    }

    fn image(&self, digest: &Digest) -> Option<&BuiltImage> {
        self.built.images.iter().find(|image| image.manifest.descriptor.digest == *digest)
    }

    fn name(&self, predicate: &Predicate, platform: &Platform) -> String {
        let name = format!("{}{}", self.prefix, predicate.file);
        if !self.together {
            return name;
        }
        let platform = platform.to_string().replace('/', "_");
        match name.rsplit_once('.') {
            Some((name, extension)) => format!("{name}.{platform}.{extension}"),
            None => format!("{name}.{platform}"),
        }
    }
}

impl sink::Beside for Beside<'_> {
    fn files(
        &self,
        image: &Digest,
        _: &Config,
        digests: &sink::Digests<'_>,
    ) -> Result<Vec<sink::NewFile>, transfer::Error> {
        let Some(image) = self.image(image) else { return Ok(Vec::new()) };
        if self.predicates(image).next().is_none() {
            return Ok(Vec::new());
        }
        let subjects = digests()?.into_iter().map(|(name, digest)| Subject { name, digest });
        let subjects: Vec<Subject> = subjects.collect();
        let file = |predicate: &Predicate| sink::NewFile {
            name: self.name(predicate, &image.platform),
            mode: 0o600,
            content: format!("{:#}", predicate.statement(&subjects)).into_bytes(),
        };
        Ok(self.predicates(image).map(file).collect())
    }
}

/// The image under each of its names.
fn subjects(tags: &[Reference], platform: &Platform, manifest: &Manifest) -> Vec<Subject> {
    let digest = &manifest.descriptor.digest;
    let subject = |name| Subject { name, digest: digest.clone() };
    match tags {
        [] => vec![subject("_".to_owned())],
        tags => tags.iter().map(|tag| subject(purl::image(tag, Some(platform)))).collect(),
    }
}

fn document(options: &Options, image: &BuiltImage, installed: &Installed) -> Value {
    let digest = &image.manifest.descriptor.digest;
    let tag = options.tags.first();
    let title = tag.map_or_else(|| digest.to_string(), Reference::familiar);
    let created = image.config.created.as_deref().and_then(|text| text.parse().ok());
    let facts = sbom::Facts {
        title: &title,
        digest,
        url: tag.map(|tag| purl::image(tag, Some(&image.platform))),
        created: created.unwrap_or(Timestamp::EPOCH),
    };
    sbom::document(&facts, installed)
}

/// In base64 (RFC 4648, with padding).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let three = [chunk[0], *chunk.get(1).unwrap_or(&0), *chunk.get(2).unwrap_or(&0)];
        let number = three.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
        for digit in 0..4 {
            let bits = number >> (18 - 6 * digit) & 0x3f;
            text.push(if digit <= chunk.len() { char::from(DIGITS[bits]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_base64() {
        for (bytes, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
            ("\u{ff}\u{0}~", "w78AfiA="),
        ] {
            let padded = if bytes == "\u{ff}\u{0}~" { format!("{bytes} ") } else { bytes.into() };
            assert_eq!(base64(padded.as_bytes()), expected);
        }
    }
}
