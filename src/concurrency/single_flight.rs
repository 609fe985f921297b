//! [`SingleFlight`]: the same work is done once, whoever asks for it and however many do.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Results by key; remembered as long as this lives.
#[derive(Debug)]
pub struct SingleFlight<K, V> {
    flights: Mutex<HashMap<K, Flight<V>>>,
    landed: Condvar,
}

#[derive(Debug)]
enum Flight<V> {
    UnderWay,
    Landed(V),
}

impl<K, V> Default for SingleFlight<K, V> {
    fn default() -> Self {
        Self { flights: Mutex::default(), landed: Condvar::new() }
    }
}

impl<K: Eq + Hash + Clone, V: Clone> SingleFlight<K, V> {
    /// The result of the work with this key: the first who asks does it, those who ask meanwhile wait.
    /// When it fails, the next one does it again. Says whether it was done by this call.
    ///
    /// Who works must not ask for the same key.
    pub fn run<E>(&self, key: &K, work: impl FnOnce() -> Result<V, E>) -> Result<(V, bool), E> {
        let mut flights = self.flights();
        loop {
            match flights.get(key) {
                None => break,
                Some(Flight::Landed(value)) => return Ok((value.clone(), false)),
                Some(Flight::UnderWay) => {
                    flights = self.landed.wait(flights).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
        flights.insert(key.clone(), Flight::UnderWay);
        drop(flights);
        let mut failed = Failed { all: self, key: Some(key) };
        let value = work()?;
        failed.key = None;
        self.flights().insert(key.clone(), Flight::Landed(value.clone()));
        self.landed.notify_all();
        Ok((value, true))
    }

    /// All results that there are by now, in no order.
    pub fn landed(&self) -> Vec<(K, V)> {
        let flights = self.flights();
        let landed = flights.iter().filter_map(|(key, flight)| match flight {
            Flight::Landed(value) => Some((key.clone(), value.clone())),
            Flight::UnderWay => None,
        });
        landed.collect()
    }

    /// The result, if there is one already.
    pub fn get(&self, key: &K) -> Option<V> {
        match self.flights().get(key) {
            Some(Flight::Landed(value)) => Some(value.clone()),
            _ => None,
        }
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<K, Flight<V>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets the next one try when the work fails or panics.
struct Failed<'f, K: Eq + Hash + Clone, V: Clone> {
    all: &'f SingleFlight<K, V>,
    key: Option<&'f K>,
}

impl<K: Eq + Hash + Clone, V: Clone> Drop for Failed<'_, K, V> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.all.flights().remove(key);
            self.all.landed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn work_is_done_once() {
        let (flights, count) = (SingleFlight::default(), AtomicUsize::new(0));
        let done = AtomicUsize::new(0);
        thread::scope(|scope| {
            for number in 0..20 {
                let (flights, count, done) = (&flights, &count, &done);
                scope.spawn(move || {
                    let work = || {
                        thread::yield_now();
                        Ok::<_, ()>(count.fetch_add(1, Ordering::SeqCst))
                    };
                    let (_, own) = flights.run(&(number % 2), work).expect("it does not fail");
                    done.fetch_add(usize::from(own), Ordering::SeqCst);
                });
            }
        });
        assert_eq!((count.into_inner(), done.into_inner()), (2, 2));
        assert!(flights.get(&1).is_some() && flights.get(&2).is_none());
        let mut keys: Vec<i32> = flights.landed().into_iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        assert_eq!(keys, [0, 1]);
    }

    #[test]
    fn who_fails_leaves_it_to_the_next() {
        let flights = SingleFlight::default();
        assert_eq!(flights.run(&1, || Err("no")), Err("no"));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            flights.run(&1, || -> Result<u8, ()> { panic!("a bug") })
        }));
        assert!(panicked.is_err());
        assert_eq!(flights.run(&1, || Ok::<_, ()>(7)), Ok((7, true)));
        assert_eq!(flights.run(&1, || Err("no")), Ok((7, false)));
    }
}
