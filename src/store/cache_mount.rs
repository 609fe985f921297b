//! [`CacheMount`]: a directory of `RUN --mount=type=cache`, which outlives the builds that use it.
//!
//! No key of a step and no layer contains anything of it, so nothing but time is lost with it.
//! Removing images leaves it alone.

use std::fs;
use std::path::{Path, PathBuf};

use super::lock::{Lock, Mode};
use super::{Durability, Error, Result, Store};
use crate::dockerfile::Sharing;
use crate::image::Digest;

/// A cache's directory, reserved until dropped as its sharing asks for.
#[derive(Debug)]
pub struct CacheMount<'a> {
    store: &'a Store,
    /// Of this copy of the cache; there are several only where users of a private one met.
    folder: PathBuf,
    key: Digest,
    _lock: Lock,
}

impl Store {
    /// Reserves the cache of this key. Users of a shared one meet in it; who wants a locked one
    /// waits until it is alone, and so does who meets that one; a private one is another one for
    /// each of those who run at the same time. `waits` is called before it is waited.
    ///
    /// `name` is for people who look at the storage directory.
    pub fn cache_mount(
        &self,
        key: &Digest,
        name: &str,
        sharing: Sharing,
        waits: &dyn Fn(),
    ) -> Result<CacheMount<'_>> {
        let folder = self.root.join("caches").join(key.hex());
        // The store may be older than caches are.
        fs::create_dir_all(&folder).map_err(Error::io("making", &folder))?;
        let note = folder.join("name");
        if !note.exists() {
            self.replace(&note, format!("{name}\n").as_bytes(), Durability::InMemory)?;
        }
        let lock_file = |number: u32| folder.join(format!("{number}.lock"));
        let first = lock_file(0);
        let failed = |path: &Path| Error::io("locking", path.to_owned());
        let (number, lock) = match sharing {
            Sharing::Shared => {
                // Only a locked user is in the way, and it is not known before.
                (0, Lock::wait(&first, Mode::Shared).map_err(failed(&first))?)
            }
            Sharing::Locked => match Lock::exclusive_now(&first).map_err(failed(&first))? {
                Some(lock) => (0, lock),
                None => {
                    waits();
                    (0, Lock::wait(&first, Mode::Exclusive).map_err(failed(&first))?)
                }
            },
            Sharing::Private => {
                let mut number = 0;
                loop {
                    let path = lock_file(number);
                    if let Some(lock) = Lock::exclusive_now(&path).map_err(failed(&path))? {
                        break (number, lock);
                    }
                    number += 1;
                }
            }
        };
        let folder = folder.join(number.to_string());
        Ok(CacheMount { store: self, folder, key: key.clone(), _lock: lock })
    }
}

impl CacheMount<'_> {
    /// The directory; None when there is none yet.
    pub fn existing(&self) -> Option<PathBuf> {
        Some(self.folder.join("fs")).filter(|files| files.exists())
    }

    /// The directory. When there is none yet, `fill` gets an empty one to make its content.
    pub fn files<E: From<Error>>(
        &self,
        fill: impl FnOnce(&Path) -> std::result::Result<(), E>,
    ) -> std::result::Result<PathBuf, E> {
        let files = self.folder.join("fs");
        if files.exists() {
            return Ok(files);
        }
        // Those who share it begin with the same content.
        let _lease = self.store.lease(&self.key)?;
        if files.exists() {
            return Ok(files);
        }
        let workspace = self.store.workspace()?;
        let new = workspace.path().join("fs");
        fs::create_dir(&new).map_err(Error::io("making", &new))?;
        fill(&new)?;
        fs::create_dir_all(&self.folder).map_err(Error::io("making", &self.folder))?;
        fs::rename(&new, &files).map_err(Error::io("making", &files))?;
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().expect("a directory");
        let store = Store::open(&folder.path().join("store")).expect("a store");
        (folder, store)
    }

    /// The same store, as another process has it.
    fn again(store: &Store) -> Store {
        Store::open(store.path()).expect("a store")
    }

    fn files(mount: &CacheMount<'_>) -> PathBuf {
        mount.files(|_| Ok::<_, Error>(())).expect("a directory")
    }

    #[test]
    fn a_cache_keeps_what_it_has() {
        let (_folder, store) = store();
        let key = Digest::of(b"a");
        let filled = Cell::new(0);
        let before = store.cache_mount(&key, "a", Sharing::Shared, &|| ()).expect("a cache");
        assert_eq!(before.existing(), None);
        drop(before);
        for _ in 0..2 {
            let mount = store.cache_mount(&key, "a", Sharing::Shared, &|| ()).expect("a cache");
            let path = mount
                .files(|path| {
                    filled.set(filled.get() + 1);
                    fs::write(path.join("file"), "1").map_err(Error::io("writing", path))
                })
                .expect("a directory");
            assert_eq!(fs::read_to_string(path.join("file")).expect("it is kept"), "1");
        }
        assert_eq!(filled.get(), 1);
        store.remove(&[]).expect("nothing is in the way");
        let mount = store.cache_mount(&key, "a", Sharing::Shared, &|| ()).expect("a cache");
        assert!(files(&mount).join("file").exists(), "removing images leaves caches alone");
        let other = store.cache_mount(&Digest::of(b"b"), "b", Sharing::Shared, &|| ());
        assert!(!files(&other.expect("a cache")).join("file").exists());
    }

    #[test]
    fn those_who_meet_share_wait_or_get_their_own() {
        let (_folder, store) = store();
        let key = Digest::of(b"a");
        let get = |store: &'static Store, sharing| {
            store.cache_mount(&key, "a", sharing, &|| ()).expect("a cache")
        };
        let (one, two): (&'static Store, &'static Store) =
            (Box::leak(Box::new(again(&store))), Box::leak(Box::new(again(&store))));
        let (first, second) = (get(one, Sharing::Shared), get(two, Sharing::Shared));
        assert_eq!(files(&first), files(&second));
        let private = get(two, Sharing::Private);
        assert_ne!(files(&first), files(&private));
        let another = get(one, Sharing::Private);
        assert_ne!(files(&private), files(&another));
        drop((first, second, private, another));
        let locked = get(one, Sharing::Locked);
        let waited = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let waits = || waited.store(true, std::sync::atomic::Ordering::SeqCst);
                drop(two.cache_mount(&key, "a", Sharing::Locked, &waits).expect("a cache"));
            });
            while !waited.load(std::sync::atomic::Ordering::SeqCst) {
                std::thread::yield_now();
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert!(!waiter.is_finished(), "it is locked");
            drop(locked);
            waiter.join().expect("it gets it");
        });
    }
}
