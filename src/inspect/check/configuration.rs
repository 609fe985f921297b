//! What an image's configuration says.

use serde_json::Value;

use super::report::Report;
use super::{Base, Cause, Error, cause, chain};
use crate::image::{Config, Descriptor, Digest, Hasher, Manifest, Platform};
use crate::transfer::{self, Source};

/// The largest configuration that is read, in bytes.
const LARGEST: u64 = 16 << 20;

/// Reads the configuration, and what it is in JSON.
pub(super) fn read(
    source: &dyn Source,
    manifest: &Manifest,
    report: &mut Report,
) -> Result<Option<(Config, Value)>, Error> {
    let descriptor = &manifest.config;
    let Some(size) = source.size(descriptor)? else {
        report.add("missing-blob", format!("the configuration {} is not there", descriptor.digest));
        return Ok(None);
    };
    if size != descriptor.size {
        let text =
            format!("the configuration has {size} bytes, the manifest says {}", descriptor.size);
        report.add("config-size", text);
    }
    if size > LARGEST {
        report.add("config-json", format!("the configuration has {size} bytes"));
        return Ok(None);
    }
    let bytes = match bytes(source, &Descriptor { size, ..descriptor.clone() }) {
        Ok(bytes) => bytes,
        Err(error) => {
            let id = match cause(&error) {
                Cause::Digest => "config-digest",
                Cause::Size => "config-size",
                Cause::Image(_) | Cause::Other if error.is_missing() => "missing-blob",
                Cause::Image(_) | Cause::Other => return Err(error.into()),
            };
            report.add(id, chain(&error));
            return Ok(None);
        }
    };
    let mut hasher = Hasher::new(descriptor.digest.algorithm());
    hasher.update(&bytes);
    let digest = hasher.finish();
    if digest != descriptor.digest {
        let text = format!("the configuration is {digest}, not {}", descriptor.digest);
        report.add("config-digest", text);
    }
    match (Config::parse(&bytes), serde_json::from_slice(&bytes)) {
        (Ok(config), Ok(raw)) => Ok(Some((config, raw))),
        (Err(error), _) => {
            report.add("config-json", chain(&error));
            Ok(None)
        }
        (_, Err(error)) => {
            report.add("config-json", error.to_string());
            Ok(None)
        }
    }
}

fn bytes(source: &dyn Source, descriptor: &Descriptor) -> Result<Vec<u8>, transfer::Error> {
    let mut bytes = Vec::new();
    let failed = |error| transfer::Error::Read {
        digest: descriptor.digest.clone(),
        from: source.name(),
        source: error,
    };
    let input = source.open(descriptor)?;
    std::io::Read::take(input, LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

use std::io::Read as _;

/// Compares it with the manifest and with the index.
pub(super) fn check(
    config: &Config,
    raw: &Value,
    manifest: &Manifest,
    offered: Option<&Platform>,
    report: &mut Report,
) {
    let missing: Vec<&str> = ["architecture", "os"]
        .into_iter()
        .filter(|field| raw[field].as_str().is_none_or(str::is_empty))
        .collect();
    if !missing.is_empty() {
        report.add("config-platform", format!("the configuration lacks {}", missing.join(" and ")));
    }
    if config.rootfs.kind != "layers" {
        report.add("rootfs-type", format!("rootfs.type is {:?}", config.rootfs.kind));
    }
    let (diff_ids, layers) = (config.rootfs.diff_ids.len(), manifest.layers.len());
    if diff_ids != layers {
        let text =
            format!("the configuration tells of {diff_ids} layers, the manifest of {layers}");
        report.add("layer-count", text);
    }
    let made = config.history.iter().filter(|step| !step.empty_layer).count();
    if !config.history.is_empty() && made != layers {
        report.add("history-count", format!("the history made {made} layers, there are {layers}"));
    }
    if config.runtime.args_escaped == Some(true) {
        report.add("args-escaped", "ArgsEscaped is true");
    }
    if let Some(offered) = offered.filter(|offered| offered.os != "unknown") {
        let own = config.platform();
        let same = |a: &Platform, b: &Platform| {
            let (a, b) = (a.normalized(), b.normalized());
            (&a.os, &a.architecture) == (&b.os, &b.architecture)
                // Configurations seldom tell their variant.
                && (a.variant == b.variant || own.variant.is_none())
        };
        if missing.is_empty() && !same(&own, offered) {
            report.add("platform", format!("the index says {offered}, the configuration {own}"));
        }
    }
}

/// Whether the lowest layers are those of the base.
pub(super) fn stands_on(config: &Config, base: &Base, report: &mut Report) {
    let own = &config.rootfs.diff_ids;
    let differs = |(at, expected): (usize, &Digest)| (own.get(at) != Some(expected)).then_some(at);
    let Base { name, diff_ids } = base;
    if let Some(at) = diff_ids.iter().enumerate().find_map(differs) {
        let text = match own.get(at) {
            Some(_) => format!("layer {} is not that of {name} as it is now", at + 1),
            None => format!("{name} has {} layers, this image has {}", diff_ids.len(), own.len()),
        };
        report.add("base", text);
    }
}
