//! One zero-based timeline for all renditions of a stream: where the units of a publisher lie on it, and what
//! time of day that is. Distances within one publisher stay exactly what they are. No clock is read here.

use std::time::{Duration, Instant};

use media::MediaTime;

/// The same moment on both clocks: how instants become times of day. Read once, when a stream's packaging
/// begins, so that no step of the system's clock is seen by players.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// On the server's steady clock.
    pub instant: Instant,
    /// On the calendar: since 1970-01-01T00:00:00Z.
    pub unix: Duration,
}

impl Anchor {
    /// The time of day of an instant, before the anchor or after it.
    pub fn unix(&self, instant: Instant) -> Duration {
        match instant.checked_duration_since(self.instant) {
            Some(later) => self.unix.saturating_add(later),
            None => self.unix.saturating_sub(self.instant.saturating_duration_since(instant)),
        }
    }
}

/// A duration as a time of media.
#[allow(dead_code)]
pub(crate) fn nanos(duration: Duration) -> MediaTime {
    MediaTime::from_nanos(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}
