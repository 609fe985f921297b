//! [`Output`]: what `build --output` writes beside the store.

use std::path::PathBuf;
use std::str::FromStr;

/// In which form an image leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
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
}

/// `type=TYPE,dest=PATH`, or a directory alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) form: Form,
    /// None means stdout.
    pub(crate) destination: Option<PathBuf>,
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.contains('=') {
            // docker's shorthand: `-` is a tar, anything else a directory.
            let form = if text == "-" { Form::Tar } else { Form::Local };
            return Self::new(form, Some(text));
        }
        let (mut kind, mut destination, mut tar) = (None, None, true);
        for field in text.split(',') {
            match field.split_once('=') {
                Some(("type", value)) => kind = Some(value),
                Some(("dest", value)) => destination = Some(value),
                Some(("tar", "true")) => tar = true,
                Some(("tar", "false")) => tar = false,
                _ => return Err(format!("{field:?} is none of type=, dest=, tar=true|false")),
            }
        }
        let form = match (kind, tar) {
            (Some("oci"), true) => Form::Oci,
            (Some("oci"), false) => Form::OciDirectory,
            (Some("docker"), true) => Form::Docker,
            (Some("tar"), true) => Form::Tar,
            (Some("local"), true) => Form::Local,
            (Some("docker" | "tar" | "local"), false) => {
                return Err("tar=false goes with type=oci only".to_owned());
            }
            (Some(other), _) => {
                return Err(format!("type {other:?}: oci, docker, tar and local are known"));
            }
            (None, _) => return Err("there is no type=oci|docker|tar|local".to_owned()),
        };
        Self::new(form, destination)
    }
}

impl Output {
    fn new(form: Form, destination: Option<&str>) -> Result<Self, String> {
        let destination = destination.filter(|path| *path != "-").map(PathBuf::from);
        match (form, &destination) {
            (Form::Local | Form::OciDirectory, None) => {
                Err("a directory needs dest=PATH".to_owned())
            }
            _ => Ok(Self { form, destination }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_told_apart() {
        for (text, form, destination) in [
            ("out", Form::Local, Some("out")),
            ("-", Form::Tar, None),
            ("type=local,dest=d", Form::Local, Some("d")),
            ("type=tar", Form::Tar, None),
            ("type=tar,dest=-", Form::Tar, None),
            ("dest=a.tar,type=oci", Form::Oci, Some("a.tar")),
            ("type=oci,tar=false,dest=a", Form::OciDirectory, Some("a")),
            ("type=docker,dest=/a=b", Form::Docker, Some("/a=b")),
        ] {
            let destination = destination.map(PathBuf::from);
            assert_eq!(text.parse(), Ok(Output { form, destination }), "{text}");
        }
        for text in [
            "type=floppy",
            "dest=x",
            "type=oci,tar=no",
            "type=local",
            "type=oci,tar=false",
            "x=y",
            "type=tar,tar=false,dest=x",
        ] {
            assert!(text.parse::<Output>().is_err(), "{text}");
        }
    }
}
