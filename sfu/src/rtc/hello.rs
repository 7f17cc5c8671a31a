//! A ClientHello that is not heard is said again soon.
//!
//! Where the peer is the DTLS server (FFmpeg), our ClientHello may come before it listens: it throws
//! away what it reads while ICE goes on. RFC 6347 section 4.2.4.1 starts with a second of patience,
//! which a publisher's viewers would all see; so the same datagrams go out again every 100 ms until
//! the peer says anything in DTLS.

use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(100);
/// Then DTLS's own timer goes on.
const TRIES: u8 = 8;

/// The first flight of a session in which we are the DTLS client.
#[derive(Debug)]
pub(super) struct Hello {
    flight: Vec<Vec<u8>>,
    again: Option<Instant>,
    tries: u8,
}

impl Hello {
    pub(super) fn new() -> Self {
        Self { flight: Vec::new(), again: None, tries: TRIES }
    }

    /// A datagram goes out; kept if it belongs to the first flight.
    pub(super) fn sent(&mut self, now: Instant, datagram: &[u8]) {
        // Once the first repetition is due the flight is complete: DTLS repeats it itself.
        let open = self.tries == TRIES && self.again.is_none_or(|again| now < again);
        if open && is_dtls(datagram) {
            self.flight.push(datagram.to_vec());
            self.again.get_or_insert(now + INTERVAL);
        }
    }

    /// When to look again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.again
    }

    /// What to say again now.
    pub(super) fn due(&mut self, now: Instant) -> &[Vec<u8>] {
        if self.again.is_none_or(|again| now < again) {
            return &[];
        }
        self.tries = self.tries.saturating_sub(1);
        self.again = (self.tries > 0).then(|| now + INTERVAL);
        &self.flight
    }
}

/// By the first byte (RFC 7983).
pub(super) fn is_dtls(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(20..=63))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::epoch;

    fn datagram(first: u8) -> [u8; 3] {
        [first, 0xfe, 0xfd]
    }

    #[test]
    fn the_first_flight_is_repeated_every_100_ms_and_not_for_ever() {
        let start = epoch();
        let mut hello = Hello::new();
        assert_eq!(hello.deadline(), None);
        hello.sent(start, &datagram(1));
        hello.sent(start, &datagram(22));
        hello.sent(start, &datagram(22));
        let mut said = 0;
        for ms in 0..5000 {
            let now = start + Duration::from_millis(ms);
            said += hello.due(now).len();
            if ms == 1000 {
                hello.sent(now, &datagram(22));
            }
        }
        assert_eq!(said, 2 * usize::from(TRIES));
        assert_eq!(hello.deadline(), None);
    }
}
