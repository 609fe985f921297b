//! Several deeds at the same time, ended by the first that fails.

use std::sync::Mutex;
use std::thread;

use super::Error;
use crate::concurrency::{Cancel, Semaphore};

/// Does `deed` to each item, up to `jobs` at the same time, beginning in the given order. Others may
/// have permits of the same `semaphore`.
///
/// # Errors
///
/// The first that happened; what others then said was only because they were told to stop.
pub(super) fn each<T: Send>(
    items: Vec<T>,
    jobs: usize,
    semaphore: Option<&Semaphore>,
    cancel: &Cancel,
    deed: impl Fn(T) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let threads = jobs.clamp(1, items.len().max(1));
    if threads == 1 {
        return items.into_iter().try_for_each(|item| {
            let _permit = semaphore.map(Semaphore::acquire);
            if cancel.is_set() { Err(Error::Cancelled) } else { deed(item) }
        });
    }
    let queue = Mutex::new(items.into_iter());
    let first = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let _permit = semaphore.map(Semaphore::acquire);
                    if cancel.is_set() {
                        first
                            .lock()
                            .expect("keeping an error cannot panic")
                            .get_or_insert(Error::Cancelled);
                        return;
                    }
                    let next = queue.lock().expect("taking an item cannot panic").next();
                    let Some(item) = next else { return };
                    if let Err(error) = deed(item) {
                        first.lock().expect("keeping an error cannot panic").get_or_insert(error);
                        cancel.set();
                    }
                }
            });
        }
    });
    first.into_inner().expect("keeping an error cannot panic").map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn all_are_done_unless_one_fails() {
        for jobs in [0, 1, 3, 50] {
            let sum = AtomicUsize::new(0);
            let add = |n| {
                sum.fetch_add(n, Ordering::Relaxed);
                Ok(())
            };
            each((1..=10).collect(), jobs, None, &Cancel::default(), add).expect("no deed fails");
            assert_eq!(sum.into_inner(), 55);

            let cancel = Cancel::default();
            let fail = |n| if n == 1 { Err(Error::Cancelled) } else { Ok(()) };
            each((1..=10).collect(), jobs, None, &cancel, fail).expect_err("one deed fails");
        }
        each(Vec::<()>::new(), 4, None, &Cancel::default(), |()| Ok(())).expect("nothing to do");
    }
}
