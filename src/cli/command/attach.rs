//! `bryo attach`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::args::{self, Login, Network};
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::image::{Algorithm, Content, Descriptor, Hasher, media_type};

/// What says that a configuration is none (image-spec manifest.md, "Guidance for an Empty
/// Descriptor").
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
const EMPTY: &[u8] = b"{}";
/// The annotation with a file's name (image-spec annotations.md).
const TITLE: &str = "org.opencontainers.image.title";

/// Attach files to an image in a registry
///
/// Sends them as an artifact that refers to the image, which does not change: `bryo referrers` shows
/// it. Prints the artifact's digest.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo attach --type application/spdx+json registry.example/team/app:1 sbom.spdx.json
  bryo attach --type text/x-report --annotation by=ci registry.example/team/app:1 report.txt")]
pub(crate) struct Attach {
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Files to attach
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What the artifact is, as a media type
    #[arg(long = "type", value_name = "TYPE")]
    artifact_type: String,
    /// The media type of the files
    #[arg(long, value_name = "TYPE", default_value = "application/octet-stream")]
    media_type: String,
    /// Say something more about the artifact; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = args::full_pair)]
    annotation: Vec<(String, String)>,
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    login: Login,
}

impl Attach {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        for (option, text) in [("--type", &self.artifact_type), ("--media-type", &self.media_type)]
        {
            if !is_media_type(text) {
                let hint = Some("such as application/spdx+json".to_owned());
                let text = format!("{option} {text:?} is no media type");
                return Err(Error::Usage { text, hint });
            }
        }
        let remote = self.network.remote_as(invocation, self.login.given(invocation)?)?;
        let name = remote.reference(&self.image)?;
        let registry = remote.registry(name.registry());
        let subject = remote.head(&name)?;
        let repository = name.repository();
        let mut layers = Vec::new();
        for path in &self.files {
            let descriptor = self.describe(path)?;
            let open = || File::open(path).map(|file| Box::new(file) as Box<dyn Read + Send>);
            registry.upload_blob(repository, &descriptor, &open, None)?;
            layers.push(descriptor);
        }
        let config = Descriptor::of(EMPTY_TYPE, EMPTY);
        let open = || Ok(Box::new(EMPTY) as Box<dyn Read + Send>);
        registry.upload_blob(repository, &config, &open, None)?;
        let subject = Descriptor::new(subject.media_type, subject.digest, subject.size);
        let mut text = json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_MANIFEST,
            "artifactType": self.artifact_type,
            "config": config,
            "layers": layers,
            "subject": subject,
        });
        if !self.annotation.is_empty() {
            let annotations: BTreeMap<_, _> = self.annotation.iter().cloned().collect();
            text["annotations"] = json!(annotations);
        }
        let digest = send(&registry, repository, &text)?;
        invocation.print(&format!("{digest}\n"))
    }

    fn describe(&self, path: &Path) -> Result<Descriptor, Error> {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let mut file = File::open(path).map_err(Error::reading(path))?;
        let mut size = 0;
        let mut buffer = vec![0; 128 * 1024];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    hasher.update(&buffer[..count]);
                    size += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::reading(path)(error)),
            }
        }
        let mut descriptor = Descriptor::new(&self.media_type, hasher.finish(), size);
        let title = path.file_name().map(|name| name.to_string_lossy().into_owned());
        descriptor.annotations = title.map(|title| BTreeMap::from([(TITLE.to_owned(), title)]));
        Ok(descriptor)
    }
}

fn send(
    registry: &crate::registry::Registry,
    repository: &str,
    text: &Value,
) -> Result<crate::image::Digest, Error> {
    let content = Content::parse(text.to_string().into_bytes(), None)?;
    let digest = content.descriptor().digest.clone();
    registry.put_manifest(repository, &digest.to_string(), &content)?;
    Ok(digest)
}

/// `type/subtype` of RFC 6838, without parameters.
fn is_media_type(text: &str) -> bool {
    let word = |word: &str| {
        let first = word.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
        first && word.len() <= 127 && word.bytes().all(allowed)
    };
    text.split_once('/').is_some_and(|(kind, name)| word(kind) && word(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_told_from_other_words() {
        for (text, expected) in [
            ("application/vnd.example.x+json", true),
            ("text/plain", true),
            ("text", false),
            ("text/", false),
            ("/x", false),
            ("a/b/c", false),
            ("a/b; c=d", false),
            ("a/-b", false),
        ] {
            assert_eq!(is_media_type(text), expected, "{text}");
        }
    }
}
