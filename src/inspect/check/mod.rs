//! [`check`]: everything about an image that is wrong, or worth to be known before it is used.
//!
//! Nothing that is wrong with an image is an error of the check itself: it is a [`Finding`], and the
//! rest is looked at all the same. Only what keeps the check from looking (no such image, no
//! network) ends it.

mod configuration;
mod layer;
mod manifest;
mod report;
mod secret;
mod store;
#[cfg(test)]
mod tests;

pub use report::{CHECKS, Check, Finding, Report, Severity};
pub use store::check_store;

use super::listing::Slim;
use super::scan::{Budget, Limits, side_by_side};
use super::{Deed, Error, Merged};
use crate::image::{self, Content, Descriptor, Digest, Index, Manifest, Mismatch, Platform};
use crate::registry;
use crate::report::Reporter;
use crate::transfer::{self, Source};

/// So deep indexes are followed.
const DEPTH: usize = 8;

/// How to look.
#[derive(Debug, Clone)]
pub struct CheckOptions {
    /// Layers are not read.
    pub fast: bool,
    /// Of an index this one only.
    pub platform: Option<Platform>,
    /// How many layers are read at once.
    pub jobs: usize,
    pub limits: Limits,
    /// The image that this one should stand on.
    pub base: Option<Base>,
}

impl Default for CheckOptions {
    fn default() -> Self {
        let (limits, jobs) = (Limits::default(), transfer::JOBS);
        Self { fast: false, platform: None, jobs, limits, base: None }
    }
}

/// What an image should stand on.
#[derive(Debug, Clone)]
pub struct Base {
    pub name: String,
    pub diff_ids: Vec<Digest>,
}

/// Looks at what `source` has: an image, all images of an index, or an artifact.
///
/// # Errors
///
/// When it cannot be looked at; what is wrong with it is in the report.
pub fn check(
    source: &dyn Source,
    options: &CheckOptions,
    reporter: &dyn Reporter,
) -> Result<Report, Error> {
    let mut way = Way { source, options, reporter, report: Report::default() };
    match source.root() {
        Ok(content) => {
            let announced = source.announced()?;
            if let Some(announced) = &announced {
                way.report.points_to(announced, &content, "its sender");
            }
            let offered = announced.and_then(|announced| announced.platform);
            match &content {
                Content::Index(index) => way.index(index, 0)?,
                content => way.content(content, offered.as_ref())?,
            }
        }
        Err(error) => way.unreadable("", error)?,
    }
    way.report.close();
    Ok(way.report)
}

/// One check, under way.
struct Way<'a> {
    source: &'a dyn Source,
    options: &'a CheckOptions,
    reporter: &'a dyn Reporter,
    report: Report,
}

impl Way<'_> {
    /// A manifest that cannot be had: its own fault, or somebody else's.
    fn unreadable(&mut self, what: &str, error: transfer::Error) -> Result<(), Error> {
        let id = match cause(&error) {
            Cause::Digest => "manifest-digest",
            Cause::Size => "manifest-size",
            Cause::Image(image::Error::SchemaOne(_)) => "schema-version",
            Cause::Image(image::Error::Field { field: "config", .. }) => "config-descriptor",
            Cause::Image(_) => "manifest",
            Cause::Other if error.is_missing() && !what.is_empty() => "missing-blob",
            Cause::Other => return Err(error.into()),
        };
        let cure = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
        self.report.add(id, format!("{what}{}{cure}", chain(&error)));
        Ok(())
    }

    fn index(&mut self, index: &Index, depth: usize) -> Result<(), Error> {
        self.report.manifest(&index.bytes, &index.descriptor);
        if depth == DEPTH {
            self.report.add("manifest", "its indexes lie in one another without an end");
            return Ok(());
        }
        if index.manifests.is_empty() {
            self.report.add("metadata", "the index lists nothing");
        }
        let mut any = false;
        for descriptor in &index.manifests {
            let offered = descriptor.platform.as_ref();
            if let (Some(wanted), Some(offered)) = (&self.options.platform, offered)
                && wanted.distance(offered).is_none()
            {
                continue;
            }
            any = true;
            let title = match offered {
                Some(platform) if platform.os != "unknown" => format!("{platform}: "),
                _ => format!("{}: ", descriptor.digest.short()),
            };
            let content = match self.source.manifest(descriptor) {
                Ok(content) => content,
                Err(error) => {
                    self.unreadable(&title, error)?;
                    continue;
                }
            };
            self.report.prefix = title;
            self.report.points_to(descriptor, &content, "the index");
            match &content {
                Content::Index(inner) => self.index(inner, depth + 1)?,
                content => self.content(content, offered)?,
            }
            self.report.prefix.clear();
        }
        if let (Some(wanted), false) = (&self.options.platform, any) {
            let error = image::Error::NoPlatform {
                wanted: wanted.to_string(),
                available: "others".to_owned(),
            };
            return Err(transfer::Error::from(error).into());
        }
        Ok(())
    }

    fn content(&mut self, content: &Content, offered: Option<&Platform>) -> Result<(), Error> {
        match content {
            Content::Image(manifest) => self.image(manifest, offered),
            Content::Artifact(manifest) => self.artifact(manifest),
            Content::Index(_) => Ok(()),
        }
    }

    /// Anything that is no image: its blobs are what they should be, and nobody knows more.
    fn artifact(&mut self, manifest: &Manifest) -> Result<(), Error> {
        self.report.manifest(&manifest.bytes, &manifest.descriptor);
        let blobs: Vec<&Descriptor> =
            std::iter::once(&manifest.config).chain(&manifest.layers).collect();
        let found = side_by_side(&blobs, self.options.jobs, |_, descriptor| {
            layer::blob(self.source, descriptor, self.options, self.reporter)
        })?;
        found.into_iter().for_each(|found| self.report.extend(found));
        self.report.add("metadata", "it is an artifact: what is in it is not looked at");
        Ok(())
    }

    fn image(&mut self, manifest: &Manifest, offered: Option<&Platform>) -> Result<(), Error> {
        self.report.images += 1;
        self.report.manifest(&manifest.bytes, &manifest.descriptor);
        self.report.layers(manifest);
        let config = configuration::read(self.source, manifest, &mut self.report)?;
        if let Some((config, raw)) = &config {
            configuration::check(config, raw, manifest, offered, &mut self.report);
            if let Some(base) = &self.options.base {
                configuration::stands_on(config, base, &mut self.report);
            }
        }
        let diff_ids = config.map(|(config, _)| config.rootfs.diff_ids).unwrap_or_default();
        let budget = Budget::default();
        let layers = manifest.layers.iter().enumerate().collect::<Vec<_>>();
        let looks = side_by_side(&layers, self.options.jobs, |_, (at, descriptor)| {
            let first = manifest.layers.iter().position(|l| l.digest == descriptor.digest);
            // Many images have the same empty layer several times.
            if first != Some(*at) {
                return Ok(layer::Look::default());
            }
            let of = layer::Of { number: at + 1, descriptor, diff_id: diff_ids.get(*at) };
            layer::look(self.source, &of, self.options, &budget, self.reporter)
        })?;
        let mut merged: Merged<Slim> = Merged::default();
        for (at, look) in looks.into_iter().enumerate() {
            let layer::Look { findings, listing } = look;
            self.report.extend(findings);
            let name = format!("layer {} ({}): ", at + 1, manifest.layers[at].digest.short());
            let report = &mut self.report;
            merged.apply(at, listing, &mut |deed| judge(&deed, &name, report));
            self.report.close();
        }
        Ok(())
    }
}

