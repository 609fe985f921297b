//! [`Patience`]: how often something is tried again, and after which pause.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long failures that may pass are borne.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patience {
    /// The first try counts, too.
    pub tries: u32,
    /// The pause after the first failure; each further one is twice as long, all vary by a
    /// quarter so that many clients do not come back at once.
    pub first: Duration,
    /// No pause is longer, whatever a server asks for.
    pub longest: Duration,
    /// All tries and pauses together.
    pub total: Option<Duration>,
}

impl Default for Patience {
    fn default() -> Self {
        let (first, longest) = (Duration::from_millis(500), Duration::from_secs(60));
        Self { tries: 5, first, longest, total: None }
    }
}

impl Patience {
    /// Begins the first try.
    pub fn begin(&self) -> Attempts {
        Attempts { patience: self.clone(), made: 1, begun: Instant::now() }
    }
}

/// The tries of one deed.
#[derive(Debug, Clone)]
pub struct Attempts {
    patience: Patience,
    made: u32,
    begun: Instant,
}

impl Attempts {
    /// How many were made, the present one included.
    pub fn made(&self) -> u32 {
        self.made
    }

    /// The pause before the next try, as the server asked for or else our own; None when patience
    /// has run out.
    pub fn next(&mut self, asked: Option<Duration>) -> Option<Duration> {
        self.next_of(self.patience.tries, asked)
    }

    /// As [`Attempts::next`], for somebody who was not there at all: fewer tries tell as much.
    pub fn next_call(&mut self) -> Option<Duration> {
        self.next_of(self.patience.tries.min(3), None)
    }

    fn next_of(&mut self, tries: u32, asked: Option<Duration>) -> Option<Duration> {
        if self.made >= tries {
            return None;
        }
        let doubled = self.patience.first.saturating_mul(1 << (self.made - 1).min(16));
        let pause = asked.unwrap_or_else(|| vary(doubled)).min(self.patience.longest);
        if self.patience.total.is_some_and(|total| self.begun.elapsed() + pause > total) {
            return None;
        }
        self.made += 1;
        Some(pause)
    }
}

/// Three to five quarters of `pause`.
fn vary(pause: Duration) -> Duration {
    // The only source of chance in the standard library: each RandomState has other keys.
    let chance = RandomState::new().hash_one(0_u8) % 1024;
    let chance = u32::try_from(chance).expect("a remainder of 1024");
    pause * (768 + chance / 2) / 1024
}

/// Reads `Retry-After` (RFC 9110 §10.2.3): seconds, or a date.
pub fn retry_after(value: &str) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(Duration::from_secs(date(value)?.saturating_sub(now.as_secs())))
}

/// Seconds since 1970 of an IMF-fixdate (`Sun, 06 Nov 1994 08:49:37 GMT`), the only form that a
/// sender may still use (RFC 9110 §5.6.7).
pub fn date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let [_, day, month, year, time, "GMT"] = words[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let (day, year): (u64, u64) = (day.parse().ok()?, year.parse().ok()?);
    let clock: Vec<u64> = time.split(':').map_while(|part| part.parse().ok()).collect();
    let [hours, minutes, seconds] = clock[..] else { return None };
    if !(1970..10_000).contains(&year) || !(1..=31).contains(&day) || hours > 23 || minutes > 59 {
        return None;
    }
    // Howard Hinnant's days_from_civil: years begin in March, so that leap days come last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * month + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719_468;
    Some(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_tries_run_out() {
        let mut attempts = Patience::default().begin();
        for (least, most) in [(375, 625), (750, 1250), (1500, 2500), (3000, 5000)] {
            let pause = attempts.next(None).expect("another try").as_millis();
            assert!((least..=most).contains(&pause), "{pause} is not in {least}..={most}");
        }
        assert_eq!(attempts.made(), 5);
        assert_eq!(attempts.next(None), None);
        assert_eq!(attempts.made(), 5);
    }

    #[test]
    fn a_server_may_ask_for_a_pause_but_not_for_ever() {
        let mut attempts = Patience::default().begin();
        assert_eq!(attempts.next(Some(Duration::from_secs(7))), Some(Duration::from_secs(7)));
        assert_eq!(attempts.next(Some(Duration::from_secs(900))), Some(Duration::from_secs(60)));
        let total = Some(Duration::from_secs(5));
        let mut attempts = Patience { total, ..Patience::default() }.begin();
        assert_eq!(attempts.next(Some(Duration::from_secs(6))), None);
    }

    #[test]
    fn who_is_not_there_is_called_three_times() {
        let mut attempts = Patience::default().begin();
        assert!(attempts.next_call().is_some() && attempts.next_call().is_some());
        assert_eq!(attempts.next_call(), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        for (value, expected) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)), // long past
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(retry_after(value), expected.map(Duration::from_secs), "{value:?}");
        }
        for (text, expected) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Tue, 29 Feb 2000 23:59:59 GMT", Some(951_868_799)),
            ("Mon, 01 Mar 2100 00:00:00 GMT", Some(4_107_542_400)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None),
            ("Sun, 00 Nov 1994 08:49:37 GMT", None),
        ] {
            assert_eq!(date(text), expected, "{text}");
        }
    }
}
