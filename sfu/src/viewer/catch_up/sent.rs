//! What went out to a viewer that catches up, until its transport-cc feedback says what became of
//! it (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1).
//!
//! A ring by sequence number, allocated once. The numbers and times that come back are the
//! viewer's word: an unknown number is skipped, and none is heard twice.

/// Most packets in flight: 100 ms of feedback at the highest rate.
const MOST: usize = 4096;
/// Fewest.
const LEAST: usize = 256;

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Nothing is known, or nobody is here.
    Open,
    /// Reported as not there, which a late arrival may still correct.
    Missing,
    Arrived,
}

/// Eight bytes of time, two of size, two of number, one of fate.
#[derive(Debug, Clone, Copy)]
struct Record {
    at: i64,
    seq: u16,
    size: u16,
    fate: Fate,
}

const NOBODY: Record = Record { at: i64::MIN, seq: 0, size: 0, fate: Fate::Open };

/// Packets sent, by sequence number.
#[derive(Debug)]
pub(super) struct Ring {
    records: Box<[Record]>,
    /// What lies before this number is decided.
    undecided: u16,
    /// One past the newest number.
    end: u16,
    empty: bool,
}

impl Ring {
    /// Room for about `bytes` of packets, never more than [`MOST`].
    pub(super) fn new(bytes: u64) -> Self {
        let wanted = usize::try_from(bytes / 800).unwrap_or(MOST).clamp(LEAST, MOST);
        let records = vec![NOBODY; wanted.next_power_of_two()].into_boxed_slice();
        Self { records, undecided: 0, end: 0, empty: true }
    }

    /// A packet left at `at` µs.
    pub(super) fn push(&mut self, seq: u16, at: i64, size: usize) {
        if self.empty {
            (self.undecided, self.empty) = (seq, false);
        }
        let size = u16::try_from(size).unwrap_or(u16::MAX);
        *self.slot(seq) = Record { at, seq, size, fate: Fate::Open };
        self.end = seq.wrapping_add(1);
        // Numbers that the ring no longer holds need no decision.
        if usize::from(self.end.wrapping_sub(self.undecided)) > self.records.len() {
            self.undecided = self.end.wrapping_sub(self.records.len() as u16);
        }
    }

    /// A packet is said to have arrived: when it left and its size, the first time it is said.
    pub(super) fn arrived(&mut self, seq: u16) -> Option<(i64, u16)> {
        let record = self.known(seq)?;
        if record.fate == Fate::Arrived {
            return None;
        }
        record.fate = Fate::Arrived;
        Some((record.at, record.size))
    }

    /// A packet is said not to have arrived.
    pub(super) fn missing(&mut self, seq: u16) {
        if let Some(record) = self.known(seq).filter(|r| r.fate == Fate::Open) {
            record.fate = Fate::Missing;
        }
    }

    /// Decides what left before `until` µs: how many arrived and how many are lost. What no report
    /// spoke of counts as neither, since a report may itself have been lost.
    pub(super) fn decide(&mut self, until: i64) -> (u32, u32) {
        let (mut arrived, mut lost) = (0, 0);
        while self.undecided != self.end {
            let seq = self.undecided;
            let record = *self.slot(seq);
            let ours = record.seq == seq && record.at != i64::MIN;
            if ours && record.at >= until {
                break;
            }
            match record.fate {
                Fate::Arrived if ours => arrived += 1,
                Fate::Missing if ours => lost += 1,
                _ => {}
            }
            self.undecided = seq.wrapping_add(1);
        }
        (arrived, lost)
    }

    fn slot(&mut self, seq: u16) -> &mut Record {
        let mask = self.records.len() - 1;
        &mut self.records[usize::from(seq) & mask]
    }

    fn known(&mut self, seq: u16) -> Option<&mut Record> {
        Some(self.slot(seq)).filter(|r| r.seq == seq && r.at != i64::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_packet_is_heard_once_across_the_wrap() {
        let mut ring = Ring::new(100_000);
        for i in 0..20u16 {
            ring.push(65_530u16.wrapping_add(i), i64::from(i) * 10, 1200);
        }
        ring.missing(65_531);
        ring.missing(65_532);
        assert_eq!(ring.arrived(65_530), Some((0, 1200)));
        assert_eq!(ring.arrived(65_530), None);
        assert_eq!(ring.arrived(65_532), Some((20, 1200)), "it was only late");
        assert_eq!(ring.arrived(3), Some((90, 1200)));
        assert_eq!(ring.arrived(500), None, "never sent");
        assert_eq!(ring.decide(100), (3, 1));
        assert_eq!(ring.decide(i64::MAX), (0, 0), "the rest was never spoken of");
    }

    #[test]
    fn the_ring_is_bounded_and_forgets_the_oldest() {
        let mut ring = Ring::new(u64::MAX);
        assert_eq!(ring.records.len(), MOST);
        for i in 0..70_000u32 {
            ring.push(i as u16, i64::from(i), 1200);
        }
        let newest = 69_999u32 as u16;
        assert_eq!(ring.arrived(newest.wrapping_sub(MOST as u16)), None);
        assert!(ring.arrived(newest).is_some());
        assert_eq!(ring.decide(i64::MAX), (1, 0));
    }
}
