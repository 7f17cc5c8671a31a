//! One continuous stream out of many: sequence numbers, timestamps and picture ids (RFC 7741,
//! RFC 9628) go on without a gap when the viewer is switched to another encoding or publisher, or
//! begins in the middle of a group of pictures. What a packet becomes follows from its [`Map`]
//! alone, so that a retransmission is the same packet again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use media::payload::PictureIds;
use media::{Codec, RtpPacket};

/// Switches that are remembered: a NACK for a packet of before the last one is answered too.
const MAPS: usize = 4;
/// More packets than come while a backlog is sent: two seconds of 30 Mbit/s.
const MEANWHILE: u64 = 8192;
/// A backlog's time is squeezed at most by this: 33 ms between pictures become 0.1 ms.
const SQUEEZE: u32 = 256;

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

/// What goes out, from a switch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Index of the encoding.
    pub encoding: usize,
    /// Its codec.
    pub codec: Codec,
    /// The viewer's payload type for it.
    pub pt: u8,
    /// The viewer's payload type for its retransmissions.
    pub rtx: Option<u8>,
}

/// How an encoding, from one packet on, maps onto what the viewer sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Map {
    /// What goes out.
    pub target: Target,
    /// First packet after the switch, in and out.
    first_in: u64,
    first_out: u64,
    /// Something went out before the first packet: its parameter sets.
    prefix: bool,
    timestamp: u32,
    /// The time of a backlog's keyframe.
    squeeze: Squeeze,
    /// The time of what follows it, from this sequence number on.
    rest: Option<(u64, Squeeze)>,
    picture_id: u16,
    tl0_pic_idx: u8,
}

/// What lies before a timestamp comes closer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Squeeze {
    /// Packets from this sequence number on keep their time.
    until: u64,
    edge: u32,
    /// So many ticks become so many.
    from: u32,
    to: u32,
}

/// The outgoing timestamp of the newest packet that there is, and when it was captured. A backlog does not
/// count: a publisher's clock learns most from what comes first, so the newest knows better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Clock {
    timestamp: u32,
    captured: Instant,
    /// Its incoming sequence number.
    seq: u64,
}

/// What an outgoing sequence number stood for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The packet with this incoming sequence number.
    Packet(u64),
    /// The parameter sets before the packet with this incoming sequence number.
    Prefix(u64),
}

/// Rewrites one track of one viewer.
#[derive(Debug)]
pub struct Rewriter {
    next_seq: u64,
    /// The newest switch is the first.
    maps: VecDeque<Map>,
    /// What is known of the time of what goes out.
    clock: Option<Clock>,
    /// The highest timestamp that went out: a backlog's lies before the clock's.
    newest: Option<u32>,
    ids: PictureIds,
}

impl Rewriter {
    /// `first`: random, below 2^15, so that the rollover count of SRTP cannot be guessed wrong
    /// when the first packets are lost (RFC 3711 section 3.3.1).
    pub fn new(first: u16) -> Self {
        Self {
            next_seq: u64::from(first & 0x7fff),
            maps: VecDeque::with_capacity(MAPS),
            clock: None,
            newest: None,
            ids: PictureIds::default(),
        }
    }

    /// From `packet` on, something else follows: aligns it with what went out before.
    pub fn switch(&mut self, target: Target, packet: &RtpPacket, prefix: bool) {
        self.begin(target, packet, packet, prefix);
    }

