//! What an image is made of, appended to a file: a line of JSON for each image, with the words of
//! `docker history`, as occystrap's filter `inspect` writes it.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use crate::concurrency::Cancel;
use crate::image::{Config, Content, Manifest, Reference, Timestamp};
use crate::layer::compress::decompress;
use crate::report::{Outcome, Reporter, start};
use crate::transfer::{Blob, Error, Role, Source, read_small};

/// Appends a line for each image of what the source holds.
pub(super) fn record(
    source: &dyn Source,
    file: &Path,
    reporter: &dyn Reporter,
) -> Result<(), Error> {
    let mut lines = Vec::new();
    content(source, &source.root()?, reporter, &mut lines)?;
    let failed = || Error::writing(file.display().to_string());
    let mut file = File::options().append(true).create(true).open(file).map_err(failed())?;
    // At once, so that several writers do not tear each other's lines.
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    file.write_all(text.as_bytes()).map_err(failed())
}

fn content(
    source: &dyn Source,
    content: &Content,
    reporter: &dyn Reporter,
    lines: &mut Vec<Value>,
) -> Result<(), Error> {
    match content {
        Content::Artifact(_) => Ok(()),
        Content::Image(manifest) => {
            lines.push(image(source, manifest, reporter)?);
            Ok(())
        }
        Content::Index(index) => index
            .manifests
            .iter()
            .try_for_each(|entry| self::content(source, &source.manifest(entry)?, reporter, lines)),
    }
}

fn image(
    source: &dyn Source,
    manifest: &Manifest,
    reporter: &dyn Reporter,
) -> Result<Value, Error> {
    let config = Config::parse(&read_small(source, &manifest.config)?)?;
    let name = source.names().first().map_or_else(|| source.name(), Reference::familiar);
    let running = start(reporter, format!("measure {name}"), None);
    let mut sizes = Vec::new();
    for layer in &manifest.layers {
        let cancel = Cancel::default();
        let blob = Blob::new(layer, Role::Other, source, &cancel);
        let blob = blob.watched(&running);
        let mut tar = decompress(blob.open()?).map_err(|error| blob.unreadable(error))?;
        sizes.push(io::copy(&mut tar, &mut io::sink()).map_err(|error| blob.unreadable(error))?);
    }
    running.finish(Outcome::Done);
    let mut sizes = sizes.into_iter();
    let mut layers: Vec<Value> = config
        .history
        .iter()
        .map(|entry| {
            let size = if entry.empty_layer { Some(0) } else { sizes.next() };
            let created = entry.created.as_deref().and_then(|time| time.parse::<Timestamp>().ok());
            json!({
                "Id": "<missing>",
                "Size": size.unwrap_or(0),
                "Created": created.map_or(0, Timestamp::seconds),
                "CreatedBy": entry.created_by.clone().unwrap_or_default(),
                "Comment": entry.comment.clone().unwrap_or_default(),
                "Tags": null,
            })
        })
        .collect();
    // Layers that no history tells of.
    layers.extend(sizes.map(|size| {
        json!({
            "Id": "<missing>", "Size": size, "Created": 0, "CreatedBy": "", "Comment": "",
            "Tags": null,
        })
    }));
    layers.reverse();
    if let Some(newest) = layers.first_mut() {
        newest["Id"] = manifest.config.digest.to_string().into();
        newest["Tags"] = json!([name]);
    }
    Ok(json!({"name": name, "layers": layers}))
}
