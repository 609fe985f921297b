//! To the storage directory, layers unpacked.
//!
//! ```text
//! source ──┬──> digest, blob file          (this layer's first thread)
//!          └──> decompress ──┬──> diff ID  (its second one)
//!                            └──> tar ──> files
//! ```
//!
//! Each layer goes through this once, all of them side by side; what is there already is left out, so
//! that a layer whose files alone are missing is unpacked from its blob. Layers that lean on those
//! below them are then finished one after the other, in their order.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::{self, Read, Write as _};
use std::sync::Mutex;
use std::thread;

use crate::concurrency::Cancel;
use crate::image::{Content, Descriptor, Digest, Manifest, Reference, Verified, edit};
use crate::layer::compress::decompress;
use crate::layer::{self, Below, Noted, Unpacked};
use crate::report::{Outcome, Reporter, Silent};
use crate::store::{self, Name, NewTree, RefEntry, Tree, TreeKey};
use crate::transfer::chunks::{ChunkReader, ChunkSender, chunks};
use crate::transfer::hashing::Hashing;
use crate::transfer::sink::writer::Writer;
use crate::transfer::{Blob, Error, Role, Root, Sink, about, short, source};

/// What is being done when a blob cannot be written.
const WRITING: &str = "a blob to the storage directory";

pub struct Store<'a> {
    store: &'a store::Store,
    unpack: bool,
    name_it: bool,
    /// What is here is fetched all the same.
    anew: bool,
    /// Layers that wait to be finished, by diff ID.
    waiting: Mutex<HashMap<Digest, Waiting<'a>>>,
    /// What is said about the image, by the tag that stands for it.
    said: Mutex<BTreeMap<String, Vec<Descriptor>>>,
    reporter: &'a dyn Reporter,
}

impl fmt::Debug for Store<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.store).finish()
    }
}

/// A layer that leans on those below.
#[derive(Debug)]
struct Waiting<'a> {
    tree: NewTree<'a>,
    unpacked: Unpacked,
}

impl<'a> Store<'a> {
    pub fn new(store: &'a store::Store) -> Self {
        let (waiting, said) = (Mutex::default(), Mutex::default());
        let reporter = &Silent;
        Self { store, unpack: true, name_it: true, anew: false, waiting, said, reporter }
    }

    /// Tells what is odd about the layers that are unpacked.
    #[must_use]
    pub fn telling(self, reporter: &'a dyn Reporter) -> Self {
        Self { reporter, ..self }
    }

    /// Fetches what is here, too.
    #[must_use]
    pub fn anew(self) -> Self {
        Self { anew: true, ..self }
    }

    /// Keeps bytes only: for images that are to be sent on, and for other machines' ones.
    #[must_use]
    pub fn packed(self) -> Self {
        Self { unpack: false, ..self }
    }

    /// Gives no names, not even that of a nameless image.
    pub fn nameless(store: &'a store::Store) -> Self {
        Self { name_it: false, ..Self::new(store) }
    }

    fn put_layer(
        &self,
        blob: &Blob<'_>,
        diff_id: &Digest,
        below: Option<&Digest>,
    ) -> Result<Outcome, Error> {
        let Descriptor { digest, size, .. } = blob.descriptor;
        let look = || {
            let has_blob = !self.anew && self.store.blob_size(digest) == Some(*size);
            let has_tree = !self.anew && self.store.layer_tree(below, diff_id).is_some();
            (has_blob, !self.unpack || has_tree)
        };
        // What the configuration says of a blob is believed when somebody has looked.
        let is_known = || !self.unpack || self.store.knows_layer(digest, diff_id);
        if look() == (true, true) && is_known() {
            return Ok(Outcome::Cached);
        }
        // Another process, or another stage of this one's build, may be at it: one download does
        // for both.
        let _lease = self.store.lease(digest)?;
        let waiting = match look() {
            (true, true) => {
                if !is_known() {
                    self.examine(blob, diff_id)?;
                }
                return Ok(Outcome::Cached);
            }
            (false, true) => {
                self.anew_if_spoilt(blob, || {
                    let mut to = Writer::new(self.store, blob)?;
                    let from = blob.open_after(to.kept()?)?.take(size + 1);
                    blob.copy_from(from, &mut to, WRITING)?;
                    to.commit(blob)
                })?;
                if !is_known() {
                    self.examine(blob, diff_id)?;
                }
                return Ok(Outcome::Done);
            }
            (true, false) => {
                let from = self.store.open_blob(digest)?;
                self.fetch_and_unpack(blob, diff_id, from, None)?
            }
            (false, false) => self.anew_if_spoilt(blob, || {
                let to = Writer::new(self.store, blob)?;
                self.fetch_and_unpack(blob, diff_id, blob.open_after(to.kept()?)?, Some(to))
            })?,
        };
        if waiting.unpacked.is_self_contained() {
            waiting.tree.commit(&TreeKey::Diff(diff_id.clone()), &waiting.unpacked.records)?;
        } else {
            let mut all = self.waiting.lock().expect("keeping a tree cannot panic");
            all.insert(diff_id.clone(), waiting);
        }
        Ok(Outcome::Done)
    }

