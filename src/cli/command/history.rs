//! `bryo history`.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::cli::anywhere::Anywhere;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::table::{Table, ago, bytes, one_line};
use crate::image::Timestamp;
use crate::inspect::{Step, steps};

/// Show how an image was made, the last step first
///
/// The image may be anywhere, as for `bryo inspect`; its layers are not read. A layer's size is that
/// of its blob: compressed.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo history app
  bryo history --no-trunc registry.example/team/app:1")]
pub(crate) struct History {
    /// A name, the beginning of an ID, or a place
    image: String,
    /// Show long steps whole
    #[arg(long)]
    no_trunc: bool,
    /// As a JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    anywhere: Anywhere,
}

/// That many characters of a step are shown.
const WIDTH: usize = 60;

impl History {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let places = self.anywhere.places(invocation)?;
        let found = places.find(&self.image)?;
        let resolved = found.resolve(&places.options(), invocation)?;
        let mut steps = steps(&resolved.config, &resolved.manifest.layers);
        steps.reverse();
        if self.json {
            let steps: Vec<Value> = steps.iter().map(describe).collect();
            return invocation.print(&format!("{:#}\n", Value::Array(steps)));
        }
        let mut table = Table::new(&["CREATED", "CREATED BY", "SIZE", "COMMENT"]);
        let now = Timestamp::from(SystemTime::now());
        for Step { history, layer } in steps {
            let created = history.created.as_deref().and_then(|text| text.parse().ok());
            table.row(vec![
                created.map_or_else(String::new, |created| ago(created, now)),
                self.shown(history.created_by.as_deref().unwrap_or_default()),
                layer.map_or_else(|| "-".to_owned(), |layer| bytes(layer.size)),
                history.comment.clone().unwrap_or_default(),
            ]);
        }
        invocation.print(&table.to_string())
    }

    /// A step in one line.
    fn shown(&self, text: &str) -> String {
        one_line(text, if self.no_trunc { usize::MAX } else { WIDTH })
    }
}

fn describe(step: &Step<'_>) -> Value {
    let Step { history, layer } = step;
    json!({
        "created": history.created,
        "createdBy": history.created_by,
        "author": history.author,
        "comment": history.comment,
        "size": layer.map_or(0, |layer| layer.size),
        "layer": layer.map(|layer| &layer.digest),
    })
}
