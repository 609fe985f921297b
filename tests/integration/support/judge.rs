//! Other people's tools, as a user who has the subordinate ids that they need.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;

use super::{Place, Run, User, skip};

/// Who runs skopeo, umoci and buildah.
#[derive(Debug)]
pub(crate) struct Judge<'a> {
    place: &'a Place,
    user: User,
    folder: PathBuf,
}

impl<'a> Judge<'a> {
    /// None where only one user is there: `tests/run`, started by root, makes another one.
    pub(crate) fn new(place: &'a Place) -> Option<Self> {
        let Some(name) = std::env::var("BRYO_TEST_JUDGE").ok().filter(|name| !name.is_empty())
        else {
            skip("tests with a second user as judge (sudo tests/run)");
            return None;
        };
        let user = User::named(&name);
        let folder = place.path("judge");
        for folder in [&folder, &folder.join("run")] {
            fs::create_dir(folder).expect("a directory");
            chown(folder, Some(user.uid), Some(user.gid)).expect("root may chown");
        }
        Some(Self { place, user, folder })
    }

    pub(crate) fn run(&self, program: impl AsRef<OsStr>) -> Run {
        self.place
            .run_as(Some(self.user), program)
            .env("HOME", &self.folder)
            .env("XDG_RUNTIME_DIR", self.folder.join("run"))
            .env("BUILDAH_ISOLATION", "chroot")
            .env("STORAGE_DRIVER", "vfs")
            .in_folder(&self.folder)
    }
}

impl Drop for Judge<'_> {
    fn drop(&mut self) {
        // buildah's files belong to the judge's subordinate ids; the place is removed by root, who
        // owns them all.
        drop(self.run("buildah").args(["rm", "--all"]).spawn().wait());
    }
}