    /// Fetches once more, and all of it, if what an earlier process left was not the blob's
    /// beginning.
    fn anew_if_spoilt<T>(
        &self,
        blob: &Blob<'_>,
        fetch: impl Fn() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let digest = &blob.descriptor.digest;
        let was_begun = self.store.has_partial(digest);
        match fetch() {
            Err(_) if was_begun && !self.store.has_partial(digest) && !blob.is_cancelled() => {
                fetch()
            }
            outcome => outcome,
        }
    }

    fn fetch(&self, blob: &Blob<'_>) -> Result<(), Error> {
        let digest = &blob.descriptor.digest;
        let mut to = self.store.blob_writer_for(digest.algorithm())?;
        blob.copy_to(&mut to, WRITING)?;
        to.commit(Some(digest)).map_err(|error| blob.refused(error))?;
        Ok(())
    }

    /// Reads `from`, which is the blob; writes it to `to`, and its files to a new tree.
    fn fetch_and_unpack(
        &self,
        blob: &Blob<'_>,
        diff_id: &Digest,
        from: impl Read,
        to: Option<Writer<'_>>,
    ) -> Result<Waiting<'a>, Error> {
        let (sender, receiver) = chunks();
        let (passed_on, unpacked) = thread::scope(|scope| {
            let unpacking = scope.spawn(|| self.unpack(blob, diff_id, receiver));
            // A blob that is not what it should be is often no archive either: it is read to the
            // end even if it cannot be unpacked, because the wrong digest is what must be told.
            let passed_on = pass_on(blob, from, to, sender);
            (passed_on, unpacking.join().expect("the unpacking thread has no bug"))
        });
        passed_on?;
        let unpacked = unpacked?;
        self.store.know_layer(&blob.descriptor.digest, diff_id)?;
        Ok(unpacked)
    }

    /// Looks what a blob that is here unpacks to.
    fn examine(&self, blob: &Blob<'_>, diff_id: &Digest) -> Result<(), Error> {
        let Descriptor { digest: layer, size, .. } = blob.descriptor;
        let unreadable = |source| blob.unreadable(source);
        let file = Verified::new(self.store.open_blob(layer)?, layer.clone(), Some(*size));
        let input = decompress(file).map_err(unreadable)?;
        let mut tar = Hashing::new(input, diff_id.algorithm());
        io::copy(&mut tar, &mut io::sink()).map_err(unreadable)?;
        let actual = tar.finish();
        if actual != *diff_id {
            let (layer, expected) = (layer.clone(), diff_id.clone());
            return Err(Error::DiffId { layer, expected, actual });
        }
        Ok(self.store.know_layer(layer, diff_id)?)
    }

    fn unpack(
        &self,
        blob: &Blob<'_>,
        diff_id: &Digest,
        input: ChunkReader,
    ) -> Result<Waiting<'a>, Error> {
        let layer = &blob.descriptor.digest;
        let failed = unpacking(layer, blob.origin());
        let tree = self.store.new_tree()?;
        let input = decompress(input).map_err(|source| failed(layer::Error::Read(source)))?;
        let mut tar = Hashing::new(input, diff_id.algorithm());
        let unpacked = layer::unpack(&mut tar, &tree.root()?).map_err(&failed)?;
        let actual = tar.finish();
        if actual != *diff_id {
            let (layer, expected) = (layer.clone(), diff_id.clone());
            return Err(Error::DiffId { layer, expected, actual });
        }
        self.tell(layer, &unpacked);
        Ok(Waiting { tree, unpacked })
    }

    /// Tells what is odd about a layer.
    fn tell(&self, layer: &Digest, unpacked: &Unpacked) {
        let say = |noted: &Noted, what: [&str; 2]| {
            let (many, first) = match noted.count {
                0 => return,
                1 => (what[0].to_owned(), "namely"),
                count => (format!("{count} {}", what[1]), "the first of them"),
            };
            let (layer, path) = (short(layer), &noted.first);
            self.reporter.warn(format!("layer {layer}: {many}, {first} {path:?}"));
        };
        say(
            &unpacked.strays,
            [
                "an entry that leads outside of the image by its name or by a link was kept inside",
                "entries that lead outside of the image by their names or by links were kept inside",
            ],
        );
        say(
            &unpacked.replaced,
            [
                "a file of a lower layer gave way to a directory, because entries lie below it",
                "files of lower layers gave way to directories, because entries lie below them",
            ],
        );
    }

    /// Finishes the layers of an image that lean on those below them, from the lowest up.
    fn complete(&self, manifest: &Manifest) -> Result<(), Error> {
        if !self.unpack {
            return Ok(());
        }
        let config = self.store.config(manifest)?;
        let kind = &config.rootfs.kind;
        if !kind.is_empty() && kind != "layers" {
            let problem = format!("its rootfs.type is {kind:?}, and only layers can be unpacked");
            let path = manifest.descriptor.digest.to_string();
            return Err(Error::NoImage { path, problem });
        }
        let mut below: Option<Digest> = None;
        let mut trees: Vec<Tree> = Vec::new();
        for (descriptor, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
            let chain_id = Digest::chain(below.as_ref(), diff_id);
            let tree = match self.store.layer_tree(below.as_ref(), diff_id) {
                Some(tree) => tree,
                None => self.finish_layer(descriptor, diff_id, &chain_id, &trees)?,
            };
            trees.push(tree);
            below = Some(chain_id);
        }
        Ok(())
    }

    /// Keeps what is said about the image beside each of its names, as registries do that have no
    /// lists of it. What has no name cannot be asked for it either.
    fn keep_said(&self, names: &[Reference]) -> Result<(), Error> {
        let said = std::mem::take(&mut *self.said.lock().expect("taking the entries cannot panic"));
        for (name, (tag, entries)) in
            names.iter().flat_map(|name| said.iter().map(move |all| (name, all)))
        {
            let Some(name) = name.with_tag(tag).map(Name::from) else { continue };
            let descriptor = match &entries[..] {
                [only] if tag.contains('.') => only.clone(),
                _ => {
                    let mut list = match self.store.get_ref(&name)? {
                        Some(entry) => match self.store.content(&entry.descriptor)? {
                            Content::Index(index) => index.manifests,
                            _ => Vec::new(),
                        },
                        None => Vec::new(),
                    };
                    for entry in entries {
                        if list.iter().all(|known| known.digest != entry.digest) {
                            list.push(entry.clone());
                        }
                    }
                    let list = edit::index(&list)?;
                    self.store.put_blob(list.bytes())?;
                    list.descriptor().clone()
                }
            };
            self.store.set_ref(&RefEntry { name, descriptor, index: None })?;
        }
        Ok(())
    }

    fn finish_layer(
        &self,
        descriptor: &Descriptor,
        diff_id: &Digest,
        chain_id: &Digest,
        below: &[Tree],
    ) -> Result<Tree, Error> {
        let waiting = self.waiting.lock().expect("taking a tree cannot panic").remove(diff_id);
        let Waiting { tree, mut unpacked } = match waiting {
            Some(waiting) => waiting,
            // The same layer stands in the image twice, or its tree was removed just now.
            None => {
                let source = source::Store::new(self.store, descriptor.clone());
                let role = Role::Layer { diff_id: diff_id.clone(), below: None };
                let cancel = Cancel::default();
                let blob = Blob::new(descriptor, role, &source, &cancel);
                let from = self.store.open_blob(&descriptor.digest)?;
                self.fetch_and_unpack(&blob, diff_id, from, None)?
            }
        };
        if unpacked.is_self_contained() {
            return Ok(tree.commit(&TreeKey::Diff(diff_id.clone()), &unpacked.records)?);
        }
        let mut lower = Vec::new();
        for tree in below {
            lower.push((tree.files(), tree.records()?));
        }
        let layer = &descriptor.digest;
        unpacked.strays = Noted::default(); // which was told
        unpacked
            .complete(&tree.root()?, &mut Below::new(lower))
            .map_err(unpacking(layer, self.name()))?;
        self.tell(layer, &unpacked);
        Ok(tree.commit(&TreeKey::Chain(chain_id.clone()), &unpacked.records)?)
    }
}

