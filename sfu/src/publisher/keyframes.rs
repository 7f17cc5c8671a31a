//! Keyframe requests, coalesced: one PLI per encoding per [`INTERVAL`] however many viewers ask.

use std::time::{Duration, Instant};

/// The shortest time between two requests for one encoding.
pub const INTERVAL: Duration = Duration::from_millis(500);

/// The requests for one encoding.
#[derive(Debug, Default)]
pub struct Requests {
    wanted: bool,
    last: Option<Instant>,
    /// The first request for the keyframe that is wanted now.
    asked: Option<Instant>,
    wait: Option<Duration>,
}

impl Requests {
    /// Somebody needs a keyframe.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// A keyframe has begun: whoever asked before this is served.
    pub fn served(&mut self, now: Instant) {
        self.wanted = false;
        if let Some(asked) = self.asked.take() {
            self.wait = Some(now.saturating_duration_since(asked));
        }
    }

    /// How long the last keyframe that was asked for took: long where an encoder does not obey.
    pub fn wait(&self) -> Option<Duration> {
        self.wait
    }

    /// True if a request is to be sent now; it then counts as sent. Stays wanted until served, so a
    /// request that is lost is repeated.
    pub fn due(&mut self, now: Instant) -> bool {
        let early = self.last.is_some_and(|t| now.saturating_duration_since(t) < INTERVAL);
        if !self.wanted || early {
            return false;
        }
        self.last = Some(now);
        self.asked.get_or_insert(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_wants_make_one_request_per_interval() {
        let start = crate::test::epoch();
        let mut requests = Requests::default();
        let mut sent = 0;
        for ms in 0..2000 {
            requests.want();
            sent += u32::from(requests.due(start + Duration::from_millis(ms)));
        }
        assert_eq!(sent, 4);
    }

    #[test]
    fn a_served_request_is_not_repeated_and_an_unserved_one_is() {
        let start = crate::test::epoch();
        let mut requests = Requests::default();
        assert!(!requests.due(start));
        requests.want();
        assert!(requests.due(start));
        assert!(!requests.due(start + INTERVAL / 2));
        assert!(requests.due(start + INTERVAL));
        assert_eq!(requests.wait(), None);
        requests.served(start + INTERVAL * 2);
        assert!(!requests.due(start + INTERVAL * 3));
        assert_eq!(requests.wait(), Some(INTERVAL * 2), "from the first request on");
        requests.served(start + INTERVAL * 4);
        assert_eq!(requests.wait(), Some(INTERVAL * 2), "nobody had asked for this one");
    }
}