    /// As [`Rewriter::switch`], with a backlog: `first` is its first packet, `edge` the newest.
    /// `prefix`: parameter sets go out before it.
    pub fn begin(&mut self, target: Target, first: &RtpPacket, edge: &RtpPacket, prefix: bool) {
        let mut map = Map {
            target,
            first_in: first.seq,
            first_out: self.next_seq,
            prefix,
            timestamp: 0,
            squeeze: Squeeze { until: edge.seq, edge: edge.timestamp, from: SQUEEZE, to: 1 },
            rest: None,
            picture_id: 0,
            tl0_pic_idx: 0,
        };
        if let Some(Clock { timestamp, captured, .. }) = self.clock {
            let elapsed = edge.time.saturating_duration_since(captured).as_secs_f64();
            let ticks = (elapsed * f64::from(target.codec.clock_rate())) as u64 as u32;
            map.timestamp = timestamp.wrapping_add(ticks).wrapping_sub(edge.timestamp);
        }
        // Time never stands still or goes back.
        let out = map.timestamp(first);
        if let Some(behind) = self.newest.map(|newest| newest.wrapping_add(1).wrapping_sub(out))
            && behind.cast_signed() > 0
        {
            map.timestamp = map.timestamp.wrapping_add(behind);
        }
        let ids = first.info.ids;
        if let (Some(before), Some(now)) = (self.ids.picture_id, ids.picture_id) {
            map.picture_id = before.wrapping_add(1).wrapping_sub(now);
        }
        if let (Some(before), Some(now)) = (self.ids.tl0_pic_idx, ids.tl0_pic_idx) {
            map.tl0_pic_idx = before.wrapping_add(1).wrapping_sub(now);
        }
        self.next_seq += u64::from(prefix);
        self.maps.truncate(MAPS - 1);
        self.maps.push_front(map);
        self.clock = None;
        self.tell(edge);
    }

    /// Learns the time from a packet of the newest map that has come, whether it goes out now or later.
    pub fn tell(&mut self, packet: &RtpPacket) {
        let Some(map) = self.maps.front() else { return };
        if self.clock.is_none_or(|clock| clock.seq <= packet.seq) {
            let timestamp = packet.timestamp.wrapping_add(map.timestamp);
            self.clock = Some(Clock { timestamp, captured: packet.time, seq: packet.seq });
        }
    }

    /// The backlog goes on with `next`, a picture's first packet; `edge` is the newest now, and the
    /// live head will be reached in `time`. Until then the timestamps go on as time does: a client
    /// that learns from arrivals which timestamp belongs to which moment learns what will be true
    /// of the live packets.
    pub fn go_on(&mut self, next: &RtpPacket, edge: &RtpPacket, time: Duration) {
        let Some(map) = self.maps.front_mut() else { return };
        let span = edge.timestamp.wrapping_sub(next.timestamp);
        if span.cast_signed() <= 0 {
            return;
        }
        let ticks = (time.as_secs_f64() * f64::from(map.target.codec.clock_rate())) as u32;
        let to = ticks.max(span / SQUEEZE).clamp(1, span);
        // A viewer that stays until timestamps wrap, in 13 hours, must not meet its backlog again.
        let until = edge.seq + MEANWHILE;
        let edge = edge.timestamp.wrapping_add(to);
        let rest = Squeeze { until, edge, from: span.saturating_add(to), to };
        map.rest = Some((next.seq, rest));
    }

    /// The header for `packet`; `None` if it lies before the switch.
    pub fn rewrite(&mut self, packet: &RtpPacket) -> Option<Header> {
        let map = self.maps.front()?;
        let header = map.header(packet)?;
        if header.seq >= self.next_seq {
            self.next_seq = header.seq + 1;
            // Ids are kept from before where this packet carries none (audio, H.264 after VP8).
            let ids = map.ids(packet.info.ids);
            self.ids = PictureIds {
                picture_id: ids.picture_id.or(self.ids.picture_id),
                long: ids.long,
                tl0_pic_idx: ids.tl0_pic_idx.or(self.ids.tl0_pic_idx),
            };
            let later = |newest: u32| header.timestamp.wrapping_sub(newest).cast_signed() > 0;
            if self.newest.is_none_or(later) {
                self.newest = Some(header.timestamp);
            }
            self.tell(packet);
        }
        Some(header)
    }

    /// The newest switch.
    pub fn map(&self) -> Option<&Map> {
        self.maps.front()
    }

    /// What went out before is not found any more: its publisher is another one's now.
    pub fn forget(&mut self) {
        self.maps.clear();
    }

