//! `bryo images`.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::details;
use crate::cli::args::{self, Network};
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::listing::Listing;
use crate::cli::table::{Table, ago, bytes};
use crate::dockerfile::Glob;
use crate::image::{Reference, Timestamp};
use crate::inspect::{Info, info};
use crate::report::Reporter;
use crate::store::{Name, RefEntry, Store};
use crate::transfer::is_tag_of_any;

/// List the images here
///
/// An image's size is that of its layers as they are kept and sent: compressed. With --quiet only
/// the IDs are printed.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo images
  bryo images 'registry.example/team/*'
  bryo images --filter dangling=true
  bryo images --undeletable
  bryo images --details debian:12
  bryo images --quiet | xargs bryo inspect")]
pub(crate) struct Images {
    /// Only the images of this repository, or whose names match a pattern
    #[arg(value_name = "NAME|PATTERN")]
    name: Option<String>,
    /// Those without a name too, and what is said about images (signatures, SBOMs: `sha256-…`)
    #[arg(short, long)]
    all: bool,
    /// Only some: dangling=true, label=NAME[=VALUE], before=IMAGE, since=IMAGE, until=TIME,
    /// reference=PATTERN; may be repeated
    #[arg(short, long, value_name = "FILTER", value_parser = filter)]
    filter: Vec<Filter>,
    /// Those that were removed and can be brought back by `bryo undelete`
    #[arg(short, long)]
    undeletable: bool,
    /// Say all about one image: whether it is here, in the build cache and in its registry, and for
    /// which machines
    #[arg(long, requires = "name", conflicts_with_all = ["all", "filter", "undeletable", "digests", "json", "format"])]
    details: bool,
    /// Show the digests of the manifests too
    #[arg(long)]
    digests: bool,
    /// Show IDs whole
    #[arg(long)]
    no_trunc: bool,
    /// As a JSON array
    #[arg(long)]
    json: bool,
    /// As docker prints lists: table, json, or a template of Go for each image, such as
    /// '{{.Repository}}:{{.Tag}}' or 'table {{.ID}}\t{{.Size}}'
    #[arg(long, value_name = "FORMAT", conflicts_with = "json")]
    format: Option<Listing>,
    #[command(flatten)]
    network: Network,
}

/// List the images here, or say all about one of them
///
/// As ch-image has it: without a name the same as `bryo images`, with one `bryo images --details`.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    images: Images,
}

