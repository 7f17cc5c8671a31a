//! Packets in the order in which they were sent. Holes are waited for, but not for long; nothing is ever
//! out twice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::RtpPacket;

/// So many packets wait for one that is missing, of so many bytes together.
const PACKETS: usize = 512;
const BYTES: usize = 4 << 20;
/// And so long: a retransmission takes a round trip or two.
const PATIENCE: Duration = Duration::from_millis(250);
/// A sequence number further away than this, in either direction, begins anew.
const JUMP: u64 = 5000;

/// What is next.
pub(super) enum Event {
    /// A packet: the next one, unless the last event was a loss.
    Packet(RtpPacket),
    /// Packets that are given up lie between the last packet and the next one.
    Lost,
}

/// The reordering buffer.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// The sequence number that is due.
    next: Option<u64>,
    waiting: BTreeMap<u64, RtpPacket>,
    /// Of the payloads in `waiting`.
    bytes: usize,
    /// The first of another numbering: all that waits comes before it.
    restart: Option<RtpPacket>,
}

impl Window {
    /// Takes a packet; false if it was there before, or is too late. Call [`Window::pop`] until it has
    /// nothing before the next.
    pub(super) fn push(&mut self, packet: &RtpPacket) -> bool {
        let next = *self.next.get_or_insert(packet.seq);
        if packet.seq.abs_diff(next) > JUMP {
            self.restart = Some(packet.clone());
            return true;
        }
        if packet.seq < next || self.waiting.contains_key(&packet.seq) {
            return false;
        }
        self.bytes += packet.payload.len();
        self.waiting.insert(packet.seq, packet.clone());
        true
    }

    /// The sequence number that is due.
    #[cfg(test)]
    pub(super) fn next(&self) -> Option<u64> {
        self.next
    }

    /// What is next, at the time at which the newest packet arrived.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Event> {
        let Some(first) = self.waiting.first_entry() else {
            // The old ones are out.
            let packet = self.restart.take()?;
            self.next = Some(packet.seq);
            self.bytes = packet.payload.len();
            self.waiting.insert(packet.seq, packet);
            return Some(Event::Lost);
        };
        let seq = *first.key();
        if self.next == Some(seq) {
            self.next = Some(seq.saturating_add(1));
            let packet = first.remove();
            self.bytes -= packet.payload.len();
            return Some(Event::Packet(packet));
        }
        let waited = now.saturating_duration_since(first.get().arrival);
        let given_up = waited >= PATIENCE
            || self.waiting.len() > PACKETS
            || self.bytes > BYTES
            || self.restart.is_some();
        given_up.then(|| {
            self.next = Some(seq);
            Event::Lost
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::depacketize::tests::{epoch, packet};

    /// What comes out when packets of these numbers arrive a millisecond apart; 0 stands for a loss.
    fn order(numbers: &[u64]) -> Vec<u64> {
        let start = epoch();
        let mut window = Window::default();
        let mut out = Vec::new();
        for (millis, number) in (0..).zip(numbers) {
            let mut packet = packet(*number, 0, false, &[1]);
            packet.arrival = start + Duration::from_millis(millis);
            window.push(&packet);
            while let Some(event) = window.pop(packet.arrival) {
                out.push(match event {
                    Event::Packet(packet) => packet.seq,
                    Event::Lost => 0,
                });
            }
        }
        out
    }

    #[test]
    fn order_is_restored() {
        assert_eq!(order(&[7, 9, 8, 10, 13, 12, 11]), [7, 8, 9, 10, 11, 12, 13]);
        assert_eq!(order(&[7, 7, 9, 6, 9, 8, 8]), [7, 8, 9]);
    }

    #[test]
    fn a_hole_is_given_up_after_its_time() {
        let mut numbers: Vec<u64> = (1..=300).collect();
        numbers.remove(9);
        let out = order(&numbers);
        assert_eq!(out[..12], [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 11, 12]);
        assert_eq!(out.len(), 300);
        numbers.truncate(9 + 250);
        assert_eq!(order(&numbers).len(), 9, "not before");
    }

    #[test]
    fn another_numbering_begins_anew() {
        assert_eq!(order(&[20_000, 20_002, 3, 4]), [20_000, 0, 20_002, 0, 3, 4]);
        assert_eq!(order(&[3, 20_000, 20_001]), [3, 0, 20_000, 20_001]);
    }

    #[test]
    fn as_much_as_fits_waits() {
        let start = epoch();
        let mut window = Window::default();
        let mut losses = 0;
        // Every second one is missing.
        for number in 0..4000 {
            let mut packet = packet(1 + 2 * number, 0, false, &[1; 1000]);
            packet.arrival = start;
            window.push(&packet);
            while let Some(event) = window.pop(start) {
                losses += usize::from(matches!(event, Event::Lost));
            }
            assert!(window.waiting.len() <= PACKETS);
        }
        assert_eq!(losses, 4000 - 1 - PACKETS);
    }
}
