//! One encoding of a publisher: what arrives, how fast, and whether it arrives at all.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use media::{Codec, EncodingId, Kind, RtpPacket};
use signaling::Payload;

use super::keyframes::Requests;
use crate::stats::{EncodingSnapshot, Rate};

/// Packets kept to start a viewer when a keyframe's first packet comes after later ones: the size
/// of a large keyframe.
const RECENT: usize = 256;

/// One simulcast layer, the only video, or the audio.
#[derive(Debug)]
pub struct Encoding {
    /// Its name.
    pub id: EncodingId,
    /// Audio or video.
    pub kind: Kind,
    /// Payload type, codec and parameters of the last packet.
    pub payload: Payload,
    /// Pixels, from the last keyframe that said it.
    pub dimensions: Option<(u16, u16)>,
    /// Packets arrive now. A browser stops a layer under CPU or bandwidth pressure.
    pub active: bool,
    /// Keyframes that viewers wait for.
    pub keyframes: Requests,
    /// When the last packet arrived.
    pub last_arrival: Instant,
    /// The last video packets, in the order of their arrival.
    recent: VecDeque<RtpPacket>,
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
    pub fn new(id: EncodingId, kind: Kind, payload: Payload, now: Instant) -> Self {
        Self {
            id,
            kind,
            payload,
            dimensions: None,
            active: true,
            keyframes: Requests::default(),
            last_arrival: now,
            recent: VecDeque::new(),
            counters: Counters::default(),
            bitrate: Rate::default(),
            fps: Rate::default(),
        }
    }

    /// A packet has come. True if a decoder can start with it, and no packet of the same picture
    /// goes before it.
    pub fn received(&mut self, packet: &RtpPacket) -> bool {
        self.last_arrival = packet.arrival;
        let start = self.starts_picture(packet);
        if self.kind == Kind::Video {
            if self.recent.len() == RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back(packet.clone());
        }
        self.counters.count(packet);
        if packet.info.keyframe_start {
            self.keyframes.served();
        }
        if packet.info.dimensions.is_some() {
            self.dimensions = packet.info.dimensions;
        }
        start
    }

    /// Packets that arrived before the `arrived`-th one of this encoding but follow `seq`: they
    /// overtook it.
    pub fn overtakers(&self, arrived: u64, seq: u64) -> impl Iterator<Item = &RtpPacket> {
        let newer = (self.counters.packets - arrived + 1) as usize;
        let before = self.recent.len().saturating_sub(newer);
        self.recent.iter().take(before).filter(move |p| p.seq > seq)
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
        let before = self.recent.iter().rev().find(|p| p.seq + 1 == packet.seq);
        info.keyframe_start && before.is_some_and(|p| p.timestamp != packet.timestamp)
    }

    /// Pixels first, then bitrate: what makes one encoding better than another.
    pub fn rank(&self) -> (u32, u64) {
        let pixels = self.dimensions.map_or(0, |(w, h)| u32::from(w) * u32::from(h));
        (pixels, self.bitrate_bps())
    }

    /// To be called about once a second.
    pub fn update_rates(&mut self, now: Instant) {
        self.bitrate.update(now, self.counters.bytes);
        self.fps.update(now, self.counters.frames);
    }

    fn bitrate_bps(&self) -> u64 {
        (self.bitrate.per_second() * 8.0) as u64
    }

    /// As the API shows it.
    pub fn snapshot(&self) -> EncodingSnapshot {
        EncodingSnapshot {
            id: self.id,
            kind: self.kind,
            codec: self.payload.codec,
            channels: if self.counters.stereo { 2 } else { 1 },
            dimensions: self.dimensions,
            fps: self.fps.per_second(),
            bitrate_bps: self.bitrate_bps(),
            keyframes: self.counters.keyframes,
            keyframe_interval: self.counters.keyframe_interval,
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
