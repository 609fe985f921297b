//! [`Semaphore`]: how many may be at work at the same time.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A number of permits. They go to those who asked first.
#[derive(Debug)]
pub struct Semaphore {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// The number of the next one who asks.
    last: u64,
    /// The number of the next one whose turn it is.
    first: u64,
}

impl Semaphore {
    /// At least one.
    pub fn new(permits: usize) -> Self {
        let state = State { free: permits.max(1), last: 0, first: 0 };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Waits for a permit, which is given back when it is dropped.
    pub fn acquire(&self) -> Permit<'_> {
        let mut state = self.state();
        let own = state.last;
        state.last += 1;
        while state.free == 0 || state.first != own {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.free -= 1;
        state.first += 1;
        drop(state);
        // Another permit may be free for who comes next.
        self.changed.notify_all();
        Permit(self)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to work, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Permit<'s>(&'s Semaphore);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.state().free += 1;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn no_more_than_that_many_at_once() {
        for permits in [0, 1, 3] {
            let (semaphore, now, most) =
                (Semaphore::new(permits), AtomicUsize::new(0), AtomicUsize::new(0));
            thread::scope(|scope| {
                for _ in 0..20 {
                    scope.spawn(|| {
                        let _permit = semaphore.acquire();
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        thread::yield_now();
                        now.fetch_sub(1, Ordering::SeqCst);
                    });
                }
            });
            assert!((1..=permits.max(1)).contains(&most.into_inner()));
        }
    }
}
