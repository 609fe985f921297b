//! [`Pace`]: not more than so many requests per second.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Lets one request after the other go, all threads together.
#[derive(Debug)]
pub(super) struct Pace {
    /// Between the beginnings of two requests.
    pause: Duration,
    /// When the next one may go.
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// `rate` is in requests per second; what is no positive number limits nothing.
    pub(super) fn new(rate: f64) -> Self {
        let pause = Duration::try_from_secs_f64(rate.recip()).unwrap_or_default();
        Self { pause, next: Mutex::new(None) }
    }

    pub(super) fn wait(&self) {
        std::thread::sleep(self.turn(Instant::now()));
    }

    /// How long somebody has to wait who comes now; the place after him is the next one's.
    fn turn(&self, now: Instant) -> Duration {
        let mut next = self.next.lock().expect("no thread panics while it takes its turn");
        let turn = next.map_or(now, |next| next.max(now));
        *next = turn.checked_add(self.pause);
        turn - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_go_one_after_the_other() {
        let (pace, now) = (Pace::new(4.0), Instant::now());
        let turns = [0, 0, 0, 600, 2000].map(|late| {
            let turn = pace.turn(now + Duration::from_millis(late));
            turn.as_millis() as u64 + late
        });
        assert_eq!(turns, [0, 250, 500, 750, 2000], "who paused may not catch up");
        for rate in [0.0, -1.0, f64::NAN] {
            let pace = Pace::new(rate);
            assert_eq!((pace.turn(now), pace.turn(now)), (Duration::ZERO, Duration::ZERO));
        }
    }
}
