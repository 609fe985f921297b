//! `bryo cache`.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::SystemTime;

use clap::Subcommand;
use serde_json::{Value, json};

use super::du::is_idle;
use crate::cli::cache_exchange::{Export, Import};
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::table::{Table, ago, bytes, one_line};
use crate::cli::ui;
use crate::image::{Content, Digest, Timestamp};
use crate::store::{CacheEntry, Kind, Name, Piece, Store, Usage};
use crate::transfer::sink;

/// Show the build cache, and clean it
///
/// The cache remembers what each step of a build made. Without a verb a summary is shown.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo cache
  bryo cache tree
  bryo cache export registry.example/team/cache
  bryo cache --dot cache.dot && dot -Tsvg cache.dot > cache.svg")]
pub(crate) struct Cache {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Write the tree for graphviz's dot(1)
    #[arg(long, value_name = "FILE")]
    dot: Option<PathBuf>,
    /// ch-image's way to say `reset`
    #[arg(long, hide = true)]
    reset: bool,
    /// ch-image's way to say `gc`
    #[arg(long, hide = true)]
    gc: bool,
    /// ch-image's way to say `tree`
    #[arg(long, hide = true)]
    tree: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show which step came after which, with the names of the images that they made
    Tree,
    /// List the steps, those that were used last first
    Ls {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Delete what no image needs
    Gc,
    /// Write all steps with their layers to a registry or a layout, as --cache-to of builds writes
    /// those of one; prints the digest
    Export(Box<Export>),
    /// Take all steps of such a cache, with their layers
    Import(Box<Import>),
    /// Delete all steps and all cache mounts; images stay
    Reset {
        /// Do not ask
        #[arg(short, long)]
        force: bool,
    },
}

/// So much of a step is shown.
const WIDTH: usize = 72;

/// A step, with what came of it.
struct Node {
    entry: CacheEntry,
    /// What images are called whose topmost layer it made.
    names: Vec<String>,
}

/// All steps, by their keys, and which come after which.
struct Tree {
    nodes: BTreeMap<Digest, Node>,
    after: HashMap<Option<Digest>, Vec<Digest>>,
}

impl Cache {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let store = invocation.store()?;
        // In ch-image's order.
        if self.reset {
            reset(&store, invocation)?;
        }
        if self.gc {
            gc(&store, invocation)?;
        }
        if self.tree {
            invocation.print(&Tree::read(&store)?.text())?;
        }
        if let Some(path) = &self.dot {
            sink::replace(path, Tree::read(&store)?.dot().as_bytes())?;
        }
        match &self.verb {
            Some(Verb::Tree) => invocation.print(&Tree::read(&store)?.text()),
            Some(Verb::Ls { json }) => list(&store, *json, invocation),
            Some(Verb::Gc) => gc(&store, invocation),
            Some(Verb::Export(export)) => export.run(&store, invocation),
            Some(Verb::Import(import)) => import.run(&store, invocation),
            Some(Verb::Reset { force }) => {
                let question = "WARNING! This deletes all of the build cache and all cache mounts.";
                let question = format!("{question}\nAre you sure?");
                if !force && !ui::confirm(&question).map_err(Error::Stdin)? {
                    invocation.reporter.note("nothing was deleted".to_owned());
                    return Ok(());
                }
                reset(&store, invocation)
            }
            None if self.tree || self.dot.is_some() => Ok(()),
            None => self.summary(&store, invocation),
        }
    }

    fn summary(&self, store: &Store, invocation: &Invocation) -> Result<(), Error> {
        let usage = store.usage()?;
        let count = |kind| usage.pieces.iter().filter(|piece| piece.kind == kind).count();
        let layers = store.cached_steps()?.into_iter().filter(|(_, entry)| entry.layer.is_some());
        let layers = layers.count();
        let unused = usage.freed(|piece| piece.kind == Kind::Step && is_idle(&usage, piece));
        let size = usage.needed(|piece| matches!(piece.kind, Kind::Step | Kind::CacheMount));
        if self.json {
            let all = json!({
                "namedImages": count(Kind::Image),
                "steps": count(Kind::Step),
                "layers": layers,
                "cacheMounts": count(Kind::CacheMount),
                "size": size,
                "reclaimable": unused,
            });
            return invocation.print(&format!("{all:#}\n"));
        }
        invocation.print(&format!(
            "named images:   {}\nsteps:          {}\nlayers:         {layers}\ncache mounts:   {}\n\
             disk used:      {}\nreclaimable:    {}\n",
            count(Kind::Image),
            count(Kind::Step),
            count(Kind::CacheMount),
            bytes(size),
            bytes(unused),
        ))
    }
}

fn list(store: &Store, json: bool, invocation: &Invocation) -> Result<(), Error> {
    let usage = store.usage()?;
    let mut steps: Vec<&Piece> =
        usage.pieces.iter().filter(|piece| piece.kind == Kind::Step).collect();
    steps.sort_by_key(|piece| std::cmp::Reverse(piece.used));
    if json {
        let all: Vec<Value> = steps.iter().map(|piece| step_json(&usage, piece)).collect();
        return invocation.print(&format!("{:#}\n", Value::Array(all)));
    }
    let mut table = Table::new(&["KEY", "SIZE", "LAST USED", "STEP"]);
    let now = Timestamp::from(SystemTime::now());
    for piece in steps {
        let (own, shared) = usage.sizes(piece);
        table.row(vec![
            piece.id.chars().take(12).collect(),
            bytes(own + shared),
            piece.used.map_or_else(String::new, |used| ago(used.into(), now)),
            one_line(&piece.text, WIDTH),
        ]);
    }
    invocation.print(&table.to_string())
}

