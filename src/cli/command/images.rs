//! `bryo images`.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::table::{Table, ago, bytes};
use crate::dockerfile::Glob;
use crate::image::{Reference, Timestamp};
use crate::inspect::{Info, info};
use crate::store::Name;

/// List the images here
///
/// An image's size is that of its layers as they are kept and sent: compressed. With --quiet only
/// the IDs are printed.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo images
  bryo images 'registry.example/team/*'
  bryo images --quiet | xargs bryo inspect")]
pub(crate) struct Images {
    /// Only the images of this repository, or whose names match a pattern
    #[arg(value_name = "NAME|PATTERN")]
    filter: Option<String>,
    /// Those without a name too
    #[arg(short, long)]
    all: bool,
    /// Show the digests of the manifests too
    #[arg(long)]
    digests: bool,
    /// As a JSON array
    #[arg(long)]
    json: bool,
}

struct Row {
    name: Option<Reference>,
    info: Info,
}

impl Images {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let store = invocation.store()?;
        let mut rows = Vec::new();
        for entry in store.list_refs()? {
            let name = match &entry.name {
                Name::Tagged(name) => Some(name.clone()),
                Name::Anonymous(_) => None,
            };
            if self.shows(name.as_ref()) {
                rows.push(Row { name, info: info(&store, &entry)? });
            }
        }
        // The newest first, as docker has it; times in one format compare as text.
        rows.sort_by(|a, b| b.info.created().cmp(&a.info.created()));
        if self.json {
            let rows: Vec<Value> = rows.iter().map(Row::json).collect();
            return invocation.print(&format!("{:#}\n", Value::Array(rows)));
        }
        if invocation.quiet {
            let mut ids: Vec<String> =
                rows.iter().map(|row| format!("{}\n", row.info.id())).collect();
            ids.dedup();
            return invocation.print(&ids.concat());
        }
        invocation.print(&self.table(&rows))
    }

    fn shows(&self, name: Option<&Reference>) -> bool {
        let Some(filter) = &self.filter else { return name.is_some() || self.all };
        let Some(name) = name else { return false };
        let pattern = Glob::new(filter).ok();
        [name.to_string(), name.familiar()].iter().any(|name| {
            let repository = repository(name);
            [name.as_str(), repository].iter().any(|word| {
                word == filter || pattern.as_ref().is_some_and(|pattern| pattern.matches(word))
            })
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
            cells.push(info.id().short().to_owned());
            cells.push(created.map_or_else(String::new, |created| ago(created, now)));
            cells.push(bytes(info.size));
            table.row(cells);
        }
        table.to_string()
    }
}

/// A name without its tag and its digest.
fn repository(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or(name);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
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
