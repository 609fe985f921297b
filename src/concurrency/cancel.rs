//! [`Cancel`]: word for those who still work that it is in vain.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared by all its clones. Said once, it stays said.
#[derive(Clone, Default)]
pub struct Cancel {
    shared: Arc<Shared>,
    /// Who says it to this one, too.
    parent: Option<Arc<Self>>,
}

#[derive(Default)]
struct Shared {
    is_set: AtomicBool,
    calls: Mutex<Calls>,
}

#[derive(Default)]
struct Calls {
    next: u64,
    open: BTreeMap<u64, Arc<dyn Fn() + Send + Sync>>,
}

impl Cancel {
    /// One for a part of the work: the whole cancels it, and it does not cancel the whole.
    pub fn child(&self) -> Self {
        Self { shared: Arc::default(), parent: Some(Arc::new(self.clone())) }
    }

    pub fn is_set(&self) -> bool {
        self.shared.is_set.load(Ordering::SeqCst)
            || self.parent.as_ref().is_some_and(|parent| parent.is_set())
    }

    /// Says it, and calls all that wait for it.
    pub fn set(&self) {
        self.shared.is_set.store(true, Ordering::SeqCst);
        let calls: Vec<_> = self.shared.calls().open.values().cloned().collect();
        calls.iter().for_each(|call| call());
    }

    /// Calls `deed` when it is said, from the thread that says it, and at once if it was said before;
    /// perhaps more than once. Not any more when what is returned is dropped, unless the call is under
    /// way.
    #[must_use]
    pub fn watch(&self, deed: impl Fn() + Send + Sync + 'static) -> Watch {
        let deed: Arc<dyn Fn() + Send + Sync> = Arc::new(deed);
        let mut watched = Vec::new();
        let mut next = Some(self);
        while let Some(cancel) = next {
            let mut calls = cancel.shared.calls();
            let number = calls.next;
            calls.next += 1;
            calls.open.insert(number, Arc::clone(&deed));
            watched.push((Arc::clone(&cancel.shared), number));
            next = cancel.parent.as_deref();
        }
        // Who said it in between has called it, or is seen here.
        if self.is_set() {
            deed();
        }
        Watch(watched)
    }
}

impl Shared {
    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancel").field(&self.is_set()).finish()
    }
}

/// All are alike: it is no part of what it comes with.
impl PartialEq for Cancel {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Cancel {}

/// Ends a [`Cancel::watch`] when it is dropped.
pub struct Watch(Vec<(Arc<Shared>, u64)>);

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watch").finish_non_exhaustive()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for (shared, number) in &self.0 {
            shared.calls().open.remove(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn the_whole_cancels_its_parts() {
        let whole = Cancel::default();
        let (one, other) = (whole.child(), whole.clone().child());
        one.set();
        assert_eq!((whole.is_set(), one.is_set(), other.is_set()), (false, true, false));
        whole.set();
        assert!(other.is_set() && whole.child().is_set());
    }

    #[test]
    fn watchers_are_called_before_and_after() {
        let whole = Cancel::default();
        let part = whole.child();
        let count = Arc::new(AtomicUsize::new(0));
        let counting = || {
            let count = Arc::clone(&count);
            move || {
                count.fetch_add(1, Ordering::SeqCst);
            }
        };
        let gone = part.watch(counting());
        let kept = part.watch(counting());
        drop(gone);
        assert_eq!(count.load(Ordering::SeqCst), 0);
        whole.set();
        assert_eq!(count.load(Ordering::SeqCst), 1);
        let late = part.watch(counting());
        assert_eq!(count.load(Ordering::SeqCst), 2);
        drop((kept, late));
    }
}
