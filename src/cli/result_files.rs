//! [`ResultFiles`]: files that tell scripts what was built.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Value, json};

use super::config::Config;
use super::error::Error;
use crate::build::{Built, Mode, Options, Provenance};
use crate::image::{Content, Digest, Reference};
use crate::transfer::sink;

#[derive(Debug, clap::Args)]
pub(crate) struct ResultFiles {
    /// Write the image's ID to FILE: the digest of its configuration, or of an index its own
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,
    /// Write the digest of the image's manifest, or of its index, to FILE
    #[arg(long, value_name = "FILE")]
    digest_file: Option<PathBuf>,
    /// Write what was built to FILE, in JSON and with the keys of buildx: containerimage.digest,
    /// containerimage.config.digest, containerimage.descriptor, image.name, buildx.build.ref,
    /// buildx.build.provenance
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,
}

impl ResultFiles {
    /// Removes what an earlier build wrote: after one that fails there is nothing to mistake for its
    /// result.
    pub(crate) fn clear(&self) -> Result<(), Error> {
        for path in [&self.iidfile, &self.digest_file, &self.metadata_file].into_iter().flatten() {
            if fs::symlink_metadata(path).is_ok_and(|found| found.is_file()) {
                fs::remove_file(path).map_err(Error::writing(path))?;
            }
        }
        Ok(())
    }

    /// Writes them, each whole or not at all.
    pub(crate) fn write(
        &self,
        built: &Built,
        names: &[Reference],
        options: &Options,
        config: &Config,
    ) -> Result<(), Error> {
        let digest = &built.descriptor().digest;
        let id = match &built.root {
            Content::Image(manifest) => &manifest.config.digest,
            _ => digest,
        };
        let write = |path: &Option<PathBuf>, text: String| match path {
            Some(path) => replace(path, text.as_bytes()),
            None => Ok(()),
        };
        write(&self.iidfile, id.to_string())?;
        write(&self.digest_file, digest.to_string())?;
        if let Some(path) = &self.metadata_file {
            let mut metadata = metadata(built, names);
            if let Some(mode) = provenance_mode(config) {
                add_provenance(&mut metadata, built, options, mode);
            }
            metadata.sort_all_objects();
            let text = format!("{metadata:#}\n");
            replace(path, text.as_bytes())?;
        }
        Ok(())
    }
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    sink::replace(path, bytes).map_err(|error| match error {
        crate::transfer::Error::Write { source, .. } => Error::Write { path: path.into(), source },
        other => other.into(),
    })
}

/// In the form of `docker buildx build --metadata-file`.
fn metadata(built: &Built, names: &[Reference]) -> Value {
    let descriptor = built.descriptor();
    let mut metadata = json!({
        "buildx.build.ref": format!("bryo/bryo0/{}", build_id(&descriptor.digest)),
        "containerimage.descriptor": descriptor,
        "containerimage.digest": descriptor.digest,
    });
    if let Content::Image(manifest) = &built.root {
        metadata["containerimage.config.digest"] = json!(manifest.config.digest);
        metadata["containerimage.descriptor"]["platform"] = json!(built.images[0].platform);
    }
    if !names.is_empty() {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        metadata["image.name"] = json!(names.join(","));
    }
    metadata
}

/// How much `buildx.build.provenance` tells; None: there is none.
fn provenance_mode(config: &Config) -> Option<Mode> {
    match config.variable("BUILDX_METADATA_PROVENANCE").as_deref() {
        Some("max") => Some(Mode::Max),
        Some("disabled" | "false" | "0") => None,
        // All else is what buildx does anyway.
        _ => Some(Mode::Min),
    }
}

/// Says of each image how it came to be, whether that goes with the image or not.
fn add_provenance(metadata: &mut Value, built: &Built, options: &Options, mode: Mode) {
    let asked = options.attestations.provenance.clone().unwrap_or_default();
    let wish = Provenance { mode, ..asked };
    for image in &built.images {
        let key = match built.has_several_platforms() {
            true => format!("buildx.build.provenance/{}", image.platform),
            false => "buildx.build.provenance".to_owned(),
        };
        metadata[key] = image.provenance(options, &wish);
    }
}

/// Tells this build from all others; in the form of BuildKit's identifiers.
fn build_id(digest: &Digest) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let text = format!("{digest} {} {}", now.as_nanos(), std::process::id());
    let hash = Digest::of(text.as_bytes());
    let mut number = u128::from_str_radix(&hash.hex()[..32], 16).unwrap_or_default();
    let mut id = Vec::new();
    for _ in 0..25 {
        id.push(b"0123456789abcdefghijklmnopqrstuvwxyz"[(number % 36) as usize]);
        number /= 36;
    }
    String::from_utf8_lossy(&id).into_owned()
}
