//! From what people write to the images that there are.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::list::{Selection, Tags};
use crate::cli::error::Error;
use crate::cli::network::Remote;
use crate::dockerfile::Glob;
use crate::image::{Digest, Platform, Reference, Timestamp};
use crate::report::Reporter;
use crate::store::{Name, Store};
use crate::transfer::{Endpoint, Options, Resolved, Source, is_tag_of_any, source};

/// An image that is to be copied.
pub(crate) struct Found<'a> {
    pub(crate) from: From<'a>,
    pub(crate) name: Reference,
    /// What of its name stays below a place.
    pub(crate) below: String,
    pub(crate) platform: Option<Platform>,
}

pub(crate) enum From<'a> {
    Registry(&'a Remote),
    Held(&'a dyn Source),
}

impl fmt::Debug for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Found({self})")
    }
}

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name.familiar())
    }
}

impl Found<'_> {
    /// The image itself, wherever it is.
    pub(crate) fn source<'a>(&'a self, store: &'a Store) -> Result<Box<dyn Source + 'a>, Error> {
        Ok(match &self.from {
            From::Registry(remote) => {
                Endpoint::Registry(self.name.clone()).source(remote.surroundings(store))?
            }
            From::Held(image) => Box::new(*image),
        })
    }

    /// Whether it says that it was made since then: the image of its own platform, or of that one, or
    /// of this machine's.
    pub(crate) fn is_recent(
        &self,
        store: &Store,
        platform: Option<&Platform>,
        since: SystemTime,
        reporter: &dyn Reporter,
    ) -> Result<bool, Error> {
        let platform = self.platform.as_ref().or(platform).cloned();
        let platform = Some(platform.unwrap_or_else(Platform::host));
        let options = Options { platform, ..Options::default() };
        let resolved = Resolved::of(&*self.source(store)?, &options, reporter)?;
        let created = resolved.config.created.as_deref().map(str::parse::<Timestamp>);
        Ok(matches!(created, Some(Ok(created)) if SystemTime::from(created) >= since))
    }

    /// What it is just now, without reading all of it.
    pub(crate) fn digest(&self) -> Result<Digest, Error> {
        match &self.from {
            From::Registry(remote) => Ok(remote.head(&self.name)?.digest),
            From::Held(image) => Ok(image.root()?.descriptor().digest.clone()),
        }
    }
}

/// The images of a registry that are meant, by name and tag.
pub(crate) fn in_registry<'a>(
    remote: &'a Remote,
    selection: &Selection,
) -> Result<Vec<Found<'a>>, Error> {
    let text = &selection.repository;
    let is_pattern = Glob::is_pattern(text);
    let (first, repositories) = match is_pattern {
        false => (remote.repository(text)?, None),
        true => {
            let (probe, names) = matching(remote, text)?;
            (probe, Some(names))
        }
    };
    // What is the same in all names is none of their own.
    let depth = match is_pattern {
        true => {
            text_below(&first, text).split('/').take_while(|part| !Glob::is_pattern(part)).count()
        }
        false => first.repository().split('/').count() - 1,
    };
    let host = first.registry();
    let repositories = repositories.unwrap_or_else(|| vec![first.repository().to_owned()]);
    let mut found = Vec::new();
    for repository in &repositories {
        let below: Vec<&str> = repository.split('/').skip(depth).collect();
        for target in targets(remote, host, repository, &selection.tags, is_pattern)? {
            found.push(Found {
                from: From::Registry(remote),
                name: format!("{host}/{repository}{target}").parse()?,
                below: below.join("/"),
                platform: selection.platform.clone(),
            });
        }
    }
    if found.is_empty() {
        let place = format!("{host}/{}", text_below(&first, text));
        let pattern = match &selection.tags {
            Tags::All => "*".to_owned(),
            Tags::These(tags) => tags.join(", "),
            Tags::Matching(regex) => regex.to_string(),
            Tags::Within(_) => "the versions".to_owned(),
        };
        return Err(Error::NoneMatches { what: "tag", place, pattern });
    }
    Ok(found)
}

/// A pattern without its host, as repositories have it.
fn text_below(probe: &Reference, text: &str) -> String {
    let rest = text.strip_prefix(&format!("{}/", probe.registry())).unwrap_or(text);
    match probe.repository().strip_prefix("library/") {
        Some(_) if !rest.contains('/') => format!("library/{rest}"),
        _ => rest.to_owned(),
    }
}

/// The repositories of a registry that match; and a name that shows which registry it is.
fn matching(remote: &Remote, text: &str) -> Result<(Reference, Vec<String>), Error> {
    let usage = |problem: String| Error::Usage {
        text: format!("{text:?}: {problem}"),
        hint: Some("write HOST/PATH/PATTERN:PATTERN, and quotes around it".to_owned()),
    };
    let letters = text.replace(['*', '?', '[', ']', '\\', '^'], "x");
    let probe = letters.parse::<Reference>().map_err(|error| usage(error.to_string()))?;
    let has_host = letters.starts_with(&format!("{}/", probe.registry()));
    if has_host && !text.starts_with(&format!("{}/", probe.registry())) {
        return Err(usage("a registry's name is no pattern".to_owned()));
    }
    let pattern = text_below(&probe, text);
    let glob = Glob::new(&pattern).map_err(|error| usage(error.to_string()))?;
    let mut names = remote.registry(probe.registry()).repositories()?;
    names.retain(|name| glob.matches(name));
    match names.is_empty() {
        true => {
            let place = probe.registry().to_owned();
            Err(Error::NoneMatches { what: "repository", place, pattern })
        }
        false => Ok((probe, names)),
    }
}

