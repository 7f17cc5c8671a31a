//! One encoding of a publisher: what arrives, how fast, and whether it arrives at all. What it sent
//! lately is in the ring of its feed, `history.rs`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::{Codec, EncodingId, Kind, RtpPacket};
use signaling::Payload;

use super::keyframes::Requests;
use super::parameter_sets::ParameterSets;
use crate::feed::Info;
use crate::packet::Packet;
use crate::stats::{EncodingSnapshot, EncodingState, Intake, Origin, Rate};

/// Packets whose picture is remembered: reordering beyond that is loss.
const RECENT: usize = 64;
/// So long after a change of SSRC, packets of the one before are late ones.
const STRAGGLERS: Duration = Duration::from_secs(1);
/// Each change makes all viewers begin anew: more often than this they are not believed.
const TURN_INTERVAL: Duration = Duration::from_millis(100);

/// One simulcast layer, the only video, or the audio.
#[derive(Debug)]
pub struct Encoding {
    /// Its name.
    pub id: EncodingId,
    /// Audio or video.
    pub kind: Kind,
    /// Where it comes from.
    pub origin: Origin,
    /// It is bridged and its bridge has ended: nobody sees it. Its place stays, for indices stay valid.
    pub gone: bool,
    /// What its packets come under.
    pub ssrc: u32,
    /// Payload type, codec and parameters of the last packet.
    pub payload: Payload,
    /// See [`Info`].
    generation: u32,
    /// The SSRC before, which may still send stragglers, and when it or the payload type changed.
    before: (u32, Option<Instant>),
    /// What is added to the sequence numbers of this SSRC, so that ours go on.
    offset: i64,
    /// Pixels, from the last keyframe that said it.
    pub dimensions: Option<(u16, u16)>,
    /// Packets arrive now. A browser stops a layer under CPU or bandwidth pressure.
    pub active: bool,
    /// Keyframes that viewers wait for.
    pub keyframes: Requests,
    /// When the last packet arrived.
    pub last_arrival: Instant,
    /// Sequence numbers and timestamps of the last video packets, in the order of their arrival.
    recent: VecDeque<(u64, u32)>,
    sets: ParameterSets,
    counters: Counters,
    bitrate: Rate,
    fps: Rate,
}

#[derive(Debug, Default)]
struct Counters {
    packets: u64,
    bytes: u64,
    frames: u64,
    b_frames: bool,
    stereo: bool,
    /// First and highest sequence number.
    range: Option<(u64, u64)>,
    newest_timestamp: Option<u32>,
    keyframes: u64,
    keyframe: Option<(u32, Instant)>,
    keyframe_interval: Option<Duration>,
}

impl Encoding {
    /// Begins with the first packet's payload type.
    pub fn new(packet: &Packet, payload: Payload) -> Self {
        Self {
            id: packet.encoding,
            kind: packet.kind,
            origin: packet.origin,
            gone: false,
            ssrc: 0,
            generation: 0,
            before: (0, None),
            offset: 0,
            sets: ParameterSets::new(&payload),
            payload,
            dimensions: None,
            active: true,
            keyframes: Requests::default(),
            last_arrival: packet.arrival,
            recent: VecDeque::new(),
            counters: Counters::default(),
            bitrate: Rate::since(packet.arrival),
            fps: Rate::since(packet.arrival),
        }
    }

    /// A packet has come. True if a decoder can start with it, and no packet of the same picture
    /// goes before it.
    pub fn received(&mut self, packet: &RtpPacket) -> bool {
        self.last_arrival = packet.arrival;
        let start = self.starts_picture(packet);
        if self.kind == Kind::Video {
            self.recent.truncate(RECENT - 1);
            self.recent.push_front((packet.seq, packet.timestamp));
        }
        if self.payload.codec == Codec::H264 {
            self.sets.learn(&packet.payload);
        }
        self.counters.count(packet);
        if packet.info.keyframe_start {
            self.keyframes.served(packet.arrival);
        }
        if packet.info.dimensions.is_some() {
            self.dimensions = packet.info.dimensions;
        }
        start
    }

