//! [`Output`]: what `build --output` says, in the words of buildx.

use std::path::PathBuf;
use std::str::FromStr;

use crate::dockerfile::{csv, suggest};
use crate::image::media_type::Family;
use crate::image::{Annotations, Reference};
use crate::layer::compress::Compression;

/// In which form an image leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// In the storage directory.
    Image,
    /// An OCI image layout in a tar.
    Oci,
    /// The same in a directory.
    OciDirectory,
    /// What `docker save` writes.
    Docker,
    /// The files of the image, as a tar.
    Tar,
    /// The files of the image, in a directory.
    Local,
    /// The files of the image, in a SquashFS file.
    Squashfs,
    /// The same as Apptainer runs it.
    Sif,
    /// Nowhere: only the steps are remembered.
    CacheOnly,
}

impl Form {
    /// Whether it is an image, and not its files alone.
    pub(crate) fn is_image(self) -> bool {
        matches!(self, Self::Image | Self::Oci | Self::OciDirectory | Self::Docker)
    }
}

/// `type=TYPE,KEY=VALUE,…`, or a directory alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) form: Form,
    /// None means stdout, where it is written anywhere.
    pub(crate) destination: Option<PathBuf>,
    /// What the image is called if `--tag` does not say it.
    pub(crate) names: Vec<Reference>,
    pub(crate) push: Option<Push>,
    /// An image that is only pushed keeps no name here.
    pub(crate) is_stored: bool,
    /// Docker archives are layouts as well.
    pub(crate) is_layout: bool,
    /// Several platforms get a directory each.
    pub(crate) split: bool,
    /// What the names of files begin with that say something about the image.
    pub(crate) attestation_prefix: String,
    pub(crate) look: Look,
}

/// How an output is sent to a registry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Push {
    /// Without a tag.
    pub(crate) by_digest: bool,
    /// Over plain http, too.
    pub(crate) insecure: bool,
}

/// What an output wants to be different in the image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) compression: Option<Compression>,
    /// The base's layers too.
    pub(crate) force: bool,
    pub(crate) family: Option<Family>,
    pub(crate) annotations: Annotations,
    pub(crate) rewrite_timestamp: bool,
}

/// The types, and the keys that each takes beside `type`.
const TYPES: [(&str, &[&str]); 9] = [
    ("local", &["dest", "platform-split", "attestation-prefix"]),
    ("tar", &["dest", "platform-split", "attestation-prefix"]),
    ("squashfs", &["dest"]),
    ("sif", &["dest"]),
    ("oci", FILE),
    ("docker", FILE),
    ("image", IMAGE),
    ("registry", IMAGE),
    ("cacheonly", &[]),
];
const FILE: &[&str] = &[
    "dest",
    "tar",
    "name",
    "compression",
    "compression-level",
    "force-compression",
    "oci-mediatypes",
    "rewrite-timestamp",
    "annotation.NAME",
];
const IMAGE: &[&str] = &[
    "name",
    "push",
    "push-by-digest",
    "registry.insecure",
    "store",
    "unpack",
    "name-canonical",
    "compression",
    "compression-level",
    "force-compression",
    "oci-mediatypes",
    "rewrite-timestamp",
    "annotation.NAME",
];

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("it is empty".to_owned());
        }
        let fields = csv::fields(text)?;
        if let [only] = &fields[..]
            && !only.contains('=')
        {
            // docker's shorthand: `-` is a tar, anything else a directory.
            return match only.as_str() {
                "-" => Ok(Self::of(Form::Tar)),
                path => Ok(Self { destination: Some(path.into()), ..Self::of(Form::Local) }),
            };
        }
        let pairs: Vec<(String, &str)> = fields
            .iter()
            .map(|field| match field.split_once('=') {
                Some((key, value)) => Ok((key.trim().to_owned(), value)),
                None => Err(format!("{field:?} is not KEY=VALUE")),
            })
            .collect::<Result<_, _>>()?;
        let names = TYPES.map(|(name, _)| name);
        let is_type = |(key, _): &&(String, &str)| key.eq_ignore_ascii_case("type");
        let kind = pairs.iter().rev().find(is_type).map(|(_, value)| *value);
        let kind =
            kind.ok_or_else(|| format!("it has no type, which is one of {}", names.join(", ")))?;
        let known = TYPES.iter().find(|(name, _)| *name == kind);
        let (_, keys) = known.ok_or_else(|| unknown("type", kind, &names))?;
        let mut fields = Fields::default();
        for (key, value) in &pairs {
            fields.take(kind, keys, key, value)?;
        }
        fields.output(kind)
    }
}

/// What the fields say so far.
#[derive(Debug, Default)]
struct Fields {
    dest: Option<String>,
    tar: Option<bool>,
    names: Vec<Reference>,
    push: Option<bool>,
    how: Push,
    store: Option<bool>,
    split: Option<bool>,
    attestation_prefix: String,
    method: Option<String>,
    level: Option<String>,
    look: Look,
}

