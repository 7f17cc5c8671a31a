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

/// How fast times of day may move against the media's times, one part in so many: far more than clocks drift,
/// and a step of 10 ms from segment to segment, which players do not mind.
const SLEW: i64 = 200;

/// The timeline of an epoch: its zero, and how its times become times of day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    zero: Instant,
    /// The time of day of the zero.
    pub(crate) unix: Duration,
    /// What is to be added to a time of the present publisher for its time of day.
    pub(crate) wall: MediaTime,
}

impl Line {
    /// Zero is here.
    pub(crate) fn new(anchor: &Anchor, zero: Instant) -> Self {
        Self { zero, unix: anchor.unix(zero), wall: MediaTime::from_nanos(0) }
    }

    /// Where on the line the present publisher's media lies that was captured then.
    pub(crate) fn here(&self, captured: Instant) -> MediaTime {
        self.since_zero(captured).since(self.wall)
    }

    /// Another publisher begins, with what was captured then: there, but behind all there is.
    pub(crate) fn begin(&mut self, captured: Instant, end: MediaTime) -> MediaTime {
        let there = self.since_zero(captured);
        let start = there.max(end);
        self.wall = there.since(start);
        start
    }

    /// What lies `at` was captured then, so much of the line after the last time that this was said: times of
    /// day follow the capture clock, slowly.
    pub(crate) fn slew(&mut self, at: MediaTime, captured: Instant, elapsed: MediaTime) {
        let off = self.here(captured).since(at).nanos();
        let most = (elapsed.nanos() / SLEW).max(0);
        self.wall = self.wall.plus(MediaTime::from_nanos(off.clamp(-most, most)));
    }

    fn since_zero(&self, instant: Instant) -> MediaTime {
        match instant.checked_duration_since(self.zero) {
            Some(later) => nanos(later),
            None => {
                let earlier = nanos(self.zero.saturating_duration_since(instant));
                MediaTime::from_nanos(-earlier.nanos())
            }
        }
    }
}

/// A duration as a time of media, in nanoseconds.
pub(crate) fn nanos(duration: Duration) -> MediaTime {
    MediaTime::from_nanos(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}
