//! `bryo rm`.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::cli::batch;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::table::bytes;
use crate::dockerfile::{self, Glob};
use crate::image::{Content, Digest};
use crate::store::{self, Name, RefEntry, Store};

/// Remove images
///
/// A name removes that name; the beginning of an ID removes the image, with all its names if --force
/// says so. Prints what was removed. `bryo undelete` brings it back until its layers are deleted: by
/// `bryo prune`, or by the first `bryo rm` after a week.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo rm app:old 'test-*'
  bryo rm 'registry.example/team/*'")]
pub(crate) struct Rm {
    /// By an ID, remove all names of the image; and what is not here is no error
    #[arg(short, long)]
    force: bool,
    /// Delete at once what no other image needs: then nothing brings it back
    #[arg(long)]
    purge: bool,
    /// Names, patterns, or the beginnings of IDs
    #[arg(required = true, value_name = "IMAGE|PATTERN")]
    images: Vec<String>,
}

impl Rm {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let store = invocation.store()?;
        let mut names = BTreeSet::new();
        let outcome = batch::each(&self.images, |text| match self.meant(&store, text) {
            Err(Error::NothingMatches(_) | Error::Store(store::Error::NotFound(_)))
                if self.force =>
            {
                Ok(())
            }
            found => {
                names.extend(found?);
                Ok(())
            }
        });
        let names: Vec<Name> = names.into_iter().collect();
        store.forget(&names)?;
        let removed = match self.purge {
            true => store.remove(&names)?,
            false => store.sweep_old(REMEMBERED)?,
        };
        let lines: Vec<String> = names.iter().map(|name| format!("{}\n", shown(name))).collect();
        invocation.print(&lines.concat())?;
        let reporter = &invocation.reporter;
        match removed.deferred {
            true if self.purge => reporter.note(
                "another bryo is at work: what the images held is deleted by the next `bryo prune`"
                    .to_owned(),
            ),
            _ if self.purge => reporter.note(format!("freed {}", bytes(removed.bytes()))),
            _ if names.is_empty() => {}
            _ => reporter.note(
                "`bryo prune` frees their space, `bryo undelete` brings them back".to_owned(),
            ),
        }
        outcome
    }

    /// The names that go.
    fn meant(&self, store: &Store, text: &str) -> Result<Vec<Name>, Error> {
        if Glob::is_pattern(text) {
            return matching(store.list_refs()?.into_iter().map(|entry| entry.name), text);
        }
        let found = match store.find(text) {
            // Of a name that is damaged only the name is left.
            Err(store::Error::Damaged { .. }) => return Ok(vec![Name::Tagged(text.parse()?)]),
            found => found?,
        };
        if is_named(&found, text) {
            return Ok(vec![found.name]);
        }
        // An image can have several manifests, and its ID is theirs all: those that nobody named go
        // first, which is what whoever lists these wants.
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        let is_manifest = found.descriptor.digest.hex().starts_with(hex);
        let is_same = |entry: &RefEntry| match is_manifest {
            true => entry.descriptor.digest == found.descriptor.digest,
            false => id(store, entry) == id(store, &found),
        };
        let names: Vec<Name> =
            store.list_refs()?.into_iter().filter(is_same).map(|entry| entry.name).collect();
        let nameless = |name: &&Name| matches!(name, Name::Anonymous(_));
        let unnamed: Vec<Name> = names.iter().filter(nameless).cloned().collect();
        if !unnamed.is_empty() && !self.force {
            return Ok(unnamed);
        }
        if names.len() > 1 && !self.force {
            let all: Vec<String> = names.iter().map(shown).collect();
            let text = format!("{text} is an image with {} names: {}", all.len(), all.join(", "));
            let hint = Some("remove one of the names, or all of them with --force".to_owned());
            return Err(Error::Refused { text, hint });
        }
        Ok(names)
    }
}

/// What was removed can be brought back for so long at least.
const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 3600);

/// Those of `names` that match a pattern.
pub(super) fn matching(names: impl Iterator<Item = Name>, text: &str) -> Result<Vec<Name>, Error> {
    let usage = |error: dockerfile::Error| Error::Usage { text: error.to_string(), hint: None };
    let pattern = Glob::new(text).map_err(usage)?;
    let found: Vec<Name> = names
        .filter(|name| match name {
            Name::Tagged(name) => {
                pattern.matches(&name.to_string()) || pattern.matches(&name.familiar())
            }
            Name::Anonymous(_) => false,
        })
        .collect();
    match found.is_empty() {
        true => Err(Error::NothingMatches(text.to_owned())),
        false => Ok(found),
    }
}

/// What people know an image by.
fn id(store: &Store, entry: &RefEntry) -> Digest {
    match store.content(&entry.descriptor) {
        Ok(Content::Image(manifest) | Content::Artifact(manifest)) => manifest.config.digest,
        _ => entry.descriptor.digest.clone(),
    }
}

/// Whether `text` is the entry's own name rather than an ID.
fn is_named(entry: &RefEntry, text: &str) -> bool {
    match &entry.name {
        Name::Tagged(name) => text.parse().is_ok_and(|text: crate::image::Reference| text == *name),
        Name::Anonymous(_) => false,
    }
}

pub(super) fn shown(name: &Name) -> String {
    match name {
        Name::Tagged(name) => name.familiar(),
        Name::Anonymous(digest) => digest.to_string(),
    }
}
