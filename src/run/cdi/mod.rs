//! The Container Device Interface: what a vendor's specification says has to be done to a container
//! so that a device works in it.
//!
//! | edit | what is done |
//! |---|---|
//! | device nodes, mounts | they are mounted; nothing of them reaches a layer |
//! | environment | set, over the image's |
//! | additional groups | the command is in them |
//! | hook `update-ldcache` | its folders go into `LD_LIBRARY_PATH` |
//! | hook `create-symlinks` | what a link would lead to is mounted in its place, too |
//! | hooks that only change a mode or a proc file | left out, and noted |
//! | other hooks, network devices, Intel RDT | refused: they need privilege |

mod hooks;
mod registry;
mod spec;

pub(super) use registry::Registry;

use crate::sandbox::Mount;

/// What a device changes in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Edits {
    pub(super) mounts: Vec<Mount>,
    /// `NAME=value`
    pub(super) env: Vec<String>,
    /// Folders in which programs find libraries, before those that they know.
    pub(super) libraries: Vec<String>,
    pub(super) groups: Vec<u32>,
}

/// Why a device cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("invalid device {0:?}")]
    Name(String),
    #[error("required device {name:?} is not registered")]
    Missing { name: String, known: Vec<String>, folders: Vec<std::path::PathBuf> },
    #[error("device {device}: hook {hook:?} cannot be run")]
    Hook { device: String, hook: String },
    #[error("device {device}: {what} cannot be changed")]
    Privileged { device: String, what: &'static str },
    #[error("device {device}: mount option {option:?} is not supported")]
    Option { device: String, option: String },
    #[error("device {device}: {path:?} is not absolute")]
    Path { device: String, path: std::path::PathBuf },
}

impl Error {
    /// Whether the system, or bryo on it, cannot do what was asked.
    pub fn is_unsupported(&self) -> bool {
        matches!(self, Self::Hook { .. } | Self::Privileged { .. } | Self::Option { .. })
    }

    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Name(_) => Some("devices of CDI are called VENDOR/CLASS=NAME".to_owned()),
            Self::Missing { known, folders, .. } if known.is_empty() => {
                let folders: Vec<_> = folders.iter().map(|f| f.display().to_string()).collect();
                Some(format!("there are no CDI specifications in {}", folders.join(", ")))
            }
            Self::Missing { known, .. } => Some(format!("there are {}", known.join(", "))),
            Self::Hook { .. } => Some(
                "it would be a program of this machine with privileges in the container, which \
                 nobody has here; those that link libraries are emulated"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// Whether `text` is of the form `VENDOR/CLASS` or `VENDOR/CLASS=NAME`.
pub(super) fn is_name(text: &str) -> bool {
    let (kind, name) = text.split_once('=').map_or((text, None), |(kind, name)| (kind, Some(name)));
    let Some((vendor, class)) = kind.split_once('/') else { return false };
    let begins = |text: &str| text.starts_with(|c: char| c.is_ascii_alphabetic());
    let ends = |text: &str| text.ends_with(|c: char| c.is_ascii_alphanumeric());
    let has_only = |text: &str, more: &str| {
        text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    begins(vendor)
        && ends(vendor)
        && has_only(vendor, "_-.")
        && begins(class)
        && ends(class)
        && has_only(class, "_-")
        && name.is_none_or(|name| name == "*" || !name.is_empty() && has_only(name, "_-.:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_vendor_and_a_class() {
        for (text, expected) in [
            ("vendor.com/class=name", true),
            ("vendor.com/class=0:1.x", true),
            ("vendor.com/class=*", true),
            ("vendor.com/class", true),
            ("v/c", true),
            ("vendor.com/class=", false),
            ("vendor.com/class=a b", false),
            ("vendor.com/", false),
            ("/class=name", false),
            ("1vendor/class=name", false),
            ("vendor.com/a/b=c", false),
            ("vendor.com", false),
            ("", false),
        ] {
            assert_eq!(is_name(text), expected, "{text}");
        }
    }
}
