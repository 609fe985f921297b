//! Images that are wrong in one way each, as OCI layouts.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use bryo::image::Digest;
use bryo::layer::compress::{Compression, Compressor};
use serde_json::{Value, json};

const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An archive in the making, entry by entry; nothing is checked.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tar(Vec<u8>);

impl Tar {
    /// An entry with any header.
    pub(crate) fn entry(
        mut self,
        path: &str,
        flag: u8,
        mode: u32,
        mtime: i64,
        link: &str,
        content: &[u8],
    ) -> Self {
        let mut header = [0_u8; 512];
        header[..path.len()].copy_from_slice(path.as_bytes());
        header[100..108].copy_from_slice(format!("{mode:07o}\0").as_bytes());
        for at in [108, 116] {
            header[at..at + 8].copy_from_slice(b"0000000\0");
        }
        header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        if (0..=0o7_777_777_777).contains(&mtime) {
            header[136..148].copy_from_slice(format!("{mtime:011o}\0").as_bytes());
        } else {
            // GNU's binary numbers.
            header[136..140].fill(if mtime < 0 { 0xff } else { 0 });
            header[140..148].copy_from_slice(&mtime.to_be_bytes());
            header[136] |= 0x80;
        }
        header[156] = flag;
        header[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&header);
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, path: &str, content: &str) -> Self {
        self.entry(path, b'0', 0o644, 1_700_000_000, "", content.as_bytes())
    }

    pub(crate) fn mode(self, path: &str, mode: u32) -> Self {
        self.entry(path, b'0', mode, 1_700_000_000, "", b"x")
    }

    pub(crate) fn dir(self, path: &str) -> Self {
        self.entry(path, b'5', 0o755, 1_700_000_000, "", b"")
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(path, b'2', 0o777, 1_700_000_000, target, b"")
    }

    pub(crate) fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(path, b'1', 0o644, 1_700_000_000, target, b"")
    }

    /// An extended header for the next entry.
    pub(crate) fn pax(self, key: &str, value: &[u8]) -> Self {
        let rest = key.len() + value.len() + 3;
        let length = (rest..).find(|all| *all == rest + all.to_string().len()).expect("a length");
        let mut record = format!("{length} {key}=").into_bytes();
        record.extend_from_slice(value);
        record.push(b'\n');
        self.entry("pax", b'x', 0o644, 0, "", &record)
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

/// A sound layer.
pub(crate) fn plain() -> Tar {
    Tar::default().dir("etc/").file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut compressor =
        Compressor::new(Vec::new(), Compression::GZIP, 1).expect("a Vec takes all");
    compressor.write_all(bytes).expect("a Vec takes all");
    compressor.finish().expect("a Vec takes all")
}

/// An image before it is written: sound, until somebody changes something.
pub(crate) struct Image {
    /// The layers' blobs and what they unpack to.
    pub(crate) layers: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) config: fn(&mut Value),
    pub(crate) manifest: fn(&mut Value),
    pub(crate) index: fn(&mut Value),
}

impl Image {
    pub(crate) fn of(tars: Vec<Tar>) -> Self {
        let layers = tars.into_iter().map(Tar::finish).map(|tar| (gzip(&tar), tar)).collect();
        let same: fn(&mut Value) = |_| {};
        Self { layers, config: same, manifest: same, index: same }
    }

    /// Writes a layout; gives the digests of the manifest, the configuration and the layers.
    pub(crate) fn write(&self, folder: &Path) -> Vec<String> {
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).expect("a folder");
        let put = |bytes: &[u8]| {
            let digest = Digest::of(bytes);
            fs::write(blobs.join(digest.hex()), bytes).expect("a blob");
            digest.to_string()
        };
        let diff_ids: Vec<String> =
            self.layers.iter().map(|(_, tar)| Digest::of(tar).to_string()).collect();
        let mut config = json!({
            "architecture": "amd64", "os": "linux", "config": { "Cmd": ["sh"], "Env": ["A=1"] },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": diff_ids.iter().map(|_| json!({ "created_by": "made" })).collect::<Vec<_>>(),
        });
        (self.config)(&mut config);
        let config = config.to_string();
        let config_digest = put(config.as_bytes());
        let layers: Vec<Value> = self
            .layers
            .iter()
            .map(|(blob, _)| json!({ "mediaType": GZIP, "digest": put(blob), "size": blob.len() }))
            .collect();
        let mut all = vec![config_digest.clone()];
        all.extend(layers.iter().map(|layer| layer["digest"].as_str().expect("text").to_owned()));
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": { "mediaType": CONFIG, "digest": config_digest, "size": config.len() },
            "layers": layers,
        });
        (self.manifest)(&mut manifest);
        let manifest = manifest.to_string();
        let digest = put(manifest.as_bytes());
        all.insert(0, digest.clone());
        let mut index = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{
                "mediaType": MANIFEST, "digest": digest, "size": manifest.len(),
                "platform": { "os": "linux", "architecture": "amd64" },
            }],
        });
        (self.index)(&mut index);
        let inner = index.to_string();
        let digest = put(inner.as_bytes());
        let outer = json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest,
                "size": inner.len(),
                "annotations": { "org.opencontainers.image.ref.name": "v1" },
            }],
        });
        fs::write(folder.join("index.json"), outer.to_string()).expect("an index");
        let layout = r#"{"imageLayoutVersion":"1.0.0"}"#;
        fs::write(folder.join("oci-layout"), layout).expect("a layout");
        all
    }
}