impl Fields {
    fn take(&mut self, kind: &str, keys: &[&str], key: &str, value: &str) -> Result<(), String> {
        let is_taken = |name: &str| keys.contains(&name);
        if is_taken("annotation.NAME")
            && self.look.annotations.add_field(key, value).map_err(|error| error.to_string())?
        {
            return Ok(());
        }
        let key = key.to_lowercase();
        let key = key.as_str();
        if key == "type" {
            return Ok(());
        }
        if !is_taken(key) {
            return Err(unknown(&format!("key of type={kind}"), key, keys));
        }
        let yes = || truth(key, value);
        match key {
            "dest" => self.dest = Some(value.to_owned()),
            "tar" => self.tar = Some(yes()?),
            "name" => {
                for name in value.split(',').filter(|name| !name.is_empty()) {
                    let name = name.trim().parse::<Reference>();
                    self.names.push(name.map_err(|error| error.to_string())?);
                }
            }
            "push" => self.push = Some(yes()?),
            "push-by-digest" => self.how.by_digest = yes()?,
            "registry.insecure" => self.how.insecure = yes()?,
            "store" => self.store = Some(yes()?),
            "platform-split" => self.split = Some(yes()?),
            "attestation-prefix" if value.contains('/') => {
                return Err(format!(
                    "attestation-prefix={value:?} is no beginning of a file's name"
                ));
            }
            "attestation-prefix" => value.clone_into(&mut self.attestation_prefix),
            // Images here can always be run, and are found by name and digest.
            "unpack" | "name-canonical" => _ = yes()?,
            "compression" => self.method = Some(value.to_owned()),
            "compression-level" => self.level = Some(value.to_owned()),
            "force-compression" => self.look.force = yes()?,
            "oci-mediatypes" => {
                self.look.family = Some(if yes()? { Family::Oci } else { Family::Docker });
            }
            "rewrite-timestamp" => self.look.rewrite_timestamp = yes()?,
            other => unreachable!("{other} is in no list"),
        }
        Ok(())
    }

    fn output(self, kind: &str) -> Result<Output, String> {
        let method = match (&self.method, &self.level) {
            (None, None) => None,
            (method, level) => {
                let method = match method.as_deref() {
                    Some("uncompressed") => "none",
                    Some(method) => method,
                    None => "gzip",
                };
                let text = level
                    .as_ref()
                    .map_or_else(|| method.to_owned(), |level| format!("{method}:{level}"));
                Some(text.parse().map_err(|error: crate::layer::Error| error.to_string())?)
            }
        };
        let is_tar = self.tar.unwrap_or(true);
        let is_plain = method.is_none() && self.look.family.is_none() && !self.look.force;
        let form = match kind {
            "local" => Form::Local,
            "tar" => Form::Tar,
            "squashfs" => Form::Squashfs,
            "sif" => Form::Sif,
            "oci" if is_tar => Form::Oci,
            // Where nobody says where to, docker loads it.
            "docker" if self.dest.is_none() => Form::Image,
            "docker" if is_tar => Form::Docker,
            "oci" | "docker" => Form::OciDirectory,
            "cacheonly" => Form::CacheOnly,
            _ => Form::Image,
        };
        if self.tar == Some(false) && form == Form::Image {
            return Err("a directory needs dest=PATH".to_owned());
        }
        let push = self.push.unwrap_or(kind == "registry" || self.how.by_digest);
        let destination = self.dest.filter(|path| path != "-").map(PathBuf::from);
        if matches!(form, Form::Local | Form::OciDirectory) && destination.is_none() {
            return Err("a directory needs dest=PATH".to_owned());
        }
        if matches!(form, Form::Squashfs | Form::Sif) && destination.is_none() {
            return Err(format!("a {kind} file needs dest=PATH: it is not written in one go"));
        }
        Ok(Output {
            destination,
            names: self.names,
            push: push.then_some(self.how),
            is_stored: self.store.unwrap_or(true),
            is_layout: kind == "docker" && !(form == Form::Docker && is_plain),
            split: self.split.unwrap_or(true),
            attestation_prefix: self.attestation_prefix,
            look: Look { compression: method, ..self.look },
            ..Output::of(form)
        })
    }
}

impl Output {
    fn of(form: Form) -> Self {
        Self {
            form,
            destination: None,
            names: Vec::new(),
            push: None,
            is_stored: true,
            is_layout: false,
            split: true,
            attestation_prefix: String::new(),
            look: Look::default(),
        }
    }

    /// What `--push` alone means.
    pub(crate) fn registry() -> Self {
        Self { push: Some(Push::default()), ..Self::of(Form::Image) }
    }

    /// Whether it is written to stdout.
    pub(crate) fn is_stdout(&self) -> bool {
        self.destination.is_none() && matches!(self.form, Form::Oci | Form::Docker | Form::Tar)
    }
}

/// Go's words for yes and no; a key alone is a yes.
pub(super) fn truth(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        other => Err(format!("{key}={other}: it is neither true nor false")),
    }
}

