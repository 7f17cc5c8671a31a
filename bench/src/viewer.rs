//! One viewer: counts what comes from the headers alone, opens a sample, and reports as a browser does.

use std::ops::Range;

use media::{Codec, Kind, payload};

use crate::link::Link;
use crate::rtcp::{Message, Writer, read};
use crate::rtp::{self, Header};
use crate::sdp::Payload;
use crate::signal::Session;
use crate::source;
use crate::track::{Arrival, Track};

/// Everything is opened for so long after the first packet.
const OPEN_ALL: u64 = 1_000_000;
/// Then one packet of so many.
const SAMPLE: u32 = 256;
/// Receiver reports, as a browser sends them.
const REPORT: u64 = 1_000_000;
/// A gap is asked for again after this long.
const ASK_AGAIN: u64 = 100_000;
/// Without a keyframe for so long, one is asked for; and again after as long.
const KEYFRAME_WAIT: u64 = 500_000;
/// Without one for so long, we stop looking.
const KEYFRAME_GIVE_UP: u64 = 10_000_000;
/// Packets that one feedback message tells of.
const MAX_ARRIVALS: usize = 256;
/// Streams of one session beyond these are not followed.
const MAX_TRACKS: usize = 8;
/// Latencies beyond these are not kept.
const MAX_LATENCIES: usize = 4 << 20;
/// Chromium's SSRC where it sends nothing.
const OURS: u32 = 1;

/// What all viewers of a run have counted.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// RTP packets, retransmissions included.
    pub packets: u64,
    /// Bytes of their UDP payload.
    pub bytes: u64,
    /// What recvmmsg gave at once: datagrams that the server sent as one run.
    pub runs: u64,
    /// Packets that were opened.
    pub opened: u64,
    /// Of these and of the RTCP, not authentic.
    pub decrypt_failures: u64,
    /// From the publisher's send to the kernel's time of arrival, µs, of opened packets that carry it.
    pub latencies: Vec<u32>,
}

/// A packet that was opened in place.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Its header.
    pub header: Header,
    /// Sequence number with its rollovers; of the lost packet, if this one brings it again.
    pub index: u64,
    /// `None` for what we cannot look into.
    pub codec: Option<Codec>,
    /// Audio or video.
    pub kind: Kind,
    /// Where in the datagram the payload is.
    pub range: Range<usize>,
}

/// One watching session.
pub struct Viewer {
    /// What carries it.
    pub link: Link,
    /// URL to DELETE.
    pub resource: Option<String>,
    /// When the POST began, µs.
    pub started: u64,
    /// When the first media packet came, µs.
    pub first_media: Option<u64>,
    /// Why it is over.
    pub failed: Option<String>,
    payloads: Vec<Payload>,
    /// Bit sets of payload types.
    repair: u128,
    video: u128,
    transport_cc: Option<u8>,
    rsize: bool,
    nack: bool,
    tracks: Vec<Track>,
    arrivals: Vec<(u16, u64)>,
    base: Option<u16>,
    feedback_count: u8,
    countdown: u32,
    keyframe: bool,
    next_report: u64,
    next_pli: u64,
}

impl Viewer {
    /// `number` spreads what viewers do over time.
    pub fn new(session: Session, number: usize) -> Self {
        let Session { link, answer, resource, started } = session;
        let set = |choose: fn(&Payload) -> bool| {
            answer.payloads.iter().filter(|p| choose(p)).fold(0, |set, p| set | 1 << p.pt.min(127))
        };
        Self {
            link,
            resource,
            started,
            first_media: None,
            failed: None,
            repair: set(|p| p.repairs.is_some()),
            video: set(|p| p.kind == Kind::Video),
            nack: answer.payloads.iter().any(|p| p.nack),
            payloads: answer.payloads,
            transport_cc: answer.transport_cc,
            rsize: answer.rsize,
            tracks: Vec::with_capacity(4),
            arrivals: Vec::with_capacity(MAX_ARRIVALS),
            base: None,
            feedback_count: 0,
            countdown: number as u32 % SAMPLE,
            keyframe: false,
            next_report: 0,
            next_pli: u64::MAX,
        }
    }

    /// Missing, out of order and duplicate packets of all its streams.
    pub fn continuity(&self) -> (u64, u64, u64) {
        self.tracks.iter().fold((0, 0, 0), |(lost, order, twice), t| {
            // Numbers of retransmissions that were lost are asked for under the first number.
            let lost = lost + if t.repair { 0 } else { t.lost };
            (lost, order + t.out_of_order, twice + t.duplicates)
        })
    }

