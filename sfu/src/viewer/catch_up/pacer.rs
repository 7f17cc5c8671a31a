//! A token bucket: bursts up to a depth, then a rate.
//!
//! [`Bucket`] serves the backlog, where the rate changes with what is learnt. [`Pacer`] serves live
//! bursts, a keyframe above all, which must be gone within a bounded time whatever its size.

use std::time::{Duration, Instant};

/// A full packet, in bytes.
pub(super) const PACKET: u64 = 1500;

/// Tokens in bytes; they may be overdrawn, since packets do not come in halves.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// Holds `tokens` bytes.
    pub(super) fn new(now: Instant, tokens: u64) -> Self {
        Self { tokens: tokens as f64, at: now }
    }

    /// Fills at `bps` since the last time, up to `depth` bytes unless more is there; returns what is
    /// there.
    pub(super) fn fill(&mut self, now: Instant, bps: f64, depth: f64) -> usize {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        let full = (self.tokens + passed * bps / 8.0).min(depth);
        self.tokens = self.tokens.max(full);
        self.tokens.max(0.0) as usize
    }

    /// Takes `bytes` out.
    pub(super) fn take(&mut self, bytes: usize) {
        self.tokens -= bytes as f64;
    }

    /// Throws away what was saved up.
    pub(super) fn clear(&mut self) {
        self.tokens = self.tokens.min(0.0);
    }

    /// How long until `bytes` are there.
    pub(super) fn wait(&self, bytes: f64, bps: f64) -> Duration {
        let missing = (bytes - self.tokens).max(0.0);
        Duration::from_secs_f64((missing * 8.0 / bps.max(1.0)).min(1.0))
    }
}

/// Spreads live bursts: what waits is gone within `bound`, and no faster than that needs or than
/// `rate_bps`, whichever is more.
#[derive(Debug, Clone)]
pub struct Pacer {
    bucket: Bucket,
    base_bps: f64,
    bps: f64,
    depth: u64,
    bound: Duration,
}

impl Pacer {
    /// `rate_bps`: what may always go; `depth`: bytes that go at once, 16 KB for example; `bound`:
    /// the longest that a packet waits, 50 to 100 ms, for as long as the caller asks on time.
    pub fn new(now: Instant, rate_bps: u64, depth: u64, bound: Duration) -> Self {
        let depth = depth.max(PACKET);
        let base_bps = rate_bps as f64;
        let bound = bound.max(Duration::from_millis(1));
        Self { bucket: Bucket::new(now, depth), base_bps, bps: base_bps, depth, bound }
    }

    /// Another bitrate: the encoding's has changed.
    pub fn set_rate(&mut self, rate_bps: u64) {
        self.base_bps = rate_bps as f64;
    }

    /// How many bytes may go out now of the `waiting` ones. A last packet may overdraw.
    pub fn allowance(&mut self, now: Instant, waiting: u64) -> usize {
        // A caller that comes 3 ms late loses nothing.
        let depth = (self.depth as f64).max(self.bps / 8.0 * 0.003);
        let allowed = self.bucket.fill(now, self.bps, depth);
        // The rate that the fullest moment asks for stays until all is gone, else the last bytes of
        // a burst would wait ever longer.
        let needed = waiting as f64 * 8.0 / self.bound.as_secs_f64();
        self.bps = if waiting == 0 { self.base_bps } else { self.bps.max(needed) };
        allowed
    }

    /// So many bytes went out.
    pub fn sent(&mut self, bytes: usize) {
        self.bucket.take(bytes);
    }

    /// When to ask again while something waits, at least 1 ms from `now`.
    pub fn next(&self, now: Instant) -> Instant {
        now + self.bucket.wait(PACKET as f64, self.bps).max(Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::epoch;

    #[test]
    fn a_burst_of_any_size_is_gone_within_the_bound_and_not_at_once() {
        for size in [20_000u64, 100_000, 400_000, 3_000_000] {
            let (start, bound) = (epoch(), Duration::from_millis(60));
            let mut pacer = Pacer::new(start, 4_000_000, 16_000, bound);
            let (mut now, mut left, mut most) = (start, size, 0);
            while left > 0 {
                let (mut allowed, mut went) = (pacer.allowance(now, left), 0);
                while left > 0 && allowed > 0 {
                    let packet = left.min(1200) as usize;
                    pacer.sent(packet);
                    allowed = allowed.saturating_sub(packet);
                    left -= packet as u64;
                    went += packet as u64;
                }
                most = most.max(went);
                now = pacer.next(now);
            }
            let took = now - start;
            assert!(took <= bound + Duration::from_millis(2), "{size} bytes took {took:?}");
            assert!(most <= (size / 20).max(17_200), "{size}: {most} at once");
        }
    }

    #[test]
    fn at_rest_the_pacer_returns_to_its_rate() {
        let start = epoch();
        let mut pacer = Pacer::new(start, 1_000_000, 3000, Duration::from_millis(50));
        pacer.allowance(start, 1_000_000);
        pacer.sent(1_000_000);
        pacer.allowance(start, 0);
        let later = start + Duration::from_millis(8);
        assert_eq!(pacer.allowance(later, 0), 0, "still overdrawn");
        assert!(pacer.next(later) - later >= Duration::from_millis(500));
    }
}
