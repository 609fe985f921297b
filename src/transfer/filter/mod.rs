//! [`Filter`]s: what is done to an image on its way, in the order in which they are given. The same
//! for every command that moves images.
//!
//! Each is a source around another one. What changes in a layer is remembered in the storage
//! directory by the layer's diff ID and by what was to be done, so that it is done once.

mod pattern;
mod record;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

pub use pattern::{Rules, Wildcard};

use super::source::{Rewrite, Rewritten};
use super::{Error, Options, Source, choose};
use crate::image::media_type::Family;
use crate::image::{Content, Descriptor, Digest, Platform, Reference};
use crate::layer::archive::Entry;
use crate::layer::compress::Compression;
use crate::report::Reporter;
use crate::store::Store;

/// One thing to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Something to all layers, entry by entry.
    Layer(Change),
    /// All layers are compressed so.
    Compress(Compression),
    /// All layers become one.
    Squash,
    /// The lowest so many layers are left, and what the history tells of them.
    Lowest(usize),
    /// One platform's image is taken out of an index.
    Platform(Platform),
    /// Manifests use Docker's names, or those of OCI.
    Format(Family),
    /// The layers' sizes and the history are appended to a file.
    Record(PathBuf),
}

/// What happens to a layer's entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Root owns everything.
    Disown,
    Times(Times),
    Exclude(Rules),
    /// Nothing; but whoever asked is told.
    Find {
        what: Wildcard,
        script: bool,
    },
}

/// Which time files have afterwards, and configurations, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    All(i64),
    /// No later one.
    Latest(i64),
}

impl Times {
    pub(super) fn of(self, seconds: i64) -> i64 {
        match self {
            Self::All(time) => time,
            Self::Latest(latest) => seconds.min(latest),
        }
    }
}

/// What filters look like, for manuals.
pub const FORMS: [&str; 9] = [
    "timestamps[=SECONDS]",
    "timestamps=max=SECONDS",
    "exclude=GLOB",
    "find=GLOB",
    "record=FILE",
    "recompress=gzip|zstd|none[:LEVEL]",
    "squash",
    "platform=OS/ARCH",
    "format=oci|docker",
];

impl FromStr for Filter {
    type Err = String;

    /// `NAME[=VALUE]`, or `NAME[:KEY=VALUE,…]` by occystrap's names.
    fn from_str(text: &str) -> Result<Self, String> {
        let at = text.find(['=', ':']).unwrap_or(text.len());
        let (name, rest) = text.split_at(at);
        if let Some(options) = rest.strip_prefix(':') {
            return Self::of_occystrap(name, options);
        }
        let value = rest.strip_prefix('=');
        let needed = || value.filter(|value| !value.is_empty()).ok_or(format!("say {name}=…"));
        let number = |text: &str| {
            text.parse().map_err(|_| format!("{text:?} is no number of seconds since 1970"))
        };
        Ok(match (name, value) {
            ("timestamps", None) | ("normalize-timestamps", None) => {
                Self::Layer(Change::Times(Times::All(0)))
            }
            ("timestamps", Some(value)) => {
                Self::Layer(Change::Times(match value.split_once('=') {
                    Some(("max", seconds)) => Times::Latest(number(seconds)?),
                    _ => Times::All(number(value)?),
                }))
            }
            ("exclude", _) => Self::Layer(Change::Exclude(Rules::ignore(needed()?)?)),
            ("find", _) => {
                Self::Layer(Change::Find { what: Wildcard::new(needed()?)?, script: false })
            }
            ("record", _) => Self::Record(needed()?.into()),
            ("recompress", _) => Self::Compress(
                needed()?.parse().map_err(|error: crate::layer::Error| error.to_string())?,
            ),
            ("squash", None) => Self::Squash,
            ("squash", Some(_)) => return Err("squash takes no value".to_owned()),
            ("platform", _) => Self::Platform(
                needed()?.parse().map_err(|error: crate::image::Error| error.to_string())?,
            ),
            ("format", _) => Self::Format(match needed()? {
                "oci" => Family::Oci,
                "docker" | "v2s2" => Family::Docker,
                other => return Err(format!("{other:?} is neither oci nor docker")),
            }),
            ("search" | "inspect", _) => {
                return Err(format!("the form is {name}:KEY=VALUE; or use find= and record="));
            }
            _ => {
                return Err(format!("there is no filter {name:?}; there are {}", FORMS.join(", ")));
            }
        })
    }
}