/// What is wrong with an image, the check that finds it, and how bad that is.
pub(crate) type Row = (&'static str, &'static str, &'static str, Image);

/// One image for each thing that can be wrong.
pub(crate) fn all() -> Vec<Row> {
    let one = |tar: Tar| Image::of(vec![tar]);
    let blob = |blob: Vec<u8>, tar: Vec<u8>| Image { layers: vec![(blob, tar)], ..one(plain()) };
    let (tar, zipped) = (plain().finish(), gzip(&plain().finish()));
    let changed = |config, manifest, index| Image { config, manifest, index, ..one(plain()) };
    let same: fn(&mut Value) = |_| {};
    let config = |change| changed(change, same, same);
    let manifest = |change| changed(same, change, same);
    let index = |change| changed(same, same, change);
    vec![
        (
            "a wrong diff ID",
            "diff-id",
            "error",
            config(|c| c["rootfs"]["diff_ids"][0] = json!(format!("sha256:{}", "1".repeat(64)))),
        ),
        (
            "a wrong size of a layer",
            "layer-size",
            "error",
            manifest(|m| m["layers"][0]["size"] = json!(7)),
        ),
        (
            "a larger size of a layer",
            "layer-size",
            "error",
            manifest(|m| m["layers"][0]["size"] = json!(70_000)),
        ),
        (
            "a wrong size of the configuration",
            "config-size",
            "error",
            manifest(|m| m["config"]["size"] = json!(7)),
        ),
        (
            "a history of two layers",
            "history-count",
            "error",
            config(|c| c["history"] = json!([{}, {}])),
        ),
        (
            "two diff IDs",
            "layer-count",
            "error",
            config(|c| {
                let one = c["rootfs"]["diff_ids"][0].clone();
                c["rootfs"]["diff_ids"] = json!([one, one]);
            }),
        ),
        ("a path twice", "duplicate-path", "error", one(plain().file("etc/passwd", "again"))),
        (
            "a path out of the image",
            "path-escape",
            "error",
            one(plain().file("../../ESCAPED", "x")),
        ),
        ("an absolute path", "absolute-path", "warning", one(plain().file("/etc/motd", "x"))),
        (
            "a hard link to nothing",
            "hard-link",
            "error",
            one(plain().hard_link("etc/h", "etc/none")),
        ),
        ("a file in a file", "path-in-file", "error", one(plain().file("etc/passwd/x", "x"))),
        (
            "a file behind links in a circle",
            "path-in-file",
            "error",
            one(plain().symlink("a", "b").symlink("b", "a").file("a/x", "x")),
        ),
        ("a hard link to a directory", "hard-link", "error", one(plain().hard_link("h", "etc"))),
        (
            "a file behind a link to nothing",
            "path-through-link",
            "warning",
            one(plain().symlink("lnk", "/none").file("lnk/x", "x")),
        ),
        (
            "a file behind a link",
            "path-through-link",
            "warning",
            one(plain().symlink("lnk", "/etc").file("lnk/x", "x")),
        ),
        ("a plain tar called gzip", "layer-compression", "error", blob(tar.clone(), tar.clone())),
        (
            "a gzip that is cut off",
            "layer-seekable",
            "error",
            blob(zipped[..zipped.len() - 20].to_vec(), tar.clone()),
        ),
        ("no tar at all", "tar-format", "error", blob(gzip(&[b'x'; 2048]), vec![b'x'; 2048])),
        (
            "a tar that is cut off",
            "tar-format",
            "error",
            blob(gzip(&tar[..1040]), tar[..1040].to_vec()),
        ),
        (
            "no os and no architecture",
            "config-platform",
            "error",
            config(|c| {
                c["os"] = json!("");
                drop(c.as_object_mut().expect("an object").remove("architecture"));
            }),
        ),
        (
            "a strange rootfs.type",
            "rootfs-type",
            "error",
            config(|c| c["rootfs"]["type"] = json!("squares")),
        ),
        (
            "a deletion of what is not there",
            "whiteout-target",
            "info",
            one(plain().file("etc/.wh.none", "")),
        ),
        ("a deletion of no name", "whiteout", "error", one(plain().file("etc/.wh.", ""))),
        (
            "a deletion with content",
            "whiteout-size",
            "warning",
            one(plain().file("etc/.wh.none", "x")),
        ),
        (
            "an unknown type of a layer",
            "layer-media-type",
            "warning",
            manifest(|m| m["layers"][0]["mediaType"] = json!("application/x-mine+gzip")),
        ),
        (
            "a time before 1970",
            "tar-timestamp",
            "warning",
            one(plain().entry("old", b'0', 0o644, -5, "", b"")),
        ),
        (
            "a time in the year 5138",
            "tar-timestamp",
            "warning",
            one(plain().entry("new", b'0', 0o644, 100_000_000_000, "", b"")),
        ),
        (
            "another platform in the index",
            "platform",
            "error",
            index(|i| i["manifests"][0]["platform"]["architecture"] = json!("arm64")),
        ),
        (
            "another type in the index",
            "manifest-media-type",
            "error",
            index(|i| {
                i["manifests"][0]["mediaType"] =
                    json!("application/vnd.docker.distribution.manifest.v2+json");
            }),
        ),
        (
            "another size in the index",
            "manifest-size",
            "error",
            index(|i| i["manifests"][0]["size"] = json!(7)),
        ),
        ("schema 3", "schema-version", "error", manifest(|m| m["schemaVersion"] = json!(3))),
        (
            "no configuration",
            "config-descriptor",
            "error",
            manifest(|m| drop(m.as_object_mut().expect("an object").remove("config"))),
        ),
        (
            "a layer from elsewhere",
            "foreign-layer",
            "warning",
            manifest(|m| {
                m["layers"][0]["mediaType"] =
                    json!("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip");
                m["layers"][0]["urls"] = json!(["https://host.example/x"]);
            }),
        ),
        (
            "other data beside a descriptor",
            "descriptor-data",
            "error",
            manifest(|m| m["config"]["data"] = json!("eA==")),
        ),
        (
            "ArgsEscaped",
            "args-escaped",
            "info",
            config(|c| c["config"]["ArgsEscaped"] = json!(true)),
        ),
        (
            "a program of root's that all may write",
            "tar-permissions",
            "warning",
            one(plain().mode("su", 0o4757)),
        ),
        (
            "a file that all may write",
            "world-writable",
            "warning",
            one(plain().mode("open", 0o666)),
        ),
        ("a program of root's", "setuid", "info", one(plain().mode("su", 0o4755))),
        (
            "a program with capabilities",
            "capability",
            "info",
            one(plain()
                .pax("SCHILY.xattr.security.capability", b"\x01\0\0\x02\0\x04\0\0")
                .mode("ping", 0o755)),
        ),
        ("a device", "device", "info", one(plain().entry("null", b'3', 0o666, 0, "", b""))),
        (
            "a private key",
            "secret",
            "warning",
            one(plain().file("app/key.pem", "-----BEGIN RSA PRIVATE KEY-----\n")),
        ),
        ("credentials", "secret", "warning", one(plain().file("root/.docker/config.json", "{}"))),
        (
            "a name that is too long",
            "path-length",
            "error",
            one(plain().pax("path", "n".repeat(300).as_bytes()).file("n", "x")),
        ),
        (
            "a file in two layers",
            "duplicate-file",
            "info",
            Image::of(vec![plain(), Tar::default().file("etc/passwd", "x")]),
        ),
        (
            "a configuration that is no JSON object",
            "config-json",
            "error",
            config(|c| *c = json!([1])),
        ),
        (
            "headers without an end",
            "tar-format",
            "error",
            one(plain().pax("comment", &vec![b'x'; 2 << 20]).file("n", "x")),
        ),
    ]
}
