//! `bryo find`.

use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::anywhere::{Anywhere, Found};
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::status::Status;
use crate::cli::table::plain;
use crate::image::Descriptor;
use crate::inspect::{Hit, Merged, Wanted, find_in_layers, find_merged, list_all};

/// Look for files in an image by their names
///
/// The pattern is that of a shell (`*` stands for slashes too), and must be the whole path or the
/// file's name. The image may be anywhere, as for `bryo inspect`; its layers are read as they come, and
/// are not kept. Exits with 1 when nothing is found.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo find app '*.pyc'
  bryo find --merged --regex registry.example/team/app:1 '^etc/.*\\.conf$'")]
pub(crate) struct Find {
    /// A name, the beginning of an ID, or a place
    image: String,
    pattern: String,
    /// The pattern is a regular expression, which matches anywhere in a path or a name
    #[arg(long)]
    regex: bool,
    /// Look at the files that a container sees
    #[arg(long, conflicts_with = "all_layers")]
    merged: bool,
    /// Look at each layer by itself, what others hide and deletions included (what is done without
    /// it too)
    #[arg(long)]
    all_layers: bool,
    /// Print IMAGE:TAG:LAYER:PATH for each file; a deletion has the name that it has in the layer, as
    /// in `etc/.wh.gone`
    #[arg(long, conflicts_with = "json")]
    script_friendly: bool,
    /// As a JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    anywhere: Anywhere,
}

impl Find {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<ExitCode, Error> {
        let wanted = Wanted::new(&self.pattern, self.regex)?;
        let places = self.anywhere.places(invocation)?;
        let found = places.find(&self.image)?;
        let resolved = found.resolve(&places.options(), invocation)?;
        let layers = &resolved.manifest.layers;
        let listings = list_all(&*found.source, layers, invocation.jobs().layers)
            .map_err(|error| found.failed_to_inspect(error))?;
        let hits = match self.merged {
            true => find_merged(&Merged::of(listings), &wanted),
            false => find_in_layers(&listings, &wanted),
        };
        if self.json {
            let hits: Vec<Value> = hits.iter().map(|hit| document(hit, layers)).collect();
            invocation.print(&format!("{:#}\n", Value::Array(hits)))?;
        } else if self.script_friendly {
            invocation.print(&self.lines(&hits, layers, &found))?;
        } else {
            invocation.print(&self.text(&hits, layers))?;
            let mut in_layers: Vec<usize> = hits.iter().map(|hit| hit.index).collect();
            in_layers.sort_unstable();
            in_layers.dedup();
            invocation.reporter.note(match hits.len() {
                0 => "nothing matches".to_owned(),
                count => format!("{count} found in {} layers", in_layers.len()),
            });
        }
        match hits.is_empty() {
            true => Ok(Status::FAILED.into()),
            false => Ok(ExitCode::SUCCESS),
        }
    }

    fn text(&self, hits: &[Hit], layers: &[Descriptor]) -> String {
        let mut text = String::new();
        let mut last = None;
        for hit in hits {
            if !self.merged && last != Some(hit.index) {
                text.push_str(&format!("Layer: {}\n", layers[hit.index].digest.hex()));
                last = Some(hit.index);
            }
            let indent = if self.merged { "" } else { "  " };
            let path = shown(&hit.path);
            let line = match (&hit.link, hit.kind) {
                (Some(link), kind) => format!("{path} -> {} ({kind})", shown(link)),
                (None, "file") => format!("{path} (file, {} bytes)", hit.size),
                (None, kind) => format!("{path} ({kind})"),
            };
            text.push_str(&format!("{indent}{line}\n"));
        }
        text
    }

    fn lines(&self, hits: &[Hit], layers: &[Descriptor], found: &Found<'_>) -> String {
        let name = found.source.names().into_iter().next();
        let name = match &name {
            Some(name) => format!("{}:{}", name.familiar_repository(), name.target()),
            None => self.image.clone(),
        };
        let line = |hit: &Hit| {
            let path = match hit.kind {
                "whiteout" => {
                    let gone = hit.path.file_name().unwrap_or_default().to_string_lossy();
                    hit.path.with_file_name(format!(".wh.{gone}"))
                }
                "opaque whiteout" => hit.path.join(".wh..wh..opq"),
                _ => hit.path.clone(),
            };
            format!("{name}:{}:{}\n", layers[hit.index].digest.hex(), shown(&path))
        };
        hits.iter().map(line).collect()
    }
}

fn document(hit: &Hit, layers: &[Descriptor]) -> Value {
    let mut document = json!({ "layer": layers[hit.index].digest });
    if let (Value::Object(document), Value::Object(own)) = (&mut document, json!(hit)) {
        document.extend(own);
    }
    document
}

fn shown(path: &Path) -> String {
    plain(&path.to_string_lossy()).into_owned()
}