impl Filter {
    fn of_occystrap(name: &str, options: &str) -> Result<Self, String> {
        // A comma also stands between patterns.
        let mut pairs: Vec<(&str, String)> = Vec::new();
        for option in options.split(',') {
            match (option.split_once('='), pairs.last_mut()) {
                (Some((key, value)), _) if !key.contains(['*', '/', '?', '[']) => {
                    pairs.push((key, value.to_owned()));
                }
                (_, Some((_, value))) => {
                    value.push(',');
                    value.push_str(option);
                }
                (_, None) => return Err(format!("{name}:{options}: the form is {name}:KEY=VALUE")),
            }
        }
        let mut take = |key: &str| {
            let at = pairs.iter().position(|(name, _)| *name == key)?;
            Some(pairs.remove(at).1)
        };
        let filter = match name {
            "normalize-timestamps" => {
                let time = take("ts").or_else(|| take("timestamp")).unwrap_or_else(|| "0".into());
                let time = time.parse().map_err(|_| format!("{time:?} is no number of seconds"))?;
                Self::Layer(Change::Times(Times::All(time)))
            }
            "search" => {
                let what = take("pattern").ok_or("search: say pattern=GLOB")?;
                if take("regex").is_some_and(|value| value == "true") {
                    return Err("search: regex is not for filters; use `bryo find --regex`".into());
                }
                let script = take("script_friendly").is_some_and(|value| value == "true");
                Self::Layer(Change::Find { what: Wildcard::new(&what)?, script })
            }
            "inspect" => Self::Record(take("file").ok_or("inspect: say file=FILE")?.into()),
            "exclude" => {
                let patterns = take("pattern").ok_or("exclude: say pattern=GLOB")?;
                let mut rules = Rules::default();
                for pattern in patterns.split(',') {
                    rules.extend(Rules::wildcard(pattern)?);
                }
                Self::Layer(Change::Exclude(rules))
            }
            _ => {
                return Err(format!(
                    "there is no filter {name:?}; by occystrap's names there are \
                     normalize-timestamps, search, inspect and exclude"
                ));
            }
        };
        match pairs.first() {
            None => Ok(filter),
            Some((key, _)) => Err(format!("{name} has no option {key:?}")),
        }
    }

    /// Whether it tells of files.
    pub fn speaks(&self) -> bool {
        matches!(self, Self::Layer(Change::Find { .. }))
    }

    /// Whether layers must be unpacked for it.
    pub fn unpacks(&self) -> bool {
        *self == Self::Squash
    }
}

/// What a change depends on, for remembering what it made.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disown => f.write_str("disown"),
            Self::Times(Times::All(time)) => write!(f, "times {time}"),
            Self::Times(Times::Latest(time)) => write!(f, "latest {time}"),
            Self::Exclude(rules) => write!(f, "exclude {rules}"),
            Self::Find { .. } => f.write_str("find"), // changes nothing
        }
    }
}

/// What [`Change::Find`] found.
#[derive(Debug)]
pub struct Found<'f> {
    /// What the image is called.
    pub image: &'f str,
    /// The layer, by its diff ID before any change.
    pub layer: &'f Digest,
    pub entry: &'f Entry,
    /// A program shall read it.
    pub script: bool,
}

/// What filters need.
#[derive(Clone, Copy)]
pub struct Kitchen<'a> {
    pub store: &'a Store,
    pub reporter: &'a dyn Reporter,
    /// Is told what was found.
    pub found: &'a (dyn Fn(&Found<'_>) -> io::Result<()> + Sync),
}

impl fmt::Debug for Kitchen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kitchen").field("store", self.store).finish_non_exhaustive()
    }
}

/// The same image with all filters applied to it: those that change it have done so when this
/// returns.
pub fn apply<'a>(
    source: Box<dyn Source + 'a>,
    filters: &[Filter],
    kitchen: Kitchen<'a>,
) -> Result<Box<dyn Source + 'a>, Error> {
    let mut source = source;
    let mut rewrite = Rewrite::default();
    let mut filters = filters.iter().peekable();
    while let Some(filter) = filters.next() {
        match filter {
            Filter::Layer(change) => rewrite.add(change.clone()),
            Filter::Compress(compression) => {
                (rewrite.compression, rewrite.forced) = (Some(*compression), true);
                let media_type = source.root()?.descriptor().media_type.clone();
                if matches!(compression, Compression::Zstd { .. })
                    && Family::of(&media_type) == Family::Docker
                {
                    rewrite.family = Some(Family::Oci);
                }
            }
            Filter::Squash => rewrite.squash = true,
            Filter::Lowest(count) => rewrite.lowest = Some(*count),
            Filter::Format(family) => {
                if *family == Family::Docker {
                    refuse_zstd(&*source, source.root()?)?;
                }
                rewrite.family = Some(*family);
            }
            Filter::Platform(platform) => source = Box::new(Narrowed::new(source, platform)?),
            Filter::Record(file) => record::record(&*source, file, kitchen.reporter)?,
        }
        // Changes of entries are made together; what follows sees what they made.
        let goes_on = matches!(
            (filter, filters.peek()),
            (Filter::Layer(_) | Filter::Compress(_), Some(Filter::Layer(_) | Filter::Compress(_)))
                | (Filter::Squash, Some(Filter::Compress(_)))
        );
        if !goes_on && rewrite != Rewrite::default() {
            let all = std::mem::take(&mut rewrite);
            source = Box::new(Rewritten::filtered(source, &all, kitchen)?);
        }
    }
    Ok(source)
}