    /// Takes SRTP or SRTCP, and opens it if it is its turn. `at`: when the kernel had it.
    pub fn media(&mut self, now: u64, at: u64, packet: &mut [u8], tally: &mut Tally) {
        if let Some((header, track, index)) = self.arrived(now, packet, tally) {
            let young = now < *self.first_media.get_or_insert(now) + OPEN_ALL;
            let Track { repair, video, .. } = self.tracks[track];
            self.countdown = self.countdown.wrapping_sub(1);
            let sample = self.countdown.is_multiple_of(SAMPLE);
            if young || sample || repair || (video && !self.keyframe) {
                self.open(at, packet, &header, index, track, tally);
            }
        }
    }

    /// As [`Viewer::media`], but opens every packet and gives it.
    pub fn media_all(
        &mut self,
        now: u64,
        at: u64,
        packet: &mut [u8],
        tally: &mut Tally,
    ) -> Option<Opened> {
        let (header, track, index) = self.arrived(now, packet, tally)?;
        self.first_media.get_or_insert(now);
        self.open(at, packet, &header, index, track, tally)
    }

    /// Counts; gives header, track and SRTP index of what can be opened.
    fn arrived(
        &mut self,
        now: u64,
        packet: &mut [u8],
        tally: &mut Tally,
    ) -> Option<(Header, usize, u64)> {
        if rtp::is_rtcp(packet) {
            self.control(now, packet, tally);
            return None;
        }
        let header = Header::parse(packet, self.transport_cc)?;
        tally.packets += 1;
        tally.bytes += packet.len() as u64;
        if let Some(number) = header.transport_cc
            && self.arrivals.len() < MAX_ARRIVALS
        {
            self.arrivals.push((number, now));
        }
        let bit = 1u128 << header.pt;
        let (repair, video) = (self.repair & bit != 0, self.video & bit != 0);
        let (at, index) = self.count(&header, now, repair, video)?;
        Some((header, at, index))
    }

    /// Which track it is, and its SRTP index; `None` for a packet too old to tell.
    fn count(
        &mut self,
        header: &Header,
        now: u64,
        repair: bool,
        video: bool,
    ) -> Option<(usize, u64)> {
        let ticks = now.wrapping_mul(if video { 90 } else { 48 }) / 1000;
        if let Some(at) = self.tracks.iter().position(|t| t.ssrc == header.ssrc) {
            let track = &mut self.tracks[at];
            let index = track.extend(header.seq);
            let arrival = track.receive(header.seq);
            if !repair {
                track.timed(header.timestamp, ticks as u32);
            }
            return (arrival != Arrival::Old).then_some((at, index));
        }
        if self.tracks.len() == MAX_TRACKS {
            return None;
        }
        self.tracks.push(Track::new(header.ssrc, header.seq, repair, video));
        if video && !repair && !self.keyframe {
            self.next_pli = self.next_pli.min(now + KEYFRAME_WAIT);
        }
        Some((self.tracks.len() - 1, u64::from(header.seq)))
    }

    fn open(
        &mut self,
        at: u64,
        packet: &mut [u8],
        header: &Header,
        index: u64,
        track: usize,
        tally: &mut Tally,
    ) -> Option<Opened> {
        // What came before the handshake was done cannot be opened.
        let keys = self.link.receive.as_ref()?;
        tally.opened += 1;
        let Some(mut end) = keys.open_rtp(packet, header.length, index) else {
            tally.decrypt_failures += 1;
            return None;
        };
        if header.padding {
            end = end.saturating_sub(usize::from(packet[end - 1])).max(header.length);
        }
        let mut range = header.length..end;
        let mut index = index;
        let mut payload = self.payloads.iter().find(|p| p.pt == header.pt)?;
        if let Some(first) = payload.repairs {
            let seq = u16::from_be_bytes(*packet[range.clone()].first_chunk()?);
            range.start += 2;
            let track = self.tracks.iter_mut().find(|t| t.video && !t.repair)?;
            index = track.extend(seq);
            track.repaired(seq);
            payload = self.payloads.iter().find(|p| p.pt == first)?;
        }
        let inside = &packet[range.clone()];
        if let Some(sent) = source::sent_at(inside).filter(|_| !self.tracks[track].repair)
            && tally.latencies.len() < MAX_LATENCIES
        {
            tally.latencies.push(u32::try_from(at.saturating_sub(sent)).unwrap_or(u32::MAX));
        }
        let Payload { kind, codec, .. } = *payload;
        if kind == Kind::Video && !self.keyframe {
            self.keyframe = codec.is_none_or(|c| payload::inspect(c, inside).keyframe_start);
        }
        Some(Opened { header: *header, index, codec, kind, range })
    }

