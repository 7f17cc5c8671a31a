//! One SSRC as it arrives: is the row of sequence numbers whole (RFC 3550 appendix A), and what do
//! receiver reports and NACKs say of it.

/// How far behind the newest a packet is still told from a duplicate.
const WINDOW: u64 = 512;
/// Gaps younger than this many packets are asked for; older ones are given up.
const ASKED: u64 = 256;

/// What a packet was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The next one, or one after a gap.
    New,
    /// One that was missing.
    Late,
    /// Seen before.
    Duplicate,
    /// From before the first, or older than we remember.
    Old,
}

/// The state of one SSRC.
#[derive(Clone, Debug)]
pub struct Track {
    /// The stream.
    pub ssrc: u32,
    /// True if its payload type is one of retransmissions.
    pub repair: bool,
    /// True for video.
    pub video: bool,
    first: u64,
    highest: u64,
    seen: [u64; (WINDOW / 64) as usize],
    /// Missing now, since the first packet.
    pub lost: u64,
    /// Came after one with a higher number.
    pub out_of_order: u64,
    /// Came twice.
    pub duplicates: u64,
    received: u64,
    reported: (u64, u64),
    jitter: u32,
    transit: u32,
    /// Middle of the NTP time of the last sender report, and when it came.
    pub sender_report: Option<(u32, u64)>,
    /// When gaps were last asked for.
    pub asked: u64,
}

impl Track {
    /// Begins with this packet.
    pub fn new(ssrc: u32, seq: u16, repair: bool, video: bool) -> Self {
        let first = u64::from(seq);
        let mut track = Self {
            ssrc,
            repair,
            video,
            first,
            highest: first,
            seen: [0; (WINDOW / 64) as usize],
            lost: 0,
            out_of_order: 0,
            duplicates: 0,
            received: 1,
            reported: (0, 0),
            jitter: 0,
            transit: 0,
            sender_report: None,
            asked: 0,
        };
        track.mark(first);
        track
    }

    fn mark(&mut self, seq: u64) {
        self.seen[(seq % WINDOW / 64) as usize] |= 1 << (seq % 64);
    }

    fn has(&self, seq: u64) -> bool {
        self.seen[(seq % WINDOW / 64) as usize] & (1 << (seq % 64)) != 0
    }

    /// `seq` with its rollovers: what SRTP calls the index.
    pub fn extend(&self, seq: u16) -> u64 {
        let ahead = seq.wrapping_sub(self.highest as u16) as i16;
        self.highest.saturating_add_signed(i64::from(ahead))
    }

    /// Takes the next packet of this SSRC.
    pub fn receive(&mut self, seq: u16) -> Arrival {
        let seq = self.extend(seq);
        if seq > self.highest {
            let gap = seq - self.highest - 1;
            for missing in (self.highest + 1..seq).take(WINDOW as usize) {
                self.seen[(missing % WINDOW / 64) as usize] &= !(1 << (missing % 64));
            }
            self.lost += gap;
            self.highest = seq;
            self.mark(seq);
            self.received += 1;
            return Arrival::New;
        }
        let arrival = self.fill(seq);
        if arrival == Arrival::Late {
            self.out_of_order += 1;
        }
        arrival
    }

    /// A packet that came by retransmission under another SSRC.
    pub fn repaired(&mut self, seq: u16) -> Arrival {
        let seq = self.extend(seq);
        if seq > self.highest { Arrival::Old } else { self.fill(seq) }
    }

    fn fill(&mut self, seq: u64) -> Arrival {
        if seq < self.first || self.highest - seq >= WINDOW {
            return Arrival::Old;
        }
        if self.has(seq) {
            self.duplicates += 1;
            return Arrival::Duplicate;
        }
        self.mark(seq);
        self.lost = self.lost.saturating_sub(1);
        self.received += 1;
        Arrival::Late
    }