/// Docker's manifests have no name for layers in zstd, or one that few know.
fn refuse_zstd(source: &dyn Source, content: Content) -> Result<(), Error> {
    match content {
        Content::Index(index) => index
            .manifests
            .iter()
            .try_for_each(|child| refuse_zstd(source, source.manifest(child)?)),
        Content::Image(manifest)
            if manifest.layers.iter().any(|layer| layer.media_type.ends_with("zstd")) =>
        {
            Err(Error::ZstdInDocker(source.name()))
        }
        _ => Ok(()),
    }
}

/// One of what an index names.
struct Narrowed<'a> {
    source: Box<dyn Source + 'a>,
    root: Content,
}

impl<'a> Narrowed<'a> {
    fn new(source: Box<dyn Source + 'a>, platform: &Platform) -> Result<Self, Error> {
        let options = Options { platform: Some(platform.clone()), ..Options::default() };
        let (root, _) = choose(&*source, source.root()?, &options, true)?;
        Ok(Self { source, root })
    }
}

impl Source for Narrowed<'_> {
    fn name(&self) -> String {
        self.source.name()
    }

    fn root(&self) -> Result<Content, Error> {
        Ok(self.root.clone())
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Content, Error> {
        self.source.manifest(descriptor)
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn io::Read + Send + '_>, Error> {
        self.source.open(descriptor)
    }

    fn names(&self) -> Vec<Reference> {
        self.source.names()
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        self.source.referrers(subject)
    }

    fn tagged(&self, tag: &str) -> Result<Option<Content>, Error> {
        self.source.tagged(tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_by_both_names() {
        let times = |times| Ok(Filter::Layer(Change::Times(times)));
        let excluded = |rules: &[Result<Rules, String>]| {
            let mut all = Rules::default();
            rules.iter().for_each(|rule| all.extend(rule.clone().expect("a rule")));
            Ok(Filter::Layer(Change::Exclude(all)))
        };
        let find = |text: &str, script| {
            Ok(Filter::Layer(Change::Find { what: Wildcard::new(text).expect(text), script }))
        };
        for (text, expected) in [
            ("timestamps", times(Times::All(0))),
            ("timestamps=5", times(Times::All(5))),
            ("timestamps=max=5", times(Times::Latest(5))),
            ("normalize-timestamps", times(Times::All(0))),
            ("normalize-timestamps:ts=7", times(Times::All(7))),
            ("normalize-timestamps:timestamp=7", times(Times::All(7))),
            ("exclude=*.pyc", excluded(&[Rules::ignore("*.pyc")])),
            (
                "exclude:pattern=etc/*,var/*",
                excluded(&[Rules::wildcard("etc/*"), Rules::wildcard("var/*")]),
            ),
            ("find=*.so", find("*.so", false)),
            ("search:pattern=*sh,script_friendly=true", find("*sh", true)),
            ("record=f", Ok(Filter::Record("f".into()))),
            ("inspect:file=f", Ok(Filter::Record("f".into()))),
            ("recompress=zstd:9", Ok(Filter::Compress(Compression::Zstd { level: 9 }))),
            ("squash", Ok(Filter::Squash)),
            ("format=docker", Ok(Filter::Format(Family::Docker))),
            ("platform=linux/arm64", Ok(Filter::Platform("linux/arm64".parse().expect("one")))),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
        for (text, said) in [
            ("moss", "there is no filter \"moss\"; there are timestamps"),
            ("exclude", "say exclude="),
            ("timestamps=max=", "no number"),
            ("squash=1", "takes no value"),
            ("exclude:a/*", "the form is exclude:KEY=VALUE"),
            ("search:pattern=a,depth=2", "no option \"depth\""),
            ("search:pattern=a,regex=true", "bryo find --regex"),
            ("recompress=lz4", "gzip, zstd and none"),
            ("format=v2s1", "neither oci nor docker"),
        ] {
            let error = text.parse::<Filter>().expect_err(text);
            assert!(error.contains(said), "{error}");
        }
    }
}
