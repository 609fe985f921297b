//! What is said about images: signatures, attestations, bills of materials.
//!
//! Manifests whose `subject` is another one are listed by the registry, or stand in an index that
//! has the tag `ALGORITHM-HEX` (distribution-spec, "Referrers Tag Schema"). cosign's older way is
//! a tag of its own for each kind, `ALGORITHM-HEX.sig` and its like, without a subject.

use std::collections::HashSet;
use std::sync::Mutex;

use super::way::Way;
use super::{Error, side_by_side};
use crate::concurrency::Cancel;
use crate::image::{Content, Descriptor, Digest, media_type};

/// What cosign adds to a digest's tag.
const KINDS: [&str; 3] = ["sig", "att", "sbom"];

/// How long chains of things said about things said get.
const DEPTH: usize = 8;

/// What becomes of what is said about an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum About {
    #[default]
    Ignored,
    /// It moves with the image, as far as it can be listed and the sink has room for it.
    Moved,
    /// The same, and it is an error if it cannot.
    Required,
}

/// The tag that stands for what is said about a manifest, or its beginning.
pub(crate) fn tag_of(subject: &Digest) -> String {
    // The schema cuts both parts, which only longer algorithms' digests need.
    let (name, hex) = (subject.algorithm().name(), subject.hex());
    format!("{}-{}", &name[..name.len().min(32)], &hex[..hex.len().min(64)])
}

/// Whether it is a tag of what is said about a manifest, and none of an image.
pub fn is_tag_of_any(tag: &str) -> bool {
    let Some((name, rest)) = tag.split_once('-') else { return false };
    let hex = rest.split('.').next().unwrap_or_default();
    matches!(name, "sha256" | "sha512")
        && hex.len() == 64
        && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What was found about one manifest.
struct Said {
    subject: Digest,
    referrers: Vec<Descriptor>,
    tagged: Vec<(String, Content)>,
}

impl Way<'_> {
    /// Copies what is said about the manifest, about those that it names, and about all of that.
    pub(super) fn copy_about(&self, content: &Content) -> Result<(), Error> {
        let required = match self.options.about {
            About::Ignored => return Ok(()),
            About::Moved if !self.sink.takes_referrers() => return Ok(()),
            About::Required if !self.sink.takes_referrers() => {
                let (sink, what) = (self.sink.name(), "what is said about images");
                return Err(Error::Unsuitable { sink, what });
            }
            about => about == About::Required,
        };
        let mut subjects = Vec::new();
        self.subjects(content, &mut subjects)?;
        let mut known: HashSet<Digest> = subjects.iter().cloned().collect();
        for _ in 0..DEPTH {
            let mut next = Vec::new();
            for said in self.find(subjects, required)? {
                self.copy_said(&said, &mut known, &mut next)?;
            }
            if next.is_empty() {
                return Ok(());
            }
            subjects = next;
        }
        Ok(())
    }

    /// The manifest and the images that it names.
    fn subjects(&self, content: &Content, subjects: &mut Vec<Digest>) -> Result<(), Error> {
        subjects.push(content.descriptor().digest.clone());
        let Content::Index(index) = content else { return Ok(()) };
        for entry in &index.manifests {
            // What an index itself has about its images is about one already.
            let is_said = entry.platform.as_ref().is_some_and(|platform| platform.os == "unknown");
            if is_said || subjects.contains(&entry.digest) {
                continue;
            }
            match media_type::is_index(&entry.media_type) {
                true => self.subjects(&self.source.manifest(entry)?, subjects)?,
                false => subjects.push(entry.digest.clone()),
            }
        }
        Ok(())
    }

    /// Asks the source, about all of them at the same time.
    fn find(&self, subjects: Vec<Digest>, required: bool) -> Result<Vec<Said>, Error> {
        let found = Mutex::new(Vec::new());
        let cancel = Cancel::default();
        let numbered: Vec<_> = subjects.into_iter().enumerate().collect();
        side_by_side::each(numbered, self.options.jobs, None, &cancel, |(at, subject)| {
            let said = match self.ask(&subject) {
                Ok(said) => said,
                Err(error) if required => return Err(error),
                Err(error) => {
                    let name = self.source.name();
                    self.reporter.warn(format!(
                        "what is said about {name} is not copied, for it cannot be listed: {error}"
                    ));
                    return Ok(());
                }
            };
            found.lock().expect("keeping what was found cannot panic").push((at, said));
            Ok(())
        })?;
        let mut found = found.into_inner().expect("keeping what was found cannot panic");
        found.sort_by_key(|(at, _)| *at);
        Ok(found.into_iter().map(|(_, said)| said).collect())
    }

    fn ask(&self, subject: &Digest) -> Result<Said, Error> {
        let referrers = self.source.referrers(subject)?;
        let mut tagged = Vec::new();
        for kind in KINDS {
            let tag = format!("{}.{kind}", tag_of(subject));
            if let Some(content) = self.source.tagged(&tag)? {
                tagged.push((tag, content));
            }
        }
        Ok(Said { subject: subject.clone(), referrers, tagged })
    }

    fn copy_said(
        &self,
        said: &Said,
        known: &mut HashSet<Digest>,
        next: &mut Vec<Digest>,
    ) -> Result<(), Error> {
        for descriptor in &said.referrers {
            let content = self.source.manifest(descriptor)?;
            if !self.sink.has(descriptor)? {
                self.copy_parts(&content)?;
            }
            self.sink.put_referrer(&content, &said.subject)?;
            if known.insert(descriptor.digest.clone()) {
                next.push(descriptor.digest.clone());
            }
        }
        for (tag, content) in &said.tagged {
            if !self.sink.has(content.descriptor())? {
                self.copy_parts(content)?;
            }
            self.sink.put_tagged(content, tag)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_digests_are_told_from_others() {
        let digest = Digest::of(b"moss");
        let tag = tag_of(&digest);
        assert_eq!(tag, digest.to_string().replace(':', "-"));
        for (text, expected) in [
            (&*tag, true),
            (&format!("{tag}.sig"), true),
            (&tag.to_uppercase(), false),
            (&tag[..40], false),
            ("sha256-", false),
            ("latest", false),
            ("v1-2", false),
        ] {
            assert_eq!(is_tag_of_any(text), expected, "{text}");
        }
        let long = format!("sha512:{}", "a".repeat(128)).parse().expect("a digest");
        assert_eq!(tag_of(&long), format!("sha512-{}", "a".repeat(64)));
        assert!(is_tag_of_any(&tag_of(&long)));
    }
}
