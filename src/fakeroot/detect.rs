//! [`Profiles`]: those of bryo and of the user, and which of them an image is made for.

use std::path::PathBuf;
use std::sync::Arc;

use super::profile::{Profile, ProfileError};
use super::{Error, builtin};
use crate::rootfs::{FileType, Root};

/// Files that tell a distribution have a few lines.
const LIMIT: u64 = 1 << 20;

/// A profile as the user wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileFile {
    pub path: PathBuf,
    pub text: String,
}

/// A set of profiles, in the order in which they are tried.
#[derive(Debug)]
pub struct Profiles(Vec<Known>);

/// A profile of a set.
#[derive(Debug)]
pub struct Known {
    pub profile: Arc<Profile>,
    /// Where the user wrote it; None: it came with bryo.
    pub path: Option<PathBuf>,
}

impl Profiles {
    /// The user's, in the order given, and then those of bryo whose names none of the user's has.
    /// Also what is wrong with the files that are left out.
    pub fn new(files: &[ProfileFile]) -> (Self, Vec<ProfileError>) {
        let (mut known, mut faults): (Vec<Known>, _) = (Vec::new(), Vec::new());
        for ProfileFile { path, text } in files {
            match Profile::parse(path, text) {
                Ok(profile) if known.iter().any(|other| other.profile.name == profile.name) => {
                    let reason = format!("another file has a profile {:?}, too", profile.name);
                    faults.push(ProfileError { file: path.clone(), line: 1, reason });
                }
                Ok(profile) => {
                    known.push(Known { profile: Arc::new(profile), path: Some(path.clone()) });
                }
                Err(error) => faults.push(error),
            }
        }
        for profile in builtin::profiles() {
            if !known.iter().any(|other| other.profile.name == profile.name) {
                known.push(Known { profile: Arc::new(profile), path: None });
            }
        }
        (Self(known), faults)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Known> {
        self.0.iter()
    }

    /// The first profile that is made for an image: one of its rules names a file of the image, and
    /// its pattern matches a line of that.
    pub fn detect(&self, root: &Root) -> Result<Option<Arc<Profile>>, Error> {
        for known in &self.0 {
            if matches(&known.profile, root)? {
                return Ok(Some(Arc::clone(&known.profile)));
            }
        }
        Ok(None)
    }
}

fn matches(profile: &Profile, root: &Root) -> Result<bool, Error> {
    for rule in &profile.rules {
        // What is no regular file says nothing, and opening a fifo would wait for ever.
        if root.stat(&rule.file)?.is_none_or(|meta| meta.kind != FileType::File) {
            continue;
        }
        let content = root.read_file(&rule.file, LIMIT)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&content);
        if text.lines().any(|line| rule.pattern.matches(line.trim_end())) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Images of `tests/data/os-release`, and the profile of each.
    const IMAGES: [(&str, Option<&str>); 19] = [
        ("adelie", Some("adelie")),
        ("almalinux-8", Some("rhel8")),
        ("alpine-3.19", Some("alpine")),
        ("alpine-edge", Some("alpine")),
        ("arch", Some("arch")),
        ("busybox", None),
        ("centos-7", Some("rhel7")),
        ("centos-stream-9", Some("rhel8")),
        ("debian-12", Some("debian")),
        ("distroless-debian-12", Some("debian")),
        ("fedora-40", Some("fedora")),
        ("linuxmint-21", Some("debian")),
        ("opensuse-leap-15", Some("suse")),
        ("opensuse-tumbleweed", Some("suse")),
        ("raspbian-12", Some("debian")),
        ("rocky-9", Some("rhel8")),
        ("sles-15", Some("suse")),
        ("ubi-8", Some("rhel8")),
        ("ubuntu-22.04", Some("debian")),
    ];

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/os-release")
    }

    #[test]
    fn exactly_one_profile_matches_each_image() {
        let (profiles, faults) = Profiles::new(&[]);
        assert_eq!(faults, []);
        for (image, expected) in IMAGES {
            let root = Root::open(&folder().join(image)).expect(image);
            let found: Vec<&str> = profiles
                .iter()
                .filter(|known| matches(&known.profile, &root).expect(image))
                .map(|known| known.profile.name.as_str())
                .collect();
            assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{image}");
            let detected = profiles.detect(&root).expect(image);
            assert_eq!(detected.as_ref().map(|profile| profile.name.as_str()), expected, "{image}");
        }
        let scratch = tempfile::tempdir().expect("a directory");
        let root = Root::open(scratch.path()).expect("a root");
        assert!(profiles.detect(&root).expect("an empty image").is_none());
    }

    #[test]
    fn no_image_and_no_profile_is_forgotten() {
        let there: BTreeSet<String> = fs::read_dir(folder())
            .expect("tests/data/os-release")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        assert_eq!(there, IMAGES.map(|(image, _)| image.to_owned()).into());
        let (profiles, _) = Profiles::new(&[]);
        for known in profiles.iter() {
            let name = Some(known.profile.name.as_str());
            assert!(IMAGES.iter().any(|(_, profile)| *profile == name), "no image of {name:?}");
        }
    }

    #[test]
    fn links_of_the_image_lead_to_the_image() {
        let image = tempfile::tempdir().expect("a directory");
        let path = |name: &str| image.path().join(name);
        fs::create_dir_all(path("usr/lib")).expect("usr/lib");
        fs::create_dir(path("etc")).expect("etc");
        fs::write(path("usr/lib/os-release"), "ID=debian\n").expect("os-release");
        std::os::unix::fs::symlink("/usr/lib/os-release", path("etc/os-release")).expect("a link");
        let root = Root::open(image.path()).expect("a root");
        let found = Profiles::new(&[]).0.detect(&root).expect("it can be read");
        assert_eq!(found.map(|profile| profile.name.clone()).as_deref(), Some("debian"));
        // Nothing that is there instead of a file is waited for.
        fs::remove_file(path("etc/os-release")).expect("the link goes");
        fs::create_dir(path("etc/os-release")).expect("a directory");
        assert!(Profiles::new(&[]).0.detect(&root).expect("no error").is_none());
    }

    #[test]
    fn the_user_s_come_first_and_replace_those_of_the_same_name() {
        let file = |path: &str, name: &str| ProfileFile {
            path: path.into(),
            text: format!(
                "name = \"{name}\"\ndescription = \"mine\"\nwords = [\"x\"]\nprefix = [\"y\"]\n\
                 [[match]]\nfile = \"/etc/os-release\"\npattern = 'ID=debian'\n"
            ),
        };
        let broken = ProfileFile { path: "c.toml".into(), text: "name = 1".into() };
        let files =
            [file("a.toml", "mine"), file("b.toml", "suse"), broken, file("d.toml", "mine")];
        let (profiles, faults) = Profiles::new(&files);
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].starts_with("c.toml:1: ") && faults[1].starts_with("d.toml:1: another"));
        let own = |known: &&Known| known.path.is_some();
        let names =
            |own: Vec<&Known>| own.iter().map(|k| k.profile.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(profiles.iter().filter(own).collect()), ["mine", "suse"]);
        let rest = names(profiles.iter().filter(|known| !own(known)).collect());
        assert!(rest.contains(&"debian".into()) && !rest.contains(&"suse".into()), "{rest:?}");
        let root = Root::open(&folder().join("debian-12")).expect("a root");
        let found = profiles.detect(&root).expect("it can be read").expect("there is one");
        assert_eq!(found.name, "mine");
    }
}