/// The tags and digests of a repository that are meant, as the ends of names. Single ones are not
/// looked for before they are copied, unless they are only said of `several` repositories.
fn targets(
    remote: &Remote,
    host: &str,
    repository: &str,
    tags: &Tags,
    several: bool,
) -> Result<Vec<String>, Error> {
    let listed = || -> Result<Vec<String>, Error> {
        let mut tags = remote.registry(host).tags(repository)?;
        // What is said about an image goes with it.
        tags.retain(|tag| !is_tag_of_any(tag));
        Ok(tags)
    };
    let end = |tag: String| format!(":{tag}");
    let chosen = |keep: &dyn Fn(&str) -> bool| -> Result<Vec<String>, Error> {
        Ok(listed()?.into_iter().filter(|tag| keep(tag)).map(end).collect())
    };
    match tags {
        Tags::All => chosen(&|_| true),
        Tags::Matching(regex) => chosen(&|tag| regex.is_match(tag)),
        Tags::Within(range) => chosen(&|tag| range.has(tag)),
        Tags::These(wanted) => {
            let (digests, tags): (Vec<&String>, Vec<&String>) =
                wanted.iter().partition(|text| text.parse::<Digest>().is_ok());
            let mut targets: Vec<String> =
                digests.into_iter().map(|digest| format!("@{digest}")).collect();
            if several || tags.iter().any(|tag| Glob::is_pattern(tag)) {
                let globs: Vec<Glob> = tags
                    .iter()
                    .map(|tag| Glob::new(tag))
                    .collect::<Result<_, _>>()
                    .map_err(|error| Error::Usage { text: error.to_string(), hint: None })?;
                targets.extend(chosen(&|tag| globs.iter().any(|glob| glob.matches(tag)))?);
            } else {
                targets.extend(tags.into_iter().cloned().map(end));
            }
            Ok(targets)
        }
    }
}

/// Images that are held, with their names.
pub(crate) type Held<'a> = Vec<(Box<dyn Source + 'a>, Vec<Reference>)>;

/// Those of a layout or an archive, or those here that match. None where `text` is no such place.
pub(crate) fn held<'a>(store: &'a Store, text: &str) -> Result<Option<Held<'a>>, Error> {
    if let Some(pattern) = text.strip_prefix("store:") {
        return here(store, pattern).map(Some);
    }
    let path: PathBuf = match Endpoint::with_scheme(text)? {
        Some(
            Endpoint::Oci { dir: path, tag: None }
            | Endpoint::OciArchive { file: path, tag: None }
            | Endpoint::DockerArchive { file: path, name: None },
        ) => path,
        None | Some(Endpoint::Registry(_)) => return Ok(None),
        Some(place) => {
            let text = format!("{place} has no images to choose from");
            let hint = Some("copy a single image with `bryo copy`".to_owned());
            return Err(Error::Usage { text, hint });
        }
    };
    let inside = || Error::inside(Path::new(text));
    let files = source::Files::open(&path, store).map_err(inside())?;
    let images = source::detect(files).map_err(inside())?;
    if images.iter().any(|image| image.names().is_empty()) {
        let text = format!("{text}: an image has no name");
        let hint = Some("copy it alone, with `bryo copy`, which gives it one".to_owned());
        return Err(Error::Usage { text, hint });
    }
    let named = |image: Box<dyn Source>| (image.names(), image);
    Ok(Some(images.into_iter().map(named).map(|(names, image)| (image as _, names)).collect()))
}

fn here<'a>(store: &'a Store, pattern: &str) -> Result<Held<'a>, Error> {
    let glob = Glob::new(pattern);
    let glob = glob.map_err(|error| Error::Usage { text: error.to_string(), hint: None })?;
    let is_meant = |name: &Reference| match Glob::is_pattern(pattern) {
        true => glob.matches(&name.to_string()) || glob.matches(&name.familiar()),
        false => {
            pattern.is_empty() || pattern.parse().is_ok_and(|wanted: Reference| wanted == *name)
        }
    };
    let mut found: Held<'a> = Vec::new();
    for entry in store.list_refs()? {
        let Name::Tagged(name) = entry.name else { continue };
        // What is said about an image goes with it.
        let is_said = name.tag().is_some_and(is_tag_of_any);
        if is_meant(&name) && !is_said {
            let image = source::Store::named(store, entry.descriptor, vec![name.clone()]);
            found.push((Box::new(image), vec![name]));
        }
    }
    match found.is_empty() {
        true => Err(Error::NothingMatches(pattern.to_owned())),
        false => Ok(found),
    }
}

/// Each of them under each of its names.
pub(crate) fn named<'a>(held: &'a Held<'_>) -> Vec<Found<'a>> {
    let found = |image: &'a dyn Source, name: &Reference| {
        let below = name.repository().rsplit('/').next().unwrap_or_default().to_owned();
        Found { from: From::Held(image), name: name.clone(), below, platform: None }
    };
    let all = held.iter().map(|(image, names)| names.iter().map(move |name| found(&**image, name)));
    all.flatten().collect()
}
