//! [`Logs`]: what the commands of one build wrote, whole, in files that outlive it.
//!
//! `logs/WHEN-RANDOM/` belongs to one build, which holds `lock` in it as long as it lives. The
//! directories of the last builds are kept; older ones go when a new one is made, unless their build
//! still runs.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher as _, Hasher as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::lock::Lock;
use super::{Error, Result, Store};

/// The logs of so many builds are kept.
const KEPT: usize = 20;

const LOCK: &str = "lock";

/// The directory of one build.
#[derive(Debug)]
pub struct Logs {
    folder: PathBuf,
    _lock: Lock,
}

impl Store {
    /// A place for the logs of a new build; logs of old ones are removed for it.
    pub fn logs(&self) -> Result<Logs> {
        let all = self.root.join("logs");
        fs::create_dir_all(&all).map_err(Error::io("making", &all))?;
        // Nothing here reaches an image: names that sort by time may come from the clock.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let random = RandomState::new().build_hasher().finish();
        let folder = all.join(format!("{:014}-{:08x}", now.as_millis(), random >> 32));
        fs::create_dir(&folder).map_err(Error::io("making", &folder))?;
        let path = folder.join(LOCK);
        let lock = Lock::exclusive_now(&path).map_err(Error::io("locking", &path))?;
        let lock = lock.ok_or_else(|| Error::Io {
            action: "locking",
            path,
            source: std::io::ErrorKind::WouldBlock.into(),
        })?;
        let old = self.entries("logs")?;
        for folder in &old[..old.len().saturating_sub(KEPT)] {
            drop(remove(folder)); // Whoever could not be removed harms nobody.
        }
        Ok(Logs { folder, _lock: lock })
    }
}

/// Removes a build's logs, if the build is over.
fn remove(folder: &Path) -> std::io::Result<()> {
    match Lock::exclusive_now(&folder.join(LOCK))? {
        Some(_lock) => fs::remove_dir_all(folder),
        None => Ok(()),
    }
}

impl Logs {
    /// A new file, for its owner alone.
    pub fn file(&self, name: &str) -> Result<(PathBuf, File)> {
        let path = self.folder.join(name);
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(Error::io("writing", &path))?;
        Ok((path, file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_builds_are_kept_and_those_that_run() {
        let folder = tempfile::tempdir().expect("a directory");
        let store = Store::open(&folder.path().join("store")).expect("a store");
        let running = store.logs().expect("a place");
        let (path, _) = running.file("1.log").expect("a file");
        assert!(running.file("1.log").is_err(), "a log is written once");
        // Names tell milliseconds apart, and this one is to be the oldest.
        std::thread::sleep(std::time::Duration::from_millis(2));
        for _ in 0..KEPT + 3 {
            // As an older build's.
            store.logs().expect("a place").file("x.log").expect("a file");
        }
        let left = store.entries("logs").expect("the directory");
        assert!(path.exists(), "its build runs");
        assert!(left.len() <= KEPT + 1, "{left:?}");
        drop(running);
        drop(store.logs().expect("a place"));
        let left = store.entries("logs").expect("the directory");
        assert!(!path.exists() && left.len() == KEPT, "{left:?}");
    }
}
