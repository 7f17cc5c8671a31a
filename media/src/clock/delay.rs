//! The shortest delay of late. Queues, pacing and jitter only ever add to it, so the packet that came most
//! promptly shows where the timestamps lie; and because it is "of late", drift and new routes are followed.

use super::SECOND;

/// The minimum reaches back over one to two of these.
const HALF: i64 = 5 * SECOND;
/// A packet that comes so much more promptly than all others, and a minimum that is so much longer than
/// before, are of other timestamps.
const ANOTHER_RUN: i64 = 3 * SECOND;
/// So late is nothing that waited in a queue: a publisher that is silent for so long has gone.
const NO_QUEUE: i64 = 10 * SECOND;

/// Minimum of delays over the last 5 to 10 s with packets.
#[derive(Debug)]
pub(super) struct Shortest {
    current: i64,
    previous: i64,
    /// When the current half began.
    turned: i64,
}

impl Shortest {
    pub(super) fn new(now: i64, delay: i64) -> Self {
        Self { current: delay, previous: delay, turned: now }
    }

    /// Takes the delay of a packet that came now; false if it cannot be of the same run of timestamps.
    pub(super) fn add(&mut self, now: i64, delay: i64) -> bool {
        let before = self.get();
        if now - self.turned >= HALF {
            // Also after a pause: one packet does not show how late it is.
            self.previous = self.current;
            self.current = delay;
            self.turned = now;
        }
        self.current = self.current.min(delay);
        (-ANOTHER_RUN..NO_QUEUE).contains(&(delay - before)) && self.get() - before < ANOTHER_RUN
    }

    pub(super) fn get(&self) -> i64 {
        self.current.min(self.previous)
    }
}