    /// Calls `each` with the numbers that are missing and not too old, the oldest first.
    pub fn missing(&self, mut each: impl FnMut(u16)) {
        if self.lost == 0 {
            return;
        }
        let from = self.first.max(self.highest.saturating_sub(ASKED));
        (from..self.highest).filter(|seq| !self.has(*seq)).for_each(|seq| each(seq as u16));
    }

    /// Jitter as RFC 3550 section 6.4.1 defines it. Times in ticks of the codec's clock.
    pub fn timed(&mut self, timestamp: u32, arrival: u32) {
        let transit = arrival.wrapping_sub(timestamp);
        let change = transit.wrapping_sub(self.transit).cast_signed().unsigned_abs();
        self.transit = transit;
        // A jump is the first packet, or a new timeline.
        if change < 1 << 20 {
            self.jitter = self.jitter.saturating_add(change) - ((self.jitter + 8) >> 4);
        }
    }

    /// A report block of 24 bytes, RFC 3550 section 6.4.1.
    pub fn report(&mut self, now: u64) -> [u8; 24] {
        let expected = self.highest - self.first + 1;
        let (new_expected, new_received) =
            (expected - self.reported.0, self.received - self.reported.1);
        self.reported = (expected, self.received);
        let missing = new_expected.saturating_sub(new_received);
        let fraction = (missing * 256).checked_div(new_expected).unwrap_or(0).min(255) as u8;
        let lost = expected.saturating_sub(self.received).min(0x7f_ffff) as u32;
        let mut block = [0; 24];
        block[..4].copy_from_slice(&self.ssrc.to_be_bytes());
        block[4..8].copy_from_slice(&lost.to_be_bytes());
        block[4] = fraction;
        block[8..12].copy_from_slice(&(self.highest as u32).to_be_bytes());
        block[12..16].copy_from_slice(&(self.jitter >> 4).to_be_bytes());
        if let Some((middle, came)) = self.sender_report {
            let delay = now.saturating_sub(came) * 65_536 / 1_000_000;
            block[16..20].copy_from_slice(&middle.to_be_bytes());
            block[20..].copy_from_slice(&(delay as u32).to_be_bytes());
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_counted_filled_and_asked_for_across_the_wrap() {
        let mut track = Track::new(1, 65_533, false, true);
        assert_eq!(track.receive(65_534), Arrival::New);
        assert_eq!(track.receive(1), Arrival::New);
        assert_eq!(track.lost, 2);
        let mut missing = Vec::new();
        track.missing(|seq| missing.push(seq));
        assert_eq!(missing, [65_535, 0]);
        assert_eq!(track.receive(0), Arrival::Late);
        assert_eq!(track.receive(0), Arrival::Duplicate);
        assert_eq!(track.repaired(65_535), Arrival::Late);
        assert_eq!(track.receive(65_532), Arrival::Old);
        assert_eq!((track.lost, track.out_of_order, track.duplicates), (0, 1, 1));
        assert_eq!(track.extend(2), 65_538);
    }

    #[test]
    fn a_report_says_what_was_lost_since_the_last_one() {
        let mut track = Track::new(9, 10, false, true);
        track.receive(13);
        let block = track.report(0);
        assert_eq!(block[4], 128, "two of four");
        assert_eq!(block[5..8], [0, 0, 2]);
        assert_eq!(block[8..12], [0, 0, 0, 13]);
        track.receive(14);
        track.sender_report = Some((7, 1_000_000));
        let block = track.report(1_500_000);
        assert_eq!(block[4], 0);
        assert_eq!(block[16..], [0, 0, 0, 7, 0, 0, 0x80, 0]);
    }

    #[test]
    fn a_long_hole_is_no_work() {
        let mut track = Track::new(1, 0, false, true);
        track.receive(30_000);
        assert_eq!(track.lost, 29_999);
        let mut asked = 0;
        track.missing(|_| asked += 1);
        assert_eq!(asked, ASKED);
        assert_eq!(track.receive(100), Arrival::Old);
    }
}
