//! One continuous stream out of many: sequence numbers, timestamps and picture ids (RFC 7741,
//! RFC 9628) go on without a gap when the viewer is switched to another encoding or publisher.

use std::time::Instant;

use media::RtpPacket;
use media::payload::PictureIds;

/// The header of the packet as this viewer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Extended sequence number.
    pub seq: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// Picture ids to write; `None` where those in the payload are right already.
    pub ids: Option<PictureIds>,
}

/// Rewrites one track of one viewer.
#[derive(Debug)]
pub struct Rewriter {
    next_seq: u64,
    /// The last packet that went out, by sequence number.
    last: Option<Last>,
    map: Map,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    timestamp: u32,
    time: Instant,
    ids: PictureIds,
}

/// How the encoding that is shown maps onto what the viewer sees.
#[derive(Clone, Copy, Debug, Default)]
struct Map {
    /// First packet after the switch, in and out.
    first_in: u64,
    first_out: u64,
    timestamp: u32,
    picture_id: u16,
    tl0_pic_idx: u8,
}

impl Rewriter {
    /// `first`: random, below 2^15, so that the rollover count of SRTP cannot be guessed wrong
    /// when the first packets are lost (RFC 3711 section 3.3.1).
    pub fn new(first: u16) -> Self {
        Self { next_seq: u64::from(first & 0x7fff), last: None, map: Map::default() }
    }

    /// From `packet` on, another encoding follows: aligns it with what went out before.
    pub fn switch(&mut self, packet: &RtpPacket, clock_rate: u32) {
        let mut map = Map { first_in: packet.seq, first_out: self.next_seq, ..Map::default() };
        if let Some(last) = self.last {
            let elapsed = packet.time.saturating_duration_since(last.time).as_secs_f64();
            let ticks = ((elapsed * f64::from(clock_rate)) as u64 as u32).max(1);
            map.timestamp = last.timestamp.wrapping_add(ticks).wrapping_sub(packet.timestamp);
            let ids = packet.info.ids;
            if let (Some(before), Some(now)) = (last.ids.picture_id, ids.picture_id) {
                map.picture_id = before.wrapping_add(1).wrapping_sub(now);
            }
            if let (Some(before), Some(now)) = (last.ids.tl0_pic_idx, ids.tl0_pic_idx) {
                map.tl0_pic_idx = before.wrapping_add(1).wrapping_sub(now);
            }
        }
        self.map = map;
    }

    /// The header for `packet`; `None` if it lies before the switch.
    pub fn rewrite(&mut self, packet: &RtpPacket) -> Option<Header> {
        let map = self.map;
        let seq = map.first_out + packet.seq.checked_sub(map.first_in)?;
        let timestamp = packet.timestamp.wrapping_add(map.timestamp);
        let ids = map.ids(packet.info.ids);
        if seq >= self.next_seq {
            self.next_seq = seq + 1;
            // Ids are kept from before where this packet carries none (audio, H.264 after VP8).
            let before = self.last.map_or_else(PictureIds::default, |l| l.ids);
            let ids = PictureIds {
                picture_id: ids.picture_id.or(before.picture_id),
                long: ids.long,
                tl0_pic_idx: ids.tl0_pic_idx.or(before.tl0_pic_idx),
            };
            self.last = Some(Last { timestamp, time: packet.time, ids });
        }
        let moved = map.picture_id != 0 || map.tl0_pic_idx != 0;
        Some(Header { seq, timestamp, ids: moved.then_some(ids) })
    }
}

impl Map {
    fn ids(&self, ids: PictureIds) -> PictureIds {
        let mask = if ids.long { 0x7fff } else { 0x7f };
        PictureIds {
            picture_id: ids.picture_id.map(|id| id.wrapping_add(self.picture_id) & mask),
            long: ids.long,
            tl0_pic_idx: ids.tl0_pic_idx.map(|id| id.wrapping_add(self.tl0_pic_idx)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::test::{epoch, packet};

    #[test]
    fn a_switch_continues_everything() {
        let start = epoch();
        let mut rewriter = Rewriter::new(100);
        let mut first = packet(5_000, 1_000_000, start);
        first.info.ids =
            PictureIds { picture_id: Some(32_767), long: true, tl0_pic_idx: Some(255) };
        rewriter.switch(&first, 90_000);
        let out = rewriter.rewrite(&first).expect("the first packet maps");
        assert_eq!((out.seq, out.timestamp, out.ids), (100, 1_000_000, None));

        let mut other = packet(9, 77, start + Duration::from_millis(40));
        other.info.ids = PictureIds { picture_id: Some(5), long: true, tl0_pic_idx: Some(9) };
        rewriter.switch(&other, 90_000);
        let out = rewriter.rewrite(&other).expect("the first packet after the switch maps");
        assert_eq!((out.seq, out.timestamp), (101, 1_003_600));
        let ids = PictureIds { picture_id: Some(0), long: true, tl0_pic_idx: Some(0) };
        assert_eq!(out.ids, Some(ids));
        let before = packet(8, 76, start);
        assert_eq!(
            rewriter.rewrite(&before),
            None,
            "late packets of before the switch are dropped"
        );
    }

    #[test]
    fn gaps_and_reordering_are_passed_on_as_they_are() {
        let start = epoch();
        let mut rewriter = Rewriter::new(0);
        rewriter.switch(&packet(10, 0, start), 90_000);
        let seqs: Vec<u64> = [10, 12, 11, 15]
            .into_iter()
            .filter_map(|seq| rewriter.rewrite(&packet(seq, 0, start)))
            .map(|h| h.seq)
            .collect();
        assert_eq!(seqs, [0, 2, 1, 5]);
        rewriter.switch(&packet(500, 0, start), 90_000);
        assert_eq!(rewriter.rewrite(&packet(500, 0, start)).map(|h| h.seq), Some(6));
    }

    #[test]
    fn time_never_stands_still_or_goes_back_at_a_switch() {
        let start = epoch() + Duration::from_secs(10);
        let mut rewriter = Rewriter::new(0);
        rewriter.switch(&packet(1, 500, start), 90_000);
        rewriter.rewrite(&packet(1, 500, start));
        let earlier = packet(1, 90, start - Duration::from_secs(1));
        rewriter.switch(&earlier, 90_000);
        assert_eq!(rewriter.rewrite(&earlier).map(|h| h.timestamp), Some(501));
    }
}