    /// What went out under the sequence number whose low bits are `seq`, and how it was mapped.
    pub fn origin(&self, seq: u16) -> Option<(Map, Origin)> {
        let newest = self.next_seq.checked_sub(1)?;
        let back = (newest as u16).wrapping_sub(seq);
        // Further back than half the circle is ahead: never sent.
        if back > u16::MAX / 2 {
            return None;
        }
        let seq = newest.checked_sub(u64::from(back))?;
        let map = self.maps.iter().find(|m| m.first_out <= seq)?;
        let step = seq - map.first_out;
        let origin = match step.checked_sub(u64::from(map.prefix)) {
            Some(step) => Origin::Packet(map.first_in + step),
            None => Origin::Prefix(map.first_in),
        };
        Some((*map, origin))
    }

    /// The outgoing timestamp that stands for `now`, for a sender report.
    pub fn timestamp_at(&self, now: Instant) -> Option<u32> {
        let Clock { timestamp, captured, .. } = self.clock?;
        let clock_rate = self.maps.front()?.target.codec.clock_rate();
        let ticks =
            |d: std::time::Duration| (d.as_secs_f64() * f64::from(clock_rate)) as u64 as u32;
        Some(match now.checked_duration_since(captured) {
            Some(later) => timestamp.wrapping_add(ticks(later)),
            None => timestamp.wrapping_sub(ticks(captured.saturating_duration_since(now))),
        })
    }
}

impl Map {
    /// True for the packet that the switch happened at.
    pub fn is_first(&self, packet: &RtpPacket) -> bool {
        self.first_in == packet.seq
    }

    /// The header that `packet` has under this map; `None` if it lies before it.
    pub fn header(&self, packet: &RtpPacket) -> Option<Header> {
        let step = packet.seq.checked_sub(self.first_in)?;
        let seq = self.first_out + u64::from(self.prefix) + step;
        let moved = self.picture_id != 0 || self.tl0_pic_idx != 0;
        let ids = moved.then(|| self.ids(packet.info.ids));
        Some(Header { seq, timestamp: self.timestamp(packet), ids })
    }

    /// The header of the parameter sets before the first packet of this map.
    pub fn prefix(&self, first: &RtpPacket) -> Header {
        Header { seq: self.first_out, timestamp: self.timestamp(first), ids: None }
    }

    fn timestamp(&self, packet: &RtpPacket) -> u32 {
        let rest = self.rest.filter(|(seq, _)| packet.seq >= *seq).map(|(_, rest)| rest);
        rest.unwrap_or(self.squeeze).apply(packet).wrapping_add(self.timestamp)
    }

    fn ids(&self, ids: PictureIds) -> PictureIds {
        let mask = if ids.long { 0x7fff } else { 0x7f };
        PictureIds {
            picture_id: ids.picture_id.map(|id| id.wrapping_add(self.picture_id) & mask),
            long: ids.long,
            tl0_pic_idx: ids.tl0_pic_idx.map(|id| id.wrapping_add(self.tl0_pic_idx)),
        }
    }
}

