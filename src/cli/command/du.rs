//! `bryo du`.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::listing::Listing;
use crate::cli::table::{Table, ago, bytes, one_line};
use crate::image::Timestamp;
use crate::store::{Kind, Name, Piece, Usage};

/// Show what takes up room in the storage directory
///
/// RECLAIMABLE is what `bryo prune` would free: images without a name, images that were removed, what
/// the build cache has and no image needs, cache mounts, logs. With -v each thing by itself; SIZE is
/// then what nothing else needs, SHARED what other things need too.
#[derive(Debug, clap::Args)]
pub(crate) struct Du {
    /// Show each thing by itself
    #[arg(short = 'v')]
    each: bool,
    /// As a JSON object
    #[arg(long)]
    json: bool,
    /// As docker prints lists: table, json, or a template of Go for each row, with the fields Type,
    /// TotalCount, Active, Size and Reclaimable
    #[arg(long, value_name = "FORMAT", conflicts_with_all = ["json", "each"])]
    format: Option<Listing>,
}

/// The rows of the short table.
const KINDS: [(&str, Kind); 6] = [
    ("Images", Kind::Image),
    ("Removed Images", Kind::Removed),
    ("Build Cache", Kind::Step),
    ("Cache Mounts", Kind::CacheMount),
    ("Build Logs", Kind::Log),
    ("Unused Layers", Kind::Rest),
];

impl Du {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let usage = invocation.store()?.usage()?;
        let reclaimable = usage.freed(|piece| is_idle(&usage, piece));
        if self.json {
            let pieces: Vec<Value> =
                usage.pieces.iter().map(|piece| describe(&usage, piece)).collect();
            let all = json!({
                "total": usage.total(),
                "reclaimable": reclaimable,
                "pieces": pieces,
            });
            return invocation.print(&format!("{all:#}\n"));
        }
        let rows = summary(&usage);
        if let Some(format) = &self.format
            && let Some(text) = format.of(&rows)?
        {
            return invocation.print(&text);
        }
        let table = match self.each || invocation.ui.verbose {
            true => long(&usage),
            false => short(&rows),
        };
        let sums =
            format!("Reclaimable: {}\nTotal: {}\n", bytes(reclaimable), bytes(usage.total()));
        invocation.print(&format!("{table}\n{sums}"))
    }
}

/// Whether `bryo prune` takes it, unless it is told otherwise.
pub(super) fn is_idle(usage: &Usage, piece: &Piece) -> bool {
    match piece.kind {
        Kind::Image => piece.is_dangling(),
        Kind::Step => !usage.is_needed_by_named(piece),
        Kind::Removed | Kind::CacheMount | Kind::Log | Kind::Rest => true,
    }
}

/// What a piece is called.
pub(super) fn title(piece: &Piece) -> String {
    let name = |name: &Name| match name {
        Name::Tagged(name) => Some(name.familiar()),
        Name::Anonymous(_) => None,
    };
    let names: Vec<String> = piece.names.iter().filter_map(name).collect();
    let (none, text) = ("<none>".to_owned(), &piece.text);
    match piece.kind {
        Kind::Image | Kind::Removed if names.is_empty() => none,
        Kind::Image | Kind::Removed => names.join(", "),
        Kind::Step if text.is_empty() => "a step of a build".to_owned(),
        Kind::CacheMount => format!("cache mount {text}"),
        Kind::Log => "logs of a build".to_owned(),
        Kind::Step | Kind::Rest => text.clone(),
    }
}

/// A row for each kind of thing, in docker's words.
fn summary(usage: &Usage) -> Vec<Value> {
    let mut rows = Vec::new();
    for (title, kind) in KINDS {
        let of_kind = || usage.pieces.iter().filter(move |piece| piece.kind == kind);
        if of_kind().next().is_none() && kind != Kind::Image && kind != Kind::Step {
            continue;
        }
        let active = of_kind().filter(|piece| !is_idle(usage, piece)).count();
        let size = match kind {
            // Layers of images are no burden of the cache's.
            Kind::Step => usage.freed(|piece| piece.kind == kind),
            _ => usage.needed(|piece| piece.kind == kind),
        };
        let free = usage.freed(|piece| piece.kind == kind && is_idle(usage, piece));
        let share = match size {
            0 => String::new(),
            size => format!(" ({}%)", u128::from(free) * 100 / u128::from(size)),
        };
        rows.push(json!({
            "Type": title,
            "TotalCount": of_kind().count().to_string(),
            "Active": active.to_string(),
            "Size": bytes(size),
            "Reclaimable": format!("{}{share}", bytes(free)),
        }));
    }
    rows
}

fn short(rows: &[Value]) -> Table {
    let mut table = Table::new(&["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]);
    for row in rows {
        let cell = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        table.row(["Type", "TotalCount", "Active", "Size", "Reclaimable"].map(cell).to_vec());
    }
    table
}

fn long(usage: &Usage) -> Table {
    let heads = ["ID", "RECLAIMABLE", "SIZE", "SHARED", "LAST USED", "DESCRIPTION"];
    let mut table = Table::new(&heads);
    let now = Timestamp::from(SystemTime::now());
    for piece in &usage.pieces {
        let (own, shared) = usage.sizes(piece);
        table.row(vec![
            short_id(piece),
            is_idle(usage, piece).to_string(),
            bytes(own),
            bytes(shared),
            piece.used.map_or_else(String::new, |used| ago(used.into(), now)),
            one_line(&title(piece), 60),
        ]);
    }
    table
}

/// The first digits of a digest, or all of another name.
pub(super) fn short_id(piece: &Piece) -> String {
    let id = piece.id.strip_prefix("sha256:").unwrap_or(&piece.id);
    let is_digest = id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
    if is_digest { id[..12].to_owned() } else { id.to_owned() }
}

fn describe(usage: &Usage, piece: &Piece) -> Value {
    let (own, shared) = usage.sizes(piece);
    json!({
        "id": piece.id,
        "kind": kind_name(piece.kind),
        "description": title(piece),
        "reclaimable": is_idle(usage, piece),
        "size": own,
        "shared": shared,
        "lastUsed": piece.used.map(|used| Timestamp::from(used).to_string()),
    })
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Image => "image",
        Kind::Removed => "removed",
        Kind::Step => "step",
        Kind::CacheMount => "cache-mount",
        Kind::Log => "log",
        Kind::Rest => "rest",
    }
}
