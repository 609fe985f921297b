//! `bryo prune`.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::du::{is_idle, short_id, title};
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::table::bytes;
use crate::cli::{args, ui};
use crate::dockerfile::value;
use crate::image::{Content, Platform, Timestamp};
use crate::store::{Kind, Piece, Store, Usage};

/// Free space: delete what is not in use
///
/// Deletes images without a name, images that were removed, what the build cache has and no image
/// needs, cache mounts and logs. Asks first, at a terminal. Prints what was deleted and how much that
/// has freed.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo prune -f
  bryo prune --all --filter until=240h
  bryo prune --unused-for 30d --keep 10GB
  bryo prune --dry-run")]
pub(crate) struct Prune {
    /// All images and all of the build cache, in use or not
    #[arg(short, long)]
    all: bool,
    /// Only what is older (until=TIME or AGE), only images with a label (label=NAME[=VALUE]) or
    /// without one (label!=NAME[=VALUE]); may be repeated
    #[arg(long, value_name = "FILTER", value_parser = filter)]
    filter: Vec<Filter>,
    /// Keep so much of the build cache and the cache mounts: what was used last
    #[arg(long, value_name = "SIZE", value_parser = size)]
    #[arg(visible_alias = "keep-storage", alias = "reserved-space")]
    keep: Option<u64>,
    /// Only what nobody has used for so long: 36h, 30d
    #[arg(long, value_name = "AGE", value_parser = args::age)]
    unused_for: Option<Duration>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Delete nothing; say what would be deleted
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Filter {
    /// Before that moment; an age counts from now.
    Until(SystemTime),
    Label {
        name: String,
        value: Option<String>,
        is_wanted: bool,
    },
}

impl Prune {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        if !self.force && !self.dry_run && !ui::can_ask() {
            let text = "nobody is there to be asked whether that is meant".to_owned();
            let hint = Some("say so with --force".to_owned());
            return Err(Error::Usage { text, hint });
        }
        let store = invocation.store()?;
        if !self.force && !self.dry_run && !ui::confirm(&self.question()).map_err(Error::Stdin)? {
            invocation.reporter.note("nothing was deleted".to_owned());
            return Ok(());
        }
        let usage = store.usage()?;
        let chosen = self.choose(&store, &usage)?;
        let is_chosen = |piece: &Piece| chosen.iter().any(|other| std::ptr::eq(*other, piece));
        let (freed, deferred) = match self.dry_run {
            true => (usage.freed(is_chosen), false),
            false => {
                let removed = store.delete(&chosen)?;
                (removed.bytes(), removed.deferred)
            }
        };
        if deferred {
            invocation.reporter.warn(
                "another bryo is at work: images lost their names, and what they held is deleted by \
                 the next `bryo prune`"
                    .to_owned(),
            );
        }
        match self.json {
            true => self.print_json(&chosen, freed, deferred, invocation),
            false => self.print(&chosen, freed, invocation),
        }
    }

    fn question(&self) -> String {
        let what = match self.all {
            true => "all images, all of the build cache, all cache mounts and logs",
            false => {
                "all images without a name or a tag, all removed images, build cache that no image needs, \
                 cache mounts and logs"
            }
        };
        let only = match self.filter.is_empty() && self.unused_for.is_none() {
            true => "",
            false => ", as far as they meet the filters",
        };
        format!("WARNING! This will delete {what}{only}.\nAre you sure you want to continue?")
    }

