//! A publisher that a test knows all of: when each frame was captured, what each packet holds, and
//! whether its clock, its sender reports and its keyframes are to be trusted.

use std::time::{Duration, Instant};

use media::EncodingId;
use sfu::rtcp::{self, SenderInfo};

use super::peer::{AUDIO_PT, Outgoing};
use super::world::World;

/// H.264 parameter sets, as a stream has them.
pub(crate) const SPS: [u8; 12] =
    [0x67, 0x42, 0xe0, 0x1f, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08];
/// The same and a picture parameter set, as an offer has them.
pub(crate) const SPROP: &str =
    "packetization-mode=1;sprop-parameter-sets=Z0LgH4yNQFAe0A8I,aM4xUg==";
/// What becomes of that: one packet before a keyframe.
pub(crate) const SETS: [u8; 21] = [
    0x78, 0, 12, 0x67, 0x42, 0xe0, 0x1f, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0, 4,
    0x68, 0xce, 0x31, 0x52,
];
const WALL: Duration = Duration::from_secs(1_700_000_000);

/// What a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// 50 packets a second.
    Opus,
    /// 30 pictures a second, parameter sets before each keyframe or nowhere.
    H264 { sets: bool },
    /// 30 pictures a second.
    Vp8,
}

/// A packet as it was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) payload: Vec<u8>,
    pub(crate) key: bool,
}

/// One SSRC.
pub(crate) struct Stream {
    pub(crate) content: Content,
    pub(crate) ssrc: u32,
    pub(crate) rid: Option<EncodingId>,
    /// The next packet's.
    pub(crate) seq: u64,
    /// The timestamp of the moment at which the studio began.
    pub(crate) timestamp: u32,
    /// From capture to sending.
    pub(crate) latency: Duration,
    /// Pictures from keyframe to keyframe; 0: only the first.
    pub(crate) gop: u64,
    /// Keyframes on demand.
    pub(crate) obeys: bool,
    /// Packets of a picture, and their payload's length.
    pub(crate) parts: usize,
    pub(crate) bytes: usize,
    /// VP8 only.
    pub(crate) width: u16,
    pub(crate) on: bool,
    pub(crate) sent: Vec<Sent>,
    pub(crate) keyframes: u32,
    /// What is added to the wall clock of its reports; `None`: no reports.
    pub(crate) lie: Option<i64>,
    frames: u64,
    keyframe: bool,
    next_report: Instant,
}

/// See the top of the file.
pub(crate) struct Studio {
    pub(crate) number: u32,
    pub(crate) began: Instant,
    /// Parts per million by which its clock is fast.
    pub(crate) drift_ppm: f64,
    pub(crate) streams: Vec<Stream>,
    on_air: bool,
}

impl Stream {
    pub(crate) fn new(content: Content, ssrc: u32, now: Instant) -> Self {
        Self {
            content,
            ssrc,
            rid: None,
            seq: u64::from(ssrc % 1000) + 100,
            timestamp: ssrc.wrapping_mul(7),
            latency: Duration::ZERO,
            gop: 0,
            obeys: true,
            parts: if content == Content::Opus { 1 } else { 3 },
            bytes: if content == Content::Opus { 100 } else { 1000 },
            width: 640,
            on: true,
            sent: Vec::new(),
            keyframes: 0,
            lie: Some(0),
            frames: 0,
            keyframe: true,
            next_report: now + Duration::from_millis(300),
        }
    }

    pub(crate) fn is_video(&self) -> bool {
        self.content != Content::Opus
    }

    pub(crate) fn rate(&self) -> u32 {
        if self.is_video() { 90_000 } else { 48_000 }
    }

    /// Ticks of its clock that `time` is long.
    fn ticks(&self, time: Duration, drift_ppm: f64) -> u32 {
        let seconds = time.as_secs_f64() * (1.0 + drift_ppm / 1e6);
        (seconds * f64::from(self.rate())).round() as u64 as u32
    }

    fn interval(&self) -> Duration {
        if self.is_video() { Duration::from_nanos(33_333_333) } else { Duration::from_millis(20) }
    }

    /// The payloads of the next picture.
    fn payloads(&self, captured: Duration) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        if self.keyframe && self.content == (Content::H264 { sets: true }) {
            all.push(SPS.to_vec());
        }
        for part in 0..self.parts {
            let (first, last) = (part == 0, part + 1 == self.parts);
            let mut bytes = match self.content {
                Content::Opus => vec![0x7c],
                Content::H264 { .. } => {
                    let kind = if self.keyframe { 5 } else { 1 };
                    let first = if first { 0x80 } else { 0 };
                    let last = if last { 0x40 } else { 0 };
                    vec![if self.keyframe { 0x7c } else { 0x5c }, kind | first | last, 0x9a]
                }
                Content::Vp8 => self.vp8(first),
            };
            // No three zeros in a row: H.264 has none.
            // Browsers' packets of one picture differ by a byte or two.
            let length = self.bytes + part % 3 - 16;
            bytes.resize(length.max(bytes.len() + 1), 0x55);
            bytes.extend((self.seq + all.len() as u64).to_be_bytes());
            bytes.extend((captured.as_micros() as u64).to_be_bytes());
            all.push(bytes);
        }
        all
    }

    /// A descriptor with a picture id of 15 bits, and the head of a frame.
    fn vp8(&self, first: bool) -> Vec<u8> {
        let picture = (self.frames as u16) & 0x7fff;
        let mut bytes =
            vec![0x80 | u8::from(first) << 4, 0x80, 0x80 | (picture >> 8) as u8, picture as u8];
        if first {
            bytes.extend([u8::from(!self.keyframe), 0, 0]);
        }
        if first && self.keyframe {
            let [w1, w0] = self.width.to_be_bytes();
            let [h1, h0] = (self.width / 2).to_be_bytes();
            bytes.extend([0x9d, 0x01, 0x2a, w0, w1, h0, h1]);
        }
        bytes
    }
}

