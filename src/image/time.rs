//! [`Timestamp`]: a moment as image configurations write it (RFC 3339).

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Error;

/// Seconds and nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    pub const EPOCH: Self = Self(jiff::Timestamp::UNIX_EPOCH);

    /// Times beyond the year 9999 are cut to it.
    pub fn from_seconds(seconds: i64) -> Self {
        let limits = jiff::Timestamp::MIN.as_second()..=jiff::Timestamp::MAX.as_second();
        let seconds = seconds.clamp(*limits.start(), *limits.end());
        Self(jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
    }

    pub fn seconds(self) -> i64 {
        self.0.as_second()
    }

    pub fn nanoseconds(self) -> u32 {
        u32::try_from(self.0.subsec_nanosecond()).unwrap_or(0)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanoseconds = i32::try_from(since.subsec_nanos()).unwrap_or(0);
        let seconds = i64::try_from(since.as_secs()).unwrap_or(0);
        Self(jiff::Timestamp::new(seconds, nanoseconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
    }
}

/// Times before 1970 become its beginning.
impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        let seconds = u64::try_from(time.seconds()).unwrap_or(0);
        UNIX_EPOCH + Duration::new(seconds, time.nanoseconds())
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        text.parse()
            .map(Self)
            .map_err(|_| Error::Time(text.to_owned(), "not a time in the form of RFC 3339"))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints() {
        let time: Timestamp = "2024-05-01T10:00:00.5+02:00".parse().expect("valid");
        assert_eq!(time.to_string(), "2024-05-01T08:00:00.5Z");
        assert_eq!(Timestamp::from_seconds(0).to_string(), "1970-01-01T00:00:00Z");
        assert!("yesterday".parse::<Timestamp>().is_err());
    }
}