impl Squeeze {
    fn apply(&self, packet: &RtpPacket) -> u32 {
        let ahead = self.edge.wrapping_sub(packet.timestamp);
        if packet.seq >= self.until || ahead.cast_signed() <= 0 {
            return packet.timestamp;
        }
        let near = u64::from(ahead) * u64::from(self.to) / u64::from(self.from);
        self.edge.wrapping_sub(near as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::{epoch, packet};

    fn target(encoding: usize) -> Target {
        Target { encoding, codec: Codec::Vp8, pt: 96, rtx: None }
    }

    #[test]
    fn a_switch_continues_everything() {
        let start = epoch();
        let mut rewriter = Rewriter::new(100);
        let mut first = packet(5_000, 1_000_000, start);
        first.info.ids =
            PictureIds { picture_id: Some(32_767), long: true, tl0_pic_idx: Some(255) };
        rewriter.switch(target(0), &first, false);
        let out = rewriter.rewrite(&first).expect("the first packet maps");
        assert_eq!((out.seq, out.timestamp, out.ids), (100, 1_000_000, None));

        let mut other = packet(9, 77, start + Duration::from_millis(40));
        other.info.ids = PictureIds { picture_id: Some(5), long: true, tl0_pic_idx: Some(9) };
        rewriter.switch(target(1), &other, false);
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
        rewriter.switch(target(0), &packet(10, 0, start), false);
        let seqs: Vec<u64> = [10, 12, 11, 15]
            .into_iter()
            .filter_map(|seq| rewriter.rewrite(&packet(seq, 0, start)))
            .map(|h| h.seq)
            .collect();
        assert_eq!(seqs, [0, 2, 1, 5]);
        rewriter.switch(target(0), &packet(500, 0, start), false);
        assert_eq!(rewriter.rewrite(&packet(500, 0, start)).map(|h| h.seq), Some(6));
    }

    #[test]
    fn time_never_stands_still_or_goes_back_at_a_switch() {
        let start = epoch() + Duration::from_secs(10);
        let mut rewriter = Rewriter::new(0);
        rewriter.switch(target(0), &packet(1, 500, start), false);
        rewriter.rewrite(&packet(1, 500, start));
        let earlier = packet(1, 90, start - Duration::from_secs(1));
        rewriter.switch(target(1), &earlier, false);
        assert_eq!(rewriter.rewrite(&earlier).map(|h| h.timestamp), Some(501));
    }

    /// 30 pictures a second from `seq` on, one packet each.
    fn pictures(seq: u64, count: u64, start: Instant) -> Vec<RtpPacket> {
        let one =
            |i: u64| packet(seq + i, (i as u32) * 3000, start + Duration::from_micros(i * 33_333));
        (0..count).map(one).collect()
    }

    #[test]
    fn a_backlog_ends_at_the_live_pictures_own_time() {
        let start = epoch();
        let gop = pictures(1000, 121, start);
        let mut rewriter = Rewriter::new(7);
        rewriter.begin(target(0), &gop[0], &gop[90], true);
        assert_eq!(rewriter.map().map(|m| m.prefix(&gop[0]).seq), Some(7));
        let out: Vec<Header> = gop.iter().filter_map(|p| rewriter.rewrite(p)).collect();
        assert_eq!(out[0].seq, 8, "after its parameter sets");
        let steps: Vec<u32> = out.windows(2).map(|w| w[1].timestamp - w[0].timestamp).collect();
        assert!(steps[..90].iter().all(|s| (11..=12).contains(s)), "0.1 ms apart: {steps:?}");
        assert!(steps[90..].iter().all(|s| *s == 3000), "live ones as they are");
        assert_eq!(out[90].timestamp, gop[90].timestamp);
    }

    #[test]
    fn a_backlogs_time_goes_on_at_the_pace_that_it_is_sent_at() {
        let start = epoch();
        let gop = pictures(1000, 121, start);
        let mut rewriter = Rewriter::new(7);
        rewriter.begin(target(0), &gop[0], &gop[90], false);
        let keyframe = rewriter.rewrite(&gop[0]).expect("the keyframe");
        // Three pictures later the rest goes on, and will take 200 ms, or six pictures.
        rewriter.go_on(&gop[1], &gop[93], Duration::from_millis(200));
        let out: Vec<u32> =
            gop[1..].iter().filter_map(|p| rewriter.rewrite(p)).map(|h| h.timestamp).collect();
        assert_eq!(out[0], gop[93].timestamp, "the second one is sent now");
        assert!(keyframe.timestamp < out[0]);
        let steps: Vec<u32> = out.windows(2).map(|w| w[1] - w[0]).collect();
        assert!(steps[..98].iter().all(|s| (183..=184).contains(s)), "2 ms apart: {steps:?}");
        assert!(steps[98..].iter().all(|s| *s == 3000), "live ones as they are");
        assert_eq!(out[98], gop[99].timestamp);
        // A retransmission is the same packet again, the keyframe's too.
        let map = rewriter.map().expect("begun");
        assert_eq!(map.header(&gop[0]), Some(keyframe));
        assert_eq!(map.header(&gop[50]).map(|h| h.timestamp), Some(out[49]));
    }

    #[test]
    fn a_packet_is_found_by_the_number_it_went_out_with_across_switches_and_wraps() {
        let start = epoch();
        let mut rewriter = Rewriter::new(0x7fff);
        rewriter.begin(target(0), &packet(10, 0, start), &packet(70_000, 9000, start), true);
        let sent: Vec<(u64, Header)> = (10..70_010)
            .filter_map(|seq| Some((seq, rewriter.rewrite(&packet(seq, 9000, start))?)))
            .collect();
        let (seq, header) = sent[sent.len() - 300];
        let (map, origin) = rewriter.origin(header.seq as u16).expect("it went out");
        assert_eq!(origin, Origin::Packet(seq));
        assert_eq!(map.header(&packet(seq, 9000, start)), Some(header));
        let last = sent[sent.len() - 1].1.seq;
        rewriter.switch(target(2), &packet(5, 0, start), true);
        rewriter.rewrite(&packet(5, 0, start));
        let before = rewriter.origin(last as u16).expect("of before the switch");
        assert_eq!((before.0.target.encoding, before.1), (0, Origin::Packet(70_009)));
        let prefix = rewriter.origin((last + 1) as u16).expect("the parameter sets");
        assert_eq!((prefix.0.target.encoding, prefix.1), (2, Origin::Prefix(5)));
        assert_eq!(rewriter.origin((last + 3) as u16), None, "never sent yet");
    }

    #[test]
    fn a_report_says_which_timestamp_is_now() {
        let start = epoch();
        let mut rewriter = Rewriter::new(0);
        assert_eq!(rewriter.timestamp_at(start), None);
        rewriter.switch(target(0), &packet(1, 500, start), false);
        rewriter.rewrite(&packet(1, 500, start));
        let later = start + Duration::from_millis(100);
        assert_eq!(rewriter.timestamp_at(later), Some(9_500));
    }

    #[test]
    fn a_report_believes_what_came_last_not_what_is_on_its_way() {
        let start = epoch();
        let mut pictures = pictures(1, 30, start);
        // A burst: its first pictures came half a second late, and pass for captured then.
        for late in &mut pictures[..10] {
            late.time = start + Duration::from_millis(500);
        }
        let mut rewriter = Rewriter::new(0);
        rewriter.begin(target(0), &pictures[0], &pictures[14], false);
        let now = start + Duration::from_secs(1);
        let near = |rewriter: &Rewriter| rewriter.timestamp_at(now).unwrap().abs_diff(90_000) < 10;
        assert!(near(&rewriter));
        rewriter.rewrite(&pictures[0]);
        assert!(near(&rewriter));
        rewriter.tell(&pictures[29]);
        rewriter.rewrite(&pictures[1]);
        assert!(near(&rewriter));
    }

    #[test]
    fn hours_later_a_wrapped_timestamp_is_not_taken_for_backlog() {
        let start = epoch();
        let gop = pictures(1000, 94, start);
        let mut rewriter = Rewriter::new(7);
        rewriter.begin(target(0), &gop[0], &gop[93], false);
        rewriter.rewrite(&gop[0]);
        rewriter.go_on(&gop[1], &gop[93], Duration::from_millis(200));
        for hours in 1..=30 {
            // Five packets a second, as a still screen sends them.
            let (seq, ticks) = (1094 + hours * 18_000, (hours * 3600 * 90_000) as u32);
            let later = packet(seq, ticks, start + Duration::from_secs(3600 * hours));
            let header = rewriter.rewrite(&later).expect("it follows");
            assert_eq!(header.timestamp, ticks, "after {hours} hours");
        }
    }
}