fn step_json(usage: &Usage, piece: &Piece) -> Value {
    let (own, shared) = usage.sizes(piece);
    json!({
        "key": piece.id,
        "step": piece.text,
        "size": own + shared,
        "reclaimable": is_idle(usage, piece),
        "lastUsed": piece.used.map(|used| Timestamp::from(used).to_string()),
    })
}

fn gc(store: &Store, invocation: &Invocation) -> Result<(), Error> {
    delete(store, invocation, |usage, piece| piece.kind == Kind::Step && is_idle(usage, piece))
}

fn reset(store: &Store, invocation: &Invocation) -> Result<(), Error> {
    delete(store, invocation, |_, piece| matches!(piece.kind, Kind::Step | Kind::CacheMount))
}

fn delete(
    store: &Store,
    invocation: &Invocation,
    is_chosen: impl Fn(&Usage, &Piece) -> bool,
) -> Result<(), Error> {
    let usage = store.usage()?;
    let chosen: Vec<&Piece> =
        usage.pieces.iter().filter(|piece| is_chosen(&usage, piece)).collect();
    let removed = store.delete(&chosen)?;
    match removed.deferred {
        true => Err(crate::store::Error::Busy(store.path().to_owned()).into()),
        false => {
            let freed = bytes(removed.bytes());
            invocation.reporter.note(format!("deleted {} entries, freed {freed}", chosen.len()));
            Ok(())
        }
    }
}

impl Tree {
    fn read(store: &Store) -> Result<Self, Error> {
        let mut nodes: BTreeMap<Digest, Node> = BTreeMap::new();
        for (key, entry) in store.cached_steps()? {
            // What is remembered of files and addresses is no step.
            if entry.said.is_some() {
                nodes.insert(key, Node { entry, names: Vec::new() });
            }
        }
        for image in store.list_refs()? {
            let Name::Tagged(name) = &image.name else { continue };
            let Ok(Content::Image(manifest)) = store.content(&image.descriptor) else { continue };
            let Some(top) = manifest.layers.last() else { continue };
            let made = nodes.values_mut().filter(|node| {
                node.entry.layer.as_ref().is_some_and(|layer| layer.descriptor.digest == top.digest)
            });
            made.for_each(|node| node.names.push(name.familiar()));
        }
        let mut after: HashMap<Option<Digest>, Vec<Digest>> = HashMap::new();
        for (key, node) in &nodes {
            let parent = node.entry.parent.clone().filter(|parent| nodes.contains_key(parent));
            after.entry(parent).or_default().push(key.clone());
        }
        for keys in after.values_mut() {
            keys.sort_by(|a, b| nodes[a].entry.created.cmp(&nodes[b].entry.created));
        }
        Ok(Self { nodes, after })
    }

    fn label(&self, key: &Digest) -> String {
        let node = &self.nodes[key];
        let said = one_line(node.entry.said.as_deref().unwrap_or_default(), WIDTH);
        match node.names.is_empty() {
            true => said,
            false => format!("({}) {said}", node.names.join(", ")),
        }
    }

    /// Branches as tree(1) draws them.
    fn text(&self) -> String {
        let mut text = "(root)\n".to_owned();
        let children = |key: Option<&Digest>| self.after.get(&key.cloned()).map_or(&[][..], |c| c);
        let mut stack: Vec<(String, Digest, bool)> = Vec::new();
        let queue = |stack: &mut Vec<(String, Digest, bool)>, lead: &str, keys: &[Digest]| {
            for (at, key) in keys.iter().enumerate().rev() {
                stack.push((lead.to_owned(), key.clone(), at + 1 == keys.len()));
            }
        };
        queue(&mut stack, "", children(None));
        while let Some((lead, key, is_last)) = stack.pop() {
            let branch = if is_last { "└── " } else { "├── " };
            writeln!(text, "{lead}{branch}{}", self.label(&key)).expect("a String");
            let lead = format!("{lead}{}", if is_last { "    " } else { "│   " });
            queue(&mut stack, &lead, children(Some(&key)));
        }
        text
    }

    fn dot(&self) -> String {
        let mut text =
            "digraph cache {\n  rankdir=LR;\n  node [shape=box, fontname=monospace];\n".to_owned();
        text += "  root [label=\"(root)\"];\n";
        let id = |key: &Digest| format!("s{}", key.short());
        for key in self.nodes.keys() {
            let label = self.label(key).replace('\\', "\\\\").replace('"', "\\\"");
            writeln!(text, "  {} [label=\"{label}\"];", id(key)).expect("a String");
        }
        for (parent, keys) in self.after.iter().collect::<BTreeMap<_, _>>() {
            let from = parent.as_ref().map_or_else(|| "root".to_owned(), id);
            for key in keys {
                writeln!(text, "  {from} -> {};", id(key)).expect("a String");
            }
        }
        text + "}\n"
    }
}
