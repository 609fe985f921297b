//! [`Databases`]: what an image's package managers know, out of layers that stream by.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::{Error, Merged, Placed};
use crate::image::Digest;
use crate::packages::{self, Installed};
use crate::rootfs::Root;

/// Where managers keep what they know, and what says which distribution it is.
const FILES: [&str; 5] = [
    "etc/os-release",
    "usr/lib/os-release",
    "var/lib/dpkg/status",
    "lib/apk/db/installed",
    "usr/lib/apk/db/installed",
];

/// The same where it is all of a directory.
const FOLDERS: [&str; 3] = ["var/lib/dpkg/status.d", "var/lib/rpm", "usr/lib/sysimage/rpm"];

/// The largest file that is kept, in bytes: a database of rpm has a few hundred million.
const LARGEST: u64 = 1 << 30;

/// Copies of such files, each by its layer and its path.
#[derive(Debug)]
pub(super) struct Databases {
    folder: PathBuf,
}

impl Databases {
    /// `folder` is empty, and nobody else's.
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// A place for the content of a layer's file, if it is such a one.
    pub(super) fn keep(
        &self,
        layer: &Digest,
        path: &Path,
        size: u64,
    ) -> Result<Option<File>, Error> {
        let named = || FILES.iter().any(|file| path == Path::new(file));
        // A link may lead there from anywhere, but not under another last name.
        let inside = || FOLDERS.iter().any(|folder| path.parent() == Some(Path::new(folder)));
        if size > LARGEST || !(named() || inside()) {
            return Ok(None);
        }
        let place = self.place(layer, path);
        File::create(place).map(Some).map_err(Error::Write)
    }

    fn place(&self, layer: &Digest, path: &Path) -> PathBuf {
        let text = format!("{layer} {}", path.display());
        self.folder.join(Digest::of(text.as_bytes()).hex())
    }

    /// What is installed in an image with these layers. Nothing but regular files of our own making
    /// is read.
    pub(super) fn installed(&self, tree: &Merged, layers: &[&Digest]) -> Result<Installed, Error> {
        let root = tempfile::tempdir_in(&self.folder).map_err(Error::Write)?;
        for file in FILES {
            let place = tree.follow(Path::new(file));
            let Some(place) = place else { continue };
            if let Some(placed) = tree.get(&place) {
                self.put(root.path(), Path::new(file), (&place, placed), layers)?;
            }
        }
        for folder in FOLDERS {
            let Some(place) = tree.follow(Path::new(folder)) else { continue };
            for (path, placed) in tree.below(&place) {
                if let Ok(name) = path.strip_prefix(&place) {
                    self.put(root.path(), &Path::new(folder).join(name), (path, placed), layers)?;
                }
            }
        }
        let root = Root::open(root.path()).map_err(crate::transfer::Error::from)?;
        Ok(packages::installed(&root))
    }

    fn put(
        &self,
        root: &Path,
        path: &Path,
        (place, placed): (&Path, &Placed),
        layers: &[&Digest],
    ) -> Result<(), Error> {
        let at = placed.at.as_ref().map_or(place, |at| at.as_path());
        // A hard link's content may be in a lower layer than the link.
        let found = layers[..=placed.layer]
            .iter()
            .rev()
            .map(|layer| self.place(layer, at))
            .find(|place| place.is_file());
        let Some(found) = found else { return Ok(()) };
        let to = root.join(path);
        fs::create_dir_all(to.parent().unwrap_or(root)).map_err(Error::Write)?;
        fs::hard_link(found, to).map_err(Error::Write)
    }
}

/// Writes what passes to a file too.
pub(super) fn write(file: &mut Option<File>, bytes: &[u8]) -> Result<(), Error> {
    match file {
        Some(file) => file.write_all(bytes).map_err(Error::Write),
        None => Ok(()),
    }
}