impl List {
    pub(crate) fn run(mut self, invocation: &Invocation) -> Result<(), Error> {
        let images = &mut self.images;
        let is_list =
            images.json || images.digests || images.format.is_some() || !images.filter.is_empty();
        let is_name = images.name.as_ref().is_some_and(|name| !Glob::is_pattern(name));
        images.details |= is_name && !is_list && !images.undeletable && !invocation.quiet;
        images.run(invocation)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Filter {
    Dangling(bool),
    Label {
        name: String,
        value: Option<String>,
    },
    /// Made before that image, or after it.
    Before(String),
    Since(String),
    Until(SystemTime),
    Reference(String),
}

struct Row {
    name: Option<Reference>,
    info: Info,
}

impl Images {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let store = invocation.store()?;
        if let Some(name) = self.name.as_ref().filter(|_| self.details) {
            let remote = self.network.remote(invocation)?;
            return invocation.print(&details::of(&store, &remote, name)?);
        }
        let mut rows = Vec::new();
        for entry in self.entries(&store, &*invocation.reporter)? {
            let name = match &entry.name {
                Name::Tagged(name) => Some(name.clone()),
                Name::Anonymous(_) => None,
            };
            if self.shows(name.as_ref()) {
                rows.push(Row { name, info: info(&store, &entry)? });
            }
        }
        for filter in &self.filter {
            let bound = match filter {
                Filter::Before(image) | Filter::Since(image) => {
                    let info = info(&store, &store.find(image)?)?;
                    info.created().map(str::to_owned)
                }
                _ => None,
            };
            rows.retain(|row| filter.lets_pass(row, bound.as_deref()));
        }
        // The newest first, as docker has it; times in one format compare as text.
        rows.sort_by(|a, b| b.info.created().cmp(&a.info.created()));
        if self.json {
            let rows: Vec<Value> = rows.iter().map(Row::json).collect();
            return invocation.print(&format!("{:#}\n", Value::Array(rows)));
        }
        if let Some(format) = &self.format {
            let fields: Vec<Value> = rows.iter().map(|row| self.fields(row)).collect();
            if let Some(text) = format.of(&fields)? {
                return invocation.print(&text);
            }
        }
        if invocation.quiet {
            let mut ids: Vec<String> =
                rows.iter().map(|row| format!("{}\n", row.info.id())).collect();
            ids.dedup();
            return invocation.print(&ids.concat());
        }
        invocation.print(&self.table(&rows))
    }

    fn entries(&self, store: &Store, reporter: &dyn Reporter) -> Result<Vec<RefEntry>, Error> {
        match self.undeletable {
            true => {
                let all = store.forgotten_refs()?.into_iter();
                Ok(all.map(|forgotten| forgotten.entry).collect())
            }
            false => {
                let (entries, damaged) = store.list_all_refs()?;
                for name in damaged {
                    let mend = format!("`bryo rm {name}` removes it");
                    reporter.warn(format!("the name {name} is damaged; {mend}"));
                }
                Ok(entries)
            }
        }
    }

    fn shows(&self, name: Option<&Reference>) -> bool {
        let nameless =
            self.all || self.undeletable || self.filter.contains(&Filter::Dangling(true));
        // What is said about an image is kept beside it, and is none.
        if !self.all && name.and_then(Reference::tag).is_some_and(is_tag_of_any) {
            return false;
        }
        let Some(pattern) = &self.name else { return name.is_some() || nameless };
        name.is_some_and(|name| matches(name, pattern))
    }

    /// What templates can name, in docker's words.
    fn fields(&self, row: &Row) -> Value {
        let Row { name, info } = row;
        let none = || "<none>".to_owned();
        let created = info.created().and_then(|text| text.parse::<Timestamp>().ok());
        let now = Timestamp::from(SystemTime::now());
        let id = match self.no_trunc {
            true => info.id().to_string(),
            false => info.id().short().to_owned(),
        };
        json!({
            "Repository": name.as_ref().map_or_else(none, |name| repository(&name.familiar()).to_owned()),
            "Tag": name.as_ref().and_then(Reference::tag).map_or_else(none, str::to_owned),
            "ID": id,
            "Digest": info.manifest.digest,
            "CreatedSince": created.map_or_else(String::new, |created| ago(created, now)),
            "CreatedAt": created.map(|created| created.to_string()).unwrap_or_default(),
            "Size": bytes(info.size),
            "VirtualSize": bytes(info.size),
            "SharedSize": "N/A",
            "UniqueSize": "N/A",
            "Containers": "N/A",
        })
    }

    fn table(&self, rows: &[Row]) -> String {
        let mut table = Table::new(match self.digests {
            true => &["REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE"],
            false => &["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"],
        });
        let now = Timestamp::from(SystemTime::now());
        for Row { name, info } in rows {
            let none = || "<none>".to_owned();
            let mut cells = vec![
                name.as_ref().map_or_else(none, |name| repository(&name.familiar()).to_owned()),
                name.as_ref().and_then(Reference::tag).map_or_else(none, str::to_owned),
            ];
            if self.digests {
                cells.push(info.manifest.digest.to_string());
            }
            let created = info.created().and_then(|text| text.parse().ok());
            cells.push(match self.no_trunc {
                true => info.id().to_string(),
                false => info.id().short().to_owned(),
            });
            cells.push(created.map_or_else(String::new, |created| ago(created, now)));
            cells.push(bytes(info.size));
            table.row(cells);
        }
        table.to_string()
    }
}

/// Whether a name, with or without its tag, is `pattern` or matches it.
fn matches(name: &Reference, pattern: &str) -> bool {
    let glob = Glob::new(pattern).ok();
    [name.to_string(), name.familiar()].iter().any(|name| {
        [name.as_str(), repository(name)]
            .iter()
            .any(|word| *word == pattern || glob.as_ref().is_some_and(|glob| glob.matches(word)))
    })
}

/// A name without its tag and its digest.
fn repository(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or(name);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

impl Filter {
    /// `bound` is when the image was made that it names.
    fn lets_pass(&self, row: &Row, bound: Option<&str>) -> bool {
        let time = |text: &str| text.parse::<Timestamp>().ok();
        let created = row.info.created().and_then(time);
        match self {
            Self::Dangling(wanted) => row.name.is_none() == *wanted,
            Self::Label { name, value } => row.info.all_configs().any(|config| {
                let has = config.runtime.labels.get(name);
                has.is_some_and(|has| value.as_ref().is_none_or(|value| has == value))
            }),
            Self::Before(_) => created < bound.and_then(time),
            Self::Since(_) => created > bound.and_then(time),
            Self::Until(until) => created.is_some_and(|created| SystemTime::from(created) < *until),
            Self::Reference(pattern) => {
                row.name.as_ref().is_some_and(|name| matches(name, pattern))
            }
        }
    }
}

/// In docker's words.
fn filter(text: &str) -> Result<Filter, String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let value = value.to_owned();
    match (name, value.as_str()) {
        ("dangling", "true" | "1") => Ok(Filter::Dangling(true)),
        ("dangling", "false" | "0") => Ok(Filter::Dangling(false)),
        ("label", label) if !label.is_empty() => {
            let (name, value) = label.split_once('=').map_or((label, None), |(n, v)| (n, Some(v)));
            Ok(Filter::Label { name: name.to_owned(), value: value.map(str::to_owned) })
        }
        ("before", image) if !image.is_empty() => Ok(Filter::Before(value)),
        ("since" | "after", image) if !image.is_empty() => Ok(Filter::Since(value)),
        ("until", time) => args::moment(time).map(Filter::Until),
        ("reference", pattern) if !pattern.is_empty() => Ok(Filter::Reference(value)),
        _ => {
            Err("filters are dangling=true|false, label=NAME[=VALUE], before=IMAGE, since=IMAGE, \
                  until=TIME and reference=PATTERN"
                .to_owned())
        }
    }
}

impl Row {
    fn json(&self) -> Value {
        let Self { name, info } = self;
        json!({
            "name": name.as_ref().map(Reference::familiar),
            "kind": info.kind,
            "id": info.id(),
            "digest": info.manifest.digest,
            "index": info.index.as_ref().map(|index| &index.digest),
            "platform": info.platform().map(|platform| platform.to_string()),
            "created": info.created(),
            "size": info.size,
            "layers": info.layers.len(),
        })
    }
}