    fn choose<'u>(&self, store: &Store, usage: &'u Usage) -> Result<Vec<&'u Piece>, Error> {
        let mut chosen = Vec::new();
        for piece in &usage.pieces {
            if (self.all || is_idle(usage, piece)) && self.meets(store, piece)? {
                chosen.push(piece);
            }
        }
        let Some(mut room) = self.keep else { return Ok(chosen) };
        let is_cache = |piece: &Piece| matches!(piece.kind, Kind::Step | Kind::CacheMount);
        let mut cache: Vec<&Piece> = usage.pieces.iter().filter(|piece| is_cache(piece)).collect();
        cache.sort_by_key(|piece| std::cmp::Reverse(piece.used));
        for piece in cache {
            let (size, _) = usage.sizes(piece);
            // The first that does not fit ends it: what is older is no better.
            let Some(left) = room.checked_sub(size) else { break };
            room = left;
            chosen.retain(|other| !std::ptr::eq(*other, piece));
        }
        Ok(chosen)
    }

    /// Whether the filters let it go.
    fn meets(&self, store: &Store, piece: &Piece) -> Result<bool, Error> {
        let now = SystemTime::now();
        let is_used = |age: Duration| {
            let since = piece.used.and_then(|used| now.duration_since(used).ok());
            since.is_none_or(|since| since < age)
        };
        if piece.kind != Kind::Rest && self.unused_for.is_some_and(is_used) {
            return Ok(false);
        }
        if self.filter.is_empty() || piece.kind == Kind::Rest {
            return Ok(true);
        }
        let is_image = matches!(piece.kind, Kind::Image | Kind::Removed);
        let about = if is_image { about(store, piece)? } else { About::default() };
        Ok(self.filter.iter().all(|filter| match filter {
            Filter::Until(time) => about.created.or(piece.used).is_some_and(|made| made < *time),
            Filter::Label { name, value, is_wanted } => {
                let has = about.labels.get(name);
                let has = has.is_some_and(|has| value.as_ref().is_none_or(|value| has == value));
                is_image && has == *is_wanted
            }
        }))
    }

    fn print(&self, chosen: &[&Piece], freed: u64, invocation: &Invocation) -> Result<(), Error> {
        let verb = if self.dry_run { "Would delete" } else { "Deleted" };
        let mut text = String::new();
        let mut section = |title: &str, kinds: &[Kind], line: &dyn Fn(&Piece) -> String| {
            let lines = chosen.iter().filter(|piece| kinds.contains(&piece.kind));
            let lines: String = lines.map(|piece| line(piece)).collect();
            if !lines.is_empty() {
                text += &format!("{verb} {title}:\n{lines}\n");
            }
        };
        section("images", &[Kind::Image, Kind::Removed], &|piece| match title(piece).as_str() {
            "<none>" => format!("deleted: {}\n", piece.id),
            names => format!("untagged: {names}\ndeleted: {}\n", piece.id),
        });
        section("build cache objects", &[Kind::Step], &|piece| format!("{}\n", short_id(piece)));
        section("cache mounts", &[Kind::CacheMount], &|piece| format!("{}\n", piece.text));
        section("logs", &[Kind::Log], &|piece| format!("{}\n", piece.id));
        let sum = match self.dry_run {
            true => "Total reclaimable space",
            false => "Total reclaimed space",
        };
        invocation.print(&format!("{text}{sum}: {}\n", bytes(freed)))
    }

    fn print_json(
        &self,
        chosen: &[&Piece],
        freed: u64,
        deferred: bool,
        invocation: &Invocation,
    ) -> Result<(), Error> {
        let ids = |kinds: &[Kind]| -> Vec<&str> {
            let of_kind = chosen.iter().filter(|piece| kinds.contains(&piece.kind));
            of_kind.map(|piece| piece.id.as_str()).collect()
        };
        let all = json!({
            "images": ids(&[Kind::Image, Kind::Removed]),
            "cache": ids(&[Kind::Step]),
            "cacheMounts": ids(&[Kind::CacheMount]),
            "logs": ids(&[Kind::Log]),
            "reclaimed": freed,
            "dryRun": self.dry_run,
            "deferred": deferred,
        });
        invocation.print(&format!("{all:#}\n"))
    }
}

/// What an image says of itself that filters ask for.
#[derive(Debug, Default)]
struct About {
    created: Option<SystemTime>,
    labels: BTreeMap<String, String>,
}

/// What is damaged says nothing.
fn about(store: &Store, piece: &Piece) -> Result<About, Error> {
    let Some(descriptor) = &piece.descriptor else { return Ok(About::default()) };
    let Ok(Content::Image(manifest)) = store.content_for(descriptor, &Platform::host()) else {
        return Ok(About::default());
    };
    let Ok(config) = store.config(&manifest) else { return Ok(About::default()) };
    let created = config.created.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
    Ok(About { created: created.map(SystemTime::from), labels: config.runtime.labels })
}

/// `until=…`, `label=…`, `label!=…`
fn filter(text: &str) -> Result<Filter, String> {
    let label = |text: &str, is_wanted| {
        let (name, value) = text.split_once('=').map_or((text, None), |(n, v)| (n, Some(v)));
        Filter::Label { name: name.to_owned(), value: value.map(str::to_owned), is_wanted }
    };
    match text.split_once('=') {
        Some(("until", time)) => args::moment(time).map(Filter::Until),
        Some(("label", text)) if !text.is_empty() => Ok(label(text, true)),
        Some(("label!", text)) if !text.is_empty() => Ok(label(text, false)),
        _ => Err("filters are until=TIME, label=NAME[=VALUE] and label!=NAME[=VALUE]".to_owned()),
    }
}

/// Units are powers of 1000, as in what is printed.
fn size(text: &str) -> Result<u64, String> {
    value::decimal_size(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_dockers() {
        let label = |name: &str, value: Option<&str>, is_wanted| {
            Ok(Filter::Label { name: name.to_owned(), value: value.map(str::to_owned), is_wanted })
        };
        assert_eq!(filter("label=a"), label("a", None, true));
        assert_eq!(filter("label=a=b=c"), label("a", Some("b=c"), true));
        assert_eq!(filter("label!=a=b"), label("a", Some("b"), false));
        assert_eq!(
            filter("until=100"),
            Ok(Filter::Until(SystemTime::UNIX_EPOCH + Duration::from_secs(100)))
        );
        for wrong in ["label=", "x=y", "until", "until=soon"] {
            assert!(filter(wrong).is_err(), "{wrong}");
        }
    }
}
