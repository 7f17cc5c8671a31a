//! The ring of one encoding: what was sent lately, shared by every viewer, for retransmissions
//! (RFC 4588) and for viewers that start in the middle of a group of pictures. Holds references;
//! no viewer has a copy of its own.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::feed::Packet;

/// Places in the ring, filled or not: more than a stream of 100 Mbit/s needs for [`Limits::age`].
const MAX_SLOTS: usize = 1 << 17;

/// The first packet that comes may have overtaken so many: a keyframe's parameter sets among them.
const OVERTAKEN: u64 = 64;

/// How much an encoding keeps. OBS's x264 has a keyframe every 250 frames unless told otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Payload bytes.
    pub bytes: usize,
    /// Age of the oldest packet against the newest.
    pub age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 16 << 20, age: Duration::from_secs(12) }
    }
}

/// The packets of one encoding, by sequence number.
#[derive(Debug, Default)]
pub struct History {
    limits: Limits,
    /// Slot `i` is for sequence number `base + i`.
    slots: VecDeque<Option<Arc<Packet>>>,
    base: u64,
    bytes: usize,
    /// Sequence number of the newest packet that a decoder can start with.
    start: Option<u64>,
    /// Packets have left already: what is older than the oldest is too old.
    trimmed: bool,
    /// The last answer of [`History::weigh`], for as long as nothing changes: a crowd asks the same.
    weighed: Cell<Option<(u64, (u64, usize))>>,
}