pub(super) fn unknown(what: &str, word: &str, known: &[&str]) -> String {
    let meant = suggest(word, known.iter().copied());
    let meant = meant.map(|meant| format!(" (did you mean {meant}?)")).unwrap_or_default();
    match known {
        [] => format!("there is no {what} {word:?}, which takes no key at all"),
        known => format!("there is no {what} {word:?}{meant}; there are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Output {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn outputs_are_told_apart() {
        for (text, form, destination) in [
            ("out", Form::Local, Some("out")),
            ("-", Form::Tar, None),
            ("type=local,dest=d", Form::Local, Some("d")),
            ("type=tar", Form::Tar, None),
            ("type=squashfs,dest=a.sqfs", Form::Squashfs, Some("a.sqfs")),
            ("type=sif,dest=a.sif", Form::Sif, Some("a.sif")),
            ("type=tar,dest=-", Form::Tar, None),
            ("dest=a.tar,type=oci", Form::Oci, Some("a.tar")),
            ("type=oci,tar=false,dest=a", Form::OciDirectory, Some("a")),
            ("Type=docker, dest=/a=b", Form::Docker, Some("/a=b")),
            ("type=docker,dest=-", Form::Docker, None),
            ("type=docker", Form::Image, None),
            ("type=docker,tar=false,dest=a", Form::OciDirectory, Some("a")),
            ("type=image", Form::Image, None),
            ("type=registry", Form::Image, None),
            ("type=cacheonly", Form::CacheOnly, None),
            ("\"type=tar\",\"dest=a,b\"", Form::Tar, Some("a,b")),
        ] {
            let output = read(text);
            assert_eq!(output.form, form, "{text}");
            assert_eq!(output.destination, destination.map(PathBuf::from), "{text}");
        }
        assert!(read("type=docker,tar=false,dest=a").is_layout);
        assert!(read("type=docker,dest=a,compression=zstd").is_layout);
        assert!(!read("type=docker,dest=a,name=x").is_layout);
    }

    #[test]
    fn images_say_what_they_are_to_be() {
        let output = read(
            "type=image,\"name=a:1,b\",push=true,compression=zstd,compression-level=19,\
             force-compression=1,oci-mediatypes=false,rewrite-timestamp=,store=false,annotation.k=v",
        );
        let names: Vec<String> = output.names.iter().map(Reference::familiar).collect();
        assert_eq!(names, ["a:1", "b:latest"]);
        assert_eq!((output.push, output.is_stored), (Some(Push::default()), false));
        let look = &output.look;
        assert_eq!(look.compression, Some(Compression::Zstd { level: 19 }));
        assert_eq!(look.family, Some(Family::Docker));
        assert!(look.force && look.rewrite_timestamp && !look.annotations.is_empty());
        assert_eq!(read("type=registry,push=false").push, None);
        let output = read("type=image,push-by-digest=true,registry.insecure=true");
        assert_eq!(output.push, Some(Push { by_digest: true, insecure: true }));
        for (text, expected) in [
            ("compression=uncompressed", Compression::None),
            ("compression=none", Compression::None),
            ("compression=gzip", Compression::GZIP),
            ("compression-level=9", Compression::Gzip { level: 9 }),
        ] {
            let look = read(&format!("type=oci,{text}")).look;
            assert_eq!(look.compression, Some(expected), "{text}");
        }
    }

    #[test]
    fn what_there_is_not_is_refused_with_what_there_is() {
        for (text, parts) in [
            (
                "type=floppy",
                &["no type \"floppy\"", "local, tar, squashfs, sif, oci, docker, image"][..],
            ),
            ("type=locl,dest=x", &["did you mean local?"]),
            ("dest=x", &["it has no type"]),
            ("type=oci,tar=no", &["tar=no: it is neither true nor false"]),
            ("type=local", &["dest=PATH"]),
            ("type=local,dest=-", &["dest=PATH"]),
            ("type=oci,tar=false", &["dest=PATH"]),
            ("type=docker,tar=false", &["dest=PATH"]),
            ("type=local,dest=x,nam=y", &["no key of type=local \"nam\"", "dest, platform-split"]),
            ("type=tar,tar=false,dest=x", &["no key of type=tar \"tar\""]),
            ("type=oci,compresion=zstd", &["did you mean compression?"]),
            ("type=image,dest=x", &["no key of type=image \"dest\""]),
            ("type=image,name=A", &["lower case"]),
            ("type=oci,compression=estargz", &["gzip, zstd and none"]),
            ("type=oci,compression=gzip,compression-level=x", &["a number"]),
            ("type=oci,annotation-layer.x=y", &["layer"]),
            ("type=cacheonly,dest=x", &["takes no key"]),
            ("type=oci,dest", &["is not KEY=VALUE"]),
            ("type=squashfs", &["needs dest=PATH"]),
            ("", &["it is empty"]),
        ] {
            let error = text.parse::<Output>().expect_err(text);
            for part in parts {
                assert!(error.contains(part), "{text}: {error}");
            }
        }
    }
}
