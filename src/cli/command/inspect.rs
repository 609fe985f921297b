//! `bryo inspect`.

use serde_json::{Map, Value, json};

use crate::cli::anywhere::{Anywhere, Found, Places};
use crate::cli::batch;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::table::{bytes, plain};
use crate::cli::template::Template;
use crate::image::{Config, Content, Descriptor, Index, Platform, Reference};
use crate::inspect::{Info, Kind, info_of, summary};
use crate::store::{Name, RefEntry, Store};
use crate::transfer;

/// Show what images are, as JSON
///
/// From wherever they are, without their layers: an image here, else in the registry that its name
/// means; or oci:DIR, oci-archive:FILE, docker-archive:FILE, registry:NAME, store:NAME; or the path of
/// an archive or a layout with a slash in it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo inspect app
  bryo inspect --config app | jq .config.Env
  bryo inspect --format '{{.Architecture}} {{json .Config.Cmd}}' registry.example/team/app:1
  bryo inspect --summary oci:layout:v1")]
pub(crate) struct Inspect {
    /// Names, the beginnings of IDs, or places
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Show the configuration, byte for byte
    #[arg(long, group = "form")]
    config: bool,
    /// Show the manifest, byte for byte; an index as it is, unless --platform chooses from it
    #[arg(long, visible_alias = "raw", group = "form")]
    manifest: bool,
    /// Show what most people ask, in lines
    #[arg(long, group = "form")]
    summary: bool,
    /// Show every image of an index
    #[arg(long, conflicts_with_all = ["config", "manifest", "platform"])]
    all_platforms: bool,
    /// As a JSON array (what is done without it too); with --summary, as occystrap's `info` has it
    #[arg(long)]
    json: bool,
    /// Fill in a template of Go instead, once for each image; {{json .X}} and range are known
    #[arg(short, long, value_name = "TEMPLATE", conflicts_with_all = ["form", "json"])]
    format: Option<Template>,
    #[command(flatten)]
    anywhere: Anywhere,
}

/// An image, an index or an artifact that is to be shown.
struct Shown {
    content: Content,
    /// What it was chosen from.
    index: Option<Index>,
}

impl Inspect {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let places = self.anywhere.places(invocation)?;
        let mut documents = Vec::new();
        let outcome = batch::each(&self.images, |text| {
            let found = places.find(text)?;
            let root = found.root()?;
            if self.manifest {
                let content = match &places.platform {
                    Some(platform) => narrowed(&found, root, platform)?.content,
                    None => root,
                };
                return invocation.print_bytes(content.bytes());
            }
            if self.config {
                let resolved = found.resolve(&places.options(), invocation)?;
                return invocation.print_bytes(resolved.config_bytes());
            }
            let names = names(&places.store, &found)?;
            for shown in self.shown(&found, root, &places)? {
                documents.push(match self.summary {
                    true => summary_of(&found, shown, text)?,
                    false => describe(&found, shown, &names)?,
                });
            }
            Ok(())
        });
        if !self.manifest && !self.config {
            self.print(invocation, documents)?;
        }
        outcome
    }

    fn print(&self, invocation: &Invocation, documents: Vec<Value>) -> Result<(), Error> {
        if let Some(template) = &self.format {
            for document in &documents {
                let filled = template.fill(document).map_err(|problem| {
                    let hint = Some("bryo inspect without --format shows all fields".to_owned());
                    Error::Usage { text: format!("--format: {problem}"), hint }
                })?;
                invocation.print(&format!("{filled}\n"))?;
            }
            return Ok(());
        }
        if self.summary && !self.json {
            let texts: Vec<String> = documents.iter().map(summary_text).collect();
            return invocation.print(&texts.join("\n"));
        }
        invocation.print(&format!("{:#}\n", Value::Array(documents)))
    }

    /// What of `root` there is to be shown.
    fn shown(
        &self,
        found: &Found<'_>,
        root: Content,
        places: &Places,
    ) -> Result<Vec<Shown>, Error> {
        let index = match root {
            Content::Index(index) => index,
            content => return Ok(vec![Shown { content, index: None }]),
        };
        if self.all_platforms {
            let mut all = Vec::new();
            for descriptor in &index.manifests {
                let content = found.source.manifest(descriptor);
                let content = content.map_err(|error| found.failed(error))?;
                all.push(Shown { content, index: Some(index.clone()) });
            }
            return Ok(all);
        }
        if let Some(platform) = &places.platform {
            return Ok(vec![narrowed(found, Content::Index(index), platform)?]);
        }
        // Here all of it is at hand; elsewhere one image is enough to be asked for.
        if found.entry.is_some() && !self.summary {
            return Ok(vec![Shown { content: Content::Index(index), index: None }]);
        }
        match narrowed(found, Content::Index(index.clone()), &Platform::host()) {
            Ok(shown) => Ok(vec![shown]),
            Err(Error::Transfer(transfer::Error::Image(_))) => {
                Ok(vec![Shown { content: Content::Index(index), index: None }])
            }
            Err(error) => Err(error),
        }
    }
}

fn narrowed(found: &Found<'_>, content: Content, platform: &Platform) -> Result<Shown, Error> {
    let Content::Index(index) = content else { return Ok(Shown { content, index: None }) };
    let content = transfer::narrow(&*found.source, &index, platform);
    Ok(Shown { content: content.map_err(|error| found.failed(error))?, index: Some(index) })
}

