//! Manifests and indexes ("Pulling manifests", "Pushing Manifests", "Deleting Manifests").

use std::io::Read as _;

use super::names::Repository;
use super::refusal::{Refusal, Result};
use super::shelf::About;
use super::upload::digest;
use super::{Call, Registry};
use crate::http::Method;
use crate::http::server::{Answer, Payload, RequestBody};
use crate::image::{Algorithm, Content, Descriptor, Digest, Hasher, Reference, media_type};
use crate::store::{self, Name, RefEntry};

/// The largest manifest that is taken, in bytes; the specification asks for 4 MiB.
pub(super) const LARGEST: u64 = 8 << 20;

/// What a path names.
#[derive(Debug)]
pub(super) enum Target {
    /// A tag, and its name here.
    Tag(String, Reference),
    Digest(Digest),
}

impl Target {
    pub(super) fn of(repository: &Repository, text: &str) -> Result<Self> {
        if text.contains(':') {
            return digest(text).map(Self::Digest);
        }
        let name = repository.tagged(text).ok_or_else(|| {
            let message =
                format!("{text:?} is no tag: letters, digits, '_', '.', '-', at most 128");
            Refusal::new(400, "TAG_INVALID", message)
        })?;
        Ok(Self::Tag(text.to_owned(), name))
    }
}

/// A manifest that arrived whole.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) content: Content,
    /// Of the bytes, by the digest that clients know them by.
    pub(super) descriptor: Descriptor,
    pub(super) subject: Option<Digest>,
}

impl Registry {
    /// `GET` and `HEAD`. Whatever the client says that it accepts, it gets what is there: anything
    /// else would have another digest.
    pub(super) fn manifest(
        &self,
        call: &Call<'_>,
        repository: &Repository,
        text: &str,
    ) -> Result<Answer> {
        let target = Target::of(repository, text)?;
        if let Some(upstream) = self.upstream_of(repository) {
            return self.cached_manifest(call, upstream, repository, &target);
        }
        let found = self.find_manifest(repository, &target)?;
        let Some(descriptor) = found else { return Err(Refusal::manifest_unknown(text)) };
        self.send_manifest(call, &descriptor)
    }

    pub(super) fn send_manifest(&self, call: &Call<'_>, descriptor: &Descriptor) -> Result<Answer> {
        let digest = &descriptor.digest;
        let answer = |status| {
            Answer::new(status)
                .header("content-type", &descriptor.media_type)
                .header("docker-content-digest", digest.to_string())
                .header("etag", super::entity_tag(digest))
        };
        if call.knows(digest) {
            return Ok(answer(304));
        }
        let bytes = match self.store.read_blob(digest) {
            Ok(bytes) => bytes,
            Err(store::Error::Missing(_) | store::Error::Damaged { .. }) => {
                return Err(Refusal::manifest_unknown(&digest.to_string()));
            }
            Err(error) => return Err(error.into()),
        };
        if call.method == Method::Head {
            return Ok(answer(200).payload(Payload::Length(bytes.len() as u64)));
        }
        self.counts.pulled();
        Ok(answer(200).payload(Payload::Bytes(bytes)))
    }

    /// What a tag or a digest names in a repository here.
    pub(super) fn find_manifest(
        &self,
        repository: &Repository,
        target: &Target,
    ) -> Result<Option<Descriptor>> {
        let named = |name: &Reference| {
            let entry = self.store.get_ref(&Name::Tagged(name.clone()))?;
            Ok::<_, store::Error>(entry.map(|entry| entry.descriptor))
        };
        let digest = match target {
            Target::Tag(_, name) => {
                return match named(name)? {
                    Some(descriptor) => self.typed(descriptor).map(Some),
                    None => Ok(None),
                };
            }
            Target::Digest(digest) => digest,
        };
        let contents = self.shelf.contents(&self.store)?;
        let here = contents.get(&repository.key());
        Ok(here.and_then(|here| here.manifests.get(digest)).cloned())
    }

    /// With a media type, which a name may lack that others gave.
    fn typed(&self, descriptor: Descriptor) -> Result<Descriptor> {
        let kind = &descriptor.media_type;
        if media_type::is_index(kind) || media_type::is_manifest(kind) {
            return Ok(descriptor);
        }
        match self.store.content(&descriptor) {
            Ok(content) => {
                let media_type = content.descriptor().media_type.clone();
                Ok(Descriptor { media_type, ..descriptor })
            }
            Err(_) => Ok(descriptor),
        }
    }

