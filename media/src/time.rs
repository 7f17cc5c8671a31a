//! Times of media, exact: ticks and how many of them make a second. Never floats: a sum of rounded frame
//! durations drifts, and two containers must agree on the same boundary.

use std::cmp::Ordering;

/// A point on the timeline of one publisher, or a distance between two.
#[derive(Clone, Copy, Debug)]
pub struct MediaTime {
    ticks: i64,
    scale: u32,
}

impl MediaTime {
    /// The beginning.
    pub const ZERO: Self = Self { ticks: 0, scale: 1 };

    /// `ticks` of 1/`scale` s each; a scale of 0 counts as 1.
    pub const fn new(ticks: i64, scale: u32) -> Self {
        Self { ticks, scale: if scale == 0 { 1 } else { scale } }
    }

    /// In milliseconds, as RTMP counts.
    pub const fn from_millis(millis: i64) -> Self {
        Self::new(millis, 1000)
    }

    /// In nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self::new(nanos, 1_000_000_000)
    }

    /// Ticks of its own scale.
    pub const fn ticks(self) -> i64 {
        self.ticks
    }

    /// Ticks per second.
    pub const fn scale(self) -> u32 {
        self.scale
    }

    /// The same time in ticks of 1/`scale` s, rounded to the nearest (halves away from zero) and held
    /// within what an `i64` can say.
    pub fn in_scale(self, scale: u32) -> i64 {
        let (from, to) = (i128::from(self.scale), i128::from(scale.max(1)));
        let scaled = i128::from(self.ticks) * to;
        let half = if scaled < 0 { -from / 2 } else { from / 2 };
        let rounded = (scaled + half) / from;
        i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
    }

    /// In nanoseconds, see [`MediaTime::in_scale`].
    pub fn nanos(self) -> i64 {
        self.in_scale(1_000_000_000)
    }

    /// In milliseconds, see [`MediaTime::in_scale`].
    pub fn millis(self) -> i64 {
        self.in_scale(1000)
    }

    /// The sum, in the scale of `self`.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self::new(self.ticks.saturating_add(other.in_scale(self.scale)), self.scale)
    }

    /// The distance from `earlier` to this, in the scale of `self`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self::new(self.ticks.saturating_sub(earlier.in_scale(self.scale)), self.scale)
    }
}

impl PartialEq for MediaTime {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for MediaTime {}

impl PartialOrd for MediaTime {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for MediaTime {
    fn cmp(&self, other: &Self) -> Ordering {
        let left = i128::from(self.ticks) * i128::from(other.scale);
        left.cmp(&(i128::from(other.ticks) * i128::from(self.scale)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_the_same_moment_is_equal_in_any_scale() {
        assert_eq!(MediaTime::from_millis(40), MediaTime::new(3600, 90_000));
        assert_eq!(MediaTime::from_millis(1).in_scale(90_000), 90);
        assert_eq!(MediaTime::new(1, 3).millis(), 333);
        assert_eq!(MediaTime::new(-1, 2).in_scale(1), -1, "halves go away from zero");
        assert_eq!(MediaTime::new(i64::MAX, 1).nanos(), i64::MAX, "held, not wrapped");
        let sum = MediaTime::from_millis(1).plus(MediaTime::new(90, 90_000));
        assert_eq!((sum.ticks(), sum.scale()), (2, 1000));
    }

    proptest! {
        #[test]
        fn a_finer_scale_that_is_a_multiple_loses_nothing(ticks in -1i64 << 40..1 << 40) {
            let time = MediaTime::from_millis(ticks);
            let fine = MediaTime::new(time.in_scale(90_000), 90_000);
            prop_assert_eq!(time, fine);
            prop_assert_eq!(fine.millis(), ticks);
        }

        #[test]
        fn nothing_overflows(a: i64, s: u32, b: i64, t: u32) {
            let (a, b) = (MediaTime::new(a, s), MediaTime::new(b, t));
            let _ = (a.plus(b), a.since(b), a.nanos(), a.in_scale(t), a.cmp(&b));
        }
    }
}