impl History {
    /// An empty ring.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Keeps a packet; false if it is there already or older than all that is kept.
    pub fn insert(&mut self, packet: Arc<Packet>) -> bool {
        let seq = packet.rtp.seq;
        if self.slots.is_empty() || seq >= self.head() + MAX_SLOTS as u64 {
            self.clear(seq);
        }
        if seq < self.base && !self.trimmed && self.base - seq <= OVERTAKEN {
            (seq..self.base).for_each(|_| self.slots.push_front(None));
            self.base = seq;
        }
        let Some(index) = seq.checked_sub(self.base) else { return false };
        // Bounded by the check above.
        let index = index as usize;
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, || None);
        }
        if self.slots[index].is_some() {
            return false;
        }
        self.weighed.set(None);
        self.bytes += packet.rtp.payload.len();
        if packet.start && self.start.is_none_or(|s| s < seq) {
            self.start = Some(seq);
        }
        let newest = packet.rtp.arrival;
        self.slots[index] = Some(packet);
        self.trim(newest);
        true
    }

    /// The packet with this sequence number.
    pub fn get(&self, seq: u64) -> Option<&Arc<Packet>> {
        let index = usize::try_from(seq.checked_sub(self.base)?).ok()?;
        self.slots.get(index)?.as_ref()
    }

    /// The sequence number after the newest one.
    pub fn head(&self) -> u64 {
        self.base + self.slots.len() as u64
    }

    /// The newest packet by sequence number.
    pub fn newest(&self) -> Option<&Arc<Packet>> {
        self.slots.back()?.as_ref()
    }

    /// The newest packet that a decoder can start with.
    pub fn start(&self) -> Option<&Arc<Packet>> {
        self.get(self.start?)
    }

    /// What is there from `seq` on, in order.
    pub fn from(&self, seq: u64) -> impl Iterator<Item = &Arc<Packet>> {
        let skip = usize::try_from(seq.saturating_sub(self.base)).unwrap_or(usize::MAX);
        self.slots.range(skip.min(self.slots.len())..).flatten()
    }

    /// Packets that came before `packet` though they follow it: they overtook it on the way.
    pub fn overtakers<'a>(&'a self, packet: &Packet) -> impl Iterator<Item = &'a Arc<Packet>> {
        let arrived = packet.position;
        self.from(packet.rtp.seq + 1).filter(move |p| p.position < arrived)
    }

    /// Payload bytes from `seq` on, and how many packets are missing there.
    pub fn weigh(&self, seq: u64) -> (u64, usize) {
        if let Some((_, known)) = self.weighed.get().filter(|(of, _)| *of == seq) {
            return known;
        }
        let mut bytes = 0;
        let mut there = 0;
        for packet in self.from(seq) {
            bytes += packet.rtp.payload.len() as u64;
            there += 1;
        }
        let found = (bytes, (self.head().saturating_sub(seq) as usize).saturating_sub(there));
        self.weighed.set(Some((seq, found)));
        found
    }

    /// Payload bytes of the picture that begins with `start`.
    pub fn picture_bytes(&self, start: &Packet) -> u64 {
        let picture = self.from(start.rtp.seq);
        let picture = picture.take_while(|p| p.rtp.timestamp == start.rtp.timestamp);
        picture.map(|p| p.rtp.payload.len() as u64).sum()
    }

    /// Everything, in order: what another shard starts with.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Packet>> {
        self.slots.iter().flatten()
    }

    fn clear(&mut self, base: u64) {
        self.slots.clear();
        (self.base, self.bytes, self.start, self.trimmed) = (base, 0, None, false);
    }

    fn trim(&mut self, newest: std::time::Instant) {
        while let Some(oldest) = self.slots.front() {
            let keep = oldest.as_ref().is_some_and(|p| {
                newest.saturating_duration_since(p.rtp.arrival) <= self.limits.age
            });
            if keep && self.bytes <= self.limits.bytes && self.slots.len() <= MAX_SLOTS {
                return;
            }
            self.bytes -= oldest.as_ref().map_or(0, |p| p.rtp.payload.len());
            self.slots.pop_front();
            self.trimmed = true;
            if self.start == Some(self.base) {
                self.start = None;
            }
            self.base += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::test::epoch;

    fn packet(seq: u64, at: Instant, start: bool) -> Arc<Packet> {
        let rtp = crate::test::packet(seq, 0, at);
        let kind = media::Kind::Video;
        Arc::new(Packet { encoding: 0, kind, start, position: seq, pad: 0, prefix: None, rtp })
    }

    fn seqs(history: &History, from: u64) -> Vec<u64> {
        history.from(from).map(|p| p.rtp.seq).collect()
    }

    #[test]
    fn late_packets_fill_their_place_and_copies_are_refused() {
        let at = epoch();
        let mut history = History::default();
        for seq in [10, 11, 14, 12] {
            assert!(history.insert(packet(seq, at, seq == 10)), "{seq}");
        }
        assert!(!history.insert(packet(12, at, false)), "it is there");
        assert_eq!(seqs(&history, 11), [11, 12, 14]);
        assert_eq!(history.weigh(10).1, 1, "13 is missing");
        assert_eq!(history.start().map(|p| p.rtp.seq), Some(10));
        assert_eq!(history.head(), 15);
        assert!(history.get(13).is_none() && history.get(99).is_none() && history.get(1).is_none());
    }

    #[test]
    fn what_the_first_packet_overtook_is_taken_until_something_has_left() {
        let at = epoch();
        let mut history = History::new(Limits { age: Duration::from_secs(1), ..Limits::default() });
        assert!(history.insert(packet(100, at, false)));
        assert!(history.insert(packet(98, at, true)));
        assert_eq!((seqs(&history, 0), history.weigh(98).1), (vec![98, 100], 1));
        assert_eq!(history.start().map(|p| p.rtp.seq), Some(98));
        assert!(history.insert(packet(99, at, false)) && !history.insert(packet(99, at, false)));
        assert!(!history.insert(packet(98 - OVERTAKEN - 1, at, false)), "too far back");
        assert!(history.insert(packet(101, at + Duration::from_secs(2), false)));
        assert!(!history.insert(packet(97, at, false)), "older than all that is kept");
        assert_eq!(seqs(&history, 0), [101]);
    }

    #[test]
    fn bounded_by_age_and_bytes_and_a_start_that_left_is_none() {
        let at = epoch();
        let limits = Limits { bytes: 1 << 20, age: Duration::from_secs(1) };
        let mut history = History::new(limits);
        for seq in 0..100 {
            history.insert(packet(seq, at + Duration::from_millis(seq * 20), seq == 0));
        }
        assert_eq!(seqs(&history, 0).first(), Some(&49));
        assert!(history.start().is_none());
        let size = packet(0, at, false).rtp.payload.len();
        let mut small = History::new(Limits { bytes: size * 5, ..limits });
        (0..100).for_each(|seq| assert!(small.insert(packet(seq, at, false))));
        assert_eq!(seqs(&small, 0), [95, 96, 97, 98, 99]);
    }

    #[test]
    fn a_jump_of_the_sequence_starts_anew_instead_of_filling_memory() {
        let mut history = History::default();
        for seq in [0, 1, u64::MAX / 2, u64::MAX / 2 + 60_000] {
            assert!(history.insert(packet(seq, epoch(), true)));
            assert!(history.slots.len() <= MAX_SLOTS);
        }
        assert_eq!(history.iter().count(), 2);
    }

    #[test]
    fn overtakers_are_those_that_came_before() {
        let mut history = History::default();
        let make = |seq, position| {
            let mut made = packet(seq, epoch(), seq == 5);
            Arc::get_mut(&mut made).expect("not shared yet").position = position;
            made
        };
        let start = make(5, 2);
        for p in [make(6, 1), start.clone(), make(7, 3), make(4, 0)] {
            history.insert(p);
        }
        let got: Vec<u64> = history.overtakers(&start).map(|p| p.rtp.seq).collect();
        assert_eq!(got, [6]);
    }
}