    /// Takes a change of payload or SSRC; what decoders and rings know of the encoding ends there.
    /// `payload`: `None` where it is the one before. `None`: this packet is a straggler of before, or
    /// comes too soon after the last change. `Some(false)`: nothing has changed.
    pub fn turns(&mut self, packet: &Packet, payload: Option<&Payload>) -> Option<bool> {
        let payload = payload.filter(|payload| **payload != self.payload);
        if self.ssrc == 0 {
            self.ssrc = packet.ssrc;
        }
        if self.ssrc == packet.ssrc && (self.gone || payload.is_none()) {
            // What an ended bridge still had on its way does not bring it back.
            return (!self.gone).then_some(false);
        }
        if let Some(payload) =
            payload.filter(|p| self.ssrc == packet.ssrc && p.pt == self.payload.pt)
        {
            // Another profile, say: it is in band, and for the same decoder.
            self.payload = payload.clone();
            return Some(true);
        }
        let since = self.before.1.map(|at| packet.arrival.saturating_duration_since(at));
        let straggles = packet.ssrc == self.before.0 && since.is_some_and(|t| t < STRAGGLERS);
        let hasty = !self.gone && since.is_some_and(|t| t < TURN_INTERVAL);
        if straggles || hasty {
            return None;
        }
        if self.ssrc != packet.ssrc {
            if let Some(seq) = packet.seq {
                self.offset = self.next().cast_signed() - seq.cast_signed();
            }
            self.before.0 = self.ssrc;
            self.ssrc = packet.ssrc;
        }
        self.before.1 = Some(packet.arrival);
        self.generation += 1;
        self.gone = false;
        self.recent.clear();
        self.counters.newest_timestamp = None;
        self.counters.b_frames = false;
        if let Some(payload) = payload {
            self.payload = payload.clone();
        }
        self.sets = ParameterSets::new(&self.payload);
        Some(true)
    }

    /// A packet's number among all that this encoding has ever had; `None` before the first.
    pub fn number(&self, seq: Option<u64>) -> Option<u64> {
        let Some(seq) = seq else { return Some(self.next()) };
        u64::try_from(seq.cast_signed().checked_add(self.offset)?).ok()
    }

    /// The number after the highest.
    fn next(&self) -> u64 {
        self.counters.range.map_or(0, |(_, highest)| highest + 1)
    }

    /// Its bridge has ended; false if it had before.
    pub fn end(&mut self) -> bool {
        self.active = false;
        self.keyframes = Requests::default();
        !std::mem::replace(&mut self.gone, true)
    }

    /// What a viewer that starts at `packet` has to get before it.
    pub fn prefix(&self, packet: &RtpPacket) -> Option<Arc<[u8]>> {
        if packet.info.parameter_sets { None } else { self.sets.packet() }
    }

    /// How many keyframes have begun.
    pub fn keyframes_begun(&self) -> u64 {
        self.counters.keyframes
    }

    /// B frames have been seen.
    pub fn has_b_frames(&self) -> bool {
        self.counters.b_frames
    }

    /// Packets that never came, and those that did.
    pub fn losses(&self) -> (u64, u64) {
        (self.counters.lost(), self.counters.packets)
    }

    /// How many packets have arrived.
    pub fn arrived(&self) -> u64 {
        self.counters.packets
    }

    /// The first slice of a keyframe may overtake its parameter sets where those travel in packets
    /// of their own: it counts as the start only if the packet before it is known to be of another
    /// picture.
    fn starts_picture(&self, packet: &RtpPacket) -> bool {
        let info = &packet.info;
        let separate_sets = matches!(self.payload.codec, Codec::H264 | Codec::H265);
        if !separate_sets || info.parameter_sets {
            return info.keyframe_start;
        }
        let before = self.recent.iter().find(|(seq, _)| seq + 1 == packet.seq);
        info.keyframe_start && before.is_some_and(|(_, t)| *t != packet.timestamp)
    }