    /// `PUT`.
    pub(super) fn put_manifest(
        &self,
        call: &Call<'_>,
        repository: &Repository,
        text: &str,
        body: &mut RequestBody,
    ) -> Result<Answer> {
        let target = Target::of(repository, text)?;
        let mut tags = Vec::new();
        if matches!(target, Target::Digest(_)) {
            for tag in call.query.all("tag") {
                tags.push(Target::of(repository, tag)?);
            }
        }
        let bytes = read(call, body)?;
        let algorithm = match &target {
            Target::Digest(digest) => digest.algorithm(),
            Target::Tag(..) => Algorithm::Sha256,
        };
        let mut hasher = Hasher::new(algorithm);
        hasher.update(&bytes);
        let actual = hasher.finish();
        if let Target::Digest(digest) = &target
            && *digest != actual
        {
            return Err(Refusal::digest_invalid(format!("the manifest is {actual}")));
        }
        let arrived = parse(bytes, actual, call.asked.header("content-type"))?;
        self.check_parts(&arrived.content)?;
        let named: Vec<(String, Reference)> = std::iter::once(target)
            .chain(tags)
            .filter_map(|target| match target {
                Target::Tag(tag, name) => Some((tag, name)),
                Target::Digest(_) => None,
            })
            .collect();
        let (tags, names): (Vec<String>, Vec<Reference>) = named.into_iter().unzip();
        self.pass_on(repository, &arrived, &tags)?;
        self.accept(repository, &arrived, &names)?;
        self.counts.pushed();
        let digest = &arrived.descriptor.digest;
        let mut answer = Answer::new(201)
            .header("location", format!("/v2/{}/manifests/{digest}", repository.wire))
            .header("docker-content-digest", digest.to_string());
        if let Some(subject) = &arrived.subject {
            answer = answer.header("oci-subject", subject.to_string());
        }
        let is_asked = call.query.get("tag").is_some();
        for tag in tags.iter().filter(|_| is_asked) {
            answer = answer.header("oci-tag", tag);
        }
        Ok(answer)
    }

    /// What a manifest needs must be here, but for what registries do not keep, and unless whoever
    /// runs this one wants it otherwise. What an index lists may come later, or never.
    fn check_parts(&self, content: &Content) -> Result<()> {
        let (Content::Image(manifest) | Content::Artifact(manifest)) = content else {
            return Ok(());
        };
        for part in std::iter::once(&manifest.config).chain(&manifest.layers) {
            match self.store.blob_size(&part.digest) {
                Some(size) if size == part.size => {}
                Some(size) => {
                    let (digest, said) = (&part.digest, part.size);
                    let message = format!("{digest} has {size} bytes; the manifest says {said}");
                    return Err(Refusal::manifest_invalid(message));
                }
                None if self.settings.sparse || media_type::is_foreign(&part.media_type) => {}
                None => {
                    let message = format!("{} is not here: push blobs first", part.digest);
                    return Err(Refusal::new(400, "MANIFEST_BLOB_UNKNOWN", message));
                }
            }
        }
        Ok(())
    }

    /// Stores a manifest and gives it names; without any, it is known by its digest.
    pub(super) fn accept(
        &self,
        repository: &Repository,
        arrived: &Arrived,
        tags: &[Reference],
    ) -> Result<()> {
        let _gate = self.gate();
        // One after the other: each looks at what is there before it changes it.
        let _naming = self.naming();
        let (descriptor, bytes) = (&arrived.descriptor, arrived.content.bytes());
        if self.store.blob_size(&descriptor.digest) != Some(bytes.len() as u64) {
            self.store.put_blob_as(bytes, &descriptor.digest)?;
        }
        let contents = self.shelf.contents(&self.store)?;
        let here = contents.get(&repository.key());
        let names_of = |digest: &Digest| {
            here.and_then(|here| here.named.get(digest)).map_or(&[][..], Vec::as_slice)
        };
        for tag in tags {
            let name = Name::Tagged(tag.clone());
            let old = self.store.get_ref(&name)?;
            if let Some(old) = &old {
                if old.descriptor == *descriptor {
                    continue;
                }
                // What had the tag is still there for those who know its digest.
                if names_of(&old.descriptor.digest).iter().all(|other| *other == name) {
                    self.pin(repository, &old.descriptor)?;
                }
            }
            let descriptor = descriptor.clone();
            self.store.replace_ref(&RefEntry { name, descriptor, index: None })?;
        }
        let has = |digest| here.is_some_and(|here| here.manifests.contains_key(digest));
        if tags.is_empty() && !has(&descriptor.digest) {
            match here.is_some_and(|here| here.listed.contains(&descriptor.digest)) {
                true => self.shelf.came(&self.store, &repository.key(), descriptor)?,
                false => self.pin(repository, descriptor)?,
            }
        }
        // An index holds what it lists: that needs no names of its own any more.
        if let Content::Index(index) = &arrived.content {
            for child in &index.manifests {
                if let Some(name) = repository.pinned(&child.digest)
                    && self.store.has_blob(&child.digest)
                {
                    self.store.forget_held(&Name::Tagged(name))?;
                }
            }
        }
        Ok(())
    }

