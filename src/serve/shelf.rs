//! [`Shelf`]: what each repository has, found out from the names in the store.
//!
//! Names are the truth, whoever gave them: a push to this server, a build or a pull beside it. A
//! repository has what its names stand for and all that this needs. That is found out once, and
//! again of the repositories whose names changed; manifests never change, so what they say is
//! remembered.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::names::key;
use crate::image::{Content, Descriptor, Digest, Reference, media_type};
use crate::store::{Error, Name, RefEntry, Result, SeenRefs, Store};

/// Two changes so close to each other may have the same time.
const TICK: Duration = Duration::from_millis(50);
/// What so many manifests say is remembered.
const REMEMBERED: usize = 20_000;

/// All repositories.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When names had changed last, and when that was looked at.
    seen: Option<(SystemTime, SystemTime)>,
    refs: SeenRefs,
    /// The names of each repository.
    entries: HashMap<String, BTreeMap<Name, RefEntry>>,
    contents: Arc<Contents>,
    known: Memory,
}

/// What changed in a repository.
#[derive(Debug, Default)]
struct Touched {
    added: Vec<RefEntry>,
    /// Something went, and with it what nothing else needs.
    lost: bool,
}

/// What manifests say.
#[derive(Debug, Default)]
struct Memory(HashMap<Digest, Arc<Known>>);

/// Repositories by their names here.
pub(super) type Contents = BTreeMap<String, Arc<Repository>>;

/// What a repository has.
#[derive(Debug, Clone, Default)]
pub(super) struct Repository {
    /// Any of its names.
    pub(super) name: Option<Reference>,
    pub(super) tags: BTreeMap<String, Digest>,
    /// All manifests and indexes.
    pub(super) manifests: HashMap<Digest, Descriptor>,
    /// Those that have names, and what the names are.
    pub(super) named: HashMap<Digest, Vec<Name>>,
    /// What indexes list, here or not.
    pub(super) listed: HashSet<Digest>,
    /// Configurations and layers, with their sizes.
    pub(super) blobs: HashMap<Digest, u64>,
    /// By what they refer to; in the form that clients get.
    pub(super) referrers: BTreeMap<Digest, BTreeMap<Digest, Descriptor>>,
}

/// What a manifest says.
#[derive(Debug)]
struct Known {
    media_type: String,
    size: u64,
    manifests: Vec<Descriptor>,
    blobs: Vec<(Digest, u64)>,
    subject: Option<Digest>,
    artifact_type: Option<String>,
    annotations: BTreeMap<String, String>,
}

/// The fields of a manifest or an index that tell what it is about.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct About {
    pub(super) media_type: Option<String>,
    pub(super) artifact_type: Option<String>,
    pub(super) subject: Option<Descriptor>,
}

impl Shelf {
    /// What is there now.
    pub(super) fn contents(&self, store: &Store) -> Result<Arc<Contents>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (changed, now) = (store.refs_changed()?, SystemTime::now());
        let is_fresh = state.seen.is_some_and(|(seen, looked)| {
            seen == changed && looked.duration_since(seen).is_ok_and(|age| age > TICK)
        });
        if !is_fresh {
            if let Err(error) = state.refresh(store) {
                *state = State::default();
                return Err(error);
            }
            state.seen = Some((changed, now));
        }
        Ok(Arc::clone(&state.contents))
    }

    /// What an index of a repository lists is here now; no name tells of that.
    pub(super) fn came(&self, store: &Store, key: &str, descriptor: &Descriptor) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { contents, known, .. } = &mut *state;
        match Arc::make_mut(contents).get_mut(key) {
            Some(repository) => known.add(store, descriptor, Arc::make_mut(repository)),
            None => Ok(()),
        }
    }
}

impl State {
    /// Looks at what changed.
    fn refresh(&mut self, store: &Store) -> Result<()> {
        let mut touched = HashMap::<String, Touched>::new();
        for change in store.look_again(&mut self.refs)? {
            for (entry, is_there) in [(change.before, false), (change.now, true)] {
                let Some(entry) = entry else { continue };
                let Name::Tagged(name) = &entry.name else { continue };
                let key = key(name.registry(), name.repository());
                let entries = self.entries.entry(key.clone()).or_default();
                let touched = touched.entry(key).or_default();
                if is_there {
                    entries.insert(entry.name.clone(), entry.clone());
                    touched.added.push(entry);
                } else {
                    entries.remove(&entry.name);
                    touched.lost = true;
                }
            }
        }
        if touched.is_empty() {
            return Ok(());
        }
        if self.known.0.len() > REMEMBERED {
            self.known.0.clear();
        }
        let contents = Arc::make_mut(&mut self.contents);
        for (key, Touched { added, lost }) in touched {
            if !lost {
                let repository = Arc::make_mut(contents.entry(key).or_default());
                added.iter().try_for_each(|entry| self.known.name(store, entry, repository))?;
                continue;
            }
            let entries = self.entries.get(&key).filter(|entries| !entries.is_empty());
            let Some(entries) = entries else {
                contents.remove(&key);
                self.entries.remove(&key);
                continue;
            };
            let mut repository = Repository::default();
            let mut all = entries.values();
            all.try_for_each(|entry| self.known.name(store, entry, &mut repository))?;
            contents.insert(key, Arc::new(repository));
        }
        Ok(())
    }
}