/// Docker's words, so that scripts for `docker inspect` find what they look for.
fn describe(found: &Found<'_>, shown: Shown, names: &[Reference]) -> Result<Value, Error> {
    let source = &*found.source;
    let Shown { content, index } = shown;
    let descriptor = content.descriptor().clone();
    let whole = match (&index, &found.entry) {
        (Some(index), _) => Some(index.descriptor.clone()),
        (None, Some(entry)) => entry.index.clone(),
        (None, None) => None,
    };
    // What an index has for this machine is told with it, as docker tells it.
    let host = match &content {
        Content::Index(index) => transfer::narrow(source, index, &Platform::host()).ok(),
        _ => None,
    };
    let failed = |error| found.failed(error);
    let info = match (&content, found.entry.is_some()) {
        // Elsewhere its images are not asked for.
        (Content::Index(index), false) => Info::of_index_alone(index),
        _ => info_of(source, content, whole.clone()).map_err(failed)?,
    };
    let digests: Vec<String> = names
        .iter()
        .map(|name| {
            let digest = whole.as_ref().unwrap_or(&descriptor).digest.clone();
            name.with_digest(digest).familiar()
        })
        .collect();
    let tags: Vec<String> =
        names.iter().filter(|name| name.tag().is_some()).map(Reference::familiar).collect();
    let mut document = json!({
        "Id": info.id(),
        "Kind": info.kind,
        "RepoTags": tags,
        "RepoDigests": digests,
        "Descriptor": descriptor,
        "Size": info.size,
    });
    if info.kind == Kind::Index {
        document["Manifests"] = json!(info.manifests);
    } else if let Some(index) = &index {
        document["Index"] = json!(index.descriptor);
        document["Manifests"] = json!(index.manifests);
    }
    let (config, layers) = match (info.config, host) {
        (Some((_, config)), _) => (config, info.layers),
        (None, Some(host @ Content::Image(_))) => {
            let info = info_of(source, host, None).map_err(failed)?;
            let Some((_, config)) = info.config else { return Ok(document) };
            (config, info.layers)
        }
        (None, _) => return Ok(document),
    };
    let Config { created, author, architecture, os, variant, runtime, rootfs, .. } = config;
    let more = json!({
        "Created": created,
        "Author": author,
        "Architecture": architecture,
        "Os": os,
        "Variant": variant,
        "Config": runtime,
        "RootFS": { "Type": rootfs.kind, "Layers": rootfs.diff_ids },
        "Layers": layers,
    });
    if let (Value::Object(document), Value::Object(more)) = (&mut document, more) {
        document.extend(more);
    }
    Ok(document)
}

fn summary_of(found: &Found<'_>, shown: Shown, text: &str) -> Result<Value, Error> {
    let Shown { content, index } = shown;
    let index: Option<Descriptor> = index.map(|index| index.descriptor);
    let info = match &content {
        Content::Index(index) => Info::of_index_alone(index),
        _ => info_of(&*found.source, content, index).map_err(|error| found.failed(error))?,
    };
    let name = found.source.names().into_iter().next();
    Ok(summary(&info, name.as_ref(), text))
}

/// The fields of a summary, in lines.
fn summary_text(document: &Value) -> String {
    const INDENT: usize = 16;
    let mut text = String::new();
    let empty = Map::new();
    for (name, value) in document.as_object().unwrap_or(&empty) {
        let title = name.replace('_', " ");
        let lines: Vec<String> = match value {
            Value::Null => continue,
            Value::Array(items) if items.is_empty() => continue,
            Value::Object(fields) if fields.is_empty() => continue,
            Value::String(text) if text.is_empty() => continue,
            Value::String(text) => vec![text.clone()],
            Value::Array(items) if name == "layers" => items.iter().map(layer_line).collect(),
            Value::Array(items) if matches!(name.as_str(), "entrypoint" | "cmd") => {
                vec![Value::Array(items.clone()).to_string()]
            }
            Value::Array(items) => items
                .iter()
                .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
                .collect(),
            Value::Object(fields) => fields
                .iter()
                .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
                .collect(),
            other => vec![other.to_string()],
        };
        for (at, line) in lines.into_iter().enumerate() {
            let title = if at == 0 { &*title } else { "" };
            text.push_str(&format!("{title:INDENT$} {}\n", plain(&line)));
        }
    }
    text
}

fn layer_line(layer: &Value) -> String {
    let text = |name: &str| layer[name].as_str().unwrap_or_default().to_owned();
    let size = layer["size"].as_u64().map_or_else(String::new, bytes);
    format!("{} {size} {} {}", text("digest"), text("compression"), text("created_by"))
}

/// All names of the same thing.
fn names(store: &Store, found: &Found<'_>) -> Result<Vec<Reference>, Error> {
    let Some(entry) = &found.entry else { return Ok(found.source.names()) };
    let same = |other: &RefEntry| other.descriptor.digest == entry.descriptor.digest;
    let all = store.list_refs()?.into_iter().filter(same);
    Ok(all
        .filter_map(|other| match other.name {
            Name::Tagged(name) => Some(name),
            Name::Anonymous(_) => None,
        })
        .collect())
}