    /// Names a manifest by its digest.
    fn pin(&self, repository: &Repository, descriptor: &Descriptor) -> Result<()> {
        let Some(name) = repository.pinned(&descriptor.digest) else {
            return Err(Refusal::new(400, "NAME_INVALID", "the repository's name is too long"));
        };
        let (name, descriptor) = (Name::Tagged(name), descriptor.clone());
        Ok(self.store.replace_ref(&RefEntry { name, descriptor, index: None })?)
    }

    /// `DELETE`: of a tag that tag alone, of a digest the manifest with all its tags.
    pub(super) fn delete_manifest(&self, repository: &Repository, text: &str) -> Result<Answer> {
        let target = Target::of(repository, text)?;
        let _gate = self.gate();
        let _naming = self.naming();
        let contents = self.shelf.contents(&self.store)?;
        let here = contents.get(&repository.key());
        let unknown = || Refusal::manifest_unknown(text);
        match target {
            Target::Tag(_, name) => {
                let name = Name::Tagged(name);
                let entry = self.store.get_ref(&name)?.ok_or_else(unknown)?;
                let digest = &entry.descriptor.digest;
                let others = here.and_then(|here| here.named.get(digest));
                if others.is_none_or(|names| names.iter().all(|other| *other == name)) {
                    self.pin(repository, &entry.descriptor)?;
                }
                self.store.forget_held(&name)?;
            }
            Target::Digest(digest) => {
                let here = here.ok_or_else(unknown)?;
                let Some(names) = here.named.get(&digest) else {
                    if !here.manifests.contains_key(&digest) {
                        return Err(unknown());
                    }
                    let message = format!("{digest} is listed by an index here: delete that");
                    return Err(Refusal::unsupported(message, "GET, HEAD, PUT"));
                };
                self.store.forget(names)?;
                self.removed(names);
            }
        }
        Ok(Answer::new(202))
    }
}

/// The whole body.
fn read(call: &Call<'_>, body: &mut RequestBody) -> Result<Vec<u8>> {
    let too_large = || {
        let message = format!("a manifest has at most {LARGEST} bytes");
        Refusal::new(413, "MANIFEST_INVALID", message)
    };
    if call.asked.length().is_some_and(|length| length > LARGEST) {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    body.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Refusal::manifest_invalid(format!("the body broke off: {error}")))?;
    if bytes.len() as u64 > LARGEST {
        return Err(too_large());
    }
    Ok(bytes)
}

/// Reads a manifest of the kind that its sender says.
pub(super) fn parse(bytes: Vec<u8>, digest: Digest, kind: Option<&str>) -> Result<Arrived> {
    let invalid = |why: String| Refusal::manifest_invalid(why);
    let kind = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim());
    let about: About = serde_json::from_slice(&bytes)
        .map_err(|error| invalid(format!("the manifest is not valid: {error}")))?;
    let own = about.media_type.as_deref().filter(|own| !own.is_empty());
    if let (Some(own), Some(kind)) = (own, kind)
        && own != kind
    {
        return Err(invalid(format!("Content-Type is {kind}, and the manifest says {own}")));
    }
    let Some(kind) = own.or(kind) else {
        return Err(invalid("neither Content-Type nor mediaType says what it is".to_owned()));
    };
    if !media_type::is_index(kind) && !media_type::is_manifest(kind) {
        let known = media_type::MANIFESTS.join(", ");
        return Err(invalid(format!("{kind} is none of {known}")));
    }
    let kind = kind.to_owned();
    let size = bytes.len() as u64;
    let content = Content::parse(bytes, Some(&kind)).map_err(|error| invalid(error.to_string()))?;
    let subject = about.subject.map(|subject| subject.digest);
    Ok(Arrived { content, descriptor: Descriptor::new(kind, digest, size), subject })
}