impl Memory {
    /// Adds a name, and what it stands for.
    fn name(&mut self, store: &Store, entry: &RefEntry, repository: &mut Repository) -> Result<()> {
        let Name::Tagged(name) = &entry.name else { return Ok(()) };
        if let (Some(tag), None) = (name.tag(), name.digest()) {
            repository.tags.insert(tag.to_owned(), entry.descriptor.digest.clone());
        }
        repository.name.get_or_insert_with(|| name.clone());
        for descriptor in [Some(&entry.descriptor), entry.index.as_ref()].into_iter().flatten() {
            let names = repository.named.entry(descriptor.digest.clone()).or_default();
            names.push(entry.name.clone());
            self.add(store, descriptor, repository)?;
        }
        Ok(())
    }

    /// Adds a manifest, and all that it needs, as far as it is here.
    fn add(
        &mut self,
        store: &Store,
        descriptor: &Descriptor,
        repository: &mut Repository,
    ) -> Result<()> {
        let digest = &descriptor.digest;
        if repository.manifests.contains_key(digest) {
            return Ok(());
        }
        let Some(known) = self.know(store, descriptor)? else { return Ok(()) };
        let plain = Descriptor::new(&known.media_type, digest.clone(), known.size);
        repository.manifests.insert(digest.clone(), plain.clone());
        repository.blobs.extend(known.blobs.iter().cloned());
        if let Some(subject) = &known.subject {
            let annotations = Some(known.annotations.clone()).filter(|all| !all.is_empty());
            let artifact_type = known.artifact_type.clone();
            let referrer = Descriptor { artifact_type, annotations, ..plain };
            let all = repository.referrers.entry(subject.clone()).or_default();
            all.insert(digest.clone(), referrer);
        }
        repository.listed.extend(known.manifests.iter().map(|child| child.digest.clone()));
        known.manifests.iter().try_for_each(|child| self.add(store, child, repository))
    }

    /// None of what is not here, or is damaged.
    fn know(&mut self, store: &Store, descriptor: &Descriptor) -> Result<Option<Arc<Known>>> {
        let digest = &descriptor.digest;
        let size = store.blob_size(digest);
        if let Some(known) = self.0.get(digest) {
            return Ok(size.is_some().then(|| Arc::clone(known)));
        }
        // An index may list things that are no manifests, and large.
        if size.is_none_or(|size| size > super::manifest::LARGEST) {
            return Ok(None);
        }
        let content = match store.content(descriptor) {
            Ok(content) => content,
            Err(Error::Missing(_) | Error::Damaged { .. } | Error::Image(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let known = Arc::new(Known::of(&content, &descriptor.media_type));
        self.0.insert(digest.clone(), Arc::clone(&known));
        Ok(Some(known))
    }
}

impl Known {
    fn of(content: &Content, media_type: &str) -> Self {
        let about: About = serde_json::from_slice(content.bytes()).unwrap_or_default();
        let (manifests, blobs, annotations, config) = match content {
            Content::Index(index) => {
                (index.manifests.clone(), Vec::new(), index.annotations.clone(), None)
            }
            Content::Image(manifest) | Content::Artifact(manifest) => {
                let parts = std::iter::once(&manifest.config).chain(&manifest.layers);
                let blobs = parts.map(|part| (part.digest.clone(), part.size)).collect();
                let config = Some(manifest.config.media_type.clone());
                (Vec::new(), blobs, manifest.annotations.clone(), config)
            }
        };
        let kinds = [&content.descriptor().media_type, media_type];
        let known = |kind: &&&str| media_type::is_index(kind) || media_type::is_manifest(kind);
        let kinds = kinds.map(|kind| kind as &str);
        Self {
            media_type: kinds.iter().find(known).copied().unwrap_or(kinds[0]).to_owned(),
            size: content.bytes().len() as u64,
            manifests,
            blobs,
            subject: about.subject.map(|subject| subject.digest),
            artifact_type: about.artifact_type.filter(|kind| !kind.is_empty()).or(config),
            annotations,
        }
    }
}
