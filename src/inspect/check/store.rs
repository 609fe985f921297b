//! The storage directory itself: every blob is what its name says, and every name stands for
//! something whole.

use std::collections::HashSet;
use std::io;

use super::{Error, Report, chain};
use crate::image::{Content, Descriptor, Digest, Verified};
use crate::inspect::side_by_side;
use crate::report::{Outcome, Reporter, start};
use crate::store::{Name, Store};
use crate::transfer::{Source as _, source};

/// Looks at all blobs and all names. Nothing is changed, and nothing that is damaged is removed.
///
/// # Errors
///
/// When the storage directory cannot be read.
pub fn check_store(store: &Store, jobs: usize, reporter: &dyn Reporter) -> Result<Report, Error> {
    let mut report = Report::default();
    let blobs = store.list_blobs()?;
    let damaged = side_by_side(&blobs, jobs, |_, digest| verify(store, digest, reporter))?;
    let damaged: HashSet<Digest> = blobs
        .iter()
        .zip(damaged)
        .filter_map(|(digest, wrong)| {
            report.add("store-blob", format!("{digest}: {}", wrong?));
            Some(digest.clone())
        })
        .collect();
    let mut needed = HashSet::new();
    let (entries, unreadable) = store.list_all_refs()?;
    for entry in entries {
        let name = match &entry.name {
            Name::Tagged(name) => name.familiar(),
            Name::Anonymous(digest) => digest.to_string(),
        };
        report.images += 1;
        let mut way = Way { store, damaged: &damaged, needed: &mut needed, missing: Vec::new() };
        way.follow(&entry.descriptor);
        let missing = way.missing;
        needed.extend(entry.index.map(|index| index.digest));
        for text in missing {
            report.add("store-reference", format!("{name}: {text}"));
        }
    }
    for name in unreadable {
        let what =
            "what it stands for cannot be read; `bryo rm` removes it, pull and build replace it";
        report.add("store-reference", format!("{name}: {what}"));
    }
    for (_, cached) in store.cached_steps()? {
        needed.extend(cached.layer.map(|layer| layer.descriptor.digest));
        needed.extend(cached.content);
    }
    // What can be undeleted need not be whole, but it is no rubbish.
    for forgotten in store.forgotten_refs()? {
        let mut way = Way { store, damaged: &damaged, needed: &mut needed, missing: Vec::new() };
        way.follow(&forgotten.entry.descriptor);
        needed.extend(forgotten.entry.index.map(|index| index.digest));
    }
    for digest in blobs.iter().filter(|digest| !needed.contains(digest)) {
        report.add("store-unused", digest.to_string());
    }
    report.close();
    Ok(report)
}

/// What is wrong with a blob.
fn verify(
    store: &Store,
    digest: &Digest,
    reporter: &dyn Reporter,
) -> Result<Option<String>, Error> {
    // Another process may have removed it meanwhile.
    let Some(size) = store.blob_size(digest) else { return Ok(None) };
    let running = start(reporter, format!("blob {}", digest.short()), Some(size));
    let file = store.open_blob(digest)?;
    let wrong = match io::copy(&mut Verified::new(file, digest.clone(), None), &mut io::sink()) {
        Ok(_) => None,
        Err(error) => Some(chain(&error)),
    };
    running.advance(size);
    running.finish(Outcome::Done);
    Ok(wrong)
}

struct Way<'a> {
    store: &'a Store,
    damaged: &'a HashSet<Digest>,
    needed: &'a mut HashSet<Digest>,
    missing: Vec<String>,
}

impl Way<'_> {
    fn follow(&mut self, descriptor: &Descriptor) {
        self.needed.insert(descriptor.digest.clone());
        if !self.is_whole(&descriptor.digest, "manifest") {
            return;
        }
        let source = source::Store::new(self.store, descriptor.clone());
        match source.root() {
            // An index may be kept with the images of some platforms alone.
            Ok(Content::Index(index)) => {
                for manifest in &index.manifests {
                    self.needed.insert(manifest.digest.clone());
                    if self.store.has_blob(&manifest.digest) {
                        self.follow(manifest);
                    }
                }
            }
            Ok(Content::Image(manifest) | Content::Artifact(manifest)) => {
                for part in std::iter::once(&manifest.config).chain(&manifest.layers) {
                    self.needed.insert(part.digest.clone());
                    self.is_whole(&part.digest, "blob");
                }
            }
            Err(error) => self.missing.push(chain(&error)),
        }
    }

    fn is_whole(&mut self, digest: &Digest, what: &str) -> bool {
        if self.damaged.contains(digest) {
            self.missing.push(format!("{what} {digest} is damaged"));
            return false;
        }
        let there = self.store.has_blob(digest);
        if !there {
            self.missing.push(format!("{what} {digest} is not there"));
        }
        there
    }
}
