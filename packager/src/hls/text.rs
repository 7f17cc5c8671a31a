//! The small words of playlists: seconds, dates, attribute lists (draft-pantos-hls-rfc8216bis section 4.2).

use std::fmt::{self, Write as _};
use std::time::Duration;

/// A decimal number of seconds, to a hundred thousandth, rounded to the nearest: what is no longer than
/// another is not written as longer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seconds(pub(super) Duration);

/// A moment as ISO 8601 has it, in UTC, to the millisecond: the time since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Date(pub(super) Duration);

/// A name and what stands behind its `?`, if anything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uri<'a, N>(pub(super) N, pub(super) &'a str);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = (self.0.as_nanos() + 5_000) / 10_000;
        write!(f, "{}.{:05}", parts / 100_000, parts % 100_000)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0.as_secs(), self.0.subsec_millis());
        let (year, month, day) = civil(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

impl<N: fmt::Display> fmt::Display for Uri<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name, query) = self;
        match *query {
            "" => write!(f, "{name}"),
            query => write!(f, "{name}?{query}"),
        }
    }
}

/// Year, month and day of so many days after 1970-01-01, in the Gregorian calendar. The year begins in March,
/// so that the leap day is its last: then 400 years are 146,097 days, and the months from March on begin
/// after `(153 * month + 2) / 5` days.
fn civil(days: u64) -> (u64, u64, u64) {
    // 1970-01-01 is 719,468 days after 0000-03-01.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = 400 * era + year + u64::from(month >= 10);
    (year, if month < 10 { month + 3 } else { month - 9 }, day)
}

/// A playlist in the making.
#[derive(Debug, Default)]
pub(super) struct Lines(String);

impl Lines {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    /// One more line.
    pub(super) fn push(&mut self, line: fmt::Arguments<'_>) {
        // A `String` takes whatever is written.
        let _ = self.0.write_fmt(line);
        self.0.push('\n');
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// What may stand between the quotes of an attribute: neither a quote nor a control character.
pub(super) fn quoted(text: &str) -> String {
    text.chars().filter(|c| *c != '"' && !c.is_control()).take(128).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(nanos: u64) -> String {
        Seconds(Duration::from_nanos(nanos)).to_string()
    }

    #[test]
    fn seconds_have_five_digits_and_are_rounded() {
        assert_eq!(seconds(0), "0.00000");
        assert_eq!(seconds(2_000_000_000), "2.00000");
        assert_eq!(seconds(233_333_333), "0.23333");
        assert_eq!(seconds(266_666_666), "0.26667");
        assert_eq!(seconds(999_996_000), "1.00000");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let date = |millis| Date(Duration::from_millis(millis)).to_string();
        assert_eq!(date(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(date(951_782_399_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(date(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(date(1_709_251_199_001), "2024-02-29T23:59:59.001Z");
        assert_eq!(date(4_107_542_400_000), "2100-03-01T00:00:00.000Z", "2100 has no leap day");
        assert_eq!(date(1_795_292_058_123), "2026-11-21T20:14:18.123Z");
    }

    #[test]
    fn a_query_stands_behind_the_name() {
        assert_eq!(Uri("a.m4s", "").to_string(), "a.m4s");
        assert_eq!(Uri("a.m4s", "token=x").to_string(), "a.m4s?token=x");
    }

    #[test]
    fn a_quote_does_not_end_an_attribute() {
        assert_eq!(quoted("a\"b\nc\u{7f}"), "abc");
        assert_eq!(quoted(&"é".repeat(200)).chars().count(), 128);
    }

    proptest! {
        #[test]
        fn what_is_no_longer_is_not_written_as_longer(a in 0u64..1 << 45, b in 0u64..1 << 45) {
            let number = |nanos| seconds(nanos).parse::<f64>().expect("a number");
            prop_assert!(a > b || number(a) <= number(b));
            prop_assert!((number(a) - a as f64 / 1e9).abs() <= 0.000_006);
        }

        #[test]
        fn days_follow_one_another(day in 0u64..4_000_000) {
            let (today, tomorrow) = (civil(day), civil(day + 1));
            prop_assert!(today < tomorrow);
            prop_assert!((1..=12).contains(&today.1) && (1..=31).contains(&today.2));
            let next = (today.0, today.1, today.2 + 1);
            prop_assert!(tomorrow == next || tomorrow.2 == 1);
        }
    }
}
