//! `bryo history`.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::cli::anywhere::Anywhere;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::listing::Listing;
use crate::cli::table::{Table, ago, bytes, one_line};
use crate::image::{Digest, Timestamp};
use crate::inspect::{Step, steps};

/// Show how an image was made, the last step first
///
/// The image may be anywhere, as for `bryo inspect`; its layers are not read. A layer's size is that
/// of its blob: compressed. With --quiet only the image's ID is printed, for its last step, and
/// `<missing>` for the others, as docker has it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo history app
  bryo history --format '{{.Size}} {{.CreatedBy}}' app
  bryo history --no-trunc registry.example/team/app:1")]
pub(crate) struct History {
    /// A name, the beginning of an ID, or a place
    image: String,
    /// Show long steps whole
    #[arg(long)]
    no_trunc: bool,
    /// As docker prints lists: table, json, or a template of Go for each step, such as
    /// '{{.CreatedBy}}' or 'table {{.Size}}\t{{.CreatedBy}}'
    #[arg(long, value_name = "FORMAT", conflicts_with = "json")]
    format: Option<Listing>,
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
        let now = Timestamp::from(SystemTime::now());
        let id = &resolved.manifest.config.digest;
        let ids = std::iter::once(Some(id)).chain(std::iter::repeat(None));
        let rows: Vec<Value> =
            steps.iter().zip(ids).map(|(step, id)| self.fields(step, id, now)).collect();
        if let Some(text) =
            self.format.as_ref().map(|format| format.of(&rows)).transpose()?.flatten()
        {
            return invocation.print(&text);
        }
        let cell = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
        if invocation.quiet {
            let lines = rows.iter().map(|row| cell(row, "ID") + "\n");
            return invocation.print(&lines.collect::<String>());
        }
        let mut table = Table::new(&["CREATED", "CREATED BY", "SIZE", "COMMENT"]);
        for (row, step) in rows.iter().zip(&steps) {
            let size = if step.layer.is_some() { cell(row, "Size") } else { "-".to_owned() };
            let cells = ["CreatedSince", "CreatedBy"].map(|name| cell(row, name));
            table.row(cells.into_iter().chain([size, cell(row, "Comment")]).collect());
        }
        invocation.print(&table.to_string())
    }

    /// What docker's templates call the parts of a step.
    fn fields(&self, step: &Step<'_>, id: Option<&Digest>, now: Timestamp) -> Value {
        let Step { history, layer } = step;
        let created = history.created.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
        let id = id.map(|id| if self.no_trunc { id.to_string() } else { id.short().to_owned() });
        json!({
            "ID": id.unwrap_or_else(|| "<missing>".to_owned()),
            "CreatedSince": created.map_or_else(String::new, |created| ago(created, now)),
            "CreatedAt": created.map(|created| created.to_string()).unwrap_or_default(),
            "CreatedBy": self.shown(history.created_by.as_deref().unwrap_or_default()),
            "Size": bytes(layer.map_or(0, |layer| layer.size)),
            "Comment": history.comment.clone().unwrap_or_default(),
        })
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