    fn control(&mut self, now: u64, packet: &mut [u8], tally: &mut Tally) {
        let Some(keys) = &self.link.receive else { return };
        let Some(compound) = keys.open_rtcp(packet) else {
            tally.decrypt_failures += 1;
            return;
        };
        let tracks = &mut self.tracks;
        read(compound, |message| {
            if let Message::SenderReport(ssrc, middle) = message
                && let Some(track) = tracks.iter_mut().find(|t| t.ssrc == ssrc)
            {
                track.sender_report = Some((middle, now));
            }
        });
    }

    /// What is due; called about every 60 ms.
    pub fn tick(&mut self, now: u64) {
        if self.failed.is_some() {
            return;
        }
        if let Err(error) = self.link.tick(now) {
            self.failed = Some(error.to_string());
        } else if self.link.lost(now) {
            self.failed = Some("the server does not answer any more".into());
        } else if self.link.is_up() {
            self.feedback(now);
            self.reports(now);
        }
    }

    fn feedback(&mut self, now: u64) {
        if self.arrivals.is_empty() {
            return;
        }
        let mut base = self.base.unwrap_or(self.arrivals[0].0);
        // Late ones were reported as lost; a second report of a number is not foreseen.
        self.arrivals.retain(|(n, _)| n.wrapping_sub(base) < 0x8000);
        self.arrivals.sort_unstable_by_key(|(n, _)| n.wrapping_sub(base));
        self.arrivals.dedup_by_key(|(n, _)| *n);
        let media = self.tracks.first().map_or(0, |t| t.ssrc);
        let mut writer = self.compound(now, false);
        if !self.arrivals.is_empty() {
            base = writer.transport_cc(OURS, media, self.feedback_count, base, &self.arrivals);
            self.feedback_count = self.feedback_count.wrapping_add(1);
            self.base = Some(base);
            self.link.report(writer);
        }
        self.arrivals.clear();
    }

    fn reports(&mut self, now: u64) {
        let asking = |t: &Track| t.video && !t.repair && t.lost > 0 && now >= t.asked + ASK_AGAIN;
        let nack = self.nack && self.tracks.iter().any(asking);
        let pli = !self.keyframe && now >= self.next_pli;
        if now < self.next_report && !nack && !pli {
            return;
        }
        if now >= self.next_report {
            // The first ones of a crowd that joined together go apart.
            self.next_report = now + REPORT - u64::from(self.feedback_count) * 1000;
        }
        let mut writer = self.compound(now, true);
        if nack && let Some(track) = self.tracks.iter_mut().find(|t| asking(t)) {
            track.asked = now;
            let mut missing = [0; 64];
            let mut count = 0;
            track.missing(|seq| {
                if let Some(place) = missing.get_mut(count) {
                    *place = seq;
                    count += 1;
                }
            });
            if count > 0 {
                writer.nack(OURS, track.ssrc, missing[..count].iter().copied());
            }
        }
        if pli {
            let first = self.first_media.unwrap_or(now);
            self.keyframe = now > first + KEYFRAME_GIVE_UP;
            self.next_pli = now + KEYFRAME_WAIT;
            if let Some(track) = self.tracks.iter().find(|t| t.video && !t.repair) {
                writer.pli(OURS, track.ssrc);
            }
        }
        self.link.report(writer);
    }

    /// Begins with a receiver report where one is due, or where the server wants no RTCP without.
    fn compound(&mut self, now: u64, report: bool) -> Writer {
        let mut writer = Writer::default();
        if report || !self.rsize {
            let mut blocks = [[0; 24]; MAX_TRACKS];
            let count = self.tracks.len();
            blocks.iter_mut().zip(&mut self.tracks).for_each(|(b, t)| *b = t.report(now));
            writer.receiver_report(OURS, &blocks[..count]);
        }
        writer
    }
}
