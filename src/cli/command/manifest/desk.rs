//! [`Desk`]: lists as they are kept here, and images for them.

use crate::cli::anywhere;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::network::Remote;
use crate::image::media_type::{self, Family};
use crate::image::{
    Annotated, Annotations, Content, Descriptor, Digest, Index, Platform, Reference, edit,
};
use crate::store::{self, Name, RefEntry, Store};
use crate::transfer::{Options, sink, transfer};

/// What all verbs work with.
pub(super) struct Desk<'a> {
    pub(super) store: &'a Store,
    pub(super) remote: &'a Remote,
    pub(super) invocation: &'a Invocation,
}

impl Desk<'_> {
    /// What the name stands for here, if that is an index.
    pub(super) fn find(&self, name: &Reference) -> Result<Option<Index>, Error> {
        let Some(entry) = self.store.get_ref(&Name::Tagged(name.clone()))? else {
            return Ok(None);
        };
        match self.store.content(&entry.descriptor)? {
            Content::Index(index) => Ok(Some(index)),
            _ => Err(Error::Usage {
                text: format!("{} is an image, and no list of images", name.familiar()),
                hint: Some("make a list of it: bryo manifest create LIST IMAGE".to_owned()),
            }),
        }
    }

    /// The index of that name here.
    pub(super) fn list(&self, name: &Reference) -> Result<Index, Error> {
        self.find(name)?.ok_or_else(|| store::Error::NotFound(name.familiar()).into())
    }

    pub(super) fn known<'i>(
        &self,
        found: Option<&'i Index>,
        name: &Reference,
    ) -> Result<&'i Index, Error> {
        found.ok_or_else(|| store::Error::NotFound(name.familiar()).into())
    }

    /// Refuses to make what is there already.
    pub(super) fn refuse(&self, name: &Reference, amend: bool) -> Result<(), Error> {
        match self.store.get_ref(&Name::Tagged(name.clone()))? {
            Some(_) if !amend => Err(Error::Refused {
                text: format!("{} is there already", name.familiar()),
                hint: Some("add to it with --amend, or remove it first".to_owned()),
            }),
            _ => Ok(()),
        }
    }

    /// Fetches what texts name, if need be; all images of it.
    pub(super) fn gather(
        &self,
        images: &[String],
        platform: Option<&Platform>,
    ) -> Result<Vec<Descriptor>, Error> {
        let jobs = self.invocation.jobs().layers;
        let mut found = Vec::new();
        for text in images {
            let source = anywhere::find(self.store, self.remote, text, false)?.source;
            let options = Options { platform: platform.cloned(), jobs, ..Options::default() };
            let sink = sink::Store::nameless(self.store).packed();
            let arrived = transfer(&*source, &sink, &options, &*self.invocation.reporter)?;
            self.flatten(arrived, &mut found)?;
        }
        Ok(found)
    }

    /// The images of an index, and of those in it; an image itself.
    pub(super) fn flatten(
        &self,
        entry: Descriptor,
        found: &mut Vec<Descriptor>,
    ) -> Result<(), Error> {
        match self.store.content(&entry)? {
            Content::Index(index) => {
                index.manifests.into_iter().try_for_each(|entry| self.flatten(entry, found))
            }
            Content::Image(manifest) => {
                let platform = match entry.platform.clone() {
                    Some(platform) => platform,
                    None => self.store.config(&manifest)?.platform(),
                };
                found.push(Descriptor { platform: Some(platform), ..entry });
                Ok(())
            }
            Content::Artifact(_) => {
                found.push(entry);
                Ok(())
            }
        }
    }

    /// Where an image stands in a list.
    pub(super) fn position(
        &self,
        text: &str,
        entries: &[Descriptor],
        list: &Reference,
    ) -> Result<usize, Error> {
        let at = |digest: &Digest| entries.iter().position(|entry| entry.digest == *digest);
        // Shorter ones may be names.
        let hex = text.strip_prefix("sha256:").unwrap_or(if text.len() < 12 { "-" } else { text });
        if let Some(at) = entries.iter().position(|entry| entry.digest.hex().starts_with(hex)) {
            return Ok(at);
        }
        // A name with a digest needs nobody to be asked.
        let pinned = text.parse::<Reference>().ok().and_then(|name| name.digest().cloned());
        if let Some(found) = pinned.as_ref().and_then(at) {
            return Ok(found);
        }
        let missing = || Error::NotListed { image: text.to_owned(), list: list.familiar() };
        let source = anywhere::find(self.store, self.remote, text, false)?.source;
        let root = source.root()?;
        at(&root.descriptor().digest).ok_or_else(missing)
    }

    /// What is listed once others came. One for the same machine is told to go.
    pub(super) fn added(
        &self,
        mut entries: Vec<Descriptor>,
        new: &[Descriptor],
    ) -> Vec<Descriptor> {
        for new in new {
            for old in entries.iter().filter(|old| is_replaced(old, new)) {
                if let (true, Some(platform)) = (old.digest != new.digest, &new.platform) {
                    let (old, new) = (old.digest.short(), new.digest.short());
                    let text = format!("{old} was for {platform}, too: {new} takes its place");
                    self.invocation.reporter.warn(text);
                }
            }
            entries.retain(|old| !is_replaced(old, new));
            entries.push(new.clone());
        }
        entries
    }

    /// Changes what is listed, and gives the list's digest. What it was before is kept by nobody. Who
    /// changes it at the same time waits.
    pub(super) fn change(
        &self,
        name: &Reference,
        annotations: &[(String, String)],
        change: impl FnOnce(Option<&Index>) -> Result<Vec<Descriptor>, Error>,
    ) -> Result<Digest, Error> {
        let _lease = self.store.lease(&Digest::of(name.to_string().as_bytes()))?;
        let before = self.find(name)?;
        let entries = change(before.as_ref())?;
        let is_docker = |entry: &Descriptor| Family::of(&entry.media_type) == Family::Docker;
        let index = match before {
            Some(before) => before,
            None if !entries.is_empty() && entries.iter().all(is_docker) => {
                edit::empty_index(Family::Docker)?
            }
            None => edit::empty_index(Family::Oci)?,
        };
        // Docker's lists have no place for annotations.
        let family = (!annotations.is_empty()).then_some(Family::Oci);
        let mut content = edit::relisted(&index, &entries, family)?;
        if !annotations.is_empty() {
            let mut all = Annotations::default();
            for (name, value) in annotations {
                all.add(&format!("index:{name}={value}"))?;
            }
            let said = all.on(Annotated::Index, None);
            let edits = edit::Edits { annotations: Some(&said), ..Default::default() };
            content = edit::edit(&content, &edits)?;
        }
        let digest = self.store.put_blob(content.bytes())?;
        let descriptor = content.descriptor().clone();
        let name = Name::Tagged(name.clone());
        self.store.replace_ref(&RefEntry { name, descriptor, index: None })?;
        Ok(digest)
    }
}

/// Whether an entry goes when `new` comes: the same image, or one for the same machine.
fn is_replaced(old: &Descriptor, new: &Descriptor) -> bool {
    let is_known = |platform: &&Platform| platform.os != "unknown";
    let machine =
        |entry: &Descriptor| entry.platform.as_ref().filter(is_known).map(Platform::to_string);
    let is_same_machine = machine(new).is_some_and(|new| machine(old).as_ref() == Some(&new));
    old.digest == new.digest || is_same_machine && media_type::is_manifest(&old.media_type)
}
