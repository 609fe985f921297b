//! What most people ask of an image, in one document.

use serde_json::{Value, json};

use super::{Info, Kind, steps};
use crate::image::{Config, Reference};
use crate::layer::compress::Compression;

/// An image's facts under occystrap's names (its `info`), without any layer's bytes. `text` is what
/// the image was asked for by, where nothing knows a name.
pub fn summary(info: &Info, name: Option<&Reference>, text: &str) -> Value {
    let image = name.map_or_else(|| text.to_owned(), Reference::familiar_repository);
    let mut document = json!({
        "image": image,
        "tag": name.and_then(Reference::tag),
        "kind": info.kind,
        "digest": info.manifest.digest,
        "index_digest": info.index.as_ref().map(|index| &index.digest),
        "schema_version": 2,
        "media_type": info.manifest.media_type,
    });
    if info.kind == Kind::Index {
        let platform = |entry: &crate::image::Descriptor| {
            let platform = entry.platform.as_ref().map_or("-".to_owned(), ToString::to_string);
            format!("{} {platform}", entry.digest)
        };
        document["manifests"] = info.manifests.iter().map(platform).collect();
        return document;
    }
    let Some((id, config)) = &info.config else { return document };
    let Config { created, architecture, os, variant, runtime, rootfs, history, .. } = config;
    let makers = steps(config, &info.layers);
    let layers: Vec<Value> = info
        .layers
        .iter()
        .enumerate()
        .map(|(at, layer)| {
            let own =
                |step: &&super::Step<'_>| step.layer.is_some_and(|made| std::ptr::eq(made, layer));
            let maker = makers.iter().find(own);
            let compression = match Compression::of_media_type(&layer.media_type) {
                Compression::None => "none",
                Compression::Gzip { .. } => "gzip",
                Compression::Zstd { .. } => "zstd",
            };
            json!({
                "index": at,
                "digest": layer.digest,
                "size": layer.size,
                "media_type": layer.media_type,
                "compression": compression,
                "diff_id": rootfs.diff_ids.get(at),
                "created_by": maker.and_then(|step| step.history.created_by.as_ref()),
            })
        })
        .collect();
    let more = json!({
        "config_digest": id,
        "layer_count": info.layers.len(),
        "total_compressed_size": info.layers.iter().map(|layer| layer.size).sum::<u64>(),
        "layers": layers,
        "architecture": architecture,
        "os": os,
        "variant": variant,
        "created": created,
        "diff_ids": rootfs.diff_ids,
        "history_count": history.len(),
        "empty_layer_count": history.iter().filter(|step| step.empty_layer).count(),
        "labels": runtime.labels,
        "env": runtime.env,
        "entrypoint": runtime.entrypoint,
        "cmd": runtime.cmd,
        "user": runtime.user,
        "working_dir": runtime.working_dir,
        "exposed_ports": runtime.exposed_ports.keys().collect::<Vec<_>>(),
        "volumes": runtime.volumes.keys().collect::<Vec<_>>(),
    });
    if let (Value::Object(document), Value::Object(more)) = (&mut document, more) {
        document.extend(more);
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Descriptor, Digest, History, RootFs, media_type};

    #[test]
    fn layers_are_told_with_what_made_them() {
        let layer = Descriptor::of(media_type::OCI_LAYER_ZSTD, b"layer");
        let history = |by: &str, empty_layer| History {
            created_by: Some(by.to_owned()),
            empty_layer,
            ..History::default()
        };
        let config = Config {
            rootfs: RootFs { diff_ids: vec![Digest::of(b"tar")], ..RootFs::default() },
            history: vec![history("ENV A", true), history("RUN b", false)],
            ..Config::default()
        };
        let info = Info {
            kind: Kind::Image,
            manifest: Descriptor::of(media_type::OCI_MANIFEST, b"manifest"),
            index: None,
            config: Some((Digest::of(b"config"), config)),
            layers: vec![layer],
            manifests: Vec::new(),
            configs: Vec::new(),
            size: 5,
        };
        let name = "host.example/a/b:1".parse().expect("a name");
        let document = summary(&info, Some(&name), "x");
        assert_eq!(
            (&document["image"], &document["tag"]),
            (&json!("host.example/a/b"), &json!("1"))
        );
        assert_eq!(document["layers"][0]["created_by"], "RUN b");
        assert_eq!(document["layers"][0]["compression"], "zstd");
        assert_eq!(document["empty_layer_count"], 1);
        assert_eq!(summary(&info, None, "oci:d")["image"], "oci:d");
    }
}