/// What it means that the layer from there could not be unpacked.
fn unpacking(layer: &Digest, from: String) -> impl Fn(layer::Error) -> Error {
    let layer = layer.clone();
    move |source| {
        let (layer, from) = (layer.clone(), from.clone());
        Error::Unpack { layer, from, source: Box::new(source) }
    }
}

impl Sink for Store<'_> {
    fn name(&self) -> String {
        "the storage directory".to_owned()
    }

    fn put_blob(&self, blob: &Blob<'_>) -> Result<Outcome, Error> {
        match &blob.role {
            Role::Layer { diff_id, below } => self.put_layer(blob, diff_id, below.as_ref()),
            Role::Config | Role::Other => {
                let there = self.store.blob_size(&blob.descriptor.digest);
                if !self.anew && there == Some(blob.descriptor.size) {
                    return Ok(Outcome::Cached);
                }
                self.fetch(blob)?;
                Ok(Outcome::Done)
            }
        }
    }

    fn put_manifest(&self, content: &Content) -> Result<(), Error> {
        if let Content::Image(manifest) = content {
            self.complete(manifest)?;
        }
        self.put_blob(&Blob::of_content(content)).map(drop)
    }

    fn put_root(&self, root: &Root<'_>) -> Result<(), Error> {
        self.put_manifest(root.content)?;
        if !self.name_it {
            return Ok(());
        }
        let index = match root.index {
            Some(index) => {
                self.store.put_blob(&index.bytes)?;
                Some(index.descriptor.clone())
            }
            None => None,
        };
        self.keep_said(root.names)?;
        let descriptor = root.content.descriptor();
        let mut names: Vec<Name> = root.names.iter().cloned().map(Name::from).collect();
        if names.is_empty() {
            names.push(Name::Anonymous(descriptor.digest.clone()));
        }
        for name in names {
            let (descriptor, index) = (descriptor.clone(), index.clone());
            self.store.set_ref(&RefEntry { name, descriptor, index })?;
        }
        Ok(())
    }

    fn needs_foreign(&self) -> bool {
        self.unpack
    }

    fn takes_referrers(&self) -> bool {
        self.name_it
    }

    fn put_referrer(&self, content: &Content, subject: &Digest) -> Result<(), Error> {
        self.put_manifest(content)?;
        let mut said = self.said.lock().expect("keeping an entry cannot panic");
        said.entry(about::tag_of(subject)).or_default().push(content.as_referrer());
        Ok(())
    }

    fn put_tagged(&self, content: &Content, tag: &str) -> Result<(), Error> {
        self.put_manifest(content)?;
        let mut said = self.said.lock().expect("keeping an entry cannot panic");
        said.insert(tag.to_owned(), vec![content.descriptor().clone()]);
        Ok(())
    }
}

/// Reads a blob, once, to those who want it.
fn pass_on(
    blob: &Blob<'_>,
    mut from: impl Read,
    mut to: Option<Writer<'_>>,
    sender: ChunkSender,
) -> Result<(), Error> {
    let size = &blob.descriptor.size;
    let mut seen = 0;
    let mut wanted = true;
    loop {
        let mut chunk = sender.buffer();
        let count = match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(blob.unreadable(error)),
        };
        if blob.is_cancelled() {
            return Err(Error::Cancelled);
        }
        chunk.truncate(count);
        seen += count as u64;
        if seen > *size {
            return Err(blob.wrong_size(seen));
        }
        if let Some(to) = &mut to {
            to.write_all(&chunk).map_err(Error::writing(WRITING))?;
        } else {
            blob.advance(count as u64);
        }
        if wanted {
            wanted = sender.send(chunk);
        } else if to.is_none() {
            return Ok(()); // it was verified when it was written
        }
    }
    if seen != *size {
        return Err(blob.wrong_size(seen));
    }
    if let Some(to) = to {
        to.commit(blob)?;
    }
    sender.end();
    Ok(())
}
