//! [`Table`]: numbers for [`Credentials`], small enough to travel in a resource limit.
//!
//! A process's number is the distance of its soft limit from its hard one in `RLIMIT_LOCKS`, which
//! Linux has ignored since 2.4.25: the kernel itself hands it on at fork, vfork and clone, keeps it
//! over execve, forgets it at exit, and lets us read and set it from outside with one call. So there
//! is no process to keep track of and no number of a process to mix up.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::{Credentials, Result};
use crate::sys::errno::Errno;

/// All credentials that any process of a sandbox has had, each once, by number. Nothing is ever
/// removed, for nobody knows which numbers are still in use; a build has a few dozen.
#[derive(Debug)]
pub(crate) struct Table {
    entries: RwLock<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_number: Vec<Arc<Credentials>>,
    numbers: HashMap<Arc<Credentials>, u64>,
}

impl Table {
    /// [`Credentials::root`] alone, as number 0.
    pub(crate) fn new() -> Self {
        let mut entries = Entries::default();
        entries.add(Arc::new(Credentials::root()));
        Self { entries: RwLock::new(entries) }
    }

    /// Whether no process has ever been anybody but root.
    pub(crate) fn is_roots_alone(&self) -> bool {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).by_number.len() == 1
    }

    /// The credentials of a number. One that was never given out is plain root's: some process has
    /// then set its limit in a way that the filter does not see.
    pub(crate) fn get(&self, number: u64) -> Arc<Credentials> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        Arc::clone(entries.by_number.get(index).unwrap_or(&entries.by_number[0]))
    }

    /// The number of these credentials, a new one if there is none yet.
    ///
    /// `hard` is the hard limit of the process that gets them: where a site lowered it, numbers
    /// above it cannot be carried.
    ///
    /// # Errors
    ///
    /// `EAGAIN`, which setuid(2) knows for credentials that cannot be allocated.
    pub(crate) fn intern(&self, credentials: Credentials, hard: u64) -> Result<u64> {
        let known = |entries: &Entries| entries.numbers.get(&credentials).copied();
        let number = known(&self.entries.read().unwrap_or_else(PoisonError::into_inner));
        let number = match number {
            Some(number) => number,
            None => {
                let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
                match known(&entries) {
                    Some(number) => number,
                    None if entries.by_number.len() as u64 > hard => return Err(Errno::AGAIN),
                    None => entries.add(Arc::new(credentials)),
                }
            }
        };
        if number <= hard { Ok(number) } else { Err(Errno::AGAIN) }
    }

    /// The number that a process carries in these limits.
    pub(crate) fn number(soft: u64, hard: u64) -> u64 {
        hard.saturating_sub(soft)
    }

    /// The soft limit that carries a number, which [`Self::intern`] has found to fit.
    pub(crate) fn soft(number: u64, hard: u64) -> u64 {
        hard.saturating_sub(number)
    }
}

impl Entries {
    fn add(&mut self, credentials: Arc<Credentials>) -> u64 {
        let number = self.by_number.len() as u64;
        self.by_number.push(Arc::clone(&credentials));
        self.numbers.insert(credentials, number);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::emulate::credentials::Ids;

    fn user(uid: u32) -> Credentials {
        Credentials { uid: Ids::all(uid), ..Credentials::root() }
    }

    #[test]
    fn equal_credentials_have_one_number_whoever_asks() {
        let table = Table::new();
        assert_eq!(table.intern(Credentials::root(), u64::MAX), Ok(0));
        let each = || (1..200).map(|uid| table.intern(user(uid), u64::MAX)).collect::<Vec<_>>();
        let all = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(each)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
        });
        assert!(all.iter().all(|numbers| *numbers == all[0]), "{all:?}");
        for (uid, number) in (1..200).zip(&all[0]) {
            let number = number.expect("room for all");
            assert_eq!(*table.get(number), user(uid));
            let soft = Table::soft(number, u64::MAX);
            assert_eq!(Table::number(soft, u64::MAX), number);
        }
    }

    #[test]
    fn a_low_hard_limit_carries_as_many_as_fit() {
        let table = Table::new();
        for uid in 1..=100 {
            assert_eq!(table.intern(user(uid), 100), Ok(u64::from(uid)));
        }
        assert_eq!(table.intern(user(101), 100), Err(Errno::AGAIN));
        assert_eq!(table.intern(user(100), 100), Ok(100), "known ones are still given out");
        assert_eq!(table.intern(user(100), 99), Err(Errno::AGAIN));
        assert_eq!(Table::number(Table::soft(100, 100), 100), 100);
    }

    #[test]
    fn a_number_that_nobody_gave_is_plain_root() {
        assert_eq!(*Table::new().get(7), Credentials::root());
        assert_eq!(Table::number(9, 4), 0, "no kernel lets soft be above hard");
    }
}
