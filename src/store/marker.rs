//! [`Marker`]: a file that says who holds a lock, where the file system has no locks.
//!
//! A shared holder has a file of its own in `<name>.shared/`; the exclusive one is
//! `<name>.exclusive`, made by `link(2)`, which is atomic on every file system. Each side shows
//! itself first and looks for the other afterwards, so that of two at least one sees the other.

use std::collections::hash_map::RandomState;
use std::ffi::OsString;
use std::fs;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::lock::Mode;

/// For how long a marker of another machine counts, whose processes we cannot see.
const FOREIGN_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// Removed when dropped.
#[derive(Debug)]
pub(super) struct Marker {
    path: PathBuf,
}

impl Marker {
    /// Marks the lock as ours; `None` when a living holder is in the way.
    pub(super) fn take(lock: &Path, mode: Mode) -> io::Result<Option<Self>> {
        match mode {
            Mode::Shared => Self::shared(lock),
            Mode::Exclusive => Self::exclusive(lock, None),
        }
    }

    /// See [`super::lock::Lock::upgrade`].
    pub(super) fn upgrade(&mut self, lock: &Path) -> io::Result<bool> {
        let Some(exclusive) = Self::exclusive(lock, Some(&self.path))? else { return Ok(false) };
        *self = exclusive;
        Ok(true)
    }

    pub(super) fn downgrade(&mut self, lock: &Path) -> io::Result<bool> {
        let shared = show(&shared_folder(lock))?;
        *self = Self { path: shared };
        Ok(true)
    }

    fn shared(lock: &Path) -> io::Result<Option<Self>> {
        let marker = Self { path: show(&shared_folder(lock))? };
        let free = !is_held(&exclusive_file(lock))?;
        Ok(free.then_some(marker))
    }

    /// `own` is a shared marker that does not count.
    fn exclusive(lock: &Path, own: Option<&Path>) -> io::Result<Option<Self>> {
        let path = exclusive_file(lock);
        let fresh = Self { path: show(lock.parent().unwrap_or(Path::new(".")))? };
        if is_held(&path)? {
            return Ok(None);
        }
        match fs::hard_link(&fresh.path, &path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            linked => linked?,
        }
        let marker = Self { path };
        let others = match fs::read_dir(shared_folder(lock)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Some(marker)),
            listed => listed?,
        };
        for other in others {
            let other = other?.path();
            if Some(&*other) != own && is_held(&other)? {
                return Ok(None);
            }
        }
        Ok(Some(marker))
    }
}

impl Drop for Marker {
    fn drop(&mut self) {
        // What cannot be removed counts for nothing once we are dead.
        drop(fs::remove_file(&self.path));
    }
}

fn shared_folder(lock: &Path) -> PathBuf {
    with_suffix(lock, ".shared")
}

fn exclusive_file(lock: &Path) -> PathBuf {
    with_suffix(lock, ".exclusive")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Writes a new file into `folder` that names us.
fn show(folder: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let path = folder.join(format!(".holder-{:016x}", RandomState::new().build_hasher().finish()));
    fs::write(&path, Holder::own().to_text())?;
    Ok(path)
}

/// Whether a living holder made `marker`; the marker of a dead one is removed.
fn is_held(marker: &Path) -> io::Result<bool> {
    let text = match fs::read_to_string(marker) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        read => read?,
    };
    let age = fs::metadata(marker)
        .and_then(|meta| meta.modified())
        .map(|time| time.elapsed().unwrap_or_default())
        .unwrap_or_default();
    let alive = match serde_json::from_str::<Holder>(&text) {
        Ok(holder) => holder.is_alive(&Holder::own(), age),
        // Its writer may be between making it and writing to it.
        Err(_) => age < Duration::from_secs(60),
    };
    if !alive
        && let Err(e) = fs::remove_file(marker)
        && e.kind() != io::ErrorKind::NotFound
    {
        return Err(e);
    }
    Ok(alive)
}

/// A process, among all those of all machines that share a file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    host: String,
    /// Of this start of the machine.
    boot: String,
    pid_namespace: String,
    pid: u32,
    /// When the process began, in the kernel's ticks: pids come back.
    start: String,
}

impl Holder {
    fn own() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let pid = std::process::id();
        Self {
            host: read("/proc/sys/kernel/hostname"),
            boot: read("/proc/sys/kernel/random/boot_id"),
            pid_namespace: namespace.to_string_lossy().into_owned(),
            pid,
            start: start_of(pid).unwrap_or_default(),
        }
    }

    fn to_text(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers")
    }

    /// `age` is the time since the marker was written.
    fn is_alive(&self, viewer: &Self, age: Duration) -> bool {
        if self.host != viewer.host {
            return age < FOREIGN_LIFE;
        }
        if self.boot != viewer.boot {
            return false;
        }
        if self.pid_namespace != viewer.pid_namespace {
            return age < FOREIGN_LIFE;
        }
        start_of(self.pid).is_some_and(|start| start == self.start)
    }
}

/// The 22nd field of `/proc/PID/stat` (proc(5)); the second one may contain blanks.
fn start_of(pid: u32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    fields.split(' ').nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_lock_as_the_kernel_does() {
        let dir = tempfile::tempdir().expect("a directory");
        let lock = dir.path().join("lock");
        let take = |mode| Marker::take(&lock, mode).expect("possible");
        let mut first = take(Mode::Shared).expect("free");
        let second = take(Mode::Shared).expect("shared");
        assert!(take(Mode::Exclusive).is_none());
        assert!(!first.upgrade(&lock).expect("asked"));
        drop(second);
        assert!(first.upgrade(&lock).expect("asked"));
        assert!(take(Mode::Exclusive).is_none());
        assert!(take(Mode::Shared).is_none());
        assert!(first.downgrade(&lock).expect("asked"));
        assert!(take(Mode::Shared).is_some());
        drop(first);
        assert!(take(Mode::Exclusive).is_some());
        let left = fs::read_dir(dir.path().join("lock.shared")).expect("there").count();
        assert_eq!(left, 0, "markers were left behind");
        assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 1);
    }

    #[test]
    fn the_dead_hold_nothing() {
        let own = Holder::own();
        let young = Duration::from_secs(1);
        let rows = [
            (own.clone(), young, true),
            (Holder { start: "1".into(), ..own.clone() }, young, false),
            (Holder { pid: u32::MAX, ..own.clone() }, young, false),
            (Holder { boot: "another".into(), ..own.clone() }, young, false),
            (Holder { pid_namespace: "pid:[1]".into(), ..own.clone() }, young, true),
            (Holder { pid_namespace: "pid:[1]".into(), ..own.clone() }, FOREIGN_LIFE, false),
            (Holder { host: "elsewhere".into(), ..own.clone() }, young, true),
            (Holder { host: "elsewhere".into(), ..own.clone() }, FOREIGN_LIFE, false),
        ];
        for (holder, age, alive) in rows {
            assert_eq!(holder.is_alive(&own, age), alive, "{holder:?}");
        }
        let dir = tempfile::tempdir().expect("a directory");
        let lock = dir.path().join("lock");
        let dead = Holder { start: "1".into(), ..own };
        fs::write(exclusive_file(&lock), dead.to_text()).expect("writable");
        assert!(Marker::take(&lock, Mode::Exclusive).expect("possible").is_some());
    }
}