/// When the picture of a payload was captured, since the studio began.
pub(crate) fn captured(payload: &[u8]) -> Duration {
    let at = payload.len() - 8;
    Duration::from_micros(u64::from_be_bytes(payload[at..].try_into().expect("8 bytes")))
}

/// The number that a packet had when it was sent.
pub(crate) fn number(payload: &[u8]) -> u64 {
    let at = payload.len() - 16;
    u64::from_be_bytes(payload[at..at + 8].try_into().expect("8 bytes"))
}

impl Studio {
    /// A publisher that has joined as a peer, with what it sends from now on.
    pub(crate) fn new(world: &World, number: u32, contents: &[Content]) -> Self {
        let stream = |(index, content): (usize, &Content)| {
            Stream::new(*content, 0x3000_0000 + number * 64 + index as u32, world.now)
        };
        let streams = contents.iter().enumerate().map(stream).collect();
        Self { number, began: world.now, drift_ppm: 0.0, streams, on_air: false }
    }

    /// To be called every millisecond; it begins with the first call.
    pub(crate) fn step(&mut self, world: &mut World) {
        if !std::mem::replace(&mut self.on_air, true) {
            self.began = world.now;
        }
        let (now, began, drift) = (world.now, self.began, self.drift_ppm);
        let peer = world.peer(self.number);
        for asked in std::mem::take(&mut peer.asked) {
            self.streams
                .iter_mut()
                .filter(|s| s.ssrc == asked && s.obeys)
                .for_each(|s| s.keyframe = true);
        }
        for stream in &mut self.streams {
            loop {
                let captured = stream.interval() * stream.frames as u32;
                if began + captured + stream.latency > now {
                    break;
                }
                stream.shoot(now, captured, drift, peer);
            }
            if stream.next_report <= now && !stream.sent.is_empty() {
                stream.next_report = now + Duration::from_secs(1);
                stream.report(now - began, drift, peer);
            }
        }
    }

    pub(crate) fn video(&self) -> &Stream {
        self.streams.iter().find(|s| s.is_video()).expect("a video")
    }

    pub(crate) fn video_mut(&mut self) -> &mut Stream {
        self.streams.iter_mut().find(|s| s.is_video()).expect("a video")
    }
}

impl Stream {
    fn shoot(
        &mut self,
        now: Instant,
        captured: Duration,
        drift: f64,
        peer: &mut super::peer::Peer,
    ) {
        self.keyframe |= self.gop > 0 && self.frames.is_multiple_of(self.gop);
        self.frames += 1;
        if !self.on {
            self.keyframe = true;
            return;
        }
        let timestamp = self.timestamp.wrapping_add(self.ticks(captured, drift));
        let payloads = self.payloads(captured);
        let count = payloads.len();
        let key = self.keyframe;
        for (index, payload) in payloads.into_iter().enumerate() {
            let marker = self.is_video() && index + 1 == count;
            let pt = match self.content {
                Content::Opus => AUDIO_PT,
                Content::H264 { .. } => 96,
                Content::Vp8 => 98,
            };
            let (ssrc, seq, rid) = (self.ssrc, self.seq, self.rid);
            peer.send(Outgoing { ssrc, pt, seq, timestamp, marker, rid }, &payload);
            self.sent.push(Sent { at: now, timestamp, marker, payload, key });
            self.seq += 1;
        }
        self.keyframes += u32::from(key);
        self.keyframe = false;
    }

    /// A sender report of now.
    fn report(&mut self, since: Duration, drift: f64, peer: &mut super::peer::Peer) {
        let Some(lie) = self.lie else { return };
        let wall = WALL + since.mul_f64(1.0 + drift / 1e6);
        let millis = Duration::from_millis(lie.unsigned_abs());
        let wall = if lie < 0 { wall - millis } else { wall + millis };
        let info = SenderInfo {
            ntp: rtcp::ntp(wall),
            rtp_timestamp: self.timestamp.wrapping_add(self.ticks(since, drift)),
            packets: self.sent.len() as u32,
            octets: 0,
        };
        let ssrc = self.ssrc;
        peer.tell(|w| w.sender_report(ssrc, &info, &[]).and_then(|()| w.cname(ssrc, "studio")));
    }
}