/// What a layer does to those below it.
fn judge(deed: &Deed<'_>, layer: &str, report: &mut Report) {
    match deed {
        Deed::Twice(path) => {
            report.add("duplicate-path", format!("{layer}{path:?} stands in it more than once"));
        }
        Deed::Nowhere(path, target) => {
            let text = format!("{layer}{path:?} is a hard link to {target:?}, which is nowhere");
            report.add("hard-link", text);
        }
        Deed::ToDirectory(path, target) => {
            let text = format!("{layer}{path:?} is a hard link to the directory {target:?}");
            report.add("hard-link", text);
        }
        Deed::Through(path, place) => {
            let text = format!("{layer}{path:?} lies behind a symbolic link, so it is {place:?}");
            report.add("path-through-link", text);
        }
        Deed::Instead(path, link) => {
            let text =
                format!("{layer}{path:?} lies behind the link {link:?}, which leads nowhere");
            report.add("path-through-link", text);
        }
        Deed::Inside(path, file) => {
            report.add("path-in-file", format!("{layer}{path:?} lies in {file:?}, no directory"));
        }
        Deed::Circle(path) => {
            let text = format!("{layer}{path:?} lies behind links that lead round in circles");
            report.add("path-in-file", text);
        }
        Deed::DeletedNothing(path) => {
            report.add("whiteout-target", format!("{layer}{path:?} is deleted, and was not there"));
        }
        Deed::Replaced(path) => {
            report.add("duplicate-file", format!("{layer}{path:?} is in a lower layer too"));
        }
        Deed::Deleted { .. } => {}
    }
}

/// Who is to blame for an error.
enum Cause<'e> {
    /// The bytes are others than those that were promised.
    Digest,
    /// They are more or fewer.
    Size,
    /// They make no sense.
    Image(&'e image::Error),
    /// Not the image.
    Other,
}

fn cause<'e>(error: &'e (dyn std::error::Error + 'static)) -> Cause<'e> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && let Some(inner) = io.get_ref()
        {
            match cause(inner) {
                Cause::Other => {}
                known => return known,
            }
        }
        match error.downcast_ref::<Mismatch>() {
            Some(Mismatch::Digest { .. }) => return Cause::Digest,
            Some(Mismatch::Short { .. } | Mismatch::Long { .. }) => return Cause::Size,
            None => {}
        }
        if let Some(transfer::Error::Image(error)) = error.downcast_ref() {
            return Cause::Image(error);
        }
        if let Some(transfer::Error::Content { source, .. }) = error.downcast_ref() {
            return Cause::Image(source);
        }
        if let Some(registry::Error::Content { source, .. }) = error.downcast_ref() {
            return Cause::Image(source);
        }
        if let Some(error) = error.downcast_ref::<image::Error>() {
            return Cause::Image(error);
        }
        // What is transparent hides what it is around.
        next = match error.downcast_ref::<transfer::Error>() {
            Some(transfer::Error::Registry(inner)) => Some(inner),
            Some(transfer::Error::Store(inner)) => Some(inner),
            _ => error.source(),
        };
    }
    Cause::Other
}

/// An error with its causes, in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let part = error.to_string();
        if parts.last() != Some(&part) {
            parts.push(part);
        }
        next = error.source();
    }
    parts.join(": ")
}
