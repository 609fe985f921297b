//! The profiles that come with bryo: `fakeroot-profiles/*.toml`.

use std::path::Path;

use super::Profile;

/// File names and texts, in the order in which they are tried. No two match the same image.
const FILES: [(&str, &str); 8] = [
    ("adelie.toml", include_str!("../../fakeroot-profiles/adelie.toml")),
    ("alpine.toml", include_str!("../../fakeroot-profiles/alpine.toml")),
    ("arch.toml", include_str!("../../fakeroot-profiles/arch.toml")),
    ("debian.toml", include_str!("../../fakeroot-profiles/debian.toml")),
    ("fedora.toml", include_str!("../../fakeroot-profiles/fedora.toml")),
    ("rhel7.toml", include_str!("../../fakeroot-profiles/rhel7.toml")),
    ("rhel8.toml", include_str!("../../fakeroot-profiles/rhel8.toml")),
    ("suse.toml", include_str!("../../fakeroot-profiles/suse.toml")),
];

/// Reads them all.
pub(super) fn profiles() -> impl Iterator<Item = Profile> {
    FILES.into_iter().map(|(name, text)| {
        Profile::parse(Path::new(name), text).expect("a test reads every one of them")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_good_and_explained() {
        for (name, text) in FILES {
            let profile = match Profile::parse(Path::new(name), text) {
                Ok(profile) => profile,
                Err(error) => panic!("fakeroot-profiles/{error}"),
            };
            assert_eq!(format!("{}.toml", profile.name), name);
            // Each has its reason: comments for people who read it, `why` for those who run it.
            assert!(text.lines().filter(|line| line.starts_with('#')).count() >= 3, "{name}");
            assert!(profile.init.iter().any(|step| step.deed.contains("fakeroot")), "{name}");
            assert_eq!(profile.prefix, ["fakeroot"], "{name}");
        }
    }
}
