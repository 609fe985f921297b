//! `-v SRC:DST[:OPTIONS]`: a directory or file of the host, seen in the image.

use std::path::PathBuf;
use std::str::FromStr;

use super::Error;

/// A bind mount that the user asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// On the host; relative to bryo's working directory.
    pub source: PathBuf,
    /// In the image, absolute.
    pub target: PathBuf,
    pub read_only: bool,
}

/// Options that others need and that change nothing here: labels (no process of ours changes its
/// SELinux domain), consistency with a virtual machine, copying of what a named volume hides.
const IGNORED: [&str; 6] = ["z", "Z", "cached", "delegated", "consistent", "nocopy"];

impl FromStr for Volume {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |reason| Error::Volume { text: text.to_owned(), reason };
        let mut parts = text.split(':');
        let (Some(source), Some(target)) = (parts.next(), parts.next()) else {
            return Err(wrong("it is SOURCE:TARGET or SOURCE:TARGET:ro"));
        };
        let options = parts.next().unwrap_or("");
        if parts.next().is_some() {
            return Err(wrong("it has more than three parts"));
        }
        if !source.contains('/') && !source.starts_with('.') {
            return Err(wrong("there are no named volumes: begin a directory's path with / or ./"));
        }
        if !target.starts_with('/') {
            return Err(wrong("the path in the image is not absolute"));
        }
        let mut read_only = false;
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option {
                "ro" | "readonly" => read_only = true,
                "rw" => read_only = false,
                option if IGNORED.contains(&option) => {}
                _ => return Err(wrong("of the options, ro, rw, z and Z are known")),
            }
        }
        Ok(Self { source: source.into(), target: target.into(), read_only })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_read_as_docker_does() {
        for (text, volume) in [
            ("/a:/b", Some(("/a", "/b", false))),
            ("./a:/b:ro", Some(("./a", "/b", true))),
            (".:/b:rw", Some((".", "/b", false))),
            ("a/b:/c:ro,Z", Some(("a/b", "/c", true))),
            ("/a:/b:", Some(("/a", "/b", false))),
            ("name:/b", None),
            ("/a", None),
            ("", None),
            (":/b", None),
            ("/a:b", None),
            ("/a:/b:rx", None),
            ("/a:/b:ro:z", None),
        ] {
            let expected = volume.map(|(source, target, read_only)| Volume {
                source: source.into(),
                target: target.into(),
                read_only,
            });
            assert_eq!(text.parse::<Volume>().ok(), expected, "{text}");
        }
    }
}
