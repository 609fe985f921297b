//! [`Distribution`]: what an image says of itself (os-release(5)).

use std::path::Path;

use super::text;
use crate::rootfs::Root;

/// A distribution and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// `debian`, `alpine`, `fedora`, `rhel`, …
    pub id: String,
    /// A rolling distribution has none.
    pub version: Option<String>,
    /// For people.
    pub name: Option<String>,
}

impl Distribution {
    /// None when no file says so, or when it cannot be read: then there is nothing to be told.
    pub(super) fn of(root: &Root) -> Option<Self> {
        let files = ["etc/os-release", "usr/lib/os-release"];
        files.iter().find_map(|file| Self::parse(&text(root, Path::new(file)).ok()??))
    }

    fn parse(text: &str) -> Option<Self> {
        let field = |wanted: &str| {
            let mut lines = text.lines().filter_map(|line| line.trim().split_once('='));
            let (_, value) = lines.find(|(name, _)| *name == wanted)?;
            super::said(value.trim().trim_matches(['"', '\'']))
        };
        let (id, version) = (field("ID")?, field("VERSION_ID"));
        Some(Self { id, version, name: field("PRETTY_NAME") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_say_what_they_are() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/os-release");
        for (image, id, version) in [
            ("debian-12", "debian", Some("12")),
            ("distroless-debian-12", "debian", Some("12")),
            ("alpine-3.19", "alpine", Some("3.19.1")),
            ("arch", "arch", Some("20240101.0.204074")),
            ("rocky-9", "rocky", Some("9.3")),
        ] {
            let root = Root::open(&folder.join(image)).expect("an image");
            let found = Distribution::of(&root).expect(image);
            assert_eq!((&*found.id, found.version.as_deref()), (id, version), "{image}");
        }
        let root = Root::open(&folder.join("busybox")).expect("an image");
        assert_eq!(Distribution::of(&root), None);
    }
}
