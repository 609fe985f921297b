//! The oracle: real root, in a root directory of its own.

use std::path::{Path, PathBuf};

use super::data;
use crate::support::{Place, Run};

/// A root directory for real root.
#[derive(Debug)]
pub(super) struct RealRoot<'a> {
    place: &'a Place,
    folder: PathBuf,
    /// The tree below an overlay; none where `folder` is the tree itself.
    lower: Option<PathBuf>,
    shared: Option<PathBuf>,
}

impl<'a> RealRoot<'a> {
    /// The tree of an image's tar, unpacked as `name`.
    pub(super) fn unpacked(place: &'a Place, name: &str, tar: &Path) -> Self {
        let folder = place.folder(name);
        // The root directory's own owner is the image's, too.
        place.run_as(None, "chown").arg("0:0").arg(&folder).succeeds();
        place
            .run_as(None, "tar")
            .args(["--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf"])
            .arg(tar)
            .arg("-C")
            .arg(&folder)
            .succeeds();
        Self { place, folder, lower: None, shared: None }
    }

    /// A tree that stays as it is; what is changed goes to a folder `name`.
    pub(super) fn over(place: &'a Place, name: &str, lower: &Path) -> Self {
        let folder = place.folder(name);
        Self { place, folder, lower: Some(lower.to_owned()), shared: None }
    }

    /// `folder` is seen at `/shared`.
    pub(super) fn with_shared(mut self, folder: &Path) -> Self {
        self.shared = Some(folder.to_owned());
        self
    }

    pub(super) fn path(&self) -> &Path {
        &self.folder
    }

    /// A command in it, by the user `user` of the image (empty: root).
    pub(super) fn run(&self, user: &str, seconds: u32) -> Run {
        let optional = |path: &Option<PathBuf>| path.clone().unwrap_or_default();
        self.place
            .run_as(None, "timeout")
            .args(["--kill-after=5", &seconds.to_string()])
            .args(["setpriv", "--clear-groups"])
            .args(["unshare", "--mount", "--pid", "--fork", "--ipc", "--uts", "--kill-child"])
            .arg("sh")
            .arg(data().join("real-root"))
            .arg(&self.folder)
            .arg(optional(&self.lower))
            .arg(optional(&self.shared))
            .arg(user)
    }
}
