//! A sum that grows, as a rate over the last second: one writes, anybody reads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const WINDOW_MS: u64 = 1000;
/// Nothing came for so long: the rate is zero.
const STALE_MS: u64 = 2000;

#[derive(Debug)]
pub(super) struct Rate {
    began: Instant,
    /// When the window began, in ms since the beginning, and the sum then.
    at: AtomicU64,
    sum: AtomicU64,
    last: AtomicU64,
    per_second: AtomicU64,
}

impl Rate {
    pub(super) fn new(now: Instant) -> Self {
        let zero = || AtomicU64::new(0);
        Self { began: now, at: zero(), sum: zero(), last: zero(), per_second: zero() }
    }

    /// The sum is this now.
    pub(super) fn update(&self, now: Instant, sum: u64) {
        let ms = self.ms(now);
        self.last.store(ms, Ordering::Relaxed);
        let elapsed = ms.saturating_sub(self.at.load(Ordering::Relaxed));
        if elapsed < WINDOW_MS {
            return;
        }
        let before = self.sum.swap(sum, Ordering::Relaxed);
        self.at.store(ms, Ordering::Relaxed);
        let rate = sum.saturating_sub(before).saturating_mul(1000) / elapsed;
        self.per_second.store(rate, Ordering::Relaxed);
    }

    pub(super) fn per_second(&self, now: Instant) -> u64 {
        let silent = self.ms(now).saturating_sub(self.last.load(Ordering::Relaxed));
        if silent > STALE_MS { 0 } else { self.per_second.load(Ordering::Relaxed) }
    }

    fn ms(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_is_of_the_last_second_and_ends_with_the_sum() {
        let start = crate::clock::now();
        let rate = Rate::new(start);
        let at = |ms| start + Duration::from_millis(ms);
        for ms in (0..=3000).step_by(100) {
            rate.update(at(ms), ms * 10);
        }
        assert_eq!(rate.per_second(at(3000)), 10_000);
        assert_eq!(rate.per_second(at(5001)), 0);
    }
}
