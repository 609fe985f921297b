//! `bryo inspect`.

use serde_json::{Value, json};

use crate::cli::args;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::image::{Config, Content, Platform, Reference};
use crate::inspect::{Kind, info};
use crate::store::{Name, RefEntry, Store};

/// Show what images are, as JSON
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo inspect app
  bryo inspect --config app | jq .config.Env")]
pub(crate) struct Inspect {
    /// Names, or the beginnings of IDs
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Choose this platform from an index [default: this machine's]
    #[arg(long, value_name = "OS/ARCH", value_parser = args::platform)]
    platform: Option<Platform>,
    /// Show the configuration, byte for byte
    #[arg(long, conflicts_with = "manifest")]
    config: bool,
    /// Show the manifest, byte for byte
    #[arg(long, visible_alias = "raw")]
    manifest: bool,
}

impl Inspect {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let store = invocation.store()?;
        let mut documents = Vec::new();
        let host = Platform::host();
        for name in &self.images {
            let mut entry = store.find(name)?;
            let names = names(&store, &entry)?;
            if let Some(platform) = &self.platform {
                let content = store.content_for(&entry.descriptor, platform)?;
                entry.descriptor = content.descriptor().clone();
            }
            if self.manifest {
                invocation.print_bytes(store.content(&entry.descriptor)?.bytes())?;
            } else if self.config {
                let Content::Image(manifest) = store.content_for(&entry.descriptor, &host)? else {
                    return Err(Error::NotAnImage(name.clone()));
                };
                invocation.print_bytes(&store.read_blob(&manifest.config.digest)?)?;
            } else {
                documents.push(describe(&store, &entry, &names)?);
            }
        }
        match self.manifest || self.config {
            true => Ok(()),
            false => invocation.print(&format!("{:#}\n", Value::Array(documents))),
        }
    }
}

/// Docker's words, so that scripts for `docker inspect` find what they look for.
fn describe(store: &Store, entry: &RefEntry, names: &[Reference]) -> Result<Value, Error> {
    let info = info(store, entry)?;
    let digests: Vec<String> = names
        .iter()
        .map(|name| {
            let digest = entry.index.as_ref().unwrap_or(&entry.descriptor).digest.clone();
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
        "Descriptor": entry.descriptor,
        "Size": info.size,
    });
    if info.kind == Kind::Index {
        document["Manifests"] = json!(info.manifests);
    }
    // What an index has for this machine is told with it, as docker tells it.
    let host = store.content_for(&entry.descriptor, &Platform::host());
    let (config, layers) = match (info.config, host) {
        (Some((_, config)), _) => (config, info.layers),
        (None, Ok(Content::Image(manifest))) => (store.config(&manifest)?, manifest.layers),
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

/// All names of the same thing.
fn names(store: &Store, entry: &RefEntry) -> Result<Vec<Reference>, Error> {
    let same = store.list_refs()?.into_iter();
    Ok(same
        .filter(|other| other.descriptor.digest == entry.descriptor.digest)
        .filter_map(|other| match other.name {
            Name::Tagged(name) => Some(name),
            Name::Anonymous(_) => None,
        })
        .collect())
}
