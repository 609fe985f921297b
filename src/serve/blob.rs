//! Blobs: what is pulled, looked for and removed ("Pulling blobs", "Deleting blobs").

use super::names::Repository;
use super::range::{Part, part};
use super::refusal::{Refusal, Result};
use super::upload::digest;
use super::{Call, Registry};
use crate::http::Method;
use crate::http::server::{Answer, Payload};
use crate::image::Digest;

impl Registry {
    /// `GET` and `HEAD`.
    pub(super) fn blob(
        &self,
        call: &Call<'_>,
        repository: &Repository,
        text: &str,
    ) -> Result<Answer> {
        let digest = digest(text)?;
        match self.upstream_of(repository) {
            Some(upstream) if !self.has_blob(&repository.key(), &digest)? => {
                self.cached_blob(call, upstream, repository, &digest)
            }
            _ => self.local_blob(call, repository, &digest),
        }
    }

    pub(super) fn local_blob(
        &self,
        call: &Call<'_>,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Answer> {
        let size = match self.has_blob(&repository.key(), digest)? {
            true => self.store.blob_size(digest),
            false => None,
        };
        let Some(size) = size else { return Err(Refusal::blob_unknown(digest)) };
        let answer = self::head(digest);
        if call.knows(digest) {
            return Ok(answer(304));
        }
        if call.method == Method::Head {
            return Ok(answer(200).payload(Payload::Length(size)));
        }
        let file = self.store.open_blob(digest)?;
        match wanted(call, digest, size) {
            Part::None => Err(no_part(size)),
            Part::All => Ok(answer(200).payload(Payload::Stream(size, Box::new(file)))),
            Part::Some(first, count) => {
                let payload = Payload::file(file, first, count).map_err(|error| {
                    Refusal::new(500, "UNKNOWN", format!("reading a blob: {error}"))
                })?;
                Ok(partial(answer(206), first, count, size).payload(payload))
            }
        }
    }

    /// `DELETE`: takes a blob out of a repository. Its bytes go when nothing else needs them.
    pub(super) fn delete_blob(&self, repository: &Repository, text: &str) -> Result<Answer> {
        let digest = digest(text)?;
        let contents = self.shelf.contents(&self.store)?;
        let here = contents.get(&repository.key());
        if here.is_some_and(|here| here.blobs.contains_key(&digest) && self.store.has_blob(&digest))
        {
            let message = format!("{digest} is part of an image in this repository: delete that");
            return Err(Refusal::unsupported(message, "GET, HEAD"));
        }
        if !self.links.remove(&repository.key(), &digest) {
            return Err(Refusal::blob_unknown(&digest));
        }
        self.removed(&[]);
        Ok(Answer::new(202))
    }

    /// Whether a repository, by its name here, has a blob.
    pub(super) fn has_blob(&self, repository: &str, digest: &Digest) -> Result<bool> {
        if !self.store.has_blob(digest) {
            return Ok(false);
        }
        if self.links.has(repository, digest) {
            return Ok(true);
        }
        let contents = self.shelf.contents(&self.store)?;
        Ok(contents.get(repository).is_some_and(|here| {
            here.blobs.contains_key(digest) || here.manifests.contains_key(digest)
        }))
    }

    pub(super) fn has_blob_anywhere(&self, digest: &Digest) -> Result<bool> {
        if !self.store.has_blob(digest) {
            return Ok(false);
        }
        if self.links.has_anywhere(digest) {
            return Ok(true);
        }
        let contents = self.shelf.contents(&self.store)?;
        Ok(contents.values().any(|here| here.blobs.contains_key(digest)))
    }
}

/// Which part a client asks for, of a blob that cannot have changed since.
pub(super) fn wanted(call: &Call<'_>, digest: &Digest, size: u64) -> Part {
    let if_range = call.asked.header("if-range");
    match if_range.is_none_or(|tag| tag.trim() == super::entity_tag(digest)) {
        true => part(call.asked.header("range"), size),
        false => Part::All,
    }
}

pub(super) fn no_part(size: u64) -> Refusal {
    let message = format!("the blob has {size} bytes, and none of those that you asked for");
    Refusal::new(416, "SIZE_INVALID", message).header("content-range", format!("bytes */{size}"))
}

pub(super) fn partial(answer: Answer, first: u64, count: u64, size: u64) -> Answer {
    answer.header("content-range", format!("bytes {first}-{}/{size}", first + count - 1))
}

/// What is said of a blob, whatever the status.
pub(super) fn head(digest: &Digest) -> impl Fn(u16) -> Answer {
    move |status| {
        Answer::new(status)
            .header("content-type", "application/octet-stream")
            .header("docker-content-digest", digest.to_string())
            .header("etag", super::entity_tag(digest))
            .header("accept-ranges", "bytes")
            // It is what its name says, for ever.
            .header("cache-control", "max-age=31536000, immutable")
    }
}
