//! `--device`: a device of this machine by its path, or one of a CDI specification by its name.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::Error;
use super::cdi::{self, Edits, Registry};
use crate::report::Reporter;
use crate::sandbox::{Mount, What};

/// A device that a command is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Device {
    /// A node, or a directory of nodes, and where it is seen.
    Node { source: PathBuf, target: PathBuf },
    /// What a CDI specification calls so: `VENDOR/CLASS=NAME`, or `VENDOR/CLASS` for the first of
    /// its kind. One that is not required may be missing.
    Cdi { name: String, required: bool },
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |reason| Error::Device { text: text.to_owned(), reason };
        if !text.starts_with(['/', '.']) {
            return match cdi::is_name(text) {
                true => Ok(Self::Cdi { name: text.to_owned(), required: true }),
                false => Err(wrong("it is neither a path nor VENDOR/CLASS=NAME")),
            };
        }
        let parts: Vec<&str> = text.split(':').collect();
        let is_access = |part: &str| !part.starts_with('/');
        let (source, target, access) = match parts[..] {
            [source] => (source, source, None),
            [source, access] if is_access(access) => (source, source, Some(access)),
            [source, target] => (source, target, None),
            [source, target, access] => (source, target, Some(access)),
            _ => return Err(wrong("it has more than three parts")),
        };
        if !target.starts_with('/') {
            return Err(wrong("the path in the image is not absolute"));
        }
        if let Some(access) = access {
            if access.is_empty() || access.chars().any(|char| !"rwm".contains(char)) {
                return Err(wrong("of access, r, w and m are known"));
            }
            // That takes a cgroup, which is not ours.
            if !(access.contains('r') && access.contains('w')) {
                return Err(wrong("access cannot be restricted here: it is always rw"));
            }
        }
        Ok(Self::Node { source: source.into(), target: target.into() })
    }
}

/// What makes devices seen, with what belongs to them.
///
/// # Errors
///
/// When one is not there, or not described, that has to be.
pub(super) fn edits(
    devices: &[Device],
    registry: &Registry,
    reporter: &dyn Reporter,
) -> Result<Edits, Error> {
    let mut edits = Edits::default();
    let mut names: Vec<String> = Vec::new();
    for device in devices {
        match device {
            Device::Node { source, target } => edits.mounts.push(node(source, target)?),
            Device::Cdi { name, required } => {
                let found = registry.find(name)?;
                match (found.is_empty(), required) {
                    (true, true) => return Err(registry.missing(name)),
                    (true, false) => {
                        reporter.warn(format!("optional device {name:?} is not registered"));
                    }
                    (false, _) => {}
                }
                names.extend(found);
            }
        }
    }
    let mut seen = Vec::new();
    names.retain(|name| {
        let is_new = !seen.contains(name);
        seen.push(name.clone());
        is_new
    });
    registry.apply(&names, &mut edits, reporter)?;
    Ok(edits)
}

/// A node of this machine, or a directory that has some.
pub(super) fn node(source: &Path, target: &Path) -> Result<Mount, Error> {
    let failed = |error| Error::Node { path: source.to_owned(), source: error };
    let kind = fs::metadata(source).map_err(failed)?.file_type();
    if !(kind.is_char_device() || kind.is_block_device() || kind.is_dir()) {
        return Err(Error::NoDevice(source.to_owned()));
    }
    Ok(Mount::new(target, What::Bind { source: source.to_owned(), read_only: false }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_docker_does() {
        let node = |source: &str, target: &str| {
            Some(Device::Node { source: source.into(), target: target.into() })
        };
        let cdi = |name: &str| Some(Device::Cdi { name: name.into(), required: true });
        for (text, expected) in [
            ("/dev/fuse", node("/dev/fuse", "/dev/fuse")),
            ("/dev/a:/dev/b", node("/dev/a", "/dev/b")),
            ("/dev/a:rw", node("/dev/a", "/dev/a")),
            ("/dev/a:/dev/b:rwm", node("/dev/a", "/dev/b")),
            ("./a:/dev/b", node("./a", "/dev/b")),
            ("vendor.com/class=name", cdi("vendor.com/class=name")),
            ("vendor.com/class=all", cdi("vendor.com/class=all")),
            ("vendor.com/class", cdi("vendor.com/class")),
            ("/dev/a:r", None),
            ("/dev/a:x", None),
            ("/dev/a:", None),
            ("/dev/a:/b:/c:rw", None),
            ("/dev/a:b:rw", None),
            ("fuse", None),
            ("", None),
        ] {
            assert_eq!(text.parse::<Device>().ok(), expected, "{text}");
        }
    }
}