    /// Pixels first, then bitrate: what makes one encoding better than another.
    pub fn rank(&self) -> (u32, u64) {
        let pixels = self.dimensions.map_or(0, |(w, h)| u32::from(w) * u32::from(h));
        (pixels, self.bitrate_bps())
    }

    /// What viewers choose by.
    pub fn info(&self) -> Info {
        Info {
            id: self.id,
            kind: self.kind,
            origin: self.origin,
            gone: self.gone,
            payload: self.payload.clone(),
            generation: self.generation,
            active: self.active,
            dimensions: self.dimensions,
            rank: self.rank(),
            bitrate_bps: self.bitrate_bps(),
        }
    }

    /// To be called about once a second.
    pub fn update_rates(&mut self, now: Instant) {
        self.bitrate.update(now, self.counters.bytes);
        self.fps.update(now, self.counters.frames);
    }

    /// The same before the time.
    pub fn measure(&mut self, now: Instant) {
        self.bitrate.measure(now, self.counters.bytes);
        self.fps.measure(now, self.counters.frames);
    }

    fn bitrate_bps(&self) -> u64 {
        (self.bitrate.per_second() * 8.0) as u64
    }

    /// What [`crate::Event::Encodings`] says.
    pub fn state(&self) -> EncodingState {
        EncodingState {
            id: self.id,
            origin: self.origin,
            kind: self.kind,
            codec: self.payload.codec,
            dimensions: self.dimensions,
            b_frames: self.counters.b_frames,
            active: self.active,
            bitrate_bps: self.bitrate_bps(),
        }
    }

    /// Its part of what the publisher sends.
    pub fn intake(&self) -> Intake {
        Intake {
            bitrate_bps: self.bitrate_bps(),
            packets: self.counters.packets,
            lost: self.counters.lost(),
        }
    }

    /// As the API shows it.
    pub fn snapshot(&self) -> EncodingSnapshot {
        EncodingSnapshot {
            id: self.id,
            origin: self.origin,
            kind: self.kind,
            codec: self.payload.codec,
            channels: if self.counters.stereo { 2 } else { 1 },
            dimensions: self.dimensions,
            fps: self.fps.per_second(),
            bitrate_bps: self.bitrate_bps(),
            keyframes: self.counters.keyframes,
            keyframe_interval: self.counters.keyframe_interval,
            keyframe_wait: self.keyframes.wait(),
            packets: self.counters.packets,
            bytes: self.counters.bytes,
            lost: self.counters.lost(),
            b_frames: self.counters.b_frames,
            active: self.active,
        }
    }
}

impl Counters {
    fn count(&mut self, packet: &RtpPacket) {
        self.packets += 1;
        self.bytes += packet.payload.len() as u64;
        self.b_frames |= packet.info.b_frame;
        self.stereo |= packet.info.stereo;
        let (first, highest) = self.range.get_or_insert((packet.seq, packet.seq));
        *first = packet.seq.min(*first);
        *highest = packet.seq.max(*highest);
        let newer = self
            .newest_timestamp
            .is_none_or(|t| packet.timestamp.wrapping_sub(t).cast_signed() > 0);
        if newer {
            self.newest_timestamp = Some(packet.timestamp);
            self.frames += 1;
        }
        if packet.info.keyframe_start {
            self.keyframe(packet);
        }
    }

    /// A keyframe may say so in several packets (SPS, PPS and IDR apart): one timestamp is one.
    fn keyframe(&mut self, packet: &RtpPacket) {
        match self.keyframe {
            Some((timestamp, _)) if timestamp == packet.timestamp => return,
            Some((_, before)) => {
                self.keyframe_interval = Some(packet.arrival.saturating_duration_since(before));
            }
            None => {}
        }
        self.keyframes += 1;
        self.keyframe = Some((packet.timestamp, packet.arrival));
    }

    fn lost(&self) -> u64 {
        let expected = self.range.map_or(0, |(first, highest)| highest - first + 1);
        expected.saturating_sub(self.packets)
    }
}
